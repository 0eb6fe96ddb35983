import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { Inode, InodeFlag, VolumeState } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Journal } from '../journal/journal.js';
import type { InodeTable } from './inodes.js';
import type { State } from './state.js';

/**
 * The list of inodes that are in the middle of something: without a name but in use, or being cut to their size.
 * It lives on the medium, so that a mount after a crash finishes what was begun.
 */
export class Orphans {
  /** Inode → the one before it in the list (0: the head). Derived; rebuilt by a walk when it is not known. */
  private readonly previous = new Map<Ino, Ino | 0>();
  private known = false;

  constructor(
    private readonly journal: Journal,
    private readonly state: State,
    private readonly inodes: InodeTable,
  ) {}

  /** Walks the list if it has to, outside a transaction: afterwards add and remove are quick. EIO when it is damaged. */
  prepare(): void {
    if (!this.known) this.learn();
  }

  has(ino: Ino): boolean {
    return (this.flags(this.inodes.get(ino)) & InodeFlag.orphan) !== 0;
  }

  /** Puts an inode on the list, in the running transaction. */
  add(ino: Ino): void {
    this.learn();
    const record = this.inodes.edit(ino);
    const { view } = this.journal;
    assert((this.flags(record) & InodeFlag.orphan) === 0, 'an inode is on the orphan list once');
    const head = this.state.orphanHead;
    view.setUint32(record + Inode.flags, (this.flags(record) | InodeFlag.orphan) >>> 0, true);
    setU64(view, record + Inode.orphanNext, head);
    this.state.set(VolumeState.orphanHead, ino);
    if (head !== 0) this.previous.set(head, ino);
    this.previous.set(ino, 0);
  }

  /** Takes an inode off the list, in the running transaction. */
  remove(ino: Ino): void {
    this.learn();
    const record = this.inodes.edit(ino);
    const { view } = this.journal;
    const previous = this.previous.get(ino);
    if (previous === undefined) return fail('EIO', `inode ${String(ino)} is marked as an orphan and not on the list`);
    const next = getU64(view, record + Inode.orphanNext) as Ino;
    view.setUint32(record + Inode.flags, (this.flags(record) & ~InodeFlag.orphan) >>> 0, true);
    setU64(view, record + Inode.orphanNext, 0);
    if (previous === 0) this.state.set(VolumeState.orphanHead, next);
    else setU64(view, this.inodes.edit(previous) + Inode.orphanNext, next);
    this.previous.delete(ino);
    if (next !== 0) this.previous.set(next, previous);
  }

  /** All orphans, first the head. EIO when the list is damaged (a loop, an inode that is not an orphan). */
  list(): Ino[] {
    const found: Ino[] = [];
    const seen = new Set<Ino>();
    let ino = this.state.orphanHead;
    while (ino !== 0) {
      const record = this.inodes.get(ino);
      if (seen.has(ino) || (this.flags(record) & InodeFlag.orphan) === 0) {
        fail('EIO', `the orphan list is damaged at inode ${String(ino)}`);
      }
      seen.add(ino);
      found.push(ino);
      this.journal.cache.beginOperation();
      ino = getU64(this.journal.view, record + Inode.orphanNext) as Ino;
    }
    return found;
  }

  /** Forgets what was derived (after an abort). */
  forget(): void {
    this.known = false;
    this.previous.clear();
  }

  private learn(): void {
    if (this.known) return;
    this.previous.clear();
    let before: Ino | 0 = 0;
    let ino = this.state.orphanHead;
    while (ino !== 0) {
      const record = this.inodes.get(ino);
      if (this.previous.has(ino)) fail('EIO', `the orphan list has a loop at inode ${String(ino)}`);
      this.previous.set(ino, before);
      before = ino;
      ino = getU64(this.journal.view, record + Inode.orphanNext) as Ino;
      if (!this.journal.inTransaction) this.journal.cache.beginOperation();
    }
    this.known = true;
  }

  private flags(record: number): number {
    return this.journal.view.getUint32(record + Inode.flags, true);
  }
}
