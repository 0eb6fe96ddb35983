import { FsError, fail } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
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
  LABEL_SIZE,
  Magic,
  NAME_MAX,
  PRIMARY_SUPERBLOCK,
  ROOT_INO,
  STATE_BLOCK,
  TREE_MAX_DEPTH,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeRoot,
  VolumeState,
} from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import { backupCandidates, decodeSuperblock, encodeSuperblock, featureNames, type Geometry, KNOWN_READ_ONLY_COMPAT } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import type { Problems } from './problems.js';
import { loadBlock } from './writer.js';

/** A superblock that can be read. */
interface Candidate {
  block: number;
  bytes: Uint8Array;
  geometry: Geometry;
}

/**
 * Pass 0: finds the superblock to believe and lets primary and backup say the same. They are written one after the other with a fence
 * between, so one of them is whole at every moment. Throws FsError: EUCLEAN when neither can be used, EOPNOTSUPP when
 * they are of a newer format.
 */
export function mendSuperblocks(pmem: Pmem, problems: Problems): Geometry {
  const errors: FsError[] = [];
  const primary = read(pmem, PRIMARY_SUPERBLOCK, errors);
  const places = backupCandidates(pmem.size);
  if (primary !== undefined && !places.includes(primary.geometry.totalBlocks - 1)) places.unshift(primary.geometry.totalBlocks - 1);
  const backups = places.map((block) => read(pmem, block, errors)).filter((candidate) => candidate !== undefined);
  const chosen = choose(pmem, primary, backups);
  if (chosen === undefined) {
    const newer = errors.find((error) => error.code === 'EOPNOTSUPP');
    if (newer !== undefined) throw newer;
    return fail('EUCLEAN', `not an NVMFS volume, or both superblocks are damaged: ${errors.map((error) => error.message).join('; ')}`);
  }
  const geometry = tidied(chosen.geometry);
  const backup = geometry.totalBlocks - 1;
  const source = chosen.block === PRIMARY_SUPERBLOCK ? 'that of the primary' : 'that of the backup';
  const problem = errors[0]?.message ?? 'another';
  mendOne(pmem, problems, image(pmem, chosen, geometry, PRIMARY_SUPERBLOCK), PRIMARY_SUPERBLOCK, primary === undefined ? 'superblock-damaged' : 'superblock-field', source, primary === undefined ? problem : 'another');
  mendOne(pmem, problems, image(pmem, chosen, geometry, backup), backup, 'superblock-backup', source, 'another');
  return geometry;
}

/** The superblock in a block; undefined, and why in `errors`, when it can't be used. */
function read(pmem: Pmem, block: number, errors: FsError[]): Candidate | undefined {
  const buffer = new BlockBuffer();
  if (block < 0 || (block + 1) * BLOCK_SIZE > pmem.size) return undefined;
  if (!loadBlock(pmem, block, buffer)) {
    errors.push(new FsError('EIO', `superblock at block ${String(block)}: the medium can't deliver it`));
    return undefined;
  }
  try {
    const geometry = decodeSuperblock(buffer.bytes, block, pmem);
    if (getU64(buffer.view, BlockHeader.owner) !== 0) fail('EUCLEAN', `superblock at block ${String(block)}: expected owner 0`);
    if (geometry.totalBlocks * BLOCK_SIZE > pmem.size) fail('EUCLEAN', `superblock at block ${String(block)}: the volume has ${String(geometry.totalBlocks * BLOCK_SIZE)} bytes, the medium only ${String(pmem.size)}`);
    if (block !== PRIMARY_SUPERBLOCK && geometry.totalBlocks !== block + 1) fail('EUCLEAN', `superblock at block ${String(block)}: not at the end of its volume`);
    const unknown = (geometry.readOnlyCompat & ~KNOWN_READ_ONLY_COMPAT) >>> 0;
    if (unknown !== 0) fail('EOPNOTSUPP', `superblock at block ${String(block)}: the volume uses ${featureNames('ro_compat', unknown)}, which this program does not know; use a newer NVMFS`);
    return { block, bytes: buffer.bytes, geometry };
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    errors.push(error);
    return undefined;
  }
}

/** The primary, unless a backup that differs in what everything hangs on fits the volume better. */
function choose(pmem: Pmem, primary: Candidate | undefined, backups: readonly Candidate[]): Candidate | undefined {
  let best = primary;
  let bestScore = primary === undefined ? -1 : score(pmem, primary.geometry);
  for (const backup of backups) {
    const points = score(pmem, backup.geometry);
    if (points <= bestScore) continue;
    best = backup;
    bestScore = points;
  }
  return best;
}

