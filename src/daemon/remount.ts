import { closeSync, openSync, realpathSync } from 'node:fs';
import { addon, isAddonError } from '../../native/addon.js';
import { FsError } from '../base/errno.js';
import { Ioctl } from '../fuse/ioctls.js';
import { isFuse, mountedAt } from './mounts.js';
import { KERNEL_FLAGS } from './options.js';

/**
 * Changes ro, rw and the flags that the kernel handles of a mounted volume, and has its daemon follow. `words`: all options that were given; those
 * that are not named stay, and so does what only a new mount can change (domain=, cache_size= …). Throws FsError.
 */
export function remount(given: string, words: readonly string[]): void {
  const directory = realpathSync(given);
  const mount = mountedAt(directory);
  if (mount === undefined || !isFuse(mount)) throw new FsError('EINVAL', `no nvmfs volume is mounted on ${given}`);
  const before = [...mount.options, ...mount.superOptions].filter(isFlag);
  if (!before.includes('noatime') && !before.includes('relatime')) before.push('strictatime');
  if (mount.superOptions.includes('ro')) before.push('ro');
  change(directory, [...before, ...words.filter(isFlag)]);
  try {
    tellDaemon(directory);
  } catch (error) {
    change(directory, before);
    throw error;
  }
}

function isFlag(word: string): boolean {
  return word === 'ro' || word === 'rw' || KERNEL_FLAGS.includes(word);
}

function change(directory: string, flags: readonly string[]): void {
  asFsError(() => {
    addon.remount(directory, flags);
  });
}

function tellDaemon(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    const result = addon.ioctl(fd, Ioctl.REMOUNTED);
    if (result < 0) throw new FsError(-result, refusal(-result, directory));
  } finally {
    closeSync(fd);
  }
}

function refusal(errno: number, directory: string): string {
  const error = new FsError(errno);
  if (error.code === 'EROFS') return `${directory} can only be read: the volume was mounted read-only or is damaged; unmount it and mount it again`;
  if (error.code === 'ENOTTY') return `what serves ${directory} can't follow a remount; unmount it and mount it again`;
  return `the daemon of ${directory} does not follow the remount: ${error.code}`;
}

function asFsError(call: () => void): void {
  try {
    call();
  } catch (error) {
    throw isAddonError(error) ? new FsError(error.errno, error.message) : error;
  }
}
