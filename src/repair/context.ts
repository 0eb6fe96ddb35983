import type { Clock } from '../base/clock.js';
import type { Geometry } from '../check/geometry.js';
import type { NameHash } from '../check/name-hash.js';
import { IncompatFeature, ReadOnlyFeature } from '../format/layout.js';
import type { Geometry as Superblock } from '../format/superblock.js';
import { BlockMap } from './block-map.js';
import { InodeNotes } from './inode-notes.js';
import type { InodeTable } from './inode-table.js';
import type { Problems } from './problems.js';
import type { BlockWriter } from './writer.js';

/** Runs of blocks that the medium can't deliver, after which it is taken to be full. */
const ALLOCATE_TRIES = 16;

/** Called now and then: number of the pass, how far it is. */
export type RepairProgress = (pass: number, done: number, total: number) => void;

/** What the passes of one repair share. */
export class RepairContext {
  owned: BlockMap;
  notes = new InodeNotes();
  table!: InodeTable;
  /** Groups that blocks may lie in: the initialised ones, or all when nobody knows. */
  groups = 0;
  /** What it was at the beginning: behind that, a group without a header is no damage. */
  groupsFound = 0;
  /** Reserved bytes are meaningful to nobody (no unknown compat feature), so they must be zero. */
  readonly checkReserved: boolean;
  /** The volume has the feature xattrs. */
  readonly xattrs: boolean;
  /** The volume has the feature regions. */
  readonly regions: boolean;

  constructor(
    readonly superblock: Superblock,
    readonly geometry: Geometry,
    readonly writer: BlockWriter,
    readonly problems: Problems,
    readonly clock: Clock,
    readonly nameHash: NameHash,
    readonly progress: RepairProgress,
  ) {
    this.checkReserved = superblock.compat === 0;
    this.xattrs = (superblock.readOnlyCompat & ReadOnlyFeature.xattrs) !== 0;
    this.regions = (superblock.incompat & IncompatFeature.regions) !== 0;
    this.owned = new BlockMap(geometry);
  }

  /** True for a block in a group in use that data, tree nodes and table blocks may be in. */
  isAllocatable(block: number): boolean {
    return this.geometry.isAllocatable(block) && this.geometry.groupOf(block) < this.groups;
  }

  /**
   * A run of free blocks, claimed; −1 when there is none. Everything that was changed so far must be committed, and `other` must hold
   * all owners that are not claimed yet.
   */
  allocate(length: number, other: BlockMap | null = null): number {
    for (let tries = 0; tries < ALLOCATE_TRIES; tries++) {
      const block = this.findFree(length, other);
      if (block < 0) return -1;
      // The search goes on behind it: what was dropped because it can't be read is not to be used again.
      if (!this.writer.isReadable(block, length)) continue;
      this.owned.claim(block, length);
      return block;
    }
    return -1;
  }

  private findFree(length: number, other: BlockMap | null): number {
    const block = this.owned.findFree(length, this.groups, other);
    if (block >= 0 || this.groups === this.geometry.groupCount) return block;
    // A group that was never used becomes one in use; its header is written with all the others.
    this.groups++;
    return this.owned.findFree(length, this.groups, other);
  }
}
