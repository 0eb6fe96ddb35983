// Guards promise 5: a dead server is not a dead mount. Programs live through two hundred deaths without an error, and what can't be saved ends in order.
import t from 'tap';
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseOptions } from '../../src/daemon/options.js';
import { Random } from '../../src/base/random.js';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';
import { type Asserts, type BackgroundProgram, describeRun, missing, programPath, python, seed, sleep, start, tryRun, waitFor } from '../helpers/run.js';
import { cannotUseVolume, holders, isAlive, isMounted, tools, Volume } from '../helpers/volume.js';
import type { Deaths } from './servers/mortal.js';

t.setTimeout(900_000);
const skip = cannotUseVolume() || missing('python3');
const DEATHS = Number(process.env['NVMFS_DEATHS'] ?? 200);
/** Deaths are sought for at most this long. */
const PATIENCE_MS = 480_000;
const PAUSE_GOAL_MS = 300;

/** A volume whose supervisor starts servers that kill themselves. */
class Supervised {
  readonly volume: Volume;
  private readonly control: string;
  private child: ChildProcess | null = null;
  ended: Promise<number> = Promise.resolve(0);

  constructor() {
    this.volume = new Volume({ size: '512m' });
    this.control = join(this.volume.scratch, 'deaths');
    this.say({ seed: 0, events: 0 });
  }

  /** How servers die that are started from now on. */
  say(deaths: Deaths): void {
    writeFileSync(this.control, JSON.stringify(deaths));
  }

  async mount(): Promise<void> {
    const { volume } = this;
    await volume.format();
    const plan = { image: volume.image, directory: volume.directory, options: parseOptions([], false) };
    const supervise = fileURLToPath(new URL('servers/supervise.js', import.meta.url));
    const output = openSync(volume.log, 'a');
    const child = spawn(...cleanCommand(process.execPath, [supervise, this.control, JSON.stringify(plan)]), { cwd: '/', env: cleanEnvironment(), stdio: ['ignore', output, output], detached: true });
    closeSync(output);
    this.child = child;
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => { resolve(code ?? (signal === 'SIGKILL' ? 137 : 128)); }));
    await waitFor('the mount', () => this.log.includes('ready\n'), 60_000);
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get log(): string {
    return this.volume.readLog();
  }

  get deaths(): number {
    return this.log.split('another one takes over').length - 1;
  }

  /** No server has died since the last one began to serve. */
  get isServed(): boolean {
    return this.log.lastIndexOf('is served again') >= this.log.lastIndexOf('another one takes over');
  }

  /** The processes that have the device, without the supervisor. */
  get servers(): number[] {
    return holders('/dev/fuse').filter((pid) => pid !== this.pid && commandOf(pid).includes(this.volume.image));
  }

  kill(): void {
    for (const pid of this.servers) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  }

  /** A reserve is there whose start saw what was said last. */
  async waitForReserve(): Promise<void> {
    await sleep(1500);
  }

  async unmount(): Promise<number> {
    const result = await tryRun(tools.nvmfs, ['umount', this.volume.directory], { timeout: 60_000 });
    if (result.status !== 0) throw new Error(describeRun('umount', [], result));
    return this.ended;
  }
}

