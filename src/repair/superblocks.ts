import { FsError, fail } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, BlockHeader, LABEL_SIZE, PRIMARY_SUPERBLOCK, SUPERBLOCK_END } from '../format/layout.js';
import { backupCandidates, decodeSuperblock, encodeSuperblock, featureNames, type Geometry, KNOWN_READ_ONLY_COMPAT } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import type { Problems } from './problems.js';
import { fitOf } from './superblock-fit.js';
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
  let bestScore = primary === undefined ? -1 : fitOf(pmem, primary.geometry);
  for (const backup of backups) {
    const points = fitOf(pmem, backup.geometry);
    if (points <= bestScore) continue;
    best = backup;
    bestScore = points;
  }
  return best;
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

/** What the superblock in `block` must be. Under an unknown compat feature bytes that are reserved for us may mean something: they stay. */
function image(pmem: Pmem, chosen: Candidate, geometry: Geometry, block: number): Uint8Array {
  const bytes = encodeSuperblock(geometry, block, pmem);
  if (geometry.compat === 0) return bytes;
  bytes.set(chosen.bytes.subarray(SUPERBLOCK_END), SUPERBLOCK_END);
  const view = new DataView(bytes.buffer);
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
