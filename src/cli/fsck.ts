import { FsError } from '../base/errno.js';
import { quickCheck } from '../check/quick.js';
import { type VerifyOptions, type VerifyPhase, type VerifyReport, verifyVolume } from '../check/verify.js';
import { readSuperblock } from '../format/superblock.js';
import { recoverJournal } from '../journal/recovery.js';
import { OverlayPmem } from '../pmem/overlay.js';
import type { Pmem } from '../pmem/pmem.js';
import type { RepairResult } from '../repair/problems.js';
import { repairVolume } from '../repair/repair.js';
import { isSafe } from '../repair/safe.js';
import { type FsckArguments, HELP, parseArguments } from './fsck-arguments.js';
import { type Progress, progressTo } from './fsck-progress.js';
import { Cancelled } from './fsck-question.js';
import { quickAsText, resultAsJson, resultAsText } from './fsck-report.js';
import { RegionFinder } from './fsck-regions.js';
import { Decision } from './fsck-decision.js';

/** Exit codes as e2fsck(8) has them. */
const Exit = { clean: 0, corrected: 1, uncorrected: 4, operational: 8, usage: 16, cancelled: 32, library: 128 } as const;

/** Findings that are printed one by one. */
const FINDINGS_MAX = 200;
const VERIFY_PASS: Record<VerifyPhase, number> = { inodes: 1, directories: 2, groups: 5, 'host files': 6 };
const REPAIR_PASSES = ['superblocks', 'inodes', 'directories', 'the way to the root', 'links', 'groups', 'lost+found', 'host files'];

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
  if (given.mode === 'ask' && !process.stdin.isTTY) {
    return complain(new FsError('EINVAL', 'a terminal is needed to ask what to repair; use -n, -p or -y'), Exit.operational);
  }
  return start(given);
}

/** Says what came from outside in one line; anything else is a bug and keeps its stack. */
function complain(error: unknown, exitCode: number): number {
  if (!(error instanceof FsError)) throw error;
  process.stderr.write(`fsck.nvmfs: ${error.message}\n`);
  return exitCode;
}

async function start(given: FsckArguments): Promise<number> {
  let libraries;
  try {
    libraries = { ...(await import('../pmem/open.js')), ...(await import('../daemon/interrupt.js')) };
  } catch (error) {
    return complain(new FsError('ENODEV', error instanceof Error ? error.message : String(error)), Exit.library);
  }
  try {
    const medium = await libraries.openImage(given.path, { readOnly: given.mode === 'check' });
    const regions = new RegionFinder(given.path, given.regions);
    try {
      return new Run(medium, regions, given, libraries.watchInterrupts()).run();
    } finally {
      regions.close();
      medium.close();
    }
  } catch (error) {
    if (error instanceof Cancelled) {
      process.stderr.write(`\nfsck.nvmfs: ${given.path}: ${error.message}; what was repaired so far stays\n`);
      return Exit.cancelled;
    }
    return complain(error, Exit.operational);
  }
}

/** One run over one volume. */
class Run {
  private readonly progress: Progress | null;
  private readonly decision: Decision;
  private journalReplayed = false;

  constructor(
    private readonly medium: Pmem,
    private readonly regions: RegionFinder,
    private readonly given: FsckArguments,
    private readonly interrupted: () => boolean,
  ) {
    // fsck(8) runs several of us at once, and says with -C who may show something.
    const descriptor = given.progress ?? (given.mode === 'preen' || given.json ? null : 0);
    this.progress = descriptor === null ? null : progressTo(descriptor, given.path);
    this.decision = new Decision(given, this.progress, FINDINGS_MAX, interrupted);
  }

  run(): number {
    const { given } = this;
    if (given.mode === 'check') return this.checkOnly();
    const problem = this.replayJournal();
    if (problem === null && given.mode === 'preen' && !given.force && !given.json && !given.verbose) {
      const quick = quickCheck(this.medium);
      if (quick !== null) {
        process.stdout.write(`${quickAsText(given.path, quick)}\n`);
        return Exit.clean;
      }
    }
    const before = problem === null ? this.verify(this.medium) : null;
    if (before?.clean === true) return this.finish(before, null);
    if (given.mode === 'preen' && (before === null || !isSafe(before.countByKind.keys()))) return this.refuse(before, problem);
    return this.repair();
  }

