const FNV_PRIME = 0x01000193;
const GOLDEN = 0x9e3779b9;

/** 43-bit hash of a name, 1 … 2^43 − 1; exactly as "Name hash" in doc/FORMAT.md. */
export function nameHash(seed: number, bytes: Uint8Array, offset: number, length: number): number {
  let a = (seed ^ length) | 0;
  let b = (seed ^ GOLDEN) | 0;
  for (let index = offset; index < offset + length; index += 1) {
    const byte = bytes[index] as number;
    a = Math.imul(a ^ byte, FNV_PRIME);
    b = rotateLeft(Math.imul(b ^ byte, 0x85ebca6b), 13);
  }
  const hash = (mix(a ^ rotateLeft(b, 7)) >>> 0) * 2048 + (mix(b) >>> 21);
  return hash === 0 ? 1 : hash;
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function mix(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = Math.imul(h, 0x7feb352d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x846ca68b);
  return h ^ (h >>> 16);
}
