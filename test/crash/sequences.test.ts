// Guards promises 1, 2 and 4 by exhaustion: every crash state of all sequences of one and of every eighth of two operations, inside recovery, too.
// CRASH_EVERY=1 runs all of two (make crash-long does).
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { seed } from '../helpers/run.js';
import { describeFailure } from './report.js';
import { Runner, Stopwatch, sumOf, summary, thorough } from './run.js';
import type { ShareRequest, ShareResult } from './share.js';
import { sequencesOfOne } from './workloads.js';

const SEED = seed();
const SHARES = availableParallelism();
const EVERY = Number(process.env['CRASH_EVERY'] ?? 8);
t.comment(`SEED=${String(SEED)}`);
t.setTimeout(3_600_000);

t.test('sequences of one operation', (t) => {
  const runner = new Runner(SEED, { thoroughness: thorough, changesAfterRecovery: true });
  const stopwatch = new Stopwatch();
  for (const workload of sequencesOfOne()) {
    const failure = runner.failureOf(workload);
    if (failure !== undefined) t.fail(describeFailure(failure, workload, SEED));
  }
  t.ok(runner.workloads >= 56, `there are ${String(runner.workloads)} workloads`);
  t.comment(summary(runner, stopwatch));
  t.end();
});

function runShare(request: ShareRequest): Promise<ShareResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('share.js', import.meta.url), { workerData: request });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => {
      reject(new Error(`a thread ended with code ${String(code)} and no result`));
    });
  });
}

t.test('sequences of two operations', async (t) => {
  const stopwatch = new Stopwatch();
  const results = await Promise.all(Array.from({ length: SHARES }, (_, share) => runShare({ seed: SEED, every: EVERY, share, shares: SHARES })));
  for (const failure of results.flatMap((result) => result.failures)) t.fail(failure);
  const workloads = results.reduce((sum, result) => sum + result.workloads, 0);
  t.ok(workloads * EVERY >= 3136, `there are ${String(workloads)} workloads, one in ${String(EVERY)}`);
  t.comment(summary({ workloads, counts: sumOf(results.map((result) => result.counts)) }, stopwatch));
});
