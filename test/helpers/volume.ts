/**
 * A volume for tests on a real mount: image, mkfs, mount, crash, verify, and cleaning up whatever happens.
 *
 * `NVMFS_TEST_DIR=/some/directory` runs the same test bodies on an ordinary directory, to try the
 * tests themselves; what needs a volume of its own is skipped then.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, existsSync, statSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from './environment.js';
import { type Asserts, type RunResult, describeRun, projectRoot, run, sleep, start, tryRun, waitFor } from './run.js';

/** Where the image lies: decides the durability domain and how the daemon reaches it. */
export type Medium = 'memory' | 'file' | 'loop';

export interface VolumeOptions {
  /** As mkfs takes it; default 1g. The image is sparse. */
  size?: string;
  medium?: Medium;
  /** Words after `-o`. */
  mountOptions?: string[];
  /** The image is no new file but one full of random bytes, as a reused device is. */
  reused?: boolean;
  /** Keep the daemon in the foreground of its own process, with its log in `volume.log`. */
  foreground?: boolean;
}

/** The tools, straight from the checkout. */
export const tools = {
  nvmfs: join(projectRoot, 'bin/nvmfs'),
  mkfs: join(projectRoot, 'bin/mkfs.nvmfs'),
  fsck: join(projectRoot, 'bin/fsck.nvmfs'),
};

/** The directory that stands in for a mount, if tests are tried without one. */
export const plainDirectory = process.env['NVMFS_TEST_DIR'];

const memoryDirectory = existsSync('/dev/shm') ? '/dev/shm' : '/tmp';
const live = new Set<Volume>();
let hooked = false;

/** Why tests on a mount can't run here, or false. */
export function cannotMount(): string | false {
  if (plainDirectory !== undefined) return false;
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/dev/fuse')) return 'no /dev/fuse';
  return false;
}

/** Why tests that need a volume of their own (crash, damage, remount) can't run here, or false. */
export function cannotUseVolume(): string | false {
  return plainDirectory !== undefined ? 'runs on an ordinary directory' : cannotMount();
}

/** Whether something is mounted at the path. */
export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .some((line) => line.split(' ')[4] === path.replaceAll(' ', '\\040'));
}

/** Processes that hold the file open, found without touching a mount that may be dead. */
export function holders(path: string): number[] {
  const found: number[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const descriptors = join('/proc', entry, 'fd');
    for (const fd of listOrNone(descriptors)) {
      if (linkOrNone(join(descriptors, fd)) === path) {
        found.push(Number(entry));
        break;
      }
    }
  }
  return found;
}

