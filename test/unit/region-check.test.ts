// Guards that verifier and repair see what is wrong between inodes and host files: nothing is lost by a repair, a second one finds nothing more, one that is cut off can be
// run again, and what a crash or a move under way leaves for the next mount is no damage. SEED=n replays.
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import { type FindingKind, verifyVolume, type VerifyReport } from '../../src/check/verify.js';
import { BLOCK_SIZE, FileType, Inode, INODE_SIZE, InodeFlag } from '../../src/format/layout.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { AttributeChange, Change, OpenedFile } from '../../src/fs/types.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import type { FindRegions } from '../../src/region/inspection.js';
import { regionName } from '../../src/region/regions.js';
import { SimulatedRegions } from '../../src/region/simulated.js';
import { repairVolume } from '../../src/repair/repair.js';
import { crashStates, openOn } from '../helpers/crash-states.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
const root = asIno(1);
const clock = new ManualClock(1_750_000_000, 1);
const DATA = Buffer.from('what a program has stored');

/** A volume of two DAX files and one of the image, closed. */
class Wreck {
  readonly regions = new SimulatedRegions({ clock });
  readonly volume = new MemoryVolume({ sizeBytes: 8 * 1024 * 1024, regions: this.regions });
  readonly file = this.make('file', InodeFlag.dax);
  readonly other = this.make('other', InodeFlag.dax);
  readonly image = this.make('image', 0);
  /** Host file of `file`. */
  readonly host = regionName(this.file, this.volume.attributes(this.file).generation);

  make(name: string, flags: number): Ino {
    const { volume } = this;
    const ino = volume.withName(name, (given) => volume.fs.makeNode(root, given, FileType.regular | 0o644, volume.owner(7, 8), 0, 0));
    volume.fs.setFlags(ino, flags, 0);
    volume.fs.openFile(ino, new OpenedFile());
    volume.fs.closeFile(ino);
    volume.fs.write(ino, 0, DATA, 0, DATA.length);
    return ino;
  }

  unlink(name: string): void {
    this.volume.withName(name, (given) => { this.volume.fs.unlink(root, given); });
    while (this.volume.fs.backgroundStep());
  }

  /** A host file with data, behind everybody's back. */
  stray(ino: number, generation: number, data = DATA): string {
    const file = this.regions.create(asIno(ino), generation);
    file.write(0, data, 0, data.length);
    file.close();
    return regionName(asIno(ino), generation);
  }

  /** Changes the record of an inode, with the right checksum or without. */
  edit(ino: Ino, change: (view: DataView, bytes: Uint8Array) => void, sealed = true): void {
    const { pmem } = this.volume;
    const { geometry } = readSuperblock(pmem);
    const address = asByteAddr((geometry.groupStart + 1) * BLOCK_SIZE + ino * INODE_SIZE);
    const bytes = new Uint8Array(INODE_SIZE);
    const view = new DataView(bytes.buffer);
    pmem.load(address, bytes, 0, INODE_SIZE);
    change(view, bytes);
    if (sealed) view.setUint32(Inode.checksum, pmem.crc32c(geometry.seed, bytes, 4, INODE_SIZE - 4), true);
    pmem.store(address, bytes, 0, INODE_SIZE);
    pmem.fence();
  }
}

const at = (regions: SimulatedRegions): FindRegions => () => ({ inspection: regions, reason: '', foreign: false });
const kinds = (report: VerifyReport): FindingKind[] => [...report.countByKind.keys()].sort();

function verify(pmem: SimulatedPmem, regions: SimulatedRegions): VerifyReport {
  recoverJournal(pmem, readSuperblock(pmem).geometry);
  return verifyVolume(pmem, { regions: at(regions) });
}

const repair = (pmem: SimulatedPmem, regions: SimulatedRegions): ReturnType<typeof repairVolume> => repairVolume(pmem, { clock, regions: at(regions) });

/** The first bytes of a file, without zero bytes behind them. */
const begin = (volume: MemoryVolume, ino: Ino): string => Buffer.from(volume.read(ino, 0, 1000)).toString().replace(/\0+$/, '');

/** Contents of what is in lost+found. */
function lost(volume: MemoryVolume): string[] {
  const home = volume.list(root).find(({ name }) => name === 'lost+found');
  if (home === undefined) return [];
  return volume.list(home.ino).filter(({ name }) => !name.startsWith('.')).map(({ ino }) => begin(volume, ino));
}

interface Damage {
  readonly name: string;
  readonly kinds: readonly FindingKind[];
  readonly do: (wreck: Wreck) => void;
  /** Contents of lost+found afterwards; default: there is none. */
  readonly lost?: readonly string[];
  /** Files whose data is gone; default: none. */
  readonly gone?: readonly string[];
  /** What a repair leaves. */
  readonly left?: number;
}

