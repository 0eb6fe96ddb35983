import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { Directories } from '../dir/directory.js';
import { FileType, Inode, InodeFlag, NAME_MAX, ROOT_INO, SYMLINK_MAX } from '../format/layout.js';
import { setU64 } from '../format/numbers.js';
import type { FileContent } from '../file/content.js';
import { stampChange } from '../file/times.js';
import type { Core } from '../space/core.js';
import { Tree } from '../tree/tree.js';
import { flagsOf, inheritFlags, requireMutable, requireRemovable, requireSameProject, requireUnprotected } from './inode-flags.js';
import { INLINE_SYMLINK_MAX } from './reclaim.js';
import { changeLinks, isDirectory, linksOf, modeOf, parentOf, requireDirectory, setDevice, stampNew, typeOf } from './records.js';
import { type Caller, type Name, RenameFlag } from './types.js';
import type { Xattrs } from './xattrs.js';

const DOT = 0x2e;
const SLASH = 0x2f;
const PERMISSIONS = 0o7777;
const SET_GROUP_ID = 0o2000;
const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FileType).filter((type) => type !== FileType.mask));
const RENAME_FLAGS = RenameFlag.noReplace | RenameFlag.exchange | RenameFlag.whiteout;

/**
 * Everything that changes names: make, link, unlink, rename. Each call is one transaction, begun and ended by its caller
 * (FileSystem); the order of checks is Linux's. What becomes unreachable goes on the orphan list and is reported in `dropped`.
 */
export class Names {
  /** Inodes that lost their last name in the last call. */
  readonly dropped: Ino[] = [];

  constructor(
    private readonly core: Core,
    private readonly directories: Directories,
    private readonly content: FileContent,
    private readonly xattrs: Xattrs,
  ) {}

  /** The inode of a name, 0 if there is none. */
  lookup(parent: Ino, name: Name): Ino | 0 {
    const record = this.core.inodes.get(parent);
    if (isDot(name)) return parent;
    requireDirectory(this.view, record);
    this.checkLength(name);
    if (isDotDot(name)) return parentOf(this.view, record);
    return this.directories.find(record, name.bytes, name.offset, name.length) ? this.directories.foundIno : 0;
  }

  // ---- making ------------------------------------------------------------------------------------

  /** Checks that `name` can be made in `parent`, and that there is space for it and `extra` blocks. Before the transaction. */
  checkNew(parent: Ino, name: Name, extra: number): void {
    this.checkFree(parent, name);
    this.core.allocator.require(extra + this.directories.nodesToInsert(this.core.inodes.get(parent)));
  }

  /** Checks that `name` can be made in `parent`, leaving space out. */
  private checkFree(parent: Ino, name: Name): void {
    const record = this.core.inodes.get(parent);
    requireDirectory(this.view, record);
    this.checkLength(name);
    this.checkBytes(name);
    if (isDot(name) || isDotDot(name) || this.directories.find(record, name.bytes, name.offset, name.length)) {
      fail('EEXIST', 'the name exists');
    }
    if (linksOf(this.view, record) === 0) fail('ENOENT', 'the directory was removed');
    requireMutable(this.view, record);
  }

  /** Blocks for the ACLs that a new inode in a directory inherits. */
  blocksToInherit(parent: Ino): number {
    return this.xattrs.blocksToInherit(this.core.inodes.get(parent));
  }

  /** EINVAL for a type that can't be made without further ado (a symbolic link has a target) or is none. */
  checkMode(mode: number): void {
    const type = mode & FileType.mask;
    if (type === FileType.symlink || !KNOWN_TYPES.has(type)) fail('EINVAL', `mode 0${mode.toString(8)} can't be made`);
  }

  make(parent: Ino, name: Name, mode: number, caller: Caller, major: number, minor: number): Ino {
    const ino = this.newInode(parent, mode, caller);
    const record = this.core.inodes.newRecord;
    const directory = this.core.inodes.edit(parent);
    const type = mode & FileType.mask;
    if (type === FileType.character || type === FileType.block) setDevice(this.view, record, major, minor);
    if (type === FileType.directory) {
      this.view.setUint32(record + Inode.nlink, 2, true);
      setU64(this.view, record + Inode.parent, parent);
      changeLinks(this.view, directory, 1);
    } else {
      this.view.setUint32(record + Inode.nlink, 1, true);
    }
    this.enter(directory, name, ino, record);
    return ino;
  }

