/** Runs workloads through the explorer, one after the other, and counts. */
import { Random } from '../../src/base/random.js';
import { type Base, largeBase, smallBase } from './base.js';
import { type Counts, CrashFailure, Explorer, type ExplorerOptions } from './explorer.js';
import { recordWorkload, type Workload } from './workloads.js';
import type { Thoroughness } from './uncertain.js';

/** For sequences of one. */
export const thorough: readonly Thoroughness[] = [
  { allSubsetsUpTo: 10, singlesMost: 1000, pairsMost: 1000, prefixesMost: 1000, random: 1000 },
  { allSubsetsUpTo: 10, singlesMost: 200, pairsMost: 300, prefixesMost: 200, random: 200 },
  { allSubsetsUpTo: 6, singlesMost: 50, pairsMost: 50, prefixesMost: 50, random: 50 },
];

/** For longer sequences, of which there are thousands. */
export const quick: readonly Thoroughness[] = [
  { allSubsetsUpTo: 10, singlesMost: 60, pairsMost: 100, prefixesMost: 60, random: 30 },
  { allSubsetsUpTo: 3, singlesMost: 8, pairsMost: 4, prefixesMost: 4, random: 6 },
  { allSubsetsUpTo: 2, singlesMost: 4, pairsMost: 2, prefixesMost: 2, random: 2 },
];

/** For learning which places of the engine are reached, in the program and in recovery. */
export const cursory: readonly Thoroughness[] = [
  { allSubsetsUpTo: 0, singlesMost: 0, pairsMost: 0, prefixesMost: 0, random: 0 },
  { allSubsetsUpTo: 0, singlesMost: 0, pairsMost: 0, prefixesMost: 0, random: 0 },
  { allSubsetsUpTo: 0, singlesMost: 0, pairsMost: 0, prefixesMost: 0, random: 0 },
];

export class Runner {
  workloads = 0;
  private readonly bases = new Map<string, { base: Base; explorer: Explorer }>();

  constructor(
    private readonly seed: number,
    private readonly options: Partial<ExplorerOptions> & Pick<ExplorerOptions, 'thoroughness'>,
  ) {}

  /** Throws CrashFailure for a state that is wrong. */
  run(workload: Workload): void {
    const { base, explorer } = this.on(workload.base);
    const { log, stops, final } = recordWorkload(workload, base);
    this.workloads += 1;
    explorer.explore(log, stops, final, new Random(this.seed));
  }

  /** As run; what went wrong instead of an exception. */
  failureOf(workload: Workload): CrashFailure | undefined {
    try {
      this.run(workload);
      return undefined;
    } catch (error) {
      if (error instanceof CrashFailure) return error;
      throw error;
    }
  }

  forgetOutcomes(): void {
    for (const { explorer } of this.bases.values()) explorer.forgetOutcomes();
  }

  get counts(): Counts {
    return sumOf([...this.bases.values()].map(({ explorer }) => explorer.counts));
  }

  private on(name: Workload['base']): { base: Base; explorer: Explorer } {
    let found = this.bases.get(name);
    if (found === undefined) {
      const base = name === 'small' ? smallBase() : largeBase();
      const explorer = new Explorer(base.image, base.geometry, base.fresh, { auditEvery: 5000, changesAfterRecovery: true, mutate: (log) => log, ...this.options });
      found = { base, explorer };
      this.bases.set(name, found);
    }
    return found;
  }
}

export function sumOf(all: readonly Counts[]): Counts {
  const sum: Counts = { states: 0, unique: 0, recoveries: 0, judged: 0, nested: [0, 0, 0] };
  for (const counts of all) {
    sum.states += counts.states;
    sum.unique += counts.unique;
    sum.recoveries += counts.recoveries;
    sum.judged += counts.judged;
    sum.nested = sum.nested.map((count, depth) => count + (counts.nested[depth] ?? 0));
  }
  return sum;
}

/** Measures a run: wall time, and the processor's time, which is the figure on a machine that has other things to do. */
export class Stopwatch {
  private readonly started = performance.now();
  private readonly usage = process.cpuUsage();

  read(): { wallSeconds: number; processorSeconds: number } {
    const { user, system } = process.cpuUsage(this.usage);
    return { wallSeconds: (performance.now() - this.started) / 1000, processorSeconds: (user + system) / 1e6 };
  }
}

/** The figures of a run, and how they are counted. */
export function summary({ workloads, counts }: { readonly workloads: number; readonly counts: Counts }, stopwatch: Stopwatch): string {
  const { wallSeconds, processorSeconds } = stopwatch.read();
  const [outer, inside, twice] = counts.nested;
  const figure = (value: number): string => Math.round(value).toLocaleString('en');
  return [
    `${figure(workloads)} workloads, ${figure(counts.states)} crash states (${figure(outer ?? 0)} of the program, ${figure(inside ?? 0)} in recovery, ${figure(twice ?? 0)} in recovery after a crash in recovery)`,
    `${figure(counts.unique)} of them unique at their moment, ${figure(counts.recoveries)} recoveries, ${figure(counts.judged)} recovered images verified, dumped and emptied`,
    `${figure(counts.states / processorSeconds)} states per second of processor time: ${processorSeconds.toFixed(1)} s of it in ${wallSeconds.toFixed(1)} s`,
  ].join('; ');
}
