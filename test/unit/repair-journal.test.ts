// Guards the repair of a journal in which a record lies about its number: what was done later is not undone.
import t from 'tap';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { BLOCK_SIZE, FileType, JournalRecord, STATE_BLOCK } from '../../src/format/layout.js';
import { setU64 } from '../../src/format/numbers.js';
import { type Geometry, readSuperblock } from '../../src/format/superblock.js';
import { nextRecord, type RecordPlace } from '../../src/journal/records.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { repairVolume } from '../../src/repair/repair.js';
import { MemoryVolume } from '../helpers/memory-volume.js';

const FILES = 60;

/** A volume with as many files as that, and a journal of their transactions alone. */
function filledVolume(): { pmem: SimulatedPmem; geometry: Geometry } {
  const volume = new MemoryVolume({ sizeBytes: 8 * 1024 * 1024 });
  const owner = volume.owner(0, 0);
  for (let file = 0; file < FILES; file += 1) {
    volume.withName(`file ${String(file)}`, (name) => { volume.fs.makeNode(asIno(1), name, FileType.regular | 0o644, owner, 0, 0); });
  }
  volume.leave('close', new Random(1));
  return { pmem: volume.pmem, geometry: readSuperblock(volume.pmem).geometry };
}

function recordsOf(pmem: SimulatedPmem, geometry: Geometry, segment: number): RecordPlace[] {
  const records: RecordPlace[] = [];
  for (let record = nextRecord(pmem, geometry, segment, 0); record !== undefined; record = nextRecord(pmem, geometry, segment, record.offset + record.length)) records.push(record);
  return records;
}

/** Gives a record another number, and the checksum that goes with it. */
function renumber(pmem: SimulatedPmem, geometry: Geometry, { segment, offset, length }: RecordPlace, change: (view: DataView) => void): void {
  const address = asByteAddr((geometry.journalStart + segment * geometry.journalSegmentBlocks) * BLOCK_SIZE + offset);
  const bytes = new Uint8Array(length);
  pmem.load(address, bytes, 0, length);
  const view = new DataView(bytes.buffer);
  change(view);
  view.setUint32(JournalRecord.checksum, pmem.crc32c(geometry.seed, bytes, 4, length - 4), true);
  pmem.store(address, bytes, 0, length);
  pmem.fence();
}

for (const [what, change] of [
  ['of the near future', (view: DataView) => { setU64(view, JournalRecord.sequence, 1000); }],
  ['that no volume lives to see', (view: DataView) => { view.setUint32(JournalRecord.sequence + 4, 0xf0000000, true); }],
] as const) {
  t.test(`a number ${what}`, (t) => {
    const { geometry, pmem: sound } = filledVolume();
    const records = recordsOf(sound, geometry, 0);
    t.ok(records.length >= FILES, 'there is a chain of records');
    for (const stateIsLost of [false, true]) {
      for (const index of [0, 1, 20, records.length - 2, records.length - 1]) {
        const pmem = sound.fork();
        renumber(pmem, geometry, records[index] as RecordPlace, change);
        if (stateIsLost) pmem.store(asByteAddr(STATE_BLOCK * BLOCK_SIZE), new Uint8Array(8), 0, 8);
        const where = `record ${String(index)}${stateIsLost ? ', and no volume state' : ''}`;
        t.match(repairVolume(pmem), { left: 0 }, where);
        const { clean, statistics } = verifyVolume(pmem);
        t.match({ clean, statistics }, { clean: true, statistics: { entries: FILES } }, `${where}: all files are there`);
        t.equal(repairVolume(pmem).found, 0, `${where}: once is enough`);
      }
    }
    t.end();
  });
}
