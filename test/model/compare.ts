import type { Random } from '../../src/base/random.js';
import type { Ino } from '../../src/base/units.js';
import { SeekWhence } from '../../src/fs/types.js';
import type { MemoryVolume } from '../helpers/memory-volume.js';
import { sameMoment, type ModelInode, type Moment, type TimeName } from './inode.js';

/** The engine did what the model did not expect. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
}

export function mismatch(message: string): never {
  throw new Mismatch(message);
}

export function expectEqual(found: unknown, expected: unknown, what: string): void {
  if (!Object.is(found, expected)) mismatch(`${what}: expected ${show(expected)}, found ${show(found)}`);
}

function show(value: unknown): string {
  return typeof value === 'number' && value > 4095 ? `${String(value)} (0x${value.toString(16)})` : JSON.stringify(value);
}

/** How an inode is called in messages. */
export function describe(inode: ModelInode): string {
  return inode.id === 0 ? 'the root directory' : `the inode of operation ${String(inode.id)}`;
}

/** Compares inodes of a volume with those of the model. */
export class Comparison {
  constructor(
    private readonly volume: MemoryVolume,
    private readonly inoOf: (inode: ModelInode) => Ino,
  ) {}

  /** What stat(2) shows. `afterCrash`: times may be older ones that were not yet on the medium; the model takes them over. */
  attributes(inode: ModelInode, afterCrash = false): void {
    const found = this.volume.attributes(this.inoOf(inode));
    const who = describe(inode);
    expectEqual(found.ino, this.inoOf(inode), `st_ino of ${who}`);
    expectEqual(found.mode.toString(8), inode.mode.toString(8), `mode of ${who}`);
    expectEqual(found.nlink, inode.nlink, `links of ${who}`);
    expectEqual(found.uid, inode.uid, `uid of ${who}`);
    expectEqual(found.gid, inode.gid, `gid of ${who}`);
    expectEqual(found.size, inode.size, `size of ${who}`);
    expectEqual(`${String(found.rdevMajor)}:${String(found.rdevMinor)}`, `${String(inode.rdevMajor)}:${String(inode.rdevMinor)}`, `rdev of ${who}`);
    expectEqual(found.flags, 0, `flags of ${who}`);
    const times: [TimeName, Moment][] = [
      ['atime', { seconds: found.atimeSeconds, nanoseconds: found.atimeNanoseconds }],
      ['mtime', { seconds: found.mtimeSeconds, nanoseconds: found.mtimeNanoseconds }],
      ['ctime', { seconds: found.ctimeSeconds, nanoseconds: found.ctimeNanoseconds }],
    ];
    for (const [name, moment] of times) this.time(inode, name, moment, afterCrash);
    if (afterCrash) inode.settle();
    const birth = { seconds: found.btimeSeconds, nanoseconds: found.btimeNanoseconds };
    if (!sameMoment(birth, inode.btime)) mismatch(`btime of ${who}: expected ${text(inode.btime)}, found ${text(birth)}`);
    const blocks = found.blocks / 8;
    if (!Number.isInteger(blocks) || blocks < inode.contents.dataBlocks) {
      mismatch(`st_blocks of ${who}: ${String(found.blocks)}, with ${String(inode.contents.dataBlocks)} blocks of 4096 bytes of data`);
    }
  }

  /** Names and values of all extended attributes. */
  xattrs(inode: ModelInode): void {
    const ino = this.inoOf(inode);
    const expected = inode.xattrs.all;
    expectEqual(this.volume.listXattr(ino).join(' '), [...expected.keys()].sort().join(' '), `extended attributes of ${describe(inode)}`);
    for (const [name, value] of expected) {
      if (Buffer.compare(this.volume.getXattr(ino, name), value) !== 0) mismatch(`value of ${name} of ${describe(inode)}: not the ${String(value.length)} bytes that were set`);
    }
  }

  private time(inode: ModelInode, name: TimeName, found: Moment, afterCrash: boolean): void {
    if (sameMoment(found, inode[name])) return;
    if (afterCrash && inode.earlier[name].some((moment) => sameMoment(moment, found))) {
      inode[name] = found;
      return;
    }
    mismatch(`${name} of ${describe(inode)}: expected ${text(inode[name])}, found ${text(found)}`);
  }

