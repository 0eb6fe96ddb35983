import { fail } from '../base/errno.js';
import { asByteAddr, type Ino } from '../base/units.js';
import { BLOCK_SIZE, CHUNK_BLOCKS, FILE_SIZE_MAX, Inode, TreeRoot } from '../format/layout.js';
import { addU64, getU64, setU64 } from '../format/numbers.js';
import type { Core } from '../space/core.js';
import { stampChange } from './times.js';
import { ExtentMap } from './extents.js';
import { NOTHING_PINNED, type PinnedFiles } from './pinned.js';

/** Extents that one transaction adds, changes or frees at most: bounds the blocks it touches. */
export const EXTENTS_PER_STEP = 16;
/** A write of at least this many blocks at a 2 MiB boundary of the file starts on one of the medium. */
const ALIGN_FROM_BLOCKS = 128;
const ZEROS = new Uint8Array(64 * BLOCK_SIZE);

/**
 * The bytes of regular files (and of long symbolic links): reading, writing and resizing by extents.
 *
 * Invariants kept here: new data is stored before the transaction that makes it reachable commits; no byte of a block is readable that its file did not
 * write; bytes past the end of the file in its last block are undefined and are zeroed before the file grows over them;
 * blocks past the end are unwritten.
 */
export class FileContent {
  readonly extents: ExtentMap;
  /** What programs have mapped. */
  pinned: PinnedFiles = NOTHING_PINNED;

  constructor(private readonly core: Core) {
    this.extents = new ExtentMap(core.journal, core.allocator, core.geometry);
  }

  /** EFBIG for what would end beyond the largest file. */
  checkEnd(end: number): void {
    if (!(end <= FILE_SIZE_MAX)) fail('EFBIG', 'a file has at most 2^53 - 1 bytes');
  }

  /** Writes the whole range, whose end was checked; the file's times are the caller's business when no transaction was needed (false is returned). */
  write(ino: Ino, offset: number, source: Uint8Array, sourceOffset: number, length: number): boolean {
    const end = offset + length;
    const record = this.core.inodes.get(ino);
    const root = record + Inode.body;
    const size = getU64(this.core.journal.view, record + Inode.size);
    if (end <= size && this.isWritten(root, ino, offset, end)) {
      this.overwrite(root, ino, offset, end, source, sourceOffset);
      this.core.pmem.fence();
      return false;
    }
    this.writeSteps(ino, offset, end, source, sourceOffset, true);
    return true;
  }

  /** Gives every block of [offset, end), which is inside the file, written space: zero bytes where there was none. What the file shows stays, and so do its times. */
  populate(ino: Ino, offset: number, end: number): void {
    const { extents, core } = this;
    const last = Math.ceil(end / BLOCK_SIZE);
    for (let fileBlock = Math.floor(offset / BLOCK_SIZE); fileBlock < last; ) {
      core.journal.cache.beginOperation();
      const record = core.inodes.get(ino);
      const size = getU64(core.journal.view, record + Inode.size);
      const ready = extents.lookup(record + Inode.body, ino, fileBlock) && !extents.unwritten;
      const next = Math.min(last, extents.end, ready ? last : fileBlock + ZEROS.length / BLOCK_SIZE);
      if (!ready) this.writeSteps(ino, fileBlock * BLOCK_SIZE, Math.min(next * BLOCK_SIZE, size), ZEROS, 0, false);
      fileBlock = next;
    }
  }

  /**
   * Changes the size, in the running transaction; `record` is editable. Growing reads as zero bytes. Shrinking cuts extents off; true when
   * some are left past the end: the inode must go on the orphan list and `cutStep` be called until it is done.
   */
  resize(record: number, ino: Ino, size: number): boolean {
    const { journal } = this.core;
    const before = getU64(journal.view, record + Inode.size);
    if (size > before) this.zeroTail(record, ino, before);
    setU64(journal.view, record + Inode.size, size);
    return size < before && !this.cut(record, ino, Math.ceil(size / BLOCK_SIZE));
  }

  /**
   * Frees up to EXTENTS_PER_STEP extents (half as many of a pinned file: its keeper's tree changes, too) from the end of the file down to file
   * block `from`, in the running transaction; `record` is editable. True when none is left.
   */
  cut(record: number, ino: Ino, from: number): boolean {
    const { extents } = this;
    const root = record + Inode.body;
    const nodes = this.nodes(root);
    let freed = 0;
    let done = false;
    const steps = this.pinned.isPinned(ino) ? EXTENTS_PER_STEP / 2 : EXTENTS_PER_STEP;
    for (let step = 0; step < steps; step += 1) {
      if (!extents.last(root, ino) || extents.end <= from) {
        done = true;
        break;
      }
      const start = Math.max(from, extents.start);
      const block = extents.block + (start - extents.start);
      const count = extents.end - start;
      const { unwritten } = extents;
      extents.cut(root, ino, start, extents.end);
      this.giveBack(ino, block, count, unwritten);
      freed += count;
    }
    if (!done) done = !extents.last(root, ino) || extents.end <= from;
    this.countBlocks(record, nodes, -freed);
    return done;
  }

