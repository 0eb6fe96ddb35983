import { setTimeout as sleep } from 'node:timers/promises';
import { Errno, FsError } from '../base/errno.js';
import { MappedPmem, type MappedOptions } from './mapped.js';

/** umount(2) returns before the daemon has flushed and closed the image; that takes a moment. */
const DEFAULT_WAIT_MS = 2000;
const RETRY_MS = 10;

export interface OpenImageOptions extends MappedOptions {
  /** How long an image that another process has locked is tried again; 0 fails at once. */
  readonly waitMs?: number;
}

/** As MappedPmem.open, but waits for the last user of the image to finish. Throws FsError; EBUSY if it does not. */
export function openImage(path: string, options: OpenImageOptions = {}): Promise<MappedPmem> {
  const { waitMs = DEFAULT_WAIT_MS, ...mapped } = options;
  return whenFree(waitMs, () => MappedPmem.open(path, mapped));
}

/** As MappedPmem.lock, but waits as openImage does. */
export function lockImage(path: string, options: { readonly readOnly: boolean; readonly waitMs?: number }): Promise<number> {
  const { waitMs = DEFAULT_WAIT_MS, readOnly } = options;
  return whenFree(waitMs, () => MappedPmem.lock(path, readOnly));
}

async function whenFree<T>(waitMs: number, attempt: () => T): Promise<T> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      const busy = error instanceof FsError && error.errno === Errno.EBUSY;
      if (!busy || performance.now() >= deadline) throw error;
    }
    await sleep(RETRY_MS);
  }
}
