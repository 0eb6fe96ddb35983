// Guards the door to the kernel: mount, requests in, replies straight from the mapping, Node's timers and sockets served
// while waiting, unmount, and one clear error for everything that stands in the way.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { addon } from '../../native/addon.js';
import { asByteAddr } from '../../src/base/units.js';
import { MappedPmem } from '../../src/pmem/mapped.js';
import { openFuseToEverybody } from '../helpers/volume.js';

const scratch = mkdtempSync(join(tmpdir(), 'nvmfs-devfuse-'));
chmodSync(scratch, 0o755);
t.teardown(() => { rmSync(scratch, { recursive: true }); });

const ENOENT = 2;
const ENOSYS = 38;
const ENODEV = 19;
const FILE_SIZE = 900_000;
const FILE_NODE = 2;

const opcode = { lookup: 1, forget: 2, getattr: 3, open: 14, read: 15, release: 18, init: 26, interrupt: 36, destroy: 38, batchForget: 42 };

/** The attributes of the root directory or of the one file, as struct fuse_attr. */
function putAttributes(out: DataView, offset: number, node: number): void {
  out.setUint32(offset, node, true);
  out.setUint32(offset + 8, node === FILE_NODE ? FILE_SIZE : 0, true);
  out.setUint32(offset + 60, node === FILE_NODE ? 0o100644 : 0o40755, true);
  out.setUint32(offset + 64, 1, true);
  out.setUint32(offset + 80, 4096, true);
}

/**
 * A filesystem with one file, `data`: its first 300,000 bytes are the image's from 65,000 on (over window boundaries),
 * 300,000 zeros follow, then the image's first 300,000.
 */
class OneFile {
  requests = 0;
  /** The errno that ended serve(), once it ended. */
  ended: Promise<number>;
  /** Results of the replies to READ. */
  readonly readReplies = new Set<number>();
  private readonly buffer = new Uint8Array(1 << 20 | 4096);
  private readonly input = new DataView(this.buffer.buffer);
  private readonly out = new Uint8Array(256);
  private readonly view = new DataView(this.out.buffer);
  private readonly addresses = new Float64Array(8);
  private readonly lengths = new Float64Array(8);

  constructor(private readonly fd: number, private readonly image: MappedPmem) {
    this.ended = new Promise((resolve) => {
      const turn = (): void => {
        for (;;) {
          const length = addon.receive(this.fd, this.buffer, 20_000, 0);
          if (length === 0) break;
          if (length < 0) {
            resolve(-length);
            return;
          }
          this.requests++;
          this.answer();
        }
        setImmediate(turn);
      };
      setImmediate(turn);
    });
  }

  private answer(): void {
    const operation = this.input.getUint32(4, true);
    const node = this.input.getUint32(16, true);
    this.out.fill(0);
    switch (operation) {
      case opcode.init:
        this.view.setUint32(16, 7, true);
        this.view.setUint32(20, 31, true);
        this.view.setUint32(24, 1 << 20, true);
        this.view.setUint32(28, 1 << 22, true); // FUSE_MAX_PAGES
        this.view.setUint32(36, 1 << 20, true);
        this.view.setUint32(40, 1, true);
        this.view.setUint16(44, 256, true);
        this.reply(0, 64);
        break;
      case opcode.getattr:
        putAttributes(this.view, 32, node);
        this.reply(0, 104);
        break;
      case opcode.lookup:
        if (Buffer.from(this.buffer.buffer, 40, 5).toString('latin1') !== 'data\0') {
          this.reply(-ENOENT, 0);
          break;
        }
        this.view.setUint32(16, FILE_NODE, true);
        putAttributes(this.view, 56, FILE_NODE);
        this.reply(0, 128);
        break;
      case opcode.open:
        this.reply(0, 16);
        break;
      case opcode.release:
        this.reply(0, 0);
        break;
      case opcode.read:
        this.read(this.input.getUint32(48, true), this.input.getUint32(56, true));
        break;
      case opcode.forget: case opcode.batchForget: case opcode.interrupt:
        break;
      default:
        this.reply(-ENOSYS, 0);
    }
  }

  private header(error: number, length: number): void {
    this.view.setUint32(0, 16 + length, true);
    this.view.setInt32(4, error, true);
    this.out.set(this.buffer.subarray(8, 16), 8);
  }

  private reply(error: number, length: number): void {
    this.header(error, length);
    addon.reply(this.fd, this.out, 0, 16 + length);
  }