  symlink(parent: Ino, name: Name, target: Name, caller: Caller): Ino {
    const ino = this.newInode(parent, FileType.symlink | 0o777, caller);
    const record = this.core.inodes.newRecord;
    this.view.setUint32(record + Inode.nlink, 1, true);
    setU64(this.view, record + Inode.size, target.length);
    if (target.length <= INLINE_SYMLINK_MAX) {
      for (let index = 0; index < target.length; index += 1) {
        this.core.journal.bytes[record + Inode.body + index] = target.bytes[target.offset + index] as number;
      }
    } else {
      Tree.initRoot(this.view, this.core.journal.bytes, record + Inode.body);
      this.view.setUint32(record + Inode.flags, flagsOf(this.view, record) | InodeFlag.treeBody, true);
      this.content.fillNew(record, ino, target.bytes, target.offset, target.length);
    }
    this.enter(this.core.inodes.edit(parent), name, ino, record);
    return ino;
  }

  /** A file without a name, on the orphan list until it gets one. */
  makeTemporary(parent: Ino, mode: number, caller: Caller): Ino {
    const ino = this.newInode(parent, mode, caller);
    this.core.orphans.add(ino);
    return ino;
  }

  /** An empty file of nobody's, without a name, on the orphan list: see Leases. In the running transaction. */
  makeKeeper(): Ino {
    const ino = this.core.inodes.allocate();
    const record = this.core.inodes.newRecord;
    this.view.setUint16(record + Inode.mode, FileType.regular, true);
    stampNew(this.view, record, this.core.clock);
    Tree.initRoot(this.view, this.core.journal.bytes, record + Inode.body);
    this.core.orphans.add(ino);
    return ino;
  }

  checkTemporary(parent: Ino): void {
    const record = this.core.inodes.get(parent);
    requireDirectory(this.view, record);
    if (linksOf(this.view, record) === 0) fail('ENOENT', 'the directory was removed');
    requireMutable(this.view, record);
  }

  checkTarget(target: Name): void {
    if (target.length === 0) fail('ENOENT', 'a symbolic link has a target');
    if (target.length > SYMLINK_MAX) fail('ENAMETOOLONG', 'the target of a symbolic link has at most 4095 bytes');
  }

  /** As `checkNew`, for one more name of an inode. */
  checkLink(ino: Ino, parent: Ino, name: Name): void {
    this.checkFree(parent, name);
    const record = this.core.inodes.get(ino);
    requireUnprotected(this.view, record);
    if (isDirectory(this.view, record)) fail('EPERM', 'a directory has one name');
    requireSameProject(this.view, this.core.inodes.get(parent), record);
    this.checkNew(parent, name, 0);
  }

  link(ino: Ino, parent: Ino, name: Name): void {
    const record = this.core.inodes.edit(ino);
    if (changeLinks(this.view, record, 1) === 1) this.core.orphans.remove(ino);
    stampChange(this.view, record, this.core.clock, false);
    this.enter(this.core.inodes.edit(parent), name, ino, record);
  }

  // ---- removing ----------------------------------------------------------------------------------

  unlink(parent: Ino, name: Name): void {
    const directory = this.core.inodes.get(parent);
    requireDirectory(this.view, directory);
    this.checkLength(name);
    if (isDot(name) || isDotDot(name)) fail('EISDIR', 'is a directory');
    const ino = this.existing(directory, name);
    const record = this.core.inodes.get(ino);
    requireRemovable(this.view, directory, record);
    if (isDirectory(this.view, record)) fail('EISDIR', 'is a directory');
    this.leave(parent, this.directories.foundKey);
    this.drop(ino);
  }

