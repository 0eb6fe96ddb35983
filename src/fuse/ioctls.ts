/**
 * Numbers of ioctl(2), as the generic architecture encodes them: direction, size of the argument, type, number. The
 * kernel derives from them how many bytes go in and out; a FUSE server that is no character device can't ask for more.
 */
const WRITE = 1;
const READ = 2;

const number = (direction: number, type: string, nr: number, size: number): number => ((direction << 30) | (size << 16) | (type.charCodeAt(0) << 8) | nr) >>> 0;

export const FSXATTR_SIZE = 28;
export const PLACEMENT_SIZE = 256;
/** The answer to PLACEMENT: where the data of a file lies, how an open file is served, and why it is not served from a host file although it is a DAX file (UTF-8). */
export const PlacementOut = { data: 0, wanted: 4, served: 8, textLength: 12, text: 16 } as const;
export const PlacementData = { image: 0, region: 1 } as const;
export const PlacementServed = { pageCache: 0, direct: 1, passthrough: 2 } as const;
/** struct fsxattr */
export const Fsxattr = { flags: 0, extentSize: 4, extents: 8, project: 12, cowExtentSize: 16 } as const;

/** Of linux/fs.h; `long` in the name of a number is 8 bytes, but the flags are an int. */
export const Ioctl = {
  GET_FLAGS: number(READ, 'f', 1, 8),
  SET_FLAGS: number(WRITE, 'f', 2, 8),
  GET_VERSION: number(READ, 'v', 1, 8),
  GET_FSXATTR: number(READ, 'X', 31, FSXATTR_SIZE),
  SET_FSXATTR: number(WRITE, 'X', 32, FSXATTR_SIZE),
  /** FS_IOC_SHUTDOWN. Although it reads its argument, its number says that it returns one: which flag was given does not get here. */
  SHUTDOWN: number(READ, 'X', 125, 4),
  /** Our own, of any directory of the mount: somebody has changed the options of the mount (remount); the volume shall follow. */
  REMOUNTED: number(0, 'n', 0x40, 0),
  /** Our own, of any file of the mount: see PlacementOut. */
  PLACEMENT: number(READ, 'n', 0x41, PLACEMENT_SIZE),
} as const;

/** FS_*_FL of FS_IOC_GETFLAGS. */
export const FileFlag = {
  SYNC: 0x8,
  IMMUTABLE: 0x10,
  APPEND: 0x20,
  NODUMP: 0x40,
  NOATIME: 0x80,
  DAX: 0x02000000,
  PROJINHERIT: 0x20000000,
} as const;

/** FS_XFLAG_* of FS_IOC_FSGETXATTR. */
export const FileXflag = {
  IMMUTABLE: 0x8,
  APPEND: 0x10,
  SYNC: 0x20,
  NOATIME: 0x40,
  NODUMP: 0x80,
  PROJINHERIT: 0x200,
  DAX: 0x8000,
} as const;
