// Guards chattr: every operation refuses what append-only and immutable forbid, with the kernel's errors, and flags are inherited as ext4 does.
import t from 'tap';
import { Random } from '../../src/base/random.js';
import { MIB, type Ino } from '../../src/base/units.js';
import { type ErrnoName, FsError } from '../../src/base/errno.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType, InodeFlag } from '../../src/format/layout.js';
import { AllocateMode, AttributeChange, Caller, Change, Name, RenameFlag } from '../../src/fs/types.js';
import { MemoryVolume } from '../helpers/memory-volume.js';

const { root } = MemoryVolume;
const { immutable, appendOnly, dax, noDump, noAtime, sync, projectInherit } = InodeFlag;
const caller = new Caller();
const name = (text: string): Name => Name.from(text);

/** A volume with a directory `d` that holds a file `f` of 100 bytes and a directory `sub`, and a free file `g` beside it. */
class Kit extends MemoryVolume {
  readonly d: Ino;
  readonly f: Ino;
  readonly sub: Ino;
  readonly g: Ino;

  constructor() {
    super({ sizeBytes: 8 * MIB });
    this.d = this.make(root, 'd', FileType.directory | 0o755);
    this.f = this.make(this.d, 'f', FileType.regular | 0o644);
    this.sub = this.make(this.d, 'sub', FileType.directory | 0o755);
    this.g = this.make(root, 'g', FileType.regular | 0o644);
    this.fs.write(this.f, 0, new Uint8Array(100).fill(1), 0, 100);
    this.fs.write(this.g, 0, new Uint8Array(100).fill(2), 0, 100);
  }

  make(parent: Ino, text: string, mode: number): Ino {
    return this.fs.makeNode(parent, name(text), mode, caller, 0, 0);
  }

  change(ino: Ino, mask: number): void {
    this.fs.setAttributes(ino, Object.assign(new AttributeChange(), { mask, mode: 0o600, size: 50, atimeSeconds: 5, mtimeSeconds: 6 }));
  }

  isSound(): boolean {
    this.leave('close', new Random(1));
    return verifyVolume(this.pmem).clean;
  }

  write(ino: Ino, offset: number): void {
    this.fs.write(ino, offset, new Uint8Array(10), 0, 10);
  }
}

function outcome(call: () => void): ErrnoName | 'done' {
  try {
    call();
    return 'done';
  } catch (error) {
    if (error instanceof FsError) return error.code as ErrnoName;
    throw error;
  }
}

type Row = readonly [what: string, call: (kit: Kit) => void, immutableGives: ErrnoName | 'done', appendOnlyGives: ErrnoName | 'done'];

/** What is done to a protected file `f`. */
const toFile: readonly Row[] = [
  ['open to write', (k) => { k.fs.checkOpen(k.f, false); }, 'EPERM', 'EPERM'],
  ['open to append', (k) => { k.fs.checkOpen(k.f, true); }, 'EPERM', 'done'],
  ['write in the middle', (k) => { k.write(k.f, 99); }, 'EPERM', 'EPERM'],
  ['append', (k) => { k.write(k.f, 100); }, 'EPERM', 'done'],
  ['append by append()', (k) => { k.fs.append(k.f, new Uint8Array(3), 0, 3); }, 'EPERM', 'done'],
  ['truncate', (k) => { k.change(k.f, Change.size); }, 'EPERM', 'EPERM'],
  ['chmod', (k) => { k.change(k.f, Change.mode); }, 'EPERM', 'EPERM'],
  ['chown', (k) => { k.change(k.f, Change.uid); }, 'EPERM', 'EPERM'],
  ['chgrp', (k) => { k.change(k.f, Change.gid); }, 'EPERM', 'EPERM'],
  ['utimensat with times', (k) => { k.change(k.f, Change.atime | Change.mtime); }, 'EPERM', 'EPERM'],
  ['utimensat of one time, now', (k) => { k.change(k.f, Change.atime | Change.atimeNow); }, 'EPERM', 'EPERM'],
  ['utimensat to now', (k) => { k.change(k.f, Change.atime | Change.mtime | Change.atimeNow | Change.mtimeNow); }, 'EPERM', 'done'],
  ['clearing of set-user-id by a write', (k) => { k.change(k.f, Change.killPrivileges); }, 'EPERM', 'done'],
  ['allocate', (k) => { k.fs.allocate(k.f, 0, 0, 8192); }, 'EPERM', 'done'],
  ['allocate, keeping the size', (k) => { k.fs.allocate(k.f, AllocateMode.keepSize, 0, 8192); }, 'EPERM', 'done'],
  ['punch a hole', (k) => { k.fs.allocate(k.f, AllocateMode.punchHole | AllocateMode.keepSize, 0, 4096); }, 'EPERM', 'EPERM'],
  ['zero a range', (k) => { k.fs.allocate(k.f, AllocateMode.zeroRange, 0, 4096); }, 'EPERM', 'EPERM'],
  ['copy into it', (k) => { k.fs.copyRange(k.g, 0, k.f, 0, 10); }, 'EPERM', 'EPERM'],
  ['copy to its end', (k) => { k.fs.copyRange(k.g, 0, k.f, 100, 10); }, 'EPERM', 'done'],
  ['copy from it', (k) => { k.fs.copyRange(k.f, 0, k.g, 0, 10); }, 'done', 'done'],
  ['link', (k) => { k.fs.link(k.f, root, name('l')); }, 'EPERM', 'EPERM'],
  ['unlink', (k) => { k.fs.unlink(k.d, name('f')); }, 'EPERM', 'EPERM'],
  ['rename', (k) => { k.fs.rename(k.d, name('f'), root, name('f'), 0); }, 'EPERM', 'EPERM'],
  ['replace by rename', (k) => { k.fs.rename(root, name('g'), k.d, name('f'), 0); }, 'EPERM', 'EPERM'],
  ['exchange', (k) => { k.fs.rename(root, name('g'), k.d, name('f'), RenameFlag.exchange); }, 'EPERM', 'EPERM'],
  ['rename to another name of itself', (k) => { k.fs.rename(k.d, name('f'), k.d, name('f'), 0); }, 'done', 'done'],
  ['read', (k) => { t.same(k.read(k.f, 0, 100), new Uint8Array(100).fill(1)); }, 'done', 'done'],
  ['look up', (k) => { t.equal(k.lookup(k.d, 'f'), k.f); }, 'done', 'done'],
];

