import { Errno, fail, FsError } from '../base/errno.js';
import { formatSize } from '../base/sizes.js';
import { MIB } from '../base/units.js';
import { accessTimesOf } from '../fs/access-times.js';
import type { VolumeOptions } from '../fs/volume.js';
import type { LogFunction } from '../fuse/log.js';
import type { MountSettings } from '../fuse/transport.js';
import type { DurabilityDomain, Pmem } from '../pmem/pmem.js';
import { mountOf } from './mounts.js';
import type { ParsedOptions } from './options.js';

const DEFAULT_CACHE_BYTES = 64 * MIB;

/** What is to be mounted: paths are absolute and resolved. */
export interface MountPlan {
  readonly image: string;
  readonly directory: string;
  readonly options: ParsedOptions;
}

const domainMeaning: Readonly<Record<DurabilityDomain, string>> = {
  'sync-dax': 'persistent memory, mapped with MAP_SYNC; what is written survives power loss as soon as the call returns',
  memory: 'ordinary memory; what is written survives a crash of the daemon, not of the machine',
  file: 'page cache of a disk or block device; what is written survives power loss as soon as the call returns, at the price of an msync each time',
};

/** One line for people: what is mounted where, and how durable it is. */
export function describeMount({ image, directory, options }: MountPlan, { size, domain }: Pmem): string {
  const access = options.readOnly ? ', read-only' : '';
  return `${image} (${formatSize(size)}) mounted on ${directory}${access}; durability domain ${domain}: ${domainMeaning[domain]}`;
}

/** How the engine opens the volume. */
export function volumeOptions({ options }: MountPlan, log: LogFunction): VolumeOptions {
  return {
    readOnly: options.readOnly,
    recover: !options.noRecovery,
    readOnlyOnDamage: options.errors === 'remount-ro',
    cacheBytes: options.cacheBytes ?? DEFAULT_CACHE_BYTES,
    dax: options.dax,
    accessTimes: accessTimesOf(options.flags, 'relative'),
    log,
  };
}

export function mountSettings({ image, directory, options }: MountPlan): MountSettings {
  const { readOnly, allowOther, subtype, maxRead, directIo, acls, spinMicroseconds, debug } = options;
  return { source: options.fsname ?? image, directory, subtype, readOnly, allowOther, flags: options.flags, maxRead, directIo, acls, spinMicroseconds, debug };
}

/** Opens the image with `open`: waits for a daemon that is just finishing, but not for one that still serves it. FsError EBUSY says which. */
export async function whenNotMounted<T>({ image }: MountPlan, open: (wait: { waitMs?: number }) => Promise<T>): Promise<T> {
  const other = mountOf(image);
  try {
    return await open(other === undefined ? {} : { waitMs: 0 });
  } catch (error) {
    const busy = error instanceof FsError && error.errno === Errno.EBUSY;
    if (!busy || other === undefined) throw error;
    throw new FsError('EBUSY', `${image} is in use: it is mounted on ${other.directory}`);
  }
}

/** Throws FsError EINVAL if a region directory is below the mount point. */
export function refuseHidden(regions: string, mountPoint: string): void {
  if (`${regions}/`.startsWith(`${mountPoint}/`)) fail('EINVAL', `the region directory ${regions} would be hidden by the mount on ${mountPoint}`);
}
