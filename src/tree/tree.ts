import { assert } from '../base/assert.js';
import { asBlockNo } from '../base/units.js';
import {
  Magic,
  TREE_MAX_DEPTH,
  TREE_MAX_PAYLOAD,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  type TreeKindNumber,
  TreeRoot,
} from '../format/layout.js';
import { setU64 } from '../format/numbers.js';
import { CHILD_SIZE, NODE_AREA_SIZE, ROOT_AREA_SIZE } from '../format/tree-limits.js';
import type { Blocks, NodeAllocator } from '../journal/blocks.js';
import {
  appendItems,
  capacityOf,
  compact,
  costOf,
  countOf,
  fitsGap,
  insertItem,
  keyAt,
  lengthAt,
  truncateItems,
  usedOf,
} from './area.js';
import { checkItems, damaged, initNode, initTreeRoot, rootAreaSizeOf, takeOutItem } from './node.js';
import { TreePath } from './path.js';
import { shrink } from './shrink.js';

/**
 * A node is compacted only when so many bytes are free afterwards; otherwise it is split. A full node whose items come
 * and go would else be compacted, and written to the journal as a whole, at every insert.
 */
const COMPACT_GAIN = NODE_AREA_SIZE / 16;

/**
 * The B+tree of doc/FORMAT.md: extents of a file, entries of a directory, free inodes, extended attributes. One instance serves all trees
 * of its kind; it has no state but scratch.
 *
 * `root` is always the offset in `blocks.view` of a tree root (in an inode record, the volume state or an xattr block), `owner`
 * the inode number or 0. For insert, remove and edit the caller has made the block with the tree root editable
 * before, and has reserved space ({@link Tree.nodesForInserts}). Offsets that are returned point into `blocks.view`
 * and are valid until the tree changes or the operation ends.
 *
 * Invariants beyond the format's: the first key of an interior node equals the key of its item in the parent (0 in
 * the leftmost), and no node is empty. A tree without items has no nodes.
 * All calls throw EIO when they meet a damaged node; the transaction is then to be aborted.
 */
export class Tree {
  readonly blocks: Blocks;
  readonly allocator: NodeAllocator;
  readonly kind: TreeKindNumber;
  /** Bytes of the item area in the tree root. */
  readonly rootAreaSize: number;
  /** Payload length in bytes of the item that `find` or `edit` found. */
  foundLength = 0;
  readonly #path: TreePath;
  /** The node that the last {@link Tree.#place} split off, 0: none; and the lower bound of its keys. */
  #splitBlock = 0;
  #splitKey = 0;

  constructor(blocks: Blocks, allocator: NodeAllocator, kind: TreeKindNumber) {
    this.blocks = blocks;
    this.allocator = allocator;
    this.kind = kind;
    this.rootAreaSize = rootAreaSizeOf(kind);
    this.#path = new TreePath(blocks, kind);
  }

  /** Makes an empty tree root of 128 bytes at `root`. */
  static initRoot(view: DataView, bytes: Uint8Array, root: number): void {
    initTreeRoot(view, bytes, root, ROOT_AREA_SIZE);
  }

  /** Makes an empty tree root at `root`, as long as trees of this kind have it. */
  initRoot(root: number): void {
    initTreeRoot(this.blocks.view, this.blocks.bytes, root, this.rootAreaSize);
  }

  isEmpty(root: number): boolean {
    const view = this.blocks.view;
    return view.getUint16(root + TreeRoot.depth, true) === 0 && countOf(view, root + TREE_ROOT_AREA) === 0;
  }

  /**
   * Upper bound of the nodes that `n` inserts can allocate, with any removes between them: each splits at most one node
   * per level and adds a root. (A root that was split is interior with two children; it takes well over 128 inserts
   * until it is full and the tree grows again.) The items of a root as large as a node fill the first leaf, which is
   * then split at once: two nodes more.
   */
  nodesForInserts(root: number, n: number): number {
    const depth = Math.min(TREE_MAX_DEPTH, this.blocks.view.getUint16(root + TreeRoot.depth, true));
    return n * (depth + 1 + Math.floor(n / 128)) + (this.rootAreaSize > ROOT_AREA_SIZE ? 2 : 0);
  }

