import { Errno } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { getU64 } from '../format/numbers.js';
import type { References } from '../fs/references.js';
import type { CommittedRequest } from '../journal/requests.js';
import type { Channel } from './channel.js';
import { giveCreated } from './handlers/namespace.js';
import { Notify, Opcode, opcodeName } from './opcodes.js';
import {
  BATCH_FORGET_IN_SIZE,
  BatchForgetIn,
  FORGET_ONE_SIZE,
  ForgetOne,
  IN_HEADER_SIZE,
  InHeader,
  OUT_HEADER_SIZE,
  OutHeader,
} from './protocol.js';
import type { Session } from './session.js';
import { RESENT, type SharedState } from './shared-state.js';

/** What is needed of the device before there is a session. */
type ReplyChannel = Pick<Channel, 'reply'>;

/** Servers that may die over one request before it is answered with EIO. */
const ATTEMPTS_MAX = 3;
/** Bit of an id by which the protocol names the interruption of a request. */
const INTERRUPT_ID = 1;

/*
 * How a server takes over from one that died. A server serves one request at a time, to its end, so there is at most one that was
 * received and not finished; it is still in the receive buffer. In this order:
 *
 *  1. settleInFlight: what that request had changed about holds and open files is taken back, if the kernel has no answer, or finished.
 *  2. noteCommitted, when the journal is recovered and before anything is written: was the request committed?
 *  3. resend: the kernel puts it in front of all others, its id marked.
 *  4. answerResent: it comes again, and is answered as done, refused, or served.
 *
 * Each of these may be cut off by the next death and is then done again by the next server.
 */

/** Counts that outlive a server, each with the log of what the request in flight changed. */
export interface KeptCounts {
  readonly references: References;
  /** Of open files. */
  readonly opens: References;
  /** Of files opened through the page cache. */
  readonly cached: References;
}

/** Step 1. `probe` asks the kernel: see isUnanswered. */
export function settleInFlight(shared: SharedState, counts: KeptCounts, probe: (idLow: number, idHigh: number) => boolean): void {
  const { buffer, suspect } = shared;
  const { references, opens, cached } = counts;
  if (shared.inFlight === 0) {
    references.log.clear();
    cached.log.clear();
    opens.log.clear();
    return;
  }
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const opcode = view.getUint32(InHeader.opcode, true);
  const idLow = view.getUint32(InHeader.unique, true);
  const idHigh = view.getUint32(InHeader.unique + 4, true);
  if (opcode === Opcode.FORGET || opcode === Opcode.BATCH_FORGET) {
    finishForget(view, opcode, references);
  } else if (opcode !== Opcode.INTERRUPT && opcode !== Opcode.NOTIFY_REPLY && probe(idLow, idHigh)) {
    takeBack(references);
    takeBack(opens);
    takeBack(cached);
    suspect.note(idLow, (idHigh & ~RESENT) >>> 0, opcode, getU64(view, InHeader.nodeid));
    // It stays in the buffer until step 2 is done.
    return;
  }
  shared.clearInFlight();
}

/** Undoes the changes that the log has. */
function takeBack(counts: References): void {
  const { log } = counts;
  for (let index = log.count - 1; index >= 0; index -= 1) counts.restore(log.ino(index), log.before(index));
  log.clear();
}

/** Step 2. `find` looks for a request in the journal of this mount. */
export function noteCommitted(shared: SharedState, find: (idLow: number, idHigh: number) => CommittedRequest | undefined): void {
  if (shared.inFlight === 0) return;
  const { suspect } = shared;
  // What an earlier server found may be out of the reach of this search, but what it did itself is not: a CREATE may have been taken back.
  const found = find(suspect.idLow, suspect.idHigh);
  if (found?.kind === suspect.opcode) suspect.noteCommitted(found.result);
  shared.clearInFlight();
}

/** Step 3. False if the kernel can't (before 6.9). */
export function resend(channel: ReplyChannel): boolean {
  const message = new DataView(new ArrayBuffer(OUT_HEADER_SIZE));
  message.setUint32(OutHeader.length, OUT_HEADER_SIZE, true);
  message.setInt32(OutHeader.error, Notify.RESEND, true);
  return channel.reply(new Uint8Array(message.buffer), 0, OUT_HEADER_SIZE) !== -Errno.EINVAL;
}

