// Guards promises 1, 2 and 7 for files whose data is a host file: what the engine does with them, and that a crash, which leaves the image and the region directory as
// they were at some moment, leaves each operation wholly there or wholly absent, and no host file that no inode knows. SEED=n replays.
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType, InodeFlag } from '../../src/format/layout.js';
import { readSuperblock } from '../../src/format/superblock.js';
import type { DaxPolicy } from '../../src/fs/region-files.js';
import { AllocateMode, AttributeChange, Change, OpenedFile, SeekWhence, Statistics } from '../../src/fs/types.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import { regionName } from '../../src/region/regions.js';
import { SimulatedRegions } from '../../src/region/simulated.js';
import { crashStates, openOn, viewOf } from '../helpers/crash-states.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
const SIZE = 8 * 1024 * 1024;
const BLOCK = 4096;
const root = asIno(1);
const clock = new ManualClock(1_750_000_000, 1);
t.comment(`SEED=${String(SEED)}`);

/** A volume with its region directory; `file` makes files with the flag. */
class Kit {
  readonly opened = new OpenedFile();

  constructor(
    readonly volume: MemoryVolume,
    readonly regions: SimulatedRegions,
  ) {}

  static new(dax: DaxPolicy = 'inode', pagesMax?: number): Kit {
    const regions = new SimulatedRegions({ clock, ...(pagesMax === undefined ? {} : { pagesMax }) });
    return new Kit(new MemoryVolume({ sizeBytes: SIZE, regions, dax }), regions);
  }

  /** Ends the use of the volume in order, and opens it again. */
  reopen(): void {
    this.volume.leave('close', new Random(0));
    this.volume.reopen();
  }

  make(name: string, parent = root): Ino {
    return this.volume.withName(name, (given) => this.volume.fs.makeNode(parent, given, FileType.regular | 0o644, this.volume.owner(7, 8), 0, 0));
  }

  /** A DAX file with a host file. */
  file(name: string, length = 0): Ino {
    const ino = this.make(name);
    this.flag(ino, InodeFlag.dax);
    this.open(ino);
    this.close(ino);
    if (length > 0) this.write(ino, 0, length);
    return ino;
  }

  flag(ino: Ino, flags: number): void {
    this.volume.fs.setFlags(ino, flags, 0);
  }

  open(ino: Ino): OpenedFile {
    this.volume.fs.openFile(ino, this.opened);
    return this.opened;
  }

  /** The flag changes, and the file is closed; all that follows is done. */
  move(ino: Ino, flags: number): void {
    this.open(ino);
    this.flag(ino, flags);
    this.close(ino);
    while (this.volume.fs.backgroundStep());
  }

  /** The same, up to the middle of copying. */
  beginMove(ino: Ino, flags: number): void {
    this.flag(ino, flags);
    this.open(ino);
    this.close(ino);
    for (let step = 0; step < 2; step += 1) this.volume.fs.backgroundStep();
  }

  close(ino: Ino): void {
    this.volume.fs.closeFile(ino);
  }

  write(ino: Ino, offset: number, length: number): void {
    const bytes = new Uint8Array(length);
    new Random(offset + length).bytes(bytes);
    this.volume.fs.write(ino, offset, bytes, 0, length);
  }

  change(ino: Ino, fields: Partial<AttributeChange>): void {
    this.volume.fs.setAttributes(ino, Object.assign(new AttributeChange(), fields));
  }

  unlink(name: string): void {
    this.volume.withName(name, (given) => {
      this.volume.fs.unlink(root, given);
    });
    while (this.volume.fs.backgroundStep());
  }

  /** Where the data is. */
  isRegion(ino: Ino): boolean {
    return (this.volume.attributes(ino).flags & InodeFlag.region) !== 0;
  }

  hostName(ino: Ino): string {
    return regionName(ino, this.volume.attributes(ino).generation);
  }
}

function errnoOf(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
  return 'nothing';
}

