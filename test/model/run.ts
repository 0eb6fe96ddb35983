import { Random } from '../../src/base/random.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { Generator, profiles } from './generator.js';
import type { Operation } from './operation.js';
import { Runner } from './runner.js';
import { shrink } from './shrink.js';

/** A volume, and what is done to it. */
export interface RunConfiguration {
  profile: keyof typeof profiles;
  sizeBytes: number;
  /** Limit of the engine's cache of metadata; small ones bring blocks in and out all the time. */
  cacheBytes?: number;
  wrap?: (fs: FileSystemOperations) => FileSystemOperations;
}

export interface RunFailure {
  error: Error;
  /** Everything up to the failing operation. */
  operations: Operation[];
}

export interface RunResult {
  failure: RunFailure | undefined;
  /** How often each kind of operation ended how. */
  counts: Map<string, number>;
}

function makeRunner({ sizeBytes, cacheBytes, wrap }: RunConfiguration): Runner {
  return new Runner(
    new MemoryVolume({
      sizeBytes,
      record: true,
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
      ...(wrap === undefined ? {} : { wrap }),
    }),
  );
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Does `count` random operations, then removes everything; ends at the first failure. */
export function runRandom(configuration: RunConfiguration, seed: number, count: number): RunResult {
  const runner = makeRunner(configuration);
  const generator = new Generator(new Random(seed), profiles[configuration.profile], runner.model);
  const operations: Operation[] = [];
  try {
    while (operations.length < count) {
      const operation = generator.next();
      operations.push(operation);
      runner.step(operation);
    }
    runner.finish();
  } catch (error) {
    return { failure: { error: asError(error), operations }, counts: runner.counts };
  }
  return { failure: undefined, counts: runner.counts };
}

/** Does a given sequence, then removes everything. Returns what went wrong. */
export function runSequence(configuration: RunConfiguration, operations: readonly Operation[]): Error | undefined {
  try {
    const runner = makeRunner(configuration);
    for (const operation of operations) runner.step(operation);
    runner.finish();
  } catch (error) {
    return asError(error);
  }
  return undefined;
}

/** A short sequence that fails, and how. */
export function shrinkFailure(configuration: RunConfiguration, failure: RunFailure, milliseconds: number): RunFailure {
  const fails = (operations: readonly Operation[]): boolean => runSequence(configuration, operations) !== undefined;
  if (!fails(failure.operations)) return failure;
  const operations = shrink(failure.operations, { fails, milliseconds, now: () => performance.now() });
  return { operations, error: runSequence(configuration, operations) ?? failure.error };
}
