import { FsError } from '../base/errno.js';
import { asIno, type Ino } from '../base/units.js';
import { octal } from '../check/findings.js';
import { Type } from '../check/inode.js';
import { HOST_DIRECTORY_MODE, HOST_FILE_MODE } from '../check/regions.js';
import { FILE_SIZE_MAX, FileType, Inode, InodeFlag } from '../format/layout.js';
import { setU64 } from '../format/numbers.js';
import { isPrivate } from '../region/directory.js';
import { HostFileStatus, parseRegionName, type RegionInspection, type RegionPlace } from '../region/inspection.js';
import { regionName } from '../region/regions.js';
import { Tree } from '../tree/tree.js';
import type { RepairContext } from './context.js';
import { type LostFound, NAME } from './lost-found.js';
import { Note } from './inode-notes.js';

/** Number of this pass, for progress. */
const HOST_FILES_PASS = 7;
const PLACED = InodeFlag.region | InodeFlag.regionDraft;
const FILE_MODE = FileType.regular | 0o600;

/**
 * Pass 7: the region directory. A host file that no inode knows gets one, with a name in `lost+found`; a missing one can't be had again. Image and directory can't be changed
 * in one step, so a host file gets its new name first, then the inode is committed, then the old name goes: cut off in between, it has two names, one of which is dropped
 * by the next run. All else is sound by now.
 */
export class RegionPass {
  private readonly status = new HostFileStatus();
  private owner = 0;

  constructor(
    private readonly context: RepairContext,
    private readonly place: LostFound,
  ) {}

  run({ inspection, foreign, reason }: RegionPlace): void {
    if (inspection !== null) {
      this.mendDirectory(inspection);
      this.mendFiles(inspection);
      this.mendNames(inspection);
    } else if (foreign && this.hasRegions()) {
      this.context.problems.leave('region-directory', {}, 'region directory', 'that of this volume', reason, 'nothing can be done about it; say with --regions where it is');
    }
  }

  private mendDirectory(inspection: RegionInspection): void {
    const { status } = this;
    inspection.directory(status);
    const foreigner = !inspection.owners.includes(status.uid);
    this.owner = foreigner ? (inspection.owners[0] ?? 0) : status.uid;
    if (!foreigner && isPrivate(status)) return;
    const found = `user ${String(status.uid)}, mode ${octal(status.mode)}`;
    this.restrict(inspection, null, {}, `region directory ${inspection.path}: owner and mode`, found, HOST_DIRECTORY_MODE);
  }

  private mendFiles(inspection: RegionInspection): void {
    const { status, context } = this;
    for (const ino of this.regionInodes()) {
      const name = regionName(asIno(ino), this.generation(ino));
      const what = `inode ${String(ino)}: host file ${inspection.path}/${name}`;
      const there = inspection.status(name, status);
      if (!there || !status.isFile) {
        context.problems.leave('region-missing', { ino }, what, 'a file', there ? 'something else' : 'none', 'its data is lost: the file answers EIO until it is removed, or the host file is back');
      } else {
        if (status.size > FILE_SIZE_MAX) this.cut(inspection, name, ino, `${what}: size`);
        if (status.uid === this.owner && status.mode === HOST_FILE_MODE) continue;
        this.restrict(inspection, name, { ino }, `${what}: owner and mode`, `user ${String(status.uid)}, mode ${octal(status.mode)}`, HOST_FILE_MODE);
      }
    }
  }

  private cut(inspection: RegionInspection, name: string, ino: number, what: string): void {
    const { status } = this;
    const { problems } = this.context;
    const expected = `at most ${String(FILE_SIZE_MAX)}`;
    if (!problems.fix('region-size', { ino }, what, expected, status.size, 'cut it there')) return;
    try {
      inspection.cut(name, FILE_SIZE_MAX);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      problems.leave('region-size', { ino }, what, expected, status.size, `left: ${error.message}`);
    }
  }

  private restrict(inspection: RegionInspection, name: string | null, place: { ino?: number }, what: string, found: string, mode: number): void {
    const { problems } = this.context;
    const expected = `user ${String(this.owner)}, mode ${octal(mode)}`;
    if (!problems.fix('region-mode', place, what, expected, found, 'correct it')) return;
    try {
      inspection.restrict(name, this.owner, mode);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      problems.leave('region-mode', place, what, expected, found, `left: ${error.message}`);
    }
  }

