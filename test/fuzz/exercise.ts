/** Uses a volume that may be damaged, in every way there is: what it says is an errno, or it is a bug. */
import { ManualClock } from '../../src/base/clock.js';
import { Errno, FsError } from '../../src/base/errno.js';
import type { Random } from '../../src/base/random.js';
import { acl, MINIMAL_ACL } from '../helpers/acl.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import { FileType, SYMLINK_MAX, XATTR_LIST_MAX, XATTR_VALUE_MAX } from '../../src/format/layout.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { AttributeChange, Attributes, Caller, Change, Name, Ranges, SeekWhence, Statistics } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import type { Pmem } from '../../src/pmem/pmem.js';

/** Names looked at per directory, and bytes read per file: a hostile volume may claim that there are 2^53 of them. */
const ENTRIES_MAX = 2000;
const DIRECTORIES_MAX = 300;
const READS_MAX = 24;
const READ_BYTES = 128 * 1024;
const CACHE_BYTES = 2 * 1024 * 1024;
/** What a filesystem may say of a volume, damaged or not. */
const SENSIBLE = new Set<number>([
  Errno.EIO, Errno.EUCLEAN, Errno.ESTALE, Errno.ENOENT, Errno.EEXIST, Errno.ENOTDIR, Errno.EISDIR, Errno.EINVAL, Errno.ENOTEMPTY, Errno.ENOSPC, Errno.EFBIG,
  Errno.EMLINK, Errno.EPERM, Errno.EBUSY, Errno.ENXIO, Errno.ENODEV, Errno.EOPNOTSUPP, Errno.EROFS, Errno.ENAMETOOLONG, Errno.ENODATA, Errno.ERANGE, Errno.E2BIG, Errno.EACCES,
]);

/** Runs a call; returns what it returned, or its errno's name. Whatever is no sensible FsError goes through. */
export function attempt<T>(call: () => T): T | FsError {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    if (!SENSIBLE.has(error.errno)) throw new Error(`an errno that nobody expects: ${error.code}: ${error.message}`, { cause: error });
    return error;
  }
}

export interface OpenedVolume {
  fs: FileSystemOperations;
  log: string[];
}

export function openDamaged(pmem: Pmem): OpenedVolume | FsError {
  const log: string[] = [];
  return attempt(() => ({ fs: openVolume(pmem, { clock: new ManualClock(1_900_000_000, 5), cacheBytes: CACHE_BYTES, accessTimes: { policy: 'relative', directories: true }, log: (_level, message) => log.push(message) }), log }));
}

/** What a file shows: its bytes as far as they can be read, or why not. */
export function readAll(fs: FileSystemOperations, pmem: Pmem, ino: Ino, size: number): Uint8Array | FsError {
  const ranges = new Ranges(64);
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (let reads = 0; reads < READS_MAX && offset < size; reads += 1) {
    const described = attempt(() => fs.read(ino, offset, READ_BYTES, ranges));
    if (described instanceof FsError) return described;
    if (described === 0) break;
    const bytes = new Uint8Array(described);
    let at = 0;
    for (let i = 0; i < ranges.count; i += 1) {
      const length = ranges.lengths[i] as number;
      const address = ranges.addresses[i] as number;
      if (!(length > 0 && at + length <= described)) throw new Error(`a range of ${String(length)} bytes in a read of ${String(described)}`);
      if (address >= 0) {
        // The transport answers EIO then.
        const loaded = attempt(() => {
          pmem.load(asByteAddr(address), bytes, at, length);
        });
        if (loaded instanceof FsError) return loaded;
      }
      at += length;
    }
    if (at !== described) throw new Error(`ranges describe ${String(at)} bytes of ${String(described)}`);
    pieces.push(bytes);
    offset += described;
  }
  return Buffer.concat(pieces);
}

export interface Entry {
  name: string;
  ino: Ino;
  type: number;
}

/** The entries of a directory without dots, at most ENTRIES_MAX. */
export function listAll(fs: FileSystemOperations, ino: Ino): Entry[] | FsError {
  const entries: Entry[] = [];
  for (let cookie = 0, calls = 0; calls < ENTRIES_MAX && entries.length < ENTRIES_MAX; calls += 1) {
    let more = 0;
    const result = attempt(() => {
      fs.readDirectory(ino, cookie, {
        entry: (bytes, nameOffset, nameLength, entryIno, type, next) => {
          if (more === 50) return false;
          if (!(next > cookie)) throw new Error(`a cookie of ${String(next)} after ${String(cookie)}`);
          more += 1;
          cookie = next;
          const name = Buffer.from(bytes.buffer, bytes.byteOffset + nameOffset, nameLength).toString('latin1');
          if (name !== '.' && name !== '..') entries.push({ name, ino: entryIno, type });
          return true;
        },
      });
    });
    if (result instanceof FsError) return result;
    if (more === 0) break;
  }
  return entries;
}

