/** Which files a damage may concern: found by comparing the damaged volume with the healthy one, so it holds for every kind of damage. */
import { FsError } from '../../src/base/errno.js';
import { asByteAddr } from '../../src/base/units.js';
import { BLOCK_SIZE, GROUP_BLOCKS, Inode, INODE_SIZE, ROOT_INO, STATE_BLOCK, TREE_ROOT_SIZE, VolumeState } from '../../src/format/layout.js';
import { getU64 } from '../../src/format/numbers.js';
import { decodeSuperblock, readSuperblock } from '../../src/format/superblock.js';
import { type FoundRecord, readRecord } from '../../src/journal/records.js';
import { applyRecord, recoverJournal } from '../../src/journal/recovery.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import type { BaseImage } from './base-images.js';
import { attempt } from './exercise.js';

export interface Affected {
  /** Something that every file depends on. */
  all: boolean;
  /** The volume state can't be trusted: a mount refuses the volume. */
  state: boolean;
  /** The journal can't be replayed: a mount refuses the volume. */
  journal: boolean;
  inodes: Set<number>;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function load(pmem: Pmem, block: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE);
  if ((block + 1) * BLOCK_SIZE <= pmem.size) pmem.load(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
  return bytes;
}

/** `damaged` may be changed: its journal is replayed. `healthy`: the base image with its journal replayed. */
export function affectedBy(damaged: Pmem, healthy: SimulatedPmem, image: BaseImage): Affected {
  const affected: Affected = { all: false, state: false, journal: false, inodes: new Set() };
  try {
    recoverJournal(damaged, readSuperblock(damaged).geometry);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    affected.journal = true;
    compare(withLies(damaged, healthy, image), healthy, image, affected);
  }
  compare(damaged, healthy, image, affected);
  return affected;
}

/** The volume after a repair that applies the last two records although one of them has another number: what they hold is put in place, whatever that is. */
function withLies(damaged: Pmem, healthy: SimulatedPmem, { anatomy }: BaseImage): Pmem {
  const { geometry } = anatomy;
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  const result = healthy.fork();
  const read = (pmem: Pmem, address: number): FoundRecord | undefined => {
    const place = address - geometry.journalStart * BLOCK_SIZE;
    const record = attempt(() => readRecord(pmem, geometry, Math.floor(place / segmentBytes), place % segmentBytes));
    return record instanceof FsError ? undefined : record;
  };
  const places = anatomy.structures.filter(({ kind, address }) => kind === 'record' && address + segmentBytes <= damaged.size); // a medium may be cut off
  const order = places.map(({ address }) => ({ address, sequence: read(healthy, address)?.sequence ?? 0 })).sort((a, b) => a.sequence - b.sequence);
  for (const { address } of order.slice(-2)) {
    const found = read(damaged, address);
    if (found !== undefined) applyRecord(result, found);
  }
  return result;
}

/** Adds what of `damaged` is not as it was. */
function compare(damaged: Pmem, healthy: Pmem, { anatomy }: BaseImage, affected: Affected): void {
  const differing = (block: number): boolean => Buffer.compare(load(damaged, block), load(healthy, block)) !== 0;
  const backup = anatomy.geometry.totalBlocks - 1;
  const lost = [0, backup].filter(differing);
  if (lost.length === 2 || lost.some((block) => isAccepted(damaged, block))) affected.all = true;
  if (differing(STATE_BLOCK)) compareState(load(damaged, STATE_BLOCK), load(healthy, STATE_BLOCK), affected);
  // What a mount has to finish (a fallocate, the cutting of a file) needs the headers of groups.
  const { groupStart, groups } = anatomy.geometry;
  for (let group = 0; group < groups; group += 1) {
    if (differing(groupStart + group * GROUP_BLOCKS)) affected.inodes.add(getU64(viewOf(load(healthy, STATE_BLOCK)), VolumeState.rangeIno));
  }
  for (const [block, owner] of anatomy.owners) {
    if (!differing(block)) continue;
    if (owner.what === 'table-node') affected.all = true;
    else if (owner.what === 'table') compareRecords(load(damaged, block), load(healthy, block), affected);
    else if (owner.ino > 0) affected.inodes.add(owner.ino);
  }
}

/** A superblock that is accepted and says something else. */
function isAccepted(pmem: Pmem, block: number): boolean {
  try {
    decodeSuperblock(load(pmem, block), block, pmem);
    return true;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.code !== 'EUCLEAN';
  }
}

function compareState(damaged: Uint8Array, healthy: Uint8Array, affected: Affected): void {
  const differ = (from: number, to: number): boolean => Buffer.compare(damaged.subarray(from, to), healthy.subarray(from, to)) !== 0;
  affected.state = true;
  // A fallocate under way is known to the state alone.
  affected.inodes.add(getU64(viewOf(healthy), VolumeState.rangeIno));
  if (differ(VolumeState.tableRoot, VolumeState.tableRoot + TREE_ROOT_SIZE)) affected.all = true;
  // A fallocate that is resumed changes the file it names, and whoever is taken for an orphan may be freed.
  if (differ(VolumeState.rangeIno, VolumeState.tableRoot)) for (const view of [viewOf(damaged), viewOf(healthy)]) affected.inodes.add(getU64(view, VolumeState.rangeIno));
}

function compareRecords(damaged: Uint8Array, healthy: Uint8Array, affected: Affected): void {
  for (let at = 0; at < BLOCK_SIZE; at += INODE_SIZE) {
    if (Buffer.compare(damaged.subarray(at, at + INODE_SIZE), healthy.subarray(at, at + INODE_SIZE)) === 0) continue;
    affected.inodes.add(getU64(viewOf(healthy), at + Inode.ino));
  }
}

/** True when nothing that a mount needs is concerned. */
export function isMountable(affected: Affected): boolean {
  return !affected.all && !affected.state && !affected.journal && !affected.inodes.has(ROOT_INO);
}
