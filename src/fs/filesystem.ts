import { FsError, fail } from '../base/errno.js';
import { asByteAddr, type Ino } from '../base/units.js';
import { Directories, type HashFunction } from '../dir/directory.js';
import { FileAllocation } from '../file/allocation.js';
import { FileContent } from '../file/content.js';
import { FileMapping, FILL_BLOCKS_MAX } from '../file/mapping.js';
import { describeRange, seekContent } from '../file/reading.js';
import { stampAccess, stampChange } from '../file/times.js';
import { AllocateMode, BLOCK_SIZE, FILE_SIZE_MAX, FileType, INODES_PER_BLOCK, Inode, InodeFlag, NAME_MAX } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { DurabilityDomain } from '../pmem/pmem.js';
import type { Regions } from '../region/regions.js';
import type { Core } from '../space/core.js';
import { type AccessTimes, isAccessDue } from './access-times.js';
import { applyChange, checkTimes, needsResize } from './attributes.js';
import { changeFlags, flagsOf, isAppendOnly, requireChangeable, requireMutable, requireUnprotected } from './inode-flags.js';
import type { KeptTimes } from './kept-times.js';
import { LeaseTable } from './lease-table.js';
import { Leases } from './leases.js';
import { Moves } from './moves.js';
import { Names } from './names.js';
import type { FileSystemOperations } from './operations.js';
import { INLINE_SYMLINK_MAX, Reclaim } from './reclaim.js';
import { decodeAttributes, isDirectory, linksOf, requireDirectory, requireRegular, sizeOf, typeOf } from './records.js';
import { References } from './references.js';
import { type DaxPolicy, RegionFiles } from './region-files.js';
import { Xattrs } from './xattrs.js';
import {
  type AttributeChange,
  type Attributes,
  Caller,
  Change,
  CloseResult,
  type CloseResultNumber,
  type EntrySink,
  type MappedExtents,
  type Name,
  type OpenedFile,
  type Placement,
  Ranges,
  RANGES_HEADER_ROOM,
  SeekWhence,
  type Statistics,
} from './types.js';

const COOKIE_DOT = 1;
const COOKIE_DOT_DOT = 2;
const DOTS = Buffer.from('..');
const DIRECTORY_TYPE = FileType.directory >>> 12;
/** Steps of freeing that statfs waits for, so that what was removed just now shows as free. */
const STATISTICS_STEPS_MAX = 2000;
const COPY_BYTES = 1024 * 1024;
/** Changes of a file with which its capabilities go. */
const TAKES_CAPABILITY = Change.size | Change.uid | Change.gid | Change.killPrivileges;
/** Who owns a whiteout that nobody in particular asked for. */
const SUPERUSER = new Caller();

/** What one server of a mount leaves to the next: with errors=remount-ro, damage that one has met ends the changes of all. */
export interface KeptDamage {
  damaged: boolean;
}

export interface FileSystemOptions {
  readOnly: boolean;
  /** When reading changes access times. */
  accessTimes: AccessTimes;
  /** Damage that an operation meets ends all changes. */
  readOnlyOnDamage: boolean;
  /** Finish what a crash interrupted, in DRAM when the medium must not be written. */
  recover: boolean;
  log: (message: string) => void;
  /** Holds that a former server of this mount left; default: none. */
  references?: References | undefined;
  /** How often each file is open, as a former server of this mount left it; default: none is. */
  opens?: References | undefined;
  /** Host files that may be the data of DAX files; null: there are none. */
  regions: Regions | null;
  daxPolicy: DaxPolicy;
  /** Where pending timestamps are kept for a server that takes over; default: nowhere. */
  times?: KeptTimes | undefined;
  /** Leases that former servers of this mount gave; default: none. */
  leases?: LeaseTable | undefined;
  /** Default: nobody needs to know. */
  damage?: KeptDamage | undefined;
  /** For tests that make names collide. */
  hash?: HashFunction | undefined;
}

/**
 * The filesystem by inode number: POSIX semantics over files, directories and transactions. Every call is one operation:
 * checks first, then one transaction (few, for what is too large for one), and it is durable when it returns.
 */
