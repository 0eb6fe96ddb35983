import {
  Extent,
  EXTENT_PAYLOAD_SIZE,
  FileType,
  GroupHeader,
  Inode,
  INODE_SIZE,
  KEY_SIZE,
  Magic,
  ROOT_INO,
  STATE_BLOCK,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  VolumeState,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Pmem } from '../pmem/pmem.js';
import { FindingList } from './findings.js';
import type { Geometry } from './geometry.js';
import { BlockBuffer, MediumReader } from './medium.js';
import { areaFault, itemCount, itemOffset } from './item-area.js';
import { checkSuperblocks, type VolumeIdentity } from './superblock.js';

/** What a quick check tells of a volume that seems sound. */
export interface QuickReport {
  identity: VolumeIdentity;
  /** Inodes in use. */
  inodes: number;
  usedBlocks: number;
}

/**
 * Looks at what everything else hangs on, in a time that does not depend on the size of the volume: both superblocks, the volume state, the
 * headers of the first and the last group in use, and, where it can be found at once, the record of the root directory. The
 * journal was replayed before. Null when anything is wrong or looks so: then `verifyVolume` is to say what.
 */
export function quickCheck(pmem: Pmem): QuickReport | null {
  const findings = new FindingList(0);
  const medium = new MediumReader(pmem, findings);
  const superblock = checkSuperblocks(medium, findings);
  if (superblock === null) return null;
  const { geometry, identity } = superblock;
  const state = new BlockBuffer();
  if (!isTrusted(medium, state, STATE_BLOCK, Magic.state, 0, geometry)) return null;
  const groups = getU64(state.view, VolumeState.groupsInitialised);
  const freeBlocks = getU64(state.view, VolumeState.freeBlocks);
  if (groups < 1 || groups > geometry.groupCount || freeBlocks > geometry.totalBlocks - geometry.groupStart) return null;
  const header = new BlockBuffer();
  for (const group of new Set([0, groups - 1])) {
    if (!isTrusted(medium, header, geometry.groupBase(group), Magic.group, group, geometry)) return null;
    if (header.view.getUint32(GroupHeader.freeCount, true) > geometry.groupCapacity(group)) return null;
  }
  if (!isRootSound(medium, state, geometry) || findings.total > 0) return null;
  return { identity, inodes: getU64(state.view, VolumeState.usedInodes), usedBlocks: geometry.totalBlocks - freeBlocks };
}

function isTrusted(medium: MediumReader, buffer: BlockBuffer, block: number, magic: number, owner: number, geometry: Geometry): boolean {
  return medium.loadHeaded(buffer, { name: 'block', magic, block, owner, seed: geometry.seed, damaged: 'state-damaged', place: { block } });
}

/** The table of most volumes begins in the volume state itself; where it doesn't, the root directory is left to the mount. */
function isRootSound(medium: MediumReader, state: BlockBuffer, geometry: Geometry): boolean {
  const { view } = state;
  if (view.getUint16(VolumeState.tableRoot, true) !== 0) return true;
  const area = VolumeState.tableRoot + TREE_ROOT_AREA;
  if (areaFault(view, area, TREE_ROOT_SIZE - TREE_ROOT_AREA, EXTENT_PAYLOAD_SIZE, EXTENT_PAYLOAD_SIZE) !== null || itemCount(view, area) === 0) return false;
  const item = itemOffset(view, area, 0);
  const block = getU64(view, item + KEY_SIZE + Extent.block);
  const table = new BlockBuffer();
  if (getU64(view, item) !== 0 || !geometry.isAllocatable(block) || !medium.load(block, table)) return false;
  const record = ROOT_INO * INODE_SIZE;
  const sum = medium.pmem.crc32c(geometry.seed, table.bytes, record + 4, INODE_SIZE - 4);
  const type = table.view.getUint16(record + Inode.mode, true) & FileType.mask;
  return table.view.getUint32(record + Inode.checksum, true) === sum && getU64(table.view, record + Inode.ino) === ROOT_INO && type === FileType.directory;
}