  rmdir(parent: Ino, name: Name): void {
    const directory = this.core.inodes.get(parent);
    requireDirectory(this.view, directory);
    this.checkLength(name);
    if (isDot(name)) fail('EINVAL', '. is not removed');
    if (isDotDot(name)) fail('ENOTEMPTY', 'the directory is not empty');
    const ino = this.existing(directory, name);
    const record = this.core.inodes.get(ino);
    requireRemovable(this.view, directory, record);
    requireDirectory(this.view, record);
    this.requireParent(ino, parent);
    if (this.directories.entries(record) > 0) fail('ENOTEMPTY', 'the directory is not empty');
    this.leave(parent, this.directories.foundKey);
    changeLinks(this.view, this.core.inodes.edit(parent), -1);
    this.dropDirectory(ino);
  }

  // ---- renaming ----------------------------------------------------------------------------------

  /** Checks a rename in Linux's order; true when there is nothing to do (two names of one file). Before the transaction. */
  checkRename(parent: Ino, name: Name, newParent: Ino, newName: Name, flags: number): boolean {
    const exchange = (flags & RenameFlag.exchange) !== 0;
    const noReplace = (flags & RenameFlag.noReplace) !== 0;
    const whiteout = (flags & RenameFlag.whiteout) !== 0;
    if ((flags & ~RENAME_FLAGS) !== 0 || (exchange && (noReplace || whiteout))) fail('EINVAL', 'unknown rename flags');
    const from = this.core.inodes.get(parent);
    const to = this.core.inodes.get(newParent);
    requireDirectory(this.view, from);
    requireDirectory(this.view, to);
    if (isDot(name) || isDotDot(name)) fail('EBUSY', '. and .. are not renamed');
    if (isDot(newName) || isDotDot(newName)) fail(noReplace ? 'EEXIST' : 'EBUSY', '. and .. are not replaced');
    this.checkLength(name);
    const ino = this.existing(from, name);
    this.checkLength(newName);
    this.checkBytes(newName);
    const replaced = this.directories.find(to, newName.bytes, newName.offset, newName.length) ? this.directories.foundIno : 0;
    if (noReplace && replaced !== 0) fail('EEXIST', 'the new name exists');
    if (exchange && replaced === 0) fail('ENOENT', 'there is nothing to exchange with');
    if (this.isInside(newParent, ino)) fail('EINVAL', 'a directory is not moved into itself');
    if (replaced !== 0 && this.isInside(parent, replaced)) fail(exchange ? 'EINVAL' : 'ENOTEMPTY', 'the new name is a directory above the old one');
    this.requireParent(ino, parent);
    if (replaced !== 0) this.requireParent(replaced, newParent);
    if (replaced === ino) return true;
    this.checkRenameFlags(parent, ino, newParent, replaced, exchange);
    const extra = whiteout ? this.core.inodes.blocksToAllocate() : 0;
    if (replaced === 0) {
      this.core.allocator.require(extra + this.directories.nodesToInsert(this.core.inodes.get(newParent)));
    } else if (!exchange) {
      this.checkReplace(ino, replaced);
      if (whiteout) this.core.allocator.require(extra);
    }
    return false;
  }

  /** What flags of the inodes forbid, and a new parent that was removed. */
  private checkRenameFlags(parent: Ino, ino: Ino, newParent: Ino, replaced: Ino | 0, exchange: boolean): void {
    const { inodes } = this.core;
    const from = inodes.get(parent);
    const to = inodes.get(newParent);
    const record = inodes.get(ino);
    requireRemovable(this.view, from, record);
    if (replaced !== 0) {
      requireRemovable(this.view, to, inodes.get(replaced));
    } else {
      if (linksOf(this.view, to) === 0) fail('ENOENT', 'the directory was removed');
      requireMutable(this.view, to);
    }
    requireSameProject(this.view, to, record);
    if (exchange && replaced !== 0) requireSameProject(this.view, from, inodes.get(replaced));
  }

