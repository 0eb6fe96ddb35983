import type { BlockNo } from '../base/units.js';

/** How a cached block is verified when it comes in and sealed (checksummed) when it is committed. */
export const BlockKind = {
  /** Superblock, volume state, group header, tree node: block header with one checksum over 4 KiB. */
  headed: 0,
  /** 16 inode records, each with a checksum of its own. */
  inodes: 1,
} as const;
export type BlockKindNumber = (typeof BlockKind)[keyof typeof BlockKind];

/**
 * Metadata blocks in DRAM, as the layers between the journal and the filesystem see them.
 *
 * Every block that an operation uses lies somewhere in `bytes`; the calls return its base offset there.
 * A base stays valid until the end of the operation (the next call of `beginOperation`), so several
 * blocks can be looked at together. All edits are made in place after `edit` or `fresh`, inside a transaction; commit
 * makes them durable together, abort takes them all back.
 */
export interface Blocks {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /**
   * Base of a block with a block header; its checksum, magic and self are verified when it comes in.
   * Throws FsError EIO naming the structure when it is damaged.
   */
  read(block: BlockNo, magic: number): number;
  /** As `read`, and the block may be changed from now until the end of the transaction. */
  edit(block: BlockNo, magic: number): number;
  /** Base of a newly allocated block: zero but for its block header (magic, self, owner). The medium is not read. */
  fresh(block: BlockNo, magic: number, owner: number): number;
  /** The block was freed in this transaction: it is left out of the record. Its base is invalid from now on. */
  discard(block: BlockNo): void;
}

/** Where trees get their nodes from. */
export interface NodeAllocator {
  /** One free block, near `goal` if that is not 0; allocated in the current transaction. Space was reserved before: never ENOSPC. */
  allocateNode(goal: BlockNo): BlockNo;
  freeNode(block: BlockNo): void;
}
