import { Errno, FsError } from '../base/errno.js';
import { asByteAddr, MIB } from '../base/units.js';
import { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, BlockHeader, GroupHeader, Inode, INODE_SIZE, INODES_PER_BLOCK, Magic } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { RepairContext } from './context.js';

const WINDOW_BLOCKS = MIB / BLOCK_SIZE;

interface Candidate {
  block: number;
  /** Higher is more credible. */
  newest: number;
}

/** Which table block the records of a block say that it is. */
interface Vote {
  tableBlock: number;
  records: number;
  newest: number;
}

/**
 * Looks through all groups for blocks that hold inode records of this volume: checksums are seeded with its UUID, and every record
 * says its number. A block that was given back may still look like one: where the group's bitmap can be believed, only
 * blocks in use count; of several for one place the one with the youngest inode (generations rise) is taken. Where not even the
 * first block is found like that, the one with the root directory, no bitmap is believed.
 */
export class TableScan {
  /** Table block → block. */
  readonly found = new Map<number, number>();
  private readonly candidates = new Map<number, Candidate>();
  private readonly header = new BlockBuffer();
  private readonly window = new Uint8Array(MIB);
  private readonly block = new BlockBuffer();
  private wanted: (tableBlock: number) => boolean = () => false;
  private believesBitmaps = true;

  constructor(private readonly context: RepairContext) {}

  run(wanted: (tableBlock: number) => boolean): void {
    this.wanted = wanted;
    this.scan();
    if (wanted(0) && !this.candidates.has(0)) {
      this.believesBitmaps = false;
      this.scan();
    }
    for (const [tableBlock, { block }] of this.candidates) this.found.set(tableBlock, block);
  }

  private scan(): void {
    const { context } = this;
    for (let group = 0; group < context.groups; group++) {
      context.progress(1, group, context.groups);
      this.scanGroup(group);
    }
  }

  private scanGroup(group: number): void {
    const { geometry } = this.context;
    const base = geometry.groupBase(group);
    const bitmap = this.believedBitmap(group);
    const length = geometry.groupLength(group);
    for (let start = 0; start < length; start += WINDOW_BLOCKS) {
      const count = Math.min(WINDOW_BLOCKS, length - start);
      if (bitmap !== null && bitmap.subarray(start >> 3, (start + count + 7) >> 3).every((byte) => byte === 0)) continue;
      const whole = this.loadWindow(base + start, count);
      for (let i = 0; i < count; i++) {
        const bit = start + i;
        if (bit === 0 || (bitmap !== null && (((bitmap[bit >> 3] as number) >> (bit & 7)) & 1) === 0)) continue;
        if (whole) this.block.bytes.set(this.window.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE));
        else if (!this.context.writer.load(base + bit, this.block)) continue;
        this.consider(base + bit);
      }
    }
  }

  /** Null if the header is damaged, or lies: its own block is in use. */
  private believedBitmap(group: number): Uint8Array | null {
    if (!this.believesBitmaps || !isGroupHeader(this.context, this.header, group)) return null;
    const bitmap = this.header.bytes.subarray(GroupHeader.bitmap);
    return ((bitmap[0] as number) & 1) === 1 ? bitmap : null;
  }

  /** False where a part of the window can't be read: then it is read block by block. */
  private loadWindow(block: number, count: number): boolean {
    try {
      this.context.writer.pmem.load(asByteAddr(block * BLOCK_SIZE), this.window, 0, count * BLOCK_SIZE);
      return true;
    } catch (error) {
      if (!(error instanceof FsError) || error.errno !== Errno.EIO) throw error;
      return false;
    }
  }

  private consider(block: number): void {
    const { context } = this;
    const { view } = this.block;
    const votes = new Map<number, Vote>();
    for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
      const base = slot * INODE_SIZE;
      if (view.getUint16(base + Inode.magic, true) !== Magic.inode) continue;
      const ino = getU64(view, base + Inode.ino);
      if (ino % INODES_PER_BLOCK !== slot || !context.table.isTrusted(this.block, base, ino)) continue;
      const tableBlock = Math.floor(ino / INODES_PER_BLOCK);
      const vote = votes.get(tableBlock) ?? { tableBlock, records: 0, newest: 0 };
      votes.set(tableBlock, { tableBlock, records: vote.records + 1, newest: Math.max(vote.newest, view.getUint32(base + Inode.generation, true)) });
    }
    if (votes.size === 0 || !context.isAllocatable(block) || !context.owned.isFree(block, 1)) return;
    // A record with a wrong number does not decide.
    const { tableBlock, newest } = [...votes.values()].reduce((best, vote) => (vote.records > best.records ? vote : best));
    if (!this.wanted(tableBlock)) return;
    const other = this.candidates.get(tableBlock);
    if (other === undefined || other.newest < newest) this.candidates.set(tableBlock, { block, newest });
  }
}

/** Loads the header of a group; false when it can't be believed. */
export function isGroupHeader(context: RepairContext, buffer: BlockBuffer, group: number): boolean {
  const block = context.geometry.groupBase(group);
  if (!context.writer.load(block, buffer)) return false;
  const { view, bytes } = buffer;
  return (
    view.getUint32(BlockHeader.magic, true) === Magic.group &&
    view.getUint32(BlockHeader.checksum, true) === context.writer.pmem.crc32c(context.geometry.seed, bytes, 4, BLOCK_SIZE - 4) &&
    getU64(view, BlockHeader.self) === block &&
    getU64(view, BlockHeader.owner) === group
  );
}
