import { FsError, fail } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, BlockHeader, JournalRecord, LINE_SIZE, Magic, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { LogPosition } from '../journal/log.js';
import { type FoundRecord, readRecord } from '../journal/records.js';
import { applyRecord, recoverJournal } from '../journal/recovery.js';
import type { Pmem } from '../pmem/pmem.js';
import type { Problems } from './problems.js';
import { loadBlock } from './writer.js';

/** A journal whose numbers have come so far (damage: no volume lives that long) is begun anew. */
const SEQUENCE_MAX = 2 ** 52;

export interface JournalResult {
  /** Where the journal goes on. */
  position: LogPosition;
  /** It held changes that were not in place. */
  replayed: boolean;
  /** It was damaged: a record has to be written for it to be whole again. */
  reset: boolean;
}

/** Brings the volume to its last committed state, as a mount does; a journal with a damaged end is given a new one. */
export function mendJournal(pmem: Pmem, geometry: Geometry, problems: Problems): JournalResult {
  let reason: FsError;
  try {
    const { position, changed } = recoverJournal(pmem, geometry);
    if (position.sequence < SEQUENCE_MAX) return { position, replayed: changed, reset: false };
    reason = new FsError('EUCLEAN', `the journal is at transaction ${String(position.sequence)}`);
  } catch (error) {
    if (!(error instanceof FsError) || (error.code !== 'EUCLEAN' && error.code !== 'EIO')) throw error;
    reason = error;
  }
  if (!problems.fix('journal-damaged', { block: geometry.journalStart }, 'journal', 'a chain of records up to the last transaction', reason.message, 'apply what is valid and begin it anew')) {
    fail('EUCLEAN', reason.message);
  }
  return { position: resetJournal(pmem, geometry), replayed: false, reset: true };
}

/**
 * Applies the last two records, if they are the last: when the volume state is newer than every record, what it is newer by was in
 * place when it was committed, and older records must not be applied. The next record gets a number above all that was seen,
 * at the beginning of the segment that is reused next: recovery takes it for the last one then.
 */
function resetJournal(pmem: Pmem, geometry: Geometry): LogPosition {
  const { last, previous } = lastRecords(pmem, geometry);
  const stateSequence = sequenceOfState(pmem, geometry);
  const lastSequence = last?.sequence ?? 0;
  if (last !== undefined && stateSequence <= lastSequence) {
    if (previous?.sequence === lastSequence - 1) applyRecord(pmem, previous);
    applyRecord(pmem, last);
    pmem.fence();
  }
  const sequence = Math.max(lastSequence, stateSequence) + 1;
  if (sequence < SEQUENCE_MAX) return { sequence, segment: last === undefined ? 0 : (last.segment + 1) % geometry.journalSegments, offset: 0 };
  const start = asByteAddr(geometry.journalStart * BLOCK_SIZE);
  const length = geometry.journalSegments * geometry.journalSegmentBlocks * BLOCK_SIZE;
  pmem.back(start, length);
  pmem.zero(start, length);
  pmem.fence();
  return { sequence: 1, segment: 0, offset: 0 };
}

/** The valid records with the two highest numbers, wherever they are in the ring. */
function lastRecords(pmem: Pmem, geometry: Geometry): { last: FoundRecord | undefined; previous: FoundRecord | undefined } {
  let last: FoundRecord | undefined;
  let previous: FoundRecord | undefined;
  const buffer = new BlockBuffer();
  for (let segment = 0; segment < geometry.journalSegments; segment++) {
    for (let block = 0; block < geometry.journalSegmentBlocks; block++) {
      if (!loadBlock(pmem, geometry.journalStart + segment * geometry.journalSegmentBlocks + block, buffer)) continue;
      for (let line = 0; line < BLOCK_SIZE; line += LINE_SIZE) {
        if (buffer.view.getUint32(line + JournalRecord.magic, true) !== Magic.record) continue;
        const sequence = getU64(buffer.view, line + JournalRecord.sequence);
        if (sequence <= (previous?.sequence ?? 0) || sequence === last?.sequence) continue;
        const record = tryRead(pmem, geometry, segment, block * BLOCK_SIZE + line);
        if (record === undefined) continue;
        if (sequence > (last?.sequence ?? 0)) [last, previous] = [record, last];
        else previous = record;
      }
    }
  }
  return { last, previous };
}

function tryRead(pmem: Pmem, geometry: Geometry, segment: number, offset: number): FoundRecord | undefined {
  try {
    return readRecord(pmem, geometry, segment, offset);
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'EIO') throw error;
    return undefined;
  }
}

/** Number of the transaction that changed the volume state last, 0 when the state can't be believed. */
function sequenceOfState(pmem: Pmem, geometry: Geometry): number {
  const state = new BlockBuffer();
  if (!loadBlock(pmem, STATE_BLOCK, state)) return 0;
  if (state.view.getUint32(BlockHeader.magic, true) !== Magic.state) return 0;
  if (state.view.getUint32(BlockHeader.checksum, true) !== pmem.crc32c(geometry.seed, state.bytes, 4, BLOCK_SIZE - 4)) return 0;
  return getU64(state.view, VolumeState.sequence);
}
