import { ItemArea, KEY_SIZE, SLOT_SIZE } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';

/** More slots than fit into any item area (4064 bytes, at least 12 per item). */
const scratch = new Uint32Array(512);

/** What is wrong with an item area. */
export interface AreaFault {
  what: string;
  expected: string;
  found: string;
}

/**
 * Checks that the area of `size` bytes at `base` is well formed: header, slots and items inside it, items disjoint, payload
 * lengths in [shortest, longest], keys ascending. Returns null, or the first fault. Reads nothing outside the area.
 */
export function areaFault(view: DataView, base: number, size: number, shortest: number, longest: number): AreaFault | null {
  const count = view.getUint16(base + ItemArea.count, true);
  const heapStart = view.getUint16(base + ItemArea.heapStart, true);
  const heapBytes = view.getUint16(base + ItemArea.heapBytes, true);
  const slotsEnd = ItemArea.slots + count * SLOT_SIZE;
  if (slotsEnd > size) return fault('count', `at most ${String((size - ItemArea.slots) / SLOT_SIZE)}`, count);
  if (heapStart < slotsEnd || heapStart > size) return fault('heapStart', `${String(slotsEnd)} … ${String(size)}`, heapStart);
  if (heapBytes > size - heapStart) return fault('heapBytes', `at most ${String(size - heapStart)}`, heapBytes);

  let live = 0;
  let previousKey = -1;
  for (let i = 0; i < count; i++) {
    const slot = base + ItemArea.slots + i * SLOT_SIZE;
    const offset = view.getUint16(slot, true);
    const length = view.getUint16(slot + 2, true);
    if (length < shortest || length > longest) {
      return fault(`payload length of item ${String(i)}`, `${String(shortest)} … ${String(longest)}`, length);
    }
    const bytes = KEY_SIZE + length;
    if (offset < heapStart || offset + bytes > size) {
      return fault(`offset of item ${String(i)}`, `${String(heapStart)} … ${String(size - bytes)}`, offset);
    }
    const key = getU64(view, base + offset);
    if (key <= previousKey) return fault(`key of item ${String(i)}`, `more than ${String(previousKey)}`, key);
    previousKey = key;
    live += bytes;
    scratch[i] = offset * 65536 + bytes;
  }
  if (live !== heapBytes) return fault('heapBytes', String(live), heapBytes);
  return overlapFault(count);
}

/** Items lie side by side when, sorted by offset, each ends before the next begins. */
function overlapFault(count: number): AreaFault | null {
  const items = scratch.subarray(0, count).sort();
  let end = 0;
  for (const item of items) {
    const offset = item >>> 16;
    if (offset < end) return fault('items', 'no overlap', `two items at offset ${String(offset)}`);
    end = offset + (item & 0xffff);
  }
  return null;
}

function fault(what: string, expected: string, found: string | number): AreaFault {
  return { what, expected, found: String(found) };
}

/** Number of items of an area that has no fault. */
export function itemCount(view: DataView, base: number): number {
  return view.getUint16(base + ItemArea.count, true);
}

/** Offset in `view` of item `index`: its key, followed by its payload. */
export function itemOffset(view: DataView, base: number, index: number): number {
  return base + view.getUint16(base + ItemArea.slots + index * SLOT_SIZE, true);
}

/** Length of the payload of item `index`. */
export function itemLength(view: DataView, base: number, index: number): number {
  return view.getUint16(base + ItemArea.slots + index * SLOT_SIZE + 2, true);
}
