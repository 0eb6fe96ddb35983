import { areaFault, itemCount, itemLength, itemOffset } from '../check/item-area.js';
import { BlockBuffer } from '../check/medium.js';
import { hashOfName } from '../check/name-hash.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  COLLISIONS_MAX,
  Dentry,
  Extent,
  EXTENT_PAYLOAD_SIZE,
  Inode,
  INODE_SIZE,
  JournalRecord,
  KEY_SIZE,
  Magic,
  NAME_MAX,
  ROOT_INO,
  STATE_BLOCK,
  TREE_MAX_DEPTH,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeRoot,
  VolumeState,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import { loadBlock } from './writer.js';

/** How well a superblock fits what is on the medium. */
export function fitOf(pmem: Pmem, geometry: Geometry): number {
  const buffer = new BlockBuffer();
  let points = 0;
  if (isHeaded(pmem, STATE_BLOCK, Magic.state, geometry.seed, buffer)) points += 2;
  if (isHeaded(pmem, geometry.groupStart, Magic.group, geometry.seed, buffer)) points += 1;
  if (isHeaded(pmem, geometry.totalBlocks - 1, Magic.superblock, 0, buffer)) points += 1;
  if (hashesFit(pmem, geometry)) points += 1;
  for (let segment = 0; segment < geometry.journalSegments; segment++) {
    if (!loadBlock(pmem, geometry.journalStart + segment * geometry.journalSegmentBlocks, buffer)) continue;
    if (buffer.view.getUint32(JournalRecord.magic, true) !== Magic.record || getU64(buffer.view, JournalRecord.journalId) !== geometry.journalId) continue;
    points += 1;
    break;
  }
  return points;
}

/** True when the first name of the root directory has the hash that its key says: what the hash seed is good for. */
function hashesFit(pmem: Pmem, geometry: Geometry): boolean {
  const buffer = new BlockBuffer();
  const { view, bytes } = buffer;
  if (!isHeaded(pmem, STATE_BLOCK, Magic.state, geometry.seed, buffer)) return false;
  const table = firstItem(pmem, geometry, buffer, VolumeState.tableRoot, EXTENT_PAYLOAD_SIZE, EXTENT_PAYLOAD_SIZE);
  if (table === null || getU64(view, table.offset) !== 0) return false;
  const block = getU64(view, table.offset + KEY_SIZE + Extent.block);
  if (!(block < geometry.totalBlocks) || (block + 1) * BLOCK_SIZE > pmem.size || !loadBlock(pmem, block, buffer)) return false;
  const body = ROOT_INO * INODE_SIZE + Inode.body;
  const entry = firstItem(pmem, geometry, buffer, body, Dentry.name + 1, Dentry.name + NAME_MAX);
  if (entry === null) return false;
  const name = entry.offset + KEY_SIZE + Dentry.name;
  return Math.floor(getU64(view, entry.offset) / COLLISIONS_MAX) === hashOfName(geometry.hashSeed, bytes, name, entry.length - Dentry.name);
}

/** An item in a buffer: offset of its key, length of its payload. */
interface FoundItem {
  offset: number;
  length: number;
}

/** The first item of the tree whose root is at `root` of the buffer, null when there is none to be found. */
function firstItem(pmem: Pmem, geometry: Geometry, buffer: BlockBuffer, root: number, shortest: number, longest: number): FoundItem | null {
  const { view } = buffer;
  const depth = view.getUint16(root + TreeRoot.depth, true);
  let area = root + TREE_ROOT_AREA;
  let size: number = TREE_ROOT_SIZE - TREE_ROOT_AREA;
  let block = getU64(view, root + TreeRoot.root);
  for (let level = Math.min(depth, TREE_MAX_DEPTH) - 1; level >= 0; level--) {
    if (!(block < geometry.totalBlocks) || !isHeaded(pmem, block, Magic.node, geometry.seed, buffer)) return null;
    area = TREE_NODE_AREA;
    size = BLOCK_SIZE - TREE_NODE_AREA;
    if (level === 0) break;
    if (areaFault(view, area, size, 8, 8) !== null || itemCount(view, area) === 0) return null;
    block = getU64(view, itemOffset(view, area, 0) + KEY_SIZE);
  }
  if (areaFault(view, area, size, shortest, longest) !== null || itemCount(view, area) === 0) return null;
  return { offset: itemOffset(view, area, 0), length: itemLength(view, area, 0) };
}

function isHeaded(pmem: Pmem, block: number, magic: number, seed: number, buffer: BlockBuffer): boolean {
  if ((block + 1) * BLOCK_SIZE > pmem.size || !loadBlock(pmem, block, buffer)) return false;
  const { view, bytes } = buffer;
  return (
    view.getUint32(BlockHeader.magic, true) === magic &&
    getU64(view, BlockHeader.self) === block &&
    view.getUint32(BlockHeader.checksum, true) === pmem.crc32c(seed, bytes, 4, BLOCK_SIZE - 4)
  );
}
