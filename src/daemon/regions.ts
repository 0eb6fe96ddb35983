import { statSync } from 'node:fs';
import { isRegionDirectory, readSuperblock } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import { HostRegions } from '../region/host.js';
import type { Regions } from '../region/regions.js';
import { type MountPlan, refuseHidden } from './plan.js';

/**
 * The region directory of a volume that is being mounted: what `regions=` says, or what the superblock says, or IMAGE.regions beside an image that is a file. Null where
 * there can be none: a device has no place beside it. Throws FsError EINVAL if the mount would hide it: the daemon must never wait for itself.
 */
export function regionsOf({ image, directory: mountPoint, options }: MountPlan, pmem: Pmem): Regions | null {
  const { uuid, regions: recorded } = readSuperblock(pmem).geometry;
  const { readOnly } = options;
  if (options.regions !== null) return new HostRegions({ directory: options.regions, uuid, origin: 'given', readOnly });
  if (recorded !== '') {
    if (!isRegionDirectory(recorded)) return null;
    refuseHidden(recorded, mountPoint);
    return new HostRegions({ directory: recorded, uuid, origin: 'recorded', readOnly });
  }
  if (!statSync(image).isFile()) return null;
  return new HostRegions({ directory: `${image}.regions`, uuid, origin: 'beside', readOnly });
}
