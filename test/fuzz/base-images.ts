/** Healthy volumes of several kinds, to be damaged. Each is built once; the images that are damaged are copies on write of it. */
import { Random } from '../../src/base/random.js';
import { asIno, MIB, type Ino } from '../../src/base/units.js';
import { TreeKind } from '../../src/format/layout.js';
import { FsError } from '../../src/base/errno.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { AttributeChange, Change } from '../../src/fs/types.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { acl } from '../helpers/acl.js';
import { extentItem, HandmadeVolume, type Item } from '../helpers/handmade.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { sampleVolume } from '../helpers/sample-volume.js';
import { type Anatomy, dissect } from './anatomy.js';
import { type Contents, contentsOf } from './contents.js';

export interface BaseImage {
  name: string;
  medium: SimulatedPmem;
  /** Of the volume once its journal is replayed. */
  anatomy: Anatomy;
  contents: Contents;
}

const root = asIno(1);

class Builder {
  readonly volume: MemoryVolume;
  private readonly random = new Random(4711);

  constructor(sizeBytes: number, record = false) {
    this.volume = new MemoryVolume({ sizeBytes, record });
  }

  node(parent: Ino, name: string, mode: number): Ino {
    return this.volume.withName(name, (given) => this.volume.fs.makeNode(parent, given, mode, this.volume.owner(1000, 100), 8, 1));
  }

  directory(parent: Ino, name: string): Ino {
    return this.node(parent, name, 0o040755);
  }

  file(parent: Ino, name: string, bytes: number): Ino {
    const ino = this.node(parent, name, 0o100644);
    if (bytes > 0) this.write(ino, 0, bytes);
    return ino;
  }

  write(ino: Ino, offset: number, bytes: number): void {
    const data = new Uint8Array(bytes);
    this.random.bytes(data);
    this.volume.fs.write(ino, offset, data, 0, bytes);
  }

  symlink(parent: Ino, name: string, length: number): Ino {
    return this.volume.withNames(name, 'target/'.repeat(700).slice(0, length), (given, target) => this.volume.fs.symlink(parent, given, target, this.volume.owner(0, 0)));
  }

  truncate(ino: Ino, size: number): void {
    const change = new AttributeChange();
    change.mask = Change.size;
    change.size = size;
    this.volume.fs.setAttributes(ino, change);
  }

  /** Extended attributes of all sorts; `many` of them on one file, so that their tree has nodes. */
  attributes(parent: Ino, many: number): void {
    const { volume } = this;
    const open = this.directory(parent, 'open');
    volume.setXattr(open, 'system.posix_acl_default', acl(['userObject', 0, 7], ['user', 12, 6], ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 1]));
    this.directory(open, 'inherits');
    this.file(open, 'inherits, too', 3000);
    const crowd = Array.from({ length: 60 }, (_, i) => ['user', i, i % 8] as const);
    const shared = this.file(parent, 'with a long ACL', 10);
    volume.setXattr(shared, 'system.posix_acl_access', acl(['userObject', 0, 6], ...crowd, ['groupObject', 0, 4], ['mask', 0, 4], ['other', 0, 0]));
    const values = this.file(parent, 'with values', 5000);
    for (const [name, length] of [['short', 5], ['empty', 0], ['block', 4032], ['long', 9000], ['longest', 65_536]] as const) {
      const value = new Uint8Array(length);
      this.random.bytes(value);
      volume.setXattr(values, `user.${name}`, value);
    }
    volume.setXattr(values, 'security.capability', Buffer.from('cap'));
    volume.setXattr(this.symlink(parent, 'with a name', 20), 'trusted.t', Buffer.from('v'));
    const crowded = this.file(parent, 'with many', 1);
    for (let i = 0; i < many; i += 1) volume.setXattr(crowded, `user.${String(i)}`, Buffer.alloc(50 + ((i * 37) % 200), i));
  }

  /** A bit of everything. */
  variety(parent: Ino, names: number, extents: number): void {
    this.attributes(parent, names);
    let deep = parent;
    for (let depth = 0; depth < 6; depth += 1) {
      deep = this.directory(deep, 'deep');
      this.file(deep, 'file 3', 100 + depth * 3000);
    }
    const many = this.directory(parent, 'many');
    for (let i = 0; i < names; i += 1) this.file(many, `name ${String(i)}${'.'.repeat(i % 90)}`, i % 10 === 0 ? i * 7 : 0);
    const scattered = this.node(parent, 'scattered', 0o100644);
    for (let i = 0; i < extents; i += 1) this.write(scattered, i * 8192, 4096);
    const holes = this.file(parent, 'holes', 10_000);
    this.volume.fs.allocate(holes, 1, 20_000, 50_000);
    this.truncate(holes, 123_457);
    this.volume.fs.allocate(holes, 3, 4096, 4096);
    for (const length of [5, 128, 129, 4095]) this.symlink(parent, `long ${String(length)}`, length);
    this.node(parent, 'fifo', 0o010600);
    this.node(parent, 'device', 0o060600);
    this.volume.withName('another name', (given) => {
      this.volume.fs.link(holes, many, given);
    });
  }

  /** Two files without a name, still held, and one that is being cut. */
  orphans(): void {
    const { fs } = this.volume;
    for (const name of ['gone 1', 'gone 2']) {
      const ino = this.file(root, name, 50_000);
      fs.hold(ino);
      this.volume.withName(name, (given) => {
        fs.unlink(root, given);
      });
    }
  }
}

