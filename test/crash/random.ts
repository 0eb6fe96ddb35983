/** Long workloads from a seed. */
import { Random } from '../../src/base/random.js';
import { AllocateMode, RenameFlag } from '../../src/fs/types.js';
import type { Kit } from './kit.js';
import { operations, type Operation } from './operations.js';
import type { Workload } from './workloads.js';

const LENGTH = 30;
const names = ['/A/foo', '/A/bar', '/B/foo', '/B/bar'];
const { keepSize, punchHole, zeroRange } = AllocateMode;
const MODES = [0, keepSize, punchHole | keepSize, zeroRange, zeroRange | keepSize];

/** A workload of 30 operations: those of the short sequences, and ones with sizes, places and names of their own. */
export function randomWorkload(seed: number): Workload {
  const random = new Random(seed);
  const chosen = Array.from({ length: LENGTH }, () => (random.chance(0.4) ? random.pick(operations) : randomOperation(random)));
  return { id: `random:${String(seed)}`, base: 'small', operations: chosen, from: 0 };
}

/** The choices are made now: the operation is the same however often it is run. */
function randomOperation(random: Random): Operation {
  const path = random.pick(names);
  const other = random.pick(names.filter((name) => name !== path));
  const offset = random.below(random.pick([8, 5000, 40_000]));
  const length = 1 + random.below(random.pick([16, 3000, 20_000]));
  const mode = random.pick(MODES);
  const needs = { [path]: 'file' } as const;
  const made = (name: string, run: (kit: Kit) => void): Operation => ({ name, needs, run });
  return random.pick([
    made(`write ${String(length)} bytes of ${path} at ${String(offset)}`, (k) => { k.write(path, offset, length); }),
    made(`truncate ${path} to ${String(offset)}`, (k) => { k.truncate(path, offset); }),
    made(`fallocate mode ${String(mode)} of ${path}, ${String(length)} bytes at ${String(offset)}`, (k) => { k.allocate(path, mode, offset, length); }),
    { name: `rename ${path} over ${other}`, needs: { [path]: 'file', [other]: 'file' }, run: (k: Kit) => { k.rename(path, other); } },
    { name: `exchange ${path} and ${other}`, needs: { [path]: 'file', [other]: 'file' }, run: (k: Kit) => { k.rename(path, other, RenameFlag.exchange); } },
    made(`fsync ${path}`, (k) => { k.sync(k.ino(path)); }),
    made(`times become durable after a write to ${path}`, (k) => { k.write(path, 0, 1 + (length % 50)); k.flushTimes(); }),
  ]);
}
