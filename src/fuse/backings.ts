import type { Ino } from '../base/units.js';
import { type CounterPages, PrivatePages } from '../fs/references.js';
import { COUNTERS_PER_PAGE } from '../fs/segment.js';

/**
 * The kernel's id of the host file that each open file is served from (passthrough). One per inode, from its first open to its last
 * close: the kernel refuses to open an inode in two ways at once.
 */
export class Backings {
  private readonly pages = new Map<number, Uint32Array>();
  /** Ids in use in each page. Derived. */
  private readonly used = new Map<number, number>();

  constructor(private readonly store: CounterPages = new PrivatePages()) {
    for (const number of store.existing()) {
      const page = store.page(number);
      this.pages.set(number, page);
      this.used.set(number, page.reduce((count, id) => count + (id === 0 ? 0 : 1), 0));
    }
  }

  /** 0 if there is none. */
  get(ino: Ino): number {
    return this.pages.get(Math.floor(ino / COUNTERS_PER_PAGE))?.[ino % COUNTERS_PER_PAGE] ?? 0;
  }

  /** `id`: 0 takes it away. */
  set(ino: Ino, id: number): void {
    const number = Math.floor(ino / COUNTERS_PER_PAGE);
    let page = this.pages.get(number);
    if (page === undefined) {
      page = this.store.page(number);
      this.pages.set(number, page);
      this.used.set(number, 0);
    }
    const index = ino % COUNTERS_PER_PAGE;
    const before = page[index] as number;
    page[index] = id;
    const used = (this.used.get(number) as number) + (id === 0 ? 0 : 1) - (before === 0 ? 0 : 1);
    this.used.set(number, used);
    if (used > 0) return;
    this.pages.delete(number);
    this.used.delete(number);
    this.store.release(number);
  }

  /** Inodes that have one. */
  *inodes(): Generator<Ino> {
    for (const [number, page] of this.pages) {
      for (let index = 0; index < COUNTERS_PER_PAGE; index += 1) if (page[index] !== 0) yield (number * COUNTERS_PER_PAGE + index) as Ino;
    }
  }
}