t.test('an empty file with the flag becomes a region when it is opened or filled', (t) => {
  const kit = Kit.new();
  const { volume, regions } = kit;
  const ino = kit.make('file');
  kit.flag(ino, InodeFlag.dax);
  t.notOk(kit.isRegion(ino), 'the flag alone makes nothing');
  t.ok(kit.open(ino).direct, 'opened without the page cache');
  t.ok(kit.isRegion(ino));
  t.same(regions.names(), [kit.hostName(ino)]);
  kit.write(ino, 5000, 10_000);
  t.equal(volume.attributes(ino).size, 15_000, 'the size is the host file’s');
  t.equal(volume.attributes(ino).blocks, 3 * 8, 'and so are the blocks');
  t.same(volume.read(ino, 0, 5000), new Uint8Array(5000));
  const filled = kit.make('filled');
  kit.flag(filled, InodeFlag.dax);
  kit.change(filled, { mask: Change.size, size: 10 });
  t.ok(kit.isRegion(filled), 'a file that is cut to a size is filled');
  kit.close(ino);
  kit.reopen();
  t.equal(volume.attributes(ino).size, 15_000, 'after closing and opening the volume');
  const plain = kit.make('plain');
  t.notOk(kit.open(plain).direct);
  t.notOk(kit.isRegion(plain), 'others are in the image');
  t.end();
});

t.test('the flag is inherited, and new files begin as regions', (t) => {
  const kit = Kit.new();
  const { volume } = kit;
  const directory = volume.withName('directory', (name) => volume.fs.makeNode(root, name, FileType.directory | 0o755, volume.owner(1, 1), 0, 0));
  kit.flag(directory, InodeFlag.dax);
  const file = kit.make('inner', directory);
  t.ok(kit.isRegion(file));
  t.same(kit.regions.names(), [], 'a host file is made when the file is opened');
  t.equal(volume.attributes(file).size, 0);
  t.equal(volume.read(file, 0, 10).length, 0);
  kit.open(file);
  t.same(kit.regions.names(), [kit.hostName(file)]);
  kit.volume.withName('inner', (name) => { volume.fs.unlink(directory, name); });
  t.same(kit.regions.names(), [], 'and removed with it, as nobody has looked it up');
  const temporary = volume.fs.makeTemporary(directory, FileType.regular | 0o600, volume.owner(1, 1));
  t.ok(kit.isRegion(temporary), 'O_TMPFILE, too');
  t.end();
});

t.test('dax=always and dax=never', (t) => {
  const always = Kit.new('always', 1000);
  const ino = always.make('file');
  t.ok(always.isRegion(ino));
  t.equal(always.volume.attributes(ino).flags & InodeFlag.dax, 0, 'without the flag');
  const statistics = new Statistics();
  always.volume.fs.statistics(statistics);
  t.equal(statistics.freeBlocks, 1000, 'free is what the host has');
  const never = Kit.new('never');
  const plain = never.file('file');
  t.notOk(never.isRegion(plain), 'the flag says nothing');
  t.notOk(never.open(plain).direct);
  t.end();
});

t.test('where nobody can serve a region, the file is in the image, opened for direct I/O', (t) => {
  const kit = Kit.new();
  let obstacle: string | null = null;
  kit.volume.fs.serveRegions(() => obstacle);
  const region = kit.file('region', 100);
  const draft = kit.make('draft');
  kit.flag(draft, InodeFlag.dax);
  obstacle = 'no passthrough';
  const file = kit.make('file');
  kit.flag(file, InodeFlag.dax);
  t.ok(kit.open(file).direct);
  t.notOk(kit.isRegion(file));
  kit.write(file, 0, 5000);
  t.equal(kit.volume.read(file, 0, 9000).length, 5000);
  t.ok(kit.open(region).direct);
  t.equal(kit.volume.read(region, 0, 9000).length, 100, 'what is a region already is served');
  t.end();
});

