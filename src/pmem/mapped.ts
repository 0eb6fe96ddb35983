import { addon, isAddonError } from '../../native/addon.js';
import type { ImageHandle, ImageLock } from '../../native/addon.js';
import { assert } from '../base/assert.js';
import { FsError } from '../base/errno.js';
import { GIB } from '../base/units.js';
import type { ByteAddr } from '../base/units.js';
import type { DurabilityDomain, Pmem } from './pmem.js';

export interface MappedOptions {
  readonly readOnly?: boolean;
  /** Default: exclusive, or shared when read-only. A conflict is EBUSY. */
  readonly lock?: ImageLock;
  /** From lockImage: the image is open and locked already, perhaps by another process. */
  readonly descriptor?: number;
  /** Creates a missing file with the size below; an existing one is not replaced. */
  readonly create?: boolean;
  /** Sets a regular file to this many bytes, after it was locked; a device must have that much. Rounded down to 4096. */
  readonly size?: number;
  /** Overrides the detected durability domain. */
  readonly domain?: DurabilityDomain;
  /** For tests: bytes per mapped window (a power of two ≥ 64 KiB) and how many are mapped at a time (≥ 2). */
  readonly windowSize?: number;
  readonly windowLimit?: number;
}

/** The medium as it is: a file or device, mapped window by window by the addon. */
export class MappedPmem implements Pmem {
  differenceHigh = 0;
  private closed = false;

  private constructor(
    readonly path: string,
    /** For replies straight from the mapping. */
    readonly handle: ImageHandle,
    readonly size: number,
    readonly domain: DurabilityDomain,
    readonly kind: 'regular' | 'block' | 'dax',
    readonly readOnly: boolean,
  ) {}

  /**
   * Opens, locks and maps a regular file, block device or /dev/dax device. Throws FsError with a message for the user:
   * EBUSY (in use by another process), EISDIR, ENOENT, EACCES, EROFS, EINVAL (another kind of file, or no room), EFBIG,
   * ENOSPC (a device smaller than `size`).
   */
  static open(path: string, options: MappedOptions = {}): MappedPmem {
    const readOnly = options.readOnly ?? false;
    const create = options.create ?? false;
    assert(!create || (!readOnly && (options.size ?? 0) > 0), 'an image is created writable and with a size');
    assert(!readOnly || options.size === undefined, 'a read-only image keeps its size');
    try {
      const image = addon.openImage({
        path,
        descriptor: options.descriptor ?? -1,
        readOnly,
        create,
        lock: options.lock ?? (readOnly ? 'shared' : 'exclusive'),
        size: options.size ?? 0,
        domain: options.domain ?? 'auto',
        windowSize: options.windowSize ?? GIB,
        windowLimit: options.windowLimit ?? 4096,
      });
      return new MappedPmem(path, image.handle, image.size, image.domain, image.kind, readOnly);
    } catch (error) {
      throw translated(error);
    }
  }

  /** Opens and locks the image (shared if read-only) for others to use: a descriptor. Throws as `open`. */
  static lock(path: string, readOnly: boolean): number {
    try {
      return addon.lockImage(path, readOnly);
    } catch (error) {
      throw translated(error);
    }
  }

  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void {
    this.check(address, length);
    checkArray(target, targetOffset, length);
    try {
      addon.load(this.handle, address, target, targetOffset, length);
    } catch (error) {
      throw translated(error);
    }
  }

  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void {
    this.check(address, length);
    checkArray(source, sourceOffset, length);
    try {
      addon.store(this.handle, address, source, sourceOffset, length);
    } catch (error) {
      throw translated(error);
    }
  }

  zero(address: ByteAddr, length: number): void {
    this.check(address, length);
    try {
      addon.zero(this.handle, address, length);
    } catch (error) {
      throw translated(error);
    }
  }

  copy(target: ByteAddr, source: ByteAddr, length: number): void {
    this.check(target, length);
    this.check(source, length);
    assert(target + length <= source || source + length <= target, 'the ranges of a copy do not overlap');
    try {
      addon.copy(this.handle, target, source, length);
    } catch (error) {
      throw translated(error);
    }
  }

  persist(address: ByteAddr, length: number): void {
    this.check(address, length);
    try {
      addon.persist(this.handle, address, length);
    } catch (error) {
      throw translated(error);
    }
  }

  fence(): void {
    assert(!this.closed, 'a closed medium is not used');
    try {
      addon.fence(this.handle);
    } catch (error) {
      throw translated(error);
    }
  }

  back(address: ByteAddr, length: number): void {
    this.check(address, length);
    try {
      addon.back(this.handle, address, length);
    } catch (error) {
      throw translated(error);
    }
  }

  crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number {
    return addon.crc32c(seed, bytes, offset, length);
  }

  difference(bytes: Uint8Array, blockA: number, blockB: number): number {
    const low = addon.difference(bytes, blockA, blockB);
    this.differenceHigh = addon.differenceHigh[0] ?? 0;
    return low;
  }

  /** Also syncs the backing file, so that another process, or a copy of the file, has everything. Throws EIO if that fails. */
  close(): void {
    assert(!this.closed, 'a medium is closed once');
    this.closed = true;
    try {
      addon.closeImage(this.handle);
    } catch (error) {
      throw translated(error);
    }
  }

  /** The addon checks the same again before it touches memory; here it is reported as the caller's bug that it is. */
  private check(address: number, length: number): void {
    assert(!this.closed, 'a closed medium is not used');
    if (!(Number.isSafeInteger(address) && Number.isSafeInteger(length) && address >= 0 && length >= 0 && address + length <= this.size)) {
      assert(false, `range of ${String(length)} bytes at ${String(address)} lies on the medium of ${String(this.size)} bytes`);
    }
  }
}

function checkArray(bytes: Uint8Array, offset: number, length: number): void {
  assert(Number.isSafeInteger(offset) && offset >= 0 && offset + length <= bytes.length, 'a range lies inside its array');
}

/** What the system refused becomes an FsError; anything else is a bug and stays what it is. */
function translated(error: unknown): unknown {
  return isAddonError(error) ? new FsError(error.errno, error.message) : error;
}
