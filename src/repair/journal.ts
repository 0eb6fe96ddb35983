import { FsError, fail } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, BlockHeader, JournalRecord, LINE_SIZE, Magic, STATE_BLOCK, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { LogPosition } from '../journal/log.js';
import { findRecord, readRecord, type RecordPlace } from '../journal/records.js';
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
  const ring = readRing(pmem, geometry);
  let reason: FsError;
  try {
    const { position } = recoverJournal(pmem, geometry, false);
    const found = position.sequence - 1;
    const isLie = found !== ring.sequence;
    if (!isLie && found < SEQUENCE_MAX) return { position, replayed: recoverJournal(pmem, geometry).changed, reset: false };
    reason = new FsError('EUCLEAN', isLie ? `the record of transaction ${String(found)} is none of the chain` : `the journal is at transaction ${String(found)}`);
  } catch (error) {
    if (!(error instanceof FsError) || (error.code !== 'EUCLEAN' && error.code !== 'EIO')) throw error;
    reason = error;
  }
  if (!problems.fix('journal-damaged', { block: geometry.journalStart }, 'journal', 'a chain of records up to the last transaction', reason.message, 'apply what is valid and begin it anew')) {
    fail('EUCLEAN', reason.message);
  }
  return { position: resetJournal(pmem, geometry, ring), replayed: false, reset: true };
}

/**
 * Applies the last two records, if they are the last: when the volume state is newer than every record, what it is newer by was in
 * place when it was committed, and older records must not be applied. Then records that lie about their number go. The next
 * record gets a number above all others, at the beginning of the segment that is reused next: recovery takes it for the last one then.
 */
function resetJournal(pmem: Pmem, geometry: Geometry, { last, previous, sequence, lies, stateSequence }: Ring): LogPosition {
  if (last !== undefined && stateSequence <= sequence) {
    for (const { segment, offset } of previous === undefined ? [last] : [previous, last]) {
      const record = readRecord(pmem, geometry, segment, offset);
      if (record !== undefined) applyRecord(pmem, record);
    }
    pmem.fence();
  }
  for (const { segment, offset } of lies) pmem.zero(asByteAddr((geometry.journalStart + segment * geometry.journalSegmentBlocks) * BLOCK_SIZE + offset), LINE_SIZE);
  pmem.fence();
  const next = Math.max(sequence, stateSequence) + 1;
  if (next < SEQUENCE_MAX) return { sequence: next, segment: last === undefined ? 0 : (last.segment + 1) % geometry.journalSegments, offset: 0 };
  const start = asByteAddr(geometry.journalStart * BLOCK_SIZE);
  const length = geometry.journalSegments * geometry.journalSegmentBlocks * BLOCK_SIZE;
  pmem.back(start, length);
  pmem.zero(start, length);
  pmem.fence();
  return { sequence: 1, segment: 0, offset: 0 };
}

/** What the ring holds, as far as it can be read. */
interface Ring {
  /** The last record and the one before. */
  last: RecordPlace | undefined;
  previous: RecordPlace | undefined;
  /** Number of the last transaction, 0: none; that of `last`, if it does not lie. */
  sequence: number;
  /** Valid records with higher numbers than they can have. */
  lies: RecordPlace[];
  /** Number of the transaction that changed the volume state last, 0 when the state can't be believed. */
  stateSequence: number;
}

/**
 * A record whose number is a lie would undo what came after it, if it were taken for the last one. So one is believed when the record
 * before it or behind it in the ring has the number next to its own, or the volume state has the same. What lies right behind the
 * last of these and has a higher number is of the same lap of the ring, and so later, whatever its number.
 */
function readRing(pmem: Pmem, geometry: Geometry): Ring {
  const records = readRecords(pmem, geometry);
  const stateSequence = sequenceOfState(pmem, geometry);
  const firsts = records.filter(({ offset }) => offset === 0);
  const before = (index: number): RecordPlace | undefined => {
    const record = records[index] as RecordPlace;
    return (record.offset > 0 ? records.slice(index - 1, index) : records).find((other) => isNext(geometry, other, record));
  };
  const isBelieved = (record: RecordPlace, index: number): boolean =>
    record.sequence === stateSequence || before(index) !== undefined || [...records.slice(index + 1, index + 2), ...firsts].some((next) => isNext(geometry, record, next));
  let believed = records.filter(isBelieved);
  // There may be one alone, which nothing speaks for, but neither anything against it.
  if (believed.length === 0) believed = firsts.filter(({ sequence }) => sequence < SEQUENCE_MAX);
  const newest = newestOf(believed);
  if (newest === undefined) return { last: undefined, previous: undefined, sequence: 0, lies: records, stateSequence };
  const at = records.indexOf(newest);
  let end = at;
  while (isBehind(records[end + 1], records[end] as RecordPlace) && (records[end + 1] as RecordPlace).sequence > newest.sequence) end += 1;
  const lies = records.filter(({ sequence }) => sequence > newest.sequence);
  return { last: records[end], previous: end > at ? records[end - 1] : before(at), sequence: newest.sequence + end - at, lies, stateSequence };
}

function newestOf(records: readonly RecordPlace[]): RecordPlace | undefined {
  return records.reduce<RecordPlace | undefined>((best, record) => (best !== undefined && best.sequence >= record.sequence ? best : record), undefined);
}

function isBehind(next: RecordPlace | undefined, record: RecordPlace): boolean {
  return next?.segment === record.segment && next.offset === record.offset + record.length;
}

/** Whether a record is where the one after another is: right behind it, or at the beginning of the next segment. */
function isNext(geometry: Geometry, record: RecordPlace, next: RecordPlace): boolean {
  if (next.sequence !== record.sequence + 1) return false;
  if (next.segment === record.segment) return isBehind(next, record);
  return next.offset === 0 && next.segment === (record.segment + 1) % geometry.journalSegments;
}

/** All valid records of the ring, in the order of their places. */
function readRecords(pmem: Pmem, geometry: Geometry): RecordPlace[] {
  const records: RecordPlace[] = [];
  const buffer = new BlockBuffer();
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  for (let segment = 0; segment < geometry.journalSegments; segment++) {
    let loaded = -1;
    for (let offset = 0; offset < segmentBytes; ) {
      const block = Math.floor(offset / BLOCK_SIZE);
      if (block !== loaded && !loadBlock(pmem, geometry.journalStart + segment * geometry.journalSegmentBlocks + block, buffer)) {
        offset = (block + 1) * BLOCK_SIZE;
        continue;
      }
      loaded = block;
      const record = buffer.view.getUint32((offset % BLOCK_SIZE) + JournalRecord.magic, true) === Magic.record ? tryFind(pmem, geometry, segment, offset) : undefined;
      if (record !== undefined) records.push(record);
      offset += record?.length ?? LINE_SIZE;
    }
  }
  return records;
}

function tryFind(pmem: Pmem, geometry: Geometry, segment: number, offset: number): RecordPlace | undefined {
  try {
    return findRecord(pmem, geometry, segment, offset);
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
