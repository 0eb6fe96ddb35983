// Guards promises 1, 2 and 4 by exhaustion: every crash state of all sequences of one and two operations, inside recovery, too.
// CRASH_EVERY=n runs every n-th sequence of two.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { seed } from '../helpers/run.js';
import { Stopwatch, sumOf, summary } from './run.js';
import type { ShareRequest, ShareResult } from './share.js';

const SEED = seed();
const SHARES = availableParallelism();
const EVERY = Number(process.env['CRASH_EVERY'] ?? 1);
t.comment(`SEED=${String(SEED)}`);
t.setTimeout(3_600_000);

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

/** Runs all shares; `every`: only so many of the workloads. Returns how many were run. */
async function runAll(t: Test, length: 1 | 2, every: number): Promise<number> {
  const stopwatch = new Stopwatch();
  const results = await Promise.all(Array.from({ length: SHARES }, (_, share) => runShare({ length, seed: SEED, every, share, shares: SHARES })));
  for (const failure of results.flatMap((result) => result.failures)) t.fail(failure);
  const workloads = results.reduce((sum, result) => sum + result.workloads, 0);
  t.comment(`${String(SHARES)} threads: ${summary({ workloads, counts: sumOf(results.map((result) => result.counts)) }, stopwatch)}`);
  return workloads;
}

await t.test('sequences of one operation', async (t) => {
  const workloads = await runAll(t, 1, 1);
  t.ok(workloads >= 56, `there are ${String(workloads)} workloads`);
});

await t.test('sequences of two operations', async (t) => {
  const workloads = await runAll(t, 2, EVERY);
  t.ok(workloads * EVERY >= 3136, `there are ${String(workloads)} workloads${EVERY > 1 ? `, one in ${String(EVERY)}` : ''}`);
});
