/** Names of extended attributes as doc/FORMAT.md, "Extended attributes" has them; their bytes as latin1. */
export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';

const NAMESPACES = ['user.', 'trusted.', 'security.'];

/** True for a name of a known namespace without zero bytes. */
export function isXattrName(name: string): boolean {
  const namespace = NAMESPACES.find((prefix) => name.startsWith(prefix));
  const known = namespace === undefined ? name === ACCESS_ACL || name === DEFAULT_ACL : name.length > namespace.length;
  return known && !name.includes('\0');
}
