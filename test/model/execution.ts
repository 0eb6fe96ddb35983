import { Errno, errnoName, FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import { OverlayPmem } from '../../src/pmem/overlay.js';
import { Attributes } from '../../src/fs/types.js';
import type { Ending, MemoryVolume } from '../helpers/memory-volume.js';
import { Comparison, describe, expectEqual, mismatch } from './compare.js';
import type { ModelInode } from './inode.js';
import { Model, type Commit } from './model.js';
import type { DirectoryStream } from './streams.js';

/** Blocks that an operation may need besides those of its data: an inode block, tree nodes, at worst for extents of one block each. */
const OVERHEAD_BLOCKS = 40;
const DATA_BLOCKS_PER_NODE = 16;

/** What came of an operation. */
export type Outcome = 'done' | 'failed' | 'no space' | 'skipped';

/** A volume and a model side by side, and how an operation is done on both. */
export class Execution {
  readonly model: Model;
  private readonly inos = new Map<ModelInode, Ino>();
  protected readonly inodeByIno = new Map<Ino, ModelInode>();
  private readonly generations = new Map<Ino, number>();
  protected readonly streams = new Map<number, DirectoryStream>();
  protected readonly comparison: Comparison;
  private readonly fresh: string;
  /** For choices of the checks; not for operations, which must not depend on what came before. */
  protected random = new Random(0);

  constructor(readonly volume: MemoryVolume) {
    const root = volume.attributes(asIno(1));
    this.model = new Model(this.now(), root);
    this.model.root.touch({ seconds: root.mtimeSeconds, nanoseconds: root.mtimeNanoseconds }, 'atime', 'mtime', 'ctime');
    Object.assign(this.model.root, { btime: { seconds: root.btimeSeconds, nanoseconds: root.btimeNanoseconds } });
    this.bind(this.model.root, asIno(1));
    this.comparison = new Comparison(volume, (inode) => this.inoOf(inode));
    this.comparison.whole(this.model.root, this.random);
    this.fresh = this.space();
  }

  /** Removes everything and checks that the volume is as it was when fresh. */
  finish(): void {
    // The last operation may have been a wait.
    this.model.now = this.now();
    this.compareAll();
    for (const inode of [...this.model.inodes.values()]) {
      if (inode.holds === 0) continue;
      const count = inode.holds;
      this.volume.fs.release(this.inoOf(inode), count);
      this.changed(inode, () => {
        this.model.release(inode, count);
      });
    }
    this.empty(this.model.root);
    for (const name of this.model.root.xattrs.all.keys()) {
      this.volume.removeXattr(this.inoOf(this.model.root), name);
      this.model.removeXattr(this.model.root, name)();
    }
    this.volume.settle();
    expectEqual(this.space(), this.fresh, 'space after everything was removed, against that of the fresh volume');
    this.compareAll();
    this.remount('close', true);
    this.volume.settle();
    expectEqual(this.space(), this.fresh, 'space after everything was removed and a remount, against that of the fresh volume');
  }

  private empty(directory: ModelInode): void {
    const removals: [ModelInode, string][] = [];
    const collect = (from: ModelInode): void => {
      for (const [name, inode] of from.entries) {
        if (inode.isDirectory) collect(inode);
        removals.push([from, name]);
      }
    };
    collect(directory);
    for (const [parent, name] of removals) {
      const inode = parent.entries.get(name) as ModelInode;
      this.volume.withName(name, (given) => {
        if (inode.isDirectory) this.volume.fs.rmdir(this.inoOf(parent), given);
        else this.volume.fs.unlink(this.inoOf(parent), given);
      });
      this.changed(inode, inode.isDirectory ? this.model.rmdir(parent, name) : this.model.unlink(parent, name));
    }
  }

  protected now(): { seconds: number; nanoseconds: number } {
    return { seconds: this.volume.clock.seconds, nanoseconds: this.volume.clock.nanoseconds };
  }

  private space(): string {
    const { blocks, freeBlocks, availableBlocks, files, freeFiles } = this.volume.statistics();
    return JSON.stringify({ blocks, freeBlocks, availableBlocks, files, freeFiles });
  }

  protected inoOf(inode: ModelInode): Ino {
    return this.inos.get(inode) ?? mismatch(`${describe(inode)} has no number`);
  }

  /** The engine made an inode. */
  protected bind(inode: ModelInode, ino: Ino): void {
    if (!Number.isSafeInteger(ino) || ino < 1) mismatch(`a new inode has the number ${String(ino)}`);
    const other = this.inodeByIno.get(ino);
    if (other !== undefined) mismatch(`a new inode has the number ${String(ino)} of ${describe(other)}`);
    const { generation } = this.volume.attributes(ino);
    if (this.generations.get(ino) === generation) mismatch(`inode ${String(ino)} was used again with the same generation ${String(generation)}`);
    this.generations.set(ino, generation);
    this.inos.set(inode, ino);
    this.inodeByIno.set(ino, inode);
  }

  /** Commits a change to the model after which `inode` may be gone, and checks that it is. */
  protected changed<T>(inode: ModelInode | undefined, commit: Commit<T>): T {
    const result = commit();
    if (inode !== undefined && !this.model.inodes.has(inode.id) && this.inos.has(inode)) {
      const ino = this.inoOf(inode);
      this.inos.delete(inode);
      this.inodeByIno.delete(ino);
      this.expectGone(ino);
    }
    return result;
  }

  protected expectGone(ino: Ino): void {
    const found = this.attempt(() => {
      this.volume.fs.getAttributes(ino, new Attributes());
    });
    if (found.errno !== Errno.ENOENT && found.errno !== Errno.ESTALE) {
      mismatch(`getAttributes of the removed inode ${String(ino)}: expected ENOENT or ESTALE, found ${errnoName(found.errno)}`);
    }
  }

  protected attempt<T>(action: () => T): { errno: number; value: T | undefined } {
    try {
      return { errno: 0, value: action() };
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return { errno: error.errno, value: undefined };
    }
  }

  /**
   * Checks an operation with the model, does it on the volume, and commits it to the model if both agree. `blocks`: blocks of data it may
   * need, −1 if it never fails for lack of space. `touched`: inodes whose attributes it may change.
   */
  protected both<T, R>(
    prepare: () => (value: R) => T,
    engine: () => R,
    blocks: number,
    touched: readonly ModelInode[],
    afterwards?: (result: T, value: R) => void,
  ): Outcome {
    const available = blocks >= 0 ? this.volume.statistics().availableBlocks : 0;
    const expected = this.attempt(prepare);
    const found = this.attempt(engine);
    if (found.errno === Errno.ENOSPC && expected.errno === 0) {
      if (blocks < 0) mismatch('ENOSPC for an operation that needs no space');
      if (mostBlocks(blocks) <= available) mismatch(`ENOSPC with ${String(available)} blocks available, needing about ${String(blocks)}`);
      this.compareTouched(touched);
      return 'no space';
    }
    if (found.errno !== expected.errno) mismatch(`expected ${resultName(expected.errno)}, found ${resultName(found.errno)}`);
    if (expected.value === undefined) {
      this.compareTouched(touched);
      return 'failed';
    }
    const commit = expected.value;
    const result = commit(found.value as R);
    for (const inode of touched) {
      this.changed(inode, () => undefined);
    }
    afterwards?.(result, found.value as R);
    this.compareTouched(touched);
    return 'done';
  }

  /** Whether an operation that needs so many blocks of data can't fail for lack of space. */
  protected hasSpaceFor(blocks: number): boolean {
    return mostBlocks(blocks) <= this.volume.statistics().availableBlocks;
  }

  protected compareTouched(touched: readonly ModelInode[]): void {
    for (const inode of touched) {
      if (this.inos.has(inode)) this.comparison.attributes(inode);
    }
  }

  protected get(reference: number): ModelInode | undefined {
    return this.model.inodes.get(reference);
  }

  protected noteName(parent: ModelInode, name: string): void {
    for (const stream of this.streams.values()) {
      if (stream.directory === parent) stream.nameChanged(name);
    }
  }

  protected compareAll(afterCrash = false): void {
    for (const inode of this.model.inodes.values()) this.comparison.whole(inode, this.random, afterCrash);
    const { blockSize, blocks, freeBlocks, availableBlocks, nameMax } = this.volume.statistics();
    expectEqual(blockSize, 4096, 'block size');
    expectEqual(nameMax, 255, 'greatest length of a name');
    if (!(availableBlocks >= 0 && availableBlocks <= freeBlocks && freeBlocks <= blocks)) {
      mismatch(`statistics: ${String(availableBlocks)} available of ${String(freeBlocks)} free of ${String(blocks)} blocks`);
    }
  }

  protected remount(how: Ending, verify: boolean): void {
    // Directories may be read on after a remount: positions stay valid.
    for (const [id, stream] of this.streams) if (stream.directory.nlink === 0) this.streams.delete(id);
    this.volume.leave(how, this.random);
    if (verify) this.verify();
    this.volume.reopen();
    const before = [...this.model.inodes.values()];
    this.model.remount();
    if (how === 'close') for (const inode of this.model.inodes.values()) inode.settle();
    for (const inode of before) this.changed(inode, () => undefined);
    this.compareAll(how !== 'close');
  }

  /** The complete check of the medium as it was left, its journal replayed. */
  private verify(): void {
    const medium = new OverlayPmem(this.volume.pmem);
    recoverJournal(medium, readSuperblock(medium).geometry);
    const report = verifyVolume(medium, { maxFindings: 10 });
    if (report.findings.length > 0) {
      mismatch(`the verifier found: ${report.findings.map((finding) => finding.message).join('; ')}`);
    }
  }
}

/** Blocks that an operation may need in all; `blocks`: of data. */
function mostBlocks(blocks: number): number {
  return blocks + OVERHEAD_BLOCKS + blocks / DATA_BLOCKS_PER_NODE;
}

function resultName(errno: number): string {
  return errno === 0 ? 'success' : errnoName(errno);
}
