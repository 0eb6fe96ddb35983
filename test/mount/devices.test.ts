// Guards: a volume on a block device is one in a file, and files on a volume can carry block devices and another filesystem's journal.
import t from 'tap';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, programPath, python, run, runChecks, seed, shell, tryRun } from '../helpers/run.js';
import { cannotUseVolume, isMounted, tools, Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotUseVolume() || (existsSync('/dev/loop-control') ? false : 'no loop devices') || missing('losetup', 'python3');

async function showTree(path: string): Promise<string> {
  return (await run(python, [programPath('tree.py'), 'show', path])).stdout;
}

/** Mounts a block device or file at a new directory outside the volume; undone when the volume is destroyed. */
async function mountElsewhere(volume: Volume, name: string, ...args: string[]): Promise<string> {
  const directory = join(volume.scratch, name);
  mkdirSync(directory);
  volume.defer(() => {
    if (isMounted(directory)) spawnSync('umount', ['-l', directory]);
  });
  await run('mount', [...args, directory]);
  return directory;
}

await t.test('a volume on a loop device', { skip }, async (t) => {
  const volume = new Volume({ size: '512m', medium: 'loop' });
  try {
    await volume.format();
    await volume.mount();
    await runChecks(t, 'files.py', [volume.directory, String(seed())]);
    await run(python, [programPath('tree.py'), 'make', join(volume.directory, 'tree'), '2000', '5']);
    const before = await showTree(volume.directory);
    const busy = await tryRun(tools.mkfs, ['-f', volume.source]);
    t.not(busy.status, 0, 'mkfs of a mounted block device is refused, even with -f');
    await volume.unmount();
    await volume.verifyClean(t);
    await run('losetup', ['-d', volume.source]);
    volume.source = volume.image; // the backing file itself from here on
    await volume.verifyClean(t);
    await volume.mount();
    t.equal(await showTree(volume.directory), before, 'what was unmounted from the loop device is in the backing file');
    await volume.kill9();
    const device = await volume.attachLoop(volume.image);
    volume.source = device;
    await volume.mount();
    t.equal(await showTree(volume.directory), before, 'and a volume whose daemon was killed over the file recovers on a loop device');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('a loop device and the file behind it are one volume', { skip }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format();
    const device = await volume.attachLoop(volume.image);
    const other = join(volume.scratch, 'other');
    mkdirSync(other);
    volume.defer(() => {
      if (isMounted(other)) spawnSync('umount', ['-l', other]);
    });
    const refused = async (what: string, command: string, args: string[]): Promise<void> => {
      const result = await tryRun(command, args);
      t.not(result.status, 0, `${what} is refused`, { output: describeRun(command, args, result) });
      t.match(result.stderr, /^[^\n]* in use[^\n]*\n$/, `${what}: one line says that it is in use`);
    };
    volume.source = device;
    await volume.mount();
    await refused('the file of a mounted loop device', tools.nvmfs, ['mount', volume.image, other]);
    await refused('the same for reading only', tools.nvmfs, ['mount', '-o', 'ro', volume.image, other]);
    await refused('checking it', tools.fsck, ['-n', volume.image]);
    await volume.unmount();
    volume.source = volume.image;
    await volume.mount();
    await refused('a loop device over a mounted file', tools.nvmfs, ['mount', device, other]);
    await refused('making a volume there', tools.mkfs, ['-f', device]);
    await volume.unmount();
    t.notOk(isMounted(other), 'nothing was mounted twice');
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('a read-only block device', { skip }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format();
    await volume.mount();
    writeFileSync(join(volume.directory, 'file'), 'content');
    await volume.kill9(); // leaves a journal to replay
    volume.source = await volume.attachLoop(volume.image, '--read-only');
    const result = await tryRun(tools.nvmfs, ['mount', volume.source, volume.directory]);
    t.equal(result.status, 32, 'a read-only device is not mounted for writing');
    t.match(result.stderr, /^nvmfs: \S+ is a read-only device.*-o ro\n$/, 'one line says so, and what to do');
    await volume.mount(['ro']);
    t.equal(readFileSync(join(volume.directory, 'file'), 'latin1'), 'content', 'with -o ro its files can be read');
    t.throws(() => { writeFileSync(join(volume.directory, 'new'), ''); }, { code: 'EROFS' }, 'and not written');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('a block device too small for what its superblock says', { skip }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format();
    await run('truncate', ['-s', '32M', volume.image]);
    const result = await tryRun(tools.nvmfs, ['mount', volume.image, volume.directory]);
    t.not(result.status, 0, 'a volume whose medium has shrunk is refused');
    t.equal(result.stderr.trim().split('\n').length, 1, 'with one line', { output: describeRun('nvmfs mount', [], result) });
  } finally {
    volume.destroy();
  }
});

await t.test('ext4 inside a file on the volume', { skip: skip || missing('mkfs.ext4', 'e2fsck') }, async (t) => {
  await withVolume(t, { size: '1g' }, async (volume) => {
    const inner = join(volume.directory, 'ext4.image');
    await shell('truncate -s 256M "$1" && mkfs.ext4 -q -F "$1"', [inner]);
    const place = await mountElsewhere(volume, 'inner', '-o', 'loop', inner);
    await run(python, [programPath('tree.py'), 'make', join(place, 'tree'), '3000', '9']);
    const wanted = await showTree(place);
    await run('umount', [place]);
    const fsck = await tryRun('e2fsck', ['-f', '-n', inner]);
    t.equal(fsck.status, 0, 'e2fsck finds an ext4 inside a file on the volume clean', { output: describeRun('e2fsck', [], fsck) });
    await volume.remount();
    await run('mount', ['-o', 'loop', inner, place]);
    t.equal(await showTree(place), wanted, 'its files are the same after the volume was mounted again');
    await run('fstrim', [place]); // discards become holes of the file
    await run('umount', [place]);
    t.equal((await tryRun('e2fsck', ['-f', '-n', inner])).status, 0, 'e2fsck finds it clean after fstrim punched holes into the file');
  });
});

await t.test('an ext4 elsewhere with its journal in a file on the volume', { skip: skip || missing('mke2fs', 'e2fsck') }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const journalFile = join(volume.directory, 'journal');
    const dataFile = join(volume.scratch, 'ext4.data');
    await shell('truncate -s 64M "$1"; truncate -s 256M "$2"', [journalFile, dataFile]);
    const [journal, data] = [await volume.attachLoop(journalFile), await volume.attachLoop(dataFile)];
    await run('mke2fs', ['-q', '-F', '-b', '4096', '-O', 'journal_dev', journal]);
    await run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', '-J', `device=${journal}`, data]);
    const place = await mountElsewhere(volume, 'external', '-o', 'data=journal', data);
    await run(python, [programPath('tree.py'), 'make', join(place, 'tree'), '2000', '11']);
    await shell('for i in $(seq 1 100); do echo $i > "$1/synced"; sync "$1/synced"; done', [place]);
    const wanted = await showTree(place);
    await run('umount', [place]);
    const fsck = await tryRun('e2fsck', ['-f', '-n', data]);
    t.equal(fsck.status, 0, 'e2fsck finds the ext4 clean whose journal was a file on the volume', { output: describeRun('e2fsck', [], fsck) });
    await run('mount', [data, place]);
    t.equal(await showTree(place), wanted, 'its files are all there');
    await run('umount', [place]);
    await run('losetup', ['-d', journal]);
  });
});
