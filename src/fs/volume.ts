import { type Clock, SystemClock } from '../base/clock.js';
import { fail, FsError } from '../base/errno.js';
import type { HashFunction } from '../dir/directory.js';
import { BLOCK_SIZE, ROOT_INO } from '../format/layout.js';
import { featureNames, KNOWN_READ_ONLY_COMPAT, readSuperblock } from '../format/superblock.js';
import { recoverJournal } from '../journal/recovery.js';
import { OverlayPmem } from '../pmem/overlay.js';
import type { Pmem } from '../pmem/pmem.js';
import { Core } from '../space/core.js';
import { asByteAddr, type Ino } from '../base/units.js';
import { FileSystem } from './filesystem.js';
import type { FileSystemOperations } from './operations.js';

/** Where messages about the volume go. */
export type VolumeLog = (level: 'error' | 'warning' | 'info' | 'debug', message: string) => void;

export interface VolumeOptions {
  readOnly?: boolean;
  /** Limit of the metadata cache, bytes. */
  cacheBytes?: number;
  clock?: Clock;
  log?: VolumeLog;
  /** Keep access times as `relatime` does. Default: reading leaves them alone. */
  accessTimes?: boolean;
  /** Hash of names; only for tests that make names collide. */
  hash?: HashFunction;
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
  const recovery = recoverJournal(medium, geometry);
  if (recovery.changed) log('info', `journal recovered: transaction ${String(recovery.position.sequence - 1)} is the last one`);
  for (const block of recovery.unreadable) log('error', `block ${String(block)}, which the last transactions changed, can't be read: what it holds is EIO`);
  const cacheBlocks = Math.floor(Math.max(options.cacheBytes ?? CACHE_BYTES, CACHE_BYTES_MIN) / BLOCK_SIZE);
  const core = new Core(medium, geometry, options.clock ?? new SystemClock(), recovery.position, cacheBlocks);
  core.groups.onDamage = core.orphans.onDamage = (message) => {
    log('error', message);
  };
  checkState(core);
  const fs = new FileSystem(core, {
    readOnly,
    accessTimes: options.accessTimes === true,
    hash: options.hash,
    log: (message) => {
      log('error', message);
    },
  });
  // Only now: what a crash interrupted is finished first, in DRAM when the medium must not be written.
  core.journal.readOnly = readOnly;
  return fs;
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