  private mendNames(inspection: RegionInspection): void {
    const { status } = this;
    let done = 0;
    for (const name of inspection.names()) {
      if ((done++ & 0xff) === 0) this.context.progress(HOST_FILES_PASS, done, done);
      const { ino, generation } = parseRegionName(name) ?? { ino: 0, generation: 0 };
      if (this.owns(ino, generation)) continue;
      if (!inspection.status(name, status) || !status.isFile) continue;
      this.mendOrphan(inspection, name);
    }
  }

  private mendOrphan(inspection: RegionInspection, name: string): void {
    const { problems } = this.context;
    const { links, size } = this.status;
    const what = `host file ${inspection.path}/${name}`;
    const expected = 'an inode of this number and generation whose data it is';
    const remedy = links > 1 ? 'remove this name, it has another' : size === 0 ? 'remove it, it is empty' : `give it an inode in ${NAME}`;
    if (!problems.fix('region-orphan', {}, what, expected, 'none', remedy)) return;
    try {
      if (links > 1 || size === 0) inspection.remove(name);
      else this.adopt(inspection, name, size);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      problems.leave('region-orphan', {}, what, expected, error.message, 'left for another run');
    }
  }

  /** An inode for a host file, which gets its name by that. */
  private adopt(inspection: RegionInspection, name: string, size: number): void {
    const { core, directories } = this.place;
    if (this.status.uid !== this.owner || this.status.mode !== HOST_FILE_MODE) inspection.restrict(name, this.owner, HOST_FILE_MODE);
    const home = this.place.directory();
    if (size > FILE_SIZE_MAX) inspection.cut(name, FILE_SIZE_MAX);
    const entry = this.place.freeName(home, `#${name}`, () => false);
    const renamed = this.place.transaction(() => {
      const { view, bytes } = core.journal;
      const ino = core.inodes.allocate();
      const record = core.inodes.newRecord;
      const second = regionName(ino, view.getUint32(record + Inode.generation, true));
      view.setUint16(record + Inode.mode, FILE_MODE, true);
      view.setUint32(record + Inode.nlink, 1, true);
      // With the flag dax it stays where it is.
      view.setUint32(record + Inode.flags, InodeFlag.region | InodeFlag.dax, true);
      setU64(view, record + Inode.size, Math.min(size, FILE_SIZE_MAX));
      Tree.initRoot(view, bytes, record + Inode.body);
      this.place.stamp(record);
      directories.insert(core.inodes.edit(home), entry.bytes, 0, entry.bytes.length, ino, Type.regular);
      if (second !== name) inspection.link(name, second);
      return second !== name;
    });
    if (renamed) inspection.remove(name);
  }

  /** Inodes whose data is a host file; that of a removed file may be gone before it. */
  private *regionInodes(): Generator<Ino> {
    const { notes } = this.context;
    for (const ino of notes.numbers()) {
      if (notes.typeOf(ino) !== Type.regular || (notes.has(ino, Note.orphan) && !notes.has(ino, Note.named))) continue;
      if ((this.flags(asIno(ino)) & PLACED) === InodeFlag.region) yield asIno(ino);
    }
  }

  private hasRegions(): boolean {
    for (const ino of this.regionInodes()) return ino > 0;
    return false;
  }

  /** Whether a host file of this number and generation may be an inode's. */
  private owns(ino: number, generation: number): boolean {
    try {
      return (this.flags(asIno(ino)) & PLACED) !== 0 && this.generation(asIno(ino)) === generation;
    } catch (error) {
      if (error instanceof FsError && error.code === 'ESTALE') return false;
      throw error;
    }
  }

  private flags(ino: Ino): number {
    return this.field(ino, Inode.flags);
  }

  private generation(ino: Ino): number {
    return this.field(ino, Inode.generation);
  }

  private field(ino: Ino, offset: number): number {
    const { core } = this.place;
    core.journal.cache.beginOperation();
    return core.journal.view.getUint32(core.inodes.get(ino) + offset, true);
  }
}
