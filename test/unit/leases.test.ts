// Guards promise 3 for mappings of the medium: a page that was handed out stays the file's through every crash, what a program persisted in it survives, nothing foreign shows in it, and
// no block of a mapped file goes to anybody else. SEED=n replays.
import t from 'tap';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType } from '../../src/format/layout.js';
import { AllocateMode, AttributeChange, Change, MappedExtents } from '../../src/fs/types.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { crashStates, openOn } from '../helpers/crash-states.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
t.setTimeout(600_000);
t.comment(`SEED=${String(SEED)}`);
const BLOCK = 4096;
const MIB = 1024 * 1024;
const root = asIno(1);
const HOLDER = 7;

class Kit {
  readonly volume: MemoryVolume;
  readonly extents = new MappedExtents(480);

  constructor(sizeBytes = 8 * MIB, record = false) {
    this.volume = new MemoryVolume({ sizeBytes, record });
  }

  file(name: string): Ino {
    const { volume } = this;
    const ino = volume.withName(name, (given) => volume.fs.makeNode(root, given, FileType.regular | 0o644, volume.owner(1, 1), 0, 0));
    volume.fs.hold(ino);
    return ino;
  }

  write(ino: Ino, offset: number, length: number, value: number): void {
    this.volume.fs.write(ino, offset, new Uint8Array(length).fill(value), 0, length);
  }

  truncate(ino: Ino, size: number): void {
    this.volume.fs.setAttributes(ino, Object.assign(new AttributeChange(), { mask: Change.size, size }));
    this.volume.settle();
  }

  unlink(name: string): void {
    this.volume.withName(name, (given) => {
      this.volume.fs.unlink(root, given);
    });
    this.volume.settle();
  }

  /** The written extents as [offset, address, length]. */
  map(ino: Ino, offset: number, length: number, fill = false): [number, number, number][] {
    const { extents } = this;
    this.volume.fs.mapRange(ino, offset, length, fill, extents);
    return Array.from({ length: extents.count }, (_, i) => [extents.offsets[i] as number, extents.addresses[i] as number, extents.lengths[i] as number]);
  }

  bytes(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.volume.pmem.load(asByteAddr(address), bytes, 0, length);
    return bytes;
  }

  /** What a program does through its mapping. */
  persist(address: number, value: number, length = BLOCK): void {
    const { pmem } = this.volume;
    pmem.store(asByteAddr(address), new Uint8Array(length).fill(value), 0, length);
    pmem.fence();
  }

  /** Fills all free space with a value, so that a block that was freed shows it. */
  fillVolume(value: number): void {
    const ino = this.file(`filler${String(value)}`);
    for (let offset = 0; ; offset += 16 * BLOCK) {
      try {
        this.write(ino, offset, 16 * BLOCK, value);
      } catch (error) {
        if (error instanceof FsError && error.code === 'ENOSPC') return;
        throw error;
      }
    }
  }

  freeBlocks(): number {
    return this.volume.statistics().freeBlocks;
  }
}

const isAll = (bytes: Uint8Array, value: number): boolean => bytes.every((byte) => byte === value);

/** What the verifier finds in the volume as it is now, after a crash that lost nothing. */
function verify(volume: MemoryVolume): string[] {
  const copy = volume.pmem.fork();
  openOn(copy);
  return verifyVolume(copy).findings.map((finding) => finding.message);
}