export class FileSystem implements FileSystemOperations {
  private readonly directories: Directories;
  private readonly content: FileContent;
  private readonly allocation: FileAllocation;
  private readonly mapping: FileMapping;
  private readonly names: Names;
  private readonly xattrs: Xattrs;
  private readonly references: References;
  private readonly leased: Leases;
  private readonly reclaim: Reclaim;
  private readonly regions: RegionFiles;
  private readonly moves: Moves;
  /** How often each file is open; not counted by those who don't open files. */
  private readonly opens: References;
  /** Inodes without a name that are held. */
  private readonly unlinked = new Set<Ino>();
  /** For copyRange; made when it is first needed. */
  private copyBuffer: Uint8Array | undefined;
  private readonly copyRanges = new Ranges(512);
  /** While a sink takes entries it may ask for attributes; that is part of the same operation. */
  private reading = false;
  /** No change is taken: opened so, remounted, or after damage. */
  private readOnly: boolean;
  private readonly damage: KeptDamage;
  private accessTimes: AccessTimes;

  constructor(
    private readonly core: Core,
    private readonly options: FileSystemOptions,
  ) {
    this.damage = options.damage ?? { damaged: false };
    this.readOnly = options.readOnly || this.damage.damaged;
    this.accessTimes = options.accessTimes;
    this.references = options.references ?? new References();
    this.opens = options.opens ?? new References();
    this.directories = new Directories(core.journal, core.allocator, core.geometry.hashSeed, options.hash);
    this.content = new FileContent(core);
    this.allocation = new FileAllocation(core, this.content);
    this.xattrs = new Xattrs(core, options.hash);
    this.names = new Names(core, this.directories, this.content, this.xattrs);
    this.mapping = new FileMapping(core, this.content);
    this.leased = new Leases(core, this.names, options.leases ?? new LeaseTable());
    this.content.pinned = this.leased;
    this.regions = new RegionFiles(core, this.content, { regions: options.regions, policy: options.daxPolicy }, options.log);
    this.reclaim = new Reclaim(core, this.content, this.xattrs, this.references, this.leased, this.regions, (message) => {
      options.log(message);
      this.noteDamage(message);
    });
    this.moves = new Moves(core, this.content, this.regions, this.reclaim, this.references, (...what) => this.loadRange(...what), options.log);
    core.allocator.onShort = () => {
      this.reclaim.finishAll();
    };
    if (options.recover && !this.damage.damaged) this.allocation.resume(options.log);
    if (!options.readOnly) {
      this.adoptTimes();
      this.adoptUnlinked();
      if (this.damage.damaged) this.stopChanges(true);
      else this.reclaim.adopt();
    }
  }

  // ---- looking -----------------------------------------------------------------------------------

  lookup(parent: Ino, name: Name): Ino | 0 {
    this.begin();
    return this.names.lookup(parent, name);
  }

  getAttributes(ino: Ino, attributes: Attributes): void {
    this.begin();
    const record = this.core.inodes.get(ino);
    // It may still be there for a moment, being freed in steps.
    if (linksOf(this.view, record) === 0 && this.reclaim.isQueued(ino) && this.references.get(ino) === 0) fail('ESTALE', `inode ${String(ino)} was removed`);
    decodeAttributes(this.view, record, attributes);
    if (this.regions.isRegion(record)) this.regions.overlay(ino, attributes, this.showsHostAccess(record));
  }

  readlink(ino: Ino, bytes: Uint8Array, offset: number): number {
    this.begin();
    const record = this.core.inodes.get(ino);
    if (typeOf(this.view, record) !== FileType.symlink) fail('EINVAL', 'not a symbolic link');
    const length = sizeOf(this.view, record);
    if (length <= INLINE_SYMLINK_MAX) {
      bytes.set(this.core.journal.bytes.subarray(record + Inode.body, record + Inode.body + length), offset);
    } else {
      this.loadRange(ino, 0, length, bytes, offset);
    }
    this.noteAccess(ino);
    return length;
  }

  readDirectory(ino: Ino, cookie: number, sink: EntrySink, silent = false): void {
    this.begin();
    const record = this.core.inodes.get(ino);
    requireDirectory(this.view, record);
    this.reading = true;
    try {
      if (cookie < COOKIE_DOT && !sink.entry(DOTS, 0, 1, ino, DIRECTORY_TYPE, COOKIE_DOT)) return;
      const parent = this.names.parent(ino);
      if (cookie < COOKIE_DOT_DOT && !sink.entry(DOTS, 0, 2, parent, DIRECTORY_TYPE, COOKIE_DOT_DOT)) return;
      this.directories.forEach(record, Math.max(cookie, COOKIE_DOT_DOT), sink);
    } finally {
      this.reading = false;
    }
    if (!silent && this.accessTimes.directories) this.noteAccess(ino);
  }

