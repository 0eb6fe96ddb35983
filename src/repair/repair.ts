import { type Clock, SystemClock } from '../base/clock.js';
import { Geometry } from '../check/geometry.js';
import { BlockBuffer } from '../check/medium.js';
import { hashOfName, type NameHash } from '../check/name-hash.js';
import { BLOCK_SIZE, BlockHeader, Magic, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { Pmem } from '../pmem/pmem.js';
import type { FindRegions } from '../region/inspection.js';
import { BlockMap } from './block-map.js';
import { ConnectivityPass } from './connectivity.js';
import { RepairContext, type RepairProgress } from './context.js';
import { DirectoryPass } from './directories.js';
import { InodeNotes, Note } from './inode-notes.js';
import { InodePass } from './inode-pass.js';
import { InodeTable } from './inode-table.js';
import { mendJournal } from './journal.js';
import { LinkPass } from './links.js';
import { LostFound, LostFoundPass } from './lost-found.js';
import { type Problem, Problems, type RepairResult } from './problems.js';
import { RegionPass } from './regions.js';
import { mendSuperblocks } from './superblocks.js';
import { TableMapPass } from './table-map.js';
import { isGroupHeader } from './table-scan.js';
import { packRoot } from './tree-items.js';
import { VolumePass } from './volume-pass.js';
import { BlockWriter } from './writer.js';

export interface RepairOptions {
  /** Asked about every problem before it is mended; default: yes to all. May throw to end the repair: what was mended stays. */
  decide?: (problem: Problem) => boolean;
  progress?: RepairProgress;
  clock?: Clock;
  /** Finds the region directory; default: it is left alone. */
  regions?: FindRegions;
  /** For tests in which names collide. */
  nameHash?: NameHash;
}

/**
 * Mends a volume that is not mounted: finds what `verifyVolume` finds, and does something about it (doc/FSCK.md). Every change is
 * atomic, so it can be cut off at any moment and run again. Memory: some 30 bytes per inode, 2 bits per block of the groups in use.
 *
 * Throws FsError when there is nothing that could be mended: EUCLEAN (no superblock that can be used), EOPNOTSUPP (a newer format),
 * EROFS, EIO (a store failed), ENOSPC (of the host).
 */
export function repairVolume(pmem: Pmem, options: RepairOptions = {}): RepairResult {
  const problems = new Problems(options.decide ?? (() => true));
  let superblock = mendSuperblocks(pmem, problems);
  const journal = mendJournal(pmem, superblock, problems);
  // What the journal held may have changed them.
  superblock = mendSuperblocks(pmem, problems);
  const geometry = new Geometry(superblock.totalBlocks, superblock.journalStart, superblock.groupStart, superblock.seed, superblock.hashSeed);
  const writer = new BlockWriter(pmem, superblock, journal.position);
  const context = new RepairContext(superblock, geometry, writer, problems, options.clock ?? new SystemClock(), options.nameHash ?? hashOfName, options.progress ?? (() => undefined));
  runPasses(context, journal.reset, options.regions);
  pmem.fence();
  const { found, left, countByKind } = problems;
  return { found, fixed: Math.max(0, found - left), left, countByKind, journalReplayed: journal.replayed };
}

function runPasses(context: RepairContext, journalReset: boolean, regions?: FindRegions): void {
  const { writer, problems } = context;
  const state = new BlockBuffer();
  const lost = !loadState(context, state);
  if (journalReset && !lost) {
    // The record that ends the journal, whatever comes.
    writer.writeHeaded(STATE_BLOCK, state);
    writer.commit();
  }
  context.groups = context.groupsFound = countGroups(context, state, lost);
  context.table = new InodeTable(writer, context.geometry.seed);
  const map = new TableMapPass(context);
  map.run(lost ? null : state);
  writer.commit();

  claimInodes(context, map);
  new InodePass(context).ensureRoot();
  writer.commit();

  const directories = new DirectoryPass(context);
  directories.run();
  new ConnectivityPass(context, directories).run();
  const links = new LinkPass(context);
  links.run(getU64(state.view, VolumeState.orphanHead));
  writer.commit();

  new VolumePass(context, map).run(state, lost, links.orphanHead);
  writer.finish();
  if (problems.incomplete) return;
  const { uuid, regions: recorded } = context.superblock;
  const place = regions?.(uuid, recorded === '' ? null : recorded);
  const looks = place !== undefined && (place.inspection !== null || place.foreign);
  if (!looks && !hasLost(context)) return;
  const lostFound = new LostFound(context);
  if (hasLost(context)) new LostFoundPass(context, lostFound).run();
  if (looks) new RegionPass(context, lostFound).run(place);
}

/** Pass 1, a second time when blocks with two owners were found. */
function claimInodes(context: RepairContext, map: TableMapPass): void {
  const doubles = new InodePass(context).run(null);
  context.writer.commit();
  if (doubles === 0) return;
  const others = context.owned;
  context.owned = new BlockMap(context.geometry);
  context.notes = new InodeNotes();
  map.claimAgain();
  new InodePass(context).run(others);
  context.writer.commit();
}

/** Loads the volume state; when it can't be believed, makes an empty one, to be filled from everything else. */
function loadState(context: RepairContext, state: BlockBuffer): boolean {
  const { writer, problems, geometry } = context;
  const readable = writer.load(STATE_BLOCK, state);
  const { view, bytes } = state;
  const trusted =
    readable &&
    view.getUint32(BlockHeader.magic, true) === Magic.state &&
    view.getUint32(BlockHeader.checksum, true) === writer.pmem.crc32c(geometry.seed, bytes, 4, BLOCK_SIZE - 4) &&
    getU64(view, BlockHeader.self) === STATE_BLOCK &&
    getU64(view, BlockHeader.owner) === 0;
  if (trusted) return true;
  const found = readable ? 'something else' : 'an error of the medium';
  problems.fixHiding('state-damaged', { block: STATE_BLOCK }, 'volume state', 'a block with the right checksum', found, 'make a new one');
  bytes.fill(0);
  view.setUint32(BlockHeader.magic, Magic.state, true);
  setU64(view, BlockHeader.self, STATE_BLOCK);
  packRoot(view, bytes, VolumeState.tableRoot, []);
  packRoot(view, bytes, VolumeState.freeInodeRoot, []);
  return false;
}

/** Groups that blocks may be in: those that the volume state counts, and those behind that have a header; all, when nobody knows. */
function countGroups(context: RepairContext, state: BlockBuffer, lost: boolean): number {
  const { groupCount } = context.geometry;
  const stored = getU64(state.view, VolumeState.groupsInitialised);
  if (lost || stored < 1 || stored > groupCount) return groupCount;
  const buffer = new BlockBuffer();
  let groups = stored;
  while (groups < groupCount && isGroupHeader(context, buffer, groups)) groups++;
  return groups;
}

function hasLost(context: RepairContext): boolean {
  for (const ino of context.notes.numbers()) if (context.notes.has(ino, Note.lost)) return true;
  return false;
}