t.test('a page of a DAX file in the image is reachable before it is handed out', (t) => {
  const kit = Kit.new();
  const { fs, pmem } = kit.volume;
  fs.serveRegions(() => 'no passthrough');
  const file = kit.make('file');
  kit.flag(file, InodeFlag.dax);
  kit.change(file, { mask: Change.size, size: 20 * BLOCK + 100 });
  fs.allocate(file, AllocateMode.keepSize, 2 * BLOCK, BLOCK);
  kit.write(file, 5 * BLOCK, 10);
  kit.change(file, { mask: Change.mtime, mtimeSeconds: 77, mtimeNanoseconds: 6 });
  const times = (): number[] => [kit.volume.attributes(file).mtimeSeconds, kit.volume.attributes(file).ctimeSeconds, kit.volume.attributes(file).ctimeNanoseconds];
  const before = times();
  kit.volume.clock.advance(5000);
  fs.populate(file, BLOCK, 6 * BLOCK);
  t.same(times(), before, 'reading changes no time');
  const crashed = new Kit(openOn(pmem.fork()), kit.regions);
  t.equal(crashed.volume.fs.seek(file, 0, SeekWhence.data), BLOCK, 'all of the range');
  t.equal(crashed.volume.fs.seek(file, BLOCK, SeekWhence.hole), 7 * BLOCK, 'and nothing else');
  t.same(crashed.volume.read(file, 5 * BLOCK, 10), kit.volume.read(file, 5 * BLOCK, 10), 'what was there stays');
  fs.populate(file, 20 * BLOCK, BLOCK);
  t.equal(kit.volume.attributes(file).size, 20 * BLOCK + 100, 'the size stays');
  t.equal(fs.seek(file, 7 * BLOCK, SeekWhence.data), 20 * BLOCK);
  const plain = kit.make('plain');
  kit.change(plain, { mask: Change.size, size: BLOCK });
  fs.populate(plain, 0, BLOCK);
  t.equal(kit.volume.attributes(plain).blocks, 0, 'other files keep their holes');
  t.end();
});

t.test('a draft that can’t become a region becomes a file of the image', (t) => {
  const kit = Kit.new('always');
  const ino = kit.make('file');
  kit.regions.blocked = 'no space for directories';
  kit.open(ino);
  t.notOk(kit.isRegion(ino));
  kit.write(ino, 0, 100);
  t.equal(kit.volume.read(ino, 0, 1000).length, 100);
  t.equal(kit.volume.attributes(ino).flags & InodeFlag.regionDraft, 0);
  t.end();
});

t.test('resizing, holes, times, copying', (t) => {
  const kit = Kit.new();
  const { volume } = kit;
  const ino = kit.file('file', 10_000);
  kit.change(ino, { mask: Change.size, size: 100 });
  kit.change(ino, { mask: Change.size, size: 50_000 });
  t.same(volume.read(ino, 100, 9000), new Uint8Array(9000), 'what was cut off does not come back');
  t.equal(volume.fs.seek(ino, 5000, SeekWhence.hole), 5000);
  t.equal(errnoOf(() => volume.fs.seek(ino, 50_000, SeekWhence.data)), 'ENXIO');
  volume.fs.allocate(ino, 0, 45_000, 10_000);
  t.equal(volume.attributes(ino).size, 55_000);
  volume.fs.allocate(ino, AllocateMode.punchHole | AllocateMode.keepSize, 0, BLOCK);
  t.equal(volume.fs.seek(ino, 0, SeekWhence.hole), 0);
  kit.change(ino, { mask: Change.mtime, mtimeSeconds: -5, mtimeNanoseconds: 6 });
  t.same([volume.attributes(ino).mtimeSeconds, volume.attributes(ino).mtimeNanoseconds], [-5, 6], 'the time of the host file is set');
  const image = kit.make('image');
  kit.write(image, 0, 9000);
  t.equal(volume.fs.copyRange(image, 1000, ino, 2000, 9000), 8000);
  t.same(volume.read(ino, 2000, 8000), volume.read(image, 1000, 8000), 'from the image');
  t.equal(volume.fs.copyRange(ino, 2000, image, 100_000, 8000), 8000);
  t.same(volume.read(ino, 2000, 8000), volume.read(image, 100_000, 8000), 'and back');
  t.equal(volume.fs.append(ino, new Uint8Array(10), 0, 10), 55_000);
  kit.flag(ino, InodeFlag.dax | InodeFlag.appendOnly);
  t.equal(errnoOf(() => { kit.write(ino, 55_000, 10); }), 'EPERM', 'append-only counts from the end of the host file');
  t.equal(kit.open(ino).descriptor, -1, 'what flags protect is not handed to the kernel');
  t.end();
});

