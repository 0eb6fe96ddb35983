// Guards fsck.nvmfs over image and region directory together: what it says, its exit codes, that a second run finds nothing more, and that one killed at any moment can be run again.
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { asIno } from '../../src/base/units.js';
import { FileType, InodeFlag } from '../../src/format/layout.js';
import { readSuperblock } from '../../src/format/superblock.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { Caller, Name, OpenedFile } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import { MappedPmem } from '../../src/pmem/mapped.js';
import { HostRegions } from '../../src/region/host.js';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';
import { command, type Finished, isRoot, ROOT, scratchDirectory } from './command.js';

t.setTimeout(600_000);
const root = asIno(1);
const DATA = Buffer.from('what a program has stored');

/** A volume in a file whose region directory is `regions`, with DAX files `one` and `two`. */
class Case {
  readonly image: string;
  readonly regions: string;
  readonly directory: string;
  readonly remove: () => void;

  constructor(where: 'beside' | 'recorded' = 'beside') {
    [this.directory, this.remove] = scratchDirectory();
    this.image = join(this.directory, 'image');
    this.regions = where === 'beside' ? `${this.image}.regions` : join(this.directory, 'elsewhere');
    const made = command('mkfs.nvmfs', '-q', '-s', '8m', ...(where === 'recorded' ? ['--regions', this.regions] : []), this.image);
    if (made.exitCode !== 0) throw new Error(made.stderr);
    this.use((fs) => {
      for (const name of ['one', 'two']) {
        const ino = fs.makeNode(root, Name.from(name), FileType.regular | 0o644, new Caller(), 0, 0);
        fs.setFlags(ino, InodeFlag.dax, 0);
        fs.openFile(ino, new OpenedFile());
        fs.closeFile(ino);
        fs.write(ino, 0, DATA, 0, DATA.length);
      }
    });
  }

  /** The engine on the volume, without a mount. */
  use<T>(what: (fs: FileSystemOperations) => T): T {
    const pmem = MappedPmem.open(this.image, {});
    const { uuid } = readSuperblock(pmem).geometry;
    const fs = openVolume(pmem, { regions: new HostRegions({ directory: this.regions, uuid, origin: 'beside', readOnly: false }) });
    try {
      return what(fs);
    } finally {
      fs.close();
    }
  }

  fsck(...args: string[]): Finished {
    return command('fsck.nvmfs', ...args, this.image);
  }

  hosts(): string[] {
    return readdirSync(this.regions).filter((name) => name !== 'volume').sort();
  }

  host(index = 0): string {
    return join(this.regions, this.hosts()[index] ?? 'none');
  }

  stray(name: string, data: string | Buffer): string {
    const path = join(this.regions, name);
    writeFileSync(path, data, { mode: 0o600 });
    return path;
  }

  /** Contents of what is in lost+found. */
  lost(): string[] {
    return this.use((fs) => {
      const home = fs.lookup(root, Name.from('lost+found'));
      if (home === 0) return [];
      const found: string[] = [];
      for (const name of ['#0000000000000009-00000007', '#000000000000000a-00000007']) {
        const ino = fs.lookup(home, Name.from(name));
        if (ino !== 0) found.push(readFileSync(join(this.regions, this.hosts().find((host) => host.startsWith(ino.toString(16).padStart(16, '0'))) ?? ''), 'latin1'));
      }
      return found;
    });
  }
}

interface Damage {
  readonly name: string;
  readonly do: (c: Case) => void;
  /** What -n says. */
  readonly says: RegExp;
  /** Of -y; default 1. */
  readonly exit?: number;
  /** Of -p; default 4. */
  readonly preen?: number;
  readonly after?: (c: Case) => unknown;
  readonly skip?: string | false;
}

const damages: readonly Damage[] = [
  { name: 'a missing host file', do: (c) => { unlinkSync(c.host()); }, says: /^region-missing: inode 2: host file .*: expected a file, found none$/m, exit: 4 },
  { name: 'a link in place of a host file', do: (c) => { const path = c.host(); unlinkSync(path); symlinkSync('/etc/passwd', path); }, says: /^region-missing: .* found something else$/m, exit: 4 },
  { name: 'a host file of no inode', do: (c) => { c.stray('0000000000000009-00000007', 'stray'); }, says: /^region-orphan: host file .*0000000000000009-00000007: /m, after: (c) => c.lost().join() === 'stray' },
  { name: 'an empty host file of no inode', do: (c) => { c.stray('0000000000000009-00000007', ''); }, says: /^region-orphan: /m, after: (c) => c.hosts().length === 2 },
  { name: 'a mode', do: (c) => { chmodSync(c.host(), 0o644); }, says: /^region-mode: inode 2: host file .*: mode: expected 0600, found 0644$/m, preen: 1, after: (c) => (lstatSync(c.host()).mode & 0o7777) === 0o600 },
  { name: 'an owner', skip: !isRoot() && 'needs root', do: (c) => { chownSync(c.host(), 1234, 0); }, says: /^region-mode: .* owner: expected 0, found 1234$/m, preen: 1, after: (c) => lstatSync(c.host()).uid === 0 },
  { name: 'a directory that others may write to', do: (c) => { chmodSync(c.regions, 0o777); }, says: /^region-mode: region directory .*: mode: /m, preen: 1, after: (c) => (lstatSync(c.regions).mode & 0o7777) === 0o700 },
  { name: 'another volume’s directory', do: (c) => { writeFileSync(join(c.regions, 'volume'), `${'0'.repeat(32)}\n`); }, says: /^region-directory: region directory: expected that of this volume, found the region directory .* belongs to another volume$/m, exit: 4 },
  { name: 'a directory without a mark', do: (c) => { unlinkSync(join(c.regions, 'volume')); }, says: /^region-directory: .* has no file 'volume'/m, exit: 4 },
];

