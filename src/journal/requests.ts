import { JournalRecord } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { Geometry } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import type { LogPosition } from './log.js';
import { type FoundRecord, readRecord } from './records.js';

/**
 * Records after a request's own in which nobody needs to look for it: what a server writes between committing a request and
 * answering it is one step of freeing, and pending timestamps in a dozen transactions at most.
 */
const LOOK_BACK = 64;

/** What the journal knows of a request that was committed. */
export interface CommittedRequest {
  readonly kind: number;
  /** What it was answered with, or was to be: an inode number, 0: nothing. */
  readonly result: number;
}

/**
 * Looks among the last records for one that served the request; `position` is where the log goes on. Records before transaction
 * `since` are another mount's, whose ids mean something else. Undefined: it was not committed.
 */
export function findRequest(
  pmem: Pmem,
  geometry: Geometry,
  position: LogPosition,
  { idLow, idHigh, since }: { readonly idLow: number; readonly idHigh: number; readonly since: number },
): CommittedRequest | undefined {
  const oldest = Math.max(since, position.sequence - LOOK_BACK);
  let end = position.sequence;
  for (let turn = 0; turn < geometry.journalSegments && end > oldest; turn += 1) {
    const segment = (position.segment - turn + geometry.journalSegments) % geometry.journalSegments;
    const records = chain(pmem, geometry, segment, end);
    const first = records[0];
    if (first === undefined) return undefined;
    for (const record of records.reverse()) {
      const { view } = record;
      if (record.sequence < oldest) return undefined;
      if (view.getUint32(JournalRecord.requestId, true) !== idLow || view.getUint32(JournalRecord.requestId + 4, true) !== idHigh) continue;
      return { kind: view.getUint32(JournalRecord.requestKind, true), result: getU64(view, JournalRecord.result) };
    }
    end = first.sequence;
  }
  return undefined;
}

/** The records of a segment up to the one before transaction `end`; none if they don't lead there. */
function chain(pmem: Pmem, geometry: Geometry, segment: number, end: number): FoundRecord[] {
  const records: FoundRecord[] = [];
  let record = readRecord(pmem, geometry, segment, 0);
  while (record !== undefined && record.sequence < end) {
    records.push(record);
    const next = readRecord(pmem, geometry, segment, record.offset + record.bytes.length);
    record = next?.sequence === record.sequence + 1 ? next : undefined;
  }
  return records.at(-1)?.sequence === end - 1 ? records : [];
}