  /** `caller` owns the whiteout, if one is asked for. */
  rename(parent: Ino, name: Name, newParent: Ino, newName: Name, flags: number, caller: Caller): void {
    const { directories } = this;
    const whiteout = (flags & RenameFlag.whiteout) !== 0 ? this.newWhiteout(parent, caller) : 0;
    const ino = this.existing(this.core.inodes.get(parent), name);
    const type = directories.foundType;
    const key = directories.foundKey;
    const to = this.core.inodes.edit(newParent);
    if (!directories.find(to, newName.bytes, newName.offset, newName.length)) {
      // The new entry first: its key may be the one after the old one's.
      directories.insert(to, newName.bytes, newName.offset, newName.length, ino, type);
      this.giveUpName(parent, key, whiteout);
      this.moved(ino, parent, newParent);
    } else {
      const replaced = directories.foundIno;
      const replacedType = directories.foundType;
      directories.replace(to, directories.foundKey, ino, type);
      if ((flags & RenameFlag.exchange) !== 0) {
        directories.replace(this.core.inodes.edit(parent), key, replaced, replacedType);
        this.moved(ino, parent, newParent);
        this.moved(replaced, newParent, parent);
        stampChange(this.view, this.core.inodes.edit(replaced), this.core.clock, false);
      } else {
        this.giveUpName(parent, key, whiteout);
        this.moved(ino, parent, newParent);
        this.dropReplaced(replaced, newParent);
      }
    }
    stampChange(this.view, this.core.inodes.edit(parent), this.core.clock, true);
    stampChange(this.view, this.core.inodes.edit(newParent), this.core.clock, true);
    stampChange(this.view, this.core.inodes.edit(ino), this.core.clock, false);
  }

  /** The name that was renamed goes, or names the whiteout. */
  private giveUpName(parent: Ino, key: number, whiteout: Ino | 0): void {
    const directory = this.core.inodes.edit(parent);
    if (whiteout === 0) this.directories.remove(directory, key);
    else this.directories.replace(directory, key, whiteout, FileType.character >>> 12);
  }

  /** The device 0,0 by which union filesystems know that a name was removed. */
  private newWhiteout(parent: Ino, caller: Caller): Ino {
    const ino = this.newInode(parent, FileType.character, caller);
    this.view.setUint32(this.core.inodes.newRecord + Inode.nlink, 1, true);
    return ino;
  }

  // ---- inside ------------------------------------------------------------------------------------

  private get view(): DataView {
    return this.core.journal.view;
  }

  /** Takes an inode and fills in what all types have in common; nlink is 0. */
  private newInode(parent: Ino, mode: number, caller: Caller): Ino {
    const ino = this.core.inodes.allocate();
    const record = this.core.inodes.newRecord;
    const directory = this.core.inodes.get(parent);
    // A set-group-id directory hands its group down, and the bit to new directories (as Linux, mkdir(2)).
    const inherits = (modeOf(this.view, directory) & SET_GROUP_ID) !== 0;
    const type = mode & FileType.mask;
    const granted = type === FileType.symlink ? mode : this.xattrs.inherit(directory, record, mode, caller.umask);
    const bits = (granted & PERMISSIONS) | (inherits && type === FileType.directory ? SET_GROUP_ID : 0);
    this.view.setUint16(record + Inode.mode, type | bits, true);
    this.view.setUint32(record + Inode.uid, caller.uid, true);
    this.view.setUint32(record + Inode.gid, inherits ? this.view.getUint32(directory + Inode.gid, true) : caller.gid, true);
    stampNew(this.view, record, this.core.clock);
    inheritFlags(this.view, record, directory);
    if (type === FileType.regular || type === FileType.directory) Tree.initRoot(this.view, this.core.journal.bytes, record + Inode.body);
    return ino;
  }

  private enter(directory: number, name: Name, ino: Ino, record: number): void {
    this.directories.insert(directory, name.bytes, name.offset, name.length, ino, typeOf(this.view, record) >>> 12);
    stampChange(this.view, directory, this.core.clock, true);
  }

  private leave(parent: Ino, key: number): void {
    const directory = this.core.inodes.edit(parent);
    this.directories.remove(directory, key);
    stampChange(this.view, directory, this.core.clock, true);
  }

  /** A file loses a name. */
  private drop(ino: Ino): void {
    const record = this.core.inodes.edit(ino);
    stampChange(this.view, record, this.core.clock, false);
    if (changeLinks(this.view, record, -1) > 0) return;
    if (!this.core.orphans.has(ino)) this.core.orphans.add(ino);
    this.dropped.push(ino);
  }

  private dropDirectory(ino: Ino): void {
    const record = this.core.inodes.edit(ino);
    stampChange(this.view, record, this.core.clock, false);
    this.view.setUint32(record + Inode.nlink, 0, true);
    this.core.orphans.add(ino);
    this.dropped.push(ino);
  }

