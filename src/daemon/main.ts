import { closeSync, writeSync } from 'node:fs';
import { REPORT_FD, type StartReport } from './background.js';
import { makeLog } from './log.js';
import { serveInThisProcess } from './process.js';
import { messageOf, type MountPlan } from './serve.js';

/** The program of a daemon in the background: started by startInBackground with its plan as the only argument. */
const EXIT_NOT_MOUNTED = 32;

function report(said: StartReport): void {
  writeSync(REPORT_FD, JSON.stringify(said));
  closeSync(REPORT_FD);
}

async function main(): Promise<number> {
  const plan = JSON.parse(process.argv[2] ?? 'null') as MountPlan;
  const log = makeLog({ target: 'syslog', debug: plan.options.debug });
  let mounted = false;
  try {
    return await serveInThisProcess(plan, log, (message) => {
      mounted = true;
      log('info', message);
      report({ mounted, message });
    });
  } catch (error) {
    if (mounted) throw error;
    report({ mounted, message: messageOf(error) });
    return EXIT_NOT_MOUNTED;
  }
}

process.exit(await main());
