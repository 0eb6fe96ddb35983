import { fail } from '../base/errno.js';
import { asBlockNo, asIno, type BlockNo, type Ino } from '../base/units.js';
import {
  BLOCK_SIZE,
  Extent,
  EXTENT_PAYLOAD_SIZE,
  FREE_INODES_HOLE,
  FREE_INODES_PAYLOAD_SIZE,
  FreeInodes,
  Inode,
  INODE_SIZE,
  INODES_PER_BLOCK,
  Magic,
  ROOT_INO,
  TreeKind,
  VolumeState,
} from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Journal } from '../journal/journal.js';
import type { Pmem } from '../pmem/pmem.js';
import { TreeCursor } from '../tree/cursor.js';
import { Tree } from '../tree/tree.js';
import type { Allocator } from './allocator.js';
import { inodeFault } from './soundness.js';
import type { State } from './state.js';

const OWNER = 0;
const ALL_FREE = 0xffff;
/** Entries of the direct-mapped memory of table blocks; a power of two. */
const MEMO_SIZE = 4096;

/**
 * The inode table: finds the record of an inode, and allocates and frees inodes.
 * The table grows block by block at its end and gives blocks without an inode in use back (doc/FORMAT.md, "Inode table").
 */
export class InodeTable {
  private readonly extents: Tree;
  private readonly freeInodes: Tree;
  private readonly cursor: TreeCursor;
  private readonly freeCursor: TreeCursor;
  /** Table block → block on the medium, direct-mapped: saves the descent for inodes in use. */
  private readonly memoKeys = new Float64Array(MEMO_SIZE).fill(-1);
  private readonly memoBlocks = new Float64Array(MEMO_SIZE);
  /** Base of the record of the inode that `allocate` returned: editable. */
  newRecord = 0;

  constructor(
    private readonly journal: Journal,
    private readonly pmem: Pmem,
    private readonly seed: number,
    private readonly state: State,
    private readonly allocator: Allocator,
  ) {
    this.extents = new Tree(journal, allocator, TreeKind.extents);
    this.freeInodes = new Tree(journal, allocator, TreeKind.freeInodes);
    this.cursor = new TreeCursor(this.extents);
    this.freeCursor = new TreeCursor(this.freeInodes);
  }

  /** Blocks that `allocate` may need: a table block and tree nodes. */
  blocksToAllocate(): number {
    return 1 + this.extents.nodesForInserts(this.state.tableRoot(), 1) + this.freeInodes.nodesForInserts(this.state.freeInodeRoot(), 2);
  }

  /** Base of the record of an inode in use. ESTALE if there is none of this number, EIO if its record is damaged. */
  get(ino: Ino): number {
    const base = this.find(ino);
    if (base < 0 || this.journal.view.getUint16(base + Inode.mode, true) === 0) {
      fail('ESTALE', `inode ${String(ino)} is not in use`);
    }
    return base;
  }

  /** As `get`, and the record may be changed in the running transaction. */
  edit(ino: Ino): number {
    const base = this.get(ino);
    const index = ino % INODES_PER_BLOCK;
    this.journal.editInodes(this.blockAt(base - index * INODE_SIZE));
    return base;
  }

  /** As `get`, for new timestamps outside a transaction: they become durable later (Journal.flushPending). */
  editPending(ino: Ino): number {
    const base = this.get(ino);
    const index = ino % INODES_PER_BLOCK;
    this.journal.markPending(base - index * INODE_SIZE, index);
    return base;
  }

  hasPendingTimes(ino: Ino): boolean {
    const base = this.get(ino);
    const index = ino % INODES_PER_BLOCK;
    return this.journal.isPending(base - index * INODE_SIZE, index);
  }

