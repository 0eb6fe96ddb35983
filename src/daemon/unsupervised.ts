import { rmSync, writeFileSync } from 'node:fs';
import { FsError, messageOf } from '../base/errno.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { openVolume } from '../fs/volume.js';
import type { LogFunction } from '../fuse/log.js';
import type { MountingTransport } from '../fuse/transport.js';
import type { MappedPmem } from '../pmem/mapped.js';
import { openImage } from '../pmem/open.js';
import { Exit } from './exit-codes.js';
import { OwnMount } from './own-mount.js';
import { describeMount, type MountPlan, mountSettings, volumeOptions, whenNotMounted } from './plan.js';

/** After a signal, requests of those who still use a detached mount are answered for at most this long. */
const GRACE_MS = 1000;
/** A daemon that failed tries this long to detach its mount. */
const DETACH_MS = 2000;

/**
 * A volume that this process both mounts and serves, through fuse-native: libfuse keeps what it knows of the mount in its own memory, so
 * nobody can take over from it.
 */
export class UnsupervisedVolume {
  private stopping = false;
  readonly description: string;

  private constructor(
    private readonly plan: MountPlan,
    pmem: MappedPmem,
    private readonly fs: FileSystemOperations,
    private readonly transport: MountingTransport,
    private readonly mount: OwnMount,
    private readonly log: LogFunction,
  ) {
    this.description = describeMount(plan, pmem);
  }

  /** Opens the image, recovers the volume and mounts it. Throws FsError with one line for the user; everything is closed again then. */
  static async start(plan: MountPlan, log: LogFunction): Promise<UnsupervisedVolume> {
    const { readOnly, domain, pidfile } = plan.options;
    const pmem = await whenNotMounted(plan, (wait) => openImage(plan.image, { readOnly, ...(domain === null ? {} : { domain }), ...wait }));
    let fs: FileSystemOperations;
    try {
      fs = openVolume(pmem, volumeOptions(plan, log));
    } catch (error) {
      pmem.close();
      if (!(error instanceof FsError)) throw error;
      throw new FsError(error.errno, `${plan.image}: ${error.message}`);
    }
    try {
      // Whoever waits for the mount finds the file there.
      if (pidfile !== null) writeFileSync(pidfile, `${String(process.pid)}\n`);
      const { FuseNativeTransport } = await import('../fuse/fuse-native.js');
      const transport = new FuseNativeTransport({ fs, pmem, log, settings: mountSettings(plan) });
      await transport.mount();
      return new UnsupervisedVolume(plan, pmem, fs, transport, new OwnMount(plan.directory, log), log);
    } catch (error) {
      if (pidfile !== null) rmSync(pidfile, { force: true });
      fs.close();
      throw error;
    }
  }

  /** Serves until the end, then closes the volume; returns the exit code. */
  async run(): Promise<number> {
    const { pidfile } = this.plan.options;
    try {
      const end = await this.transport.serve();
      this.transport.close();
      this.fs.close();
      // Still there if its connection was aborted.
      await this.mount.detach();
      this.log('info', `${this.plan.image} on ${this.plan.directory}: ${end}, volume closed`);
      return Exit.done;
    } catch (error) {
      this.log('error', `${this.plan.image} on ${this.plan.directory}: ${messageOf(error)}`);
      await this.abandon();
      return Exit.unclean;
    } finally {
      if (pidfile !== null) rmSync(pidfile, { force: true });
    }
  }

  /** As Supervisor.shutDown. */
  async shutDown(reason: string): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    this.log('info', `${reason}: unmounting ${this.plan.directory}`);
    if (this.mount.isOnTop && (await this.mount.unmount())) return;
    this.transport.stop(GRACE_MS);
  }

  /** After a failure that nobody handled: nothing more is written, programs get ENOTCONN, and the mount goes away. */
  async abandon(): Promise<void> {
    this.stopping = true;
    this.transport.close();
    await Promise.race([this.mount.detach(), new Promise((resolve) => setTimeout(resolve, DETACH_MS))]);
  }
}
