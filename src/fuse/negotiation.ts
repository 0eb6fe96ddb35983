import { FsError } from '../base/errno.js';
import { KIB, MIB } from '../base/units.js';
import { InitFlag, InitFlag2 } from './flags.js';
import { INIT_IN_SIZE, INIT_IN_SIZE_SHORT, InitIn, PAGE_BYTES, PROTOCOL_MAJOR, PROTOCOL_MINOR, PROTOCOL_MINOR_LEAST } from './protocol.js';
import type { Request } from './request.js';

/** What the kernel and this program agreed upon at INIT. INIT is never repeated: a server that takes over needs this. */
export interface NegotiatedProtocol {
  major: number;
  minor: number;
  /** InitFlag bits that both sides have. */
  flags: number;
  /** InitFlag2 bits that both sides have. */
  flags2: number;
  /** Bytes. */
  maxReadahead: number;
  /** Largest WRITE, in bytes. */
  maxWrite: number;
  /** Most pages of one request; READ is limited by it. */
  maxPages: number;
  /** Most requests that the kernel has under way in the background (readahead, asynchronous direct I/O). */
  maxBackground: number;
  congestionThreshold: number;
}

/** Largest payload of one request. */
export const MAX_IO_BYTES = MIB;
const READAHEAD_BYTES = MIB;
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;
/** Without FUSE_MAX_PAGES a request has 32 pages. */
const DEFAULT_MAX_BYTES = 128 * KIB;

/**
 * Asked for wherever the kernel has it. Left out on purpose:
 *  - WRITEBACK_CACHE: a write() that returned must be durable;
 *  - AUTO_INVAL_DATA: nobody else changes files, so the page cache is never stale;
 *  - POSIX_LOCKS, FLOCK_LOCKS: locks stay in the kernel; a blocking one would stop a daemon that serves one request at a time;
 *  - HANDLE_KILLPRIV: the older form, in which requests don't say who may keep set-user-id;
 *  - ASYNC_DIO: direct requests would be queued twice, and are served one after the other anyway;
 *  - SPLICE: replies go out by writev from the mapping.
 */
const WANTED =
  InitFlag.ASYNC_READ |
  InitFlag.ATOMIC_O_TRUNC |
  InitFlag.EXPORT_SUPPORT |
  InitFlag.BIG_WRITES |
  InitFlag.DONT_MASK |
  InitFlag.DO_READDIRPLUS |
  InitFlag.READDIRPLUS_AUTO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.POSIX_ACL |
  InitFlag.MAX_PAGES |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.SETXATTR_EXT |
  InitFlag.INIT_EXT;
const WANTED2 = InitFlag2.DIRECT_IO_ALLOW_MMAP | InitFlag2.PASSTHROUGH | InitFlag2.HAS_RESEND | InitFlag2.ALLOW_IDMAP;

/**
 * Answers the kernel's INIT: everything wanted that it has; ACLs only if `acls`. If its major version is newer, the result has ours and
 * nothing else counts: it asks again. Throws FsError EPROTO for a kernel that is too old.
 */
export function negotiate(request: Request, acls: boolean): NegotiatedProtocol {
  request.need(INIT_IN_SIZE_SHORT);
  const major = request.u32(InitIn.major);
  const minor = request.u32(InitIn.minor);
  if (major < PROTOCOL_MAJOR || (major === PROTOCOL_MAJOR && minor < PROTOCOL_MINOR_LEAST)) {
    throw new FsError(
      'EPROTO',
      `the kernel speaks FUSE ${String(major)}.${String(minor)}; at least ${String(PROTOCOL_MAJOR)}.${String(PROTOCOL_MINOR_LEAST)} (Linux 4.20) is needed`,
    );
  }
  const offered = request.u32(InitIn.flags);
  const flags = offered & WANTED & (acls ? ~0 : ~InitFlag.POSIX_ACL);
  const extended = (flags & InitFlag.INIT_EXT) !== 0;
  if (extended) request.need(INIT_IN_SIZE);
  const maxBytes = (flags & InitFlag.MAX_PAGES) !== 0 ? MAX_IO_BYTES : DEFAULT_MAX_BYTES;
  return {
    major: PROTOCOL_MAJOR,
    minor: major > PROTOCOL_MAJOR ? PROTOCOL_MINOR : Math.min(minor, PROTOCOL_MINOR),
    flags,
    flags2: extended ? request.u32(InitIn.flags2) & WANTED2 : 0,
    maxReadahead: Math.min(request.u32(InitIn.maxReadahead), READAHEAD_BYTES),
    maxWrite: maxBytes,
    maxPages: maxBytes / PAGE_BYTES,
    maxBackground: MAX_BACKGROUND,
    congestionThreshold: CONGESTION_THRESHOLD,
  };
}
