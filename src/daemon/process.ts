import { writeFileSync } from 'node:fs';
import { messageOf } from '../base/errno.js';
import type { LogFunction } from '../fuse/log.js';
import { Exit } from './exit-codes.js';
import type { MountPlan } from './plan.js';
import { Supervisor } from './supervisor.js';

/** A mounted volume, as the process that keeps it sees it. */
interface KeptMount {
  readonly description: string;
  run(): Promise<number>;
  shutDown(reason: string): Promise<void>;
  abandon(): Promise<unknown>;
}

/**
 * Makes this process the daemon of one volume: mounts it, calls `ready`, keeps it to the end. Signals unmount it; a second one ends
 * the process at once (the next mount recovers the volume). Returns the exit code. Throws FsError if it can't be mounted.
 */
export async function serveInThisProcess(plan: MountPlan, log: LogFunction, ready: (message: string) => void): Promise<number> {
  process.title = `nvmfs ${plan.image} ${plan.directory}`;
  // A working directory would keep another filesystem busy, and must never be on the own mount.
  process.chdir('/');
  // First, so that the servers inherit it.
  protectFromMemoryPressure(log);
  const mount = await startMount(plan, log);
  abandonOnFailure(mount, log);
  shutDownOnSignals(mount);
  ready(mount.description);
  return mount.run();
}

async function startMount(plan: MountPlan, log: LogFunction): Promise<KeptMount> {
  if (plan.options.transport === 'devfuse') return Supervisor.start(plan, log);
  const { UnsupervisedVolume } = await import('./unsupervised.js');
  return UnsupervisedVolume.start(plan, log);
}

function shutDownOnSignals(mount: KeptMount): void {
  let signalled = false;
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (signalled) process.exit(Exit.impatient);
      signalled = true;
      void mount.shutDown(signal);
    });
  }
}

function abandonOnFailure(mount: KeptMount, log: LogFunction): void {
  process.once('uncaughtException', (error) => {
    log('error', `the daemon failed; this is a bug of nvmfs: ${messageOf(error)}`);
    // Whatever fails while it ends must not keep it from ending.
    process.on('uncaughtException', () => process.exit(Exit.crashed));
    void mount.abandon().finally(() => process.exit(Exit.crashed));
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
