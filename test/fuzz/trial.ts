/** One damaged image, from its seed to a verdict. */
import { ManualClock } from '../../src/base/clock.js';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, type Ino, MIB } from '../../src/base/units.js';
import { BLOCK_SIZE } from '../../src/format/layout.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { verifyVolume } from '../../src/check/verify.js';
import type { Problem } from '../../src/repair/problems.js';
import { repairVolume } from '../../src/repair/repair.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { type Affected, affectedBy, isMountable } from './affected.js';
import { type BaseImage, baseImages } from './base-images.js';
import { BudgetedPmem } from './budgeted-pmem.js';
import { type Contents, differenceOf, show } from './contents.js';
import { damage } from './damage.js';
import { attempt, change, openDamaged, walk } from './exercise.js';
import type { Report } from './campaign.js';

export interface Failure {
  seed: number;
  /** What was done to which image. */
  description: string[];
  error: unknown;
}

export interface TrialResult {
  failure: Failure | undefined;
  /** It could be mounted. */
  opened: boolean;
  /** It could be repaired. */
  repaired: boolean;
  /** Units of work of the longest step. */
  spent: number;
}

/** Work that a step may take: thirty times that of a healthy image. */
const BUDGET = 150_000;
const OPERATIONS = 40;
/** DRAM that a damaged image may make the medium use: what is written to it. */
const GROWTH_MAX = 64 * MIB;
/**
 * The same for a repair: it copies extents that have blocks of others, as whole extents, and a damaged length may make each of the few damaged ones as long as a
 * group has blocks (128 MiB).
 */
const REPAIR_GROWTH_MAX = 5 * 128 * MIB;

interface Prepared {
  base: BaseImage;
  healthy: SimulatedPmem;
  names: string[];
  inos: Ino[];
}

let prepared: Prepared[] | undefined;

function prepare(): Prepared[] {
  return (prepared ??= baseImages().map((base) => {
    const healthy = base.medium.fork();
    recoverJournal(healthy, readSuperblock(healthy).geometry);
    const directories = [...base.contents.values()].filter((inode) => inode.entries !== undefined);
    return { base, healthy, names: directories.flatMap((inode) => [...(inode.entries as Map<string, number>).keys()]), inos: [...base.contents.keys()] };
  }));
}

/** Damages an image as `seed` says, and tries everything with it. Never throws. */
export function runTrial(seed: number): TrialResult {
  const random = new Random(seed);
  const all = prepare();
  const { base, healthy, names, inos } = random.pick(all);
  const description = [`image '${base.name}'`, ''];
  const result: TrialResult = { failure: undefined, opened: false, repaired: false, spent: 0 };
  const step = <T>(name: string, medium: SimulatedPmem, body: (pmem: BudgetedPmem) => T, growthMax = GROWTH_MAX): T => {
    const pmem = new BudgetedPmem(medium, BUDGET);
    description[1] = `step: ${name}`;
    const before = medium.allocatedBytes;
    try {
      return body(pmem);
    } finally {
      result.spent = Math.max(result.spent, pmem.spent);
      if (medium.allocatedBytes - before > growthMax) throw new Error('unbounded memory');
    }
  };
  try {
    const image = damagedImage(base, random, description);
    const affected = step('recover', image.fork(), (pmem) => affectedBy(pmem, healthy, base));
    const used = image.fork();
    step('use', used, (pmem) => {
      result.opened = use(pmem, base.contents, affected, { random, names, inos });
    });
    step('verify what was used', used, verify);
    step('verify the damaged image', image.fork(), verify);
    step('repair what was used', used, repair, REPAIR_GROWTH_MAX);
    const mended = image.fork();
    step('repair the damaged image', mended, (pmem) => {
      result.repaired = repair(pmem);
    }, REPAIR_GROWTH_MAX);
    if (result.repaired && !affected.all) step('compare with what was', mended, (pmem) => {
      compareRepaired(pmem, base.contents, affected);
    });
  } catch (error) {
    result.failure = { seed, description, error };
  }
  return result;
}

