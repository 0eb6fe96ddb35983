import { BLOCK_SIZE, FILE_SIZE_MAX, Magic, STATE_BLOCK, TREE_ROOT_SIZE, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { TABLE_BLOCKS_MAX } from '../format/tree-limits.js';
import type { Pmem } from '../pmem/pmem.js';
import type { FindRegions, RegionPlace } from '../region/inspection.js';
import { CheckContext, type VolumeStatistics } from './context.js';
import { DirectoryPass } from './directories.js';
import { type Finding, type FindingKind, FindingList, hex } from './findings.js';
import { FreeInodesPass } from './free-inodes.js';
import { GroupPass } from './groups.js';
import { DAMAGED } from './inode-map.js';
import { Type } from './inode.js';
import { InodeTablePass } from './inode-table.js';
import { LinkPass } from './links.js';
import { BlockBuffer, MediumReader } from './medium.js';
import { hashOfName, type NameHash } from './name-hash.js';
import { checkOrphans } from './orphans.js';
import { RegionPass } from './regions.js';
import { checkSuperblocks, type VolumeIdentity } from './superblock.js';
import { TableMap } from './table-map.js';

export type VerifyPhase = 'inodes' | 'directories' | 'groups' | 'host files';

export interface VerifyOptions {
  /** Called now and then; `total` may be an estimate. */
  progress?: (phase: VerifyPhase, done: number, total: number) => void;
  /** Findings kept in the report, default 1000; all are counted. */
  maxFindings?: number;
  /** Finds the region directory; default: it is not looked at. */
  regions?: FindRegions;
  /** For tests in which names collide: the hash that the volume was made with, in place of the format's. */
  nameHash?: NameHash;
}

export interface VerifyReport {
  /** True when nothing is wrong. */
  clean: boolean;
  /** The first findings, at most `maxFindings`. */
  findings: Finding[];
  /** How many there are. */
  total: number;
  countByKind: ReadonlyMap<FindingKind, number>;
  /** Null when no superblock can be used; then nothing else was checked. */
  identity: VolumeIdentity | null;
  /** Null when superblocks or volume state can't be used: then nothing else was checked. */
  statistics: VolumeStatistics | null;
}

const FINDINGS_MAX = 1000;
/** What a fallocate under way may be, doc/FORMAT.md, "Volume state". */
const RANGE_MODES = new Set([0, 1, 3, 0x10, 0x11]);
/** Inode numbers are below 2^53. */

/**
 * Checks a whole volume against doc/FORMAT.md without changing it, and without any code of the engine: what the
 * journal still holds has to be applied before (`recoverJournal`, into an overlay when the medium must stay as it is).
 * Damage of any kind ends in findings; only failures that are none of the medium's contents are thrown.
 *
 * Time and memory follow what is in use: about 10 bytes per inode, 1 bit per block of the groups in use.
 */
export function verifyVolume(pmem: Pmem, options: VerifyOptions = {}): VerifyReport {
  const findings = new FindingList(options.maxFindings ?? FINDINGS_MAX);
  const medium = new MediumReader(pmem, findings);
  const superblock = checkSuperblocks(medium, findings);
  let statistics: VolumeStatistics | null = null;
  if (superblock !== null) {
    const context = new CheckContext(medium, findings, superblock.geometry, superblock.checkReserved, superblock.xattrs, superblock.regions, options.nameHash ?? hashOfName);
    const state = new BlockBuffer();
    if (checkState(context, state)) {
      runPasses(context, state, options);
      if (options.regions !== undefined) checkRegions(context, options.regions(superblock.uuid, superblock.identity.regions), options);
      statistics = context.statistics;
    }
  }
  return {
    clean: findings.total === 0,
    findings: findings.kept,
    total: findings.total,
    countByKind: findings.countByKind,
    identity: superblock?.identity ?? null,
    statistics,
  };
}

/** Checks what the volume state says about itself; false when it can't be used. */
function checkState(context: CheckContext, state: BlockBuffer): boolean {
  const { medium, findings, geometry } = context;
  const place = { block: STATE_BLOCK };
  const trusted = medium.loadHeaded(state, {
    name: 'volume state',
    magic: Magic.state,
    block: STATE_BLOCK,
    owner: 0,
    seed: geometry.seed,
    damaged: 'state-damaged',
    place,
  });
  if (!trusted) return false;
  const groups = getU64(state.view, VolumeState.groupsInitialised);
  if (groups < 1 || groups > geometry.groupCount) {
    const range = `1 … ${String(geometry.groupCount)}`;
    findings.add('state-groups-initialised', place, 'volume state: groupsInitialised', range, groups);
  }
  const tableBlocks = getU64(state.view, VolumeState.tableBlocks);
  if (tableBlocks < 1 || tableBlocks > TABLE_BLOCKS_MAX) {
    const range = `1 … ${String(TABLE_BLOCKS_MAX)}`;
    findings.add('state-table-blocks', place, 'volume state: tableBlocks', range, tableBlocks);
  }
  const sequence = getU64(state.view, VolumeState.sequence);
  if (!Number.isSafeInteger(sequence)) findings.add('state-sequence', place, 'volume state: sequence', 'less than 2^53', sequence);
  if (context.checkReserved) {
    medium.checkReserved(state, VolumeState.rangeMode + 4, VolumeState.tableRoot, 'volume state', place);
    medium.checkReserved(state, VolumeState.freeInodeRoot + TREE_ROOT_SIZE, BLOCK_SIZE, 'volume state', place);
  }
  return true;
}

function runPasses(context: CheckContext, state: BlockBuffer, options: VerifyOptions): void {
  const report = options.progress;
  const table = new TableMap();
  new InodeTablePass(context, table, (done, total) => report?.('inodes', done, total)).run(state);
  new FreeInodesPass(context, table).run(state);
  new DirectoryPass(context, table, (done, total) => report?.('directories', done, total)).run();
  if (context.tableComplete) new LinkPass(context).run();
  checkOrphans(context, state);
  checkRangeOperation(context, state);
  checkUsedInodes(context, state);
  new GroupPass(context, (done, total) => report?.('groups', done, total)).run(state);
}

/** A directory that is not there at all may be somewhere else: that is no damage. */
function checkRegions(context: CheckContext, { inspection, foreign, reason }: RegionPlace, { progress }: VerifyOptions): void {
  if (inspection !== null) new RegionPass(context, inspection, (done, total) => progress?.('host files', done, total)).run();
  else if (foreign && context.statistics.regions > 0) context.findings.add('region-directory', {}, 'region directory', 'that of this volume', reason);
}

/** A fallocate under way names a regular file and a range; without one, everything about it is zero. */
function checkRangeOperation(context: CheckContext, state: BlockBuffer): void {
  const ino = getU64(state.view, VolumeState.rangeIno);
  const offset = getU64(state.view, VolumeState.rangeOffset);
  const end = getU64(state.view, VolumeState.rangeEnd);
  const mode = state.view.getUint32(VolumeState.rangeMode, true);
  const type = ino === 0 ? 0 : context.inodes.typeOf(ino);
  if (type === DAMAGED) return;
  const right = ino === 0 ? offset === 0 && end === 0 && mode === 0 : type === Type.regular && offset < end && end <= FILE_SIZE_MAX && RANGE_MODES.has(mode);
  if (right) return;
  const found = `inode ${String(ino)}, mode ${hex(mode)}, bytes ${String(offset)} to ${String(end)}`;
  const expected = ino === 0 ? 'all zero' : 'a regular file, a known mode, a range';
  context.findings.add('state-range', { block: STATE_BLOCK, ino }, 'volume state: range operation', expected, found);
}

/** A damaged record may or may not have been in use, so it makes the expectation a range. */
function checkUsedInodes(context: CheckContext, state: BlockBuffer): void {
  if (!context.tableComplete) return;
  const stored = getU64(state.view, VolumeState.usedInodes);
  const fewest = context.statistics.inodes;
  const most = fewest + context.damagedInodes;
  if (stored >= fewest && stored <= most) return;
  const expected = fewest === most ? String(fewest) : `${String(fewest)} … ${String(most)}`;
  context.findings.add('state-used-inodes', { block: STATE_BLOCK }, 'volume state: usedInodes', expected, stored);
}

export { FINDING_KINDS } from './findings.js';
export type { Finding, FindingKind, FindingPlace } from './findings.js';
export type { VolumeIdentity } from './superblock.js';
export type { VolumeStatistics } from './context.js';
