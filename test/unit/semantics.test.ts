// Guards what POSIX and Linux say of single operations beyond the random model: whiteouts, limits, extreme times, access times, handles, read-only states.
import t from 'tap';
import { makeVolume } from '../../mkfs/layout.js';
import { ManualClock } from '../../src/base/clock.js';
import { type ErrnoName, FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino, MIB } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { BLOCK_SIZE, FILE_SIZE_MAX, FileType, Inode, InodeFlag } from '../../src/format/layout.js';
import { type AccessTimePolicy, accessTimesOf } from '../../src/fs/access-times.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { References } from '../../src/fs/references.js';
import { AttributeChange, Attributes, Caller, Change, Name, Ranges, RenameFlag } from '../../src/fs/types.js';
import { openVolume, type VolumeOptions } from '../../src/fs/volume.js';
import { SharedState } from '../../src/fuse/shared-state.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { Sample, sampleVolume } from '../helpers/sample-volume.js';

const { root } = MemoryVolume;
const regular = FileType.regular | 0o644;
const directory = FileType.directory | 0o755;
const caller = Object.assign(new Caller(), { uid: 4_294_967_294, gid: 3_000_000_000 });
const name = (text: string): Name => Name.from(text);

function outcome(call: () => unknown): ErrnoName | 'done' {
  try {
    call();
    return 'done';
  } catch (error) {
    if (error instanceof FsError) return error.code as ErrnoName;
    throw error;
  }
}

function fresh(sizeBytes = 8 * MIB): SimulatedPmem {
  const pmem = new SimulatedPmem(sizeBytes);
  makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
  pmem.fence();
  return pmem;
}

/** Closes the volume and verifies it. */
function isSound(volume: MemoryVolume): boolean {
  volume.leave('close', new Random(1));
  return verifyVolume(volume.pmem).clean;
}

const show = (fs: FileSystemOperations, ino: Ino): Attributes => {
  const attributes = new Attributes();
  fs.getAttributes(ino, attributes);
  return attributes;
};

t.test('a rename leaves a whiteout', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB });
  const { fs } = volume;
  const { whiteout, noReplace, exchange } = RenameFlag;
  const from = fs.makeNode(root, name('from'), directory, caller, 0, 0);
  const to = fs.makeNode(root, name('to'), directory, caller, 0, 0);
  const isWhiteout = (text: string): void => {
    const ino = volume.lookup(from, text);
    const shown = volume.attributes(ino as Ino);
    t.same([shown.mode, shown.rdevMajor, shown.rdevMinor, shown.nlink, shown.uid, shown.gid], [FileType.character, 0, 0, 1, caller.uid, caller.gid], `${text} is a whiteout`);
  };
  const file = fs.makeNode(from, name('file'), regular, caller, 0, 0);
  fs.rename(from, name('file'), to, name('file'), whiteout, caller);
  t.equal(volume.lookup(to, 'file'), file, 'the file has its new name');
  isWhiteout('file');
  const sub = fs.makeNode(from, name('sub'), directory, caller, 0, 0);
  fs.rename(from, name('sub'), to, name('sub'), whiteout | noReplace, caller);
  t.same([volume.attributes(from).nlink, volume.attributes(to).nlink, volume.lookup(to, 'sub')], [2, 3, sub], 'a directory takes its link along');
  isWhiteout('sub');
  const other = fs.makeNode(from, name('other'), regular, caller, 0, 0);
  fs.rename(from, name('other'), to, name('file'), whiteout, caller);
  t.equal(volume.lookup(to, 'file'), other, 'it replaces');
  isWhiteout('other');
  fs.rename(from, name('other'), from, name('again'), whiteout, caller);
  isWhiteout('other');
  isWhiteout('again');
  t.equal(outcome(() => { fs.rename(from, name('other'), to, name('file'), whiteout | exchange, caller); }), 'EINVAL', 'no exchange');
  t.equal(outcome(() => { fs.rename(from, name('other'), to, name('file'), 8, caller); }), 'EINVAL', 'no unknown flag');
  t.same(volume.list(from).map((entry) => [entry.name, entry.type]).sort(), [['.', 4], ['..', 4], ['again', 2], ['file', 2], ['other', 2], ['sub', 2]]);
  t.ok(isSound(volume), 'the volume is sound');
  t.end();
});

