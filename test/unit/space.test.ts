// Guards promises 6 and 7 in the allocator: what it derives in DRAM survives aborted transactions, thousands of full groups
// and damaged ones; and the orphan list never takes the volume with it.
import t from 'tap';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asBlockNo, asByteAddr, asIno, GIB, MIB, TIB } from '../../src/base/units.js';
import { ManualClock } from '../../src/base/clock.js';
import { makeVolume } from '../../mkfs/layout.js';
import { verifyVolume } from '../../src/check/verify.js';
import { BLOCK_SIZE, CHUNK_BLOCKS, GROUP_BLOCKS, Magic } from '../../src/format/layout.js';
import { AttributeChange, Caller, Change, Name, Ranges, Statistics } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { Core } from '../../src/space/core.js';
import { RunSearch } from '../../src/space/bitmap.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
const root = asIno(1);
const caller = new Caller();

function medium(bytes: number): { pmem: SimulatedPmem; core: Core } {
  const pmem = new SimulatedPmem(bytes);
  const geometry = makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  return { pmem, core: new Core(pmem, geometry, new ManualClock(), recoverJournal(pmem, geometry).position, 512) };
}

t.test('runs are found as by looking at each bit', (t) => {
  const random = new Random(SEED);
  const search = new RunSearch();
  for (let round = 0; round < 3000; round += 1) {
    const bytes = new Uint8Array(64);
    const density = random.pick([0.02, 0.1, 0.5, 0.9]);
    for (let bit = 0; bit < 256; bit += 1) if (random.chance(density)) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (1 << (bit & 7));
    for (let bit = 256; bit < 512; bit += 1) if (random.chance(density / 4)) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (1 << (bit & 7));
    const used = (bit: number): boolean => (((bytes[bit >> 3] as number) | (bytes[32 + (bit >> 3)] as number)) & (1 << (bit & 7))) !== 0;
    const from = random.below(200);
    const end = random.between(from, 256);
    const want = random.between(1, 60);
    const align = random.pick([1, 1, 8, 16]);
    let longest = 0;
    for (let start = Math.ceil(from / align) * align; start < end; start += align) {
      let length = 0;
      while (length < want && start + length < end && !used(start + length)) length += 1;
      longest = Math.max(longest, length);
    }
    search.find(new DataView(bytes.buffer), 0, 32, from, end, want, align);
    const right = search.length === longest && (longest === 0 || (search.start % align === 0 && search.start >= from));
    if (!right) t.fail(`from ${String(from)} to ${String(end)}, want ${String(want)}, align ${String(align)}`, { found: search.length, longest, seed: SEED });
  }
  t.pass('3000 bitmaps');
  t.end();
});

t.test('large requests start on 2 MiB, and nothing is given out twice', (t) => {
  const { core } = medium(300 * MIB);
  const { journal, allocator } = core;
  const taken = new Set<number>();
  for (let count = 0; count < 40; count += 1) {
    journal.begin();
    const node = allocator.allocateNode(0 as never);
    const block = allocator.allocate(0, 700, 512);
    t.equal(block % 512, 0);
    for (let index = 0; index < allocator.allocated; index += 1) taken.add(block + index);
    taken.add(node);
    journal.fresh(node, Magic.node, 9);
    journal.commit();
  }
  t.equal(taken.size, 40 * 701);
  t.end();
});

t.test('blocks freed in a transaction are not given out in the same one', (t) => {
  const { core } = medium(4 * MIB);
  const { journal, allocator, state } = core;
  journal.begin();
  const block = allocator.allocate(0, 100, 1);
  journal.commit();
  journal.begin();
  allocator.free(block, 100);
  const seen: number[] = [];
  while (state.freeBlocks > 100) {
    const next = allocator.allocate(block, 50, 1);
    for (let index = 0; index < allocator.allocated; index += 1) seen.push(next + index);
  }
  t.notOk(seen.some((taken) => taken >= block && taken < block + 100));
  journal.abort();
  t.end();
});

