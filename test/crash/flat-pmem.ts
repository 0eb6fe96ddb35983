/**
 * A medium over an Image, for recovering crash states: as quick as it can be made, with a recording and a watch over what is read.
 */
import { addon } from '../../native/addon.js';
import type { ByteAddr } from '../../src/base/units.js';
import { callSite } from '../../src/pmem/call-site.js';
import { assertInside, PortablePmem } from '../../src/pmem/portable.js';
import type { LogEntry } from '../../src/pmem/recording.js';
import { type Image, LINE } from './image.js';

/** Told of what the code above reads and changes; may throw. */
export interface Watch {
  loaded(firstLine: number, endLine: number): void;
  stored(firstLine: number, endLine: number): void;
}

export class FlatPmem extends PortablePmem {
  /** All changes and fences are recorded here while it is set. */
  log: LogEntry[] | undefined;
  watch: Watch | undefined;

  constructor(readonly image: Image) {
    super(image.size, 'memory', false);
  }

  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    this.checkRange(address, length);
    assertInside(target, targetOffset, length);
    this.watch?.loaded(Math.floor(address / LINE), Math.ceil((address + length) / LINE));
    target.set(this.image.bytes.subarray(address, address + length), targetOffset);
  }

  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    this.checkChange(address, length);
    assertInside(source, sourceOffset, length);
    this.watch?.stored(Math.floor(address / LINE), Math.ceil((address + length) / LINE));
    if (this.log !== undefined) this.note('store', address, length, Uint8Array.prototype.slice.call(source, sourceOffset, sourceOffset + length));
    this.image.store(address, source, sourceOffset, length);
  }

  zero(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
    this.watch?.stored(Math.floor(address / LINE), Math.ceil((address + length) / LINE));
    this.note('zero', address, length, undefined);
    this.image.zero(address, length);
  }

  copy(target: ByteAddr, source: ByteAddr, length: number): void {
    this.checkRange(source, length);
    this.store(target, this.image.bytes.slice(source, source + length), 0, length);
  }

  persist(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
    this.note('persist', address, length, undefined);
  }

  fence(): void {
    this.note('fence', 0 as ByteAddr, 0, undefined);
  }

  back(address: ByteAddr, length: number): void {
    this.checkChange(address, length);
  }

  override crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number {
    return addon.crc32c(seed, bytes, offset, length);
  }

  override difference(bytes: Uint8Array, blockA: number, blockB: number): number {
    const low = addon.difference(bytes, blockA, blockB);
    this.differenceHigh = addon.differenceHigh[0] ?? 0;
    return low;
  }

  private note(kind: LogEntry['kind'], address: ByteAddr, length: number, bytes: Uint8Array | undefined): void {
    this.log?.push({ kind, address, length, bytes, operation: 'recovery', site: callSite() });
  }
}
