import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { addon } from '../../native/addon.js';
import { FsError } from '../base/errno.js';
import { FileXflag, Fsxattr, FSXATTR_SIZE, Ioctl, PLACEMENT_SIZE, PlacementData, PlacementOut, PlacementServed } from '../fuse/ioctls.js';
import { codeOf } from '../region/host-errors.js';

/** Where the data of a file of a mounted volume lies, as its daemon says. */
export interface FilePlacement {
  readonly inode: number;
  /** Bytes. */
  readonly size: number;
  readonly kind: 'file' | 'directory' | 'other';
  /** The flag of chattr(1). */
  readonly flag: boolean;
  /** It is a DAX file: by its flag, or by what the mount says. */
  readonly dax: boolean;
  readonly data: 'image' | 'region';
  /** While it is open. */
  readonly served: 'page cache' | 'direct' | 'passthrough';
  /** Why a DAX file is not served from a host file, '' if it is or is none. */
  readonly reason: string;
}

/** Asks the daemon; opens the file to read for that. Throws FsError: ENOTTY if it is not on an NVMFS volume. */
export function readPlacement(path: string): FilePlacement {
  return withFile(path, (fd) => {
    const status = fstatSync(fd);
    const bytes = Buffer.alloc(PLACEMENT_SIZE);
    ask(fd, Ioctl.PLACEMENT, bytes, path);
    const served = bytes.readUInt32LE(PlacementOut.served);
    const length = bytes.readUInt32LE(PlacementOut.textLength);
    return {
      inode: status.ino,
      size: status.size,
      kind: status.isFile() ? 'file' : status.isDirectory() ? 'directory' : 'other',
      flag: (readFlags(fd, path).readUInt32LE(Fsxattr.flags) & FileXflag.DAX) !== 0,
      dax: bytes.readUInt32LE(PlacementOut.wanted) !== 0,
      data: bytes.readUInt32LE(PlacementOut.data) === PlacementData.region ? 'region' : 'image',
      served: served === PlacementServed.passthrough ? 'passthrough' : served === PlacementServed.direct ? 'direct' : 'page cache',
      reason: bytes.toString('utf8', PlacementOut.text, PlacementOut.text + length),
    };
  });
}

/** Sets or clears the DAX flag of a file or directory. Throws FsError. */
export function setDax(path: string, on: boolean): void {
  withFile(path, (fd) => {
    const bytes = readFlags(fd, path);
    const flags = bytes.readUInt32LE(Fsxattr.flags);
    bytes.writeUInt32LE(((on ? flags | FileXflag.DAX : flags & ~FileXflag.DAX) & ~HAS_ATTRIBUTES) >>> 0, Fsxattr.flags);
    ask(fd, Ioctl.SET_FSXATTR, bytes, path);
  });
}

/** FS_XFLAG_HASATTR is told, and not to be set. */
const HAS_ATTRIBUTES = 0x80000000;

function readFlags(fd: number, path: string): Buffer {
  const bytes = Buffer.alloc(FSXATTR_SIZE);
  ask(fd, Ioctl.GET_FSXATTR, bytes, path);
  return bytes;
}

function ask(fd: number, request: number, bytes: Buffer, path: string): void {
  const result = addon.hostIoctl(fd, request, bytes);
  if (result >= 0) return;
  const error = new FsError(-result);
  const reason = error.code === 'ENOTTY' ? 'it is not on a mounted NVMFS volume' : error.code;
  throw new FsError(-result, `${path}: ${reason}`);
}

function withFile<T>(path: string, use: (fd: number) => T): T {
  const fd = open(path);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** A DAX file whose host file can't be had is EIO for everybody: here people ask why. */
function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) !== 'EIO') throw error;
    throw new FsError('EIO', `${path}: its data can't be read: the image is damaged there, or its file in the region directory can't be had; the daemon's log says which`);
  }
}
