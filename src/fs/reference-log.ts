import { assert } from '../base/assert.js';
import type { Ino } from '../base/units.js';
import { REFERENCE_LOG_ENTRIES } from './segment.js';

/**
 * What the request being served has changed about holds, so that a server that takes over can take it back (the kernel never got
 * the answer) or go on from there (it forgets, which is not answered). An entry is noted before its counter changes and holds the
 * number from before: to put that back is right whether the change had happened or not.
 */
export class ReferenceLog {
  /** `entries`: two numbers per entry; `count`: one element. Both may be shared memory. */
  constructor(
    private readonly entries: Float64Array = new Float64Array(2 * REFERENCE_LOG_ENTRIES),
    private readonly countCell: Uint32Array = new Uint32Array(1),
  ) {
    assert(entries.length === 2 * REFERENCE_LOG_ENTRIES && countCell.length === 1, 'the log has its size');
  }

  /** Changes noted since `clear`. */
  get count(): number {
    return this.countCell[0] as number;
  }

  note(ino: Ino, before: number): void {
    const count = this.countCell[0] as number;
    const at = (count % REFERENCE_LOG_ENTRIES) * 2;
    this.entries[at] = ino;
    this.entries[at + 1] = before;
    this.countCell[0] = count + 1;
  }

  clear(): void {
    this.countCell[0] = 0;
  }

  /** Forgets the changes from number `count` on. */
  truncate(count: number): void {
    assert(count <= this.count, 'the log only loses changes');
    this.countCell[0] = count;
  }

  /** Number `index` of the changes; only the last REFERENCE_LOG_ENTRIES are still known. */
  ino(index: number): Ino {
    return this.entries[this.place(index)] as Ino;
  }

  before(index: number): number {
    return this.entries[this.place(index) + 1] as number;
  }

  private place(index: number): number {
    assert(index >= 0 && index < this.count && index >= this.count - REFERENCE_LOG_ENTRIES, 'a change is still in the log');
    return (index % REFERENCE_LOG_ENTRIES) * 2;
  }
}