t.test('metadata is allocated after a transaction that began a group was aborted', (t) => {
  const { core } = medium(400 * MIB);
  const { journal, allocator, state } = core;
  // All of group 0 but nothing of the others.
  journal.begin();
  while (state.freeBlocks > 400 * 256 - 1536 - GROUP_BLOCKS && state.groupsInitialised === 1) {
    allocator.allocate(0, Math.min(GROUP_BLOCKS, core.groups.freeCount(0) === 0 ? 1 : core.groups.freeCount(0)), 1);
    if (core.groups.freeCount(0) === 0) break;
  }
  journal.commit();
  const before = state.groupsInitialised;
  journal.begin();
  allocator.allocateNode(0 as never);
  t.equal(state.groupsInitialised, before + 1, 'the transaction began a group');
  journal.abort();
  t.equal(state.groupsInitialised, before);
  journal.begin();
  t.doesNotThrow(() => { allocator.allocateNode(0 as never); });
  journal.abort();
  t.end();
});

t.test('thousands of full groups are passed in one operation', (t) => {
  const pmem = new SimulatedPmem(TIB);
  makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  const options = { cacheBytes: 2 * MIB, clock: new ManualClock() };
  const fs = openVolume(pmem, options);
  const ino = fs.makeNode(root, Name.from('large'), 0o100644, caller, 0, 0);
  fs.allocate(ino, 0, 0, 100 * GIB);
  // What alignment left at the beginning of each group.
  const rest = fs.makeNode(root, Name.from('rest'), 0o100644, caller, 0, 0);
  for (let index = 0; index < 900; index += 1) fs.allocate(rest, 0, index * 4 * MIB, 511 * BLOCK_SIZE);
  const again = openVolume(pmem, options);
  const small = again.makeNode(root, Name.from('small'), 0o100644, caller, 0, 0);
  // More than group 0 has left: the search goes through all that are full.
  t.doesNotThrow(() => { again.allocate(small, 0, 0, 200 * MIB); });
  t.end();
});

t.test('a damaged group is passed over', (t) => {
  const pmem = new SimulatedPmem(400 * MIB);
  makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  const fs = openVolume(pmem, {});
  const ino = fs.makeNode(root, Name.from('large'), 0o100644, caller, 0, 0);
  fs.allocate(ino, 0, 0, 130 * MIB);
  // What the last two records changed would be put right by recovery.
  for (const name of ['g', 'h', 'i']) fs.makeNode(root, Name.from(name), 0o100644, caller, 0, 0);
  const image = pmem.fork();
  image.zero(asByteAddr((1536 + GROUP_BLOCKS) * BLOCK_SIZE), BLOCK_SIZE);
  const messages: string[] = [];
  const damaged = openVolume(image, { log: (_, message) => messages.push(message) });
  const other = damaged.makeNode(root, Name.from('other'), 0o100644, caller, 0, 0);
  for (let offset = 0; offset < 20; offset += 1) t.doesNotThrow(() => { damaged.allocate(other, 0, offset * 10 * MIB, 10 * MIB); });
  t.equal(messages.filter((message) => message.includes('group 1')).length, 1, 'reported once');
  t.end();
});

t.test('a damaged orphan does not stop the volume', (t) => {
  const pmem = new SimulatedPmem(16 * MIB);
  makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  const fs = openVolume(pmem, {});
  const inos = Array.from({ length: 3 }, (_, index) => fs.makeNode(root, Name.from(`f${String(index)}`), 0o100644, caller, 0, 0));
  for (const [index, ino] of inos.entries()) {
    fs.hold(ino);
    fs.unlink(root, Name.from(`f${String(index)}`));
  }
  // What the last two records changed would be put right by recovery.
  for (const name of ['g', 'h', 'i']) fs.makeNode(root, Name.from(name), 0o100644, caller, 0, 0);
  const image = pmem.fork();
  // The one in the middle of the list; it lies in table block 0, the second block of group 0.
  image.store(asByteAddr(513 * BLOCK_SIZE + (inos[1] as number) * 256 + 40), Uint8Array.of(99), 0, 1);
  const messages: string[] = [];
  const damaged = openVolume(image, { log: (_, message) => messages.push(message) });
  t.ok(messages.some((message) => message.includes(`beyond inode ${String(inos[1])}`)), 'reported', { messages });
  const ino = damaged.makeNode(root, Name.from('new'), 0o100644, caller, 0, 0);
  damaged.write(ino, 0, new Uint8Array(100), 0, 100);
  damaged.unlink(root, Name.from('new'));
  t.equal(damaged.lookup(root, Name.from('new')), 0, 'files come and go');
  t.end();
});

