import { FsError } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { Caller, type Name } from '../fs/types.js';
import { getI64, getU64 } from '../format/numbers.js';
import { IN_HEADER_SIZE, InHeader, NAME_MAX } from './protocol.js';

/**
 * The request being served, decoded at fixed offsets of the receive buffer. There is one per session, used again for every
 * request. Offsets of the reading methods count from the start of the arguments (the end of the header).
 */
export class Request {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Of the whole message, in bytes. */
  length = 0;
  opcode = 0;
  uniqueLow = 0;
  uniqueHigh = 0;
  nodeid = 0 as Ino;
  /** The thread that waits, as the daemon's pid namespace has it; 0: none, or not to be seen from there. */
  pid = 0;
  /** With id-mapped mounts −1 (as u32) in requests that create nothing: the kernel has checked who may. */
  readonly caller = new Caller();

  /** `bytes`: the buffer that requests are received into; its length is the largest request. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Reads the header of the `length` bytes received. EPROTO if they aren't one whole request. */
  decode(length: number): void {
    const view = this.view;
    this.length = length;
    if (length < IN_HEADER_SIZE || view.getUint32(InHeader.length, true) !== length) {
      throw new FsError('EPROTO', `a request of ${String(length)} bytes is not whole`);
    }
    this.opcode = view.getUint32(InHeader.opcode, true);
    this.uniqueLow = view.getUint32(InHeader.unique, true);
    this.uniqueHigh = view.getUint32(InHeader.unique + 4, true);
    this.nodeid = getU64(view, InHeader.nodeid) as Ino;
    this.caller.uid = view.getUint32(InHeader.uid, true);
    this.caller.gid = view.getUint32(InHeader.gid, true);
    this.pid = view.getUint32(InHeader.pid, true);
  }

  /** EPROTO unless the arguments have `size` bytes. */
  need(size: number): void {
    if (this.length < IN_HEADER_SIZE + size) {
      throw new FsError('EPROTO', `request ${String(this.opcode)} of ${String(this.length)} bytes is too short`);
    }
  }

  u32(offset: number): number {
    return this.view.getUint32(IN_HEADER_SIZE + offset, true);
  }

  /** Inexact, but larger, above 2^53. */
  u64(offset: number): number {
    return getU64(this.view, IN_HEADER_SIZE + offset);
  }

  i64(offset: number): number {
    return getI64(this.view, IN_HEADER_SIZE + offset);
  }

  ino(offset: number): Ino {
    return this.u64(offset) as Ino;
  }

  /** A file offset or length: EFBIG above 2^53 − 1. */
  fileOffset(offset: number): number {
    const value = this.u64(offset);
    if (value > Number.MAX_SAFE_INTEGER) throw new FsError('EFBIG');
    return value;
  }

  /** Points `name` at the NUL-terminated name at `offset`; returns the offset after its NUL. ENAMETOOLONG. */
  name(offset: number, name: Name): number {
    return this.text(offset, name, NAME_MAX);
  }

  /** As `name`, for text of at most `limit` bytes. */
  text(offset: number, text: Name, limit: number): number {
    const bytes = this.bytes;
    const start = IN_HEADER_SIZE + offset;
    let end = start;
    while (end < this.length && bytes[end] !== 0) end++;
    if (end >= this.length) throw new FsError('EPROTO', `request ${String(this.opcode)}: a name does not end`);
    if (end - start > limit) throw new FsError('ENAMETOOLONG');
    text.set(bytes, start, end - start);
    return end + 1 - IN_HEADER_SIZE;
  }
}
