import { FsError } from '../../base/errno.js';
import { XattrFlag } from '../../fs/types.js';
import { Capability, hasRootsCapability } from '../caller.js';
import { InitFlag, SetXattrFlag } from '../flags.js';
import { GETXATTR_IN_SIZE, GetxattrIn, IN_HEADER_SIZE, SETXATTR_IN_SIZE, SETXATTR_IN_SIZE_SHORT, SetxattrIn } from '../protocol.js';
import { REPLY_BODY_MAX } from '../replies.js';
import type { Session } from '../session.js';

const TRUSTED = Buffer.from('trusted.');
/** ACLs are all there is in this namespace. */
const SYSTEM = Buffer.from('system.');

export function setxattr(session: Session): void {
  const { request, name, fs, protocol } = session;
  const extended = protocol !== null && (protocol.flags & InitFlag.SETXATTR_EXT) !== 0;
  const header = extended ? SETXATTR_IN_SIZE : SETXATTR_IN_SIZE_SHORT;
  request.need(header);
  const value = request.text(header, name, REPLY_BODY_MAX);
  checkAcl(session);
  const size = request.u32(SetxattrIn.size);
  request.need(value + size);
  let flags = request.u32(SetxattrIn.flags) & (XattrFlag.create | XattrFlag.replace);
  if (extended && (request.u32(SetxattrIn.extraFlags) & SetXattrFlag.ACL_KILL_SGID) !== 0) flags |= XattrFlag.killSetGroupId;
  fs.setXattr(request.nodeid, name, request.bytes, IN_HEADER_SIZE + value, size, flags);
  session.replies.done();
}

export function getxattr(session: Session): void {
  const { request, name, fs, replies } = session;
  request.need(GETXATTR_IN_SIZE);
  request.text(GETXATTR_IN_SIZE, name, REPLY_BODY_MAX);
  checkAcl(session);
  const size = Math.min(request.u32(GetxattrIn.size), REPLY_BODY_MAX);
  const length = fs.getXattr(request.nodeid, name, replies.bytes, replies.body, size);
  if (size === 0) replies.xattrSize(length);
  else replies.send(length);
}

/** As Linux's own filesystems: trusted attributes are shown to those only who may read them, which root usually is. */
export function listxattr(session: Session): void {
  const { request, fs, replies } = session;
  request.need(GETXATTR_IN_SIZE);
  const size = request.u32(GetxattrIn.size);
  let length = fs.listXattr(request.nodeid, replies.bytes, replies.body, REPLY_BODY_MAX);
  if (holds(TRUSTED, replies.bytes, replies.body, length) && !hasRootsCapability(request.caller.uid, request.pid, Capability.SYS_ADMIN)) {
    length = without(TRUSTED, replies.bytes, replies.body, length);
  }
  if (!session.hasAcls) length = without(SYSTEM, replies.bytes, replies.body, length);
  if (size === 0) replies.xattrSize(length);
  else if (length > size) throw new FsError('ERANGE');
  else replies.send(length);
}

export function removexattr(session: Session): void {
  const { request, name, fs } = session;
  request.text(0, name, REPLY_BODY_MAX);
  checkAcl(session);
  fs.removeXattr(request.nodeid, name);
  session.replies.done();
}

function checkAcl({ name, hasAcls }: Session): void {
  if (!hasAcls && begins(name.bytes, name.offset, SYSTEM)) throw new FsError('EOPNOTSUPP');
}

/** Whether a name in the list at bytes[start … + length) begins with `prefix`. */
function holds(prefix: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  for (let at = start; at < start + length; at = bytes.indexOf(0, at) + 1) if (begins(bytes, at, prefix)) return true;
  return false;
}

/** Takes the names that begin with `prefix` out of a list at bytes[start … + length); returns its new length. */
function without(prefix: Uint8Array, bytes: Uint8Array, start: number, length: number): number {
  let kept = start;
  for (let at = start; at < start + length; ) {
    const end = bytes.indexOf(0, at) + 1;
    if (!begins(bytes, at, prefix)) {
      bytes.copyWithin(kept, at, end);
      kept += end - at;
    }
    at = end;
  }
  return kept - start;
}

/** Whether the zero-terminated name at `at` begins with `prefix`. */
function begins(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  return prefix.every((byte, index) => bytes[at + index] === byte);
}
