/**
 * `make crash`: one workload, one state, one mutant, or random workloads from a seed. Settings come from the environment:
 * SEED, WORKLOAD, STATE, MUTANT (as a failure prints them), COUNT (random workloads), LENGTH (all sequences of so many operations of the metadata core).
 */
import { arguedMutants } from './argued.js';
import { calibrate, type Standing, standingOf, tryMutant, type Verdict } from './campaign.js';
import { mutate } from './mutants.js';
import { randomWorkload } from './random.js';
import { describeFailure, parseState } from './report.js';
import { quick, Runner, Stopwatch, summary, thorough } from './run.js';
import { coreOperations, nameOf, sequences, type Workload, workloadOf } from './workloads.js';

const setting = (name: string): string | undefined => (process.env[name] === '' ? undefined : process.env[name]);
const seed = Number(setting('SEED') ?? Math.floor(Date.now() % 1e9));
const [id, state, mutant] = [setting('WORKLOAD'), setting('STATE'), setting('MUTANT')];

function workloads(): Iterable<Workload> {
  if (id !== undefined) return [workloadOf(id)];
  const length = setting('LENGTH');
  if (length !== undefined) return sequences(Number(length), coreOperations);
  return Array.from({ length: Number(setting('COUNT') ?? 20) }, (_, index) => randomWorkload(seed + index));
}

function run(): number {
  const single = id !== undefined;
  const sites = mutant === undefined ? undefined : calibrate(seed).sites;
  const runner = new Runner(seed, {
    // A state is numbered by the lines that are uncertain, so any thoroughness finds it.
    thoroughness: single && mutant === undefined ? thorough : quick,
    ...(state === undefined ? {} : { only: parseState(state) }),
    ...(mutant === undefined || sites === undefined ? {} : { mutate: (log) => mutate(log, mutant, sites) }),
  });
  const stopwatch = new Stopwatch();
  for (const workload of workloads()) {
    const failure = runner.failureOf(workload);
    if (failure !== undefined) {
      process.stdout.write(`${describeFailure(failure, workload, seed, mutant)}\n`);
      return 1;
    }
    if (!single && runner.workloads % 100 === 0) runner.forgetOutcomes();
  }
  process.stdout.write(`SEED=${String(seed)}: ${summary(runner, stopwatch)}\n`);
  return 0;
}

/** All mutants: prints the table of doc/CRASH.md. Fails when one is neither caught nor argued there to change nothing, or both. */
function runMutants(): number {
  const calibration = calibrate(seed);
  const counts: Record<Standing, number> = { caught: 0, argued: 0, missed: 0, 'caught, though argued': 0 };
  const names = [...calibration.mutants.keys()].sort();
  const isArgued = (name: string): boolean => arguedMutants.includes(name);
  // Those that are argued go through all workloads: last.
  for (const name of [...names.filter((name) => !isArgued(name)), ...names.filter(isArgued)]) {
    const verdict = tryMutant(name, calibration, seed);
    const standing = standingOf(verdict);
    counts[standing] += 1;
    process.stdout.write(standing === 'argued' ? '' : `${rowOf(verdict)}\n`);
    if (standing !== 'caught' && standing !== 'argued') process.stderr.write(`${standing}: ${name}\n`);
  }
  const gone = arguedMutants.filter((name) => !calibration.mutants.has(name));
  for (const name of gone) process.stderr.write(`argued, but not reached: ${name}\n`);
  process.stdout.write(`SEED=${String(seed)}: ${String(calibration.mutants.size)} mutants, ${Object.entries(counts).map(([standing, count]) => `${String(count)} ${standing}`).join(', ')}\n`);
  return counts.missed + counts['caught, though argued'] + gone.length === 0 ? 0 : 1;
}

function rowOf({ mutant, caught }: Verdict): string {
  const cells = caught === undefined ? ['', 'not caught', ''] : [`${caught.workload.id}: ${nameOf(caught.workload)}`, caught.where, brief(caught.reason)];
  return `| ${[mutant, ...cells].join(' | ')} |`;
}

/** As much of a reason as a table has room for. */
function brief(reason: string): string {
  const text = reason.split('\n', 1).join('').replaceAll('|', '/');
  return text.length > 90 ? `${text.slice(0, 90)} …` : text;
}

process.exitCode = process.argv[2] === 'mutants' ? runMutants() : run();
