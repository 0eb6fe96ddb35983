import { fail } from '../../src/base/errno.js';
import type { ByteAddr } from '../../src/base/units.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { BudgetedPmem } from './budgeted-pmem.js';

/** What an access to a poisoned page meets. */
export type Poison =
  /** Loads fail; a store of whole lines would clear the poison. */
  | 'unreadable'
  /** The kernel has taken the page out of the mapping: stores fail, too. */
  | 'gone';

/** A medium of which one page is poisoned: whatever touches it is EIO, as the addon's guard makes it. */
export class PoisonedPmem extends BudgetedPmem {
  /** Accesses that met the poison. */
  hits = 0;
  private start = -1;
  private end = -1;

  constructor(
    medium: SimulatedPmem,
    budget: number,
    private readonly kind: Poison,
  ) {
    super(medium, budget);
  }

  poison(start: number, length: number): void {
    this.start = start;
    this.end = start + length;
  }

  override load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    this.meet(address, length);
    super.load(address, target, targetOffset, length);
  }

  override store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    if (this.kind === 'gone') this.meet(address, length);
    super.store(address, source, sourceOffset, length);
  }

  override zero(address: ByteAddr, length: number): void {
    if (this.kind === 'gone') this.meet(address, length);
    super.zero(address, length);
  }

  override persist(address: ByteAddr, length: number): void {
    if (this.kind === 'gone') this.meet(address, length);
    super.persist(address, length);
  }

  private meet(address: number, length: number): void {
    if (address >= this.end || address + length <= this.start) return;
    this.hits += 1;
    fail('EIO', `the medium cannot deliver the page at address ${String(this.start)}`);
  }
}
