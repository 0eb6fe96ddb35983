import { blockName, type FindingKind, hex } from '../check/findings.js';
import { BLOCK_SIZE, Extent, ExtentFlag, GROUP_BLOCKS } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { BlockMap } from './block-map.js';
import type { RepairContext } from './context.js';
import type { Item } from './tree-items.js';
import { Verdict, type VerdictNumber } from './tree-mender.js';

/** Files end below 2^53 bytes. */
const FILE_BLOCKS_MAX = 2 ** 41;

/**
 * Mends the extents of one file after another, and gives them their blocks.
 *
 * Blocks that have an owner already: on the first run over the volume they are only counted, because nobody knows yet which blocks
 * are free; on the second one they are copied, so that each file has what it had, as e2fsck does: which of the two files
 * the bytes belong to can't be known. Without space for a copy the file gets a hole there.
 */
export class ExtentMender {
  /** Extents, of all files, that have blocks of others and were left for the second run. */
  doubles = 0;
  /** Blocks of the present file. */
  blocks = 0;
  /** End of its last written extent, in file blocks. */
  writtenEnd = 0;
  /** Of the last extent of the present file: */
  lastKey = 0;
  lastBlock = 0;
  lastLength = 0;
  lastUnwritten = false;
  /** Owners of the first run, null during it. */
  others: BlockMap | null = null;
  private ino = 0;
  private sizeBlocks = 0;
  private nextFileBlock = 0;
  private view: DataView = new DataView(new ArrayBuffer(16));
  private item: Item = { key: 0, payload: new Uint8Array(0) };
  private changed = false;

  constructor(private readonly context: RepairContext) {}

  /** `size`: in bytes, as the inode says. */
  begin(ino: number, size: number): void {
    this.ino = ino;
    this.sizeBlocks = Math.ceil(size / BLOCK_SIZE);
    this.nextFileBlock = 0;
    this.blocks = 0;
    this.writtenEnd = 0;
    this.lastLength = 0;
  }

  readonly judge = (item: Item, high: number): VerdictNumber => {
    this.item = item;
    this.view = new DataView(item.payload.buffer, item.payload.byteOffset, item.payload.byteLength);
    this.changed = false;
    if (!this.mendFields(high) || !this.mendPlace() || !this.claim()) return Verdict.drop;
    this.nextFileBlock = item.key + this.length;
    this.blocks += this.length;
    this.lastKey = item.key;
    this.lastBlock = this.block;
    this.lastLength = this.length;
    this.lastUnwritten = this.isUnwritten;
    if (!this.isUnwritten) this.writtenEnd = item.key + this.length;
    return this.changed ? Verdict.changed : Verdict.keep;
  };

  /** Length, flags, region, place in the file. False: the extent is dropped. */
  private mendFields(high: number): boolean {
    const { item, view } = this;
    if (this.length === 0) return !this.problem('extent-length', 'length', 'at least 1', 0, 'drop the extent', true);
    const region = view.getUint16(Extent.region, true);
    if (region !== 0 && this.problem('extent-region', 'region', 0, region, 'drop the extent', true)) return false;
    const flags = view.getUint16(Extent.flags, true);
    if ((flags & ~ExtentFlag.unwritten) !== 0 && this.problem('extent-flags', 'flags', '0 or 1', hex(flags), 'clear the others', false)) {
      view.setUint16(Extent.flags, flags & ExtentFlag.unwritten, true);
      this.changed = true;
    }
    const overlap = this.nextFileBlock - item.key;
    if (overlap > 0) {
      if (!this.problem('extent-overlap', 'first file block', `at least ${String(this.nextFileBlock)}`, item.key, 'cut the extent', true)) return true;
      if (overlap >= this.length || this.nextFileBlock >= high) return false;
      setU64(view, Extent.block, Math.min(this.block + overlap, Number.MAX_SAFE_INTEGER));
      this.setLength(this.length - overlap);
      item.key += overlap;
    }
    const end = item.key + this.length;
    if (end > FILE_BLOCKS_MAX) {
      if (!this.problem('extent-past-end', 'end', `at most file block ${String(FILE_BLOCKS_MAX)}`, end, 'cut the extent', true)) return true;
      if (item.key >= FILE_BLOCKS_MAX) return false;
      this.setLength(FILE_BLOCKS_MAX - item.key);
    }
    return true;
  }

