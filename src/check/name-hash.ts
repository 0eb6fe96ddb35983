const multiply = Math.imul;

function mix(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = multiply(h, 0x7feb352d);
  h ^= h >>> 15;
  h = multiply(h, 0x846ca68b);
  h ^= h >>> 16;
  return h >>> 0;
}

const rotateLeft = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

/** Hash of the name bytes[offset … offset + length), below 2^43. */
export type NameHash = (hashSeed: number, bytes: Uint8Array, offset: number, length: number) => number;

/** The 43-bit hash of a name, written from doc/FORMAT.md on purpose a second time: the verifier trusts nobody. */
export function hashOfName(hashSeed: number, bytes: Uint8Array, offset: number, length: number): number {
  let a = hashSeed ^ length;
  let b = hashSeed ^ 0x9e3779b9;
  for (let i = offset; i < offset + length; i++) {
    const x = bytes[i] ?? 0;
    a = multiply(a ^ x, 0x01000193);
    b = rotateLeft(multiply(b ^ x, 0x85ebca6b), 13);
  }
  const hash = mix(a ^ rotateLeft(b, 7)) * 2048 + (mix(b) >>> 21);
  return hash === 0 ? 1 : hash;
}
