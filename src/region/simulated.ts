import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { AllocateMode } from '../format/layout.js';
import type { HostFileStatus, RegionInspection } from './inspection.js';
import { type RegionAttributes, type RegionFile, regionName, type Regions, type RegionSpace, RegionTime } from './regions.js';

const PAGE_BYTES = 4096;

/** A host file in memory: pages that were never filled are holes. */
class Contents {
  size = 0;
  mode = 0o600;
  uid = 0;
  readonly pages = new Map<number, Uint8Array>();
  readonly times = new Float64Array(6);

  copy(): Contents {
    const copy = new Contents();
    copy.size = this.size;
    copy.mode = this.mode;
    copy.uid = this.uid;
    for (const [number, page] of this.pages) copy.pages.set(number, page.slice());
    copy.times.set(this.times);
    return copy;
  }
}

type Files = Map<string, Contents>;

/** Names of one file stay names of one file. */
function copyOf(files: Files): Files {
  const copies = new Map<Contents, Contents>();
  for (const contents of files.values()) if (!copies.has(contents)) copies.set(contents, contents.copy());
  return new Map([...files].map(([name, contents]) => [name, copies.get(contents) as Contents]));
}

export interface SimulatedRegionsOptions {
  readonly clock: Clock;
  /** How far the recording of the image is: a change is remembered with it. Default: changes are not remembered. */
  readonly moment?: () => number;
  /** Pages that all host files together may have. Default: no limit. */
  pagesMax?: number;
}

/**
 * A region directory in memory. Each change is durable at once, as `Regions` says, and atomic; with `moment` it can be taken back together with the image's stores, so
 * that both are seen as a crash leaves them.
 */
export class SimulatedRegions implements Regions, RegionInspection {
  readonly path = 'regions';
  readonly owners = [0];
  /** Owner and mode of the directory itself. */
  private readonly home = { uid: 0, mode: 0o700 };
  /** Why no host file can be made; for tests. */
  blocked: string | null = null;
  private files: Files = new Map();
  /** What the directory was before each change, and when that was. */
  private readonly history: { readonly moment: number; readonly before: Files }[] = [];

  constructor(readonly options: SimulatedRegionsOptions) {}

  /** Names of the host files. */
  names(): string[] {
    return [...this.files.keys()].sort();
  }

  /** Takes a host file away behind everybody's back. */
  lose(name: string): void {
    assert(this.files.delete(name), 'there is such a host file');
  }

  /** The same contents, to be changed independently. */
  fork(options: SimulatedRegionsOptions = { clock: this.options.clock }): SimulatedRegions {
    const copy = new SimulatedRegions(options);
    copy.files = copyOf(this.files);
    return copy;
  }

  /** Changes that were made exactly when the image's recording had this length: a crash there may leave the first few of them. */
  changesAt(moment: number): number {
    return this.history.filter((change) => change.moment === moment).length;
  }

  /** The directory as a crash leaves it when the image's recording has this length: with all earlier changes, and `some` of those made just then. */
  at(moment: number, some: number): SimulatedRegions {
    const earlier = this.history.filter((change) => change.moment < moment).length + some;
    const copy = new SimulatedRegions({ clock: this.options.clock });
    copy.files = copyOf(this.history[earlier]?.before ?? this.files);
    return copy;
  }

  obstacle(): string | null {
    return this.blocked;
  }

  create(ino: Ino, generation: number): RegionFile {
    const name = regionName(ino, generation);
    this.changing();
    const contents = new Contents();
    this.files.set(name, contents);
    this.stamp(contents, true);
    return new SimulatedFile(this, contents);
  }

  open(ino: Ino, generation: number): RegionFile {
    const contents = this.files.get(regionName(ino, generation));
    if (contents === undefined) fail('ENOENT', `host file ${regionName(ino, generation)} is missing`);
    return new SimulatedFile(this, contents);
  }