  statistics(statistics: Statistics): void {
    this.begin();
    this.reclaim.retryPostponed();
    for (let step = 0; step < STATISTICS_STEPS_MAX && this.reclaim.pending; step += 1) this.reclaim.stepOne();
    const { state, geometry, allocator, inodes } = this.core;
    statistics.blockSize = BLOCK_SIZE;
    statistics.blocks = geometry.totalBlocks - geometry.groupStart - geometry.groups - 1;
    statistics.freeBlocks = state.freeBlocks;
    statistics.availableBlocks = Math.max(0, state.freeBlocks - allocator.reserved);
    statistics.freeFiles = inodes.freeInBlocks + statistics.availableBlocks * INODES_PER_BLOCK;
    statistics.files = state.usedInodes + statistics.freeFiles;
    statistics.nameMax = NAME_MAX;
    this.regions.addSpace(statistics);
  }

  // ---- names -------------------------------------------------------------------------------------

  makeNode(parent: Ino, name: Name, mode: number, caller: Caller, rdevMajor: number, rdevMinor: number): Ino {
    this.beginChange();
    this.names.checkMode(mode);
    this.names.checkNew(parent, name, this.core.inodes.blocksToAllocate() + this.names.blocksToInherit(parent));
    this.core.journal.begin();
    try {
      const ino = this.names.make(parent, name, mode, caller, rdevMajor, rdevMinor);
      this.regions.begin(this.core.inodes.newRecord);
      this.commit(ino);
      return ino;
    } catch (error) {
      return this.abort(error);
    }
  }

  symlink(parent: Ino, name: Name, target: Name, caller: Caller): Ino {
    this.beginChange();
    this.names.checkTarget(target);
    this.names.checkNew(parent, name, this.core.inodes.blocksToAllocate() + this.names.symlinkBlocks(target.length));
    this.core.journal.begin();
    try {
      const ino = this.names.symlink(parent, name, target, caller);
      this.commit(ino);
      return ino;
    } catch (error) {
      return this.abort(error);
    }
  }

  makeTemporary(parent: Ino, mode: number, caller: Caller): Ino {
    this.beginChange();
    this.names.checkTemporary(parent);
    this.core.allocator.require(this.core.inodes.blocksToAllocate() + this.names.blocksToInherit(parent));
    this.core.journal.begin();
    try {
      const ino = this.names.makeTemporary(parent, mode, caller);
      this.regions.begin(this.core.inodes.newRecord);
      this.commit(ino);
      this.unlinked.add(ino);
      return ino;
    } catch (error) {
      return this.abort(error);
    }
  }

  link(ino: Ino, newParent: Ino, newName: Name): void {
    this.beginChange();
    this.names.checkLink(ino, newParent, newName);
    this.moves.disturb(ino);
    this.reclaim.finish(ino);
    this.core.journal.begin();
    try {
      this.names.link(ino, newParent, newName);
      this.commit(ino);
      this.unlinked.delete(ino);
    } catch (error) {
      this.abort(error);
    }
  }

  unlink(parent: Ino, name: Name): void {
    this.beginChange();
    this.core.journal.begin();
    try {
      this.names.unlink(parent, name);
      this.commit(0);
    } catch (error) {
      this.abort(error);
    }
  }

  rmdir(parent: Ino, name: Name): void {
    this.beginChange();
    this.core.journal.begin();
    try {
      this.names.rmdir(parent, name);
      this.commit(0);
    } catch (error) {
      this.abort(error);
    }
  }

  rename(parent: Ino, name: Name, newParent: Ino, newName: Name, flags: number, caller = SUPERUSER): void {
    this.beginChange();
    if (this.names.checkRename(parent, name, newParent, newName, flags)) return;
    this.core.journal.begin();
    try {
      this.names.rename(parent, name, newParent, newName, flags, caller);
      this.commit(0);
    } catch (error) {
      this.abort(error);
    }
  }

  // ---- attributes and contents ---------------------------------------------------------------------

