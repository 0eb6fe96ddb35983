/** Files of a volume, mapped, against mmap of a plain file beside its image: libnvm maps one from the image, the kernel a DAX file. The same program for all. */
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
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

/** Of what `nvmfs stat --json` prints. */
interface Served {
  readonly served: string;
}

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
    const dax = join(directory, 'dax');
    mkdirSync(dax);
    await run([join(options.root, 'bin/nvmfs'), 'dax', 'on', dax]);
    await checkServed(options.root, join(dax, 'probe'));
    return await measureRounds(options, { plain: join(options.medium, 'plain-file'), image: join(directory, 'file'), region: join(dax, 'file') });
  } finally {
    await unmount(directory);
    rmSync(image);
    rmSync(`${image}.regions`, { recursive: true, force: true });
  }
}

/** A DAX file that the kernel does not serve by itself would be measured for something else. */
async function checkServed(root: string, file: string): Promise<void> {
  const descriptor = openSync(file, 'w');
  try {
    const { served } = JSON.parse((await run([join(root, 'bin/nvmfs'), 'stat', '--json', file])).stdout) as Served;
    if (served !== 'passthrough') throw new Error(`a DAX file is served by ${served}, not by passthrough`);
  } finally {
    closeSync(descriptor);
  }
}

async function measureRounds(options: MappingOptions, files: Readonly<Record<Which, string>>): Promise<MappingResult[]> {
  const samples = { access: noSamples(), touch: noSamples(), single: noSamples() };
  for (let round = 0; round < options.rounds; round++) {
    for (const which of ['plain', 'image', 'region'] as const) {
      const file = files[which];
      samples.access[which].push(await client(options, ['access', file, String(FILE_MIB), String(options.seconds / 4)]));
      samples.touch[which].push(await client(options, ['touch', file, String(FILE_MIB)]));
      if (which !== 'region') samples.single[which].push(await client(options, ['touch', file, String(SINGLE_MIB)], ['NVM_BATCH=4096']));
    }
  }
  if (samples.access.image.some((sample) => sample['direct'] !== 1)) throw new Error('libnvm did not map the file from the medium');
  const rate = { goal: ACCESS_GOAL, ofTimes: false } as const;
  const touch = { unit: 'ns/page', ofTimes: true } as const;
  return [
    ...ACCESSES.map(([field, title, unit]) => compare(samples.access, 'image', field, { title: `libnvm: ${title}`, unit, ...rate })),
    compare(samples.touch, 'image', 'ns_per_page', { title: 'libnvm: first touch of a page, 2 MiB per fault', goal: TOUCH_GOAL, ...touch }),
    compare(samples.single, 'image', 'ns_per_page', { title: 'libnvm: first touch of a page, 4 KiB per fault', goal: null, ...touch }),
    ...ACCESSES.map(([field, title, unit]) => compare(samples.access, 'region', field, { title: `DAX file: ${title}`, unit, ...rate })),
    compare(samples.touch, 'region', 'ns_per_page', { title: 'DAX file: first touch of a page', goal: null, ...touch }),
  ];
}

/** A plain file, one that libnvm maps from the image, and a DAX file, which the kernel maps from its region. */
type Which = 'plain' | 'image' | 'region';
type Samples = Readonly<Record<Which, Answer[]>>;

function noSamples(): Samples {
  return { plain: [], image: [], region: [] };
}

async function client({ root, clientCore }: MappingOptions, words: readonly string[], environment: readonly string[] = []): Promise<Answer> {
  // Elsewhere than the server, but the thread that answers faults is the client's, too.
  const command = ['env', ...environment, 'taskset', '-c', String(clientCore), join(root, 'build/bench/nvm-client'), ...words];
  return JSON.parse((await run(command)).stdout) as Answer;
}

function compare(samples: Samples, which: 'image' | 'region', field: string, about: Pick<MappingResult, 'title' | 'unit' | 'goal' | 'ofTimes'>): MappingResult {
  const values = (answers: readonly Answer[]): number[] => answers.map((answer) => answer[field] ?? NaN);
  const nvmfs = values(samples[which]);
  const plain = values(samples.plain);
  return { ...about, nvmfs, plain, ratio: ratioOfPairs(nvmfs, plain) };
}