  /**
   * Takes a free inode in the running transaction and returns its number; its record (at `newRecord`) is zero but for
   * number and generation and must get a mode before the transaction ends.
   */
  allocate(): Ino {
    const { freeCursor, journal } = this;
    const root = this.state.edit() + VolumeState.freeInodeRoot;
    let tableBlock: number;
    let mask: number;
    if (freeCursor.seekFirst(root, OWNER)) {
      tableBlock = freeCursor.key;
      mask = journal.view.getUint16(freeCursor.payload + FreeInodes.mask, true);
      const length = journal.view.getUint32(freeCursor.payload + FreeInodes.length, true);
      if (mask === 0 || length === 0 || tableBlock + length > this.state.tableBlocks) fail('EIO', `free-inode tree: item ${String(tableBlock)} stands for no inode`);
      if (mask === FREE_INODES_HOLE && this.blockOfTable(tableBlock) < 0) {
        this.freeInodes.remove(root, OWNER, tableBlock);
        if (length > 1) this.putItem(root, tableBlock + 1, FREE_INODES_HOLE, length - 1);
        this.mapTableBlock(tableBlock);
        this.putItem(root, tableBlock, ALL_FREE, 1);
      }
    } else {
      tableBlock = this.state.tableBlocks;
      mask = ALL_FREE;
      this.state.set(VolumeState.tableBlocks, tableBlock + 1);
      this.mapTableBlock(tableBlock);
      this.putItem(root, tableBlock, ALL_FREE, 1);
    }
    const index = 31 - Math.clz32(mask & -mask);
    if (tableBlock === 0 && index <= ROOT_INO) fail('EIO', `free-inode tree: inode ${String(index)} is said to be free`);
    this.putMask(root, tableBlock, mask & ~(1 << index));
    this.state.add(VolumeState.usedInodes, 1, 'the number of inodes in use');
    const ino = asIno(tableBlock * INODES_PER_BLOCK + index);
    return this.prepare(ino);
  }

  /** Gives an inode back in the running transaction; its record must be editable. Frees its table block when that is empty. */
  free(ino: Ino): void {
    const { journal } = this;
    const record = this.edit(ino);
    const generation = journal.view.getUint32(record + Inode.generation, true);
    journal.bytes.fill(0, record, record + INODE_SIZE);
    journal.view.setUint16(record + Inode.magic, Magic.inode, true);
    setU64(journal.view, record + Inode.ino, ino);
    journal.view.setUint32(record + Inode.generation, generation, true);

    const tableBlock = Math.floor(ino / INODES_PER_BLOCK);
    const root = this.state.edit() + VolumeState.freeInodeRoot;
    const payload = this.freeInodes.find(root, OWNER, tableBlock);
    const before = payload < 0 ? 0 : journal.view.getUint16(payload + FreeInodes.mask, true);
    const mask = before | (1 << (ino % INODES_PER_BLOCK));
    if (mask === before) fail('EIO', `free-inode tree: inode ${String(ino)} is in use and said to be free`);
    this.state.add(VolumeState.usedInodes, -1, 'the number of inodes in use');
    if (mask === ALL_FREE) {
      if (payload >= 0) this.freeInodes.remove(root, OWNER, tableBlock);
      this.unmapTableBlock(tableBlock);
      this.addHole(root, tableBlock);
    } else if (payload < 0) {
      this.putItem(root, tableBlock, mask, 1);
    } else {
      this.putMask(root, tableBlock, mask);
    }
  }

  /** Free inodes in table blocks that exist: what can be created without a new table block. */
  get freeInBlocks(): number {
    return Math.max(0, this.mappedBlocks() * INODES_PER_BLOCK - 1 - this.state.usedInodes);
  }

  /** Forgets what was derived from blocks (after an abort). */
  forget(): void {
    this.memoKeys.fill(-1);
  }

  // ---- inside ------------------------------------------------------------------------------------

  /** Base of a record, verified; −1 when its table block is a hole or past the end. */
  private find(ino: Ino): number {
    const tableBlock = Math.floor(ino / INODES_PER_BLOCK);
    const block = this.blockOfTable(tableBlock);
    if (block < 0) return -1;
    const base = this.journal.readInodes(asBlockNo(block));
    const index = ino - tableBlock * INODES_PER_BLOCK;
    const { verified } = this.journal.cache;
    const slot = base / BLOCK_SIZE;
    if ((((verified[slot] as number) >> index) & 1) === 0) {
      this.verify(ino, base + index * INODE_SIZE, block);
      verified[slot] = (verified[slot] as number) | (1 << index);
    }
    return base + index * INODE_SIZE;
  }

