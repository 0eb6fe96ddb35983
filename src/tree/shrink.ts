import type { BlockNo } from '../base/units.js';
import { Magic, TREE_NODE_AREA, TREE_ROOT_AREA, TreeRoot } from '../format/layout.js';
import { setU64 } from '../format/numbers.js';
import { NODE_AREA_SIZE } from '../format/tree-limits.js';
import { appendItems, capacityOf, countOf, keyAt, setKeyAt, usedOf } from './area.js';
import { checkItem, checkItems, childAt, damaged, initTreeRoot, readNode, takeOutItem } from './node.js';
import type { TreePath } from './path.js';
import type { Tree } from './tree.js';

/*
 * What happens to a tree when items go. The distances between the limits below and a full area keep a tree
 * whose items come and go from being merged and split in turns.
 */
const NODE_CAPACITY = capacityOf(NODE_AREA_SIZE);
/** A node with fewer bytes in use is merged with a neighbour … */
const UNDERFULL = NODE_CAPACITY / 4;
/** … when the two have no more than this. */
const MERGED_MAX = (NODE_CAPACITY * 3) / 4;
/** The last leaf's items return into the tree root when they use no more than this of its capacity. */
const INLINE_PART = 2 / 3;

/**
 * After an item was removed from the leaf of `path` (depth ≥ 1): frees nodes that are empty, merges underfull ones,
 * and lowers the root as far as it goes, in the end back into the tree root itself.
 */
export function shrink(tree: Tree, path: TreePath, root: number, owner: number): void {
  for (let level = 0; level + 1 < path.depth; level++) {
    const used = usedOf(tree.blocks.view, path.areaOf(level));
    if (countOf(tree.blocks.view, path.areaOf(level)) === 0) {
      freeNode(tree, root, owner, path.blockOf(level));
      unlinkChild(tree, path, owner, level + 1, path.indexOf(level + 1));
    } else if (used >= UNDERFULL || !mergeWithNeighbour(tree, path, root, owner, level)) {
      return;
    }
  }
  lowerRoot(tree, path, root, owner);
}

/** Frees a node; its base is invalid from now on. */
function freeNode(tree: Tree, root: number, owner: number, block: BlockNo): void {
  const view = tree.blocks.view;
  const nodes = view.getUint32(root + TreeRoot.nodes, true);
  if (nodes === 0) damaged(0, owner, 'a count of nodes ≥ 1', '0');
  view.setUint32(root + TreeRoot.nodes, nodes - 1, true);
  tree.allocator.freeNode(block);
}

/** Removes child `index` from the node of the path at `level`; its keys now belong to the child before it, if there is one. */
function unlinkChild(tree: Tree, path: TreePath, owner: number, level: number, index: number): void {
  const area = path.edit(level);
  const lowerBound = keyAt(tree.blocks.view, area, index);
  takeOutItem(tree.blocks, area, NODE_AREA_SIZE, index, path.blockOf(level), owner);
  if (index === 0 && countOf(tree.blocks.view, area) > 0) lowerFirstKey(tree, path, owner, level, lowerBound);
}

/**
 * Gives the first child of the node of the path at `level` the lower bound `key`, and so on down its left edge: the
 * first key of an interior node equals the key of its item in the parent.
 */
function lowerFirstKey(tree: Tree, path: TreePath, owner: number, level: number, key: number): void {
  const { blocks } = tree;
  let block = path.blockOf(level);
  let area = path.areaOf(level);
  for (let at = level; ; at--) {
    checkItem(blocks.view, area, NODE_AREA_SIZE, 0, block, owner);
    setKeyAt(blocks.view, area, 0, key);
    if (at === 1) return;
    block = childAt(blocks.view, area, 0, block, owner);
    readNode(blocks, block, owner, tree.kind, at - 1, 1);
    area = blocks.edit(block, Magic.node) + TREE_NODE_AREA;
  }
}

/** Merges the node of the path at `level` with the node before or after it under the same parent. False: they don't fit. */
function mergeWithNeighbour(tree: Tree, path: TreePath, root: number, owner: number, level: number): boolean {
  const index = path.indexOf(level + 1);
  const siblings = countOf(tree.blocks.view, path.areaOf(level + 1));
  return (
    (index > 0 && mergeChildren(tree, path, root, owner, level + 1, index - 1)) ||
    (index + 1 < siblings && mergeChildren(tree, path, root, owner, level + 1, index))
  );
}

/** Moves all items of child `left` + 1 of the node of the path at `level` into child `left`. False: they don't fit. */
function mergeChildren(tree: Tree, path: TreePath, root: number, owner: number, level: number, left: number): boolean {
  const { blocks, kind } = tree;
  const parent = path.areaOf(level);
  const leftBlock = childAt(blocks.view, parent, left, path.blockOf(level), owner);
  const rightBlock = childAt(blocks.view, parent, left + 1, path.blockOf(level), owner);
  const leftArea = readNode(blocks, leftBlock, owner, kind, level - 1, 1) + TREE_NODE_AREA;
  const rightArea = readNode(blocks, rightBlock, owner, kind, level - 1, 1) + TREE_NODE_AREA;
  if (usedOf(blocks.view, leftArea) + usedOf(blocks.view, rightArea) > MERGED_MAX) return false;

  checkItems(blocks.view, leftArea, NODE_AREA_SIZE, leftBlock, owner);
  checkItems(blocks.view, rightArea, NODE_AREA_SIZE, rightBlock, owner);
  const lastLeft = keyAt(blocks.view, leftArea, countOf(blocks.view, leftArea) - 1);
  const firstRight = keyAt(blocks.view, rightArea, 0);
  if (firstRight <= lastLeft) damaged(rightBlock, owner, `keys > ${String(lastLeft)}`, String(firstRight));

  const target = blocks.edit(leftBlock, Magic.node) + TREE_NODE_AREA;
  appendItems(blocks.view, blocks.bytes, rightArea, 0, target, NODE_AREA_SIZE);
  freeNode(tree, root, owner, rightBlock);
  unlinkChild(tree, path, owner, level, left + 1);
  return true;
}

/** Replaces an interior root node with one child by that child; puts the few items of a last leaf back into the tree root. */
function lowerRoot(tree: Tree, path: TreePath, root: number, owner: number): void {
  const { blocks } = tree;
  let level = path.depth - 1;
  let block = path.blockOf(level);
  let area = path.areaOf(level);
  while (level > 0 && countOf(blocks.view, area) === 1) {
    const child = childAt(blocks.view, area, 0, block, owner);
    freeNode(tree, root, owner, block);
    level--;
    block = child;
    area = readNode(blocks, child, owner, tree.kind, level, 1) + TREE_NODE_AREA;
    blocks.view.setUint16(root + TreeRoot.depth, level + 1, true);
    setU64(blocks.view, root + TreeRoot.root, child);
  }
  if (level > 0 || usedOf(blocks.view, area) > capacityOf(tree.rootAreaSize) * INLINE_PART) return;
  checkItems(blocks.view, area, NODE_AREA_SIZE, block, owner);
  const { view, bytes } = blocks;
  const nodes = view.getUint32(root + TreeRoot.nodes, true);
  if (nodes !== 1) damaged(0, owner, 'a count of 1 node', String(nodes));
  // The leaf may be read until it is freed; the count is its own until then.
  initTreeRoot(view, bytes, root, tree.rootAreaSize);
  appendItems(view, bytes, area, 0, root + TREE_ROOT_AREA, tree.rootAreaSize);
  view.setUint32(root + TreeRoot.nodes, nodes, true);
  freeNode(tree, root, owner, block);
}
