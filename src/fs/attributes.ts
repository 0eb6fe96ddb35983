import type { Clock } from '../base/clock.js';
import { fail } from '../base/errno.js';
import { FileType, Inode } from '../format/layout.js';
import { isDirectory, modeOf, setTime, Time } from './records.js';
import { type AttributeChange, Change } from './types.js';

const PERMISSIONS = 0o7777;
const SET_USER_ID = 0o4000;
const SET_GROUP_ID = 0o2000;
const GROUP_EXECUTE = 0o010;

/** Whether the change sets the size of the file. */
export function needsResize(change: AttributeChange): boolean {
  return (change.mask & Change.size) !== 0;
}

/** EINVAL for times that are none. Where the present moment is asked for, the fields say nothing. */
export function checkTimes(change: AttributeChange): void {
  const { mask } = change;
  checkTime((mask & Change.atimeNow) === 0 ? mask & Change.atime : 0, change.atimeSeconds, change.atimeNanoseconds);
  checkTime((mask & Change.mtimeNow) === 0 ? mask & Change.mtime : 0, change.mtimeSeconds, change.mtimeNanoseconds);
  checkTime(mask & Change.ctime, change.ctimeSeconds, change.ctimeNanoseconds);
}

function checkTime(wanted: number, seconds: number, nanoseconds: number): void {
  if (wanted === 0 || (Number.isInteger(seconds) && nanoseconds >= 0 && nanoseconds < 1e9)) return;
  fail('EINVAL', `${String(seconds)} seconds and ${String(nanoseconds)} nanoseconds are no time`);
}

/** Applies everything but the size to an editable record. A change of the size sets mtime; ctime is now unless it is given. */
export function applyChange(view: DataView, record: number, change: AttributeChange, clock: Clock): void {
  const { mask } = change;
  clock.now();
  const mode = modeOf(view, record);
  let bits = (mask & Change.mode) !== 0 ? change.mode & PERMISSIONS : mode & PERMISSIONS;
  if ((mask & Change.killPrivileges) !== 0 && !isDirectory(view, record)) {
    bits &= ~SET_USER_ID;
    if ((bits & GROUP_EXECUTE) !== 0) bits &= ~SET_GROUP_ID;
  }
  view.setUint16(record + Inode.mode, (mode & FileType.mask) | bits, true);
  if ((mask & Change.uid) !== 0) view.setUint32(record + Inode.uid, change.uid, true);
  if ((mask & Change.gid) !== 0) view.setUint32(record + Inode.gid, change.gid, true);
  if ((mask & Change.atimeNow) !== 0) setTime(view, record, Time.atime, clock.seconds, clock.nanoseconds);
  else if ((mask & Change.atime) !== 0) setTime(view, record, Time.atime, change.atimeSeconds, change.atimeNanoseconds);
  if ((mask & Change.mtimeNow) !== 0 || (mask & (Change.size | Change.mtime)) === Change.size) {
    setTime(view, record, Time.mtime, clock.seconds, clock.nanoseconds);
  } else if ((mask & Change.mtime) !== 0) {
    setTime(view, record, Time.mtime, change.mtimeSeconds, change.mtimeNanoseconds);
  }
  if ((mask & Change.ctime) !== 0) setTime(view, record, Time.ctime, change.ctimeSeconds, change.ctimeNanoseconds);
  else setTime(view, record, Time.ctime, clock.seconds, clock.nanoseconds);
}