export function readTarget(fs: FileSystemOperations, ino: Ino): string | FsError {
  const target = new Uint8Array(SYMLINK_MAX);
  const length = attempt(() => fs.readlink(ino, target, 0));
  return length instanceof FsError ? length : Buffer.from(target.subarray(0, length)).toString('latin1');
}

const list = new Uint8Array(XATTR_LIST_MAX);
const value = new Uint8Array(XATTR_VALUE_MAX);

/** The extended attributes of an inode, or why not: by name (a character per byte) the value. */
export function readAttributes(fs: FileSystemOperations, ino: Ino): Map<string, Buffer> | FsError {
  const found = new Map<string, Buffer>();
  const announced = attempt(() => fs.listXattr(ino, list, 0, 0));
  if (announced instanceof FsError) return announced;
  if (!(announced >= 0 && announced <= XATTR_LIST_MAX)) throw new Error(`a list of ${String(announced)} bytes`);
  if (announced === 0) return found;
  const listed = attempt(() => fs.listXattr(ino, list, 0, list.length));
  if (listed instanceof FsError) return listed;
  if (listed > announced) throw new Error(`a list of ${String(listed)} bytes, of which ${String(announced)} were announced`);
  for (const name of Buffer.from(list.subarray(0, listed)).toString('latin1').split('\0').slice(0, -1)) {
    const length = attempt(() => fs.getXattr(ino, Name.from(Buffer.from(name, 'latin1')), value, 0, value.length));
    if (length instanceof FsError) return length;
    if (!(length >= 0 && length <= XATTR_VALUE_MAX)) throw new Error(`a value of ${String(length)} bytes`);
    found.set(name, Buffer.from(value.slice(0, length)));
  }
  return found;
}

/** Walks everything that can be reached, and returns the inodes met; with `contents` it looks at each in every way. */
export function walk(fs: FileSystemOperations, pmem: Pmem, contents: boolean): Ino[] {
  const seen = new Set<Ino>([asIno(1)]);
  const queue = [asIno(1)];
  for (let directories = 0; queue.length > 0 && directories < DIRECTORIES_MAX; directories += 1) {
    const directory = queue.shift() as Ino;
    const entries = listAll(fs, directory);
    if (entries instanceof FsError) continue;
    for (const { name, ino } of entries) {
      attempt(() => fs.lookup(directory, Name.from(Buffer.from(name, 'latin1'))));
      if (seen.has(ino)) continue;
      seen.add(ino);
      const type = contents ? look(fs, pmem, ino) : typeOf(fs, ino);
      if (type === FileType.directory) queue.push(ino);
    }
  }
  attempt(() => {
    fs.statistics(new Statistics());
  });
  return [...seen];
}

const attributes = new Attributes();

/** Type bits of an inode's mode, 0 when it can't be read. */
function typeOf(fs: FileSystemOperations, ino: Ino): number {
  const result = attempt(() => {
    fs.getAttributes(ino, attributes);
  });
  if (result instanceof FsError) return 0;
  checkAttributes(attributes);
  return attributes.mode & FileType.mask;
}

/** Looks at one inode in every way; its type, 0 when it has none. */
function look(fs: FileSystemOperations, pmem: Pmem, ino: Ino): number {
  const type = typeOf(fs, ino);
  readAttributes(fs, ino);
  if (type === FileType.symlink) readTarget(fs, ino);
  if (type !== FileType.regular) return type;
  readAll(fs, pmem, ino, attributes.size);
  for (let at = 0, steps = 0; steps < 20; steps += 1) {
    const start = attempt(() => fs.seek(ino, at, SeekWhence.data));
    if (start instanceof FsError) break;
    const end = attempt(() => fs.seek(ino, start, SeekWhence.hole));
    if (end instanceof FsError) break;
    if (start < at || end <= start) throw new Error(`data from ${String(start)} to ${String(end)}, looked for from ${String(at)}`);
    at = end;
  }
  return type;
}

