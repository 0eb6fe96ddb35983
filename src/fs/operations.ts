import type { Ino } from '../base/units.js';
import type { DurabilityDomain } from '../pmem/pmem.js';
import type { AccessTimes } from './access-times.js';
import type {
  AttributeChange,
  Attributes,
  Caller,
  EntrySink,
  MappedExtents,
  Name,
  CloseResultNumber,
  OpenedFile,
  Placement,
  Ranges,
  Statistics,
} from './types.js';

/**
 * The filesystem by inode number: what a transport (FUSE or in-process) may ask for.
 *
 * All calls are synchronous and run to their end: when a call that changes metadata returns, the change is durable
 * and atomic (promises 1 and 2). They throw FsError with the errno that POSIX gives the
 * corresponding system call; permission checks are the kernel's (default_permissions) and not made here.
 * Node ids are inode numbers; the root is 1.
 */
export interface FileSystemOperations {
  /**
   * The inode of a name, 0 if there is none (not an error). `.` and `..` work (`..` of the root is the root); `.` of any inode, as
   * handles of NFS need it. ENOTDIR, ENAMETOOLONG, ESTALE.
   */
  lookup(parent: Ino, name: Name): Ino | 0;
  /** ENOENT or ESTALE if there is no such inode. */
  getAttributes(ino: Ino, attributes: Attributes): void;
  /** Capabilities go with a change of size or owner; an access ACL follows a change of mode. */
  setAttributes(ino: Ino, change: AttributeChange): void;
  /** chattr: the settable InodeFlag bits (all of them at once) and the project id. EOPNOTSUPP for other bits, EPERM. */
  setFlags(ino: Ino, flags: number, project: number): void;
  /**
   * A regular file is opened: where its data lies stays as it is until all are closed that were. `opened` says how to serve it. EISDIR, EINVAL; ENOSPC and others of the
   * host, where a host file has to be made; EIO if its host file is missing.
   */
  openFile(ino: Ino, opened: OpenedFile): void;
  /** As often as openFile. */
  closeFile(ino: Ino): CloseResultNumber;
  isOpen(ino: Ino): boolean;
  /** For people. */
  placementOf(ino: Ino): Placement;
  /** Of the host file that is the data of a region, null for what is in the image. EIO if the host file is missing. */
  regionDomain(ino: Ino): DurabilityDomain | null;
  /** Who serves the volume says why host files are of no use for him, if so; asked when there would be one. */
  serveRegions(obstacle: () => string | null): void;
  /** Whether a file may be opened for writing, by one who only appends or not. EPERM when it is immutable or append-only. */
  checkOpen(ino: Ino, appending: boolean): void;

  /** mknod, mkdir, create: `mode` with its type bits; the directory's default ACL, or else the caller's umask, reduces it. EEXIST, ENOSPC, EMLINK … */
  makeNode(parent: Ino, name: Name, mode: number, caller: Caller, rdevMajor: number, rdevMinor: number): Ino;
  symlink(parent: Ino, name: Name, target: Name, caller: Caller): Ino;
  /** O_TMPFILE: a regular file without a name; it must be held by its creator, or it is gone. `link` gives it a name. */
  makeTemporary(parent: Ino, mode: number, caller: Caller): Ino;
  link(ino: Ino, newParent: Ino, newName: Name): void;
  unlink(parent: Ino, name: Name): void;
  rmdir(parent: Ino, name: Name): void;
  /** `flags`: RenameFlag bits; `caller`: the owner of a whiteout. */
  rename(parent: Ino, name: Name, newParent: Ino, newName: Name, flags: number, caller?: Caller): void;
  /** Copies the target to bytes[offset …] (room for 4095) and returns its length. EINVAL if not a symbolic link. */
  readlink(ino: Ino, bytes: Uint8Array, offset: number): number;