  private read(offset: number, size: number): void {
    const end = Math.min(offset + size, FILE_SIZE);
    let count = 0;
    for (const [begin, address] of [[0, 65_000], [300_000, -1], [600_000, 0]] as const) {
      const from = Math.max(begin, offset);
      const to = Math.min(begin + 300_000, end);
      if (from >= to) continue;
      this.addresses[count] = address < 0 ? -1 : address + from - begin;
      this.lengths[count++] = to - from;
    }
    this.header(0, Math.max(end - offset, 0));
    this.readReplies.add(addon.replyMapped(this.fd, this.image.handle, this.out, 0, 16, this.addresses, this.lengths, count));
  }
}

function mountOptions(directory: string): Parameters<typeof addon.mountDevice>[0] {
  return { source: 'one,file', directory, subtype: 'nvmfs', flags: ['nosuid', 'nodev'], allowOther: false, defaultPermissions: true, maxRead: 0 };
}

/** Runs a program while this process goes on serving. */
async function run(command: string, args: string[]): Promise<{ status: number | null; output: Buffer; errors: string }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output: Buffer.concat(output), errors };
}

t.test('a mount serves a file from the mapping, and Node meanwhile', { timeout: 60_000 }, async (t) => {
  const directory = join(scratch, 'mnt');
  mkdirSync(directory);
  const image = MappedPmem.open(join(scratch, 'image'), { create: true, size: 1 << 20, windowSize: 65536, windowLimit: 16 });
  const content = Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 2654435761) >>> 13));
  image.store(asByteAddr(0), content, 0, content.length);
  image.fence();

  const fd = addon.mountDevice(mountOptions(directory));
  const server = new OneFile(fd, image);
  t.match(readFileSync('/proc/mounts', 'latin1'), new RegExp(`^one,file ${directory} fuse.nvmfs rw,nosuid,nodev,`, 'm'));
  t.throws(() => addon.mountDevice(mountOptions(directory)), { code: 'EBUSY', message: /is busy/ });

  const cat = await run('cat', [join(directory, 'data')]);
  const expected = Buffer.concat([content.subarray(65_000, 365_000), Buffer.alloc(300_000), content.subarray(0, 300_000)]);
  t.equal(cat.errors, '');
  t.equal(Buffer.compare(cat.output, expected), 0, 'replies are gathered from the mapping over windows, and zeros');
  t.match((await run('cat', [join(directory, 'missing')])).errors, /No such file/);

  // The loop sleeps in receive() for 20 s at a time: whatever comes back earlier was served from within.
  const timerStart = performance.now();
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 30));
  const timers = performance.now() - timerStart;
  t.ok(timers >= 149 && timers < 400, `five timers of 30 ms took ${timers.toFixed(0)} ms`);

  const socketPath = join(scratch, 'socket');
  const listener = createServer((socket) => socket.on('data', (data) => socket.end(Buffer.from(data).reverse())));
  await new Promise<void>((resolve) => { listener.listen(socketPath, resolve); });
  const socketStart = performance.now();
  for (let i = 0; i < 10; i++) {
    const socket = connect(socketPath);
    socket.write('olleh');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (answer.toString() !== 'hello') t.fail('a socket got a wrong answer');
  }
  const sockets = performance.now() - socketStart;
  t.ok(sockets < 1000, `ten connections took ${sockets.toFixed(0)} ms`);
  listener.close();

  const signal = once(process, 'SIGUSR2');
  const signalStart = performance.now();
  spawn('sh', ['-c', `sleep 0.05; kill -USR2 ${String(process.pid)}`]);
  await signal;
  t.ok(performance.now() - signalStart < 1000, 'a signal reached its handler');

  // A busy mount must not starve the loop either.
  const busy = run('sh', ['-c', `i=0; while [ $i -lt 3000 ]; do i=$((i+1)); [ -e '${directory}/none' ]; done`]);
  const before = server.requests;
  const busyStart = performance.now();
  let latest = 0;
  for (let i = 0; i < 10; i++) {
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 5));
    latest = Math.max(latest, performance.now() - start);
  }
  t.comment(`${String(server.requests - before)} requests in ${(performance.now() - busyStart).toFixed(0)} ms; latest timer ${latest.toFixed(1)} ms`);
  t.ok(latest < 100, 'timers run under load');
  await busy;

  t.same([...server.readReplies], [0], 'every READ was answered from the mapping');
  image.close();
  await t.rejects(addon.unmount(join(scratch, 'nothing'), false), { code: 'ENOENT' });
  await addon.unmount(directory, false);
  t.equal(await server.ended, ENODEV, 'after the unmount receive says so');
  closeSync(fd);
  await t.rejects(addon.unmount(directory, false), { code: 'EINVAL', message: /not a mount point/ });
});

