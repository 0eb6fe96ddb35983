import { assert, AssertionFailure } from '../base/assert.js';
import { Errno, FsError } from '../base/errno.js';
import { setU64 } from '../format/numbers.js';
import { type Attributes, type Ranges, RANGES_HEADER_ROOM, type Statistics } from '../fs/types.js';
import type { Ino } from '../base/units.js';
import type { Channel } from './channel.js';
import { CACHE_SECONDS, cacheSeconds, encodeAttributes, encodeStatistics, encodeStatx } from './encode.js';
import {
  ATTR_OUT_SIZE,
  AttrOut,
  ENTRY_OUT_SIZE,
  EntryOut,
  GETXATTR_OUT_SIZE,
  InitOut,
  INIT_OUT_SIZE,
  IOCTL_OUT_SIZE,
  NOTIFY_INVAL_INODE_SIZE,
  NOTIFY_PRUNE_SIZE,
  NotifyInvalInode,
  OPEN_OUT_SIZE,
  OpenOut,
  OUT_HEADER_SIZE,
  OutHeader,
  STATFS_OUT_SIZE,
  STATX_OUT_SIZE,
  U64_OUT_SIZE,
  WRITE_OUT_SIZE,
  WriteOut,
} from './protocol.js';
import type { NegotiatedProtocol } from './negotiation.js';
import { InitFlag2 } from './flags.js';
import { Notify } from './opcodes.js';

/** Most bytes of one reply that isn't file data: a READDIR of 128 KiB. */
export const REPLY_BODY_MAX = 128 * 1024;
const BODY = OUT_HEADER_SIZE;

/** Host files lie on a filesystem that is not stacked on another; so others can still be stacked on this one. */
const STACK_DEPTH = 1;

/** What OPEN is answered with. `backingId`: 0, none. */
export interface OpenedReply {
  readonly handle: number;
  readonly flags: number;
  readonly backingId: number;
}

/** Bytes of a file that the medium can't deliver: no structure is damaged. */
export class DataError extends FsError {}

/**
 * Encodes replies into one buffer that is used again and again, and sends them. `begin` names the request that is
 * answered; then exactly one of the sending methods is called. They return what the channel says: 0, or −errno.
 */
export class Replies {
  /** Header and body; handlers with a reply of their own shape fill `bytes` from `body` on and call `send`. */
  readonly bytes = new Uint8Array(BODY + REPLY_BODY_MAX);
  readonly view = new DataView(this.bytes.buffer);
  readonly body = BODY;
  /** A reply was sent since `begin`. */
  answered = true;
  private uniqueLow = 0;
  private uniqueHigh = 0;
  private ioctlBytes = 0;
  private readonly notification = new DataView(new ArrayBuffer(OUT_HEADER_SIZE + NOTIFY_INVAL_INODE_SIZE));
  private readonly notificationBytes = new Uint8Array(this.notification.buffer);

  constructor(private readonly channel: Channel) {}

  begin(uniqueLow: number, uniqueHigh: number): void {
    this.uniqueLow = uniqueLow;
    this.uniqueHigh = uniqueHigh;
    this.answered = false;
  }

  /** Sends the first `bodyLength` bytes of the body. */
  send(bodyLength: number): number {
    this.header(BODY + bodyLength, 0);
    return this.refused(this.channel.reply(this.bytes, 0, BODY + bodyLength));
  }

  /** Success without a body. */
  done(): number {
    return this.send(0);
  }

  /** `errno`: positive. */
  error(errno: number): number {
    this.header(BODY, -errno);
    return this.channel.reply(this.bytes, 0, BODY);
  }

  /** A READ of `length` bytes. Throws FsError EIO if the medium can't deliver them. */
  data(length: number, ranges: Ranges): number {
    this.header(BODY + length, 0);
    if (ranges.inMemory) {
      const start = RANGES_HEADER_ROOM - OUT_HEADER_SIZE;
      for (let index = 0; index < OUT_HEADER_SIZE; index += 1) ranges.reserve(length)[start + index] = this.bytes[index] as number;
      return this.refused(this.channel.reply(ranges.bytes, start, OUT_HEADER_SIZE + length));
    }
    const result = this.channel.replyMapped(this.bytes, BODY, ranges);
    if (result === -Errno.EIO) {
      this.answered = false;
      throw new DataError('EIO', `the medium can't deliver ${String(length)} bytes from ${String(ranges.addresses[0])} on`);
    }
    return this.refused(result);
  }

