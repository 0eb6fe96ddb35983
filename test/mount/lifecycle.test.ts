// Guards: mounting, unmounting and refusing happen in order: busy, in use, SIGTERM, an ordinary user, mount(8), fstab, and one clear line for each error.
import t from 'tap';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, programPath, projectRoot, python, run, type RunResult, shell, start, tryRun, waitFor } from '../helpers/run.js';
import { cannotUseVolume, holders, isAlive, isMounted, openFuseToEverybody, scratchFile, tools, Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotUseVolume();

/** The number of lines on stderr, without those a mount announces itself with. */
function errorLines(result: RunResult): number {
  return result.stderr.split('\n').filter((line) => line.trim() !== '').length;
}

await t.test('busy and in use', { skip }, async (t) => {
  await withVolume(t, { size: '128m' }, async (volume) => {
    const held = join(volume.directory, 'held');
    const holder = start('/bin/sh', ['-c', 'exec 3> "$1"; echo open >&3; exec sleep 600', 'sh', held], join(volume.scratch, 'holder'));
    await waitFor('the file', () => existsSync(held));
    const busy = await tryRun(tools.nvmfs, ['umount', volume.directory]);
    t.not(busy.status, 0, 'umount of a volume in use fails');
    t.match(busy.stderr, /busy/i, 'and says busy');
    t.equal(errorLines(busy), 1, 'in one line', { output: busy.stderr });
    t.ok(isMounted(volume.directory), 'and the volume stays mounted');
    writeFileSync(join(volume.directory, 'works'), 'still');
    t.equal(readFileSync(join(volume.directory, 'works'), 'latin1'), 'still', 'and works');

    const other = join(volume.scratch, 'other');
    mkdirSync(other);
    const second = await tryRun(tools.nvmfs, ['mount', volume.image, other]);
    t.not(second.status, 0, 'a second mount of a mounted volume is refused');
    t.match(second.stderr, /in use|busy|locked|mounted/i, 'and says that it is in use');
    t.notOk(isMounted(other), 'and nothing is mounted');
    for (const args of [[], ['-f'], ['-f', '-s', '256m']]) {
      const made = await tryRun(tools.mkfs, [...args, volume.image]);
      t.equal(made.status, 1, `mkfs ${args.join(' ')} of a mounted volume is refused`);
    }
    // Through another name, too: the lock is on the file, not on the path.
    await run('ln', [volume.image, join(volume.scratch, 'link')]);
    t.not((await tryRun(tools.nvmfs, ['mount', join(volume.scratch, 'link'), other])).status, 0, 'a second mount through a hard link is refused');
    t.equal(readFileSync(join(volume.directory, 'works'), 'latin1'), 'still', 'the refused commands changed nothing');
    holder.kill('SIGKILL');
    await holder.ended;
  });
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  await t.test(`${signal} while busy`, { skip: skip || missing('python3') }, async (t) => {
    await withVolume(t, { size: '256m' }, async (volume) => {
      const place = { base: join(volume.directory, 'writer'), state: join(volume.scratch, 'state'), log: join(volume.scratch, 'journal') };
      mkdirSync(place.base);
      const writer = start(python, [programPath('load.py'), 'write', place.base, place.state, place.log, '1', '1000000'], join(volume.scratch, 'output'));
      await waitFor('a busy writer', () => existsSync(place.log) && readFileSync(place.log).length > 20_000);
      const pid = volume.pid;
      process.kill(pid, signal);
      await waitFor('the end of the daemon', () => !isAlive(pid), 30_000);
      await waitFor('the end of the mount', () => !isMounted(volume.directory));
      const code = await writer.ended;
      t.ok(code === 0 || code === 135, `a writer that is interrupted by ${signal} sees that the volume is gone`, { output: readFileSync(join(volume.scratch, 'output'), 'latin1') });
      await volume.verifyClean(t);
      await volume.mount();
      const check = await tryRun(python, [programPath('load.py'), 'check', place.base, place.state, place.log]);
      t.equal(check.status, 0, `${signal} while busy loses nothing acknowledged`, { output: describeRun('load.py', ['check'], check) });
    });
  });
}

await t.test('nothing to mount, nowhere to mount, nothing to mount with', { skip }, async (t) => {
  const volume = new Volume({ size: '64m', medium: 'file' }); // outside /dev, which is hidden below
  try {
    await volume.format();
    const refused = async (what: string, args: string[], pattern: RegExp): Promise<void> => {
      const result = await tryRun(tools.nvmfs, ['mount', ...args]);
      t.ok(result.status > 0 && result.status < 126, `${what}: an exit code`, { output: describeRun('nvmfs mount', args, result) });
      t.equal(errorLines(result), 1, `${what}: one line`, { output: result.stderr });
      t.match(result.stderr, pattern, `${what}: a clear line`);
      t.notMatch(result.stderr, /\bat .*\.js:\d+/, `${what}: no stack trace`);
    };
    const empty = scratchFile(volume, 'empty', '');
    const text = scratchFile(volume, 'text', 'no volume\n'.repeat(10_000));
    await refused('missing mount point', [volume.image, join(volume.scratch, 'nowhere')], /nowhere/);
    await refused('a file as the mount point', [volume.image, text], /directory/i);
    await refused('missing image', [join(volume.scratch, 'no-image'), volume.directory], /no-image/);
    await refused('a directory as the image', [volume.scratch, volume.directory], /directory|not a|neither/i);
    await refused('an empty file as the image', [empty, volume.directory], /empty/);
    await refused('a file without a volume', [text, volume.directory], /text/);
    await refused('an unknown option', [volume.image, volume.directory, '-o', 'frobnicate=7'], /frobnicate/);
    // A private mount namespace whose /dev has no fuse.
    const hidden = await tryRun('unshare', ['-m', '/bin/sh', '-c',
      'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec "$@"', 'sh', tools.nvmfs, 'mount', volume.image, volume.directory]);
    t.ok(hidden.status > 0 && hidden.status < 126, 'no /dev/fuse: an exit code', { output: describeRun('nvmfs mount', [], hidden) });
    t.match(hidden.stderr, /\/dev\/fuse/, 'no /dev/fuse: the line says so');
    t.equal(errorLines(hidden), 1, 'no /dev/fuse: one line', { output: hidden.stderr });
    const unmount = await tryRun(tools.nvmfs, ['umount', volume.directory]);
    t.not(unmount.status, 0, 'umount of what is not mounted fails');
    t.equal(errorLines(unmount), 1, 'umount of what is not mounted: one line', { output: unmount.stderr });
    t.notOk(isMounted(volume.directory), 'nothing was mounted by all this');
    await volume.mount();
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('an ordinary user', { skip: skip || missing('setpriv', 'fusermount3') }, async (t) => {
  const volume = new Volume({ size: '128m' });
  try {
    const home = join(volume.scratch, 'home');
    mkdirSync(home);
    chmodSync(volume.scratch, 0o755);
    chownSync(home, 65534, 65534);
    const user = (command: string, args: string[]): Promise<RunResult> =>
      tryRun('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', command, ...args], { cwd: home, env: { HOME: home } });
    if ((await user('node', ['-e', `fs.accessSync(${JSON.stringify(tools.nvmfs)}, fs.constants.X_OK)`])).status !== 0) {
      t.pass('an ordinary user mounts a volume', { skip: 'an ordinary user can reach neither node nor the checkout here' });
      return;
    }
    volume.defer(openFuseToEverybody());
    const image = join(home, 'image');
    const directory = join(home, 'mnt');
    volume.defer(() => {
      for (const pid of holders(image)) process.kill(pid, 'SIGKILL');
      if (isMounted(directory)) spawnSync('umount', ['-l', directory]);
    });
    t.equal((await user('mkdir', [directory])).status, 0, 'the user has a mount point');
    const made = await user(tools.mkfs, ['-s', '64m', image]);
    t.equal(made.status, 0, 'an ordinary user makes a volume', { output: describeRun('mkfs.nvmfs', [], made) });
    const mounted = await user(tools.nvmfs, ['mount', image, directory, '-o', `pidfile=${home}/pid`]);
    t.equal(mounted.status, 0, 'an ordinary user mounts it through fusermount3', { output: describeRun('nvmfs mount', [], mounted) });
    t.ok(isMounted(directory), 'and it is mounted');
    const work = await user(python, ['-c', `
import os, mmap
os.chdir(${JSON.stringify(directory)})
os.makedirs("a/b")
open("a/b/file", "wb").write(b"x" * 10000)
with open("a/b/file", "r+b") as f, mmap.mmap(f.fileno(), 10000) as m:
    m[:5] = b"store"
    m.flush()
assert open("a/b/file", "rb").read() == b"store" + b"x" * 9995
assert os.stat("a/b/file").st_uid == 65534
os.symlink("b/file", "a/link"); os.rename("a/link", "link"); os.chmod("a/b/file", 0o640)
try:
    os.chown("a/b/file", 0, 0)
except PermissionError:
    print("done")
`]);
    t.equal(work.stdout.trim(), 'done', 'and works with it, without becoming root by it', { output: describeRun('python3', [], work) });
    const other = await tryRun('setpriv', ['--reuid=65533', '--regid=65533', '--clear-groups', 'ls', directory], { cwd: '/' });
    t.not(other.status, 0, 'another user may not look into it');
    const unmounted = await user(tools.nvmfs, ['umount', directory]);
    t.equal(unmounted.status, 0, 'an ordinary user unmounts it', { output: describeRun('nvmfs umount', [], unmounted) });
    t.notOk(isMounted(directory), 'and it is unmounted');
    t.equal((await user(tools.fsck, ['-n', '-f', image])).status, 0, 'fsck finds it clean');
    chownSync(image, 0, 0);
    chmodSync(image, 0o600);
    const denied = await user(tools.nvmfs, ['mount', image, directory]);
    t.ok(denied.status > 0 && errorLines(denied) === 1, "somebody else's image: one line and an exit code", { output: describeRun('nvmfs mount', [], denied) });
    t.match(denied.stderr, /permission|EACCES/i, "somebody else's image: the line says permission");
  } finally {
    volume.destroy();
  }
});

await t.test('mount(8), fstab, mkfs -t, fsck -t after make install', { skip: skip || missing('make', 'mount', 'unshare', 'findmnt') }, async (t) => {
  const volume = new Volume({ size: '128m' });
  const staging = mkdtempSync('/tmp/nvmfs-install-');
  try {
    await run('make', ['-s', '-C', projectRoot, 'install', `DESTDIR=${staging}`, 'PREFIX=/usr'], { timeout: 300_000 });
    for (const command of ['bin/nvmfs', 'sbin/mount.nvmfs', 'sbin/mkfs.nvmfs', 'sbin/fsck.nvmfs']) {
      t.ok(existsSync(join(staging, 'usr', command)), `make install brings /usr/${command}`);
    }
    const fstab = scratchFile(volume, 'fstab', `${volume.image} ${volume.directory} nvmfs noauto,nofail,_netdev,x-systemd.automount,noatime 0 0\n`);
    // mount(8) looks for its helpers in /sbin alone: a private mount namespace gets an /sbin with ours and an fstab with one line.
    const script = `
sbin=$(readlink -f /sbin); mkdir "$scratch/orig" "$scratch/sbin"
mount --bind "$sbin" "$scratch/orig"
for f in "$scratch"/orig/*; do case "\${f##*/}" in *.nvmfs) ;; *) ln -s "$f" "$scratch/sbin/" ;; esac; done
for f in mount mkfs fsck mount.fuse; do ln -sf "$staging/usr/sbin/$f.nvmfs" "$scratch/sbin/"; done
mount --bind "$scratch/sbin" "$sbin"; mount --bind "$fstab" /etc/fstab
step() { echo "step: $1"; }
gone() { for i in $(seq 100); do "$scratch/sbin/fsck.nvmfs" -n "$image" > /dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
step mkfs; mkfs -t nvmfs -q -L label -s 64m "$image"
step mount; mount -t nvmfs "$image" "$dir" -o noatime,nodev
df -T "$dir" | tail -1; findmnt -n -o FSTYPE,SOURCE,OPTIONS "$dir"
echo one > "$dir/one"
step umount; umount "$dir"; gone
step fake; mount -f -t nvmfs "$image" "$dir"; ! findmnt "$dir"
step fstab; mount "$dir"; cat "$dir/one"; findmnt -n -o FSTYPE "$dir"
step remount; mount -o remount,ro "$dir"; findmnt -n -o OPTIONS "$dir"; if touch "$dir/two" 2> /dev/null; then echo "written after remount,ro"; exit 1; fi
mount -o remount,rw,nosuid "$dir"; findmnt -n -o OPTIONS "$dir"; touch "$dir/two"; rm "$dir/two"
step remove; umount "$image"; gone
step readonly; mount -t nvmfs -o ro "$image" "$dir"; cat "$dir/one"; if touch "$dir/two" 2> /dev/null; then echo "written to a read-only mount"; exit 1; fi
umount "$dir"; gone
step fsck; fsck -t nvmfs "$image" -- -n -f
step done
`;
    const result = await tryRun('unshare', ['-m', '/bin/sh', '-ec', script], {
      env: { scratch: volume.scratch, staging, fstab, image: volume.image, dir: volume.directory },
      timeout: 120_000,
    });
    const output = { output: describeRun('mount', [], result) };
    t.equal(result.status, 0, 'mkfs -t, mount -t, fstab, umount and fsck -t work after make install', output);
    for (const step of ['mkfs', 'mount', 'umount', 'fake', 'fstab', 'remount', 'remove', 'readonly', 'fsck', 'done']) {
      t.ok(result.stdout.includes(`step: ${step}\n`), `reached: ${step}`);
    }
    t.match(result.stdout, /^\S+ +fuse\.nvmfs /m, 'df -T shows fuse.nvmfs');
    t.match(result.stdout, new RegExp(`fuse\\.nvmfs +${volume.image}`), 'findmnt shows type and image');
    t.match(result.stdout, /noatime/, 'mount options reach the mount');
    t.equal((result.stdout.match(/^one$/gm) ?? []).length, 2, 'a file is there in each mount');
    await volume.verifyClean(t);
    const uninstalled = await shell('make -s -C "$1" uninstall DESTDIR="$2" PREFIX=/usr > /dev/null; find "$2" -type f -o -type l', [projectRoot, staging]);
    t.equal(uninstalled.stdout.trim(), '', 'make uninstall removes everything again');
  } finally {
    volume.destroy();
    rmSync(staging, { recursive: true, force: true });
  }
});
