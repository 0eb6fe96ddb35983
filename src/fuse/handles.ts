import { FsError } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { FileSystemOperations } from '../fs/operations.js';
import type { References } from '../fs/references.js';
import { OpenReply } from './flags.js';
import type { SharedState } from './shared-state.js';

/** FOPEN bits of a file that nobody caches. */
export const UNCACHED = OpenReply.DIRECT_IO | OpenReply.PARALLEL_DIRECT_WRITES;

/**
 * Open files: a number for each, and whether it goes through the kernel's page cache. A program that maps a file straight from the medium
 * stores where no page cache sees it, so a file is either cached or leased: while it is leased it is opened for direct I/O, and while
 * somebody else has it open through the cache it can't be leased.
 *
 * Whether a file is cached is the lowest bit of its number. How many are, per inode, and the leases outlive a server.
 */
export class Handles {
  /** What `open` has decided: the number and the FOPEN bits. */
  handle = 0;
  flags = 0;
  /** Of each inode, open files that are cached as the kernel sees it, but have a lease: their users have turned to direct I/O. Derived. */
  private readonly leasedCached = new Map<Ino, number>();

  constructor(
    private readonly fs: FileSystemOperations,
    private readonly shared: SharedState,
    /** How often each file is open through the page cache. */
    private readonly cached: References,
  ) {
    for (const [handle, ino] of fs.leases()) this.countLeased(handle, ino, 1);
  }

  /** Before the answer to OPEN or CREATE. `mayCache`: unless it is leased. */
  open(ino: Ino, mayCache: boolean): void {
    const cached = mayCache && !this.fs.isLeased(ino);
    this.handle = 2 * this.shared.nextHandle() + (cached ? 1 : 0);
    if (!cached) {
      this.flags = UNCACHED;
      return;
    }
    this.cached.add(ino);
    this.flags = this.fs.wasLeased(ino) ? 0 : OpenReply.KEEP_CACHE;
  }

  /** The kernel has taken it. */
  opened(ino: Ino): void {
    if (isCached(this.handle) && this.flags === 0) this.fs.forgetLeased(ino);
  }

  /** The last user has closed it. */
  release(handle: number, ino: Ino): void {
    if (isCached(handle)) this.cached.remove(ino, 1);
    if (this.fs.unlease(handle)) this.countLeased(handle, ino, -1);
  }

  /** The user of an open file maps it straight from the medium; he reads and writes past the page cache from now on. EBUSY while others cache the file. */
  lease(handle: number, ino: Ino, writable: boolean): void {
    if (handle === 0) throw new FsError('EINVAL', 'not an open file');
    const held = this.fs.hasLease(handle);
    const own = isCached(handle) && !held ? 1 : 0;
    if (this.cached.get(ino) - (this.leasedCached.get(ino) ?? 0) - own > 0) throw new FsError('EBUSY', 'the file is open through the page cache');
    this.fs.lease(ino, handle, writable);
    if (!held) this.countLeased(handle, ino, 1);
  }

  private countLeased(handle: number, ino: Ino, change: number): void {
    if (!isCached(handle)) return;
    const count = (this.leasedCached.get(ino) ?? 0) + change;
    if (count > 0) this.leasedCached.set(ino, count);
    else this.leasedCached.delete(ino);
  }
}

function isCached(handle: number): boolean {
  return handle % 2 === 1;
}