/** What is done in a protected directory `d`. */
const inDirectory: readonly Row[] = [
  ['create', (k) => { k.make(k.d, 'n', FileType.regular); }, 'EPERM', 'done'],
  ['mkdir', (k) => { k.make(k.d, 'n', FileType.directory); }, 'EPERM', 'done'],
  ['mknod', (k) => { k.make(k.d, 'n', FileType.fifo); }, 'EPERM', 'done'],
  ['symlink', (k) => { k.fs.symlink(k.d, name('n'), name('to'), caller); }, 'EPERM', 'done'],
  ['O_TMPFILE', (k) => { k.fs.makeTemporary(k.d, FileType.regular | 0o600, caller); }, 'EPERM', 'done'],
  ['link into it', (k) => { k.fs.link(k.g, k.d, name('n')); }, 'EPERM', 'done'],
  ['create what exists', (k) => { k.make(k.d, 'f', FileType.regular); }, 'EEXIST', 'EEXIST'],
  ['unlink', (k) => { k.fs.unlink(k.d, name('f')); }, 'EPERM', 'EPERM'],
  ['unlink what is not there', (k) => { k.fs.unlink(k.d, name('n')); }, 'ENOENT', 'ENOENT'],
  ['rmdir', (k) => { k.fs.rmdir(k.d, name('sub')); }, 'EPERM', 'EPERM'],
  ['rename inside', (k) => { k.fs.rename(k.d, name('f'), k.d, name('n'), 0); }, 'EPERM', 'EPERM'],
  ['rename out of it', (k) => { k.fs.rename(k.d, name('f'), root, name('n'), 0); }, 'EPERM', 'EPERM'],
  ['rename into it', (k) => { k.fs.rename(root, name('g'), k.d, name('n'), 0); }, 'EPERM', 'done'],
  ['replace in it', (k) => { k.fs.rename(root, name('g'), k.d, name('f'), 0); }, 'EPERM', 'EPERM'],
  ['rename over what exists, NOREPLACE', (k) => { k.fs.rename(root, name('g'), k.d, name('f'), RenameFlag.noReplace); }, 'EEXIST', 'EEXIST'],
  ['rmdir of it', (k) => { k.fs.rmdir(root, name('d')); }, 'EPERM', 'EPERM'],
  ['rename of it', (k) => { k.fs.rename(root, name('d'), root, name('n'), 0); }, 'EPERM', 'EPERM'],
  ['chmod of it', (k) => { k.change(k.d, Change.mode); }, 'EPERM', 'EPERM'],
  ['write to a file in it', (k) => { k.write(k.f, 0); }, 'done', 'done'],
  ['list', (k) => { t.equal(k.list(k.d).length, 4); }, 'done', 'done'],
];

for (const [what, rows, of] of [['a file', toFile, (k: Kit) => k.f], ['a directory', inDirectory, (k: Kit) => k.d]] as const) {
  for (const [flag, label, column] of [[immutable, 'immutable', 2], [appendOnly, 'append-only', 3]] as const) {
    t.test(`${what} that is ${label}`, (t) => {
      for (const row of rows) {
        const kit = new Kit();
        const ino = of(kit);
        kit.fs.setFlags(ino, flag, 0);
        const before = { ...kit.attributes(ino) };
        t.equal(outcome(() => { row[1](kit); }), row[column], row[0]);
        if (row[column] === 'EPERM') t.same(kit.attributes(ino), before, `${row[0]}: nothing changed`);
        kit.fs.setFlags(ino, 0, 0);
t.not(outcome(() => { row[1](new Kit()); }), 'EPERM', `${row[0]}: it is the flag that forbids it`);
        t.ok(kit.isSound(), `${row[0]}: the volume is sound`);
      }
      t.end();
    });
  }
}

