import { FsError } from '../base/errno.js';
import { type BlockNo, asBlockNo } from '../base/units.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  ItemArea,
  KEY_SIZE,
  MAX_VOLUME_BLOCKS,
  Magic,
  SLOT_SIZE,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeKind,
  TreeNode,
  XATTR_ROOT_SIZE,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Blocks } from '../journal/blocks.js';
import {
  countOf,
  headerIsSound,
  heapBytesOf,
  initArea,
  itemIsInside,
  itemsAreSound,
  lengthAt,
  payloadAt,
  removeItem,
} from './area.js';

/** Bytes of the item area of a node. */
export const NODE_AREA_SIZE = BLOCK_SIZE - TREE_NODE_AREA;
/** Bytes of the item area in a tree root of depth 0. */
export const ROOT_AREA_SIZE = TREE_ROOT_SIZE - TREE_ROOT_AREA;
/** The same for extended attributes: their tree root fills a block. */
const XATTR_ROOT_AREA_SIZE = XATTR_ROOT_SIZE - TREE_ROOT_AREA;

/** Bytes of the item area in the root of a tree of this kind. */
export function rootAreaSizeOf(kind: number): number {
  return kind === TreeKind.xattrs ? XATTR_ROOT_AREA_SIZE : ROOT_AREA_SIZE;
}

/** Payload of an item of an interior node: the number of the child's block. */
export const CHILD_SIZE = 8;

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
 * Throws EIO. Items are not looked at: their offsets are checked when they are used.
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
