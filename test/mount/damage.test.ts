// Guards: bad media do not kill (promise 7): EIO for what is damaged and nothing else, the backup superblock, clear refusals, never a crash.
import t from 'tap';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, programPath, python, run, shell, tryRun } from '../helpers/run.js';
import { cannotUseVolume, isAlive, isMounted, tools, Volume } from '../helpers/volume.js';

t.setTimeout(300_000);
const skip = cannotUseVolume() || missing('python3');

/** Asks the independent reader of the format for addresses, or lets it damage something. */
async function media(volume: Volume, ...words: string[]): Promise<number[]> {
  return (await run(python, [programPath('media.py'), volume.image, ...words])).stdout.trim().split(' ').map(Number);
}

/** Inverts bytes of the image; a second time restores them. */
async function flip(volume: Volume, address: number | undefined, length: number): Promise<void> {
  if (address === undefined) throw new Error('no address to damage');
  // Not through media.py, which needs a good primary superblock.
  await run(python, ['-c', 'import sys\nf=open(sys.argv[1],"r+b"); a,n=int(sys.argv[2]),int(sys.argv[3])\nf.seek(a); b=f.read(n); f.seek(a); f.write(bytes(x^255 for x in b))', volume.image, String(address), String(length)]);
}

/** Reads a path completely in another process: 'EIO', another errno's name, or 'ok'. */
async function access(path: string, how: 'stat' | 'read' | 'list' | 'create'): Promise<string> {
  const action = { stat: 'os.lstat(p)', read: 'open(p,"rb").read()', list: 'os.listdir(p)', create: 'os.mkdir(p)' }[how];
  const script = `import os,sys,errno\np=sys.argv[1]\ntry:\n ${action}\n print("ok")\nexcept OSError as e: print(errno.errorcode[e.errno])`;
  return (await run(python, ['-c', script, path], { timeout: 20_000 })).stdout.trim();
}

await t.test('damaged superblocks and unknown features', { skip }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format('-L', 'precious');
    await volume.mount();
    writeFileSync(join(volume.directory, 'file'), 'content');
    await volume.unmount();
    const [primary, backup] = await media(volume, 'superblocks');

    await flip(volume, primary, 200);
    const mounted = await tryRun(tools.nvmfs, ['mount', volume.image, volume.directory, '-o', volume.options()]);
    t.equal(mounted.status, 0, 'a volume with a damaged primary superblock mounts with the backup', { output: describeRun('nvmfs mount', [], mounted) });
    t.match(mounted.stderr, /backup/i, 'and the message says so');
    t.equal(readFileSync(join(volume.directory, 'file'), 'latin1'), 'content', 'and its files are there');
    await volume.unmount();
    const reported = await volume.verify();
    t.ok(reported.status !== 0 && /superblock/i.test(reported.stdout + reported.stderr), 'fsck -n reports the damaged superblock', { output: describeRun('fsck.nvmfs', [], reported) });

    await flip(volume, backup, 200);
    const both = await tryRun(tools.nvmfs, ['mount', volume.image, volume.directory]);
    t.ok(both.status > 0 && both.status < 126 && /superblock/i.test(both.stderr), 'with both superblocks damaged the volume is refused', { output: describeRun('nvmfs mount', [], both) });
    t.equal(both.stderr.trim().split('\n').length, 1, 'in one line');
    t.notOk(isMounted(volume.directory), 'and not mounted');

    await flip(volume, primary, 200);
    await volume.mount();
    t.equal(readFileSync(join(volume.directory, 'file'), 'latin1'), 'content', 'a damaged backup alone does no harm');
    await volume.unmount();
    await flip(volume, backup, 200);
    await volume.verifyClean(t);

    await media(volume, 'incompat', '19');
    for (const [command, args] of [[tools.nvmfs, ['mount', volume.image, volume.directory]], [tools.fsck, ['-n', '-f', volume.image]]] as const) {
      const result = await tryRun(command, args);
      t.ok(result.status > 0 && result.status < 126, 'an image with an unknown incompat feature is refused', { output: describeRun(command, args, result) });
      t.match(result.stderr + result.stdout, /feature.*(19|0x0*80000)/i, 'and the message names the feature');
    }
    const made = await tryRun(tools.mkfs, [volume.image]);
    t.equal(made.status, 1, 'mkfs without -f does not overwrite a volume of a newer format');
  } finally {
    volume.destroy();
  }
});

