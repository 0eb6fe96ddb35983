// Guards promises 1, 2 and 4: every operation, cut off at any moment, is after recovery wholly there or wholly absent, the volume is
// sound, and what has returned is there. SEED=n replays; CRASH_STATES=n looks at more states of each moment (default 1).
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType } from '../../src/format/layout.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { AllocateMode, AttributeChange, Change, RenameFlag } from '../../src/fs/types.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { acl } from '../helpers/acl.js';
import { crashStates, openOn, viewOf, type VolumeView } from '../helpers/crash-states.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
const BLOCK = 4096;
/** Crash states of each kind at one moment. */
const STATES_MOST = Number(process.env['CRASH_STATES'] ?? 1);
const root = asIno(1);
t.comment(`SEED=${String(SEED)}`);
t.setTimeout(3_600_000);

/**
 * How much of an operation a crash may leave.
 * atomic: all or nothing. steps: several operations, one after the other. inPlace: names and sizes as atomic; each byte of the contents is the old or the new one. A change of
 * times alone may come later, unless the operation is atomic.
 */
type Grade = 'atomic' | 'steps' | 'inPlace';

interface Case {
  name: string;
  grade: Grade;
  run: (kit: Kit) => void;
}

/** The operations, by path. */
class Kit {
  constructor(readonly volume: MemoryVolume) {}

  ino(path: string): Ino {
    let at = root;
    for (const part of path.split('/')) {
      const found = part === '' ? at : this.volume.lookup(at, part);
      if (found === 0) throw new Error(`${path} is not there`);
      at = found;
    }
    return at;
  }

  private parent(path: string): Ino {
    return this.ino(path.slice(0, path.lastIndexOf('/')));
  }

  private named<T>(path: string, use: (parent: Ino, name: Parameters<Parameters<MemoryVolume['withName']>[1]>[0]) => T): T {
    const parent = this.parent(path);
    return this.volume.withName(path.slice(path.lastIndexOf('/') + 1), (name) => use(parent, name));
  }

  make(path: string, mode: number): Ino {
    return this.named(path, (parent, name) => this.volume.fs.makeNode(parent, name, mode, this.volume.owner(7, 8), 5, 6));
  }

  file(path: string): Ino {
    return this.make(path, FileType.regular | 0o644);
  }

  directory(path: string): Ino {
    return this.make(path, FileType.directory | 0o755);
  }

  symlink(path: string, target: string): void {
    const parent = this.parent(path);
    this.volume.withNames(path.slice(path.lastIndexOf('/') + 1), target, (name, given) => this.volume.fs.symlink(parent, name, given, this.volume.owner(7, 8)));
  }

  link(ino: Ino, path: string): void {
    this.named(path, (parent, name) => {
      this.volume.fs.link(ino, parent, name);
    });
  }

  unlink(path: string): void {
    this.named(path, (parent, name) => {
      this.volume.fs.unlink(parent, name);
    });
  }

  rmdir(path: string): void {
    this.named(path, (parent, name) => {
      this.volume.fs.rmdir(parent, name);
    });
  }

  rename(from: string, to: string, flags = 0): void {
    const [parent, newParent] = [this.parent(from), this.parent(to)];
    this.volume.withNames(from.slice(from.lastIndexOf('/') + 1), to.slice(to.lastIndexOf('/') + 1), (name, newName) => {
      this.volume.fs.rename(parent, name, newParent, newName, flags);
    });
  }

  write(path: string, offset: number, length: number): void {
    const bytes = new Uint8Array(length);
    new Random(offset + length).bytes(bytes);
    this.volume.fs.write(this.ino(path), offset, bytes, 0, length);
  }

  change(path: string, fields: Partial<AttributeChange>): void {
    this.volume.fs.setAttributes(this.ino(path), Object.assign(new AttributeChange(), fields));
  }

  truncate(path: string, size: number): void {
    this.change(path, { mask: Change.size, size });
  }

  allocate(path: string, mode: number, offset: number, length: number): void {
    this.volume.fs.allocate(this.ino(path), mode, offset, length);
  }

  set(path: string, name: string, value: Uint8Array | number): void {
    this.volume.setXattr(this.ino(path), name, typeof value === 'number' ? new Uint8Array(value).fill(value) : value);
  }

  remove(path: string, name: string): void {
    this.volume.removeXattr(this.ino(path), name);
  }
}

