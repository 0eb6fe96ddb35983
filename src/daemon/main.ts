import { closeSync, writeSync } from 'node:fs';
import { messageOf } from '../base/errno.js';
import { REPORT_FD, type StartReport } from './background.js';
import { Exit } from './exit-codes.js';
import type { LogFunction } from '../fuse/log.js';
import { makeLog } from './log.js';
import { serveInThisProcess } from './process.js';
import type { MountPlan } from './plan.js';

/** The program of a daemon in the background: started by startInBackground with its plan as the only argument. */

function report(said: StartReport): void {
  writeSync(REPORT_FD, JSON.stringify(said));
  closeSync(REPORT_FD);
}

/** `args`: the plan as JSON. Ends the process: nothing that a transport left running keeps it. */
export async function main(args: readonly string[]): Promise<never> {
  process.exit(await serve(args));
}

async function serve(args: readonly string[]): Promise<number> {
  const plan = JSON.parse(args[0] ?? 'null') as MountPlan;
  const syslog = makeLog({ target: 'syslog', debug: plan.options.debug });
  const warnings: string[] = [];
  let mounted = false;
  // Whoever mounts the volume shall hear, too, what is wrong with it.
  const log: LogFunction = (level, message) => {
    if (!mounted && (level === 'warning' || level === 'error')) warnings.push(message);
    syslog(level, message);
  };
  try {
    return await serveInThisProcess(plan, log, (message) => {
      mounted = true;
      log('info', message);
      report({ mounted, message, warnings });
    });
  } catch (error) {
    if (mounted) throw error;
    report({ mounted, message: messageOf(error), warnings });
    return Exit.notMounted;
  }
}
