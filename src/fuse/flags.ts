/** Bits of the FUSE protocol 7.45 that this program sends or understands. */

/** INIT, first word. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  /** The kernel sends, and takes, the second word. */
  INIT_EXT: 1 << 30,
} as const;

/** INIT, second word (bits 32 to 63 of the protocol's numbering). */
export const InitFlag2 = {
  DIRECT_IO_ALLOW_MMAP: 1 << (36 - 32),
  /** Open files may be served from a host file, without us; from Linux 6.9. */
  PASSTHROUGH: 1 << (37 - 32),
  /** The kernel sends requests again when it is asked to (Notify.RESEND); from Linux 6.9. */
  HAS_RESEND: 1 << (39 - 32),
  ALLOW_IDMAP: 1 << (40 - 32),
} as const;

export const OpenReply = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  CACHE_DIR: 1 << 3,
  PARALLEL_DIRECT_WRITES: 1 << 6,
  /** From the host file of the backing id. */
  PASSTHROUGH: 1 << 7,
} as const;

/** fuse_setattr_in.valid */
export const SetAttributeFlag = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCKOWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** fuse_write_in.write_flags */
export const WriteFlag = {
  /** From the page cache, by whomever; the credentials in the header say nothing. */
  CACHE: 1 << 0,
  /** The writer is no CAP_FSETID: set-user-id and set-group-id go. */
  KILL_SUIDGID: 1 << 2,
} as const;

/** fuse_open_in.open_flags, fuse_create_in.open_flags */
export const OpenRequestFlag = {
  /** With O_TRUNC: set-user-id and set-group-id go. */
  KILL_SUIDGID: 1 << 0,
} as const;

/** fuse_setxattr_in.setxattr_flags */
export const SetXattrFlag = {
  /** Setting an access ACL clears set-group-id. */
  ACL_KILL_SGID: 1 << 0,
} as const;

/** open(2), generic architecture (x86-64 and aarch64 agree on these). */
export const OpenFlag = {
  ACCMODE: 0o3,
  READ_WRITE: 0o2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NOATIME: 0o1000000,
} as const;

/** Type bits of a mode. */
export const FileType = {
  MASK: 0o170000,
  DIRECTORY: 0o040000,
  REGULAR: 0o100000,
} as const;

export const SET_ID_BITS = 0o6000;

/** Bits of fuse_statx.mask, as statx(2). */
export const StatxMask = { BASIC_STATS: 0x7ff, BTIME: 0x800 } as const;
