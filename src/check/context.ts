import type { FindingList } from './findings.js';
import { blockName } from './findings.js';
import type { Geometry } from './geometry.js';
import { InodeMap } from './inode-map.js';
import type { MediumReader } from './medium.js';
import type { NameHash } from './name-hash.js';
import { Ownership } from './ownership.js';

/** What was counted on the way. */
export interface VolumeStatistics {
  regularFiles: number;
  directories: number;
  symlinks: number;
  specialFiles: number;
  /** Inodes with a valid record in use. */
  inodes: number;
  orphans: number;
  /** Directory entries. */
  entries: number;
  extents: number;
  xattrs: number;
  /** Regular files whose data is a host file. */
  regions: number;
  /** Regular files with more than one run of blocks on the medium. */
  fragmentedFiles: number;
  treeNodes: number;
  /** Blocks of the volume that are not free: superblocks, journal, headers, metadata, data. */
  usedBlocks: number;
}

/** What the passes of one verification share. */
export class CheckContext {
  readonly ownership: Ownership;
  readonly inodes = new InodeMap();
  readonly statistics: VolumeStatistics = {
    regularFiles: 0,
    directories: 0,
    symlinks: 0,
    specialFiles: 0,
    inodes: 0,
    orphans: 0,
    entries: 0,
    extents: 0,
    xattrs: 0,
    regions: 0,
    fragmentedFiles: 0,
    treeNodes: 0,
    usedBlocks: 0,
  };
  /** Inodes with the orphan flag or a successor on the orphan list, and that successor. */
  readonly orphanNext = new Map<number, number>();
  /** Inode records that can't be read: what they held is not known, so counts can't be told exactly. */
  damagedInodes = 0;
  /** False when a part of the inode table could not be seen. */
  tableComplete = true;

  constructor(
    readonly medium: MediumReader,
    readonly findings: FindingList,
    readonly geometry: Geometry,
    /** Reserved bytes are meaningful to nobody (no unknown compat feature), so they must be zero. */
    readonly checkReserved: boolean,
    /** The volume has the feature xattrs. */
    readonly xattrs: boolean,
    /** The volume has the feature regions. */
    readonly regions: boolean,
    /** The hash that names of directories and of extended attributes were made with. */
    readonly nameHash: NameHash,
  ) {
    this.ownership = new Ownership(geometry);
  }

  /**
   * Gives [block, block + length), inside one group, to an owner (inode number, 0: the volume itself).
   * False, with a finding, when a part of it had an owner before.
   */
  claim(block: number, length: number, ino: number, what: string): boolean {
    const doubles = this.ownership.claim(block, length);
    if (doubles === 0) return true;
    const first = this.ownership.firstDouble;
    const place = { block: first, blocks: doubles, ...(ino > 0 ? { ino } : {}) };
    const found = `${String(doubles)} from ${blockName(first)} on owned by another, too`;
    this.findings.add('block-doubly-used', place, `${what} at ${blockName(block)}`, 'blocks of its own', found);
    return false;
  }
}
