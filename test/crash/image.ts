/**
 * A whole volume in one array, with a note of the lines that were changed since it was last like another one: building a crash state,
 * and taking it back, cost what differs, not what the volume holds.
 */
export const LINE = 64;
const LINE_WORDS = LINE / 4;

export class Image {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Lines changed since the last `revert`, as line numbers, in the order in which they were first changed. */
  readonly changed: Int32Array;
  changedCount = 0;
  private readonly marks: Uint8Array;

  /** `size`: bytes, a multiple of 4096. */
  constructor(readonly size: number) {
    const buffer = new ArrayBuffer(size);
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.changed = new Int32Array(size / LINE);
    this.marks = new Uint8Array(size / LINE);
  }

  store(address: number, source: Uint8Array, sourceOffset: number, length: number): void {
    this.mark(address, length);
    this.bytes.set(source.subarray(sourceOffset, sourceOffset + length), address);
  }

  zero(address: number, length: number): void {
    this.mark(address, length);
    this.bytes.fill(0, address, address + length);
  }

  /** Gives a line (by number) the sixteen words of `content`. */
  putLine(line: number, content: Int32Array, contentOffset = 0): void {
    this.markLine(line);
    const at = line * LINE_WORDS;
    for (let word = 0; word < LINE_WORDS; word += 1) this.words[at + word] = content[contentOffset + word] as number;
  }

  /** Gives every changed line the content that it has in `original`. */
  revert(original: Image): void {
    for (let index = 0; index < this.changedCount; index += 1) {
      const line = this.changed[index] as number;
      this.marks[line] = 0;
      const end = (line + 1) * LINE_WORDS;
      for (let at = line * LINE_WORDS; at < end; at += 1) this.words[at] = original.words[at] as number;
    }
    this.changedCount = 0;
  }

  private mark(address: number, length: number): void {
    const end = address + length;
    for (let line = Math.floor(address / LINE); line * LINE < end; line += 1) this.markLine(line);
  }

  private markLine(line: number): void {
    if (this.marks[line] !== 0) return;
    this.marks[line] = 1;
    this.changed[this.changedCount] = line;
    this.changedCount += 1;
  }
}

/**
 * Hash of what one line of an image holds, 52 bits as two halves that combine by exclusive or: the hash of an image is that of all its lines
 * combined, so it follows a change by two steps.
 */
export class LineHash {
  low = 0;
  high = 0;

  /** Hashes sixteen words as the content of line `line`. */
  of(line: number, words: Int32Array, offset: number): void {
    let a = Math.imul(line, 0x9e3779b1) ^ 0x2545f491;
    let b = Math.imul(line, 0x85ebca6b) ^ 0x165667b1;
    for (let word = 0; word < LINE_WORDS; word += 1) {
      const value = words[offset + word] as number;
      a = Math.imul(a ^ value, 0x01000193);
      a ^= a >>> 15;
      b = Math.imul(b + value, 0xc2b2ae35);
      b ^= b >>> 13;
    }
    a = Math.imul(a ^ (a >>> 16), 0x7feb352d);
    b = Math.imul(b ^ (b >>> 16), 0x846ca68b);
    this.low = a ^ (a >>> 15);
    this.high = (b ^ (b >>> 16)) & 0xfffff;
  }
}

/** The two halves of a hash as one number below 2^52. */
export function joined(low: number, high: number): number {
  return (high & 0xfffff) * 0x100000000 + (low >>> 0);
}