  remove(given: Ino | string, generation = 0): void {
    const name = typeof given === 'string' ? given : regionName(given, generation);
    if (!this.files.has(name)) return;
    this.changing();
    this.files.delete(name);
  }

  directory(to: HostFileStatus): void {
    Object.assign(to, this.home, { isFile: false });
  }

  status(name: string, to: HostFileStatus): boolean {
    const contents = this.files.get(name);
    if (contents === undefined) return false;
    const { size, mode, uid } = contents;
    Object.assign(to, { isFile: true, size, mode, uid, links: [...this.files.values()].filter((other) => other === contents).length });
    return true;
  }

  link(name: string, second: string): void {
    const contents = this.files.get(name);
    if (contents === undefined) fail('ENOENT', `host file ${name} is missing`);
    if (this.files.has(second)) fail('EIO', `host file ${second} is there already`);
    this.changing();
    this.files.set(second, contents);
  }

  cut(name: string, size: number): void {
    const contents = this.files.get(name);
    if (contents === undefined) fail('ENOENT', `host file ${name} is missing`);
    const file = new SimulatedFile(this, contents);
    file.resize(size);
    file.close();
  }

  restrict(name: string | null, uid: number, mode: number): void {
    this.changing();
    Object.assign(name === null ? this.home : (this.files.get(name) ?? fail('ENOENT')), { uid, mode });
  }

  space(): RegionSpace | null {
    const { pagesMax } = this.options;
    if (pagesMax === undefined) return null;
    const free = (pagesMax - this.pageCount) * PAGE_BYTES;
    return { total: pagesMax * PAGE_BYTES, free, available: free };
  }

  close(): void {
    // Nothing is held.
  }

  /** Remembers what is about to change. */
  changing(): void {
    const { moment } = this.options;
    if (moment === undefined) return;
    this.history.push({ moment: moment(), before: copyOf(this.files) });
  }

  stamp(contents: Contents, isNew: boolean): void {
    const { clock } = this.options;
    clock.now();
    for (let at = isNew ? 0 : 2; at < 6; at += 2) {
      contents.times[at] = clock.seconds;
      contents.times[at + 1] = clock.nanoseconds;
    }
  }

  /** ENOSPC where `more` pages are too many. */
  requirePages(more: number): void {
    const { pagesMax } = this.options;
    if (pagesMax !== undefined && this.pageCount + more > pagesMax) fail('ENOSPC', 'the host has no space');
  }

  private get pageCount(): number {
    let count = 0;
    for (const { pages } of this.files.values()) count += pages.size;
    return count;
  }
}

class SimulatedFile implements RegionFile {
  readonly descriptor = -1;
  readonly domain = 'memory';
  private isOpen = true;

  constructor(
    private readonly regions: SimulatedRegions,
    private readonly contents: Contents,
  ) {}

  attributes(to: RegionAttributes): void {
    this.requireOpen();
    const { size, pages, times } = this.contents;
    to.size = size;
    to.blocks = pages.size * (PAGE_BYTES / 512);
    [to.atimeSeconds, to.atimeNanoseconds, to.mtimeSeconds, to.mtimeNanoseconds, to.ctimeSeconds, to.ctimeNanoseconds] = times as unknown as [number, number, number, number, number, number];
  }

  prepare(): void {
    // Pages come when they are stored to.
  }

  resize(size: number): void {
    this.change();
    const { contents } = this;
    for (const [number, page] of contents.pages) {
      const start = number * PAGE_BYTES;
      if (start >= size) contents.pages.delete(number);
      else if (start + PAGE_BYTES > size) page.fill(0, size - start);
    }
    contents.size = size;
    this.regions.stamp(contents, false);
  }

