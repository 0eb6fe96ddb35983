// Guards promise 3 and the direct path for any program: a static program's store through mmap is in the host file at once, huge pages included; and promises 1, 5 and 7
// for such files: sizes, ENOSPC of the host, deaths of the server, crashes of everything, a lost host file, mounts that can't have any.
import t from 'tap';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, closeSync, ftruncateSync, fsyncSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statfsSync, statSync, truncateSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';
import { missing, programPath, run, shell, sleep, tryRun, waitFor } from '../helpers/run.js';
import { cannotUseVolume, openFuseToEverybody, tools, Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(300_000);
const skip = cannotUseVolume() || missing('gcc', 'chattr');
const MIB = 1024 * 1024;

/** The static program, which does what it is told. */
class Program {
  private readonly child: ChildProcess;
  private readonly lines: string[] = [];
  private wake: () => void = () => undefined;

  constructor(binary: string, file: string, length: number) {
    this.child = spawn(...cleanCommand(binary, [file, String(length)]), { cwd: '/', env: cleanEnvironment(), stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.child.stdout === null) throw new Error('the program has an output');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.lines.push(line);
      this.wake();
    });
  }

  static async compile(volume: Volume): Promise<string> {
    const binary = join(volume.scratch, 'dax');
    await run('gcc', ['-O2', '-Wall', '-static', '-o', binary, programPath('dax.c')]);
    return binary;
  }

  async line(): Promise<string> {
    await waitFor('a line of the program', () => this.lines.length > 0, 20_000);
    return this.lines.shift() ?? '';
  }

  ask(order: string): Promise<string> {
    this.child.stdin?.write(`${order}\n`);
    return this.line();
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}

const regionsOf = (volume: Volume): string => `${volume.image}.regions`;
/** The volume's host files. */
const hostFiles = (volume: Volume): string[] => readdirSync(regionsOf(volume)).filter((name) => name !== 'volume').map((name) => join(regionsOf(volume), name));

function hostFile(volume: Volume): string {
  const files = hostFiles(volume);
  if (files.length !== 1) throw new Error(`one host file expected, not ${String(files.length)}`);
  return files[0] ?? '';
}

function byteAt(path: string, offset: number): number {
  const fd = openSync(path, 'r');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, offset);
  closeSync(fd);
  return byte[0] ?? -1;
}

function errorOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
  return 'nothing';
}

await t.test('a static program maps the host file itself', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const binary = await Program.compile(volume);
    await run('chattr', ['+x', volume.directory]);
    const file = join(volume.directory, 'file');
    const program = new Program(binary, file, 4 * MIB);
    try {
      t.equal(await program.line(), 'mapped');
      const host = hostFile(volume);
      t.equal(lstatSync(host).mode & 0o7777, 0o600, 'nobody else gets at it');
      t.equal(lstatSync(regionsOf(volume)).mode & 0o7777, 0o700, 'nor at its directory');
      t.equal(statSync(host).size, 4 * MIB);
      t.equal(await program.ask('store 1000000 77'), 'stored');
      t.equal(byteAt(host, 1_000_000), 77, 'the store is in the host file at once, without msync');
      t.equal(byteAt(file, 1_000_000), 77, 'and in the file');
      const other = openSync(file, 'r+');
      writeSync(other, Buffer.from([78]), 0, 1, 1_000_001);
      t.equal(await program.ask('load 1000001'), '78', 'a write is in the mapping');
      ftruncateSync(other, 5 * MIB);
      t.equal(statSync(host).size, 5 * MIB, 'truncate reaches it');
      writeSync(other, Buffer.alloc(100, 1), 0, 100, 6 * MIB);
      t.equal(statSync(file).size, 6 * MIB + 100, 'the size that the kernel shows is the host file’s');
      fsyncSync(other);
      closeSync(other);
      t.match((await run('lsattr', ['-d', file])).stdout, /x/, 'the flag was inherited');

      volume.killServer();
      t.equal(await program.ask('store 5 99'), 'stored', 'a store needs no server');
      t.equal(byteAt(file, 5), 99, 'a new server serves the open file');
      t.equal(statSync(file).size, 6 * MIB + 100);
      const second = openSync(file, 'r+');
      writeSync(second, Buffer.from([55]), 0, 1, 6);
      t.equal(await program.ask('load 6'), '55', 'opened again, it is the same file');
      closeSync(second);
      unlinkSync(file);
      t.equal(await program.ask('load 5'), '99', 'a mapping keeps what was removed');
    } finally {
      program.end();
    }
    await shell('echo 2 > /proc/sys/vm/drop_caches');
    await waitFor('the host file to go', () => hostFiles(volume).length === 0);
  });
});

