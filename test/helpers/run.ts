/**
 * Runs programs for tests: with a time limit, in a clean environment, and with their output in the
 * message when they fail. Nothing here may block the event loop while a program uses the mount.
 */
import { cleanCommand, cleanEnvironment } from './environment.js';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync, closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Extra } from 'tap';

/** `make test` runs everything; `make check` takes samples, so that it is quick. */
export const thorough = process.env['THOROUGH'] === '1';

/** What a test object must offer to the helpers: tap's root and its subtests both do. */
export interface Asserts {
  ok(value: unknown, ...message: [string] | [string, Extra]): boolean;
  equal(found: unknown, wanted: unknown, message: string): boolean;
  match(found: unknown, pattern: RegExp, message: string): boolean;
  comment(...text: string[]): void;
}

export interface RunOptions {
  /** Milliseconds until the program and its children are killed; default 120,000. */
  timeout?: number;
  cwd?: string;
  env?: Record<string, string>;
  /** Written to the program's standard input; default: /dev/null. */
  input?: string;
}

export interface RunResult {
  /** Exit code; 128 + n when signal n ended the program. */
  status: number;
  stdout: string;
  stderr: string;
  /** Wall time in milliseconds. */
  elapsed: number;
}

const timeoutDefault = 120_000;
const outputLimit = 64 * 1024 * 1024;
const signalNumbers: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGBUS: 7, SIGKILL: 9, SIGSEGV: 11, SIGPIPE: 13, SIGTERM: 15 };

/** The top of the source tree: the nearest directory above this module, or the current one, that holds the project. */
export const projectRoot = ((): string => {
  const candidates = [process.cwd()];
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== '/'; at = dirname(at)) candidates.unshift(at);
  const found = candidates.reverse().find((path) => existsSync(join(path, 'test/mount/programs')));
  if (found === undefined) throw new Error('run the tests in the project directory');
  return found;
})();

/** Debian's own interpreter: another one in PATH may be out of reach for an ordinary user. */
export const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** Path of a test program's source. */
export function programPath(name: string): string {
  return join(projectRoot, 'test/mount/programs', name);
}

/** What a reader of a failure needs: the command, how it ended and what it said. */
export function describeRun(command: string, args: readonly string[], result: RunResult): string {
  const tail = (text: string): string => (text.length > 4000 ? `…${text.slice(-4000)}` : text);
  return `${[command, ...args].join(' ')}: exit ${String(result.status)} after ${String(result.elapsed)} ms\n--- stdout\n${tail(result.stdout)}\n--- stderr\n${tail(result.stderr)}`;
}

/** Runs a program to its end and returns how it ended, whatever that is (127: there is no such program). Throws only when it is too slow. */
export function tryRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const started = Date.now();
  const timeout = options.timeout ?? timeoutDefault;
  return new Promise((resolve, reject) => {
    const child = spawn(...cleanCommand(command, args), {
      cwd: options.cwd ?? '/',
      env: cleanEnvironment(options.env),
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true, // a process group of its own, so that a time-out reaches its children, too
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let length = 0;
    const collect = (into: Buffer[]) => (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= outputLimit) into.push(chunk);
    };
    const finish = (status: number): RunResult => ({
      status,
      stdout: Buffer.concat(stdout).toString('latin1'),
      stderr: Buffer.concat(stderr).toString('latin1'),
      elapsed: Date.now() - started,
    });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      // The program may hang in the kernel until the daemon is gone: don't wait for its end.
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      reject(new Error(`no end within ${String(timeout)} ms: ${describeRun(command, args, finish(-1))}`));
    }, timeout);
    child.stdout?.on('data', collect(stdout));
    child.stderr?.on('data', collect(stderr));
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve(finish(code ?? 128 + (signal === null ? 0 : (signalNumbers[signal] ?? 0))));
    });
    if (options.input !== undefined && child.stdin !== null) {
      child.stdin.on('error', reject); // EPIPE: the program did not read what the test meant it to read
      child.stdin.end(options.input);
    }
  });
}

/** Runs a program that must succeed; throws with its output otherwise. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await tryRun(command, args, options);
  if (result.status !== 0) throw new Error(describeRun(command, args, result));
  return result;
}

/** Runs a shell script (`sh -e`) that must succeed. Positional parameters are `args`. */
export function shell(script: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
  return run('/bin/sh', ['-ec', script, 'sh', ...args], options);
}

/** Runs one of the Python test programs and turns its `ok`/`not ok` lines into assertions of `t`. */
export async function runChecks(t: Asserts, program: string, args: readonly string[], options: RunOptions = {}): Promise<void> {
  const result = await tryRun(python, [programPath(program), ...args], options);
  let checks = 0;
  for (const line of result.stdout.split('\n')) {
    const parts = /^(not )?ok - (.*?)(?: # (.*))?$/.exec(line);
    if (parts !== null) {
      checks += 1;
      t.ok(parts[1] === undefined, parts[2] ?? '', parts[3] === undefined ? {} : { detail: parts[3] });
    } else if (line !== '') {
      t.comment(line);
    }
  }
  t.ok(checks > 0, `${program} made its checks`);
  t.ok(result.status === 0, `${program} ran to its end`, { output: describeRun(program, args, result) });
}

export interface BackgroundProgram {
  readonly pid: number;
  /** Resolves with the exit code (128 + n for signal n). */
  readonly ended: Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program that runs beside the test; its output goes to the file `log`. */
export function start(command: string, args: readonly string[], log: string, options: RunOptions = {}): BackgroundProgram {
  const out = openSync(log, 'a');
  const child = spawn(...cleanCommand(command, args), { cwd: options.cwd ?? '/', env: cleanEnvironment(options.env), stdio: ['ignore', out, out], detached: true });
  closeSync(out);
  const pid = child.pid;
  if (pid === undefined) throw new Error(`can't start ${command}`);
  const ended = new Promise<number>((resolve) => {
    child.on('close', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : (signalNumbers[signal] ?? 0)));
    });
  });
  return {
    pid,
    ended,
    kill: (signal) => {
      child.kill(signal);
    },
  };
}

/** Whether a program is installed; tests that need a missing one are skipped by name. */
export function installed(program: string): boolean {
  return spawnSync('/bin/sh', ['-c', `command -v ${program}`], { env: cleanEnvironment() }).status === 0;
}

/** A reason to skip when one of the programs is missing, otherwise false: what tap's `skip` option takes. */
export function missing(...programs: string[]): string | false {
  const absent = programs.filter((program) => !installed(program));
  return absent.length === 0 ? false : `not installed: ${absent.join(', ')}`;
}

/** Waits until `condition` holds; throws after `timeout` milliseconds. */
export async function waitFor(what: string, condition: () => boolean | Promise<boolean>, timeout = 10_000): Promise<void> {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${String(timeout)} ms in vain for: ${what}`);
    await sleep(20);
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** A seed for a random test: `SEED` of the environment replays a failed run. */
export function seed(): number {
  const given = process.env['SEED'];
  return given === undefined ? (Date.now() ^ (process.pid << 12)) >>> 0 : Number(given);
}
