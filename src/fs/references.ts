import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { ReferenceLog } from './reference-log.js';
import { COUNTERS_PER_PAGE } from './segment.js';

/** Where the counters live: COUNTERS_PER_PAGE of them to a page, all zero until they are used. */
export interface CounterPages {
  /** Numbers of the pages that a former server may have left something in. */
  existing(): Iterable<number>;
  page(number: number): Uint32Array;
  /** The page is all zero, and its memory may be given back. Arrays handed out for it are not used any more. */
  release(number: number): void;
}

/** Counters that end with the process. */
export class PrivatePages implements CounterPages {
  existing(): Iterable<number> {
    return [];
  }

  page(): Uint32Array {
    return new Uint32Array(COUNTERS_PER_PAGE);
  }

  release(): void {
    // The garbage collector does.
  }
}

/** Beside a count: see `mark`. */
const MARK = 0x80000000;
const COUNT = 0x7fffffff;

/**
 * How often each inode is held by those who use the volume (lookups of the kernel, open files).
 * Inode numbers are dense, so pages of counters take 4 bytes per inode: tens of MiB for ten million.
 */
export class References {
  private readonly pages = new Map<number, Uint32Array>();
  /** Inodes held in each page. Derived. */
  private readonly used = new Map<number, number>();
  /** A page that became empty and is kept. Saves making one anew when a single inode comes and goes. */
  private emptyPage = -1;

  constructor(
    private readonly store: CounterPages = new PrivatePages(),
    readonly log = new ReferenceLog(),
  ) {
    for (const number of store.existing()) this.adopt(number);
  }

  get(ino: Ino): number {
    return (this.pages.get(Math.floor(ino / COUNTERS_PER_PAGE))?.[ino % COUNTERS_PER_PAGE] ?? 0) & COUNT;
  }

  /** Marks an inode, if it is held; the mark ends with `unmark` or when nobody holds it any more. */
  mark(ino: Ino): void {
    const page = this.pages.get(Math.floor(ino / COUNTERS_PER_PAGE));
    const index = ino % COUNTERS_PER_PAGE;
    if (page !== undefined && page[index] !== 0) page[index] = ((page[index] as number) | MARK) >>> 0;
  }

  isMarked(ino: Ino): boolean {
    return (this.pages.get(Math.floor(ino / COUNTERS_PER_PAGE))?.[ino % COUNTERS_PER_PAGE] ?? 0) >= MARK;
  }

  unmark(ino: Ino): void {
    const page = this.pages.get(Math.floor(ino / COUNTERS_PER_PAGE));
    const index = ino % COUNTERS_PER_PAGE;
    if (page !== undefined) page[index] = (page[index] as number) & COUNT;
  }

  add(ino: Ino): void {
    const number = Math.floor(ino / COUNTERS_PER_PAGE);
    const page = this.pages.get(number) ?? this.makePage(number);
    const index = ino % COUNTERS_PER_PAGE;
    const before = page[index] as number;
    if (before === 0) this.used.set(number, (this.used.get(number) as number) + 1);
    this.log.note(ino, before & COUNT);
    page[index] = before + 1;
  }

  /** Takes back `count` holds; returns how many are left. EPROTO when there are not so many: who counts them is outside. */
  remove(ino: Ino, count: number): number {
    const number = Math.floor(ino / COUNTERS_PER_PAGE);
    const page = this.pages.get(number);
    const index = ino % COUNTERS_PER_PAGE;
    const marked = page?.[index] ?? 0;
    const before = marked & COUNT;
    if (page === undefined || before < count) fail('EPROTO', `${String(count)} holds of inode ${String(ino)} are given back, there are ${String(before)}`);
    const after = before - count;
    this.log.note(ino, before);
    page[index] = after === 0 ? 0 : marked - count;
    if (after === 0 && before > 0) this.leftPage(number);
    return after;
  }

  /** Sets the number of holds to what it is known to have been. */
  restore(ino: Ino, count: number): void {
    const number = Math.floor(ino / COUNTERS_PER_PAGE);
    const page = this.pages.get(number) ?? this.makePage(number);
    const index = ino % COUNTERS_PER_PAGE;
    const marked = page[index] as number;
    const before = marked & COUNT;
    if (before === 0 && count > 0) this.used.set(number, (this.used.get(number) as number) + 1);
    page[index] = count === 0 ? 0 : marked - before + count;
    if (before > 0 && count === 0) this.leftPage(number);
  }

  private makePage(number: number): Uint32Array {
    const page = this.store.page(number);
    this.pages.set(number, page);
    this.used.set(number, 0);
    return page;
  }

  private adopt(number: number): void {
    const page = this.makePage(number);
    let used = 0;
    for (let index = 0; index < COUNTERS_PER_PAGE; index += 1) if (page[index] !== 0) used += 1;
    this.used.set(number, used);
    if (used === 0) this.dropPage(number);
  }

  /** An inode of the page is no longer held. */
  private leftPage(number: number): void {
    const used = (this.used.get(number) as number) - 1;
    this.used.set(number, used);
    if (used > 0 || this.emptyPage === number) return;
    if (this.emptyPage >= 0 && this.used.get(this.emptyPage) === 0) this.dropPage(this.emptyPage);
    this.emptyPage = number;
  }

  private dropPage(number: number): void {
    this.pages.delete(number);
    this.used.delete(number);
    this.store.release(number);
  }
}
