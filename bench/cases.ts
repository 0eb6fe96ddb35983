/** The cases of the benchmark: what the client runs, how its rate is shown, and the goal. */

export interface BenchCase {
  /** Name for `--case` and in the JSON. */
  readonly name: string;
  /** The client's name of the case. */
  readonly load: string;
  readonly processes: number;
  readonly title: string;
  readonly unit: string;
  /** What one operation of the client counts in `unit`. */
  readonly scale: number;
  /** Least ratio of NVMFS's rate to the null server's; null where there is no goal. */
  readonly goal: number | null;
}

const LARGE_DIRECTORY_NAMES = 10_000;

function single(load: string, title: string, unit: string, goal: number | null, scale = 1): BenchCase {
  return { name: load, load, processes: 1, title, unit, scale, goal };
}

function several(load: string, processes: number, title: string, unit: string): BenchCase {
  return { name: `${load}-x${processes}`, load, processes, title, unit, scale: 1, goal: null };
}

export const BENCH_CASES: readonly BenchCase[] = [
  single('random-read', '4 KiB random read, O_DIRECT', 'op/s', 0.85),
  single('random-write', '4 KiB random write, O_DIRECT', 'op/s', 0.85),
  single('lookup-missing', 'lookup of a missing name', 'op/s', 0.85),
  single('create-unlink', 'create + unlink, 1,000 names', 'pairs/s', 0.5),
  single('sequential-read', '1 MiB sequential read, O_DIRECT', 'MiB/s', 0.85),
  single('sequential-write', '1 MiB sequential write, O_DIRECT', 'MiB/s', 0.85),
  single('sequential-read-cached', '1 MiB sequential read, page cache', 'MiB/s', 0.85),
  single('sequential-write-cached', '1 MiB sequential write, page cache', 'MiB/s', 0.85),
  single('stat-cached', 'stat of a cached name', 'op/s', null),
  single('readdir', 'readdir of 10,000 names, repeated', 'names/s', null, LARGE_DIRECTORY_NAMES),
  several('random-read', 4, '4 KiB random read, 4 processes', 'op/s'),
  several('random-write', 4, '4 KiB random write, 4 processes', 'op/s'),
  several('lookup-missing', 4, 'missing names, 4 processes', 'op/s'),
  several('create-unlink', 4, 'create + unlink, 4 processes', 'pairs/s'),
];
