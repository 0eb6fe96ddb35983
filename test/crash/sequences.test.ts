// Guards promises 1, 2 and 4 by exhaustion: every crash state of all sequences of one and two operations, inside recovery, too.
import t, { type Test } from 'tap';
import { seed } from '../helpers/run.js';
import { describeFailure } from './report.js';
import { quick, Runner, Stopwatch, summary, thorough } from './run.js';
import { sequences, sequencesOfOne, type Workload } from './workloads.js';
import type { Thoroughness } from './uncertain.js';

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
t.setTimeout(3_600_000);

function runAll(t: Test, workloads: Iterable<Workload>, thoroughness: readonly Thoroughness[], changesAfterRecovery: boolean, fewest: number): void {
  const runner = new Runner(SEED, { thoroughness, changesAfterRecovery });
  const stopwatch = new Stopwatch();
  let failures = 0;
  for (const workload of workloads) {
    const failure = runner.failureOf(workload);
    if (failure !== undefined && (failures += 1) <= 3) t.fail(describeFailure(failure, workload, SEED));
    if (runner.workloads % 50 === 0) runner.forgetOutcomes();
  }
  t.equal(failures, 0, 'every state is sound');
  t.ok(runner.workloads >= fewest, `there are ${String(runner.workloads)} workloads`);
  t.comment(summary(runner, stopwatch));
  t.end();
}

t.test('sequences of one operation', (t) => {
  runAll(t, sequencesOfOne(), thorough, true, 56);
});

t.test('sequences of two operations', (t) => {
  runAll(t, sequences(2), quick, false, 3136);
});
