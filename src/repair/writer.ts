import { assert } from '../base/assert.js';
import { Errno, FsError } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import type { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, BlockHeader, JOURNAL_ENTRY_SIZE, JournalEntry, LINE_SIZE, RECORD_HEADER_SIZE, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { setU48, setU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import { Log, type LogPosition, Request } from '../journal/log.js';
import type { Pmem } from '../pmem/pmem.js';

/** Blocks that are changed by one record; a record of that many whole blocks fits into a segment. */
const GROUP_MAX = 64;
const ALL_LINES = 0xffffffff;

/**
 * The changes of a repair: images of whole blocks, which become durable in groups, each by one record of the volume's
 * journal. So every block is changed wholly or not at all, whenever the repair is cut off: what it finds when it is run
 * again is a volume that is a bit less damaged than before.
 *
 * What is written is seen by `load` at once. Invariant: a block that was discarded is not in a record that is stored later, so
 * that replaying the last two records never overwrites what a block got after it was freed (doc/DESIGN.md, "Why no revoke records").
 */
export class BlockWriter {
  private readonly pending = new Map<number, Uint8Array>();
  private readonly log: Log;
  private readonly request = new Request();
  private readonly record: Uint8Array;
  private readonly view: DataView;
  private journalIsBacked = false;
  private dataStored = false;
  /** Blocks changed so far. */
  written = 0;

  /** `position` is moved by every commit: whoever continues the journal afterwards takes the same object. */
  constructor(
    readonly pmem: Pmem,
    private readonly geometry: Geometry,
    readonly position: LogPosition,
  ) {
    this.log = new Log(pmem, geometry, position);
    this.record = new Uint8Array(imagesOffset(GROUP_MAX) + GROUP_MAX * BLOCK_SIZE);
    this.view = new DataView(this.record.buffer);
  }

  /** Loads a block of the volume as it will be; false where the medium can't deliver it (the target is zero then). */
  load(block: number, target: BlockBuffer): boolean {
    const image = this.pending.get(block);
    if (image !== undefined) {
      target.bytes.set(image);
      return true;
    }
    return loadBlock(this.pmem, block, target);
  }

  /** Changes a block to the image given, which is sealed. */
  write(block: number, bytes: Uint8Array): void {
    if (this.pending.size >= GROUP_MAX && !this.pending.has(block)) this.commit();
    this.pmem.back(asByteAddr(block * BLOCK_SIZE), BLOCK_SIZE);
    this.pending.set(block, bytes.slice(0, BLOCK_SIZE));
  }

  /** As `write`, of a block with a block header, whose checksum is computed first. */
  writeHeaded(block: number, { bytes, view }: BlockBuffer): void {
    view.setUint32(BlockHeader.checksum, this.pmem.crc32c(this.geometry.seed, bytes, 4, BLOCK_SIZE - 4), true);
    this.write(block, bytes);
  }

  /** True when the medium delivers all of these blocks. */
  isReadable(block: number, length: number): boolean {
    const buffer = this.record.subarray(0, GROUP_MAX * BLOCK_SIZE);
    for (let done = 0; done < length; done += GROUP_MAX) {
      const bytes = Math.min(GROUP_MAX, length - done) * BLOCK_SIZE;
      if (!tryLoad(this.pmem, block + done, buffer, bytes)) return false;
    }
    return true;
  }

  /** The block is nobody's from now on. */
  discard(block: number): void {
    this.pending.delete(block);
  }

  /**
   * Copies `length` blocks to free ones, a piece at a time; what makes them reachable goes into a later `commit`. False when the
   * medium can't deliver them.
   */
  copyData(target: number, source: number, length: number): boolean {
    const buffer = this.record.subarray(0, GROUP_MAX * BLOCK_SIZE);
    this.pmem.back(asByteAddr(target * BLOCK_SIZE), length * BLOCK_SIZE);
    for (let done = 0; done < length; done += GROUP_MAX) {
      const bytes = Math.min(GROUP_MAX, length - done) * BLOCK_SIZE;
      if (!tryLoad(this.pmem, source + done, buffer, bytes)) return false;
      this.pmem.store(asByteAddr((target + done) * BLOCK_SIZE), buffer, 0, bytes);
    }
    this.dataStored = true;
    return true;
  }

  /** Makes all changes so far durable. */
  commit(): void {
    if (this.pending.size === 0) return;
    // Data first: a record may reach the medium by itself at any moment once it is stored.
    if (this.dataStored) this.pmem.fence();
    this.dataStored = false;
    if (!this.journalIsBacked) {
      this.pmem.back(asByteAddr(0), this.geometry.groupStart * BLOCK_SIZE);
      this.journalIsBacked = true;
    }
    this.stampState();
    const blocks = [...this.pending.keys()].sort((a, b) => a - b);
    const images = imagesOffset(blocks.length);
    this.record.fill(0, 0, images);
    blocks.forEach((block, index) => {
      const entry = RECORD_HEADER_SIZE + index * JOURNAL_ENTRY_SIZE;
      setU48(this.view, entry + JournalEntry.block, block);
      this.view.setUint32(entry + JournalEntry.lines, ALL_LINES, true);
      this.view.setUint32(entry + JournalEntry.lines + 4, ALL_LINES, true);
      this.record.set(this.pending.get(block) as Uint8Array, images + index * BLOCK_SIZE);
    });
    const length = images + blocks.length * BLOCK_SIZE;
    this.log.append(this.record, this.view, 0, length, blocks.length, this.request);
    // In place, not fenced: the next commit, or `finish`, makes it durable.
    blocks.forEach((block, index) => {
      this.pmem.store(asByteAddr(block * BLOCK_SIZE), this.record, images + index * BLOCK_SIZE, BLOCK_SIZE);
    });
    this.written += blocks.length;
    this.pending.clear();
  }

  /** Commits, and waits until everything is in place. */
  finish(): void {
    this.commit();
    this.pmem.fence();
  }

  /** The volume state names the transaction that changed it last. */
  private stampState(): void {
    const state = this.pending.get(STATE_BLOCK);
    if (state === undefined) return;
    const view = new DataView(state.buffer, state.byteOffset, BLOCK_SIZE);
    setU64(view, VolumeState.sequence, this.position.sequence);
    view.setUint32(BlockHeader.checksum, this.pmem.crc32c(this.geometry.seed, state, 4, BLOCK_SIZE - 4), true);
  }
}

function imagesOffset(entries: number): number {
  return RECORD_HEADER_SIZE + Math.ceil((entries * JOURNAL_ENTRY_SIZE) / LINE_SIZE) * LINE_SIZE;
}

/** Loads a block that lies on the medium; false (and zero bytes) where the medium can't deliver it. */
export function loadBlock(pmem: Pmem, block: number, target: BlockBuffer): boolean {
  assert(block >= 0 && (block + 1) * BLOCK_SIZE <= pmem.size, 'a block to be loaded is on the medium');
  if (tryLoad(pmem, block, target.bytes, BLOCK_SIZE)) return true;
  target.bytes.fill(0);
  return false;
}

function tryLoad(pmem: Pmem, block: number, target: Uint8Array, length: number): boolean {
  try {
    pmem.load(asByteAddr(block * BLOCK_SIZE), target, 0, length);
    return true;
  } catch (error) {
    if (!(error instanceof FsError) || error.errno !== Errno.EIO) throw error;
    return false;
  }
}