t.test('a file whose cut could not be finished does not grow over old bytes', (t) => {
  const pmem = new SimulatedPmem(16 * MIB);
  const geometry = makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  const fs = openVolume(pmem, {});
  const ino = fs.makeNode(root, Name.from('f'), 0o100644, caller, 0, 0);
  const ranges = new Ranges(1);
  for (let index = 0; index < 40; index += 1) fs.write(ino, 2 * index * BLOCK_SIZE, new Uint8Array(BLOCK_SIZE).fill(7), 0, BLOCK_SIZE);
  fs.read(ino, 0, 1, ranges);
  fs.close();
  // The bitmap says that the file's first block is free already: a later step of the cut ends in EIO.
  const image = pmem.fork();
  const core = new Core(image, geometry, new ManualClock(), recoverJournal(image, geometry).position, 512);
  core.journal.begin();
  core.allocator.free(asBlockNo((ranges.addresses[0] as number) / BLOCK_SIZE), 1);
  core.journal.commit();
  t.notOk(verifyVolume(image).clean);
  const damaged = openVolume(image, {});
  damaged.setAttributes(ino, Object.assign(new AttributeChange(), { mask: Change.size, size: 0 }));
  while (damaged.backgroundStep());
  t.throws(() => damaged.write(ino, 10 * BLOCK_SIZE, new Uint8Array(1), 0, 1), { code: 'EIO' });
  t.end();
});

/** A host that has little left for a sparse image: 2 MiB at a time as long as it can, then no more than what is asked for. */
class NearlyFullHost extends SimulatedPmem {
  private readonly backedBlocks = new Set<number>();

  constructor(bytes: number, private readonly hostBlocks: number) {
    super(bytes);
  }

  override back(address: number, length: number): void {
    const first = Math.floor(address / BLOCK_SIZE);
    const end = Math.ceil((address + length) / BLOCK_SIZE);
    for (let block = first; block < end; block = (Math.floor(block / CHUNK_BLOCKS) + 1) * CHUNK_BLOCKS) {
      const chunk = Math.floor(block / CHUNK_BLOCKS) * CHUNK_BLOCKS;
      const backed = this.backRange(chunk, chunk + CHUNK_BLOCKS) || this.backRange(block, Math.min(end, chunk + CHUNK_BLOCKS));
      if (!backed) throw new FsError('ENOSPC', `no space on the host for the image at block ${String(block)}`);
    }
  }

  private backRange(from: number, to: number): boolean {
    const missing: number[] = [];
    for (let block = from; block < to; block += 1) if (!this.backedBlocks.has(block)) missing.push(block);
    if (this.backedBlocks.size + missing.length > this.hostBlocks) return false;
    for (const block of missing) this.backedBlocks.add(block);
    return true;
  }
}

t.test('removing files frees them although the host has no space left', (t) => {
  const pmem = new NearlyFullHost(64 * MIB, (9 * MIB) / BLOCK_SIZE);
  makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  const messages: string[] = [];
  const fs = openVolume(pmem, { log: (_level, message) => messages.push(message) });
  const [fresh, later] = [new Statistics(), new Statistics()];
  fs.statistics(fresh);
  const name = (index: number): Name => {
    const bytes = Buffer.from(`file ${String(index)}`);
    return new Name().set(bytes, 0, bytes.length);
  };
  // Data takes the host's space but for some blocks, names the rest, to the last block.
  const large = new Uint8Array(3 * MIB - 40 * BLOCK_SIZE).fill(7);
  fs.write(fs.makeNode(root, name(-1), 0o100644, caller, 0, 0), 0, large, 0, large.length);
  let made = 0;
  try {
    for (; ; made += 1) fs.makeNode(root, name(made), 0o100644, caller, 0, 0);
  } catch (error) {
    t.match(error, { code: 'ENOSPC' }, 'the host is full after some files');
  }
  t.ok(made > 100, 'and there were many', { made });
  // Every other first: the free inodes lie scattered then.
  for (const parity of [0, 1]) for (let index = parity; index < made; index += 2) fs.unlink(root, name(index));
  fs.unlink(root, name(-1));
  fs.statistics(later);
  t.same(later, fresh, 'everything is free again');
  t.same(messages, [], 'and nothing went wrong');
  fs.close();
  t.end();
});