  allocate(mode: number, offset: number, length: number): void {
    const end = offset + length;
    const { contents } = this;
    if ((mode & (AllocateMode.punchHole | AllocateMode.zeroRange)) === 0) this.regions.requirePages(this.missing(offset, end));
    this.change();
    if ((mode & (AllocateMode.punchHole | AllocateMode.zeroRange)) !== 0) this.zero(offset, end, (mode & AllocateMode.punchHole) !== 0);
    if ((mode & AllocateMode.punchHole) === 0) {
      for (let number = Math.floor(offset / PAGE_BYTES); number * PAGE_BYTES < end; number += 1) this.page(number);
      if ((mode & AllocateMode.keepSize) === 0) contents.size = Math.max(contents.size, end);
    }
    this.regions.stamp(contents, false);
  }

  seek(offset: number, data: boolean): number {
    this.requireOpen();
    const { size, pages } = this.contents;
    if (offset >= size) fail('ENXIO');
    for (let at = offset; at < size; at = (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES) if (pages.has(Math.floor(at / PAGE_BYTES)) === data) return at;
    return data ? fail('ENXIO') : size;
  }

  read(offset: number, target: Uint8Array, targetOffset: number, length: number): number {
    this.requireOpen();
    const count = Math.max(0, Math.min(length, this.contents.size - offset));
    for (let at = offset; at < offset + count; ) {
      const end = Math.min(offset + count, (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES);
      const to = targetOffset + at - offset;
      const page = this.contents.pages.get(Math.floor(at / PAGE_BYTES));
      if (page === undefined) target.fill(0, to, to + end - at);
      else target.set(page.subarray(at % PAGE_BYTES, (at % PAGE_BYTES) + end - at), to);
      at = end;
    }
    return count;
  }

  write(offset: number, source: Uint8Array, sourceOffset: number, length: number): void {
    const end = offset + length;
    this.regions.requirePages(this.missing(offset, end));
    this.change();
    for (let at = offset; at < end; ) {
      const stop = Math.min(end, (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES);
      const from = sourceOffset + at - offset;
      this.page(Math.floor(at / PAGE_BYTES)).set(source.subarray(from, from + stop - at), at % PAGE_BYTES);
      at = stop;
    }
    this.contents.size = Math.max(this.contents.size, end);
    this.regions.stamp(this.contents, false);
  }

  setTimes(...given: [number, number, number, number]): void {
    this.change();
    const { clock } = this.regions.options;
    clock.now();
    for (let at = 0; at < 4; at += 2) {
      const nanoseconds = given[at + 1] as number;
      if (nanoseconds === RegionTime.omit) continue;
      this.contents.times[at] = nanoseconds === RegionTime.now ? clock.seconds : (given[at] as number);
      this.contents.times[at + 1] = nanoseconds === RegionTime.now ? clock.nanoseconds : nanoseconds;
    }
    this.contents.times[4] = clock.seconds;
    this.contents.times[5] = clock.nanoseconds;
  }

  sync(): void {
    this.requireOpen();
  }

  close(): void {
    this.requireOpen();
    this.isOpen = false;
  }

  private change(): void {
    this.requireOpen();
    this.regions.changing();
  }

  private requireOpen(): void {
    assert(this.isOpen, 'a host file is used while it is open');
  }

  private missing(offset: number, end: number): number {
    let count = 0;
    for (let number = Math.floor(offset / PAGE_BYTES); number * PAGE_BYTES < end; number += 1) if (!this.contents.pages.has(number)) count += 1;
    return count;
  }

  private zero(offset: number, end: number, punch: boolean): void {
    for (const [number, page] of this.contents.pages) {
      const start = number * PAGE_BYTES;
      if (punch && start >= offset && start + PAGE_BYTES <= end) this.contents.pages.delete(number);
      else if (start < end && start + PAGE_BYTES > offset) page.fill(0, Math.max(0, offset - start), Math.min(PAGE_BYTES, end - start));
    }
  }

  private page(number: number): Uint8Array {
    let page = this.contents.pages.get(number);
    if (page === undefined) this.contents.pages.set(number, (page = new Uint8Array(PAGE_BYTES)));
    return page;
  }
}