t.test('a file with data moves when its flag has changed and it is closed', (t) => {
  const kit = Kit.new();
  const { volume, regions } = kit;
  const ino = kit.make('file');
  kit.change(ino, { mask: Change.size, size: 3_000_000 });
  kit.write(ino, 100, 5000);
  kit.write(ino, 2_500_000, 100_000);
  kit.change(ino, { mask: Change.mtime, mtimeSeconds: 77, mtimeNanoseconds: 6 });
  const contents = volume.read(ino, 0, 3_000_000);
  const free = volume.statistics().freeBlocks;
  const same = (what: string): void => {
    t.ok(Buffer.compare(volume.read(ino, 0, 4_000_000), contents) === 0, `${what}: the contents are the same`);
    t.same([volume.attributes(ino).mtimeSeconds, volume.attributes(ino).mtimeNanoseconds], [77, 6], `${what}: so is the time`);
  };
  kit.open(ino);
  kit.flag(ino, InodeFlag.dax);
  t.notOk(volume.fs.backgroundStep(), 'not while it is open');
  kit.close(ino);
  while (volume.fs.backgroundStep());
  t.ok(kit.isRegion(ino));
  same('in the host file');
  t.equal(volume.attributes(ino).blocks, 27 * 8, 'holes stay holes');
  t.ok(volume.statistics().freeBlocks > free, 'and its blocks are free');
  kit.reopen();
  same('after closing the volume');

  volume.fs.hold(ino);
  kit.move(ino, 0);
  t.ok(kit.isRegion(ino), 'not while the kernel holds it: it may be mapped');
  volume.fs.release(ino, 1);
  while (volume.fs.backgroundStep());
  t.notOk(kit.isRegion(ino));
  t.same(regions.names(), []);
  same('in the image');
  t.equal(volume.attributes(ino).flags & (InodeFlag.regionDraft | InodeFlag.orphan), 0);

  const full = Kit.new('inode', 10);
  const large = full.make('large');
  full.write(large, 0, 20 * BLOCK);
  full.move(large, InodeFlag.dax);
  t.notOk(full.isRegion(large), 'where the host has no space it stays');
  t.same(full.regions.names(), []);
  t.equal(full.volume.read(large, 0, 30 * BLOCK).length, 20 * BLOCK);
  t.end();
});

t.test('a file without a name keeps its host file until it is released', (t) => {
  const kit = Kit.new();
  const ino = kit.file('file', 100);
  kit.volume.fs.hold(ino);
  kit.unlink('file');
  t.equal(kit.volume.read(ino, 0, 1000).length, 100);
  t.equal(kit.regions.names().length, 1);
  kit.volume.fs.release(ino, 1);
  t.same(kit.regions.names(), []);
  t.end();
});

t.test('a missing host file is EIO for that file alone', (t) => {
  const kit = Kit.new();
  const { volume } = kit;
  const ino = kit.file('lost', 100);
  const other = kit.file('other', 200);
  const name = kit.hostName(ino);
  kit.reopen();
  kit.regions.lose(name);
  t.equal(volume.attributes(ino).nlink, 1, 'it can be seen');
  t.equal(errnoOf(() => volume.read(ino, 0, 10)), 'EIO');
  t.equal(errnoOf(() => kit.open(ino)), 'EIO');
  t.equal(errnoOf(() => { kit.write(ino, 0, 10); }), 'EIO');
  t.equal(volume.read(other, 0, 1000).length, 200, 'others are untouched');
  kit.unlink('lost');
  t.equal(errnoOf(() => volume.attributes(ino)), 'ESTALE', 'and it can be removed');
  t.end();
});

t.test('a full host is ENOSPC', (t) => {
  const kit = Kit.new('inode', 10);
  const ino = kit.file('file', 8 * BLOCK);
  t.equal(errnoOf(() => { kit.write(ino, 8 * BLOCK, 3 * BLOCK); }), 'ENOSPC');
  t.equal(errnoOf(() => { kit.volume.fs.allocate(ino, 0, 0, 11 * BLOCK); }), 'ENOSPC');
  t.equal(kit.volume.attributes(ino).size, 8 * BLOCK);
  t.end();
});

