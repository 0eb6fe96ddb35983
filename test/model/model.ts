import { FsError, type ErrnoName } from '../../src/base/errno.js';
import { AllocateMode, Change, RenameFlag } from '../../src/fs/types.js';
import { FileType, ModelInode, type Moment } from './inode.js';
import type { XattrValue } from './xattrs.js';

const NAME_MAX = 255;
const TARGET_MAX = 4095;
const SIZE_MAX = Number.MAX_SAFE_INTEGER;
const SET_USER_ID = 0o4000;
const SET_GROUP_ID = 0o2000;
const GROUP_EXECUTE = 0o010;
const PERMISSIONS = 0o7777;

/** The second half of an operation: it can't fail any more. */
export type Commit<Result = void> = () => Result;

export interface ModelChange {
  mask: number;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  atime: Moment;
  mtime: Moment;
  ctime: Moment;
}

function fail(code: ErrnoName): never {
  throw new FsError(code);
}

function check(condition: boolean, code: ErrnoName): void {
  if (!condition) fail(code);
}

/**
 * A POSIX filesystem without a medium, as plain as can be. Every operation first checks everything, in the order in which Linux
 * reports errors, and returns what then makes the change: so that an operation for which the real one finds no space is known to be
 * right otherwise, and is left out.
 */
export class Model {
  readonly root: ModelInode;
  /** The present moment. */
  now: Moment;
  /** All inodes with names or holds. */
  readonly inodes = new Map<number, ModelInode>();

  constructor(now: Moment, root: { mode: number; uid: number; gid: number }) {
    this.now = now;
    this.root = new ModelInode(0, root.mode, root.uid, root.gid, now);
    this.root.nlink = 2;
    this.root.parent = this.root;
    this.inodes.set(0, this.root);
  }

  lookup(parent: ModelInode, name: string): ModelInode | undefined {
    if (name === '.') return parent;
    this.checkDirectory(parent);
    check(name.length <= NAME_MAX, 'ENAMETOOLONG');
    if (name === '..') return parent.parent;
    return parent.entries.get(name);
  }

  make(id: number, parent: ModelInode, name: string, mode: number, uid: number, gid: number, umask: number, rdev: [number, number]): Commit<ModelInode> {
    this.checkNewName(parent, name);
    return () => {
      const inode = this.newInode(id, parent, mode, uid, gid, umask);
      if (inode.type === FileType.character || inode.type === FileType.block) [inode.rdevMajor, inode.rdevMinor] = rdev;
      if (inode.isDirectory) {
        inode.nlink = 2;
        parent.nlink += 1;
        inode.parent = parent;
      }
      this.enter(parent, name, inode);
      return inode;
    };
  }

  symlink(id: number, parent: ModelInode, name: string, target: string, uid: number, gid: number): Commit<ModelInode> {
    check(target.length > 0, 'ENOENT');
    check(target.length <= TARGET_MAX, 'ENAMETOOLONG');
    this.checkNewName(parent, name);
    return () => {
      const inode = this.newInode(id, parent, FileType.link | 0o777, uid, gid, 0);
      inode.target = target;
      this.enter(parent, name, inode);
      return inode;
    };
  }

  /** With one hold, that of its creator. */
  makeTemporary(id: number, parent: ModelInode, mode: number, uid: number, gid: number, umask: number): Commit<ModelInode> {
    this.checkDirectory(parent);
    check(parent.nlink > 0, 'ENOENT');
    return () => {
      const inode = this.newInode(id, parent, mode, uid, gid, umask);
      inode.nlink = 0;
      inode.holds = 1;
      inode.temporary = true;
      return inode;
    };
  }

  link(inode: ModelInode, parent: ModelInode, name: string): Commit {
    this.checkNewName(parent, name);
    check(!inode.isDirectory, 'EPERM');
    return () => {
      inode.nlink += 1;
      inode.temporary = false;
      inode.touch(this.now, 'ctime');
      this.enter(parent, name, inode);
    };
  }

