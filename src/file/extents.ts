import { assert } from '../base/assert.js';
import { fail } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import { Extent, EXTENT_PAYLOAD_SIZE, ExtentFlag, TreeKind } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import { type Geometry, isDataRange } from '../format/superblock.js';
import type { Journal } from '../journal/journal.js';
import type { Allocator } from '../space/allocator.js';
import { TreeCursor } from '../tree/cursor.js';
import { Tree } from '../tree/tree.js';

/** Longest extent: it lies inside one group, so it never gets near this. */
const LENGTH_MAX = 0xffffffff;
/** Files end below 2^53 bytes. */
const FILE_BLOCKS_MAX = 2 ** 41;

/**
 * The extent map of a file: which blocks of the medium hold which blocks of the file.
 * Extents that touch in the file and on the medium and are in the same state are kept joined.
 *
 * After `lookup`, `first` or `next` the fields describe one extent, or the hole that was found.
 */
export class ExtentMap {
  readonly tree: Tree;
  private readonly cursor: TreeCursor;

  /** First file block of the extent (of the hole: the block that was asked for). */
  start = 0;
  /** One past its last file block; Infinity for a hole that nothing follows. */
  end = 0;
  /** First block on the medium, −1 for a hole. */
  block = -1;
  unwritten = false;

  constructor(
    private readonly journal: Journal,
    private readonly allocator: Allocator,
    /** Where data may be: an extent that leads elsewhere is damage. */
    private readonly geometry: Geometry,
  ) {
    this.tree = new Tree(journal, allocator, TreeKind.extents);
    this.cursor = new TreeCursor(this.tree);
  }

  /** Describes the extent that covers a file block, or the hole from that block on. True: an extent. */
  lookup(root: number, ino: Ino, fileBlock: number): boolean {
    const { cursor } = this;
    if (cursor.seekFloor(root, ino, fileBlock)) {
      this.decode(ino);
      if (fileBlock < this.end) return true;
      this.hole(fileBlock, cursor.next() ? cursor.key : Infinity);
      return false;
    }
    this.hole(fileBlock, cursor.seekFirst(root, ino) ? cursor.key : Infinity);
    return false;
  }

  /** Describes the first extent that ends after a file block. False: there is none. */
  seek(root: number, ino: Ino, fileBlock: number): boolean {
    if (this.lookup(root, ino, fileBlock)) return true;
    if (this.end === Infinity) return false;
    this.decode(ino);
    return true;
  }

  /** Describes the last extent of the file. False: it has none. */
  last(root: number, ino: Ino): boolean {
    if (!this.cursor.seekLast(root, ino)) return false;
    this.decode(ino);
    return true;
  }

  /** Adds an extent over a hole, joining it with its neighbours. At most one insert. */
  insert(root: number, ino: Ino, start: number, block: number, length: number, unwritten: boolean): void {
    const { cursor, tree } = this;
    let first = start;
    let firstBlock = block;
    let total = length;
    if (start > 0 && cursor.seekFloor(root, ino, start - 1)) {
      this.decode(ino);
      if (this.end > start) this.overlap(ino, start);
      if (this.joins(start, block, unwritten) && this.end - this.start + total <= LENGTH_MAX) {
        first = this.start;
        firstBlock = this.block;
        total += this.end - this.start;
      }
    }
    if (cursor.seekCeiling(root, ino, start)) {
      this.decode(ino);
      if (this.start < start + length) this.overlap(ino, this.start);
      const touches = this.start === start + length && this.block === block + length && this.unwritten === unwritten;
      if (touches && this.end - this.start + total <= LENGTH_MAX) {
        total += this.end - this.start;
        tree.remove(root, ino, this.start);
      }
    }
    const payload = first < start ? tree.edit(root, ino, first) : tree.insert(root, ino, start, EXTENT_PAYLOAD_SIZE);
    this.encode(payload, firstBlock, total, unwritten);
  }

  /**
   * Takes [from, to) out of the one extent that covers it and that the fields describe; its blocks are not freed.
   * At most one insert (the rest behind the gap).
   */
  cut(root: number, ino: Ino, from: number, to: number): void {
    const { tree, start, end, block, unwritten } = this;
    assert(block >= 0 && start <= from && from < to && to <= end, 'a cut lies inside the extent that was looked up');
    if (from > start) this.encode(tree.edit(root, ino, start), block, from - start, unwritten);
    else tree.remove(root, ino, start);
    if (to < end) {
      const payload = tree.insert(root, ino, to, EXTENT_PAYLOAD_SIZE);
      this.encode(payload, block + (to - start), end - to, unwritten);
    }
  }

  /** Changes the state of [from, to) inside the extent that the fields describe. At most two inserts. */
  convert(root: number, ino: Ino, from: number, to: number, unwritten: boolean): void {
    if (this.unwritten === unwritten) return;
    const block = this.block + (from - this.start);
    this.cut(root, ino, from, to);
    this.insert(root, ino, from, block, to - from, unwritten);
  }

  /** Upper bound of the nodes that `changes` of the calls above may allocate. */
  nodesFor(root: number, changes: number): number {
    return this.tree.nodesForInserts(root, changes * 2);
  }

  private joins(start: number, block: number, unwritten: boolean): boolean {
    return this.end === start && this.block + (this.end - this.start) === block && this.unwritten === unwritten;
  }

  private hole(start: number, end: number): void {
    this.start = start;
    this.end = end;
    this.block = -1;
    this.unwritten = false;
  }

  private decode(ino: Ino): void {
    const { view } = this.journal;
    const { cursor } = this;
    if (cursor.length !== EXTENT_PAYLOAD_SIZE) {
      fail('EIO', `inode ${String(ino)}: extent at file block ${String(cursor.key)} has ${String(cursor.length)} bytes, expected ${String(EXTENT_PAYLOAD_SIZE)}`);
    }
    const length = view.getUint32(cursor.payload + Extent.length, true);
    const block = getU64(view, cursor.payload + Extent.block);
    if (!isDataRange(this.geometry, block, length) || cursor.key + length > FILE_BLOCKS_MAX) {
      fail('EIO', `inode ${String(ino)}: extent at file block ${String(cursor.key)} leads to blocks ${String(block)} + ${String(length)}, where no data may be`);
    }
    this.start = cursor.key;
    this.end = cursor.key + length;
    this.block = block;
    this.unwritten = (view.getUint16(cursor.payload + Extent.flags, true) & ExtentFlag.unwritten) !== 0;
  }

  private overlap(ino: Ino, fileBlock: number): never {
    return fail('EIO', `inode ${String(ino)}: extents overlap at file block ${String(fileBlock)}; run fsck.nvmfs`);
  }

  private encode(payload: number, block: number, length: number, unwritten: boolean): void {
    const { view } = this.journal;
    setU64(view, payload + Extent.block, block);
    view.setUint32(payload + Extent.length, length, true);
    view.setUint16(payload + Extent.flags, unwritten ? ExtentFlag.unwritten : 0, true);
    view.setUint16(payload + Extent.region, 0, true);
  }

  /** Frees the blocks of a range on the medium. */
  free(block: number, count: number): void {
    this.allocator.free(block as Parameters<Allocator['free']>[0], count);
  }
}
