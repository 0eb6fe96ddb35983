import {
  BlockHeader,
  ItemArea,
  KEY_SIZE,
  Magic,
  SLOT_SIZE,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeNode,
  TreeRoot,
} from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import { NODE_AREA_SIZE } from '../format/tree-limits.js';

/** An item of a tree in DRAM. */
export interface Item {
  key: number;
  payload: Uint8Array;
}

/** Bytes of an area that an item takes. */
export function costOf({ payload }: Item): number {
  return SLOT_SIZE + KEY_SIZE + payload.length;
}

/**
 * The items of an area, whatever is in it: those that lie inside, have a payload of a possible length and follow the others in the
 * order of keys. Of an area without fault these are all.
 */
export function readItems(view: DataView, base: number, size: number, shortest: number, longest: number): Item[] {
  const count = Math.min(view.getUint16(base + ItemArea.count, true), Math.floor((size - ItemArea.slots) / SLOT_SIZE));
  const items: Item[] = [];
  let previousKey = -1;
  for (let i = 0; i < count; i++) {
    const slot = base + ItemArea.slots + i * SLOT_SIZE;
    const offset = view.getUint16(slot, true);
    const length = view.getUint16(slot + 2, true);
    if (length < shortest || length > longest) continue;
    if (offset < ItemArea.slots + count * SLOT_SIZE || offset + KEY_SIZE + length > size) continue;
    const key = getU64(view, base + offset);
    if (key <= previousKey || !Number.isSafeInteger(key)) continue;
    previousKey = key;
    const start = view.byteOffset + base + offset + KEY_SIZE;
    items.push({ key, payload: new Uint8Array(view.buffer.slice(start, start + length)) });
  }
  return items;
}

/** As many of the first items as an area of `size` bytes holds: overlapping items of a damaged one may be more. */
export function fitting(items: Item[], size: number): Item[] {
  let room = size - ItemArea.slots;
  const end = items.findIndex((item) => (room -= costOf(item)) < 0);
  return end < 0 ? items : items.slice(0, end);
}

/** Writes items as an area, packed; the bytes between slots and items are zero. */
export function packItems(view: DataView, bytes: Uint8Array, base: number, size: number, items: readonly Item[]): void {
  bytes.fill(0, base, base + size);
  let heap = size;
  items.forEach(({ key, payload }, index) => {
    heap -= KEY_SIZE + payload.length;
    const slot = base + ItemArea.slots + index * SLOT_SIZE;
    view.setUint16(slot, heap, true);
    view.setUint16(slot + 2, payload.length, true);
    setU64(view, base + heap, key);
    bytes.set(payload, base + heap + KEY_SIZE);
  });
  view.setUint16(base + ItemArea.count, items.length, true);
  view.setUint16(base + ItemArea.heapStart, heap, true);
  view.setUint16(base + ItemArea.heapBytes, size - heap, true);
}

/** Makes a tree root of `size` bytes without nodes that holds these few items. */
export function packRoot(view: DataView, bytes: Uint8Array, root: number, items: readonly Item[], size = TREE_ROOT_SIZE): void {
  bytes.fill(0, root, root + size);
  packItems(view, bytes, root + TREE_ROOT_AREA, size - TREE_ROOT_AREA, items);
}

/** Makes a tree root of `size` bytes above the node in `block`. */
export function packRootAbove(view: DataView, bytes: Uint8Array, root: number, block: number, depth: number, nodes: number, size = TREE_ROOT_SIZE): void {
  bytes.fill(0, root, root + size);
  view.setUint16(root + TreeRoot.depth, depth, true);
  view.setUint32(root + TreeRoot.nodes, nodes, true);
  setU64(view, root + TreeRoot.root, block);
}

/** Fills a buffer with a tree node; its checksum is the writer's. */
export function packNode(view: DataView, bytes: Uint8Array, block: number, owner: number, kind: number, level: number, items: readonly Item[]): void {
  bytes.fill(0);
  view.setUint32(BlockHeader.magic, Magic.node, true);
  setU64(view, BlockHeader.self, block);
  setU64(view, BlockHeader.owner, owner);
  view.setUint16(TreeNode.level, level, true);
  view.setUint16(TreeNode.kind, kind, true);
  packItems(view, bytes, TREE_NODE_AREA, NODE_AREA_SIZE, items);
}

/** An item of an interior node. */
export function childItem(key: number, block: number): Item {
  const payload = new Uint8Array(8);
  setU64(new DataView(payload.buffer), 0, block);
  return { key, payload };
}

export function childOf({ payload }: Item): number {
  return getU64(new DataView(payload.buffer, payload.byteOffset), 0);
}
