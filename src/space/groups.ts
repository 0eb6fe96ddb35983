import { assert } from '../base/assert.js';
import { FsError, fail } from '../base/errno.js';
import { asBlockNo, asByteAddr, type BlockNo } from '../base/units.js';
import { initGroupHeader, setBits } from '../format/group.js';
import { BLOCK_SIZE, GROUP_BLOCKS, GroupHeader, Magic, VolumeState } from '../format/layout.js';
import { type Geometry, groupLength } from '../format/superblock.js';
import type { Journal } from '../journal/journal.js';
import type { State } from './state.js';

/** Free count of a group that was not looked at yet. */
const UNKNOWN = 0xffff;
/** Groups per entry of the second level. */
const SPAN = 64;

/**
 * The allocation groups: which blocks are in use, and where free ones are to be found.
 * What it keeps in DRAM are hints (free counts, learnt as groups are visited); the truth is in the group headers.
 */
export class Groups {
  private freeCounts = new Uint16Array(SPAN);
  /** Per SPAN groups: 0 when all of them are known to be full. */
  private spans = new Uint8Array(1).fill(1);

  /** Told of each damaged group once. */
  onDamage: (message: string) => void = () => undefined;

  constructor(
    private readonly journal: Journal,
    private readonly geometry: Geometry,
    private readonly state: State,
    /** Gets host space behind a range of a sparse image; may throw ENOSPC. */
    private readonly back: (address: ReturnType<typeof asByteAddr>, length: number) => void,
  ) {
    this.freeCounts.fill(UNKNOWN);
  }

  /** Groups with a header. */
  get initialised(): number {
    return this.state.groupsInitialised;
  }

  groupOf(block: number): number {
    return Math.floor((block - this.geometry.groupStart) / GROUP_BLOCKS);
  }

  startOf(group: number): number {
    return this.geometry.groupStart + group * GROUP_BLOCKS;
  }

  lengthOf(group: number): number {
    return groupLength(this.geometry, group);
  }

  /** Base of the group's header. */
  header(group: number): number {
    return this.journal.read(asBlockNo(this.startOf(group)), Magic.group);
  }

  /** Free blocks of an initialised group. */
  freeCount(group: number): number {
    const known = group < this.freeCounts.length ? (this.freeCounts[group] as number) : UNKNOWN;
    if (known !== UNKNOWN) return known;
    const count = this.readFreeCount(group);
    this.learn(group, count);
    return count;
  }

  /** A damaged group counts as full: nothing is allocated from it, and the others go on. Freeing its blocks is an error of its own. */
  private readFreeCount(group: number): number {
    try {
      const base = this.header(group);
      const count = this.journal.view.getUint32(base + GroupHeader.freeCount, true);
      // A search may pass thousands of full groups in one operation.
      this.journal.cache.doneWith(base);
      return count;
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'EIO') throw error;
      this.onDamage(`group ${String(group)} is not allocated from: ${error.message}`);
      return 0;
    }
  }

  /** The next initialised group ≥ `group` that has free blocks, or −1. */
  nextWithSpace(group: number): number {
    const end = this.initialised;
    let candidate = group;
    while (candidate < end) {
      if (candidate % SPAN === 0 && this.spans[candidate / SPAN] === 0) {
        candidate += SPAN;
        continue;
      }
      if (this.freeCount(candidate) > 0) return candidate;
      candidate += 1;
      if (candidate % SPAN === 0) this.noticeFullSpan(candidate / SPAN - 1);
    }
    return -1;
  }

  /** Initialises the next group in the running transaction; returns its number or −1 when there is none. */
  initialiseNext(): number {
    const group = this.initialised;
    if (group >= this.geometry.groups) return -1;
    this.back(asByteAddr(this.startOf(group) * BLOCK_SIZE), BLOCK_SIZE);
    const base = this.journal.fresh(asBlockNo(this.startOf(group)), Magic.group, group);
    this.learn(group, initGroupHeader(this.journal.view, base, this.geometry, group));
    this.state.set(VolumeState.groupsInitialised, group + 1);
    return group;
  }

  /** Marks a run inside one group as used, in the running transaction. */
  take(group: number, bit: number, count: number): BlockNo {
    const block = asBlockNo(this.startOf(group) + bit);
    this.back(asByteAddr(block * BLOCK_SIZE), count * BLOCK_SIZE);
    const base = this.journal.edit(asBlockNo(this.startOf(group)), Magic.group);
    const clean = setBits(this.journal.view, base + GroupHeader.bitmap, bit, count, 1);
    assert(clean, 'only free blocks are allocated');
    this.count(group, base, -count);
    return block;
  }

  /** Gives blocks [block, block + count) back, in the running transaction. EIO when the medium says they are free already. */
  free(block: BlockNo, count: number): void {
    const group = this.groupOf(block);
    const bit = block - this.startOf(group);
    const inside = group >= 0 && group < this.initialised && bit > 0 && bit + count <= this.lengthOf(group);
    if (!inside) fail('EIO', `blocks ${String(block)} + ${String(count)} to be freed are not inside a group in use`);
    const base = this.journal.edit(asBlockNo(this.startOf(group)), Magic.group);
    const clean = setBits(this.journal.view, base + GroupHeader.bitmap, bit, count, 0);
    if (!clean) fail('EIO', `blocks ${String(block)} + ${String(count)} to be freed are free already in group ${String(group)}`);
    this.count(group, base, count);
  }

  /** Forgets the hints (after an abort they may be wrong). */
  forget(): void {
    this.freeCounts.fill(UNKNOWN);
    this.spans.fill(1);
  }

  private count(group: number, base: number, change: number): void {
    const { view } = this.journal;
    const count = view.getUint32(base + GroupHeader.freeCount, true) + change;
    if (count < 0 || count >= GROUP_BLOCKS) fail('EIO', `group ${String(group)} has a free count that does not fit its bitmap`);
    view.setUint32(base + GroupHeader.freeCount, count, true);
    this.learn(group, count);
    this.state.add(VolumeState.freeBlocks, change, 'the number of free blocks');
  }

  private learn(group: number, count: number): void {
    if (group >= this.freeCounts.length) this.grow(group);
    this.freeCounts[group] = count;
    if (count > 0) this.spans[Math.floor(group / SPAN)] = 1;
  }

  private grow(group: number): void {
    const length = Math.max(this.freeCounts.length * 2, Math.ceil((group + 1) / SPAN) * SPAN);
    const counts = new Uint16Array(length).fill(UNKNOWN);
    counts.set(this.freeCounts);
    const spans = new Uint8Array(length / SPAN).fill(1);
    spans.set(this.spans);
    this.freeCounts = counts;
    this.spans = spans;
  }

  private noticeFullSpan(span: number): void {
    for (let group = span * SPAN; group < (span + 1) * SPAN; group += 1) {
      if (this.freeCounts[group] !== 0) return;
    }
    this.spans[span] = 0;
  }
}
