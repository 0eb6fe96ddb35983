import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { KEEPER_ENTRIES, LEASE_ENTRIES } from './segment.js';

const KEEPERS_AT = 2 * LEASE_ENTRIES;

/** A lease: who has it (a number that the transport knows, > 0), on which file, and whether he may store. */
export interface Lease {
  readonly holder: number;
  readonly ino: Ino;
  readonly writable: boolean;
}

/**
 * Who has which files mapped, and the keepers of their blocks, in shared memory: the server that takes over must know, as mappings outlive a
 * server. An entry is valid when its second number is set, which is set last and cleared first.
 */
export class LeaseTable {
  /** Holder → its entry. Derived. */
  private readonly leases = new Map<number, number>();
  private readonly free: number[] = [];
  /** File → the entry of its keeper. Derived. */
  private readonly keepers = new Map<Ino, number>();
  private readonly freeKeepers: number[] = [];

  /** `numbers`: zero, or left by a former server. */
  constructor(private readonly numbers: Float64Array = new Float64Array(2 * (LEASE_ENTRIES + KEEPER_ENTRIES))) {
    assert(numbers.length === 2 * (LEASE_ENTRIES + KEEPER_ENTRIES), 'the table has its size');
    for (let at = KEEPERS_AT - 2; at >= 0; at -= 2) {
      const holder = numbers[at + 1] as number;
      if (holder === 0) this.free.push(at);
      else this.leases.set(holder, at);
    }
    for (let at = numbers.length - 2; at >= KEEPERS_AT; at -= 2) {
      const ino = numbers[at + 1] as Ino;
      if (ino === 0) this.freeKeepers.push(at);
      else this.keepers.set(ino, at);
    }
  }

  *all(): Generator<Lease> {
    for (const holder of this.leases.keys()) yield this.find(holder) as Lease;
  }

  find(holder: number): Lease | undefined {
    const at = this.leases.get(holder);
    if (at === undefined) return undefined;
    const ino = this.numbers[at] as number;
    return { holder, ino: Math.abs(ino) as Ino, writable: ino < 0 };
  }

  /** Adds a lease, or changes the one that its holder has. ENFILE when there are too many. */
  put({ holder, ino, writable }: Lease): void {
    const at = this.leases.get(holder) ?? this.free.pop();
    if (at === undefined) return fail('ENFILE', `at most ${String(LEASE_ENTRIES)} open files may be mapped from the medium at a time`);
    this.numbers[at] = writable ? -Number(ino) : ino;
    this.numbers[at + 1] = holder;
    this.leases.set(holder, at);
  }

  remove(holder: number): void {
    const at = this.leases.get(holder);
    if (at === undefined) return;
    this.numbers[at + 1] = 0;
    this.leases.delete(holder);
    this.free.push(at);
  }

  /** Of which files there are keepers. */
  kept(): Ino[] {
    return [...this.keepers.keys()];
  }

  keeperOf(ino: Ino): Ino | 0 {
    const at = this.keepers.get(ino);
    return at === undefined ? 0 : (this.numbers[at] as Ino);
  }

  /** Notes the keeper of a file, before the transaction that makes it commits. ENFILE when there are too many. */
  putKeeper(ino: Ino, keeper: Ino): void {
    const at = this.keepers.get(ino) ?? this.freeKeepers.pop();
    if (at === undefined) return fail('ENFILE', `at most ${String(KEEPER_ENTRIES)} files may be cut while they are mapped from the medium`);
    this.numbers[at] = keeper;
    this.numbers[at + 1] = ino;
    this.keepers.set(ino, at);
  }

  removeKeeper(ino: Ino): void {
    const at = this.keepers.get(ino);
    if (at === undefined) return;
    this.numbers[at + 1] = 0;
    this.keepers.delete(ino);
    this.freeKeepers.push(at);
  }
}
