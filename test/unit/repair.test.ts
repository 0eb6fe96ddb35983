// Guards repair: whatever is damaged, after one repair the verifier finds nothing and a second repair changes nothing, files that were
// not damaged are what they were, and a repair that is cut off at any moment can be run again.
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno } from '../../src/base/units.js';
import { BLOCK_SIZE, Dentry, GroupHeader, Inode, KEY_SIZE, STATE_BLOCK, Superblock, TREE_NODE_AREA, TreeRoot } from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import { Name } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import { verifyVolume } from '../../src/check/verify.js';
import { repairVolume } from '../../src/repair/repair.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { DAMAGES, item, structureBlocks } from '../helpers/damages.js';
import { seed, thorough } from '../helpers/run.js';
import { Sample, sampleVolume } from '../helpers/sample-volume.js';
import { differences, knownVolume, type Wound, wound } from '../helpers/wounded-volume.js';

t.setTimeout(600_000);

const repair = (pmem: SimulatedPmem): ReturnType<typeof repairVolume> => repairVolume(pmem, { clock: new ManualClock(1_700_000_000) });

t.test('a sound volume is left alone', (t) => {
  for (const groups of [1, 2, 3]) {
    const { pmem } = sampleVolume(groups).volume;
    const before = pmem.counts.stores;
    const result = repair(pmem);
    t.match(result, { found: 0, left: 0 });
    t.equal(pmem.counts.stores, before, 'nothing was written');
  }
  t.end();
});

t.test('every damage is mended', (t) => {
  for (const damage of DAMAGES) {
    const sample = sampleVolume();
    damage.do(sample, sample.volume);
    const { pmem } = sample.volume;
    if (damage.newer === true) {
      t.throws(() => repair(pmem), { code: 'EOPNOTSUPP' }, `${damage.name}: refused, for a program that knows it`);
      continue;
    }
    const result = repair(pmem);
    if (result.found === 0) t.fail(`${damage.name}: the repair finds nothing`);
    const report = verifyVolume(pmem);
    if (!report.clean || result.left > 0) t.fail(`${damage.name}: ${JSON.stringify(report.findings.slice(0, 5).map(({ kind, message }) => `${kind}: ${message}`), null, 1)}`);
    const again = repair(pmem);
    if (again.found > 0) t.fail(`${damage.name}: the second repair finds ${[...again.countByKind.keys()].join(', ')}`);
  }
  t.end();
});

/** What is not clean after a repair, '' when nothing is. */
function unclean(pmem: SimulatedPmem): string {
  const report = verifyVolume(pmem);
  return report.clean ? '' : report.findings.slice(0, 3).map(({ kind, message }) => `${kind}: ${message}`).join('; ');
}

t.test('a wrong checksum of any block is mended', (t) => {
  for (const index of structureBlocks(sampleVolume()).keys()) {
    const sample = sampleVolume();
    const { volume } = sample;
    const block = structureBlocks(sample)[index] as number;
    const bytes = volume.read(block);
    bytes[4000] = (bytes[4000] as number) ^ 0x40;
    volume.write(block, bytes, false);
    t.ok(repair(volume.pmem).found > 0, `block ${String(block)}`);
    t.equal(unclean(volume.pmem), '');
    t.equal(repair(volume.pmem).found, 0);
  }
  t.end();
});

t.test('what the medium cannot deliver is dropped, where it is not at a fixed place', (t) => {
  for (const which of ['directoryRoot', 'directoryLeaf', 'extentLeaf', 'longLinkBlock'] as const) {
    const sample = sampleVolume();
    const { pmem } = sample.volume;
    pmem.poison(asByteAddr(sample[which] * BLOCK_SIZE + 100), 1);
    t.ok(repair(pmem).found > 0, which);
    t.equal(unclean(pmem), '');
  }
  const { volume } = sampleVolume();
  volume.pmem.poison(asByteAddr(volume.inodeAt(1).block * BLOCK_SIZE), 1);
  t.ok(repair(volume.pmem).found > 0, 'the first block of inodes');
  t.equal(unclean(volume.pmem), '', 'a new one has taken its place');
  t.end();
});

t.test('without a superblock there is nothing to go by; of two that differ the one counts that fits', (t) => {
  const { volume } = sampleVolume();
  const backup = volume.totalBlocks - 1;
  for (const field of ['uuid', 'totalBlocks', 'journalStart', 'groupStart', 'hashSeed', 'incompat', 'version'] as const) {
    for (const block of [0, backup]) {
      const pmem = volume.pmem.fork();
      const bytes = volume.read(block);
      bytes[Superblock[field]] = (bytes[Superblock[field]] as number) ^ 1;
      new DataView(bytes.buffer).setUint32(0, pmem.crc32c(0, bytes, 4, BLOCK_SIZE - 4), true);
      pmem.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
      repair(pmem);
      t.equal(unclean(pmem), '', `${field} of block ${String(block)}`);
      t.match(verifyVolume(pmem).statistics, { inodes: 15, entries: 513 }, 'nothing was lost');
    }
  }
  for (const block of [0, backup]) volume.write(block, new Uint8Array(BLOCK_SIZE), false);
  t.throws(() => repair(volume.pmem), /both superblocks are damaged/);
  t.end();
});

t.test('the inode table is found without the volume state, although a bitmap says that nothing is in use', (t) => {
  // Not even the block of the header itself, so it can't be believed; or that alone.
  for (const bits of [0, 1]) {
    const { volume } = sampleVolume();
    const state = volume.read(STATE_BLOCK);
    state[4000] = (state[4000] as number) ^ 1;
    volume.write(STATE_BLOCK, state, false);
    volume.editBlock(volume.groupStart, (view) => { view.setUint32(GroupHeader.bitmap, bits, true); });
    repair(volume.pmem);
    t.equal(unclean(volume.pmem), '');
    t.match(verifyVolume(volume.pmem).statistics, { inodes: 15, entries: 513 }, 'nothing was lost');
  }
  t.end();
});

