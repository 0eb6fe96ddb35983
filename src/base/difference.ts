const BLOCK_BYTES = 4096;
const LINE_WORDS = 16;

/**
 * Compares 4096-byte blocks of one array by 64-byte lines, 32 bits at a time. The result of the last
 * comparison stays in `low` and `high`.
 */
export class BlockComparison {
  /** Bit i (unsigned 32 bits): line i, 0–31, differs. */
  low = 0;
  /** Bit i (unsigned 32 bits): line 32 + i differs. */
  high = 0;
  private words: Int32Array = new Int32Array(0);
  private buffer: ArrayBufferLike | undefined;

  /** `offsetA` and `offsetB`: byte offsets of the blocks in `bytes`; they and the array's own offset are multiples of 4. */
  compare(bytes: Uint8Array, offsetA: number, offsetB: number): void {
    if (bytes.buffer !== this.buffer) {
      this.buffer = bytes.buffer;
      this.words = new Int32Array(bytes.buffer, 0, Math.floor(bytes.buffer.byteLength / 4));
    }
    const a = (bytes.byteOffset + offsetA) / 4;
    const b = (bytes.byteOffset + offsetB) / 4;
    this.low = this.compareLines(a, b);
    this.high = this.compareLines(a + BLOCK_BYTES / 8, b + BLOCK_BYTES / 8);
  }

  private compareLines(a: number, b: number): number {
    const words = this.words;
    let mask = 0;
    for (let line = 0; line < 32; line++) {
      const start = line * LINE_WORDS;
      for (let word = start; word < start + LINE_WORDS; word++) {
        if (words[a + word] !== words[b + word]) {
          mask |= 1 << line;
          break;
        }
      }
    }
    return mask >>> 0;
  }
}
