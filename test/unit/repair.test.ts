// Guards repair: whatever is damaged, after one repair the verifier finds nothing and a second repair changes nothing, files that were
// not damaged are what they were, and a repair that is cut off at any moment can be run again.
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { verifyVolume } from '../../src/check/verify.js';
import { repairVolume } from '../../src/repair/repair.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { DAMAGES } from '../helpers/damages.js';
import { seed } from '../helpers/run.js';
import { sampleVolume } from '../helpers/sample-volume.js';
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

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
const known = knownVolume();
const ROUNDS = Number(process.env['ROUNDS'] ?? 150);

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
