/**
 * `make crash`: one workload, one state, one mutant, or random workloads from a seed. Settings come from the environment:
 * SEED, WORKLOAD, STATE, MUTANT (as a failure prints them), COUNT (random workloads), LENGTH (all sequences of so many operations of the metadata core).
 */
import { calibrate, tryMutant } from './campaign.js';
import { mutate } from './mutants.js';
import { randomWorkload } from './random.js';
import { describeFailure, parseState } from './report.js';
import { quick, Runner, Stopwatch, summary, thorough } from './run.js';
import { coreOperations, sequences, type Workload, workloadOf } from './workloads.js';

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

/** All mutants: prints the table of doc/CRASH.md. */
function runMutants(): number {
  const calibration = calibrate(seed);
  let missed = 0;
  for (const name of [...calibration.mutants.keys()].sort()) {
    const { caught } = tryMutant(name, calibration, seed);
    if (caught === undefined) missed += 1;
    process.stdout.write(caught === undefined ? `| ${name} | not caught | |\n` : `| ${name} | ${caught.workload}: ${caught.where} | ${caught.reason.split('\n', 1).join('').slice(0, 90)} |\n`);
  }
  process.stdout.write(`${String(calibration.mutants.size)} mutants, ${String(missed)} not caught\n`);
  return 0;
}

process.exitCode = process.argv[2] === 'mutants' ? runMutants() : run();