  setAttributes(ino: Ino, change: AttributeChange): void {
    this.beginChange();
    checkTimes(change);
    requireChangeable(this.view, this.core.inodes.get(ino), change);
    if (needsResize(change)) this.checkResize(ino, change.size);
    const region = this.regions.isRegion(this.core.inodes.get(ino));
    if (region && needsResize(change)) this.regions.file(ino).prepare(change.size);
    this.core.journal.begin();
    try {
      const record = this.core.inodes.edit(ino);
      const rest = !region && needsResize(change) && this.content.resize(record, ino, change.size);
      if (region && needsResize(change)) setU64(this.view, record + Inode.size, change.size);
      applyChange(this.view, record, change, this.core.clock);
      if ((change.mask & Change.mode) !== 0) this.xattrs.modeChanged(record);
      if ((change.mask & TAKES_CAPABILITY) !== 0 && !isDirectory(this.view, record)) this.xattrs.removeCapability(record);
      if (rest && !this.core.orphans.has(ino)) this.core.orphans.add(ino);
      this.commit(0);
      if (rest) this.reclaim.add(ino);
      // What a crash may leave out: the bits that a change of the size takes are gone already.
      if (region) this.regions.apply(ino, change);
    } catch (error) {
      this.abort(error);
    }
  }

  setFlags(ino: Ino, flags: number, project: number): void {
    this.beginChange();
    this.core.journal.begin();
    try {
      const record = this.core.inodes.edit(ino);
      const before = flagsOf(this.view, record);
      changeFlags(this.view, record, flags, project);
      if (((before ^ flags) & InodeFlag.noAtime) !== 0) this.regions.handOverAccessTime(ino, record, (flags & InodeFlag.noAtime) !== 0);
      stampChange(this.view, record, this.core.clock, false);
      this.commit(0);
    } catch (error) {
      this.abort(error);
    }
  }

  checkOpen(ino: Ino, appending: boolean): void {
    this.begin();
    const record = this.core.inodes.get(ino);
    if (appending) requireMutable(this.view, record);
    else requireUnprotected(this.view, record);
  }

  read(ino: Ino, offset: number, length: number, ranges: Ranges, silent = false): number {
    this.begin();
    const record = this.core.inodes.get(ino);
    requireRegular(this.view, record);
    ranges.inMemory = false;
    if (this.regions.isRegion(record)) return this.readRegion(ino, offset, length, ranges);
    const bytes = describeRange(this.core, this.content.extents, ino, offset, length, ranges);
    if (!silent) this.noteAccess(ino);
    return bytes;
  }

  populate(ino: Ino, offset: number, length: number): void {
    const record = this.core.inodes.get(ino);
    if (this.readOnly || typeOf(this.view, record) !== FileType.regular || this.regions.isRegion(record)) return;
    const flags = flagsOf(this.view, record);
    if ((flags & InodeFlag.sync) === 0 && !this.regions.isWanted(flags)) return;
    const end = Math.min(offset + length, sizeOf(this.view, record));
    if (!(offset < end)) return;
    this.beginChange();
    this.moves.disturb(ino);
    this.reclaim.finish(ino);
    this.content.populate(ino, offset, end);
  }

  write(ino: Ino, offset: number, source: Uint8Array, sourceOffset: number, length: number, mapped = false): number {
    this.beginChange();
    const record = this.core.inodes.get(ino);
    requireRegular(this.view, record);
    if (!mapped) requireMutable(this.view, record);
    this.requireAppending(ino, record, offset);
    if (length === 0) return 0;
    const count = Math.min(length, FILE_SIZE_MAX - offset);
    if (!(count > 0)) fail('EFBIG', 'a file has at most 2^53 - 1 bytes');
    this.moves.disturb(ino);
    this.reclaim.finish(ino);
    this.dropCapability(ino);
    this.settleUnopened(ino);
    if (this.regions.isRegion(this.core.inodes.get(ino))) this.regions.file(ino).write(offset, source, sourceOffset, count);
    else if (!this.content.write(ino, offset, source, sourceOffset, count)) this.notePendingChange(ino);
    return count;
  }

  append(ino: Ino, source: Uint8Array, sourceOffset: number, length: number): number {
    const offset = this.sizeOf(ino, this.core.inodes.get(ino));
    this.write(ino, offset, source, sourceOffset, length);
    return offset;
  }

