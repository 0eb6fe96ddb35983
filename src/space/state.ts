import { asBlockNo, type Ino } from '../base/units.js';
import { Magic, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { addU64, getU64, setU64 } from '../format/numbers.js';
import type { Journal } from '../journal/journal.js';

const BLOCK = asBlockNo(STATE_BLOCK);

/** A fallocate: the bytes [offset, end) of a regular file. */
export interface RangeOperation {
  ino: Ino;
  offset: number;
  end: number;
  mode: number;
}

/** The volume state block: counters, the orphan list's head, the fallocate under way and the roots of the volume's own trees. */
export class State {
  constructor(private readonly journal: Journal) {}

  get freeBlocks(): number {
    return this.get(VolumeState.freeBlocks);
  }

  get groupsInitialised(): number {
    return this.get(VolumeState.groupsInitialised);
  }

  get tableBlocks(): number {
    return this.get(VolumeState.tableBlocks);
  }

  get usedInodes(): number {
    return this.get(VolumeState.usedInodes);
  }

  get orphanHead(): Ino | 0 {
    return this.get(VolumeState.orphanHead) as Ino;
  }

  /** Sequence of the last transaction that changed this block. */
  get sequence(): number {
    return this.get(VolumeState.sequence);
  }

  /** The fallocate that is under way, or was when the server died. `mode` as fallocate(2) numbers them. */
  get rangeOperation(): RangeOperation | undefined {
    const ino = this.get(VolumeState.rangeIno);
    if (ino === 0) return undefined;
    const mode = this.journal.view.getUint32(this.journal.read(BLOCK, Magic.state) + VolumeState.rangeMode, true);
    return { ino: ino as Ino, offset: this.get(VolumeState.rangeOffset), end: this.get(VolumeState.rangeEnd), mode };
  }

  /** Notes the fallocate that later transactions will finish (undefined: it is finished), in the running transaction. */
  setRangeOperation(operation: RangeOperation | undefined): void {
    const { view } = this.journal;
    const base = this.edit();
    setU64(view, base + VolumeState.rangeIno, operation?.ino ?? 0);
    setU64(view, base + VolumeState.rangeOffset, operation?.offset ?? 0);
    setU64(view, base + VolumeState.rangeEnd, operation?.end ?? 0);
    view.setUint32(base + VolumeState.rangeMode, operation?.mode ?? 0, true);
  }

  /** Changes a counter inside the running transaction. */
  set(field: number, value: number): void {
    setU64(this.journal.view, this.edit() + field, value);
  }

  /** Adds to a counter inside the running transaction. EIO when it was wrong. */
  add(field: number, change: number, what: string): void {
    addU64(this.journal.view, this.edit() + field, change, what);
  }

  /** Offset of the inode table's tree root. */
  tableRoot(): number {
    return this.journal.read(BLOCK, Magic.state) + VolumeState.tableRoot;
  }

  /** Offset of the free-inode tree's root. */
  freeInodeRoot(): number {
    return this.journal.read(BLOCK, Magic.state) + VolumeState.freeInodeRoot;
  }

  /** Makes the block editable in the running transaction. */
  edit(): number {
    const base = this.journal.edit(BLOCK, Magic.state);
    setU64(this.journal.view, base + VolumeState.sequence, this.journal.nextSequence);
    return base;
  }

  private get(field: number): number {
    return getU64(this.journal.view, this.journal.read(BLOCK, Magic.state) + field);
  }
}
