// Guards promise 7 for poison: a page that can't be read is EIO for what lies on it, every other file can be read and changed, and when the
// page is back the volume is as it was. SEED=n chooses the same pages again.
import t from 'tap';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import { BLOCK_SIZE, FileType, JournalRecord, ROOT_INO, STATE_BLOCK } from '../../src/format/layout.js';
import { getU48, getU64 } from '../../src/format/numbers.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { Caller, Name } from '../../src/fs/types.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { verifyVolume } from '../../src/check/verify.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import { seed } from '../helpers/run.js';
import type { Affected } from './affected.js';
import { type BaseImage, baseImages } from './base-images.js';
import { BudgetedPmem } from './budgeted-pmem.js';
import { differenceOf, show } from './contents.js';
import { openDamaged, readAll } from './exercise.js';
import { type Poison, PoisonedPmem } from './poisoned-pmem.js';
import { checkIntact } from './trial.js';

t.setTimeout(600_000);
const BUDGET = 150_000;
const SEED = seed();
/** Every page in `make test`, some of them in `make check`. */
const SHARE = Number(process.env['FUZZ_IMAGES'] ?? 0) >= 1000 ? 1 : 0.06;
t.comment(`SEED=${String(SEED)}`);

/** Whose a block is; `mount`: without it a mount is refused. */
function ownersOf(image: BaseImage, block: number): { affected: Affected; mount: boolean; shared: boolean } {
  const { anatomy } = image;
  const affected: Affected = { all: false, state: false, journal: false, inodes: new Set() };
  const { journalStart, groupStart } = anatomy.geometry;
  const owner = anatomy.owners.get(block);
  if (owner?.what === 'table') {
    for (const structure of anatomy.structures) {
      const ino = /^inode ([0-9]+) /.exec(structure.name)?.[1];
      if (ino !== undefined && Math.floor(structure.address / BLOCK_SIZE) === block) affected.inodes.add(Number(ino));
    }
  } else if (owner?.what === 'table-node') affected.all = true;
  else if (owner !== undefined && owner.ino > 0) affected.inodes.add(owner.ino);
  const mount = block === STATE_BLOCK || (block >= journalStart && block < groupStart) || affected.all || (owner?.what === 'table' && affected.inodes.has(ROOT_INO));
  // What every change of the volume needs.
  const shared = block >= groupStart && owner?.what === undefined && block < anatomy.geometry.totalBlocks - 1;
  return { affected, mount, shared: shared || owner?.what === 'free-inode-node' };
}

/** Blocks that the last two records of the journal change. */
function journaledBlocks({ anatomy, medium }: BaseImage): Set<number> {
  const records = anatomy.structures.filter((structure) => structure.kind === 'record').map((structure) => {
    const bytes = new Uint8Array(structure.length);
    medium.load(asByteAddr(structure.address), bytes, 0, bytes.length);
    const view = new DataView(bytes.buffer);
    const entries = structure.fields.filter((field) => / block$/.test(field.name));
    return { sequence: getU64(view, JournalRecord.sequence), blocks: entries.map((field) => getU48(view, field.offset)) };
  });
  const last = Math.max(0, ...records.map((record) => record.sequence));
  return new Set(records.filter((record) => record.sequence >= last - 1).flatMap((record) => record.blocks));
}

