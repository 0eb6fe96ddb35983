import { assert } from '../base/assert.js';
import { ItemArea, KEY_SIZE, SLOT_SIZE, TREE_MAX_PAYLOAD } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';

/*
 * The item area of doc/FORMAT.md: slots sorted by key grow up, items are packed from the end downwards.
 * `base` is the offset of the area in `view` and `bytes` (two views of one buffer), `size` its length.
 *
 * Removing leaves a hole in the heap and inserting takes the room below the heap, so that a change touches
 * few lines (the journal writes changed lines); only when that room is used up is the heap compacted.
 */

/** Returned by {@link floorIndex} when a slot points outside the area. */
export const DAMAGED = -2;

/** Largest area there is: that of a node. */
const SCRATCH_SIZE = 4096;
const scratch = new Uint8Array(SCRATCH_SIZE);

/** Makes an empty area. Bytes behind the header are left as they are. */
export function initArea(view: DataView, base: number, size: number): void {
  view.setUint16(base + ItemArea.count, 0, true);
  view.setUint16(base + ItemArea.heapStart, size, true);
  view.setUint16(base + ItemArea.heapBytes, 0, true);
  view.setUint16(base + ItemArea.heapBytes + 2, 0, true);
}

export function countOf(view: DataView, base: number): number {
  return view.getUint16(base + ItemArea.count, true);
}

function heapStartOf(view: DataView, base: number): number {
  return view.getUint16(base + ItemArea.heapStart, true);
}

/** Bytes of the live items, keys and payloads. */
export function heapBytesOf(view: DataView, base: number): number {
  return view.getUint16(base + ItemArea.heapBytes, true);
}

/** Bytes that slots and items of an area of `size` bytes can take. */
export function capacityOf(size: number): number {
  return size - ItemArea.slots;
}

/** Bytes of the capacity that an item with a payload of `length` bytes takes. */
export function costOf(length: number): number {
  return SLOT_SIZE + KEY_SIZE + length;
}

/** Bytes of the capacity that the items of the area take. */
export function usedOf(view: DataView, base: number): number {
  return countOf(view, base) * SLOT_SIZE + heapBytesOf(view, base);
}

function slotAt(base: number, index: number): number {
  return base + ItemArea.slots + index * SLOT_SIZE;
}

/** Offset of item `index` in the view. */
function itemAt(view: DataView, base: number, index: number): number {
  return base + view.getUint16(slotAt(base, index), true);
}

/** Key of item `index`, which was checked with {@link itemIsInside} or met by {@link floorIndex}. */
export function keyAt(view: DataView, base: number, index: number): number {
  return getU64(view, itemAt(view, base, index));
}

export function setKeyAt(view: DataView, base: number, index: number, key: number): void {
  setU64(view, itemAt(view, base, index), key);
}

/** Offset in the view of the payload of item `index`. */
export function payloadAt(view: DataView, base: number, index: number): number {
  return itemAt(view, base, index) + KEY_SIZE;
}

/** Length of the payload of item `index` in bytes. */
export function lengthAt(view: DataView, base: number, index: number): number {
  return view.getUint16(slotAt(base, index) + 2, true);
}

/** Whether the header is possible: every slot lies inside the area, below the heap. */
export function headerIsSound(view: DataView, base: number, size: number): boolean {
  const heapStart = heapStartOf(view, base);
  return (
    heapStart <= size &&
    ItemArea.slots + countOf(view, base) * SLOT_SIZE <= heapStart &&
    heapBytesOf(view, base) <= size - heapStart
  );
}

/** Whether item `index` lies in the heap and its payload is not too long. */
export function itemIsInside(view: DataView, base: number, size: number, index: number): boolean {
  const slot = slotAt(base, index);
  const offset = view.getUint16(slot, true);
  const length = view.getUint16(slot + 2, true);
  return offset >= heapStartOf(view, base) && offset + KEY_SIZE + length <= size && length <= TREE_MAX_PAYLOAD;
}

/**
 * Whether all items lie in the heap, add up to `heapBytes`, and are in the order of their keys:
 * to be asked before many of them are moved.
 */
export function itemsAreSound(view: DataView, base: number, size: number): boolean {
  const count = countOf(view, base);
  let sum = 0;
  let before = -1;
  for (let i = 0; i < count; i++) {
    if (!itemIsInside(view, base, size, i)) return false;
    const key = keyAt(view, base, i);
    if (key <= before || key > Number.MAX_SAFE_INTEGER) return false;
    before = key;
    sum += KEY_SIZE + lengthAt(view, base, i);
  }
  return sum === heapBytesOf(view, base);
}

