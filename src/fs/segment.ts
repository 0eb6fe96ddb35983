/**
 * The shared memory segment of a mount: what a server leaves to the next one. The supervisor makes it and keeps it; the servers map it.
 * This file defines all of it. Numbers are the machine's own (nothing here is ever on a medium): u32, or f64 for whole numbers below 2^53.
 *
 * Every field is written before the reply that makes it true. A server can be killed between any two stores, but not lose
 * one: stores to shared memory are there, in program order, for whoever maps it next. Neither V8's compilers nor the CPU
 * reorder them as seen by a process that starts after the death.
 */
export const SEGMENT_MAGIC = 0x4753564e;
/** Raised by every change of this file: a server of another version refuses to go on from what it can't read. */
export const SEGMENT_VERSION = 2;

/** Byte offsets. */
export const Segment = {
  magic: 0,
  version: 4,
  /** f64: the first transaction of this mount; request ids in older records are another mount's. 0: not opened yet. */
  firstSequence: 8,
  /** f64: requests served to the end. The supervisor looks whether a server got anywhere. */
  served: 16,
  /** u32: holds changed in the request being served: entries of `referenceLog`, of which the last REFERENCE_LOG_ENTRIES count. */
  referenceCount: 24,
  /** u32: numbers of files opened through the page cache changed in the request being served: entries of `cachedLog`, as `referenceCount`. */
  cachedCount: 28,
  /** f64: file handles given out by all servers of the mount. See Handles. */
  handles: 32,
  /** u32: as `cachedCount`, of all open files: entries of `openLog`. */
  openCount: 40,
  /** u32: 1 when damage has ended all changes (errors=remount-ro). */
  damaged: 44,
  /** 10 × u32: what was agreed upon at INIT; the first is 1 when the rest is valid. See SharedState. */
  protocol: 64,
  /** The request that a server died over. See SharedState. */
  suspect: 128,
  /** Entries of two f64: an inode, and the number of its holds before. See ReferenceLog. */
  referenceLog: 4096,
  /** Timestamps that are not on the medium yet. See KeptTimes. */
  times: 36864,
  /** Who has which files mapped, and the keepers of their blocks: entries of two f64. See LeaseTable. */
  leases: 839680,
  /** As `referenceLog`, of files opened through the page cache. */
  cachedLog: 921600,
  /** As `referenceLog`, of all open files. */
  openLog: 954368,
  /** Free, for what later versions keep. */
  reserved: 987136,
  /** Requests are received here: what a server had read and not finished is known to the next. */
  receive: 1048576,
} as const;

export const REFERENCE_LOG_ENTRIES = 2048;

/** Leases at a time. */
export const LEASE_ENTRIES = 4096;
/** Files that were cut while they were mapped. */
export const KEEPER_ENTRIES = 1024;

/** Blocks of the inode table with pending times at most (Journal writes them out before there are more). */
export const TIMES_ENTRIES = 1024;
/** An entry: f64 number of the table block + 1 (0: free), u32 mask of its inodes, u32 unused, 16 × the times of a record. */
export const TIMES_ENTRY_BYTES = 784;

/** Room for the largest request, rounded up. */
export const SEGMENT_RECEIVE_BYTES = 1048576 + 8192;
/** All of the above. */
export const SEGMENT_CONTROL_BYTES = Segment.receive + SEGMENT_RECEIVE_BYTES;

/** From here on: a u32 per inode, its holds; memory only where there are any. */
export const SEGMENT_COUNTERS = 4 * 1048576;
/** From here on the same: how often it is open through the page cache. More inodes lie between than any volume can have. */
export const SEGMENT_CACHED = 2 ** 47;
/** Counters that come and go together, as a page of CounterPages. */
export const COUNTERS_PER_PAGE = 4096;
/** The same for all open files. */
export const SEGMENT_OPENS = 2 ** 48;
/** And for the kernel's ids of the host files that open files are served from, 0: none. */
export const SEGMENT_BACKINGS = 2 ** 49;
/** Of the whole segment. */
export const SEGMENT_BYTES = 2 ** 50;
