import { FsError, fail } from '../base/errno.js';
import { asByteAddr, type Ino } from '../base/units.js';
import { AllocateMode, BLOCK_SIZE, CHUNK_BLOCKS, FILE_SIZE_MAX, FileType, Inode } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Core } from '../space/core.js';
import type { RangeOperation } from '../space/state.js';
import { EXTENTS_PER_STEP, type FileContent } from './content.js';
import { stampChange } from './times.js';

/**
 * fallocate(2): preallocation, punching holes, zeroing ranges.
 *
 * What one transaction can't do alone — many extents, or zeroing parts of blocks in place — is noted in the volume state
 * with the first transaction and cleared with the last, so that a crash in between ends in the whole operation
 * (doc/FORMAT.md, "Range operation"). Everything here may therefore be done again from the start at any point.
 *
 * What programs have mapped keeps its blocks: there a hole and a zeroed range are zero bytes in place, so that mappings and reads go on
 * showing the same.
 */
export class FileAllocation {
  // The operation that is being done, in blocks of the file.
  /** The blocks that the range touches. */
  private first = 0;
  private last = 0;
  /** Those that lie wholly inside it. */
  private firstWhole = 0;
  private lastWhole = 0;

  constructor(
    private readonly core: Core,
    private readonly content: FileContent,
  ) {}

  /** EINVAL or EOPNOTSUPP for what fallocate(2) does not allow or this filesystem can't do. */
  check(mode: number, offset: number, length: number): void {
    if (!(offset >= 0) || !(length > 0)) fail('EINVAL', 'fallocate wants an offset ≥ 0 and a length > 0');
    if (!isKnownMode(mode)) fail('EOPNOTSUPP', `fallocate mode ${String(mode)} is not supported`);
  }

  /**
   * Allocates [offset, offset + length), makes it a hole, or makes it read as zero bytes, as `mode` says; outside a transaction.
   * `check` has passed, and its end was checked. ENOSPC before anything was changed.
   */
  run(ino: Ino, mode: number, offset: number, length: number): void {
    const operation = { ino, mode, offset, end: offset + length };
    // A hole in the middle of an extent adds one: from the reserve, so that a full volume can be emptied.
    if ((mode & AllocateMode.punchHole) === 0) {
      const missing = this.content.missingBlocks(ino, offset, operation.end);
      // Every free block may be a run of its own in the worst case, but a run is never shorter than one block.
      this.core.allocator.require(missing + this.content.nodesForRange(ino, missing));
    }
    this.setRange(operation);
    const edges = this.hasEdges(operation);
    const position = this.step(operation, this.first, { isFirst: true, mayEnd: !edges });
    if (position === undefined) return;
    this.finish(operation, position);
  }

  /** Finishes the operation that a crash interrupted, if there is one. `log` is told of one that can't be finished. */
  resume(log: (message: string) => void): void {
    const operation = this.core.state.rangeOperation;
    if (operation === undefined) return;
    try {
      const { ino, mode, offset, end } = operation;
      const record = this.core.inodes.get(ino);
      const type = this.core.journal.view.getUint16(record + Inode.mode, true) & FileType.mask;
      if (type !== FileType.regular) fail('EIO', 'not a regular file');
      this.check(mode, offset, end - offset);
      if (!(end <= FILE_SIZE_MAX)) fail('EIO', 'its range ends beyond 2^53 - 1');
      this.setRange(operation);
      this.finish(operation, this.first);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      log(`a fallocate of inode ${String(operation.ino)} that was interrupted can't be finished: ${error.message}`);
      if (this.core.state.rangeOperation !== undefined) this.forget();
    }
  }

  // ---- inside ------------------------------------------------------------------------------------

  private setRange({ offset, end }: RangeOperation): void {
    this.first = Math.floor(offset / BLOCK_SIZE);
    this.last = Math.ceil(end / BLOCK_SIZE);
    this.firstWhole = Math.ceil(offset / BLOCK_SIZE);
    this.lastWhole = Math.floor(end / BLOCK_SIZE);
  }

