/** Runs all mutants: each against the workloads in which its place is reached, until one catches it. */
import type { LogEntry } from '../../src/pmem/recording.js';
import { arguedMutants } from './argued.js';
import { mutantsOf, mutate, Sites } from './mutants.js';
import { replayCommand } from './report.js';
import { cursory, quick, Runner } from './run.js';
import type { Thoroughness } from './uncertain.js';
import { samples, sequencesOfOne, type Workload } from './workloads.js';

export interface Verdict {
  readonly mutant: string;
  /** The workload and state that caught it; undefined when none did. */
  readonly caught: { readonly workload: Workload; readonly where: string; readonly reason: string; readonly again: string } | undefined;
}

/** What a verdict means for the suite. */
export type Standing = 'caught' | 'argued' | 'missed' | 'caught, though argued';

export function standingOf({ mutant, caught }: Verdict): Standing {
  const argued = arguedMutants.includes(mutant);
  if (caught === undefined) return argued ? 'argued' : 'missed';
  return argued ? 'caught, though argued' : 'caught';
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
    const runner = runnerFor(seed, cursory, (log) => {
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
  const runner = runnerFor(seed, quick, (log) => mutate(log, mutant, sites));
  for (const workload of mutants.get(mutant) ?? []) {
    const failure = runner.failureOf(workload);
    if (failure === undefined) continue;
    const where = failure.parts.map((part) => part.stop.label).join(', ');
    return { mutant, caught: { workload, where, reason: failure.reason, again: replayCommand(failure, workload, seed, mutant) } };
  }
  return { mutant, caught: undefined };
}

function runnerFor(seed: number, thoroughness: readonly Thoroughness[], change: (log: readonly LogEntry[]) => readonly LogEntry[]): Runner {
  return new Runner(seed, { thoroughness, auditEvery: Infinity, mutate: change });
}
