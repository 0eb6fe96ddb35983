import { Extent, ExtentFlag, GROUP_BLOCKS } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import { blockName, type FindingKind, hex } from './findings.js';
import type { ItemVisitor } from './tree-walker.js';

/** Files end below 2^53 bytes. */
const FILE_BLOCKS_MAX = 2 ** 41;

/** Checks and claims the extents of one file (or symbolic link) after another. */
export class ExtentVisitor implements ItemVisitor {
  private ino = 0;
  private endBlock = 0;
  private mayPassEnd = false;
  private nextFileBlock = 0;
  private nextBlock = 0;
  /** Blocks of the extents seen. */
  blocks = 0;
  /** Runs of blocks that lie behind one another on the medium. */
  runs = 0;
  /** Of the last extent: */
  lastKey = 0;
  lastBlock = 0;
  lastLength = 0;
  lastUnwritten = false;
  /** True when the last extent lies where data may be; nothing else may be read. */
  lastUsable = false;

  constructor(private readonly context: CheckContext) {}

  /** Begins a file whose end is in block `endBlock` − 1; written blocks behind it are allowed while it is being cut. */
  begin(ino: number, endBlock: number, mayPassEnd: boolean): void {
    this.ino = ino;
    this.endBlock = endBlock;
    this.mayPassEnd = mayPassEnd;
    this.nextFileBlock = 0;
    this.nextBlock = -1;
    this.blocks = 0;
    this.runs = 0;
    this.lastUsable = false;
  }

  item(key: number, view: DataView, _bytes: Uint8Array, offset: number): void {
    const block = getU64(view, offset + Extent.block);
    const length = view.getUint32(offset + Extent.length, true);
    const flags = view.getUint16(offset + Extent.flags, true);
    const region = view.getUint16(offset + Extent.region, true);
    this.context.statistics.extents++;
    this.lastKey = key;
    this.lastBlock = block;
    this.lastLength = length;
    this.lastUnwritten = (flags & ExtentFlag.unwritten) !== 0;
    this.lastUsable = false;
    if (length === 0) {
      this.report('extent-length', 'length', 'at least 1', length);
      return;
    }
    if ((flags & ~ExtentFlag.unwritten) !== 0) this.report('extent-flags', 'flags', '0 or 1', hex(flags));
    if (key < this.nextFileBlock) {
      this.report('extent-overlap', 'first file block', `at least ${String(this.nextFileBlock)}`, key);
    }
    if (key + length > FILE_BLOCKS_MAX) {
      this.report('extent-past-end', 'end', `at most file block ${String(FILE_BLOCKS_MAX)}`, key + length);
    } else if (!this.lastUnwritten && !this.mayPassEnd && key + length > this.endBlock) {
      this.report('extent-past-end', 'end of a written extent', `at most file block ${String(this.endBlock)}`, key + length);
    }
    this.nextFileBlock = Math.max(this.nextFileBlock, key + length);
    this.blocks += length;
    if (block !== this.nextBlock) this.runs++;
    this.nextBlock = block + length;
    if (region !== 0) {
      this.report('extent-region', 'region', 0, region);
      return;
    }
    if (this.isPlaced(block, length)) this.claim(block, length);
  }

  /** True when the extent lies inside one group and covers no block of the format's own. */
  private isPlaced(block: number, length: number): boolean {
    const { geometry } = this.context;
    const { groupStart, backupBlock } = geometry;
    if (block < groupStart || block + length > backupBlock) {
      const found = `${String(block)} … ${String(block + length - 1)}`;
      this.report('extent-range', 'blocks', `${String(groupStart)} … ${String(backupBlock - 1)}`, found);
      return false;
    }
    const group = geometry.groupOf(block);
    if (!geometry.isAllocatable(block)) {
      this.report('extent-covers-header', 'first block', `not the header of group ${String(group)}`, block);
      return false;
    }
    const end = geometry.groupBase(group) + GROUP_BLOCKS;
    if (block + length > end) {
      this.report('extent-crosses-group', 'end', `at most ${String(end)}, the end of group ${String(group)}`, block + length);
      return false;
    }
    return true;
  }

  private claim(block: number, length: number): void {
    const { context } = this;
    const doubles = context.ownership.claim(block, length);
    this.lastUsable = doubles === 0;
    if (doubles === 0) return;
    const first = context.ownership.firstDouble;
    const place = { block: first, blocks: doubles, key: this.lastKey, ...(this.ino > 0 ? { ino: this.ino } : {}) };
    const found = `${String(doubles)} from ${blockName(first)} on owned by another, too`;
    context.findings.add('block-doubly-used', place, this.name(), 'blocks of its own', found);
  }

  private name(): string {
    const owner = this.ino > 0 ? `inode ${String(this.ino)}` : 'the inode table';
    return `extent of ${owner} at file block ${String(this.lastKey)}, ${blockName(this.lastBlock)}`;
  }

  private report(kind: FindingKind, field: string, expected: string | number, found: string | number): void {
    const place = { key: this.lastKey, block: this.lastBlock, ...(this.ino > 0 ? { ino: this.ino } : {}) };
    this.context.findings.add(kind, place, `${this.name()}: ${field}`, expected, found);
  }
}
