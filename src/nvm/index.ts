import { fstatSync } from 'node:fs';
import { addon, isAddonError, type NvmHandle, type NvmMapping } from '../../native/addon.js';
import { FsError } from '../base/errno.js';

/*
 * Files of a volume mapped straight from the medium, for Node programs: `import { attach, map } from 'nvmfs'`. What libnvm is for C (nvm(3)); Node has no
 * mmap otherwise. Files of other filesystems are mapped, too, through the page cache.
 */

const PAGE = 4096;
const Flag = { populate: 1, sync: 2, direct: 4 } as const;

export interface MapOptions {
  /** First byte of the file, a multiple of 4096. Default: 0. */
  readonly offset?: number;
  /** Bytes, a multiple of 4096. Default: to the end of the file, rounded up. An ArrayBuffer may have a limit of 4 GiB. */
  readonly length?: number;
  /** The file is open for writing, and will be stored to. Default: true. */
  readonly writable?: boolean;
  /** Fill all holes now, instead of each when it is first touched. */
  readonly populate?: boolean;
  /** Fail (EOPNOTSUPP) unless the medium is persistent memory. */
  readonly requireSync?: boolean;
  /** Fail (EOPNOTSUPP) rather than map through the page cache. */
  readonly requireDirect?: boolean;
}

/**
 * A mapped file. Stores to `buffer`, through any view of it, are stores to the medium: other programs see them at once, and they
 * are durable after `persist` or `sync`. A touch past the end of the file, or of a hole that the volume has no space for, ends the process (SIGBUS).
 * It lasts until `unmap`, or until nobody refers to `buffer` any more.
 */
export class Mapping {
  readonly buffer: ArrayBuffer;
  /** All of it is mapped from the medium: no page cache. */
  readonly isDirect: boolean;
  /** On persistent memory: `persist` needs no system call. */
  readonly isSync: boolean;
  private readonly handle: NvmHandle;

  /** @internal */
  constructor({ handle, buffer, direct, sync }: NvmMapping) {
    this.handle = handle;
    this.buffer = buffer;
    this.isDirect = direct;
    this.isSync = sync;
  }

  /** In bytes; 0 after `unmap`. */
  get length(): number {
    return this.buffer.byteLength;
  }

  /** Makes durable what was stored to `length` bytes from `offset` on: when it returns, it is. EIO, EBADF after `unmap`, RangeError. */
  persist(offset: number, length: number): void {
    call(() => {
      addon.nvmSync(this.handle, offset, length);
    });
  }

  /** The same for the whole mapping; pages that nobody has touched cost nothing. */
  sync(): void {
    this.persist(0, this.length);
  }

  /** Ends it; `buffer` is detached. Doing it again does nothing. */
  unmap(): void {
    addon.nvmUnmap(this.handle, this.buffer);
  }
}

/**
 * Maps a part of an open file; it may be closed afterwards. Throws FsError: EINVAL (not whole pages, an empty file), EACCES (not opened for that),
 * ENODEV (not a regular file), ENOSPC, EOPNOTSUPP, ENOMEM.
 */
export function map(file: number | { readonly fd: number }, options: MapOptions = {}): Mapping {
  const fd = typeof file === 'number' ? file : file.fd;
  const { offset = 0, writable = true } = options;
  const length = options.length ?? Math.ceil((fstatSync(fd).size - offset) / PAGE) * PAGE;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length <= 0) {
    throw new FsError('EINVAL', `a mapping of ${String(length)} bytes from ${String(offset)} on: whole pages inside of a file are expected`);
  }
  const flags = (options.populate === true ? Flag.populate : 0) | (options.requireSync === true ? Flag.sync : 0) | (options.requireDirect === true ? Flag.direct : 0);
  return new Mapping(call(() => addon.nvmMap(fd, offset, length, writable, flags)));
}

/**
 * Opens a file and maps all of it. `name`: a path from /, or a name below the volume (that of the environment variable NVM_ROOT, or the first one that is
 * mounted), such as `logs/today`. Throws FsError as `map` and open(2); ENODEV when no volume is mounted.
 */
export function attach(name: string, options: { readonly writable?: boolean } = {}): Mapping {
  return new Mapping(call(() => addon.nvmAttach(name, options.writable ?? true)));
}

function call<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw isAddonError(error) ? new FsError(error.errno, error.message) : error;
  }
}
