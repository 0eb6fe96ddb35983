import { FsError, fail } from '../base/errno.js';
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
  /** Told when the list can't be followed to its end. */
  onDamage: (message: string) => void = () => undefined;

  constructor(
    private readonly journal: Journal,
    private readonly state: State,
    private readonly inodes: InodeTable,
  ) {}

  /**
   * Walks the list if it has to, outside a transaction: afterwards add and remove are quick. What lies behind a damaged
   * inode stays where it is, for fsck.
   */
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
    if ((this.flags(record) & InodeFlag.orphan) !== 0) fail('EIO', `inode ${String(ino)} is marked as an orphan already; run fsck.nvmfs`);
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

  /** The orphans that can be reached, first the head. */
  list(): Ino[] {
    this.learn();
    return [...this.previous.keys()];
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
      const record = this.memberRecord(ino);
      if (record < 0) break;
      this.previous.set(ino, before);
      before = ino;
      ino = getU64(this.journal.view, record + Inode.orphanNext) as Ino;
      if (!this.journal.inTransaction) this.journal.cache.beginOperation();
    }
    this.known = true;
  }

  /** Record of an inode that the list leads to; −1, and the damage is reported, when it can't be on the list. */
  private memberRecord(ino: Ino): number {
    try {
      const record = this.inodes.get(ino);
      if (this.previous.has(ino)) fail('EIO', 'it is on the list twice');
      if ((this.flags(record) & InodeFlag.orphan) === 0) fail('EIO', 'it is not an orphan');
      return record;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.onDamage(`the orphan list can't be followed beyond inode ${String(ino)}: ${error.message}`);
      return -1;
    }
  }

  private flags(record: number): number {
    return this.journal.view.getUint32(record + Inode.flags, true);
  }
}
