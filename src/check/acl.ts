/** ACLs as doc/FORMAT.md describes them, for the verifier: written a second time on purpose. */
export const ACL_BYTES_MAX = 4096;

const VERSION = 2;
const [OWNER, USER, GROUP, NAMED_GROUP, MASK, OTHER] = [1, 2, 4, 8, 16, 32] as const;
const NO_ID = 0xffffffff;

interface Entry {
  tag: number;
  permissions: number;
  id: number;
}

function entriesOf(bytes: Uint8Array, length: number): Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const entries: Entry[] = [];
  for (let at = 4; at + 8 <= length; at += 8) {
    entries.push({ tag: view.getUint16(at, true), permissions: view.getUint16(at + 2, true), id: view.getUint32(at + 4, true) });
  }
  return entries;
}

/** What is wrong with an ACL in bytes[0 … length), null: nothing. */
export function aclFault(bytes: Uint8Array, length: number): string | null {
  if (length < 4 || length > ACL_BYTES_MAX || length % 8 !== 4) return `${String(length)} bytes`;
  const version = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if (version !== VERSION) return `version ${String(version)}`;
  const entries = entriesOf(bytes, length);
  const shape = entries.map(({ tag }) => `${String(tag)} `).join('');
  const named = `(${String(USER)} )*${String(GROUP)} (${String(NAMED_GROUP)} )*`;
  const minimal = `${String(OWNER)} ${String(GROUP)} (${String(MASK)} )?${String(OTHER)} `;
  const extended = `${String(OWNER)} ${named}${String(MASK)} ${String(OTHER)} `;
  if (!new RegExp(`^(${minimal}|${extended})$`).test(shape)) return `entries with the tags ${shape.trim()}`;
  if (entries.some(({ permissions }) => permissions > 7)) return 'permissions beyond rwx';
  if (entries.some(({ tag, id }) => (tag === USER || tag === NAMED_GROUP) && id === NO_ID)) return 'an entry without an id';
  return null;
}

/** The permission bits that a valid ACL gives the mode. */
export function aclMode(bytes: Uint8Array, length: number): number {
  const entries = entriesOf(bytes, length);
  const of = (tag: number): number | undefined => entries.find((entry) => entry.tag === tag)?.permissions;
  return ((of(OWNER) ?? 0) << 6) | ((of(MASK) ?? of(GROUP) ?? 0) << 3) | (of(OTHER) ?? 0);
}
