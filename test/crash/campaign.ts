/** Runs all mutants: each against the workloads in which its place is reached, until one catches it. */
import type { LogEntry } from '../../src/pmem/recording.js';
import { mutantsOf, mutate, Sites } from './mutants.js';
import { replayCommand } from './report.js';
import { quick, Runner } from './run.js';
import { nameOf, samples, sequencesOfOne, type Workload } from './workloads.js';

export interface Verdict {
  readonly mutant: string;
  /** The workload and state that caught it; undefined when none did. */
  readonly caught: { readonly workload: string; readonly where: string; readonly reason: string; readonly again: string } | undefined;
}

export interface Calibration {
  readonly sites: Sites;
  /** Mutants, and the workloads whose recordings they change. */
  readonly mutants: ReadonlyMap<string, readonly Workload[]>;
}

/** Learns the places from which the medium is changed, recovery's included, by running the workloads as they are. */
export function calibrate(seed: number, workloads: readonly Workload[] = [...sequencesOfOne(), ...samples()]): Calibration {
  const sites = new Sites();
  const logs: { workload: Workload; log: readonly LogEntry[] }[] = [];
  for (const workload of workloads) {
    const runner = runnerFor(seed, (log) => {
      sites.learn(log);
      logs.push({ workload, log });
      return log;
    });
    runner.run(workload);
  }
  const mutants = new Map<string, Workload[]>();
  for (const { workload, log } of logs) {
    for (const mutant of mutantsOf(log, sites)) {
      const list = mutants.get(mutant) ?? [];
      if (!list.includes(workload)) mutants.set(mutant, [...list, workload]);
    }
  }
  return { sites, mutants };
}

/** Whether the suite catches a mutant. */
export function tryMutant(mutant: string, { sites, mutants }: Calibration, seed: number): Verdict {
  const runner = runnerFor(seed, (log) => mutate(log, mutant, sites));
  for (const workload of mutants.get(mutant) ?? []) {
    const failure = runner.failureOf(workload);
    if (failure === undefined) continue;
    const where = failure.parts.map((part) => part.stop.label).join(', ');
    return { mutant, caught: { workload: nameOf(workload), where, reason: failure.reason, again: replayCommand(failure, workload, seed, mutant) } };
  }
  return { mutant, caught: undefined };
}

function runnerFor(seed: number, change: (log: readonly LogEntry[]) => readonly LogEntry[]): Runner {
  return new Runner(seed, { thoroughness: quick, auditEvery: Infinity, mutate: change });
}