t.test('a page that the image cannot deliver is EIO for the reader', { timeout: 30_000 }, async (t) => {
  const directory = join(scratch, 'poison');
  mkdirSync(directory);
  const path = join(scratch, 'short');
  const image = MappedPmem.open(path, { create: true, size: 1 << 20 });
  image.zero(asByteAddr(0), 1 << 20);
  const fd = addon.mountDevice(mountOptions(directory));
  const server = new OneFile(fd, image);
  writeFileSync(path, ''); // cuts the file under the mapping
  const read = await run('cat', [join(directory, 'data')]);
  t.match(read.errors, /Input\/output error/);
  t.ok(server.readReplies.has(-5));
  await addon.unmount(directory, false);
  await server.ended;
  closeSync(fd);
  image.close();
});

t.test('what stands in the way of a mount is told in one line', async (t) => {
  const file = join(scratch, 'file');
  writeFileSync(file, '');
  t.throws(() => addon.mountDevice(mountOptions(file)), { code: 'ENOTDIR', message: /is not a directory/ });
  t.throws(() => addon.mountDevice(mountOptions(join(scratch, 'no'))), { code: 'ENOENT', message: /does not exist/ });
  const directory = join(scratch, 'flags');
  mkdirSync(directory);
  t.throws(() => addon.mountDevice({ ...mountOptions(directory), flags: ['nosuch'] }), { code: 'EINVAL', message: /unknown mount flag 'nosuch'/ });
  // The device is closed without a server: the mount is dead, and says so.
  const fd = addon.mountDevice(mountOptions(directory));
  closeSync(fd);
  t.throws(() => addon.mountDevice(mountOptions(directory)), { code: 'EBUSY', message: /is busy: one,file is mounted there/ });
  await addon.unmount(directory, true);
});

// The second user reads the addon from a place that is open to everybody.
const publicAddon = join(scratch, 'nvmfs.node');
const helper = spawnSync('sh', ['-c', 'command -v fusermount3']).status === 0;
const needs = process.getuid?.() !== 0 ? 'needs root to become another user' : !helper && 'fusermount3 is not installed';

t.test('an ordinary user mounts through fusermount3', { skip: needs, timeout: 30_000 }, async (t) => {
  copyFileSync(fileURLToPath(new URL('../../../build/nvmfs.node', import.meta.url)), publicAddon);
  const directory = join(scratch, 'user');
  spawnSync('install', ['-d', '-o', '65534', '-g', '65534', directory]);
  t.teardown(openFuseToEverybody());
  const script = `
    const addon = require('${publicAddon}');
    const options = { source: 'a,b', directory: '${directory}', subtype: 'nvmfs', flags: ['noexec'], allowOther: false, defaultPermissions: true, maxRead: 0 };
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    const fd = addon.mountDevice(options);
    console.log(require('fs').readFileSync('/proc/mounts', 'latin1').split('\\n').find((line) => line.includes('${directory}')));
    // receive() gives 0 whenever Node's own loop has something to do; then that turns first.
    const request = async () => {
      for (;;) {
        const length = addon.receive(fd, new Uint8Array(1 << 20), 1000, 0);
        if (length !== 0) return length;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const main = async () => {
      console.log('init', await request() > 40);
      process.env.PATH = '/nowhere';
      try { addon.mountDevice({ ...options, directory: '/' }); } catch (error) { console.log(error.code, error.message); }
      process.env.PATH = '${process.env['PATH'] ?? ''}';
      try { addon.mountDevice({ ...options, directory: '/proc' }); } catch (error) { console.log(error.code, error.message); }
      await addon.unmount('${directory}', true);
      console.log('gone', await request());
    };
    main();`;
  const { status, output, errors } = await run(process.execPath, ['-e', script]);
  t.equal(status, 0, errors);
  const lines = output.toString().split('\n');
  t.match(lines[0], /^a,b .* fuse.nvmfs rw,nosuid,nodev,noexec,.*user_id=65534/);
  t.equal(lines[1], 'init true');
  t.match(lines[2], /^ENOENT .*fusermount3, which is not installed/);
  t.match(lines[3], /^E[A-Z]+ .*fusermount3 failed: fusermount3: /);
  t.equal(lines[4], `gone -${String(ENODEV)}`);
});

t.test('without /dev/fuse the message says what to do', { skip: process.getuid?.() !== 0 && 'needs root to hide the device' }, async (t) => {
  const directory = join(scratch, 'no-device');
  mkdirSync(directory);
  t.ok(existsSync('/dev/fuse'), 'the test itself needs one');
  const script = `
    const addon = require('${fileURLToPath(new URL('../../../build/nvmfs.node', import.meta.url))}');
    try { addon.mountDevice({ source: 'x', directory: '${directory}', subtype: 'nvmfs', flags: [], allowOther: false, defaultPermissions: false, maxRead: 0 }); } catch (error) { console.log(error.message); }`;
  const { output } = await run('unshare', ['-m', 'sh', '-c', `mount -t tmpfs tmpfs /dev && exec '${process.execPath}' -e "$0"`, script]);
  t.match(output.toString(), /there is no \/dev\/fuse/);
});