/** The verdict on one seed, as text. */
export function reportOf(seed: number): Report {
  const { failure, opened, repaired } = runTrial(seed);
  return { seed, opened, repaired, failure: failure === undefined ? undefined : { description: failure.description, error: textOf(failure.error) } };
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack ?? error.message}${error.cause === undefined ? '' : `\ncaused by ${textOf(error.cause)}`}`;
}

/** A copy on write of the base with damage; sometimes a part of it only. */
function damagedImage(base: BaseImage, random: Random, description: string[]): SimulatedPmem {
  let image = base.medium.fork();
  if (random.chance(0.01)) {
    const size = BLOCK_SIZE * random.between(1, base.medium.size / BLOCK_SIZE - 1);
    image = truncated(base, size);
    description.push(`cut to ${String(size)} bytes`);
  } else {
    description.push(...damage(image, base.anatomy, random));
  }
  return image;
}

function truncated(base: BaseImage, size: number): SimulatedPmem {
  const short = new SimulatedPmem(size);
  const bytes = new Uint8Array(BLOCK_SIZE);
  for (const block of base.anatomy.usedBlocks) {
    if ((block + 1) * BLOCK_SIZE > size) continue;
    base.medium.load(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
    short.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
  }
  return short;
}

/** Opens, looks at everything, changes things, closes. True when it could be opened. */
function use(pmem: BudgetedPmem, contents: Contents, affected: Affected, { random, names, inos }: { random: Random; names: string[]; inos: Ino[] }): boolean {
  const opened = openDamaged(pmem);
  if (opened instanceof FsError) {
    if (isMountable(affected)) throw new Error('a volume is refused although nothing that a mount needs is damaged', { cause: opened });
    return false;
  }
  const { fs } = opened;
  if (!affected.all) checkIntact(contents, affected, (inode) => show(fs, pmem, inode.ino, inode.way));
  const found = walk(fs, pmem, true);
  change(fs, [...new Set([...inos, ...found])], names, random, OPERATIONS);
  walk(fs, pmem, false);
  attempt(() => {
    fs.close();
  });
  return true;
}

/** Whatever the damage did not touch shows what it showed before. */
export function checkIntact(contents: Contents, affected: Affected, look: (inode: NonNullable<ReturnType<Contents['get']>>) => ReturnType<typeof show>): void {
  for (const inode of contents.values()) {
    if (affected.inodes.has(inode.ino)) continue;
    const found = look(inode);
    if (found instanceof FsError) throw new Error(`inode ${String(inode.ino)}, which is not damaged, can't be read`, { cause: found });
    const difference = differenceOf(inode, found);
    if (difference !== undefined) throw new Error(`inode ${String(inode.ino)}, which is not damaged, shows ${difference}`);
  }
}

/** Repairs everything; the verifier has nothing to say then. False when there is nothing to start from: no superblock. */
function repair(pmem: BudgetedPmem): boolean {
  let last = '';
  const decide = (problem: Problem): boolean => {
    last = `${problem.kind}: ${problem.message} (${problem.remedy})`;
    return true;
  };
  const result = attempt(() => repairVolume(pmem, { clock: new ManualClock(1_950_000_000, 6), decide }));
  if (result instanceof FsError) {
    // With an unknown feature it is left to a program that knows it.
    if (result.code === 'EOPNOTSUPP' || isWithoutSuperblock(pmem)) return false;
    throw new Error('a volume with a superblock is not repaired', { cause: result });
  }
  if (result.left > 0) throw new Error(`${String(result.left)} problems are left, the last of all: ${last}`);
  const { clean, findings } = verifyVolume(pmem);
  if (!clean) throw new Error(`the repaired volume is not clean: ${findings.slice(0, 5).map((finding) => finding.message).join('; ')}`);
  const again = repairVolume(pmem);
  if (again.found > 0) throw new Error(`a second repair finds ${String(again.found)} problems: ${[...again.countByKind.keys()].join(', ')}`);
  return true;
}

function isWithoutSuperblock(pmem: Pmem): boolean {
  return attempt(() => readSuperblock(pmem)) instanceof FsError;
}

/** The repaired volume can be used, and what the damage did not touch shows what it showed before. */
function compareRepaired(pmem: BudgetedPmem, contents: Contents, affected: Affected): void {
  const opened = openDamaged(pmem);
  if (opened instanceof FsError) throw new Error('a repaired volume is refused', { cause: opened });
  checkIntact(contents, affected, (inode) => show(opened.fs, pmem, inode.ino, inode.way));
  opened.fs.close();
}

/** The verifier comes to an end, and never says of damage anything but findings. */
function verify(pmem: Pmem): void {
  const recovered = attempt(() => {
    recoverJournal(pmem, readSuperblock(pmem).geometry);
  });
  if (recovered instanceof FsError && recovered.code === 'EIO') throw recovered;
  verifyVolume(pmem);
}
