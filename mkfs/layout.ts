import { randomBytes } from '../src/base/entropy.js';
import { fail } from '../src/base/errno.js';
import { asByteAddr } from '../src/base/units.js';
import { initGroupHeader, setBits } from '../src/format/group.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  CHUNK_BLOCKS,
  Extent,
  FREE_INODES_PAYLOAD_SIZE,
  FileType,
  FreeInodes,
  GROUP_BLOCKS,
  GroupHeader,
  IncompatFeature,
  Inode,
  INODE_SIZE,
  INODES_PER_BLOCK,
  ItemArea,
  JOURNAL_SEGMENT_BLOCKS,
  KEY_SIZE,
  LABEL_SIZE,
  Magic,
  MAX_VOLUME_BLOCKS,
  MIN_GROUP_BLOCKS,
  MIN_VOLUME_BLOCKS,
  PRIMARY_SUPERBLOCK,
  ReadOnlyFeature,
  ROOT_INO,
  SLOT_SIZE,
  STATE_BLOCK,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  UUID_SIZE,
  EXTENT_PAYLOAD_SIZE,
  VolumeState,
} from '../src/format/layout.js';
import { setI64, setU64 } from '../src/format/numbers.js';
import { encodeSuperblock, type Geometry, groupCount, isRegionDirectory } from '../src/format/superblock.js';
import type { Pmem } from '../src/pmem/pmem.js';

/** What mkfs is told. Times and random numbers can be given, so that a test gets the same volume each time. */
export interface MakeOptions {
  /** At most 64 bytes of UTF-8. */
  label: string;
  /** 16 bytes. */
  uuid: Uint8Array;
  /** Identity of the journal's records, below 2^53. Default: random. */
  journalId?: number;
  /** 32 bits. Default: random. */
  hashSeed?: number;
  /** Time of making. Default: now. */
  madeSeconds?: number;
  madeNanoseconds?: number;
  /** Owner of the root directory. Default: 0. */
  uid?: number;
  gid?: number;
  /** Bits of `readOnlyCompat`. Default: all features of this version. Others are for tests. */
  readOnlyFeatures?: number;
  /** Path of the region directory, recorded in the superblock. Default: '', none. */
  regions?: string;
  /** Bits of `incompat`. Default: all features of this version. Others are for tests. */
  incompatFeatures?: number;
}

function withDefaults(options: MakeOptions): Required<MakeOptions> {
  const now = Date.now();
  return {
    journalId: randomBytes(6).readUIntLE(0, 6),
    hashSeed: randomBytes(4).readUInt32LE(0),
    madeSeconds: Math.floor(now / 1000),
    madeNanoseconds: (now % 1000) * 1e6,
    uid: 0,
    gid: 0,
    readOnlyFeatures: ReadOnlyFeature.xattrs,
    incompatFeatures: IncompatFeature.regions,
    regions: '',
    ...options,
  };
}

/** How a volume of a size is laid out. */
export interface VolumePlan {
  totalBlocks: number;
  journalStart: number;
  journalSegments: number;
  groupStart: number;
  groups: number;
  /** Free blocks of the new volume. */
  freeBlocks: number;
}

/** First block that is neither superblock, state nor reserved, in volumes with a small and with a full journal. */
const SMALL_VOLUME_BLOCKS = 16384;
const FIRST_TABLE_BIT = 1;

/** Plans a volume for a medium of `bytes` bytes. EINVAL when it is too small or too large. */
export function planGeometry(bytes: number): VolumePlan {
  const blocks = Math.floor(bytes / BLOCK_SIZE);
  if (blocks < MIN_VOLUME_BLOCKS) {
    fail('EINVAL', `${String(bytes)} bytes are too small: a volume has at least ${String(MIN_VOLUME_BLOCKS * BLOCK_SIZE)} bytes (4 MiB)`);
  }
  if (blocks > MAX_VOLUME_BLOCKS) fail('EINVAL', `${String(bytes)} bytes are too large: a volume has at most 2^53 bytes (8 PiB)`);
  const journalSegments = blocks < SMALL_VOLUME_BLOCKS ? 2 : 8;
  const journalBlocks = journalSegments * JOURNAL_SEGMENT_BLOCKS;
  const groupStart = Math.ceil((2 + journalBlocks) / CHUNK_BLOCKS) * CHUNK_BLOCKS;
  const tail = (blocks - groupStart) % GROUP_BLOCKS;
  const totalBlocks = tail > 0 && tail < MIN_GROUP_BLOCKS ? blocks - tail : blocks;
  const groups = groupCount(totalBlocks, groupStart);
  // Not free: the headers of the groups, the backup superblock, the first block of the inode table.
  const freeBlocks = totalBlocks - groupStart - groups - 2;
  return { totalBlocks, journalStart: groupStart - journalBlocks, journalSegments, groupStart, groups, freeBlocks };
}