/** The command line of a process; empty if it has just ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

await t.test('programs live through deaths of the server', { skip: skip || missing('git') }, async (t) => {
  const number = seed();
  const random = new Random(number);
  t.comment(`SEED=${String(number)} (the moments of kills from outside are not repeatable)`);
  const supervised = new Supervised();
  const { volume } = supervised;
  try {
    await supervised.mount();
    const stop = join(volume.scratch, 'stop');
    const kinds = ['append', 'append', 'names', 'names', 'mapping', 'held', 'database', 'repository', 'pause'];
    const outputs = kinds.map((kind, i) => join(volume.scratch, `output-${kind}${String(i)}`));
    const programs: BackgroundProgram[] = kinds.map((kind, i) =>
      start(python, [programPath('survive.py'), kind, join(volume.directory, `${kind}${String(i)}`), stop, String(number + i)], outputs[i] as string));
    const oracle = { base: join(volume.directory, 'oracle'), state: join(volume.scratch, 'state'), log: join(volume.scratch, 'oracle') };
    mkdirSync(oracle.base);
    const writer = start(python, [programPath('load.py'), 'write', oracle.base, oracle.state, oracle.log, String(number), '1000000'], join(volume.scratch, 'writer'));
    let early: string | null = null;
    for (const [i, program] of programs.entries()) void program.ended.then((code) => { if (!existsSync(stop)) early = `${String(kinds[i])} ended with ${String(code)}`; });
    void writer.ended.then((code) => { if (!existsSync(stop)) early = `load.py ended with ${String(code)}`; });
    const began = Date.now();
    let round = 0;
    while (early === null && supervised.deaths < DEATHS && Date.now() - began < PATIENCE_MS) {
      round++;
      supervised.say({ seed: (number + round) >>> 0, events: 20_000 });
      const before = supervised.deaths;
      await sleep(200 + random.below(500));
      if (supervised.deaths === before && random.below(3) > 0) supervised.kill();
      // Sometimes in the middle of taking over.
      if (random.below(8) === 0) {
        await sleep(random.below(60));
        supervised.kill();
      }
      // Servers that never come to serve anything are another test's.
      await waitFor('a server', () => supervised.isServed || early !== null, 60_000);
    }
    const { deaths } = supervised;
    const seconds = (Date.now() - began) / 1000;
    supervised.say({ seed: 0, events: 0 });
    writeFileSync(stop, '');
    writer.kill('SIGKILL');
    const codes = await Promise.all(programs.map((program) => program.ended));
    await writer.ended;
    for (const [i, code] of codes.entries()) {
      t.equal(code, 0, `${String(kinds[i])} saw no error and misses nothing: ${lastLine(outputs[i] as string)}`, { output: readFileSync(outputs[i] as string, 'latin1').slice(-3000) });
    }
    t.equal(early, null, 'no program ended early', { log: supervised.log.slice(-3000) });
    const check = await tryRun(python, [programPath('load.py'), 'check', oracle.base, oracle.state, oracle.log]);
    t.equal(check.status, 0, 'nothing acknowledged is lost', { output: describeRun('load.py', ['check'], check) });
    t.ok(deaths >= DEATHS, `${String(deaths)} deaths in ${seconds.toFixed(0)} s`, { log: supervised.log.slice(-3000) });
    const all = supervised.deaths;
    const own = (supervised.log.match(/died: SIGKILL; another/g) ?? []).length;
    t.equal(own, all, 'all of them by SIGKILL', { log: supervised.log.split('\n').filter((line) => line.includes('died') && !line.includes('SIGKILL')).slice(0, 5) });
    const pauses = [...supervised.log.matchAll(/is served again, after (\d+) ms/g)].map((match) => Number(match[1]));
    t.comment(`from a death to being served again: median ${String(median(pauses))} ms, longest ${String(Math.max(...pauses))} ms; ${String(pauses.filter((ms) => ms > PAUSE_GOAL_MS).length)} of ${String(pauses.length)} over ${String(PAUSE_GOAL_MS)} ms`);
    t.comment(`longest calls of a program that writes every millisecond, in ms: ${readFileSync(outputs.at(-1) as string, 'latin1').split(' ').slice(0, 10).join(' ')} …`);
    t.equal(await supervised.unmount(), 0, 'the supervisor ends in order');
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

function lastLine(path: string): string {
  return readFileSync(path, 'latin1').trim().split('\n').at(-1)?.slice(0, 100) ?? '';
}

await t.test('a request that kills every server', { skip }, async (t) => {
  const supervised = new Supervised();
  const { volume } = supervised;
  try {
    supervised.say({ seed: 0, events: 0, name: 'deadly' });
    await supervised.mount();
    const path = join(volume.directory, 'deadly');
    writeFileSync(join(volume.directory, 'before'), 'before');
    for (const [what, line] of [['CREATE', `: > "$1"`], ['MKDIR', `mkdir "$1"`]] as const) {
      const result = await tryRun('/bin/sh', ['-c', line, 'sh', path], { timeout: 60_000 });
      t.not(result.status, 0, `${what}: the program gets an error`);
      t.match(result.stderr, /Input\/output error/, `${what}: it is EIO`);
    }
    t.match(supervised.log, /3 servers died over LOOKUP of inode 1 .* answered with EIO/, 'the log says which request it was');
    t.ok(isMounted(volume.directory), 'the mount stays up');
    t.equal(readFileSync(join(volume.directory, 'before'), 'latin1'), 'before', 'what was there is there');
    writeFileSync(join(volume.directory, 'after'), 'after');
    t.equal(await supervised.unmount(), 0, 'it is unmounted in order');
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

/** The supervisor gives up and says `why`; the next mount has what was written to `file`. */
async function endsInOrder(t: Asserts, { ended, volume }: Supervised, why: RegExp): Promise<void> {
  t.equal(await ended, 70, 'the supervisor gives up');
  t.match(volume.readLog(), why, 'and says why');
  t.ok(!isMounted(volume.directory), 'nothing stays mounted');
  await volume.mount();
  t.equal(readFileSync(join(volume.directory, 'file'), 'latin1'), 'kept', 'the next mount has everything');
  await volume.unmount();
  await volume.verifyClean(t);
}