t.test('a hole is filled on demand, with zero bytes, and only what was asked for', (t) => {
  const kit = new Kit(64 * MIB);
  // What was freed before is full of garbage.
  const garbage = kit.file('garbage');
  kit.write(garbage, 0, 8 * MIB, 0xee);
  kit.unlink('garbage');
  kit.volume.fs.release(garbage, 1);
  kit.volume.settle();
  const ino = kit.file('file');
  kit.truncate(ino, 10 * MIB + 5);
  t.same(kit.map(ino, 0, 12 * MIB), [], 'nothing may be mapped of a hole');
  const filled = kit.map(ino, 2 * MIB, 2 * MIB, true);
  t.equal(filled.reduce((sum, [, , length]) => sum + length, 0), 2 * MIB, 'the range is there');
  t.equal((filled[0] as [number, number, number])[1] % (2 * MIB), 0, 'on a 2 MiB boundary of the medium');
  for (const [, address, length] of filled) t.ok(isAll(kit.bytes(address, length), 0), 'all zero');
  t.same(kit.map(ino, 0, 12 * MIB), filled, 'and nothing else');
  const last = kit.map(ino, 10 * MIB, 2 * MIB, true);
  t.equal(last.length, 1, 'the last block');
  t.equal((last[0] as [number, number, number])[2], BLOCK, 'and nothing past it');
  kit.persist((filled[0] as [number, number, number])[1], 9);
  t.ok(isAll(kit.volume.read(ino, 2 * MIB, BLOCK), 9), 'reads show what was stored');
  kit.write(ino, 2 * MIB, BLOCK, 4);
  t.ok(isAll(kit.bytes((filled[0] as [number, number, number])[1], BLOCK), 4), 'mappings show what was written');
  t.throws(() => kit.map(ino, 1, BLOCK, true), { code: 'EINVAL' });
  t.throws(() => kit.map(ino, 0, 4 * MIB, true), { code: 'EINVAL' });
  t.throws(() => kit.map(root, 0, BLOCK), { code: 'EISDIR' });
  t.same(verify(kit.volume), []);
  t.end();
});

t.test('unwritten blocks are holes to a program', (t) => {
  const kit = new Kit();
  const ino = kit.file('file');
  kit.volume.fs.allocate(ino, 0, 0, 8 * BLOCK);
  kit.write(ino, 2 * BLOCK, BLOCK, 1);
  const before = kit.map(ino, 0, 8 * BLOCK);
  t.equal(before.length, 1);
  t.equal(kit.map(ino, 0, 8 * BLOCK, true).reduce((sum, [, , length]) => sum + length, 0), 8 * BLOCK);
  t.ok(isAll(kit.volume.read(ino, 2 * BLOCK, BLOCK), 1), 'what was written stays');
  t.ok(isAll(kit.volume.read(ino, 3 * BLOCK, 5 * BLOCK), 0));
  t.same(verify(kit.volume), []);
  t.end();
});

t.test('blocks that leave a mapped file go to nobody until the last lease ends', (t) => {
  const kit = new Kit();
  const empty = kit.freeBlocks();
  const ino = kit.file('file');
  for (let piece = 0; piece < 100; piece += 1) kit.write(ino, 2 * piece * BLOCK, BLOCK, 1);
  kit.volume.fs.lease(ino, HOLDER, true);
  kit.volume.fs.lease(ino, HOLDER + 1, false);
  const pages = kit.map(ino, 0, 200 * BLOCK);
  t.equal(pages.length, 100);
  kit.truncate(ino, 10 * BLOCK + 1);
  t.equal(kit.volume.attributes(ino).size, 10 * BLOCK + 1);
  kit.fillVolume(0xee);
  for (const [, address] of pages) t.notOk(kit.bytes(address, BLOCK).includes(0xee), 'nobody else wrote there');
  t.same(verify(kit.volume), [], 'sound while it is mapped');
  const full = kit.freeBlocks();
  kit.volume.fs.unlease(HOLDER);
  t.ok(kit.volume.fs.isLeased(ino), 'one is left');
  kit.volume.settle();
  t.equal(kit.freeBlocks(), full, 'nothing is free yet');
  kit.volume.fs.unlease(HOLDER + 1);
  kit.volume.settle();
  t.notOk(kit.volume.fs.isLeased(ino));
  t.ok(kit.freeBlocks() >= full + 94, 'now they are');
  t.notOk(kit.volume.fs.unlease(HOLDER), 'a lease ends once');
  const filler = kit.volume.lookup(root, 'filler238') as Ino;
  kit.unlink('filler238');
  kit.volume.fs.release(filler, 1);
  kit.unlink('file');
  kit.volume.fs.release(ino, 1);
  kit.volume.settle();
  t.ok(empty - kit.freeBlocks() <= 1, 'no block is lost');
  t.same(verify(kit.volume), []);
  t.end();
});

