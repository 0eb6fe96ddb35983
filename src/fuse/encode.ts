import { InodeFlag } from '../format/layout.js';
import { setI64, setU64 } from '../format/numbers.js';
import type { Attributes, Statistics } from '../fs/types.js';
import { StatxMask } from './flags.js';
import { AttributesOut, PAGE_BYTES, StatfsOut, StatxOut } from './protocol.js';

/**
 * How long the kernel may keep names and attributes, in seconds. It is the only client, so it knows of every change
 * without asking.
 */
export const CACHE_SECONDS = 86400;

/** The kernel may not keep the attributes of a region: stores through its mappings change them behind our back, and its own. */
export function cacheSeconds(attributes: Attributes): number {
  return (attributes.flags & InodeFlag.region) !== 0 ? 0 : CACHE_SECONDS;
}

/** A device number as the kernel's new_encode_dev makes it. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

export const deviceMajor = (device: number): number => (device >>> 8) & 0xfff;
export const deviceMinor = (device: number): number => (device & 0xff) | ((device >>> 12) & 0xfff00);

/** Writes a struct fuse_attr. */
export function encodeAttributes(view: DataView, at: number, from: Attributes): void {
  setU64(view, at + AttributesOut.ino, from.ino);
  setU64(view, at + AttributesOut.size, from.size);
  setU64(view, at + AttributesOut.blocks, from.blocks);
  setI64(view, at + AttributesOut.atime, from.atimeSeconds);
  setI64(view, at + AttributesOut.mtime, from.mtimeSeconds);
  setI64(view, at + AttributesOut.ctime, from.ctimeSeconds);
  view.setUint32(at + AttributesOut.atimeNanoseconds, from.atimeNanoseconds, true);
  view.setUint32(at + AttributesOut.mtimeNanoseconds, from.mtimeNanoseconds, true);
  view.setUint32(at + AttributesOut.ctimeNanoseconds, from.ctimeNanoseconds, true);
  view.setUint32(at + AttributesOut.mode, from.mode, true);
  view.setUint32(at + AttributesOut.nlink, from.nlink, true);
  view.setUint32(at + AttributesOut.uid, from.uid, true);
  view.setUint32(at + AttributesOut.gid, from.gid, true);
  view.setUint32(at + AttributesOut.rdev, encodeDevice(from.rdevMajor, from.rdevMinor), true);
  view.setUint32(at + AttributesOut.blockSize, PAGE_BYTES, true);
  view.setUint32(at + AttributesOut.flags, 0, true);
}

/** Writes a struct fuse_statx_out, zeroed before. */
export function encodeStatx(view: DataView, at: number, from: Attributes): void {
  setU64(view, at + StatxOut.valid, cacheSeconds(from));
  view.setUint32(at + StatxOut.mask, StatxMask.BASIC_STATS | StatxMask.BTIME, true);
  view.setUint32(at + StatxOut.blockSize, PAGE_BYTES, true);
  view.setUint32(at + StatxOut.nlink, from.nlink, true);
  view.setUint32(at + StatxOut.uid, from.uid, true);
  view.setUint32(at + StatxOut.gid, from.gid, true);
  view.setUint16(at + StatxOut.mode, from.mode, true);
  setU64(view, at + StatxOut.ino, from.ino);
  setU64(view, at + StatxOut.size, from.size);
  setU64(view, at + StatxOut.blocks, from.blocks);
  encodeTime(view, at + StatxOut.atime, from.atimeSeconds, from.atimeNanoseconds);
  encodeTime(view, at + StatxOut.btime, from.btimeSeconds, from.btimeNanoseconds);
  encodeTime(view, at + StatxOut.ctime, from.ctimeSeconds, from.ctimeNanoseconds);
  encodeTime(view, at + StatxOut.mtime, from.mtimeSeconds, from.mtimeNanoseconds);
  view.setUint32(at + StatxOut.rdevMajor, from.rdevMajor, true);
  view.setUint32(at + StatxOut.rdevMinor, from.rdevMinor, true);
}

function encodeTime(view: DataView, at: number, seconds: number, nanoseconds: number): void {
  setI64(view, at, seconds);
  view.setUint32(at + 8, nanoseconds, true);
}

/** Writes a struct fuse_kstatfs, zeroed before. */
export function encodeStatistics(view: DataView, at: number, from: Statistics): void {
  setU64(view, at + StatfsOut.blocks, from.blocks);
  setU64(view, at + StatfsOut.freeBlocks, from.freeBlocks);
  setU64(view, at + StatfsOut.availableBlocks, from.availableBlocks);
  setU64(view, at + StatfsOut.files, from.files);
  setU64(view, at + StatfsOut.freeFiles, from.freeFiles);
  view.setUint32(at + StatfsOut.blockSize, from.blockSize, true);
  view.setUint32(at + StatfsOut.nameLength, from.nameMax, true);
  view.setUint32(at + StatfsOut.fragmentSize, from.blockSize, true);
}
