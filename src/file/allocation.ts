import { fail } from '../base/errno.js';
import { asByteAddr, type Ino } from '../base/units.js';
import { BLOCK_SIZE, CHUNK_BLOCKS, FILE_SIZE_MAX, Inode } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Core } from '../space/core.js';
import { EXTENTS_PER_STEP, type FileContent } from './content.js';
import { stampChange } from './times.js';

/** What is done with the whole blocks of a range. */
type BlockStep = (record: number, ino: Ino, fileBlock: number, last: number) => number;

/**
 * fallocate(2): preallocation, punching holes, zeroing ranges.
 * Large requests are done in several transactions; each leaves a consistent file, and space is looked for before the first.
 */
export class FileAllocation {
  private readonly fillHole: BlockStep = (record, ino, fileBlock, last) => this.allocateOne(record, ino, fileBlock, last);
  private readonly punchOne: BlockStep = (record, ino, fileBlock, last) => this.punch(record, ino, fileBlock, last);
  private readonly zeroOne: BlockStep = (record, ino, fileBlock, last) => this.makeUnwritten(record, ino, fileBlock, last);

  constructor(
    private readonly core: Core,
    private readonly content: FileContent,
  ) {}

  /** Blocks for all of [offset, offset + length), unwritten; the size grows to the end of the range unless `keepSize`. */
  allocate(ino: Ino, offset: number, length: number, keepSize: boolean): void {
    const end = this.checkRange(offset, length);
    this.requireMissing(ino, offset, end);
    this.steps(ino, Math.floor(offset / BLOCK_SIZE), Math.ceil(end / BLOCK_SIZE), keepSize ? 0 : end, this.fillHole);
  }

  /** The range reads as zero bytes afterwards; whole blocks are given back. The size stays. */
  punchHole(ino: Ino, offset: number, length: number): void {
    const end = this.checkRange(offset, length);
    const first = Math.ceil(offset / BLOCK_SIZE);
    const last = Math.floor(end / BLOCK_SIZE);
    // A hole in the middle of an extent adds one: from the reserve, so that a full volume can be emptied.
    this.zeroEdges(ino, offset, end);
    this.steps(ino, first, last, 0, this.punchOne);
  }

  /** The range reads as zero bytes afterwards and has blocks; the size grows unless `keepSize`. */
  zeroRange(ino: Ino, offset: number, length: number, keepSize: boolean): void {
    const end = this.checkRange(offset, length);
    this.requireMissing(ino, offset, end);
    const first = Math.ceil(offset / BLOCK_SIZE);
    const last = Math.floor(end / BLOCK_SIZE);
    this.steps(ino, Math.floor(offset / BLOCK_SIZE), Math.ceil(end / BLOCK_SIZE), 0, this.fillHole);
    this.zeroEdges(ino, offset, end);
    this.steps(ino, first, last, keepSize ? 0 : end, this.zeroOne);
  }

  private checkRange(offset: number, length: number): number {
    if (!(offset >= 0) || !(length > 0)) fail('EINVAL', 'fallocate wants an offset ≥ 0 and a length > 0');
    const end = offset + length;
    if (!(end <= FILE_SIZE_MAX)) fail('EFBIG', 'a file has at most 2^53 - 1 bytes');
    return end;
  }

  private requireMissing(ino: Ino, offset: number, end: number): void {
    const missing = this.content.missingBlocks(ino, offset, end);
    // Every free block may be a run of its own in the worst case, but a run is never shorter than one block.
    this.core.allocator.require(missing + this.content.nodesForRange(ino, missing));
  }

  /** Applies `step` to [first, last) in transactions of EXTENTS_PER_STEP; the last one sets size and times. */
  private steps(ino: Ino, first: number, last: number, newSize: number, step: BlockStep): void {
    const { core, content } = this;
    let fileBlock = first;
    do {
      core.journal.cache.beginOperation();
      core.journal.begin();
      try {
        const record = core.inodes.edit(ino);
        for (let count = 0; count < EXTENTS_PER_STEP && fileBlock < last; count += 1) fileBlock = step(record, ino, fileBlock, last);
        if (fileBlock >= last) {
          const size = getU64(core.journal.view, record + Inode.size);
          if (newSize > size) {
            content.zeroTail(record, ino, size);
            setU64(core.journal.view, record + Inode.size, newSize);
          }
          stampChange(core.journal.view, record, core.clock, true);
        }
        core.journal.commit();
      } catch (error) {
        core.journal.abort();
        throw error;
      }
    } while (fileBlock < last);
  }

  /** Allocates one run in the hole at `fileBlock`, or skips the extent there; returns where to go on. */
  private allocateOne(record: number, ino: Ino, fileBlock: number, last: number): number {
    const { core, content } = this;
    const { extents } = content;
    const root = record + Inode.body;
    if (extents.lookup(root, ino, fileBlock)) return extents.end;
    const want = Math.min(last, extents.end) - fileBlock;
    const goal = content.goal(root, ino, fileBlock);
    const block = core.allocator.allocate(goal, want, want >= CHUNK_BLOCKS && goal % CHUNK_BLOCKS === 0 ? CHUNK_BLOCKS : 1);
    const { allocated } = core.allocator;
    const nodes = content.nodes(root);
    extents.insert(root, ino, fileBlock, block, allocated, true);
    content.countBlocks(record, nodes, allocated);
    return fileBlock + allocated;
  }

  private punch(record: number, ino: Ino, fileBlock: number, last: number): number {
    const { content } = this;
    const { extents } = content;
    const root = record + Inode.body;
    if (!extents.seek(root, ino, fileBlock) || extents.start >= last) return last;
    const from = Math.max(fileBlock, extents.start);
    const to = Math.min(last, extents.end);
    const block = extents.block + (from - extents.start);
    const nodes = content.nodes(root);
    extents.cut(root, ino, from, to);
    extents.free(block, to - from);
    content.countBlocks(record, nodes, from - to);
    return to;
  }

  private makeUnwritten(record: number, ino: Ino, fileBlock: number, last: number): number {
    const { content } = this;
    const { extents } = content;
    const root = record + Inode.body;
    if (!extents.lookup(root, ino, fileBlock)) return Math.min(last, extents.end);
    const to = Math.min(last, extents.end);
    const nodes = content.nodes(root);
    extents.convert(root, ino, fileBlock, to, true);
    content.countBlocks(record, nodes, 0);
    return to;
  }

  /** Zeroes the parts of the range that are not whole blocks, where they are in written extents. */
  private zeroEdges(ino: Ino, offset: number, end: number): void {
    const firstWhole = Math.ceil(offset / BLOCK_SIZE) * BLOCK_SIZE;
    const lastWhole = Math.floor(end / BLOCK_SIZE) * BLOCK_SIZE;
    if (firstWhole > lastWhole) {
      this.zeroPart(ino, offset, end);
    } else {
      if (offset < firstWhole) this.zeroPart(ino, offset, firstWhole);
      if (lastWhole < end) this.zeroPart(ino, lastWhole, end);
    }
    this.core.pmem.fence();
  }

  /** Zeroes [from, to) inside one block. */
  private zeroPart(ino: Ino, from: number, to: number): void {
    const { extents } = this.content;
    const root = this.core.inodes.get(ino) + Inode.body;
    if (!extents.lookup(root, ino, Math.floor(from / BLOCK_SIZE)) || extents.unwritten) return;
    const address = extents.block * BLOCK_SIZE + (from - extents.start * BLOCK_SIZE);
    this.core.pmem.zero(asByteAddr(address), to - from);
  }
}