t.test('a whiteout is there or not, never half', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB, record: true });
  volume.fs.makeNode(root, name('a'), regular, caller, 0, 0);
  volume.fs.sync(root);
  const start = volume.pmem.log.length;
  volume.fs.rename(root, name('a'), root, name('b'), RenameFlag.whiteout, caller);
  const end = volume.pmem.log.length;
  const seen = new Set<string>();
  for (let position = start; position <= end; position++) {
    for (const keep of [0, 100]) {
      const pmem = volume.pmem.crashImage(position, (line) => Math.min(keep, line.atoms.length));
      const fs = openVolume(pmem.compact(), {});
      const a = fs.lookup(root, name('a'));
      const b = fs.lookup(root, name('b'));
      seen.add(`${a === 0 ? 'none' : (show(fs, a).mode & FileType.mask).toString(8)} ${b === 0 ? 'none' : (show(fs, b).mode & FileType.mask).toString(8)}`);
    }
  }
  t.same([...seen].sort(), ['100000 none', '20000 100000'], 'the states a crash can leave');
  t.end();
});

t.test('names of 255 bytes are the longest in every operation', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB });
  const { fs } = volume;
  const [longest, tooLong] = ['n'.repeat(255), 'n'.repeat(256)];
  const file = fs.makeNode(root, name('file'), regular, caller, 0, 0);
  const operations: [string, (text: string) => unknown][] = [
    ['lookup', (text) => fs.lookup(root, name(text))],
    ['create', (text) => fs.makeNode(root, name(text), regular, caller, 0, 0)],
    ['unlink', (text) => { fs.unlink(root, name(text)); }],
    ['mkdir', (text) => fs.makeNode(root, name(text), directory, caller, 0, 0)],
    ['rmdir', (text) => { fs.rmdir(root, name(text)); }],
    ['mknod', (text) => fs.makeNode(root, name(text), FileType.fifo, caller, 0, 0)],
    ['rename from', (text) => { fs.rename(root, name(text), root, name('moved'), 0); }],
    ['symlink', (text) => fs.symlink(root, name(text), name('x'), caller)],
    ['exchange', (text) => { fs.rename(root, name('moved'), root, name(text), RenameFlag.exchange); }],
    ['rename to', (text) => { fs.rename(root, name('moved'), root, name(text), 0); }],
    ['unlink again', (text) => { fs.unlink(root, name(text)); }],
    ['link', (text) => { fs.link(file, root, name(text)); }],
  ];
  for (const [what, call] of operations) {
    t.equal(outcome(() => call(tooLong)), 'ENAMETOOLONG', `${what}: 256 bytes`);
    t.equal(outcome(() => call(longest)), 'done', `${what}: 255 bytes`);
  }
  t.equal(outcome(() => fs.symlink(root, name('s1'), name('t'.repeat(4095)), caller)), 'done', 'a target of 4095 bytes');
  t.equal(outcome(() => fs.symlink(root, name('s2'), name('t'.repeat(4096)), caller)), 'ENAMETOOLONG', 'a target of 4096 bytes');
  t.end();
});

