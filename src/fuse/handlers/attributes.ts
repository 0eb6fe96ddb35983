import { Change } from '../../fs/types.js';
import { SetAttributeFlag } from '../flags.js';
import { SETATTR_IN_SIZE, SetattrIn } from '../protocol.js';
import type { Session } from '../session.js';

export function getAttributes(session: Session): void {
  session.giveAttributes(session.request.nodeid);
}

/** chmod, chown, truncate, utimensat: one transaction. */
export function setAttributes(session: Session): void {
  const { request, change, fs } = session;
  request.need(SETATTR_IN_SIZE);
  const valid = request.u32(SetattrIn.valid);
  let mask = 0;
  if ((valid & SetAttributeFlag.MODE) !== 0) mask |= Change.mode;
  if ((valid & SetAttributeFlag.UID) !== 0) mask |= Change.uid;
  if ((valid & SetAttributeFlag.GID) !== 0) mask |= Change.gid;
  if ((valid & SetAttributeFlag.SIZE) !== 0) mask |= Change.size;
  if ((valid & SetAttributeFlag.ATIME) !== 0) mask |= Change.atime;
  if ((valid & SetAttributeFlag.MTIME) !== 0) mask |= Change.mtime;
  if ((valid & SetAttributeFlag.ATIME_NOW) !== 0) mask |= Change.atimeNow;
  if ((valid & SetAttributeFlag.MTIME_NOW) !== 0) mask |= Change.mtimeNow;
  if ((valid & SetAttributeFlag.CTIME) !== 0) mask |= Change.ctime;
  if ((valid & SetAttributeFlag.KILL_SUIDGID) !== 0) mask |= Change.killPrivileges;
  // What is written without us (passthrough) takes privileges by a request that asks for nothing else; so does chown(2) that changes nothing.
  change.mask = mask === 0 ? Change.killPrivileges : mask;
  change.mode = request.u32(SetattrIn.mode);
  change.uid = request.u32(SetattrIn.uid);
  change.gid = request.u32(SetattrIn.gid);
  change.size = (mask & Change.size) !== 0 ? request.fileOffset(SetattrIn.size) : 0;
  change.atimeSeconds = request.i64(SetattrIn.atime);
  change.atimeNanoseconds = request.u32(SetattrIn.atimeNanoseconds);
  change.mtimeSeconds = request.i64(SetattrIn.mtime);
  change.mtimeNanoseconds = request.u32(SetattrIn.mtimeNanoseconds);
  change.ctimeSeconds = request.i64(SetattrIn.ctime);
  change.ctimeNanoseconds = request.u32(SetattrIn.ctimeNanoseconds);
  fs.setAttributes(request.nodeid, change);
  if ((mask & Change.size) !== 0) session.workDue = true;
  session.giveAttributes(request.nodeid);
}

/** As GETATTR, with the time of birth. */
export function statx(session: Session): void {
  session.fs.getAttributes(session.request.nodeid, session.attributes);
  session.replies.statx(session.attributes);
}

export function statfs(session: Session): void {
  session.fs.statistics(session.statistics);
  session.replies.statistics(session.statistics);
}