/**
 * Lays out an empty volume: a constant number of blocks, whatever its size. Whatever was on the medium before does no harm:
 * the journal's records are known by the journal id, groups by the count of initialised ones.
 * The primary superblock is written last, after a fence: a crash leaves no half-made volume that mounts.
 */
export function makeVolume(pmem: Pmem, given: MakeOptions): Geometry {
  const options = withDefaults(given);
  const plan = planGeometry(pmem.size);
  if (options.uuid.length !== UUID_SIZE) fail('EINVAL', 'a UUID has 16 bytes');
  if (Buffer.byteLength(options.label, 'utf8') > LABEL_SIZE) fail('EINVAL', 'a label has at most 64 bytes');
  if (options.regions !== '' && !isRegionDirectory(options.regions)) fail('EINVAL', 'the region directory can not be recorded: not an absolute path of at most 1024 bytes');
  const geometry: Geometry = {
    uuid: options.uuid,
    label: options.label,
    compat: 0,
    readOnlyCompat: options.readOnlyFeatures | (options.regions === '' ? 0 : ReadOnlyFeature.regionDirectory),
    incompat: options.incompatFeatures,
    totalBlocks: plan.totalBlocks,
    journalStart: plan.journalStart,
    journalSegments: plan.journalSegments,
    journalSegmentBlocks: JOURNAL_SEGMENT_BLOCKS,
    groupStart: plan.groupStart,
    journalId: options.journalId,
    madeSeconds: options.madeSeconds,
    madeNanoseconds: options.madeNanoseconds,
    hashSeed: options.hashSeed,
    regions: options.regions,
    seed: pmem.crc32c(0, options.uuid, 0, UUID_SIZE),
    groups: plan.groups,
  };
  pmem.zero(asByteAddr(PRIMARY_SUPERBLOCK), BLOCK_SIZE);
  pmem.fence();
  const tableBlock = geometry.groupStart + FIRST_TABLE_BIT;
  writeBlock(pmem, geometry.groupStart, firstGroup(pmem, geometry));
  writeBlock(pmem, tableBlock, firstInodes(pmem, geometry, options));
  writeBlock(pmem, STATE_BLOCK, volumeState(pmem, geometry, plan, tableBlock));
  const backup = geometry.totalBlocks - 1;
  writeBlock(pmem, backup, encodeSuperblock(geometry, backup, pmem));
  pmem.fence();
  writeBlock(pmem, PRIMARY_SUPERBLOCK, encodeSuperblock(geometry, PRIMARY_SUPERBLOCK, pmem));
  pmem.fence();
  return geometry;
}

function writeBlock(pmem: Pmem, block: number, bytes: Uint8Array): void {
  pmem.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
}

function newBlock(magic: number, self: number, owner: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(BlockHeader.magic, magic, true);
  setU64(view, BlockHeader.self, self);
  setU64(view, BlockHeader.owner, owner);
  return { bytes, view };
}

function sealBlock(pmem: Pmem, geometry: Geometry, bytes: Uint8Array, view: DataView): Uint8Array {
  view.setUint32(BlockHeader.checksum, pmem.crc32c(geometry.seed, bytes, 4, BLOCK_SIZE - 4), true);
  return bytes;
}