/** A volume with something of everything, closed. */
function baseVolume(): SimulatedPmem {
  const volume = new MemoryVolume({ sizeBytes: 4 * 1024 * 1024 });
  const kit = new Kit(volume);
  kit.file('/file');
  kit.write('/file', 0, 10_000);
  kit.link(kit.ino('/file'), '/linked');
  kit.file('/empty');
  kit.directory('/dir');
  kit.file('/dir/inner');
  kit.write('/dir/inner', 0, 100);
  kit.directory('/void');
  kit.directory('/dir/sub');
  kit.symlink('/short', 'a target');
  kit.symlink('/long', 'x'.repeat(3000));
  // Written, a hole, unwritten, and unwritten past the end.
  kit.file('/sparse');
  kit.write('/sparse', 0, 2 * BLOCK);
  kit.allocate('/sparse', 0, 6 * BLOCK, 3 * BLOCK);
  kit.allocate('/sparse', AllocateMode.keepSize, 9 * BLOCK, 2 * BLOCK);
  // A tree of extents: every other block.
  kit.file('/pieces');
  for (let index = 0; index < 40; index += 1) kit.write('/pieces', 2 * index * BLOCK, index === 39 ? 77 : BLOCK);
  // A tree of entries, with a leaf that is about to be split, and one about to be merged.
  kit.directory('/many');
  for (let index = 0; index < 150; index += 1) kit.file(`/many/${'n'.repeat(60)}${String(index)}`);
  for (let index = 0; index < 90; index += 3) kit.unlink(`/many/${'n'.repeat(60)}${String(index)}`);
  // Extended attributes: a few, so many that they fill a tree, and a default ACL.
  kit.file('/attributes');
  kit.set('/attributes', 'user.small', 20);
  kit.set('/attributes', 'user.large', 20_000);
  kit.file('/tree');
  for (let index = 0; index < 90; index += 1) kit.set('/tree', `user.${'n'.repeat(60)}${String(index)}`, index === 7 ? 9000 : 50);
  kit.file('/program');
  kit.write('/program', 0, 100);
  kit.change('/program', { mask: Change.mode, mode: 0o6777 });
  kit.set('/program', 'security.capability', 20);
  kit.file('/shared');
  kit.set('/shared', 'system.posix_acl_access', ACL);
  kit.directory('/parent');
  kit.set('/parent', 'system.posix_acl_default', ACL);
  volume.leave('close', new Random(0));
  return volume.pmem;
}

const ACL = acl(['userObject', 0, 7], ['user', 5, 6], ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 1]);
const OTHER_ACL = acl(['userObject', 0, 6], ['groupObject', 0, 5], ['group', 9, 6], ['mask', 0, 2], ['other', 0, 0]);
const treeXattr = (index: number): string => `user.${'n'.repeat(60)}${String(index)}`;

const many = (index: number): string => `/many/${'n'.repeat(60)}${String(index)}`;
const { keepSize, punchHole, zeroRange } = AllocateMode;