t.test('an unlinked file that is mapped keeps its blocks', (t) => {
  const kit = new Kit();
  const ino = kit.file('file');
  kit.write(ino, 0, 20 * BLOCK, 1);
  kit.volume.fs.lease(ino, HOLDER, true);
  const pages = kit.map(ino, 0, 20 * BLOCK);
  kit.unlink('file');
  // Even if the transport should forget the inode before its open files.
  kit.volume.fs.release(ino, 1);
  kit.volume.settle();
  kit.fillVolume(0xee);
  for (const [, address, length] of pages) t.ok(isAll(kit.bytes(address, length), 1));
  const full = kit.freeBlocks();
  kit.volume.fs.unlease(HOLDER);
  kit.volume.settle();
  t.ok(kit.freeBlocks() >= full + 20);
  t.same(verify(kit.volume), []);
  t.end();
});

t.test('punched and zeroed ranges of a mapped file are zero bytes in place', (t) => {
  for (const mode of [AllocateMode.punchHole | AllocateMode.keepSize, AllocateMode.zeroRange]) {
    const kit = new Kit();
    const ino = kit.file('file');
    for (let piece = 0; piece < 40; piece += 1) kit.write(ino, 2 * piece * BLOCK, BLOCK, 1);
    kit.volume.fs.lease(ino, HOLDER, true);
    const pages = kit.map(ino, 0, 80 * BLOCK);
    kit.volume.fs.allocate(ino, mode, 100, 60 * BLOCK);
    t.same(kit.map(ino, 0, 80 * BLOCK).filter(([offset]) => pages.some(([known]) => known === offset)), pages, 'every page is where it was');
    for (const [offset, address] of pages) {
      const expected = offset === 0 ? [...new Uint8Array(100).fill(1), ...new Uint8Array(BLOCK - 100)] : undefined;
      const bytes = kit.bytes(address, BLOCK);
      if (expected !== undefined) t.same([...bytes], expected);
      else if (offset < 60 * BLOCK) t.ok(isAll(bytes, 0));
      else if (offset > 60 * BLOCK) t.ok(isAll(bytes, 1));
      t.same(kit.volume.read(ino, offset, BLOCK), bytes, 'reads show the same');
    }
    t.same(verify(kit.volume), []);
  }
  t.end();
});

t.test('what may not be leased', (t) => {
  const kit = new Kit();
  t.throws(() => {
    kit.volume.fs.lease(root, HOLDER, false);
  }, { code: 'EISDIR' });
  const ino = kit.file('file');
  kit.volume.fs.setReadOnly(true);
  t.throws(() => {
    kit.volume.fs.lease(ino, HOLDER, false);
  }, { code: 'EROFS' });
  t.end();
});

/** Runs `body` on a recorded medium, then `judge` on what a crash at every fence of it, may leave. */
function crashEverywhere(kit: Kit, body: () => void, judge: (left: SimulatedPmem, moment: number, name: string) => void): number {
  const { pmem } = kit.volume;
  const random = new Random(SEED);
  const first = pmem.log.length;
  body();
  const { certain, replay } = pmem.replay();
  let states = 0;
  for (let position = first; position <= pmem.log.length; position += 1) {
    if (position !== first && position !== pmem.log.length && pmem.log[position]?.kind !== 'fence') continue;
    replay.advance(position);
    for (const { name, chooser } of crashStates(replay.lines().length, 1, random)) {
      judge(pmem.crashImageOf(certain, replay, chooser).compact(), position, name);
      states += 1;
    }
  }
  return states;
}

