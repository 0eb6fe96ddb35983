import { assert } from '../base/assert.js';
import { asByteAddr } from '../base/units.js';
import { BLOCK_SIZE, JournalRecord, Magic, RECORD_HEADER_SIZE } from '../format/layout.js';
import { setU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';

/** The request a transaction serves; goes into its record so that a re-sent request is recognised. */
export class Request {
  idLow = 0;
  idHigh = 0;
  kind = 0;
  /** What the request is answered with (an inode number), 0: nothing. */
  result = 0;

  clear(): void {
    this.idLow = this.idHigh = this.kind = this.result = 0;
  }
}

/** What a transaction of the server's own serves: freeing, pending timestamps. */
export const NO_REQUEST = new Request();

/** Where the next record goes: recovery finds it, every commit moves it. */
export interface LogPosition {
  /** Sequence number of the next record. */
  sequence: number;
  segment: number;
  /** Byte offset inside the segment. */
  offset: number;
}

/** The ring of journal segments: places finished records on the medium and makes them durable. */
export class Log {
  private readonly segmentBytes: number;

  constructor(
    private readonly pmem: Pmem,
    private readonly geometry: Geometry,
    private readonly position: LogPosition,
  ) {
    this.segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
  }

  get nextSequence(): number {
    return this.position.sequence;
  }

  /**
   * Fills in the header of the record that lies at bytes[base … base + length), stores it and fences: when this
   * returns, the transaction is committed. The same fence makes the after-images of the record before durable in place.
   */
  append(bytes: Uint8Array, view: DataView, base: number, length: number, entries: number, request: Request): void {
    assert(length % 64 === 0 && length <= this.segmentBytes, 'a record is whole lines and fits into a segment');
    const { position, geometry } = this;
    if (position.offset + length > this.segmentBytes) {
      position.segment = (position.segment + 1) % geometry.journalSegments;
      position.offset = 0;
    }
    bytes.fill(0, base, base + RECORD_HEADER_SIZE);
    view.setUint32(base + JournalRecord.magic, Magic.record, true);
    setU64(view, base + JournalRecord.sequence, position.sequence);
    setU64(view, base + JournalRecord.journalId, geometry.journalId);
    view.setUint32(base + JournalRecord.length, length, true);
    view.setUint32(base + JournalRecord.entries, entries, true);
    view.setUint32(base + JournalRecord.requestId, request.idLow, true);
    view.setUint32(base + JournalRecord.requestId + 4, request.idHigh, true);
    setU64(view, base + JournalRecord.result, request.result);
    view.setUint32(base + JournalRecord.requestKind, request.kind, true);
    const checksum = this.pmem.crc32c(geometry.seed, bytes, base + 4, length - 4);
    view.setUint32(base + JournalRecord.checksum, checksum, true);

    const start = geometry.journalStart * BLOCK_SIZE + position.segment * this.segmentBytes;
    this.pmem.store(asByteAddr(start + position.offset), bytes, base, length);
    this.pmem.fence();
    position.offset += length;
    position.sequence += 1;
  }
}