  unlink(parent: ModelInode, name: string): Commit {
    const inode = this.existing(parent, name);
    check(!inode.isDirectory, 'EISDIR');
    return () => {
      this.leave(parent, name);
      this.drop(inode);
    };
  }

  rmdir(parent: ModelInode, name: string): Commit {
    this.checkDirectory(parent);
    check(name !== '.', 'EINVAL');
    check(name !== '..', 'ENOTEMPTY');
    const inode = this.existing(parent, name);
    check(inode.isDirectory, 'ENOTDIR');
    check(inode.entries.size === 0, 'ENOTEMPTY');
    return () => {
      this.leave(parent, name);
      parent.nlink -= 1;
      this.dropDirectory(inode);
    };
  }

  rename(parent: ModelInode, name: string, newParent: ModelInode, newName: string, flags: number): Commit {
    const exchange = (flags & RenameFlag.exchange) !== 0;
    const noReplace = (flags & RenameFlag.noReplace) !== 0;
    check(!(exchange && noReplace), 'EINVAL');
    this.checkDirectory(parent);
    this.checkDirectory(newParent);
    check(name !== '.' && name !== '..', 'EBUSY');
    check(newName !== '.' && newName !== '..', noReplace ? 'EEXIST' : 'EBUSY');
    const inode = this.existing(parent, name);
    check(newName.length <= NAME_MAX, 'ENAMETOOLONG');
    const replaced = newParent.entries.get(newName);
    check(!(noReplace && replaced !== undefined), 'EEXIST');
    check(!(exchange && replaced === undefined), 'ENOENT');
    check(!inode.contains(newParent), 'EINVAL');
    if (replaced?.contains(parent) === true) fail(exchange ? 'EINVAL' : 'ENOTEMPTY');
    if (replaced === inode) {
      return () => {
        // Two names of one file: nothing happens, says POSIX.
      };
    }
    if (replaced === undefined) check(newParent.nlink > 0, 'ENOENT');
    if (replaced !== undefined && exchange) {
      return () => {
        this.exchange(parent, name, inode, newParent, newName, replaced);
      };
    }
    if (replaced !== undefined) {
      check(!inode.isDirectory || replaced.isDirectory, 'ENOTDIR');
      check(inode.isDirectory || !replaced.isDirectory, 'EISDIR');
      check(replaced.entries.size === 0, 'ENOTEMPTY');
    }
    return () => {
      this.move(parent, name, inode, newParent, newName, replaced);
    };
  }

  readlink(inode: ModelInode): string {
    check(inode.isLink, 'EINVAL');
    return inode.target;
  }

  setAttributes(inode: ModelInode, change: ModelChange): Commit {
    const has = (bit: number): boolean => (change.mask & bit) !== 0;
    if (has(Change.size)) {
      this.checkRegular(inode);
      check(change.size <= SIZE_MAX, 'EFBIG');
    }
    return () => {
      if (has(Change.mode)) {
        inode.mode = inode.type | (change.mode & PERMISSIONS);
        inode.xattrs.modeChanged(inode.mode);
      }
      if (has(Change.size | Change.uid | Change.gid | Change.killPrivileges) && !inode.isDirectory) inode.xattrs.dropCapability();
      if (has(Change.uid)) inode.uid = change.uid;
      if (has(Change.gid)) inode.gid = change.gid;
      if (has(Change.killPrivileges) && !inode.isDirectory) {
        inode.mode &= ~SET_USER_ID;
        if ((inode.mode & GROUP_EXECUTE) !== 0) inode.mode &= ~SET_GROUP_ID;
      }
      if (has(Change.size)) {
        inode.contents.resize(change.size);
        inode.mtime = this.now;
      }
      if (has(Change.atime)) inode.atime = change.atime;
      if (has(Change.atimeNow)) inode.atime = this.now;
      if (has(Change.mtime)) inode.mtime = change.mtime;
      if (has(Change.mtimeNow)) inode.mtime = this.now;
      inode.ctime = has(Change.ctime) ? change.ctime : this.now;
      inode.settle();
    };
  }