await t.test('a damaged inode, tree node and directory', { skip }, async (t) => {
  const volume = new Volume({ size: '256m', foreground: true });
  try {
    await volume.format();
    await volume.mount();
    const at = (name: string): string => join(volume.directory, name);
    for (const name of ['victims', 'large']) mkdirSync(at(name));
    // Enough names for tree nodes, enough extents for an extent tree, and the victims far from what the last transactions changed.
    await shell('cd "$1/victims"; for i in $(seq 1 200); do echo "$i" > file$i; done; mkdir "$1/names"; cd "$1/names"; for i in $(seq 1 2000); do : > name$i; done', [volume.directory]);
    await run(python, ['-c', 'import os,sys\nf=os.open(sys.argv[1],os.O_CREAT|os.O_RDWR)\nfor i in range(0,3000,2): os.pwrite(f,b"%04d"%i*1024,i*4096)', at('large/fragmented')]);
    await shell('mkdir "$1/last"; cd "$1/last"; for i in $(seq 1 200); do echo "$i" > file$i; done', [volume.directory]);
    const [inode, fragmented, names] = [statSync(at('victims/file77')).ino, statSync(at('large/fragmented')).ino, statSync(at('names')).ino];
    await volume.unmount();
    await volume.verifyClean(t);

    const damages: [address: number | undefined, length: number][] = [
      [(await media(volume, 'inode', String(inode)))[0], 100],
      [(await media(volume, 'node', String(fragmented)))[0], 64],
      [(await media(volume, 'node', String(names)))[0], 64],
    ];
    for (const [address, length] of damages) await flip(volume, address, length);
    const reported = await volume.verify();
    t.equal(reported.status, 4, 'fsck -n leaves damage uncorrected: exit code 4', { output: describeRun('fsck.nvmfs', [], reported) });
    const report = reported.stdout + reported.stderr;
    t.ok(report.includes(String(inode)) && report.includes(String(fragmented)) && report.includes(String(names)), 'and names each damaged inode', { report: report.slice(0, 3000) });

    await volume.mount();
    const pid = volume.pid;
    t.equal(await access(at('victims/file77'), 'stat'), 'EIO', 'a damaged inode gives EIO');
    t.equal(await access(at('victims/file77'), 'stat'), 'EIO', 'and again');
    t.equal(await access(at('victims/file76'), 'read'), 'ok', 'its neighbours in the inode table are well');
    t.equal(await access(at('victims/file78'), 'read'), 'ok', 'on both sides');
    t.equal(await access(at('victims'), 'list'), 'ok', 'and the directory that names it can be listed');
    t.equal(await access(at('large/fragmented'), 'stat'), 'ok', 'a file with a damaged tree node still has its attributes');
    t.equal(await access(at('large/fragmented'), 'read'), 'EIO', 'reading what the damaged tree node describes gives EIO');
    t.equal(await access(at('names'), 'list'), 'EIO', 'listing a directory with a damaged node gives EIO');
    t.equal(await access(at('last'), 'list'), 'ok', 'other directories are well');
    t.equal(await access(at('last/new'), 'create'), 'ok', 'and the volume can be written to');
    t.ok(isAlive(pid) && isMounted(volume.directory), 'the daemon lives');
    const log = volume.readLog();
    const lines = log.split('\n').filter((line) => new RegExp(`\\binode ${String(inode)}\\b`).test(line));
    t.equal(lines.length, 1, 'the damaged inode is logged once', { log: log.slice(-3000) });
    await volume.unmount();
    for (const [address, length] of damages) await flip(volume, address, length);
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('random damage', { skip }, async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.comment(`SEED=${String(seed)}`);
  const volume = new Volume({ size: '16m', foreground: true });
  try {
    await volume.format();
    await volume.mount();
    await run(python, [programPath('tree.py'), 'make', join(volume.directory, 'tree'), '300', '3']);
    await volume.unmount();
    const good = readFileSync(volume.image);
    for (let round = 0; round < 8; round++) {
      // Bytes of every structure may be hit: the first 12 MiB hold superblock, state, journal and what was written.
      await run(python, ['-c', `
import random, sys
r = random.Random(${String(seed + round)})
f = open(sys.argv[1], "r+b")
data = f.read()
used = [b for b in range(1, len(data) // 4096 - 1) if data[b * 4096:b * 4096 + 4096].strip(b"\\0")]
for b in r.sample(used, ${String(4 + round * 10)}):
    f.seek(b * 4096 + r.randrange(4096)); f.write(r.randbytes(r.choice((1, 4, 64))))
`, volume.image]);
      const mounted = await volume.mount().then(() => true, (error: unknown) => String(error));
      if (mounted === true) {
        const pid = volume.pid;
        await tryRun('tar', ['-C', volume.directory, '-cf', '/dev/null', '.'], { timeout: 30_000 });
        await tryRun('cp', ['-a', join(volume.directory, 'tree'), join(volume.directory, 'copy')], { timeout: 30_000 });
        await tryRun('rm', ['-rf', join(volume.directory, 'tree')], { timeout: 30_000 });
        t.ok(isAlive(pid), `round ${String(round)}: reading and writing a damaged volume does not kill the daemon`, { log: volume.readLog().slice(-3000) });
        await volume.unmount();
        t.notMatch(volume.readLog(), /bug of nvmfs|AssertionFailure/, `round ${String(round)}: damage is told as damage, not as a bug`);
        rmSync(volume.log);
      } else {
        t.notMatch(mounted, /\bat .*\.js:\d+/, `round ${String(round)}: a volume too damaged to mount is refused without a stack trace`);
      }
      const verified = await volume.verify();
      t.ok([0, 4, 8].includes(verified.status), `round ${String(round)}: fsck -n survives a damaged volume`, { output: describeRun('fsck.nvmfs', [], verified) });
      t.notMatch(verified.stderr, /\bat .*\.js:\d+/, `round ${String(round)}: fsck -n shows no stack trace`);
      writeFileSync(volume.image, good);
    }
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});