t.test('without its region directory, or in a volume made before there were any, nothing becomes a region', (t) => {
  const without = new MemoryVolume({ sizeBytes: SIZE, dax: 'always' });
  const ino = without.withName('file', (name) => without.fs.makeNode(root, name, FileType.regular | 0o644, without.owner(1, 1), 0, 0));
  t.equal(without.attributes(ino).flags, 0);
  const regions = new SimulatedRegions({ clock });
  const older = new MemoryVolume({ sizeBytes: SIZE, dax: 'always', regions, incompatFeatures: 0 });
  const second = older.withName('file', (name) => older.fs.makeNode(root, name, FileType.regular | 0o644, older.owner(1, 1), 0, 0));
  older.fs.openFile(second, new OpenedFile());
  t.equal(older.attributes(second).flags, 0);
  t.same(regions.names(), []);
  t.end();
});

interface CrashCase {
  readonly name: string;
  /** Contents may be half changed: the host's own business. */
  readonly atomic: boolean;
  readonly run: (kit: Kit, inodes: { readonly file: Ino; readonly draft: Ino; readonly empty: Ino; readonly image: Ino }) => void;
}

const crashCases: readonly CrashCase[] = [
  { name: 'open an empty file with the flag', atomic: true, run: (kit, { empty }) => { kit.open(empty); } },
  { name: 'open a draft', atomic: true, run: (kit, { draft }) => { kit.open(draft); } },
  { name: 'fill a draft', atomic: false, run: (kit, { draft }) => { kit.write(draft, 0, 5000); } },
  { name: 'make and open', atomic: false, run: (kit) => { kit.file('new', 5000); } },
  { name: 'write at the end', atomic: true, run: (kit, { file }) => { kit.write(file, 10_000, 5000); } },
  { name: 'truncate', atomic: false, run: (kit, { file }) => { kit.change(file, { mask: Change.size, size: 100 }); } },
  { name: 'grow', atomic: false, run: (kit, { file }) => { kit.change(file, { mask: Change.size, size: 100_000 }); } },
  { name: 'truncate, which takes privileges', atomic: false, run: (kit, { file }) => { kit.change(file, { mask: Change.size | Change.killPrivileges, size: 0 }); } },
  { name: 'allocate', atomic: true, run: (kit, { file }) => { kit.volume.fs.allocate(file, 0, 5000, 50_000); } },
  { name: 'punch', atomic: true, run: (kit, { file }) => { kit.volume.fs.allocate(file, AllocateMode.punchHole | AllocateMode.keepSize, 0, 5000); } },
  { name: 'unlink', atomic: true, run: (kit) => { kit.unlink('file'); } },
  { name: 'unlink a draft', atomic: true, run: (kit) => { kit.unlink('draft'); } },
  {
    name: 'unlink an open file', atomic: true,
    run: (kit, { file }) => {
      kit.volume.fs.hold(file);
      kit.unlink('file');
      kit.volume.fs.release(file, 1);
    },
  },
  {
    name: 'rename over', atomic: true,
    run: (kit) => {
      kit.volume.withNames('image', 'file', (from, to) => { kit.volume.fs.rename(root, from, root, to, 0); });
      while (kit.volume.fs.backgroundStep());
    },
  },
  {
    name: 'move to a host file', atomic: true,
    run: (kit, { image }) => {
      kit.move(image, InodeFlag.dax);
    },
  },
  {
    name: 'move to the image', atomic: true,
    run: (kit, { file }) => {
      kit.move(file, 0);
    },
  },
  {
    name: 'move to a host file and be opened meanwhile', atomic: true,
    run: (kit, { image }) => {
      kit.beginMove(image, InodeFlag.dax);
      kit.open(image);
    },
  },
  {
    name: 'move to a host file and be removed meanwhile', atomic: true,
    run: (kit, { image }) => {
      kit.beginMove(image, InodeFlag.dax);
      kit.unlink('image');
    },
  },
  {
    name: 'move to the image and be written meanwhile', atomic: true,
    run: (kit, { file }) => {
      kit.flag(file, 0);
      kit.open(file);
      kit.close(file);
      kit.volume.fs.backgroundStep();
      kit.volume.fs.backgroundStep();
      kit.write(file, 10_000, 5000);
    },
  },
  { name: 'copy a range', atomic: true, run: (kit, { file, image }) => { kit.volume.fs.copyRange(image, 0, file, 9000, 9000); } },
];

