import type { Ino } from '../../base/units.js';
import { getU64 } from '../../format/numbers.js';
import { negotiate } from '../negotiation.js';
import { BATCH_FORGET_IN_SIZE, BatchForgetIn, FORGET_IN_SIZE, FORGET_ONE_SIZE, ForgetOne, IN_HEADER_SIZE, PROTOCOL_MAJOR, InitIn } from '../protocol.js';
import type { Session } from '../session.js';

export function init(session: Session): void {
  const protocol = negotiate(session.request, session.wantsAcls);
  // A kernel with a newer major version reads ours from the answer and asks again.
  if (session.request.u32(InitIn.major) === PROTOCOL_MAJOR) session.shared.protocol = protocol;
  session.replies.init(protocol);
}

/** The last request of a mount. Closing the volume is the daemon's, when the device has ended. */
export function destroy(session: Session): void {
  session.fs.flushTimes();
  session.replies.done();
}

export function syncfs(session: Session): void {
  session.fs.flushTimes();
  session.replies.done();
}

/** INTERRUPT: every request is answered before the next is read, so there is never one under way. NOTIFY_REPLY: none was asked for. */
export function noReply(session: Session): void {
  session.replies.answered = true;
}

export function forget(session: Session): void {
  const { request, fs } = session;
  noReply(session);
  request.need(FORGET_IN_SIZE);
  fs.release(request.nodeid, request.u64(0));
  session.workDue = true;
}

export function batchForget(session: Session): void {
  const { request, fs } = session;
  noReply(session);
  request.need(BATCH_FORGET_IN_SIZE);
  const count = request.u32(BatchForgetIn.count);
  request.need(BATCH_FORGET_IN_SIZE + count * FORGET_ONE_SIZE);
  session.workDue = true;
  let at = IN_HEADER_SIZE + BATCH_FORGET_IN_SIZE;
  for (let i = 0; i < count; i++, at += FORGET_ONE_SIZE) {
    fs.release(getU64(request.view, at + ForgetOne.nodeid) as Ino, getU64(request.view, at + ForgetOne.count));
  }
}
