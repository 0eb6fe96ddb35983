/** The operations of a volume by path, for workloads: every call is one call of the engine. */
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { FileSystem } from '../../src/fs/filesystem.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { AttributeChange, Attributes, Caller, Change, Name } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import type { Pmem } from '../../src/pmem/pmem.js';

export const root = asIno(1);
/** The least the engine takes: thousands of volumes are opened. */
const CACHE_BYTES = 2 * 1024 * 1024;

/** Memory for the caches of kits of which only the newest is used: to get it anew would take longer than all a kit is for. */
export function reusedMemory(): (bytes: number) => ArrayBuffer {
  let memory = new ArrayBuffer(0);
  return (bytes) => {
    if (memory.byteLength !== bytes) memory = new ArrayBuffer(bytes);
    return memory;
  };
}

/** Told of every call that may change the volume; runs it. `ino`: the file whose contents it writes. */
export type Around = (call: () => void, ino: Ino | undefined) => void;

export class Kit {
  readonly fs: FileSystemOperations;
  around: Around = (call) => {
    call();
  };
  readonly log: string[] = [];
  private readonly caller = new Caller();
  private readonly seen = new Attributes();

  constructor(
    pmem: Pmem,
    readonly clock = new ManualClock(1_800_000_000, 0),
    allocate = (bytes: number): ArrayBuffer => new ArrayBuffer(bytes),
  ) {
    this.fs = openVolume(pmem, { clock, cacheBytes: CACHE_BYTES, allocate, log: (level, message) => this.log.push(`${level}: ${message}`) });
  }

  /** Whether timestamps are set that are not durable yet. */
  get hasPendingTimes(): boolean {
    return this.fs instanceof FileSystem && this.fs.hasPendingTimes;
  }

  /** The inode of a path, 0 if there is none. */
  find(path: string): Ino | 0 {
    let at = root;
    for (const part of path.split('/')) {
      if (part === '') continue;
      const found = this.fs.lookup(at, Name.from(part));
      if (found === 0) return 0;
      at = found;
    }
    return at;
  }

  ino(path: string): Ino {
    const found = this.find(path);
    if (found === 0) throw new Error(`${path} is not there`);
    return found;
  }

  attributes(ino: Ino): Attributes {
    this.fs.getAttributes(ino, this.seen);
    return this.seen;
  }

  make(path: string, mode: number): Ino {
    return this.call(() => this.fs.makeNode(this.parent(path), baseName(path), mode, this.owner(7, 8), 5, 6));
  }

  file(path: string): Ino {
    return this.make(path, FileType.regular | 0o644);
  }

  directory(path: string): Ino {
    return this.make(path, FileType.directory | 0o755);
  }

  symlink(path: string, target: string): void {
    this.call(() => this.fs.symlink(this.parent(path), baseName(path), Name.from(target), this.owner(7, 8)));
  }

  /** A file without a name, held. */
  temporary(path: string): Ino {
    return this.call(() => {
      const ino = this.fs.makeTemporary(this.ino(path), FileType.regular | 0o600, this.owner(9, 9));
      this.fs.hold(ino);
      return ino;
    });
  }

  link(ino: Ino, path: string): void {
    this.call(() => {
      this.fs.link(ino, this.parent(path), baseName(path));
    });
  }

  unlink(path: string): void {
    this.call(() => {
      this.fs.unlink(this.parent(path), baseName(path));
    });
  }

  rmdir(path: string): void {
    this.call(() => {
      this.fs.rmdir(this.parent(path), baseName(path));
    });
  }

  rename(from: string, to: string, flags = 0): void {
    this.call(() => {
      this.fs.rename(this.parent(from), baseName(from), this.parent(to), baseName(to), flags);
    });
  }

  /** Writes bytes that tell the place and the moment. */
  writeTo(ino: Ino, offset: number, length: number): void {
    const bytes = this.content(offset, length);
    this.call(() => this.fs.write(ino, offset, bytes, 0, length), ino);
  }

  write(path: string, offset: number, length: number): void {
    this.writeTo(this.ino(path), offset, length);
  }

  append(path: string, length: number): void {
    const ino = this.ino(path);
    const bytes = this.content(0, length);
    this.call(() => this.fs.append(ino, bytes, 0, length), ino);
  }

  copy(from: string, fromOffset: number, to: string, toOffset: number, length: number): void {
    const [source, target] = [this.ino(from), this.ino(to)];
    this.call(() => this.fs.copyRange(source, fromOffset, target, toOffset, length), target);
  }

  change(path: string, fields: Partial<AttributeChange>): void {
    this.call(() => {
      this.fs.setAttributes(this.ino(path), Object.assign(new AttributeChange(), fields));
    });
  }

  /** A value of `length` bytes, or the bytes given. */
  setXattr(path: string, name: string, value: number | Uint8Array): void {
    const bytes = typeof value === 'number' ? this.content(0, value) : value;
    this.call(() => {
      this.fs.setXattr(this.ino(path), Name.from(name), bytes, 0, bytes.length, 0);
    });
  }

  removeXattr(path: string, name: string): void {
    this.call(() => {
      this.fs.removeXattr(this.ino(path), Name.from(name));
    });
  }

  truncate(path: string, size: number): void {
    this.change(path, { mask: Change.size, size });
  }

  allocate(path: string, mode: number, offset: number, length: number): void {
    this.call(() => {
      this.fs.allocate(this.ino(path), mode, offset, length);
    });
  }

  hold(ino: Ino): void {
    this.fs.hold(ino);
  }

  release(ino: Ino): void {
    this.call(() => {
      this.fs.release(ino, 1);
    });
  }

  sync(ino: Ino): void {
    this.call(() => {
      this.fs.sync(ino);
    });
  }

  flushTimes(): void {
    this.call(() => {
      this.fs.flushTimes();
    });
  }

  private call<T>(run: () => T, ino?: Ino): T {
    let result: { value: T } | undefined;
    this.around(() => {
      result = { value: run() };
    }, ino);
    if (result === undefined) throw new Error('a call was not made');
    return result.value;
  }

  private content(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    new Random(offset * 31 + length + this.clock.seconds * 7).bytes(bytes);
    return bytes;
  }

  private parent(path: string): Ino {
    return this.ino(path.slice(0, path.lastIndexOf('/')));
  }

  private owner(uid: number, gid: number): Caller {
    this.caller.uid = uid;
    this.caller.gid = gid;
    return this.caller;
  }
}

function baseName(path: string): Name {
  return Name.from(path.slice(path.lastIndexOf('/') + 1));
}