  private dropReplaced(replaced: Ino, newParent: Ino): void {
    if (!isDirectory(this.view, this.core.inodes.get(replaced))) {
      this.drop(replaced);
      return;
    }
    changeLinks(this.view, this.core.inodes.edit(newParent), -1);
    this.dropDirectory(replaced);
  }

  /** A directory that changes its parent takes its `..` along. */
  private moved(ino: Ino, from: Ino, to: Ino): void {
    if (from === to || !isDirectory(this.view, this.core.inodes.get(ino))) return;
    setU64(this.view, this.core.inodes.edit(ino) + Inode.parent, to);
    changeLinks(this.view, this.core.inodes.edit(from), -1);
    changeLinks(this.view, this.core.inodes.edit(to), 1);
  }

  private checkReplace(ino: Ino, replaced: Ino): void {
    const moving = isDirectory(this.view, this.core.inodes.get(ino));
    const target = this.core.inodes.get(replaced);
    if (moving && !isDirectory(this.view, target)) fail('ENOTDIR', 'the new name is not a directory');
    if (!moving && isDirectory(this.view, target)) fail('EISDIR', 'the new name is a directory');
    if (moving && this.directories.entries(target) > 0) fail('ENOTEMPTY', 'the directory is not empty');
  }

  /** Whether directory `ino` is `above` or lies below it. Bases from before are invalid afterwards. EIO when the parents of directories form a loop. */
  private isInside(ino: Ino, above: Ino): boolean {
    let at = ino;
    // Brent's way to see a loop: whoever climbs for ever comes back to where he stood when the steps doubled last.
    let mark = -1;
    let nextMark = 1;
    for (let steps = 0; at !== mark; steps += 1) {
      if (steps === nextMark) {
        mark = at;
        nextMark *= 2;
      }
      if (at === above) return true;
      if (at === ROOT_INO) return false;
      const next = parentOf(this.view, this.core.inodes.get(at));
      // A removed directory keeps its parent field; it ends at the root all the same.
      if (next === at) return false;
      at = next;
      // There may be more directories above than the cache has room for.
      this.core.journal.cache.beginOperation();
    }
    return fail('EIO', `the parents of directory inode ${String(ino)} form a loop`);
  }

  /** EIO when a directory has its name in another one than `parent`: what happened to it there would not be known here. */
  private requireParent(ino: Ino, parent: Ino): void {
    const record = this.core.inodes.get(ino);
    if (!isDirectory(this.view, record) || parentOf(this.view, record) === parent) return;
    fail('EIO', `directory inode ${String(ino)} has a name in directory inode ${String(parent)}, and says its parent is ${String(parentOf(this.view, record))}; run fsck.nvmfs`);
  }

  private existing(directory: number, name: Name): Ino {
    if (!this.directories.find(directory, name.bytes, name.offset, name.length)) fail('ENOENT', 'no such name');
    return this.directories.foundIno;
  }

  private checkLength(name: Name): void {
    if (name.length > NAME_MAX) fail('ENAMETOOLONG', 'a name has at most 255 bytes');
    if (name.length === 0) fail('ENOENT', 'a name has at least one byte');
  }

  /** EINVAL for a name that no path can lead to. */
  private checkBytes(name: Name): void {
    for (let index = name.offset; index < name.offset + name.length; index += 1) {
      if (name.bytes[index] === SLASH || name.bytes[index] === 0) fail('EINVAL', 'a name has neither a slash nor a zero byte');
    }
  }

  /** Upper bound of the blocks a symbolic link's target needs. */
  symlinkBlocks(length: number): number {
    return length <= INLINE_SYMLINK_MAX ? 0 : 1;
  }

  /** What `..` of a directory is. */
  parent(ino: Ino): Ino {
    return parentOf(this.view, this.core.inodes.get(ino));
  }
}

function isDot(name: Name): boolean {
  return name.length === 1 && name.bytes[name.offset] === DOT;
}

function isDotDot(name: Name): boolean {
  return name.length === 2 && name.bytes[name.offset] === DOT && name.bytes[name.offset + 1] === DOT;
}
