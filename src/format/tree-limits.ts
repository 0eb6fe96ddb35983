/** What the sizes of doc/FORMAT.md, "Trees", come to: room in nodes and roots, and how long payloads may be. */
import {
  BLOCK_SIZE,
  Dentry,
  EXTENT_PAYLOAD_SIZE,
  FREE_INODES_PAYLOAD_SIZE,
  INODES_PER_BLOCK,
  NAME_MAX,
  TREE_MAX_PAYLOAD,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeKind,
  type TreeKindNumber,
  XATTR_ROOT_SIZE,
  XattrItem,
} from './layout.js';

/** Bytes of the item area of a node. */
export const NODE_AREA_SIZE = BLOCK_SIZE - TREE_NODE_AREA;
/** Bytes of the item area in a tree root of depth 0; that of extended attributes is larger. */
export const ROOT_AREA_SIZE = TREE_ROOT_SIZE - TREE_ROOT_AREA;

/** Bytes of the root of a tree of this kind: that of extended attributes fills a block. */
export function rootSizeOf(kind: number): number {
  return kind === TreeKind.xattrs ? XATTR_ROOT_SIZE : TREE_ROOT_SIZE;
}

/** Payload of an item of an interior node: the number of the child's block. */
export const CHILD_SIZE = 8;

/** Keys are below this. */
export const KEY_END = 2 ** 53;
/** Blocks of the inode table: inode numbers are below 2^53. */
export const TABLE_BLOCKS_MAX = KEY_END / INODES_PER_BLOCK;

/** Shortest payload of an item of a leaf, by tree kind. */
export const PAYLOAD_MIN: Readonly<Record<TreeKindNumber, number>> = { 1: EXTENT_PAYLOAD_SIZE, 2: Dentry.name + 1, 3: FREE_INODES_PAYLOAD_SIZE, 4: XattrItem.name + 1 };
/** The longest. */
export const PAYLOAD_MAX: Readonly<Record<TreeKindNumber, number>> = { 1: EXTENT_PAYLOAD_SIZE, 2: Dentry.name + NAME_MAX, 3: FREE_INODES_PAYLOAD_SIZE, 4: TREE_MAX_PAYLOAD };
