import { addon } from '../../native/addon.js';
import { messageOf } from '../base/errno.js';
import type { LogFunction } from '../fuse/log.js';
import { mountedAt } from './mounts.js';

/** A mount that this process made, and may end: not what others put over it. */
export class OwnMount {
  private readonly id: number | null;

  /** Right after mounting. */
  constructor(
    readonly directory: string,
    private readonly log: LogFunction,
  ) {
    this.id = mountedAt(directory)?.id ?? null;
  }

  /** False if something else was mounted over it, which is not ours to unmount, or if it is gone already. */
  get isOnTop(): boolean {
    return this.id !== null && mountedAt(this.directory)?.id === this.id;
  }

  /** Unmounts, also while in use: it is detached then. True if it was wholly unmounted. */
  async unmount(): Promise<boolean> {
    try {
      await addon.unmount(this.directory, false);
      return true;
    } catch (error) {
      this.log('info', `${messageOf(error)}; detaching it`);
    }
    await this.detach();
    return false;
  }

  /** Takes it away from the directory, if it is there; those who use it keep it. */
  async detach(): Promise<void> {
    if (!this.isOnTop) return;
    try {
      await addon.unmount(this.directory, true);
    } catch (error) {
      this.log('warning', messageOf(error));
    }
  }
}
