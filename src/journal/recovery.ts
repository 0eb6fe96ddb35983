import { fail, FsError } from '../base/errno.js';
import { asByteAddr } from '../base/units.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  JOURNAL_ENTRY_SIZE,
  JournalEntry,
  JournalEntryFlag,
  JournalRecord,
  LINE_SIZE,
  Magic,
  RECORD_HEADER_SIZE,
  STATE_BLOCK,
  TRANSACTION_BLOCKS_MAX,
  VolumeState,
} from '../format/layout.js';
import { getU48, getU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import type { LogPosition } from './log.js';

/** What is only looked at is read to these. */
const header = new DataView(new ArrayBuffer(RECORD_HEADER_SIZE));
const headerBytes = new Uint8Array(header.buffer);
const scratch = new DataView(new ArrayBuffer(BLOCK_SIZE));
const scratchBytes = new Uint8Array(scratch.buffer);

/** A valid record on the medium. */
export interface FoundRecord {
  sequence: number;
  segment: number;
  offset: number;
  bytes: Uint8Array;
  view: DataView;
}

export interface RecoveryResult {
  /** Where the log goes on. */
  position: LogPosition;
  /** Records that were applied again: 0, 1 or 2. */
  applied: number;
  /** True when applying them changed something: the volume had not been unmounted cleanly. */
  changed: boolean;
  /** Blocks that the records change and the medium can't deliver: whoever needs them gets EIO, the others go on. */
  unreadable: readonly number[];
  /** The request of the last committed transaction, undefined when there is none. */
  lastRequest: { idLow: number; idHigh: number; kind: number; result: number } | undefined;
}

/**
 * Brings the volume to its last committed state and returns where the log goes on: finds the newest record, and
 * applies it and the one before (doc/FORMAT.md, "Commit and recovery", says why these two and no other).
 * Idempotent: a crash in here is a crash like any other.
 * A read-only medium that needs it makes the stores throw EROFS; look first with `apply: false`.
 * Throws FsError EUCLEAN, before anything is written, when records that were committed are damaged.
 */
export function recoverJournal(pmem: Pmem, geometry: Geometry, apply = true): RecoveryResult {
  const newest = newestSegment(pmem, geometry);
  if (newest === undefined) {
    checkState(pmem, geometry, 0);
    // The first records of all segments may be damaged: to begin at 1 again would let what is behind them come back.
    for (let segment = 0; segment < geometry.journalSegments; segment += 1) checkNoneLater(pmem, geometry, segment, 0, 0);
    return { position: { sequence: 1, segment: 0, offset: 0 }, applied: 0, changed: false, unreadable: [], lastRequest: undefined };
  }
  const { last, previous } = lastTwo(pmem, geometry, newest);
  checkEnd(pmem, geometry, last);
  const records = previous === undefined ? [last] : [previous, last];
  const unreadable = unreadableBlocks(pmem, records);
  const differing = !areApplied(pmem, records, unreadable);
  if (apply) {
    // Applied or not: a server that was killed may have left its last stores in the page cache of the backing file, and
    // what the next commit relies on must be on the medium, the records themselves included.
    for (const record of records) {
      persistRecord(pmem, geometry, record, unreadable);
      if (differing) applyRecord(pmem, record, unreadable);
    }
    pmem.fence();
  }
  const { view } = last;
  return {
    position: { sequence: last.sequence + 1, segment: last.segment, offset: last.offset + last.bytes.length },
    applied: records.length,
    changed: differing,
    unreadable: [...unreadable],
    lastRequest: {
      idLow: view.getUint32(JournalRecord.requestId, true),
      idHigh: view.getUint32(JournalRecord.requestId + 4, true),
      kind: view.getUint32(JournalRecord.requestKind, true),
      result: getU64(view, JournalRecord.result),
    },
  };
}

/** The first record of the segment that was begun last. */
function newestSegment(pmem: Pmem, geometry: Geometry): FoundRecord | undefined {
  let newest: FoundRecord | undefined;
  for (let segment = 0; segment < geometry.journalSegments; segment += 1) {
    const first = readRecord(pmem, geometry, segment, 0);
    if (first !== undefined && (newest === undefined || first.sequence > newest.sequence)) newest = first;
  }
  return newest;
}

/** Follows the chain from the first record of the newest segment to the last two records of the journal. */
function lastTwo(
  pmem: Pmem,
  geometry: Geometry,
  first: FoundRecord,
): { last: FoundRecord; previous: FoundRecord | undefined } {
  let last = first;
  let previous: FoundRecord | undefined;
  for (;;) {
    const next = readRecord(pmem, geometry, last.segment, last.offset + last.bytes.length);
    if (next?.sequence !== last.sequence + 1) break;
    previous = last;
    last = next;
  }
  if (previous === undefined && last.sequence > 1) {
    // The newest segment has one record only: the one before it ends the segment before.
    const segment = (last.segment + geometry.journalSegments - 1) % geometry.journalSegments;
    let record = readRecord(pmem, geometry, segment, 0);
    while (record !== undefined && record.sequence < last.sequence - 1) {
      const next = readRecord(pmem, geometry, segment, record.offset + record.bytes.length);
      record = next?.sequence === record.sequence + 1 ? next : undefined;
    }
    // Behind a damaged record it is no worse than in a whole chain.
    if (record === undefined) record = nextRecord(pmem, geometry, segment, 0);
    while (record !== undefined && record.sequence !== last.sequence - 1) {
      record = nextRecord(pmem, geometry, segment, record.offset + record.bytes.length);
    }
    previous = record;
  }
  return { last, previous };
}

/**
 * A crash tears the newest record at most, and that one was not committed. Anything on the medium that is later than the last
 * record of the chain shows that a record was damaged since; to apply older ones would undo a part of what came after them.
 */
function checkEnd(pmem: Pmem, geometry: Geometry, last: FoundRecord): void {
  checkState(pmem, geometry, last.sequence);
  checkNoneLater(pmem, geometry, last.segment, last.offset + last.bytes.length, last.sequence);
  // The record after a damaged first one of a segment.
  checkNoneLater(pmem, geometry, (last.segment + 1) % geometry.journalSegments, 0, last.sequence);
}

/** The volume state names the transaction that changed it last. It may be torn: then that transaction is the last or the one before. */
function checkState(pmem: Pmem, geometry: Geometry, lastSequence: number): void {
  pmem.load(asByteAddr(STATE_BLOCK * BLOCK_SIZE), scratchBytes, 0, BLOCK_SIZE);
  if (scratch.getUint32(BlockHeader.magic, true) !== Magic.state) return;
  if (scratch.getUint32(BlockHeader.checksum, true) !== pmem.crc32c(geometry.seed, scratchBytes, 4, BLOCK_SIZE - 4)) return;
  const sequence = getU64(scratch, VolumeState.sequence);
  if (sequence > lastSequence) endsTooEarly(`the volume state is of transaction ${String(sequence)}`, lastSequence);
}

/**
 * Looks for a valid record later than the last one at or behind a place of a segment. An older one does not end the search: it may be what a
 * lost store left in the middle of the present lap of the ring. But what is left of an older lap is gone over from record to record.
 */
function checkNoneLater(pmem: Pmem, geometry: Geometry, segment: number, from: number, lastSequence: number): void {
  let found = nextRecord(pmem, geometry, segment, from);
  while (found !== undefined) {
    if (found.sequence > lastSequence) endsTooEarly(`there is a record of transaction ${String(found.sequence)}`, lastSequence);
    found = nextRecord(pmem, geometry, segment, endOfChain(pmem, geometry, found, lastSequence));
  }
}

/** The first valid record at or behind a place of a segment, whatever is before it. */
function nextRecord(pmem: Pmem, geometry: Geometry, segment: number, from: number): FoundRecord | undefined {
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  const start = geometry.journalStart * BLOCK_SIZE + segment * segmentBytes;
  for (let chunkAt = from; chunkAt < segmentBytes; chunkAt += BLOCK_SIZE) {
    const length = Math.min(BLOCK_SIZE, segmentBytes - chunkAt);
    pmem.load(asByteAddr(start + chunkAt), scratchBytes, 0, length);
    for (let at = 0; at < length; at += LINE_SIZE) {
      if (scratch.getUint32(at + JournalRecord.magic, true) !== Magic.record) continue;
      const record = readRecord(pmem, geometry, segment, chunkAt + at);
      if (record !== undefined) return record;
    }
  }
  return undefined;
}

/**
 * Offset of the end of the older records that lie one right behind the other from `first` on, with consecutive numbers. Of those in between only the
 * headers are looked at: a record of a later lap leaves none of them where it lies. The one it begins in is the last of the chain, so that one must be whole.
 */
function endOfChain(pmem: Pmem, geometry: Geometry, first: FoundRecord, lastSequence: number): number {
  const { segment } = first;
  let { sequence, offset: last } = first;
  let end = last + first.bytes.length;
  while (sequence < lastSequence) {
    const length = headerAt(pmem, geometry, segment, end);
    if (length === 0 || getU64(header, JournalRecord.sequence) !== sequence + 1) break;
    sequence += 1;
    last = end;
    end += length;
  }
  return last === first.offset || readRecord(pmem, geometry, segment, last) !== undefined ? end : last + LINE_SIZE;
}

function endsTooEarly(evidence: string, lastSequence: number): never {
  fail('EUCLEAN', `the journal is damaged: its records end at transaction ${String(lastSequence)}, but ${evidence}; run fsck.nvmfs`);
}

/** Reads what may be the header of a record into `header`. Returns the length of the record, 0 if it is none. */
function headerAt(pmem: Pmem, geometry: Geometry, segment: number, offset: number): number {
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  if (offset + RECORD_HEADER_SIZE > segmentBytes) return 0;
  pmem.load(asByteAddr(geometry.journalStart * BLOCK_SIZE + segment * segmentBytes + offset), headerBytes, 0, RECORD_HEADER_SIZE);
  if (header.getUint32(JournalRecord.magic, true) !== Magic.record) return 0;
  if (getU64(header, JournalRecord.journalId) !== geometry.journalId) return 0;
  const length = header.getUint32(JournalRecord.length, true);
  return length % LINE_SIZE !== 0 || length <= RECORD_HEADER_SIZE || offset + length > segmentBytes ? 0 : length;
}

/** The record at a place of a segment, undefined unless everything about it is right. */
export function readRecord(pmem: Pmem, geometry: Geometry, segment: number, offset: number): FoundRecord | undefined {
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  const length = headerAt(pmem, geometry, segment, offset);
  if (length === 0) return undefined;
  const address = geometry.journalStart * BLOCK_SIZE + segment * segmentBytes + offset;
  const bytes = new Uint8Array(length);
  pmem.load(asByteAddr(address), bytes, 0, length);
  const checksum = pmem.crc32c(geometry.seed, bytes, 4, length - 4);
  if (checksum !== header.getUint32(JournalRecord.checksum, true)) return undefined;
  const view = new DataView(bytes.buffer);
  if (!isWellFormed(view, length, geometry)) return undefined;
  return { sequence: getU64(view, JournalRecord.sequence), segment, offset, bytes, view };
}

/** Checks what a right checksum does not prove: a record never leads outside the volume or its own bytes. */
function isWellFormed(view: DataView, length: number, geometry: Geometry): boolean {
  const entries = view.getUint32(JournalRecord.entries, true);
  if (entries < 1 || entries > TRANSACTION_BLOCKS_MAX) return false;
  let expected = imagesOffset(entries);
  if (expected > length) return false;
  for (let entry = 0; entry < entries; entry += 1) {
    const at = RECORD_HEADER_SIZE + entry * JOURNAL_ENTRY_SIZE;
    if (!mayChange(getU48(view, at + JournalEntry.block), geometry)) return false;
    expected += LINE_SIZE * (bitCount(view.getUint32(at + JournalEntry.lines, true)) + bitCount(view.getUint32(at + JournalEntry.lines + 4, true)));
  }
  return expected === length;
}

/** The journal changes neither superblocks nor itself. */
function mayChange(block: number, geometry: Geometry): boolean {
  return block === STATE_BLOCK || (block >= geometry.groupStart && block < geometry.totalBlocks - 1);
}

function imagesOffset(entries: number): number {
  return RECORD_HEADER_SIZE + Math.ceil((entries * JOURNAL_ENTRY_SIZE) / LINE_SIZE) * LINE_SIZE;
}

/** One changed block of a record. */
interface ChangedBlock {
  block: number;
  zeroFirst: boolean;
  /** Lines 0 – 31 and 32 – 63 of which there are after-images. */
  low: number;
  high: number;
  /** Offset of the first after-image in the record; the others follow. */
  images: number;
}

/** Calls `visit` for each changed block of a record; the argument is reused. */
function forEachEntry(record: FoundRecord, visit: (changed: ChangedBlock) => void): void {
  const { view } = record;
  const entries = view.getUint32(JournalRecord.entries, true);
  const changed: ChangedBlock = { block: 0, zeroFirst: false, low: 0, high: 0, images: imagesOffset(entries) };
  for (let entry = 0; entry < entries; entry += 1) {
    const at = RECORD_HEADER_SIZE + entry * JOURNAL_ENTRY_SIZE;
    changed.block = getU48(view, at + JournalEntry.block);
    changed.zeroFirst = (view.getUint16(at + JournalEntry.flags, true) & JournalEntryFlag.zeroFirst) !== 0;
    changed.low = view.getUint32(at + JournalEntry.lines, true);
    changed.high = view.getUint32(at + JournalEntry.lines + 4, true);
    visit(changed);
    changed.images += LINE_SIZE * (bitCount(changed.low) + bitCount(changed.high));
  }
}

/** Blocks that the records change and the medium can't deliver. */
function unreadableBlocks(pmem: Pmem, records: readonly FoundRecord[]): Set<number> {
  const unreadable = new Set<number>();
  for (const record of records) {
    forEachEntry(record, ({ block }) => {
      if (!reaches(() => { pmem.load(asByteAddr(block * BLOCK_SIZE), scratchBytes, 0, BLOCK_SIZE); })) unreadable.add(block);
    });
  }
  return unreadable;
}

/** False when an access ends in an error of the medium. */
function reaches(access: () => void): boolean {
  try {
    access();
    return true;
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'EIO') throw error;
    return false;
  }
}