  private verify(ino: Ino, record: number, block: number): void {
    const { view, bytes } = this.journal;
    const stored = view.getUint32(record + Inode.checksum, true);
    const computed = this.pmem.crc32c(this.seed, bytes, record + 4, INODE_SIZE - 4);
    const where = `inode ${String(ino)} (block ${String(block)})`;
    // A record that was never in use is part of a block that was; its checksum was stored with the block.
    if (stored !== computed) {
      fail('EIO', `${where}: expected checksum 0x${computed.toString(16)}, found 0x${stored.toString(16)}`);
    }
    const magic = view.getUint16(record + Inode.magic, true);
    if (magic !== Magic.inode) fail('EIO', `${where}: expected magic 0x4e49, found 0x${magic.toString(16)}`);
    const number = getU64(view, record + Inode.ino);
    if (number !== ino) fail('EIO', `${where}: the record says it is inode ${String(number)}`);
    const problem = inodeFault(view, record);
    if (problem !== undefined) fail('EIO', `${where}: ${problem}; run fsck.nvmfs`);
  }

  private blockAt(base: number): BlockNo {
    return this.journal.cache.blockOf(base / BLOCK_SIZE);
  }

  /** Where a table block is on the medium, −1: a hole or past the end. */
  private blockOfTable(tableBlock: number): number {
    const memo = tableBlock & (MEMO_SIZE - 1);
    if (this.memoKeys[memo] === tableBlock) return this.memoBlocks[memo] as number;
    const { cursor, journal } = this;
    if (!(tableBlock >= 0) || !cursor.seekFloor(this.state.tableRoot(), OWNER, tableBlock)) return -1;
    const length = journal.view.getUint32(cursor.payload + Extent.length, true);
    if (tableBlock >= cursor.key + length) return -1;
    const block = getU64(journal.view, cursor.payload + Extent.block) + tableBlock - cursor.key;
    this.memoKeys[memo] = tableBlock;
    this.memoBlocks[memo] = block;
    return block;
  }

  private prepare(ino: Ino): Ino {
    const record = this.find(ino);
    const { view } = this.journal;
    if (record < 0 || view.getUint16(record + Inode.mode, true) !== 0) {
      fail('EIO', `free-inode tree: inode ${String(ino)} is said to be free and is not`);
    }
    const index = ino % INODES_PER_BLOCK;
    this.journal.editInodes(this.blockAt(record - index * INODE_SIZE));
    // Sequence numbers never repeat, so neither does the pair (number, generation).
    view.setUint32(record + Inode.generation, this.journal.nextSequence % 4294967296, true);
    this.newRecord = record;
    return ino;
  }

  private putItem(root: number, tableBlock: number, mask: number, length: number): void {
    const payload = this.freeInodes.insert(root, OWNER, tableBlock, FREE_INODES_PAYLOAD_SIZE);
    this.journal.view.setUint16(payload + FreeInodes.mask, mask, true);
    this.journal.view.setUint32(payload + FreeInodes.length, length, true);
  }

  private putMask(root: number, tableBlock: number, mask: number): void {
    if (mask === 0) {
      this.freeInodes.remove(root, OWNER, tableBlock);
      return;
    }
    const payload = this.freeInodes.edit(root, OWNER, tableBlock);
    this.journal.view.setUint16(payload + FreeInodes.mask, mask, true);
  }