t.test('the largest file ends at 2^53 - 1', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB });
  const { fs } = volume;
  const file = fs.makeNode(root, name('file'), regular, caller, 0, 0);
  const bytes = new Uint8Array(100).fill(7);
  t.equal(fs.write(file, FILE_SIZE_MAX - 30, bytes, 0, 100), 30, 'a write that crosses it is short');
  t.equal(volume.attributes(file).size, FILE_SIZE_MAX);
  t.same(volume.read(file, FILE_SIZE_MAX - 30, 100), new Uint8Array(30).fill(7));
  for (const offset of [FILE_SIZE_MAX, 2 ** 53, 2 ** 62]) t.equal(outcome(() => fs.write(file, offset, bytes, 0, 1)), 'EFBIG', `write at ${String(offset)}`);
  t.equal(outcome(() => { fs.setAttributes(file, Object.assign(new AttributeChange(), { mask: Change.size, size: 2 ** 53 })); }), 'EFBIG', 'truncate');
  t.equal(outcome(() => { fs.allocate(file, 0, FILE_SIZE_MAX, 1); }), 'EFBIG', 'allocate');
  const small = fs.makeNode(root, name('small'), regular, caller, 0, 0);
  fs.write(small, 0, bytes, 0, 100);
  t.equal(outcome(() => fs.copyRange(small, 0, file, FILE_SIZE_MAX, 10)), 'EFBIG', 'copy');
  t.equal(fs.copyRange(small, 0, file, FILE_SIZE_MAX - 4, 10), 4, 'a copy that crosses it is short');
  t.equal(fs.copyRange(small, 2 ** 60, file, 0, 10), 0, 'nothing is copied from beyond');
  t.equal(fs.read(file, 2 ** 60, 10, new Ranges(4)), 0, 'nothing is read beyond');
  t.equal(outcome(() => fs.seek(file, 2 ** 60, 3)), 'ENXIO', 'nor looked for');
  t.equal(fs.write(file, 2 ** 60, bytes, 0, 0), 0, 'no bytes can be written anywhere');
  t.end();
});

t.test('links end at 2^32 - 1, subdirectories at 2^32 - 3', (t) => {
  const { volume: made } = sampleVolume();
  for (const ino of [Sample.treeFile, Sample.directory]) made.editInode(ino, (view) => { view.setUint32(Inode.nlink, 0xffffffff, true); });
  const fs = openVolume(made.pmem, {});
  t.equal(outcome(() => { fs.link(asIno(Sample.treeFile), root, name('one-more')); }), 'EMLINK', 'link');
  t.equal(outcome(() => fs.makeNode(asIno(Sample.directory), name('sub'), directory, caller, 0, 0)), 'EMLINK', 'mkdir');
  t.equal(fs.lookup(root, name('one-more')), 0, 'and there is no such name');
  t.equal(show(fs, asIno(Sample.treeFile)).nlink, 0xffffffff, 'the greatest count is shown');
  t.end();
});

t.test('times of any year', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB });
  const file = volume.fs.makeNode(root, name('file'), regular, caller, 0, 0);
  const set = (seconds: number, nanoseconds: number): number[] => {
    const change = Object.assign(new AttributeChange(), {
      mask: Change.atime | Change.mtime | Change.ctime, atimeSeconds: seconds, atimeNanoseconds: nanoseconds, mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds, ctimeSeconds: seconds, ctimeNanoseconds: nanoseconds,
    });
    volume.fs.setAttributes(file, change);
    const shown = volume.attributes(file);
    t.same([shown.mtimeSeconds, shown.mtimeNanoseconds, shown.ctimeSeconds, shown.ctimeNanoseconds], [shown.atimeSeconds, shown.atimeNanoseconds, shown.atimeSeconds, shown.atimeNanoseconds]);
    return [shown.atimeSeconds, shown.atimeNanoseconds];
  };
  for (const seconds of [0, -1, -(2 ** 31) - 1, 2 ** 31, 2 ** 32, 2 ** 34, -(2 ** 40), Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER]) {
    t.same(set(seconds, 999_999_999), [seconds, 999_999_999], `${String(seconds)} seconds`);
  }
  t.equal(set(2 ** 62, 0)[0], Number.MAX_SAFE_INTEGER, 'what is beyond the format becomes the last that it holds');
  t.equal(set(-(2 ** 63), 0)[0], -Number.MAX_SAFE_INTEGER, 'and the first');
  t.ok(isSound(volume), 'the volume is sound');
  t.end();
});

