import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import { asBlockNo, type BlockNo, type Ino } from '../base/units.js';
import type { HashFunction } from '../dir/directory.js';
import { nameHash } from '../dir/hash.js';
import {
  BlockHeader,
  COLLISIONS_MAX,
  Inode,
  Magic,
  TREE_MAX_PAYLOAD,
  TreeKind,
  TreeRoot,
  XATTR_LIST_MAX,
  XATTR_VALUE_MAX,
  XattrBlock,
  XattrItem,
} from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Core } from '../space/core.js';
import { TreeCursor } from '../tree/cursor.js';
import { Tree } from '../tree/tree.js';
import { valueBlocks, XattrValues } from './values.js';

const NO_GOAL = asBlockNo(0);
/** What one step of `removeSome` takes at most: bounds the blocks its transaction touches. */
const ITEMS_PER_STEP = 32;
const FREED_PER_STEP = 8;
/** Names listed before the cache may drop blocks again: an inode may have more than it has room for. */
const LISTED_AT_ONCE = 64;

/**
 * Extended attributes of inodes: doc/FORMAT.md, "Extended attributes". Names and values are bytes here and mean nothing.
 *
 * Every call takes the base of an inode record; those that change something take an editable one, inside a
 * transaction. They keep `xattrBlock` and `blocks` of the record; times are the caller's business.
 */
export class XattrStore {
  /** Length of the value that `find` found. */
  foundLength = 0;
  private foundKey = 0;
  private foundPayload = 0;
  private foundNameLength = 0;
  private foundBlock = 0;
  private readonly tree: Tree;
  private readonly cursor: TreeCursor;
  private readonly values: XattrValues;

  constructor(
    private readonly core: Core,
    private readonly hash: HashFunction = nameHash,
  ) {
    this.tree = new Tree(core.journal, core.allocator, TreeKind.xattrs);
    this.cursor = new TreeCursor(this.tree);
    this.values = new XattrValues(core.journal, core.allocator);
  }

  /** Whether the inode has any. */
  hasAny(record: number): boolean {
    return getU64(this.view, record + Inode.xattrBlock) !== 0;
  }

  /** Looks an attribute up; the length of its value is in `foundLength`, `load` gives the value. */
  find(record: number, name: Uint8Array, offset: number, length: number): boolean {
    if (!this.hasAny(record)) return false;
    const { cursor } = this;
    const ino = this.inoOf(record);
    const first = this.hash(this.core.geometry.hashSeed, name, offset, length) * COLLISIONS_MAX;
    if (!cursor.seekCeiling(this.read(record) + XattrBlock.root, ino, first)) return false;
    do {
      if (cursor.key >= first + COLLISIONS_MAX) return false;
      this.decode(ino);
      if (this.nameIs(name, offset, length)) return true;
    } while (cursor.next());
    return false;
  }

  /** Copies the value that `find` found to target[offset …]. */
  load(record: number, target: Uint8Array, offset: number): void {
    if (this.foundBlock !== 0) {
      this.values.load(this.inoOf(record), this.foundKey, this.foundBlock, target, offset, this.foundLength);
      return;
    }
    const from = this.foundPayload + XattrItem.name + this.foundNameLength;
    target.set(this.core.journal.bytes.subarray(from, from + this.foundLength), offset);
  }

  /** Upper bound of the blocks that `set` allocates for an attribute that is new, or whose value gets another length; `record` −1: of a new inode. */
  blocksToSet(record: number, nameLength: number, valueLength: number): number {
    const value = isInline(nameLength, valueLength) ? 0 : valueBlocks(valueLength);
    if (record < 0 || !this.hasAny(record)) return 1 + value;
    return this.tree.nodesForInserts(this.read(record) + XattrBlock.root, 1) + value;
  }

  /**
   * Gives an attribute a value: a new one, or in place of the old one. A value of the same length needs no space. ENOSPC when the
   * names would no longer fit into one list, or 1024 of them have the same hash.
   */
  set(record: number, name: Uint8Array, nameOffset: number, nameLength: number, value: Uint8Array, offset: number, length: number): void {
    assert(nameLength > 0 && nameLength <= 255 && length <= XATTR_VALUE_MAX, 'names and values have been checked');
    if (!this.hasAny(record)) {
      this.makeBlock(record);
    } else if (this.find(record, name, nameOffset, nameLength)) {
      if (this.foundLength === length) {
        this.overwrite(record, value, offset);
        return;
      }
      this.takeOut(record);
    }
    this.insert(record, name, nameOffset, nameLength, value, offset, length);
  }

  /** Removes the attribute that `find` found. */
  remove(record: number): void {
    this.takeOut(record);
    if (this.tree.isEmpty(this.read(record) + XattrBlock.root)) this.freeBlock(record);
  }

