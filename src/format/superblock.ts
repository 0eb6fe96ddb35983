import { FsError, fail } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import type { Pmem } from '../pmem/pmem.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  CHUNK_BLOCKS,
  FORMAT_VERSION,
  GROUP_BLOCKS,
  IncompatFeature,
  JOURNAL_SEGMENT_BLOCKS,
  LABEL_SIZE,
  Magic,
  MAX_VOLUME_BLOCKS,
  MIN_GROUP_BLOCKS,
  MIN_VOLUME_BLOCKS,
  PRIMARY_SUPERBLOCK,
  ReadOnlyFeature,
  REGIONS_SIZE,
  STATE_BLOCK,
  Superblock,
  SUPERBLOCK_SIGNATURE,
  UUID_SIZE,
} from './layout.js';
import { getU64, setU64 } from './numbers.js';

/** What the superblock says, decoded and checked; fixed while the volume is mounted. */
export interface Geometry {
  readonly uuid: Uint8Array;
  readonly label: string;
  readonly compat: number;
  readonly readOnlyCompat: number;
  readonly incompat: number;
  readonly totalBlocks: number;
  readonly journalStart: number;
  readonly journalSegments: number;
  readonly journalSegmentBlocks: number;
  readonly groupStart: number;
  readonly journalId: number;
  readonly madeSeconds: number;
  readonly madeNanoseconds: number;
  readonly hashSeed: number;
  /** Path of the region directory, '' if none is recorded; perhaps none that can be used (isRegionDirectory). */
  readonly regions: string;
  /** Derived: seed of all checksums. */
  readonly seed: number;
  /** Derived: number of allocation groups. */
  readonly groups: number;
}

/** Feature bits this program knows. Others of these classes are refused (incompat) or allow only reading (readOnlyCompat). */
export const KNOWN_INCOMPAT = IncompatFeature.regions;
export const KNOWN_READ_ONLY_COMPAT = ReadOnlyFeature.xattrs | ReadOnlyFeature.regionDirectory;

/** Result of reading the superblocks of a medium. */
export interface SuperblockReading {
  geometry: Geometry;
  /** Why the primary was not used, undefined when it was. */
  primaryProblem: string | undefined;
}

/** Number of groups of a volume: the last may be short. */
export function groupCount(totalBlocks: number, groupStart: number): number {
  return Math.ceil((totalBlocks - groupStart) / GROUP_BLOCKS);
}

/** Blocks of group `group` (a short last group has fewer than GROUP_BLOCKS). */
export function groupLength(geometry: Geometry, group: number): number {
  const start = geometry.groupStart + group * GROUP_BLOCKS;
  return Math.min(GROUP_BLOCKS, geometry.totalBlocks - start);
}

/** Whether blocks [block, block + length) may hold data of one extent: inside one group, neither its header nor the backup superblock. */
export function isDataRange(geometry: Geometry, block: number, length: number): boolean {
  const inGroups = block - geometry.groupStart;
  if (!(inGroups > 0 && length > 0 && block + length < geometry.totalBlocks)) return false;
  const inGroup = inGroups % GROUP_BLOCKS;
  return inGroup > 0 && inGroup + length <= GROUP_BLOCKS;
}

/** Whether a path can be recorded in a superblock as its region directory: absolute, without `.` and `..`, of one line and not too long. */
export function isRegionDirectory(path: string): boolean {
  if (Buffer.byteLength(path, 'utf8') > REGIONS_SIZE || !/^(\/[^/]+)+$/.test(path) || /[\u0000-\u001f\u007f-\u009f\ufffd]/.test(path)) return false;
  return !path.split('/').some((component) => component === '.' || component === '..');
}

