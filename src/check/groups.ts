import { GROUP_BLOCKS, GroupHeader, Magic, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import { blockName, type FindingKind } from './findings.js';
import { BlockBuffer } from './medium.js';
import { countBits } from './ownership.js';

const BITMAP_BYTES = GROUP_BLOCKS / 8;
const BITMAP_END = GroupHeader.bitmap + BITMAP_BYTES;

/** Last pass: the header of every group that has one, its bitmap against the owners that were found, and the free counts. */
export class GroupPass {
  private readonly buffer = new BlockBuffer();
  private freeBlocks = 0;
  private allRead = true;

  constructor(
    private readonly context: CheckContext,
    private readonly progress: (group: number, groups: number) => void,
  ) {}

  run(state: BlockBuffer): void {
    const { geometry, ownership, statistics, findings } = this.context;
    const initialised = Math.min(getU64(state.view, VolumeState.groupsInitialised), geometry.groupCount);
    for (let group = 0; group < initialised; group++) {
      if ((group & 0xff) === 0) this.progress(group, initialised);
      this.checkGroup(group);
    }
    for (const group of ownership.groups()) if (group >= initialised) this.checkUninitialised(group);
    if (initialised < geometry.groupCount) {
      // Every group but the last has the same capacity.
      const untouched = geometry.groupCount - initialised;
      this.freeBlocks += (untouched - 1) * (GROUP_BLOCKS - 1) + geometry.groupCapacity(geometry.groupCount - 1);
    }
    statistics.usedBlocks = geometry.totalBlocks - this.freeBlocks;
    const stored = getU64(state.view, VolumeState.freeBlocks);
    if (this.allRead && stored !== this.freeBlocks) {
      findings.add('state-free-blocks', { block: STATE_BLOCK }, 'volume state: freeBlocks', this.freeBlocks, stored);
    }
  }

  private checkGroup(group: number): void {
    const { context, buffer } = this;
    const { geometry } = context;
    const block = geometry.groupBase(group);
    const name = `header of group ${String(group)}`;
    const trusted = context.medium.loadHeaded(buffer, {
      name,
      magic: Magic.group,
      block,
      owner: group,
      seed: geometry.seed,
      damaged: 'group-damaged',
      place: { group, block },
    });
    if (!trusted) {
      this.allRead = false;
      return;
    }
    if (context.checkReserved) {
      context.medium.checkReserved(buffer, GroupHeader.freeCount + 4, GroupHeader.bitmap, name, { group, block });
    }
    const free = countZeroBits(buffer.bytes);
    this.freeBlocks += free;
    const stored = buffer.view.getUint32(GroupHeader.freeCount, true);
    if (stored !== free) this.report('group-free-count', group, `${name} at ${blockName(block)}: freeCount`, free, stored);
    this.checkFixedBits(group, name);
    this.compare(group, buffer.bytes, GroupHeader.bitmap);
  }

  private checkFixedBits(group: number, name: string): void {
    const fixed = this.context.ownership.fixedBits(group);
    const { bytes } = this.buffer;
    for (let i = 0; i < BITMAP_BYTES; i++) {
      const expected = fixed[i] ?? 0;
      const found = (bytes[GroupHeader.bitmap + i] ?? 0) & expected;
      if (found === expected) continue;
      const what = `${name}: bits of header, backup superblock and end in byte ${String(i)} of the bitmap`;
      this.report('group-fixed-bits', group, what, expected, found);
      return;
    }
  }

  /** No header: nothing in the group may be owned but what the format itself has there. */
  private checkUninitialised(group: number): void {
    this.compare(group, this.context.ownership.fixedBits(group), 0);
  }

  /** Reports the runs of blocks that differ between the bitmap at `base` and the owners found. */
  private compare(group: number, bitmap: Uint8Array, base: number): void {
    const owned = this.context.ownership.bitmapOf(group);
    const fixed = this.context.ownership.fixedBits(group);
    let start = 0;
    let state = 0;
    for (let i = 0; i < BITMAP_BYTES; i++) {
      const marked = (bitmap[base + i] ?? 0) | (fixed[i] ?? 0);
      const own = owned[i] ?? 0;
      if (marked === own && state === 0) continue;
      for (let bit = 0; bit < 8; bit++) {
        const isMarked = (marked >> bit) & 1;
        const isOwned = (own >> bit) & 1;
        const now = isMarked - isOwned;
        if (now === state) continue;
        this.reportRun(group, start, i * 8 + bit, state);
        start = i * 8 + bit;
        state = now;
      }
    }
    this.reportRun(group, start, BITMAP_BYTES * 8, state);
  }

  /** `state`: 1 marked and not owned, -1 owned and not marked, 0 as it should be. */
  private reportRun(group: number, start: number, end: number, state: number): void {
    if (state === 0 || start === end) return;
    const block = this.context.geometry.groupBase(group) + start;
    const blocks = end - start;
    const what = `${String(blocks)} of group ${String(group)} from ${blockName(block)} on`;
    const place = { group, block, blocks };
    if (state > 0) this.context.findings.add('block-leaked', place, what, 'free (no owner was found)', 'in use');
    else this.context.findings.add('block-not-marked', place, what, 'in use (an owner was found)', 'free');
  }

  private report(kind: FindingKind, group: number, what: string, expected: string | number, found: string | number): void {
    const block = this.context.geometry.groupBase(group);
    this.context.findings.add(kind, { group, block }, what, expected, found);
  }
}

function countZeroBits(bytes: Uint8Array): number {
  let used = 0;
  for (let i = GroupHeader.bitmap; i < BITMAP_END; i++) used += countBits(bytes[i] ?? 0);
  return GROUP_BLOCKS - used;
}
