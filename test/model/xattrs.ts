import { FsError, type ErrnoName } from '../../src/base/errno.js';
import { XattrFlag } from '../../src/fs/types.js';
import { acl, type AclEntry } from '../helpers/acl.js';
import { FileType, type ModelInode } from './inode.js';

export const ACCESS = 'system.posix_acl_access';
export const DEFAULT = 'system.posix_acl_default';
export const CAPABILITY = 'security.capability';

const VALUE_MAX = 65_536;
const NAME_MAX = 255;
const ACL_MAX = 4096;
const SET_GROUP_ID = 0o2000;
const ORDER = ['userObject', 'user', 'groupObject', 'group', 'mask', 'other'] as const;

function check(condition: boolean, code: ErrnoName): void {
  if (!condition) throw new FsError(code);
}

/** What an attribute is set to: bytes, or an ACL. */
export type XattrValue = { readonly bytes: Uint8Array } | { readonly entries: readonly AclEntry[] };

export function bytesOf(value: XattrValue): Uint8Array {
  return 'bytes' in value ? value.bytes : acl(...value.entries);
}

/** Extended attributes of the model: whole values in maps, ACLs as lists of entries. */
export class ModelXattrs {
  /** Of any name but those of ACLs. */
  private readonly plain = new Map<string, Uint8Array>();
  private readonly acls = new Map<string, readonly AclEntry[]>();

  /** All of them as they can be read. */
  get all(): Map<string, Uint8Array> {
    const all = new Map(this.plain);
    for (const [name, entries] of this.acls) all.set(name, acl(...entries));
    return all;
  }

  has(name: string): boolean {
    return this.plain.has(name) || this.acls.has(name);
  }

  get hasCapability(): boolean {
    return this.plain.has(CAPABILITY);
  }

  dropCapability(): void {
    this.plain.delete(CAPABILITY);
  }

  /** Checks what setxattr(2) checks; false: it changes nothing. */
  checkSet(inode: ModelInode, name: string, value: XattrValue, flags: number): boolean {
    check(bytesOf(value).length <= VALUE_MAX, 'E2BIG');
    checkName(name);
    this.checkType(inode, name);
    const isAcl = name === ACCESS || name === DEFAULT;
    if (isAcl) check(bytesOf(value).length <= ACL_MAX, 'E2BIG');
    if (isAcl) check('entries' in value && (value.entries.length === 0 || isValid(value.entries)), 'EINVAL');
    const empty = 'entries' in value && value.entries.length === 0;
    if (name === DEFAULT && !inode.isDirectory) {
      check(empty, 'EACCES');
      return false;
    }
    check((flags & XattrFlag.create) === 0 || !this.has(name), 'EEXIST');
    check((flags & XattrFlag.replace) === 0 || this.has(name), 'ENODATA');
    return !isAcl || !empty || this.has(name);
  }

  set(inode: ModelInode, name: string, value: XattrValue, flags: number): void {
    if (name !== ACCESS && name !== DEFAULT) {
      this.plain.set(name, bytesOf(value));
      return;
    }
    const entries = 'entries' in value ? value.entries : [];
    if (name === ACCESS && entries.length > 0) {
      inode.mode = (inode.mode & ~0o777) | modeOf(entries);
      if ((flags & XattrFlag.killSetGroupId) !== 0) inode.mode &= ~SET_GROUP_ID;
    }
    // An access ACL that says no more than the mode is not kept.
    if (entries.length > (name === ACCESS ? 3 : 0)) this.acls.set(name, entries);
    else this.acls.delete(name);
  }

  /** Checks what removexattr(2) checks; false: there is no ACL, and that is no error. */
  checkRemove(inode: ModelInode, name: string): boolean {
    checkName(name);
    this.checkType(inode, name);
    if (name === ACCESS || name === DEFAULT) return this.has(name);
    check(this.has(name), 'ENODATA');
    return true;
  }

  remove(name: string): void {
    this.plain.delete(name);
    this.acls.delete(name);
  }

  /** chmod: the ACL follows the mode. */
  modeChanged(mode: number): void {
    const entries = this.acls.get(ACCESS);
    if (entries !== undefined) this.acls.set(ACCESS, withMode(entries, mode));
  }

  /** What a new inode gets from a directory with these attributes; returns its mode. */
  inherit(directory: ModelXattrs, mode: number, umask: number): number {
    const entries = directory.acls.get(DEFAULT);
    if (entries === undefined) return mode & ~umask;
    if ((mode & FileType.mask) === FileType.directory) this.acls.set(DEFAULT, entries);
    const bits = mode & modeOf(entries);
    if (entries.length > 3) this.acls.set(ACCESS, withMode(entries, bits));
    return (mode & ~0o777) | (bits & 0o777);
  }

  private checkType(inode: ModelInode, name: string): void {
    check(!name.startsWith('user.') || inode.isRegular || inode.isDirectory, 'EPERM');
    check(!inode.isLink || (name !== ACCESS && name !== DEFAULT), 'EOPNOTSUPP');
  }
}

function checkName(name: string): void {
  check(name.length > 0 && name.length <= NAME_MAX, 'ERANGE');
  if (name === ACCESS || name === DEFAULT) return;
  check(/^(user|trusted|security)\./.test(name), 'EOPNOTSUPP');
  check(!name.endsWith('.') || name.indexOf('.') !== name.length - 1, 'EINVAL');
}

/** In order, one each of owner, group, other and mask, a mask if anybody is named. */
function isValid(entries: readonly AclEntry[]): boolean {
  const tags = entries.map(([tag]) => tag);
  const sorted = [...tags].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  const count = (tag: (typeof ORDER)[number]): number => tags.filter((other) => other === tag).length;
  const named = count('user') + count('group') > 0;
  return (
    tags.every((tag, index) => tag === sorted[index]) &&
    count('userObject') === 1 && count('groupObject') === 1 && count('other') === 1 &&
    (named ? count('mask') === 1 : count('mask') <= 1) &&
    entries.every(([, , permissions]) => permissions <= 7)
  );
}

function modeOf(entries: readonly AclEntry[]): number {
  const of = (tag: string): number => entries.find((entry) => entry[0] === tag)?.[2] ?? -1;
  const group = of('mask') < 0 ? of('groupObject') : of('mask');
  return (of('userObject') << 6) | (group << 3) | of('other');
}

function withMode(entries: readonly AclEntry[], mode: number): AclEntry[] {
  const group = entries.some(([tag]) => tag === 'mask') ? 'mask' : 'groupObject';
  return entries.map(([tag, id, permissions]): AclEntry => {
    if (tag === 'userObject') return [tag, id, (mode >> 6) & 7];
    if (tag === group) return [tag, id, (mode >> 3) & 7];
    return [tag, id, tag === 'other' ? mode & 7 : permissions];
  });
}