function firstGroup(pmem: Pmem, geometry: Geometry): Uint8Array {
  const { bytes, view } = newBlock(Magic.group, geometry.groupStart, 0);
  const free = initGroupHeader(view, 0, geometry, 0);
  setBits(view, GroupHeader.bitmap, FIRST_TABLE_BIT, 1, 1);
  view.setUint32(GroupHeader.freeCount, free - 1, true);
  return sealBlock(pmem, geometry, bytes, view);
}

/** Table block 0: inode 0 does not exist, inode 1 is the root directory, the others are free. */
function firstInodes(pmem: Pmem, geometry: Geometry, options: Required<MakeOptions>): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const view = new DataView(bytes.buffer);
  for (let ino = 0; ino < INODES_PER_BLOCK; ino += 1) {
    const record = ino * INODE_SIZE;
    view.setUint16(record + Inode.magic, Magic.inode, true);
    setU64(view, record + Inode.ino, ino);
    if (ino === ROOT_INO) fillRoot(view, record, options);
    view.setUint32(record + Inode.checksum, pmem.crc32c(geometry.seed, bytes, record + 4, INODE_SIZE - 4), true);
  }
  return bytes;
}

function fillRoot(view: DataView, record: number, options: Required<MakeOptions>): void {
  view.setUint16(record + Inode.mode, FileType.directory | 0o755, true);
  view.setUint32(record + Inode.uid, options.uid, true);
  view.setUint32(record + Inode.gid, options.gid, true);
  view.setUint32(record + Inode.nlink, 2, true);
  setU64(view, record + Inode.parent, ROOT_INO);
  for (const field of [Inode.atimeSeconds, Inode.mtimeSeconds, Inode.ctimeSeconds, Inode.btimeSeconds]) {
    setI64(view, record + field, options.madeSeconds);
  }
  for (const field of [Inode.atimeNanoseconds, Inode.mtimeNanoseconds, Inode.ctimeNanoseconds, Inode.btimeNanoseconds]) {
    view.setUint32(record + field, options.madeNanoseconds, true);
  }
  emptyRootArea(view, record + Inode.body);
}

function volumeState(pmem: Pmem, geometry: Geometry, plan: VolumePlan, tableBlock: number): Uint8Array {
  const { bytes, view } = newBlock(Magic.state, STATE_BLOCK, 0);
  setU64(view, VolumeState.freeBlocks, plan.freeBlocks);
  setU64(view, VolumeState.groupsInitialised, 1);
  setU64(view, VolumeState.tableBlocks, 1);
  setU64(view, VolumeState.usedInodes, 1);
  setU64(view, VolumeState.mappedTableBlocks, 1);
  const extent = singleItem(view, VolumeState.tableRoot, 0, EXTENT_PAYLOAD_SIZE);
  setU64(view, extent + Extent.block, tableBlock);
  view.setUint32(extent + Extent.length, 1, true);
  const free = singleItem(view, VolumeState.freeInodeRoot, 0, FREE_INODES_PAYLOAD_SIZE);
  view.setUint16(free + FreeInodes.mask, 0xfffc, true);
  view.setUint32(free + FreeInodes.length, 1, true);
  return sealBlock(pmem, geometry, bytes, view);
}

const AREA_SIZE = TREE_ROOT_SIZE - TREE_ROOT_AREA;

function emptyRootArea(view: DataView, root: number): void {
  view.setUint16(root + TREE_ROOT_AREA + ItemArea.heapStart, AREA_SIZE, true);
}

/** A tree root with one item; returns the offset of its payload. */
function singleItem(view: DataView, root: number, key: number, payloadLength: number): number {
  const area = root + TREE_ROOT_AREA;
  const offset = AREA_SIZE - KEY_SIZE - payloadLength;
  view.setUint16(area + ItemArea.count, 1, true);
  view.setUint16(area + ItemArea.heapStart, offset, true);
  view.setUint16(area + ItemArea.heapBytes, KEY_SIZE + payloadLength, true);
  view.setUint16(area + ItemArea.slots, offset, true);
  view.setUint16(area + ItemArea.slots + SLOT_SIZE / 2, payloadLength, true);
  setU64(view, area + offset, key);
  return area + offset + KEY_SIZE;
}
