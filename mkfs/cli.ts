import { FsError, messageOf } from '../src/base/errno.js';
import { formatSize } from '../src/base/sizes.js';
import { asByteAddr } from '../src/base/units.js';
import { BLOCK_SIZE } from '../src/format/layout.js';
import type { DurabilityDomain, Pmem } from '../src/pmem/pmem.js';
import { HELP, parseArguments, type MkfsArguments } from './arguments.js';
import { makeVolume, planGeometry } from './layout.js';
import type { PlannedRegions } from './regions.js';
import { summaryAsJson, summaryAsText, type PrintedGeometry, type Summary } from './summary.js';
import { findSignatures, type FoundSignature } from './signatures.js';
import { inspectTarget, prepareTarget, type Target } from './target.js';

/**
 * The command `mkfs.nvmfs`. `args` are the words after the command's name. Returns the exit code: 0 made, 1 refused or failed;
 * then one line on stderr says why.
 *
 * Nothing is written before everything has been checked, and what only a dry run or an error message needs is not even loaded:
 * most of the time this command takes is node's own start.
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const given = parseArguments(args);
    if (given === 'help') process.stdout.write(HELP);
    else if (given === 'version') await printVersion();
    else await makeFilesystem(given);
    return 0;
  } catch (error) {
    if (!isExpected(error)) throw error;
    process.stderr.write(`mkfs.nvmfs: ${messageOf(error)}\n`);
    return 1;
  }
}

/** Errors that come from outside: our own, and those of system calls. Anything else is a bug and keeps its stack. */
function isExpected(error: unknown): error is Error {
  return error instanceof FsError || (error instanceof Error && 'syscall' in error);
}

async function printVersion(): Promise<void> {
  const { packageVersion } = await import('../src/base/version.js');
  process.stdout.write(`mkfs.nvmfs ${packageVersion()}\n`);
}

async function makeFilesystem(given: MkfsArguments): Promise<void> {
  const target = inspectTarget(given.path, given.size, given.force);
  const size = chooseSize(target, given);
  const planned = planGeometry(size);
  refuseSignatures(target.path, target.signatures, given.force);
  const regions = given.regions === null ? null : (await import('./regions.js')).planRegions(given.regions);
  const common = { path: given.path, created: target.kind === 'absent', label: given.label, uuid: given.uuid, regions: regions?.path ?? null };
  if (given.dryRun) {
    await refuseInUse(target);
    print(given, summaryOf({ ...common, dryRun: true, geometry: planned, domain: null }, given));
    return;
  }
  const { geometry, domain } = await makeOn(target, given, regions);
  print(given, summaryOf({ ...common, dryRun: false, geometry, domain }, given));
}

function summaryOf(summary: Summary, { json }: MkfsArguments): string {
  return json ? summaryAsJson(summary) : summaryAsText(summary);
}

function print(given: MkfsArguments, text: string): void {
  if (!given.quiet) process.stdout.write(`${text}\n`);
}

/** Bytes of the volume to be. Throws when the target can't have the size that was asked for. */
function chooseSize(target: Target, { path, size, force }: MkfsArguments): number {
  const whole = Math.floor(target.size / BLOCK_SIZE) * BLOCK_SIZE;
  if (size === null) return whole;
  if (target.kind === 'block device' || target.kind === 'dax device') {
    if (size === whole) return whole;
    throw new FsError('EINVAL', `${path} has ${formatSize(target.size)}; a volume takes the whole device, leave -s out`);
  }
  if (size < target.size && target.holdsData && !force) {
    throw new FsError('EEXIST', `${path} has ${formatSize(target.size)} and holds data; -f shrinks it to ${formatSize(size)}`);
  }
  return size;
}

function refuseSignatures(path: string, signatures: readonly FoundSignature[], force: boolean): void {
  if (signatures.length === 0 || force) return;
  const names = [...new Set(signatures.map((signature) => signature.name))];
  throw new FsError('EEXIST', `${path} contains a signature of ${names.join(' and ')}; -f overwrites it`);
}

/** For a dry run: what the lock would say. */
async function refuseInUse(target: Target): Promise<void> {
  if (target.kind === 'absent' || target.size < BLOCK_SIZE) return;
  const { MappedPmem } = await import('../src/pmem/mapped.js');
  MappedPmem.open(target.path, { readOnly: true, lock: 'exclusive' }).close();
}

interface Made {
  readonly geometry: PrintedGeometry;
  readonly domain: DurabilityDomain;
}

async function makeOn(target: Target, given: MkfsArguments, regions: PlannedRegions | null): Promise<Made> {
  const { MappedPmem } = await import('../src/pmem/mapped.js');
  const undo = [prepareTarget(target)];
  try {
    // The size changes only after the lock is taken: a volume in use stays as it is.
    const pmem = MappedPmem.open(target.path, given.size === null ? {} : { size: given.size });
    try {
      const signatures = target.kind === 'dax device' ? signaturesOf(pmem) : target.signatures;
      refuseSignatures(target.path, signatures, given.force);
      eraseSignatures(pmem, signatures);
      // Whoever makes a volume may write to it, also without being root.
      const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
      // Before the volume that names it: from then on one that is missing is one that is not mounted.
      if (regions !== null) undo.push((await import('./regions.js')).prepareRegions(regions, given.uuid));
      const options = { label: given.label, uuid: given.uuid, regions: regions?.path ?? '', ...owner };
      return { geometry: makeVolume(pmem, options), domain: pmem.domain };
    } finally {
      pmem.close();
    }
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

function signaturesOf(pmem: Pmem): FoundSignature[] {
  return findSignatures(pmem.size, (address, length) => {
    if (address + length > pmem.size) return null;
    const bytes = Buffer.alloc(length);
    pmem.load(asByteAddr(address), bytes, 0, length);
    return bytes;
  });
}

/**
 * The new volume would leave most of the old signatures where they are, and tools that look for them (blkid, udev) would take
 * it for what it was. They go first: the volume's own structures may come to lie at the same places.
 */
function eraseSignatures(pmem: Pmem, signatures: readonly FoundSignature[]): void {
  for (const { address, length } of signatures) {
    if (address + length <= pmem.size) pmem.zero(asByteAddr(address), length);
  }
  pmem.fence();
}
