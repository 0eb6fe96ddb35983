import { FsError } from '../base/errno.js';
import { type BlockNo, asBlockNo } from '../base/units.js';
import {
  BlockHeader,
  ItemArea,
  KEY_SIZE,
  MAX_VOLUME_BLOCKS,
  Magic,
  SLOT_SIZE,
  TREE_MAX_DEPTH,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TreeKind,
  type TreeKindNumber,
  TreeNode,
  TreeRoot,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { CHILD_SIZE, NODE_AREA_SIZE, PAYLOAD_MAX, PAYLOAD_MIN, rootSizeOf } from '../format/tree-limits.js';
import type { Blocks } from '../journal/blocks.js';
import {
  countOf,
  headerIsSound,
  heapBytesOf,
  initArea,
  itemIsInside,
  itemsAreSound,
  keyAt,
  lengthAt,
  payloadAt,
  removeItem,
} from './area.js';

/** Bytes of the item area in the root of a tree of this kind. */
export function rootAreaSizeOf(kind: number): number {
  return rootSizeOf(kind) - TREE_ROOT_AREA;
}

/** Shortest and longest payload by tree kind; 0: of interior nodes. */
const PAYLOAD_LIMITS: Readonly<Record<number, readonly [number, number]>> = {
  0: [CHILD_SIZE, CHILD_SIZE],
  ...Object.fromEntries(Object.values(TreeKind).map((kind) => [kind, [PAYLOAD_MIN[kind], PAYLOAD_MAX[kind]]])),
};

/** Writes level and kind into a fresh node and makes its area empty. */
export function initNode(view: DataView, base: number, level: number, kind: number): void {
  view.setUint16(base + TreeNode.level, level, true);
  view.setUint16(base + TreeNode.kind, kind, true);
  initArea(view, base + TREE_NODE_AREA, NODE_AREA_SIZE);
}

/** Makes an empty tree root at `root`; `areaSize`: of its item area, see {@link rootAreaSizeOf}. */
export function initTreeRoot(view: DataView, bytes: Uint8Array, root: number, areaSize: number): void {
  bytes.fill(0, root, root + TREE_ROOT_AREA + areaSize);
  initArea(view, root + TREE_ROOT_AREA, areaSize);
}

/** Throws EIO. `block` 0 means the tree root inside the inode or the volume state. */
export function damaged(block: number, owner: number, expected: string, found: string): never {
  const where = block === 0 ? 'tree root' : `tree node ${String(block)}`;
  const whose = owner === 0 ? 'of the volume state' : `of inode ${String(owner)}`;
  throw new FsError('EIO', `${where} ${whose}: expected ${expected}, found ${found}; run fsck.nvmfs`);
}

/**
 * Reads a node, checks what its checksum can't say (that it is the node that the tree means), and returns its offset.
 * Throws EIO. Items are not looked at: their offsets are checked when they are used ({@link nodeFault} looks at all, once per load).
 */
export function readNode(
  blocks: Blocks,
  block: BlockNo,
  owner: number,
  kind: number,
  level: number,
  minimumItems: number,
): number {
  const base = blocks.read(block, Magic.node);
  const view = blocks.view;
  const foundLevel = view.getUint16(base + TreeNode.level, true);
  if (foundLevel !== level) damaged(block, owner, `level ${String(level)}`, String(foundLevel));
  const foundKind = view.getUint16(base + TreeNode.kind, true);
  if (foundKind !== kind) damaged(block, owner, `tree kind ${String(kind)}`, String(foundKind));
  const foundOwner = getU64(view, base + BlockHeader.owner);
  if (foundOwner !== owner) damaged(block, owner, `owner ${String(owner)}`, String(foundOwner));
  const area = base + TREE_NODE_AREA;
  checkArea(view, area, NODE_AREA_SIZE, block, owner);
  const count = countOf(view, area);
  if (count < minimumItems) damaged(block, owner, `at least ${String(minimumItems)} items`, String(count));
  return base;
}

/** Throws EIO unless the header of the area is possible. */
export function checkArea(view: DataView, area: number, size: number, block: number, owner: number): void {
  if (headerIsSound(view, area, size)) return;
  const count = countOf(view, area);
  const heapStart = view.getUint16(area + ItemArea.heapStart, true);
  const heapBytes = heapBytesOf(view, area);
  damaged(
    block,
    owner,
    `slots up to ${String(ItemArea.slots + count * SLOT_SIZE)} ≤ heapStart ≤ ${String(size)} and heapBytes ≤ size − heapStart`,
    `heapStart ${String(heapStart)}, heapBytes ${String(heapBytes)}`,
  );
}

/** Throws EIO unless item `index` lies inside the area. */
export function checkItem(view: DataView, area: number, size: number, index: number, block: number, owner: number): void {
  if (!itemIsInside(view, area, size, index)) damagedItem(view, area, index, block, owner);
}

function damagedItem(view: DataView, area: number, index: number, block: number, owner: number): never {
  const offset = payloadAt(view, area, index) - KEY_SIZE - area;
  const length = lengthAt(view, area, index);
  damaged(block, owner, `item ${String(index)} inside the heap`, `offset ${String(offset)}, payload of ${String(length)} bytes`);
}

/** Throws EIO unless all items lie inside the area, in order, and their lengths add up: before items are moved. */
export function checkItems(view: DataView, area: number, size: number, block: number, owner: number): void {
  if (itemsAreSound(view, area, size)) return;
  const count = countOf(view, area);
  for (let i = 0; i < count; i++) checkItem(view, area, size, i, block, owner);
  const found = `heapBytes ${String(heapBytesOf(view, area))}, or keys out of order`;
  damaged(block, owner, 'ascending keys and heapBytes the sum of the items', found);
}

/**
 * Throws EIO unless the keys of a node lie in [low, high); the first one of an interior node is `low` itself. Only the first and the
 * last are looked at: all are in order, or {@link nodeFault} has said so.
 */
export function checkBounds(view: DataView, area: number, level: number, low: number, high: number, block: number, owner: number): void {
  const count = countOf(view, area);
  checkItem(view, area, NODE_AREA_SIZE, 0, block, owner);
  checkItem(view, area, NODE_AREA_SIZE, count - 1, block, owner);
  const first = keyAt(view, area, 0);
  const last = keyAt(view, area, count - 1);
  if (level > 0 ? first === low : first >= low) {
    if (last < high) return;
  }
  const expected = level > 0 ? `first key ${String(low)}, keys < ${String(high)}` : `keys ≥ ${String(low)} and < ${String(high)}`;
  damaged(block, owner, expected, `${String(first)} … ${String(last)}`);
}

/**
 * What is wrong with the items of a node that has just come in, undefined when nothing is: they must lie in the heap, add up, be in the
 * order of their keys, and have payloads of the length that the kind has. Asked once per load, so that what is built on it never meets a surprise.
 */
export function nodeFault(view: DataView, base: number): string | undefined {
  const area = base + TREE_NODE_AREA;
  const level = view.getUint16(base + TreeNode.level, true);
  const kind = view.getUint16(base + TreeNode.kind, true);
  return areaFault(view, area, NODE_AREA_SIZE, level > 0 ? 0 : kind);
}

/** As {@link nodeFault}, of the tree root at `root`. */
export function rootFault(view: DataView, root: number, kind: TreeKindNumber): string | undefined {
  const depth = view.getUint16(root + TreeRoot.depth, true);
  if (depth > TREE_MAX_DEPTH) return `a tree of depth ${String(depth)}`;
  return depth > 0 ? undefined : areaFault(view, root + TREE_ROOT_AREA, rootAreaSizeOf(kind), kind);
}

/** `kind` 0: children. */
function areaFault(view: DataView, area: number, size: number, kind: number): string | undefined {
  if (!headerIsSound(view, area, size)) return 'an item area with an impossible header';
  if (!itemsAreSound(view, area, size)) return 'items outside of the heap, or out of order';
  const limits = PAYLOAD_LIMITS[kind];
  if (limits === undefined) return `tree kind ${String(kind)}`;
  const [shortest, longest] = limits;
  const count = countOf(view, area);
  for (let i = 0; i < count; i++) {
    const length = lengthAt(view, area, i);
    if (length < shortest || length > longest) return `a payload of ${String(length)} bytes`;
  }
  return undefined;
}

/** Block of child `index` of the interior node whose area is at `area`. Throws EIO when the item can't be one. */
export function childAt(view: DataView, area: number, index: number, block: number, owner: number): BlockNo {
  checkItem(view, area, NODE_AREA_SIZE, index, block, owner);
  const length = lengthAt(view, area, index);
  if (length !== CHILD_SIZE) damaged(block, owner, `a payload of ${String(CHILD_SIZE)} bytes`, String(length));
  return checkBlock(getU64(view, payloadAt(view, area, index)), block, owner);
}

/** `child`, found in `block`, as a block number. Throws EIO when no volume has such a block. */
export function checkBlock(child: number, block: number, owner: number): BlockNo {
  if (child < 1 || child >= MAX_VOLUME_BLOCKS) damaged(block, owner, 'the block number of a child', String(child));
  return asBlockNo(child);
}

/** Takes item `index`, which lies inside the area, out. Throws EIO when the area's own account contradicts it. */
export function takeOutItem(blocks: Blocks, area: number, size: number, index: number, block: number, owner: number): void {
  const { view, bytes } = blocks;
  const bytesOfItem = KEY_SIZE + lengthAt(view, area, index);
  const heapBytes = heapBytesOf(view, area);
  if (heapBytes < bytesOfItem) damaged(block, owner, `heapBytes of at least ${String(bytesOfItem)}`, String(heapBytes));
  removeItem(view, bytes, area, size, index);
}