  /** Does what is left of an operation that is noted in the volume state, from file block `position` on. */
  private finish(operation: RangeOperation, position: number): void {
    try {
      this.zeroEdges(operation);
      let next: number | undefined = position;
      while (next !== undefined) next = this.step(operation, next, { isFirst: false, mayEnd: true });
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  /**
   * One transaction: up to EXTENTS_PER_STEP extents from `position` on. The first stamps the times; the one that comes to the end
   * (if it may) sets the size. Returns where to go on, undefined when the operation is done.
   */
  private step(operation: RangeOperation, position: number, { isFirst, mayEnd }: { isFirst: boolean; mayEnd: boolean }): number | undefined {
    const { core } = this;
    core.journal.cache.beginOperation();
    core.journal.begin();
    try {
      const record = core.inodes.edit(operation.ino);
      let next = position;
      for (let count = 0; count < EXTENTS_PER_STEP && next < this.last; count += 1) next = this.stepExtent(operation, record, next);
      const done = next >= this.last && mayEnd;
      if (isFirst) stampChange(core.journal.view, record, core.clock, true);
      if (done) this.grow(operation, record);
      if (isFirst && !done) core.state.setRangeOperation(operation);
      if (!isFirst && done) core.state.setRangeOperation(undefined);
      core.journal.commit();
      return done ? undefined : next;
    } catch (error) {
      core.journal.abort();
      throw error;
    }
  }

  /** The operation failed in the middle (a damaged file, no space): what was done stays, as of a short write. */
  private forget(): void {
    const { journal, state } = this.core;
    journal.cache.beginOperation();
    journal.begin();
    try {
      state.setRangeOperation(undefined);
      journal.commit();
    } catch (error) {
      journal.abort();
      throw error;
    }
  }

  private grow({ ino, mode, end }: RangeOperation, record: number): void {
    const { view } = this.core.journal;
    const size = getU64(view, record + Inode.size);
    if ((mode & AllocateMode.keepSize) !== 0 || end <= size) return;
    this.content.zeroTail(record, ino, size);
    setU64(view, record + Inode.size, end);
  }

  /** Deals with the extent or hole at file block `position`; returns where to go on. */
  private stepExtent({ ino, mode }: RangeOperation, record: number, position: number): number {
    if ((mode & AllocateMode.punchHole) !== 0) return this.punch(record, ino, Math.max(position, this.firstWhole));
    if (!this.content.extents.lookup(record + Inode.body, ino, position)) return this.allocateOne(record, ino, position);
    const { extents } = this.content;
    return (mode & AllocateMode.zeroRange) !== 0 ? this.makeUnwritten(record, ino, position) : extents.end;
  }

  /** Allocates one run in the hole that was looked up at `fileBlock`. */
  private allocateOne(record: number, ino: Ino, fileBlock: number): number {
    const { core, content } = this;
    const { extents } = content;
    const root = record + Inode.body;
    const want = Math.min(this.last, extents.end) - fileBlock;
    const goal = content.goal(root, ino, fileBlock);
    const block = core.allocator.allocate(goal, want, want >= CHUNK_BLOCKS && goal % CHUNK_BLOCKS === 0 ? CHUNK_BLOCKS : 1);
    const { allocated } = core.allocator;
    const nodes = content.nodes(root);
    extents.insert(root, ino, fileBlock, block, allocated, true);
    content.countBlocks(record, nodes, allocated);
    return fileBlock + allocated;
  }

  /** Gives back the blocks of the next extent at or behind `fileBlock`, as far as they lie wholly in the range. */
  private punch(record: number, ino: Ino, fileBlock: number): number {
    const { content, lastWhole } = this;
    const { extents } = content;
    const root = record + Inode.body;
    if (fileBlock >= lastWhole || !extents.seek(root, ino, fileBlock) || extents.start >= lastWhole) return this.last;
    const from = Math.max(fileBlock, extents.start);
    const to = Math.min(lastWhole, extents.end);
    if (!extents.unwritten && content.pinned.isPinned(ino)) return to; // see zeroEdges
    const block = extents.block + (from - extents.start);
    const nodes = content.nodes(root);
    extents.cut(root, ino, from, to);
    extents.free(block, to - from);
    content.countBlocks(record, nodes, from - to);
    return to;
  }

  /** The extent that was looked up at `fileBlock` becomes unwritten, as far as its blocks lie wholly in the range. */
  private makeUnwritten(record: number, ino: Ino, fileBlock: number): number {
    const { content, firstWhole, lastWhole } = this;
    const { extents } = content;
    const root = record + Inode.body;
    const from = Math.max(fileBlock, firstWhole);
    const to = Math.min(lastWhole, extents.end);
    const { end } = extents;
    if (from >= to || content.pinned.isPinned(ino)) return end; // see zeroEdges
    const nodes = content.nodes(root);
    extents.convert(root, ino, from, to, true);
    content.countBlocks(record, nodes, 0);
    return to;
  }

  // The parts of the range that are not whole blocks are zeroed in place, where they are in written extents; of a pinned file all of it.

  private hasEdges(operation: RangeOperation): boolean {
    let found = false;
    this.forEachEdge(operation, () => {
      found = true;
    });
    return found;
  }

  private zeroEdges(operation: RangeOperation): void {
    const { pmem } = this.core;
    this.forEachEdge(operation, (address, length) => {
      pmem.zero(asByteAddr(address), length);
    });
    pmem.fence();
  }

  private forEachEdge({ ino, mode, offset, end }: RangeOperation, visit: (address: number, length: number) => void): void {
    if ((mode & ~AllocateMode.keepSize) === 0) return;
    const { extents } = this.content;
    const edge = (from: number, to: number): void => {
      if (from >= to) return;
      this.core.journal.cache.beginOperation();
      const root = this.core.inodes.get(ino) + Inode.body;
      if (!extents.lookup(root, ino, Math.floor(from / BLOCK_SIZE)) || extents.unwritten) return;
      visit(extents.block * BLOCK_SIZE + (from - extents.start * BLOCK_SIZE), to - from);
    };
    if (this.content.pinned.isPinned(ino)) {
      this.forEachExtent(ino, edge, offset, end);
    } else if (this.firstWhole > this.lastWhole) {
      edge(offset, end);
    } else {
      edge(offset, this.firstWhole * BLOCK_SIZE);
      edge(this.lastWhole * BLOCK_SIZE, end);
    }
  }

  /** Cuts [offset, end) where extents begin and end. */
  private forEachExtent(ino: Ino, visit: (from: number, to: number) => void, offset: number, end: number): void {
    const { extents } = this.content;
    for (let from = offset; from < end; ) {
      this.core.journal.cache.beginOperation();
      extents.lookup(this.core.inodes.get(ino) + Inode.body, ino, Math.floor(from / BLOCK_SIZE));
      const to = Math.min(end, extents.end * BLOCK_SIZE);
      visit(from, to);
      from = to;
    }
  }
}

function isKnownMode(mode: number): boolean {
  const kind = mode & ~AllocateMode.keepSize;
  if (kind === AllocateMode.punchHole) return mode !== kind; // fallocate(2): only together with KEEP_SIZE
  return kind === 0 || kind === AllocateMode.zeroRange;
}