  /** Adds a hole, joined with holes next to it; cuts the table when it ends in a hole. */
  private addHole(root: number, tableBlock: number): void {
    const { freeCursor, journal } = this;
    let start = tableBlock;
    let length = 1;
    if (tableBlock > 0 && freeCursor.seekFloor(root, OWNER, tableBlock - 1) && this.isHole(freeCursor.payload, freeCursor.key)) {
      const before = journal.view.getUint32(freeCursor.payload + FreeInodes.length, true);
      if (freeCursor.key + before === tableBlock) {
        start = freeCursor.key;
        length += before;
        this.freeInodes.remove(root, OWNER, start);
      }
    }
    if (freeCursor.seekCeiling(root, OWNER, tableBlock + 1) && freeCursor.key === tableBlock + 1 && this.isHole(freeCursor.payload, freeCursor.key)) {
      length += journal.view.getUint32(freeCursor.payload + FreeInodes.length, true);
      this.freeInodes.remove(root, OWNER, tableBlock + 1);
    }
    if (start + length === this.state.tableBlocks) this.state.set(VolumeState.tableBlocks, start);
    else this.putItem(root, start, FREE_INODES_HOLE, length);
  }

  private isHole(payload: number, tableBlock: number): boolean {
    return this.journal.view.getUint16(payload + FreeInodes.mask, true) === FREE_INODES_HOLE && this.blockOfTable(tableBlock) < 0;
  }

  /** Maps a table block to a new block of free records. */
  private mapTableBlock(tableBlock: number): void {
    const { cursor, journal } = this;
    const root = this.state.edit() + VolumeState.tableRoot;
    let goal = 0;
    let previousKey = -1;
    let previousLength = 0;
    if (cursor.seekFloor(root, OWNER, tableBlock)) {
      previousKey = cursor.key;
      previousLength = journal.view.getUint32(cursor.payload + Extent.length, true);
      if (previousKey + previousLength > tableBlock) fail('EIO', `inode table: block ${String(tableBlock)} is mapped, and should be a hole`);
      goal = getU64(journal.view, cursor.payload + Extent.block) + previousLength;
    }
    const block = this.allocator.allocateNode(asBlockNo(goal));
    journal.freshInodes(block, tableBlock * INODES_PER_BLOCK);
    if (previousKey + previousLength === tableBlock && block === goal) {
      const payload = this.extents.edit(root, OWNER, previousKey);
      journal.view.setUint32(payload + Extent.length, previousLength + 1, true);
    } else {
      this.putExtent(root, tableBlock, block, 1);
    }
    this.memoKeys[tableBlock & (MEMO_SIZE - 1)] = -1;
    this.changeMapped(1);
  }

  /** Takes a table block out of the table and frees its block. */
  private unmapTableBlock(tableBlock: number): void {
    if (tableBlock === 0) fail('EIO', 'free-inode tree: the root directory is said to be free');
    const { cursor, journal } = this;
    const root = this.state.edit() + VolumeState.tableRoot;
    const found = cursor.seekFloor(root, OWNER, tableBlock);
    const length = found ? journal.view.getUint32(cursor.payload + Extent.length, true) : 0;
    if (!found || tableBlock >= cursor.key + length) fail('EIO', `inode table: block ${String(tableBlock)} is a hole, and has an inode in use`);
    const first = cursor.key;
    const firstBlock = getU64(journal.view, cursor.payload + Extent.block);
    const before = tableBlock - first;
    const after = length - before - 1;
    if (before === 0) {
      this.extents.remove(root, OWNER, first);
    } else {
      const payload = this.extents.edit(root, OWNER, first);
      journal.view.setUint32(payload + Extent.length, before, true);
    }
    if (after > 0) this.putExtent(root, tableBlock + 1, firstBlock + before + 1, after);
    this.memoKeys[tableBlock & (MEMO_SIZE - 1)] = -1;
    this.allocator.freeNode(asBlockNo(firstBlock + before));
    this.changeMapped(-1);
  }

  private putExtent(root: number, tableBlock: number, block: number, length: number): void {
    const payload = this.extents.insert(root, OWNER, tableBlock, EXTENT_PAYLOAD_SIZE);
    setU64(this.journal.view, payload + Extent.block, block);
    this.journal.view.setUint32(payload + Extent.length, length, true);
  }

  private mappedBlocks(): number {
    return getU64(this.journal.view, this.state.tableRoot() - VolumeState.tableRoot + VolumeState.mappedTableBlocks);
  }

  private changeMapped(change: number): void {
    this.state.add(VolumeState.mappedTableBlocks, change, 'the number of blocks of the inode table');
  }
}