for (const damage of damages) {
  t.test(damage.name, { skip: damage.skip ?? false }, (t) => {
    const c = new Case();
    t.teardown(c.remove);
    damage.do(c);
    const before = c.hosts().join();
    const checked = c.fsck('-n');
    t.equal(checked.exitCode, 4);
    t.match(checked.stdout, damage.says);
    t.equal(c.hosts().join(), before, '-n changes nothing');
    const preened = c.fsck('-p', '-f');
    t.equal(preened.exitCode, damage.preen ?? 4, 'at start-up');
    if (damage.preen === undefined) {
      t.match(preened.stderr, /RUN fsck.nvmfs MANUALLY/);
      t.equal(c.hosts().join(), before);
      t.equal(c.fsck('-y').exitCode, damage.exit ?? 1);
    }
    const left = damage.exit ?? 0;
    const after = c.hosts().join();
    t.equal(c.fsck('-y').exitCode, left, 'a second run');
    t.match(JSON.parse(c.fsck('-n', '--json').stdout), { clean: left === 0, statistics: { regularFiles: Number } });
    t.equal(c.hosts().join(), after);
    if (damage.after !== undefined) t.ok(damage.after(c), 'what was done');
    t.end();
  });
}

t.test('a directory that is not there: one line, and the image alone is checked', (t) => {
  const c = new Case('recorded');
  t.teardown(c.remove);
  t.match(c.fsck('-n', '-v'), { exitCode: 0, stdout: /^ +2 files with their data in the region directory$/m, stderr: '' });
  const moved = join(c.directory, 'moved');
  renameSync(c.regions, moved);
  const missing = c.fsck('-n');
  t.match(missing, { exitCode: 0, stderr: /^.*image: the region directory .*elsewhere is missing; the data of 2 files was not looked at\n$/ });
  t.match(c.fsck('-n', '--regions', moved), { exitCode: 0, stderr: '' }, 'the option says where it is');
  mkdirSync(c.regions);
  t.match(c.fsck('-y'), { exitCode: 0, stderr: /elsewhere is empty; the data of 2 files was not looked at/ });
  for (const [given, reason] of [[c.regions, /is empty/], [join(c.directory, 'nothing'), /is missing/], [c.image, /can't open|ENOTDIR/]] as const) {
    t.match(c.fsck('-n', '--regions', given), { exitCode: 8, stdout: '', stderr: reason });
  }
  t.match(c.fsck('-n', '--regions', ''), { exitCode: 16 });
  unlinkSync(join(moved, readdirSync(moved).filter((name) => name !== 'volume')[0] ?? ''));
  t.match(c.fsck('-n', '--regions', moved), { exitCode: 4, stdout: /region-missing/ });
  rmSync(moved, { recursive: true });
  t.match(c.fsck('-a', '-f'), { exitCode: 0, stderr: /was not looked at/ });
  t.end();
});

t.test('a repair that is killed can be run again', async (t) => {
  const names = ['0000000000000009-00000007', '000000000000000a-00000007'];
  for (let round = 0; round < 8; round += 1) {
    const c = new Case();
    try {
      for (const name of names) c.stray(name, name);
      for (let index = 0; index < 200; index += 1) c.stray(`00000000000000ff-${index.toString(16).padStart(8, '0')}`, '');
      const [program, args] = cleanCommand(join(ROOT, 'bin/fsck.nvmfs'), ['-y', c.image]);
      const child = spawn(program, args, { env: cleanEnvironment(), stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      // The first lines of its work are seen in the directory: it is killed somewhere behind them.
      const all = c.hosts().length;
      while (c.hosts().length >= all && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setTimeout(resolve, 2 * round));
      child.kill('SIGKILL');
      await ended;
      const again = c.fsck('-y');
      t.ok(again.exitCode === 0 || again.exitCode === 1, `round ${String(round)}: ${again.stdout.slice(-500)}${again.stderr}`);
      t.equal(c.fsck('-n').exitCode, 0);
      t.equal(c.hosts().length, 4);
      t.same(c.lost(), names);
    } finally {
      c.remove();
    }
  }
});