await t.test('huge pages', { skip: skip || missing('mount') }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    // Only for the region directory: the volume stays where it was.
    const huge = join(volume.scratch, 'huge');
    mkdirSync(huge);
    const mounted = await tryRun('mount', ['-t', 'tmpfs', '-o', 'huge=always,size=64m,mode=700', 'tmpfs', huge]);
    if (mounted.status !== 0) {
      t.comment(`no tmpfs with huge pages here: ${mounted.stderr}`);
      return;
    }
    volume.defer(() => { spawnSync('umount', ['-l', huge]); });
    const regions = join(huge, 'regions');
    mkdirSync(regions, { mode: 0o700 });
    const binary = await Program.compile(volume);
    await volume.format();
    await volume.mount([`regions=${regions}`, 'dax=always']);
    const program = new Program(binary, join(volume.directory, 'file'), 8 * MIB);
    try {
      t.equal(await program.line(), 'mapped');
      await program.ask('fill 1');
      t.equal(await program.ask('huge'), '8192', 'all of the mapping is huge pages');
    } finally {
      program.end();
    }
    await volume.unmount();
    await volume.verifyClean(t);
    await run('umount', [huge]);
  } finally {
    volume.destroy();
  }
});

await t.test('a file with data moves when its flag changes', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const file = join(volume.directory, 'file');
    const contents = Buffer.alloc(3 * MIB + 77, 'some contents ');
    writeFileSync(file, contents);
    const described = async (): Promise<Record<string, unknown>> => JSON.parse((await run(tools.nvmfs, ['stat', '--json', file])).stdout) as Record<string, unknown>;
    t.match(await described(), { data: 'image', served: 'page cache', dax: false, reason: '' });
    const held = openSync(file, 'r');
    await run(tools.nvmfs, ['dax', 'on', file]);
    t.match(await described(), { data: 'image', flag: true, dax: true }, 'not while it is open');
    closeSync(held);
    await waitFor('the move', async () => (await described())['data'] === 'region');
    t.match(await described(), { served: 'passthrough' });
    t.ok(readFileSync(file).equals(contents) && readFileSync(hostFile(volume)).equals(contents), 'the contents are in the host file');
    t.equal((await run(tools.nvmfs, ['dax', 'show', file])).stdout, `on ${file}\n`);
    const binary = await Program.compile(volume);
    const program = new Program(binary, file, contents.length);
    try {
      t.equal(await program.line(), 'mapped');
      await run(tools.nvmfs, ['dax', 'off', file]);
      await sleep(1500);
      t.match(await described(), { data: 'region' }, 'not while it is mapped');
      await program.ask('store 5 65');
    } finally {
      program.end();
    }
    contents[5] = 65;
    // Older kernels forget it when they need the memory.
    await waitFor('the move back', async () => {
      await shell('echo 2 > /proc/sys/vm/drop_caches');
      return hostFiles(volume).length === 0;
    }, 30_000);
    t.match(await described(), { data: 'image', served: 'page cache' });
    t.ok(readFileSync(file).equals(contents), 'with what was stored');
    t.match((await tryRun(tools.nvmfs, ['stat', '/'])).stderr, /not on a mounted NVMFS volume/);
  });
});

