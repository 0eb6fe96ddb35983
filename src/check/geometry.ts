import { GROUP_BLOCKS } from '../format/layout.js';

/** Where things are, from a superblock that passed every check. */
export class Geometry {
  /** Number of allocation groups, the short last one included. */
  readonly groupCount: number;
  /** Block of the backup superblock. */
  readonly backupBlock: number;

  constructor(
    readonly totalBlocks: number,
    readonly journalStart: number,
    readonly groupStart: number,
    /** Start value of every checksum. */
    readonly seed: number,
    /** Start value of the name hash. */
    readonly hashSeed: number,
  ) {
    this.groupCount = Math.ceil((totalBlocks - groupStart) / GROUP_BLOCKS);
    this.backupBlock = totalBlocks - 1;
  }

  /** Number of the group that `block` (≥ groupStart) lies in. */
  groupOf(block: number): number {
    return Math.floor((block - this.groupStart) / GROUP_BLOCKS);
  }

  /** First block of a group: its header. */
  groupBase(group: number): number {
    return this.groupStart + group * GROUP_BLOCKS;
  }

  /** Blocks of the group that are on the medium. */
  groupLength(group: number): number {
    return Math.min(GROUP_BLOCKS, this.totalBlocks - this.groupBase(group));
  }

  /** Blocks of the group that nothing but the format itself occupies: all but its header and the backup superblock. */
  groupCapacity(group: number): number {
    return this.groupLength(group) - (group === this.groupCount - 1 ? 2 : 1);
  }

  /** True for a block that data, tree nodes and table blocks may be in. */
  isAllocatable(block: number): boolean {
    if (block < this.groupStart || block >= this.backupBlock) return false;
    return (block - this.groupStart) % GROUP_BLOCKS !== 0;
  }
}