const text = DATA.toString();
const damages: readonly Damage[] = [
  { name: 'none', kinds: [], do: () => undefined },
  { name: 'a missing host file', kinds: ['region-missing'], left: 1, gone: ['file'], do: ({ regions, host }) => { regions.lose(host); } },
  { name: 'a host file without an inode', kinds: ['region-orphan'], lost: [text], do: (wreck) => { wreck.stray(9, 77); } },
  { name: 'an empty one', kinds: ['region-orphan'], do: (wreck) => { wreck.stray(9, 77, Buffer.alloc(0)); } },
  { name: 'one of another generation', kinds: ['region-orphan'], lost: [text], do: (wreck) => { wreck.stray(wreck.file, 9999); } },
  { name: 'one of a file that is in the image', kinds: ['region-orphan'], lost: ['old'], do: (wreck) => { wreck.stray(wreck.image, wreck.volume.attributes(wreck.image).generation, Buffer.from('old')); } },
  { name: 'ones of a number that is far away, of a directory, of no inode', kinds: ['region-orphan'], lost: ['a', 'b', 'c'], do: (wreck) => {
    wreck.stray(2 ** 40, 1, Buffer.from('a'));
    wreck.stray(1, 0, Buffer.from('b'));
    wreck.stray(0, 0, Buffer.from('c'));
  } },
  { name: 'one with a second name, as a repair leaves it that was cut off', kinds: ['region-orphan'], lost: [text], do: (wreck) => { wreck.regions.link(wreck.stray(9, 77), regionName(asIno(10), 78)); } },
  { name: 'an old name of one that has its inode already', kinds: ['region-orphan'], do: ({ regions, host }) => { regions.link(host, regionName(asIno(10), 78)); } },
  { name: 'an inode that is lost', kinds: ['inode-damaged'], lost: [text], gone: ['file'], do: (wreck) => { wreck.edit(wreck.file, (view) => { view.setUint32(Inode.uid, 99, true); }, false); } },
  { name: 'a host file longer than a file can be', kinds: ['region-size'], do: ({ regions, host }) => { regions.cut(host, 2 ** 53); } },
  { name: 'one of no inode', kinds: ['region-orphan'], lost: [text], do: (wreck) => { wreck.regions.cut(wreck.stray(9, 77), 2 ** 54); } },
  { name: 'a mode that lets others in', kinds: ['region-mode'], do: ({ regions, host }) => { regions.restrict(host, 0, 0o644); } },
  { name: 'an owner who lets others in', kinds: ['region-mode'], do: ({ regions, host }) => { regions.restrict(host, 1000, 0o600); } },
  { name: 'a directory that others may write to', kinds: ['region-mode'], do: ({ regions }) => { regions.restrict(null, 0, 0o777); } },
  { name: 'a directory of somebody else', kinds: ['region-mode'], do: ({ regions }) => { regions.restrict(null, 1000, 0o700); } },
  { name: 'a region with extents', kinds: ['region-extents', 'region-missing'], do: (wreck) => { wreck.edit(wreck.image, (view) => { view.setUint32(Inode.flags, InodeFlag.region, true); }); } },
  { name: 'a region with both', kinds: ['region-extents'], lost: ['host'], do: (wreck) => {
    wreck.stray(wreck.image, wreck.volume.attributes(wreck.image).generation, Buffer.from('host'));
    wreck.edit(wreck.image, (view) => { view.setUint32(Inode.flags, InodeFlag.region, true); });
  } },
  { name: 'a directory that is a region', kinds: ['inode-flags'], do: (wreck) => { wreck.edit(root, (view) => { view.setUint32(Inode.flags, InodeFlag.region | InodeFlag.regionDraft, true); }); } },
];

for (const damage of damages) {
  t.test(`damage: ${damage.name}`, (t) => {
    const wreck = new Wreck();
    wreck.volume.leave('close', new Random(0));
    // Damages look into the inodes, so the volume is open for it. What they change must not be in the last two records of the journal.
    wreck.volume.reopen();
    for (const mode of [0o600, 0o640, 0o644]) wreck.volume.fs.setAttributes(wreck.other, Object.assign(new AttributeChange(), { mask: Change.mode, mode }));
    damage.do(wreck);
    const { regions } = wreck;
    const { pmem } = wreck.volume;
    const found = kinds(verify(pmem, regions));
    t.same(found, [...damage.kinds].sort(), 'found');
    const left = damage.left ?? 0;
    const result = repair(pmem, regions);
    t.equal(result.left, left, 'what is left');
    t.equal(result.found > 0, damage.kinds.length > 0);
    const names = regions.names();
    const after = verify(pmem, regions);
    t.equal(after.total, left, JSON.stringify(after.findings));
    t.match(repair(pmem, regions), { found: left, fixed: 0 }, 'a second run finds nothing more');
    t.same(regions.names(), names);

    const volume = openOn(pmem, clock, regions);
    t.same(lost(volume).sort(), [...(damage.lost ?? [])].sort(), 'lost+found');
    for (const name of ['file', 'other', 'image']) {
      const entry = volume.list(root).find((one) => one.name === name);
      if (damage.gone?.includes(name) !== true) t.equal(entry && begin(volume, entry.ino), text, name);
      else if (entry !== undefined) t.throws(() => volume.read(entry.ino, 0, 10), FsError);
    }
    if (left > 0) {
      volume.withName('file', (given) => { volume.fs.unlink(root, given); });
      while (volume.fs.backgroundStep());
      t.same(kinds(verify(pmem, regions)), [], 'the volume is clean when the file is removed');
    }
    t.end();
  });
}

