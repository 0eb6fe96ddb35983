/** Child processes of the benchmark: run, stop, and clean up whatever happens. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  /** Time from the start of the process to its end. */
  readonly wall_ms: number;
}

/** The user ended the benchmark. */
export class Interrupted extends Error {}

const STOP_WAIT_MS = 5000;
const OUTPUT_BYTES_MAX = 1 << 20;

const interruption = new AbortController();

/** SIGINT and SIGTERM end the running child and make every later `run` fail, so that the cleaning begins. */
export function watchSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => interruption.abort());
  }
}

/**
 * Runs a command to its end.
 * @throws Error with the command and its stderr when it can't be started or fails; Interrupted on SIGINT or SIGTERM.
 */
export async function run(command: readonly string[]): Promise<Finished> {
  if (interruption.signal.aborted) throw new Interrupted('interrupted');
  return await execute(command, interruption.signal);
}

/** As `run`, but not to be interrupted: for cleaning. */
export async function runToClean(command: readonly string[]): Promise<Finished> {
  return await execute(command, null);
}

function execute(command: readonly string[], signal: AbortSignal | null): Promise<Finished> {
  const [program, ...words] = command;
  if (program === undefined) throw new Error('empty command');
  return new Promise((resolve, reject) => {
    const start_ns = process.hrtime.bigint();
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const stop = (): void => void child.kill('SIGTERM');
    signal?.addEventListener('abort', stop);
    let stdout = '';
    let stderr = '';
    let wall_ms = 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout = (stdout + text).slice(-OUTPUT_BYTES_MAX)));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-OUTPUT_BYTES_MAX)));
    child.on('error', reject);
    child.on('exit', () => (wall_ms = Number(process.hrtime.bigint() - start_ns) / 1e6));
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted === true) reject(new Interrupted('interrupted'));
      else if (code === 0) resolve({ stdout, stderr, wall_ms });
      else reject(new Error(`${command.join(' ')}: ${killedBy ?? `exit code ${code}`}: ${stderr.trim()}`));
    });
  });
}

/** Starts a server that stays in the foreground, in a process group of its own so that Ctrl-C leaves it to us. */
export function startServer(command: readonly string[]): ChildProcess {
  const [program, ...words] = command;
  if (program === undefined) throw new Error('empty command');
  return spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
}

/** Waits until a server has ended; ends it when it doesn't by itself. */
export async function endServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const done = await Promise.race([ended.then(() => true), sleep(STOP_WAIT_MS, false, { ref: false })]);
    if (done) return;
    child.kill(signal);
  }
  await ended;
}

/** True when a filesystem is mounted at `directory` (an absolute path without symbolic links). */
export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').split('\n').some((line) => line.split(' ')[4] === directory);
}

/** Waits until a server has mounted its filesystem. @throws Error when it ends or takes too long. */
export async function untilMounted(directory: string, child: ChildProcess, timeout_ms: number): Promise<void> {
  for (const start_ms = performance.now(); !isMounted(directory); await sleep(20)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server of ${directory} ended at once`);
    if (performance.now() - start_ms > timeout_ms) throw new Error(`nothing was mounted at ${directory} in ${timeout_ms} ms`);
    if (interruption.signal.aborted) throw new Interrupted('interrupted');
  }
}

/** Unmounts `directory` if something is mounted there, lazily if it is busy. */
export async function unmount(directory: string): Promise<void> {
  if (!isMounted(directory)) return;
  try {
    await runToClean(['umount', directory]);
  } catch (error) {
    console.error(`${String(error)}; unmounting it lazily`);
    await runToClean(['umount', '-l', directory]);
  }
}