/** Host files that no inode knows, and inodes whose host file is missing. */
function strays(volume: MemoryVolume, regions: SimulatedRegions): string[] {
  const known = new Set<string>();
  const problems: string[] = [];
  for (const { ino, name } of volume.list(root)) {
    if (name.startsWith('.')) continue;
    const { flags, generation } = volume.attributes(ino);
    const host = regionName(ino, generation);
    if ((flags & (InodeFlag.region | InodeFlag.regionDraft)) !== 0) known.add(host);
    const established = (flags & (InodeFlag.region | InodeFlag.regionDraft)) === InodeFlag.region;
    if (established && !regions.names().includes(host)) problems.push(`${name}: host file ${host} is missing`);
  }
  for (const host of regions.names()) if (!known.has(host)) problems.push(`host file ${host} belongs to nobody`);
  return problems;
}

for (const [number, { name, atomic, run }] of crashCases.entries()) {
  t.test(`crash: ${name}`, (t) => {
    const random = new Random(SEED + number);
    const prepared = Kit.new();
    const file = prepared.file('file', 10_000);
    prepared.change(file, { mask: Change.mode, mode: 0o4755 });
    const image = prepared.make('image');
    prepared.write(image, 0, 9000);
    if (name.startsWith('move')) {
      // More than one piece.
      for (const ino of [file, image]) {
        prepared.change(ino, { mask: Change.size, size: 1_500_000 });
        prepared.write(ino, 1_400_000, 5000);
      }
    }
    const empty = prepared.make('empty');
    prepared.flag(empty, InodeFlag.dax);
    prepared.flag(root, InodeFlag.dax);
    const draft = prepared.make('draft');
    prepared.flag(root, 0);
    prepared.volume.leave('close', random);

    const medium = prepared.volume.pmem.fork({ record: true });
    const regions = prepared.regions.fork({ clock, moment: () => medium.log.length });
    const kit = new Kit(openOn(medium, clock, regions), regions);
    kit.make('earlier');
    const before = viewOf(kit.volume);
    const start = medium.log.length;
    run(kit, { file, draft, empty, image });
    const end = medium.log.length;
    const after = viewOf(kit.volume);
    t.same(strays(kit.volume, regions), [], 'in order without a crash');

    const { certain, replay } = medium.replay();
    const problems: string[] = [];
    let states = 0;
    for (let position = start; position <= end && problems.length === 0; position += 1) {
      replay.advance(position);
      const changes = regions.changesAt(position);
      const fence = position === start || position === end || medium.log[position]?.kind === 'fence';
      if (!fence && changes === 0) continue;
      for (const state of crashStates(replay.lines().length, 2, random)) {
        for (let some = 0; some <= changes; some += 1) {
          states += 1;
          const crashed = medium.crashImageOf(certain, replay, state.chooser);
          const directory = regions.at(position, some);
          recoverJournal(crashed, readSuperblock(crashed).geometry);
          const checked = verifyVolume(crashed, { regions: () => ({ inspection: directory, reason: '', foreign: false }) });
          const volume = openOn(crashed, new ManualClock(1_800_000_000, 0), directory);
          while (volume.fs.backgroundStep());
          const found = viewOf(volume);
          const wrong = strays(volume, directory);
          const returned = position === end && some === changes;
          const same = (view: typeof found): boolean => found.names === view.names && [...view.files].every(([path, bytes]) => Buffer.compare(bytes, found.files.get(path) ?? new Uint8Array(1)) === 0);
          if (returned && !same(after)) wrong.push(`an operation that returned is not there:\n${found.names}`);
          if (atomic && !same(after) && !same(before)) wrong.push(`neither before nor after:\n${found.names}\nbefore\n${before.names}\nafter\n${after.names}`);
          const report = verifyVolume(crashed, { regions: () => ({ inspection: directory, reason: '', foreign: false }) });
          if (!report.clean) wrong.push(JSON.stringify(report.findings.slice(0, 3)));
          if (!checked.clean) wrong.push(`before the mount: ${JSON.stringify(checked.findings.slice(0, 3))}`);
          if (wrong.length > 0) problems.push(`entry ${String(position - start)} of ${String(end - start)}, ${state.name}, ${String(some)} of ${String(changes)} changes of host files: ${wrong.join('; ')}`);
        }
      }
    }
    t.same(problems, [], `every crash state is sound (${String(states)}; SEED=${String(SEED)})`);
    t.end();
  });
}
