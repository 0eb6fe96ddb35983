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
