import { assert } from '../base/assert.js';
import type { Geometry } from '../check/geometry.js';
import { GROUP_BLOCKS } from '../format/layout.js';

const BITMAP_BYTES = GROUP_BLOCKS / 8;

/**
 * Which blocks have an owner, as far as was seen: one bitmap per allocation group, made when the group's first block is claimed.
 * Memory: one bit per block of the groups that anything is in.
 */
export class BlockMap {
  private readonly bitmaps = new Map<number, Uint8Array>();
  private lastGroup = -1;
  private lastBitmap: Uint8Array = new Uint8Array(0);
  /** Where the last search ended: the next one goes on there. */
  private searchGroup = 0;
  private searchBit = 1;

  constructor(private readonly geometry: Geometry) {}

  /** The bitmap of a group in which blocks were claimed; the bits that every header has set are set. */
  find(group: number): Uint8Array | undefined {
    return this.bitmaps.get(group);
  }

  /** Highest group of which a block was claimed, −1 when there is none. */
  get lastClaimed(): number {
    let last = -1;
    for (const group of this.bitmaps.keys()) last = Math.max(last, group);
    return last;
  }

  /** True when no block of [block, block + length), inside one group, has an owner. */
  isFree(block: number, length: number): boolean {
    const group = this.geometry.groupOf(block);
    const bitmap = this.bitmaps.get(group);
    if (bitmap === undefined) return true;
    const first = block - this.geometry.groupBase(group);
    for (let bit = first; bit < first + length; bit++) if (isSet(bitmap, bit)) return false;
    return true;
  }

  /** Length of the run of blocks without an owner that begins at `block`, at most `length`. */
  freeRun(block: number, length: number): number {
    const group = this.geometry.groupOf(block);
    const bitmap = this.bitmaps.get(group);
    if (bitmap === undefined) return length;
    const first = block - this.geometry.groupBase(group);
    let run = 0;
    while (run < length && !isSet(bitmap, first + run)) run++;
    return run;
  }

  /** Gives [block, block + length), inside one group, an owner. */
  claim(block: number, length: number): void {
    this.change(block, length, true);
  }

  /** Takes the owner away. */
  release(block: number, length: number): void {
    this.change(block, length, false);
  }

  private change(block: number, length: number, value: boolean): void {
    const group = this.geometry.groupOf(block);
    const bitmap = this.bitmapOf(group);
    const first = block - this.geometry.groupBase(group);
    assert(first > 0 && first + length <= GROUP_BLOCKS, 'blocks of one group behind its header are claimed together');
    for (let bit = first; bit < first + length; bit++) {
      const mask = 1 << (bit & 7);
      const byte = bitmap[bit >> 3] as number;
      bitmap[bit >> 3] = value ? byte | mask : byte & ~mask;
    }
  }

  private bitmapOf(group: number): Uint8Array {
    if (group === this.lastGroup) return this.lastBitmap;
    let bitmap = this.bitmaps.get(group);
    if (bitmap === undefined) this.bitmaps.set(group, (bitmap = fixedBits(this.geometry, group)));
    this.lastGroup = group;
    this.lastBitmap = bitmap;
    return bitmap;
  }

  /**
   * First block of a run of `length` blocks in groups 0 … groups − 1 that is free here and in `other`; −1 when there is none.
   * Goes on where the last search ended.
   */
  findFree(length: number, groups: number, other: BlockMap | null): number {
    if (this.searchGroup >= groups) this.searchGroup = 0;
    for (let tried = 0; tried <= groups; tried++) {
      const group = (this.searchGroup + tried) % groups;
      const found = this.findInGroup(group, tried === 0 ? this.searchBit : 1, length, other);
      if (found < 0) continue;
      this.searchGroup = group;
      this.searchBit = found + length;
      return this.geometry.groupBase(group) + found;
    }
    return -1;
  }

  private findInGroup(group: number, from: number, length: number, other: BlockMap | null): number {
    const own = this.bitmaps.get(group);
    const others = other?.bitmaps.get(group);
    // The last block of the last group is the backup superblock.
    const end = this.geometry.groupLength(group) - (group === this.geometry.groupCount - 1 ? 1 : 0);
    if (own === undefined && others === undefined) return from + length <= end ? from : -1;
    let start = from;
    for (let bit = from; bit < end; bit++) {
      if ((bit & 7) === 0 && own?.[bit >> 3] === 0xff) {
        bit += 7;
        start = bit + 1;
      } else if ((own !== undefined && isSet(own, bit)) || (others !== undefined && isSet(others, bit))) {
        start = bit + 1;
      } else if (bit + 1 - start >= length) {
        return start;
      }
    }
    return -1;
  }
}

/** The bits that are set in the header of a group whatever is in the volume: header, backup superblock, end of the volume. */
export function fixedBits(geometry: Geometry, group: number): Uint8Array {
  const bitmap = new Uint8Array(BITMAP_BYTES);
  const length = geometry.groupLength(group);
  const set = (bit: number): void => {
    bitmap[bit >> 3] = (bitmap[bit >> 3] as number) | (1 << (bit & 7));
  };
  set(0);
  for (let bit = length; bit < GROUP_BLOCKS; bit++) set(bit);
  if (group === geometry.groupCount - 1) set(length - 1);
  return bitmap;
}

function isSet(bitmap: Uint8Array, bit: number): boolean {
  return (((bitmap[bit >> 3] as number) >> (bit & 7)) & 1) !== 0;
}
