/**
 * A volume over the simulated medium, used in-process: no mount, no root, time that stands still.
 */
import { makeVolume } from '../../mkfs/layout.js';
import { ManualClock } from '../../src/base/clock.js';
import { FsError } from '../../src/base/errno.js';
import type { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import type { HashFunction } from '../../src/dir/directory.js';
import type { DaxPolicy } from '../../src/fs/region-files.js';
import type { Regions } from '../../src/region/regions.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { Attributes, Caller, Name, Ranges, RANGES_HEADER_ROOM, SeekWhence, Statistics } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';

/** How a volume is left before it is opened again. */
export type Ending =
  /** Closed in order. */
  | 'close'
  /** The engine is dropped where it stands; every store made it to the medium. */
  | 'all'
  /** … and no store since the last fence made it; only while recording. */
  | 'nothing'
  /** … and of the stores since then some did, a prefix in each line; only while recording. */
  | 'some';

/** Volumes are opened thousands of times, and a small cache is put to the test, too. */
const SMALL_CACHE = 2 * 1024 * 1024;

export interface DirectoryEntry {
  /** One character per byte. */
  name: string;
  ino: Ino;
  type: number;
  cookie: number;
}

export interface MemoryVolumeOptions {
  sizeBytes: number;
  /** Record stores, so that a crash can lose what was not fenced; default false. */
  record?: boolean;
  /** Start of the name hash. */
  hashSeed?: number;
  /** Limit of the engine's cache of metadata, in bytes. */
  cacheBytes?: number;
  /** Bits of `readOnlyCompat` that the volume is made with; default: all that there are. */
  readOnlyFeatures?: number;
  incompatFeatures?: number;
  /** The region directory, and which files are DAX files. */
  regions?: Regions;
  dax?: DaxPolicy;
  /** Hash of names. */
  hash?: HashFunction;
  /** Puts something between the tests and the engine. */
  wrap?: (fs: FileSystemOperations) => FileSystemOperations;
}

export class MemoryVolume {
  readonly clock = new ManualClock(1_700_000_000, 123_456_789);
  readonly log: string[] = [];
  pmem: SimulatedPmem;
  fs: FileSystemOperations;
  private readonly caller = new Caller();
  /** Names and bytes are handed over in a buffer that is spoiled afterwards: nobody may keep it. */
  private readonly nameBuffer = Buffer.alloc(16_384);
  private readonly ranges = [1, 3, 64].map((capacity) => new Ranges(capacity));

  constructor(private readonly options: MemoryVolumeOptions) {
    this.pmem = new SimulatedPmem(options.sizeBytes);
    makeVolume(this.pmem, { label: 'model', uuid: Buffer.from('0123456789abcdef'), journalId: 12_345, hashSeed: options.hashSeed ?? 1, madeSeconds: this.clock.seconds, madeNanoseconds: 0, ...(options.readOnlyFeatures === undefined ? {} : { readOnlyFeatures: options.readOnlyFeatures }), ...(options.incompatFeatures === undefined ? {} : { incompatFeatures: options.incompatFeatures }) });
    this.pmem.fence();
    if (options.record === true) this.pmem.startRecording();
    this.fs = this.open();
  }

  private open(): FileSystemOperations {
    const { cacheBytes = SMALL_CACHE } = this.options;
    const fs = openVolume(this.pmem, {
      clock: this.clock,
      log: (message) => this.log.push(message),
      cacheBytes,
      ...(this.options.regions === undefined ? {} : { regions: this.options.regions }),
      ...(this.options.dax === undefined ? {} : { dax: this.options.dax }),
      ...(this.options.hash === undefined ? {} : { hash: this.options.hash }),
    });
    return this.options.wrap?.(fs) ?? fs;
  }

  /** Ends the use of the volume; afterwards `pmem` is the medium as it was left. */
  leave(ending: Ending, random: Random): void {
    if (ending === 'close') {
      // The engine closes the medium: a copy stays.
      const left = this.pmem;
      this.fs.close();
      this.pmem = left.compact();
    } else if (ending !== 'all' && this.options.record === true) {
      const position = this.pmem.log.length;
      this.pmem = this.pmem
        .crashImage(position, (line) => (ending === 'nothing' ? 0 : random.below(line.atoms.length + 1)))
        .compact();
    } else {
      this.pmem = this.pmem.compact();
    }
  }

  /** Opens what `leave` left. */
  reopen(): void {
    if (this.options.record === true) this.pmem.startRecording();
    this.fs = this.open();
  }

  /** Runs `use` with a name that is spoiled when it returns. */
  withName<T>(text: string, use: (name: Name) => T): T {
    return this.withNames(text, '', use);
  }

  /** Runs `use` with two names that are spoiled when it returns. */
  withNames<T>(first: string, second: string, use: (first: Name, second: Name) => T): T {
    const buffer = this.nameBuffer;
    const start = 3;
    const middle = start + first.length + 1;
    buffer.write(first, start, 'latin1');
    buffer.write(second, middle, 'latin1');
    try {
      return use(new Name().set(buffer, start, first.length), new Name().set(buffer, middle, second.length));
    } finally {
      buffer.fill(0xaa, 0, middle + second.length);
    }
  }

  lookup(parent: Ino, name: string): Ino | 0 {
    return this.withName(name, (given) => this.fs.lookup(parent, given));
  }

  owner(uid: number, gid: number, umask = 0): Caller {
    this.caller.uid = uid;
    this.caller.gid = gid;
    this.caller.umask = umask;
    return this.caller;
  }

  attributes(ino: Ino): Attributes {
    const attributes = new Attributes();
    this.fs.getAttributes(ino, attributes);
    return attributes;
  }

  statistics(): Statistics {
    const statistics = new Statistics();
    this.fs.statistics(statistics);
    return statistics;
  }

  /** Reads through the ranges that the engine gives out, `capacity` (0, 1, 2: few to many) of them at a time. */
  read(ino: Ino, offset: number, length: number, capacity = 2): Uint8Array {
    const ranges = this.ranges[capacity] as Ranges;
    const bytes = new Uint8Array(length).fill(0xbb);
    let done = 0;
    while (done < length) {
      const described = this.fs.read(ino, offset + done, length - done, ranges);
      if (described === 0) break;
      let filled = 0;
      if (ranges.inMemory) {
        bytes.set(ranges.bytes.subarray(RANGES_HEADER_ROOM, RANGES_HEADER_ROOM + described), done);
        filled = described;
      }
      for (let i = 0; i < ranges.count; i++) {
        const address = ranges.addresses[i] as number;
        const part = ranges.lengths[i] as number;
        if (!(part > 0 && filled + part <= described)) throw new Error(`a range of ${String(part)} bytes in a read of ${String(described)}`);
        if (address === -1) bytes.fill(0, done + filled, done + filled + part);
        else this.pmem.load(asByteAddr(address), bytes, done + filled, part);
        filled += part;
      }
      if (filled !== described) throw new Error(`ranges describe ${String(filled)} bytes of ${String(described)}`);
      done += described;
    }
    return bytes.subarray(0, done);
  }

  setXattr(ino: Ino, name: string, value: Uint8Array, flags = 0): void {
    const buffer = Buffer.alloc(value.length + 3);
    buffer.set(value, 3);
    this.withName(name, (given) => {
      this.fs.setXattr(ino, given, buffer, 3, value.length, flags);
    });
    buffer.fill(0xdd);
  }

  getXattr(ino: Ino, name: string): Uint8Array {
    const size = this.withName(name, (given) => this.fs.getXattr(ino, given, new Uint8Array(0), 0, 0));
    const value = new Uint8Array(size + 2);
    // A size of 0 asks for the length only.
    const length = this.withName(name, (given) => this.fs.getXattr(ino, given, value, 1, Math.max(1, size)));
    return value.subarray(1, 1 + length);
  }

  /** Names of all attributes, one character per byte, sorted. */
  listXattr(ino: Ino): string[] {
    const list = Buffer.alloc(this.fs.listXattr(ino, new Uint8Array(0), 0, 0) + 1);
    const length = this.fs.listXattr(ino, list, 0, list.length);
    return list.toString('latin1', 0, length).split('\0').slice(0, -1).sort();
  }

  removeXattr(ino: Ino, name: string): void {
    this.withName(name, (given) => {
      this.fs.removeXattr(ino, given);
    });
  }

  /** lseek(2); −1 for ENXIO. */
  seek(ino: Ino, offset: number, whence: number): number {
    try {
      return this.fs.seek(ino, offset, whence);
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENXIO') return -1;
      throw error;
    }
  }

  /** The parts [start, end) of a file that hold data. */
  *dataRanges(ino: Ino): Generator<[number, number]> {
    for (let at = 0; ; ) {
      const start = this.seek(ino, at, SeekWhence.data);
      if (start === -1) return;
      const end = this.seek(ino, start, SeekWhence.hole);
      if (start < at || end <= start) throw new Error(`data at ${String(start)} up to the hole at ${String(end)}, looked for from ${String(at)}`);
      yield [start, end];
      at = end;
    }
  }

  /** At most `count` entries behind `cookie`, `.` and `..` included. */
  readDirectory(ino: Ino, cookie: number, count: number): DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    this.fs.readDirectory(ino, cookie, {
      entry: (bytes, nameOffset, nameLength, entryIno, type, next) => {
        if (entries.length >= count) return false;
        const name = Buffer.from(bytes.buffer, bytes.byteOffset + nameOffset, nameLength).toString('latin1');
        entries.push({ name, ino: entryIno, type, cookie: next });
        return true;
      },
    });
    return entries;
  }

  /** All entries, read `chunk` at a time. */
  list(ino: Ino, chunk = 100): DirectoryEntry[] {
    const all: DirectoryEntry[] = [];
    for (let cookie = 0; ; ) {
      const some = this.readDirectory(ino, cookie, chunk);
      if (some.length === 0) return all;
      all.push(...some);
      cookie = (some.at(-1) as DirectoryEntry).cookie;
    }
  }

  /** Lets all deferred work be done. Throws when there is no end to it. */
  settle(): void {
    for (let steps = 0; this.fs.backgroundStep(); steps++) {
      if (steps > 1_000_000) throw new Error('backgroundStep has no end');
    }
  }

  static readonly root = asIno(1);
}
