// Guards the command line of nvmfs and mount.nvmfs: wrong usage gives one line and exit 1, what is for others is passed over.
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { splitOptions } from '../../src/cli/mount-options.js';
import { formatSize, parseSize } from '../../src/base/sizes.js';
import { command, ROOT, run, scratchDirectory, type Finished } from './command.js';

const nvmfs = (...args: string[]): Finished => command('nvmfs', ...args);
const helper = (...args: string[]): Finished => command('mount.nvmfs', ...args);

t.test('nvmfs explains itself', (t) => {
  const help = nvmfs('--help');
  t.equal(help.exitCode, 0, help.stderr);
  for (const word of ['mount <image> <directory>', 'umount <directory>', 'version']) t.ok(help.stdout.includes(word), word);
  t.equal(nvmfs('help').stdout, help.stdout, 'the command help prints the same');
  t.equal(nvmfs('-h').stdout, help.stdout);
  const mount = nvmfs('mount', '--help');
  t.equal(mount.exitCode, 0);
  const manual = readFileSync(join(ROOT, 'man/nvmfs.8'), 'utf8').replaceAll('\\-', '-');
  for (const option of mount.stdout.match(/--[a-z-]+/g) ?? []) {
    if (!/--(help|version)/.test(option)) t.ok(manual.includes(option), `the manual explains ${option}`);
  }
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  for (const args of [['version'], ['--version'], ['-V']]) t.equal(nvmfs(...args).stdout, `nvmfs ${version}\n`, args.join(' '));
  t.end();
});

t.test('wrong usage of nvmfs', (t) => {
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [[], /no command given/],
    [['frobnicate'], /frobnicate/],
    [['mount'], /[Nn]ot enough/],
    [['mount', 'image'], /[Nn]ot enough/],
    [['mount', 'image', 'directory', '--frobnicate'], /frobnicate/],
    [['mount', 'image', 'directory', 'more'], /more/],
    [['mount', 'image', 'directory', '-o'], /argument/],
    [['umount'], /[Nn]ot enough/],
    [['umount', 'a', 'b'], /b/],
  ];
  for (const [args, reason] of wrong) {
    const { exitCode, stdout, stderr } = nvmfs(...args);
    t.equal(exitCode, 1, `nvmfs ${args.join(' ')}`);
    t.equal(stdout, '', 'nothing on stdout');
    t.match(stderr, reason);
    t.equal(stderr.trimEnd().split('\n').length, 1, `one line, not: ${stderr}`);
  }
  t.end();
});

t.test('the options of mount', (t) => {
  t.same(splitOptions('ro,noatime'), ['ro', 'noatime']);
  t.same(splitOptions(',ro,,'), ['ro']);
  t.same(splitOptions(''), []);
  t.same(splitOptions('context="a:b,c",rw'), ['context="a:b,c"', 'rw'], 'commas in quotes belong to the value');
  t.end();
});

t.test('mount.nvmfs follows the conventions of mount(8)', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  writeFileSync(image, '');
  const wrong: readonly (readonly [string[], number, RegExp])[] = [
    [[], 1, /usage/],
    [[image], 1, /usage/],
    [[image, directory, directory], 1, /usage/],
    [[image, directory, '-x'], 1, /-x/],
    [[image, directory, '-o'], 1, /-o needs/],
    [[image, directory, '-t', 'ext4'], 1, /type ext4/],
    [[image, directory, '-N', '/proc/1/ns/mnt'], 1, /namespace/],
    [[join(directory, 'absent'), directory, '-f'], 32, /does not exist/],
    [[directory, directory, '-f'], 32, /a directory/],
    [[image, directory, '-f', '-o', 'frobnicate'], 1, /frobnicate/],
    [[image, directory, '-f'], 32, /no room|small/],
    [[image, join(directory, 'absent'), '-f'], 32, /does not exist/],
    [[image, image, '-f'], 32, /not a directory/],
    [[image, join(image, 'x'), '-f'], 32, /^nvmfs: \S*image\/x: not a directory/],
  ];
  for (const [args, code, reason] of wrong) {
    const { exitCode, stderr } = helper(...args);
    t.equal(exitCode, code, `mount.nvmfs ${args.join(' ')}`);
    t.match(stderr, reason);
    t.equal(stderr.trimEnd().split('\n').length, 1, `one line, not: ${stderr}`);
  }
  t.equal(helper('--help').exitCode, 0);
  t.match(helper('-V').stdout, /^mount\.nvmfs \d/);
  t.end();
});

t.test('commands run through symbolic links, from anywhere', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  for (const name of ['nvmfs', 'mkfs.nvmfs', 'mount.nvmfs']) {
    const link = join(directory, name);
    symlinkSync(join(ROOT, 'bin', name), link);
    t.equal(run(link, ['--version'], { cwd: directory }).exitCode, 0, name);
  }
  t.end();
});

t.test("somebody's NODE_OPTIONS do not get in the way", (t) => {
  for (const name of ['nvmfs', 'mkfs.nvmfs', 'mount.nvmfs']) {
    const finished = run(join(ROOT, 'bin', name), ['--version'], { env: { NODE_OPTIONS: '--import=data:text/javascript,' } });
    t.equal(finished.exitCode, 0, `${name}: ${finished.stderr}`);
  }
  t.end();
});

t.test('a checkout that is not built says so', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  run('cp', ['-r', join(ROOT, 'bin'), join(ROOT, 'package.json'), directory]);
  for (const name of ['nvmfs', 'mkfs.nvmfs', 'fsck.nvmfs', 'mount.nvmfs']) {
    const { exitCode, stderr } = run(join(directory, 'bin', name), []);
    t.equal(exitCode, 1);
    t.equal(stderr, `${name}: not built yet; run: make build\n`);
  }
  t.end();
});

t.test('sizes for people', (t) => {
  t.same(['0', '1k', '1K', '2m', '3g', '1t', '8p'].map(parseSize), [0, 1024, 1024, 2 ** 21, 3 * 2 ** 30, 2 ** 40, 2 ** 53]);
  t.same([0, 4095, 4096, 2 ** 20 * 1.5, 2 ** 40].map(formatSize), ['0 bytes', '4095 bytes', '4 KiB', '1.5 MiB', '1 TiB']);
  for (const text of ['', 'k', '1kk', '-1', '1.5', ' 1', '1 ', '9p', 'Infinity', '1e3']) t.throws(() => parseSize(text), /bad size/, text);
  t.end();
});
