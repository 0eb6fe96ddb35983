import type { Clock } from '../base/clock.js';
import { Inode } from '../format/layout.js';
import { getI64 } from '../format/numbers.js';

/** When reading changes the access time: as noatime, relatime and strictatime of mount(8). */
export type AccessTimePolicy = 'never' | 'relative' | 'always';

export interface AccessTimes {
  policy: AccessTimePolicy;
  /** Of directories, too; nodiratime. */
  directories: boolean;
}

const DAY_SECONDS = 86400;

/** The rule of relatime: the access time follows when it is not later than the last change, or is a day old. */
export function isAccessDue(view: DataView, record: number, clock: Clock): boolean {
  const access = getI64(view, record + Inode.atimeSeconds) + view.getUint32(record + Inode.atimeNanoseconds, true) / 1e9;
  const modified = getI64(view, record + Inode.mtimeSeconds) + view.getUint32(record + Inode.mtimeNanoseconds, true) / 1e9;
  const changed = getI64(view, record + Inode.ctimeSeconds) + view.getUint32(record + Inode.ctimeNanoseconds, true) / 1e9;
  if (access <= modified || access <= changed) return true;
  clock.now();
  return clock.seconds - access >= DAY_SECONDS;
}

/**
 * What the flags of a mount say, the last word counting: `words` as given to mount(8), or as the kernel shows them, where the absence of all
 * means what `otherwise` is.
 */
export function accessTimesOf(words: readonly string[], otherwise: AccessTimePolicy): AccessTimes {
  let policy = otherwise;
  let directories = true;
  for (const word of words) {
    if (word === 'noatime') policy = 'never';
    else if (word === 'strictatime') policy = 'always';
    else if (word === 'relatime' || word === 'atime' || word === 'nostrictatime') policy = 'relative';
    else if (word === 'nodiratime') directories = false;
    else if (word === 'diratime') directories = true;
  }
  return { policy, directories };
}