/** Encodes a superblock for block `self` (primary or backup) into 4096 bytes. */
export function encodeSuperblock(geometry: Geometry, self: number, pmem: Pmem): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(BlockHeader.magic, Magic.superblock, true);
  setU64(view, BlockHeader.self, self);
  bytes.set(Buffer.from(SUPERBLOCK_SIGNATURE, 'latin1'), Superblock.signature);
  view.setUint32(Superblock.version, FORMAT_VERSION, true);
  view.setUint32(Superblock.compat, geometry.compat, true);
  view.setUint32(Superblock.readOnlyCompat, geometry.readOnlyCompat, true);
  view.setUint32(Superblock.incompat, geometry.incompat, true);
  bytes.set(geometry.uuid, Superblock.uuid);
  bytes.set(Buffer.from(geometry.label, 'utf8'), Superblock.label);
  setU64(view, Superblock.totalBlocks, geometry.totalBlocks);
  setU64(view, Superblock.journalStart, geometry.journalStart);
  view.setUint32(Superblock.journalSegments, geometry.journalSegments, true);
  view.setUint32(Superblock.journalSegmentBlocks, geometry.journalSegmentBlocks, true);
  setU64(view, Superblock.groupStart, geometry.groupStart);
  view.setUint32(Superblock.groupBlocks, GROUP_BLOCKS, true);
  view.setUint32(Superblock.blockSize, BLOCK_SIZE, true);
  setU64(view, Superblock.journalId, geometry.journalId);
  setU64(view, Superblock.madeSeconds, geometry.madeSeconds);
  view.setUint32(Superblock.madeNanoseconds, geometry.madeNanoseconds, true);
  view.setUint32(Superblock.hashSeed, geometry.hashSeed, true);
  bytes.set(Buffer.from(geometry.regions, 'utf8'), Superblock.regions);
  view.setUint32(BlockHeader.checksum, pmem.crc32c(0, bytes, 4, BLOCK_SIZE - 4), true);
  return bytes;
}

/**
 * Decodes and checks a superblock. Throws FsError EUCLEAN (damaged, not a superblock) or
 * EOPNOTSUPP (a version or feature this program does not know, named).
 */
export function decodeSuperblock(bytes: Uint8Array, self: number, pmem: Pmem): Geometry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_SIZE);
  const where = `superblock at block ${String(self)}`;
  const signature = Buffer.from(bytes.subarray(Superblock.signature, Superblock.signature + 8)).toString('latin1');
  if (signature !== SUPERBLOCK_SIGNATURE || view.getUint32(BlockHeader.magic, true) !== Magic.superblock) {
    fail('EUCLEAN', `${where}: no NVMFS signature`);
  }
  const stored = view.getUint32(BlockHeader.checksum, true);
  const computed = pmem.crc32c(0, bytes, 4, BLOCK_SIZE - 4);
  if (stored !== computed) {
    fail('EUCLEAN', `${where}: expected checksum 0x${computed.toString(16)}, found 0x${stored.toString(16)}`);
  }
  const foundSelf = getU64(view, BlockHeader.self);
  if (foundSelf !== self) fail('EUCLEAN', `${where}: says it is block ${String(foundSelf)}`);
  checkVersion(view, where);
  return checkGeometry(view, bytes, where, pmem);
}

function checkVersion(view: DataView, where: string): void {
  const version = view.getUint32(Superblock.version, true);
  if (version !== FORMAT_VERSION) {
    fail('EOPNOTSUPP', `${where}: format version ${String(version)}, this program knows version ${String(FORMAT_VERSION)}`);
  }
  const unknown = (view.getUint32(Superblock.incompat, true) & ~KNOWN_INCOMPAT) >>> 0;
  if (unknown !== 0) {
    fail('EOPNOTSUPP', `${where}: the volume uses ${featureNames('incompat', unknown)}, which this program does not know; use a newer NVMFS`);
  }
}

/** `incompat feature bit 3, bit 7`: the bits themselves are all that is known of a feature from the future. */
export function featureNames(kind: string, bits: number): string {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit += 1) if (((bits >>> bit) & 1) !== 0) names.push(`bit ${String(bit)}`);
  return `${kind} feature ${names.join(', ')}`;
}