  /**
   * Blocks that have left a file are free, or with its keeper if a program may still have them mapped: unwritten ones never were. In the
   * running transaction. The keeper is a file without a name or size whose blocks are numbered as on the medium, so they never overlap.
   */
  giveBack(ino: Ino, block: number, count: number, unwritten: boolean): void {
    const { core, extents } = this;
    const keeper = unwritten ? 0 : this.pinned.keeperOf(ino);
    if (keeper === 0) {
      extents.free(block, count);
      return;
    }
    const record = core.inodes.edit(keeper);
    const nodes = this.nodes(record + Inode.body);
    extents.insert(record + Inode.body, keeper, block, block, count, true);
    this.countBlocks(record, nodes, count);
  }

  /** Gives a new inode (an empty tree root, size set) its whole content of at most one block, in the running transaction. */
  fillNew(record: number, ino: Ino, source: Uint8Array, sourceOffset: number, length: number): void {
    const { core } = this;
    const root = record + Inode.body;
    const nodes = this.nodes(root);
    const block = core.allocator.allocate(0, 1, 1);
    this.fillBlocks(block * BLOCK_SIZE, 0, length, source, sourceOffset);
    this.extents.insert(root, ino, 0, block, 1, false);
    this.countBlocks(record, nodes, 1);
    core.journal.dataWasStored();
  }

  /** Bytes of the last block past the end become zero, because the file is about to grow over them. In the running transaction. */
  zeroTail(record: number, ino: Ino, size: number): void {
    const inBlock = size % BLOCK_SIZE;
    if (inBlock === 0) return;
    const fileBlock = Math.floor(size / BLOCK_SIZE);
    const { extents, core } = this;
    if (!extents.lookup(record + Inode.body, ino, fileBlock) || extents.unwritten) return;
    const address = (extents.block + fileBlock - extents.start) * BLOCK_SIZE + inBlock;
    core.pmem.zero(asByteAddr(address), BLOCK_SIZE - inBlock);
    core.journal.dataWasStored();
  }

  /** Tree nodes that adding `blocks` data blocks may need in the worst case: each an extent of its own. */
  nodesForRange(ino: Ino, blocks: number): number {
    const depth = this.core.journal.view.getUint16(this.core.inodes.get(ino) + Inode.body + TreeRoot.depth, true);
    return 2 * (depth + 2) + Math.ceil(blocks / 32);
  }

  /** Blocks of [offset, end) that are holes. Outside a transaction; bases from before are invalid afterwards. */
  missingBlocks(ino: Ino, offset: number, end: number): number {
    const { extents, core } = this;
    const last = Math.ceil(end / BLOCK_SIZE);
    let missing = 0;
    let fileBlock = Math.floor(offset / BLOCK_SIZE);
    while (fileBlock < last) {
      // The range may have more extents than the cache has room for.
      core.journal.cache.beginOperation();
      const mapped = extents.lookup(core.inodes.get(ino) + Inode.body, ino, fileBlock);
      const next = Math.min(last, extents.end);
      if (!mapped) missing += next - fileBlock;
      fileBlock = next;
    }
    return missing;
  }

  nodes(root: number): number {
    return this.core.journal.view.getUint32(root + TreeRoot.nodes, true);
  }

  /** Accounts for `change` data blocks and for the nodes that the tree has more than `nodesBefore`. */
  countBlocks(record: number, nodesBefore: number, change: number): void {
    const { view } = this.core.journal;
    addU64(view, record + Inode.blocks, change + this.nodes(record + Inode.body) - nodesBefore, 'the number of blocks of a file');
  }

  /** Whether every byte of [offset, end) is in written extents. */
  isWritten(root: number, ino: Ino, offset: number, end: number): boolean {
    const { extents } = this;
    const last = Math.ceil(end / BLOCK_SIZE);
    let fileBlock = Math.floor(offset / BLOCK_SIZE);
    while (fileBlock < last) {
      if (!extents.lookup(root, ino, fileBlock) || extents.unwritten) return false;
      fileBlock = extents.end;
    }
    return true;
  }

  // ---- inside ------------------------------------------------------------------------------------

  /** Stores into written extents in place. */
  private overwrite(root: number, ino: Ino, offset: number, end: number, source: Uint8Array, sourceOffset: number): void {
    const { extents, core } = this;
    let position = offset;
    while (position < end) {
      const fileBlock = Math.floor(position / BLOCK_SIZE);
      const mapped = extents.block >= 0 && fileBlock >= extents.start && fileBlock < extents.end;
      if (!mapped) extents.lookup(root, ino, fileBlock);
      const partEnd = Math.min(end, extents.end * BLOCK_SIZE);
      const address = extents.block * BLOCK_SIZE + (position - extents.start * BLOCK_SIZE);
      core.pmem.store(asByteAddr(address), source, sourceOffset + (position - offset), partEnd - position);
      position = partEnd;
    }
  }