  /** Frees a bounded part of all attributes; true when none is left. For an inode that nobody can reach. */
  removeSome(record: number): boolean {
    const { cursor } = this;
    const ino = this.inoOf(record);
    let freed = 0;
    for (let count = 0; count < ITEMS_PER_STEP && freed < FREED_PER_STEP && this.hasAny(record); count += 1) {
      if (!cursor.seekLast(this.read(record) + XattrBlock.root, ino)) fail('EIO', `the xattr block of inode ${String(ino)} has no attribute; run fsck.nvmfs`);
      this.decode(ino);
      if (this.foundBlock !== 0) freed += valueBlocks(this.foundLength);
      this.remove(record);
    }
    return !this.hasAny(record);
  }

  /** Bytes of all names, each with one byte more. */
  listBytes(record: number): number {
    return this.hasAny(record) ? this.view.getUint32(this.read(record) + XattrBlock.listBytes, true) : 0;
  }

  /**
   * Writes the names, each followed by a zero byte, to target[offset …], which has room for `listBytes`; returns their bytes. Outside a
   * transaction; bases from before are invalid afterwards.
   */
  list(ino: Ino, target: Uint8Array, offset: number): number {
    const { cursor } = this;
    const { bytes, cache } = this.core.journal;
    let record = this.core.inodes.get(ino);
    const room = this.listBytes(record);
    let at = offset;
    let next = 0;
    while (this.hasAny(record) && cursor.seekCeiling(this.read(record) + XattrBlock.root, ino, next)) {
      let count = 0;
      let more = true;
      for (; more && count < LISTED_AT_ONCE; count += 1) {
        this.decode(ino);
        const end = at + this.foundNameLength + 1;
        if (end > offset + room) fail('EIO', `the xattr block of inode ${String(ino)} counts fewer bytes of names than there are; run fsck.nvmfs`);
        const name = this.foundPayload + XattrItem.name;
        target.set(bytes.subarray(name, name + this.foundNameLength), at);
        target[end - 1] = 0;
        at = end;
        next = cursor.key + 1;
        more = cursor.next();
      }
      if (!more) break;
      cache.beginOperation();
      record = this.core.inodes.get(ino);
    }
    return at - offset;
  }

  // ---- inside ------------------------------------------------------------------------------------

  private get view(): DataView {
    return this.core.journal.view;
  }

  private inoOf(record: number): Ino {
    return getU64(this.view, record + Inode.ino) as Ino;
  }

  private blockOf(record: number): BlockNo {
    return asBlockNo(getU64(this.view, record + Inode.xattrBlock));
  }

  /** Base of the xattr block of an inode that has one. */
  private read(record: number): number {
    const base = this.core.journal.read(this.blockOf(record), Magic.xattr);
    const owner = getU64(this.view, base + BlockHeader.owner);
    const ino = this.inoOf(record);
    if (owner !== ino) fail('EIO', `xattr block ${String(this.blockOf(record))} of inode ${String(ino)} belongs to inode ${String(owner)}; run fsck.nvmfs`);
    return base;
  }

  private edit(record: number): number {
    this.read(record);
    return this.core.journal.edit(this.blockOf(record), Magic.xattr);
  }

  private makeBlock(record: number): void {
    const block = this.core.allocator.allocateNode(NO_GOAL);
    const base = this.core.journal.fresh(block, Magic.xattr, this.inoOf(record));
    this.tree.initRoot(base + XattrBlock.root);
    setU64(this.view, record + Inode.xattrBlock, block);
    this.countBlocks(record, 1);
  }

  private freeBlock(record: number): void {
    this.core.allocator.freeNode(this.blockOf(record));
    setU64(this.view, record + Inode.xattrBlock, 0);
    this.countBlocks(record, -1);
  }

  private insert(record: number, name: Uint8Array, nameOffset: number, nameLength: number, value: Uint8Array, offset: number, length: number): void {
    const { tree, view } = this;
    const { bytes } = this.core.journal;
    const ino = this.inoOf(record);
    const base = this.edit(record);
    const root = base + XattrBlock.root;
    const listed = view.getUint32(base + XattrBlock.listBytes, true) + nameLength + 1;
    if (listed > XATTR_LIST_MAX) fail('ENOSPC', 'the names of the extended attributes of a file have at most 65536 bytes');
    const key = this.freeKey(root, ino, this.hash(this.core.geometry.hashSeed, name, nameOffset, nameLength) * COLLISIONS_MAX);
    const inline = isInline(nameLength, length);
    const block = inline ? 0 : this.values.store(ino, key, value, offset, length);
    const nodes = this.nodes(root);
    const payload = tree.insert(root, ino, key, XattrItem.name + nameLength + (inline ? length : 0));
    setU64(view, payload + XattrItem.valueBlock, block);
    view.setUint32(payload + XattrItem.valueLength, length, true);
    view.setUint8(payload + XattrItem.nameLength, nameLength);
    bytes.set(name.subarray(nameOffset, nameOffset + nameLength), payload + XattrItem.name);
    if (inline) bytes.set(value.subarray(offset, offset + length), payload + XattrItem.name + nameLength);
    this.countBlocks(record, this.nodes(root) - nodes + (inline ? 0 : valueBlocks(length)));
    view.setUint32(base + XattrBlock.count, view.getUint32(base + XattrBlock.count, true) + 1, true);
    view.setUint32(base + XattrBlock.listBytes, listed, true);
  }

