import type { Ino } from '../base/units.js';

/**
 * A name as the kernel sends it: bytes inside a larger buffer. Reused from request to request, so
 * nobody may keep it. Never decoded: names are bytes.
 */
export class Name {
  bytes: Uint8Array = new Uint8Array(0);
  offset = 0;
  length = 0;

  set(bytes: Uint8Array, offset: number, length: number): this {
    this.bytes = bytes;
    this.offset = offset;
    this.length = length;
    return this;
  }

  /** For tests and tools: a name from a string (latin1 or UTF-8 bytes as given). */
  static from(text: string | Uint8Array): Name {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    return new Name().set(bytes, 0, bytes.length);
  }
}

/** Who asks: the owner of what is created. */
export class Caller {
  uid = 0;
  gid = 0;
  /** Permission bits that what is created does not get, unless a default ACL decides; 0 where that was applied before. */
  umask = 0;
}

/** What stat(2) shows of an inode; filled in by getAttributes, reused by its owner. */
export class Attributes {
  ino = 0 as Ino;
  generation = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  /** Bytes. */
  size = 0;
  /** Units of 512 bytes, as st_blocks. */
  blocks = 0;
  atimeSeconds = 0;
  atimeNanoseconds = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;
  ctimeSeconds = 0;
  ctimeNanoseconds = 0;
  btimeSeconds = 0;
  btimeNanoseconds = 0;
  /** InodeFlag bits of the format. */
  flags = 0;
  project = 0;
}

/** Which fields of an {@link AttributeChange} count. */
export const Change = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  atime: 16,
  mtime: 32,
  /** atime/mtime are the present moment, whatever the fields say. */
  atimeNow: 64,
  mtimeNow: 128,
  ctime: 256,
  /** Clear set-user-id, and set-group-id of what its group may execute, as a write by an ordinary user does. */
  killPrivileges: 512,
} as const;

/** A change of attributes (chmod, chown, truncate, utimensat in all forms), done in one transaction. */
export class AttributeChange {
  /** Bits of {@link Change}. */
  mask = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  size = 0;
  atimeSeconds = 0;
  atimeNanoseconds = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;
  ctimeSeconds = 0;
  ctimeNanoseconds = 0;
}

/** Where the bytes of a read lie on the medium, in order; filled in by read, reused by its owner. */
export class Ranges {
  /** Byte addresses on the medium, −1 for zero bytes (a hole). */
  readonly addresses: Float64Array;
  readonly lengths: Float64Array;
  count = 0;
  /** The bytes are not on the medium (a region's): they were copied to `bytes`, from `RANGES_HEADER_ROOM` on. */
  inMemory = false;
  bytes = new Uint8Array(0);

  /** `capacity`: most ranges one read may return; a read is cut short where there would be more. */
  constructor(readonly capacity: number) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  /** Makes room for `length` bytes behind that for a header. */
  reserve(length: number): Uint8Array {
    if (this.bytes.length < RANGES_HEADER_ROOM + length) this.bytes = new Uint8Array(RANGES_HEADER_ROOM + length);
    return this.bytes;
  }
}

/** Bytes before those of `Ranges.bytes`, for whoever sends them. */
export const RANGES_HEADER_ROOM = 64;

/** How an open file is to be served; filled in by openFile, reused by its owner. */
export class OpenedFile {
  /** Descriptor of the host file that is its data, for the kernel to use directly; −1: it comes to us. */
  descriptor = -1;
  /** Without the kernel's page cache. */
  direct = false;
  /** Nobody else has it open. */
  first = false;
}

/** Written extents of a file, in the order of the file: where programs may map it. All in bytes, multiples of 4096. */
export class MappedExtents {
  readonly offsets: Float64Array;
  readonly addresses: Float64Array;
  readonly lengths: Float64Array;
  count = 0;
  /** Of which one call may use so many. */
  limit: number;

  constructor(capacity: number) {
    this.limit = capacity;
    this.offsets = new Float64Array(capacity);
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }
}

/** What closing a file leads to: others have it open; nobody has; or nobody has, and its data is to be moved once nobody holds the inode any more. */
export const CloseResult = { open: 0, closed: 1, held: 2 } as const;
export type CloseResultNumber = (typeof CloseResult)[keyof typeof CloseResult];

/** Where the data of a file lies. */
export interface Placement {
  readonly isRegion: boolean;
  /** It is a DAX file, by its flag or by what the mount says. */
  readonly isWanted: boolean;
  /** Why no file gets a region now; null if DAX files do. */
  readonly obstacle: string | null;
}

/** Takes directory entries one by one; returns false when it has no room for this one (it will be asked for again). */
export interface EntrySink {
  /**
   * `cookie` is the position after this entry, for the next readDirectory; `type` as in dirent(3).
   * The name is only valid during the call.
   */
  entry(bytes: Uint8Array, nameOffset: number, nameLength: number, ino: Ino, type: number, cookie: number): boolean;
}

/** statvfs(3) of the volume. */
export class Statistics {
  blockSize = 0;
  blocks = 0;
  freeBlocks = 0;
  /** Without the reserve that only freeing operations may use. */
  availableBlocks = 0;
  files = 0;
  freeFiles = 0;
  nameMax = 0;
}

/** As renameat2(2) numbers them. `whiteout`: a character device 0,0 takes the old name. */
export const RenameFlag = { noReplace: 1, exchange: 2, whiteout: 4 } as const;
export const XattrFlag = {
  /** EEXIST if the attribute exists. */
  create: 1,
  /** ENODATA if it does not. */
  replace: 2,
  /** An access ACL takes set-group-id along: set by one who is not in the group and may not keep it. */
  killSetGroupId: 4,
} as const;
export { AllocateMode } from '../format/layout.js';
export const SeekWhence = { data: 3, hole: 4 } as const;
