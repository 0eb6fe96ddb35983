import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { COLLISIONS_MAX, Dentry, Inode, NAME_MAX, ROOT_INO, TreeKind } from '../format/layout.js';
import { addU64, getU64, setU64 } from '../format/numbers.js';
import type { Journal } from '../journal/journal.js';
import type { NodeAllocator } from '../journal/blocks.js';
import { TreeCursor } from '../tree/cursor.js';
import { Tree } from '../tree/tree.js';
import { nameHash } from './hash.js';

/** Hash of a name with a seed; replaced in tests to make names collide. */
export type HashFunction = typeof nameHash;

/**
 * Directories: a tree of entries by hash of the name. Every call takes the base of the directory's inode record;
 * those that change it take an editable one, and count its entries in `size`.
 */
export class Directories {
  /** Inode, type and key of the entry that `find` found. */
  foundIno = 0 as Ino;
  foundType = 0;
  foundKey = 0;
  private readonly tree: Tree;
  private readonly cursor: TreeCursor;

  constructor(
    private readonly journal: Journal,
    allocator: NodeAllocator,
    private readonly hashSeed: number,
    private readonly hash: HashFunction = nameHash,
  ) {
    this.tree = new Tree(journal, allocator, TreeKind.directory);
    this.cursor = new TreeCursor(this.tree);
  }

  /** Looks a name up; the result is in `foundIno`, `foundType`, `foundKey`. */
  find(directory: number, bytes: Uint8Array, offset: number, length: number): boolean {
    const { cursor } = this;
    const owner = this.ownerOf(directory);
    const first = this.hash(this.hashSeed, bytes, offset, length) * COLLISIONS_MAX;
    if (!cursor.seekCeiling(directory + Inode.body, owner, first)) return false;
    do {
      if (cursor.key >= first + COLLISIONS_MAX) return false;
      if (this.nameIs(bytes, offset, length)) {
        this.decode(owner);
        return true;
      }
    } while (cursor.next());
    return false;
  }

  /** Adds an entry for a name that is not there. ENOSPC when 1024 names have the same hash. */
  insert(directory: number, bytes: Uint8Array, offset: number, length: number, ino: Ino, type: number): void {
    const { tree, journal } = this;
    const owner = this.ownerOf(directory);
    const key = this.freeKey(directory, owner, this.hash(this.hashSeed, bytes, offset, length) * COLLISIONS_MAX);
    const nodes = this.nodes(directory);
    const payload = tree.insert(directory + Inode.body, owner, key, Dentry.name + length);
    setU64(journal.view, payload + Dentry.ino, ino);
    journal.view.setUint8(payload + Dentry.type, type);
    for (let index = 0; index < length; index += 1) journal.bytes[payload + Dentry.name + index] = bytes[offset + index] as number;
    this.count(directory, nodes, 1);
  }

  /** Removes the entry that `find` found. */
  remove(directory: number, key: number): void {
    const nodes = this.nodes(directory);
    this.tree.remove(directory + Inode.body, this.ownerOf(directory), key);
    this.count(directory, nodes, -1);
  }

  /** Lets the entry that `find` found name another inode. */
  replace(directory: number, key: number, ino: Ino, type: number): void {
    const payload = this.tree.edit(directory + Inode.body, this.ownerOf(directory), key);
    setU64(this.journal.view, payload + Dentry.ino, ino);
    this.journal.view.setUint8(payload + Dentry.type, type);
  }

  /** Entries of the directory. EIO when its count says none and there are some, or the other way round: nothing may be lost by removing it. */
  entries(directory: number): number {
    const entries = getU64(this.journal.view, directory + Inode.size);
    const owner = this.ownerOf(directory);
    if ((entries === 0) !== this.tree.isEmpty(directory + Inode.body)) fail('EIO', `directory inode ${String(owner)}: its size does not fit its entries; run fsck.nvmfs`);
    return entries;
  }

  /** Upper bound of the nodes one `insert` allocates. */
  nodesToInsert(directory: number): number {
    return this.tree.nodesForInserts(directory + Inode.body, 1);
  }

  /**
   * Hands over the entries with a key > `after` in order, until it returns false.
   * The name is at `journal.bytes[nameOffset … + nameLength)`.
   */
  forEach(directory: number, after: number, receiver: EntryReceiver): void {
    const { cursor, journal } = this;
    const owner = this.ownerOf(directory);
    if (!cursor.seekCeiling(directory + Inode.body, owner, after + 1)) return;
    do {
      this.decode(owner);
      const length = cursor.length - Dentry.name;
      if (!receiver.entry(journal.bytes, cursor.payload + Dentry.name, length, this.foundIno, this.foundType, cursor.key)) return;
    } while (cursor.next());
  }

  /** The least key of this hash that is free. */
  private freeKey(directory: number, owner: Ino, first: number): number {
    const { cursor } = this;
    let key = first;
    if (cursor.seekCeiling(directory + Inode.body, owner, first)) {
      while (cursor.key === key) {
        key += 1;
        if (!cursor.next()) break;
      }
    }
    if (key >= first + COLLISIONS_MAX) fail('ENOSPC', `directory inode ${String(owner)}: too many names with the same hash`);
    return key;
  }

  private nameIs(bytes: Uint8Array, offset: number, length: number): boolean {
    const { cursor, journal } = this;
    if (cursor.length !== Dentry.name + length) return false;
    const at = cursor.payload + Dentry.name;
    for (let index = 0; index < length; index += 1) {
      if (journal.bytes[at + index] !== bytes[offset + index]) return false;
    }
    return true;
  }

  private decode(owner: Ino): void {
    const { cursor, journal } = this;
    const nameLength = cursor.length - Dentry.name;
    this.foundIno = getU64(journal.view, cursor.payload + Dentry.ino) as Ino;
    this.foundType = journal.view.getUint8(cursor.payload + Dentry.type);
    this.foundKey = cursor.key;
    if (nameLength < 1 || nameLength > NAME_MAX || this.foundIno <= ROOT_INO || this.foundIno > Number.MAX_SAFE_INTEGER) {
      fail('EIO', `directory inode ${String(owner)}: the entry with key ${String(cursor.key)} is damaged`);
    }
  }

  private ownerOf(directory: number): Ino {
    return getU64(this.journal.view, directory + Inode.ino) as Ino;
  }

  private nodes(directory: number): number {
    return this.journal.view.getUint32(directory + Inode.body + 4, true);
  }

  private count(directory: number, nodesBefore: number, change: number): void {
    const { view } = this.journal;
    addU64(view, directory + Inode.size, change, 'the number of entries of a directory');
    addU64(view, directory + Inode.blocks, this.nodes(directory) - nodesBefore, 'the number of blocks of a directory');
  }
}

/** Takes entries one by one; returns false to stop. */
export interface EntryReceiver {
  entry(bytes: Uint8Array, nameOffset: number, nameLength: number, ino: Ino, type: number, key: number): boolean;
}
