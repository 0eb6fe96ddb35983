/**
 * A mount in-process whose server can die at any store, fence, note or reply, with somebody who plays the kernel: what a death leaves is
 * the medium and the shared memory as they are at that moment, nothing that the dying server does later.
 */
import { makeVolume } from '../../mkfs/layout.js';
import { ManualClock } from '../../src/base/clock.js';
import { fail } from '../../src/base/errno.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { ReferenceLog } from '../../src/fs/reference-log.js';
import { type CounterPages, References } from '../../src/fs/references.js';
import { COUNTERS_PER_PAGE, REFERENCE_LOG_ENTRIES, Segment, SEGMENT_CONTROL_BYTES } from '../../src/fs/segment.js';
import type { Ranges } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import type { Channel } from '../../src/fuse/channel.js';
import { Opcode as O } from '../../src/fuse/opcodes.js';
import { Session } from '../../src/fuse/session.js';
import { SharedState } from '../../src/fuse/shared-state.js';
import { isUnanswered, noteCommitted, resend, settleInFlight } from '../../src/fuse/takeover.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import type { Regions } from '../../src/region/regions.js';

const ENOENT = 2;
const RESEND = 7;
const IN_HEADER = 40;
const RESENT = 1n << 63n;
const CACHE_BYTES = 2 * 1024 * 1024;
const IMAGE = { device: 1n, inode: 2n, path: '/image', domain: 'memory', declared: false } as const;

/** What outlives a server. */
export interface Estate {
  readonly medium: SimulatedPmem;
  readonly control: ArrayBuffer;
  readonly pages: Map<number, Uint32Array>;
  /** The same for open files, and for those that are open through the page cache. */
  readonly openPages: Map<number, Uint32Array>;
  readonly cachedPages: Map<number, Uint32Array>;
}

export function newEstate(sizeBytes: number): Estate {
  const medium = new SimulatedPmem(sizeBytes);
  makeVolume(medium, { label: '', uuid: Buffer.from('0123456789abcdef'), journalId: 99, hashSeed: 1, madeSeconds: 1, madeNanoseconds: 0 });
  return { medium, control: new ArrayBuffer(SEGMENT_CONTROL_BYTES), pages: new Map(), openPages: new Map(), cachedPages: new Map() };
}

/** The same, to be used independently; the first may not change any more. */
export function copyEstate({ medium, control, pages, openPages, cachedPages }: Estate): Estate {
  const copy = (of: Map<number, Uint32Array>): Map<number, Uint32Array> => new Map([...of].map(([number, page]) => [number, page.slice()]));
  return { medium: medium.fork(), control: control.slice(0), pages: copy(pages), openPages: copy(openPages), cachedPages: copy(cachedPages) };
}

function pagesIn(pages: Map<number, Uint32Array>): CounterPages {
  return {
    existing: () => [...pages.keys()],
    page: (number) => {
      const page = pages.get(number) ?? new Uint32Array(COUNTERS_PER_PAGE);
      pages.set(number, page);
      return page;
    },
    release: (number) => pages.delete(number),
  };
}

/** A request that the kernel has sent and not got the answer to. */
interface Unanswered {
  readonly id: bigint;
  readonly opcode: number;
  readonly nodeid: number;
  readonly body: Buffer;
}

export interface Answer {
  readonly error: number;
  readonly body: Buffer;
}

/** What the kernel knows of the mount: who waits, and how many lookups it will give back. */
export class Kernel {
  readonly lookups = new Map<number, number>();
  /** Files that are open. */
  readonly opens = new Map<number, number>();
  unanswered: Unanswered | null = null;
  /** It was asked to send the request again, and no server has read it since. */
  private pending = false;
  /** The answer to the last request. */
  answer: Answer | null = null;
  private nextId = 2n;

  /** A copy, to go on independently. */
  copy(): Kernel {
    const copy = new Kernel();
    for (const [ino, count] of this.lookups) copy.lookups.set(ino, count);
    for (const [ino, count] of this.opens) copy.opens.set(ino, count);
    copy.unanswered = this.unanswered;
    copy.pending = this.pending;
    copy.nextId = this.nextId;
    return copy;
  }

  /** Sends a request to the server. */
  send(server: MortalServer, opcode: number, nodeid: number, parts: readonly Buffer[]): void {
    this.nextId += 2n;
    const request = { id: this.nextId, opcode, nodeid, body: Buffer.concat(parts) };
    this.answer = null;
    if (opcode === O.FORGET || opcode === O.BATCH_FORGET) this.countForget(request);
    else this.unanswered = request;
    server.receive(request.id, request);
  }

