import { GROUP_BLOCKS, GroupHeader } from './layout.js';
import { type Geometry, groupLength } from './superblock.js';

/** Fills in the header of a group that is used for the first time; returns the number of its free blocks. */
export function initGroupHeader(view: DataView, base: number, geometry: Geometry, group: number): number {
  const length = groupLength(geometry, group);
  const bitmap = base + GroupHeader.bitmap;
  setBits(view, bitmap, 0, 1, 1);
  let free = length - 1;
  if (length < GROUP_BLOCKS) setBits(view, bitmap, length, GROUP_BLOCKS - length, 1);
  if (group === geometry.groups - 1) {
    // The last block of the volume is the backup superblock.
    setBits(view, bitmap, length - 1, 1, 1);
    free -= 1;
  }
  view.setUint32(base + GroupHeader.freeCount, free, true);
  return free;
}

/** What is wrong with the bitmap of a group or with its count of free blocks, for people; undefined: nothing. */
export function bitmapFault(view: DataView, base: number, geometry: Geometry, group: number): string | undefined {
  const bitmap = base + GroupHeader.bitmap;
  let used = 0;
  for (let at = 0; at < GROUP_BLOCKS / 8; at += 4) used += bitCount(view.getUint32(bitmap + at, true));
  const free = view.getUint32(base + GroupHeader.freeCount, true);
  if (free !== GROUP_BLOCKS - used) return `a count of ${String(free)} free blocks, and ${String(GROUP_BLOCKS - used)} in the bitmap`;
  if (!isSet(view, bitmap, 0)) return 'its own block marked free';
  const length = groupLength(geometry, group);
  for (let bit = group === geometry.groups - 1 ? length - 1 : length; bit < GROUP_BLOCKS; bit += 1) {
    if (!isSet(view, bitmap, bit)) return `block ${String(bit)} of it, which is no block for data, marked free`;
  }
  return undefined;
}

function isSet(view: DataView, bitmap: number, bit: number): boolean {
  return ((view.getUint8(bitmap + (bit >>> 3)) >>> (bit & 7)) & 1) !== 0;
}

function bitCount(word: number): number {
  let pairs = word - ((word >>> 1) & 0x55555555);
  pairs = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((pairs + (pairs >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Sets (value 1) or clears (value 0) bits [start, start + count) of a bitmap; returns false if one had that value already. */
export function setBits(view: DataView, bitmap: number, start: number, count: number, value: 0 | 1): boolean {
  let clean = true;
  let bit = start;
  const end = start + count;
  while (bit < end) {
    if ((bit & 31) === 0 && bit + 32 <= end) {
      const at = bitmap + (bit >>> 3);
      const expected = value === 1 ? 0 : -1;
      if (view.getInt32(at, true) !== expected) clean = false;
      view.setInt32(at, value === 1 ? -1 : 0, true);
      bit += 32;
      continue;
    }
    const at = bitmap + (bit >>> 3);
    const mask = 1 << (bit & 7);
    const byte = view.getUint8(at);
    if (((byte & mask) !== 0 ? 1 : 0) === value) clean = false;
    view.setUint8(at, value === 1 ? byte | mask : byte & ~mask);
    bit += 1;
  }
  return clean;
}
