import { asByteAddr } from '../base/units.js';
import {
  BLOCK_SIZE,
  JOURNAL_ENTRY_SIZE,
  JOURNAL_SEGMENT_BLOCKS,
  JournalEntry,
  JournalEntryFlag,
  JournalRecord,
  LINE_SIZE,
  Magic,
  RECORD_HEADER_SIZE,
  STATE_BLOCK,
  TRANSACTION_BLOCKS_MAX,
} from '../format/layout.js';
import { getU48, getU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';

/** Where a valid record is. */
export interface RecordPlace {
  readonly sequence: number;
  readonly segment: number;
  /** Bytes from the beginning of the segment. */
  readonly offset: number;
  readonly length: number;
}

/** A valid record on the medium, read. */
export interface FoundRecord {
  readonly sequence: number;
  readonly segment: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** What is only looked at is read to these: a record never leaves its segment. */
const header = new DataView(new ArrayBuffer(RECORD_HEADER_SIZE));
const headerBytes = new Uint8Array(header.buffer);
const whole = new DataView(new ArrayBuffer(JOURNAL_SEGMENT_BLOCKS * BLOCK_SIZE));
const wholeBytes = new Uint8Array(whole.buffer);
const chunk = new DataView(new ArrayBuffer(BLOCK_SIZE));
const chunkBytes = new Uint8Array(chunk.buffer);

/** The record at a place of a segment, undefined unless everything about it is right. */
export function readRecord(pmem: Pmem, geometry: Geometry, segment: number, offset: number): FoundRecord | undefined {
  const place = findRecord(pmem, geometry, segment, offset);
  if (place === undefined) return undefined;
  const bytes = wholeBytes.slice(0, place.length);
  return { sequence: place.sequence, segment, offset, bytes, view: new DataView(bytes.buffer) };
}

/** Whether there is a record at a place of a segment, and everything about it is right. Leaves its bytes in `whole`. */
export function findRecord(pmem: Pmem, geometry: Geometry, segment: number, offset: number): RecordPlace | undefined {
  const length = headerAt(pmem, geometry, segment, offset);
  if (length === 0) return undefined;
  const address = (geometry.journalStart + segment * geometry.journalSegmentBlocks) * BLOCK_SIZE + offset;
  pmem.load(asByteAddr(address), wholeBytes, 0, length);
  if (pmem.crc32c(geometry.seed, wholeBytes, 4, length - 4) !== whole.getUint32(JournalRecord.checksum, true)) return undefined;
  if (!isWellFormed(whole, length, geometry)) return undefined;
  return { sequence: getU64(whole, JournalRecord.sequence), segment, offset, length };
}

/** The first valid record at or behind a place of a segment, whatever is before it. */
export function nextRecord(pmem: Pmem, geometry: Geometry, segment: number, from: number): RecordPlace | undefined {
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  const start = geometry.journalStart * BLOCK_SIZE + segment * segmentBytes;
  for (let chunkAt = from; chunkAt < segmentBytes; chunkAt += BLOCK_SIZE) {
    const length = Math.min(BLOCK_SIZE, segmentBytes - chunkAt);
    pmem.load(asByteAddr(start + chunkAt), chunkBytes, 0, length);
    for (let at = 0; at < length; at += LINE_SIZE) {
      if (chunk.getUint32(at + JournalRecord.magic, true) !== Magic.record) continue;
      const record = findRecord(pmem, geometry, segment, chunkAt + at);
      if (record !== undefined) return record;
    }
  }
  return undefined;
}

/**
 * Offset of the end of the older records that lie one right behind the other from `first` on, with consecutive numbers. Of those in between only the
 * headers are looked at: a record of a later lap leaves none of them where it lies. The one it begins in is the last of the chain, so that one must be whole.
 */
export function endOfChain(pmem: Pmem, geometry: Geometry, first: RecordPlace, lastSequence: number): number {
  const { segment } = first;
  let { sequence, offset: last } = first;
  let end = last + first.length;
  while (sequence < lastSequence) {
    const length = headerAt(pmem, geometry, segment, end);
    if (length === 0 || getU64(header, JournalRecord.sequence) !== sequence + 1) break;
    sequence += 1;
    last = end;
    end += length;
  }
  return last === first.offset || findRecord(pmem, geometry, segment, last) !== undefined ? end : last + LINE_SIZE;
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

/** Checks what a right checksum does not prove: a record never leads outside the volume or its own bytes. */
function isWellFormed(view: DataView, length: number, geometry: Geometry): boolean {
  const entries = view.getUint32(JournalRecord.entries, true);
  if (entries < 1 || entries > TRANSACTION_BLOCKS_MAX) return false;
  let expected = imagesOffset(entries);
  if (expected > length) return false;
  for (let entry = 0; entry < entries; entry += 1) {
    const at = RECORD_HEADER_SIZE + entry * JOURNAL_ENTRY_SIZE;
    if (!mayChange(getU48(view, at + JournalEntry.block), geometry)) return false;
    if ((view.getUint16(at + JournalEntry.flags, true) & ~JournalEntryFlag.zeroFirst) !== 0) return false;
    expected += LINE_SIZE * (bitCount(view.getUint32(at + JournalEntry.lines, true)) + bitCount(view.getUint32(at + JournalEntry.lines + 4, true)));
  }
  return expected === length;
}

/** The journal changes neither superblocks nor itself. */
function mayChange(block: number, geometry: Geometry): boolean {
  return block === STATE_BLOCK || (block >= geometry.groupStart && block < geometry.totalBlocks - 1);
}

/** Offset of the after-images in a record with so many entries. */
export function imagesOffset(entries: number): number {
  return RECORD_HEADER_SIZE + Math.ceil((entries * JOURNAL_ENTRY_SIZE) / LINE_SIZE) * LINE_SIZE;
}

/** How many bits of a 32-bit word are set. */
export function bitCount(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count += 1;
  return count;
}
