import { TreePath } from './path.js';
import type { Tree } from './tree.js';

/**
 * Walks the items of a tree in the order of keys. Reusable: seeking and stepping allocate nothing.
 *
 * `key`, `payload` and `length` are valid when the last call returned true. A cursor is invalid after any
 * change of the tree and after the end of the operation; it must then seek again. All calls throw EIO when
 * they meet a damaged node; keys are strictly ascending from one step to the next, or that is damage, too.
 */
export class TreeCursor {
  key = 0;
  /** Offset of the payload in `blocks.view`. */
  payload = 0;
  /** Length of the payload in bytes. */
  length = 0;
  readonly #path: TreePath;

  constructor(tree: Tree) {
    this.#path = new TreePath(tree.blocks, tree.kind);
  }

  /** To the greatest item with a key ≤ `key`. False when there is none. */
  seekFloor(root: number, owner: number, key: number): boolean {
    const path = this.#path;
    path.descend(root, owner, key);
    if (path.indexOf(0) < 0 && !path.backward()) return false;
    this.#load();
    if (this.key > key) path.outOfOrder(`a key ≤ ${String(key)}`);
    return true;
  }

  /** To the least item with a key ≥ `key`. False when there is none. */
  seekCeiling(root: number, owner: number, key: number): boolean {
    const path = this.#path;
    path.descend(root, owner, key);
    if (!path.exact && !path.forward()) return false;
    this.#load();
    if (this.key < key) path.outOfOrder(`a key ≥ ${String(key)}`);
    return true;
  }

  /** To the item with the least key. False when the tree is empty. */
  seekFirst(root: number, owner: number): boolean {
    return this.seekCeiling(root, owner, 0);
  }

  /** To the item with the greatest key. False when the tree is empty. */
  seekLast(root: number, owner: number): boolean {
    return this.seekFloor(root, owner, Number.MAX_SAFE_INTEGER);
  }

  /** To the next item. False at the end: the cursor stays where it is. */
  next(): boolean {
    const before = this.key;
    if (!this.#path.forward()) return false;
    this.#load();
    if (this.key <= before) this.#path.outOfOrder(`a key > ${String(before)}`);
    return true;
  }

  /** To the item before. False at the beginning: the cursor stays where it is. */
  previous(): boolean {
    const before = this.key;
    if (!this.#path.backward()) return false;
    this.#load();
    if (this.key >= before) this.#path.outOfOrder(`a key < ${String(before)}`);
    return true;
  }

  #load(): void {
    const path = this.#path;
    path.checkItem();
    this.key = path.key;
    this.payload = path.payload;
    this.length = path.length;
  }
}
