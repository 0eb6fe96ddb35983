// Guards promise 7: whatever the bytes of a volume say, using, checking and repairing it ends, with an errno at worst; what was not damaged is intact.
//
// FUZZ_IMAGES=n runs more images, SEED=n starts elsewhere; `make fuzz SEED=n` runs one of them alone.
import t from 'tap';
import { thorough } from '../helpers/run.js';
import { describeFailure, runCampaign } from './campaign.js';
import { reportOf } from './trial.js';

// The same images each time; `make fuzz` tries others.
const SEED = Number(process.env['SEED'] ?? 140_836_300);
const IMAGES = Number(process.env['FUZZ_IMAGES'] ?? (thorough ? 5000 : 25));

/** Images that were not mended rightly once. */
const ONCE_WRONG = [140_835_671, 140_846_970, 1_723_392_044, 1_723_392_550, 1_010_145_613, 1_010_147_581, 1_010_153_073, 985_970_594];

t.comment(`SEED=${String(SEED)}`);
t.setTimeout(3_600_000);

await t.test(`${String(IMAGES)} damaged images`, async (t) => {
  const result = await runCampaign({ firstSeed: SEED, images: IMAGES });
  const { done, opened, repaired, seconds, failures } = result;
  t.comment(`${String(done)} images in ${seconds.toFixed(1)} s: ${String(opened)} could be mounted, ${String(repaired)} were repaired`);
  for (const failure of failures) t.comment(describeFailure(failure));
  t.equal(failures.length, 0, 'no crash, no hang, no other damage');
  t.ok(opened > IMAGES / 4, 'and most of them can be mounted: the damage is not all in the superblock', { opened });
});

t.test('images that were not mended rightly once', (t) => {
  for (const seed of ONCE_WRONG) {
    const { failure } = reportOf(seed);
    t.ok(failure === undefined, `SEED=${String(seed)}`, { failure });
  }
  t.end();
});