  /** The transactions of a write that is not wholly over written extents. `stamps`: it counts as a change. */
  private writeSteps(ino: Ino, offset: number, end: number, source: Uint8Array, sourceOffset: number, stamps: boolean): void {
    const missing = this.missingBlocks(ino, offset, end);
    this.core.allocator.require(missing + this.nodesForRange(ino, missing));
    let position = offset;
    while (position < end) position = this.writeStep(ino, position, end, source, sourceOffset + (position - offset), stamps);
  }

  /** One transaction of a write: up to EXTENTS_PER_STEP extents; returns how far it came. */
  private writeStep(ino: Ino, offset: number, end: number, source: Uint8Array, sourceOffset: number, stamps: boolean): number {
    const { journal } = this.core;
    journal.begin();
    try {
      const record = this.core.inodes.edit(ino);
      const root = record + Inode.body;
      const size = getU64(journal.view, record + Inode.size);
      const nodes = this.nodes(root);
      if (end > size) this.zeroTail(record, ino, size);
      let position = offset;
      let added = 0;
      for (let step = 0; step < EXTENTS_PER_STEP && position < end; step += 1) {
        const fileBlock = Math.floor(position / BLOCK_SIZE);
        const sourceAt = sourceOffset + (position - offset);
        if (this.extents.lookup(root, ino, fileBlock)) {
          position = this.fillMapped(root, ino, position, end, source, sourceAt);
        } else {
          position = this.fillHole(root, ino, position, end, source, sourceAt);
          added += this.core.allocator.allocated;
        }
      }
      if (position > size) setU64(journal.view, record + Inode.size, position);
      if (stamps) stampChange(journal.view, record, this.core.clock, true);
      this.countBlocks(record, nodes, added);
      journal.dataWasStored();
      journal.commit();
      return position;
    } catch (error) {
      journal.abort();
      throw error;
    }
  }

  /** Stores into the extent that was looked up; an unwritten part becomes written. */
  private fillMapped(root: number, ino: Ino, position: number, end: number, source: Uint8Array, sourceOffset: number): number {
    const { extents } = this;
    const partEnd = Math.min(end, extents.end * BLOCK_SIZE);
    const address = extents.block * BLOCK_SIZE + (position - extents.start * BLOCK_SIZE);
    if (extents.unwritten) {
      this.fillBlocks(address, position, partEnd, source, sourceOffset);
      extents.convert(root, ino, Math.floor(position / BLOCK_SIZE), Math.ceil(partEnd / BLOCK_SIZE), false);
    } else {
      this.core.pmem.store(asByteAddr(address), source, sourceOffset, partEnd - position);
    }
    return partEnd;
  }

  /** Allocates for the hole that was looked up and fills what was allocated. */
  private fillHole(root: number, ino: Ino, position: number, end: number, source: Uint8Array, sourceOffset: number): number {
    const { extents, core } = this;
    const fileBlock = extents.start;
    const want = Math.min(Math.ceil(end / BLOCK_SIZE), extents.end) - fileBlock;
    const goal = this.goal(root, ino, fileBlock);
    const align = goal === 0 && fileBlock % CHUNK_BLOCKS === 0 && want >= ALIGN_FROM_BLOCKS ? CHUNK_BLOCKS : 1;
    const block = core.allocator.allocate(goal, want, align);
    const { allocated } = core.allocator;
    const partEnd = Math.min(end, (fileBlock + allocated) * BLOCK_SIZE);
    this.fillBlocks(block * BLOCK_SIZE + (position % BLOCK_SIZE), position, partEnd, source, sourceOffset);
    extents.insert(root, ino, fileBlock, block, allocated, false);
    return partEnd;
  }

  /** Stores [position, end) at `address` and zeroes the rest of the first and the last block: nothing of a former owner stays. */
  private fillBlocks(address: number, position: number, end: number, source: Uint8Array, sourceOffset: number): void {
    const { pmem } = this.core;
    const before = position % BLOCK_SIZE;
    const after = end % BLOCK_SIZE;
    if (before !== 0) pmem.zero(asByteAddr(address - before), before);
    pmem.store(asByteAddr(address), source, sourceOffset, end - position);
    if (after !== 0) pmem.zero(asByteAddr(address + (end - position)), BLOCK_SIZE - after);
  }

  /** The block after the extent that ends at a file block, 0 if there is none: a good place for what follows. */
  goal(root: number, ino: Ino, fileBlock: number): number {
    const { extents } = this;
    if (fileBlock === 0 || !extents.lookup(root, ino, fileBlock - 1)) return 0;
    return extents.block + (extents.end - extents.start);
  }
}