  allocate(ino: Ino, mode: number, offset: number, length: number): void {
    this.beginChange();
    this.allocation.check(mode, offset, length);
    const record = this.core.inodes.get(ino);
    if (typeOf(this.view, record) === FileType.directory) fail('EISDIR', 'is a directory');
    if (typeOf(this.view, record) !== FileType.regular) fail('ENODEV', 'not a regular file');
    if ((mode & ~AllocateMode.keepSize) === 0) requireMutable(this.view, record);
    else requireUnprotected(this.view, record);
    this.content.checkEnd(offset + length);
    this.moves.disturb(ino);
    this.reclaim.finish(ino);
    this.dropCapability(ino);
    this.settleUnopened(ino);
    if (this.regions.isRegion(this.core.inodes.get(ino))) this.regions.file(ino).allocate(mode, offset, length);
    else this.allocation.run(ino, mode, offset, length);
  }

  seek(ino: Ino, offset: number, whence: number): number {
    this.begin();
    requireRegular(this.view, this.core.inodes.get(ino));
    const region = this.regions.isRegion(this.core.inodes.get(ino));
    if (whence !== SeekWhence.data && whence !== SeekWhence.hole) fail('EINVAL', 'lseek knows SEEK_DATA and SEEK_HOLE here');
    if (region) {
      if (offset >= this.sizeOf(ino, this.core.inodes.get(ino))) fail('ENXIO', 'beyond the end');
      return this.regions.file(ino).seek(offset, whence === SeekWhence.data);
    }
    return seekContent(this.core, this.content.extents, ino, offset, whence === SeekWhence.data);
  }

  copyRange(source: Ino, sourceOffset: number, target: Ino, targetOffset: number, length: number): number {
    this.beginChange();
    const record = this.core.inodes.get(source);
    requireRegular(this.view, record);
    const targetRecord = this.core.inodes.get(target);
    requireRegular(this.view, targetRecord);
    requireMutable(this.view, targetRecord);
    this.requireAppending(target, targetRecord, targetOffset);
    const overlap = source === target && sourceOffset < targetOffset + length && targetOffset < sourceOffset + length;
    if (overlap) fail('EINVAL', 'the ranges overlap');
    const most = Math.min(length, COPY_BYTES, this.sizeOf(source, record) - sourceOffset);
    if (most <= 0) return 0;
    this.copyBuffer ??= new Uint8Array(COPY_BYTES);
    const copied = this.loadRange(source, sourceOffset, most, this.copyBuffer, 0);
    return this.write(target, targetOffset, this.copyBuffer, 0, copied);
  }

  sync(ino: Ino): void {
    this.begin();
    if (this.readOnly) return;
    const record = this.core.inodes.get(ino);
    if (this.regions.isRegion(record) && !this.regions.isDraft(record)) this.regions.file(ino).sync();
    if (this.core.inodes.hasPendingTimes(ino)) this.core.journal.flushPending();
    // Every acknowledged change is durable already; this makes the last transaction's blocks so in place.
    this.core.pmem.fence();
  }

  // ---- mapping straight from the medium ------------------------------------------------------------

  lease(ino: Ino, holder: number, writable: boolean): void {
    this.beginChange();
    const record = this.core.inodes.get(ino);
    requireRegular(this.view, record);
    if (writable) requireUnprotected(this.view, record);
    // What a truncate left past the end goes first: from now on it would have to be kept.
    this.reclaim.finish(ino);
    this.leased.take(ino, holder, writable);
    this.references.mark(ino);
  }

  unlease(holder: number): boolean {
    this.begin();
    const ended = this.leased.end(holder);
    if (ended === undefined) return false;
    const { ino, writable, freeable } = ended;
    // Nobody told of the stores: the file counts as changed when the mapping ends.
    if (writable && !this.readOnly) this.notePendingChange(ino);
    if (freeable !== 0) this.reclaim.add(freeable);
    if (!this.leased.isPinned(ino) && this.references.get(ino) === 0 && this.unlinked.delete(ino)) this.reclaim.add(ino);
    return true;
  }

  hasLease(holder: number): boolean {
    return this.leased.has(holder);
  }

  isLeased(ino: Ino): boolean {
    return this.leased.isPinned(ino);
  }

  wasLeased(ino: Ino): boolean {
    return this.references.isMarked(ino);
  }

  forgetLeased(ino: Ino): void {
    this.references.unmark(ino);
  }

