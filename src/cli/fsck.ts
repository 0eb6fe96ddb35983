import { FsError } from '../base/errno.js';
import { type VerifyOptions, type VerifyReport, verifyVolume } from '../check/verify.js';
import { readSuperblock } from '../format/superblock.js';
import { recoverJournal } from '../journal/recovery.js';
import { OverlayPmem } from '../pmem/overlay.js';
import type { Pmem } from '../pmem/pmem.js';
import { type FsckArguments, HELP, parseArguments } from './fsck-arguments.js';
import { progressTo } from './fsck-progress.js';
import { resultAsJson, resultAsText } from './fsck-report.js';

/** Exit codes as e2fsck(8) has them. */
const Exit = { clean: 0, uncorrected: 4, operational: 8, usage: 16 } as const;

/** Findings that are printed one by one. */
const FINDINGS_MAX = 200;

/** The command `fsck.nvmfs`. `args` are the words after the command's name. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  let given: FsckArguments | 'help' | 'version';
  try {
    given = parseArguments(args);
  } catch (error) {
    return complain(error, Exit.usage);
  }
  if (given === 'help') {
    process.stdout.write(HELP);
    return Exit.clean;
  }
  if (given === 'version') {
    const { packageVersion } = await import('../base/version.js');
    process.stdout.write(`fsck.nvmfs ${packageVersion()}\n`);
    return Exit.clean;
  }
  try {
    return await check(given);
  } catch (error) {
    return complain(error, Exit.operational);
  }
}

/** Says what came from outside in one line; anything else is a bug and keeps its stack. */
function complain(error: unknown, exitCode: number): number {
  if (!(error instanceof FsError)) throw error;
  process.stderr.write(`fsck.nvmfs: ${error.message}\n`);
  return exitCode;
}

async function check(given: FsckArguments): Promise<number> {
  const { openImage } = await import('../pmem/open.js');
  const medium = await openImage(given.path, { readOnly: true });
  try {
    return checkMedium(medium, given);
  } finally {
    medium.close();
  }
}

/** Checks the volume as it is after its journal was replayed; the medium itself is only read. */
function checkMedium(medium: Pmem, given: FsckArguments): number {
  const { geometry, primaryProblem } = readSuperblock(medium);
  if (primaryProblem !== undefined) say(`${given.path}: ${primaryProblem}; the backup superblock is used`);
  const journalReplayed = recoverJournal(medium, geometry, false).changed;
  let volume = medium;
  if (journalReplayed) {
    say(`${given.path}: not unmounted cleanly; journal replayed in memory, nothing is written`);
    volume = new OverlayPmem(medium);
    recoverJournal(volume, geometry);
  }
  const report = verify(volume, given);
  const result = { path: given.path, journalReplayed, report };
  process.stdout.write(`${given.json ? resultAsJson(result) : resultAsText(result, given.verbose)}\n`);
  if (report.clean) return Exit.clean;
  if (given.preen) say(`${given.path}: UNEXPECTED INCONSISTENCY`);
  if (!given.readOnly) say(`${given.path}: errors were left as they are: this version can't repair`);
  return Exit.uncorrected;
}

function verify(volume: Pmem, given: FsckArguments): VerifyReport {
  const options: VerifyOptions = { maxFindings: FINDINGS_MAX };
  const progress = given.progress === null ? null : progressTo(given.progress, given.path);
  if (progress !== null) {
    options.progress = (phase, done, total) => {
      progress.show(phase, done, total);
    };
  }
  const report = verifyVolume(volume, options);
  progress?.end();
  return report;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
