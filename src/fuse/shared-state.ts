import { assert } from '../base/assert.js';
import { FsError } from '../base/errno.js';
import { KeptTimes } from '../fs/kept-times.js';
import { LeaseTable } from '../fs/lease-table.js';
import { ReferenceLog } from '../fs/reference-log.js';
import {
  KEEPER_ENTRIES,
  LEASE_ENTRIES,
  REFERENCE_LOG_ENTRIES,
  Segment,
  SEGMENT_CONTROL_BYTES,
  SEGMENT_MAGIC,
  SEGMENT_RECEIVE_BYTES,
  SEGMENT_VERSION,
  TIMES_ENTRIES,
  TIMES_ENTRY_BYTES,
} from '../fs/segment.js';
import type { NegotiatedProtocol } from './negotiation.js';
import { InHeader } from './protocol.js';

const Protocol = {
  valid: 0, major: 4, minor: 8, flags: 12, flags2: 16, maxReadahead: 20, maxWrite: 24, maxPages: 28, maxBackground: 32, congestionThreshold: 36,
} as const;
const Suspect = { idLow: 0, idHigh: 4, opcode: 8, attempts: 12, nodeid: 16, committed: 24, result: 32 } as const;

/** The mark that the kernel puts on the id of a request it sends again, in its upper half. */
export const RESENT = 0x80000000;

/**
 * The session's part of the segment: the request being served, what a former server died over, and what was agreed upon with the
 * kernel. Without a supervisor it is ordinary memory, and nobody reads it later.
 */
export class SharedState {
  /** Requests are received into this. Its header's length is 0 while no request is being served. */
  readonly buffer: Buffer;
  readonly referenceLog: ReferenceLog;
  /** The same of files opened through the page cache. */
  readonly cachedLog: ReferenceLog;
  /** The same of all open files. */
  readonly openLog: ReferenceLog;
  readonly leases: LeaseTable;
  readonly times: KeptTimes;
  readonly suspect: SuspectRequest;
  private readonly view: DataView;
  private readonly receiveView: DataView;
  private readonly numbers: Float64Array;

  /** EUCLEAN if another version of this program made it. */
  constructor(memory: ArrayBuffer = new ArrayBuffer(SEGMENT_CONTROL_BYTES)) {
    assert(memory.byteLength === SEGMENT_CONTROL_BYTES, 'the segment has its size');
    this.view = new DataView(memory, 0, Segment.referenceLog);
    if (this.view.getUint32(Segment.magic, true) === 0) {
      this.view.setUint32(Segment.version, SEGMENT_VERSION, true);
      this.view.setUint32(Segment.magic, SEGMENT_MAGIC, true);
    }
    const version = this.view.getUint32(Segment.version, true);
    if (this.view.getUint32(Segment.magic, true) !== SEGMENT_MAGIC || version !== SEGMENT_VERSION) {
      throw new FsError('EUCLEAN', `this mount was begun by another version of nvmfs (segment version ${String(version)}, not ${String(SEGMENT_VERSION)})`);
    }
    this.numbers = new Float64Array(memory, 0, Segment.referenceLog / 8);
    this.buffer = Buffer.from(memory, Segment.receive, SEGMENT_RECEIVE_BYTES);
    this.receiveView = new DataView(memory, Segment.receive, SEGMENT_RECEIVE_BYTES);
    this.referenceLog = new ReferenceLog(
      new Float64Array(memory, Segment.referenceLog, 2 * REFERENCE_LOG_ENTRIES),
      new Uint32Array(memory, Segment.referenceCount, 1),
    );
    this.cachedLog = new ReferenceLog(
      new Float64Array(memory, Segment.cachedLog, 2 * REFERENCE_LOG_ENTRIES),
      new Uint32Array(memory, Segment.cachedCount, 1),
    );
    this.openLog = new ReferenceLog(
      new Float64Array(memory, Segment.openLog, 2 * REFERENCE_LOG_ENTRIES),
      new Uint32Array(memory, Segment.openCount, 1),
    );
    this.leases = new LeaseTable(new Float64Array(memory, Segment.leases, 2 * (LEASE_ENTRIES + KEEPER_ENTRIES)));
    this.times = new KeptTimes(new DataView(memory, Segment.times, TIMES_ENTRIES * TIMES_ENTRY_BYTES));
    this.suspect = new SuspectRequest(new DataView(memory, Segment.suspect, 64));
  }

  /** The request in `buffer` is served. */
  requestDone(): void {
    this.clearInFlight();
    const { numbers } = this;
    numbers[Segment.served / 8] = (numbers[Segment.served / 8] as number) + 1;
  }

  /** A server that takes over has nothing to do with the request in `buffer`. */
  clearInFlight(): void {
    // First, what says whose changes the log has.
    this.receiveView.setUint32(InHeader.length, 0, true);
    this.referenceLog.clear();
    this.cachedLog.clear();
    this.openLog.clear();
  }