t.test('every crash: a page that was handed out is the file\'s, and holds what was persisted', (t) => {
  const kit = new Kit(4 * MIB, true);
  const garbage = kit.file('garbage');
  kit.write(garbage, 0, MIB, 0xee);
  kit.unlink('garbage');
  kit.volume.fs.release(garbage, 1);
  kit.volume.settle();
  const ino = kit.file('file');
  kit.write(ino, 0, BLOCK, 1);
  kit.truncate(ino, 64 * BLOCK - 100);
  kit.volume.fs.lease(ino, HOLDER, true);
  /** [moment, file offset, value]: what must be there from that moment of the medium's log on. */
  const promised: [number, number, number][] = [];
  const { pmem } = kit.volume;
  const states = crashEverywhere(
    kit,
    () => {
      for (const [offset, count] of [[4, 1], [40, 8], [8, 16], [63, 1]] as const) {
        const pages = kit.map(ino, offset * BLOCK, count * BLOCK, true);
        for (const [at, address, length] of pages) {
          promised.push([pmem.log.length, at, -1]);
          kit.persist(address, offset, Math.min(length, 2 * BLOCK));
          for (let byte = 0; byte < Math.min(length, 2 * BLOCK); byte += BLOCK) promised.push([pmem.log.length, at + byte, offset]);
        }
        kit.write(ino, 30 * BLOCK, 100, 3);
      }
    },
    (left, moment, name) => {
      const volume = openOn(left);
      const where = `moment ${String(moment)}, ${name}, SEED=${String(SEED)}`;
      const found = volume.lookup(root, 'file');
      if (found === 0) throw new Error(`the file is gone: ${where}`);
      const { size } = volume.attributes(found);
      if (size !== 64 * BLOCK - 100) t.fail(`size ${String(size)}: ${where}`);
      const content = volume.read(found, 0, size);
      if (content.includes(0xee)) t.fail(`somebody else's bytes: ${where}`);
      const extents = new MappedExtents(480);
      volume.fs.mapRange(found, 0, 64 * BLOCK, false, extents);
      for (const [from, offset, value] of promised) {
        if (from > moment) continue;
        const mapped = Array.from({ length: extents.count }, (_, i) => i).some(
          (i) => offset >= (extents.offsets[i] as number) && offset < (extents.offsets[i] as number) + (extents.lengths[i] as number));
        if (!mapped) t.fail(`page ${String(offset / BLOCK)} is not the file's any more: ${where}`);
        if (value >= 0 && !isAll(content.subarray(offset, offset + BLOCK), value)) t.fail(`page ${String(offset / BLOCK)} lost what was persisted: ${where}`);
      }
      const { findings } = verifyVolume(left);
      if (findings.length > 0) t.fail(`${findings.map((finding) => finding.message).join('; ')}: ${where}`);
    },
  );
  t.ok(states > 30, `${String(states)} states`);
  t.end();
});

t.test('every crash while a mapped file is cut: the volume is sound, no space is lost', (t) => {
  const kit = new Kit(4 * MIB, true);
  const ino = kit.file('file');
  for (let piece = 0; piece < 40; piece += 1) kit.write(ino, 2 * piece * BLOCK, BLOCK, 1);
  kit.volume.fs.lease(ino, HOLDER, true);
  const before = kit.freeBlocks();
  const states = crashEverywhere(
    kit,
    () => {
      kit.truncate(ino, 5);
      kit.write(ino, 0, 10 * BLOCK, 2);
      kit.truncate(ino, 0);
      kit.volume.fs.unlease(HOLDER);
      kit.volume.settle();
    },
    (left, moment, name) => {
      const volume = openOn(left);
      volume.settle();
      const { findings } = verifyVolume(left);
      const where = `moment ${String(moment)}, ${name}, SEED=${String(SEED)}`;
      if (findings.length > 0) t.fail(`${findings.map((finding) => finding.message).join('; ')}: ${where}`);
      const found = volume.lookup(root, 'file');
      if (found === 0) throw new Error(`the file is gone: ${where}`);
      if (volume.attributes(found).size === 0 && volume.statistics().freeBlocks < before + 40) t.fail(`space is lost: ${where}`);
    },
  );
  t.ok(states > 30, `${String(states)} states`);
  t.end();
});
