/** The volumes that workloads begin with. */
import { makeVolume } from '../../mkfs/layout.js';
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr } from '../../src/base/units.js';
import { type Geometry, readSuperblock } from '../../src/format/superblock.js';
import { AllocateMode, Change } from '../../src/fs/types.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { FlatPmem } from './flat-pmem.js';
import { Image, LINE } from './image.js';
import { type FreeCounts, freeCounts } from './judge.js';
import { Kit } from './kit.js';

const VOLUME_BYTES = 4 * 1024 * 1024;
const BLOCK = 4096;
/** Behind the journal of a volume of this size. */
const GARBAGE_START = 2 * 1024 * 1024;
/** The longest value of an extended attribute that goes through the journal. */
const FILLING_BYTES = 3800;
/** When a workload begins: later than everything in its base. */
export const START_SECONDS = 1_700_000_000;

export interface Base {
  readonly pmem: SimulatedPmem;
  readonly image: Image;
  readonly geometry: Geometry;
  readonly fresh: FreeCounts;
}

/** A volume, filled by `fill` and closed. */
function makeBase(fill: (kit: Kit) => void): Base {
  const image = new Image(VOLUME_BYTES);
  // What a former owner left in free blocks must never be seen.
  new Random(4711).bytes(image.bytes, GARBAGE_START);
  makeVolume(new FlatPmem(image), { label: 'crash', uuid: Buffer.from('0123456789abcdef'), journalId: 12_345, hashSeed: 1, madeSeconds: 1_600_000_000, madeNanoseconds: 0 });
  const fresh = freeCounts(new Kit(mediumOf(image)));
  const pmem = new FlatPmem(image);
  const { geometry } = readSuperblock(pmem);
  const kit = new Kit(pmem, new ManualClock(1_600_000_001, 0));
  fill(kit);
  turnJournal(kit, pmem, geometry);
  kit.fs.close();
  return { pmem: mediumOf(image), image, geometry, fresh };
}

function mediumOf(image: Image): SimulatedPmem {
  const medium = new SimulatedPmem(image.size);
  medium.store(asByteAddr(0), image.bytes, 0, image.size);
  return medium;
}

/**
 * Goes round the journal until a segment has just been begun: recovery has little to read then, which is most of what a crash state costs, and behind the end
 * of the journal lie old records, as in any volume that was used for long.
 */
function turnJournal(kit: Kit, pmem: FlatPmem, geometry: Geometry): void {
  const start = geometry.journalStart * BLOCK;
  const segmentBytes = geometry.journalSegmentBlocks * BLOCK;
  let segment = -1;
  let switches = 0;
  pmem.watch = {
    loaded: () => undefined,
    stored: (firstLine) => {
      const now = Math.floor((firstLine * LINE - start) / segmentBytes);
      if (now < 0 || now >= geometry.journalSegments || now === segment) return;
      segment = now;
      switches += 1;
    },
  };
  // Long records, so that there are few: recovery goes over what is left of them.
  const filling = new Uint8Array(FILLING_BYTES);
  while (switches <= geometry.journalSegments) {
    kit.setXattr('/', 'user.filling', filling.fill(filling[0] === 1 ? 2 : 1));
  }
  kit.removeXattr('/', 'user.filling');
  for (let changes = 0; changes < 3; changes += 1) kit.change('/', { mask: Change.mtime, mtimeSeconds: 1_500_000_000 + changes });
  pmem.watch = undefined;
}

/** The present contents of a medium. */
export function imageOf(pmem: SimulatedPmem): Image {
  const image = new Image(pmem.size);
  pmem.load(asByteAddr(0), image.bytes, 0, pmem.size);
  return image;
}

/** Few names in two directories: what sequences of operations work on. */
export function smallBase(): Base {
  return makeBase(fillSmall);
}

function fillSmall(kit: Kit): void {
  kit.directory('/A');
  kit.directory('/B');
  kit.file('/A/foo');
  // Bytes of its last block past its end are not zero.
  kit.write('/A/foo', 0, 11_003);
  kit.truncate('/A/foo', 10_003);
  // Written, a hole, unwritten, and unwritten past the end.
  kit.file('/B/foo');
  kit.write('/B/foo', 0, 2 * BLOCK);
  kit.allocate('/B/foo', 0, 4 * BLOCK, 2 * BLOCK);
  kit.allocate('/B/foo', AllocateMode.keepSize, 6 * BLOCK, BLOCK);
  kit.directory('/A/dir');
  kit.directory('/B/dir');
  kit.file('/B/dir/inner');
  kit.write('/B/dir/inner', 0, 101);
  kit.symlink('/A/short', 'a target');
  kit.symlink('/B/long', 'x'.repeat(1003));
  kit.link(kit.ino('/B/dir/inner'), '/A/hard');
}

/** Trees: a file in pieces, a directory of several nodes, a leaf about to be split and one about to be merged. */
export function largeBase(): Base {
  return makeBase((kit) => {
    fillSmall(kit);
    kit.file('/pieces');
    for (let index = 0; index < 40; index += 1) kit.write('/pieces', 2 * index * BLOCK, index === 39 ? 77 : BLOCK);
    kit.directory('/many');
    for (let index = 0; index < 150; index += 1) kit.file(manyName(index));
    for (let index = 0; index < 90; index += 3) kit.unlink(manyName(index));
  });
}

/** Names in the large directory. */
export function manyName(index: number): string {
  return `/many/${'n'.repeat(60)}${String(index)}`;
}
