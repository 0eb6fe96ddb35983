import { assert } from '../base/assert.js';
import { fail, FsError } from '../base/errno.js';
import { asBlockNo, type BlockNo } from '../base/units.js';
import { CHUNK_BLOCKS, GROUP_BLOCKS, GroupHeader } from '../format/layout.js';
import type { Geometry } from '../format/superblock.js';
import type { NodeAllocator } from '../journal/blocks.js';
import type { Journal } from '../journal/journal.js';
import { RunSearch } from './bitmap.js';
import type { Groups } from './groups.js';
import type { State } from './state.js';

/** Groups looked at for a run of the wanted length before a shorter one, or a group never used, is taken. */
const GROUPS_TRIED = 8;

/**
 * Gives out free blocks.
 *
 * Policy: next fit from a goal, in the group of the goal first. Metadata blocks come from a chunk of 2 MiB of their own
 * (known only in DRAM), so that they lie together and do not cut the free space into pieces that huge pages can't use;
 * data avoids that chunk as long as there is other space.
 */
export class Allocator implements NodeAllocator {
  /** Length of the run that the last `allocate` returned. */
  allocated = 0;
  private readonly search = new RunSearch();
  private dataGoal: number;
  private nodeGoal = 0;
  private nodeChunk = -1;
  /** Blocks that only operations which free space in the end may use. */
  private readonly reserve: number;

  constructor(
    private readonly journal: Journal,
    private readonly geometry: Geometry,
    private readonly state: State,
    private readonly groups: Groups,
  ) {
    const blocks = geometry.totalBlocks - geometry.groupStart;
    this.reserve = Math.min(1024, Math.max(32, Math.floor(blocks / 256)));
    this.dataGoal = geometry.groupStart + Math.min(CHUNK_BLOCKS, Math.floor(blocks / 4));
  }

  /** Blocks kept for operations that free space. */
  get reserved(): number {
    return this.reserve;
  }

  /** Called when space is short, outside transactions: may free what waits to be freed. */
  onShort: () => void = () => undefined;

  /** Throws ENOSPC unless `count` blocks can be allocated afterwards without touching the reserve. */
  require(count: number): void {
    if (this.state.freeBlocks - this.reserve >= count) return;
    this.onShort();
    if (this.state.freeBlocks - this.reserve < count) fail('ENOSPC', 'no space left on the volume');
  }

  /**
   * Allocates a run of up to `want` blocks for data, near `goal` (0: anywhere), in the running transaction. Returns its first block;
   * its length (≥ 1) is in `allocated`. `align`: 1, or CHUNK_BLOCKS to prefer a start on a 2 MiB boundary.
   * ENOSPC was excluded before (`require`).
   */
  allocate(goal: number, want: number, align: number): BlockNo {
    const length = Math.min(want, GROUP_BLOCKS - 1);
    const start = goal > 0 ? goal : this.dataGoal;
    const aligned = align > 1 && this.place(start, Math.max(length, align), align, true) && this.search.length >= align;
    if (aligned) this.search.length = Math.min(this.search.length, length);
    if (!aligned && !this.place(start, length, 1, true) && !this.place(start, length, 1, false)) {
      fail('ENOSPC', 'no space left on the volume');
    }
    this.allocated = this.search.length;
    const block = this.takeFound();
    this.dataGoal = block + this.allocated;
    return block;
  }

  allocateNode(goal: BlockNo): BlockNo {
    const start = goal > 0 && this.isNodeChunk(goal) ? goal : this.nodeGoal;
    if (!this.placeInNodeChunk(start) && !this.openNodeChunk() && !this.place(this.dataGoal, 1, 1, false)) {
      fail('ENOSPC', 'no space left on the volume');
    }
    const block = this.takeNode();
    this.nodeGoal = block + 1;
    return block;
  }

  freeNode(block: BlockNo): void {
    this.groups.free(block, 1);
    this.journal.discard(block);
  }

  /** Gives back data blocks. */
  free(block: BlockNo, count: number): void {
    this.groups.free(block, count);
  }

  /** Where the host of a sparse image has no space for the block found, it has some behind blocks that were in use before: the first of the chunk. */
  private takeNode(): BlockNo {
    try {
      return this.takeFound();
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC' || !this.placeInNodeChunk(0)) throw error;
      return this.takeFound();
    }
  }

  private foundGroup = -1;

  private takeFound(): BlockNo {
    assert(this.search.start > 0 && this.search.length > 0, 'a run was found');
    return this.groups.take(this.foundGroup, this.search.start, this.search.length);
  }