  leases(): Iterable<readonly [number, Ino]> {
    return this.leased.holders();
  }

  mapRange(ino: Ino, offset: number, length: number, fill: boolean, extents: MappedExtents): number {
    if (fill) this.beginChange();
    else this.begin();
    const record = this.core.inodes.get(ino);
    requireRegular(this.view, record);
    if (this.regions.isRegion(record)) fail('ENOTTY', 'its data is not in the image but in a file of its own');
    const aligned = offset >= 0 && offset % BLOCK_SIZE === 0 && length > 0 && length % BLOCK_SIZE === 0;
    if (!aligned) fail('EINVAL', 'a mapping has whole pages');
    if (fill) {
      if (length > FILL_BLOCKS_MAX * BLOCK_SIZE) fail('EINVAL', 'at most 2 MiB are filled at once');
      this.reclaim.finish(ino);
      this.mapping.fill(ino, offset, length);
    }
    return this.mapping.describe(ino, offset, length, extents);
  }

  // ---- extended attributes -------------------------------------------------------------------------

  setXattr(ino: Ino, name: Name, value: Uint8Array, valueOffset: number, length: number, flags: number): void {
    this.beginChange();
    if (!this.xattrs.prepareSet(ino, name, value, valueOffset, length, flags)) return;
    this.core.journal.begin();
    try {
      this.xattrs.set(ino, name, value, valueOffset, length, flags);
      this.commit(0);
    } catch (error) {
      this.abort(error);
    }
  }

  getXattr(ino: Ino, name: Name, bytes: Uint8Array, offset: number, size: number): number {
    this.begin();
    return this.xattrs.get(ino, name, bytes, offset, size);
  }

  listXattr(ino: Ino, bytes: Uint8Array, offset: number, size: number): number {
    this.begin();
    return this.xattrs.list(ino, bytes, offset, size);
  }

  removeXattr(ino: Ino, name: Name): void {
    this.beginChange();
    this.core.journal.begin();
    try {
      this.xattrs.remove(ino, name);
      this.commit(0);
    } catch (error) {
      this.abort(error);
    }
  }

  // ---- open files ----------------------------------------------------------------------------------

  openFile(ino: Ino, opened: OpenedFile): void {
    this.begin();
    opened.descriptor = -1;
    opened.direct = false;
    let record = this.core.inodes.get(ino);
    requireRegular(this.view, record);
    this.moves.disturb(ino);
    if (!this.readOnly) this.settleUnopened(ino);
    record = this.core.inodes.get(ino);
    const flags = flagsOf(this.view, record);
    if (this.regions.isRegion(record) && !this.regions.isDraft(record)) {
      const { descriptor } = this.regions.file(ino);
      // What the flags forbid is refused here, which needs the requests.
      if ((flags & (InodeFlag.appendOnly | InodeFlag.immutable)) === 0) opened.descriptor = descriptor;
      opened.direct = this.options.daxPolicy !== 'never';
    } else {
      opened.direct = this.regions.isWanted(flags);
    }
    opened.first = this.opens.get(ino) === 0;
    this.opens.add(ino);
  }

  closeFile(ino: Ino): CloseResultNumber {
    if (this.opens.remove(ino, 1) > 0) return CloseResult.open;
    if (this.readOnly) return CloseResult.closed;
    this.begin();
    return this.moves.consider(ino) ? CloseResult.held : CloseResult.closed;
  }

  isOpen(ino: Ino): boolean {
    return this.opens.get(ino) > 0;
  }

  placementOf(ino: Ino): Placement {
    this.begin();
    const record = this.core.inodes.get(ino);
    const flags = flagsOf(this.view, record);
    return { isRegion: this.regions.isRegion(record), isWanted: this.regions.isWanted(flags), obstacle: this.regions.obstacle() };
  }

  regionDomain(ino: Ino): DurabilityDomain | null {
    this.begin();
    const record = this.core.inodes.get(ino);
    return !this.regions.isRegion(record) || this.regions.isDraft(record) ? null : this.regions.file(ino).domain;
  }

  serveRegions(obstacle: () => string | null): void {
    this.regions.servedBy = obstacle;
  }

  // ---- life of inodes ------------------------------------------------------------------------------

  hold(ino: Ino): void {
    this.references.add(ino);
  }

