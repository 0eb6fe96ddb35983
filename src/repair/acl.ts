const HEADER_SIZE = 4;
const ENTRY_SIZE = 8;
const [OWNER, GROUP, MASK, OTHER] = [1, 4, 16, 32] as const;

/** Lets a valid access ACL in bytes[0 … length) say what the permission bits of a mode say, as chmod(2) does: the group's are the mask's. */
export function followMode(bytes: Uint8Array, length: number, mode: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const permissions = new Map<number, number>([[OWNER, (mode >> 6) & 7], [OTHER, mode & 7]]);
  let group: number = GROUP;
  for (let at = HEADER_SIZE; at < length; at += ENTRY_SIZE) if (view.getUint16(at, true) === MASK) group = MASK;
  permissions.set(group, (mode >> 3) & 7);
  for (let at = HEADER_SIZE; at < length; at += ENTRY_SIZE) {
    const wanted = permissions.get(view.getUint16(at, true));
    if (wanted !== undefined) view.setUint16(at + 2, wanted, true);
  }
}
