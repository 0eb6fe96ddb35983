import { writeFileSync } from 'node:fs';
import { messageOf } from '../base/errno.js';
import type { LogFunction } from '../fuse/log.js';
import { EXIT_CRASHED, MountedVolume, type MountPlan } from './serve.js';

/** Exit code of a daemon whose volume could not be closed cleanly. */
const EXIT_UNCLEAN = 1;
/** Of one that a second signal ended at once. */
const EXIT_IMPATIENT = 130;

/**
 * Makes this process the daemon of one volume: mounts it, calls `ready`, serves it to the end. Signals unmount it; a second one ends
 * the process at once (the next mount recovers the volume). Returns the exit code. Throws FsError if it can't be mounted.
 */
export async function serveInThisProcess(plan: MountPlan, log: LogFunction, ready: (message: string) => void): Promise<number> {
  process.title = `nvmfs ${plan.image} ${plan.directory}`;
  // A working directory would keep another filesystem busy, and must never be on the own mount.
  process.chdir('/');
  const volume = await MountedVolume.mount(plan, log);
  abandonOnFailure(volume, log);
  shutDownOnSignals(volume);
  protectFromMemoryPressure(log);
  ready(volume.describe());
  try {
    await volume.run();
    return 0;
  } catch (error) {
    log('error', `${plan.image} on ${plan.directory}: ${messageOf(error)}`);
    await volume.abandon();
    return EXIT_UNCLEAN;
  }
}

function shutDownOnSignals(volume: MountedVolume): void {
  let signalled = false;
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (signalled) process.exit(EXIT_IMPATIENT);
      signalled = true;
      void volume.shutDown(signal);
    });
  }
}

function abandonOnFailure(volume: MountedVolume, log: LogFunction): void {
  process.once('uncaughtException', (error) => {
    log('error', `the daemon failed; this is a bug of nvmfs: ${messageOf(error)}`);
    // Whatever fails while it ends must not keep it from ending.
    process.on('uncaughtException', () => process.exit(EXIT_CRASHED));
    void volume.abandon().finally(() => process.exit(EXIT_CRASHED));
  });
}

/** The kernel shall free memory elsewhere: whoever waits for this mount can't be helped by killing its daemon. */
function protectFromMemoryPressure(log: LogFunction): void {
  if (process.geteuid?.() !== 0) return;
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch (error) {
    log('debug', `not protected from the OOM killer: ${messageOf(error)}`);
  }
}