/**
 * Whether the kernel still waits for the answer to a request it has sent. It is asked by confirming an interruption of the
 * request: that is ENOENT if it does not wait, and has no effect if it does.
 */
export function isUnanswered(channel: ReplyChannel, idLow: number, idHigh: number): boolean {
  const message = new DataView(new ArrayBuffer(OUT_HEADER_SIZE));
  message.setUint32(OutHeader.length, OUT_HEADER_SIZE, true);
  message.setUint32(OutHeader.unique, (idLow | INTERRUPT_ID) >>> 0, true);
  message.setUint32(OutHeader.unique + 4, idHigh, true);
  return channel.reply(new Uint8Array(message.buffer), 0, OUT_HEADER_SIZE) === 0;
}

/** Step 4, for a request with the mark RESENT. True if it is answered; otherwise it has to be served as any other. */
export function answerResent(session: Session): boolean {
  const { request, shared, replies } = session;
  const { suspect } = shared;
  // Read by the server that died, or not even that: nothing was done about it.
  if (!suspect.is(request.uniqueLow, (request.uniqueHigh & ~RESENT) >>> 0)) return false;
  const what = `${opcodeName(request.opcode)} of inode ${String(request.nodeid)} (request ${String(request.uniqueLow)})`;
  if (suspect.attempts >= ATTEMPTS_MAX) {
    session.log('error', `${String(suspect.attempts)} servers died over ${what}: it is answered with EIO; this is a bug of nvmfs`);
    replies.error(Errno.EIO);
    return true;
  }
  suspect.attempts += 1;
  if (!suspect.committed || !answerAsDone(session, suspect.result)) return false;
  session.log('debug', `${what} had been done: answered`);
  return true;
}

/**
 * Answers a request that was committed and is not done twice without harm; `result` is what its transaction noted. False for
 * all others: WRITE, SETATTR, FALLOCATE, OPEN with O_TRUNC, COPY_FILE_RANGE (its ranges don't overlap and end at the kernel's end of the file) name what they
 * want in absolute terms, and nobody else's request was served in between; TMPFILE gets a new file, as nobody has seen the first, which is freed.
 */
function answerAsDone(session: Session, result: number): boolean {
  const { request, replies } = session;
  switch (request.opcode) {
    case Opcode.CREATE:
      // No result: it found the file there and cut it.
      if (result === 0) return false;
      giveCreated(session, result as Ino);
      return true;
    case Opcode.MKNOD:
    case Opcode.MKDIR:
    case Opcode.SYMLINK:
    case Opcode.LINK:
      session.giveEntry(result as Ino);
      return true;
    case Opcode.UNLINK:
    case Opcode.RMDIR:
    case Opcode.RENAME:
    case Opcode.RENAME2:
    case Opcode.SETXATTR:
    case Opcode.REMOVEXATTR:
      session.workDue = true;
      replies.done();
      return true;
    default:
      return false;
  }
}

/**
 * Does the rest of a FORGET. Each of its changes was noted before it was made, so all but the last one noted are done, and that
 * one is put to what it was and done again. Whatever is not held any more afterwards is freed when the volume is opened.
 */
function finishForget(view: DataView, opcode: number, references: References): void {
  const { log } = references;
  const done = Math.max(0, log.count - 1);
  if (log.count > 0) {
    references.restore(log.ino(done), log.before(done));
    log.truncate(done);
  }
  if (opcode === Opcode.FORGET) {
    references.remove(getU64(view, InHeader.nodeid) as Ino, getU64(view, IN_HEADER_SIZE));
    return;
  }
  const count = view.getUint32(IN_HEADER_SIZE + BatchForgetIn.count, true);
  for (let index = done; index < count; index += 1) {
    const at = IN_HEADER_SIZE + BATCH_FORGET_IN_SIZE + index * FORGET_ONE_SIZE;
    references.remove(getU64(view, at + ForgetOne.nodeid) as Ino, getU64(view, at + ForgetOne.count));
  }
}
