/** `make bench`: measures NVMFS against a null server on the same machine in the same run, and prints one table. */
import { accessSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BENCH_CASES, type BenchCase } from './cases.js';
import { measureMappings, type MappingResult } from './mapping.js';
import { Interrupted, isMounted, run, watchSignals } from './process.js';
import { describeRun, formatCases, formatMappings, formatVolumeTimes, toJson, type CaseResult, type Method, type Sample } from './report.js';
import { makeTargets, TARGET_NAMES, type Target, type TargetName } from './targets.js';
import { measureVolumeTimes, type VolumeTimes } from './volume-times.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CLIENT = join(ROOT, 'build/bench/client');
const ROUNDS_MAX = 1000;
const SECONDS_MAX = 3600;

const HELP = `usage: node dist/bench/run.js [options]        (as root; "make bench" builds what it needs)
  --case NAME          only this case (may be repeated); "volume" is mkfs and mount of 1 TiB, "mapping" mapped files
                       ${BENCH_CASES.map((bench) => bench.name).join(' ')}
  --rounds N           rounds per case (7)
  --seconds S          seconds per case, round and target (1)
  --targets A,B        of ${TARGET_NAMES.join(',')} (all; peer if there is one)
  --cores SERVER,CLIENT  cores they are pinned to (1,0; 0,0 puts them on the same core)
  --medium DIRECTORY   where the image and the tmpfs reference are (/dev/shm)
  --image-size SIZE    of the image (4g)
  --mount-options O    further options for nvmfs mount
  --null-options O     further options for the null server, such as "--poll" or "--spin 20"
  --peer COMMAND       a foreign FUSE server that stays in the foreground, with {source} and {mount}
  --json FILE          write all samples
`;

interface Arguments {
  readonly method: Method;
  readonly cases: readonly BenchCase[];
  readonly volume: boolean;
  readonly mapping: boolean;
  readonly targets: readonly TargetName[];
  readonly imageSize: string;
  readonly peer: string | null;
  readonly json: string | null;
}

class UsageError extends Error {}

function numberWithin(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!(value >= min && value <= max)) throw new UsageError(`--${name}: expected a number from ${min} to ${max}, found "${text}"`);
  return value;
}

function readTargets(text: string): TargetName[] {
  return text.split(',').map((word) => {
    const name = TARGET_NAMES.find((known) => known === word);
    if (name === undefined) throw new UsageError(`--targets: unknown target "${word}"`);
    return name;
  });
}

function readCores(text: string): [server: number, client: number] {
  const [server, client, ...rest] = text.split(',');
  if (server === undefined || client === undefined || rest.length > 0) throw new UsageError('--cores: expected SERVER,CLIENT');
  return [numberWithin('cores', server, 0, 4095), numberWithin('cores', client, 0, 4095)];
}

function readArguments(words: string[]): Arguments | null {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: words,
    options: {
      case: { type: 'string', multiple: true }, rounds: text, seconds: text, targets: text, cores: text, medium: text,
      'image-size': text, 'mount-options': text, 'null-options': text, peer: text, json: text, help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return null;
  const wanted = values.case ?? ['volume', 'mapping', ...BENCH_CASES.map((bench) => bench.name)];
  for (const name of wanted) {
    if (name !== 'volume' && name !== 'mapping' && !BENCH_CASES.some((bench) => bench.name === name)) throw new UsageError(`--case: unknown case "${name}"`);
  }
  const [serverCore, clientCore] = readCores(values.cores ?? (availableParallelism() > 1 ? '1,0' : '0,0'));
  const targets = readTargets(values.targets ?? TARGET_NAMES.join(','));
  return {
    cases: BENCH_CASES.filter((bench) => wanted.includes(bench.name)),
    volume: wanted.includes('volume') && targets.includes('nvmfs'),
    mapping: wanted.includes('mapping') && targets.includes('nvmfs'),
    targets,
    imageSize: values['image-size'] ?? '4g',
    peer: values.peer ?? null,
    json: values.json ?? null,
    method: {
      rounds: Math.floor(numberWithin('rounds', values.rounds ?? '7', 1, ROUNDS_MAX)),
      seconds: numberWithin('seconds', values.seconds ?? '1', 0.05, SECONDS_MAX),
      serverCore, clientCore,
      mediumDirectory: values.medium ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir()),
      nullOptions: values['null-options'] ?? '',
      mountOptions: values['mount-options'] ?? '',
    },
  };
}

