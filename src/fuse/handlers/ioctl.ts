import { Errno, FsError } from '../../base/errno.js';
import { InodeFlag } from '../../format/layout.js';
import { mayAdminister } from '../caller.js';
import { FileFlag, FileXflag, Fsxattr, FSXATTR_SIZE, Ioctl, MAP_RANGE_NUMBER, PLACEMENT_SIZE, PlacementData, PlacementOut, PlacementServed } from '../ioctls.js';
import { IOCTL_IN_SIZE, IoctlIn } from '../protocol.js';
import type { Session } from '../session.js';
import { imageIdentity, mapRange } from './mapping.js';

const FLAG_BYTES = 4;

/** Kernels from 5.14 (FUSE 7.34) check before they ask who may set flags, CAP_LINUX_IMMUTABLE included. */
const MINOR_THAT_CHECKS_FLAGS = 34;

/** Bits of the format, of GETFLAGS and of FSGETXATTR. */
const flagTable: readonly (readonly [number, number, number])[] = [
  [InodeFlag.sync, FileFlag.SYNC, FileXflag.SYNC],
  [InodeFlag.immutable, FileFlag.IMMUTABLE, FileXflag.IMMUTABLE],
  [InodeFlag.appendOnly, FileFlag.APPEND, FileXflag.APPEND],
  [InodeFlag.noDump, FileFlag.NODUMP, FileXflag.NODUMP],
  [InodeFlag.noAtime, FileFlag.NOATIME, FileXflag.NOATIME],
  [InodeFlag.dax, FileFlag.DAX, FileXflag.DAX],
  [InodeFlag.projectInherit, FileFlag.PROJINHERIT, FileXflag.PROJINHERIT],
];

type Column = 1 | 2;

function toPublic(flags: number, column: Column): number {
  let result = 0;
  for (const row of flagTable) if ((flags & row[0]) !== 0) result |= row[column];
  return result >>> 0;
}

/** EOPNOTSUPP for a bit that has no counterpart. */
function fromPublic(given: number, column: Column): number {
  let result = 0;
  let rest = given;
  for (const row of flagTable) {
    if ((given & row[column]) === 0) continue;
    result |= row[0];
    rest &= ~row[column];
  }
  if (rest !== 0) throw new FsError('EOPNOTSUPP', `file flags 0x${(rest >>> 0).toString(16)} are not supported`);
  return result;
}

/** Unknown ones are answered with ENOTTY: ENOSYS would say so for all files and for good. */
export function ioctl(session: Session): void {
  const { request } = session;
  request.need(IOCTL_IN_SIZE);
  switch (request.u32(IoctlIn.command)) {
    case Ioctl.GET_FLAGS:
      getFlags(session);
      break;
    case Ioctl.SET_FLAGS:
      setFlags(session);
      break;
    case Ioctl.GET_VERSION:
      getVersion(session);
      break;
    case Ioctl.GET_FSXATTR:
      getFsxattr(session);
      break;
    case Ioctl.SET_FSXATTR:
      setFsxattr(session);
      break;
    case Ioctl.SHUTDOWN:
      shutDown(session);
      break;
    case Ioctl.REMOUNTED:
      remounted(session);
      break;
    case Ioctl.IMAGE_IDENTITY:
      imageIdentity(session);
      break;
    case Ioctl.PLACEMENT:
      placement(session);
      break;
    default:
      if ((request.u32(IoctlIn.command) & 0xffff) === MAP_RANGE_NUMBER) mapRange(session);
      else session.replies.error(Errno.ENOTTY);
  }
}

function getFlags(session: Session): void {
  const { fs, request, attributes, replies } = session;
  fs.getAttributes(request.nodeid, attributes);
  const at = beginOutput(session, FLAG_BYTES);
  replies.view.setUint32(at, toPublic(attributes.flags, 1), true);
  replies.ioctl();
}

function setFlags(session: Session): void {
  const { fs, request, attributes } = session;
  needInput(session, FLAG_BYTES);
  checkCaller(session);
  const flags = fromPublic(request.u32(IOCTL_IN_SIZE), 1);
  fs.getAttributes(request.nodeid, attributes);
  fs.setFlags(request.nodeid, flags, attributes.project);
  finishChange(session);
}

