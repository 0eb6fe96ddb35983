import type { Attributes, Statistics } from '../../fs/types.js';
import { encodeDevice } from '../encode.js';
import { PAGE_BYTES } from '../protocol.js';

/** What fuse-native takes for a struct stat. Times are whole milliseconds since 1970, never before. */
export interface StatRecord {
  mode: number;
  ino: number;
  nlink?: number;
  uid?: number;
  gid?: number;
  size?: number;
  rdev?: number;
  blksize?: number;
  blocks?: number;
  atime?: number;
  mtime?: number;
  ctime?: number;
}

/** What it takes for a struct statvfs: every field has 32 bits. */
export interface StatfsRecord {
  bsize: number;
  frsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  favail: number;
  namemax: number;
}

const UINT32_MAX = 0xffffffff;

export function statRecord(from: Attributes): StatRecord {
  return {
    mode: from.mode,
    ino: from.ino,
    nlink: from.nlink,
    uid: from.uid,
    gid: from.gid,
    size: from.size,
    rdev: encodeDevice(from.rdevMajor, from.rdevMinor),
    blksize: PAGE_BYTES,
    blocks: from.blocks,
    atime: milliseconds(from.atimeSeconds, from.atimeNanoseconds),
    mtime: milliseconds(from.mtimeSeconds, from.mtimeNanoseconds),
    ctime: milliseconds(from.ctimeSeconds, from.ctimeNanoseconds),
  };
}

/** A time before 1970 would be shown as one of the far future. */
function milliseconds(seconds: number, nanoseconds: number): number {
  return Math.max(0, seconds * 1000 + Math.floor(nanoseconds / 1e6));
}

/** Counts that have no room in 32 bits are given in larger blocks; numbers of files stop at the largest. */
export function statfsRecord(from: Statistics): StatfsRecord {
  let unit = 1;
  while (from.blocks / unit > UINT32_MAX) unit *= 2;
  const freeFiles = Math.min(from.freeFiles, UINT32_MAX);
  return {
    bsize: from.blockSize * unit,
    frsize: from.blockSize * unit,
    blocks: Math.floor(from.blocks / unit),
    bfree: Math.floor(from.freeBlocks / unit),
    bavail: Math.floor(from.availableBlocks / unit),
    files: Math.min(from.files, UINT32_MAX),
    ffree: freeFiles,
    favail: freeFiles,
    namemax: from.nameMax,
  };
}

/** Times of a utimens request in milliseconds since 1970, negative before. */
export interface RequestTimes {
  readonly atime: number;
  readonly mtime: number;
}

/**
 * Where fuse-native 2.2.6 keeps the two times in the request that it hands to its handlers, the C structure
 * fuse_thread_locals_t (64-bit Linux: the same layout on x86-64 and aarch64), in milliseconds of 64 bits.
 */
const ATIME_OFFSET = 104;
const MTIME_OFFSET = 112;

/**
 * Finds both times in a utimens request: fuse-native passes the access time twice and the modification time not at all.
 * `atimeGiven`: what it passed. Null if the structure is another, because what was passed is not where it should be.
 */
export function requestTimes(request: Buffer, atimeGiven: number): RequestTimes | null {
  if (request.length < MTIME_OFFSET + 8) return null;
  const passed = request.readUInt32LE(ATIME_OFFSET) + request.readUInt32LE(ATIME_OFFSET + 4) * 2 ** 32;
  if (passed !== atimeGiven) return null;
  return { atime: readSigned(request, ATIME_OFFSET), mtime: readSigned(request, MTIME_OFFSET) };
}

function readSigned(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readInt32LE(offset + 4) * 2 ** 32;
}