const cases: Case[] = [
  { name: 'create', grade: 'atomic', run: (k) => k.file('/new') },
  { name: 'create in a tree of entries', grade: 'atomic', run: (k) => k.file(`/many/${'m'.repeat(255)}`) },
  { name: 'create a device', grade: 'atomic', run: (k) => k.make('/dir/device', FileType.character | 0o600) },
  { name: 'mkdir', grade: 'atomic', run: (k) => k.directory('/dir/new') },
  { name: 'symlink', grade: 'atomic', run: (k) => { k.symlink('/new', 'somewhere'); } },
  { name: 'symlink with a block of its own', grade: 'atomic', run: (k) => { k.symlink('/new', 'y'.repeat(4000)); } },
  { name: 'link', grade: 'atomic', run: (k) => { k.link(k.ino('/file'), '/dir/third'); } },
  { name: 'a file without a name gets one', grade: 'atomic', run: (k) => { k.link(k.volume.fs.makeTemporary(root, FileType.regular | 0o600, k.volume.owner(1, 2)), '/new'); } },
  { name: 'unlink one of two names', grade: 'atomic', run: (k) => { k.unlink('/linked'); } },
  { name: 'unlink the last name', grade: 'atomic', run: (k) => { k.unlink('/dir/inner'); } },
  { name: 'unlink a file in pieces', grade: 'atomic', run: (k) => { k.unlink('/pieces'); } },
  { name: 'unlink a symlink with a block', grade: 'atomic', run: (k) => { k.unlink('/long'); } },
  { name: 'unlink in a tree of entries', grade: 'atomic', run: (k) => { k.unlink(many(149)); } },
  { name: 'unlink a file that is open', grade: 'atomic', run: (k) => { const ino = k.ino('/dir/inner'); k.volume.fs.hold(ino); k.unlink('/dir/inner'); k.volume.fs.release(ino, 1); } },
  { name: 'rmdir', grade: 'atomic', run: (k) => { k.rmdir('/dir/sub'); } },
  { name: 'rename in a directory', grade: 'atomic', run: (k) => { k.rename('/file', '/renamed'); } },
  { name: 'rename to another directory', grade: 'atomic', run: (k) => { k.rename('/file', '/dir/renamed'); } },
  { name: 'rename over a file', grade: 'atomic', run: (k) => { k.rename('/dir/inner', '/sparse'); } },
  { name: 'rename over a file in pieces', grade: 'atomic', run: (k) => { k.rename('/empty', '/pieces'); } },
  { name: 'rename a directory', grade: 'atomic', run: (k) => { k.rename('/dir/sub', '/sub'); } },
  { name: 'rename a directory over an empty one', grade: 'atomic', run: (k) => { k.rename('/dir', '/void'); } },
  { name: 'rename from a tree of entries', grade: 'atomic', run: (k) => { k.rename(many(1), '/dir/x'); } },
  { name: 'rename without replacing', grade: 'atomic', run: (k) => { k.rename('/short', many(0), RenameFlag.noReplace); } },
  { name: 'exchange', grade: 'atomic', run: (k) => { k.rename('/file', '/dir/inner', RenameFlag.exchange); } },
  { name: 'exchange a directory and a file', grade: 'atomic', run: (k) => { k.rename('/empty', '/dir/sub', RenameFlag.exchange); } },
  { name: 'truncate to nothing', grade: 'atomic', run: (k) => { k.truncate('/file', 0); } },
  { name: 'truncate inside a block', grade: 'atomic', run: (k) => { k.truncate('/file', 5001); } },
  { name: 'truncate a file in pieces', grade: 'atomic', run: (k) => { k.truncate('/pieces', 3 * BLOCK + 1); } },
  { name: 'grow', grade: 'atomic', run: (k) => { k.truncate('/file', 50_000); } },
  { name: 'shrink and grow', grade: 'inPlace', run: (k) => { k.truncate('/file', 10); k.truncate('/file', 10_000); } },
  { name: 'chmod, chown, utimens', grade: 'atomic', run: (k) => { k.change('/file', { mask: Change.mode | Change.uid | Change.gid | Change.mtime, mode: 0o4711, uid: 3, gid: 4, mtimeSeconds: -5, mtimeNanoseconds: 6 }); } },
  { name: 'allocate past the end', grade: 'atomic', run: (k) => { k.allocate('/file', 0, 9000, 40_000); } },
  { name: 'allocate and keep the size', grade: 'atomic', run: (k) => { k.allocate('/file', keepSize, 9000, 40_000); } },
  { name: 'allocate all holes', grade: 'atomic', run: (k) => { k.allocate('/pieces', 0, 0, 90 * BLOCK); } },
  { name: 'punch whole blocks', grade: 'atomic', run: (k) => { k.allocate('/file', punchHole | keepSize, BLOCK, BLOCK); } },
  { name: 'punch parts of blocks', grade: 'atomic', run: (k) => { k.allocate('/file', punchHole | keepSize, 100, 9000); } },
  { name: 'punch a file in pieces', grade: 'atomic', run: (k) => { k.allocate('/pieces', punchHole | keepSize, 5, 60 * BLOCK); } },
  { name: 'zero a range', grade: 'atomic', run: (k) => { k.allocate('/sparse', zeroRange, 1000, 8 * BLOCK + 50); } },
  { name: 'zero a range past the end', grade: 'atomic', run: (k) => { k.allocate('/file', zeroRange, 5000, 9000); } },
  { name: 'append', grade: 'atomic', run: (k) => { k.write('/file', 10_000, 9000); } },
  { name: 'write behind the end', grade: 'atomic', run: (k) => { k.write('/file', 30_001, 5000); } },
  { name: 'write in the last block, behind the end', grade: 'atomic', run: (k) => { k.write('/file', 11_000, 100); } },
  { name: 'write a first byte', grade: 'atomic', run: (k) => { k.write('/empty', 0, 1); } },
  { name: 'write past the end over preallocated blocks', grade: 'atomic', run: (k) => { k.write('/sparse', 9 * BLOCK, BLOCK + 17); } },
  { name: 'write into a hole', grade: 'atomic', run: (k) => { k.write('/sparse', 3 * BLOCK + 5, 2 * BLOCK); } },
  { name: 'write into unwritten blocks', grade: 'atomic', run: (k) => { k.write('/sparse', 7 * BLOCK + 1, 10); } },
  { name: 'overwrite', grade: 'inPlace', run: (k) => { k.write('/file', 3000, 3000); } },
  { name: 'write over data, a hole and unwritten blocks', grade: 'inPlace', run: (k) => { k.write('/sparse', BLOCK + 3, 7 * BLOCK); } },
  { name: 'write over all pieces', grade: 'inPlace', run: (k) => { k.write('/pieces', 1, 78 * BLOCK); } },
  { name: 'set a first attribute', grade: 'atomic', run: (k) => { k.set('/file', 'user.new', 10); } },
  { name: 'set a first attribute with a large value', grade: 'atomic', run: (k) => { k.set('/dir', 'user.new', 65_536); } },
  { name: 'set one more attribute', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.new', 200); } },
  { name: 'set an attribute in a tree', grade: 'atomic', run: (k) => { k.set('/tree', 'user.new', 250); } },
  { name: 'replace a small value by a small one', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.small', 21); } },
  { name: 'replace a small value by one of its length', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.small', new Uint8Array(20).fill(9)); } },
  { name: 'replace a small value by a large one', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.small', 40_000); } },
  { name: 'replace a large value by a small one', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.large', 1); } },
  { name: 'replace a large value by one of its length', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.large', new Uint8Array(20_000).fill(9)); } },
  { name: 'replace a large value by a larger one', grade: 'atomic', run: (k) => { k.set('/attributes', 'user.large', 65_536); } },
  { name: 'remove an attribute', grade: 'atomic', run: (k) => { k.remove('/attributes', 'user.small'); } },
  { name: 'remove an attribute with a large value', grade: 'atomic', run: (k) => { k.remove('/attributes', 'user.large'); } },
  { name: 'remove the last attribute', grade: 'atomic', run: (k) => { k.remove('/program', 'security.capability'); } },
  { name: 'remove an attribute of a tree', grade: 'atomic', run: (k) => { k.remove('/tree', treeXattr(7)); } },
  { name: 'unlink a file with attributes', grade: 'atomic', run: (k) => { k.unlink('/attributes'); } },
  { name: 'unlink a file with a tree of attributes', grade: 'atomic', run: (k) => { k.unlink('/tree'); } },
  { name: 'rmdir a directory with attributes', grade: 'atomic', run: (k) => { k.rmdir('/parent'); } },
  { name: 'rename over a file with attributes', grade: 'atomic', run: (k) => { k.rename('/empty', '/attributes'); } },
  { name: 'set an access ACL, which sets the mode', grade: 'atomic', run: (k) => { k.set('/attributes', 'system.posix_acl_access', OTHER_ACL); } },
  { name: 'replace an access ACL', grade: 'atomic', run: (k) => { k.set('/shared', 'system.posix_acl_access', OTHER_ACL); } },
  { name: 'set an ACL that is only a mode', grade: 'atomic', run: (k) => { k.set('/shared', 'system.posix_acl_access', acl(['userObject', 0, 4], ['groupObject', 0, 4], ['other', 0, 0])); } },
  { name: 'chmod of a file with an ACL', grade: 'atomic', run: (k) => { k.change('/shared', { mask: Change.mode, mode: 0o600 }); } },
  { name: 'create with an inherited ACL', grade: 'atomic', run: (k) => k.file('/parent/new') },
  { name: 'mkdir with an inherited ACL', grade: 'atomic', run: (k) => k.directory('/parent/new') },
  { name: 'a file without a name inherits an ACL and gets a name', grade: 'atomic', run: (k) => { k.link(k.volume.fs.makeTemporary(k.ino('/parent'), FileType.regular | 0o600, k.volume.owner(1, 2)), '/parent/new'); } },
  { name: 'truncate a program, which takes its privileges', grade: 'atomic', run: (k) => { k.change('/program', { mask: Change.size | Change.killPrivileges, size: 10 }); } },
  { name: 'append to a program, which takes its capabilities first', grade: 'steps', run: (k) => { k.write('/program', 100, 5000); } },
  { name: 'copy a range', grade: 'atomic', run: (k) => { k.volume.fs.copyRange(k.ino('/file'), 100, k.ino('/empty'), 10, 8000); } },
];

/** Whether each byte of `found` is that of one of the others at this place. */
function isMixed(found: Uint8Array, before: Uint8Array, after: Uint8Array): boolean {
  return found.every((byte, index) => byte === before[index] || byte === after[index]);
}

function sameFiles(a: VolumeView, b: VolumeView): boolean {
  return a.files.size === b.files.size && [...a.files].every(([path, bytes]) => Buffer.compare(bytes, b.files.get(path) ?? new Uint8Array(1)) === 0);
}

/** Whether each line of a view is that of one of the others, and so is each file. */
function isBetween(found: VolumeView, before: VolumeView, after: VolumeView): boolean {
  const known = new Set([...before.names.split('\n'), ...after.names.split('\n')]);
  const isKnown = (path: string, bytes: Uint8Array): boolean =>
    [before, after].some((view) => Buffer.compare(bytes, view.files.get(path) ?? new Uint8Array(1)) === 0);
  return found.names.split('\n').every((line) => known.has(line)) && [...found.files].every(([path, bytes]) => isKnown(path, bytes));
}

/** What is wrong with what a crash left; '' when nothing is. */
function judge(grade: Grade, found: VolumeView, before: VolumeView, after: VolumeView, returned: boolean): string {
  const isAfter = found.names === after.names && (grade === 'inPlace' || found.times === after.times) && sameFiles(found, after);
  if (isAfter) return '';
  if (returned) return `an operation that returned is not there:\n${found.names}${found.times}`;
  if (found.names === before.names && found.times === before.times && sameFiles(found, before)) return '';
  if (grade === 'steps' && isBetween(found, before, after)) return '';
  if (grade !== 'inPlace') return `neither the state before nor the one after:\n${found.names}${found.times}`;
  for (const [path, bytes] of found.files) {
    if (!isMixed(bytes, before.files.get(path) ?? bytes, after.files.get(path) ?? bytes)) return `${path} has bytes that were never written`;
  }
  return '';
}

/** Replays the journal of a crashed medium, now and then with a crash in the middle, and verifies the volume. */
function recover(image: SimulatedPmem, again: boolean, random: Random): { image: SimulatedPmem; problem: string } {
  let recovered = image;
  if (again) {
    image.startRecording();
    recoverJournal(image, readSuperblock(image).geometry);
    const position = random.below(image.log.length + 1);
    recovered = image.crashImage(position, (line) => random.below(line.atoms.length + 1));
  }
  recoverJournal(recovered, readSuperblock(recovered).geometry);
  const report = verifyVolume(recovered);
  return { image: recovered, problem: report.clean ? '' : JSON.stringify(report.findings.slice(0, 3)) };
}

const base = baseVolume();
let states = 0;
const started = performance.now();
for (const [number, { name, grade, run }] of cases.entries()) {
  t.test(name, (t) => {
    const random = new Random(SEED + number);
    const clock = new ManualClock(1_750_000_000, 1);
    const medium = base.fork({ record: true });
    const kit = new Kit(openOn(medium, clock));
    // So that the operation begins with stores of the one before that no fence has made certain.
    kit.file('/earlier');
    clock.advance(1e9);
    const before = viewOf(kit.volume);
    const start = medium.log.length;
    run(kit);
    const end = medium.log.length;
    const after = viewOf(kit.volume);
    t.ok(after.names !== before.names || after.times !== before.times || !sameFiles(after, before), 'the operation does something');

    const { certain, replay } = medium.replay();
    const problems: string[] = [];
    for (let position = start; position <= end && problems.length === 0; position += 1) {
      // The worst moments are just before fences, and the ends.
      if (position !== start && position !== end && medium.log[position]?.kind !== 'fence') continue;
      replay.advance(position);
      for (const state of crashStates(replay.lines().length, STATES_MOST, random)) {
        states += 1;
        const crashed = medium.crashImageOf(certain, replay, state.chooser);
        const { image, problem } = recover(crashed, random.chance(0.1), random);
        const wrong = problem !== '' ? problem : judge(grade, viewOf(openOn(image)), before, after, position === end);
        if (wrong !== '') {
          problems.push(`entry ${String(position - start)} of ${String(end - start)}, ${state.name}: ${wrong}`);
          break;
        }
      }
    }
    t.same(problems, [], `every crash state is sound (SEED=${String(SEED)})`);
    t.end();
  });
}
t.comment(`${String(states)} crash states in ${((performance.now() - started) / 1000).toFixed(1)} s`);
