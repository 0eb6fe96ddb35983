import { type Clock, SystemClock } from '../base/clock.js';
import { FsError, fail } from '../base/errno.js';
import type { HashFunction } from '../dir/directory.js';
import { BLOCK_SIZE, ROOT_INO } from '../format/layout.js';
import { featureNames, type Geometry, KNOWN_READ_ONLY_COMPAT, readSuperblock } from '../format/superblock.js';
import type { Allocate } from '../journal/cache.js';
import type { LogPosition } from '../journal/log.js';
import { recoverJournal } from '../journal/recovery.js';
import { type CommittedRequest, findRequest } from '../journal/requests.js';
import { OverlayPmem } from '../pmem/overlay.js';
import type { Pmem } from '../pmem/pmem.js';
import type { Regions } from '../region/regions.js';
import { Core } from '../space/core.js';
import { asByteAddr, type Ino } from '../base/units.js';
import type { AccessTimes } from './access-times.js';
import { FileSystem } from './filesystem.js';
import type { KeptTimes } from './kept-times.js';
import type { FileSystemOperations } from './operations.js';
import type { References } from './references.js';
import type { DaxPolicy } from './region-files.js';

/** Where messages about the volume go. */
export type VolumeLog = (level: 'error' | 'warning' | 'info' | 'debug', message: string) => void;

export interface VolumeOptions {
  readOnly?: boolean;
  /** Limit of the metadata cache, bytes. */
  cacheBytes?: number;
  /** Gives the memory of that cache: for tests, which open thousands of volumes one after the other. */
  allocate?: Allocate;
  clock?: Clock;
  log?: VolumeLog;
  /** When reading changes access times. Default: never. */
  accessTimes?: AccessTimes;
  /** Default true. False, for read-only volumes: show what is there, without the journal and what a crash left unfinished. */
  recover?: boolean;
  /** Damage that an operation meets ends all changes (errors=remount-ro). Default: only what touches it fails. */
  readOnlyOnDamage?: boolean;
  /** What former servers of the same mount left for this one; default: there was none. */
  kept?: KeptState;
  /** The region directory. Default: there is none, and DAX files are in the image. */
  regions?: Regions | null;
  /** Which files are DAX files. Default: those with the flag. */
  dax?: DaxPolicy;
  /** Hash of names; only for tests that make names collide. */
  hash?: HashFunction;
}

/** What outlives a server of a mount (see Segment). */
export interface KeptState {
  readonly references: References;
  /** How often each file is open. */
  readonly opens?: References;
  readonly times: KeptTimes;
  /**
   * Called when the journal is recovered and nothing has been written since: `nextSequence` is that of the next transaction,
   * `find` looks for a request among the last ones.
   */
  recovered(nextSequence: number, find: (idLow: number, idHigh: number, since: number) => CommittedRequest | undefined): void;
}

const CACHE_BYTES = 16 * 1024 * 1024;
const CACHE_BYTES_MIN = 512 * BLOCK_SIZE;

/**
 * Opens the volume on a medium: superblock (or its backup), journal recovery, orphans. `close` of the result closes the medium.
 * A read-only volume whose journal must be replayed is replayed in DRAM; the medium is not written.
 * Throws FsError: EUCLEAN (no volume, or damaged), EOPNOTSUPP (a newer format), EROFS (features that allow only reading).
 */
export function openVolume(pmem: Pmem, options: VolumeOptions): FileSystemOperations {
  const readOnly = options.readOnly === true || pmem.readOnly;
  const log: VolumeLog = options.log ?? (() => undefined);
  const { geometry, primaryProblem } = readSuperblock(pmem);
  if (primaryProblem !== undefined) log('warning', `${primaryProblem}; the backup superblock is used, run fsck.nvmfs`);
  const unknown = (geometry.readOnlyCompat & ~KNOWN_READ_ONLY_COMPAT) >>> 0;
  if (unknown !== 0 && !readOnly) {
    fail('EROFS', `the volume uses ${featureNames('ro_compat', unknown)}, with which this program can only read it: mount it with -o ro`);
  }
  const medium = readOnly ? new OverlayPmem(pmem) : pmem;
  // A commit can't stop half-way because the host has no space for the journal of a sparse image.
  if (!readOnly) pmem.back(asByteAddr(0), geometry.groupStart * BLOCK_SIZE);
  const recover = options.recover !== false;
  if (!recover && !readOnly) fail('EINVAL', 'a volume is opened without recovery only to be read: norecovery needs ro');
  const position = recover ? recovered(medium, geometry, log) : unrecovered(medium, geometry, log);
  const { kept } = options;
  kept?.recovered(position.sequence, (idLow, idHigh, since) => findRequest(medium, geometry, position, { idLow, idHigh, since }));
  const cacheBlocks = Math.floor(Math.max(options.cacheBytes ?? CACHE_BYTES, CACHE_BYTES_MIN) / BLOCK_SIZE);
  const core = new Core(medium, geometry, options.clock ?? new SystemClock(), position, cacheBlocks, options.allocate);
  core.groups.onDamage = core.orphans.onDamage = (message) => {
    log('error', message);
  };
  checkState(core);
  const fs = new FileSystem(core, {
    readOnly,
    recover,
    accessTimes: options.accessTimes ?? { policy: 'never', directories: false },
    readOnlyOnDamage: options.readOnlyOnDamage === true,
    hash: options.hash,
    references: kept?.references,
    opens: kept?.opens,
    regions: options.regions ?? null,
    daxPolicy: options.dax ?? 'inode',
    times: kept?.times,
    log: (message) => {
      log('error', message);
    },
  });
  core.groups.onDamage = core.orphans.onDamage = (message) => {
    log('error', message);
    fs.noteDamage(message);
  };
  // Only now: what a crash interrupted is finished first, in DRAM when the medium must not be written.
  core.journal.readOnly = readOnly;
  return fs;
}

function recovered(medium: Pmem, geometry: Geometry, log: VolumeLog): LogPosition {
  const { changed, position, unreadable } = recoverJournal(medium, geometry);
  if (changed) log('info', `journal recovered: transaction ${String(position.sequence - 1)} is the last one`);
  for (const block of unreadable) log('error', `block ${String(block)}, which the last transactions changed, can't be read: what it holds is EIO`);
  return position;
}

/** Only says what recovery would have to do. Where the log goes on does not matter: nothing is written. */
function unrecovered(medium: Pmem, geometry: Geometry, log: VolumeLog): LogPosition {
  try {
    const { changed } = recoverJournal(medium, geometry, false);
    if (changed) log('warning', 'the journal is not replayed (norecovery): what was being changed at the crash may look damaged');
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    log('warning', `the journal is not replayed (norecovery), and could not be: ${error.message}`);
  }
  return { sequence: 1, segment: 0, offset: 0 };
}

/** What must hold before anything is served: a volume whose own state is damaged is refused, not guessed at. */
function checkState(core: Core): void {
  const { state, geometry, inodes } = core;
  try {
    // What is wrong with the state by itself is found when it is read.
    if (state.groupsInitialised > geometry.groups) fail('EUCLEAN', 'the volume state (block 1) does not fit the superblock; run fsck.nvmfs');
    inodes.get(ROOT_INO as Ino);
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'EIO') throw error;
    fail('EUCLEAN', error.message);
  }
}
