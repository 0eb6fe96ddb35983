import {
  closeSync, constants, existsSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statfsSync, statSync, truncateSync,
  unlinkSync, type Stats,
} from 'node:fs';
import { dirname } from 'node:path';
import { FsError } from '../src/base/errno.js';
import { formatSize } from '../src/base/sizes.js';
import { findSignatures, type FoundSignature } from './signatures.js';

/** What mkfs is to make a volume on, as it was found. Nothing here changes it. */
export interface Target {
  readonly path: string;
  readonly kind: 'absent' | 'file' | 'block device' | 'dax device';
  /** Bytes; 0 when absent. */
  readonly size: number;
  /** True when the host has blocks behind the file: it may hold somebody's data. */
  readonly holdsData: boolean;
  readonly signatures: readonly FoundSignature[];
}

/** Enough of the start of the medium for nearly all signatures, in one read. */
const HEAD_BYTES = 576 * 1024;
/** Room that the filesystem below must have for the blocks of a new volume, and some of its own. */
const HOST_ROOM_BYTES = 64 * 1024;

/**
 * Looks at the target and refuses, with an FsError that says why in one line, what a volume can't be made on: a directory,
 * a read-only file, a missing one without `size`, one in use as a loop device.
 */
export function inspectTarget(path: string, size: number | null, force: boolean): Target {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    refuseDanglingLink(path);
    return absentTarget(path, size);
  }
  if (stats.isDirectory()) throw new FsError('EISDIR', `${path} is a directory; a file or a block device is needed`);
  if (stats.isFile()) return fileTarget(path, stats, force);
  if (stats.isBlockDevice()) return deviceTarget(path, stats, 'block device');
  if (stats.isCharacterDevice() && existsSync(daxSizePath(stats))) return deviceTarget(path, stats, 'dax device');
  throw new FsError('EINVAL', `${path} is neither a regular file nor a block device nor a device of persistent memory`);
}

/** A file made through it would lie where nobody expects it. */
function refuseDanglingLink(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  throw new FsError('ENOENT', `${path} is a symbolic link to ${readlinkSync(path)}, which does not exist`);
}

function absentTarget(path: string, size: number | null): Target {
  if (!existsSync(dirname(path))) throw new FsError('ENOENT', `${path}: no such directory ${dirname(path)}`);
  if (size === null) throw new FsError('ENOENT', `${path} does not exist; give a size with -s to create it`);
  return { path, kind: 'absent', size: 0, holdsData: false, signatures: [] };
}

function fileTarget(path: string, stats: Stats, force: boolean): Target {
  // The superuser may write to any file; one that nobody may write to was meant to stay as it is.
  if ((stats.mode & 0o222) === 0 && !force) {
    throw new FsError('EACCES', `${path} is read-only (mode ${(stats.mode & 0o7777).toString(8).padStart(4, '0')}); -f overrides`);
  }
  refuseLoopBacking(path, stats);
  const descriptor = openWritable(path);
  try {
    const signatures = probe(descriptor, stats.size);
    return { path, kind: 'file', size: stats.size, holdsData: stats.blocks > 0, signatures };
  } finally {
    closeSync(descriptor);
  }
}

function deviceTarget(path: string, stats: Stats, kind: 'block device' | 'dax device'): Target {
  if (kind === 'dax device') {
    // It can only be mapped: the caller looks for signatures when he has done that.
    return { path, kind, size: readNumber(daxSizePath(stats)), holdsData: true, signatures: [] };
  }
  const attributes = `/sys/dev/block/${deviceNumber(stats)}`;
  // The kernel lets the superuser open a read-only device for writing, and refuses later.
  if (readNumber(`${attributes}/ro`) !== 0) throw new FsError('EROFS', `${path} is a read-only device`);
  const size = readNumber(`${attributes}/size`) * 512;
  const descriptor = openWritable(path);
  try {
    return { path, kind, size, holdsData: true, signatures: probe(descriptor, size) };
  } finally {
    closeSync(descriptor);
  }
}

function openWritable(path: string): number {
  return openSync(path, constants.O_RDWR);
}

/** Linux's number of a device node, `major:minor`, as sysfs spells it. */
function deviceNumber(stats: Stats): string {
  const device = BigInt(stats.rdev);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${String(major)}:${String(minor)}`;
}

function daxSizePath(stats: Stats): string {
  return `/sys/dev/char/${deviceNumber(stats)}/size`;
}

function readNumber(path: string): number {
  return Number(readFileSync(path, 'latin1').trim());
}

function probe(descriptor: number, size: number): FoundSignature[] {
  const head = readRange(descriptor, 0, Math.min(size, HEAD_BYTES));
  return findSignatures(size, (address, length) => {
    if (address + length > size) return null;
    if (address + length <= head.length) return head.subarray(address, address + length);
    return readRange(descriptor, address, length);
  });
}

function readRange(descriptor: number, address: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const count = readSync(descriptor, bytes, done, length - done, address + done);
    if (count === 0) throw new FsError('EIO', `the medium ends at byte ${String(address + done)}, inside its own size`);
    done += count;
  }
  return bytes;
}

/** The kernel doesn't lock the file behind a loop device: making a volume in it would destroy what is mounted from there. */
function refuseLoopBacking(path: string, stats: Stats): void {
  if (!existsSync('/sys/block')) return;
  for (const name of readdirSync('/sys/block')) {
    const backing = `/sys/block/${name}/loop/backing_file`;
    if (!name.startsWith('loop') || !existsSync(backing)) continue;
    const other = statSync(readFileSync(backing, 'utf8').trim(), { throwIfNoEntry: false });
    if (other?.ino === stats.ino && other.dev === stats.dev) {
      throw new FsError('EBUSY', `${path} is in use: it is the file behind /dev/${name}`);
    }
  }
}

/**
 * Makes an empty file when the target is absent. Returns how to bring the target back to what it was: call it when nothing has
 * come of the volume.
 */
export function prepareTarget({ path, kind, size }: Target): () => void {
  if (kind === 'file' || kind === 'absent') refuseFullHost(kind === 'file' ? path : dirname(path));
  if (kind === 'absent') {
    // 0600: whoever can read the image can read every file of the volume.
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
    return () => {
      unlinkSync(path);
    };
  }
  return () => {
    if (kind === 'file' && statSync(path).size !== size) truncateSync(path, size);
  };
}

/**
 * A sparse file gets its blocks when they are first stored to, through a mapping: there is no error then but a signal. mkfs
 * stores to a few dozen KiB at most.
 */
function refuseFullHost(path: string): void {
  const { blocks, bavail, bsize } = statfsSync(path);
  // A tmpfs without a limit has no blocks at all.
  if (blocks > 0 && bavail * bsize < HOST_ROOM_BYTES) {
    throw new FsError('ENOSPC', `no space left on the filesystem of ${path}: ${formatSize(bavail * bsize)} are free`);
  }
}
