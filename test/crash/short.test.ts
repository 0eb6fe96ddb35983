// Guards promises 1, 2 and 4 in seconds: single operations, cut off everywhere; and that a wrong state is found, printed and found again.
import t from 'tap';
import { seed } from '../helpers/run.js';
import { calibrate, tryMutant } from './campaign.js';
import { CrashFailure } from './explorer.js';
import { mutate } from './mutants.js';
import { describeFailure, parseState } from './report.js';
import { quick, Runner, Stopwatch, summary } from './run.js';
import { sequencesOfOne, workloadOf } from './workloads.js';

const SEED = seed();
/** Every so many of the sequences of one, another part with another seed. */
const SHARE = 10;
t.comment(`SEED=${String(SEED)}`);
t.setTimeout(600_000);

t.test('every crash state of some single operations is sound', (t) => {
  const runner = new Runner(SEED, { thoroughness: quick });
  const stopwatch = new Stopwatch();
  const chosen = [...sequencesOfOne()].filter((_, index) => (index + SEED) % SHARE === 0);
  for (const workload of chosen) {
    const failure = runner.failureOf(workload);
    if (failure !== undefined) t.fail(describeFailure(failure, workload, SEED));
  }
  t.equal(runner.workloads, chosen.length, 'all were run');
  t.ok(runner.counts.states > 500 * chosen.length, 'in hundreds of states each');
  t.comment(summary(runner, stopwatch));
  t.end();
});

t.test('a commit without its fence is caught, printed and found again by its command', (t) => {
  const workload = workloadOf('0');
  const mutant = 'without fence of Log.append in journal/log';
  const calibration = calibrate(SEED, [workload]);
  const { caught } = tryMutant(mutant, calibration, SEED);
  t.match(caught?.reason, /state that must be there is not/, 'an operation that returned is lost');
  const command = /^make crash SEED=(\d+) WORKLOAD=0 STATE=([\d:=,/]*) MUTANT='(.*)'$/.exec(caught?.again ?? '');
  t.equal(command?.[3], mutant, 'the command names the mutant');
  const again = new Runner(Number(command?.[1]), {
    thoroughness: quick,
    mutate: (log) => mutate(log, mutant, calibration.sites),
    only: parseState(command?.[2] ?? ''),
  });
  const failure = again.failureOf(workload);
  t.type(failure, CrashFailure, 'the state alone fails');
  t.equal(failure?.reason, caught?.reason, 'in the same way');
  t.ok(again.counts.states <= 3, 'and nothing else was tried');
  const text = failure === undefined ? '' : describeFailure(failure, workload, SEED, mutant);
  t.match(text, /workload 0: create A\/bar\n/, 'the report names the workload');
  t.match(text, new RegExp(`seed ${String(SEED)}\n`), 'the seed');
  t.match(text, /store \d+ bytes at block \d+ \+ \d+, Log\.append in journal\/log \[create A\/bar\]/, 'stores and who made them');
  t.match(text, /---- crash ----/, 'the moment');
  t.match(text, /line 0 at block \d+ \+ \d+: (did not survive|survived)/, 'what survived');
  const sound = new Runner(SEED, { thoroughness: quick, only: parseState(command?.[2] ?? '') });
  t.equal(sound.failureOf(workload), undefined, 'without the mutant the state is sound');
  t.end();
});