await t.test('a crash of everything', { skip }, async (t) => {
  const volume = new Volume({ size: '64m', mountOptions: ['dax=always'] });
  try {
    const binary = await Program.compile(volume);
    await volume.format();
    await volume.mount();
    const file = join(volume.directory, 'file');
    const program = new Program(binary, file, MIB);
    t.equal(await program.line(), 'mapped');
    await program.ask('store 4096 7');
    writeFileSync(join(volume.directory, 'gone'), 'x');
    const held = openSync(join(volume.directory, 'gone'), 'r');
    unlinkSync(join(volume.directory, 'gone'));
    writeFileSync(join(volume.directory, 'empty'), '');
    t.equal(hostFiles(volume).length, 3);
    await volume.kill9();
    t.equal(await program.ask('store 4097 8'), 'stored', 'the mapping outlives its mount');
    program.end();
    closeSync(held);
    await volume.mount();
    t.same([byteAt(file, 4096), byteAt(file, 4097), statSync(file).size], [7, 8, MIB], 'the next mount has it all');
    t.equal(hostFiles(volume).length, 2, 'the host file of what had been removed is gone');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('a full host', { skip: skip || missing('mount') }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    const small = join(volume.scratch, 'small');
    mkdirSync(small);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'tmpfs', small]);
    volume.defer(() => { spawnSync('umount', ['-l', small]); });
    const regions = join(small, 'regions');
    mkdirSync(regions, { mode: 0o700 });
    await volume.format();
    await volume.mount([`regions=${regions}`, 'dax=always']);
    const free = statfsSync(volume.directory);
    t.ok(free.bavail * free.bsize <= 4 * MIB, 'statfs knows it');
    const file = join(volume.directory, 'file');
    t.equal(errorOf(() => { writeFileSync(file, Buffer.alloc(8 * MIB)); }), 'ENOSPC');
    t.equal((await tryRun('fallocate', ['-l', '8M', join(volume.directory, 'second')])).stderr.includes('No space left'), true);
    unlinkSync(file);
    unlinkSync(join(volume.directory, 'second'));
    writeFileSync(file, Buffer.alloc(MIB, 3));
    t.equal(readFileSync(file).length, MIB, 'and there is space again');
    await volume.unmount();
    await volume.verifyClean(t);
    await run('umount', [small]);
  } finally {
    volume.destroy();
  }
});

await t.test('a host without room for another file', { skip: skip || missing('mount') }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    const small = join(volume.scratch, 'small');
    mkdirSync(small);
    // Inodes for itself, the region directory, its mark, and one host file.
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m,nr_inodes=4,mode=700', 'tmpfs', small]);
    volume.defer(() => { spawnSync('umount', ['-l', small]); });
    const regions = join(small, 'regions');
    mkdirSync(regions, { mode: 0o700 });
    await volume.format();
    await volume.mount([`regions=${regions}`, 'dax=always']);
    writeFileSync(join(volume.directory, 'first'), 'first');
    t.equal(errorOf(() => { writeFileSync(join(volume.directory, 'second'), 'second'); }), 'ENOSPC');
    t.same(readdirSync(volume.directory), ['first'], 'an open that fails leaves no file behind');
    t.equal(errorOf(() => { writeFileSync(join(volume.directory, 'second'), 'second', { flag: 'wx' }); }), 'ENOSPC', 'and can be made again, with the same end');
    t.same(readdirSync(volume.directory), ['first']);
    unlinkSync(join(volume.directory, 'first'));
    await waitFor('the host file to go', () => readdirSync(regions).length === 1);
    writeFileSync(join(volume.directory, 'second'), 'second', { flag: 'wx' });
    t.equal(readFileSync(join(volume.directory, 'second'), 'latin1'), 'second', 'there is room again');
    await volume.unmount();
    const checked = await tryRun(tools.fsck, ['-n', '--regions', regions, volume.image]);
    t.match(checked, { status: 0, stderr: '' });
    await run('umount', [small]);
  } finally {
    volume.destroy();
  }
});

