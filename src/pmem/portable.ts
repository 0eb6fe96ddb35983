import { assert } from '../base/assert.js';
import { crc32c } from '../base/crc32c.js';
import { BlockComparison } from '../base/difference.js';
import { FsError } from '../base/errno.js';
import type { ByteAddr } from '../base/units.js';
import type { DurabilityDomain, Pmem } from './pmem.js';

const LINE = 64;

/** What the media in DRAM have in common: checks of arguments, and the computations without the addon. */
export abstract class PortablePmem implements Pmem {
  differenceHigh = 0;
  private readonly comparison = new BlockComparison();
  private closed = false;

  constructor(
    readonly size: number,
    readonly domain: DurabilityDomain,
    readonly readOnly: boolean,
  ) {
    assert(Number.isSafeInteger(size) && size > 0 && size % 4096 === 0, 'the size of a medium is a multiple of 4096');
  }

  abstract load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void;
  abstract store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void;
  abstract zero(address: ByteAddr, length: number): void;
  abstract copy(target: ByteAddr, source: ByteAddr, length: number): void;
  abstract persist(address: ByteAddr, length: number): void;
  abstract fence(): void;
  abstract back(address: ByteAddr, length: number): void;

  crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number {
    assertInside(bytes, offset, length);
    return crc32c(seed, bytes, offset, length);
  }

  difference(bytes: Uint8Array, blockA: number, blockB: number): number {
    assertInside(bytes, blockA, 4096);
    assertInside(bytes, blockB, 4096);
    assert(blockA % LINE === 0 && blockB % LINE === 0, 'blocks to compare are given by byte offsets, multiples of 64');
    this.comparison.compare(bytes, blockA, blockB);
    this.differenceHigh = this.comparison.high;
    return this.comparison.low;
  }

  close(): void {
    if (!this.readOnly) this.fence();
    this.closed = true;
  }

  /** Asserts that the range is on the medium, and that the medium is still open. */
  protected checkRange(address: number, length: number): void {
    assert(!this.closed, 'a closed medium is not used');
    if (!(Number.isSafeInteger(address) && Number.isSafeInteger(length) && address >= 0 && length >= 0 && address + length <= this.size)) {
      assert(false, `range of ${String(length)} bytes at ${String(address)} lies on the medium of ${String(this.size)} bytes`);
    }
  }

  /** As checkRange, for a range to be changed. */
  protected checkChange(address: number, length: number): void {
    this.checkRange(address, length);
    if (this.readOnly) throw new FsError('EROFS', 'the medium is read-only');
  }
}

/** Asserts that a range lies in an array of the caller. */
export function assertInside(bytes: Uint8Array, offset: number, length: number): void {
  assert(offset >= 0 && length >= 0 && offset + length <= bytes.length, 'a range lies inside its array');
}