  /** Lets the extent lie inside one group in use, off its header. False: the extent is dropped. */
  private mendPlace(): boolean {
    const { context, block } = this;
    const { geometry } = context;
    const last = Math.min(geometry.backupBlock, geometry.groupBase(context.groups)) - 1;
    if (block < geometry.groupStart || block > last) {
      return !this.problem('extent-range', 'first block', `${String(geometry.groupStart)} … ${String(last)}`, block, 'drop the extent', true);
    }
    if (!context.isAllocatable(block)) return !this.problem('extent-covers-header', 'first block', 'not the header of a group', block, 'drop the extent', true);
    const end = Math.min(geometry.groupBase(geometry.groupOf(block)) + GROUP_BLOCKS, geometry.backupBlock);
    if (block + this.length <= end) return true;
    const kind = end === geometry.backupBlock ? 'extent-range' : 'extent-crosses-group';
    if (!this.problem(kind, 'end', `at most ${String(end)}`, block + this.length, 'cut the extent', true)) return true;
    // A length that can't be right is no claim to the blocks up to there, which others have: what the file's size needs is one.
    const needed = this.sizeBlocks - this.item.key;
    this.setLength(needed > 0 ? Math.min(needed, end - block) : end - block);
    return true;
  }

  /** Gives the extent its blocks. False: it is dropped. */
  private claim(): boolean {
    const { context, block, length } = this;
    // Left as it was by decision: it can't be claimed.
    if (context.problems.incomplete && !(context.isAllocatable(block) && context.geometry.groupOf(block) === context.geometry.groupOf(block + length - 1))) return true;
    const free = context.owned.freeRun(block, length);
    if (free === length) {
      context.owned.claim(block, length);
      return true;
    }
    if (this.others === null) {
      this.doubles++;
      return true;
    }
    const found = `${blockName(block + free)} owned by another, too`;
    if (!this.problem('block-doubly-used', 'blocks', 'blocks of its own', found, this.isUnwritten ? 'cut the extent' : 'copy them', true)) return true;
    return (!this.isUnwritten && this.copy(block, length)) || this.cut(free);
  }

  private copy(block: number, length: number): boolean {
    const target = this.context.allocate(length, this.others);
    if (target < 0) return false;
    if (!this.context.writer.copyData(target, block, length)) {
      this.context.owned.release(target, length);
      return false;
    }
    setU64(this.view, Extent.block, target);
    this.changed = true;
    return true;
  }

  /** Leaves the extent the blocks before the first that has another owner. */
  private cut(length: number): boolean {
    if (length === 0) return false;
    this.context.owned.claim(this.block, length);
    this.setLength(length);
    return true;
  }

  private get block(): number {
    return getU64(this.view, Extent.block);
  }

  private get length(): number {
    return this.view.getUint32(Extent.length, true);
  }

  private setLength(length: number): void {
    this.view.setUint32(Extent.length, length, true);
    this.changed = true;
  }

  private get isUnwritten(): boolean {
    return (this.view.getUint16(Extent.flags, true) & ExtentFlag.unwritten) !== 0;
  }

  private problem(kind: FindingKind, field: string, expected: string | number, found: string | number, remedy: string, hiding: boolean): boolean {
    const { problems } = this.context;
    const what = `extent of inode ${String(this.ino)} at file block ${String(this.item.key)}, ${blockName(this.block)}: ${field}`;
    const place = { key: this.item.key, block: this.block, ino: this.ino };
    return hiding ? problems.fixHiding(kind, place, what, expected, found, remedy) : problems.fix(kind, place, what, expected, found, remedy);
  }
}
