import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { BLOCK_SIZE, Inode } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Core } from '../space/core.js';
import type { ExtentMap } from './extents.js';

/** Where a caller wants byte ranges written to: see Ranges in fs/types. */
export interface RangeList {
  readonly addresses: Float64Array;
  readonly lengths: Float64Array;
  readonly capacity: number;
  count: number;
}

/**
 * Describes [offset, offset + length) of a file, clipped to its size, as ranges of the medium; −1 for zero bytes.
 * Returns the bytes described: fewer than there are when `ranges` is full.
 */
export function describeRange(core: Core, extents: ExtentMap, ino: Ino, offset: number, length: number, ranges: RangeList): number {
  const record = core.inodes.get(ino);
  const root = record + Inode.body;
  const end = Math.min(offset + length, getU64(core.journal.view, record + Inode.size));
  ranges.count = 0;
  let position = offset;
  while (position < end) {
    const mapped = extents.lookup(root, ino, Math.floor(position / BLOCK_SIZE));
    const partEnd = Math.min(end, extents.end * BLOCK_SIZE);
    const readable = mapped && !extents.unwritten;
    const address = readable ? extents.block * BLOCK_SIZE + (position - extents.start * BLOCK_SIZE) : -1;
    if (!addRange(ranges, address, partEnd - position)) break;
    position = partEnd;
  }
  return Math.max(0, position - offset);
}

/** Appends a range, joined with the one before where they touch. False: no room. */
function addRange(ranges: RangeList, address: number, length: number): boolean {
  const last = ranges.count - 1;
  if (last >= 0) {
    const lastAddress = ranges.addresses[last] as number;
    const lastLength = ranges.lengths[last] as number;
    const touches = address < 0 ? lastAddress < 0 : lastAddress >= 0 && lastAddress + lastLength === address;
    if (touches) {
      ranges.lengths[last] = lastLength + length;
      return true;
    }
  }
  if (ranges.count === ranges.capacity) return false;
  ranges.addresses[ranges.count] = address;
  ranges.lengths[ranges.count] = length;
  ranges.count += 1;
  return true;
}

/**
 * lseek(2) SEEK_DATA (`data`) and SEEK_HOLE: the first position ≥ offset in a written extent, or outside of one. The end of the file
 * counts as a hole. ENXIO at or beyond the end, and when no data follows.
 */
export function seekContent(core: Core, extents: ExtentMap, ino: Ino, offset: number, data: boolean): number {
  const record = core.inodes.get(ino);
  const size = getU64(core.journal.view, record + Inode.size);
  if (!(offset >= 0) || offset >= size) fail('ENXIO', 'seek beyond the end of the file');
  let position = offset;
  while (position < size) {
    // The way may lead through more extents than the cache has room for.
    core.journal.cache.beginOperation();
    const mapped = extents.lookup(core.inodes.get(ino) + Inode.body, ino, Math.floor(position / BLOCK_SIZE));
    if ((mapped && !extents.unwritten) === data) return position;
    position = extents.end * BLOCK_SIZE;
  }
  if (data) fail('ENXIO', 'no data follows');
  return size;
}
