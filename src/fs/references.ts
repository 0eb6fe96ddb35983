import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';

const PAGE = 4096;

/**
 * How often each inode is held by those who use the volume (lookups of the kernel, open files).
 * Inode numbers are dense, so pages of counters take 4 bytes per inode: tens of MiB for ten million.
 */
export class References {
  private readonly pages = new Map<number, Uint32Array>();
  private readonly used = new Map<number, number>();
  /** A page that became empty, all zero: the next one needed. Saves making one anew when a single inode comes and goes. */
  private spare: Uint32Array | undefined;

  get(ino: Ino): number {
    return this.pages.get(Math.floor(ino / PAGE))?.[ino % PAGE] ?? 0;
  }

  add(ino: Ino): void {
    const number = Math.floor(ino / PAGE);
    let page = this.pages.get(number);
    if (page === undefined) {
      page = this.spare ?? new Uint32Array(PAGE);
      this.spare = undefined;
      this.pages.set(number, page);
      this.used.set(number, 0);
    }
    const count = page[ino % PAGE] as number;
    if (count === 0) this.used.set(number, (this.used.get(number) as number) + 1);
    page[ino % PAGE] = count + 1;
  }

  /** Takes back `count` holds; returns how many are left. EPROTO when there are not so many: who counts them is outside. */
  remove(ino: Ino, count: number): number {
    const number = Math.floor(ino / PAGE);
    const page = this.pages.get(number);
    const before = page?.[ino % PAGE] ?? 0;
    if (page === undefined || before < count) fail('EPROTO', `${String(count)} holds of inode ${String(ino)} are given back, there are ${String(before)}`);
    const after = before - count;
    page[ino % PAGE] = after;
    if (after > 0 || before === 0) return after;
    const used = (this.used.get(number) as number) - 1;
    this.used.set(number, used);
    if (used === 0) {
      this.spare = page;
      this.pages.delete(number);
      this.used.delete(number);
    }
    return after;
  }
}
