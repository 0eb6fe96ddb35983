import { Errno, FsError } from '../base/errno.js';
import { accessTimesOf } from '../fs/access-times.js';
import type { FileSystemOperations } from '../fs/operations.js';
import type { MountControl } from '../fuse/session.js';
import { fuseMountAt, mountWithId } from './mounts.js';

/**
 * Lets a volume follow the flags of its mount. FUSE tells a daemon nothing of a remount, so that the table of mounts is looked at: when
 * mount.nvmfs says that it changed something, and before pending timestamps are written.
 */
export class MountFollower implements MountControl {
  /** As in /proc/self/mountinfo; null as long as nothing is mounted. */
  mountId: number | null = null;

  constructor(private readonly fs: FileSystemOperations) {}

  /** The mount of this source at the directory, which is there now, is the one to follow. */
  follow(directory: string, source: string): void {
    this.mountId = fuseMountAt(directory, source)?.id ?? null;
  }

  followMount(): FsError | null {
    const mount = this.mountId === null ? undefined : mountWithId(this.mountId);
    if (mount === undefined) return null;
    // The kernel shows relatime and noatime; strictatime is the absence of both.
    this.fs.setAccessTimes(accessTimesOf(mount.options, 'always'));
    try {
      this.fs.setReadOnly(mount.superOptions.includes('ro'));
    } catch (error) {
      if (error instanceof FsError && error.errno === Errno.EROFS) return error;
      throw error;
    }
    return null;
  }
}
