/** Takes a crashed volume through everything: mount, verifier, dump, use, removal of everything, count of what is free. */
import { verifyVolume } from '../../src/check/verify.js';
import type { Ino } from '../../src/base/units.js';
import { Change, Statistics } from '../../src/fs/types.js';
import type { LogEntry } from '../../src/pmem/recording.js';
import { type Dump, dumpOf } from './dump.js';
import { FlatPmem } from './flat-pmem.js';
import { type Image, LINE } from './image.js';
import { Kit, reusedMemory, root } from './kit.js';
import { contentsOf, type Moment, momentOf } from './oracle.js';

const BLOCK_LINES = 4096 / LINE;

/** What a volume looks like after recovery. */
export interface Outcome {
  readonly dump: Dump;
  readonly contents: ReadonlyMap<Ino, Uint8Array>;
  /** Blocks whose bytes mattered for anything but the contents of files, or were changed by the mount otherwise than by `dataStores`. */
  readonly touched: ReadonlySet<number>;
  /** What the mount stored in files; it depends on nothing but the blocks in `touched`. */
  readonly dataStores: readonly LogEntry[];
  /** What is wrong, whatever was expected; '' when nothing is. */
  readonly problem: string;
  /** What the mount did to the medium. */
  readonly log: readonly LogEntry[];
}

/** What is free when a volume is empty. */
export interface FreeCounts {
  blocks: number;
  inodes: number;
}

export function freeCounts(kit: Kit): FreeCounts {
  const statistics = new Statistics();
  kit.fs.statistics(statistics);
  return { blocks: statistics.freeBlocks, inodes: statistics.files - statistics.freeFiles };
}

/** A mount and the two changes after it, recorded. */
export interface RecordedMount {
  readonly log: LogEntry[];
  /** Entries at the end of the mount and of each change. */
  readonly ends: readonly number[];
  /** After the mount and after each change. */
  readonly moments: readonly Moment[];
}

/**
 * Mounts the volume in `image`, which changes it, and makes two small changes if that is wanted: what recovery stored must be certain when the records that it came from
 * are no longer the last two.
 */
export function recordMount(image: Image, withChanges: boolean): RecordedMount {
  const pmem = new FlatPmem(image);
  const { kit, log } = mountRecorded(pmem);
  const ends = [log.length];
  const moments = [momentOf(kit, pmem, undefined, false)];
  for (const mode of withChanges ? [0o700, 0o711] : []) {
    pmem.log = log;
    // Later than any change before it: there is always something to log.
    kit.change('/', { mask: Change.mode | Change.ctime, mode, ctimeSeconds: kit.attributes(root).ctimeSeconds + 1 });
    pmem.log = undefined;
    ends.push(log.length);
    moments.push(momentOf(kit, pmem, undefined, false));
  }
  return { log, ends, moments };
}

/** One crashed volume is mounted at a time. */
const allocate = reusedMemory();

function mountRecorded(pmem: FlatPmem): { kit: Kit; log: LogEntry[] } {
  const log: LogEntry[] = [];
  pmem.log = log;
  const kit = new Kit(pmem, undefined, allocate);
  pmem.log = undefined;
  return { kit, log };
}

/** Mounts the volume in `image` and tries it out; the image is changed. */
export function judge(image: Image, fresh: FreeCounts): Outcome {
  const pmem = new FlatPmem(image);
  const touched = new Set<number>();
  watch(pmem, touched);
  const { kit, log } = mountRecorded(pmem);
  const stores = log.filter(({ kind }) => kind !== 'persist' && kind !== 'fence');
  const dataStores = stores.filter(isData);
  for (const { address, length } of stores.filter((entry) => !isData(entry))) {
    for (let block = Math.floor(address / 4096); block * 4096 < address + length; block += 1) touched.add(block);
  }
  const dump = dumpOf(kit);
  pmem.watch = undefined;
  const contents = contentsOf(dump, pmem);
  watch(pmem, touched);
  const problem = verify(pmem) || kit.log.filter((line) => line.startsWith('error')).join('; ') || useAndEmpty(kit, dump, fresh) || verify(pmem);
  return { dump, contents, touched, dataStores, problem, log };
}

/** Whether an entry stored contents of a file: told by who called. */
export function isData(entry: LogEntry): boolean {
  return entry.site.split('\n', 1).some((caller) => caller.includes('/file/'));
}

/** What was read in part, or before it was written, matters. */
function watch(pmem: FlatPmem, touched: Set<number>): void {
  const own = new Set<number>();
  pmem.watch = {
    loaded: (first, end) => {
      for (let block = Math.floor(first / BLOCK_LINES); block * BLOCK_LINES < end; block += 1) if (!own.has(block)) touched.add(block);
    },
    stored: (first, end) => {
      for (let block = Math.ceil(first / BLOCK_LINES); (block + 1) * BLOCK_LINES <= end; block += 1) own.add(block);
    },
  };
}

function verify(pmem: FlatPmem): string {
  const report = verifyVolume(pmem);
  return report.clean ? '' : `verifier: ${report.findings.slice(0, 3).map((finding) => JSON.stringify(finding)).join('; ')}`;
}

/** Creates a file in every directory, removes everything, and compares what is free then with a new volume. */
function useAndEmpty(kit: Kit, dump: Dump, fresh: FreeCounts): string {
  try {
    for (const directory of dump.directories) kit.file(`${directory}/made after the crash`);
    const { directories } = dump;
    const paths = dump.names.split('\n').map((line) => line.slice(0, line.indexOf(': inode'))).filter((path) => path !== '/' && !directories.includes(path));
    for (const path of paths) kit.unlink(path);
    for (const directory of [...directories].reverse()) {
      kit.unlink(`${directory}/made after the crash`);
      if (directory !== '') kit.rmdir(directory);
    }
    while (kit.fs.backgroundStep());
    kit.fs.flushTimes();
  } catch (error) {
    return `the volume can't be used: ${error instanceof Error ? error.message : String(error)}`;
  }
  const left = freeCounts(kit);
  if (left.blocks === fresh.blocks && left.inodes === fresh.inodes) return '';
  return `emptied, it has ${String(left.blocks)} free blocks and ${String(left.inodes)} inodes; a new one has ${String(fresh.blocks)} and ${String(fresh.inodes)}`;
}