  /** A number that no open file of the mount has had. */
  nextHandle(): number {
    const { numbers } = this;
    const handle = (numbers[Segment.handles / 8] as number) + 1;
    numbers[Segment.handles / 8] = handle;
    return handle;
  }

  /** Length of the request that a former server had received and not finished, 0 if there is none. */
  get inFlight(): number {
    return this.receiveView.getUint32(InHeader.length, true);
  }

  /** Requests served to the end, by all servers of the mount. */
  get served(): number {
    return this.numbers[Segment.served / 8] as number;
  }

  /** The first transaction of the mount, 0 before the volume was opened. */
  get firstSequence(): number {
    return this.numbers[Segment.firstSequence / 8] as number;
  }

  set firstSequence(sequence: number) {
    this.numbers[Segment.firstSequence / 8] = sequence;
  }

  /** Damage has ended all changes; see KeptState. */
  get damaged(): boolean {
    return this.view.getUint32(Segment.damaged, true) !== 0;
  }

  set damaged(damaged: boolean) {
    this.view.setUint32(Segment.damaged, damaged ? 1 : 0, true);
  }

  /** What was agreed upon at INIT, null before. */
  get protocol(): NegotiatedProtocol | null {
    if (this.protocolField(Protocol.valid) === 0) return null;
    return {
      major: this.protocolField(Protocol.major),
      minor: this.protocolField(Protocol.minor),
      flags: this.protocolField(Protocol.flags) | 0,
      flags2: this.protocolField(Protocol.flags2) | 0,
      maxReadahead: this.protocolField(Protocol.maxReadahead),
      maxWrite: this.protocolField(Protocol.maxWrite),
      maxPages: this.protocolField(Protocol.maxPages),
      maxBackground: this.protocolField(Protocol.maxBackground),
      congestionThreshold: this.protocolField(Protocol.congestionThreshold),
    };
  }

  set protocol(protocol: NegotiatedProtocol | null) {
    const set = (field: number, value: number): void => {
      this.view.setUint32(Segment.protocol + field, value >>> 0, true);
    };
    set(Protocol.valid, 0);
    if (protocol === null) return;
    set(Protocol.major, protocol.major);
    set(Protocol.minor, protocol.minor);
    set(Protocol.flags, protocol.flags);
    set(Protocol.flags2, protocol.flags2);
    set(Protocol.maxReadahead, protocol.maxReadahead);
    set(Protocol.maxWrite, protocol.maxWrite);
    set(Protocol.maxPages, protocol.maxPages);
    set(Protocol.maxBackground, protocol.maxBackground);
    set(Protocol.congestionThreshold, protocol.congestionThreshold);
    set(Protocol.valid, 1);
  }

  private protocolField(field: number): number {
    return this.view.getUint32(Segment.protocol + field, true);
  }
}

/**
 * The request that the last server died over, as far as it is known: the kernel will send it again. It stays noted afterwards; ids never
 * come again in a mount. The id is without the mark RESENT.
 */
export class SuspectRequest {
  constructor(private readonly view: DataView) {}

  /** Notes a request; if it is the one noted already, what is known of it stays. */
  note(idLow: number, idHigh: number, opcode: number, nodeid: number): void {
    if (this.is(idLow, idHigh)) return;
    this.view.setUint32(Suspect.committed, 0, true);
    this.view.setUint32(Suspect.attempts, 1, true);
    this.view.setUint32(Suspect.opcode, opcode, true);
    this.view.setFloat64(Suspect.nodeid, nodeid, true);
    this.view.setUint32(Suspect.idLow, idLow, true);
    this.view.setUint32(Suspect.idHigh, idHigh, true);
  }

  is(idLow: number, idHigh: number): boolean {
    return this.idLow === idLow && this.idHigh === idHigh;
  }

  get idLow(): number {
    return this.view.getUint32(Suspect.idLow, true);
  }

  get idHigh(): number {
    return this.view.getUint32(Suspect.idHigh, true);
  }

  get opcode(): number {
    return this.view.getUint32(Suspect.opcode, true);
  }

  /** How many servers have begun to serve it; all before the present one died. */
  get attempts(): number {
    return this.view.getUint32(Suspect.attempts, true);
  }

  set attempts(attempts: number) {
    this.view.setUint32(Suspect.attempts, attempts, true);
  }

  /** A transaction that did what it asked for is in the journal. */
  get committed(): boolean {
    return this.view.getUint32(Suspect.committed, true) === 1;
  }

  /** What it was, or was to be, answered with; see CommittedRequest. */
  get result(): number {
    return this.view.getFloat64(Suspect.result, true);
  }

  noteCommitted(result: number): void {
    this.view.setFloat64(Suspect.result, result, true);
    this.view.setUint32(Suspect.committed, 1, true);
  }
}