t.test('access times follow the mount, the inode and the caller', (t) => {
  t.same(accessTimesOf([], 'relative'), { policy: 'relative', directories: true });
  t.same(accessTimesOf(['noatime', 'nodiratime'], 'relative'), { policy: 'never', directories: false });
  t.same(accessTimesOf(['noatime', 'strictatime'], 'relative'), { policy: 'always', directories: true }, 'the last word counts');
  t.same(accessTimesOf(['strictatime', 'relatime', 'nodiratime', 'diratime'], 'always'), { policy: 'relative', directories: true });
  t.same(accessTimesOf(['rw', 'nosuid'], 'always'), { policy: 'always', directories: true }, 'the kernel shows strictatime by showing nothing');

  const clock = new ManualClock(1_000_000);
  const fs = openVolume(fresh(), { clock, accessTimes: { policy: 'relative', directories: true } });
  const file = fs.makeNode(root, name('file'), regular, caller, 0, 0);
  const link = fs.symlink(root, name('link'), name('to'), caller);
  fs.write(file, 0, new Uint8Array(10), 0, 10);
  const ranges = new Ranges(4);
  /** Whether reading `seconds` later changes the access time. */
  const changes = (ino: Ino, read: () => void, seconds: number): boolean => {
    const before = show(fs, ino).atimeSeconds;
    clock.seconds += seconds;
    read();
    return show(fs, ino).atimeSeconds !== before;
  };
  const read = (silent = false) => (): void => { fs.read(file, 0, 10, ranges, silent); };
  const list = (silent = false) => (): void => { fs.readDirectory(root, 0, { entry: () => true }, silent); };
  const follow = (): void => { fs.readlink(link, new Uint8Array(4095), 0); };
  const cases: [AccessTimePolicy, string, boolean[]][] = [
    ['relative', 'first, again, a day later, O_NOATIME', [true, false, true, false]],
    ['always', 'each time', [true, true, true, false]],
    ['never', 'never', [false, false, false, false]],
  ];
  for (const [ino, what, call, silent] of [[file, 'file', read(), read(true)], [root, 'directory', list(), list(true)], [link, 'symbolic link', follow, () => undefined]] as const) {
    for (const [policy, label, wanted] of cases) {
      fs.setAccessTimes({ policy, directories: true });
      clock.seconds += 10;
      fs.setAttributes(ino, Object.assign(new AttributeChange(), { mask: Change.atime | Change.atimeNow | Change.mtime | Change.mtimeNow }));
      t.same([changes(ino, call, 10), changes(ino, call, 10), changes(ino, call, 86_400), changes(ino, silent, 200_000)], wanted, `${policy}, ${what}: ${label}`);
    }
  }
  fs.setAccessTimes({ policy: 'always', directories: false });
  t.same([changes(root, list(), 10), changes(file, read(), 10)], [false, true], 'nodiratime');
  fs.setFlags(file, InodeFlag.noAtime, 0);
  t.equal(changes(file, read(), 10), false, 'the flag noAtime');
  t.end();
});

t.test('a handle finds its inode by `.`', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB });
  const { fs } = volume;
  const sub = fs.makeNode(root, name('sub'), directory, caller, 0, 0);
  const file = fs.makeNode(sub, name('file'), regular, caller, 0, 0);
  const link = fs.symlink(sub, name('link'), name('to'), caller);
  for (const ino of [root, sub, file, link]) t.equal(volume.lookup(ino, '.'), ino, `. of inode ${String(ino)}`);
  t.same([volume.lookup(sub, '..'), volume.lookup(root, '..')], [root, root]);
  t.equal(outcome(() => volume.lookup(file, '..')), 'ENOTDIR', '.. of a file');
  const { generation } = volume.attributes(file);
  fs.unlink(sub, name('file'));
  t.equal(outcome(() => volume.lookup(file, '.')), 'ESTALE', 'of a removed file');
  const next = fs.makeNode(sub, name('next'), regular, caller, 0, 0);
  t.equal(next, file, 'the number is used again');
  t.not(volume.attributes(next).generation, generation, 'with another generation');
  for (const ino of [0, 99, 1_000_000, 2 ** 52]) t.equal(outcome(() => volume.lookup(asIno(ino), '.')), 'ESTALE', `of inode ${String(ino)}, which never was`);
  t.end();
});

