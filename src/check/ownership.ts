import { assert } from '../base/assert.js';
import { GROUP_BLOCKS } from '../format/layout.js';
import type { Geometry } from './geometry.js';

const BITMAP_BYTES = GROUP_BLOCKS / 8;

/**
 * Who owns a block is found by walking everything; this remembers which blocks have been seen: one bitmap per
 * allocation group, made when the group's first block is claimed, so that an empty terabyte costs nothing.
 * Bits that are set in every header (header, backup superblock, past the end) are set from the start.
 */
export class Ownership {
  private readonly bitmaps = new Map<number, Uint8Array>();
  private lastGroup = -1;
  private lastBitmap: Uint8Array = new Uint8Array(0);
  /** After `claim` returned more than 0: the first block that had an owner already. */
  firstDouble = -1;

  constructor(private readonly geometry: Geometry) {}

  /** Groups of which blocks were claimed. */
  groups(): Iterable<number> {
    return this.bitmaps.keys();
  }

  /**
   * Marks [block, block + length), which lies inside one group, as owned.
   * Returns how many of these blocks had an owner before.
   */
  claim(block: number, length: number): number {
    const group = this.geometry.groupOf(block);
    const bitmap = this.bitmapOf(group);
    let bit = block - this.geometry.groupBase(group);
    const end = bit + length;
    assert(bit >= 0 && end <= GROUP_BLOCKS, 'a claimed range lies inside one group');
    const base = block - bit;
    let doubles = 0;
    while (bit < end) {
      const index = bit >> 3;
      const first = bit & 7;
      const last = Math.min(8, first + end - bit);
      const mask = (0xff >> (8 - last)) & (0xff << first);
      const old = bitmap[index] ?? 0;
      if ((old & mask) !== 0) {
        if (doubles === 0) this.firstDouble = base + index * 8 + lowestBit(old & mask);
        doubles += countBits(old & mask);
      }
      bitmap[index] = old | mask;
      bit += last - first;
    }
    return doubles;
  }

  /** The bitmap that the group's header must have, 4032 bytes. */
  bitmapOf(group: number): Uint8Array {
    if (group === this.lastGroup) return this.lastBitmap;
    let bitmap = this.bitmaps.get(group);
    if (bitmap === undefined) {
      bitmap = this.fixedBits(group);
      this.bitmaps.set(group, bitmap);
    }
    this.lastGroup = group;
    this.lastBitmap = bitmap;
    return bitmap;
  }

  /** The bits that are set in the group's header whatever is in the volume. */
  fixedBits(group: number): Uint8Array {
    const bitmap = new Uint8Array(BITMAP_BYTES);
    setBit(bitmap, 0);
    const length = this.geometry.groupLength(group);
    for (let bit = length; bit < GROUP_BLOCKS; bit++) setBit(bitmap, bit);
    if (group === this.geometry.groupCount - 1) setBit(bitmap, length - 1);
    return bitmap;
  }
}

function setBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (1 << (bit & 7));
}

function lowestBit(byte: number): number {
  return 31 - Math.clz32(byte & -byte);
}

/** Number of set bits of a byte. */
export function countBits(byte: number): number {
  let rest = byte - ((byte >> 1) & 0x55);
  rest = (rest & 0x33) + ((rest >> 2) & 0x33);
  return (rest + (rest >> 4)) & 0x0f;
}
