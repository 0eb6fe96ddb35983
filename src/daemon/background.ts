import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { MountPlan } from './plan.js';

/** The descriptor on which a daemon in the background tells its parent how mounting went. */
export const REPORT_FD = 3;

/** What it says there: one line of JSON, before it serves or instead. */
export interface StartReport {
  readonly mounted: boolean;
  /** One line for people. */
  readonly message: string;
  /** What the daemon found wrong with the volume meanwhile, one line each. */
  readonly warnings: readonly string[];
}

/** Starts a detached process that mounts and serves the volume; resolves when that serves, or with the reason why it does not. */
export async function startInBackground(plan: MountPlan): Promise<StartReport> {
  // Compiled, this file is dist/src/daemon/background.js.
  const launch = fileURLToPath(new URL('../../../bin/launch.cjs', import.meta.url));
  const child = spawn(process.execPath, [launch, 'nvmfs', 'src/daemon/main.js', JSON.stringify(plan)], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => {
      resolve(`the daemon could not be started: ${error.message}`);
    });
    child.once('exit', (code, signal) => {
      resolve(`the daemon ended before it served (${signal ?? `exit code ${String(code)}`}); see the system log`);
    });
  });
  const report = await readReport(child.stdio[REPORT_FD] as Readable);
  child.unref();
  return report ?? { mounted: false, message: await ended, warnings: [] };
}

/** The report, or null if the pipe was closed without one. */
async function readReport(pipe: Readable): Promise<StartReport | null> {
  let text = '';
  for await (const chunk of pipe.setEncoding('utf8')) text += String(chunk);
  return text === '' ? null : (JSON.parse(text) as StartReport);
}
