import { isUtf8 } from 'node:buffer';
import { FsError } from '../../base/errno.js';
import { asByteAddr, type Ino } from '../../base/units.js';
import type { FileSystemOperations } from '../../fs/operations.js';
import type { Caller} from '../../fs/types.js';
import { AttributeChange, Attributes, Change, type EntrySink, Name, Ranges, RANGES_HEADER_ROOM, Statistics } from '../../fs/types.js';
import type { Pmem } from '../../pmem/pmem.js';
import { deviceMajor, deviceMinor } from '../encode.js';
import { FileType, SET_ID_BITS } from '../flags.js';
import { PATH_MAX } from '../protocol.js';
import { Handles } from './handles.js';
import { bytesOf, Paths } from './paths.js';
import { requestTimes, statfsRecord, type StatfsRecord, statRecord, type StatRecord } from './values.js';

/** One READ of libfuse has at most 128 KiB: 33 blocks, each at worst an extent of its own. */
const RANGES_PER_READ = 64;
const PERMISSION_BITS = 0o7777;
const EILSEQ = 84;
/** chown(2): this id stays. */
const UNCHANGED = 0xffffffff;

/**
 * The filesystem by path, as libfuse's high-level interface calls it. Every method serves one call to its end and throws
 * FsError for the errno to answer.
 *
 * libfuse itself keeps a file that is removed while open, by renaming it to .fuse_hidden… until the last close, so every open
 * file has a path.
 */
export class PathOperations {
  private readonly paths: Paths;
  private readonly handles: Handles;
  private readonly attributes = new Attributes();
  private readonly change = new AttributeChange();
  private readonly ranges = new Ranges(RANGES_PER_READ);
  private readonly figures = new Statistics();
  private readonly otherName = new Name();

  /** `owner`: of whatever is made, because fuse-native does not tell who asks. */
  constructor(
    private readonly fs: FileSystemOperations,
    private readonly pmem: Pmem,
    private readonly owner: Caller,
  ) {
    this.paths = new Paths(fs);
    this.handles = new Handles(fs);
  }

  stat(path: string): StatRecord {
    this.fs.getAttributes(this.paths.inode(path), this.attributes);
    return statRecord(this.attributes);
  }

  statistics(): StatfsRecord {
    this.fs.statistics(this.figures);
    return statfsRecord(this.figures);
  }

  /** All entries at once: libfuse has no other way. A name that is not UTF-8 is shown with U+FFFD, and can't be reached. */
  list(path: string): { names: string[]; stats: StatRecord[] } {
    const names: string[] = [];
    const stats: StatRecord[] = [];
    const sink: EntrySink = {
      entry(bytes, offset, length, ino, type) {
        names.push(Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString());
        stats.push({ ino, mode: type << 12 });
        return true;
      },
    };
    this.fs.readDirectory(this.paths.inode(path), 0, sink);
    return { names, stats };
  }

  /** Throws EILSEQ for a target that is not UTF-8: it would lead elsewhere. */
  readlink(path: string): string {
    const bytes = Buffer.allocUnsafe(PATH_MAX);
    const target = bytes.subarray(0, this.fs.readlink(this.paths.inode(path), bytes, 0));
    if (!isUtf8(target)) throw new FsError(EILSEQ, 'transport=fuse-native only knows symbolic links in UTF-8');
    return target.toString();
  }

  /** Returns a handle, to be closed by `release`. */
  open(path: string): number {
    return this.handles.open(this.paths.inode(path));
  }

  create(path: string, mode: number): number {
    return this.handles.open(this.makeNode(path, FileType.REGULAR | (mode & PERMISSION_BITS), 0));
  }

  release(handle: number): void {
    this.handles.close(handle);
  }

  /** Copies from the medium into libfuse's buffer, natively; returns the bytes, fewer than `length` only at the end of the file. */
  read(handle: number, buffer: Buffer, length: number, offset: number): number {
    const ino = this.handles.inode(handle);
    let done = 0;
    while (done < length) {
      const found = this.fs.read(ino, offset + done, length - done, this.ranges);
      if (found === 0) break;
      if (this.ranges.inMemory) buffer.set(this.ranges.bytes.subarray(RANGES_HEADER_ROOM, RANGES_HEADER_ROOM + found), done);
      else this.copyRanges(buffer, done);
      done += found;
    }
    return done;
  }

