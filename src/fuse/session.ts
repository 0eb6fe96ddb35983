import { errnoName, Errno, FsError } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { AttributeChange, Attributes, Change, Name, Ranges, Statistics } from '../fs/types.js';
import type { Channel } from './channel.js';
import { DirentSink } from './dirent-sink.js';
import { OpenReply, SET_ID_BITS } from './flags.js';
import { handlers } from './handlers/table.js';
import type { LogFunction } from './log.js';
import { MAX_IO_BYTES, type NegotiatedProtocol } from './negotiation.js';
import { opcodeName } from './opcodes.js';
import { IN_HEADER_SIZE, PAGE_BYTES, WRITE_IN_SIZE } from './protocol.js';
import { DataError, Replies } from './replies.js';
import { Request } from './request.js';

/** What the kernel demands of a receive buffer: the largest WRITE with its headers; and room for two longest names. */
export const RECEIVE_BYTES = MAX_IO_BYTES + PAGE_BYTES + IN_HEADER_SIZE + WRITE_IN_SIZE;

/**
 * A READ of 1 MiB touches at most 257 blocks, each at worst an extent of its own. A reply cut short would be taken for
 * the end of the file, so there must be room for all.
 */
const RANGES_PER_READ = 512;

/** Kinds of failures remembered so that each is reported once. */
const REPORTED_KINDS_MAX = 256;

export interface SessionOptions {
  /** No page cache: OPEN is answered with FOPEN_DIRECT_IO. */
  readonly directIo: boolean;
  readonly debug: boolean;
  readonly log: LogFunction;
  /** The owner of the mount, if it can do something for a session. */
  readonly control?: MountControl | undefined;
  /** From an earlier server of the same mount; INIT is expected otherwise. */
  readonly protocol?: NegotiatedProtocol;
}

/** What a session asks of the owner of its mount. */
export interface MountControl {
  /** Lets the volume follow what the kernel shows as the options of the mount (remount). Returns why it can't, or null. */
  followMount(): FsError | null;
}

/** Serves one kind of request; throws FsError for the errno to answer. */
export type Handler = (session: Session) => void;

/**
 * One mount's conversation with the kernel: decodes a request, calls the filesystem, answers. Served one at a time, to
 * the end. Everything here is made once and used for every request: the hot paths allocate nothing.
 *
 * Lookup counts are the filesystem's holds: every entry given out is one, FORGET takes them back.
 */
export class Session {
  /** Requests are received into this. */
  readonly buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
  readonly request = new Request(this.buffer);
  readonly replies: Replies;
  readonly name = new Name();
  readonly otherName = new Name();
  readonly attributes = new Attributes();
  readonly change = new AttributeChange();
  readonly entries: DirentSink;
  readonly ranges = new Ranges(RANGES_PER_READ);
  readonly statistics = new Statistics();
  /** FOPEN bits for files. */
  readonly openFlags: number;
  protocol: NegotiatedProtocol | null;
  /** Timestamps may be pending: flushTimes is due within a second. */
  timesDue = false;
  /** Something may have been freed: backgroundStep has to be asked. */
  workDue = true;
  /** FS_IOC_SHUTDOWN was answered: no request is served any more, and nothing closed. */
  shutDown = false;
  readonly control: MountControl | null;
  readonly log: LogFunction;
  private readonly debug: boolean;
  private readonly reported = new Set<string>();

  constructor(
    readonly fs: FileSystemOperations,
    channel: Channel,
    options: SessionOptions,
  ) {
    this.replies = new Replies(channel);
    this.entries = new DirentSink(this.replies);
    this.openFlags = options.directIo ? OpenReply.DIRECT_IO | OpenReply.PARALLEL_DIRECT_WRITES : OpenReply.KEEP_CACHE;
    this.protocol = options.protocol ?? null;
    this.log = options.log;
    this.control = options.control ?? null;
    this.debug = options.debug;
  }

  /** Serves the request of `length` bytes in `buffer`. Never throws: failures are answered, and reported where they are ours. */
  handle(length: number): void {
    const request = this.request;
    try {
      request.decode(length);
      this.replies.begin(request.uniqueLow, request.uniqueHigh);
      if (this.debug) this.trace();
      const handler = handlers[request.opcode];
      if (handler === undefined) {
        this.replies.error(Errno.ENOSYS);
      } else {
        this.fs.setRequest(request.uniqueLow, request.uniqueHigh, request.opcode);
        handler(this);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Answers with an entry for the inode and counts a lookup. `openFlags` ≥ 0: CREATE's answer, with the file opened.
   */
  giveEntry(ino: Ino, openFlags = -1): void {
    const { fs, replies, attributes } = this;
    fs.getAttributes(ino, attributes);
    fs.hold(ino);
    const result =
      openFlags < 0 ? replies.entry(ino, attributes) : replies.created(ino, attributes, openFlags);
    // The kernel never saw the answer, so it will never forget the inode.
    if (result < 0) fs.release(ino, 1);
  }

  giveAttributes(ino: Ino): void {
    this.fs.getAttributes(ino, this.attributes);
    this.replies.attributes(this.attributes);
  }

  /**
   * Takes set-user-id and set-group-id from a file that one without CAP_FSETID changes, where the kernel leaves that to
   * us, and tells it that the mode is another now.
   */
  killPrivileges(ino: Ino): void {
    this.fs.getAttributes(ino, this.attributes);
    if ((this.attributes.mode & SET_ID_BITS) === 0) return;
    this.change.mask = Change.killPrivileges;
    this.fs.setAttributes(ino, this.change);
    this.replies.attributesChanged(ino);
  }

  /** Reports a failure that is ours or the medium's, once per kind. */
  report(kind: string, message: string): void {
    if (this.reported.has(kind)) return;
    if (this.reported.size >= REPORTED_KINDS_MAX) this.reported.clear();
    this.reported.add(kind);
    this.log('error', message);
  }

  private fail(error: unknown): void {
    const { request, replies } = this;
    const what = `${opcodeName(request.opcode)} of inode ${String(request.nodeid)}`;
    let errno: number = Errno.EIO;
    if (error instanceof FsError) {
      errno = error.errno;
      const media = errno === Errno.EIO || errno === Errno.EUCLEAN || errno === Errno.EPROTO;
      if (media) this.report(error.message, `${what}: ${error.message}`);
      if (media && errno !== Errno.EPROTO && !(error instanceof DataError)) this.fs.noteDamage(error.message);
      if (errno === Errno.EUCLEAN || errno === Errno.EPROTO) errno = Errno.EIO;
    } else {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.report(stack, `${what} failed; this is a bug of nvmfs: ${stack}`);
    }
    if (this.debug) this.log('debug', `${what}: ${errnoName(errno)}`);
    if (!replies.answered) replies.error(errno);
  }

  private trace(): void {
    const { opcode, nodeid, uniqueLow, length, caller } = this.request;
    const line = `${opcodeName(opcode)} inode ${String(nodeid)} unique ${String(uniqueLow)} length ${String(length)} uid ${String(caller.uid)}`;
    this.log('debug', line);
  }
}
