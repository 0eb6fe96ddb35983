import type { ByteAddr } from '../base/units.js';

/** What makes a store durable on this medium. */
export type DurabilityDomain =
  /** A mapping with MAP_SYNC: cache-line flushes and a fence are enough (real persistent memory). */
  | 'sync-dax'
  /** tmpfs and the like: the same instructions; the contents live as long as the machine is up. */
  | 'memory'
  /** The page cache of a disk filesystem or block device: durable by msync; correct but slow. */
  | 'file';

/**
 * The only door to the medium. Everything above it, the simulated medium of the tests included,
 * reads and writes the volume through these few calls.
 *
 * Ordering rules (the persistence model of the x86 manual, "clwb; sfence", and of msync):
 *  - a byte passed to `store`, `zero`, `copy` or `persist` is durable after the next `fence` returns;
 *  - before that fence any 8-byte atom of it may or may not have reached the medium, in any order
 *    between cache lines and in program order within one;
 *  - `load` sees every earlier store at once.
 *
 * Addresses and lengths are in bytes; ranges outside [0, size) are a bug of the caller and throw
 * AssertionFailure. A range that the medium can't deliver (poison, a truncated backing file)
 * throws FsError EIO naming the address. On a read-only medium every changing call throws EROFS.
 * No call keeps a reference to the arrays it is given.
 */
export interface Pmem {
  /** Size of the medium in bytes, a multiple of 4096. */
  readonly size: number;
  readonly domain: DurabilityDomain;
  readonly readOnly: boolean;

  /** Copies [address, address + length) of the medium to target[targetOffset …]. */
  load(address: ByteAddr, target: Uint8Array, targetOffset: number, length: number): void;
  /** Stores source[sourceOffset … + length) at address and starts it on its way to the medium (non-temporal stores). */
  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void;
  /** As `store`, of zero bytes. */
  zero(address: ByteAddr, length: number): void;
  /** As `store`, of bytes that are on the medium already; the ranges do not overlap. */
  copy(target: ByteAddr, source: ByteAddr, length: number): void;
  /** Starts what others stored in the range (a program through its own mapping) on its way to the medium. */
  persist(address: ByteAddr, length: number): void;
  /** Everything passed to store, zero, copy and persist so far is durable when this returns. */
  fence(): void;

  /**
   * Makes sure the host has space behind [address, address + length) of a sparse image, so that a later
   * store can't fail. Throws FsError ENOSPC when the host is full. Cheap when asked again.
   */
  back(address: ByteAddr, length: number): void;

  /** CRC32C (Castagnoli, RFC 3720) of bytes[offset … + length), continued from `seed` (0 to start). Unsigned 32 bits. */
  crc32c(seed: number, bytes: Uint8Array, offset: number, length: number): number;
  /**
   * Compares two 4096-byte blocks of one array by 64-byte lines. Bit i of the result is set where line i differs:
   * lines 0–31 are returned (unsigned), lines 32–63 are left in `differenceHigh` (unsigned).
   */
  difference(bytes: Uint8Array, blockA: number, blockB: number): number;
  differenceHigh: number;

  /** Fences, and gives the medium back. Nothing may be called afterwards. */
  close(): void;
}