function hasLine(line: number, low: number, high: number): boolean {
  return (((line < 32 ? low : high) >>> (line % 32)) & 1) !== 0;
}

/**
 * True when the medium shows what it shows after the records (the newest last) are applied: there is nothing to do. What a record has for a line
 * counts unless a later one has something for it, too.
 */
function areApplied(pmem: Pmem, records: readonly FoundRecord[], unreadable: ReadonlySet<number>): boolean {
  if (unreadable.size > 0) return false;
  const later = new Map<number, { low: number; high: number }>();
  let same = true;
  for (const record of [...records].reverse()) {
    forEachEntry(record, ({ block, zeroFirst, low, high, images }) => {
      if (!same) return;
      const over = later.get(block) ?? { low: 0, high: 0 };
      pmem.load(asByteAddr(block * BLOCK_SIZE), scratchBytes, 0, BLOCK_SIZE);
      let image = images;
      for (let line = 0; line < BLOCK_SIZE / LINE_SIZE && same; line += 1) {
        const logged = hasLine(line, low, high);
        const counts = !hasLine(line, over.low, over.high);
        if (counts && logged) same = isSameLine(scratchBytes, line * LINE_SIZE, record.bytes, image);
        else if (counts && zeroFirst) same = isSameLine(scratchBytes, line * LINE_SIZE, ZERO_LINE, 0);
        if (logged) image += LINE_SIZE;
      }
      const all = zeroFirst ? 0xffffffff : 0;
      later.set(block, { low: (over.low | low | all) >>> 0, high: (over.high | high | all) >>> 0 });
    });
  }
  return same;
}