/** What is answered must fit into the kernel's structures. */
function checkAttributes(attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes) as [string, number][]) {
    if (!Number.isSafeInteger(value)) throw new Error(`attribute ${name} of inode ${String(attributes.ino)} is ${String(value)}`);
  }
  for (const name of ['atimeNanoseconds', 'mtimeNanoseconds', 'ctimeNanoseconds', 'btimeNanoseconds'] as const) {
    if (attributes[name] >= 1e9) throw new Error(`${name} of inode ${String(attributes.ino)} is ${String(attributes[name])}`);
  }
}

const NAMES = ['a', 'new', 'x'.repeat(255), 'name 7', 'file 3', 'deep', 'sub', 'another name', 'long'];
const MODES = [0, 1, 3, 0x10, 0x11];

const ATTRIBUTES = ['user.short', 'user.long', 'trusted.t', 'security.capability', 'system.posix_acl_access', 'system.posix_acl_default', 'user.17', 'user.a', `user.${'n'.repeat(250)}`];
const ACLS = [acl(), acl(...MINIMAL_ACL), acl(['userObject', 0, 7], ['user', 5, 6], ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 0])];

/** Sets or removes an extended attribute. */
function changeAttribute(fs: FileSystemOperations, ino: Ino, random: Random): void {
  const name = random.pick(ATTRIBUTES);
  if (random.chance(0.4)) {
    fs.removeXattr(ino, Name.from(name));
    return;
  }
  const length = random.pick([0, 4, 200, 300, 4032, 4033, 5000, 65_536]);
  const bytes = name.startsWith('system') && random.chance(0.8) ? random.pick(ACLS) : new Uint8Array(length).fill(0x41);
  fs.setXattr(ino, Name.from(name), bytes, 0, bytes.length, random.pick([0, 0, 0, 1, 2]));
}

/** Changes the volume in random places. */
export function change(fs: FileSystemOperations, inos: readonly Ino[], names: readonly string[], random: Random, operations: number): void {
  const caller = new Caller();
  const ino = (): Ino => (random.chance(0.95) ? random.pick(inos) : asIno(random.below(200)));
  const name = (): Name => Name.from(random.chance(0.5) && names.length > 0 ? Buffer.from(random.pick(names), 'latin1') : random.pick(NAMES));
  const held: Ino[] = [];
  const data = new Uint8Array(300_000).fill(0x5a);
  for (let done = 0; done < operations; done += 1) {
    attempt(() => {
      switch (random.below(20)) {
        case 0:
        case 1:
          fs.makeNode(ino(), name(), random.pick([0o100644, 0o100600, 0o040755, 0o010600, 0o020600]), caller, 1, 2);
          break;
        case 2:
          fs.symlink(ino(), name(), Name.from('t'.repeat(random.pick([1, 60, 128, 129, 3000]))), caller);
          break;
        case 3:
          fs.link(ino(), ino(), name());
          break;
        case 4:
        case 5:
          fs.unlink(ino(), name());
          break;
        case 6:
          fs.rmdir(ino(), name());
          break;
        case 7:
        case 8:
          fs.rename(ino(), name(), ino(), name(), random.pick([0, 0, 0, 1, 2]));
          break;
        case 9:
        case 10:
          fs.write(ino(), place(random), data, 0, random.between(1, random.pick([10, 5000, 100_000, 300_000])));
          break;
        case 11: {
          const request = new AttributeChange();
          request.mask = Change.size;
          request.size = place(random);
          fs.setAttributes(ino(), request);
          break;
        }
        case 12:
          fs.allocate(ino(), random.pick(MODES), place(random), random.between(1, random.pick([5000, 1_000_000])));
          break;
        case 13: {
          const temporary = fs.makeTemporary(ino(), 0o100600, caller);
          fs.hold(temporary);
          held.push(temporary);
          break;
        }
        case 14:
          fs.copyRange(ino(), place(random), ino(), place(random), random.between(1, 200_000));
          break;
        case 15:
        case 16:
        case 17:
          changeAttribute(fs, ino(), random);
          break;
        case 18: {
          // An access ACL follows.
          const request = new AttributeChange();
          request.mask = Change.mode;
          request.mode = random.below(0o10000);
          fs.setAttributes(ino(), request);
          break;
        }
        default:
          if (random.chance(0.5)) fs.flushTimes();
          else fs.backgroundStep();
      }
    });
  }
  for (const temporary of held) attempt(() => {
    fs.release(temporary, 1);
  });
}

function place(random: Random): number {
  return random.pick([0, 0, 4096 * random.below(600), random.below(3_000_000), 2 ** 40, 2 ** 53 - 4096]);
}