  /** Offset of the payload of item `key`, its length in `foundLength`; −1 when there is no such item. */
  find(root: number, owner: number, key: number): number {
    const path = this.#path;
    path.descend(root, owner, key);
    if (!path.exact) return -1;
    path.checkItem();
    this.foundLength = path.length;
    return path.payload;
  }

  /** Makes the payload of item `key`, which exists, writable and returns its offset; its length is in `foundLength`. */
  edit(root: number, owner: number, key: number): number {
    const path = this.#path;
    path.descend(root, owner, key);
    if (!path.exact) this.#disagrees(owner, key, 'to be changed', 'none');
    path.checkItem();
    if (path.depth > 0) path.edit(0);
    this.foundLength = path.length;
    return path.payload;
  }

  /**
   * Adds item `key`, which is new, and returns the offset of its payload: `payloadLength` (0 … 300) zero bytes that
   * the caller fills at once.
   */
  insert(root: number, owner: number, key: number, payloadLength: number): number {
    assert(payloadLength >= 0 && payloadLength <= TREE_MAX_PAYLOAD, 'a payload has at most 300 bytes');
    const path = this.#path;
    path.descend(root, owner, key);
    if (path.exact) this.#disagrees(owner, key, 'to be added', 'one');
    const position = path.indexOf(0) + 1;
    if (path.depth === 0) {
      if (this.#makeRoom(path.leafArea, this.rootAreaSize, payloadLength, 0, 0, owner)) {
        return insertItem(this.blocks.view, this.blocks.bytes, path.leafArea, position, key, payloadLength);
      }
      this.#moveRootIntoLeaf(root, owner);
    }
    const payload = this.#place(root, owner, 0, position, key, payloadLength);
    for (let level = 1; this.#splitBlock !== 0; level++) {
      const child = this.#splitBlock;
      if (level === path.depth) {
        this.#growRoot(root, owner, this.#splitKey, child);
        break;
      }
      const link = this.#place(root, owner, level, path.indexOf(level) + 1, this.#splitKey, CHILD_SIZE);
      setU64(this.blocks.view, link, child);
    }
    return payload;
  }

  /** Takes item `key`, which exists, out; nodes that become empty or can be merged are freed. */
  remove(root: number, owner: number, key: number): void {
    const path = this.#path;
    path.descend(root, owner, key);
    if (!path.exact) this.#disagrees(owner, key, 'to be removed', 'none');
    path.checkItem();
    if (path.depth > 0) path.edit(0);
    takeOutItem(this.blocks, path.leafArea, path.leafSize, path.indexOf(0), path.blockOf(0), owner);
    if (path.depth > 0) shrink(this, path, root, owner);
  }