function varied(): SimulatedPmem {
  const builder = new Builder(16 * MIB);
  builder.variety(root, 120, 200);
  builder.volume.leave('close', new Random(1));
  return builder.volume.pmem;
}

/** Left as a crash leaves it: a record to be replayed, orphans. */
function dirty(): SimulatedPmem {
  const builder = new Builder(12 * MIB, true);
  builder.variety(root, 30, 40);
  builder.orphans();
  builder.directory(root, 'the last');
  builder.volume.leave('nothing', new Random(2));
  return builder.volume.pmem;
}

/** Left in the middle of a fallocate of several transactions. */
function interrupted(): SimulatedPmem {
  const builder = new Builder(12 * MIB, true);
  builder.variety(root, 20, 10);
  const ino = builder.node(root, 'ranged', 0o100644);
  for (let i = 0; i < 60; i += 1) builder.write(ino, i * 8192, 4096);
  const { pmem } = builder.volume;
  const before = pmem.log.length;
  builder.volume.fs.allocate(ino, 0x10, 100, 60 * 8192 - 300);
  const middle = Math.floor((before + pmem.log.length) / 2);
  const left = pmem.crashImage(middle, (line) => line.atoms.length).compact();
  return left;
}

/** Nearly full, in pieces, with many inodes. */
function full(): SimulatedPmem {
  const builder = new Builder(4 * MIB);
  const files: string[] = [];
  try {
    for (let i = 0; ; i += 1) {
      builder.file(root, `file ${String(i)}`, 3 * 4096);
      files.push(`file ${String(i)}`);
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
  }
  for (const name of files.filter((_, i) => i % 3 === 0)) {
    builder.volume.withName(name, (given) => {
      builder.volume.fs.unlink(root, given);
    });
  }
  const last = builder.node(root, 'in pieces', 0o100644);
  try {
    for (let i = 0; i < 100; i += 1) builder.write(last, i * 20_000, 15_000);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
  }
  builder.volume.leave('close', new Random(3));
  return builder.volume.pmem;
}

/** Trees of many levels with few items per node, and a table of inodes that needs nodes itself. */
function deep(): SimulatedPmem {
  const volume = new HandmadeVolume(40 * MIB, 1);
  const tables = [2, 5, 6, 9, 11];
  for (const table of tables) volume.mapTable(table);
  const extents: Item[] = [];
  for (let i = 0; i < 90; i += 1) {
    const length = 1 + (i % 3);
    extents.push(extentItem({ key: 5 * i, block: volume.allocate(length), length, unwritten: i % 7 === 6 }));
    volume.skip(1);
  }
  const blocks = extents.reduce((sum, _, i) => sum + 1 + (i % 3), 0);
  const file = volume.tree(TreeKind.extents, 2, extents, 3, 1);
  volume.setInode(2, { mode: 0o100644, size: 5 * 90 * 4096, blocks: blocks + file.nodes, body: file.root });
  const names: Item[] = [];
  for (const table of tables) for (let i = 0; i < 10; i += 1) {
    volume.setInode(table * 16 + i, { mode: 0o100644, nlink: 1 });
    names.push(volume.dentry(`name ${String(names.length)}`, table * 16 + i, 8));
  }
  const many = volume.tree(TreeKind.directory, 3, names, 3, 1);
  volume.setInode(3, { mode: 0o040755, nlink: 2, size: names.length, blocks: many.nodes, parent: 1, body: many.root });
  const entries = [volume.dentry('deep', 2, 8), volume.dentry('many', 3, 4)];
  const top = volume.tree(TreeKind.directory, 1, entries, 3, 4);
  volume.setInode(1, { mode: 0o040755, nlink: 3, size: 2, parent: 1, body: top.root });
  volume.finish();
  return volume.pmem.compact();
}

const recipes: Record<string, () => SimulatedPmem> = { varied, dirty, interrupted, full, deep, sample: () => sampleVolume(2).volume.pmem.compact() };

/** Builds them all; a second or so. */
export function baseImages(): BaseImage[] {
  return Object.entries(recipes).map(([name, make]) => {
    const medium = make();
    const recovered = medium.fork();
    recoverJournal(recovered, readSuperblock(recovered).geometry);
    return { name, medium, anatomy: dissect(recovered), contents: contentsOf(medium.fork()) };
  });
}
