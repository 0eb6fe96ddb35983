import { Errno, FsError } from '../../base/errno.js';
import type { Ino } from '../../base/units.js';
import { getU64 } from '../../format/numbers.js';
import { direntSize } from '../dirent-sink.js';
import { OpenFlag, OpenReply } from '../flags.js';
import { DirentOut, ENTRY_OUT_SIZE, EntryOut, READ_IN_SIZE, ReadIn } from '../protocol.js';
import type { Replies } from '../replies.js';
import type { Session } from '../session.js';

const DOT = 0x2e;
const DIRECTORY_OPENED = { handle: 0, flags: OpenReply.KEEP_CACHE | OpenReply.CACHE_DIR, backingId: 0 };

/**
 * The kernel may keep the entries it has read, over closing and opening again: it made every change itself, and drops them
 * when it does.
 */
export function opendir(session: Session): void {
  session.replies.opened(DIRECTORY_OPENED);
}

export function releasedir(session: Session): void {
  session.replies.done();
}

export function readdir(session: Session): void {
  session.replies.send(collect(session, 0));
}

/** As READDIR, with a LOOKUP of every name in the answer, `.` and `..` excepted. */
export function readdirplus(session: Session): void {
  const { replies } = session;
  const length = collect(session, ENTRY_OUT_SIZE);
  const end = replies.body + length;
  // Attributes are looked up when the directory is no longer being walked.
  for (let at = replies.body; at < end; at += recordSize(replies, at)) fillEntry(session, at);
  if (replies.send(length) < 0) {
    for (let at = replies.body; at < end; at += recordSize(replies, at)) takeBack(session, at);
  }
}

function collect(session: Session, entrySize: number): number {
  const { request, fs, entries: sink } = session;
  request.need(READ_IN_SIZE);
  sink.begin(request.u32(ReadIn.size), entrySize);
  const cookie = request.u64(ReadIn.offset);
  session.timesDue = true;
  // Only seekdir with a number of the program's own gets beyond every cookie.
  const silent = (request.u32(ReadIn.flags) & OpenFlag.NOATIME) !== 0;
  if (cookie <= Number.MAX_SAFE_INTEGER) fs.readDirectory(request.nodeid, cookie, sink, silent);
  return sink.at - session.replies.body;
}

function recordSize(replies: Replies, at: number): number {
  return direntSize(ENTRY_OUT_SIZE, replies.view.getUint32(at + ENTRY_OUT_SIZE + DirentOut.nameLength, true));
}

function fillEntry(session: Session, at: number): void {
  const { replies, fs, attributes } = session;
  const record = at + ENTRY_OUT_SIZE;
  const nameLength = replies.view.getUint32(record + DirentOut.nameLength, true);
  if (isDots(replies.bytes, record + DirentOut.name, nameLength)) return;
  const ino = getU64(replies.view, record + DirentOut.ino) as Ino;
  try {
    fs.getAttributes(ino, attributes);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    // A damaged inode doesn't hide its neighbours: its name is shown without attributes (node id 0), and whoever looks it up
    // is told.
    session.report(error.message, `READDIRPLUS of inode ${String(session.request.nodeid)}: ${error.message}`);
    if (error.errno === Errno.EIO) fs.noteDamage(error.message);
    return;
  }
  fs.hold(ino);
  replies.encodeEntry(at, ino, attributes);
}

/** The kernel never saw the answer, so it will never forget these inodes. */
function takeBack(session: Session, at: number): void {
  const ino = getU64(session.replies.view, at + EntryOut.nodeid) as Ino;
  if (ino !== 0) session.fs.release(ino, 1);
}

function isDots(bytes: Uint8Array, at: number, length: number): boolean {
  return bytes[at] === DOT && (length === 1 || (length === 2 && bytes[at + 1] === DOT));
}