t.test('read-only and back', (t) => {
  const clock = new ManualClock(1_000_000);
  const pmem = fresh();
  const fs = openVolume(pmem, { clock, accessTimes: { policy: 'always', directories: true } });
  const file = fs.makeNode(root, name('file'), regular, caller, 0, 0);
  const held = fs.makeNode(root, name('held'), regular, caller, 0, 0);
  fs.write(file, 0, new Uint8Array(10), 0, 10);
  fs.hold(held);
  fs.unlink(root, name('held'));
  clock.seconds += 10;
  fs.read(file, 0, 10, new Ranges(4));
  fs.setReadOnly(true);
  const left = (): Attributes => {
    const copy = openVolume(pmem.compact(), { readOnly: true });
    return show(copy, file);
  };
  t.equal(left().atimeSeconds, 1_000_010, 'a pending access time was written');
  const attempts: [string, () => unknown][] = [
    ['create', () => fs.makeNode(root, name('n'), regular, caller, 0, 0)],
    ['write', () => fs.write(file, 0, new Uint8Array(1), 0, 1)],
    ['setattr', () => { fs.setAttributes(file, new AttributeChange()); }],
    ['unlink', () => { fs.unlink(root, name('file')); }],
    ['rename', () => { fs.rename(root, name('file'), root, name('n'), 0); }],
    ['allocate', () => { fs.allocate(file, 0, 0, 1); }],
    ['copy', () => fs.copyRange(file, 0, file, 100, 10)],
    ['link', () => { fs.link(file, root, name('n')); }],
    ['symlink', () => fs.symlink(root, name('n'), name('x'), caller)],
    ['temporary', () => fs.makeTemporary(root, regular, caller)],
    ['rmdir', () => { fs.rmdir(root, name('n')); }],
    ['flags', () => { fs.setFlags(file, 0, 0); }],
  ];
  for (const [what, call] of attempts) t.equal(outcome(call), 'EROFS', what);
  pmem.startRecording();
  clock.seconds += 10;
  fs.read(file, 0, 10, new Ranges(4));
  fs.release(held, 1);
  fs.flushTimes();
  fs.sync(file);
  t.equal(fs.backgroundStep(), false, 'no deferred work is done');
  t.equal(pmem.log.length, 0, 'reading, flushing, syncing and forgetting write nothing');
  t.equal(show(fs, file).atimeSeconds, 1_000_010, 'reading leaves the access time');
  fs.setReadOnly(false);
  t.equal(fs.backgroundStep(), false, 'what waited is freed');
  t.equal(outcome(() => fs.lookup(held, name('.'))), 'ESTALE', 'the removed file is gone');
  t.equal(outcome(() => fs.write(file, 0, new Uint8Array(1), 0, 1)), 'done', 'and changes are taken again');
  fs.setReadOnly(true);
  fs.close();
  t.equal(verifyVolume(pmem.compact()).clean, true, 'closed while read-only');

  const opened = openVolume(fresh(), { readOnly: true });
  t.equal(outcome(() => { opened.setReadOnly(false); }), 'EROFS', 'what was opened read-only stays so');
  t.equal(outcome(() => { opened.setReadOnly(true); }), 'done');
  t.end();
});

