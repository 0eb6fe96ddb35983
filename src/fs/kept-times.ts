import { assert } from '../base/assert.js';
import type { Ino } from '../base/units.js';
import { Inode, INODES_PER_BLOCK } from '../format/layout.js';
import { TIMES_ENTRIES, TIMES_ENTRY_BYTES } from './segment.js';

const ENTRY = { tableBlock: 0, mask: 8, records: 16 } as const;
/** atime, mtime, ctime, btime of a record: seconds and nanoseconds lie together. */
const FIRST = Inode.atimeSeconds;
const BYTES = Inode.btimeNanoseconds + 4 - FIRST;

/**
 * The timestamps that are pending in the journal's cache (Journal, "pending timestamps"), once more in shared memory: so a server that takes over
 * shows the times that its predecessor had shown, although they are not on the medium yet.
 *
 * An entry stands for one block of the inode table, as in the journal; it is there exactly while the journal has it pending.
 */
export class KeptTimes {
  /** Table block → its entry. Derived. */
  private readonly entries = new Map<number, number>();
  private readonly free: number[] = [];

  /** `view`: TIMES_ENTRIES × TIMES_ENTRY_BYTES, zero or left by a former server. */
  constructor(private readonly view: DataView) {
    assert(view.byteLength === TIMES_ENTRIES * TIMES_ENTRY_BYTES, 'kept times have their room');
    for (let entry = TIMES_ENTRIES - 1; entry >= 0; entry -= 1) {
      const tableBlock = view.getFloat64(entry * TIMES_ENTRY_BYTES + ENTRY.tableBlock, true) - 1;
      if (tableBlock >= 0) this.entries.set(tableBlock, entry);
      else this.free.push(entry);
    }
  }

  /** The times in the record of an inode are pending now. */
  note(ino: Ino, view: DataView, record: number): void {
    const tableBlock = Math.floor(ino / INODES_PER_BLOCK);
    const entry = this.entries.get(tableBlock) ?? this.claim(tableBlock);
    const index = ino % INODES_PER_BLOCK;
    const at = entry * TIMES_ENTRY_BYTES;
    const target = at + ENTRY.records + index * BYTES;
    for (let i = 0; i < BYTES; i += 4) this.view.setUint32(target + i, view.getUint32(record + FIRST + i, true), true);
    this.view.setUint32(at + ENTRY.mask, this.view.getUint32(at + ENTRY.mask, true) | (1 << index), true);
  }

  /** The times of the block with this inode are on the medium now. */
  written(ino: Ino): void {
    const tableBlock = Math.floor(ino / INODES_PER_BLOCK);
    const entry = this.entries.get(tableBlock);
    if (entry === undefined) return;
    this.view.setFloat64(entry * TIMES_ENTRY_BYTES + ENTRY.tableBlock, 0, true);
    this.entries.delete(tableBlock);
    this.free.push(entry);
  }

  /** The inode is gone, and what is noted of it with it. */
  forget(ino: Ino): void {
    const entry = this.entries.get(Math.floor(ino / INODES_PER_BLOCK));
    if (entry === undefined) return;
    const at = entry * TIMES_ENTRY_BYTES + ENTRY.mask;
    const mask = this.view.getUint32(at, true) & ~(1 << (ino % INODES_PER_BLOCK));
    this.view.setUint32(at, mask, true);
    if (mask === 0) this.written(ino);
  }

  /** The inodes whose times a former server left. */
  *left(): Generator<Ino> {
    for (const [tableBlock, entry] of [...this.entries]) {
      const mask = this.view.getUint32(entry * TIMES_ENTRY_BYTES + ENTRY.mask, true);
      for (let index = 0; index < INODES_PER_BLOCK; index += 1) {
        if (((mask >> index) & 1) !== 0) yield (tableBlock * INODES_PER_BLOCK + index) as Ino;
      }
    }
  }

  /**
   * Sets the times of an editable record to those noted for the inode, each if it is later: a transaction that wrote the record just before
   * the end may not have been reported yet.
   */
  apply(ino: Ino, view: DataView, record: number): void {
    const entry = this.entries.get(Math.floor(ino / INODES_PER_BLOCK));
    if (entry === undefined) return;
    const noted = entry * TIMES_ENTRY_BYTES + ENTRY.records + (ino % INODES_PER_BLOCK) * BYTES - FIRST;
    for (const [seconds, nanoseconds] of FIELDS) {
      const order = compare(this.view, noted, view, record, seconds, nanoseconds);
      if (order <= 0) continue;
      for (const at of [seconds, seconds + 4, nanoseconds]) view.setUint32(record + at, this.view.getUint32(noted + at, true), true);
    }
  }

  private claim(tableBlock: number): number {
    const entry = this.free.pop();
    assert(entry !== undefined, 'pending times are written before there is no room for more');
    this.view.setUint32(entry * TIMES_ENTRY_BYTES + ENTRY.mask, 0, true);
    this.view.setFloat64(entry * TIMES_ENTRY_BYTES + ENTRY.tableBlock, tableBlock + 1, true);
    this.entries.set(tableBlock, entry);
    return entry;
  }
}

/** Offsets in a record of what changes lazily. */
const FIELDS = [
  [Inode.atimeSeconds, Inode.atimeNanoseconds],
  [Inode.mtimeSeconds, Inode.mtimeNanoseconds],
  [Inode.ctimeSeconds, Inode.ctimeNanoseconds],
] as const;

function compare(a: DataView, atA: number, b: DataView, atB: number, seconds: number, nanoseconds: number): number {
  const high = a.getInt32(atA + seconds + 4, true) - b.getInt32(atB + seconds + 4, true);
  const low = a.getUint32(atA + seconds, true) - b.getUint32(atB + seconds, true);
  return high || low || a.getUint32(atA + nanoseconds, true) - b.getUint32(atB + nanoseconds, true);
}
