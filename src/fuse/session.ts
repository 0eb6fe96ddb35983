import { errnoName, Errno, FsError } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { References } from '../fs/references.js';
import { AttributeChange, Attributes, Change, MappedExtents, Name, Ranges, Statistics } from '../fs/types.js';
import { Backings } from './backings.js';
import { Capability, hasRootsCapability } from './caller.js';
import type { Channel } from './channel.js';
import { DirentSink } from './dirent-sink.js';
import { InitFlag, InitFlag2, OpenRequestFlag } from './flags.js';
import { Handles } from './handles.js';
import { handlers } from './handlers/table.js';
import { EXTENTS_MAX, type ImageIdentity } from './ioctls.js';
import type { LogFunction } from './log.js';
import type { NegotiatedProtocol } from './negotiation.js';
import { OpenFiles } from './open-files.js';
import { opcodeName } from './opcodes.js';
import { DataError, Replies } from './replies.js';
import { Request } from './request.js';
import { RESENT, SharedState } from './shared-state.js';
import { answerResent } from './takeover.js';

/**
 * A READ of 1 MiB touches at most 257 blocks, each at worst an extent of its own. A reply cut short would be taken for
 * the end of the file, so there must be room for all.
 */
const RANGES_PER_READ = 512;

const PERMISSION_BITS = 0o777;
const SET_USER_ID = 0o4000;
/** Without the right to execute, set-group-id means something else, and stays. */
const SET_GROUP_ID_EXECUTE = 0o2010;

/** Kinds of failures remembered so that each is reported once. */
const REPORTED_KINDS_MAX = 256;

export interface SessionOptions {
  /** No page cache: OPEN is answered with FOPEN_DIRECT_IO. */
  readonly directIo: boolean;
  /** Ask the kernel to check access with ACLs. */
  readonly acls: boolean;
  readonly debug: boolean;
  readonly log: LogFunction;
  /** The owner of the mount, if it can do something for a session. */
  readonly control?: MountControl | undefined;
  /** Of the mount; default: a table of its own. */
  readonly backings?: Backings | undefined;
  /** Of the mount, with what former servers left there; default: memory of its own. INIT is expected if that was not served yet. */
  readonly shared?: SharedState;
  /** How often each file is open through the page cache, as former servers left it; default: no file is. */
  readonly cached?: References;
  /** Where the medium is, for programs that map it; default: they can't. */
  readonly image?: ImageIdentity | undefined;
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
  readonly shared: SharedState;
  /** Requests are received into this. */
  readonly buffer: Buffer;
  readonly request: Request;
  readonly replies: Replies;
  readonly name = new Name();
  readonly otherName = new Name();
  readonly attributes = new Attributes();
  readonly change = new AttributeChange();
  readonly entries: DirentSink;
  readonly ranges = new Ranges(RANGES_PER_READ);
  readonly statistics = new Statistics();
  readonly extents = new MappedExtents(EXTENTS_MAX);
  readonly handles: Handles;
  readonly files: OpenFiles;
  readonly image: ImageIdentity | null;
  /** Inodes that the kernel is to be asked to forget, with the next pending timestamps. */
  readonly unused = new Set<Ino>();
  /** Timestamps may be pending: flushTimes is due within a second. */
  timesDue = false;
  /** Something may have been freed: backgroundStep has to be asked. */
  workDue = true;
  /** FS_IOC_SHUTDOWN was answered: no request is served any more, and nothing closed. */
  shutDown = false;
  readonly control: MountControl | null;
  readonly log: LogFunction;
  readonly wantsAcls: boolean;
  private readonly debug: boolean;
  private readonly reported = new Set<string>();

  constructor(
    readonly fs: FileSystemOperations,
    channel: Channel,
    options: SessionOptions,
  ) {
    this.shared = options.shared ?? new SharedState();
    this.buffer = this.shared.buffer;
    this.request = new Request(this.buffer);
    this.replies = new Replies(channel);
    this.entries = new DirentSink(this.replies);
    this.handles = new Handles(fs, this.shared, options.cached ?? new References());
    this.image = options.image ?? null;
    this.wantsAcls = options.acls;
    this.log = options.log;
    this.control = options.control ?? null;
    this.debug = options.debug;
    this.files = new OpenFiles(fs, channel, options.backings ?? new Backings(), this.handles, {
      directIo: options.directIo,
      negotiated: () => ((this.protocol?.flags2 ?? 0) & InitFlag2.PASSTHROUGH) !== 0,
      log: (message) => {
        this.report('passthrough', message);
      },
    });
    this.files.closeUnused((ino) => fs.isOpen(ino));
  }

  /** Serves the request of `length` bytes in `buffer`. Never throws: failures are answered, and reported where they are ours. */
  handle(length: number): void {
    const request = this.request;
    try {
      request.decode(length);
      this.replies.begin(request.uniqueLow, request.uniqueHigh);
      if (this.debug) this.trace();
      // Two comparisons for the one request in millions that comes a second time.
      if (request.uniqueHigh < RESENT || !answerResent(this)) this.serve();
    } catch (error) {
      this.fail(error);
    }
    this.shared.requestDone();
  }