  /** Names, numbers and types of a directory's entries; then again from some position in the middle. */
  directory(inode: ModelInode, chunk: number, random: Random): void {
    if (inode.nlink === 0) return;
    const who = describe(inode);
    const entries = this.volume.list(this.inoOf(inode), chunk);
    expectEqual(entries[0]?.name, '.', `first entry of ${who}`);
    expectEqual(entries[0]?.ino, this.inoOf(inode), `. of ${who}`);
    expectEqual(entries[1]?.name, '..', `second entry of ${who}`);
    expectEqual(entries[1]?.ino, this.inoOf(inode.parent as ModelInode), `.. of ${who}`);
    expectEqual(entries.length, inode.entries.size + 2, `number of entries of ${who}`);
    const seen = new Set<string>();
    for (const entry of entries.slice(2)) {
      const expected = inode.entries.get(entry.name);
      if (expected === undefined || seen.has(entry.name)) mismatch(`${who} shows ${JSON.stringify(entry.name)} ${expected === undefined ? 'which is not there' : 'twice'}`);
      seen.add(entry.name);
      expectEqual(entry.ino, this.inoOf(expected), `number of ${JSON.stringify(entry.name)} in ${who}`);
      expectEqual(entry.type, expected.mode >> 12, `type of ${JSON.stringify(entry.name)} in ${who}`);
    }
    const from = random.below(entries.length);
    const again = this.volume.readDirectory(this.inoOf(inode), entries[from]?.cookie ?? 0, 3);
    again.forEach((entry, i) => {
      expectEqual(entry.name, entries[from + 1 + i]?.name, `entry of ${who} after its entry ${String(from)}`);
    });
    expectEqual(again.length, Math.min(3, entries.length - from - 1), `entries of ${who} after its entry ${String(from)}`);
  }

  /** All data of a regular file, and some of its holes. */
  contents(inode: ModelInode, random: Random): void {
    const ino = this.inoOf(inode);
    let at = 0;
    while (at < inode.contents.size) {
      const start = this.seekData(inode, at);
      const gapEnd = start === -1 ? inode.contents.size : start;
      if (gapEnd > at) this.bytes(inode, at + random.below(gapEnd - at), 5000, random.below(3));
      if (start === -1) break;
      const end = this.seekHole(inode, start);
      if (end <= start) mismatch(`${describe(inode)}: the data at ${String(start)} ends at ${String(end)}`);
      for (let from = start; from < end; from += 1 << 18) this.bytes(inode, from, Math.min(1 << 18, end - from), random.below(3));
      at = end;
    }
    const size = inode.contents.size;
    const tail = Math.max(0, size - 100);
    this.bytes(inode, tail, 200, 2);
    expectEqual(this.volume.read(ino, size, 10).length, 0, `bytes read at the end of ${describe(inode)}`);
  }

  /** lseek(SEEK_DATA), checked; −1 for ENXIO. */
  seekData(inode: ModelInode, offset: number): number {
    const found = this.volume.seek(this.inoOf(inode), offset, SeekWhence.data);
    const wrong = inode.contents.wrongData(offset, found);
    if (wrong !== undefined) mismatch(`SEEK_DATA from ${String(offset)} in ${describe(inode)} of ${String(inode.size)} bytes gives ${String(found)}: ${wrong}`);
    return found;
  }

  /** lseek(SEEK_HOLE), checked; −1 for ENXIO. */
  seekHole(inode: ModelInode, offset: number): number {
    const found = this.volume.seek(this.inoOf(inode), offset, SeekWhence.hole);
    const wrong = inode.contents.wrongHole(offset, found);
    if (wrong !== undefined) mismatch(`SEEK_HOLE from ${String(offset)} in ${describe(inode)} of ${String(inode.size)} bytes gives ${String(found)}: ${wrong}`);
    return found;
  }

  /** Reads a part of a regular file and compares. */
  bytes(inode: ModelInode, offset: number, length: number, capacity: number): void {
    const found = this.volume.read(this.inoOf(inode), offset, length, capacity);
    const expected = inode.contents.read(offset, length);
    expectEqual(found.length, expected.length, `bytes read at ${String(offset)}, length ${String(length)}, of ${describe(inode)}`);
    if (Buffer.compare(found, expected) === 0) return;
    const first = expected.findIndex((byte, i) => byte !== found[i]);
    const wrong = expected.reduce((count, byte, i) => count + (byte === found[i] ? 0 : 1), 0);
    mismatch(
      `contents of ${describe(inode)} (size ${String(inode.size)}), ${String(length)} bytes at ${String(offset)}: ${String(wrong)} differ, ` +
        `the first at ${String(offset + first)}: expected ${String(expected[first])}, found ${String(found[first])}`,
    );
  }

  link(inode: ModelInode): void {
    const bytes = new Uint8Array(5000);
    const length = this.volume.fs.readlink(this.inoOf(inode), bytes, 7);
    expectEqual(Buffer.from(bytes.subarray(7, 7 + length)).toString('latin1'), inode.target, `target of ${describe(inode)}`);
  }

  /** Everything there is to know about an inode. */
  whole(inode: ModelInode, random: Random, afterCrash = false): void {
    this.attributes(inode, afterCrash);
    this.xattrs(inode);
    if (inode.isDirectory) this.directory(inode, random.pick([1, 7, 1000]), random);
    else if (inode.isRegular) this.contents(inode, random);
    else if (inode.isLink) this.link(inode);
  }
}

function text(moment: Moment): string {
  return `${String(moment.seconds)}.${String(moment.nanoseconds).padStart(9, '0')}`;
}