  entry(ino: Ino, attributes: Attributes): number {
    this.encodeEntry(BODY, ino, attributes);
    return this.send(ENTRY_OUT_SIZE);
  }

  /** There is no such name, and the kernel may remember that. */
  noEntry(): number {
    this.bytes.fill(0, BODY, BODY + ENTRY_OUT_SIZE);
    setU64(this.view, BODY + EntryOut.entryValid, CACHE_SECONDS);
    return this.send(ENTRY_OUT_SIZE);
  }

  /** CREATE and TMPFILE: the entry, and the file opened. */
  created(ino: Ino, attributes: Attributes, opened: OpenedReply): number {
    this.encodeEntry(BODY, ino, attributes);
    this.encodeOpen(BODY + ENTRY_OUT_SIZE, opened);
    return this.send(ENTRY_OUT_SIZE + OPEN_OUT_SIZE);
  }

  opened(opened: OpenedReply): number {
    this.encodeOpen(BODY, opened);
    return this.send(OPEN_OUT_SIZE);
  }

  attributes(attributes: Attributes): number {
    setU64(this.view, BODY + AttrOut.valid, cacheSeconds(attributes));
    setU64(this.view, BODY + AttrOut.validNanoseconds, 0);
    encodeAttributes(this.view, BODY + AttrOut.attributes, attributes);
    return this.send(ATTR_OUT_SIZE);
  }

  statx(attributes: Attributes): number {
    this.bytes.fill(0, BODY, BODY + STATX_OUT_SIZE);
    encodeStatx(this.view, BODY, attributes);
    return this.send(STATX_OUT_SIZE);
  }

  statistics(statistics: Statistics): number {
    this.bytes.fill(0, BODY, BODY + STATFS_OUT_SIZE);
    encodeStatistics(this.view, BODY, statistics);
    return this.send(STATFS_OUT_SIZE);
  }

  /** WRITE and COPY_FILE_RANGE: how many bytes. */
  written(bytes: number): number {
    this.view.setUint32(BODY + WriteOut.size, bytes, true);
    this.view.setUint32(BODY + 4, 0, true);
    return this.send(WRITE_OUT_SIZE);
  }

  /** GETXATTR and LISTXATTR that ask for the length only. */
  xattrSize(bytes: number): number {
    this.view.setUint32(BODY, bytes, true);
    this.view.setUint32(BODY + 4, 0, true);
    return this.send(GETXATTR_OUT_SIZE);
  }

  /** LSEEK: the offset; COPY_FILE_RANGE_64: the count. */
  u64(value: number): number {
    setU64(this.view, BODY, value);
    return this.send(U64_OUT_SIZE);
  }

  /** Prepares an answer to IOCTL with `size` bytes of data, zero so far; returns where they are. `ioctl` sends it. */
  beginIoctl(size: number): number {
    this.ioctlBytes = IOCTL_OUT_SIZE + size;
    this.bytes.fill(0, BODY, BODY + this.ioctlBytes);
    return BODY + IOCTL_OUT_SIZE;
  }

  ioctl(): number {
    return this.send(this.ioctlBytes);
  }

