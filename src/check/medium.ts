import { Errno, FsError } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import { BLOCK_SIZE, BlockHeader } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Pmem } from '../pmem/pmem.js';
import type { FindingKind, FindingList, FindingPlace } from './findings.js';
import { blockName, hex } from './findings.js';

/** A 4 KiB block in DRAM with the view through which its fields are read. */
export class BlockBuffer {
  readonly bytes = new Uint8Array(BLOCK_SIZE);
  readonly view = new DataView(this.bytes.buffer);
}

/** What a block header must say. */
export interface HeaderExpectation {
  /** What the block is, for messages: "tree node of directory 7". */
  name: string;
  magic: number;
  block: number;
  owner: number;
  /** Start value of the checksum. */
  seed: number;
  damaged: FindingKind;
  place: FindingPlace;
}

/** Reads the medium for the verifier; what can't be read becomes a finding, not an exception. */
export class MediumReader {
  constructor(
    readonly pmem: Pmem,
    private readonly findings: FindingList,
  ) {}

  /** Loads a block inside the medium; false (and a finding) where the medium can't deliver it. */
  load(block: number, target: BlockBuffer): boolean {
    try {
      this.pmem.load(asByteAddr(block * BLOCK_SIZE), target.bytes, 0, BLOCK_SIZE);
      return true;
    } catch (error) {
      if (!(error instanceof FsError) || error.errno !== Errno.EIO) throw error;
      this.findings.add('block-unreadable', { block }, blockName(block), 'a readable block', error.message);
      return false;
    }
  }

  /** Loads a block with a block header and checks the header. False (and a finding) when it can't be trusted. */
  loadHeaded(target: BlockBuffer, expectation: HeaderExpectation): boolean {
    if (!this.load(expectation.block, target)) return false;
    const { view } = target;
    const { name, block, damaged, place } = expectation;
    const what = `${name} at ${blockName(block)}`;
    const magic = view.getUint32(BlockHeader.magic, true);
    if (magic !== expectation.magic) {
      this.findings.add(damaged, place, `${what}: magic`, hex(expectation.magic), hex(magic));
      return false;
    }
    const sum = this.pmem.crc32c(expectation.seed, target.bytes, 4, BLOCK_SIZE - 4);
    const stored = view.getUint32(BlockHeader.checksum, true);
    if (stored !== sum) {
      this.findings.add(damaged, place, `${what}: checksum`, hex(sum), hex(stored));
      return false;
    }
    const self = getU64(view, BlockHeader.self);
    if (self !== block) {
      this.findings.add(damaged, place, `${what}: self`, block, self);
      return false;
    }
    const owner = getU64(view, BlockHeader.owner);
    if (owner !== expectation.owner) {
      this.findings.add(damaged, place, `${what}: owner`, expectation.owner, owner);
      return false;
    }
    return true;
  }

  /** Reports bytes [from, to) of a structure that are reserved and not zero. */
  checkReserved(buffer: BlockBuffer, from: number, to: number, name: string, place: FindingPlace): void {
    const { bytes } = buffer;
    for (let i = from; i < to; i++) {
      const value = bytes[i] ?? 0;
      if (value === 0) continue;
      this.findings.add('reserved-bytes', place, `${name}: reserved byte ${String(i)}`, 0, value);
      return;
    }
  }
}
