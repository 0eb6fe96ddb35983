const BLOCK = 4096;

/**
 * The bytes of a regular file, block by block. A block that is not there is a hole: zero bytes.
 * Also knows which blocks lseek(2) must show as data, as holes, or may show as either.
 */
export class Contents {
  size = 0;
  /** Blocks that were written; block number → 4096 bytes. */
  private readonly blocks = new Map<number, Uint8Array>();
  /** Those of `blocks`, zero bytes all, that may be data or holes: what a copy of a hole leaves is the filesystem's choice. */
  private readonly either = new Set<number>();

  /** Blocks that hold data for certain. */
  get dataBlocks(): number {
    return this.blocks.size - this.either.size;
  }

  /** Writes all of `bytes` at `offset`; the file grows as needed. */
  write(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const number = Math.floor(at / BLOCK);
      const inside = at - number * BLOCK;
      const part = Math.min(BLOCK - inside, bytes.length - done);
      this.writable(number).set(bytes.subarray(done, done + part), inside);
      done += part;
    }
    this.size = Math.max(this.size, offset + bytes.length);
  }

  /** Bytes [offset, offset + length), clipped to the size. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const number = Math.floor(at / BLOCK);
      const inside = at - number * BLOCK;
      const part = Math.min(BLOCK - inside, bytes.length - done);
      const block = this.blocks.get(number);
      if (block !== undefined) bytes.set(block.subarray(inside, inside + part), done);
      done += part;
    }
    return bytes;
  }

  /** Zero bytes in [start, end), which may lie beyond the size; whole blocks become holes. */
  clear(start: number, end: number): void {
    for (const number of [...this.blocks.keys()]) {
      const first = number * BLOCK;
      const from = Math.max(start, first);
      const to = Math.min(end, first + BLOCK);
      if (from >= to) continue;
      if (to - from === BLOCK) {
        this.blocks.delete(number);
        this.either.delete(number);
        continue;
      }
      this.blocks.get(number)?.fill(0, from - first, to - first);
      // Whether the last block counts as wholly cleared when only bytes past the end are left is the filesystem's choice.
      if (from === first && to >= this.size) this.mayBeHole(number);
    }
  }

  resize(size: number): void {
    if (size < this.size) {
      const keep = Math.ceil(size / BLOCK);
      for (const number of this.blocks.keys()) {
        if (number >= keep) this.blocks.delete(number);
      }
      for (const number of this.either) {
        if (number >= keep) this.either.delete(number);
      }
      if (size % BLOCK !== 0) this.blocks.get(keep - 1)?.fill(0, size % BLOCK);
    }
    this.size = size;
  }

  /** After a copy of [from, to) of `source` (as it was before) to `target`: blocks that came from holes are data or holes. */
  copiedFromHoles(isHole: (offset: number) => boolean, target: number, length: number): void {
    const first = Math.floor(target / BLOCK);
    const last = Math.floor((target + length - 1) / BLOCK);
    for (let number = first; number <= last; number++) {
      const start = Math.max(target, number * BLOCK);
      const end = Math.min(target + length, (number + 1) * BLOCK);
      if ((isHole(start - target) || isHole(end - 1 - target)) && this.isZero(number)) this.mayBeHole(number);
    }
  }

  /** Whether lseek must show the block as data, as a hole, or may do either. */
  state(number: number): 'data' | 'hole' | 'either' {
    if (this.either.has(number)) return 'either';
    return this.blocks.has(number) ? 'data' : 'hole';
  }

  /** Why `found`, the answer to lseek(offset, SEEK_DATA), −1 for ENXIO, is wrong; undefined if it is right. */
  wrongData(offset: number, found: number): string | undefined {
    if (offset >= this.size) return found === -1 ? undefined : 'ENXIO was expected at or beyond the end';
    const start = Math.floor(offset / BLOCK);
    const stop = found === -1 ? Math.ceil(this.size / BLOCK) : Math.floor(found / BLOCK);
    for (const number of this.blocks.keys()) {
      if (number >= start && number < stop && this.state(number) === 'data') return `block ${String(number)} is data and was skipped`;
    }
    if (found === -1) return undefined;
    if (found < offset || found >= this.size) return 'the answer is outside [offset, size)';
    if (this.state(stop) === 'hole') return `block ${String(stop)} is a hole`;
    if (found !== offset && found !== stop * BLOCK) return 'the answer is not the start of a block';
    return undefined;
  }

  /** As wrongData, for SEEK_HOLE. */
  wrongHole(offset: number, found: number): string | undefined {
    if (offset >= this.size) return found === -1 ? undefined : 'ENXIO was expected at or beyond the end';
    if (found === -1) return 'there is always a hole at the end';
    if (found < offset || found > this.size) return 'the answer is outside [offset, size]';
    const stop = Math.floor(found / BLOCK);
    const last = Math.min(stop, Math.ceil(this.size / BLOCK)) - 1;
    for (let number = Math.floor(offset / BLOCK); number <= last; number++) {
      // Stepping through what should all be data: bounded by the blocks there are.
      if (this.state(number) === 'hole') return `block ${String(number)} is a hole and was skipped`;
    }
    if (found === this.size) {
      const tail = Math.floor((this.size - 1) / BLOCK);
      return this.state(tail) === 'hole' ? `block ${String(tail)} is a hole and was skipped` : undefined;
    }
    if (this.state(stop) === 'data') return `block ${String(stop)} is data`;
    if (found !== offset && found !== stop * BLOCK) return 'the answer is not the start of a block';
    return undefined;
  }

  private mayBeHole(number: number): void {
    if (this.blocks.has(number)) this.either.add(number);
  }

  private isZero(number: number): boolean {
    return this.blocks.get(number)?.every((byte) => byte === 0) ?? true;
  }

  private writable(number: number): Uint8Array {
    this.either.delete(number);
    let block = this.blocks.get(number);
    if (block === undefined) this.blocks.set(number, (block = new Uint8Array(BLOCK)));
    return block;
  }
}
