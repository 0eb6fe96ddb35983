import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';
import { projectRoot, run } from '../helpers/run.js';
import type { Executor } from './case.js';

const ANSWER_MS_MAX = 120_000;

/** Compiles the driver into a directory and returns the program's path. */
export async function compileDriver(directory: string): Promise<string> {
  const sources = join(projectRoot, 'test/posix/driver');
  const program = join(directory, 'posix-driver');
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  await run('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, ...files.map((name) => join(sources, name))]);
  return program;
}

/** Runs commands through the kernel, in a driver process that works below `base`. */
export class DriverExecutor implements Executor {
  private readonly child: ChildProcess;
  private readonly waiting: ((line: string) => void)[] = [];
  private failure: Error | undefined;
  private said = '';

  constructor(
    program: string,
    base: string,
    private readonly remounted: (readOnly: boolean) => Promise<void>,
  ) {
    this.child = spawn(...cleanCommand(program, [base]), { cwd: '/', env: cleanEnvironment(), stdio: ['pipe', 'pipe', 'pipe'] });
    const { stdout, stderr, stdin } = this.child;
    if (stdout === null || stderr === null || stdin === null) throw new Error('a driver without pipes');
    createInterface({ input: stdout }).on('line', (line) => {
      this.waiting.shift()?.(line);
    });
    stderr.on('data', (chunk: Buffer) => (this.said += chunk.toString('latin1')));
    stdin.on('error', () => {
      this.fail('the driver does not read');
    });
    this.child.on('close', (code) => {
      this.fail(`the driver ended with ${String(code)}`);
    });
  }

  async begin(directory: string): Promise<void> {
    const [result] = await this.run([`begin ${directory}`]);
    if (result !== 'ok') throw new Error(`can't begin in ${directory}: ${String(result)}`);
  }

  async run(commands: readonly string[]): Promise<string[]> {
    this.throwFailure();
    const answers = commands.map(() => new Promise<string>((resolve) => this.waiting.push(resolve)));
    this.child.stdin?.write(commands.map((command) => `${command}\n`).join(''));
    const timer = setTimeout(() => {
      this.fail(`no answer within ${String(ANSWER_MS_MAX)} ms to one of: ${commands.join('; ')}`);
    }, ANSWER_MS_MAX);
    const results = await Promise.all(answers);
    clearTimeout(timer);
    this.throwFailure();
    return results;
  }

  async remount(readOnly: boolean): Promise<void> {
    await this.leave();
    await this.remounted(readOnly);
  }

  /** Goes out of the mount, with everything closed, so that it can be unmounted. */
  async leave(): Promise<void> {
    await this.begin('/');
  }

  end(): void {
    this.child.removeAllListeners('close');
    this.child.kill('SIGKILL');
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private fail(reason: string): void {
    this.failure ??= new Error(`${reason}; it said: ${this.said}`);
    for (const resolve of this.waiting.splice(0)) resolve('no answer');
    this.child.kill('SIGKILL');
  }
}
