/** One share of the sequences of one or two operations, run in a thread of its own: processors are many, and every workload stands by itself. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Counts } from './explorer.js';
import { describeFailure } from './report.js';
import { quick, Runner, thorough } from './run.js';
import { sequencesOfOne, sequencesOfTwo } from './workloads.js';

/** What a thread is asked for: of every `every`-th workload, each `shares`-th from number `share` on. */
export interface ShareRequest {
  readonly length: 1 | 2;
  readonly seed: number;
  readonly every: number;
  readonly share: number;
  readonly shares: number;
}

export interface ShareResult {
  readonly workloads: number;
  readonly counts: Counts;
  /** The first few failures, described. */
  readonly failures: readonly string[];
}

const FAILURES_MOST = 3;
/** What was learnt of recovered images is forgotten so often, or it would fill the memory. */
const FORGET_EVERY = 50;

function runShare({ length, seed, every, share, shares }: ShareRequest): ShareResult {
  const runner = length === 1 ? new Runner(seed, { thoroughness: thorough }) : new Runner(seed, { thoroughness: quick, changesAfterRecovery: false });
  const failures: string[] = [];
  let index = 0;
  for (const workload of length === 1 ? sequencesOfOne() : sequencesOfTwo()) {
    const number = index++ / every;
    if (number % 1 !== 0 || number % shares !== share) continue;
    const failure = runner.failureOf(workload);
    if (failure !== undefined && failures.length < FAILURES_MOST) failures.push(describeFailure(failure, workload, seed));
    if (runner.workloads % FORGET_EVERY === 0) runner.forgetOutcomes();
  }
  return { workloads: runner.workloads, counts: runner.counts, failures };
}

parentPort?.postMessage(runShare(workerData as ShareRequest));
