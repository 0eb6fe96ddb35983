import { type BlockNo, asBlockNo } from '../base/units.js';
import { Magic, TREE_MAX_DEPTH, TREE_NODE_AREA, TREE_ROOT_AREA, TreeRoot } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { KEY_END, NODE_AREA_SIZE } from '../format/tree-limits.js';
import type { Blocks } from '../journal/blocks.js';
import { DAMAGED, countOf, floorIndex, keyAt, lengthAt, payloadAt } from './area.js';
import { checkArea, checkBlock, checkBounds, checkItem, childAt, damaged, readNode, rootAreaSizeOf } from './node.js';

/**
 * The way from a tree root to an item: a node and a position in it per level. Level 0 is the leaf; in a tree
 * of depth 0 the area inside the tree root takes its place. Reused: a descent allocates nothing.
 *
 * Valid until the tree changes or the operation ends.
 */
export class TreePath {
  depth = 0;
  /** Whether the last descent met the very key. */
  exact = false;
  /** Item area of the leaf (or in the root) and its size. */
  leafArea = 0;
  leafSize = 0;
  readonly #blocks: Blocks;
  readonly #kind: number;
  readonly #rootAreaSize: number;
  #owner = 0;
  /**
   * Per level: block number of the node, its offset in the view (32 bits, so that searching computes with integers:
   * the cache is smaller than 2 GiB), position of the item in it.
   */
  readonly #block = new Float64Array(TREE_MAX_DEPTH);
  readonly #base = new Int32Array(TREE_MAX_DEPTH);
  readonly #index = new Int32Array(TREE_MAX_DEPTH);
  /** Per level: keys of the node are below this. */
  readonly #high = new Float64Array(TREE_MAX_DEPTH);

  constructor(blocks: Blocks, kind: number) {
    this.#blocks = blocks;
    this.#kind = kind;
    this.#rootAreaSize = rootAreaSizeOf(kind);
  }