  init(protocol: NegotiatedProtocol): number {
    const view = this.view;
    this.bytes.fill(0, BODY, BODY + INIT_OUT_SIZE);
    view.setUint32(BODY + InitOut.major, protocol.major, true);
    view.setUint32(BODY + InitOut.minor, protocol.minor, true);
    view.setUint32(BODY + InitOut.maxReadahead, protocol.maxReadahead, true);
    view.setUint32(BODY + InitOut.flags, protocol.flags, true);
    view.setUint16(BODY + InitOut.maxBackground, protocol.maxBackground, true);
    view.setUint16(BODY + InitOut.congestionThreshold, protocol.congestionThreshold, true);
    view.setUint32(BODY + InitOut.maxWrite, protocol.maxWrite, true);
    view.setUint32(BODY + InitOut.timeGranularity, 1, true);
    view.setUint16(BODY + InitOut.maxPages, protocol.maxPages, true);
    view.setUint32(BODY + InitOut.flags2, protocol.flags2, true);
    if ((protocol.flags2 & InitFlag2.PASSTHROUGH) !== 0) view.setUint32(BODY + InitOut.maxStackDepth, STACK_DEPTH, true);
    return this.send(INIT_OUT_SIZE);
  }

  /** Writes a struct fuse_entry_out at `at`. */
  encodeEntry(at: number, ino: Ino, attributes: Attributes): void {
    const view = this.view;
    setU64(view, at + EntryOut.nodeid, ino);
    setU64(view, at + EntryOut.generation, attributes.generation);
    setU64(view, at + EntryOut.entryValid, CACHE_SECONDS);
    setU64(view, at + EntryOut.attributesValid, cacheSeconds(attributes));
    setU64(view, at + EntryOut.entryValidNanoseconds, 0);
    encodeAttributes(view, at + EntryOut.attributes, attributes);
  }

  /** Tells the kernel to forget the attributes it keeps of an inode (not the data): it did not see them change. */
  attributesChanged(ino: Ino): number {
    const view = this.notification;
    const length = OUT_HEADER_SIZE + NOTIFY_INVAL_INODE_SIZE;
    view.setUint32(OutHeader.length, length, true);
    view.setInt32(OutHeader.error, Notify.INVAL_INODE, true);
    setU64(view, OutHeader.unique, 0);
    setU64(view, OUT_HEADER_SIZE + NotifyInvalInode.ino, ino);
    view.setInt32(OUT_HEADER_SIZE + NotifyInvalInode.offset, -1, true);
    view.setInt32(OUT_HEADER_SIZE + NotifyInvalInode.offset + 4, -1, true);
    setU64(view, OUT_HEADER_SIZE + NotifyInvalInode.length, 0);
    return this.channel.reply(this.notificationBytes, 0, length);
  }

  /** Asks the kernel (from Linux 6.18) to forget an inode that nobody uses, mappings included; others may do so in time. */
  forgetUnused(ino: Ino): number {
    const view = this.notification;
    const length = OUT_HEADER_SIZE + NOTIFY_PRUNE_SIZE;
    view.setUint32(OutHeader.length, length, true);
    view.setInt32(OutHeader.error, Notify.PRUNE, true);
    setU64(view, OutHeader.unique, 0);
    view.setUint32(OUT_HEADER_SIZE, 1, true);
    view.setUint32(OUT_HEADER_SIZE + 4, 0, true);
    setU64(view, OUT_HEADER_SIZE + 8, 0);
    setU64(view, OUT_HEADER_SIZE + 16, ino);
    return this.channel.reply(this.notificationBytes, 0, length);
  }

  private encodeOpen(at: number, { handle, flags, backingId }: OpenedReply): void {
    setU64(this.view, at + OpenOut.fh, handle);
    this.view.setUint32(at + OpenOut.flags, flags, true);
    this.view.setUint32(at + OpenOut.backingId, backingId, true);
  }

  /**
   * Passes on what the channel said, unless the kernel found the reply malformed: then the request is still waiting, and
   * is answered with the error that this throws.
   */
  private refused(result: number): number {
    if (result === -Errno.EINVAL) {
      this.answered = false;
      throw new AssertionFailure('the kernel takes every reply');
    }
    return result;
  }

  private header(length: number, error: number): void {
    assert(!this.answered, 'a request is answered once');
    this.answered = true;
    const view = this.view;
    view.setUint32(OutHeader.length, length, true);
    view.setInt32(OutHeader.error, error, true);
    view.setUint32(OutHeader.unique, this.uniqueLow, true);
    view.setUint32(OutHeader.unique + 4, this.uniqueHigh, true);
  }
}
