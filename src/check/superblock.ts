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
  Superblock,
  SUPERBLOCK_END,
  SUPERBLOCK_SIGNATURE,
  UUID_SIZE,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { FindingList } from './findings.js';
import { blockName, hex } from './findings.js';
import { Geometry } from './geometry.js';
import { BlockBuffer, type MediumReader } from './medium.js';

/** First block of group 0 behind the journals that mkfs makes: of 2 segments, of 8. */
const GROUP_STARTS = [512, 1536];

/** What reports say about a volume. */
export interface VolumeIdentity {
  /** 36 characters, lower case. */
  uuid: string;
  /** Without its padding. */
  label: string;
  version: number;
  totalBlocks: number;
  blockSize: number;
  journalSegments: number;
  /** When mkfs ran, seconds since 1970. */
  madeSeconds: number;
  /** True when the primary superblock is damaged and the backup was used. */
  fromBackup: boolean;
}

export interface VerifiedSuperblock {
  geometry: Geometry;
  identity: VolumeIdentity;
  /** No compat feature that could give reserved bytes a meaning: they must be zero. */
  checkReserved: boolean;
  /** Inodes may have extended attributes. */
  xattrs: boolean;
}

/**
 * Finds a superblock that can be believed, the primary or else the backup, and compares the two.
 * Returns null (with findings) when there is none.
 */
export function checkSuperblocks(medium: MediumReader, findings: FindingList): VerifiedSuperblock | null {
  const mediumBlocks = Math.floor(medium.pmem.size / BLOCK_SIZE);
  if (mediumBlocks < MIN_VOLUME_BLOCKS) {
    findings.add('superblock-damaged', {}, 'blocks of the medium', `at least ${String(MIN_VOLUME_BLOCKS)}`, mediumBlocks);
    return null;
  }
  const primary = new BlockBuffer();
  const backup = new BlockBuffer();
  if (checkOne(medium, findings, primary, PRIMARY_SUPERBLOCK)) {
    const result = describe(medium, primary, false);
    const block = result.geometry.backupBlock;
    if (checkOne(medium, findings, backup, block)) compare(findings, primary, backup, block);
    return result;
  }
  for (const block of backupPlaces(mediumBlocks)) {
    if (getMagic(medium, backup, block) !== Magic.superblock) continue;
    if (checkOne(medium, findings, backup, block)) return describe(medium, backup, true);
  }
  findings.add('superblock-backup', {}, 'backup superblock', 'a valid one at the end of the medium', 'none');
  return null;
}

/** Blocks in which the backup may be when the primary does not tell: at the end, or before a tail too short for a group. */
function backupPlaces(mediumBlocks: number): number[] {
  const places = [mediumBlocks - 1];
  for (const groupStart of GROUP_STARTS) {
    const tail = (mediumBlocks - groupStart) % GROUP_BLOCKS;
    if (mediumBlocks > groupStart && tail > 0 && tail < MIN_GROUP_BLOCKS) places.push(mediumBlocks - tail - 1);
  }
  return places;
}

function getMagic(medium: MediumReader, buffer: BlockBuffer, block: number): number {
  return medium.load(block, buffer) ? buffer.view.getUint32(BlockHeader.magic, true) : 0;
}

function nameOf(block: number): string {
  return block === PRIMARY_SUPERBLOCK ? 'superblock' : 'backup superblock';
}

/** Loads and checks one superblock; true when its geometry can be used. */
function checkOne(medium: MediumReader, findings: FindingList, buffer: BlockBuffer, block: number): boolean {
  const name = nameOf(block);
  const damaged = block === PRIMARY_SUPERBLOCK ? 'superblock-damaged' : 'superblock-backup';
  const trusted = medium.loadHeaded(buffer, {
    name,
    magic: Magic.superblock,
    block,
    owner: 0,
    seed: 0,
    damaged,
    place: { block },
  });
  if (!trusted) return false;
  const signature = Buffer.from(buffer.bytes.subarray(Superblock.signature, Superblock.signature + 8));
  if (signature.toString('latin1') !== SUPERBLOCK_SIGNATURE) {
    const found = JSON.stringify(signature.toString('latin1'));
    findings.add(damaged, { block }, `${name}: signature`, JSON.stringify(SUPERBLOCK_SIGNATURE), found);
    return false;
  }
  const usable = checkFields(medium, findings, buffer, block);
  checkLabel(findings, buffer, block);
  if (buffer.view.getUint32(Superblock.compat, true) === 0) {
    medium.checkReserved(buffer, SUPERBLOCK_END, BLOCK_SIZE, name, { block });
  }
  return usable;
}

