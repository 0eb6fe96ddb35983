// Guards promises 1, 2 and 4 and POSIX semantics: random operations on the engine and on a plain model must agree, through remounts,
// crashes and full volumes, and after everything is removed the volume is as when it was fresh.
//
// SEED=n replays; MODEL_OPERATIONS=n runs longer; MODEL_RUN=name runs one of the volumes alone.
import t from 'tap';
import { GIB, MIB, TIB } from '../../src/base/units.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import type { Name } from '../../src/fs/types.js';
import { seed, thorough } from '../helpers/run.js';
import { sourceOf } from './operation.js';
import { runRandom, runSequence, shrinkFailure, type RunConfiguration } from './run.js';
import { shrink } from './shrink.js';

const SEED = seed();
const OPERATIONS = Number(process.env['MODEL_OPERATIONS'] ?? (thorough ? 102_000 : 34_000));
const SHRINK_MS = 60_000;

const runs: (RunConfiguration & { name: string; share: number })[] = [
  { name: 'small', profile: 'full', sizeBytes: 4 * MIB, share: 0.2 },
  { name: 'tight', profile: 'mixed', sizeBytes: 8 * MIB, cacheBytes: 1 * MIB, share: 0.25 },
  { name: 'odd', profile: 'names', sizeBytes: 70 * MIB + 12_288, share: 0.25 },
  { name: 'data', profile: 'data', sizeBytes: 160 * MIB, share: 0.05 },
  { name: 'wide', profile: 'wide', sizeBytes: GIB, cacheBytes: 2 * MIB, share: 0.15 },
  { name: 'huge', profile: 'mixed', sizeBytes: TIB, share: 0.1 },
];

t.comment(`SEED=${String(SEED)}`);
t.setTimeout(3_600_000);

for (const [index, run] of runs.entries()) {
  if (process.env['MODEL_RUN'] !== undefined && process.env['MODEL_RUN'] !== run.name) continue;
  t.test(`${run.name}: ${run.profile} on ${String(run.sizeBytes / MIB)} MiB`, (t) => {
    const count = Math.ceil(OPERATIONS * run.share);
    const started = performance.now();
    const { failure, counts } = runRandom(run, SEED + index, count);
    t.comment(`${String(count)} operations in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    t.comment([...counts].sort().map(([outcome, times]) => `${outcome} ${String(times)}`).join(', '));
    if (failure === undefined) {
      t.pass(`${String(count)} operations agree with the model`);
    } else {
      const smallest = shrinkFailure(run, failure, SHRINK_MS);
      t.comment(`replay with SEED=${String(SEED)} MODEL_RUN=${run.name}; the shortest sequence found, for runSequence:`);
      for (const line of sourceOf(smallest.operations).split('\n')) t.comment(line);
      t.fail(failure.error.message, { seed: SEED, first: failure.error.stack, shortest: smallest.error.stack });
    }
    t.end();
  });
}

t.test('a sequence is shrunk to what the failure needs', (t) => {
  let tries = 0;
  const found = shrink(Array.from({ length: 1000 }, (_, i) => i), {
    fails: (items) => {
      tries += 1;
      return items.includes(17) && items.includes(500) && items.includes(999);
    },
    milliseconds: Infinity,
    now: () => 0,
  });
  t.same(found, [17, 500, 999]);
  t.ok(tries < 300, 'in few steps', { tries });
  t.end();
});

/** Engines with a fault each: the model test must find them, or it proves nothing. */
const faults: Record<string, (fs: FileSystemOperations) => Partial<FileSystemOperations>> = {
  'rename replaces in spite of NOREPLACE': (fs) => ({
    rename: (parent, name, newParent, newName, flags) => {
      fs.rename(parent, name, newParent, newName, flags & ~1);
    },
  }),
  'an unaligned write loses its last byte': (fs) => ({
    write: (ino, offset, source, sourceOffset, length) => {
      fs.write(ino, offset, source, sourceOffset, length % 8 === 7 && length > 100 ? length - 1 : length);
      return length;
    },
  }),
  'a name is kept beyond the call': (fs) => {
    let last: Name | undefined;
    return {
      lookup: (parent, name) => {
        const asked = last ?? name;
        last = name;
        return fs.lookup(parent, asked);
      },
    };
  },
  'a punched hole is one byte short': (fs) => ({
    allocate: (ino, mode, offset, length) => {
      fs.allocate(ino, mode, offset, mode === 3 && length > 1 ? length - 1 : length);
    },
  }),
  'one of two holds is not given back': (fs) => ({
    release: (ino, count) => {
      fs.release(ino, count === 2 ? 1 : count);
    },
  }),
};

t.test('the model test finds faults', (t) => {
  for (const [name, fault] of Object.entries(faults)) {
    const wrap = (fs: FileSystemOperations): FileSystemOperations => {
      const replaced: Partial<FileSystemOperations> = fault(fs);
      return new Proxy(fs, {
        get: (target, key: keyof FileSystemOperations) => replaced[key] ?? target[key].bind(target),
      });
    };
    const run: RunConfiguration = { profile: 'mixed', sizeBytes: 64 * MIB, wrap };
    const { failure } = runRandom(run, SEED, 20_000);
    if (failure === undefined) {
      t.fail(`not found: ${name}`);
      continue;
    }
    const smallest = shrinkFailure(run, failure, SHRINK_MS);
    t.ok(smallest.operations.length <= 12, `found and shrunk to ${String(smallest.operations.length)} operations: ${name}`);
    t.equal(runSequence({ ...run, wrap: (fs) => fs }, smallest.operations), undefined, 'which the engine itself does right');
  }
  t.end();
});
