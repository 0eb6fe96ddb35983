import { assert } from '../base/assert.js';
import { asByteAddr, type Ino } from '../base/units.js';
import { BLOCK_SIZE, CHUNK_BLOCKS, Inode } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Core } from '../space/core.js';
import { EXTENTS_PER_STEP, type FileContent } from './content.js';
import { stampChange } from './times.js';

/** Where a caller wants the written extents of a file: see MappedExtents in fs/types. All in bytes. */
export interface ExtentList {
  readonly offsets: Float64Array;
  readonly addresses: Float64Array;
  readonly lengths: Float64Array;
  readonly limit: number;
  count: number;
}

/** Blocks that one call fills at most: 2 MiB, what a huge page maps. Others wait meanwhile. */
export const FILL_BLOCKS_MAX = CHUNK_BLOCKS;
/** Extents and holes that one call looks at: others wait meanwhile. */
const LOOKUPS_MAX = 4096;

/**
 * Extents for programs that map them straight from the medium. A block is shown only when its extent is committed and it holds nothing of
 * a former owner: promise 3 for mappings.
 */
export class FileMapping {
  constructor(
    private readonly core: Core,
    private readonly content: FileContent,
  ) {}

  /**
   * Describes the written extents in [offset, offset + length), both multiples of the block size, up to the last block of the file. What lies between them
   * is a hole to a program: nothing of it may be mapped before `fill`. Returns how far the description reaches.
   */
  describe(ino: Ino, offset: number, length: number, target: ExtentList): number {
    const { core, content } = this;
    const { extents } = content;
    const end = this.endOf(ino, offset + length);
    target.count = 0;
    let position = offset;
    for (let lookups = 0; position < end && lookups < LOOKUPS_MAX; lookups += 1) {
      // The way may lead through more extents than the cache has room for.
      core.journal.cache.beginOperation();
      const mapped = extents.lookup(core.inodes.get(ino) + Inode.body, ino, position / BLOCK_SIZE);
      const partEnd = Math.min(end, extents.end * BLOCK_SIZE);
      if (mapped && !extents.unwritten) {
        if (target.count === target.limit) break;
        target.offsets[target.count] = position;
        target.addresses[target.count] = extents.block * BLOCK_SIZE + (position - extents.start * BLOCK_SIZE);
        target.lengths[target.count] = partEnd - position;
        target.count += 1;
      }
      position = partEnd;
    }
    return position;
  }

  /**
   * Makes every block of the range, clipped to the last block of the file, a written one: allocates what is a hole, zeroes, commits. At
   * most FILL_BLOCKS_MAX blocks. Durable on return. ENOSPC before anything was changed.
   */
  fill(ino: Ino, offset: number, length: number): void {
    const { core, content } = this;
    assert(length <= FILL_BLOCKS_MAX * BLOCK_SIZE, 'a program asks for a bounded part of a file');
    const end = this.endOf(ino, offset + length);
    if (end <= offset) return;
    if (content.isWritten(core.inodes.get(ino) + Inode.body, ino, offset, end)) return;
    const missing = content.missingBlocks(ino, offset, end);
    core.allocator.require(missing + content.nodesForRange(ino, missing));
    const last = end / BLOCK_SIZE;
    let fileBlock = offset / BLOCK_SIZE;
    while (fileBlock < last) fileBlock = this.step(ino, fileBlock, last);
  }

  // ---- inside ------------------------------------------------------------------------------------

  /** The end of a range, or of the file's last block. */
  private endOf(ino: Ino, end: number): number {
    const size = getU64(this.core.journal.view, this.core.inodes.get(ino) + Inode.size);
    return Math.min(end, Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE);
  }

  /** One transaction: up to EXTENTS_PER_STEP extents from a file block on; returns where to go on. */
  private step(ino: Ino, from: number, last: number): number {
    const { core, content } = this;
    const { extents } = content;
    core.journal.cache.beginOperation();
    core.journal.begin();
    try {
      const record = core.inodes.edit(ino);
      const root = record + Inode.body;
      const nodes = content.nodes(root);
      let position = from;
      let added = 0;
      for (let count = 0; count < EXTENTS_PER_STEP && position < last; count += 1) {
        if (!extents.lookup(root, ino, position)) {
          position = this.fillHole(root, ino, position, last);
          added += core.allocator.allocated;
        } else {
          position = this.fillUnwritten(root, ino, position, last);
        }
      }
      stampChange(core.journal.view, record, core.clock, true);
      content.countBlocks(record, nodes, added);
      // What was zeroed is fenced before the record that makes it reachable.
      core.journal.dataWasStored();
      core.journal.commit();
      return position;
    } catch (error) {
      core.journal.abort();
      throw error;
    }
  }

  /** Allocates for the hole that was looked up, on a 2 MiB boundary of the medium where the program's page can be a huge one. */
  private fillHole(root: number, ino: Ino, fileBlock: number, last: number): number {
    const { core, content } = this;
    const want = Math.min(last, content.extents.end) - fileBlock;
    const goal = content.goal(root, ino, fileBlock);
    const align = fileBlock % CHUNK_BLOCKS === 0 && want >= CHUNK_BLOCKS ? CHUNK_BLOCKS : 1;
    const block = core.allocator.allocate(goal, want, align);
    const { allocated } = core.allocator;
    core.pmem.zero(asByteAddr(block * BLOCK_SIZE), allocated * BLOCK_SIZE);
    content.extents.insert(root, ino, fileBlock, block, allocated, false);
    return fileBlock + allocated;
  }

  /** The extent that was looked up becomes a written one, of zero bytes; it may be one already. */
  private fillUnwritten(root: number, ino: Ino, fileBlock: number, last: number): number {
    const { extents } = this.content;
    const to = Math.min(last, extents.end);
    if (!extents.unwritten) return to;
    const block = extents.block + (fileBlock - extents.start);
    this.core.pmem.zero(asByteAddr(block * BLOCK_SIZE), (to - fileBlock) * BLOCK_SIZE);
    extents.convert(root, ino, fileBlock, to, false);
    return to;
  }
}