await t.test('no server can be started any more', { skip }, async (t) => {
  const supervised = new Supervised();
  const { volume } = supervised;
  try {
    await supervised.mount();
    writeFileSync(join(volume.directory, 'file'), 'kept');
    supervised.say({ seed: 0, events: 0, broken: true });
    // The reserve may have been started before.
    for (let deaths = 0; deaths < 2 && isMounted(volume.directory); deaths++) {
      supervised.kill();
      await waitFor('a server or the end', () => supervised.servers.length > 0 || !isMounted(volume.directory), 60_000);
    }
    await endsInOrder(t, supervised, /none of which served a request: the mount on .* ends, nothing acknowledged is lost/);
  } finally {
    volume.destroy();
  }
});

await t.test('a kernel that can not send requests again', { skip }, async (t) => {
  const supervised = new Supervised();
  const { volume } = supervised;
  try {
    supervised.say({ seed: 0, events: 0, noResend: true });
    await supervised.mount();
    writeFileSync(join(volume.directory, 'file'), 'kept');
    supervised.kill();
    await endsInOrder(t, supervised, /the kernel can not send its requests again .*6\.9.*: the mount on .* ends, nothing acknowledged is lost/);
  } finally {
    volume.destroy();
  }
});

await t.test('SIGKILL of the supervisor, and signals to the servers', { skip }, async (t) => {
  const supervised = new Supervised();
  const { volume } = supervised;
  try {
    await supervised.mount();
    writeFileSync(join(volume.directory, 'file'), 'kept');
    const { servers } = supervised;
    t.equal(servers.length, 1, 'one process serves');
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(servers[0] as number, signal);
    await sleep(300);
    t.equal(readFileSync(join(volume.directory, 'file'), 'latin1'), 'kept', 'a server takes no orders from others');
    t.same(supervised.servers, servers, 'and goes on');
    t.equal(supervised.deaths, 0, 'it did not even die');
    await supervised.waitForReserve();
    process.kill(supervised.pid, 'SIGKILL');
    t.equal(await supervised.ended, 137, 'the supervisor is killed');
    await waitFor('the end of all servers', () => holders(volume.image).length === 0);
    t.throws(() => statSync(join(volume.directory, 'file')), { code: 'ENOTCONN' }, 'the mount is dead: ENOTCONN');
    await tryRun('umount', ['-l', volume.directory]);
    await volume.mount();
    t.equal(readFileSync(join(volume.directory, 'file'), 'latin1'), 'kept', 'the next mount recovers');
    const pid = volume.pid;
    const protectable = (await tryRun('/bin/sh', ['-c', 'echo -1000 > /proc/self/oom_score_adj'])).status === 0;
    const score = readFileSync(`/proc/${String(pid)}/oom_score_adj`, 'latin1').trim();
    t.equal(score, protectable ? '-1000' : '0', `the daemon is protected from the OOM killer${protectable ? '' : ', which the system forbids here'}`);
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});