/** Index of the greatest item with a key ≤ `key`; −1 when there is none; {@link DAMAGED}. */
export function floorIndex(view: DataView, base: number, size: number, key: number): number {
  const last = size - KEY_SIZE;
  // The halves of the key are compared as integers: this loop is where lookups spend their time.
  const keyHigh = Math.floor(key / 2 ** 32);
  const keyLow = key >>> 0;
  let low = 0;
  let high = countOf(view, base);
  // All items below `low` have keys ≤ key, all from `high` on have greater ones.
  while (low < high) {
    const middle = (low + high) >>> 1;
    const offset = view.getUint16(slotAt(base, middle), true);
    if (offset > last) return DAMAGED;
    const itemHigh = view.getUint32(base + offset + 4, true);
    if (itemHigh < keyHigh || (itemHigh === keyHigh && view.getUint32(base + offset, true) <= keyLow)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Bytes between slots and heap. */
function gapOf(view: DataView, base: number): number {
  return heapStartOf(view, base) - ItemArea.slots - countOf(view, base) * SLOT_SIZE;
}

/** Whether an item with a payload of `length` bytes can go in without compaction. */
export function fitsGap(view: DataView, base: number, length: number): boolean {
  return gapOf(view, base) >= costOf(length);
}

/**
 * Puts a new item at `index` (the caller keeps the order of keys) and returns the offset of its payload, zeroed.
 * There must be room in the gap, see {@link fitsGap} and {@link compact}.
 */
export function insertItem(view: DataView, bytes: Uint8Array, base: number, index: number, key: number, length: number): number {
  const count = countOf(view, base);
  assert(index >= 0 && index <= count, 'an item is inserted between the others');
  assert(fitsGap(view, base, length), 'there is room for the item');
  const heapStart = heapStartOf(view, base) - KEY_SIZE - length;
  const slot = slotAt(base, index);
  if (index < count) bytes.copyWithin(slot + SLOT_SIZE, slot, slotAt(base, count));
  view.setUint16(slot, heapStart, true);
  view.setUint16(slot + 2, length, true);
  view.setUint16(base + ItemArea.count, count + 1, true);
  view.setUint16(base + ItemArea.heapStart, heapStart, true);
  view.setUint16(base + ItemArea.heapBytes, heapBytesOf(view, base) + KEY_SIZE + length, true);
  setU64(view, base + heapStart, key);
  const payload = base + heapStart + KEY_SIZE;
  bytes.fill(0, payload, payload + length);
  return payload;
}

/** Takes item `index` out; the item was checked with {@link itemIsInside}, the area with {@link headerIsSound}. */
export function removeItem(view: DataView, bytes: Uint8Array, base: number, size: number, index: number): void {
  const count = countOf(view, base);
  assert(index >= 0 && index < count, 'the item to remove exists');
  const slot = slotAt(base, index);
  const offset = view.getUint16(slot, true);
  const heapBytes = heapBytesOf(view, base) - KEY_SIZE - lengthAt(view, base, index);
  assert(heapBytes >= 0, 'an item is not larger than all items');
  bytes.copyWithin(slot, slot + SLOT_SIZE, slotAt(base, count));
  view.setUint16(base + ItemArea.count, count - 1, true);
  view.setUint16(base + ItemArea.heapBytes, heapBytes, true);
  if (offset === heapStartOf(view, base)) raiseHeapStart(view, base, size);
}

/** Sets heapStart to the lowest item after items were taken out. */
function raiseHeapStart(view: DataView, base: number, size: number): void {
  const count = countOf(view, base);
  let lowest = size;
  for (let i = 0; i < count; i++) lowest = Math.min(lowest, view.getUint16(slotAt(base, i), true));
  view.setUint16(base + ItemArea.heapStart, lowest, true);
}

/** Packs the items, so that all free bytes are in the gap. The items were checked with {@link itemsAreSound}. */
export function compact(view: DataView, bytes: Uint8Array, base: number, size: number): void {
  assert(size <= SCRATCH_SIZE, 'an area is not larger than a block');
  const count = countOf(view, base);
  for (let i = heapStartOf(view, base); i < size; i++) scratch[i] = bytes[base + i] ?? 0;
  let heapStart = size;
  for (let i = 0; i < count; i++) {
    const slot = slotAt(base, i);
    const length = KEY_SIZE + view.getUint16(slot + 2, true);
    const from = view.getUint16(slot, true);
    heapStart -= length;
    assert(heapStart >= ItemArea.slots + count * SLOT_SIZE, 'items that were inside the area fit into it');
    for (let j = 0; j < length; j++) bytes[base + heapStart + j] = scratch[from + j] ?? 0;
    view.setUint16(slot, heapStart, true);
  }
  view.setUint16(base + ItemArea.heapStart, heapStart, true);
}

/**
 * Copies the items from index `first` on to the end of another area, which has room for them once it is compact.
 * Both areas were checked with {@link itemsAreSound}; all keys of `to` are less than those that come.
 */
export function appendItems(view: DataView, bytes: Uint8Array, from: number, first: number, to: number, toSize: number): void {
  const fromCount = countOf(view, from);
  const toCount = countOf(view, to);
  const moved = itemBytesFrom(view, from, first);
  const room = moved + (fromCount - first) * SLOT_SIZE;
  if (gapOf(view, to) < room) compact(view, bytes, to, toSize);
  assert(gapOf(view, to) >= room, 'there is room for the items');

  let heapStart = heapStartOf(view, to);
  for (let i = first; i < fromCount; i++) {
    const item = itemAt(view, from, i);
    const length = lengthAt(view, from, i);
    heapStart -= KEY_SIZE + length;
    bytes.copyWithin(to + heapStart, item, item + KEY_SIZE + length);
    const slot = slotAt(to, toCount + i - first);
    view.setUint16(slot, heapStart, true);
    view.setUint16(slot + 2, length, true);
  }
  view.setUint16(to + ItemArea.count, toCount + fromCount - first, true);
  view.setUint16(to + ItemArea.heapStart, heapStart, true);
  view.setUint16(to + ItemArea.heapBytes, heapBytesOf(view, to) + moved, true);
}

/** Takes out all items from index `first` on; the area was checked with {@link itemsAreSound}. */
export function truncateItems(view: DataView, base: number, size: number, first: number): void {
  view.setUint16(base + ItemArea.heapBytes, heapBytesOf(view, base) - itemBytesFrom(view, base, first), true);
  view.setUint16(base + ItemArea.count, first, true);
  raiseHeapStart(view, base, size);
}

/** Sum of keys and payloads of the items from index `first` on. */
function itemBytesFrom(view: DataView, base: number, first: number): number {
  const count = countOf(view, base);
  let sum = 0;
  for (let i = first; i < count; i++) sum += KEY_SIZE + lengthAt(view, base, i);
  return sum;
}
