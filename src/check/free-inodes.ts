import { FREE_INODES_HOLE, FreeInodes, INODES_PER_BLOCK, TreeKind, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import { hex } from './findings.js';
import type { BlockBuffer } from './medium.js';
import type { TableMap } from './table-map.js';
import { type ItemVisitor, TreeWalker } from './tree-walker.js';

/**
 * Compares the tree of free inodes with what the inode table holds. Both are in ascending order of table blocks, so one walk with
 * a finger on the table's extents is enough; holes are compared as ranges, never block by block.
 */
export class FreeInodesPass implements ItemVisitor {
  private tableBlocks = 0;
  /** Table blocks before this one are compared. */
  private done = 0;
  /** Extent of the table that ends behind `done`. */
  private extent = 0;

  constructor(
    private readonly context: CheckContext,
    private readonly table: TableMap,
  ) {}

  /** Walks the tree whose root is in the volume state; compares only when the whole table was seen. */
  run(state: BlockBuffer): void {
    const { context, table } = this;
    const end = table.count > 0 ? table.end(table.count - 1) : 0;
    this.tableBlocks = Math.min(end, getU64(state.view, VolumeState.tableBlocks));
    const walker = new TreeWalker(context);
    const complete = walker.walk(state.view, state.bytes, VolumeState.freeInodeRoot, TreeKind.freeInodes, 0, this);
    if (complete && context.tableComplete) this.skipTo(this.tableBlocks);
  }

  item(key: number, view: DataView, _bytes: Uint8Array, offset: number): void {
    if (!this.context.tableComplete) return;
    const mask = view.getUint16(offset + FreeInodes.mask, true);
    const length = view.getUint32(offset + FreeInodes.length, true);
    const reserved = view.getUint16(offset + FreeInodes.reserved, true);
    if (reserved !== 0 && this.context.checkReserved) {
      this.context.findings.add('reserved-bytes', { key }, `${itemName(key)}: reserved`, 0, reserved);
    }
    if (key >= this.tableBlocks) {
      this.wrong(key, 'no item behind the end of the inode table', mask, length);
    } else if (key < this.done) {
      this.wrong(key, 'no item in a hole that another one stands for', mask, length);
    } else {
      this.skipTo(key);
      const mapped = this.extent < this.table.count && this.table.start(this.extent) <= key;
      if (mapped) this.compareBlock(key, mask, length);
      else this.compareHole(key, mask, length);
      this.advance();
    }
  }

  private compareBlock(key: number, mask: number, length: number): void {
    const expected = this.table.freeMask(this.extent, key);
    const unknown = this.table.damagedMask(this.extent, key);
    this.done = key + 1;
    if (mask === 0) this.wrong(key, 'no item without a free inode', mask, length);
    else if (((mask ^ expected) & ~unknown) !== 0 || length !== 1) this.wrong(key, `mask ${hex(expected)}, length 1`, mask, length);
  }

  /** The item of a hole reaches to the next mapped block, which follows: the table does not end in a hole. */
  private compareHole(key: number, mask: number, length: number): void {
    const end = this.extent < this.table.count ? this.table.start(this.extent) : this.tableBlocks;
    this.done = end;
    if (mask === FREE_INODES_HOLE && length === end - key) return;
    this.wrong(key, `mask ${hex(FREE_INODES_HOLE)}, length ${String(end - key)}`, mask, length);
  }

  /** There is no item for the table blocks [done, key): none of them may have a free inode. */
  private skipTo(key: number): void {
    const { table } = this;
    while (this.done < key) {
      this.advance();
      const start = this.extent < table.count ? table.start(this.extent) : key;
      if (this.done < start) {
        const end = Math.min(start, key);
        this.missing(this.done, end - this.done, FREE_INODES_HOLE);
        this.done = end;
        continue;
      }
      const free = table.freeMask(this.extent, this.done);
      if (free !== 0) this.missing(this.done, 1, free);
      this.done++;
    }
    this.advance();
  }

  /** Moves the finger over extents that end before `done`. */
  private advance(): void {
    while (this.extent < this.table.count && this.table.end(this.extent) <= this.done) this.extent++;
  }

  private missing(tableBlock: number, count: number, free: number): void {
    const place = { key: tableBlock, ino: tableBlock * INODES_PER_BLOCK };
    this.context.findings.add('free-inode-missing', place, itemName(tableBlock), `mask ${hex(free)}, length ${String(count)}`, 'none');
  }

  private wrong(tableBlock: number, expected: string, mask: number, length: number): void {
    const place = { key: tableBlock, ino: tableBlock * INODES_PER_BLOCK };
    this.context.findings.add('free-inode-wrong', place, itemName(tableBlock), expected, `mask ${hex(mask)}, length ${String(length)}`);
  }
}

function itemName(tableBlock: number): string {
  return `tree of free inodes: item of table block ${String(tableBlock)}`;
}