  /** Whether an item fits into the area; compacts it when that is needed and leaves `gain` bytes free. */
  #makeRoom(area: number, size: number, length: number, gain: number, block: number, owner: number): boolean {
    const { view, bytes } = this.blocks;
    if (fitsGap(view, area, length)) return true;
    if (usedOf(view, area) + costOf(length) + gain > capacityOf(size)) return false;
    checkItems(view, area, size, block, owner);
    compact(view, bytes, area, size);
    assert(fitsGap(view, area, length), 'compaction makes room');
    return true;
  }

  /**
   * Puts an item at `position` of the node of the path at `level` and returns the offset of its payload. When the node
   * is full it is split: the new right neighbour is then in `#splitBlock`, to be linked into the parent.
   */
  #place(root: number, owner: number, level: number, position: number, key: number, length: number): number {
    const path = this.#path;
    const area = path.edit(level);
    const block = path.blockOf(level);
    this.#splitBlock = 0;
    if (this.#makeRoom(area, NODE_AREA_SIZE, length, COMPACT_GAIN, block, owner)) {
      return insertItem(this.blocks.view, this.blocks.bytes, area, position, key, length);
    }
    checkItems(this.blocks.view, area, NODE_AREA_SIZE, block, owner);
    return this.#split(root, owner, level, position, key, length);
  }

  /** As {@link Tree.#place}, when the node is full. */
  #split(root: number, owner: number, level: number, position: number, key: number, length: number): number {
    const path = this.#path;
    const left = path.areaOf(level);
    const count = countOf(this.blocks.view, left);
    // Appending to the whole tree: what is to the left stays full.
    const append = position === count && path.isRightmost(level);
    const first = append ? count : splitPosition(this.blocks.view, left, position, costOf(length));
    this.#splitBlock = this.allocator.allocateNode(path.blockOf(level));
    const right = this.#newNode(root, owner, level, this.#splitBlock);
    const { view, bytes } = this.blocks;
    // `first` counts the new item, `firstMoved` only those that are there.
    const firstMoved = position < first ? first - 1 : first;
    appendItems(view, bytes, left, firstMoved, right, NODE_AREA_SIZE);
    truncateItems(view, left, NODE_AREA_SIZE, firstMoved);
    let payload: number;
    if (position < first) {
      if (!fitsGap(view, left, length)) compact(view, bytes, left, NODE_AREA_SIZE);
      payload = insertItem(view, bytes, left, position, key, length);
    } else {
      payload = insertItem(view, bytes, right, position - first, key, length);
    }
    this.#splitKey = keyAt(view, right, 0);
    return payload;
  }

  /** Makes a node of a newly allocated block, counts it, and returns the offset of its area. */
  #newNode(root: number, owner: number, level: number, block: number): number {
    const base = this.blocks.fresh(asBlockNo(block), Magic.node, owner);
    const view = this.blocks.view;
    initNode(view, base, level, this.kind);
    view.setUint32(root + TreeRoot.nodes, view.getUint32(root + TreeRoot.nodes, true) + 1, true);
    return base + TREE_NODE_AREA;
  }

  /** Depth 0 → 1: the items of the tree root go into a leaf. */
  #moveRootIntoLeaf(root: number, owner: number): void {
    const path = this.#path;
    checkItems(this.blocks.view, path.leafArea, this.rootAreaSize, 0, owner);
    const block = this.allocator.allocateNode(asBlockNo(0));
    const leaf = this.#newNode(root, owner, 0, block);
    const { view, bytes } = this.blocks;
    appendItems(view, bytes, path.leafArea, 0, leaf, NODE_AREA_SIZE);
    bytes.fill(0, root + TREE_ROOT_AREA, root + TREE_ROOT_AREA + this.rootAreaSize);
    this.#setRoot(root, 1, block);
    path.depth = 1;
    path.setNode(0, block, leaf - TREE_NODE_AREA);
  }

  /** Depth n → n + 1: puts a node above the old root node and the one that was split off from it. */
  #growRoot(root: number, owner: number, splitKey: number, splitBlock: number): void {
    const depth = this.#path.depth;
    // Nodes that this engine splits are full: a tree of so many levels would have more items than there are keys.
    if (depth >= TREE_MAX_DEPTH) damaged(0, owner, `a depth of less than ${String(TREE_MAX_DEPTH)}`, String(depth));
    const oldRoot = this.#path.blockOf(depth - 1);
    const block = this.allocator.allocateNode(oldRoot);
    const area = this.#newNode(root, owner, depth, block);
    const { view, bytes } = this.blocks;
    setU64(view, insertItem(view, bytes, area, 0, 0, CHILD_SIZE), oldRoot);
    setU64(view, insertItem(view, bytes, area, 1, splitKey, CHILD_SIZE), splitBlock);
    this.#setRoot(root, depth + 1, block);
  }

  /** The caller knows of an item from other structures of the volume, which contradict this one. */
  #disagrees(owner: number, key: number, what: string, found: string): never {
    return damaged(this.#path.blockOf(0), owner, `${found === 'none' ? 'an' : 'no'} item ${String(key)} ${what}`, found);
  }

  #setRoot(root: number, depth: number, block: number): void {
    this.blocks.view.setUint16(root + TreeRoot.depth, depth, true);
    setU64(this.blocks.view, root + TreeRoot.root, block);
  }
}

/**
 * Where to split a full node into which an item of `cost` bytes is to go at `position`: the number of items, the new
 * one counted, that stay on the left. An item costs at most 312 of the 4056 bytes, so with the halves as equal as
 * can be each has room for its part.
 */
function splitPosition(view: DataView, area: number, position: number, cost: number): number {
  const count = countOf(view, area);
  const half = (usedOf(view, area) + cost) / 2;
  let left = 0;
  let first = 0;
  while (first < count) {
    const existing = first < position ? first : first - 1;
    const next = left + (first === position ? cost : costOf(lengthAt(view, area, existing)));
    if (next - half > half - left) break;
    left = next;
    first++;
  }
  assert(first > 0, 'an item is smaller than half of a full node');
  return first;
}