/** How well a superblock fits what is on the medium. */
function score(pmem: Pmem, geometry: Geometry): number {
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
  if (table < 0 || getU64(view, table) !== 0) return false;
  const block = getU64(view, table + KEY_SIZE + Extent.block);
  if (!(block < geometry.totalBlocks) || (block + 1) * BLOCK_SIZE > pmem.size || !loadBlock(pmem, block, buffer)) return false;
  const body = ROOT_INO * INODE_SIZE + Inode.body;
  const entry = firstItem(pmem, geometry, buffer, body, Dentry.name + 1, Dentry.name + NAME_MAX);
  if (entry < 0) return false;
  const name = entry + KEY_SIZE + Dentry.name;
  return Math.floor(getU64(view, entry) / COLLISIONS_MAX) === hashOfName(geometry.hashSeed, bytes, name, firstItemLength - Dentry.name);
}

/** Length of the payload that `firstItem` found. */
let firstItemLength = 0;

/** Offset, in the buffer, of the first item of the tree whose root is at `root` of it; −1 when there is none to be found. */
function firstItem(pmem: Pmem, geometry: Geometry, buffer: BlockBuffer, root: number, shortest: number, longest: number): number {
  const { view } = buffer;
  const depth = view.getUint16(root + TreeRoot.depth, true);
  let area = root + TREE_ROOT_AREA;
  let size: number = TREE_ROOT_SIZE - TREE_ROOT_AREA;
  let block = getU64(view, root + TreeRoot.root);
  for (let level = Math.min(depth, TREE_MAX_DEPTH) - 1; level >= 0; level--) {
    if (!(block < geometry.totalBlocks) || !isHeaded(pmem, block, Magic.node, geometry.seed, buffer)) return -1;
    area = TREE_NODE_AREA;
    size = BLOCK_SIZE - TREE_NODE_AREA;
    if (level === 0) break;
    if (areaFault(view, area, size, 8, 8) !== null || itemCount(view, area) === 0) return -1;
    block = getU64(view, itemOffset(view, area, 0) + KEY_SIZE);
  }
  if (areaFault(view, area, size, shortest, longest) !== null || itemCount(view, area) === 0) return -1;
  firstItemLength = itemLength(view, area, 0);
  return itemOffset(view, area, 0);
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

/** The same without what harms nobody but must not be: a label that is no text, a time that is none. */
function tidied(geometry: Geometry): Geometry {
  const [text = ''] = geometry.label.split('\0');
  let label = text;
  while (Buffer.byteLength(label, 'utf8') > LABEL_SIZE) label = [...label].slice(0, -1).join('');
  return {
    ...geometry,
    label,
    madeSeconds: Number.isSafeInteger(geometry.madeSeconds) ? geometry.madeSeconds : 0,
    madeNanoseconds: geometry.madeNanoseconds < 1e9 ? geometry.madeNanoseconds : 0,
  };
}

/** What the superblock in `block` must be. Under an unknown compat feature reserved bytes may mean something: they stay. */
function image(pmem: Pmem, chosen: Candidate, geometry: Geometry, block: number): Uint8Array {
  if (geometry.compat === 0) return encodeSuperblock(geometry, block, pmem);
  const bytes = chosen.bytes.slice();
  const view = new DataView(bytes.buffer);
  setU64(view, BlockHeader.self, block);
  view.setUint32(BlockHeader.checksum, pmem.crc32c(0, bytes, 4, BLOCK_SIZE - 4), true);
  return bytes;
}

function mendOne(
  pmem: Pmem,
  problems: Problems,
  wanted: Uint8Array,
  block: number,
  kind: 'superblock-damaged' | 'superblock-field' | 'superblock-backup',
  source: string,
  found: string,
): void {
  const buffer = new BlockBuffer();
  if (loadBlock(pmem, block, buffer) && Buffer.compare(buffer.bytes, wanted) === 0) return;
  const what = block === PRIMARY_SUPERBLOCK ? 'superblock' : `backup superblock at block ${String(block)}`;
  if (!problems.fix(kind, { block }, what, source, found, 'write it anew')) return;
  pmem.back(asByteAddr(block * BLOCK_SIZE), BLOCK_SIZE);
  pmem.store(asByteAddr(block * BLOCK_SIZE), wanted, 0, BLOCK_SIZE);
  pmem.fence();
}
