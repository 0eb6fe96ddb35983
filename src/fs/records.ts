import { fail } from '../base/errno.js';
import type { Clock } from '../base/clock.js';
import type { Ino } from '../base/units.js';
import { FileType, Inode } from '../format/layout.js';
import { getI64, getU64, setI64 } from '../format/numbers.js';
import type { Attributes } from './types.js';

const LINKS_MAX = 0xffffffff;
/** Seconds since 1970, and before: 285 million years. */
const SECONDS_MAX = Number.MAX_SAFE_INTEGER;
/** Flags that users see; the others are the format's own. */
const PUBLIC_FLAGS = 0x3fffffff;

/** The `mode` of an inode record. */
export function modeOf(view: DataView, record: number): number {
  return view.getUint16(record + Inode.mode, true);
}

export function typeOf(view: DataView, record: number): number {
  return modeOf(view, record) & FileType.mask;
}

export function isDirectory(view: DataView, record: number): boolean {
  return typeOf(view, record) === FileType.directory;
}

/** ENOTDIR unless the record is a directory's. */
export function requireDirectory(view: DataView, record: number): void {
  if (!isDirectory(view, record)) fail('ENOTDIR', 'not a directory');
}

/** EISDIR for directories, EINVAL for others, unless the record is a regular file's. */
export function requireRegular(view: DataView, record: number): void {
  const type = typeOf(view, record);
  if (type === FileType.directory) fail('EISDIR', 'is a directory');
  if (type !== FileType.regular) fail('EINVAL', 'not a regular file');
}

export function linksOf(view: DataView, record: number): number {
  return view.getUint32(record + Inode.nlink, true);
}

/** Changes the link count of an editable record; EMLINK at the limit of the format, EIO below zero. */
export function changeLinks(view: DataView, record: number, change: number): number {
  const links = linksOf(view, record) + change;
  if (links > LINKS_MAX) fail('EMLINK', 'too many links');
  if (links < 0) fail('EIO', `inode ${String(getU64(view, record + Inode.ino))} has fewer links than names`);
  view.setUint32(record + Inode.nlink, links, true);
  return links;
}

export function parentOf(view: DataView, record: number): Ino {
  return getU64(view, record + Inode.parent) as Ino;
}

export function sizeOf(view: DataView, record: number): number {
  return getU64(view, record + Inode.size);
}

/** Offsets of the two fields of each timestamp. */
export const Time = {
  atime: [Inode.atimeSeconds, Inode.atimeNanoseconds],
  mtime: [Inode.mtimeSeconds, Inode.mtimeNanoseconds],
  ctime: [Inode.ctimeSeconds, Inode.ctimeNanoseconds],
  btime: [Inode.btimeSeconds, Inode.btimeNanoseconds],
} as const;
type TimeFields = readonly [number, number];

/** Sets one timestamp of an editable record; `fields`: a member of {@link Time}. Seconds beyond what the format holds become the nearest that it does. */
export function setTime(view: DataView, record: number, fields: TimeFields, seconds: number, nanoseconds: number): void {
  setI64(view, record + fields[0], Math.max(-SECONDS_MAX, Math.min(SECONDS_MAX, seconds)));
  view.setUint32(record + fields[1], nanoseconds, true);
}

/** All four timestamps become the present moment. */
export function stampNew(view: DataView, record: number, clock: Clock): void {
  clock.now();
  setTime(view, record, Time.atime, clock.seconds, clock.nanoseconds);
  setTime(view, record, Time.mtime, clock.seconds, clock.nanoseconds);
  setTime(view, record, Time.ctime, clock.seconds, clock.nanoseconds);
  setTime(view, record, Time.btime, clock.seconds, clock.nanoseconds);
}

/** A device number in the body of a record: major in the upper, minor in the lower 32 bits. */
export function setDevice(view: DataView, record: number, major: number, minor: number): void {
  view.setUint32(record + Inode.body, minor, true);
  view.setUint32(record + Inode.body + 4, major, true);
}

/** Decodes what stat(2) shows. */
export function decodeAttributes(view: DataView, record: number, to: Attributes): void {
  to.ino = getU64(view, record + Inode.ino) as Ino;
  to.generation = view.getUint32(record + Inode.generation, true);
  to.mode = modeOf(view, record);
  to.nlink = linksOf(view, record);
  to.uid = view.getUint32(record + Inode.uid, true);
  to.gid = view.getUint32(record + Inode.gid, true);
  const type = to.mode & FileType.mask;
  const device = type === FileType.character || type === FileType.block;
  to.rdevMinor = device ? view.getUint32(record + Inode.body, true) : 0;
  to.rdevMajor = device ? view.getUint32(record + Inode.body + 4, true) : 0;
  to.size = sizeOf(view, record);
  to.blocks = getU64(view, record + Inode.blocks) * 8;
  to.atimeSeconds = getI64(view, record + Inode.atimeSeconds);
  to.atimeNanoseconds = view.getUint32(record + Inode.atimeNanoseconds, true);
  to.mtimeSeconds = getI64(view, record + Inode.mtimeSeconds);
  to.mtimeNanoseconds = view.getUint32(record + Inode.mtimeNanoseconds, true);
  to.ctimeSeconds = getI64(view, record + Inode.ctimeSeconds);
  to.ctimeNanoseconds = view.getUint32(record + Inode.ctimeNanoseconds, true);
  to.btimeSeconds = getI64(view, record + Inode.btimeSeconds);
  to.btimeNanoseconds = view.getUint32(record + Inode.btimeNanoseconds, true);
  to.flags = view.getUint32(record + Inode.flags, true) & PUBLIC_FLAGS;
  to.project = view.getUint32(record + Inode.project, true);
}
