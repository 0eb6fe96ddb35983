import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import { asByteAddr, type BlockNo } from '../base/units.js';
import { BLOCK_SIZE, BlockHeader } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Pmem } from '../pmem/pmem.js';

/** Bit of `verified` for a block with a header. */
const HEADED = 0x10000;
const EMPTY = -1;
const HASH_MULTIPLIER = 0x9e3779b1;

/** Gives memory of so many bytes. */
export type Allocate = (bytes: number) => ArrayBuffer;

const newMemory: Allocate = (bytes) => new ArrayBuffer(bytes);

/**
 * A bounded cache of metadata blocks in one array of DRAM.
 *
 * The medium could be read in place, but a copy is verified once instead of at each access, is taken by the
 * addon with a guard against poisoned pages, and is one `DataView` for everything above.
 *
 * Invariants: a block is in at most one slot; a slot that was used in the present operation, is pinned by a transaction or holds
 * pending timestamps is never evicted.
 */
export class BlockCache {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Per slot: the block it holds, −1 if none. */
  private readonly blocks: Float64Array;
  /**
   * Per slot: bit i for inode record i, bit 16 for a block with a header: its checksum and contents were found right. Damage may make one
   * block pass for both kinds, so neither stands for the other.
   */
  readonly verified: Uint32Array;
  /** Checks the contents of a block with a header whose checksum is right, when it comes in: what is wrong, for people. */
  validate: (magic: number, base: number, block: BlockNo) => string | undefined = () => undefined;
  /** Per slot: more than 0 while it must not be evicted. */
  readonly pins: Uint8Array;
  private readonly epochs: Uint32Array;
  private readonly referenced: Uint8Array;
  /** Open addressing, linear probing: slot number or EMPTY. */
  private readonly table: Int32Array;
  private readonly tableMask: number;
  private clockHand = 0;
  private epoch = 1;

  /**
   * `slots`: capacity in blocks; `extraBlocks`: that many further blocks of room at the end of `bytes` (see `extraBase`) for the
   * transaction's own use, so that everything can be compared and copied inside one array. `allocate`: gives its memory,
   * any bytes in it.
   */
  constructor(
    private readonly pmem: Pmem,
    /** Seed of every checksum of this volume. */
    readonly seed: number,
    /** Blocks of the volume: nothing outside is ever read. */
    private readonly totalBlocks: number,
    readonly slots: number,
    extraBlocks: number,
    allocate: Allocate = newMemory,
  ) {
    assert(slots >= 256, 'the metadata cache holds at least 256 blocks');
    const buffer = allocate((slots + extraBlocks) * BLOCK_SIZE);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.blocks = new Float64Array(slots).fill(EMPTY);
    this.verified = new Uint32Array(slots);
    this.pins = new Uint8Array(slots);
    this.epochs = new Uint32Array(slots);
    this.referenced = new Uint8Array(slots);
    let tableSize = 1024;
    while (tableSize < slots * 2) tableSize *= 2;
    this.table = new Int32Array(tableSize).fill(EMPTY);
    this.tableMask = tableSize - 1;
  }

  get extraBase(): number {
    return this.slots * BLOCK_SIZE;
  }

  /** From now on slots used before may be evicted again. */
  beginOperation(): void {
    this.epoch = (this.epoch + 1) >>> 0;
  }

  /** Base of the block, loaded if needed, not verified. */
  load(block: BlockNo): number {
    let slot = this.find(block);
    if (slot === EMPTY) {
      if (!(block >= 0 && block < this.totalBlocks)) {
        fail('EIO', `block ${String(block)} is outside the volume of ${String(this.totalBlocks)} blocks`);
      }
      slot = this.claim(block);
      try {
        this.pmem.load(asByteAddr(block * BLOCK_SIZE), this.bytes, slot * BLOCK_SIZE, BLOCK_SIZE);
      } catch (error) {
        this.dropSlot(slot);
        throw error;
      }
    }
    this.epochs[slot] = this.epoch;
    this.referenced[slot] = 1;
    return slot * BLOCK_SIZE;
  }

  /** Base of the block with a block header; verified when it is new in the cache. */
  loadHeaded(block: BlockNo, magic: number): number {
    const base = this.load(block);
    if (((this.verified[base / BLOCK_SIZE] as number) & HEADED) === 0) this.verifyHeaded(block, base, magic);
    const found = this.view.getUint32(base + BlockHeader.magic, true);
    if (found !== magic) {
      fail('EIO', `block ${String(block)}: expected magic ${hex(magic)}, found ${hex(found)}`);
    }
    return base;
  }

  /** The caller is done with the block at `base` and nobody else uses it in this operation: it may be evicted at once. */
  doneWith(base: number): void {
    this.epochs[base / BLOCK_SIZE] = (this.epoch - 1) >>> 0;
    this.referenced[base / BLOCK_SIZE] = 0;
  }