t.test('what was stored through a mapping before is not lost', (t) => {
  const kit = new Kit();
  kit.fs.setFlags(kit.f, immutable, 0);
  kit.fs.write(kit.f, 0, new Uint8Array(100).fill(9), 0, 100, true);
  t.equal(kit.read(kit.f, 0, 1)[0], 9, 'an immutable file takes the pages of a mapping made before');
  kit.fs.setFlags(kit.g, appendOnly, 0);
  t.equal(outcome(() => { kit.fs.write(kit.g, 0, new Uint8Array(100), 0, 100, true); }), 'EPERM', 'an append-only file, which may be mapped later, does not');
  t.end();
});

t.test('flags are set all at once', (t) => {
  const kit = new Kit();
  const all = dax | appendOnly | noDump | noAtime | sync;
  kit.clock.advance(1e9);
  kit.fs.setFlags(kit.f, all, 7);
  const shown = kit.attributes(kit.f);
  t.same([shown.flags, shown.project, shown.ctimeSeconds], [all, 7, kit.clock.seconds], 'flags, project, ctime');
  for (const bit of [0x80, InodeFlag.treeBody, 0x100]) t.equal(outcome(() => { kit.fs.setFlags(kit.f, bit, 0); }), 'EOPNOTSUPP', `0x${bit.toString(16)}`);
  const fifo = kit.make(root, 'fifo', FileType.fifo);
  t.equal(outcome(() => { kit.fs.setFlags(fifo, dax, 0); }), 'EINVAL', 'a fifo can not be DAX');
  kit.fs.setFlags(kit.f, immutable, 7);
  t.equal(outcome(() => { kit.fs.setFlags(kit.f, immutable | noDump, 7); }), 'EPERM', 'what stays immutable gets no other flag');
  t.equal(outcome(() => { kit.fs.setFlags(kit.f, immutable, 8); }), 'EPERM', 'and no other project');
  t.equal(outcome(() => { kit.fs.setFlags(kit.f, immutable, 7); }), 'done', 'to set what is set changes nothing');
  kit.fs.setFlags(kit.f, noDump, 8);
  t.same([kit.attributes(kit.f).flags, kit.attributes(kit.f).project], [noDump, 8], 'immutable goes together with other changes');
  kit.fs.setFlags(kit.d, projectInherit, 4_000_000_000);
  t.ok(kit.isSound(), 'the verifier knows flags and projects');
  t.end();
});

t.test('a new inode inherits as on ext4', (t) => {
  const kit = new Kit();
  const given = dax | noDump | noAtime | sync | projectInherit;
  kit.fs.setFlags(kit.d, given, 42);
  const show = (ino: Ino): number[] => [kit.attributes(ino).flags, kit.attributes(ino).project];
  t.same(show(kit.make(kit.d, 'dir', FileType.directory)), [given, 42], 'a directory');
  t.same(show(kit.make(kit.d, 'file', FileType.regular)), [given & ~projectInherit, 42], 'a file');
  t.same(show(kit.fs.makeTemporary(kit.d, FileType.regular, caller)), [given & ~projectInherit, 42], 'O_TMPFILE');
  t.same(show(kit.make(kit.d, 'fifo', FileType.fifo)), [noDump | noAtime, 42], 'a fifo');
  t.same(show(kit.fs.symlink(kit.d, name('short'), name('x'), caller)), [noDump | noAtime, 42], 'a symbolic link');
  const long = kit.fs.symlink(kit.d, name('long'), name('y'.repeat(3000)), caller);
  t.same(show(long), [noDump | noAtime, 42], 'a long symbolic link');
  t.equal(kit.fs.readlink(long, new Uint8Array(4095), 0), 3000, 'which keeps its target');
  kit.fs.setFlags(kit.d, appendOnly, 0);
  t.same(show(kit.make(kit.d, 'file2', FileType.regular)), [0, 0], 'append-only is not inherited');
  t.end();
});

t.test('names do not leave a project tree', (t) => {
  const kit = new Kit();
  kit.fs.setFlags(kit.d, projectInherit, 5);
  t.equal(outcome(() => { kit.fs.link(kit.g, kit.d, name('n')); }), 'EXDEV', 'link');
  t.equal(outcome(() => { kit.fs.rename(root, name('g'), kit.d, name('n'), 0); }), 'EXDEV', 'rename');
  t.equal(outcome(() => { kit.fs.rename(kit.d, name('f'), root, name('g'), RenameFlag.exchange); }), 'EXDEV', 'exchange');
  kit.fs.setFlags(kit.g, 0, 5);
  t.equal(outcome(() => { kit.fs.rename(root, name('g'), kit.d, name('n'), 0); }), 'done', 'the same project may come in');
  t.end();
});
