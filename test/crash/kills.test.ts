// Guards promises 1 and 2 in a volume that has been in use for long (a journal gone round, trees of several levels, a small cache that is full):
// a process killed between any two stores of an operation, the engine's memory as it was, leaves the operation wholly done or not at all.
import t from 'tap';
import { makeVolume } from '../../mkfs/layout.js';
import { Random } from '../../src/base/random.js';
import { type Ino, MIB } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType } from '../../src/format/layout.js';
import { AllocateMode, Change, RenameFlag } from '../../src/fs/types.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { seed } from '../helpers/run.js';
import { contentOf, dumpOf } from './dump.js';
import { Kit } from './kit.js';
import { differenceOfContent } from './oracle.js';

const SEED = seed();
const ROUNDS = Number(process.env['KILLS'] ?? 400);
const DIRECTORIES = ['/a', '/b', '/a/c'];
const NAMES = 25;
const SIZE_MAX = 100_000;
t.comment(`SEED=${String(SEED)}`);
t.setTimeout(900_000);

class Killed extends Error {}

/** A medium whose process is killed before a store, or in the middle of it. */
class KilledPmem {
  /** Stores until then. */
  left = Infinity;
  stores = 0;

  constructor(readonly pmem: SimulatedPmem) {
    const store = pmem.store.bind(pmem);
    const zero = pmem.zero.bind(pmem);
    const copy = pmem.copy.bind(pmem);
    pmem.store = (address, source, offset, length): void => {
      const kept = this.survives(address, length);
      if (kept > 0) store(address, source, offset, kept);
      this.die();
    };
    pmem.zero = (address, length): void => {
      const kept = this.survives(address, length);
      if (kept > 0) zero(address, kept);
      this.die();
    };
    pmem.copy = (target, source, length): void => {
      const kept = this.survives(target, length);
      if (kept > 0) copy(target, source, kept);
      this.die();
    };
  }

  /** How much of a store gets there: of the one that is cut the first half, in whole lines. */
  private survives(address: number, length: number): number {
    this.stores += 1;
    this.left -= 1;
    if (this.left > 0) return length;
    return this.left === 0 ? Math.max(0, Math.floor((address + length / 2) / 64) * 64 - address) : 0;
  }

  private die(): void {
    if (this.left <= 0) throw new Killed();
  }
}

interface FileState {
  line: string;
  content: Uint8Array | undefined;
}

/** By path: what programs see, but times and inode numbers. */
function stateOf(kit: Kit, pmem: SimulatedPmem): Map<string, FileState> {
  const dump = dumpOf(kit);
  const contents = new Map(dump.files.map((file) => [file.path, contentOf(file, pmem)]));
  const states = new Map<string, FileState>();
  for (const line of dump.names.split('\n')) {
    const path = line.slice(0, line.indexOf(': inode'));
    states.set(path, { line: line.replace(/: inode \d+\.\d+/, '').replace(/ blocks \d+/, ''), content: contents.get(path) });
  }
  return states;
}

/** What is wrong in `found`; bytes of files may also be those of `newer`. '' when nothing is. */
function difference(found: Map<string, FileState>, expected: Map<string, FileState>, newer?: Map<string, FileState>): string {
  for (const path of new Set([...found.keys(), ...expected.keys()])) {
    const [is, shouldBe] = [found.get(path), expected.get(path)];
    if (is === undefined || shouldBe === undefined) return `${path} ${is === undefined ? 'is missing' : 'should not be there'}`;
    if (is.line !== shouldBe.line) return `${is.line}, expected ${shouldBe.line}`;
    if (is.content === undefined || shouldBe.content === undefined) continue;
    const wrong = differenceOfContent(0 as Ino, is.content, shouldBe.content, newer?.get(path)?.content);
    if (wrong !== '') return `${path}: ${wrong}`;
  }
  return '';
}

/** The operation is chosen here and may be run on another kit of the same state. `data`: bytes may be mixed. */
interface Step {
  name: string;
  data: boolean;
  run: (kit: Kit) => void;
}

