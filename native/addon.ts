import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { DurabilityDomain } from '../src/pmem/pmem.js';

/** An open image inside the addon. Using it after closeImage throws EBADF; it is freed with its last reference. */
export interface ImageHandle {
  readonly __image: unique symbol;
}

/** How an image is locked against other processes: `none` is for looking at a volume that is in use. */
export type ImageLock = 'none' | 'shared' | 'exclusive';

export interface ImageOptions {
  readonly path: string;
  /** From lockImage, perhaps of another process: used instead of opening the path and locking; a copy of it is made. -1: none. */
  readonly descriptor: number;
  readonly readOnly: boolean;
  readonly lock: ImageLock;
  /** Creates a missing file (mode 0600); needs a size. */
  readonly create: boolean;
  /** Bytes: a regular file is set to this size; a device must have that much. 0 takes the size as it is. */
  readonly size: number;
  /** `auto` detects it. */
  readonly domain: DurabilityDomain | 'auto';
  /** Bytes per mapped window: a power of two from 64 KiB to 1 TiB. */
  readonly windowSize: number;
  /** Windows mapped at the same time, 2 to 65536. */
  readonly windowLimit: number;
}

export interface OpenImage {
  readonly handle: ImageHandle;
  readonly size: number;
  readonly domain: DurabilityDomain;
  readonly kind: 'regular' | 'block' | 'dax';
  /** The mapping really has MAP_SYNC. */
  readonly mapSync: boolean;
}

/** A mapping of libnvm's inside the addon. */
export interface NvmHandle {
  readonly __nvm: unique symbol;
}

export interface NvmMapping {
  readonly handle: NvmHandle;
  readonly buffer: ArrayBuffer;
  /** All of it is mapped from the medium. */
  readonly direct: boolean;
  /** On persistent memory: nvmSync needs no system call. */
  readonly sync: boolean;
}

export interface MountDeviceOptions {
  /** Shown as the device in /proc/mounts. */
  readonly source: string;
  readonly directory: string;
  /** The type shown is `fuse.SUBTYPE`. */
  readonly subtype: string;
  /** Flags of mount(8) by name: ro, nosuid, nodev, noexec, noatime, sync … */
  readonly flags: readonly string[];
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
  /** Largest READ in bytes; 0 leaves it to the kernel. */
  readonly maxRead: number;
}

/** What a failing call of the addon throws, except for RangeErrors about arguments. */
export interface AddonError extends Error {
  /** Positive error number. */
  readonly errno: number;
  /** Its name, e.g. `ENOSPC`. */
  readonly code: string;
}

/**
 * The native addon. Addresses, offsets and lengths are whole numbers of bytes; what lies outside of the image or the
 * array throws a RangeError and touches nothing. The medium's calls have the contract of Pmem in src/pmem/pmem.ts.
 */
export interface Addon {
  openImage(options: ImageOptions): OpenImage;
  /**
   * Opens the image and locks it (shared if read-only) without using it. The lock lasts until the descriptor returned and all its copies,
   * in whatever process, are closed.
   */
  lockImage(path: string, readOnly: boolean): number;
  /** Fences, syncs the backing file, unmaps and unlocks. Calling it again does nothing. */
  closeImage(image: ImageHandle): void;
  /** The instructions in use: e.g. `{ flush: 'clwb', copy: 'avx', crc32c: 'sse4.2' }`. */
  instructions(): { readonly flush: string; readonly copy: string; readonly crc32c: string };
  /** For tests: true uses only the instructions that every CPU of this architecture has, for the whole process. */
  selectBaseline(baseline: boolean): void;

  load(image: ImageHandle, address: number, target: Uint8Array, targetOffset: number, length: number): void;
  store(image: ImageHandle, address: number, source: Uint8Array, sourceOffset: number, length: number): void;
  zero(image: ImageHandle, address: number, length: number): void;
  copy(image: ImageHandle, target: number, source: number, length: number): void;
  persist(image: ImageHandle, address: number, length: number): void;
  fence(image: ImageHandle): void;
  back(image: ImageHandle, address: number, length: number): void;
  crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number;
  /** As crc32c, without the CPU's instructions for it. */
  crc32cPortable(seed: number, bytes: Uint8Array, offset: number, length: number): number;
  /** Lines 0–31 that differ between the 4096 bytes at offsetA and offsetB; lines 32–63 are left in differenceHigh[0]. */
  difference(bytes: Uint8Array, offsetA: number, offsetB: number): number;
  readonly differenceHigh: Uint32Array;

