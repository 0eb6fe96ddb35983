/** libnvm against mmap of a plain tmpfs file: the same program on a mounted volume and beside its image. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run, unmount } from './process.js';
import { ratioOfPairs, type Ratio } from './statistics.js';

/** One line of the table. `ratio`: NVMFS to the plain file, of rates or of times per page. */
export interface MappingResult {
  readonly title: string;
  readonly unit: string;
  readonly nvmfs: readonly number[];
  readonly plain: readonly number[];
  readonly ratio: Ratio;
  readonly goal: number | null;
  /** The ratio is one of times: at most the goal is met. */
  readonly ofTimes: boolean;
}

export interface MappingOptions {
  readonly root: string;
  readonly scratch: string;
  readonly medium: string;
  readonly serverCore: number;
  readonly clientCore: number;
  readonly rounds: number;
  readonly seconds: number;
}

const ACCESS_GOAL = 0.95;
const TOUCH_GOAL = 3;
const FILE_MIB = 256;
/** One fault per page takes its time. */
const SINGLE_MIB = 32;

type Answer = Readonly<Record<string, number>>;

const ACCESSES = [
  ['random_read', 'random load of 64 bytes', 'line/s'],
  ['random_write', 'random store of 64 bytes', 'line/s'],
  ['sequential_read', 'copy from the file, 1 MiB', 'byte/s'],
  ['sequential_write', 'copy to the file, 1 MiB', 'byte/s'],
] as const;

/** Measures in rounds, the two files in turn; leaves nothing mounted. */
export async function measureMappings(options: MappingOptions): Promise<MappingResult[]> {
  const image = join(options.medium, 'mapping.image');
  const directory = join(options.scratch, 'mapping');
  mkdirSync(directory);
  await run([join(options.root, 'bin/mkfs.nvmfs'), '-q', '-s', '1g', image]);
  try {
    await run(['taskset', '-c', String(options.serverCore), join(options.root, 'bin/nvmfs'), 'mount', image, directory]);
    return await measureRounds(options, join(directory, 'file'), join(options.medium, 'plain-file'));
  } finally {
    await unmount(directory);
    rmSync(image);
  }
}

async function measureRounds(options: MappingOptions, own: string, plain: string): Promise<MappingResult[]> {
  const samples = { access: pairs(), touch: pairs(), single: pairs() };
  for (let round = 0; round < options.rounds; round++) {
    for (const [name, file] of [['plain', plain], ['nvmfs', own]] as const) {
      samples.access[name].push(await client(options, ['access', file, String(FILE_MIB), String(options.seconds / 4)]));
      samples.touch[name].push(await client(options, ['touch', file, String(FILE_MIB)]));
      samples.single[name].push(await client(options, ['touch', file, String(SINGLE_MIB)], ['NVM_BATCH=4096']));
    }
  }
  if (samples.access.nvmfs.some((sample) => sample['direct'] !== 1)) throw new Error('libnvm did not map the file from the medium');
  const touch = { unit: 'ns/page', ofTimes: true } as const;
  return [
    ...ACCESSES.map(([field, title, unit]) => compare(samples.access, field, { title, unit, goal: ACCESS_GOAL, ofTimes: false })),
    compare(samples.touch, 'ns_per_page', { title: 'first touch of a page, 2 MiB per fault', goal: TOUCH_GOAL, ...touch }),
    compare(samples.single, 'ns_per_page', { title: 'first touch of a page, 4 KiB per fault', goal: null, ...touch }),
  ];
}

interface Pairs {
  readonly nvmfs: Answer[];
  readonly plain: Answer[];
}

function pairs(): Pairs {
  return { nvmfs: [], plain: [] };
}

async function client({ root, clientCore }: MappingOptions, words: readonly string[], environment: readonly string[] = []): Promise<Answer> {
  // Elsewhere than the server, but the thread that answers faults is the client's, too.
  const command = ['env', ...environment, 'taskset', '-c', String(clientCore), join(root, 'build/bench/nvm-client'), ...words];
  return JSON.parse((await run(command)).stdout) as Answer;
}

function compare(samples: Pairs, field: string, about: Pick<MappingResult, 'title' | 'unit' | 'goal' | 'ofTimes'>): MappingResult {
  const values = (answers: readonly Answer[]): number[] => answers.map((answer) => answer[field] ?? NaN);
  const nvmfs = values(samples.nvmfs);
  const plain = values(samples.plain);
  return { ...about, nvmfs, plain, ratio: ratioOfPairs(nvmfs, plain) };
}