  /** The bytes; reading them is all there is to it. */
  read(inode: ModelInode, offset: number, length: number): Uint8Array {
    this.checkRegular(inode);
    return inode.contents.read(offset, length);
  }

  write(inode: ModelInode, offset: number, given: Uint8Array): Commit {
    this.checkRegular(inode);
    if (given.length > 0) check(offset < SIZE_MAX, 'EFBIG');
    const bytes = given.subarray(0, SIZE_MAX - offset);
    return () => {
      if (bytes.length === 0) return;
      const grows = offset + bytes.length > inode.contents.size;
      this.dropCapability(inode);
      inode.contents.write(offset, bytes);
      if (grows) inode.touch(this.now, 'mtime', 'ctime');
      else inode.touchLazily(this.now, 'mtime', 'ctime');
    };
  }

  allocate(inode: ModelInode, mode: number, offset: number, length: number): Commit {
    const keepSize = (mode & AllocateMode.keepSize) !== 0;
    const punch = (mode & AllocateMode.punchHole) !== 0;
    const zero = (mode & AllocateMode.zeroRange) !== 0;
    check(length > 0, 'EINVAL');
    check((mode & ~(AllocateMode.keepSize | AllocateMode.punchHole | AllocateMode.zeroRange)) === 0, 'EOPNOTSUPP');
    check(!(punch && (zero || !keepSize)), 'EOPNOTSUPP');
    if (inode.isDirectory) fail('EISDIR');
    check(inode.isRegular, 'ENODEV');
    check(offset + length <= SIZE_MAX, 'EFBIG');
    return () => {
      this.dropCapability(inode);
      if (punch || zero) inode.contents.clear(offset, offset + length);
      if (!keepSize && offset + length > inode.contents.size) inode.contents.resize(offset + length);
      inode.touch(this.now, 'mtime', 'ctime');
    };
  }

  /** How many bytes may be copied at most. `copy`: how many were. */
  copyRange(source: ModelInode, sourceOffset: number, target: ModelInode, targetOffset: number, length: number): (copied: number) => void {
    this.checkRegular(source);
    this.checkRegular(target);
    const most = this.copyLength(source, sourceOffset, length);
    const overlap = source === target && sourceOffset < targetOffset + length && targetOffset < sourceOffset + length;
    check(!overlap, 'EINVAL');
    check(most === 0 || targetOffset < SIZE_MAX, 'EFBIG');
    return (copied) => {
      if (copied === 0) return;
      this.dropCapability(target);
      const bytes = source.contents.read(sourceOffset, copied);
      const holes = new Set<number>();
      for (let at = 0; at < copied; at++) {
        const number = Math.floor((sourceOffset + at) / 4096);
        if (source.contents.state(number) !== 'data') holes.add(number);
        at += 4095 - ((sourceOffset + at) % 4096);
      }
      target.contents.write(targetOffset, bytes);
      target.contents.copiedFromHoles((at) => holes.has(Math.floor((sourceOffset + at) / 4096)), targetOffset, copied);
      target.touchLazily(this.now, 'mtime', 'ctime');
    };
  }

  /** The most that a copy of `length` bytes can copy. */
  copyLength(source: ModelInode, sourceOffset: number, length: number): number {
    return Math.max(0, Math.min(length, source.contents.size - sourceOffset));
  }

  setXattr(inode: ModelInode, name: string, value: XattrValue, flags: number): Commit {
    const changes = inode.xattrs.checkSet(inode, name, value, flags);
    return () => {
      if (!changes) return;
      inode.xattrs.set(inode, name, value, flags);
      inode.touch(this.now, 'ctime');
    };
  }

  removeXattr(inode: ModelInode, name: string): Commit {
    const changes = inode.xattrs.checkRemove(inode, name);
    return () => {
      if (!changes) return;
      inode.xattrs.remove(name);
      inode.touch(this.now, 'ctime');
    };
  }

