import { accessSync, constants, readdirSync, readlinkSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assert } from '../base/assert.js';
import { FsError } from '../base/errno.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { Caller } from '../fs/types.js';
import type { MappedPmem } from '../pmem/mapped.js';
import { libfuseOptions, loadFuseNative, type NativeMount } from './fuse-native/library.js';
import { PathOperations } from './fuse-native/operations.js';
import { Serving } from './fuse-native/serving.js';
import type { LogFunction } from './log.js';
import type { MountingTransport, MountSettings, ServeEnd } from './transport.js';

const DEVICE = '/dev/fuse';
/** fuse-native says nothing when the mount ends, so this often somebody looks. */
const WATCH_MS = 50;
/** After the end, or while stopping: no request for this long means that none will come. */
const QUIET_MS = 100;
/** Pending timestamps are written at most this much later. */
const FLUSH_TIMES_MS = 1000;

/** What the transport is made of. */
export interface TransportParts {
  readonly fs: FileSystemOperations;
  readonly pmem: MappedPmem;
  readonly settings: MountSettings;
  readonly log: LogFunction;
}

/**
 * libfuse 2 through the package fuse-native: for systems where the own transport can't be used. libfuse's threads read
 * the requests and hand each to the event loop. It is slower and knows less; the manual lists what is missing.
 * Requests are served from `mount` on.
 */
export class FuseNativeTransport implements MountingTransport {
  private readonly fs: FileSystemOperations;
  private readonly settings: MountSettings;
  private readonly serving: Serving;
  private mounted: NativeMount | null = null;
  /** libfuse's descriptors of the device. It closes them when its loop has ended. */
  private devices: readonly string[] = [];
  private watchTimer: NodeJS.Timeout | null = null;
  private flushTimer: NodeJS.Timeout | null = null;
  private stopAt = Infinity;
  private stepping = false;
  private closed = false;

  constructor({ fs, pmem, settings, log }: TransportParts) {
    this.fs = fs;
    this.settings = settings;
    const owner = new Caller();
    owner.uid = process.geteuid?.() ?? 0;
    owner.gid = process.getegid?.() ?? 0;
    this.serving = new Serving(new PathOperations(fs, pmem, owner), settings.debug, log, this.afterRequest);
  }

  async mount(): Promise<void> {
    assert(this.mounted === null, 'a transport mounts once');
    const { directory } = this.settings;
    const FuseNative = loadFuseNative();
    const options = libfuseOptions(this.settings);
    requireDevice();
    await requireFreeDirectory(directory);
    const mounted = new FuseNative(directory, this.serving.operations, { timeout: false });
    mounted._fuseOptions = () => options;
    // Handlers run to their end before the next is called, so the operation finds its own request there.
    mounted._handlers = mounted._handlers.map((handler) => (request, ...values) => {
      this.serving.request = request;
      handler(request, ...values);
    });
    const before = openDevices();
    await mountNow(mounted, directory);
    this.mounted = mounted;
    this.devices = openDevices().filter((device) => !before.includes(device));
    assert(this.devices.length > 0, 'libfuse has the device open while it serves');
  }

  serve(): Promise<ServeEnd> {
    assert(this.mounted !== null && this.watchTimer === null, 'a mounted transport serves once');
    return new Promise((resolve, reject) => {
      this.watchTimer = setInterval(() => {
        try {
          const end = this.closed ? 'stopped' : this.findEnd();
          if (end === null) return;
          this.stopTimers();
          resolve(end);
        } catch (error) {
          this.stopTimers();
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      }, WATCH_MS);
    });
  }

  stop(graceMs: number): void {
    this.stopAt = Math.min(this.stopAt, performance.now() + graceMs);
  }

  /** The device itself is given back by the end of the process: libfuse's threads can't be told to close it. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.serving.close();
    if (this.flushTimer !== null) clearTimeout(this.flushTimer);
    this.flushTimer = null;
    this.mounted?.unmount((error) => {
      if (error !== null && error !== undefined) this.serving.report('close', `closing fuse-native failed: ${describe(error)}`);
    });
  }

  private findEnd(): ServeEnd | null {
    const now = performance.now();
    const quiet = now - this.serving.lastServedMs >= QUIET_MS;
    // libfuse closes the device first and then removes files that were hidden because they were open.
    if (!this.devices.some(isDevice)) return quiet ? 'unmounted' : null;
    if (this.stopAt === Infinity) return null;
    return quiet || now >= this.stopAt ? 'stopped' : null;
  }

  private stopTimers(): void {
    if (this.watchTimer !== null) clearInterval(this.watchTimer);
    this.watchTimer = null;
  }

  private readonly afterRequest = (): void => {
    if (this.closed) return;
    this.flushTimer ??= setTimeout(this.flushTimes, FLUSH_TIMES_MS);
    if (this.stepping) return;
    this.stepping = true;
    setImmediate(this.step);
  };

  /** Deferred work goes on between requests until nothing is left. */
  private readonly step = (): void => {
    this.stepping = false;
    if (this.closed) return;
    try {
      if (!this.fs.backgroundStep()) return;
    } catch (error) {
      // Asked again after the next request.
      this.serving.report('background', `freeing removed files failed: ${describe(error)}`);
      return;
    }
    this.stepping = true;
    setImmediate(this.step);
  };

  private readonly flushTimes = (): void => {
    this.flushTimer = null;
    try {
      this.fs.flushTimes();
    } catch (error) {
      this.serving.report('times', `writing timestamps failed: ${describe(error)}`);
    }
  };
}

/** libfuse prints its reasons on stderr, where nobody reads them: what can be known beforehand is said in an error. */
function requireDevice(): void {
  try {
    // For an ordinary user fusermount opens it.
    accessSync(DEVICE, process.geteuid?.() === 0 ? constants.R_OK | constants.W_OK : constants.F_OK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT') throw new FsError('ENODEV', `${DEVICE} is missing: load the kernel module fuse`);
    if (code === 'EACCES' || code === 'EPERM') throw new FsError('EACCES', `no permission to use ${DEVICE}`);
    throw error;
  }
}

/** fuse-native mounts on no directory that is a mount already. */
async function requireFreeDirectory(directory: string): Promise<void> {
  const [own, parent] = await Promise.all([stat(directory), stat(dirname(directory))]);
  if (own.dev !== parent.dev) throw new FsError('EBUSY', `something is mounted on ${directory} already; transport=fuse-native needs a directory of its own`);
}

function mountNow(mounted: NativeMount, directory: string): Promise<void> {
  return new Promise((resolve, reject) => {
    mounted.mount((error) => {
      if (error === null || error === undefined) resolve();
      else reject(new FsError('EPERM', `libfuse could not mount on ${directory} (${error.message}); an ordinary user needs fusermount and, for allow_other, user_allow_other in /etc/fuse.conf`));
    });
  });
}

/** Descriptors of this process that are /dev/fuse, as their names below /proc/self/fd. */
function openDevices(): string[] {
  return readdirSync('/proc/self/fd').filter(isDevice);
}

function isDevice(descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`) === DEVICE;
  } catch (error) {
    // Closed meanwhile; or the one that readdir itself used.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

function describe(error: unknown): string {
  if (error instanceof FsError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
