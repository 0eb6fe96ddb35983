import { fail } from '../base/errno.js';

/** As the kernel passes ACLs in extended attributes (doc/FORMAT.md, "ACLs"). */
const VERSION = 2;
const HEADER_SIZE = 4;
const ENTRY_SIZE = 8;
const Entry = { tag: 0, permissions: 2, id: 4 } as const;
const Tag = { userObject: 1, user: 2, groupObject: 4, group: 8, mask: 16, other: 32 } as const;
const NO_ID = 0xffffffff;
const ALL = 0o7;

/** Longest ACL: what the kernel has room for when it asks. */
export const ACL_BYTES_MAX = 4096;
const ENTRIES_MAX = Math.floor((ACL_BYTES_MAX - HEADER_SIZE) / ENTRY_SIZE);

/**
 * A POSIX ACL (acl(5)), decoded. Reused: decoding allocates nothing.
 *
 * What Linux's own filesystems do with ACLs when a file is made or its mode changes is the server's task in FUSE
 * (FUSE_POSIX_ACL); checking access with them is the kernel's.
 */
export class Acl {
  count = 0;
  private readonly tags = new Uint16Array(ENTRIES_MAX);
  private readonly permissions = new Uint16Array(ENTRIES_MAX);
  private readonly ids = new Uint32Array(ENTRIES_MAX);

  /** Takes over an ACL from its bytes. EINVAL unless it is valid, E2BIG when it is too long; no entries at all are valid here. */
  decode(bytes: Uint8Array, offset: number, length: number): void {
    if (length > ACL_BYTES_MAX) fail('E2BIG', `an ACL has at most ${String(ACL_BYTES_MAX)} bytes`);
    if (length < HEADER_SIZE || (length - HEADER_SIZE) % ENTRY_SIZE !== 0) fail('EINVAL', 'an ACL is 4 bytes, then 8 per entry');
    const view = new DataView(bytes.buffer, bytes.byteOffset + offset, length);
    if (view.getUint32(0, true) !== VERSION) fail('EINVAL', 'an ACL has version 2');
    this.count = (length - HEADER_SIZE) / ENTRY_SIZE;
    for (let index = 0; index < this.count; index += 1) {
      const at = HEADER_SIZE + index * ENTRY_SIZE;
      this.tags[index] = view.getUint16(at + Entry.tag, true);
      this.permissions[index] = view.getUint16(at + Entry.permissions, true);
      this.ids[index] = view.getUint32(at + Entry.id, true);
    }
    if (this.count > 0) this.validate();
  }

  /** Writes the ACL to bytes[offset …], which has room for ACL_BYTES_MAX; returns its length. */
  encode(bytes: Uint8Array, offset: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset + offset, ACL_BYTES_MAX);
    view.setUint32(0, VERSION, true);
    for (let index = 0; index < this.count; index += 1) {
      const at = HEADER_SIZE + index * ENTRY_SIZE;
      view.setUint16(at + Entry.tag, this.tags[index] as number, true);
      view.setUint16(at + Entry.permissions, this.permissions[index] as number, true);
      view.setUint32(at + Entry.id, this.ids[index] as number, true);
    }
    return HEADER_SIZE + this.count * ENTRY_SIZE;
  }

  /** Whether it has entries that a mode can't express. */
  get isExtended(): boolean {
    return this.count > 3;
  }

  /** The permission bits of a mode that agree with it: the group's are the mask, if there is one. */
  get mode(): number {
    return (this.permissionsOf(Tag.userObject) << 6) | (this.permissionsOf(this.groupTag) << 3) | this.permissionsOf(Tag.other);
  }

  /** The mode of its file was changed: owner, other, and the mask (without one the group) follow. */
  follow(mode: number): void {
    this.setPermissions(Tag.userObject, (mode >> 6) & ALL);
    this.setPermissions(this.groupTag, (mode >> 3) & ALL);
    this.setPermissions(Tag.other, mode & ALL);
  }

  /** A default ACL becomes the access ACL of a file made with permission bits `mode`: nobody gets more than both allow. Returns the bits. */
  inherit(mode: number): number {
    this.follow(mode & this.mode);
    return this.mode;
  }

  // ---- inside ------------------------------------------------------------------------------------

  private get groupTag(): number {
    return this.indexOf(Tag.mask) < 0 ? Tag.groupObject : Tag.mask;
  }

  private indexOf(tag: number): number {
    for (let index = 0; index < this.count; index += 1) if (this.tags[index] === tag) return index;
    return -1;
  }

  private permissionsOf(tag: number): number {
    return this.permissions[this.indexOf(tag)] as number;
  }

  private setPermissions(tag: number, permissions: number): void {
    this.permissions[this.indexOf(tag)] = permissions;
  }

  /** As Linux: owner, users, group, groups, mask, other in this order; a mask if there are users or groups; permissions are rwx. */
  private validate(): void {
    let before = 0;
    let named = false;
    for (let index = 0; index < this.count; index += 1) {
      const tag = this.tags[index] as number;
      const repeats = tag === Tag.user || tag === Tag.group;
      const known = tag > 0 && tag <= Tag.other && (tag & (tag - 1)) === 0;
      if (!known || tag < before || (tag === before && !repeats)) fail('EINVAL', 'the entries of an ACL are out of order');
      if (((this.permissions[index] as number) & ~ALL) !== 0) fail('EINVAL', 'permissions of an ACL are read, write and execute');
      if (repeats && this.ids[index] === NO_ID) fail('EINVAL', 'an entry for a user or group of an ACL has an id');
      named ||= repeats;
      before = tag;
    }
    const complete = [Tag.userObject, Tag.groupObject, Tag.other].every((tag) => this.indexOf(tag) >= 0);
    if (!complete || (named && this.indexOf(Tag.mask) < 0)) fail('EINVAL', 'an ACL has entries for owner, group and other, and a mask if it has more');
  }
}
