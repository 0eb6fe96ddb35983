// Guards the states a mount can be in: read-only, without recovery, remounted, read-only after damage, shut down; what must not write does not.
import t from 'tap';
import { createHash } from 'node:crypto';
import { appendFileSync, chmodSync, closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, programPath, python, run, type RunResult, shell, sleep, tryRun, waitFor } from '../helpers/run.js';
import { cannotUseVolume, isAlive, isMounted, tools, Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(300_000);
const skip = cannotUseVolume() || missing('python3');
const helper = join(tools.nvmfs, '../mount.nvmfs');

const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Makes every file's access time due, and reads it past the kernel's cache. */
function readAll(directory: string): Promise<RunResult> {
  return shell('sync; echo 1 > /proc/sys/vm/drop_caches; cat "$1"/* > /dev/null; ls "$1" > /dev/null', [directory]);
}

/** What a call of Python's os module gives, or the name of its error. */
async function attempt(code: string, ...args: string[]): Promise<string> {
  const script = `import os,sys,errno,fcntl,struct\na=sys.argv[1:]\ntry:\n r=${code}\n print(r)\nexcept OSError as e: print(errno.errorcode[e.errno])`;
  return (await run(python, ['-c', script, ...args], { timeout: 20_000 })).stdout.trim();
}

function remount(volume: Volume, options: string): Promise<RunResult> {
  return tryRun(helper, [volume.image, volume.directory, '-o', `remount,${options}`, '-t', 'fuse.nvmfs'], { timeout: 20_000 });
}

await t.test('an image that nobody can write, with a journal to replay', { skip: skip || missing('losetup') }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format();
    await volume.mount();
    for (let i = 0; i < 50; i++) writeFileSync(join(volume.directory, `file${String(i)}`), `content ${String(i)}`);
    // As if the last transaction's store to the volume state had not made it to the medium.
    const state = readFileSync(volume.image).subarray(4096, 8192);
    await run(python, ['-c', 'import os,sys\nos.mknod(sys.argv[1])', join(volume.directory, 'late')]);
    await volume.kill9();
    const image = openSync(volume.image, 'r+');
    writeSync(image, state, 0, 4096, 4096);
    closeSync(image);
    const device = await volume.attachLoop(volume.image, '--read-only');
    const before = digest(volume.image);
    const refused = await tryRun(tools.nvmfs, ['mount', device, volume.directory]);
    t.equal(refused.status, 32, 'it is not mounted for writing', { output: describeRun('nvmfs mount', [], refused) });
    t.equal(refused.stderr.trim().split('\n').length, 1, 'which one line says');
    for (const options of ['ro', 'ro,norecovery']) {
      const mounted = await run(tools.nvmfs, ['mount', device, volume.directory, '-o', volume.options([options])]);
      t.equal(/the journal is not replayed/.test(mounted.stderr), options !== 'ro', `${options}: what was not done is said`);
      t.equal(await attempt('open(a[0]+"/file49").read()', volume.directory), 'content 49', `${options}: what was acknowledged is there`);
      t.equal(await attempt('os.mkdir(a[0]+"/n")', volume.directory), 'EROFS', `${options}: nothing is changed`);
      const stat = JSON.parse((await run(python, ['-c', 'import os,sys,json;s=os.statvfs(sys.argv[1]);print(json.dumps([s.f_flag&1,s.f_files-s.f_ffree,s.f_bfree<s.f_blocks]))', volume.directory])).stdout) as unknown;
      t.same(stat, [1, options === 'ro' ? 52 : 51, true], `${options}: statfs knows the files`);
      const { pid } = volume;
      await run(tools.nvmfs, ['umount', volume.directory]);
      await waitFor('the end of the daemon', () => !isAlive(pid));
    }
    t.equal(digest(volume.image), before, 'the image was not written');
    const wrong = await tryRun(tools.nvmfs, ['mount', volume.image, volume.directory, '-o', 'norecovery']);
    t.equal(wrong.status, 1, 'norecovery without ro is refused');
    t.match(wrong.stderr, /norecovery.*ro/);
  } finally {
    volume.destroy();
  }
});

