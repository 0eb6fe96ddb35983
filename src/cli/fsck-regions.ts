import { realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fail } from '../base/errno.js';
import { isRegionDirectory } from '../format/superblock.js';
import { HostInspection } from '../region/host-inspection.js';
import type { RegionPlace } from '../region/inspection.js';

/**
 * Finds the region directory of the volume that is checked, as a mount does: the one that was given, or that the superblock names, or the one beside the image. It is opened
 * once, and closed at the end.
 */
export class RegionFinder {
  private found: { readonly key: string; readonly place: RegionPlace; readonly inspection: HostInspection | null } | null = null;

  constructor(
    private readonly image: string,
    /** What --regions says, null: nothing. */
    private readonly given: string | null,
  ) {}

  /** Throws FsError EINVAL if the directory that was given is none of this volume's. */
  readonly find = (uuid: Uint8Array, recorded: string | null): RegionPlace => {
    const key = `${Buffer.from(uuid).toString('hex')} ${recorded ?? ''}`;
    if (this.found?.key === key) return this.found.place;
    this.close();
    const path = this.pathOf(recorded);
    const status = statSync(this.image);
    // An ordinary user's volume may be checked by root.
    const owners = [process.geteuid?.() ?? 0, ...(status.isFile() ? [status.uid] : [])];
    const place = path === null ? { inspection: null, reason: 'there is no region directory beside a device; say with --regions where it is', foreign: false } : HostInspection.find(path, uuid, owners);
    if (this.given !== null && place.inspection === null) fail('EINVAL', place.reason);
    this.found = { key, place, inspection: place.inspection };
    return place;
  };

  /** Why the data of files was not looked at, null if it was. */
  get reason(): string | null {
    return this.found === null || this.found.place.inspection !== null ? null : this.found.place.reason;
  }

  close(): void {
    this.found?.inspection?.close();
    this.found = null;
  }

  private pathOf(recorded: string | null): string | null {
    if (this.given !== null) return resolve(this.given);
    if (recorded !== null && isRegionDirectory(recorded)) return recorded;
    const image = realpathSync(this.image);
    return statSync(image).isFile() ? `${image}.regions` : null;
  }
}