  /** Takes the attribute that was found out; the xattr block stays, even if it is empty now. */
  private takeOut(record: number): void {
    const { view } = this;
    const ino = this.inoOf(record);
    const base = this.edit(record);
    const root = base + XattrBlock.root;
    const nodes = this.nodes(root);
    const freed = this.foundBlock === 0 ? 0 : this.values.free(ino, this.foundKey, this.foundBlock, this.foundLength);
    this.tree.remove(root, ino, this.foundKey);
    this.countBlocks(record, this.nodes(root) - nodes - freed);
    const count = view.getUint32(base + XattrBlock.count, true) - 1;
    const listed = view.getUint32(base + XattrBlock.listBytes, true) - this.foundNameLength - 1;
    if (count < 0 || listed < 0) fail('EIO', `the xattr block of inode ${String(ino)} counts fewer attributes than there are; run fsck.nvmfs`);
    view.setUint32(base + XattrBlock.count, count, true);
    view.setUint32(base + XattrBlock.listBytes, listed, true);
  }

  /** Puts a value of the same length in the place of the one that was found. */
  private overwrite(record: number, value: Uint8Array, offset: number): void {
    const ino = this.inoOf(record);
    if (this.foundBlock !== 0) {
      this.values.overwrite(ino, this.foundKey, this.foundBlock, value, offset, this.foundLength);
      return;
    }
    const payload = this.tree.edit(this.edit(record) + XattrBlock.root, ino, this.foundKey);
    const at = payload + XattrItem.name + this.foundNameLength;
    this.core.journal.bytes.set(value.subarray(offset, offset + this.foundLength), at);
  }

  /** The least key of this hash that is free. */
  private freeKey(root: number, ino: Ino, first: number): number {
    const { cursor } = this;
    let key = first;
    if (cursor.seekCeiling(root, ino, first)) {
      while (cursor.key === key && key < first + COLLISIONS_MAX) {
        key += 1;
        if (!cursor.next()) break;
      }
    }
    if (key >= first + COLLISIONS_MAX) fail('ENOSPC', `inode ${String(ino)}: too many extended attributes whose names have the same hash`);
    return key;
  }

  private nameIs(name: Uint8Array, offset: number, length: number): boolean {
    if (this.foundNameLength !== length) return false;
    const { bytes } = this.core.journal;
    const at = this.foundPayload + XattrItem.name;
    for (let index = 0; index < length; index += 1) {
      if (bytes[at + index] !== name[offset + index]) return false;
    }
    return true;
  }

  /** Describes the item that the cursor is at. */
  private decode(ino: Ino): void {
    const { cursor, view } = this;
    const { payload, length } = cursor;
    let sound = length > XattrItem.name;
    if (sound) {
      this.foundKey = cursor.key;
      this.foundPayload = payload;
      this.foundBlock = getU64(view, payload + XattrItem.valueBlock);
      this.foundLength = view.getUint32(payload + XattrItem.valueLength, true);
      this.foundNameLength = view.getUint8(payload + XattrItem.nameLength);
      const inline = this.foundBlock === 0 ? this.foundLength : 0;
      sound = this.foundNameLength > 0 && this.foundLength <= XATTR_VALUE_MAX && length === XattrItem.name + this.foundNameLength + inline;
    }
    if (!sound) fail('EIO', `extended attribute ${String(cursor.key)} of inode ${String(ino)} is damaged; run fsck.nvmfs`);
  }

  private nodes(root: number): number {
    return this.view.getUint32(root + TreeRoot.nodes, true);
  }

  private countBlocks(record: number, change: number): void {
    const blocks = getU64(this.view, record + Inode.blocks) + change;
    if (blocks < 0) fail('EIO', `inode ${String(this.inoOf(record))} counts fewer blocks than its extended attributes have; run fsck.nvmfs`);
    setU64(this.view, record + Inode.blocks, blocks);
  }
}

/** Whether a value is kept in the item of its attribute. */
function isInline(nameLength: number, valueLength: number): boolean {
  return XattrItem.name + nameLength + valueLength <= TREE_MAX_PAYLOAD;
}