function checkGeometry(view: DataView, bytes: Uint8Array, where: string, pmem: Pmem): Geometry {
  const uuid = bytes.slice(Superblock.uuid, Superblock.uuid + UUID_SIZE);
  const totalBlocks = getU64(view, Superblock.totalBlocks);
  const groupStart = getU64(view, Superblock.groupStart);
  const geometry: Geometry = {
    uuid,
    label: textOf(bytes, Superblock.label, LABEL_SIZE),
    compat: view.getUint32(Superblock.compat, true),
    readOnlyCompat: view.getUint32(Superblock.readOnlyCompat, true),
    incompat: view.getUint32(Superblock.incompat, true),
    totalBlocks,
    journalStart: getU64(view, Superblock.journalStart),
    journalSegments: view.getUint32(Superblock.journalSegments, true),
    journalSegmentBlocks: view.getUint32(Superblock.journalSegmentBlocks, true),
    groupStart,
    journalId: getU64(view, Superblock.journalId),
    madeSeconds: getU64(view, Superblock.madeSeconds),
    madeNanoseconds: view.getUint32(Superblock.madeNanoseconds, true),
    hashSeed: view.getUint32(Superblock.hashSeed, true),
    regions: (view.getUint32(Superblock.readOnlyCompat, true) & ReadOnlyFeature.regionDirectory) === 0 ? '' : textOf(bytes, Superblock.regions, REGIONS_SIZE),
    seed: pmem.crc32c(0, uuid, 0, UUID_SIZE),
    groups: groupCount(totalBlocks, groupStart),
  };
  const check = (field: string, found: number, right: boolean, expected: string): void => {
    if (!right) fail('EUCLEAN', `${where}: ${field} is ${String(found)}, expected ${expected}`);
  };
  const g = geometry;
  const blockSize = view.getUint32(Superblock.blockSize, true);
  const groupBlocks = view.getUint32(Superblock.groupBlocks, true);
  check('block size', blockSize, blockSize === BLOCK_SIZE, String(BLOCK_SIZE));
  check('group size', groupBlocks, groupBlocks === GROUP_BLOCKS, String(GROUP_BLOCKS));
  check('total blocks', totalBlocks, totalBlocks >= MIN_VOLUME_BLOCKS && totalBlocks <= MAX_VOLUME_BLOCKS, '1024 … 2^41');
  check('journal segments', g.journalSegments, g.journalSegments >= 2 && g.journalSegments <= 64, '2 … 64');
  check('journal segment blocks', g.journalSegmentBlocks, g.journalSegmentBlocks === JOURNAL_SEGMENT_BLOCKS, '128');
  const journalEnd = g.journalStart + g.journalSegments * g.journalSegmentBlocks;
  check('journal start', g.journalStart, g.journalStart > STATE_BLOCK && journalEnd === groupStart, 'a journal that ends at the first group');
  const lastGroup = totalBlocks - groupStart - (g.groups - 1) * GROUP_BLOCKS;
  const aligned = groupStart % CHUNK_BLOCKS === 0 && groupStart < totalBlocks;
  check('first group', groupStart, aligned && lastGroup >= MIN_GROUP_BLOCKS, 'a multiple of 512 that leaves a last group of at least 64 blocks');
  check('journal id', g.journalId, g.journalId <= Number.MAX_SAFE_INTEGER, 'a number below 2^53');
  return geometry;
}

function textOf(bytes: Uint8Array, offset: number, size: number): string {
  return Buffer.from(bytes.subarray(offset, offset + size))
    .toString('utf8')
    .replace(/\0+$/, '');
}

/** Blocks where a backup superblock may be on a medium of this size: see "Overall layout" in doc/FORMAT.md. */
export function backupCandidates(mediumBytes: number): number[] {
  const blocks = Math.floor(mediumBytes / BLOCK_SIZE);
  const candidates = [blocks - 1];
  for (const groupStart of [512, 1536]) {
    const tail = (blocks - groupStart) % GROUP_BLOCKS;
    if (blocks > groupStart && tail > 0 && tail < MIN_GROUP_BLOCKS) candidates.push(blocks - tail - 1);
  }
  return candidates.filter((block) => block > STATE_BLOCK);
}

/**
 * Reads the superblock, or its backup when the primary is damaged.
 * Throws FsError EUCLEAN when there is neither, EOPNOTSUPP for a newer format, EINVAL when the medium is too short.
 */
export function readSuperblock(pmem: Pmem): SuperblockReading {
  const problems: string[] = [];
  for (const block of [PRIMARY_SUPERBLOCK, ...backupCandidates(pmem.size)]) {
    try {
      const bytes = new Uint8Array(BLOCK_SIZE);
      if ((block + 1) * BLOCK_SIZE > pmem.size) continue;
      pmem.load(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
      const geometry = decodeSuperblock(bytes, block, pmem);
      if (geometry.totalBlocks * BLOCK_SIZE > pmem.size) {
        fail('EINVAL', `the volume has ${String(geometry.totalBlocks * BLOCK_SIZE)} bytes, the medium only ${String(pmem.size)}`);
      }
      return { geometry, primaryProblem: problems[0] };
    } catch (error) {
      if (!(error instanceof FsError) || (error.code !== 'EUCLEAN' && error.code !== 'EIO')) throw error;
      problems.push(error.message);
    }
  }
  return fail('EUCLEAN', `not an NVMFS volume, or both superblocks are damaged: ${problems.join('; ')}`);
}
