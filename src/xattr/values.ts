import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import { asBlockNo, type BlockNo, type Ino } from '../base/units.js';
import { BlockHeader, Magic, XATTR_VALUE_BLOCK_BYTES, XattrValue } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { NodeAllocator } from '../journal/blocks.js';
import type { Journal } from '../journal/journal.js';

const NO_GOAL = asBlockNo(0);

/** Blocks that a value of so many bytes takes. */
export function valueBlocks(length: number): number {
  return Math.ceil(length / XATTR_VALUE_BLOCK_BYTES);
}

/**
 * Values of extended attributes that are too long for their item: chains of blocks (doc/FORMAT.md, "Xattr value"). They
 * are changed through the journal like all metadata, so that a value is the old one or the new one, never a mixture.
 *
 * `key` is that of the item a value belongs to; each block knows it, so a chain that leads elsewhere is noticed (EIO).
 */
export class XattrValues {
  constructor(
    private readonly journal: Journal,
    private readonly allocator: NodeAllocator,
  ) {}

  /** Puts a new value into blocks, in the running transaction; returns the first. */
  store(ino: Ino, key: number, value: Uint8Array, offset: number, length: number): BlockNo {
    assert(length > 0, 'an empty value needs no block');
    const { view } = this.journal;
    let first = NO_GOAL;
    let before = -1;
    let goal = NO_GOAL;
    for (let index = 0; index < valueBlocks(length); index += 1) {
      const block = this.allocator.allocateNode(goal);
      const base = this.journal.fresh(block, Magic.xattrValue, ino);
      if (before < 0) first = block;
      else setU64(view, before + XattrValue.next, block);
      setU64(view, base + XattrValue.key, key);
      view.setUint32(base + XattrValue.index, index, true);
      this.fill(base, value, offset, length, index);
      before = base;
      goal = asBlockNo(block + 1);
    }
    return first;
  }

  /** Puts another value of the same length in the place of one, in the running transaction. */
  overwrite(ino: Ino, key: number, first: number, value: Uint8Array, offset: number, length: number): void {
    let block = first;
    for (let index = 0; index < valueBlocks(length); index += 1) {
      const base = this.read(ino, key, block, index, length);
      this.journal.edit(asBlockNo(block), Magic.xattrValue);
      this.fill(base, value, offset, length, index);
      block = getU64(this.journal.view, base + XattrValue.next);
    }
  }

  /** Copies a value of `length` bytes to target[offset …]. */
  load(ino: Ino, key: number, first: number, target: Uint8Array, offset: number, length: number): void {
    let block = first;
    for (let index = 0; index < valueBlocks(length); index += 1) {
      const base = this.read(ino, key, block, index, length);
      const from = base + XattrValue.data;
      target.set(this.journal.bytes.subarray(from, from + bytesIn(length, index)), offset + index * XATTR_VALUE_BLOCK_BYTES);
      block = getU64(this.journal.view, base + XattrValue.next);
    }
  }

  /** Frees the blocks of a value of `length` bytes, in the running transaction; returns how many. */
  free(ino: Ino, key: number, first: number, length: number): number {
    let block = first;
    const count = valueBlocks(length);
    for (let index = 0; index < count; index += 1) {
      const base = this.read(ino, key, block, index, length);
      const next = getU64(this.journal.view, base + XattrValue.next);
      this.allocator.freeNode(asBlockNo(block));
      block = next;
    }
    return count;
  }

  /** Base of block `index` of a value of `length` bytes. Throws EIO unless it is the one. */
  private read(ino: Ino, key: number, block: number, index: number, length: number): number {
    const base = this.journal.read(asBlockNo(block), Magic.xattrValue);
    const { view } = this.journal;
    const bytes = bytesIn(length, index);
    const right =
      getU64(view, base + BlockHeader.owner) === ino &&
      getU64(view, base + XattrValue.key) === key &&
      view.getUint32(base + XattrValue.index, true) === index &&
      view.getUint32(base + XattrValue.length, true) === bytes;
    if (!right) fail('EIO', `block ${String(block)} is not part ${String(index)} of extended attribute ${String(key)} of inode ${String(ino)}; run fsck.nvmfs`);
    return base;
  }

  private fill(base: number, value: Uint8Array, offset: number, length: number, index: number): void {
    const bytes = bytesIn(length, index);
    const from = offset + index * XATTR_VALUE_BLOCK_BYTES;
    this.journal.view.setUint32(base + XattrValue.length, bytes, true);
    this.journal.bytes.set(value.subarray(from, from + bytes), base + XattrValue.data);
  }
}

/** Bytes of a value of `length` bytes in its block `index`. */
function bytesIn(length: number, index: number): number {
  return Math.min(XATTR_VALUE_BLOCK_BYTES, length - index * XATTR_VALUE_BLOCK_BYTES);
}
