import { assert } from '../base/assert.js';
import type { ByteAddr } from '../base/units.js';

/** What lies under copy-on-write pages. */
export interface Lower {
  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void;
}

/**
 * Sparse bytes in DRAM, in pages that come into being when something is written to them. Elsewhere it
 * shows `lower` (which is never written), or zero bytes. Ranges are the caller's to check.
 */
export class Pages implements Lower {
  private readonly pages = new Map<number, Uint8Array>();

  /** `pageBytes`: bytes per page; the size of the whole is a multiple of it, or the last page has unused bytes. */
  constructor(
    readonly pageBytes: number,
    private readonly size: number,
    private readonly lower?: Lower,
  ) {
    assert(Number.isInteger(pageBytes) && pageBytes >= 1, 'a page has at least one byte');
  }

  /** Pages in DRAM. */
  get count(): number {
    return this.pages.size;
  }

  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const number = Math.floor((address + done) / this.pageBytes);
      const inside = address + done - number * this.pageBytes;
      const part = Math.min(this.pageBytes - inside, length - done);
      const page = this.pages.get(number);
      if (page !== undefined) copyBytes(target, targetOffset + done, page, inside, part);
      else if (this.lower !== undefined) this.lower.load((address + done) as ByteAddr, target, targetOffset + done, part);
      else target.fill(0, targetOffset + done, targetOffset + done + part);
      done += part;
    }
  }

  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const number = Math.floor((address + done) / this.pageBytes);
      const inside = address + done - number * this.pageBytes;
      const part = Math.min(this.pageBytes - inside, length - done);
      copyBytes(this.writable(number, part), inside, source, sourceOffset + done, part);
      done += part;
    }
  }

  zero(address: ByteAddr, length: number): void {
    for (let done = 0; done < length; ) {
      const number = Math.floor((address + done) / this.pageBytes);
      const inside = address + done - number * this.pageBytes;
      const part = Math.min(this.pageBytes - inside, length - done);
      if (this.lower === undefined && part === this.pageBytes) this.pages.delete(number);
      else if (this.lower !== undefined || this.pages.has(number)) this.writable(number, part).fill(0, inside, inside + part);
      done += part;
    }
  }

  /** Writes everything that is here, and in the pages below if there are such, to `target`. */
  mergeInto(target: Pages): void {
    if (this.lower instanceof Pages) this.lower.mergeInto(target);
    for (const [number, page] of this.pages) {
      const start = number * this.pageBytes;
      target.store(start as ByteAddr, page, 0, Math.min(this.pageBytes, this.size - start));
    }
  }

  /** The page, made if there is none; what `part` bytes about to be written leave of it shows what was there. */
  private writable(number: number, part: number): Uint8Array {
    let page = this.pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(this.pageBytes);
      const start = number * this.pageBytes;
      if (this.lower !== undefined && part < this.pageBytes) {
        this.lower.load(start as ByteAddr, page, 0, Math.min(this.pageBytes, this.size - start));
      }
      this.pages.set(number, page);
    }
    return page;
  }
}

/** For a few bytes a loop is quicker than making a subarray. */
function copyBytes(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number, length: number): void {
  if (length > 24) {
    target.set(source.subarray(sourceOffset, sourceOffset + length), targetOffset);
    return;
  }
  for (let i = 0; i < length; i++) target[targetOffset + i] = source[sourceOffset + i] as number;
}
