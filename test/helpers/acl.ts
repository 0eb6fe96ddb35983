/** POSIX ACLs as the kernel passes them. */
const TAGS = { userObject: 1, user: 2, groupObject: 4, group: 8, mask: 16, other: 32 } as const;

/** Tag, id (of `user` and `group`; of others 0), permissions. */
export type AclEntry = readonly [keyof typeof TAGS, number, number];

/** rwx, r-x, none. */
export const MINIMAL_ACL: readonly AclEntry[] = [['userObject', 0, 7], ['groupObject', 0, 5], ['other', 0, 0]];

/** The bytes of an ACL with these entries in this order. */
export function acl(...entries: readonly AclEntry[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, id, permissions], index) => {
    const named = tag === 'user' || tag === 'group';
    bytes.writeUInt16LE(TAGS[tag], 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(named ? id : 0xffffffff, 8 + 8 * index);
  });
  return bytes;
}
