import { asBlockNo, type Ino } from '../base/units.js';
import { Magic, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Journal } from '../journal/journal.js';

const BLOCK = asBlockNo(STATE_BLOCK);

/** The volume state block: counters, the orphan list's head and the roots of the volume's own trees. */
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

  /** Changes a counter inside the running transaction. */
  set(field: number, value: number): void {
    setU64(this.journal.view, this.edit() + field, value);
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
