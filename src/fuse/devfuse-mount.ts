import { addon, isAddonError } from '../../native/addon.js';
import { FsError } from '../base/errno.js';
import type { MountSettings } from './transport.js';

/** Mounts as the settings say; returns the descriptor of the device. Throws FsError as Transport.mount does. */
export function mountDevice({ source, directory, subtype, allowOther, maxRead, readOnly, flags }: MountSettings): number {
  try {
    const all = readOnly ? ['ro', ...flags] : flags;
    return addon.mountDevice({ source, directory, subtype, allowOther, maxRead, flags: all, defaultPermissions: true });
  } catch (error) {
    throw isAddonError(error) ? new FsError(error.errno, error.message) : error;
  }
}