  /** Looks for a run of `want`; takes the best of the groups tried, the whole volume in the end. False: nothing free. */
  private place(goal: number, want: number, align: number, avoidNodes: boolean): boolean {
    const { groups } = this;
    const goalGroup = Math.max(0, Math.min(groups.groupOf(goal), groups.initialised - 1));
    const goalBit = Math.max(1, goal - groups.startOf(goalGroup));
    if (this.searchGroup(goalGroup, goalBit, want, align, avoidNodes) && this.search.length >= want) return true;
    let bestGroup = -1;
    let bestStart = 0;
    let bestLength = 0;
    let group = groups.nextWithSpace(goalGroup + 1);
    let wrapped = false;
    for (let tried = 0; ; tried += 1) {
      if (group < 0 && !wrapped) {
        wrapped = true;
        group = groups.nextWithSpace(0);
      }
      if (group < 0 || (wrapped && group > goalGroup)) break;
      if (this.searchGroup(group, 1, want, align, avoidNodes)) {
        if (this.search.length >= want) return true;
        if (this.search.length > bestLength) {
          bestGroup = group;
          bestStart = this.search.start;
          bestLength = this.search.length;
        }
      }
      if (tried >= GROUPS_TRIED && (bestLength > 0 || groups.initialised < this.geometry.groups)) break;
      group = groups.nextWithSpace(group + 1);
    }
    const next = groups.initialiseNext();
    if (next >= 0 && this.searchGroup(next, 1, want, align, avoidNodes)) return true;
    if (bestGroup < 0) return false;
    this.foundGroup = bestGroup;
    this.search.start = bestStart;
    this.search.length = bestLength;
    return true;
  }

  /** Searches one group from a bit on; the best run is in `search`. */
  private searchGroup(group: number, from: number, want: number, align: number, avoidNodes: boolean): boolean {
    const { groups, search } = this;
    if (groups.freeCount(group) === 0) {
      search.start = -1;
      search.length = 0;
      return false;
    }
    const base = groups.header(group);
    const bitmap = base + GroupHeader.bitmap;
    const committed = this.journal.committed(base) + GroupHeader.bitmap;
    const { view } = this.journal;
    const end = groups.lengthOf(group);
    this.foundGroup = group;
    const chunk = avoidNodes && this.nodeChunk >= 0 ? this.nodeChunk - groups.startOf(group) : -1;
    if (chunk < 0 || chunk >= end || from >= chunk + CHUNK_BLOCKS) {
      search.find(view, bitmap, committed, from, end, want, align);
      return search.start >= 0;
    }
    // Around the metadata chunk: before it, then after it; the better of the two.
    search.find(view, bitmap, committed, from, Math.max(from, chunk), want, align);
    if (search.length >= want) return true;
    const { start, length } = search;
    search.find(view, bitmap, committed, Math.min(end, chunk + CHUNK_BLOCKS), end, want, align);
    if (search.length < length) {
      search.start = start;
      search.length = length;
    }
    return search.start >= 0;
  }

  private isNodeChunk(block: number): boolean {
    return this.nodeChunk >= 0 && block >= this.nodeChunk && block < this.nodeChunk + CHUNK_BLOCKS;
  }

  private placeInNodeChunk(goal: number): boolean {
    if (this.nodeChunk < 0) return false;
    const group = this.groups.groupOf(this.nodeChunk);
    // The transaction that initialised the chunk's group may have been aborted.
    if (group >= this.groups.initialised) return false;
    const chunkBit = this.nodeChunk - this.groups.startOf(group);
    const end = Math.min(chunkBit + CHUNK_BLOCKS, this.groups.lengthOf(group));
    const from = Math.max(1, chunkBit, Math.min(goal - this.groups.startOf(group), end));
    return this.searchRange(group, from, end) || this.searchRange(group, Math.max(1, chunkBit), from);
  }

  private searchRange(group: number, from: number, end: number): boolean {
    const base = this.groups.header(group);
    const committed = this.journal.committed(base) + GroupHeader.bitmap;
    this.foundGroup = group;
    this.search.find(this.journal.view, base + GroupHeader.bitmap, committed, from, end, 1, 1);
    return this.search.start >= 0;
  }

  /**
   * Finds the chunk that metadata comes from next: the first chunk of a group with a free block, else a chunk of the
   * volume that is wholly free. False: metadata takes any block.
   */
  private openNodeChunk(): boolean {
    const { groups } = this;
    const old = this.nodeChunk;
    let group = groups.nextWithSpace(old < 0 ? 0 : groups.groupOf(old));
    for (let tried = 0; group >= 0 && tried < GROUPS_TRIED; tried += 1) {
      const first = old < 0 && tried === 0 ? this.searchRange(group, 1, Math.min(CHUNK_BLOCKS, groups.lengthOf(group))) : false;
      if (first || this.findFreeChunk(group)) return this.enterNodeChunk(group);
      group = groups.nextWithSpace(group + 1);
    }
    const next = groups.initialiseNext();
    return next >= 0 && this.searchRange(next, 1, groups.lengthOf(next)) && this.enterNodeChunk(next);
  }

  private findFreeChunk(group: number): boolean {
    const base = this.groups.header(group);
    const committed = this.journal.committed(base) + GroupHeader.bitmap;
    const end = this.groups.lengthOf(group);
    this.foundGroup = group;
    this.search.find(this.journal.view, base + GroupHeader.bitmap, committed, 1, end, CHUNK_BLOCKS, CHUNK_BLOCKS);
    if (this.search.length < CHUNK_BLOCKS) return false;
    this.search.length = 1;
    return true;
  }

  private enterNodeChunk(group: number): boolean {
    const bit = this.search.start;
    this.nodeChunk = this.groups.startOf(group) + bit - (bit % CHUNK_BLOCKS);
    this.search.length = 1;
    return true;
  }

  /** Where data goes next when nothing else is known. */
  get goal(): BlockNo {
    return asBlockNo(this.dataGoal);
  }
}
