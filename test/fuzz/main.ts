/** `make fuzz`: FUZZ_IMAGES damaged images from a random seed on, or the one of SEED alone. */
import { describeFailure, runCampaign } from './campaign.js';
import { reportOf } from './trial.js';

const given = process.env['SEED'] ?? '';
const images = Number(process.env['FUZZ_IMAGES'] ?? 100_000);
const PROGRESS_MS = 5000;

if (given !== '') {
  const report = reportOf(Number(given));
  console.log(report.failure === undefined ? `SEED=${given}: nothing wrong` : describeFailure(report));
  process.exitCode = report.failure === undefined ? 0 : 1;
} else {
  const firstSeed = Math.floor(Math.random() * 2 ** 31);
  console.log(`${String(images)} images, the first from SEED=${String(firstSeed)}`);
  let shown = performance.now();
  const result = await runCampaign({
    firstSeed,
    images,
    progress: (done, failures, rate) => {
      if (performance.now() - shown < PROGRESS_MS) return;
      shown = performance.now();
      console.log(`${String(done)} of ${String(images)}, ${rate.toFixed(0)} a second, ${String(failures)} failed`);
    },
    failed: (report) => {
      console.log(describeFailure(report));
    },
  });
  const { done, opened, repaired, seconds, failures } = result;
  console.log(`${String(done)} images in ${seconds.toFixed(0)} s: ${String(opened)} could be mounted, ${String(repaired)} were repaired, ${String(failures.length)} failed`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}