  release(ino: Ino, count: number): void {
    if (this.references.remove(ino, count) > 0 || this.leased.isPinned(ino)) return;
    if (this.unlinked.delete(ino)) this.reclaim.add(ino);
    else if (!this.readOnly) this.moves.released(ino);
  }

  flushTimes(): void {
    if (this.readOnly) return;
    this.begin();
    this.core.journal.flushPending();
  }

  get hasPendingTimes(): boolean {
    return this.core.journal.hasPending;
  }

  backgroundStep(): boolean {
    if (this.reclaim.pending) return this.reclaim.stepOne() || this.moves.pending;
    if (this.readOnly || !this.moves.pending) return false;
    this.moves.step();
    return this.moves.pending || this.reclaim.pending;
  }

  setRequest(idLow: number, idHigh: number, kind: number): void {
    const { request } = this.core.journal;
    request.idLow = idLow;
    request.idHigh = idHigh;
    request.kind = kind;
  }

  // ---- read-only and back --------------------------------------------------------------------------

  setReadOnly(readOnly: boolean): void {
    if (readOnly === this.readOnly) return;
    if (!readOnly && this.options.readOnly) fail('EROFS', 'the volume was opened read-only: unmount it and mount it again');
    if (!readOnly && this.damage.damaged) fail('EROFS', 'the volume is damaged: unmount it and run fsck.nvmfs');
    if (readOnly) {
      this.flushTimes();
      this.core.pmem.fence();
    }
    this.stopChanges(readOnly);
  }

  setAccessTimes(times: AccessTimes): void {
    this.accessTimes = times;
  }

  noteDamage(message: string): void {
    if (!this.options.readOnlyOnDamage || this.readOnly) return;
    this.damage.damaged = true;
    // Pending timestamps stay where they are, in DRAM: the next mount shows the older ones.
    this.stopChanges(true);
    this.options.log(`the volume is read-only from now on (errors=remount-ro): ${message}; unmount it and run fsck.nvmfs`);
  }

  private stopChanges(stop: boolean): void {
    this.readOnly = stop;
    this.core.journal.readOnly = stop;
    this.reclaim.paused = stop;
  }

  close(): void {
    if (!this.readOnly) {
      this.core.journal.request.clear();
      this.moves.disturbAll();
      this.reclaim.finishAll();
      this.flushTimes();
      this.core.pmem.fence();
    }
    this.regions.close();
    this.core.pmem.close();
  }

  // ---- inside --------------------------------------------------------------------------------------

  private get view(): DataView {
    return this.core.journal.view;
  }

  private begin(): void {
    if (!this.reading) this.core.journal.cache.beginOperation();
  }

  private beginChange(): void {
    if (this.readOnly) fail('EROFS', 'the volume is mounted read-only');
    this.begin();
    this.core.orphans.prepare();
    this.names.dropped.length = 0;
  }

  private commit(result: Ino | 0): void {
    this.core.journal.request.result = result;
    this.core.journal.commit();
    for (const ino of this.names.dropped) {
      this.moves.dropped(ino);
      if (this.references.get(ino) > 0) this.unlinked.add(ino);
      else this.reclaim.add(ino);
    }
  }

  private abort(error: unknown): never {
    // What follows a commit, the first step of freeing, is no longer part of the transaction.
    if (this.core.journal.inTransaction) this.core.journal.abort();
    throw error;
  }

  /** Whoever changes a program takes its capabilities, before he does. */
  private dropCapability(ino: Ino): void {
    if (!this.xattrs.hasCapability(this.core.inodes.get(ino))) return;
    this.core.journal.begin();
    try {
      const record = this.core.inodes.edit(ino);
      this.xattrs.removeCapability(record);
      stampChange(this.view, record, this.core.clock, false);
      this.core.journal.commit();
    } catch (error) {
      this.abort(error);
    }
  }

  /** Where the data of a file that nobody has open lies may have to be decided before it is filled. */
  private settleUnopened(ino: Ino): void {
    const record = this.core.inodes.get(ino);
    if (this.regions.isDraft(record) || (this.regions.isWanted(flagsOf(this.view, record)) && this.opens.get(ino) === 0)) this.regions.settle(ino);
  }

  /** Bytes of a file. */
  private sizeOf(ino: Ino, record: number): number {
    return this.regions.isRegion(record) ? this.regions.size(ino) : sizeOf(this.view, record);
  }