  /** Block of the node of this level; 0 for the tree root of a tree of depth 0. */
  blockOf(level: number): BlockNo {
    return asBlockNo(this.depth === 0 ? 0 : (this.#block[level] ?? 0));
  }

  /** Offset in the view of the item area of the node of this level; depth ≥ 1. */
  areaOf(level: number): number {
    return (this.#base[level] ?? 0) + TREE_NODE_AREA;
  }

  /** Position in the node of this level; in the leaf that of the greatest key ≤ the one sought, or −1. */
  indexOf(level: number): number {
    return this.#index[level] ?? 0;
  }

  /** Places `node` (a block and its offset in the view) at a level. */
  setNode(level: number, block: number, base: number): void {
    this.#block[level] = block;
    this.#base[level] = base;
    if (level === 0) {
      this.leafArea = base + TREE_NODE_AREA;
      this.leafSize = NODE_AREA_SIZE;
    }
  }

  /** Makes the node of this level editable and returns the offset of its area. */
  edit(level: number): number {
    const block = this.blockOf(level);
    this.setNode(level, block, this.#blocks.edit(block, Magic.node));
    return this.areaOf(level);
  }

  /** Goes from the root to the leaf where `key` is or would be. Throws EIO when a node is damaged. */
  descend(root: number, owner: number, key: number): void {
    this.#enter(root, owner);
    for (let level = this.depth - 1; level > 0; level--) {
      const view = this.#blocks.view;
      const area = this.areaOf(level);
      const index = floorIndex(view, area, NODE_AREA_SIZE, key);
      // The first key equals the lower bound in the parent (0 in the leftmost node), so there is always a child.
      if (index < 0) this.#badOrder(level, index, key);
      this.#index[level] = index;
      this.#step(level, index);
    }
    const view = this.#blocks.view;
    const index = floorIndex(view, this.leafArea, this.leafSize, key);
    if (index === DAMAGED) this.#badOrder(0, index, key);
    this.#index[0] = index;
    this.exact = index >= 0 && keyAt(view, this.leafArea, index) === key;
  }

  /** Reads the tree root and, with depth ≥ 1, the root node. */
  #enter(root: number, owner: number): void {
    const view = this.#blocks.view;
    const depth = view.getUint16(root + TreeRoot.depth, true);
    this.#owner = owner;
    this.depth = depth;
    if (depth === 0) {
      this.leafArea = root + TREE_ROOT_AREA;
      this.leafSize = this.#rootAreaSize;
      checkArea(view, this.leafArea, this.leafSize, 0, owner);
      return;
    }
    if (depth > TREE_MAX_DEPTH) damaged(0, owner, `a depth of at most ${String(TREE_MAX_DEPTH)}`, String(depth));
    this.#read(depth - 1, checkBlock(getU64(view, root + TreeRoot.root), 0, owner), 0, KEY_END);
  }

  /** Goes from the node of `level` to its child `index`. */
  #step(level: number, index: number): void {
    const view = this.#blocks.view;
    const area = this.areaOf(level);
    const block = this.blockOf(level);
    const child = childAt(view, area, index, block, this.#owner);
    let high = this.#high[level] as number;
    if (index + 1 < countOf(view, area)) {
      checkItem(view, area, NODE_AREA_SIZE, index + 1, block, this.#owner);
      high = keyAt(view, area, index + 1);
    }
    this.#read(level - 1, child, keyAt(view, area, index), high);
  }

  /** Reads a node whose keys must be in [low, high): whatever a search finds, the way to it by its key is the same. */
  #read(level: number, block: BlockNo, low: number, high: number): void {
    const minimumItems = level > 0 && level === this.depth - 1 ? 2 : 1;
    this.setNode(level, block, readNode(this.#blocks, block, this.#owner, this.#kind, level, minimumItems));
    checkBounds(this.#blocks.view, this.areaOf(level), level, low, high, block, this.#owner);
    this.#high[level] = high;
  }

  #badOrder(level: number, index: number, key: number): never {
    const expected = index === DAMAGED ? 'items inside the area' : `a first key ≤ ${String(key)}`;
    return damaged(this.blockOf(level), this.#owner, expected, index === DAMAGED ? 'a slot outside' : 'a greater one');
  }

  /** Whether no node of this level lies to the right. */
  isRightmost(level: number): boolean {
    for (let above = level + 1; above < this.depth; above++) {
      if (this.indexOf(above) + 1 < countOf(this.#blocks.view, this.areaOf(above))) return false;
    }
    return true;
  }

  /** Steps to the next item, in the next leaf if need be. False, and nothing moves, at the end. */
  forward(): boolean {
    const view = this.#blocks.view;
    if (this.indexOf(0) + 1 < countOf(view, this.leafArea)) {
      this.#index[0] = this.indexOf(0) + 1;
      return true;
    }
    let level = 1;
    while (level < this.depth && this.indexOf(level) + 1 >= countOf(view, this.areaOf(level))) level++;
    if (level >= this.depth) return false;
    this.#index[level] = this.indexOf(level) + 1;
    for (; level > 0; level--) {
      this.#step(level, this.indexOf(level));
      this.#index[level - 1] = 0;
    }
    return true;
  }

  /** Steps to the item before, in the leaf before if need be. False, and nothing moves, at the beginning. */
  backward(): boolean {
    if (this.indexOf(0) > 0) {
      this.#index[0] = this.indexOf(0) - 1;
      return true;
    }
    let level = 1;
    while (level < this.depth && this.indexOf(level) === 0) level++;
    if (level >= this.depth) return false;
    this.#index[level] = this.indexOf(level) - 1;
    for (; level > 0; level--) {
      this.#step(level, this.indexOf(level));
      this.#index[level - 1] = countOf(this.#blocks.view, this.areaOf(level - 1)) - 1;
    }
    return true;
  }

  /** Throws EIO unless the item the path leads to lies inside its area: before `key`, `payload` and `length` are used. */
  checkItem(): void {
    checkItem(this.#blocks.view, this.leafArea, this.leafSize, this.indexOf(0), this.blockOf(0), this.#owner);
  }

  get key(): number {
    return keyAt(this.#blocks.view, this.leafArea, this.indexOf(0));
  }

  get payload(): number {
    return payloadAt(this.#blocks.view, this.leafArea, this.indexOf(0));
  }

  get length(): number {
    return lengthAt(this.#blocks.view, this.leafArea, this.indexOf(0));
  }

  /** Throws EIO: the item the path leads to is out of order. */
  outOfOrder(expected: string): never {
    return damaged(this.blockOf(0), this.#owner, expected, String(this.key));
  }
}