  /** -n: the volume as it is after its journal was replayed; the medium itself is only read. */
  private checkOnly(): number {
    const { medium, given } = this;
    const { geometry, primaryProblem } = readSuperblock(medium);
    if (primaryProblem !== undefined) this.say(`${given.path}: ${primaryProblem}; the backup superblock is used`);
    this.journalReplayed = recoverJournal(medium, geometry, false).changed;
    let volume = medium;
    if (this.journalReplayed) {
      this.say(`${given.path}: not unmounted cleanly; journal replayed in memory, nothing is written`);
      volume = new OverlayPmem(medium);
      recoverJournal(volume, geometry);
    }
    return this.finish(this.verify(volume), null);
  }

  /** Does what a mount does first. Returns what keeps it from that, null when nothing does. */
  private replayJournal(): FsError | null {
    const { medium, given } = this;
    let geometry;
    try {
      ({ geometry } = readSuperblock(medium));
    } catch (error) {
      // Whether there is a volume at all is not for a start-up script to find out.
      if (given.mode === 'preen' || !(error instanceof FsError)) throw error;
      return error;
    }
    try {
      this.journalReplayed = recoverJournal(medium, geometry).changed;
      if (this.journalReplayed) this.say(`${given.path}: not unmounted cleanly; journal replayed`);
      return null;
    } catch (error) {
      if (!(error instanceof FsError) || (error.code !== 'EUCLEAN' && error.code !== 'EIO')) throw error;
      return error;
    }
  }

  private repair(): number {
    const { medium, given } = this;
    const result = repairVolume(medium, {
      decide: (problem) => this.decision.decide(problem),
      regions: this.regions.find,
      progress: (pass, done, total) => {
        this.show(pass, `repairing ${REPAIR_PASSES[pass] ?? ''}`, done, total);
      },
    });
    this.progress?.end();
    this.decision.end();
    const report = this.verify(medium);
    if (result.fixed > 0) this.say(`${given.path}: ***** VOLUME WAS MODIFIED *****`);
    return this.finish(report, result);
  }

  /** -p, and something is wrong that is not for it to repair. */
  private refuse(report: VerifyReport | null, problem: FsError | null): number {
    const { given } = this;
    if (report !== null) this.print(report, null);
    if (problem !== null) this.say(`${given.path}: ${problem.message}`);
    this.say(`${given.path}: UNEXPECTED INCONSISTENCY; RUN fsck.nvmfs MANUALLY (without -a or -p)`);
    return Exit.uncorrected;
  }

  private finish(report: VerifyReport, repair: RepairResult | null): number {
    this.print(report, repair);
    const files = report.statistics?.regions ?? 0;
    const { reason } = this.regions;
    if (files > 0 && reason !== null) this.say(`${this.given.path}: ${reason}; the data of ${String(files)} ${files === 1 ? 'file' : 'files'} was not looked at`);
    if (!report.clean) {
      if (this.given.mode !== 'check') this.say(`${this.given.path}: ********** WARNING: the volume still has errors **********`);
      return Exit.uncorrected;
    }
    return repair === null || repair.found === 0 ? Exit.clean : Exit.corrected;
  }

  private print(report: VerifyReport, repair: RepairResult | null): void {
    const { given } = this;
    const result = { path: given.path, journalReplayed: this.journalReplayed, report, repair };
    process.stdout.write(`${given.json ? resultAsJson(result) : resultAsText(result, given.verbose)}\n`);
  }

  private verify(volume: Pmem): VerifyReport {
    const options: VerifyOptions = {
      maxFindings: FINDINGS_MAX,
      regions: this.regions.find,
      progress: (phase, done, total) => {
        this.show(VERIFY_PASS[phase], `checking ${phase}`, done, total);
      },
    };
    const report = verifyVolume(volume, options);
    this.progress?.end();
    return report;
  }

  private show(pass: number, activity: string, done: number, total: number): void {
    if (this.interrupted()) {
      this.progress?.end();
      throw new Cancelled('cancelled');
    }
    this.progress?.show(pass, activity, done, total);
  }

  private say(line: string): void {
    process.stderr.write(`${line}\n`);
  }
}