  /** A slot for a new block: zero bytes, taken as verified; the medium is not read. */
  create(block: BlockNo): number {
    assert(block >= 0 && block < this.totalBlocks, 'a new block is inside the volume');
    let slot = this.find(block);
    if (slot === EMPTY) slot = this.claim(block);
    if (this.pins[slot] !== 0) fail('EIO', `block ${String(block)} is marked free, but is in use; run fsck.nvmfs`);
    const base = slot * BLOCK_SIZE;
    this.bytes.fill(0, base, base + BLOCK_SIZE);
    this.verified[slot] = 0xffff;
    this.epochs[slot] = this.epoch;
    this.referenced[slot] = 1;
    return base;
  }

  /** Marks a created block with a header as verified in the way loadHeaded expects. */
  markHeaded(base: number): void {
    this.verified[base / BLOCK_SIZE] = HEADED;
  }

  /** The block in a slot. */
  blockOf(slot: number): BlockNo {
    return this.blocks[slot] as BlockNo;
  }

  /** Slot of a block or −1. */
  find(block: BlockNo): number {
    let index = this.hash(block);
    for (;;) {
      const slot = this.table[index] as number;
      if (slot === EMPTY || this.blocks[slot] === block) return slot;
      index = (index + 1) & this.tableMask;
    }
  }

  /** Forgets a block, if it is here. */
  drop(block: BlockNo): void {
    const slot = this.find(block);
    if (slot !== EMPTY) this.dropSlot(slot);
  }

  private hash(block: number): number {
    const mixed = Math.imul((block | 0) ^ Math.floor(block / 65536), HASH_MULTIPLIER);
    return (mixed >>> 11) & this.tableMask;
  }

  private verifyHeaded(block: BlockNo, base: number, magic: number): void {
    const { view } = this;
    const stored = view.getUint32(base + BlockHeader.checksum, true);
    const computed = this.pmem.crc32c(this.seed, this.bytes, base + 4, BLOCK_SIZE - 4);
    if (stored !== computed) {
      fail('EIO', `block ${String(block)} (${magicName(magic)}): expected checksum ${hex(computed)}, found ${hex(stored)}`);
    }
    const self = getU64(view, base + BlockHeader.self);
    if (self !== block) fail('EIO', `block ${String(block)} (${magicName(magic)}) says it is block ${String(self)}`);
    const problem = this.validate(view.getUint32(base + BlockHeader.magic, true), base, block);
    if (problem !== undefined) fail('EIO', `block ${String(block)} (${magicName(magic)}): ${problem}; run fsck.nvmfs`);
    this.verified[base / BLOCK_SIZE] = (this.verified[base / BLOCK_SIZE] as number) | HEADED;
  }

  /** An empty or evicted slot, entered in the table under `block`. */
  private claim(block: BlockNo): number {
    const slot = this.evict();
    this.blocks[slot] = block;
    this.verified[slot] = 0;
    let index = this.hash(block);
    while (this.table[index] !== EMPTY) index = (index + 1) & this.tableMask;
    this.table[index] = slot;
    return slot;
  }

  /** Second-chance clock over all slots; two rounds find a victim unless everything is pinned or in use. */
  private evict(): number {
    for (let tries = this.slots * 2 + 1; tries > 0; tries -= 1) {
      const slot = this.clockHand;
      this.clockHand = slot + 1 === this.slots ? 0 : slot + 1;
      if (this.blocks[slot] === EMPTY) return slot;
      if (this.pins[slot] !== 0 || this.epochs[slot] === this.epoch) continue;
      if (this.referenced[slot] !== 0) {
        this.referenced[slot] = 0;
        continue;
      }
      this.dropSlot(slot);
      return slot;
    }
    return fail('EIO', `the metadata cache of ${String(this.slots)} blocks is too small for one operation; more of its nodes are nearly empty than there may be`);
  }

  /** Takes a slot out of the table (backward-shift deletion keeps probe chains whole). */
  private dropSlot(slot: number): void {
    const { table, tableMask } = this;
    let hole = this.hash(this.blocks[slot] as number);
    while (table[hole] !== slot) hole = (hole + 1) & tableMask;
    let index = hole;
    for (;;) {
      index = (index + 1) & tableMask;
      const other = table[index] as number;
      if (other === EMPTY) break;
      const home = this.hash(this.blocks[other] as number);
      if (((index - home) & tableMask) >= ((index - hole) & tableMask)) {
        table[hole] = other;
        hole = index;
      }
    }
    table[hole] = EMPTY;
    this.blocks[slot] = EMPTY;
    this.verified[slot] = 0;
    this.pins[slot] = 0;
    this.referenced[slot] = 0;
  }
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** The four letters of a magic number, as in doc/FORMAT.md. */
function magicName(magic: number): string {
  return String.fromCharCode(magic & 255, (magic >> 8) & 255, (magic >> 16) & 255, (magic >> 24) & 255);
}