  /** The server reads what is to be sent again, if it lives. */
  sendAgain(server: MortalServer): void {
    const { unanswered } = this;
    if (unanswered === null || !this.pending || server.left !== null) return;
    this.pending = false;
    server.receive(unanswered.id, unanswered);
  }

  /** The system call of a reply: 0 or −errno. */
  receive(message: Buffer): number {
    const id = message.readBigUInt64LE(8);
    const { unanswered } = this;
    if (id === 0n) {
      if (message.readInt32LE(4) === RESEND && unanswered !== null) {
        this.unanswered = { ...unanswered, id: unanswered.id | RESENT };
        this.pending = true;
      }
      return 0;
    }
    if (this.pending) return -ENOENT;
    if ((id & 1n) !== 0n) return unanswered?.id === (id & ~1n) ? 0 : -ENOENT;
    if (unanswered?.id !== id) return -ENOENT;
    this.unanswered = null;
    this.answer = { error: -message.readInt32LE(4), body: message.subarray(16) };
    if (this.answer.error === 0) this.countEntries(unanswered.opcode, this.answer.body);
    if (this.answer.error === 0) this.countOpens(unanswered, this.answer.body);
    return 0;
  }

  private countEntries(opcode: number, body: Buffer): void {
    const withEntry: readonly number[] = [O.LOOKUP, O.CREATE, O.MKNOD, O.MKDIR, O.SYMLINK, O.LINK, O.TMPFILE];
    if (withEntry.includes(opcode)) this.count(Number(body.readBigUInt64LE(0)), 1);
    if (opcode !== O.READDIRPLUS) return;
    for (let at = 0; at < body.length; at += 128 + ((24 + body.readUInt32LE(at + 128 + 16) + 7) & ~7)) this.count(Number(body.readBigUInt64LE(at)), 1);
  }

  private countOpens({ opcode, nodeid }: Unanswered, body: Buffer): void {
    const made = opcode === O.CREATE || opcode === O.TMPFILE;
    if (!made && opcode !== O.OPEN && opcode !== O.RELEASE) return;
    const ino = made ? Number(body.readBigUInt64LE(0)) : nodeid;
    const count = (this.opens.get(ino) ?? 0) + (opcode === O.RELEASE ? -1 : 1);
    if (count === 0) this.opens.delete(ino);
    else this.opens.set(ino, count);
  }

  private countForget({ opcode, nodeid, body }: Unanswered): void {
    if (opcode === O.FORGET) this.count(nodeid, -Number(body.readBigUInt64LE(0)));
    for (let i = 0; opcode === O.BATCH_FORGET && i < body.readUInt32LE(0); i++) {
      this.count(Number(body.readBigUInt64LE(8 + 16 * i)), -Number(body.readBigUInt64LE(16 + 16 * i)));
    }
  }

  private count(ino: number, change: number): void {
    if (ino === 0) return;
    const count = (this.lookups.get(ino) ?? 0) + change;
    if (count === 0) this.lookups.delete(ino);
    else this.lookups.set(ino, count);
  }
}

/** A region directory with no room for a file. */
const FULL_HOST: Regions = {
  obstacle: () => null,
  create: () => fail('ENOSPC', 'the host is full'),
  open: () => fail('ENOENT', 'there is no host file'),
  remove: () => undefined,
  space: () => null,
  close: () => undefined,
};

/** A server over an estate. It dies at event number `dieAt` (never, if that is infinite; the constructor throws then, and `onDeath` has what it left); `events` counts them. */
export class MortalServer implements Channel {
  readonly fs: FileSystemOperations;
  readonly session: Session;
  readonly references: References;
  readonly opens: References;
  readonly cached: References;
  readonly log: string[] = [];
  events = 0;
  /** What it left. The medium takes nothing more from it. */
  left: Estate | null = null;
  private started = false;
  private readonly clock = new ManualClock(1_700_000_000, 5);

