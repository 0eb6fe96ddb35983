import { FsError } from '../base/errno.js';
import { MIB, type Ino } from '../base/units.js';
import type { FileContent } from '../file/content.js';
import { seekContent } from '../file/reading.js';
import { FileType, Inode, InodeFlag } from '../format/layout.js';
import { setU64 } from '../format/numbers.js';
import { NO_REQUEST } from '../journal/log.js';
import type { Core } from '../space/core.js';
import { flagsOf } from './inode-flags.js';
import type { Reclaim } from './reclaim.js';
import { linksOf, sizeOf, typeOf } from './records.js';
import type { References } from './references.js';
import type { RegionFiles } from './region-files.js';

const STEP_BYTES = MIB;

interface Move {
  readonly toRegion: boolean;
  /** How far the contents are copied; −1: nothing was begun. */
  position: number;
  size: number;
}

/** Copies bytes of a file of the image to DRAM; returns how many there were. */
export type Load = (ino: Ino, offset: number, length: number, target: Uint8Array, targetOffset: number) => number;

/**
 * Moves the data of files whose DAX flag was changed between image and host file, when nobody has them open, in steps. While a file is moved it is on the orphan list, and its data
 * is where it was; the last step of copying is the transaction that turns the flag. Whatever disturbs a move, and a mount after a crash, has Reclaim remove what is worthless: the host
 * file before that transaction, the extents after it, or the other way round (doc/FORMAT.md, "Regions").
 */
export class Moves {
  private readonly queue = new Map<Ino, Move>();
  /** To be moved to the image when nobody holds them any more: a mapping of a host file outlives the open file, and keeps its inode held. */
  private readonly waiting = new Set<Ino>();
  private buffer: Uint8Array | undefined;

  constructor(
    private readonly core: Core,
    private readonly content: FileContent,
    private readonly regions: RegionFiles,
    private readonly reclaim: Reclaim,
    private readonly references: References,
    private readonly load: Load,
    private readonly log: (message: string) => void,
  ) {}

  get pending(): boolean {
    return this.queue.size > 0;
  }

  /** Nobody has the file open. True if it must be moved and waits for those who hold it. */
  consider(ino: Ino): boolean {
    if (this.queue.has(ino)) return false;
    const { view } = this.core.journal;
    const record = this.core.inodes.get(ino);
    if (typeOf(view, record) !== FileType.regular || linksOf(view, record) === 0) return false;
    const flags = flagsOf(view, record);
    const isRegion = this.regions.isRegion(record);
    // With dax=always and dax=never files with data stay where they are.
    if (this.regions.isDraft(record) || isRegion === this.regions.hasFlag(flags) || !this.regions.followsFlag) return false;
    if (isRegion && this.references.get(ino) > 0) {
      this.waiting.add(ino);
      return true;
    }
    if (!isRegion && (sizeOf(view, record) === 0 || this.regions.obstacle() !== null)) return false;
    this.queue.set(ino, { toRegion: !isRegion, position: -1, size: 0 });
    return false;
  }

  /** Nobody holds the inode. */
  released(ino: Ino): void {
    if (this.waiting.delete(ino)) this.consider(ino);
  }

  /** The file is opened, or changed: it stays where it is until it is closed again. */
  disturb(ino: Ino): void {
    const move = this.queue.get(ino);
    this.queue.delete(ino);
    if (move !== undefined && move.position >= 0) this.reclaim.add(ino);
  }

  /** It has lost its last name: Reclaim frees all of it. */
  dropped(ino: Ino): void {
    this.queue.delete(ino);
    this.waiting.delete(ino);
  }

  disturbAll(): void {
    for (const ino of [...this.queue.keys()]) this.disturb(ino);
  }

  /** A bounded part of one move. */
  step(): void {
    for (const [ino, move] of this.queue) {
      this.core.journal.cache.beginOperation();
      this.core.orphans.prepare();
      try {
        if (move.position < 0) this.begin(ino, move);
        else if (move.position < move.size) this.copy(ino, move);
        else this.end(ino, move);
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        this.log(`inode ${String(ino)} stays where it is: ${error.message}`);
        this.disturb(ino);
      }
      break;
    }
  }

  private begin(ino: Ino, move: Move): void {
    this.reclaim.finish(ino);
    move.size = move.toRegion ? sizeOf(this.core.journal.view, this.core.inodes.get(ino)) : this.regions.size(ino);
    this.transaction(ino, (record) => {
      this.core.orphans.add(ino);
      if (move.toRegion) this.regions.setFlags(record, flagsOf(this.core.journal.view, record) | InodeFlag.regionDraft);
      else setU64(this.core.journal.view, record + Inode.size, move.size);
    });
    move.position = 0;
    if (move.toRegion) this.regions.make(ino).prepare(move.size);
  }

  /** Holes stay holes. */
  private copy(ino: Ino, move: Move): void {
    const source = this.next(ino, move, move.position, true);
    if (source >= move.size) {
      move.position = move.size;
      return;
    }
    const length = Math.min(STEP_BYTES, this.next(ino, move, source, false) - source);
    this.buffer ??= new Uint8Array(STEP_BYTES);
    if (move.toRegion) {
      const count = this.load(ino, source, length, this.buffer, 0);
      this.regions.file(ino).write(source, this.buffer, 0, count);
    } else {
      const count = this.regions.file(ino).read(source, this.buffer, 0, length);
      this.content.write(ino, source, this.buffer, 0, count);
    }
    move.position = source + length;
  }

  /** Where data, or a hole, begins; the end of the file is both. */
  private next(ino: Ino, { toRegion, size }: Move, position: number, data: boolean): number {
    try {
      const found = toRegion ? seekContent(this.core, this.content.extents, ino, position, data) : this.regions.file(ino).seek(position, data);
      return Math.min(found, size);
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENXIO') return size;
      throw error;
    }
  }

  private end(ino: Ino, { toRegion, size }: Move): void {
    const { view } = this.core.journal;
    if (toRegion) this.regions.finishCopy(ino, size);
    this.transaction(ino, (record) => {
      const flags = flagsOf(view, record);
      if (!toRegion) this.regions.takeTimes(ino, record);
      this.regions.setFlags(record, toRegion ? (flags | InodeFlag.region) & ~InodeFlag.regionDraft : (flags | InodeFlag.regionDraft) & ~InodeFlag.region);
    });
    this.queue.delete(ino);
    this.reclaim.add(ino);
  }

  private transaction(ino: Ino, change: (record: number) => void): void {
    const { journal, inodes } = this.core;
    journal.begin(NO_REQUEST);
    try {
      change(inodes.edit(ino));
      journal.commit();
    } catch (error) {
      journal.abort();
      throw error;
    }
  }
}
