import { FsError, fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { BLOCK_SIZE, FileType, Inode } from '../format/layout.js';
import type { FileContent } from '../file/content.js';
import { NO_REQUEST } from '../journal/log.js';
import type { Core } from '../space/core.js';
import { linksOf, sizeOf, typeOf } from './records.js';
import type { Leases } from './leases.js';
import type { References } from './references.js';
import type { RegionFiles } from './region-files.js';
import type { Xattrs } from './xattrs.js';

/** Transactions of freeing that a mount waits for. */
const ADOPT_STEPS = 256;

/**
 * Frees what nobody can reach any more: inodes without names and holds, and blocks that a truncate left past the end of its file.
 * All of it is on the orphan list of the medium first, so that a crash loses no space; it is freed in steps, each a
 * transaction, so that removing a terabyte blocks nobody.
 */
export class Reclaim {
  /** Inodes with work to do, in the order it came. */
  private readonly queue = new Set<Ino>();
  /** Inodes whose work could not be done, and why: they stay on the orphan list. */
  private readonly failed = new Map<Ino, string>();
  /**
   * Inodes whose freeing needs a block that the host of a sparse image has no space for. Each inode that can be freed has one of
   * them tried again: what it gave back may be enough.
   */
  private readonly postponed = new Set<Ino>();
  /** While the volume is read-only: what comes is queued, and waits on the orphan list. */
  paused = false;

  constructor(
    private readonly core: Core,
    private readonly content: FileContent,
    private readonly xattrs: Xattrs,
    private readonly references: References,
    private readonly leases: Leases,
    private readonly regions: RegionFiles,
    /** Told of inodes that can't be freed because they are damaged. */
    private readonly log: (message: string) => void,
  ) {}

  get pending(): boolean {
    return !this.paused && this.queue.size > 0;
  }

  /** The inode is on the orphan list, and nobody holds it or it is to be cut. The first step is done at once: small files are gone then. */
  add(ino: Ino): void {
    this.queue.add(ino);
    if (!this.paused) this.step(ino);
  }

  isQueued(ino: Ino): boolean {
    return this.queue.has(ino) || this.postponed.has(ino);
  }

  /** Work that this inode still has is done now: its file is about to grow. EIO or ENOSPC when it can't be: old bytes would show. */
  finish(ino: Ino): void {
    if (this.postponed.delete(ino)) this.queue.add(ino);
    while (!this.paused && this.queue.has(ino)) this.step(ino);
    const failure = this.failed.get(ino);
    if (failure !== undefined) fail('EIO', `inode ${String(ino)} has blocks past its end that can't be freed: ${failure}`);
    if (this.postponed.has(ino)) fail('ENOSPC', `inode ${String(ino)} has blocks past its end that can't be freed: the host has no space`);
  }

  /** Finishes everything; for when space is needed, and before the volume is closed. */
  finishAll(): void {
    this.retryPostponed();
    while (this.pending) this.stepOne();
  }

  /** One transaction of work; false when nothing is left. */
  stepOne(): boolean {
    for (const ino of this.queue) {
      this.step(ino);
      break;
    }
    return this.pending;
  }

  /** Queues what the host had no space for. It ends: only what is freed brings one of them back again. */
  retryPostponed(): void {
    for (const ino of this.postponed) this.queue.add(ino);
    this.postponed.clear();
  }

  /** Takes up the orphans that a crash or a former mount left; the first few are done at once, the others in the background. */
  adopt(): void {
    for (const ino of this.core.orphans.list()) if (!this.leases.isKeeper(ino)) this.queue.add(ino);
    for (let step = 0; step < ADOPT_STEPS && this.pending; step += 1) this.stepOne();
  }

  /**
   * Frees a bounded part of one inode; it leaves the queue when it is done. A damaged one stays on the orphan list for fsck: whoever
   * caused this step (removed a name, asked for space) can't do anything about it, so the error is logged, not thrown.
   */
  private step(ino: Ino): void {
    const { core } = this;
    core.journal.cache.beginOperation();
    core.orphans.prepare();
    try {
      this.leases.prepare(ino);
      core.journal.begin(NO_REQUEST);
      const done = this.work(ino);
      core.journal.commit();
      if (done) this.finished(ino);
    } catch (error) {
      if (core.journal.inTransaction) core.journal.abort();
      this.queue.delete(ino);
      if (!(error instanceof FsError)) throw error;
      if (error.code === 'ENOSPC') {
        this.postponed.add(ino);
        return;
      }
      this.failed.set(ino, error.message);
      this.log(`orphan inode ${String(ino)} can't be freed: ${error.message}`);
    }
  }

  private finished(ino: Ino): void {
    this.queue.delete(ino);
    for (const waiting of this.postponed) {
      this.postponed.delete(waiting);
      this.queue.add(waiting);
      break;
    }
  }

  private work(ino: Ino): boolean {
    const { core } = this;
    const { view } = core.journal;
    const record = core.inodes.edit(ino);
    // Without a name but in use: it stays on the list, only what lies past its end goes.
    const named = linksOf(view, record) > 0;
    const held = this.references.get(ino) > 0 || this.leases.isPinned(ino);
    // Extents of a region are what a move left.
    const from = (named || held) && !this.regions.isRegion(record) ? Math.ceil(sizeOf(view, record) / BLOCK_SIZE) : 0;
    if (!named && !held) this.regions.remove(ino, record);
    else this.regions.clearDraft(ino, record);
    const type = typeOf(view, record);
    const hasExtents = type === FileType.regular || (type === FileType.symlink && sizeOf(view, record) > INLINE_SYMLINK_MAX);
    if (hasExtents && !this.content.cut(record, ino, from)) return false;
    if (!named && held) return true;
    if (!named && !this.xattrs.removeSome(record)) return false;
    core.orphans.remove(ino);
    if (!named) core.inodes.free(ino);
    return true;
  }
}

/** Longest symbolic link that is kept in the inode record. */
export const INLINE_SYMLINK_MAX = 256 - Inode.body;