  constructor(
    private readonly estate: Estate,
    private readonly kernel: Kernel,
    private readonly dieAt = Infinity,
    private readonly onDeath: (left: Estate) => void = () => undefined,
  ) {
    const { control, pages, openPages, cachedPages } = estate;
    const shared = new SharedState(control);
    const counts = (of: Map<number, Uint32Array>, entries: number, count: number): References =>
      new References(pagesIn(of), new MortalLog(new Float64Array(control, entries, 2 * REFERENCE_LOG_ENTRIES), new Uint32Array(control, count, 1), this.event));
    this.references = counts(pages, Segment.referenceLog, Segment.referenceCount);
    this.opens = counts(openPages, Segment.openLog, Segment.openCount);
    this.cached = counts(cachedPages, Segment.cachedLog, Segment.cachedCount);
    for (const log of [shared.referenceLog, shared.cachedLog, shared.openLog]) {
      const clear = log.clear.bind(log);
      log.clear = () => {
        this.event();
        clear();
        this.event();
      };
    }
    settleInFlight(shared, this, (low, high) => isUnanswered(this, low, high));
    this.fs = openVolume(this.mortal(estate.medium), {
      cacheBytes: CACHE_BYTES,
      clock: this.clock,
      log: (_level, message) => this.log.push(message),
      regions: FULL_HOST,
      kept: {
        references: this.references,
        opens: this.opens,
        times: shared.times,
        leases: shared.leases,
        damage: shared,
        recovered: (nextSequence, find) => {
          if (shared.firstSequence === 0) shared.firstSequence = nextSequence;
          noteCommitted(shared, (low, high) => find(low, high, shared.firstSequence));
        },
      },
    });
    resend(this);
    this.session = new Session(this.fs, this, { directIo: false, acls: true, debug: false, log: (_level, message) => this.log.push(message), shared, cached: this.cached, image: IMAGE });
    // Without a kernel there is no passthrough, but this host is asked.
    this.fs.serveRegions(() => null);
    this.started = true;
  }

  /** Dies now, if it has not. */
  die(): Estate {
    if (this.left !== null) return this.left;
    this.left = { ...copyEstate(this.estate), medium: this.estate.medium };
    this.onDeath(this.left);
    return this.left;
  }

  receive(id: bigint, { opcode, nodeid, body }: Unanswered): void {
    const { buffer } = this.session;
    const header = Buffer.alloc(IN_HEADER);
    header.writeUInt32LE(IN_HEADER + body.length, 0);
    header.writeUInt32LE(opcode, 4);
    header.writeBigUInt64LE(id, 8);
    header.writeBigUInt64LE(BigInt(nodeid), 16);
    if (this.left !== null) return;
    buffer.set(header);
    buffer.set(body, IN_HEADER);
    this.event();
    this.session.handle(IN_HEADER + body.length);
    this.event();
  }

  reply(bytes: Uint8Array, offset: number, length: number): number {
    return this.deliver(Buffer.from(bytes.subarray(offset, offset + length)));
  }

  replyMapped(header: Uint8Array, headerLength: number, ranges: Ranges): number {
    const parts = [Buffer.from(header.subarray(0, headerLength))];
    for (let i = 0; i < ranges.count; i++) {
      const part = Buffer.alloc(ranges.lengths[i] ?? 0);
      const address = ranges.addresses[i] ?? -1;
      if (address >= 0) this.estate.medium.load(asByteAddr(address), part, 0, part.length);
      parts.push(part);
    }
    return this.deliver(Buffer.concat(parts));
  }

  private deliver(message: Buffer): number {
    this.event();
    if (this.left !== null) return 0;
    const result = this.kernel.receive(message);
    this.event();
    return result;
  }

  private readonly event = (): void => {
    this.events += 1;
    if (this.events !== this.dieAt) return;
    this.die();
    if (!this.started) throw new Error('the server died');
  };

  /** The medium, until the server dies. */
  private mortal(medium: SimulatedPmem): Pmem {
    const changing = new Set(['store', 'zero', 'copy', 'persist', 'fence']);
    return new Proxy(medium, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (name === 'close') return undefined; // the test looks at it afterwards
          if (!changing.has(String(name))) return Reflect.apply(value, target, args) as unknown;
          this.event();
          return this.left === null ? (Reflect.apply(value, target, args) as unknown) : undefined;
        };
      },
    });
  }
}

/** Death may come before and after each note. */
class MortalLog extends ReferenceLog {
  constructor(
    entries: Float64Array,
    count: Uint32Array,
    private readonly event: () => void,
  ) {
    super(entries, count);
  }

  override note(ino: Ino, before: number): void {
    this.event();
    super.note(ino, before);
    this.event();
  }

  override clear(): void {
    super.clear();
    this.event();
  }
}

export const ROOT = asIno(1);