/** Tries one poisoned block; what is wrong, undefined: nothing. */
function tryBlock(image: BaseImage, block: number, kind: Poison): string | undefined {
  const medium = image.medium.fork();
  const pmem = new PoisonedPmem(medium, BUDGET, kind);
  pmem.poison(block * BLOCK_SIZE, BLOCK_SIZE);
  const { affected, mount, shared } = ownersOf(image, block);
  const opened = openDamaged(pmem);
  if (opened instanceof FsError) {
    if (opened.code !== 'EIO' && opened.code !== 'EUCLEAN') return `opening gives ${opened.code}: ${opened.message}`;
    return mount ? undefined : `the volume is refused: ${opened.message}`;
  }
  const { fs } = opened;
  checkIntact(image.contents, affected, (inode) => show(fs, pmem, inode.ino, inode.way));
  for (const ino of affected.inodes) {
    const expected = image.contents.get(asIno(ino));
    if (expected === undefined) continue;
    const before = pmem.hits;
    const found = show(fs, pmem, asIno(ino), expected.way);
    if (found instanceof FsError ? found.code !== 'EIO' : differenceOf(expected, found) !== undefined) return `inode ${String(ino)} shows ${found instanceof FsError ? found.code : 'something else'}`;
    // A block past the end of a file, or an unwritten one, need not be read.
    if (!(found instanceof FsError) && pmem.hits > before) return `inode ${String(ino)} met the poison and shows nothing of it`;
  }
  const whole = [...image.contents.values()].filter((inode) => !inode.way.some((ino) => affected.inodes.has(ino)));
  const directory = whole.find((inode) => inode.entries !== undefined)?.ino;
  const problem = shared || directory === undefined ? undefined : changeOthers(fs, pmem, directory);
  if (problem !== undefined) return problem;
  // What the volume needs to close is not what was poisoned, or the first error ended all changes: then a mount recovers.
  try {
    fs.close();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
  }
  // What the last transactions say of a page that takes no stores is lost with it.
  return kind === 'gone' && journaledBlocks(image).has(block) ? undefined : healed(image, medium, directory);
}

/** Files and directories that have nothing to do with the page are changed as always. */
function changeOthers(fs: FileSystemOperations, pmem: BudgetedPmem, directory: Ino): string | undefined {
  const caller = new Caller();
  const data = new Uint8Array(5000).fill(0x77);
  try {
    const made = fs.makeNode(directory, Name.from('made in spite of poison'), FileType.regular | 0o600, caller, 0, 0);
    fs.write(made, 0, data, 0, data.length);
    const bytes = readAll(fs, pmem, made, data.length);
    // It may have been given the very page, when that was free.
    if (!(bytes instanceof FsError) && Buffer.compare(bytes, data) !== 0) return 'what was written is not what is read';
    fs.unlink(directory, Name.from('made in spite of poison'));
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    // Free inodes and space may be on the very page; that is an error of this change alone.
    if (error.code === 'EIO' && /takes no more changes/.test(error.message)) return `a change that does not touch the page ended all: ${error.message}`;
  }
  return undefined;
}

/** The page is back: everything is there. */
function healed(image: BaseImage, medium: BudgetedPmem['medium'], changed: Ino | undefined): string | undefined {
  recoverJournal(medium, readSuperblock(medium).geometry);
  const { clean, findings } = verifyVolume(medium);
  if (!clean) return `afterwards the volume is damaged: ${findings.slice(0, 3).map((finding) => finding.message).join('; ')}`;
  const pmem = new BudgetedPmem(medium, BUDGET);
  const opened = openDamaged(pmem);
  if (opened instanceof FsError) return `afterwards the volume is refused: ${opened.message}`;
  const inodes = new Set<number>(changed === undefined ? [] : [changed]);
  checkIntact(image.contents, { all: false, state: false, journal: false, inodes }, (inode) => show(opened.fs, pmem, inode.ino, inode.way));
  return undefined;
}

await t.test('every page of a volume, one by one', async (t) => {
  for (const image of baseImages().filter(({ name }) => ['varied', 'deep', 'sample', 'dirty'].includes(name))) {
    const { geometry, usedBlocks } = image.anatomy;
    const random = new Random(SEED);
    const blocks = [...usedBlocks, geometry.journalStart, geometry.groupStart - 1].filter(() => random.chance(SHARE));
    for (const kind of ['unreadable', 'gone'] as const) {
      let problem: string | undefined;
      for (const block of blocks) {
        try {
          problem = tryBlock(image, block, kind);
        } catch (error) {
          problem = error instanceof Error ? `${error.stack ?? ''}${error.cause instanceof Error ? `; ${error.cause.message}` : ''}` : String(error);
        }
        if (problem === undefined) continue;
        problem = `block ${String(block)} (${image.anatomy.structures.find((structure) => structure.address === block * BLOCK_SIZE)?.name ?? JSON.stringify(image.anatomy.owners.get(block))}): ${problem}`;
        break;
      }
      t.equal(problem, undefined, `${image.name}, ${kind}: ${String(blocks.length)} pages`);
    }
  }
});
