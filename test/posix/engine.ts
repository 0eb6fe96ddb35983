import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType } from '../../src/format/layout.js';
import { openVolume } from '../../src/fs/volume.js';
import { OverlayPmem } from '../../src/pmem/overlay.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import type { Executor } from './case.js';
import { type Context, type Descriptor, type Stream, textAt } from './engine-context.js';
import { attributeCommands } from './engine-attributes.js';
import { directoryCommands } from './engine-directories.js';
import { fileCommands } from './engine-files.js';
import { nameCommands } from './engine-names.js';
import { xattrCommands } from './engine-xattrs.js';
import { Walker } from './walk.js';

const commands = { ...nameCommands, ...fileCommands, ...attributeCommands, ...directoryCommands, ...xattrCommands };
const UMASK = 0o022;
const TICK_NANOSECONDS = 1_000_000;

/** Runs commands on the engine itself, over the simulated medium: what the kernel would ask it for. */
export class EngineExecutor implements Executor, Context {
  readonly volume: MemoryVolume;
  walker: Walker;
  readonly descriptors = new Map<string, Descriptor>();
  readonly streams = new Map<string, Stream>();
  readonly marks = new Map<string, string[]>();
  umask = UMASK;
  uid = 0;
  gid = 0;

  constructor(sizeBytes: number) {
    this.volume = new MemoryVolume({ sizeBytes });
    this.open(false);
    this.walker = new Walker(this.volume, MemoryVolume.root);
  }

  async begin(directory: string): Promise<void> {
    for (const { ino } of [...this.descriptors.values(), ...this.streams.values()]) this.volume.fs.release(ino, 1);
    this.descriptors.clear();
    this.streams.clear();
    this.umask = UMASK;
    const { root } = MemoryVolume;
    const made = this.volume.lookup(root, directory);
    const ino = made !== 0 ? made : this.volume.withName(directory, (name) => this.volume.fs.makeNode(root, name, FileType.directory | 0o777, this.volume.owner(0, 0), 0, 0));
    this.walker = new Walker(this.volume, ino);
  }

  async run(lines: readonly string[]): Promise<string[]> {
    return lines.map((line) => this.runLine(line));
  }

  async remount(readOnly: boolean): Promise<void> {
    await this.begin('remounted');
    this.open(readOnly);
  }

  /** What the verifier finds wrong on the medium; nothing, it is hoped. */
  verify(): string[] {
    this.volume.settle();
    this.volume.fs.flushTimes();
    return verifyVolume(new OverlayPmem(this.volume.pmem), { maxFindings: 10 }).findings.map((finding) => JSON.stringify(finding));
  }

  owner(): { uid: number; gid: number } {
    return { uid: this.uid, gid: this.gid };
  }

  /** Opens the volume as the daemon does, with access times. */
  private open(readOnly: boolean): void {
    const left = this.volume.pmem;
    this.volume.fs.close();
    this.volume.pmem = left.compact();
    this.volume.fs = openVolume(this.volume.pmem, { readOnly, accessTimes: { policy: 'relative', directories: true }, clock: this.volume.clock, log: (_level, message) => this.volume.log.push(message) });
  }

  private runLine(line: string): string {
    const words = line.replaceAll(/\{([^}]*)\*(\d+)\}/g, (_, text: string, count: string) => text.repeat(Number(count))).split(' ');
    this.uid = this.gid = 0;
    if (words[0] === 'as') {
      const [uid = '0', gid = uid] = textAt(words, 1).split(/[:,]/);
      this.uid = Number(uid);
      this.gid = Number(gid);
      words.splice(0, 2);
    }
    const [name = '', ...args] = words.map((word) => (word === "''" ? '' : word));
    const command = commands[name];
    if (command === undefined) throw new Error(`the engine has no command '${name}': ${line}`);
    this.volume.clock.advance(TICK_NANOSECONDS);
    try {
      return command(this, args);
    } catch (error) {
      if (error instanceof FsError) return error.code;
      throw new Error(`${line} failed`, { cause: error });
    }
  }

  hold(ino: Ino): Ino {
    this.volume.fs.hold(ino);
    return ino;
  }
}
