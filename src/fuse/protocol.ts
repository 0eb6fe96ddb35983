/**
 * Byte offsets of the structures of the FUSE protocol (7.45), little-endian on every machine this program runs on.
 * Offsets of a request's arguments count from the end of the header; nothing here computes.
 */
export const PROTOCOL_MAJOR = 7;
export const PROTOCOL_MINOR = 45;
/** Kernels from 4.20: earlier ones have shorter structures and no FUSE_MAX_PAGES. */
export const PROTOCOL_MINOR_LEAST = 28;

export const ROOT_ID = 1;
export const NAME_MAX = 255;
export const PATH_MAX = 4096;
export const PAGE_BYTES = 4096;

export const InHeader = { length: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32 } as const;
export const IN_HEADER_SIZE = 40;

export const OutHeader = { length: 0, error: 4, unique: 8 } as const;
export const OUT_HEADER_SIZE = 16;

export const AttributesOut = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimeNanoseconds: 48,
  mtimeNanoseconds: 52,
  ctimeNanoseconds: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blockSize: 80,
  flags: 84,
} as const;
export const ATTRIBUTES_SIZE = 88;

export const EntryOut = {
  nodeid: 0,
  generation: 8,
  entryValid: 16,
  attributesValid: 24,
  entryValidNanoseconds: 32,
  attributesValidNanoseconds: 36,
  attributes: 40,
} as const;
export const ENTRY_OUT_SIZE = 128;

export const AttrOut = { valid: 0, validNanoseconds: 8, attributes: 16 } as const;
export const ATTR_OUT_SIZE = 104;

export const StatxIn = { fh: 8, flags: 16, mask: 20 } as const;
export const STATX_IN_SIZE = 24;
export const StatxOut = {
  valid: 0,
  validNanoseconds: 8,
  flags: 12,
  mask: 32,
  blockSize: 36,
  attributes: 40,
  nlink: 48,
  uid: 52,
  gid: 56,
  mode: 60,
  ino: 64,
  size: 72,
  blocks: 80,
  attributesMask: 88,
  atime: 96,
  btime: 112,
  ctime: 128,
  mtime: 144,
  rdevMajor: 160,
  rdevMinor: 164,
} as const;
export const STATX_OUT_SIZE = 288;

export const OpenOut = { fh: 0, flags: 8, backingId: 12 } as const;
export const OPEN_OUT_SIZE = 16;

export const StatfsOut = {
  blocks: 0,
  freeBlocks: 8,
  availableBlocks: 16,
  files: 24,
  freeFiles: 32,
  blockSize: 40,
  nameLength: 44,
  fragmentSize: 48,
} as const;
export const STATFS_OUT_SIZE = 80;

export const WriteOut = { size: 0 } as const;
export const WRITE_OUT_SIZE = 8;
/** Zero in all fields: the call succeeded and wants nothing more. What it returns follows. */
export const IOCTL_OUT_SIZE = 16;
/** LSEEK's offset, COPY_FILE_RANGE_64's count. */
export const U64_OUT_SIZE = 8;

/** A record of READDIR; the name follows, padded to 8 bytes. READDIRPLUS has an EntryOut before it. */
export const DirentOut = { ino: 0, offset: 8, nameLength: 16, type: 20, name: 24 } as const;

export const InitIn = { major: 0, minor: 4, maxReadahead: 8, flags: 12, flags2: 16 } as const;
/** Without flags2, from kernels before 5.17. */
export const INIT_IN_SIZE_SHORT = 16;
export const INIT_IN_SIZE = 64;
export const InitOut = {
  major: 0,
  minor: 4,
  maxReadahead: 8,
  flags: 12,
  maxBackground: 16,
  congestionThreshold: 18,
  maxWrite: 20,
  timeGranularity: 24,
  maxPages: 28,
  flags2: 32,
  maxStackDepth: 36,
} as const;
export const INIT_OUT_SIZE = 64;

export const FORGET_IN_SIZE = 8;
export const BatchForgetIn = { count: 0 } as const;
export const BATCH_FORGET_IN_SIZE = 8;
export const ForgetOne = { nodeid: 0, count: 8 } as const;
export const FORGET_ONE_SIZE = 16;

export const SetattrIn = {
  valid: 0,
  fh: 8,
  size: 16,
  atime: 32,
  mtime: 40,
  ctime: 48,
  atimeNanoseconds: 56,
  mtimeNanoseconds: 60,
  ctimeNanoseconds: 64,
  mode: 68,
  uid: 76,
  gid: 80,
} as const;
export const SETATTR_IN_SIZE = 88;

export const MknodIn = { mode: 0, rdev: 4, umask: 8 } as const;
export const MKNOD_IN_SIZE = 16;
export const MkdirIn = { mode: 0, umask: 4 } as const;
export const MKDIR_IN_SIZE = 8;
export const CreateIn = { flags: 0, mode: 4, umask: 8, openFlags: 12 } as const;
export const CREATE_IN_SIZE = 16;
export const RenameIn = { newDirectory: 0 } as const;
export const RENAME_IN_SIZE = 8;
export const Rename2In = { newDirectory: 0, flags: 8 } as const;
export const RENAME2_IN_SIZE = 16;
export const LinkIn = { oldNodeid: 0 } as const;
export const LINK_IN_SIZE = 8;

export const OpenIn = { flags: 0, openFlags: 4 } as const;
export const OPEN_IN_SIZE = 8;
export const ReleaseIn = { fh: 0, flags: 8 } as const;
export const RELEASE_IN_SIZE = 24;
export const ReadIn = { fh: 0, offset: 8, size: 16, flags: 32 } as const;
export const READ_IN_SIZE = 40;
export const WriteIn = { fh: 0, offset: 8, size: 16, writeFlags: 20, flags: 32 } as const;
export const WRITE_IN_SIZE = 40;
export const FallocateIn = { fh: 0, offset: 8, length: 16, mode: 24 } as const;
export const FALLOCATE_IN_SIZE = 32;
export const IoctlIn = { fh: 0, flags: 8, command: 12, argument: 16, inSize: 24, outSize: 28 } as const;
export const IOCTL_IN_SIZE = 32;
export const LseekIn = { fh: 0, offset: 8, whence: 16 } as const;
export const LSEEK_IN_SIZE = 24;
export const CopyFileRangeIn = {
  fhIn: 0,
  offsetIn: 8,
  nodeidOut: 16,
  fhOut: 24,
  offsetOut: 32,
  length: 40,
  flags: 48,
} as const;
export const COPY_FILE_RANGE_IN_SIZE = 56;

export const SetxattrIn = { size: 0, flags: 4, extraFlags: 8 } as const;
/** Without SETXATTR_EXT. */
export const SETXATTR_IN_SIZE_SHORT = 8;
export const SETXATTR_IN_SIZE = 16;
/** GETXATTR and LISTXATTR. */
export const GetxattrIn = { size: 0 } as const;
export const GETXATTR_IN_SIZE = 8;
export const GETXATTR_OUT_SIZE = 8;

export const NotifyInvalInode = { ino: 0, offset: 8, length: 16 } as const;
export const NOTIFY_INVAL_INODE_SIZE = 24;
/** struct fuse_notify_prune_out (count, padding, spare) and one inode number. */
export const NOTIFY_PRUNE_SIZE = 24;
