import { assert } from '../base/assert.js';
import { FsError } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { PinnedFiles } from '../file/pinned.js';
import { InodeFlag } from '../format/layout.js';
import { NO_REQUEST } from '../journal/log.js';
import type { Core } from '../space/core.js';
import { flagsOf } from './inode-flags.js';
import type { LeaseTable } from './lease-table.js';
import type { Names } from './names.js';
import { linksOf } from './records.js';

/**
 * Files that programs have mapped straight from the medium. Each lease belongs to an open file of the transport's, and ends with it. While
 * there is one, no block that a program may have mapped is freed: those that a truncate cuts off go to the file's *keeper*, an
 * inode without a name on the orphan list, which is freed when the last lease ends, or by the next mount after a crash.
 */
export class Leases implements PinnedFiles {
  /** File → number of its leases. Derived. */
  private readonly counts = new Map<Ino, number>();
  /** Derived. */
  private readonly keepers = new Set<Ino>();

  constructor(
    private readonly core: Core,
    private readonly names: Names,
    private readonly table: LeaseTable,
  ) {
    for (const { ino } of table.all()) this.counts.set(ino, (this.counts.get(ino) ?? 0) + 1);
    for (const ino of table.kept()) this.adoptKeeper(ino);
  }

  isPinned(ino: Ino): boolean {
    return this.counts.has(ino);
  }

  isKeeper(ino: Ino): boolean {
    return this.keepers.has(ino);
  }

  keeperOf(ino: Ino): Ino | 0 {
    if (!this.counts.has(ino)) return 0;
    const keeper = this.table.keeperOf(ino);
    assert(keeper !== 0, 'a mapped file that is cut has a keeper');
    return keeper;
  }

  has(holder: number): boolean {
    return this.table.find(holder) !== undefined;
  }

  take(ino: Ino, holder: number, writable: boolean): void {
    const before = this.table.find(holder);
    this.table.put({ holder, ino, writable: writable || before?.writable === true });
    if (before === undefined) this.counts.set(ino, (this.counts.get(ino) ?? 0) + 1);
  }

  /** Ends a lease; undefined if there is none. */
  end(holder: number): { readonly ino: Ino; readonly writable: boolean; /** 0: others have the file mapped, or nothing was cut off. */ readonly freeable: Ino | 0 } | undefined {
    const lease = this.table.find(holder);
    if (lease === undefined) return undefined;
    const { ino, writable } = lease;
    this.table.remove(holder);
    const left = (this.counts.get(ino) as number) - 1;
    if (left > 0) {
      this.counts.set(ino, left);
      return { ino, writable, freeable: 0 };
    }
    this.counts.delete(ino);
    const keeper = this.table.keeperOf(ino);
    if (keeper !== 0) this.forgetKeeper(ino, keeper);
    return { ino, writable, freeable: keeper };
  }

  /** Of whom. */
  *holders(): Generator<readonly [number, Ino]> {
    for (const { holder, ino } of this.table.all()) yield [holder, ino];
  }

  /** Before blocks are cut off a file: makes a keeper for them, if it needs one. A transaction of its own, so that a crash before the next leaves only an empty orphan. */
  prepare(ino: Ino): void {
    if (!this.counts.has(ino) || this.table.keeperOf(ino) !== 0) return;
    const { journal, orphans } = this.core;
    journal.cache.beginOperation();
    orphans.prepare();
    journal.begin(NO_REQUEST);
    let keeper: Ino | 0 = 0;
    try {
      keeper = this.names.makeKeeper();
      // Noted first: a server that takes over looks whether it was made.
      this.table.putKeeper(ino, keeper);
      this.keepers.add(keeper);
      journal.commit();
    } catch (error) {
      if (keeper !== 0) this.forgetKeeper(ino, keeper);
      if (journal.inTransaction) journal.abort();
      throw error;
    }
    journal.cache.beginOperation();
  }

  private forgetKeeper(ino: Ino, keeper: Ino): void {
    this.table.removeKeeper(ino);
    this.keepers.delete(keeper);
  }

  /** What a former server noted: it may have died before the keeper was made, or after the last lease had ended. */
  private adoptKeeper(ino: Ino): void {
    const keeper = this.table.keeperOf(ino) as Ino;
    if (this.counts.has(ino) && this.isOrphan(keeper)) this.keepers.add(keeper);
    else this.table.removeKeeper(ino);
  }

  private isOrphan(ino: Ino): boolean {
    const { journal, inodes } = this.core;
    journal.cache.beginOperation();
    try {
      const record = inodes.get(ino);
      return linksOf(journal.view, record) === 0 && (flagsOf(journal.view, record) & InodeFlag.orphan) !== 0;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return false;
    }
  }
}
