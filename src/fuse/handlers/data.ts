import { FsError } from '../../base/errno.js';
import { MIB } from '../../base/units.js';
import { Change } from '../../fs/types.js';
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
  WRITE_IN_SIZE,
  WriteIn,
} from '../protocol.js';
import type { Session } from '../session.js';

/** Bytes that one COPY_FILE_RANGE moves: others wait meanwhile, so it is cut short; the caller asks for the rest. */
const COPY_BYTES_MAX = 4 * MIB;

export function open(session: Session): void {
  const { request, change, fs } = session;
  request.need(OPEN_IN_SIZE);
  if ((request.u32(OpenIn.flags) & OpenFlag.TRUNC) !== 0) {
    // With ATOMIC_O_TRUNC the kernel sends no SETATTR after this, so set-user-id goes here. Who may keep it is a matter of
    // CAP_FSETID, which a request doesn't tell; root is who usually has it.
    if (request.caller.uid !== 0) session.killPrivileges(request.nodeid);
    change.mask = Change.size;
    change.size = 0;
    fs.setAttributes(request.nodeid, change);
    session.workDue = true;
  }
  session.replies.opened(session.openFlags);
}

/** The reply goes out from the mapping of the medium; no byte of it comes through here. */
export function read(session: Session): void {
  const { request, ranges, replies, fs } = session;
  request.need(READ_IN_SIZE);
  const offset = request.fileOffset(ReadIn.offset);
  const size = Math.min(request.u32(ReadIn.size), MAX_IO_BYTES);
  session.timesDue = true;
  replies.data(fs.read(request.nodeid, offset, size, ranges), ranges);
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
  replies.written(fs.write(request.nodeid, offset, request.bytes, IN_HEADER_SIZE + WRITE_IN_SIZE, size));
}

/** close(2) doesn't wait for this; the inode is held by its lookup count. */
export function release(session: Session): void {
  session.timesDue = true;
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
  fs.allocate(request.nodeid, request.u32(FallocateIn.mode), offset, length);
  session.workDue = true;
  session.replies.done();
}

export function lseek(session: Session): void {
  const { request, fs } = session;
  request.need(LSEEK_IN_SIZE);
  const offset = request.i64(LseekIn.offset);
  // No file has data or a hole there: lseek(2) has ENXIO for it, not EFBIG.
  if (offset < 0 || offset > Number.MAX_SAFE_INTEGER) throw new FsError('ENXIO');
  session.replies.u64(fs.seek(request.nodeid, offset, request.u32(LseekIn.whence)));
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
  const sourceOffset = request.fileOffset(CopyFileRangeIn.offsetIn);
  const target = request.ino(CopyFileRangeIn.nodeidOut);
  const targetOffset = request.fileOffset(CopyFileRangeIn.offsetOut);
  const length = Math.min(request.u64(CopyFileRangeIn.length), COPY_BYTES_MAX);
  session.timesDue = true;
  return fs.copyRange(request.nodeid, sourceOffset, target, targetOffset, length);
}
