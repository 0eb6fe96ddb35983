import type { DurabilityDomain } from '../pmem/pmem.js';

/**
 * Numbers of ioctl(2), as the generic architecture encodes them: direction, size of the argument, type, number. The
 * kernel derives from them how many bytes go in and out; a FUSE server that is no character device can't ask for more.
 */
const WRITE = 1;
const READ = 2;

const number = (direction: number, type: string, nr: number, size: number): number => ((direction << 30) | (size << 16) | (type.charCodeAt(0) << 8) | nr) >>> 0;

/** Extents that one answer to MAP_RANGE has at most: what fits into the largest argument of an ioctl, rounded down. */
export const EXTENTS_MAX = 480;

/** Our own, of a file: see native/libnvm/protocol.h. The number of the second comes with any size. */
export const IMAGE_IDENTITY_SIZE = 64 + 4096;
export const ImageIdentityOut = { version: 0, flags: 4, domain: 8, placement: 12, device: 16, inode: 24, fileIno: 32, path: 64 } as const;
export const IDENTITY_VERSION = 1;
export const IdentityFlag = { DECLARED: 1 } as const;
export const MapRangeIn = { offset: 0, length: 8, flags: 16 } as const;
export const MapRangeOut = { reached: 0, fileSize: 8, count: 16, fileIno: 24, extents: 64 } as const;
export const MAP_RANGE_HEADER_SIZE = 64;
export const MAP_EXTENT_SIZE = 24;
export const MapRangeFlag = { FILL: 1, LEASE: 2, WRITE: 4 } as const;
/** Type and number of MAP_RANGE. */
export const MAP_RANGE_NUMBER = ('N'.charCodeAt(0) << 8) | 0x41;

/** Where the medium is. */
export interface ImageIdentity {
  /** As stat(2) has them. */
  readonly device: bigint;
  readonly inode: bigint;
  readonly path: string;
  readonly domain: DurabilityDomain;
  /** Persistent memory as the user says, whatever it is (mount option pmem=declared). */
  readonly declared: boolean;
}

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
  /** Our own, of a file: where the medium is. */
  IMAGE_IDENTITY: number(READ, 'N', 0x40, IMAGE_IDENTITY_SIZE),
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