/** The generation of the inode, as `lsattr -v` shows it. */
function getVersion(session: Session): void {
  const { fs, request, attributes, replies } = session;
  fs.getAttributes(request.nodeid, attributes);
  const at = beginOutput(session, FLAG_BYTES);
  replies.view.setUint32(at, attributes.generation, true);
  replies.ioctl();
}

function getFsxattr(session: Session): void {
  const { fs, request, attributes, replies } = session;
  fs.getAttributes(request.nodeid, attributes);
  const at = beginOutput(session, FSXATTR_SIZE);
  replies.view.setUint32(at + Fsxattr.flags, toPublic(attributes.flags, 2), true);
  replies.view.setUint32(at + Fsxattr.project, attributes.project, true);
  replies.ioctl();
}

/** There are no extent size hints: zero is all that may be asked for. */
function setFsxattr(session: Session): void {
  const { fs, request } = session;
  needInput(session, FSXATTR_SIZE);
  checkCaller(session);
  const flags = fromPublic(request.u32(IOCTL_IN_SIZE + Fsxattr.flags), 2);
  const hints = request.u32(IOCTL_IN_SIZE + Fsxattr.extentSize) | request.u32(IOCTL_IN_SIZE + Fsxattr.cowExtentSize);
  if (hints !== 0) throw new FsError('EOPNOTSUPP', 'there are no extent size hints');
  fs.setFlags(request.nodeid, flags, request.u32(IOCTL_IN_SIZE + Fsxattr.project));
  finishChange(session);
}

/** Ends serving at once, as a crash would: nothing is flushed, nothing closed. What was acknowledged is durable all the same. */
function shutDown(session: Session): void {
  if (!mayAdminister(session.request.pid)) throw new FsError('EPERM');
  session.log('warning', 'FS_IOC_SHUTDOWN: the volume is not served any more; unmount it and mount it again');
  session.replies.beginIoctl(0);
  session.replies.ioctl();
  session.shutDown = true;
}

function remounted(session: Session): void {
  if (session.control === null) throw new FsError('ENOTTY');
  const refusal = session.control.followMount();
  if (refusal !== null) throw refusal;
  session.replies.beginIoctl(0);
  session.replies.ioctl();
}

function placement(session: Session): void {
  const { fs, request, replies, files } = session;
  const { isRegion, isWanted, obstacle } = fs.placementOf(request.nodeid);
  const passthrough = files.isPassthrough(request.nodeid);
  const direct = isWanted || files.directIo;
  const text = Buffer.from(isWanted && !passthrough ? (obstacle ?? files.obstacle() ?? '') : '');
  const at = beginOutput(session, PLACEMENT_SIZE);
  const length = Math.min(text.length, PLACEMENT_SIZE - PlacementOut.text);
  replies.view.setUint32(at + PlacementOut.data, isRegion ? PlacementData.region : PlacementData.image, true);
  replies.view.setUint32(at + PlacementOut.wanted, isWanted ? 1 : 0, true);
  replies.view.setUint32(at + PlacementOut.served, passthrough ? PlacementServed.passthrough : direct ? PlacementServed.direct : PlacementServed.pageCache, true);
  replies.view.setUint32(at + PlacementOut.textLength, length, true);
  replies.bytes.set(text.subarray(0, length), at + PlacementOut.text);
  replies.ioctl();
}

/** The kernel keeps ctime and the mode of what it did not see change. It forgets them before the caller, who may ask at once, goes on. */
function finishChange(session: Session): void {
  session.replies.attributesChanged(session.request.nodeid);
  session.replies.beginIoctl(0);
  session.replies.ioctl();
}

function checkCaller(session: Session): void {
  const minor = session.protocol?.minor ?? 0;
  if (minor < MINOR_THAT_CHECKS_FLAGS && !mayAdminister(session.request.pid)) throw new FsError('EPERM');
}

/**
 * Prepares `size` bytes of output; returns where they are. The number of GETFLAGS and GETVERSION says `long`, but programs have room for an
 * int: so no more than that is sent, however much the kernel would take.
 */
function beginOutput(session: Session, size: number): number {
  if (session.request.u32(IoctlIn.outSize) < size) throw new FsError('EINVAL');
  return session.replies.beginIoctl(size);
}

function needInput(session: Session, size: number): void {
  if (session.request.u32(IoctlIn.inSize) < size) throw new FsError('EINVAL');
  session.request.need(IOCTL_IN_SIZE + size);
}
