import type { Clock } from '../base/clock.js';
import { Inode } from '../format/layout.js';
import { setI64 } from '../format/numbers.js';

/** Sets ctime, and mtime if `contents` changed, of an editable inode record to the present moment. */
export function stampChange(view: DataView, record: number, clock: Clock, contents: boolean): void {
  clock.now();
  setI64(view, record + Inode.ctimeSeconds, clock.seconds);
  view.setUint32(record + Inode.ctimeNanoseconds, clock.nanoseconds, true);
  if (!contents) return;
  setI64(view, record + Inode.mtimeSeconds, clock.seconds);
  view.setUint32(record + Inode.mtimeNanoseconds, clock.nanoseconds, true);
}

/** Sets atime of an editable inode record to the present moment. */
export function stampAccess(view: DataView, record: number, clock: Clock): void {
  clock.now();
  setI64(view, record + Inode.atimeSeconds, clock.seconds);
  view.setUint32(record + Inode.atimeNanoseconds, clock.nanoseconds, true);
}