async function client(method: Method, words: readonly string[]): Promise<string> {
  return (await run(['taskset', '-c', String(method.clientCore), CLIENT, ...words])).stdout;
}

async function measureOnce(method: Method, bench: BenchCase, target: Target): Promise<Sample> {
  const verify = target.keepsData ? ['--verify'] : [];
  const words = ['--seconds', String(method.seconds), '--processes', String(bench.processes), ...verify, bench.load, target.directory];
  return JSON.parse(await client(method, words)) as Sample;
}

/** All rounds of a case; the targets take turns so that a drift of the machine meets all of them. */
async function measureCase(method: Method, bench: BenchCase, targets: readonly Target[]): Promise<CaseResult> {
  const samples: Partial<Record<TargetName, Sample[]>> = {};
  for (let round = 0; round < method.rounds; round++) {
    for (const target of targets) {
      const sample = await measureOnce(method, bench, target);
      (samples[target.name] ??= []).push(sample);
    }
    progress(`${bench.name}: round ${round + 1} of ${method.rounds}`);
  }
  return { bench, samples };
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

async function measure(parsed: Arguments, scratch: string, medium: string): Promise<void> {
  const { method } = parsed;
  for (const line of describeRun(method)) console.log(line);
  let volume: VolumeTimes | null = null;
  if (parsed.volume) {
    progress('mkfs and mount of 1 TiB');
    volume = await measureVolumeTimes(ROOT, scratch, medium);
  }
  let mappings: MappingResult[] | null = null;
  if (parsed.mapping) {
    progress('mapping');
    mappings = await measureMappings({ root: ROOT, scratch, medium, ...method });
  }
  const targets = makeTargets(parsed.targets, {
    root: ROOT, scratch, medium, imageSize: parsed.imageSize, serverCore: method.serverCore, mountOptions: method.mountOptions,
    nullOptions: method.nullOptions.split(' ').filter((word) => word !== ''), peer: parsed.peer,
  });
  const results: CaseResult[] = [];
  try {
    if (parsed.cases.length > 0) {
      for (const target of targets) {
        await target.start();
        await client(method, ['prepare', target.directory]);
      }
    }
    for (const bench of parsed.cases) results.push(await measureCase(method, bench, targets));
  } finally {
    progress('');
    await stopAll(targets);
  }
  if (results.length > 0) console.log(['', ...formatCases(results, targets.map((target) => target.name))].join('\n'));
  if (volume !== null) console.log(['', ...formatVolumeTimes(volume)].join('\n'));
  if (mappings !== null) console.log(['', ...formatMappings(mappings)].join('\n'));
  if (parsed.json !== null) writeFileSync(parsed.json, toJson(method, results, volume, mappings));
}

/** Stops every target also when one of them can't be stopped. @throws AggregateError with what went wrong. */
async function stopAll(targets: readonly Target[]): Promise<void> {
  const errors: unknown[] = [];
  for (const target of targets) {
    await target.stop().catch((error: unknown) => errors.push(error));
  }
  if (errors.length > 0) throw new AggregateError(errors, `cleaning up: ${errors.map(String).join('; ')}`);
}

/** Removes a scratch directory, but never through something still mounted below it. */
function removeScratch(directory: string, mounts: readonly string[]): void {
  const left = mounts.find((name) => isMounted(join(directory, name)));
  if (left !== undefined) throw new Error(`${join(directory, left)} is still mounted; nothing below ${directory} was removed`);
  rmSync(directory, { recursive: true });
}

async function main(): Promise<number> {
  const parsed = readArguments(process.argv.slice(2));
  if (parsed === null) {
    process.stdout.write(HELP);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new UsageError('the null server mounts with mount(2): run as root');
  accessSync(CLIENT);
  watchSignals();
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'nvmfs-bench-')));
  const medium = mkdtempSync(join(parsed.method.mediumDirectory, 'nvmfs-bench-'));
  try {
    await measure(parsed, scratch, medium);
  } finally {
    removeScratch(scratch, ['large', 'mapping', ...TARGET_NAMES]);
    removeScratch(medium, []);
  }
  return 0;
}

function exitCodeOf(error: Error): number {
  if (error instanceof Interrupted) return 130;
  const misused = error instanceof UsageError || ('code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  return misused ? 2 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Error)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = exitCodeOf(error);
}
