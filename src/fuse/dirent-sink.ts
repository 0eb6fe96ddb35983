import type { Ino } from '../base/units.js';
import { setU64 } from '../format/numbers.js';
import type { EntrySink } from '../fs/types.js';
import { DirentOut } from './protocol.js';
import { REPLY_BODY_MAX, type Replies } from './replies.js';

/** Writes the records of READDIR, or of READDIRPLUS with the entries still blank, into the body of a reply. */
export class DirentSink implements EntrySink {
  /** Where the next record goes, an offset in the reply's bytes. */
  at = 0;
  private end = 0;
  private entrySize = 0;

  constructor(private readonly replies: Replies) {}

  /** `size`: bytes that the kernel has room for; `entrySize`: of the entry before each record, 0 or ENTRY_OUT_SIZE. */
  begin(size: number, entrySize: number): void {
    this.at = this.replies.body;
    this.end = this.at + Math.min(size, REPLY_BODY_MAX);
    this.entrySize = entrySize;
  }

  entry(bytes: Uint8Array, nameOffset: number, nameLength: number, ino: Ino, type: number, cookie: number): boolean {
    const record = this.at + this.entrySize;
    const name = record + DirentOut.name;
    const next = this.at + direntSize(this.entrySize, nameLength);
    if (next > this.end) return false;
    const { view, bytes: target } = this.replies;
    target.fill(0, this.at, record);
    setU64(view, record + DirentOut.ino, ino);
    setU64(view, record + DirentOut.offset, cookie);
    view.setUint32(record + DirentOut.nameLength, nameLength, true);
    view.setUint32(record + DirentOut.type, type, true);
    for (let i = 0; i < nameLength; i++) target[name + i] = bytes[nameOffset + i] as number;
    target.fill(0, name + nameLength, next);
    this.at = next;
    return true;
  }
}

/** Bytes of a record with the entry before it: records begin at multiples of 8. */
export function direntSize(entrySize: number, nameLength: number): number {
  return (entrySize + DirentOut.name + nameLength + 7) & ~7;
}
