import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { addon } from '../../native/addon.js';
import { Errno, FsError, messageOf } from '../base/errno.js';
import { openImage } from '../pmem/open.js';
import { isFuse, mountedAt, type MountedFilesystem } from './mounts.js';

const EXIT_FAILED = 32;
/** A daemon is given this long to write back and close its image. */
const WAIT_MS = 30_000;

/**
 * Unmounts a volume and waits until its daemon has closed the image, so that a mount or fsck that follows finds it free.
 * `lazy` detaches it at once, even while in use, and does not wait. Prints its own messages; returns 0, or 32 if it failed.
 */
export async function runUmount(directory: string, { lazy }: { readonly lazy: boolean }): Promise<number> {
  try {
    const mount = findMount(directory);
    await addon.unmount(mount.directory, lazy);
    if (!lazy) await waitForImage(mount.source);
    return 0;
  } catch (error) {
    process.stderr.write(`nvmfs: ${messageOf(error)}\n`);
    return EXIT_FAILED;
  }
}

function findMount(given: string): MountedFilesystem {
  const path = resolve(given);
  // Looking at the mount point itself would ask its daemon, which may be gone.
  const directory = path === '/' ? path : join(realpathSync(dirname(path)), basename(path));
  const mount = mountedAt(directory) ?? mountedAt(realpathSync(directory));
  if (mount === undefined) throw new FsError('EINVAL', `nothing is mounted on ${given}`);
  if (!isFuse(mount)) throw new FsError('EINVAL', `${given} is no nvmfs mount but ${mount.type}`);
  return mount;
}

/** Waits for the lock of the image; with `fsname=` nobody can tell which image it was. */
async function waitForImage(image: string): Promise<void> {
  if (!image.startsWith('/')) return;
  try {
    const pmem = await openImage(image, { readOnly: true, waitMs: WAIT_MS });
    pmem.close();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    if (error.errno !== Errno.EBUSY) return; // gone, or not ours to open: there is nothing to wait for
    throw new FsError('EBUSY', `unmounted, but the daemon has not closed ${image} within ${String(WAIT_MS / 1000)} seconds`);
  }
}