await t.test('a lost host file, and a directory of somebody else’s', { skip }, async (t) => {
  const volume = new Volume({ size: '64m', mountOptions: ['dax=always'] });
  try {
    await volume.format();
    await volume.mount();
    const [lost, kept] = [join(volume.directory, 'lost'), join(volume.directory, 'kept')];
    writeFileSync(lost, 'lost');
    const host = hostFile(volume);
    writeFileSync(kept, 'kept');
    await volume.unmount();
    rmSync(host);
    await volume.mount();
    t.equal(errorOf(() => readFileSync(lost)), 'EIO');
    t.equal(errorOf(() => { truncateSync(lost, 0); }), 'EIO');
    t.equal(readFileSync(kept, 'latin1'), 'kept');
    unlinkSync(lost);
    await volume.unmount();
    renameSync(regionsOf(volume), `${regionsOf(volume)}.away`);
    await volume.mount();
    t.equal(errorOf(() => readFileSync(kept)), 'EIO', 'without its directory a file can’t be read');
    await volume.unmount();
    rmSync(regionsOf(volume), { recursive: true, force: true });
    mkdirSync(regionsOf(volume), { mode: 0o700 });
    writeFileSync(join(regionsOf(volume), 'volume'), `${'0'.repeat(32)}\n`);
    await volume.mount();
    t.equal(errorOf(() => readFileSync(kept)), 'EIO', 'nor with that of another volume');
    writeFileSync(join(volume.directory, 'new'), 'new');
    t.equal(readFileSync(join(volume.directory, 'new'), 'latin1'), 'new', 'but new files have their place in the image');
    t.equal(readdirSync(regionsOf(volume)).length, 1, 'and nothing is put there');
    await volume.unmount();
    rmSync(regionsOf(volume), { recursive: true });
    renameSync(`${regionsOf(volume)}.away`, regionsOf(volume));
    await volume.mount();
    t.equal(readFileSync(kept, 'latin1'), 'kept');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

await t.test('xfs_io and chattr set and show the same flag', { skip: skip || missing('xfs_io', 'lsattr') }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const io = async (path: string, ...commands: string[]): Promise<string> => (await run('xfs_io', ['-r', ...commands.flatMap((one) => ['-c', one]), path])).stdout;
    const [directory, plain] = [join(volume.directory, 'directory'), join(volume.directory, 'plain')];
    mkdirSync(directory);
    writeFileSync(plain, 'plain');
    t.match(await io(plain, 'lsattr'), /^-+ .*plain/, 'no flags yet');
    await io(directory, 'chattr +x');
    t.match(await io(directory, 'lsattr -D'), /^-+x-+ /, 'xfs_io shows what it has set');
    t.match((await run('lsattr', ['-d', directory])).stdout, /^-+x-+ /, 'and so does lsattr');
    const inner = join(directory, 'inner');
    await run('xfs_io', ['-f', '-c', 'pwrite -q -S 7 0 8k', inner]);
    t.match(await io(inner, 'lsattr -v'), /^\[dax\] /, 'a new file inherits it');
    const stat = await io(inner, 'stat');
    t.match(stat, /^stat\.size = 8192$/m);
    t.match(stat, /^stat\.blocks = 16$/m, 'size and blocks are the host file’s');
    t.equal(hostFiles(volume).length, 1, 'its data is a host file');
    await run('xfs_io', ['-c', 'truncate 4m', '-c', 'falloc 0 1m', '-c', 'fpunch 0 4k', '-c', 'fsync', inner]);
    t.equal(statSync(hostFile(volume)).size, 4 * MIB);
    t.equal(byteAt(inner, 5000), 7);
    t.equal(byteAt(inner, 0), 0);

    await io(plain, 'chattr +x');
    await waitFor('the move to the host', () => hostFiles(volume).length === 2);
    t.equal(readFileSync(plain, 'latin1'), 'plain');
    t.match((await run('lsattr', [plain])).stdout, /^-+x-+ /);
    await run('chattr', ['-x', plain]);
    t.match(await io(plain, 'lsattr'), /^-+ /, 'what chattr clears xfs_io shows');
    await run('chattr', ['+ai', inner]);
    t.match(await io(inner, 'lsattr -v'), /^\[immutable, append-only, dax\] /, 'other flags, too');
    await io(inner, 'chattr -ia');
    t.match((await run('lsattr', [inner])).stdout, /^-+x-+ /);
    t.not((await tryRun('xfs_io', ['-r', '-c', 'chattr +r', inner])).stderr, '', 'a flag of XFS alone is refused');
  });
});