t.test('errors=remount-ro: damage ends all changes', (t) => {
  const log: string[] = [];
  const open = (options: VolumeOptions): FileSystemOperations => openVolume(fresh(), { ...options, log: (level, message) => log.push(`${level} ${message}`) });
  const make = (fs: FileSystemOperations, text: string) => (): unknown => fs.makeNode(root, name(text), regular, caller, 0, 0);
  const strict = open({ readOnlyOnDamage: true });
  t.equal(outcome(make(strict, 'a')), 'done');
  strict.noteDamage('inode 9: expected this, found that');
  t.equal(outcome(make(strict, 'b')), 'EROFS');
  t.not(strict.lookup(root, name('a')), 0, 'reading goes on');
  t.equal(outcome(() => { strict.setReadOnly(false); }), 'EROFS', 'a remount does not help');
  strict.noteDamage('more');
  t.same(log, ['error the volume is read-only from now on (errors=remount-ro): inode 9: expected this, found that; unmount it and run fsck.nvmfs'], 'said once');
  t.equal(outcome(() => { strict.close(); }), 'done', 'it can be closed');
  const shared = new SharedState();
  const kept = { references: new References(), times: shared.times, damage: shared, recovered: () => undefined };
  open({ readOnlyOnDamage: true, kept }).noteDamage('inode 9: expected this, found that');
  const next = open({ readOnlyOnDamage: true, kept });
  t.equal(outcome(make(next, 'c')), 'EROFS', 'a server that takes over knows of it');
  t.equal(outcome(() => { next.setReadOnly(false); }), 'EROFS');
  t.equal(outcome(() => next.backgroundStep()), 'done');
  t.equal(outcome(() => { next.close(); }), 'done');
  t.equal(log.splice(1).length, 1, 'and does not say it again');
  const lenient = open({});
  lenient.noteDamage('inode 9: expected this, found that');
  t.equal(outcome(make(lenient, 'b')), 'done', 'errors=continue goes on');
  t.equal(log.length, 1);
  t.end();
});

t.test('norecovery shows what a crash left', (t) => {
  const pmem = fresh();
  pmem.startRecording();
  const fs = openVolume(pmem, {});
  fs.makeNode(root, name('early'), regular, caller, 0, 0);
  fs.makeNode(root, name('late'), regular, caller, 0, 0);
  // What was stored since the last fence, the changes in place of the last transaction, is lost.
  const crashed = pmem.crashImage(pmem.log.length, () => 0).compact();
  const log: string[] = [];
  const before = crashed.compact();
  const look = (recover: boolean): FileSystemOperations => openVolume(crashed, { readOnly: true, recover, log: (level, message) => log.push(`${level} ${message}`) });
  t.not(look(true).lookup(root, name('late')), 0, 'with recovery, in DRAM, the last operation is there');
  t.match(log.pop(), /info journal recovered/);
  const bare = look(false);
  t.not(bare.lookup(root, name('early')), 0, 'without, what was in place');
  t.equal(bare.lookup(root, name('late')), 0, 'and not more');
  t.match(log.pop(), /warning the journal is not replayed/);
  t.equal(outcome(() => bare.makeNode(root, name('n'), regular, caller, 0, 0)), 'EROFS');
  const [one, two] = [new Uint8Array(MIB), new Uint8Array(MIB)];
  for (let at = 0; at < 8 * MIB; at += MIB) {
    crashed.load(asByteAddr(at), one, 0, MIB);
    before.load(asByteAddr(at), two, 0, MIB);
    t.ok(Buffer.compare(one, two) === 0, 'neither wrote to the medium');
  }
  t.equal(outcome(() => openVolume(crashed, { recover: false })), 'EINVAL', 'not for writing');

  // A damaged journal refuses a mount, and norecovery is what is left.
  const broken = fresh();
  const writer = openVolume(broken, {});
  for (let i = 0; i < 20; i++) writer.makeNode(root, name(`f${String(i)}`), regular, caller, 0, 0);
  writer.sync(root);
  // Where the journal of a volume of 8 MiB lies.
  broken.store(asByteAddr(256 * BLOCK_SIZE), new Uint8Array(MIB), 0, MIB);
  t.equal(outcome(() => openVolume(broken, { readOnly: true })), 'EUCLEAN', 'a journal without its end is refused');
  const rescue = openVolume(broken, { readOnly: true, recover: false });
  t.not(rescue.lookup(root, name('f0')), 0, 'norecovery reads the files all the same');
  t.end();
});