  hold(inode: ModelInode): void {
    inode.holds += 1;
  }

  release(inode: ModelInode, count: number): void {
    inode.holds -= count;
    this.forget(inode);
  }

  /** What a mount finds: inodes without names are gone. Returns them. */
  remount(): void {
    for (const inode of [...this.inodes.values()]) {
      inode.holds = 0;
      this.forget(inode);
    }
  }

  /** Capabilities go before the contents change, and that is certain to be on the medium. */
  private dropCapability(inode: ModelInode): void {
    if (!inode.xattrs.hasCapability) return;
    inode.xattrs.dropCapability();
    inode.touch(this.now, 'ctime');
  }

  private checkDirectory(inode: ModelInode): void {
    check(inode.isDirectory, 'ENOTDIR');
  }

  private checkRegular(inode: ModelInode): void {
    if (inode.isDirectory) fail('EISDIR');
    check(inode.isRegular, 'EINVAL');
  }

  private checkNewName(parent: ModelInode, name: string): void {
    this.checkDirectory(parent);
    check(name.length <= NAME_MAX, 'ENAMETOOLONG');
    check(name !== '.' && name !== '..' && !parent.entries.has(name), 'EEXIST');
    check(parent.nlink > 0, 'ENOENT');
  }

  private existing(parent: ModelInode, name: string): ModelInode {
    this.checkDirectory(parent);
    return this.lookup(parent, name) ?? fail('ENOENT');
  }

  private newInode(id: number, parent: ModelInode, mode: number, uid: number, gid: number, umask: number): ModelInode {
    const inode = new ModelInode(id, mode, uid, gid, this.now);
    if (!inode.isLink) inode.mode = inode.xattrs.inherit(parent.xattrs, mode, umask);
    if ((parent.mode & SET_GROUP_ID) !== 0) {
      inode.gid = parent.gid;
      if (inode.isDirectory) inode.mode |= SET_GROUP_ID;
    }
    this.inodes.set(id, inode);
    return inode;
  }

  private enter(parent: ModelInode, name: string, inode: ModelInode): void {
    parent.entries.set(name, inode);
    parent.touch(this.now, 'mtime', 'ctime');
  }

  private leave(parent: ModelInode, name: string): void {
    parent.entries.delete(name);
    parent.touch(this.now, 'mtime', 'ctime');
  }

  private drop(inode: ModelInode): void {
    inode.nlink -= 1;
    inode.touch(this.now, 'ctime');
    this.forget(inode);
  }

  private dropDirectory(inode: ModelInode): void {
    inode.nlink = 0;
    inode.touch(this.now, 'ctime');
    this.forget(inode);
  }

  private forget(inode: ModelInode): void {
    if (inode.nlink === 0 && inode.holds === 0) this.inodes.delete(inode.id);
  }

  private move(parent: ModelInode, name: string, inode: ModelInode, newParent: ModelInode, newName: string, replaced?: ModelInode): void {
    this.leave(parent, name);
    if (inode.isDirectory) {
      parent.nlink -= 1;
      newParent.nlink += 1;
      inode.parent = newParent;
    }
    if (replaced?.isDirectory === true) {
      newParent.nlink -= 1;
      this.dropDirectory(replaced);
    } else if (replaced !== undefined) {
      this.drop(replaced);
    }
    this.enter(newParent, newName, inode);
    inode.touch(this.now, 'ctime');
  }

  private exchange(parent: ModelInode, name: string, inode: ModelInode, newParent: ModelInode, newName: string, other: ModelInode): void {
    for (const [moved, from, to] of [[inode, parent, newParent], [other, newParent, parent]] as const) {
      if (moved.isDirectory) {
        from.nlink -= 1;
        to.nlink += 1;
        moved.parent = to;
      }
      moved.touch(this.now, 'ctime');
    }
    this.enter(parent, name, other);
    this.enter(newParent, newName, inode);
  }
}
