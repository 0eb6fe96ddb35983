/**
 * Where the blocks of the inode table are (usable extents in ascending order) and which of their inodes are free,
 * in flat arrays: 2 × 2 bytes per mapped table block.
 */
export class TableMap {
  private keys = new Float64Array(64);
  private blocks = new Float64Array(64);
  private lengths = new Float64Array(64);
  private maskBases = new Float64Array(64);
  private freeMasks = new Uint16Array(1024);
  private damagedMasks = new Uint16Array(1024);
  /** Number of extents. */
  count = 0;
  /** Number of mapped table blocks. */
  masks = 0;

  /** Adds an extent; keys rise from call to call. Its masks follow with `addMask`, one per block. */
  add(key: number, block: number, length: number): void {
    if (this.count === this.keys.length) {
      this.keys = doubled(this.keys);
      this.blocks = doubled(this.blocks);
      this.lengths = doubled(this.lengths);
      this.maskBases = doubled(this.maskBases);
    }
    this.keys[this.count] = key;
    this.blocks[this.count] = block;
    this.lengths[this.count] = length;
    this.maskBases[this.count] = this.masks;
    this.count++;
  }

  /** Bit i of `free`: inode i of the block is free; of `damaged`: its record can't be read. */
  addMask(free: number, damaged: number): void {
    if (this.masks === this.freeMasks.length) {
      this.freeMasks = widened(this.freeMasks);
      this.damagedMasks = widened(this.damagedMasks);
    }
    this.freeMasks[this.masks] = free;
    this.damagedMasks[this.masks] = damaged;
    this.masks++;
  }

  /** First table block of extent `index`. */
  start(index: number): number {
    return this.keys[index] ?? 0;
  }

  /** First table block behind extent `index`. */
  end(index: number): number {
    return (this.keys[index] ?? 0) + (this.lengths[index] ?? 0);
  }

  /** Mask of free inodes of a table block inside extent `index`. */
  freeMask(index: number, tableBlock: number): number {
    return this.freeMasks[(this.maskBases[index] ?? 0) + tableBlock - this.start(index)] ?? 0;
  }

  /** Mask of damaged inodes of a table block inside extent `index`. */
  damagedMask(index: number, tableBlock: number): number {
    return this.damagedMasks[(this.maskBases[index] ?? 0) + tableBlock - this.start(index)] ?? 0;
  }

  /** Index of the extent that holds table block `tableBlock`, or -1 for a hole. */
  indexOf(tableBlock: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.start(middle) <= tableBlock) low = middle + 1;
      else high = middle;
    }
    const index = low - 1;
    return index >= 0 && tableBlock < this.end(index) ? index : -1;
  }

  /** Block of the medium that holds table block `tableBlock`, or -1 for a hole. */
  find(tableBlock: number): number {
    const index = this.indexOf(tableBlock);
    return index < 0 ? -1 : (this.blocks[index] ?? 0) + (tableBlock - this.start(index));
  }
}

function doubled(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}

function widened(array: Uint16Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const larger = new Uint16Array(array.length * 2);
  larger.set(array);
  return larger;
}