t.test('a second entry, a ring of directories: what is lost is found in lost+found', (t) => {
  const cycle = sampleVolume();
  const { volume } = cycle;
  // `directory` is moved into its own subdirectory.
  volume.editBlock(cycle.directoryLeaf, (view) => {
    setU64(view, item(view, TREE_NODE_AREA, 3) + KEY_SIZE, Sample.directory);
    view.setUint8(item(view, TREE_NODE_AREA, 3) + KEY_SIZE + Dentry.type, 4);
  });
  volume.editInode(Sample.directory, (view) => {
    setU64(view, Inode.parent, Sample.bigDirectory);
  });
  volume.editInode(Sample.root, (view) => {
    const node = getU64(view, Inode.body + TreeRoot.root);
    volume.editBlock(node, (leaf) => {
      for (let i = 0; i < leaf.getUint16(TREE_NODE_AREA, true); i++) {
        const entry = item(leaf, TREE_NODE_AREA, i) + KEY_SIZE;
        if (getU64(leaf, entry) === Sample.directory) setU64(leaf, entry, Sample.fifo);
      }
    });
  });
  t.ok(repair(volume.pmem).countByKind.has('directory-unreachable'));
  t.equal(unclean(volume.pmem), '');
  const fs = openVolume(volume.pmem, {});
  const lookup = (parent: number, name: string): number => fs.lookup(asIno(parent), new Name().set(Buffer.from(name), 0, name.length));
  const found = lookup(1, 'lost+found');
  t.ok(found > 0);
  t.equal(lookup(found, `#${String(Sample.directory)}`), Sample.directory);
  t.equal(lookup(Sample.directory, 'big'), Sample.bigDirectory, 'with all that is below it');
  t.end();
});

t.test('a problem that is left is left, and what hangs on it', (t) => {
  for (const damage of DAMAGES) {
    const sample = sampleVolume();
    damage.do(sample, sample.volume);
    const { pmem } = sample.volume;
    const stores = pmem.counts.stores;
    let result: ReturnType<typeof repairVolume>;
    try {
      result = repairVolume(pmem, { decide: () => false });
    } catch (error) {
      // Without a journal that can be gone on with nothing can be changed; what a newer program made is not touched.
      t.match(error, { code: damage.name === 'unknown read-only feature' ? 'EOPNOTSUPP' : 'EUCLEAN' }, damage.name);
      continue;
    }
    if (result.fixed > 0 || result.left === 0) t.fail(`${damage.name}: ${String(result.fixed)} of ${String(result.found)} mended`);
    if (pmem.counts.stores !== stores) t.fail(`${damage.name}: something was written`);
  }
  t.end();
});

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
const known = knownVolume();
const ROUNDS = Number(process.env['ROUNDS'] ?? (thorough ? 150 : 20));

/** Repairs a medium; what is wrong with the result, '' when nothing is. */
function problemAfter(pmem: SimulatedPmem, wounded: Wound): string {
  const result = repair(pmem);
  const report = verifyVolume(pmem);
  if (!report.clean) return `not clean: ${report.findings.slice(0, 3).map(({ kind, message }) => `${kind}: ${message}`).join('; ')}`;
  if (result.left > 0) return `${String(result.left)} problems were left`;
  const again = repair(pmem);
  if (again.found > 0) return `the second repair finds ${[...again.countByKind.keys()].join(', ')}`;
  return differences(known, wounded, pmem).slice(0, 3).join('; ');
}

t.test('several damages at once, at random', (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = new Random(SEED + round);
    const pmem = known.pmem.fork();
    const wounded = wound(known, pmem, random, 1 + random.below(4));
    let problem: string;
    try {
      problem = problemAfter(pmem, wounded);
    } catch (error) {
      problem = error instanceof Error ? (error.stack ?? '') : String(error);
    }
    if (problem !== '') t.fail(`SEED=${String(SEED + round)} ROUNDS=1: ${wounded.what}: ${problem}`);
  }
  t.end();
});

/** A repair that is cut off: the medium as it was left. */
function cutOff(pmem: SimulatedPmem, position: number, random: Random): SimulatedPmem {
  const everything = random.chance(0.3);
  const nothing = random.chance(0.3);
  return pmem.crashImage(position, (line) => (everything ? line.atoms.length : nothing ? 0 : random.below(line.atoms.length + 1)));
}

t.test('a repair that is cut off can be run again', (t) => {
  let states = 0;
  for (let round = 0; round < ROUNDS / 10; round++) {
    const random = new Random(SEED + round);
    const pmem = known.pmem.fork();
    const wounded = wound(known, pmem, random, 1 + random.below(4));
    pmem.startRecording();
    repair(pmem);
    const fences = pmem.log.flatMap(({ kind }, at) => (kind === 'fence' ? [at] : []));
    for (const position of [...fences, pmem.log.length]) {
      let left = cutOff(pmem, position, random);
      if (random.chance(0.3)) {
        // And the second one, too.
        left.startRecording();
        repair(left);
        left = cutOff(left, random.below(left.log.length + 1), random);
      }
      states++;
      const problem = problemAfter(left, wounded);
      if (problem !== '') t.fail(`SEED=${String(SEED + round)} ROUNDS=1: ${wounded.what}: cut off at ${String(position)} of ${String(pmem.log.length)}: ${problem}`);
    }
  }
  t.comment(`${String(states)} times`);
  t.end();
});
