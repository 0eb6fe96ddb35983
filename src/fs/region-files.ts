import { FsError, fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { FileContent } from '../file/content.js';
import { FileType, IncompatFeature, Inode, InodeFlag } from '../format/layout.js';
import { getI64 } from '../format/numbers.js';
import { NO_REQUEST } from '../journal/log.js';
import { RegionAttributes, type RegionFile, type Regions, RegionTime } from '../region/regions.js';
import type { Core } from '../space/core.js';
import { flagsOf } from './inode-flags.js';
import { setTime, sizeOf, Time, typeOf } from './records.js';
import { type AttributeChange, type Attributes, Change, type Statistics } from './types.js';

/** Which files are DAX files: those with the flag, all, or none. */
export type DaxPolicy = 'inode' | 'always' | 'never';

export interface RegionOptions {
  /** Null: there is no region directory. */
  readonly regions: Regions | null;
  readonly policy: DaxPolicy;
}

/** Host files kept open at most. */
const OPEN_FILES_MAX = 256;
/** An open host file, and what was seen of its ctime. */
interface OpenRegion {
  readonly file: RegionFile;
  /** Seconds and nanoseconds: of the host file, and what was shown for it. */
  seen: readonly [number, number] | null;
  shown: readonly [number, number];
}

const PLACED = InodeFlag.region | InodeFlag.regionDraft;
const TIMES = Change.atime | Change.mtime | Change.atimeNow | Change.mtimeNow;

/**
 * Files whose data is a host file (doc/FORMAT.md, "Regions"). The host file's size and times are the truth: the kernel changes it without asking us. Its name is
 * made only while a flag of the inode says so, and removed before the last such flag goes: so a crash leaves no host file that nobody knows.
 */
export class RegionFiles {
  /** In the order of their last use. */
  private readonly open = new Map<Ino, OpenRegion>();
  private readonly attributes = new RegionAttributes();
  /** Why host files are not of use although there could be some: who serves them says so. */
  servedBy: () => string | null = () => null;

  constructor(
    private readonly core: Core,
    private readonly content: FileContent,
    private readonly options: RegionOptions,
    private readonly log: (message: string) => void,
  ) {}

  /** Why no file gets a region now, for people; null if DAX files do. */
  obstacle(): string | null {
    const { regions } = this.options;
    if (regions === null) return 'there is no region directory';
    if ((this.core.geometry.incompat & IncompatFeature.regions) === 0) return 'the volume was made without regions';
    return this.servedBy() ?? regions.obstacle();
  }

  /** Whether a file with these flags is to be a DAX file. */
  isWanted(flags: number): boolean {
    const { policy } = this.options;
    return policy === 'always' || (policy === 'inode' && (flags & InodeFlag.dax) !== 0);
  }

  hasFlag(flags: number): boolean {
    return (flags & InodeFlag.dax) !== 0;
  }

  /** Whether the flag of a file decides. */
  get followsFlag(): boolean {
    return this.options.policy === 'inode' && this.options.regions !== null;
  }

  /** Whether the data of a record's file is a host file, or will be one. */
  isRegion(record: number): boolean {
    return (flagsOf(this.view, record) & InodeFlag.region) !== 0;
  }

  /** New files, in the transaction that makes them: they begin as drafts. `record` is editable. */
  begin(record: number): void {
    if (typeOf(this.view, record) !== FileType.regular) return;
    const flags = flagsOf(this.view, record);
    if (this.isWanted(flags) && this.obstacle() === null) this.setFlags(record, flags | PLACED);
  }

  /**
   * A file that nobody has open is about to be opened, or filled: where its data lies is decided here, if it has none yet. Outside of a transaction, but not in a
   * read-only volume. ENOSPC of the host.
   */
  settle(ino: Ino): void {
    let flags = flagsOf(this.view, this.core.inodes.get(ino));
    if ((flags & PLACED) === InodeFlag.region) return;
    if ((flags & InodeFlag.region) === 0) {
      if (!this.isWanted(flags) || !this.isEmpty(ino) || this.obstacle() !== null) return;
      flags = this.change(ino, PLACED, 0);
    } else if (this.obstacle() !== null) {
      this.abandonDraft(ino);
      return;
    }
    this.establish(ino);
  }

  /** The open host file of a region. EIO if it is missing or can't be opened. */
  file(ino: Ino): RegionFile {
    const record = this.core.inodes.get(ino);
    const known = this.open.get(ino);
    if (known !== undefined) {
      this.open.delete(ino);
      this.open.set(ino, known);
      return known.file;
    }
    const { regions } = this.options;
    if (regions === null) return fail('EIO', `the data of inode ${String(ino)} is in the region directory, which is not there`);
    try {
      return this.keep(ino, regions.open(ino, this.generation(record)));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return fail('EIO', `the data of inode ${String(ino)} can't be had: ${error.message}`);
    }
  }

  /** A draft has no host file yet, and is empty. */
  isDraft(record: number): boolean {
    return (flagsOf(this.view, record) & PLACED) === PLACED;
  }

  /** Bytes of a region. */
  size(ino: Ino): number {
    if (this.isDraft(this.core.inodes.get(ino))) return 0;
    this.file(ino).attributes(this.attributes);
    return this.attributes.size;
  }

  /** Puts what the host file says over what the inode says. Without the host file the inode's remains: such a file can be seen and removed, but not read. */
  overlay(ino: Ino, to: Attributes, hostAccessTime: boolean): void {
    if ((to.flags & PLACED) !== InodeFlag.region) return;
    const from = this.attributes;
    try {
      this.file(ino).attributes(from);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.log(error.message);
      return;
    }
    to.size = from.size;
    to.blocks += from.blocks;
    to.mtimeSeconds = from.mtimeSeconds;
    to.mtimeNanoseconds = from.mtimeNanoseconds;
    if (hostAccessTime) {
      to.atimeSeconds = from.atimeSeconds;
      to.atimeNanoseconds = from.atimeNanoseconds;
    }
    this.showChangeTime(ino, to);
  }

  /**
   * The later of the two ctimes. The host's clock may lag behind ours by some milliseconds, so a change of the host file could go unseen behind one of the inode: what is
   * shown moves on whenever the host's does.
   */
  private showChangeTime(ino: Ino, to: Attributes): void {
    const entry = this.open.get(ino);
    const { ctimeSeconds, ctimeNanoseconds } = this.attributes;
    if (entry === undefined) return;
    let time: readonly [number, number] = [to.ctimeSeconds, to.ctimeNanoseconds];
    if (isLater([ctimeSeconds, ctimeNanoseconds], time)) time = [ctimeSeconds, ctimeNanoseconds];
    if (entry.seen !== null) {
      const moved = isLater([ctimeSeconds, ctimeNanoseconds], entry.seen);
      if (!isLater(time, entry.shown)) time = moved ? justAfter(entry.shown) : entry.shown;
    }
    entry.seen = [ctimeSeconds, ctimeNanoseconds];
    entry.shown = time;
    [to.ctimeSeconds, to.ctimeNanoseconds] = time;
  }

  /** What of a change of attributes is the host file's, after its inode was changed. */
  apply(ino: Ino, change: AttributeChange): void {
    const { mask } = change;
    if (this.isDraft(this.core.inodes.get(ino))) return;
    if ((mask & Change.size) !== 0) this.file(ino).resize(change.size);
    if ((mask & TIMES) === 0) return;
    const atime = (mask & Change.atimeNow) !== 0 ? RegionTime.now : (mask & Change.atime) !== 0 ? change.atimeNanoseconds : RegionTime.omit;
    const mtime = (mask & Change.mtimeNow) !== 0 ? RegionTime.now : (mask & Change.mtime) !== 0 ? change.mtimeNanoseconds : RegionTime.omit;
    this.file(ino).setTimes(change.atimeSeconds, atime, change.mtimeSeconds, mtime);
  }

  /** The flag noAtime comes or goes: until now the one who keeps the access time was the host, or the inode. `record` is editable. */
  handOverAccessTime(ino: Ino, record: number, toInode: boolean): void {
    if (!this.isRegion(record) || this.isDraft(record)) return;
    const file = this.file(ino);
    if (toInode) {
      file.attributes(this.attributes);
      setTime(this.view, record, Time.atime, this.attributes.atimeSeconds, this.attributes.atimeNanoseconds);
    } else {
      const { view } = this;
      file.setTimes(getI64(view, record + Inode.atimeSeconds), view.getUint32(record + Inode.atimeNanoseconds, true), 0, RegionTime.omit);
    }
  }

  /** An empty host file for an inode whose draft flag is on the medium. */
  make(ino: Ino): RegionFile {
    const { regions } = this.options;
    if (regions === null) return fail('EIO', 'there is no region directory');
    this.forget(ino);
    return this.keep(ino, regions.create(ino, this.generation(this.core.inodes.get(ino))));
  }

  /** All data of a file of the image is in its host file, which gets the size and the times; durable on return. */
  finishCopy(ino: Ino, size: number): void {
    const file = this.file(ino);
    const { view } = this;
    const record = this.core.inodes.get(ino);
    file.resize(size);
    file.setTimes(
      getI64(view, record + Inode.atimeSeconds),
      view.getUint32(record + Inode.atimeNanoseconds, true),
      getI64(view, record + Inode.mtimeSeconds),
      view.getUint32(record + Inode.mtimeNanoseconds, true),
    );
    file.sync();
  }

  /** An editable record gets the times of its host file. */
  takeTimes(ino: Ino, record: number): void {
    const from = this.attributes;
    this.file(ino).attributes(from);
    setTime(this.view, record, Time.atime, from.atimeSeconds, from.atimeNanoseconds);
    setTime(this.view, record, Time.mtime, from.mtimeSeconds, from.mtimeNanoseconds);
  }

  /** What a move began and did not end, in the running transaction: its host file, if that is worthless, is gone afterwards. `record` is editable. */
  clearDraft(ino: Ino, record: number): void {
    const flags = flagsOf(this.view, record);
    if ((flags & PLACED) !== InodeFlag.regionDraft) return;
    this.remove(ino, record);
    this.setFlags(record, flags & ~InodeFlag.regionDraft);
  }

  /** `record` is editable. */
  setFlags(record: number, flags: number): void {
    this.view.setUint32(record + Inode.flags, flags >>> 0, true);
  }

  /** The inode of this record is about to be freed: first goes its host file, if it may have one. EIO if that can't be: it must not be forgotten. */
  remove(ino: Ino, record: number): void {
    if ((flagsOf(this.view, record) & PLACED) === 0) return;
    this.forget(ino);
    const { regions } = this.options;
    if (regions === null) fail('EIO', `the host file of inode ${String(ino)} can't be removed: there is no region directory`);
    regions.remove(ino, this.generation(record));
  }

  close(): void {
    for (const { file } of this.open.values()) file.close();
    this.open.clear();
    this.options.regions?.close();
  }

  /** With `always`, new files go where the host has space: that is what there is, as long as it can be had. */
  addSpace(statistics: Statistics): void {
    const { regions, policy } = this.options;
    if (policy !== 'always' || regions === null || this.obstacle() !== null) return;
    const space = regions.space();
    if (space === null) return;
    statistics.blocks += Math.floor(space.total / statistics.blockSize);
    statistics.freeBlocks = Math.floor(space.free / statistics.blockSize);
    statistics.availableBlocks = Math.floor(space.available / statistics.blockSize);
  }

  // ---- inside ------------------------------------------------------------------------------------

  private get view(): DataView {
    return this.core.journal.view;
  }

  private generation(record: number): number {
    return this.view.getUint32(record + Inode.generation, true);
  }

  /** Makes the host file of a draft; the file is a region from then on. */
  private establish(ino: Ino): void {
    this.make(ino);
    this.change(ino, 0, InodeFlag.regionDraft);
  }

  /** What was to be a region becomes a file of the image. */
  private abandonDraft(ino: Ino): void {
    this.change(ino, 0, InodeFlag.region);
    const { regions } = this.options;
    try {
      if (regions === null) return;
      regions.remove(ino, this.generation(this.core.inodes.get(ino)));
    } catch (error) {
      // The flag stays: whoever frees the inode tries again.
      if (error instanceof FsError) return;
      throw error;
    }
    this.change(ino, 0, InodeFlag.regionDraft);
  }

  private isEmpty(ino: Ino): boolean {
    const { view } = this;
    const record = this.core.inodes.get(ino);
    if (sizeOf(view, record) !== 0 || (flagsOf(view, record) & InodeFlag.orphan) !== 0) return false;
    return !this.content.extents.last(record + Inode.body, ino);
  }

  /** One transaction; returns the flags. */
  private change(ino: Ino, set: number, clear: number): number {
    const { journal, inodes } = this.core;
    journal.begin(NO_REQUEST);
    try {
      const record = inodes.edit(ino);
      const flags = ((flagsOf(this.view, record) | set) & ~clear) >>> 0;
      this.setFlags(record, flags);
      journal.commit();
      return flags;
    } catch (error) {
      journal.abort();
      throw error;
    }
  }


  private keep(ino: Ino, file: RegionFile): RegionFile {
    if (this.open.size >= OPEN_FILES_MAX) {
      for (const [oldest, old] of this.open) {
        old.file.close();
        this.open.delete(oldest);
        break;
      }
    }
    this.open.set(ino, { file, seen: null, shown: [0, 0] });
    return file;
  }

  private forget(ino: Ino): void {
    this.open.get(ino)?.file.close();
    this.open.delete(ino);
  }
}

function isLater(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}

function justAfter([seconds, nanoseconds]: readonly [number, number]): readonly [number, number] {
  return nanoseconds + 1 < 1e9 ? [seconds, nanoseconds + 1] : [seconds + 1, 0];
}