/** Checks every field for its range and the geometry for consistency; true when nothing is wrong that others build on. */
function checkFields(medium: MediumReader, findings: FindingList, buffer: BlockBuffer, block: number): boolean {
  const { view } = buffer;
  let usable = true;
  const require = (condition: boolean, field: string, expected: string | number, found: string | number): void => {
    if (condition) return;
    findings.add('superblock-field', { block }, `${nameOf(block)} at ${blockName(block)}: ${field}`, expected, found);
    usable = false;
  };
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const mediumBlocks = Math.floor(medium.pmem.size / BLOCK_SIZE);
  require(u32(Superblock.version) === FORMAT_VERSION, 'version', FORMAT_VERSION, u32(Superblock.version));
  require((u32(Superblock.incompat) & ~IncompatFeature.regions) === 0, 'incompat features', 'known ones only', hex(u32(Superblock.incompat)));
  const unknown = (u32(Superblock.readOnlyCompat) & ~ReadOnlyFeature.xattrs) >>> 0;
  require(unknown === 0, 'readOnlyCompat features', 'known ones only', hex(u32(Superblock.readOnlyCompat)));
  require(u32(Superblock.blockSize) === BLOCK_SIZE, 'blockSize', BLOCK_SIZE, u32(Superblock.blockSize));
  require(u32(Superblock.groupBlocks) === GROUP_BLOCKS, 'groupBlocks', GROUP_BLOCKS, u32(Superblock.groupBlocks));

  const total = getU64(view, Superblock.totalBlocks);
  const most = Math.min(mediumBlocks, MAX_VOLUME_BLOCKS);
  require(total >= MIN_VOLUME_BLOCKS && total <= most, 'totalBlocks', `${String(MIN_VOLUME_BLOCKS)} … ${String(most)}`, total);
  if (block !== PRIMARY_SUPERBLOCK) require(total === block + 1, 'totalBlocks of the backup', block + 1, total);

  const segments = u32(Superblock.journalSegments);
  const segmentBlocks = u32(Superblock.journalSegmentBlocks);
  require(segments >= 2 && segments <= 64, 'journalSegments', '2 … 64', segments);
  require(segmentBlocks === JOURNAL_SEGMENT_BLOCKS, 'journalSegmentBlocks', JOURNAL_SEGMENT_BLOCKS, segmentBlocks);
  const journalStart = getU64(view, Superblock.journalStart);
  const groupStart = getU64(view, Superblock.groupStart);
  require(journalStart >= 2, 'journalStart', '2 or more', journalStart);
  const journalEnd = journalStart + segments * segmentBlocks;
  require(groupStart === journalEnd, 'groupStart', `the end of the journal, ${String(journalEnd)}`, groupStart);
  require(groupStart % CHUNK_BLOCKS === 0, 'groupStart', `a multiple of ${String(CHUNK_BLOCKS)}`, groupStart);
  const inGroups = total - groupStart;
  require(inGroups >= MIN_GROUP_BLOCKS, 'blocks after groupStart', `at least ${String(MIN_GROUP_BLOCKS)}`, inGroups);
  const last = inGroups % GROUP_BLOCKS;
  require(last === 0 || last >= MIN_GROUP_BLOCKS, 'blocks of the last group', `at least ${String(MIN_GROUP_BLOCKS)}`, last);
  const journalId = getU64(view, Superblock.journalId);
  require(Number.isSafeInteger(journalId), 'journalId', 'less than 2^53', journalId);
  const seconds = getU64(view, Superblock.madeSeconds);
  require(Number.isSafeInteger(seconds), 'madeSeconds', 'less than 2^53', seconds);
  const nanoseconds = u32(Superblock.madeNanoseconds);
  require(nanoseconds < 1e9, 'madeNanoseconds', 'less than 10^9', nanoseconds);
  return usable;
}

/** The label is UTF-8, then zero bytes to the end. A wrong one harms nobody else. */
function checkLabel(findings: FindingList, buffer: BlockBuffer, block: number): void {
  const field = Buffer.from(buffer.bytes.subarray(Superblock.label, Superblock.label + LABEL_SIZE));
  const end = field.indexOf(0);
  const text = end < 0 ? field : field.subarray(0, end);
  const valid = Buffer.from(text.toString('utf8'), 'utf8').equals(text);
  const padded = end < 0 || field.subarray(end).every((byte) => byte === 0);
  if (valid && padded) return;
  const found = JSON.stringify(field.toString('latin1'));
  findings.add('superblock-field', { block }, `${nameOf(block)}: label`, 'UTF-8 padded with zero bytes', found);
}

/** Reports the first difference between the superblocks other than checksum and self. */
function compare(findings: FindingList, primary: BlockBuffer, backup: BlockBuffer, block: number): void {
  for (let i = BlockHeader.owner; i < BLOCK_SIZE; i++) {
    const expected = primary.bytes[i] ?? 0;
    const found = backup.bytes[i] ?? 0;
    if (expected === found) continue;
    findings.add('superblock-backup', { block }, `backup superblock at ${blockName(block)}: byte ${String(i)}`, expected, found);
    return;
  }
}

function describe(medium: MediumReader, { bytes, view }: BlockBuffer, fromBackup: boolean): VerifiedSuperblock {
  const seed = medium.pmem.crc32c(0, bytes, Superblock.uuid, UUID_SIZE);
  const totalBlocks = getU64(view, Superblock.totalBlocks);
  const journalStart = getU64(view, Superblock.journalStart);
  const groupStart = getU64(view, Superblock.groupStart);
  const hashSeed = view.getUint32(Superblock.hashSeed, true);
  const label = Buffer.from(bytes.subarray(Superblock.label, Superblock.label + LABEL_SIZE)).toString('utf8');
  const digits = Buffer.from(bytes.subarray(Superblock.uuid, Superblock.uuid + UUID_SIZE)).toString('hex');
  return {
    geometry: new Geometry(totalBlocks, journalStart, groupStart, seed, hashSeed),
    checkReserved: view.getUint32(Superblock.compat, true) === 0,
    xattrs: (view.getUint32(Superblock.readOnlyCompat, true) & ReadOnlyFeature.xattrs) !== 0,
    identity: {
      uuid: digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
      label: label.replace(/\0.*$/s, ''),
      version: view.getUint32(Superblock.version, true),
      totalBlocks,
      blockSize: view.getUint32(Superblock.blockSize, true),
      journalSegments: view.getUint32(Superblock.journalSegments, true),
      madeSeconds: getU64(view, Superblock.madeSeconds),
      fromBackup,
    },
  };
}
