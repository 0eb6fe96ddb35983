import { MIB } from '../../base/units.js';
import { OpenFlag, WriteFlag } from '../flags.js';
import { MAX_IO_BYTES } from '../negotiation.js';
import {
  COPY_FILE_RANGE_IN_SIZE,
  CopyFileRangeIn,
  FALLOCATE_IN_SIZE,
  FallocateIn,
  IN_HEADER_SIZE,
  LSEEK_IN_SIZE,
  LseekIn,
  OPEN_IN_SIZE,
  OpenIn,
  READ_IN_SIZE,
  ReadIn,
  RELEASE_IN_SIZE,
  ReleaseIn,
  WRITE_IN_SIZE,
  WriteIn,
} from '../protocol.js';
import type { Session } from '../session.js';

/** Bytes that one COPY_FILE_RANGE moves: others wait meanwhile, so it is cut short; the caller asks for the rest. */
const COPY_BYTES_MAX = 4 * MIB;

export function open(session: Session): void {
  const { request, fs, files, replies } = session;
  request.need(OPEN_IN_SIZE);
  const flags = request.u32(OpenIn.flags);
  if ((flags & (OpenFlag.ACCMODE | OpenFlag.TRUNC)) !== 0) fs.checkOpen(request.nodeid, (flags & (OpenFlag.APPEND | OpenFlag.TRUNC)) === OpenFlag.APPEND);
  // With ATOMIC_O_TRUNC the kernel sends no SETATTR after this.
  if ((flags & OpenFlag.TRUNC) !== 0) session.truncate(request.nodeid, request.u32(OpenIn.openFlags));
  files.open(request.nodeid);
  // Interrupted: the kernel has not opened it, and will not release it.
  files.answered(request.nodeid, replies.opened(files));
}

/** The reply goes out from the mapping of the medium; no byte of it comes through here. */
export function read(session: Session): void {
  const { request, ranges, replies, fs } = session;
  request.need(READ_IN_SIZE);
  // Beyond 2^53 it is inexact, and beyond the end of every file all the same.
  const offset = request.u64(ReadIn.offset);
  const size = Math.min(request.u32(ReadIn.size), MAX_IO_BYTES);
  const silent = (request.u32(ReadIn.flags) & OpenFlag.NOATIME) !== 0;
  session.timesDue = true;
  if ((request.u32(ReadIn.flags) & OpenFlag.ACCMODE) === OpenFlag.READ_WRITE) fs.populate(request.nodeid, offset, size);
  replies.data(fs.read(request.nodeid, offset, size, ranges, silent), ranges);
}

/** The payload goes from the receive buffer to the medium; no byte of it comes through here. */
export function write(session: Session): void {
  const { request, replies, fs } = session;
  request.need(WRITE_IN_SIZE);
  const offset = request.fileOffset(WriteIn.offset);
  const size = request.u32(WriteIn.size);
  const flags = request.u32(WriteIn.writeFlags);
  request.need(WRITE_IN_SIZE + size);
  if ((flags & WriteFlag.KILL_SUIDGID) !== 0) session.killPrivileges(request.nodeid);
  session.timesDue = true;
  const mapped = (flags & WriteFlag.CACHE) !== 0;
  replies.written(fs.write(request.nodeid, offset, request.bytes, IN_HEADER_SIZE + WRITE_IN_SIZE, size, mapped));
}

/** close(2) doesn't wait for this; the inode is held by its lookup count. */
export function release(session: Session): void {
  const { request } = session;
  request.need(RELEASE_IN_SIZE);
  session.timesDue = true;
  const { nodeid } = request;
  // The kernel may not have let go of it yet.
  if (session.files.close(nodeid, request.u64(ReleaseIn.fh))) session.unused.add(nodeid);
  session.workDue = true;
  session.replies.done();
}

/** fsync, fdatasync, and of directories. */
export function fsync(session: Session): void {
  session.fs.sync(session.request.nodeid);
  session.replies.done();
}

export function fallocate(session: Session): void {
  const { request, fs } = session;
  request.need(FALLOCATE_IN_SIZE);
  const offset = request.fileOffset(FallocateIn.offset);
  const length = request.fileOffset(FallocateIn.length);
  session.killPrivilegesOfOthers(request.nodeid);
  fs.allocate(request.nodeid, request.u32(FallocateIn.mode), offset, length);
  session.workDue = true;
  session.replies.done();
}

export function lseek(session: Session): void {
  const { request, fs } = session;
  request.need(LSEEK_IN_SIZE);
  // A negative offset comes as one beyond the end of every file; ENXIO is the answer to both.
  session.replies.u64(fs.seek(request.nodeid, request.u64(LseekIn.offset), request.u32(LseekIn.whence)));
}

export function copyFileRange(session: Session): void {
  session.replies.written(copy(session));
}

/** The same, with a count of 64 bits in the answer. */
export function copyFileRange64(session: Session): void {
  session.replies.u64(copy(session));
}

function copy(session: Session): number {
  const { request, fs } = session;
  request.need(COPY_FILE_RANGE_IN_SIZE);
  const sourceOffset = request.u64(CopyFileRangeIn.offsetIn);
  const target = request.ino(CopyFileRangeIn.nodeidOut);
  const targetOffset = request.fileOffset(CopyFileRangeIn.offsetOut);
  const length = Math.min(request.u64(CopyFileRangeIn.length), COPY_BYTES_MAX);
  session.timesDue = true;
  session.killPrivilegesOfOthers(target);
  return fs.copyRange(request.nodeid, sourceOffset, target, targetOffset, length);
}