  /** Mounts (mount(2) for root, fusermount3 for others) and returns the non-blocking descriptor of /dev/fuse. */
  mountDevice(options: MountDeviceOptions): number;
  /** Changes the flags of a mount, names as mount(8) has them, to exactly these. Never on the own mount: it may wait for its daemon. */
  remount(directory: string, flags: readonly string[]): void;
  /** An ioctl without an argument: 0, or a negative errno. */
  ioctl(fd: number, request: number): number;
  /** Unmounts on another thread, because the kernel may have to write dirty pages through this process first. */
  unmount(directory: string, lazy: boolean): Promise<void>;
  /**
   * Waits up to timeoutMs (-1: for ever; 0: does not wait) for one request, after spinning for spinMicroseconds if that paid lately
   * (after a large request as long again for every 256 KiB), and reads it into the buffer (at least max_write + 4096 bytes). Returns its length; 0 when there was none or when
   * Node's event loop has something to do: return to it (setImmediate) and call again; or a negative errno, -ENODEV
   * after the unmount. It may return 0 a few times in a row: after callbacks the loop must turn once more to register
   * new watchers. A chain of setImmediate callbacks of others is seen only between calls.
   */
  receive(fd: number, buffer: Uint8Array, timeoutMs: number, spinMicroseconds: number): number;
  /** One write of a whole reply. Returns 0 or a negative errno; -ENOENT: the request was interrupted, nobody waits. */
  reply(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /**
   * One writev of a header and `count` ≤ 1000 ranges of the image (address -1: zeros). Returns 0 or a negative errno.
   * -EIO: a range can't be delivered; if the kernel had begun to copy, it has answered the request with EIO itself, and
   * an error reply that follows gets -ENOENT.
   */
  replyMapped(
    fd: number,
    image: ImageHandle,
    header: Uint8Array,
    headerOffset: number,
    headerLength: number,
    addresses: Float64Array,
    lengths: Float64Array,
    count: number,
  ): number;
  /** Registers a passthrough backing file; returns its id or a negative errno. */
  backingOpen(fuseFd: number, fd: number): number;
  backingClose(fuseFd: number, id: number): number;
  /** Another descriptor of the same mount; or a negative errno. */
  cloneDevice(fd: number): number;

  /** The descriptor of a new piece of shared memory (memfd) of `size` bytes, sparse and zero. */
  createSegment(size: number): number;
  /** Maps bytes of it, at most 1 GiB; `offset` is a multiple of the page size. */
  mapSegment(fd: number, offset: number, length: number): ArrayBuffer;
  /** The first offset ≥ `from` with memory behind it, a multiple of the page size; -1 if there is none. */
  nextSegmentData(fd: number, from: number): number;
  /** Gives memory back: the range reads as zeros afterwards. */
  punchSegment(fd: number, offset: number, length: number): void;

  /** fstat(2) of a host file: size, blocks of 512 bytes, seconds and nanoseconds of atime, mtime and ctime go to numbers[0 … 7]. 0 or a negative errno. */
  hostAttributes(fd: number, numbers: Float64Array): number;
  /** fallocate(2): 0 or a negative errno. */
  hostAllocate(fd: number, mode: number, offset: number, length: number): number;
  /** lseek(2), `whence` 3 (SEEK_DATA) or 4 (SEEK_HOLE): an offset or a negative errno. */
  hostSeek(fd: number, offset: number, whence: number): number;
  /** futimens(3): seconds and nanoseconds of atime and mtime in numbers[0 … 3]. 0 or a negative errno. */
  hostTimes(fd: number, numbers: Float64Array): number;
  /** Whether mappings of the file reach its medium without a page cache. */
  hostIsDax(fd: number): boolean;
  /** What makes stores to a mapping of the file durable. */
  hostDomain(fd: number): 'sync-dax' | 'memory' | 'file';
  /** An ioctl whose argument is at the start of `bytes`, as long as its number says: its result, or a negative errno. */
  hostIoctl(fd: number, request: number, bytes: Uint8Array): number;

  /** Two connected sockets for sendOrder and receiveOrder, close-on-exec. */
  orderSockets(): [number, number];
  /** Sends one byte with a copy of a descriptor, or without one (-1). */
  sendOrder(socket: number, order: number, descriptor: number): void;
  /** Waits for one, blocking the thread. `order` is -1 when the other side has closed its end, `descriptor` -1 if none came along. */
  receiveOrder(socket: number): { readonly order: number; readonly descriptor: number };
  /** From now on this process is killed when the process that started it ends. ESRCH if that is not `parent` any more. */
  dieWithParent(parent: number): void;
  /** From now on SIGINT and SIGTERM are only noted; a second one kills. For work that does not return to the event loop. */
  watchInterrupts(): void;
  /** True when one was noted. */
  interrupted(): boolean;

  /** nvm_map(3): a part of an open file as an ArrayBuffer. `flags`: NVM_POPULATE 1, NVM_SYNC 2, NVM_DIRECT 4. Unmapped with its last reference. */
  nvmMap(fd: number, offset: number, length: number, writable: boolean, flags: number): NvmMapping;
  /** nvm_attach(3): a whole file, by name. */
  nvmAttach(name: string, writable: boolean): NvmMapping;
  /** nvm_sync(3) of a range of the buffer. EBADF when it is unmapped. */
  nvmSync(handle: NvmHandle, offset: number, length: number): void;
  /** Unmaps and detaches the buffer; again: does nothing. */
  nvmUnmap(handle: NvmHandle, buffer: ArrayBuffer): void;

  /** Priority 0 (emergency) to 7 (debug). */
  syslog(priority: number, message: string): void;
}

/** True for what the addon throws when a call of the system failed. */
export function isAddonError(error: unknown): error is AddonError {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'code' in error;
}

function loadAddon(): Addon {
  // This module lies in dist/native of the package, the addon in build.
  const path = fileURLToPath(new URL('../../build/nvmfs.node', import.meta.url));
  if (!existsSync(path)) throw new Error(`the native addon ${path} is not built: run 'make build'`);
  return createRequire(import.meta.url)(path) as Addon;
}

export const addon: Addon = loadAddon();
