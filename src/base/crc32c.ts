/**
 * CRC32C (Castagnoli, RFC 3720) in plain JavaScript: eight bytes per step through eight tables ("slicing by 8").
 * The addon has a quicker one; this serves where there is no addon, and checks it.
 */
const POLYNOMIAL = 0x82f63b78;

/** Table k, at offset 256 × k: the effect of a byte that is followed by k further bytes. */
const tables = ((): Int32Array => {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : POLYNOMIAL);
    made[byte] = crc;
  }
  for (let at = 256; at < made.length; at++) {
    const previous = made[at - 256] as number;
    made[at] = (previous >>> 8) ^ (made[previous & 0xff] as number);
  }
  return made;
})();

/**
 * CRC32C of bytes[offset … offset + length), continued from `seed`, the CRC of what comes before (0 to start).
 * Unsigned 32 bits. The range lies inside `bytes`.
 */
export function crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number {
  const t = tables;
  const end = offset + length;
  const endOfEights = end - (length % 8);
  let crc = ~seed;
  let at = offset;
  for (; at < endOfEights; at += 8) {
    crc =
      (t[1792 + ((crc ^ (bytes[at] as number)) & 0xff)] as number) ^
      (t[1536 + (((crc >>> 8) ^ (bytes[at + 1] as number)) & 0xff)] as number) ^
      (t[1280 + (((crc >>> 16) ^ (bytes[at + 2] as number)) & 0xff)] as number) ^
      (t[1024 + ((crc >>> 24) ^ (bytes[at + 3] as number))] as number) ^
      (t[768 + (bytes[at + 4] as number)] as number) ^
      (t[512 + (bytes[at + 5] as number)] as number) ^
      (t[256 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number);
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return ~crc >>> 0;
}