  write(handle: number, buffer: Buffer, length: number, offset: number): number {
    return this.fs.write(this.handles.inode(handle), offset, buffer, 0, length);
  }

  fsync(handle: number): void {
    this.fs.sync(this.handles.inode(handle));
  }

  syncDirectory(path: string): void {
    this.fs.sync(this.paths.inode(path));
  }

  truncate(path: string, size: number): void {
    this.change.mask = Change.size;
    this.change.size = size;
    this.fs.setAttributes(this.paths.inode(path), this.change);
  }

  chmod(path: string, mode: number): void {
    this.change.mask = Change.mode;
    this.change.mode = mode;
    this.fs.setAttributes(this.paths.inode(path), this.change);
  }

  chown(path: string, uid: number, gid: number): void {
    this.change.mask = (uid === UNCHANGED ? 0 : Change.uid) | (gid === UNCHANGED ? 0 : Change.gid);
    this.change.uid = uid;
    this.change.gid = gid;
    this.fs.setAttributes(this.paths.inode(path), this.change);
  }

  /** `request`: where both times are; `atime`: milliseconds as fuse-native passed them. Throws EOPNOTSUPP rather than set a wrong time. */
  setTimes(path: string, request: Buffer, atime: number): void {
    const times = requestTimes(request, atime);
    if (times === null) throw new FsError('EOPNOTSUPP', 'this build of fuse-native does not tell the modification time to be set');
    const { change } = this;
    change.mask = Change.atime | Change.mtime;
    change.atimeSeconds = Math.floor(times.atime / 1000);
    change.atimeNanoseconds = (times.atime - change.atimeSeconds * 1000) * 1e6;
    change.mtimeSeconds = Math.floor(times.mtime / 1000);
    change.mtimeNanoseconds = (times.mtime - change.mtimeSeconds * 1000) * 1e6;
    this.fs.setAttributes(this.paths.inode(path), change);
  }

  mknod(path: string, mode: number, device: number): void {
    this.makeNode(path, (mode & FileType.MASK) === 0 ? mode | FileType.REGULAR : mode, device);
  }

  mkdir(path: string, mode: number): void {
    this.makeNode(path, (mode & PERMISSION_BITS) | FileType.DIRECTORY, 0);
  }

  symlink(target: string, path: string): void {
    const bytes = bytesOf(target);
    if (bytes.length >= PATH_MAX) throw new FsError('ENAMETOOLONG');
    const parent = this.paths.parentOf(path);
    this.fs.symlink(parent, this.paths.name, this.otherName.set(bytes, 0, bytes.length), this.owner);
  }

  link(path: string, newPath: string): void {
    const ino = this.paths.inode(path);
    const parent = this.paths.parentOf(newPath);
    this.fs.link(ino, parent, this.paths.name);
  }

  unlink(path: string): void {
    const parent = this.paths.parentOf(path);
    this.fs.unlink(parent, this.paths.name);
  }

  rmdir(path: string): void {
    const parent = this.paths.parentOf(path);
    this.fs.rmdir(parent, this.paths.name);
    this.paths.removed(path);
  }

  rename(path: string, newPath: string): void {
    const movesPaths = this.paths.isDirectory(this.paths.inode(path));
    const newParent = this.paths.parentOf(newPath, this.otherName);
    const parent = this.paths.parentOf(path);
    this.fs.rename(parent, this.paths.name, newParent, this.otherName, 0);
    if (movesPaths) this.paths.moved();
  }

  noteDamage(message: string): void {
    this.fs.noteDamage(message);
  }

  private makeNode(path: string, mode: number, device: number): Ino {
    const parent = this.paths.parentOf(path);
    // The owner need not be the one who asks, and nobody may make a set-user-id program of somebody else's.
    const safeMode = (mode & FileType.MASK) === FileType.DIRECTORY ? mode : mode & ~SET_ID_BITS;
    return this.fs.makeNode(parent, this.paths.name, safeMode, this.owner, deviceMajor(device), deviceMinor(device));
  }

  private copyRanges(buffer: Buffer, start: number): void {
    const { addresses, lengths, count } = this.ranges;
    let at = start;
    for (let i = 0; i < count; i++) {
      const address = addresses[i] ?? 0;
      const length = lengths[i] ?? 0;
      if (address < 0) buffer.fill(0, at, at + length);
      else this.pmem.load(asByteAddr(address), buffer, at, length);
      at += length;
    }
  }
}
