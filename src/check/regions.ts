import { asIno } from '../base/units.js';
import { FILE_SIZE_MAX } from '../format/layout.js';
import { HostFileStatus, parseRegionName, type RegionInspection } from '../region/inspection.js';
import { isPrivate } from '../region/directory.js';
import { regionName } from '../region/regions.js';
import type { CheckContext } from './context.js';
import { octal } from './findings.js';
import { DAMAGED, Host, InodeMap } from './inode-map.js';

export const HOST_FILE_MODE = 0o600;
export const HOST_DIRECTORY_MODE = 0o700;

/**
 * Compares the inodes with the region directory: each file whose data is a host file has it, each host file has an inode, and nobody else gets at them. What is in the
 * files, and how long they are within what is possible, is not checked: nobody else knows (doc/FORMAT.md, "Regions").
 */
export class RegionPass {
  private readonly status = new HostFileStatus();
  private owner = 0;

  constructor(
    private readonly context: CheckContext,
    private readonly inspection: RegionInspection,
    /** Told of host files looked at; there may be more than `total`, one for each file that has one. */
    private readonly progress: (done: number, total: number) => void,
  ) {}

  run(): void {
    this.checkDirectory();
    this.checkFiles();
    // Without a part of the inodes nobody knows whose a host file is.
    if (this.context.tableComplete) this.checkNames();
  }

  private checkDirectory(): void {
    const { inspection, status, context } = this;
    inspection.directory(status);
    this.owner = status.uid;
    if (!inspection.owners.includes(status.uid)) {
      context.findings.add('region-mode', {}, `region directory ${inspection.path}: owner`, inspection.owners.join(' or '), status.uid);
      this.owner = inspection.owners[0] ?? 0;
    }
    if (!isPrivate(status)) {
      context.findings.add('region-mode', {}, `region directory ${inspection.path}: mode`, 'nobody else may write to it', octal(status.mode));
    }
  }

  private checkFiles(): void {
    const { context, inspection, status } = this;
    for (const ino of context.inodes.numbers()) {
      const page = context.inodes.find(ino);
      const slot = InodeMap.slot(ino);
      if (page === undefined || page.hostOf(slot) !== Host.required) continue;
      const name = regionName(asIno(ino), page.hosts.generation[slot] as number);
      const what = `inode ${String(ino)}: host file ${inspection.path}/${name}`;
      if (!inspection.status(name, status)) {
        context.findings.add('region-missing', { ino }, what, 'a file', 'none');
      } else if (!status.isFile) {
        context.findings.add('region-missing', { ino }, what, 'a file', 'something else');
      } else {
        if (status.size > FILE_SIZE_MAX) context.findings.add('region-size', { ino }, `${what}: size`, `at most ${String(FILE_SIZE_MAX)}`, status.size);
        if (status.uid !== this.owner) context.findings.add('region-mode', { ino }, `${what}: owner`, this.owner, status.uid);
        if (status.mode !== HOST_FILE_MODE) context.findings.add('region-mode', { ino }, `${what}: mode`, octal(HOST_FILE_MODE), octal(status.mode));
      }
    }
  }

  private checkNames(): void {
    const { context, inspection, status } = this;
    let done = 0;
    for (const name of inspection.names()) {
      if ((done++ & 0xff) === 0) this.progress(done, Math.max(done, context.statistics.regions));
      const { ino, generation } = parseRegionName(name) ?? { ino: 0, generation: 0 };
      const page = context.inodes.find(ino);
      const slot = InodeMap.slot(ino);
      const owned = page !== undefined && page.hostOf(slot) !== Host.none && page.hosts.generation[slot] === generation;
      if (owned || context.inodes.typeOf(ino) === DAMAGED) continue;
      // What is no file is not ours.
      if (!inspection.status(name, status) || !status.isFile) continue;
      context.findings.add('region-orphan', {}, `host file ${inspection.path}/${name}`, 'an inode of this number and generation whose data it is', 'none');
    }
  }
}
