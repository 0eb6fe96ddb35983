// Guards that mkfs.nvmfs refuses with one clear line, and without writing anything, whatever it can't or must not do.
import {
  chmodSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync, writeSync,
} from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { command, isRoot, ROOT, run, scratchDirectory, type Finished } from './command.js';

t.setTimeout(600_000);
const MIB = 2 ** 20;
const UUID = '01234567-89ab-4cde-8f01-23456789abcd';

function mkfs(...args: string[]): Finished {
  return command('mkfs.nvmfs', ...args);
}

function fingerprint(path: string): string {
  return `${String(statSync(path).size)} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
}

function makeFile(path: string, size: number): void {
  writeFileSync(path, '');
  truncateSync(path, size);
}

function writeAt(path: string, address: number, bytes: string): void {
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, Buffer.from(bytes, 'latin1'), 0, bytes.length, address);
  closeSync(descriptor);
}

/** Asserts a refusal: exit 1, nothing on stdout, one line on stderr that matches. */
function refused(t: Test, finished: Finished, reason: RegExp): void {
  t.equal(finished.exitCode, 1, `exit code 1 for ${String(reason)}`);
  t.equal(finished.stdout, '', 'nothing on stdout');
  t.match(finished.stderr, reason, 'the reason is on stderr');
  t.equal(finished.stderr.split('\n').length, 2, `one line, not: ${finished.stderr}`);
}

interface Summary {
  version: number;
  path: string;
  created: boolean;
  dryRun: boolean;
  label: string;
  uuid: string;
  size: number;
  blockSize: number;
  totalBlocks: number;
  groups: number;
  journalBlocks: number;
  domain: string | null;
}

function summaryOf(finished: Finished): Summary {
  return JSON.parse(finished.stdout) as Summary;
}

t.test('a volume is made in a new file', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  const made = mkfs('-s', '64m', '-L', 'größe', '-U', UUID, image);
  t.equal(made.exitCode, 0, made.stderr);
  t.equal(made.stderr, '', 'stderr is for talk');
  for (const part of ['meta-data', image, 'agcount=', 'bsize=4096', 'blocks=16384', UUID, 'label=größe', 'internal log']) {
    t.ok(made.stdout.includes(part), `the summary has ${part}`);
  }
  t.equal(statSync(image).size, 64 * MIB, 'the file has the size that was asked for');
  t.equal(statSync(image).mode & 0o777, 0o600, 'nobody else can read it');
  refused(t, mkfs(image), /signature of nvmfs; -f/);
  const again = mkfs('-f', '--json', image);
  t.equal(again.exitCode, 0, again.stderr);
  t.match(summaryOf(again), { version: 1, path: image, created: false, dryRun: false, label: '', size: 64 * MIB, blockSize: 4096 });
  t.match(summaryOf(again).uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'a random UUID');
  t.match(summaryOf(again).domain, /^(sync-dax|memory|file)$/, 'the durability domain is told');
  t.same(mkfs('-f', '-q', image), { exitCode: 0, stdout: '', stderr: '' }, '-q is quiet');
  t.end();
});

t.test('sizes', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const sizes: readonly [string, number][] = [
    ['4m', 4 * MIB], ['4M', 4 * MIB], ['8192k', 8 * MIB], ['8192K', 8 * MIB], ['1g', 1024 * MIB], ['1G', 1024 * MIB],
    ['4194304', 4 * MIB], ['4198400', 4 * MIB + 4096], ['1t', MIB * MIB], ['1T', MIB * MIB],
  ];
  for (const [text, bytes] of sizes) {
    const image = join(directory, `image-${text}`);
    const made = mkfs('--json', '-s', text, image);
    t.equal(made.exitCode, 0, `${text}: ${made.stderr}`);
    t.equal(statSync(image).size, bytes, `the file of ${text}`);
    t.ok(summaryOf(made).size <= bytes && summaryOf(made).size > bytes - MIB, `the volume of ${text}`);
    t.ok(statSync(image).blocks * 512 < 8 * MIB, `${text} is sparse: ${String(statSync(image).blocks * 512)} bytes`);
  }
  const image = join(directory, 'bad');
  for (const text of ['', 'x', '10x', '-4m', '1.5g', '4mb', ' 4m', '0x400000', '9p', '99999999999999999', '4m 4m']) {
    refused(t, mkfs(`--size=${text}`, image), /bad size/);
  }
  refused(t, mkfs('-s', '4194305', image), /not a multiple of 4096/);
  for (const text of ['0', '4k', '4190208']) refused(t, mkfs('-s', text, image), /4 MiB|small/);
  t.notOk(existsSync(image), 'no file is left behind');
  t.end();
});

t.test('wrong usage', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  refused(t, mkfs(), /no file or device given/);
  refused(t, mkfs('-s', '8m', ''), /no file or device given/);
  refused(t, mkfs('-s', '8m', image, image), /one file or device/);
  refused(t, mkfs('-x', image), /-x/);
  refused(t, mkfs('--frobnicate', image), /--frobnicate/);
  refused(t, mkfs(image, '-s'), /-s/);
  refused(t, mkfs('-s', '8m', '-L', 'x'.repeat(65), image), /bad label: 65 bytes/);
  refused(t, mkfs('-s', '8m', '-L', 'é'.repeat(33), image), /bad label: 66 bytes/);
  refused(t, mkfs('-s', '8m', '-L', 'a\nb', image), /bad label: control/);
  for (const uuid of ['', 'x', '0123', `${UUID}0`, UUID.replace('0', 'g'), UUID.replaceAll('-', '')]) {
    refused(t, mkfs('-s', '8m', '-U', uuid, image), /bad UUID/);
  }
  t.notOk(existsSync(image), 'nothing was created');
  t.equal(mkfs('-s', '8m', '-L', 'é'.repeat(32), image).exitCode, 0, 'a label of 64 bytes fits');
  t.end();
});

t.test('places where no volume can be', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  refused(t, mkfs(join(directory, 'absent')), /does not exist; give a size/);
  refused(t, mkfs('-s', '8m', join(directory, 'no', 'such', 'file')), /no such directory/);
  refused(t, mkfs('-s', '8m', directory), /is a directory/);
  writeFileSync(join(directory, 'plain'), '');
  refused(t, mkfs('-s', '8m', join(directory, 'plain', 'image')), /mkfs.nvmfs: \S*plain\/image: not a directory/);
  symlinkSync('nowhere', join(directory, 'dangling'));
  refused(t, mkfs('-s', '8m', join(directory, 'dangling')), /dangling is a symbolic link to nowhere, which does not exist/);
  t.notOk(existsSync(join(directory, 'nowhere')), 'nothing is made through it');
  // Bytes can't be passed as an argument by node itself.
  refused(t, run('sh', ['-c', `exec bin/mkfs.nvmfs -s 8m "$0/$(printf 'a\\377')"`, directory]), /has bytes that are not UTF-8/);
  refused(t, mkfs(join(directory, '\ufffd')), /does not exist; give a size/);
  refused(t, mkfs('-s', '8m', '/dev/null'), /neither a regular file nor/);
  const fifo = join(directory, 'fifo');
  run('mkfifo', [fifo]);
  refused(t, mkfs(fifo), /neither a regular file nor/);
  const file = join(directory, 'file');
  makeFile(file, 0);
  refused(t, mkfs(file), /4 MiB|small/);
  makeFile(file, 8 * MIB);
  chmodSync(file, 0o444);
  const before = fingerprint(file);
  refused(t, mkfs(file), /read-only/);
  t.equal(fingerprint(file), before, 'a read-only file stays as it was');
  refused(t, mkfs(join(file, 'x')), /ENOTDIR|not a directory/);
  const link = join(directory, 'link');
  symlinkSync(link, link);
  refused(t, mkfs(link), /ELOOP|symbolic links/);
  t.end();
});

t.test('a filesystem that is there is not overwritten without -f', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const file = join(directory, 'file');
  const examples: readonly [string, number, string][] = [
    ['xfs', 0, 'XFSB'], ['btrfs', 65600, '_BHRfS_M'], ['LUKS', 0, 'LUKS\xba\xbe'], ['swap', 4086, 'SWAPSPACE2'],
    ['GPT', 512, 'EFI PART'], ['LVM2', 512, 'LABELONE'], ['iso9660', 32769, 'CD001'], ['nvmfs', 24, 'NVMFS\r\n\x1a'],
  ];
  for (const [name, address, mark] of examples) {
    makeFile(file, 8 * MIB);
    writeAt(file, address, mark);
    const before = fingerprint(file);
    refused(t, mkfs(file), new RegExp(`signature of ${name}.*-f`));
    refused(t, mkfs('-N', file), new RegExp(`signature of ${name}.*-f`));
    t.equal(fingerprint(file), before, `${name} stays as it was`);
    t.equal(mkfs('-f', '-q', file).exitCode, 0, `${name} is overwritten with -f`);
    refused(t, mkfs(file), /signature of nvmfs; -f/);
  }
  t.end();
});

t.test('files grow and shrink', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const file = join(directory, 'file');
  makeFile(file, 16 * MIB);
  t.equal(mkfs('-q', '-s', '8m', file).exitCode, 0, 'a file without data shrinks');
  t.equal(statSync(file).size, 8 * MIB);
  t.equal(mkfs('-q', '-f', '-s', '32m', file).exitCode, 0, 'a file grows');
  t.equal(statSync(file).size, 32 * MIB);
  writeFileSync(file, randomBytes(16 * MIB));
  const before = fingerprint(file);
  refused(t, mkfs('-s', '8m', file), /holds data; -f shrinks/);
  t.equal(fingerprint(file), before, 'data is not cut off');
  t.equal(mkfs('-q', '-f', '-s', '8m', file).exitCode, 0, 'unless -f says so');
  t.equal(statSync(file).size, 8 * MIB);
  makeFile(file, 8 * MIB + 1000);
  t.equal(mkfs('-q', file).exitCode, 0, 'a file that ends inside a block');
  t.equal(statSync(file).size, 8 * MIB + 1000, 'keeps its size');
  t.end();
});

t.test('-N writes nothing', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  const planned = mkfs('-N', '--json', '-s', '1t', '-U', UUID, image);
  t.equal(planned.exitCode, 0, planned.stderr);
  t.match(summaryOf(planned), { version: 1, dryRun: true, created: true, uuid: UUID, domain: null });
  t.notOk(existsSync(image), 'no file was made');
  t.match(mkfs('-N', '-s', '8m', image).stdout, /nothing was written/, 'and the text says so');
  makeFile(image, 8 * MIB);
  const before = fingerprint(image);
  t.equal(mkfs('-N', image).exitCode, 0);
  t.equal(mkfs('-N', '-s', '16m', image).exitCode, 0);
  t.equal(fingerprint(image), before, 'a file stays as it was');
  t.end();
});

t.test('a region directory is made, marked and recorded', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  const regions = join(directory, 'regions');
  const summary = mkfs('-s', '8m', '-U', UUID, '--regions', `${directory}/./regions/`, '--json', image);
  t.match(JSON.parse(summary.stdout), { regions }, 'its path is absolute');
  t.equal(statSync(regions).mode & 0o7777, 0o700);
  t.equal(readFileSync(join(regions, 'volume'), 'latin1'), `${UUID.replaceAll('-', '')}\n`, 'it is this volume’s from the beginning');
  t.match(command('fsck.nvmfs', '-n', '-v', image), { exitCode: 0, stdout: new RegExp(`${regions} region directory`) });
  t.match(JSON.parse(command('fsck.nvmfs', '-n', '--json', image).stdout), { clean: true, volume: { regions } });
  const other = join(directory, 'other');
  mkdirSync(join(directory, 'empty'), { mode: 0o755 });
  const relative = run(join(ROOT, 'bin/mkfs.nvmfs'), ['-s', '8m', '--regions', 'empty', other], { cwd: directory });
  t.match(relative, { exitCode: 0, stdout: new RegExp(`^regions +=${directory}/empty$`, 'm') }, 'a relative path is made absolute, an empty directory taken');
  t.match(JSON.parse(mkfs('-s', '8m', '--json', join(directory, 'plain')).stdout), { regions: null });
  t.notOk(existsSync(join(directory, 'plain.regions')), 'the default one is made when it is needed');
  t.end();
});

t.test('what can’t be a region directory: one line, and nothing is written', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  const place = (name: string): string => join(directory, name);
  writeFileSync(place('file'), '');
  mkdirSync(place('full'));
  writeFileSync(join(place('full'), 'something'), '');
  mkdirSync(place('taken'));
  writeFileSync(join(place('taken'), 'volume'), '');
  mkdirSync(place('open'));
  chmodSync(place('open'), 0o777);
  symlinkSync(place('nowhere'), place('link'));
  const long = `${directory}/${'d'.repeat(200)}`;
  const cases: [string, RegExp][] = [
    ['', /empty path/],
    ['/', /root directory/],
    [place('file'), /something else than a directory/],
    [place('missing/regions'), /no such directory/],
    [place('full'), /not empty/],
    [place('taken'), /belongs to a volume already/],
    [place('open'), /nobody else may write to it/],
    [place('bell\u0007'), /control characters/],
    [place('d'.repeat(300)), /ENAMETOOLONG|too long/],
  ];
  let deep = long;
  while (deep.length < 1024) {
    mkdirSync(deep);
    deep = `${deep}/${'d'.repeat(200)}`;
  }
  cases.push([deep, /at most 1024 fit/]);
  for (const [given, reason] of cases) {
    refused(t, mkfs('-s', '8m', '--regions', given, image), reason);
    t.notOk(existsSync(image), `no image for ${String(reason)}`);
  }
  t.match(mkfs('-N', '-s', '8m', '--regions', place('new'), image), { exitCode: 0, stdout: /^regions /m });
  t.notOk(existsSync(place('new')), '-N makes none');
  makeFile(image, 4096);
  refused(t, mkfs('--regions', place('new'), image), /too small/);
  t.notOk(existsSync(place('new')), 'a volume that can not be made leaves none');
  t.end();
});

t.test('a volume in use is left alone', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const image = join(directory, 'image');
  t.equal(mkfs('-q', '-s', '8m', image).exitCode, 0);
  const before = fingerprint(image);
  // flock(1) runs its command while it holds the lock that a mounted volume has.
  const bin = join(ROOT, 'bin', 'mkfs.nvmfs');
  for (const args of [['-f'], ['-f', '-s', '16m'], ['-f', '-s', '4m'], ['-f', '-N']]) {
    refused(t, run('flock', ['-x', image, bin, ...args, image]), /is in use/);
    t.equal(fingerprint(image), before, `mkfs.nvmfs ${args.join(' ')} changed nothing`);
  }
  t.end();
});

t.test('a file full of random bytes gives a correct volume', (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const file = join(directory, 'file');
  writeFileSync(file, randomBytes(32 * MIB));
  // By chance the bytes may look like one of the short marks: then -f is what a user would say, too.
  t.equal(mkfs('-f', '-q', file).exitCode, 0);
  const checked = command('fsck.nvmfs', '-n', file);
  t.equal(checked.exitCode, 0, checked.stdout + checked.stderr);
  t.end();
});

t.test('a full host: one line, and no file is left', { skip: isRoot() ? false : 'needs root to mount a small tmpfs' }, (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const small = join(directory, 'small');
  mkdirSync(small);
  t.equal(run('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'nvmfs-test', small]).exitCode, 0);
  t.teardown(() => {
    run('umount', [small]);
  });
  const image = join(small, 'image');
  refused(t, mkfs('-s', '64m', image), /space/i);
  t.notOk(existsSync(image), 'the file it had created is removed');
  t.end();
});

t.test('devices', { skip: isRoot() ? false : 'needs root for loop devices' }, (t) => {
  const [directory, remove] = scratchDirectory();
  t.teardown(remove);
  const file = join(directory, 'file');
  makeFile(file, 64 * MIB);
  const attached = run('losetup', ['--find', '--show', file]);
  if (attached.exitCode !== 0) {
    t.test('on a loop device', { skip: `there is none: ${attached.stderr.trim()}` }, () => undefined);
    t.end();
    return;
  }
  const device = attached.stdout.trim();
  t.teardown(() => {
    run('losetup', ['-d', device]);
  });
  refused(t, mkfs('-f', file), /is in use: it is the file behind \/dev\/loop/);
  refused(t, mkfs('-s', '32m', device), /takes the whole device/);
  const made = mkfs('--json', device);
  t.equal(made.exitCode, 0, made.stderr);
  t.equal(summaryOf(made).domain, 'file', 'a block device is durable through the kernel');
  t.equal(command('fsck.nvmfs', '-n', device).exitCode, 0, 'and holds a volume');
  refused(t, mkfs(device), /signature of nvmfs/);
  run('losetup', ['-d', device]);
  const readOnly = run('losetup', ['--find', '--show', '--read-only', file]).stdout.trim();
  t.teardown(() => {
    run('losetup', ['-d', readOnly]);
  });
  refused(t, mkfs('-f', readOnly), /not permitted|permission|read-only/i);
  t.end();
});

t.test('help and version', (t) => {
  const help = mkfs('--help');
  t.equal(help.exitCode, 0);
  const manual = readFileSync(new URL('../../../man/mkfs.nvmfs.8', import.meta.url), 'utf8').replaceAll('\\-', '-');
  for (const option of help.stdout.match(/--[a-z-]+/g) ?? []) t.ok(manual.includes(option), `the manual explains ${option}`);
  t.same(mkfs('-h').stdout, help.stdout);
  t.match(mkfs('--version').stdout, /^mkfs\.nvmfs \d+\.\d+\.\d+\n$/);
  t.end();
});