const ZERO_LINE = new Uint8Array(LINE_SIZE);

function isSameLine(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number): boolean {
  for (let index = 0; index < LINE_SIZE; index += 1) if (a[aOffset + index] !== b[bOffset + index]) return false;
  return true;
}

/** Starts a record and the blocks it changes on their way to the medium, as they are. */
function persistRecord(pmem: Pmem, geometry: Geometry, record: FoundRecord, unreadable: ReadonlySet<number>): void {
  const start = (geometry.journalStart + record.segment * geometry.journalSegmentBlocks) * BLOCK_SIZE + record.offset;
  pmem.persist(asByteAddr(start), record.bytes.length);
  forEachEntry(record, ({ block }) => {
    if (!unreadable.has(block)) pmem.persist(asByteAddr(block * BLOCK_SIZE), BLOCK_SIZE);
  });
}

/** Stores what a record says in place; the caller fences. An `unreadable` block may take no stores either, and stays what it is. */
export function applyRecord(pmem: Pmem, record: FoundRecord, unreadable: ReadonlySet<number> = new Set()): void {
  forEachEntry(record, (entry) => {
    if (unreadable.has(entry.block)) reaches(() => { applyEntry(pmem, record, entry); });
    else applyEntry(pmem, record, entry);
  });
}

function applyEntry(pmem: Pmem, record: FoundRecord, { block, zeroFirst, low, high, images }: ChangedBlock): void {
  const address = block * BLOCK_SIZE;
  if (zeroFirst) pmem.zero(asByteAddr(address), BLOCK_SIZE);
  let image = images;
  for (let line = 0; line < BLOCK_SIZE / LINE_SIZE; line += 1) {
    if (!hasLine(line, low, high)) continue;
    pmem.store(asByteAddr(address + line * LINE_SIZE), record.bytes, image, LINE_SIZE);
    image += LINE_SIZE;
  }
}

function bitCount(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count += 1;
  return count;
}
