import { Errno, FsError } from '../../base/errno.js';
import type { Ino } from '../../base/units.js';
import { deviceMajor, deviceMinor } from '../encode.js';
import { FileType, OpenFlag } from '../flags.js';
import {
  CREATE_IN_SIZE,
  CreateIn,
  LINK_IN_SIZE,
  LinkIn,
  MKDIR_IN_SIZE,
  MkdirIn,
  MKNOD_IN_SIZE,
  MknodIn,
  PATH_MAX,
  RENAME2_IN_SIZE,
  RENAME_IN_SIZE,
  Rename2In,
  RenameIn,
} from '../protocol.js';
import type { Session } from '../session.js';

const PERMISSION_BITS = 0o7777;

export function lookup(session: Session): void {
  const { request, name, fs } = session;
  request.name(0, name);
  const ino = fs.lookup(request.nodeid, name);
  if (ino === 0) session.replies.noEntry();
  else session.giveEntry(ino);
}

export function mknod(session: Session): void {
  const { request, name, fs } = session;
  request.need(MKNOD_IN_SIZE);
  request.name(MKNOD_IN_SIZE, name);
  const given = request.u32(MknodIn.mode);
  // mknod(2): no type means a regular file.
  const mode = (given & FileType.MASK) === 0 ? given | FileType.REGULAR : given;
  const device = request.u32(MknodIn.rdev);
  session.takeUmask(request.u32(MknodIn.umask));
  session.giveEntry(fs.makeNode(request.nodeid, name, mode, request.caller, deviceMajor(device), deviceMinor(device)));
}

export function mkdir(session: Session): void {
  const { request, name, fs } = session;
  request.need(MKDIR_IN_SIZE);
  request.name(MKDIR_IN_SIZE, name);
  const mode = (request.u32(MkdirIn.mode) & PERMISSION_BITS) | FileType.DIRECTORY;
  session.takeUmask(request.u32(MkdirIn.umask));
  session.giveEntry(fs.makeNode(request.nodeid, name, mode, request.caller, 0, 0));
}

/** open(2) with O_CREAT of a name that the kernel believes is not there. */
export function create(session: Session): void {
  const { request, name, fs } = session;
  request.need(CREATE_IN_SIZE);
  request.name(CREATE_IN_SIZE, name);
  const mode = (request.u32(CreateIn.mode) & PERMISSION_BITS) | FileType.REGULAR;
  session.takeUmask(request.u32(CreateIn.umask));
  let ino: Ino;
  try {
    ino = fs.makeNode(request.nodeid, name, mode, request.caller, 0, 0);
  } catch (error) {
    const exists = error instanceof FsError && error.errno === Errno.EEXIST;
    if (!exists || (request.u32(CreateIn.flags) & OpenFlag.EXCL) !== 0) throw error;
    session.giveOpened(openExisting(session, error));
    return;
  }
  giveCreated(session, ino);
}

/**
 * Answers a CREATE with the file that it made. If that can't be opened (the host has no room for another host file), it goes again: nothing is left of an open(2) that failed.
 * A server that dies before comes here again, with what its predecessor made.
 */
export function giveCreated(session: Session, ino: Ino): void {
  const { request, name, fs } = session;
  try {
    session.giveOpened(ino);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    request.name(CREATE_IN_SIZE, name);
    // The last record of this request says that it has no result.
    session.nameRequest();
    if (fs.lookup(request.nodeid, name) === ino) fs.unlink(request.nodeid, name);
    session.workDue = true;
    throw error;
  }
}

/** CREATE without O_EXCL of a name that is there after all: the same as opening it. */
function openExisting(session: Session, exists: FsError): Ino {
  const { request, fs, name, attributes } = session;
  const ino = fs.lookup(request.nodeid, name);
  if (ino === 0) throw exists;
  fs.getAttributes(ino, attributes);
  const type = attributes.mode & FileType.MASK;
  if (type === FileType.DIRECTORY) throw new FsError('EISDIR');
  if (type !== FileType.REGULAR) throw exists;
  if ((request.u32(CreateIn.flags) & OpenFlag.TRUNC) !== 0) {
    session.truncate(ino, request.u32(CreateIn.openFlags));
  }
  return ino;
}

/** O_TMPFILE. The name that comes with it is only the kernel's. */
export function tmpfile(session: Session): void {
  const { request, fs } = session;
  request.need(CREATE_IN_SIZE);
  const mode = (request.u32(CreateIn.mode) & PERMISSION_BITS) | FileType.REGULAR;
  session.takeUmask(request.u32(CreateIn.umask));
  session.giveOpened(fs.makeTemporary(request.nodeid, mode, request.caller));
}

export function symlink(session: Session): void {
  const { request, name, otherName: target, fs } = session;
  const next = request.name(0, name);
  request.text(next, target, PATH_MAX - 1);
  session.giveEntry(fs.symlink(request.nodeid, name, target, request.caller));
}

export function readlink(session: Session): void {
  const { request, replies, fs } = session;
  session.timesDue = true;
  replies.send(fs.readlink(request.nodeid, replies.bytes, replies.body));
}

export function link(session: Session): void {
  const { request, name, fs } = session;
  request.need(LINK_IN_SIZE);
  request.name(LINK_IN_SIZE, name);
  const ino = request.ino(LinkIn.oldNodeid);
  fs.link(ino, request.nodeid, name);
  session.giveEntry(ino);
}

export function unlink(session: Session): void {
  const { request, name, fs } = session;
  request.name(0, name);
  fs.unlink(request.nodeid, name);
  session.workDue = true;
  session.replies.done();
}

export function rmdir(session: Session): void {
  const { request, name, fs } = session;
  request.name(0, name);
  fs.rmdir(request.nodeid, name);
  session.workDue = true;
  session.replies.done();
}

export function rename(session: Session): void {
  session.request.need(RENAME_IN_SIZE);
  renameNames(session, RENAME_IN_SIZE, session.request.ino(RenameIn.newDirectory), 0);
}

export function rename2(session: Session): void {
  session.request.need(RENAME2_IN_SIZE);
  const { request } = session;
  renameNames(session, RENAME2_IN_SIZE, request.ino(Rename2In.newDirectory), request.u32(Rename2In.flags));
}

function renameNames(session: Session, namesAt: number, newParent: Ino, flags: number): void {
  const { request, name, otherName, fs } = session;
  const next = request.name(namesAt, name);
  request.name(next, otherName);
  fs.rename(request.nodeid, name, newParent, otherName, flags, request.caller);
  session.workDue = true;
  session.replies.done();
}
