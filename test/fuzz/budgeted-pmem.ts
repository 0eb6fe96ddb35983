import type { ByteAddr } from '../../src/base/units.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';

/** Thrown when a damaged image keeps the engine busy for longer than any healthy one: it is no error of the filesystem, so nobody catches it. */
export class BudgetExceeded extends Error {
  override readonly name = 'BudgetExceeded';
}

/**
 * A medium that counts its calls, and the bytes that go through them, and ends a run that has no end. Closing it leaves the medium below open, so that what was
 * left on it can be looked at.
 */
export class BudgetedPmem implements Pmem {
  readonly readOnly = false;
  differenceHigh = 0;
  /** Calls so far, and one more for each 4 KiB that they moved or summed. */
  spent = 0;
  private closed = false;

  constructor(
    readonly medium: SimulatedPmem,
    /** Most that may be spent. */
    private readonly budget: number,
  ) {}

  get size(): number {
    return this.medium.size;
  }

  get domain(): Pmem['domain'] {
    return this.medium.domain;
  }

  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    this.spend(length);
    this.medium.load(address, target, targetOffset, length);
  }

  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    this.spend(length);
    this.medium.store(address, source, sourceOffset, length);
  }

  zero(address: ByteAddr, length: number): void {
    this.spend(length);
    this.medium.zero(address, length);
  }

  copy(target: ByteAddr, source: ByteAddr, length: number): void {
    this.spend(length);
    this.medium.copy(target, source, length);
  }

  persist(address: ByteAddr, length: number): void {
    this.spend(0);
    this.medium.persist(address, length);
  }

  fence(): void {
    this.spend(0);
    this.medium.fence();
  }

  back(address: ByteAddr, length: number): void {
    this.spend(0);
    this.medium.back(address, length);
  }

  crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number {
    this.spend(length);
    return this.medium.crc32c(seed, bytes, offset, length);
  }

  difference(bytes: Uint8Array, blockA: number, blockB: number): number {
    this.spend(4096);
    const low = this.medium.difference(bytes, blockA, blockB);
    this.differenceHigh = this.medium.differenceHigh;
    return low;
  }

  close(): void {
    if (this.closed) throw new Error('a medium is closed once');
    this.fence();
    this.closed = true;
  }

  private spend(bytes: number): void {
    if (this.closed) throw new Error('a closed medium is not used');
    this.spent += 1 + bytes / 4096;
    if (this.spent > this.budget) throw new BudgetExceeded(`more than ${String(this.budget)} units of work`);
  }
}
