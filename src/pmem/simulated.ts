import { assert } from '../base/assert.js';
import { FsError } from '../base/errno.js';
import { MIB, type ByteAddr } from '../base/units.js';
import { callSite } from './call-site.js';
import { Pages } from './pages.js';
import type { DurabilityDomain } from './pmem.js';
import { assertInside, PortablePmem } from './portable.js';
import { type LogEntry, type Recording, Replay, type SurvivorChooser } from './recording.js';

const PAGE_BYTES = MIB;
/** Pages over the image that a recording or a crash starts from: small, because little of each changes. */
const COPY_PAGE_BYTES = 4096;
const BACK_BYTES = 2 * MIB;

export interface SimulationOptions {
  /** What `domain` shows; default 'memory'. */
  domain?: DurabilityDomain;
  /** Refuse changes; for a medium that is made from contents. */
  readOnly?: boolean;
  /** Record from the start. */
  record?: boolean;
  /** Bytes that the pretended host can put behind the image, in chunks of 2 MiB; default unlimited. */
  hostBytes?: number;
}

interface PoisonedRange {
  readonly start: number;
  readonly end: number;
}

/**
 * A medium in DRAM for tests: sparse, so that a volume of a terabyte costs what is written to it. It can record
 * all changes and fences, build the images that a crash at any moment may leave, and fail on demand.
 */
export class SimulatedPmem extends PortablePmem {
  /** What is being done, for people who read a recording. Set by tests. */
  operation = '';
  /** Also record the calling code of every entry; slow. */
  recordSites = false;
  /** Calls so far. */
  readonly counts = { stores: 0, storedBytes: 0, fences: 0 };

  private pages: Pages;
  private recording: Recording | undefined;
  private poisoned: PoisonedRange[] = [];
  private readonly backed = new Set<number>();
  private readonly hostBytes: number;

  constructor(sizeBytes: number, options: SimulationOptions = {}, contents?: Pages) {
    super(sizeBytes, options.domain ?? 'memory', options.readOnly ?? false);
    this.pages = contents ?? new Pages(PAGE_BYTES, sizeBytes);
    this.hostBytes = options.hostBytes ?? Infinity;
    if (options.record === true) this.startRecording();
  }

  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    this.checkRange(address, length);
    assertInside(target, targetOffset, length);
    this.checkPoison(address, length);
    this.pages.load(address, target, targetOffset, length);
  }

  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    this.checkChange(address, length);
    assertInside(source, sourceOffset, length);
    this.count(length);
    if (this.recording !== undefined) this.record('store', address, length, Uint8Array.prototype.slice.call(source, sourceOffset, sourceOffset + length));
    this.pages.store(address, source, sourceOffset, length);
  }

  zero(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
    this.count(length);
    if (this.recording !== undefined) this.record('zero', address, length, undefined);
    this.pages.zero(address, length);
  }

  copy(target: ByteAddr, source: ByteAddr, length: number): void {
    this.checkChange(target, length);
    this.checkRange(source, length);
    assert(target + length <= source || source + length <= target, 'the ranges of a copy do not overlap');
    this.checkPoison(source, length);
    this.count(length);
    const bytes = new Uint8Array(length);
    this.pages.load(source, bytes, 0, length);
    if (this.recording !== undefined) this.record('copy', target, length, bytes);
    this.pages.store(target, bytes, 0, length);
  }

  persist(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
    if (this.recording !== undefined) this.record('persist', address, length, undefined);
  }

  fence(): void {
    this.checkRange(0, 0);
    this.counts.fences += 1;
    if (this.recording !== undefined) this.record('fence', 0 as ByteAddr, 0, undefined);
  }

  back(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
    const end = address + length;
    for (let chunk = Math.floor(address / BACK_BYTES); chunk * BACK_BYTES < end; chunk++) {
      if (this.backed.has(chunk)) continue;
      if ((this.backed.size + 1) * BACK_BYTES > this.hostBytes) {
        throw new FsError('ENOSPC', `no space on the host for the image at ${String(chunk * BACK_BYTES)}`);
      }
      this.backed.add(chunk);
    }
  }

  /** From now on everything that lies in the range can't be read: EIO. */
  poison(address: ByteAddr, length: number): void {
    this.checkRange(address, length);
    this.poisoned.push({ start: address, end: address + length });
  }

  /** Takes all poison away. */
  heal(): void {
    this.poisoned = [];
  }

  /** Bytes of DRAM used. */
  get allocatedBytes(): number {
    return this.pages.count * this.pages.pageBytes;
  }

  /** Keeps the present contents as the base, and records all changes from now on. Forgets an earlier recording. */
  startRecording(): void {
    const base = this.pages;
    this.pages = this.above(base);
    this.recording = { base, log: [] };
  }

  /** What was recorded; an entry's bytes may not be changed. */
  get log(): readonly LogEntry[] {
    return this.requireRecording().log;
  }

  /** A replay of the recording from its start; it has pages of its own. */
  replay(): { certain: Pages; replay: Replay } {
    const { base, log } = this.requireRecording();
    const certain = this.above(base);
    return { certain, replay: new Replay(certain, log) };
  }

  /**
   * A medium as a crash after the first `position` entries of the log may leave it: everything before the last
   * fence, and of later stores what `chooser` lets survive in each line. A copy on write: costs what changed.
   */
  crashImage(position: number, chooser: SurvivorChooser): SimulatedPmem {
    const { certain, replay } = this.replay();
    replay.advance(position);
    return this.crashImageOf(certain, replay, chooser);
  }

  /** As crashImage, at the moment a replay has reached; valid until the replay moves on. */
  crashImageOf(certain: Pages, replay: Replay, chooser: SurvivorChooser): SimulatedPmem {
    const contents = this.above(certain);
    replay.survive(contents, chooser);
    return new SimulatedPmem(this.size, { domain: this.domain }, contents);
  }

  /** A medium with the present contents, to be changed independently. This one may not change while the other is in use. */
  fork(options: SimulationOptions = {}): SimulatedPmem {
    return new SimulatedPmem(this.size, { domain: this.domain, ...options }, this.above(this.pages));
  }

  /** A medium with the same contents and no layers below: for tests that go on for long. This one may be used no more. */
  compact(): SimulatedPmem {
    const contents = new Pages(PAGE_BYTES, this.size);
    this.pages.mergeInto(contents);
    return new SimulatedPmem(this.size, { domain: this.domain }, contents);
  }

  private above(lower: Pages): Pages {
    return new Pages(COPY_PAGE_BYTES, this.size, lower);
  }

  private requireRecording(): Recording {
    assert(this.recording !== undefined, 'the medium is being recorded');
    return this.recording;
  }

  private record(kind: LogEntry['kind'], address: ByteAddr, length: number, bytes: Uint8Array | undefined): void {
    const site = this.recordSites ? callSite() : '';
    this.requireRecording().log.push({ kind, address, length, bytes, operation: this.operation, site });
  }

  private count(length: number): void {
    this.counts.stores += 1;
    this.counts.storedBytes += length;
  }

  private checkPoison(address: number, length: number): void {
    for (const range of this.poisoned) {
      if (address < range.end && address + length > range.start) {
        throw new FsError('EIO', `the medium is damaged at address ${String(Math.max(address, range.start))}`);
      }
    }
  }
}