/** A process and its descriptors may vanish while they are looked at: then there is nothing to list. */
function listOrNone(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function commandOrNone(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

function linkOrNone(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Lets every user open /dev/fuse, as udev does and some containers don't; returns what undoes it. */
export function openFuseToEverybody(): () => void {
  const { mode } = statSync('/dev/fuse');
  chmodSync('/dev/fuse', 0o666);
  return () => {
    chmodSync('/dev/fuse', mode & 0o7777);
  };
}

export function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${String(pid)}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}

export class Volume {
  /** A directory outside the volume, removed at the end. */
  readonly scratch: string;
  /** Where it is mounted. */
  readonly directory: string;
  /** The image file. */
  readonly image: string;
  /** The daemon's output when it runs in the foreground. */
  readonly log: string;
  /** What is mounted: the image, or the loop device over it. */
  source: string;
  readonly size: string;
  readonly real: boolean;
  private readonly medium: Medium;
  private readonly mountOptions: string[];
  private readonly foreground: boolean;
  private readonly reused: boolean;
  private readonly undo: (() => void)[] = [];

  constructor(options: VolumeOptions = {}) {
    this.real = plainDirectory === undefined;
    this.medium = options.medium ?? 'memory';
    this.size = options.size ?? '1g';
    this.mountOptions = options.mountOptions ?? [];
    this.foreground = options.foreground ?? false;
    this.reused = options.reused ?? false;
    this.scratch = mkdtempSync(join(this.medium === 'file' ? '/tmp' : memoryDirectory, 'nvmfs-test-'));
    this.directory = this.real ? join(this.scratch, 'mnt') : mkdtempSync(join(plainDirectory ?? '', 'volume-'));
    this.image = join(this.scratch, 'image');
    this.log = join(this.scratch, 'log');
    this.source = this.image;
    if (this.real) mkdirSync(this.directory);
    live.add(this);
    if (!hooked) {
      hooked = true;
      process.once('exit', () => {
        for (const volume of [...live]) volume.destroy();
      });
      // A test runner that loses patience sends these; the default action would skip the exit hook.
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
    }
  }

  /** Makes the filesystem. */
  async format(...extra: string[]): Promise<void> {
    if (!this.real) return;
    if (this.reused) await run('/bin/sh', ['-c', 'head -c "$1" /dev/urandom > "$2"', 'sh', this.size.toUpperCase(), this.image]);
    if (this.medium === 'loop') {
      await run('truncate', ['-s', this.size.toUpperCase(), this.image]);
      this.source = await this.attachLoop(this.image);
      await run(tools.mkfs, [...extra, this.source]);
    } else {
      await run(tools.mkfs, [...extra, '-s', this.size, this.image]);
    }
  }

  /** Attaches a loop device to a file; it is detached when the volume is destroyed. */
  async attachLoop(file: string, ...options: string[]): Promise<string> {
    const device = (await run('losetup', [...options, '--find', '--show', file])).stdout.trim();
    this.defer(() => {
      const backing = spawnSync('losetup', ['--noheadings', '--output', 'BACK-FILE', device], { env: cleanEnvironment() });
      if (backing.stdout.toString().includes(file)) spawnSync('losetup', ['-d', device], { env: cleanEnvironment() });
    });
    return device;
  }

  /** Runs `undo` when the volume is destroyed; the last comes first. */
  defer(undo: () => void): void {
    this.undo.push(undo);
  }

  private get pidFile(): string {
    return join(this.scratch, 'pid');
  }

  /** The daemon's process. */
  get pid(): number {
    const pid = Number(readFileSync(this.pidFile, 'latin1').trim());
    if (!Number.isInteger(pid) || pid <= 1) throw new Error(`no process id in ${this.pidFile}`);
    return pid;
  }

  /** The words to give to `-o`. */
  options(extra: string[] = []): string {
    return [`pidfile=${this.pidFile}`, ...this.mountOptions, ...extra].join(',');
  }

  /** Mounts; throws with what the command said when it fails. */
  async mount(extra: string[] = []): Promise<void> {
    if (!this.real) return;
    rmSync(this.pidFile, { force: true });
    const args = ['mount', this.source, this.directory, '-o', this.options(extra)];
    if (this.foreground) {
      const daemon = start(tools.nvmfs, [...args, '-f'], this.log);
      let ended = false;
      void daemon.ended.then(() => (ended = true));
      await waitFor('the mount', () => ended || (isMounted(this.directory) && existsSync(this.pidFile)));
      if (ended) throw new Error(`the daemon did not stay: ${this.readLog()}`);
      return;
    }
    await run(tools.nvmfs, args, { timeout: 30_000 });
    if (!isMounted(this.directory)) throw new Error(`nvmfs mount returned 0, but nothing is mounted at ${this.directory}`);
  }

  /** What the daemon said in the foreground so far. */
  readLog(): string {
    return existsSync(this.log) ? readFileSync(this.log, 'latin1') : '';
  }

  /** Unmounts in the ordinary way and waits until the daemon has ended. */
  async unmount(): Promise<void> {
    if (!this.real || !isMounted(this.directory)) return;
    const pid = this.pid;
    await run(tools.nvmfs, ['umount', this.directory], { timeout: 60_000 });
    if (isMounted(this.directory)) throw new Error('nvmfs umount returned 0, but it is still mounted');
    await this.waitForEnd(pid);
  }

  /** Waits until the daemon is gone: whoever unmounts with umount(8) does not wait for it. */
  async waitForEnd(pid: number): Promise<void> {
    await waitFor('the end of the daemon', () => !isAlive(pid) && !holders(this.image).includes(pid));
  }

  async remount(): Promise<void> {
    await this.unmount();
    await this.mount();
  }

  /** The daemon dies at once; what it acknowledged must be there after the next mount. */
  async kill9(): Promise<void> {
    const pid = this.pid;
    process.kill(pid, 'SIGKILL');
    await waitFor('the death of the daemon', () => !isAlive(pid));
    await run('umount', ['-l', this.directory]);
  }

  async kill9AndRemount(): Promise<void> {
    await this.kill9();
    await this.mount();
  }

  /** Reads every structure of the unmounted volume; the report is that of fsck. */
  verify(): Promise<RunResult> {
    return tryRun(tools.fsck, ['-n', '-f', this.source]);
  }

  /** Asserts that the unmounted volume has no fault: the oracle at the end of every test. */
  async verifyClean(t: Asserts): Promise<void> {
    if (!this.real) return;
    const result = await this.verify();
    t.ok(result.status === 0, 'fsck.nvmfs -n finds the volume clean', { output: describeRun('fsck.nvmfs', [], result) });
  }

  /** SIGKILL for the process that serves the volume; another takes over. */
  killServer(): void {
    for (const pid of holders('/dev/fuse')) {
      const command = commandOrNone(pid);
      if (command.startsWith('nvmfs-server') && command.includes(this.image)) process.kill(pid, 'SIGKILL');
    }
  }

  /** Leaves nothing behind: mounts, the daemon, loop devices, files. Synchronous, as it also runs when the process exits. */
  destroy(): void {
    if (!live.delete(this)) return;
    // The daemon first: whatever still hangs on it gets an error then, instead of waiting for ever.
    if (this.real) {
      for (const pid of new Set([...holders(this.image), ...holders(this.source)])) {
        if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      }
    }
    for (const undo of this.undo.reverse()) undo();
    if (this.real) {
      for (let i = 0; i < 4 && isMounted(this.directory); i++) spawnSync('umount', ['-l', this.directory]);
    } else {
      rmSync(this.directory, { recursive: true, force: true });
    }
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Makes and mounts a volume for `body`, then unmounts and verifies it. Cleans up in any case. */
export async function withVolume(t: Asserts, options: VolumeOptions, body: (volume: Volume) => Promise<void>): Promise<void> {
  const volume = new Volume(options);
  try {
    await volume.format();
    await volume.mount();
    await body(volume);
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
}

export interface StatFs {
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  bsize: number;
  namemax: number;
}

/** What statvfs(3) shows for a path. */
export async function statFs(path: string): Promise<StatFs> {
  const script = 'import os,sys,json\ns=os.statvfs(sys.argv[1])\nprint(json.dumps({k:getattr(s,"f_"+k) for k in ("blocks","bfree","bavail","files","ffree","bsize","namemax")}))';
  return JSON.parse((await run('/usr/bin/python3', ['-c', script, path])).stdout) as StatFs;
}

/** Asserts that statfs shows what it showed before; the freeing of large files may go on for a moment after unlink. */
export async function sameStatFs(t: Asserts, path: string, before: StatFs, message: string): Promise<void> {
  let now = await statFs(path);
  for (let i = 0; i < 50 && JSON.stringify(now) !== JSON.stringify(before); i++) {
    await sleep(100);
    now = await statFs(path);
  }
  t.equal(JSON.stringify(now), JSON.stringify(before), message);
}

/** Writes a text file outside the volume and returns its path. */
export function scratchFile(volume: Volume, name: string, text: string): string {
  const path = join(volume.scratch, name);
  writeFileSync(path, text);
  return path;
}