await t.test('remount', { skip }, async (t) => {
  await withVolume(t, { size: '64m', mountOptions: ['strictatime'] }, async (volume) => {
    const file = join(volume.directory, 'file');
    for (let i = 0; i < 20; i++) writeFileSync(`${file}${String(i)}`, 'x'.repeat(5000));
    const fd = openSync(`${file}0`, 'r+');
    const busy = await remount(volume, 'ro');
    t.equal(busy.status, 32, 'remount,ro with a file open for writing is refused', { output: describeRun('mount.nvmfs', [], busy) });
    t.match(busy.stderr, /busy/, 'as busy');
    closeSync(fd);
    t.equal(await attempt('os.utime(a[0])', `${file}1`), 'None', 'and the volume is written as before');

    await readAll(volume.directory);
    const result = await remount(volume, 'ro');
    t.equal(result.status, 0, 'remount,ro', { output: describeRun('mount.nvmfs', [], result) });
    const before = digest(volume.image);
    t.equal(await attempt('os.mkdir(a[0]+"/n")', volume.directory), 'EROFS', 'nothing is changed');
    await readAll(volume.directory);
    await sleep(1500);
    t.equal(digest(volume.image), before, 'reading writes nothing, not even access times');
    t.equal((await remount(volume, 'rw,noatime')).status, 0, 'remount,rw');
    writeFileSync(`${file}0`, 'new');
    const { atimeMs } = statSync(`${file}2`);
    await readAll(volume.directory);
    t.equal(statSync(`${file}2`).atimeMs, atimeMs, 'noatime holds at once');
    t.equal((await remount(volume, 'strictatime')).status, 0);
    await readAll(volume.directory);
    t.not(statSync(`${file}2`).atimeMs, atimeMs, 'and strictatime');

    // Without the helper nobody tells the daemon.
    await run('mount', ['-i', '-o', 'remount,ro', volume.directory]);
    await readAll(volume.directory);
    await sleep(2500);
    const after = digest(volume.image);
    await readAll(volume.directory);
    await sleep(1500);
    t.equal(digest(volume.image), after, 'a remount without the helper is noticed');
    await run('mount', ['-i', '-o', 'remount,rw', volume.directory]);
    await readAll(volume.directory);
    await waitFor('the daemon to notice', async () => (await attempt('os.utime(a[0])', `${file}1`)) === 'None');

    const unprivileged = await tryRun('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', helper, volume.image, volume.directory, '-o', 'remount,ro']);
    t.not(unprivileged.status, 0, 'an ordinary user remounts nothing');
    t.equal(await attempt('os.utime(a[0])', `${file}1`), 'None', 'and changes nothing by trying');
    await volume.unmount();
    await volume.mount(['ro']);
    const stays = await remount(volume, 'rw');
    t.equal(stays.status, 32, 'what was mounted read-only stays so');
    t.match(stays.stderr, /mounted read-only/, 'which the line says');
    t.equal(await attempt('os.mkdir(a[0]+"/n")', volume.directory), 'EROFS', 'the kernel was set back, too');
    t.equal(readFileSync(`${file}0`, 'latin1'), 'new');
  });
});

await t.test('errors=', { skip }, async (t) => {
  const volume = new Volume({ size: '64m', foreground: true });
  try {
    await volume.format();
    await volume.mount();
    const victims = join(volume.directory, 'victims');
    await shell('mkdir "$1"; cd "$1"; for i in $(seq 1 300); do echo $i > f$i; done; mkdir "$2/last"; cd "$2/last"; for i in $(seq 1 200); do echo $i > f$i; done', [victims, volume.directory]);
    const { ino } = statSync(join(victims, 'f77'));
    await volume.unmount();
    const address = (await run(python, [programPath('media.py'), volume.image, 'inode', String(ino)])).stdout.trim();
    await run(python, ['-c', 'import sys\nf=open(sys.argv[1],"r+b"); a=int(sys.argv[2]); f.seek(a); b=f.read(100); f.seek(a); f.write(bytes(x^255 for x in b))', volume.image, address]);
    for (const [options, change] of [['errors=continue', 'None'], ['errors=remount-ro', 'EROFS']] as const) {
      await volume.mount([options]);
      t.equal(await attempt('os.mkdir(a[0]+"/before-"+a[1])', volume.directory, options), 'None', `${options}: all is well before`);
      t.equal(await attempt('os.stat(a[0]+"/f77")', victims), 'EIO', `${options}: a damaged inode is EIO`);
      t.equal(await attempt('os.mkdir(a[0]+"/after-"+a[1])', volume.directory, options), change, `${options}: a change afterwards`);
      t.equal(await attempt('open(a[0]+"/f76").read()', victims), '76', `${options}: reading goes on`);
      await volume.unmount();
    }
    t.match(volume.readLog(), /read-only from now on \(errors=remount-ro\)/, 'the log says so');
  } finally {
    volume.destroy();
  }
});

await t.test('FS_IOC_SHUTDOWN', { skip: skip || missing('setpriv') }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format();
    await volume.mount();
    chmodSync(volume.scratch, 0o755);
    const file = join(volume.directory, 'file');
    appendFileSync(file, 'acknowledged');
    const shutDown = 'import os,sys,fcntl,struct\nfd=os.open(sys.argv[1],os.O_RDONLY)\nfcntl.ioctl(fd,0x8004587d,struct.pack("I",2))';
    const user = await tryRun('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', python, '-c', shutDown, volume.directory]);
    t.match(user.stderr, /Operation not permitted/, 'not by an ordinary user');
    const bounded = await tryRun('setpriv', ['--bounding-set=-sys_admin', '--inh-caps=-all', python, '-c', shutDown, volume.directory]);
    t.match(bounded.stderr, /Operation not permitted/, 'nor by a superuser without CAP_SYS_ADMIN');
    t.equal(readFileSync(file, 'latin1'), 'acknowledged', 'it is served on');
    const { pid } = volume;
    const script = `import os,sys,errno
held = os.open(sys.argv[1] + "/file", os.O_RDWR)
${shutDown}
for call in (lambda: os.pwrite(held, b"late", 0), lambda: os.fsync(held)):
  try: print(call())
  except OSError as e: print(errno.errorcode[e.errno])`;
    const open = await run(python, ['-c', script, volume.directory]);
    t.match(open.stdout, /^(E\w+)\n(E\w+)\n$/, 'open files fail from then on');
    await waitFor('the end of the daemon', () => !isAlive(pid));
    t.ok(isMounted(volume.directory), 'the mount stays');
    t.equal(await attempt('os.stat(a[0])', file), 'ENOTCONN', 'and answers that nobody is there');
    t.equal(await attempt('os.listdir(a[0])', volume.directory), 'ENOTCONN', 'to everything');
    await run('umount', [volume.directory]);
    await volume.mount();
    t.equal(readFileSync(file, 'latin1'), 'acknowledged', 'the next mount has what was acknowledged');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});
