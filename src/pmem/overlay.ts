import type { ByteAddr } from '../base/units.js';
import { Pages } from './pages.js';
import type { Pmem } from './pmem.js';
import { assertInside, PortablePmem } from './portable.js';

const PAGE_BYTES = 4096;
const COPY_BYTES = 64 * 1024;

/**
 * A writable view of a medium that is never written: changes are kept in DRAM, in pages of 4 KiB.
 * What a check or a trial run does to it is gone when it is closed. Closing does not close the lower medium.
 */
export class OverlayPmem extends PortablePmem {
  private readonly pages: Pages;

  constructor(private readonly lower: Pmem) {
    super(lower.size, 'memory', false);
    this.pages = new Pages(PAGE_BYTES, lower.size, lower);
  }

  /** Bytes of DRAM that hold changes. */
  get changedBytes(): number {
    return this.pages.count * PAGE_BYTES;
  }

  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    this.checkRange(address, length);
    assertInside(target, targetOffset, length);
    this.pages.load(address, target, targetOffset, length);
  }

  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    this.checkChange(address, length);
    assertInside(source, sourceOffset, length);
    this.pages.store(address, source, sourceOffset, length);
  }

  zero(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
    this.pages.zero(address, length);
  }

  copy(target: ByteAddr, source: ByteAddr, length: number): void {
    this.checkChange(target, length);
    this.checkRange(source, length);
    const bytes = new Uint8Array(Math.min(length, COPY_BYTES));
    for (let done = 0; done < length; ) {
      const part = Math.min(bytes.length, length - done);
      this.pages.load((source + done) as ByteAddr, bytes, 0, part);
      this.pages.store((target + done) as ByteAddr, bytes, 0, part);
      done += part;
    }
  }

  persist(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
  }

  fence(): void {
    // Nothing here outlives the process: there is nothing to wait for.
    this.checkRange(0, 0);
  }

  back(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
  }

  override crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number {
    return this.lower.crc32c(seed, bytes, offset, length);
  }

  override difference(bytes: Uint8Array, blockA: number, blockB: number): number {
    const low = this.lower.difference(bytes, blockA, blockB);
    this.differenceHigh = this.lower.differenceHigh;
    return low;
  }
}