  /**
   * Finds where [offset, offset + length) lies, clipped to the size; returns how many bytes `ranges` describes. `silent`: the access time
   * stays (O_NOATIME). EISDIR.
   */
  read(ino: Ino, offset: number, length: number, ranges: Ranges, silent?: boolean): number;
  /**
   * Before a read by one who may write: a page that he has mapped may be about to be handed to him. In a DAX or synchronous file of the image what are holes in the range
   * becomes written blocks of zero bytes, durable on return (promise 3). ENOSPC.
   */
  populate(ino: Ino, offset: number, length: number): void;
  /**
   * Copies the bytes to the medium, allocating as needed; durable on return. Returns the bytes written: `length`, or fewer where the
   * largest file ends. `mapped`: what a program stored through a mapping that it made when it was allowed to write. EFBIG, ENOSPC, EPERM.
   */
  write(ino: Ino, offset: number, source: Uint8Array, sourceOffset: number, length: number, mapped?: boolean): number;
  /** As write at the end of the file, whatever its size is now. Returns the offset it was written at. */
  append(ino: Ino, source: Uint8Array, sourceOffset: number, length: number): number;
  /** fallocate(2); `mode`: AllocateMode bits. EOPNOTSUPP for others. */
  allocate(ino: Ino, mode: number, offset: number, length: number): void;
  /** lseek(2) SEEK_DATA, SEEK_HOLE. ENXIO beyond the end. */
  seek(ino: Ino, offset: number, whence: number): number;
  /** copy_file_range(2), within one volume; returns the bytes copied (may be fewer than asked for). */
  copyRange(source: Ino, sourceOffset: number, target: Ino, targetOffset: number, length: number): number;
  /** fsync, fdatasync: makes pending timestamps durable, and what programs stored through mappings the daemon knows of. */
  sync(ino: Ino): void;

  /**
   * setxattr(2): `flags`: XattrFlag bits. Namespaces: user, trusted, security, and system.posix_acl_access and _default, whose values must be
   * ACLs (EINVAL) and change the mode accordingly. EEXIST, ENODATA, ENOSPC, EOPNOTSUPP, EPERM, EACCES, ERANGE (name), E2BIG (value).
   */
  setXattr(ino: Ino, name: Name, value: Uint8Array, valueOffset: number, length: number, flags: number): void;
  /** Copies a value to bytes[offset …] and returns its length. `size`: room there, 0 to ask for the length only. ENODATA, ERANGE. */
  getXattr(ino: Ino, name: Name, bytes: Uint8Array, offset: number, size: number): number;
  /** As getXattr, the names of all attributes, each followed by a zero byte: at most 65536 bytes. */
  listXattr(ino: Ino, bytes: Uint8Array, offset: number, size: number): number;
  /** ENODATA, but not for an ACL: the result is the same. */
  removeXattr(ino: Ino, name: Name): void;

  /** Entries after `cookie` (0: from the start, `.` and `..` first) until the sink is full or the end is reached; `silent` as of read. */
  readDirectory(ino: Ino, cookie: number, sink: EntrySink, silent?: boolean): void;
  statistics(statistics: Statistics): void;

  /**
   * An open file of the transport's (`holder`: a number > 0 that no other has or had) is mapped from the medium by a program, which may store
   * to it if `writable`: until `unlease` none of the file's blocks goes to anybody else. Leasing again may only add `writable`.
   * EROFS, EISDIR, EPERM (it may not be written to), ENFILE.
   */
  lease(ino: Ino, holder: number, writable: boolean): void;
  /** Ends the lease of an open file; false if it has none. */
  unlease(holder: number): boolean;
  hasLease(holder: number): boolean;
  isLeased(ino: Ino): boolean;
  /** The file was leased since `forgetLeased`: what others cached of it before may be old. */
  wasLeased(ino: Ino): boolean;
  forgetLeased(ino: Ino): void;
  /** All leases: the open files and their inodes. */
  leases(): Iterable<readonly [number, Ino]>;
  /**
   * Describes the written extents in [offset, offset + length), multiples of 4096, up to the last block of the file. With `fill` the range, of at
   * most 2 MiB, is all of it written when this returns: holes are allocated, zeroed and committed. Returns how far the
   * description reaches: not to the end when `extents` is full. EINVAL, ENOSPC, EROFS.
   */
  mapRange(ino: Ino, offset: number, length: number, fill: boolean, extents: MappedExtents): number;

  /** The transport knows the inode (a lookup count, an open file): it is not freed while held, even without a name. */
  hold(ino: Ino): void;
  /** Takes back `count` holds; an inode without names and holds is freed. */
  release(ino: Ino, count: number): void;

  /** Makes pending timestamps durable (once a second, at fsync, at last close). */
  flushTimes(): void;
  /** Does a bounded step (< 1 ms) of deferred work, such as freeing a large removed file; false when nothing is left. */
  backgroundStep(): boolean;
  /** The request being served: goes into the journal record, so that a re-sent one is recognised. */
  setRequest(idLow: number, idHigh: number, kind: number): void;

  /**
   * From read-only to read-write and back (remount). To read-only: what is pending becomes durable, and from then on nothing is written. EROFS
   * when the volume was opened read-only, or became so because of damage.
   */
  setReadOnly(readOnly: boolean): void;
  setAccessTimes(times: AccessTimes): void;
  /** An operation met damage (EIO of metadata, a failed commit): with errors=remount-ro nothing is changed from now on. */
  noteDamage(message: string): void;
  /** Flushes everything and closes the medium. */
  close(): void;
}
