import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import { asByteAddr, type BlockNo } from '../base/units.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  Inode,
  INODE_SIZE,
  INODES_PER_BLOCK,
  JOURNAL_ENTRY_SIZE,
  JournalEntry,
  JournalEntryFlag,
  LINE_SIZE,
  Magic,
  RECORD_HEADER_SIZE,
  TRANSACTION_BLOCKS_MAX,
} from '../format/layout.js';
import { setU48, setU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import type { Blocks } from './blocks.js';
import { type Allocate, BlockCache } from './cache.js';
import { Log, type LogPosition, NO_REQUEST, Request } from './log.js';

const LINES_PER_INODE = INODE_SIZE / LINE_SIZE;
/** Lines of an inode record that timestamps and the checksum lie in. */
const TIME_LINES = 0b11;
const DISCARDS_MAX = 1024;
const RECORD_BLOCKS = 1 + Math.ceil((RECORD_HEADER_SIZE + TRANSACTION_BLOCKS_MAX * (JOURNAL_ENTRY_SIZE + BLOCK_SIZE)) / BLOCK_SIZE);
const PENDING_MAX = 1024;

/** What an entry of the running transaction is. */
const Entry = { edited: 0, fresh: 1, discarded: 2, freshDiscarded: 3 } as const;

/**
 * Transactions over cached metadata blocks.
 *
 * A block is edited in place in the cache after its before-image was saved; abort puts the before-images back. Commit
 * finds the changed lines by comparing the two, so no setter can forget to report a change, writes one record
 * with the after-images, fences (the commit point), and stores the lines in place without waiting: the next commit's
 * fence covers them (doc/FORMAT.md, "Commit and recovery").
 *
 * Pending timestamps (as ext4's lazytime) are edits outside a transaction: they stay in the cache, are pinned there, and go out
 * with the next transaction that touches their block, or with `flushPending`.
 */
export class Journal implements Blocks {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly cache: BlockCache;
  /** The one that the filesystem serves now. */
  readonly request = new Request();
  /** The one that the running transaction serves. */
  private serving = this.request;
  private readonly log: Log;

  private active = false;
  private count = 0;
  private dataStored = false;
  /** Set when a store to the medium failed in the middle of a commit: nothing may be changed any more. */
  private failure: string | undefined;
  private readonly entryOfSlot: Int16Array;
  /** Per slot in a transaction or with pending timestamps: 1 when it holds inode records, each with its own checksum. */
  private readonly inodeSlots: Uint8Array;
  private readonly slots = new Int32Array(TRANSACTION_BLOCKS_MAX);
  private readonly kinds = new Uint8Array(TRANSACTION_BLOCKS_MAX);
  private readonly linesLow = new Uint32Array(TRANSACTION_BLOCKS_MAX);
  private readonly linesHigh = new Uint32Array(TRANSACTION_BLOCKS_MAX);
  private readonly discards = new Float64Array(DISCARDS_MAX);
  private discardCount = 0;
  /** Per slot: bit i set while inode record i has timestamps that are not on the medium. */
  private readonly pendingRecords: Uint16Array;
  private readonly pendingSlots = new Set<number>();
  private readonly undoBase: number;
  private readonly zeroBase: number;
  private readonly recordBase: number;
  /** No transaction may begin. */
  readOnly = false;
  /** Called after an abort: what others derived from the blocks may be wrong now. */
  onAbort: () => void = () => undefined;
  /** Called with the base of an inode-table block whose pending timestamps are on the medium, or whose inodes are gone. */
  onTimesWritten: (base: number) => void = () => undefined;

  /** `cacheBlocks`: capacity of the metadata cache; `allocate`: see BlockCache. */
  constructor(
    private readonly pmem: Pmem,
    private readonly geometry: Geometry,
    position: LogPosition,
    cacheBlocks: number,
    allocate?: Allocate,
  ) {
    const extra = TRANSACTION_BLOCKS_MAX + 1 + RECORD_BLOCKS;
    this.cache = new BlockCache(pmem, geometry.seed, geometry.totalBlocks, cacheBlocks, extra, allocate);
    this.bytes = this.cache.bytes;
    this.view = this.cache.view;
    this.log = new Log(pmem, geometry, position);
    this.entryOfSlot = new Int16Array(cacheBlocks).fill(-1);
    this.inodeSlots = new Uint8Array(cacheBlocks);
    this.pendingRecords = new Uint16Array(cacheBlocks);
    this.undoBase = this.cache.extraBase;
    this.zeroBase = this.undoBase + TRANSACTION_BLOCKS_MAX * BLOCK_SIZE;
    this.bytes.fill(0, this.zeroBase, this.zeroBase + BLOCK_SIZE);
    this.recordBase = this.zeroBase + BLOCK_SIZE;
  }

  /** Sequence number that the running or next transaction will have. */
  get nextSequence(): number {
    return this.log.nextSequence;
  }

  get inTransaction(): boolean {
    return this.active;
  }

  // ---- reading -------------------------------------------------------------------------------

  read(block: BlockNo, magic: number): number {
    return this.cache.loadHeaded(block, magic);
  }

  /** Base of an inode-table block, not verified as a whole: each record has its own checksum. */
  readInodes(block: BlockNo): number {
    return this.cache.load(block);
  }

  /** Where the last committed contents of the block at `base` are: the before-image if this transaction edits it. */
  committed(base: number): number {
    const entry = this.entryOfSlot[base / BLOCK_SIZE] as number;
    if (entry < 0) return base;
    return this.isNew(entry) ? this.zeroBase : this.undoBase + entry * BLOCK_SIZE;
  }

  // ---- transactions ----------------------------------------------------------------------------

  /**
   * Starts a transaction that serves the present request, or NO_REQUEST: only what makes a request done may bear its id, or one sent
   * again would be taken for done. EROFS on a read-only medium, EIO after a failed commit.
   */
  begin(serving: Request = this.request): void {
    assert(!this.active, 'transactions do not nest');
    if (this.readOnly) fail('EROFS', 'the volume is mounted read-only');
    if (this.failure !== undefined) fail('EIO', `the volume takes no more changes: ${this.failure}`);
    this.active = true;
    this.count = 0;
    this.discardCount = 0;
    this.dataStored = false;
    this.serving = serving;
    serving.result = 0;
  }

  edit(block: BlockNo, magic: number): number {
    const base = this.cache.loadHeaded(block, magic);
    this.enter(base / BLOCK_SIZE, Entry.edited);
    this.inodeSlots[base / BLOCK_SIZE] = 0;
    return base;
  }

  editInodes(block: BlockNo): number {
    const base = this.cache.load(block);
    this.enter(base / BLOCK_SIZE, Entry.edited);
    this.inodeSlots[base / BLOCK_SIZE] = 1;
    return base;
  }

  fresh(block: BlockNo, magic: number, owner: number): number {
    const base = this.freshRaw(block);
    this.cache.markHeaded(base);
    this.inodeSlots[base / BLOCK_SIZE] = 0;
    this.view.setUint32(base + BlockHeader.magic, magic, true);
    setU64(this.view, base + BlockHeader.self, block);
    setU64(this.view, base + BlockHeader.owner, owner);
    return base;
  }

  /** A new block of inode records, each free; `firstIno` is the number of the first. */
  freshInodes(block: BlockNo, firstIno: number): number {
    const base = this.freshRaw(block);
    this.inodeSlots[base / BLOCK_SIZE] = 1;
    for (let index = 0; index < INODES_PER_BLOCK; index += 1) {
      const record = base + index * INODE_SIZE;
      this.view.setUint16(record + Inode.magic, Magic.inode, true);
      setU64(this.view, record + Inode.ino, firstIno + index);
    }
    return base;
  }

  private freshRaw(block: BlockNo): number {
    const slot = this.cache.find(block);
    const entry = slot < 0 ? -1 : (this.entryOfSlot[slot] as number);
    if (entry >= 0) {
      if (this.kinds[entry] !== Entry.freshDiscarded) fail('EIO', `block ${String(block)} is marked free, but is in use; run fsck.nvmfs`);
      this.kinds[entry] = Entry.fresh;
      this.cache.verified[slot] = 0xffff;
      this.bytes.fill(0, slot * BLOCK_SIZE, (slot + 1) * BLOCK_SIZE);
      return slot * BLOCK_SIZE;
    }
    const base = this.cache.create(block);
    this.enter(base / BLOCK_SIZE, Entry.fresh);
    return base;
  }

  discard(block: BlockNo): void {
    assert(this.active, 'blocks are freed inside a transaction');
    const slot = this.cache.find(block);
    if (slot < 0) return;
    const entry = this.entryOfSlot[slot] as number;
    if (entry >= 0) {
      this.kinds[entry] = this.kinds[entry] === Entry.fresh ? Entry.freshDiscarded : Entry.discarded;
      return;
    }
    assert(this.discardCount < DISCARDS_MAX, 'a transaction discards a bounded number of blocks');
    this.discards[this.discardCount] = block;
    this.discardCount += 1;
  }

  /** The transaction stored file data in new blocks: it must be durable before the record is. */
  dataWasStored(): void {
    this.dataStored = true;
  }

  /** Makes all edits durable at once. When this returns, the transaction survives any crash. */
  commit(): void {
    assert(this.active, 'commit ends a transaction');
    // Data first: a record may reach the medium by itself at any moment once it is stored.
    if (this.dataStored) this.pmem.fence();
    const entries = this.seal();
    if (entries > 0) {
      try {
        const length = this.build(entries);
        this.log.append(this.bytes, this.view, this.recordBase, length, entries, this.serving);
        this.apply();
      } catch (error) {
        this.failure = error instanceof Error ? error.message : String(error);
        throw error;
      }
    }
    this.finish();
  }

  /** Takes all edits back. */
  abort(): void {
    assert(this.active, 'abort ends a transaction');
    for (let entry = 0; entry < this.count; entry += 1) {
      const slot = this.slots[entry] as number;
      this.leave(slot);
      if (this.isNew(entry)) {
        this.cache.drop(this.cache.blockOf(slot));
      } else {
        const undo = this.undoBase + entry * BLOCK_SIZE;
        this.bytes.copyWithin(slot * BLOCK_SIZE, undo, undo + BLOCK_SIZE);
      }
    }
    this.active = false;
    // Nothing was changed, so nothing derived is wrong: a name that does not exist must not cost what was learnt.
    if (this.count > 0) this.onAbort();
  }

  // ---- pending timestamps ------------------------------------------------------------------------

  /** Inode record `index` of the block at `base` gets new timestamps outside a transaction; the caller edits them next. */
  markPending(base: number, index: number): void {
    assert(!this.active, 'pending timestamps are set outside transactions');
    const slot = base / BLOCK_SIZE;
    if (this.pendingRecords[slot] === 0) {
      this.pendingSlots.add(slot);
      this.cache.pins[slot] = (this.cache.pins[slot] as number) + 1;
    }
    this.inodeSlots[slot] = 1;
    this.pendingRecords[slot] = (this.pendingRecords[slot] as number) | (1 << index);
  }

  get hasPending(): boolean {
    return this.pendingSlots.size > 0;
  }

  /** True when so many blocks hold pending timestamps that they should go out now. */
  get pendingFull(): boolean {
    return this.pendingSlots.size >= Math.min(PENDING_MAX, this.cache.slots / 4);
  }

  isPending(base: number, index: number): boolean {
    return (((this.pendingRecords[base / BLOCK_SIZE] as number) >> index) & 1) !== 0;
  }

  /** Commits all pending timestamps, in as many transactions as that takes. */
  flushPending(): void {
    while (this.pendingSlots.size > 0) {
      this.begin(NO_REQUEST);
      for (const slot of this.pendingSlots) {
        if (this.count === TRANSACTION_BLOCKS_MAX) break;
        this.enter(slot, Entry.edited);
      }
      this.commit();
    }
  }

  // ---- inside ------------------------------------------------------------------------------------

  private enter(slot: number, kind: number): void {
    assert(this.active, 'blocks are changed inside a transaction');
    if ((this.entryOfSlot[slot] as number) >= 0) return;
    // What this engine builds never needs so many; trees of nodes that are nearly empty may.
    if (this.count >= TRANSACTION_BLOCKS_MAX) fail('EIO', `an operation would change more than ${String(TRANSACTION_BLOCKS_MAX)} blocks at once; run fsck.nvmfs`);
    const entry = this.count;
    this.count += 1;
    this.slots[entry] = slot;
    this.kinds[entry] = kind;
    this.entryOfSlot[slot] = entry;
    this.cache.pins[slot] = (this.cache.pins[slot] as number) + 1;
    if (kind === Entry.edited) {
      const base = slot * BLOCK_SIZE;
      this.bytes.copyWithin(this.undoBase + entry * BLOCK_SIZE, base, base + BLOCK_SIZE);
    }
  }

  /** The block was not in use before this transaction. */
  private isNew(entry: number): boolean {
    return this.kinds[entry] === Entry.fresh || this.kinds[entry] === Entry.freshDiscarded;
  }

  private isDiscarded(entry: number): boolean {
    return this.kinds[entry] === Entry.discarded || this.kinds[entry] === Entry.freshDiscarded;
  }

  private leave(slot: number): void {
    this.entryOfSlot[slot] = -1;
    this.cache.pins[slot] = (this.cache.pins[slot] as number) - 1;
  }

  private clearPending(slot: number): void {
    if (this.pendingRecords[slot] === 0) return;
    this.pendingRecords[slot] = 0;
    this.pendingSlots.delete(slot);
    this.onTimesWritten(slot * BLOCK_SIZE);
    this.cache.pins[slot] = (this.cache.pins[slot] as number) - 1;
  }

  /** Finds what changed in each block and computes its checksums anew; returns the number of blocks that changed. */
  private seal(): number {
    let changed = 0;
    for (let entry = 0; entry < this.count; entry += 1) {
      this.linesLow[entry] = this.linesHigh[entry] = 0;
      if (this.isDiscarded(entry)) continue;
      const base = (this.slots[entry] as number) * BLOCK_SIZE;
      const before = this.isNew(entry) ? this.zeroBase : this.undoBase + entry * BLOCK_SIZE;
      this.linesLow[entry] = this.pmem.difference(this.bytes, base, before);
      this.linesHigh[entry] = this.pmem.differenceHigh;
      if (this.inodeSlots[this.slots[entry] as number] === 1) this.sealInodes(entry, base);
      else this.sealHeaded(entry, base);
      if (this.linesLow[entry] !== 0 || this.linesHigh[entry] !== 0) changed += 1;
    }
    return changed;
  }

  private sealHeaded(entry: number, base: number): void {
    if (this.linesLow[entry] === 0 && this.linesHigh[entry] === 0) return;
    const checksum = this.pmem.crc32c(this.geometry.seed, this.bytes, base + 4, BLOCK_SIZE - 4);
    this.view.setUint32(base + BlockHeader.checksum, checksum, true);
    this.linesLow[entry] = ((this.linesLow[entry] as number) | 1) >>> 0;
  }

  private sealInodes(entry: number, base: number): void {
    const pending = this.pendingRecords[this.slots[entry] as number] as number;
    for (let index = 0; index < INODES_PER_BLOCK; index += 1) {
      const lines = index < 8 ? this.linesLow : this.linesHigh;
      const shift = (index % 8) * LINES_PER_INODE;
      let mask = ((lines[entry] as number) >>> shift) & 0xf;
      if (((pending >> index) & 1) !== 0) mask |= TIME_LINES;
      if (mask === 0) continue;
      const record = base + index * INODE_SIZE;
      const checksum = this.pmem.crc32c(this.geometry.seed, this.bytes, record + 4, INODE_SIZE - 4);
      this.view.setUint32(record + Inode.checksum, checksum, true);
      lines[entry] = ((lines[entry] as number) | ((mask | 1) << shift)) >>> 0;
    }
  }

  /** Lays the record out behind the room for its header; returns its length in bytes. */
  private build(entries: number): number {
    const { view, bytes, recordBase } = this;
    let descriptor = recordBase + RECORD_HEADER_SIZE;
    const imagesStart = descriptor + Math.ceil((entries * JOURNAL_ENTRY_SIZE) / LINE_SIZE) * LINE_SIZE;
    bytes.fill(0, descriptor, imagesStart);
    let image = imagesStart;
    for (let entry = 0; entry < this.count; entry += 1) {
      const low = this.linesLow[entry] as number;
      const high = this.linesHigh[entry] as number;
      if (low === 0 && high === 0) continue;
      const slot = this.slots[entry] as number;
      setU48(view, descriptor + JournalEntry.block, this.cache.blockOf(slot));
      const flags = this.kinds[entry] === Entry.fresh ? JournalEntryFlag.zeroFirst : 0;
      view.setUint16(descriptor + JournalEntry.flags, flags, true);
      view.setUint32(descriptor + JournalEntry.lines, low, true);
      view.setUint32(descriptor + JournalEntry.lines + 4, high, true);
      descriptor += JOURNAL_ENTRY_SIZE;
      image = this.copyLines(slot * BLOCK_SIZE, low, image);
      image = this.copyLines(slot * BLOCK_SIZE + BLOCK_SIZE / 2, high, image);
    }
    return image - recordBase;
  }

  private copyLines(base: number, lines: number, image: number): number {
    for (let rest = lines; rest !== 0; rest = withoutFirstRun(rest)) {
      const first = firstLine(rest);
      const length = runLength(rest, first) * LINE_SIZE;
      const start = base + first * LINE_SIZE;
      this.bytes.copyWithin(image, start, start + length);
      image += length;
    }
    return image;
  }

  /** Stores the changed lines in place. Not fenced: the next commit's fence makes them durable. */
  private apply(): void {
    for (let entry = 0; entry < this.count; entry += 1) {
      if (this.isDiscarded(entry)) continue;
      const slot = this.slots[entry] as number;
      const base = slot * BLOCK_SIZE;
      const address = this.cache.blockOf(slot) * BLOCK_SIZE;
      if (this.kinds[entry] === Entry.fresh) {
        this.pmem.store(asByteAddr(address), this.bytes, base, BLOCK_SIZE);
      } else {
        this.storeLines(address, base, this.linesLow[entry] as number);
        this.storeLines(address + BLOCK_SIZE / 2, base + BLOCK_SIZE / 2, this.linesHigh[entry] as number);
      }
    }
  }

  /** Stores the lines of half a block, neighbouring lines with one call. */
  private storeLines(address: number, base: number, lines: number): void {
    for (let rest = lines; rest !== 0; rest = withoutFirstRun(rest)) {
      const first = firstLine(rest);
      const start = first * LINE_SIZE;
      this.pmem.store(asByteAddr(address + start), this.bytes, base + start, runLength(rest, first) * LINE_SIZE);
    }
  }

  private finish(): void {
    for (let entry = 0; entry < this.count; entry += 1) {
      const slot = this.slots[entry] as number;
      this.clearPending(slot);
      this.leave(slot);
      if (this.isDiscarded(entry)) this.cache.drop(this.cache.blockOf(slot));
    }
    for (let index = 0; index < this.discardCount; index += 1) {
      const block = this.discards[index] as BlockNo;
      const slot = this.cache.find(block);
      if (slot < 0) continue;
      this.clearPending(slot);
      this.cache.drop(block);
    }
    this.active = false;
  }
}

/** Number of the first line in a mask of 32 lines that is not zero. */
function firstLine(lines: number): number {
  return 31 - Math.clz32(lines & -lines);
}

/** How many lines in a row are set from line `first` on. */
function runLength(lines: number, first: number): number {
  const rest = ~(lines >>> first);
  return rest === 0 ? 32 : 31 - Math.clz32(rest & -rest);
}

/** The mask without its first run of lines: adding at its lowest bit carries through the run. */
function withoutFirstRun(lines: number): number {
  return (lines & ((lines >>> 0) + (lines & -lines))) >>> 0;
}
