// Guards `make install`: what is installed works without the checkout, and `make uninstall` leaves nothing behind.
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, run, scratchDirectory } from './command.js';

/** Runs an install script as make does, without building again. */
function script(name: string, DESTDIR: string, PREFIX: string): { exitCode: number | null; stderr: string } {
  return run(join(ROOT, 'scripts', name), [], { env: { DESTDIR, PREFIX } });
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => !lstatSync(join(directory, name)).isDirectory());
}

t.test('an installed tree works by itself', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  t.equal(script('install-tree', directory, '/usr').exitCode, 0);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  t.equal(run(join(directory, 'usr/bin/nvmfs'), ['version'], { cwd: '/' }).stdout, `nvmfs ${version}\n`);
  for (const [name, path] of [['mkfs.nvmfs'], ['fsck.nvmfs'], ['mount.nvmfs'], ['mount.nvmfs', 'mount.fuse.nvmfs']] as const) {
    const finished = run(join(directory, 'usr/sbin', path ?? name), ['--version'], { cwd: '/' });
    t.equal(finished.stdout, `${name} ${version}\n`, finished.stderr);
  }
  const image = join(directory, 'image');
  t.equal(run(join(directory, 'usr/sbin/mkfs.nvmfs'), ['-q', '-s', '8m', image], { cwd: '/' }).exitCode, 0, 'mkfs finds the addon');
  t.equal(run(join(directory, 'usr/sbin/fsck.nvmfs'), ['-n', image], { cwd: '/' }).exitCode, 0, 'fsck finds it, too');
  for (const part of ['include/nvm.h', 'lib/libnvm.so', 'lib/libnvm.a', 'lib/libnvm-preload.so', 'share/man/man3/nvm.3']) {
    t.ok(existsSync(join(directory, 'usr', part)), part);
  }
  t.match(readFileSync(join(directory, 'usr/lib/pkgconfig/nvm.pc'), 'utf8'), /^prefix=\/usr$/m, 'pkg-config finds the library');
  for (const page of ['nvmfs.8', 'mkfs.nvmfs.8', 'fsck.nvmfs.8', 'mount.nvmfs.8']) {
    t.ok(existsSync(join(directory, 'usr/share/man/man8', page)), `manual page ${page}`);
  }
  t.end();
});

t.test('only what run time needs is installed', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  t.equal(script('install-tree', directory, '/usr').exitCode, 0);
  const library = join(directory, 'usr/lib/nvmfs');
  const packages = readdirSync(join(library, 'node_modules'));
  for (const name of ['yargs', 'lru-cache']) t.ok(packages.includes(name), `${name} is there`);
  for (const name of ['typescript', 'eslint', 'tap']) t.notOk(packages.includes(name), `${name} is not`);
  t.notOk(existsSync(join(library, 'dist/test')), 'no tests');
  t.notOk(existsSync(join(library, 'dist/bench')), 'no benchmarks');
  t.end();
});

t.test('installing twice is as good as once, and uninstalling leaves nothing', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  t.equal(script('install-tree', directory, '/opt/nvmfs').exitCode, 0);
  const once = filesBelow(directory).sort();
  t.equal(script('install-tree', directory, '/opt/nvmfs').exitCode, 0);
  t.same(filesBelow(directory).sort(), once);
  t.equal(script('uninstall-tree', directory, '/opt/nvmfs').exitCode, 0);
  t.same(filesBelow(directory), [], 'no file is left');
  t.equal(script('install-tree', directory, 'relative').exitCode, 1, 'a relative prefix is refused');
  t.end();
});