function choose(kit: Kit, random: Random): Step {
  const path = (): string => `${random.pick(DIRECTORIES)}/${String(random.below(NAMES)).repeat(random.pick([1, 1, 20]))}`;
  const existing = (): string | undefined => {
    for (let tries = 0; tries < 40; tries += 1) {
      const one = path();
      if (kit.find(one) !== 0) return one;
    }
    return undefined;
  };
  const absent = (): string | undefined => {
    for (let tries = 0; tries < 40; tries += 1) {
      const one = path();
      if (kit.find(one) === 0) return one;
    }
    return undefined;
  };
  const [from, free] = [existing(), absent()];
  const type = from === undefined ? 0 : kit.attributes(kit.ino(from)).mode & FileType.mask;
  const size = from === undefined ? 0 : kit.attributes(kit.ino(from)).size;
  const step = (name: string, run: (kit: Kit) => void, data = false): Step => ({ name, run, data });
  const kind = random.below(16);
  if (from === undefined || (kind < 3 && free !== undefined)) {
    const target = free ?? '/a/x';
    if (kind === 2) return step(`symlink ${target}`, (k) => { k.symlink(target, 'x'.repeat(1 + (SIZE_MAX % 900))); });
    return step(`create ${target}`, (k) => { k.file(target); });
  }
  const other = existing() ?? from;
  if (kind === 3) return step(`unlink ${from}`, (k) => { k.unlink(from); });
  if (kind === 4 && free !== undefined) return step(`rename ${from} to ${free}`, (k) => { k.rename(from, free); });
  if (kind === 5 && kit.ino(other) !== kit.ino(from)) return step(`rename ${from} over ${other}`, (k) => { k.rename(from, other); });
  if (kind === 6) return step(`exchange ${from} and ${other}`, (k) => { k.rename(from, other, RenameFlag.exchange); });
  if (kind === 7 && free !== undefined && type === FileType.regular) return step(`link ${from} as ${free}`, (k) => { k.link(k.ino(from), free); });
  if (kind === 8) {
    const mode = random.below(0o1000);
    return step(`chmod ${from} to ${mode.toString(8)}`, (k) => { k.change(from, { mask: Change.mode, mode }); });
  }
  if (type !== FileType.regular) return step(`unlink ${from}`, (k) => { k.unlink(from); });
  if (kind === 9) {
    const to = random.below(SIZE_MAX);
    return step(`truncate ${from} from ${String(size)} to ${String(to)}`, (k) => { k.truncate(from, to); });
  }
  const offset = random.below(size + 5000);
  const length = 1 + random.below(random.pick([100, 5000, 30_000]));
  if (kind === 10) {
    const mode = random.pick([0, AllocateMode.punchHole | AllocateMode.keepSize, AllocateMode.zeroRange, AllocateMode.zeroRange | AllocateMode.keepSize]);
    return step(`fallocate mode ${String(mode)} of ${from}, ${String(length)} at ${String(offset)}`, (k) => { k.allocate(from, mode, offset, length); });
  }
  if (size + length > 2 * SIZE_MAX) return step(`truncate ${from} to 100`, (k) => { k.truncate(from, 100); });
  if (kind < 13) return step(`append ${String(length)} to ${from} of ${String(size)}`, (k) => { k.append(from, length); }, true);
  return step(`write ${String(length)} at ${String(offset)} to ${from} of ${String(size)}`, (k) => { k.write(from, offset, length); }, true);
}

/** A volume in use, killed and mounted again and again. */
class Victim {
  readonly counts = { killed: 0, before: 0, after: 0, operations: 0 };
  medium = new SimulatedPmem(64 * MIB);
  private killable: KilledPmem;
  private kit: Kit;

  constructor(private readonly random: Random) {
    makeVolume(this.medium, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
    this.killable = new KilledPmem(this.medium);
    this.kit = new Kit(this.medium);
    for (const path of DIRECTORIES) this.kit.directory(path);
  }

  /** Some operations; files that are unlinked may stay open. */
  use(): void {
    const { random, kit } = this;
    for (let left = random.below(60); left > 0; left -= 1) {
      const step = choose(kit, random);
      if (step.name.startsWith('unlink') && random.chance(0.3)) kit.hold(kit.ino(step.name.slice('unlink '.length)));
      step.run(kit);
      this.counts.operations += 1;
      if (random.chance(0.2)) kit.fs.backgroundStep();
      if (random.chance(0.1)) kit.flushTimes();
    }
  }

  /** One more operation, in the middle of which or soon after it the process is killed, and a mount. Returns what is wrong then, or ''. */
  kill(): string {
    const step = choose(this.kit, this.random);
    const before = stateOf(this.kit, this.medium);
    const twin = new KilledPmem(this.medium.compact());
    const twinKit = new Kit(twin.pmem, this.kit.clock);
    const stores = twin.stores;
    step.run(twinKit);
    const after = stateOf(twinKit, twin.pmem);
    const wasKilled = this.run(step, 1 + this.random.below(twin.stores - stores + 1));
    this.medium = this.medium.compact();
    this.killable = new KilledPmem(this.medium);
    this.kit = new Kit(this.medium, this.kit.clock);
    const found = stateOf(this.kit, this.medium);
    const notOld = difference(found, before, step.data ? after : undefined);
    const notNew = difference(found, after, step.data ? before : undefined);
    const problem = this.kit.log.filter((line) => line.startsWith('error')).join('; ');
    this.counts[notNew === '' ? 'after' : 'before'] += 1;
    if (problem === '' && (notNew === '' || (wasKilled && notOld === ''))) return '';
    return `${step.name}: ${problem} ${wasKilled ? 'killed' : 'not killed'}; not as before: ${notOld}; not as after: ${notNew}`;
  }

  /** Runs the step with a kill at a store; true if it was reached. */
  private run(step: Step, atStore: number): boolean {
    this.killable.left = atStore;
    try {
      step.run(this.kit);
      while (this.kit.fs.backgroundStep());
    } catch (error) {
      // Whatever the engine made of it: the process is dead.
      if (this.killable.left > 0) throw error;
      this.counts.killed += 1;
    }
    return this.killable.left <= 0;
  }
}

t.test('a kill between any two stores leaves the operation in flight done or not', (t) => {
  const victim = new Victim(new Random(SEED));
  for (let round = 0; round < ROUNDS; round += 1) {
    victim.use();
    const problem = victim.kill();
    const { findings } = round % 50 === 49 ? verifyVolume(victim.medium) : { findings: [] };
    if (problem === '' && findings.length === 0) continue;
    t.fail(`round ${String(round)}, ${problem} ${JSON.stringify(findings.slice(0, 3))}`);
    break;
  }
  const { operations, killed, before, after } = victim.counts;
  t.comment(`${String(operations)} operations, ${String(killed)} of ${String(ROUNDS)} kills in the middle: ${String(before)} undone, ${String(after)} done`);
  t.ok(before > ROUNDS / 20 && after > ROUNDS / 20, 'kills left operations done and undone');
  t.end();
});
