import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { FsError, messageOf } from '../base/errno.js';
import { openImage } from '../pmem/open.js';
import { startInBackground } from './background.js';
import { makeLog } from './log.js';
import { parseOptions, type ParsedOptions } from './options.js';
import { type MountPlan, refuseHidden } from './plan.js';
import { remount } from './remount.js';

/** Exit codes of mount(8). */
const EXIT_USAGE = 1;
const EXIT_FAILED = 32;

export interface MountOptions {
  readonly image: string;
  readonly directory: string;
  /** The words after -o, one option each. */
  readonly options: readonly string[];
  /** Serve in this process and log to stderr. */
  readonly foreground: boolean;
  readonly verbose: boolean;
  /** Check everything, mount nothing. */
  readonly fake?: boolean;
  /** Pass over unknown options. */
  readonly sloppy?: boolean;
}

/**
 * Mounts a volume. In the background it returns when the daemon serves; in the foreground when the volume is unmounted.
 * Prints its own messages on stderr, and returns the exit code: 0, 1 for wrong options, 32 if the mount failed.
 */
export async function runMount(given: MountOptions): Promise<number> {
  let options: ParsedOptions;
  try {
    options = parseOptions(given.options, given.sloppy ?? false);
  } catch (error) {
    return complain(error, EXIT_USAGE);
  }
  try {
    if (options.remount) {
      if (given.fake !== true) remount(given.directory, given.options);
      return 0;
    }
    const plan = makePlan(given, options);
    if (given.fake === true) return await check(plan);
    if (given.foreground) return await serveInForeground(plan, given.verbose);
    const report = await startInBackground(plan);
    for (const warning of report.warnings) process.stderr.write(`nvmfs: warning: ${warning}\n`);
    process.stderr.write(`nvmfs: ${report.message}\n`);
    return report.mounted ? 0 : EXIT_FAILED;
  } catch (error) {
    return complain(error, EXIT_FAILED);
  }
}

function complain(error: unknown, exitCode: number): number {
  process.stderr.write(`nvmfs: ${messageOf(error)}\n`);
  return exitCode;
}

/** Absolute paths without symbolic links, because the daemon leaves this directory and umount looks for them. Throws FsError. */
function makePlan(given: MountOptions, options: ParsedOptions): MountPlan {
  const image = resolved(given.image, 'image');
  const directory = resolved(given.directory, 'mount point');
  if (!statSync(directory).isDirectory()) throw new FsError('ENOTDIR', `mount point ${directory} is not a directory`);
  const pidfile = options.pidfile === null ? null : resolve(options.pidfile);
  const regions = options.regions === null ? null : resolved(options.regions, 'region directory');
  if (regions !== null) refuseHidden(regions, directory);
  return { image, directory, options: { ...options, pidfile, regions } };
}

function resolved(path: string, what: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    if (error.code === 'ENOENT') throw new FsError('ENOENT', `${what} ${path} does not exist`);
    if (error.code === 'ENOTCONN') {
      throw new FsError('ENOTCONN', `${what} ${path} still holds a mount whose daemon is gone: unmount it first`);
    }
    throw error;
  }
}

async function check(plan: MountPlan): Promise<number> {
  const pmem = await openImage(plan.image, { readOnly: true });
  pmem.close();
  if (plan.options.transport === 'devfuse') accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  return 0;
}

async function serveInForeground(plan: MountPlan, verbose: boolean): Promise<number> {
  // The engine is loaded only by the process that serves.
  const { serveInThisProcess } = await import('./process.js');
  const log = makeLog({ target: 'stderr', debug: plan.options.debug || verbose });
  return serveInThisProcess(plan, log, (message) => {
    log('info', message);
  });
}
