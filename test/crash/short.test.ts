// Guards promises 1, 2 and 4 in seconds: single operations, cut off everywhere; and that a wrong state is found, printed and found again.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Random } from '../../src/base/random.js';
import { seed, thorough } from '../helpers/run.js';
import { arguedMutants } from './argued.js';
import { calibrate, standingOf, tryMutant } from './campaign.js';
import { CrashFailure } from './explorer.js';
import { mutate } from './mutants.js';
import { describeFailure, parseState } from './report.js';
import { quick, Runner, Stopwatch, summary } from './run.js';
import { sequencesOfOne, workloadOf } from './workloads.js';

const SEED = seed();
/** Every so many of the sequences of one, another part with another seed. */
const SHARE = thorough ? 10 : 30;
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

/** Rows of the table of doc/CRASH.md. */
interface Row {
  readonly mutant: string;
  /** Id of the workload that catches it. */
  readonly workload: string;
}

/** Reads what doc/CRASH.md says of mutants. */
function documented(): { rows: Row[]; argued: string[] } {
  const text = readFileSync(new URL('../../../doc/CRASH.md', import.meta.url), 'utf8');
  const section = (title: string): string => text.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? '';
  const rows = [...section('Mutants and what catches them').matchAll(/^\| ((?:without|swap) [^|]*) \| ([\w:,@]+): /gm)].map((found) => ({ mutant: found[1] as string, workload: found[2] as string }));
  const argued = [...section('Mutants that change nothing').matchAll(/^\* `(.*)`$/gm)].map((found) => found[1] as string);
  return { rows, argued };
}

/** Workloads that reach all places of the functions that have several of a kind, so that these have the numbers that the document gives them. */
const NUMBERING = ['51', '54'];
const SAMPLE = thorough ? 5 : 2;
/** The table was made with this seed: choices of states at random may miss what others find. */
const TABLE_SEED = 1;

t.test('some mutants are caught by the workloads that the document names', (t) => {
  const { rows, argued } = documented();
  t.same(argued, arguedMutants, 'the document argues the mutants of test/crash/argued.ts');
  t.ok(rows.length > 50, `there are ${String(rows.length)} mutants in its table`);
  const known = new Set([...rows.map(({ mutant }) => mutant), ...argued]);
  t.equal(known.size, rows.length + argued.length, 'each once');
  const random = new Random(SEED);
  for (let number = 0; number < SAMPLE; number += 1) {
    const { mutant, workload } = random.pick(rows);
    const { sites, mutants } = calibrate(TABLE_SEED, [...NUMBERING, workload].map(workloadOf));
    t.same([...mutants.keys()].filter((name) => !known.has(name)), [], `all mutants of workload ${workload} are in the document`);
    const verdict = tryMutant(mutant, { sites, mutants: new Map([[mutant, [workloadOf(workload)]]]) }, TABLE_SEED);
    t.equal(standingOf(verdict), 'caught', `${mutant}, by workload ${workload}`);
  }
  t.end();
});