t.test('what is no damage', (t) => {
  const held = new Wreck();
  held.volume.fs.hold(held.file);
  held.unlink('file');
  t.same(kinds(verify(held.volume.pmem, held.regions)), [], 'a removed file that is in use');
  held.regions.lose(held.host);
  t.same(kinds(verify(held.volume.pmem, held.regions)), [], 'and one whose host file is gone: the inode is next');

  for (const toRegion of [true, false]) {
    const moved = new Wreck();
    const { volume, regions } = moved;
    const ino = toRegion ? moved.image : moved.file;
    volume.fs.setAttributes(ino, Object.assign(new AttributeChange(), { mask: Change.size, size: 3_000_000 }));
    volume.fs.write(ino, 2_900_000, DATA, 0, DATA.length);
    volume.fs.setFlags(ino, toRegion ? InodeFlag.dax : 0, 0);
    volume.fs.openFile(ino, new OpenedFile());
    volume.fs.closeFile(ino);
    for (let step = 0; step < 2; step += 1) volume.fs.backgroundStep();
    const { pmem } = volume;
    const names = regions.names();
    t.equal(names.length, toRegion ? 3 : 2, 'in the middle of a move');
    t.same(kinds(verify(pmem, regions)), [], 'the next mount ends it');
    t.match(repair(pmem, regions), { found: 0, fixed: 0 });
    t.same(regions.names(), names, 'a repair leaves it alone');
    const next = openOn(pmem, clock, regions);
    while (next.fs.backgroundStep());
    t.same(kinds(verify(pmem, regions)), []);
    t.equal(regions.names().length, 2);
  }

  const { volume, regions } = new Wreck();
  const away = verifyVolume(volume.pmem, { regions: () => ({ inspection: null, reason: 'missing', foreign: false }) });
  t.match(away, { clean: true, statistics: { regions: 2 } }, 'a directory that is not there: the image alone is looked at');
  const foreign: FindRegions = () => ({ inspection: null, reason: 'belongs to another volume', foreign: true });
  t.same(kinds(verifyVolume(volume.pmem, { regions: foreign })), ['region-directory'], 'another volume’s');
  t.match(repairVolume(volume.pmem, { clock, regions: foreign }), { found: 1, left: 1 });
  t.equal(regions.names().length, 2);
  const plain = new MemoryVolume({ sizeBytes: 8 * 1024 * 1024 });
  t.ok(verifyVolume(plain.pmem, { regions: foreign }).clean, 'it is nothing to a volume that has no host files');
  t.end();
});

t.test('a problem that is left is left', (t) => {
  const wreck = new Wreck();
  wreck.stray(9, 77);
  wreck.regions.restrict(wreck.host, 0, 0o666);
  const names = wreck.regions.names();
  const { pmem } = wreck.volume;
  t.match(repairVolume(pmem, { clock, regions: at(wreck.regions), decide: () => false }), { found: 2, fixed: 0, left: 2 });
  t.same(wreck.regions.names(), names);
  t.same(kinds(verify(pmem, wreck.regions)), ['region-mode', 'region-orphan']);
  t.end();
});

t.test(`a repair of host files that is cut off at any moment can be run again (SEED=${String(SEED)})`, (t) => {
  const random = new Random(SEED);
  const wreck = new Wreck();
  wreck.stray(9, 77, Buffer.from('first'));
  wreck.stray(2 ** 33, 5, Buffer.from('second'));
  wreck.stray(11, 5, Buffer.alloc(0));
  wreck.volume.leave('close', random);
  const medium = wreck.volume.pmem.fork({ record: true });
  const regions = wreck.regions.fork({ clock, moment: () => medium.log.length });
  const end = ((): number => {
    repair(medium, regions);
    return medium.log.length;
  })();
  t.ok(regions.changesAt(end) > 0 || end > 0);
  const { certain, replay } = medium.replay();
  const problems: string[] = [];
  let states = 0;
  for (let position = 0; position <= end && problems.length === 0; position += 1) {
    replay.advance(position);
    const changes = regions.changesAt(position);
    if (medium.log[position]?.kind !== 'fence' && changes === 0 && position !== end) continue;
    for (const state of crashStates(replay.lines().length, 3, random)) {
      for (let some = 0; some <= changes; some += 1) {
        states += 1;
        const crashed = medium.crashImageOf(certain, replay, state.chooser);
        const directory = regions.at(position, some);
        repair(crashed, directory);
        const report = verify(crashed, directory);
        const volume = openOn(crashed, clock, directory);
        const contents = lost(volume).sort().join();
        if (!report.clean || contents !== 'first,second' || directory.names().length !== 4) {
          problems.push(`entry ${String(position)} of ${String(end)}, ${state.name}, ${String(some)} of ${String(changes)}: lost+found has ${contents}, the directory ${directory.names().join()}; ${JSON.stringify(report.findings)}`);
        }
      }
    }
  }
  t.same(problems, [], `${String(states)} states`);
  t.end();
});
