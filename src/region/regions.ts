import type { Ino } from '../base/units.js';
import type { DurabilityDomain } from '../pmem/pmem.js';

/** What fstat(2) says of a host file; filled in by `attributes`, reused by its owner. */
export class RegionAttributes {
  /** Bytes. */
  size = 0;
  /** Units of 512 bytes. */
  blocks = 0;
  atimeSeconds = 0;
  atimeNanoseconds = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;
  ctimeSeconds = 0;
  ctimeNanoseconds = 0;
}

/** In place of nanoseconds, as utimensat(2) has them: the present moment, and no change. */
export const RegionTime = { now: 0x3fffffff, omit: 0x3ffffffe } as const;

/** The region directory's space, as statvfs(3) counts it, in bytes. */
export interface RegionSpace {
  total: number;
  free: number;
  available: number;
}

/** A host file that is the data of one file, open. All calls throw FsError with what the host says; EIO if it lost the file's bytes. */
export interface RegionFile {
  /** For the kernel, to serve the file with (passthrough); −1 where there is none. */
  readonly descriptor: number;
  /** Of its own: the directory may lie elsewhere than the image. */
  readonly domain: DurabilityDomain;
  attributes(to: RegionAttributes): void;
  /**
   * Takes care that `resize` to this size can't fail for want of space where mapped pages must have space of their own before they are handed
   * out (the host file is on persistent memory). ENOSPC, EFBIG.
   */
  prepare(size: number): void;
  /** Durable on return, as all changes below. What is added reads as zero bytes. */
  resize(size: number): void;
  /** `mode` as fallocate(2) numbers it. ENOSPC, EOPNOTSUPP. */
  allocate(mode: number, offset: number, length: number): void;
  /** lseek(2) SEEK_DATA or SEEK_HOLE. ENXIO. */
  seek(offset: number, data: boolean): number;
  /** Returns how many bytes there were: fewer than `length` only at the end of the file. */
  read(offset: number, target: Uint8Array, targetOffset: number, length: number): number;
  write(offset: number, source: Uint8Array, sourceOffset: number, length: number): void;
  /** Nanoseconds may be RegionTime.now or .omit. */
  setTimes(atimeSeconds: number, atimeNanoseconds: number, mtimeSeconds: number, mtimeNanoseconds: number): void;
  /** Makes durable what programs stored past us, through the kernel. */
  sync(): void;
  close(): void;
}

/** The region directory of a volume (doc/FORMAT.md, "Regions"). Changes of names are durable on return. */
export interface Regions {
  /** Why no host file can be made now, for people; null if one can. Makes the directory where that is all that is missing. */
  obstacle(): string | null;
  /** An empty host file; one of that name that was there loses what was in it. ENOSPC, EACCES … */
  create(ino: Ino, generation: number): RegionFile;
  /** ENOENT if it is missing. */
  open(ino: Ino, generation: number): RegionFile;
  /** No error if there is none. */
  remove(ino: Ino, generation: number): void;
  /** Null if that can't be known. */
  space(): RegionSpace | null;
  close(): void;
}

/** Name of a host file. */
export function regionName(ino: Ino, generation: number): string {
  return `${ino.toString(16).padStart(16, '0')}-${generation.toString(16).padStart(8, '0')}`;
}