await t.test('a region directory that the superblock names', { skip }, async (t) => {
  const volume = new Volume({ size: '64m', mountOptions: ['dax=always'] });
  try {
    const regions = join(volume.scratch, 'elsewhere');
    await volume.format('--regions', regions);
    await volume.mount();
    const file = join(volume.directory, 'file');
    writeFileSync(file, 'data');
    const [host] = readdirSync(regions).filter((name) => name !== 'volume');
    t.equal(readFileSync(join(regions, host ?? ''), 'latin1'), 'data', 'host files are there');
    t.equal(errorOf(() => readdirSync(regionsOf(volume))), 'ENOENT', 'and not beside the image');
    await volume.unmount();

    renameSync(regions, `${regions}.moved`);
    await volume.mount();
    t.equal(errorOf(() => readFileSync(file)), 'EIO', 'without it a file can’t be read');
    t.match((await tryRun(tools.nvmfs, ['stat', file])).stderr, /its file in the region directory can't be had; the daemon's log says which/, 'and people are told where to look');
    const fresh = join(volume.directory, 'new');
    writeFileSync(fresh, 'new');
    t.match((await run(tools.nvmfs, ['stat', fresh])).stdout, /in the image\n.*region directory .* is missing: is its filesystem mounted\?/);
    t.equal(errorOf(() => readdirSync(regions)), 'ENOENT', 'none is made in its place');
    unlinkSync(file);
    await volume.unmount();
    mkdirSync(regions, { mode: 0o700 });
    await volume.mount();
    writeFileSync(fresh, 'newer');
    t.match((await run(tools.nvmfs, ['stat', fresh])).stdout, /region directory .* is empty: is its filesystem mounted\?/);
    t.same(readdirSync(regions), [], 'an empty one is not taken');
    await volume.unmount();
    t.equal(readdirSync(`${regions}.moved`).length, 2, 'a removed file’s host file waits');

    await volume.mount([`regions=${regions}.moved`]);
    t.same(readdirSync(`${regions}.moved`), ['volume'], 'and goes when its directory is there: the option says where');
    const third = join(volume.directory, 'third');
    writeFileSync(third, 'third');
    t.equal(readdirSync(`${regions}.moved`).length, 2);
    await volume.unmount();
    rmSync(regions, { recursive: true });
    renameSync(`${regions}.moved`, regions);
    writeFileSync(join(regions, 'volume'), `${'0'.repeat(32)}\n`);
    await volume.mount();
    t.equal(errorOf(() => readFileSync(third)), 'EIO');
    t.match((await run(tools.nvmfs, ['stat', fresh])).stdout, /belongs to another volume/);
    await volume.unmount();
    await volume.format('-f', '--regions', join(volume.directory, 'inside'));
    const hidden = await tryRun(tools.nvmfs, ['mount', volume.image, volume.directory]);
    t.match(hidden, { status: 32, stderr: /would be hidden by the mount/ });
  } finally {
    volume.destroy();
  }
});

await t.test('what can’t have passthrough', { skip: skip || missing('fusermount3', 'runuser') }, async (t) => {
  const closeFuse = openFuseToEverybody();
  const volume = new Volume({ size: '64m', mountOptions: ['dax=always'] });
  try {
    const binary = await Program.compile(volume);
    chmodSync(volume.scratch, 0o755);
    await volume.format();
    await volume.mount();
    const region = join(volume.directory, 'region');
    writeFileSync(region, Buffer.alloc(100_000, 5));
    chmodSync(region, 0o666);
    chmodSync(volume.directory, 0o777);
    await volume.unmount();
    // The same volume, mounted by somebody without CAP_SYS_ADMIN.
    const nobody = 65534;
    for (const path of [volume.image, volume.directory, volume.scratch, regionsOf(volume), ...hostFiles(volume), join(regionsOf(volume), 'volume')]) chownSync(path, nobody, nobody);
    const asNobody = (...args: string[]): Promise<unknown> => run('runuser', ['-u', 'nobody', '--', ...args], { timeout: 60_000 });
    await asNobody(tools.nvmfs, 'mount', volume.image, volume.directory, '-o', 'dax=always');
    await asNobody('/bin/sh', '-ec', 'cmp -n 100000 "$1" "$2"; printf more >> "$1"; head -c 200000 /dev/zero > "$3"; truncate -s 100 "$3"; test $(stat -c %s "$1") = 100004; dd if="$1" of="$3" bs=7k conv=notrunc 2>/dev/null; cmp "$1" "$3"', 'sh', region, hostFile(volume), join(volume.directory, 'new'));
    const described = (await run('runuser', ['-u', 'nobody', '--', tools.nvmfs, 'stat', '--json', region, join(volume.directory, 'new')])).stdout;
    t.match(described, /"data":"region","served":"direct","reason":"the kernel lets only a daemon with CAP_SYS_ADMIN[^\n]*\n.*"data":"image","served":"direct"/, 'which nvmfs stat says');
    t.equal(hostFiles(volume).length, 1, 'a region is served by the daemon, a new file is in the image');
    await asNobody('/bin/sh', '-ec', `printf 'store 8191 9\\nload 8191\\n' | "$1" "$2" 1000000 > /dev/null; test $(od -An -tu1 -j8191 -N1 "$2") = 9`, 'sh', binary, join(volume.directory, 'mapped'));
    await asNobody('/bin/sh', '-ec', `printf 'store 8191 9\\nload 8191\\n' | "$1" "$2" 1000000 > /dev/null; test $(od -An -tu1 -j8191 -N1 "$2") = 9`, 'sh', binary, region);
    t.equal(byteAt(hostFile(volume), 8191), 9, 'mappings work with both');
    await asNobody(tools.nvmfs, 'umount', volume.directory);
  } finally {
    volume.destroy();
    closeFuse();
  }
});
