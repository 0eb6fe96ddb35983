import { assert } from '../base/assert.js';
import type { BlockBuffer } from '../check/medium.js';
import { Inode, INODE_SIZE, INODES_PER_BLOCK, Magic } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { BlockWriter } from './writer.js';

/** Table blocks that follow one another on the medium as they do in the table. */
export interface TableRun {
  start: number;
  block: number;
  length: number;
}

/**
 * Where the blocks of the inode table are, as the repair has decided: kept in DRAM, 24 bytes per run, until the tree that
 * says so on the medium is right again.
 */
export class InodeTable {
  private runs: TableRun[] = [];

  constructor(
    private readonly writer: BlockWriter,
    private readonly seed: number,
  ) {}

  /** Takes over (table block, block) pairs in ascending order. */
  setBlocks(pairs: Iterable<readonly [number, number]>): void {
    this.runs = [];
    for (const [tableBlock, block] of pairs) {
      const last = this.runs.at(-1);
      if (last !== undefined && last.start + last.length === tableBlock && last.block + last.length === block) last.length++;
      else this.runs.push({ start: tableBlock, block, length: 1 });
    }
  }

  get list(): readonly TableRun[] {
    return this.runs;
  }

  /** All (table block, block) pairs, ascending. */
  *blocks(): Generator<readonly [number, number]> {
    for (const { start, block, length } of this.runs) {
      for (let i = 0; i < length; i++) yield [start + i, block + i];
    }
  }

  /** The same, descending. */
  *blocksBackwards(): Generator<readonly [number, number]> {
    for (let r = this.runs.length - 1; r >= 0; r--) {
      const { start, block, length } = this.runs[r] as TableRun;
      for (let i = length - 1; i >= 0; i--) yield [start + i, block + i];
    }
  }

  /** Length of the table in blocks, holes included. */
  get end(): number {
    const last = this.runs.at(-1);
    return last === undefined ? 0 : last.start + last.length;
  }

  /** Block that holds table block `tableBlock`, −1: a hole. */
  find(tableBlock: number): number {
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.runs[middle] as TableRun).start <= tableBlock) low = middle + 1;
      else high = middle;
    }
    const run = this.runs[low - 1];
    return run !== undefined && tableBlock < run.start + run.length ? run.block + tableBlock - run.start : -1;
  }

  /** Loads the table block of an inode; returns the offset of its record, −1 when it can't be had. */
  load(ino: number, buffer: BlockBuffer): number {
    const block = this.find(Math.floor(ino / INODES_PER_BLOCK));
    if (block < 0 || !this.writer.load(block, buffer)) return -1;
    return (ino % INODES_PER_BLOCK) * INODE_SIZE;
  }

  /** Writes the table block of an inode back, after its record was changed. */
  store(ino: number, buffer: BlockBuffer): void {
    const block = this.find(Math.floor(ino / INODES_PER_BLOCK));
    assert(block >= 0, 'a record that was loaded has a table block');
    this.seal(buffer, (ino % INODES_PER_BLOCK) * INODE_SIZE);
    this.writer.write(block, buffer.bytes);
  }

  /** Computes the checksum of the record at `base`. */
  seal({ view, bytes }: BlockBuffer, base: number): void {
    view.setUint32(base + Inode.checksum, this.writer.pmem.crc32c(this.seed, bytes, base + 4, INODE_SIZE - 4), true);
  }

  /** Makes the record at `base` a free one. */
  clear(buffer: BlockBuffer, base: number, ino: number, generation: number): void {
    buffer.bytes.fill(0, base, base + INODE_SIZE);
    buffer.view.setUint16(base + Inode.magic, Magic.inode, true);
    setU64(buffer.view, base + Inode.ino, ino);
    buffer.view.setUint32(base + Inode.generation, generation, true);
    this.seal(buffer, base);
  }

  /** True when the record at `base` can be believed and is that of `ino`. */
  isTrusted({ view, bytes }: BlockBuffer, base: number, ino: number): boolean {
    return (
      view.getUint16(base + Inode.magic, true) === Magic.inode &&
      getU64(view, base + Inode.ino) === ino &&
      view.getUint32(base + Inode.checksum, true) === this.writer.pmem.crc32c(this.seed, bytes, base + 4, INODE_SIZE - 4)
    );
  }

  /** True when a loaded block has a record that can be believed to be of this table block. */
  holdsInodes(buffer: BlockBuffer, tableBlock: number): boolean {
    for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
      if (this.isTrusted(buffer, slot * INODE_SIZE, tableBlock * INODES_PER_BLOCK + slot)) return true;
    }
    return false;
  }
}