  /** What was agreed upon at INIT, null before. */
  get protocol(): NegotiatedProtocol | null {
    return this.shared.protocol;
  }

  /** Answers with an entry for the inode and counts a lookup. */
  giveEntry(ino: Ino): void {
    const { fs, replies, attributes } = this;
    fs.getAttributes(ino, attributes);
    fs.hold(ino);
    // The kernel never saw the answer, so it will never forget the inode.
    if (replies.entry(ino, attributes) < 0) fs.release(ino, 1);
  }

  /** The same for CREATE and TMPFILE: with the file opened. */
  giveOpened(ino: Ino): void {
    const { fs, files, replies, attributes } = this;
    // Its number would be free when its opening fails.
    fs.hold(ino);
    try {
      files.open(ino);
      fs.getAttributes(ino, attributes);
    } catch (error) {
      fs.release(ino, 1);
      throw error;
    }
    const result = replies.created(ino, attributes, files);
    files.answered(ino, result);
    if (result < 0) fs.release(ino, 1);
  }

  /** Asks the kernel to forget what need not be remembered. */
  forgetUnused(): void {
    for (const ino of this.unused) this.replies.forgetUnused(ino);
    this.unused.clear();
  }

  giveAttributes(ino: Ino): void {
    this.fs.getAttributes(ino, this.attributes);
    this.replies.attributes(this.attributes);
  }

  /** With DONT_MASK the umask that comes with a request is ours to apply: a default ACL takes its place. */
  takeUmask(umask: number): void {
    this.request.caller.umask = this.negotiated(InitFlag.DONT_MASK) ? umask & PERMISSION_BITS : 0;
  }

  /** The kernel checks access with ACLs: only then may they be set. One that is not checked would be a false promise. */
  get hasAcls(): boolean {
    return this.negotiated(InitFlag.POSIX_ACL);
  }

  /**
   * Whether one who changes a file by a request that doesn't say so (FALLOCATE, COPY_FILE_RANGE; all of them from kernels without
   * HANDLE_KILLPRIV_V2) takes set-user-id away. Asked for files only that have it: it may cost a look at the process.
   */
  get callerLosesPrivileges(): boolean {
    const { caller, pid } = this.request;
    return !hasRootsCapability(caller.uid, pid, Capability.FSETID);
  }

  /**
   * Takes set-user-id and set-group-id from a file that one without CAP_FSETID changes, and tells the kernel that the mode is another
   * now: it takes only size and times for changed, and would go on running the file with the bits that it remembers.
   */
  killPrivileges(ino: Ino): void {
    if (!this.hasPrivileges(ino)) return;
    this.change.mask = Change.killPrivileges;
    this.fs.setAttributes(ino, this.change);
    this.replies.attributesChanged(ino);
  }

  /** The same for a request that doesn't say who makes it. */
  killPrivilegesOfOthers(ino: Ino): void {
    if (this.request.caller.uid === 0) return;
    if (this.hasPrivileges(ino) && this.callerLosesPrivileges) this.killPrivileges(ino);
  }

  /** O_TRUNC; `openFlags`: of OPEN or CREATE. One transaction, with what it takes from the mode. */
  truncate(ino: Ino, openFlags: number): void {
    const { change } = this;
    const told = this.negotiated(InitFlag.HANDLE_KILLPRIV_V2);
    const loses = (!told || (openFlags & OpenRequestFlag.KILL_SUIDGID) !== 0) && this.hasPrivileges(ino) && (told || this.callerLosesPrivileges);
    change.mask = Change.size | (loses ? Change.killPrivileges : 0);
    change.size = 0;
    this.fs.setAttributes(ino, change);
    this.workDue = true;
    if (loses) this.replies.attributesChanged(ino);
  }

  /** Whether the file has bits that a change by an ordinary user takes away; its attributes are in `attributes` afterwards. */
  private hasPrivileges(ino: Ino): boolean {
    this.fs.getAttributes(ino, this.attributes);
    const { mode } = this.attributes;
    return (mode & SET_USER_ID) !== 0 || (mode & SET_GROUP_ID_EXECUTE) === SET_GROUP_ID_EXECUTE;
  }

  private negotiated(flag: number): boolean {
    return this.protocol !== null && (this.protocol.flags & flag) !== 0;
  }

  /** Reports a failure that is ours or the medium's, once per kind. */
  report(kind: string, message: string): void {
    if (this.reported.has(kind)) return;
    if (this.reported.size >= REPORTED_KINDS_MAX) this.reported.clear();
    this.reported.add(kind);
    this.log('error', message);
  }

  private serve(): void {
    const { request } = this;
    const handler = handlers[request.opcode];
    if (handler === undefined) {
      this.replies.error(Errno.ENOSYS);
      return;
    }
    this.nameRequest();
    handler(this);
  }

  /** Transactions from now on are the present request's. */
  nameRequest(): void {
    const { request } = this;
    this.fs.setRequest(request.uniqueLow, (request.uniqueHigh & ~RESENT) >>> 0, request.opcode);
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
