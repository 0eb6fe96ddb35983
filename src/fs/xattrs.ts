import { assert } from '../base/assert.js';
import { FsError, fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { HashFunction } from '../dir/directory.js';
import { FileType, Inode, ReadOnlyFeature, XATTR_NAME_MAX, XATTR_VALUE_MAX } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { stampChange } from '../file/times.js';
import type { Core } from '../space/core.js';
import { XattrStore } from '../xattr/store.js';
import { Acl, ACL_BYTES_MAX } from './acl.js';
import { requireUnprotected } from './inode-flags.js';
import { isDirectory, modeOf, typeOf } from './records.js';
import { type Name, XattrFlag } from './types.js';

const ACCESS = Buffer.from('system.posix_acl_access');
const DEFAULT = Buffer.from('system.posix_acl_default');
const CAPABILITY = Buffer.from('security.capability');
const USER = Buffer.from('user.');
const NAMESPACES = [USER, Buffer.from('trusted.'), Buffer.from('security.')];
const PERMISSIONS = 0o777;
const SET_GROUP_ID = 0o2000;

/** What a name stands for. */
const Kind = { plain: 0, access: 1, default: 2 } as const;
type KindNumber = (typeof Kind)[keyof typeof Kind];

/**
 * What extended attributes mean: which names there are, what ACLs do to modes and to new files, and which attribute a write
 * takes away. Calls that change something are made inside a transaction with editable records; `prepareSet` and
 * `blocksToInherit` are for before it.
 */
export class Xattrs {
  private readonly store: XattrStore;
  private readonly acl = new Acl();
  private readonly aclBytes = new Uint8Array(ACL_BYTES_MAX);
  /** What the value that is being set will be. */
  private kind: KindNumber = Kind.plain;

  constructor(
    private readonly core: Core,
    hash?: HashFunction,
  ) {
    this.store = new XattrStore(core, hash);
  }

  // ---- looking -----------------------------------------------------------------------------------

  /** Copies the value to bytes[offset …] and returns its length; `size`: room there, 0 to ask for the length only. ENODATA, ERANGE. */
  get(ino: Ino, name: Name, bytes: Uint8Array, offset: number, size: number): number {
    kindOf(name);
    const record = this.core.inodes.get(ino);
    if (!this.find(record, name)) fail('ENODATA', 'no such attribute');
    const length = this.store.foundLength;
    if (size === 0) return length;
    if (length > size) fail('ERANGE', `the value has ${String(length)} bytes`);
    this.store.load(record, bytes, offset);
    return length;
  }

  /** As `get`, all names, each followed by a zero byte. */
  list(ino: Ino, bytes: Uint8Array, offset: number, size: number): number {
    const length = this.store.listBytes(this.core.inodes.get(ino));
    if (size === 0) return length;
    if (length > size) fail('ERANGE', `the names have ${String(length)} bytes`);
    return this.store.list(ino, bytes, offset);
  }

  // ---- changing ----------------------------------------------------------------------------------

  /** Checks that an attribute can be set, in Linux's order, and that there is space. False: there is nothing to do. */
  prepareSet(ino: Ino, name: Name, value: Uint8Array, offset: number, length: number, flags: number): boolean {
    if ((flags & ~(XattrFlag.create | XattrFlag.replace | XattrFlag.killSetGroupId)) !== 0) fail('EINVAL', 'unknown flags');
    if (length > XATTR_VALUE_MAX) fail('E2BIG', 'the value of an extended attribute has at most 65536 bytes');
    this.kind = kindOf(name);
    if ((this.core.geometry.readOnlyCompat & ReadOnlyFeature.xattrs) === 0) fail('EOPNOTSUPP', 'the volume was made without extended attributes');
    const record = this.core.inodes.get(ino);
    requireUnprotected(this.view, record);
    this.checkType(record, name);
    if (this.kind !== Kind.plain) this.acl.decode(value, offset, length);
    if (this.kind === Kind.default && !isDirectory(this.view, record)) {
      if (this.acl.count === 0) return false;
      fail('EACCES', 'only a directory has a default ACL');
    }
    const exists = this.find(record, name);
    if (exists && (flags & XattrFlag.create) !== 0) fail('EEXIST', 'the attribute exists');
    if (!exists && (flags & XattrFlag.replace) !== 0) fail('ENODATA', 'no such attribute');
    if (this.kind !== Kind.plain && this.acl.count === 0) return exists;
    if (!this.isStored) return true;
    if (!exists || this.store.foundLength !== length) this.core.allocator.require(this.store.blocksToSet(record, name.length, length));
    return true;
  }

  /** Sets what `prepareSet` has checked. An access ACL sets the mode, and is kept only if the mode can't say the same. */
  set(ino: Ino, name: Name, value: Uint8Array, offset: number, length: number, flags: number): void {
    const record = this.core.inodes.edit(ino);
    const { kind } = this;
    if (kind === Kind.access && this.acl.count > 0) {
      let mode = (modeOf(this.view, record) & ~PERMISSIONS) | this.acl.mode;
      if ((flags & XattrFlag.killSetGroupId) !== 0) mode &= ~SET_GROUP_ID;
      this.view.setUint16(record + Inode.mode, mode, true);
    }
    if (this.isStored) this.store.set(record, name.bytes, name.offset, name.length, value, offset, length);
    else if (this.find(record, name)) this.store.remove(record);
    stampChange(this.view, record, this.core.clock, false);
  }

  /** Removes an attribute. ENODATA; an ACL that is not there is none (false is returned and nothing was changed). */
  remove(ino: Ino, name: Name): boolean {
    const kind = kindOf(name);
    const record = this.core.inodes.get(ino);
    requireUnprotected(this.view, record);
    this.checkType(record, name);
    if (!this.find(record, name)) return kind === Kind.plain ? fail('ENODATA', 'no such attribute') : false;
    this.core.inodes.edit(ino);
    this.store.remove(record);
    stampChange(this.view, record, this.core.clock, false);
    return true;
  }

  // ---- what other operations do to them ------------------------------------------------------------

  /** Whether there are capabilities that a change of the contents or the owner takes away. */
  hasCapability(record: number): boolean {
    return this.store.find(record, CAPABILITY, 0, CAPABILITY.length);
  }

  removeCapability(record: number): void {
    if (this.hasCapability(record)) this.store.remove(record);
  }

  /** The permission bits of `mode` were changed: the access ACL follows. Needs no space. */
  modeChanged(record: number): void {
    if (!this.store.find(record, ACCESS, 0, ACCESS.length)) return;
    this.loadAcl(record);
    this.acl.follow(modeOf(this.view, record));
    this.storeAcl(record, ACCESS);
  }

  /** Blocks that a new inode in a directory needs for what it inherits. */
  blocksToInherit(directory: number): number {
    if (!this.store.find(directory, DEFAULT, 0, DEFAULT.length)) return 0;
    // The access ACL is as long as the default ACL that it comes from.
    return 2 * this.store.blocksToSet(-1, DEFAULT.length, this.store.foundLength);
  }

  /**
   * Gives a new inode (no symbolic link) the ACLs that the directory's default ACL asks for. Returns the permission bits that it gets:
   * `mode` reduced by that ACL, or, if there is none, by the umask.
   */
  inherit(directory: number, record: number, mode: number, umask: number): number {
    if (!this.store.find(directory, DEFAULT, 0, DEFAULT.length)) return mode & ~umask;
    this.loadAcl(directory);
    if ((mode & FileType.mask) === FileType.directory) this.storeAcl(record, DEFAULT);
    const bits = this.acl.inherit(mode);
    if (this.acl.isExtended) this.storeAcl(record, ACCESS);
    return (mode & ~PERMISSIONS) | bits;
  }

  /** Frees a bounded part of the attributes of an inode that nobody can reach; true when none is left. */
  removeSome(record: number): boolean {
    return this.store.removeSome(record);
  }

  // ---- inside ------------------------------------------------------------------------------------

  private get view(): DataView {
    return this.core.journal.view;
  }

  private find(record: number, name: Name): boolean {
    return this.store.find(record, name.bytes, name.offset, name.length);
  }

  /** Whether what is being set ends up as an attribute: an access ACL that equals the mode does not. */
  private get isStored(): boolean {
    if (this.kind === Kind.plain) return true;
    return this.kind === Kind.access ? this.acl.isExtended : this.acl.count > 0;
  }

  /** EPERM for attributes of users where Linux has none, EOPNOTSUPP for ACLs of symbolic links. */
  private checkType(record: number, name: Name): void {
    const type = typeOf(this.view, record);
    if (startsWith(name, USER) && type !== FileType.regular && type !== FileType.directory) fail('EPERM', 'only files and directories have attributes of users');
    if (type === FileType.symlink && (isName(name, ACCESS) || isName(name, DEFAULT))) fail('EOPNOTSUPP', 'a symbolic link has no ACL');
  }

  /** Decodes the ACL that the store has found. EIO when it is not valid. */
  private loadAcl(record: number): void {
    const length = this.store.foundLength;
    const ino = getU64(this.view, record + Inode.ino);
    if (length > ACL_BYTES_MAX) fail('EIO', `an ACL of inode ${String(ino)} has ${String(length)} bytes; run fsck.nvmfs`);
    this.store.load(record, this.aclBytes, 0);
    try {
      this.acl.decode(this.aclBytes, 0, length);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      fail('EIO', `an ACL of inode ${String(ino)} is not valid; run fsck.nvmfs`);
    }
    if (this.acl.count === 0) fail('EIO', `an ACL of inode ${String(ino)} has no entries; run fsck.nvmfs`);
  }

  private storeAcl(record: number, name: Uint8Array): void {
    const length = this.acl.encode(this.aclBytes, 0);
    assert(length <= ACL_BYTES_MAX, 'an ACL that was read is not too long');
    this.store.set(record, name, 0, name.length, this.aclBytes, 0, length);
  }
}

/** What a name stands for. EOPNOTSUPP for a namespace that there is not, EINVAL for a namespace alone, ERANGE for a name that is too long. */
function kindOf(name: Name): KindNumber {
  if (name.length === 0 || name.length > XATTR_NAME_MAX) fail('ERANGE', 'the name of an extended attribute has 1 to 255 bytes');
  if (isName(name, ACCESS)) return Kind.access;
  if (isName(name, DEFAULT)) return Kind.default;
  const namespace = NAMESPACES.find((prefix) => startsWith(name, prefix));
  if (namespace === undefined) return fail('EOPNOTSUPP', 'extended attributes are user.*, trusted.*, security.* and ACLs');
  if (name.length === namespace.length) fail('EINVAL', 'a namespace alone is no name');
  return Kind.plain;
}

function startsWith(name: Name, prefix: Uint8Array): boolean {
  if (name.length < prefix.length) return false;
  for (let index = 0; index < prefix.length; index += 1) if (name.bytes[name.offset + index] !== prefix[index]) return false;
  return true;
}

function isName(name: Name, other: Uint8Array): boolean {
  return name.length === other.length && startsWith(name, other);
}
