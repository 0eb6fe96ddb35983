import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';

/** Top of the checkout; compiled, this file is dist/test/cli/command.js. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface Finished {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in the top of the checkout and waits for its end, 120 s at most. */
export function run(program: string, args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): Finished {
  const { status, stdout, stderr, error } = spawnSync(...cleanCommand(program, args, options.env?.['NODE_OPTIONS']), {
    cwd: options.cwd ?? ROOT,
    env: cleanEnvironment(options.env),
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (error !== undefined) throw error;
  return { exitCode: status, stdout, stderr };
}

/** Runs one of our own commands, such as `mkfs.nvmfs`. */
export function command(name: string, ...args: string[]): Finished {
  return run(join(ROOT, 'bin', name), args);
}

/** A directory of its own for a test; the second member removes it. */
export function scratchDirectory(): [path: string, remove: () => void] {
  const path = mkdtempSync(join(tmpdir(), 'nvmfs-cli-'));
  return [
    path,
    () => {
      rmSync(path, { recursive: true, force: true });
    },
  ];
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}