  /** EPERM for a write from `offset` on before the end of what is append-only. */
  private requireAppending(ino: Ino, record: number, offset: number): void {
    if (isAppendOnly(this.view, record) && offset < this.sizeOf(ino, record)) fail('EPERM', 'it is append-only');
  }

  /** Whether the host keeps the access time of a region, as it does whatever our mount says. */
  private showsHostAccess(record: number): boolean {
    return this.accessTimes.policy !== 'never' && (flagsOf(this.view, record) & InodeFlag.noAtime) === 0;
  }

  private readRegion(ino: Ino, offset: number, length: number, ranges: Ranges): number {
    ranges.count = 0;
    ranges.inMemory = true;
    if (this.regions.isDraft(this.core.inodes.get(ino)) || offset > FILE_SIZE_MAX) return 0;
    return this.regions.file(ino).read(offset, ranges.reserve(length), RANGES_HEADER_ROOM, length);
  }

  private checkResize(ino: Ino, size: number): void {
    const record = this.core.inodes.get(ino);
    requireRegular(this.view, record);
    if (!(size <= Number.MAX_SAFE_INTEGER)) fail('EFBIG', 'a file has at most 2^53 - 1 bytes');
    const shrinks = size < sizeOf(this.view, record);
    this.moves.disturb(ino);
    this.reclaim.finish(ino);
    if (shrinks) this.leased.prepare(ino);
    if (size > 0) this.settleUnopened(ino);
  }

  /** An overwrite changed the contents: the times follow lazily. */
  private notePendingChange(ino: Ino): void {
    const record = this.core.inodes.editPending(ino);
    stampChange(this.view, record, this.core.clock, true);
    this.options.times?.note(ino, this.view, record);
    if (this.core.journal.pendingFull) this.core.journal.flushPending();
  }

  /** Something was read: the access time follows as the mount and the inode say. */
  private noteAccess(ino: Ino): void {
    const { policy } = this.accessTimes;
    if (policy === 'never' || this.readOnly) return;
    const { view } = this;
    const record = this.core.inodes.get(ino);
    if (linksOf(view, record) === 0 || (flagsOf(view, record) & InodeFlag.noAtime) !== 0) return;
    if (policy === 'relative' && !isAccessDue(view, record, this.core.clock)) return;
    const pending = this.core.inodes.editPending(ino);
    stampAccess(view, pending, this.core.clock);
    this.options.times?.note(ino, view, pending);
    if (this.core.journal.pendingFull) this.core.journal.flushPending();
  }

  /** Timestamps that a former server of this mount had shown and not written yet. */
  private adoptTimes(): void {
    const { times } = this.options;
    if (times === undefined) return;
    const { journal, inodes } = this.core;
    journal.onTimesWritten = (base) => {
      times.written(getU64(this.view, base + Inode.ino) as Ino);
    };
    for (const ino of times.left()) {
      journal.cache.beginOperation();
      try {
        times.apply(ino, this.view, inodes.editPending(ino));
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        times.forget(ino);
      }
    }
  }

  /** Inodes without a name that a former server's users still hold. */
  private adoptUnlinked(): void {
    for (const ino of this.core.orphans.list()) {
      if (this.references.get(ino) === 0) continue;
      this.begin();
      if (linksOf(this.view, this.core.inodes.get(ino)) === 0) this.unlinked.add(ino);
    }
  }

  /** Copies a range of a file into DRAM; returns how many bytes there were. */
  private loadRange(ino: Ino, offset: number, length: number, target: Uint8Array, targetOffset: number): number {
    const record = this.core.inodes.get(ino);
    if (this.regions.isRegion(record)) return this.regions.isDraft(record) ? 0 : this.regions.file(ino).read(offset, target, targetOffset, length);
    let done = 0;
    while (done < length) {
      const bytes = describeRange(this.core, this.content.extents, ino, offset + done, length - done, this.copyRanges);
      if (bytes === 0) break;
      let at = targetOffset + done;
      for (let index = 0; index < this.copyRanges.count; index += 1) {
        const address = this.copyRanges.addresses[index] as number;
        const count = this.copyRanges.lengths[index] as number;
        if (address < 0) target.fill(0, at, at + count);
        else this.core.pmem.load(asByteAddr(address), target, at, count);
        at += count;
      }
      done += bytes;
    }
    return done;
  }
}
