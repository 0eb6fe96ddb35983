/** Searches in the bitmap of an allocation group. Bits: 0 free, 1 in use. */
export class RunSearch {
  /** First bit of the run found, −1 if none. */
  start = -1;
  /** Its length in bits, at most what was wanted. */
  length = 0;

  /**
   * Finds the first run of at least `want` free bits in [from, end), or else the longest.
   * A bit is free when it is zero in both bitmaps: `current` (edited by the running transaction) and `committed`,
   * because blocks that this transaction frees still belong to their former owner after a crash.
   * `align` (a power of two): the run starts at a multiple of it; 1 for anywhere.
   */
  find(view: DataView, current: number, committed: number, from: number, end: number, want: number, align: number): void {
    this.start = -1;
    this.length = 0;
    let runStart = -1;
    let bit = from;
    while (bit < end) {
      if ((bit & 31) === 0 && bit + 32 <= end) {
        const at = bit >>> 3;
        const word = view.getInt32(current + at, true) | view.getInt32(committed + at, true);
        if (word === -1) {
          if (runStart >= 0 && this.take(runStart, bit, want, align)) return;
          runStart = -1;
          bit += 32;
          continue;
        }
        if (word === 0) {
          if (runStart < 0) runStart = bit;
          bit += 32;
          if (bit - runStart >= want + align - 1 && this.take(runStart, bit, want, align)) return;
          continue;
        }
      }
      const at = bit >>> 3;
      const used = ((view.getUint8(current + at) | view.getUint8(committed + at)) >>> (bit & 7)) & 1;
      if (used === 0) {
        if (runStart < 0) runStart = bit;
      } else if (runStart >= 0) {
        if (this.take(runStart, bit, want, align)) return;
        runStart = -1;
      }
      bit += 1;
    }
    if (runStart >= 0) this.take(runStart, end, want, align);
  }

  /** Remembers the run [start, end) if it is the best so far; true when it is as long as wanted. */
  private take(start: number, end: number, want: number, align: number): boolean {
    const aligned = align === 1 ? start : Math.ceil(start / align) * align;
    const length = Math.min(want, end - aligned);
    if (length > this.length) {
      this.start = aligned;
      this.length = length;
    }
    return this.length >= want;
  }
}
