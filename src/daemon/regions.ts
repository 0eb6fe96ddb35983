import { statSync } from 'node:fs';
import { readSuperblock } from '../format/superblock.js';
import type { Pmem } from '../pmem/pmem.js';
import { HostRegions } from '../region/host.js';
import type { Regions } from '../region/regions.js';
import type { MountPlan } from './plan.js';

/**
 * The region directory of a volume that is being mounted: what `regions=` says, or IMAGE.regions beside an image that is a file. Null where there can be none: a
 * device has no place beside it.
 */
export function regionsOf({ image, options }: MountPlan, pmem: Pmem): Regions | null {
  const beside = options.regions === null;
  if (beside && !statSync(image).isFile()) return null;
  const { geometry } = readSuperblock(pmem);
  return new HostRegions({ directory: options.regions ?? `${image}.regions`, uuid: geometry.uuid, mayMake: beside, readOnly: options.readOnly });
}
