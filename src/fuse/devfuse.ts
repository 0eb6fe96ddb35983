import { closeSync } from 'node:fs';
import { addon, type ImageHandle } from '../../native/addon.js';
import { assert } from '../base/assert.js';
import { Errno, errnoName, FsError } from '../base/errno.js';
import type { FileSystemOperations } from '../fs/operations.js';
import type { Ranges } from '../fs/types.js';
import type { Channel } from './channel.js';
import type { LogFunction } from './log.js';
import { type MountControl, Session, type SessionOptions } from './session.js';
import type { SharedState } from './shared-state.js';
import type { MountSettings, ServeEnd, Transport } from './transport.js';

/** Requests served before Node's event loop gets a turn in any case; receive() gives it one sooner when it has events. */
const REQUESTS_PER_TURN = 512;
/** Under load, a step of deferred work is done every so many requests. */
const REQUESTS_PER_STEP = 64;
/** Pending timestamps are written at most this much later. */
const FLUSH_TIMES_MS = 1000;
/** After `stop`: the queue is taken for empty when receive has returned nothing this often (one may be the event loop's). */
const EMPTY_RECEIVES = 3;

/**
 * Raw /dev/fuse. The thread of the event loop itself waits for requests, in the addon, and returns to the loop whenever
 * that has something to do: no other thread, no hand-over, no promise per request.
 */
export class DevFuseTransport implements Transport, Channel {
  readonly session: Session;
  private ended: ((end: ServeEnd) => void) | null = null;
  private failed: ((error: unknown) => void) | null = null;
  private flushTimer: NodeJS.Timeout | null = null;
  private stopAt = Infinity;
  private emptyReceives = 0;

  /** `fd`: of a mounted device, closed by `close`; `image`: where the ranges of a read lie; `shared`: of the mount. */
  constructor(
    private fd: number,
    private readonly fs: FileSystemOperations,
    private readonly image: ImageHandle,
    private readonly settings: MountSettings,
    log: LogFunction,
    shared: SharedState,
    private readonly control?: MountControl,
    /** What former servers left of open files, and what programs that map the medium themselves need. */
    files: Pick<SessionOptions, 'backings' | 'cached' | 'image'> = {},
  ) {
    this.session = new Session(fs, this, { directIo: settings.directIo, acls: settings.acls, debug: settings.debug, log, shared, control, ...files });
    // A former server may have left some.
    this.session.timesDue = true;
  }

  serve(): Promise<ServeEnd> {
    assert(this.fd !== -1 && this.ended === null, 'a transport serves once');
    return new Promise((resolve, reject) => {
      this.ended = resolve;
      this.failed = reject;
      // Not now: the first turn may wait for a request, and the caller has things to do and to say before.
      setImmediate(this.turn);
    });
  }

  stop(graceMs: number): void {
    this.stopAt = Math.min(this.stopAt, performance.now() + graceMs);
  }

  close(): void {
    if (this.flushTimer !== null) clearTimeout(this.flushTimer);
    this.flushTimer = null;
    if (this.fd !== -1) closeSync(this.fd);
    this.fd = -1;
  }

  reply(bytes: Uint8Array, offset: number, length: number): number {
    return addon.reply(this.fd, bytes, offset, length);
  }

  replyMapped(header: Uint8Array, headerLength: number, ranges: Ranges): number {
    const { addresses, lengths, count } = ranges;
    return addon.replyMapped(this.fd, this.image, header, 0, headerLength, addresses, lengths, count);
  }

  openBacking(descriptor: number): number {
    return addon.backingOpen(this.fd, descriptor);
  }

  tryBacking(): number {
    const file = addon.createSegment(1);
    try {
      const id = this.openBacking(file);
      if (id > 0) this.closeBacking(id);
      return Math.min(id, 0);
    } finally {
      closeSync(file);
    }
  }

  closeBacking(id: number): void {
    addon.backingClose(this.fd, id);
  }

  /** One turn of the event loop's: serves until the loop has something to do. */
  private readonly turn = (): void => {
    if (this.fd === -1) {
      this.ended?.('stopped');
      return;
    }
    try {
      const end = this.serveRequests();
      if (end === null) setImmediate(this.turn);
      else this.ended?.(end);
    } catch (error) {
      this.failed?.(error);
    }
  };

  /** Serves until Node's event loop shall run (null) or there is nothing more to serve. */
  private serveRequests(): ServeEnd | null {
    const { session } = this;
    const stopping = this.stopAt !== Infinity;
    for (let served = 0; served < REQUESTS_PER_TURN; ) {
      if (session.timesDue && this.flushTimer === null) this.startFlushTimer();
      const wait = session.workDue || stopping ? 0 : -1;
      const length = addon.receive(this.fd, session.buffer, wait, wait === 0 ? 0 : this.settings.spinMicroseconds);
      if (length > 0) {
        session.handle(length);
        if (session.shutDown) return 'shut down';
        served++;
        this.emptyReceives = 0;
        if (session.workDue && served % REQUESTS_PER_STEP === 0) this.step();
        if (stopping && performance.now() > this.stopAt) return 'stopped';
      } else if (length < 0) {
        if (length === -Errno.ENODEV) return 'unmounted';
        throw new FsError(-length, `reading /dev/fuse failed: ${errnoName(-length)}`);
      } else if (stopping) {
        return ++this.emptyReceives >= EMPTY_RECEIVES ? 'stopped' : null;
      } else if (session.workDue) {
        this.step();
        if (session.workDue) return null;
      } else {
        return null;
      }
    }
    return null;
  }

  private step(): void {
    const { session } = this;
    try {
      session.workDue = this.fs.backgroundStep();
    } catch (error) {
      // Asked again after the next operation that frees something.
      session.workDue = false;
      session.report('background', `freeing removed files failed: ${describe(error)}`);
      if (error instanceof FsError && error.errno === Errno.EIO) this.fs.noteDamage(error.message);
    }
  }

  private startFlushTimer(): void {
    this.flushTimer = setTimeout(() => {
      this.flushTimer = null;
      this.session.timesDue = false;
      try {
        // Somebody may have changed the mount without telling: then the answer is nobody's to hear.
        this.control?.followMount();
        this.fs.flushTimes();
        this.session.forgetUnused();
      } catch (error) {
        this.session.report('times', `writing timestamps failed: ${describe(error)}`);
      }
    }, FLUSH_TIMES_MS);
  }
}

function describe(error: unknown): string {
  if (error instanceof FsError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
