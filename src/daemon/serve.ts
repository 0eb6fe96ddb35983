import { rmSync, writeFileSync } from 'node:fs';
import { addon } from '../../native/addon.js';
import { Errno, FsError, messageOf } from '../base/errno.js';
import { formatSize } from '../base/sizes.js';
import { MIB } from '../base/units.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { accessTimesOf } from '../fs/access-times.js';
import { openVolume, type VolumeOptions } from '../fs/volume.js';
import type { LogFunction } from '../fuse/log.js';
import type { MountSettings, Transport } from '../fuse/transport.js';
import { makeTransport } from '../fuse/transports.js';
import type { MappedPmem } from '../pmem/mapped.js';
import { openImage } from '../pmem/open.js';
import type { DurabilityDomain } from '../pmem/pmem.js';
import { mountedAt, mountOf } from './mounts.js';
import type { ParsedOptions } from './options.js';
import { MountFollower } from './mount-follower.js';

const DEFAULT_CACHE_BYTES = 64 * MIB;
/** After a signal, requests of those who still use a detached mount are answered for at most this long. */
const GRACE_MS = 1000;
/** A daemon that failed tries this long to detach its mount. */
const DETACH_MS = 2000;

export const EXIT_CRASHED = 70;

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

/**
 * One mounted volume, from opening the image to closing it. `run` resolves when the filesystem is unmounted and the image
 * is closed. A supervisor that outlives a server can take the place of this class's owner: it holds nothing of the process but
 * the signal handlers.
 */
export class MountedVolume {
  private stopping = false;
  private mountId: number | null = null;

  private constructor(
    private readonly plan: MountPlan,
    private readonly pmem: MappedPmem,
    private readonly fs: FileSystemOperations,
    private readonly transport: Transport,
    private readonly log: LogFunction,
  ) {}

  /** Opens the image, recovers the volume and mounts it. Throws FsError with one line for the user; everything is closed again then. */
  static async mount(plan: MountPlan, log: LogFunction): Promise<MountedVolume> {
    const { options } = plan;
    const pmem = await openForMount(plan);
    let fs: FileSystemOperations;
    try {
      fs = openVolume(pmem, { ...volumeOptions(options), log });
    } catch (error) {
      pmem.close();
      if (!(error instanceof FsError)) throw error;
      throw new FsError(error.errno, `${plan.image}: ${error.message}`);
    }
    const { pidfile } = options;
    try {
      // Whoever waits for the mount finds the file there.
      if (pidfile !== null) writeFileSync(pidfile, `${String(process.pid)}\n`);
      const control = new MountFollower(fs);
      const transport = await makeTransport(options.transport, { fs, pmem, log, settings: mountSettings(plan), control });
      await transport.mount();
      const volume = new MountedVolume(plan, pmem, fs, transport, log);
      control.mountId = volume.mountId = mountedAt(plan.directory)?.id ?? null;
      // What fstab or mount(8) made of the options is what the kernel shows.
      control.followMount();
      return volume;
    } catch (error) {
      if (pidfile !== null) rmSync(pidfile, { force: true });
      fs.close();
      throw error;
    }
  }

  /** One line for people: what is mounted where, and how durable it is. */
  describe(): string {
    const { plan, pmem } = this;
    const access = plan.options.readOnly ? ', read-only' : '';
    const { domain } = pmem;
    return `${plan.image} (${formatSize(pmem.size)}) mounted on ${plan.directory}${access}; durability domain ${domain}: ${domainMeaning[domain]}`;
  }

  /** Serves until the end, then closes the volume. Rejects if the transport or the closing fails. */
  async run(): Promise<void> {
    const { pidfile } = this.plan.options;
    try {
      const end = await this.transport.serve();
      this.transport.close();
      if (end === 'shut down') {
        // As after a crash: the mount stays, dead, until somebody unmounts it, and the end of the process unlocks the image.
        this.log('warning', `${this.plan.image} on ${this.plan.directory}: shut down, nothing was flushed`);
        return;
      }
      this.fs.close();
      // Still there if its connection was aborted.
      if (this.isMountedOnTop()) await this.detach();
      this.log('info', `${this.plan.image} on ${this.plan.directory}: ${end}, volume closed`);
    } finally {
      if (pidfile !== null) rmSync(pidfile, { force: true });
    }
  }

  /** Unmounts, also while in use: whoever still uses the mount gets a short grace and then ENOTCONN. `run` resolves afterwards. */
  async shutDown(reason: string): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    const { directory } = this.plan;
    this.log('info', `${reason}: unmounting ${directory}`);
    if (this.isMountedOnTop()) {
      try {
        await addon.unmount(directory, false);
        return;
      } catch (error) {
        this.log('info', `${messageOf(error)}; detaching it`);
      }
      await this.detach();
    }
    this.transport.stop(GRACE_MS);
  }

  /** After a failure that nobody handled: nothing more is written, programs get ENOTCONN, and the mount goes away. */
  async abandon(): Promise<void> {
    this.stopping = true;
    const mounted = this.isMountedOnTop();
    this.transport.close();
    if (mounted) await Promise.race([this.detach(), new Promise((resolve) => setTimeout(resolve, DETACH_MS))]);
  }

  private async detach(): Promise<void> {
    try {
      await addon.unmount(this.plan.directory, true);
    } catch (error) {
      this.log('warning', messageOf(error));
    }
  }

  /** False if something else was mounted over it, which is not ours to unmount, or if it is gone already. */
  private isMountedOnTop(): boolean {
    return this.mountId !== null && mountedAt(this.plan.directory)?.id === this.mountId;
  }
}

/** Waits for a daemon that is just finishing, but not for one that still serves the image. */
async function openForMount({ image, options }: MountPlan): Promise<MappedPmem> {
  const other = mountOf(image);
  const wait = other === undefined ? {} : { waitMs: 0 };
  const domain = options.domain === null ? {} : { domain: options.domain };
  try {
    return await openImage(image, { readOnly: options.readOnly, ...domain, ...wait });
  } catch (error) {
    const busy = error instanceof FsError && error.errno === Errno.EBUSY;
    if (!busy || other === undefined) throw error;
    throw new FsError('EBUSY', `${image} is in use: it is mounted on ${other.directory}`);
  }
}

function volumeOptions(options: ParsedOptions): VolumeOptions {
  return {
    readOnly: options.readOnly,
    recover: !options.noRecovery,
    readOnlyOnDamage: options.errors === 'remount-ro',
    cacheBytes: options.cacheBytes ?? DEFAULT_CACHE_BYTES,
    accessTimes: accessTimesOf(options.flags, 'relative'),
  };
}

function mountSettings({ image, directory, options }: MountPlan): MountSettings {
  const { readOnly, allowOther, subtype, maxRead, directIo, spinMicroseconds, debug } = options;
  return { source: options.fsname ?? image, directory, subtype, readOnly, allowOther, flags: options.flags, maxRead, directIo, spinMicroseconds, debug };
}
