// Guards promises 1 and 2 at their root: what is committed is found again whatever the crash left, what is not is as if it had never been.
import t from 'tap';
import { makeVolume } from '../../mkfs/layout.js';
import { Random } from '../../src/base/random.js';
import { asBlockNo, asByteAddr, asIno } from '../../src/base/units.js';
import { BLOCK_SIZE, JournalEntry, JournalRecord, Magic, RECORD_HEADER_SIZE, TREE_NODE_AREA } from '../../src/format/layout.js';
import { setU64 } from '../../src/format/numbers.js';
import type { Geometry } from '../../src/format/superblock.js';
import { Caller, Name } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import { Journal } from '../../src/journal/journal.js';
import { readRecord } from '../../src/journal/records.js';
import { recoverJournal, type RecoveryResult } from '../../src/journal/recovery.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { crashStates } from '../helpers/crash-states.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
const SIZE = 4 * 1024 * 1024;
const JOURNAL_BYTES = 2 * 128 * BLOCK_SIZE;

interface Kit {
  pmem: SimulatedPmem;
  geometry: Geometry;
  journal: Journal;
}

function open(pmem: SimulatedPmem, geometry: Geometry): Kit & { recovery: RecoveryResult } {
  const recovery = recoverJournal(pmem, geometry);
  return { pmem, geometry, recovery, journal: new Journal(pmem, geometry, recovery.position, 512) };
}

function fresh(journalId = 5): Kit {
  const pmem = new SimulatedPmem(SIZE);
  const geometry = makeVolume(pmem, { label: '', uuid: new Uint8Array(16).fill(3), journalId, hashSeed: 1 });
  pmem.startRecording();
  return open(pmem, geometry);
}

/** A block that the journal may write to in these tests. */
const at = (index: number): ReturnType<typeof asBlockNo> => asBlockNo(700 + index);

/** Commits `value` into the first bytes of `blocks` blocks; `bytes` long each. */
function put({ journal }: Kit, value: number, blocks = 1, bytes = 8, isNew = false): void {
  journal.begin();
  for (let index = 0; index < blocks; index += 1) {
    const base = isNew ? journal.fresh(at(index), Magic.node, 0) : journal.edit(at(index), Magic.node);
    journal.bytes.fill(value, base + TREE_NODE_AREA, base + TREE_NODE_AREA + bytes);
  }
  journal.commit();
}

/** What `put` stored last, by block, as the medium has it. */
function valuesOf(pmem: SimulatedPmem, geometry: Geometry, blocks: number): number[] {
  const journal = new Journal(pmem, geometry, { sequence: 1, segment: 0, offset: 0 }, 256);
  return Array.from({ length: blocks }, (_, block) => journal.bytes[journal.read(at(block), Magic.node) + TREE_NODE_AREA] as number);
}

t.test('commit, abort, and blocks that are thrown away', (t) => {
  const kit = fresh();
  put(kit, 1, 3, 8, true);
  put(kit, 2);
  const { journal } = kit;
  journal.begin();
  journal.bytes[journal.edit(at(0), Magic.node) + TREE_NODE_AREA] = 9;
  journal.fresh(at(7), Magic.node, 0);
  t.equal(journal.committed(journal.read(at(0), Magic.node)) === journal.read(at(0), Magic.node), false, 'the before-image is kept');
  journal.abort();
  t.equal(journal.bytes[journal.read(at(0), Magic.node) + TREE_NODE_AREA], 2, 'abort takes edits back');
  t.throws(() => journal.read(at(7), Magic.node), { code: 'EIO' }, 'a new block of an aborted transaction is not there');
  const before = kit.pmem.log.length;
  journal.begin();
  journal.bytes[journal.edit(at(1), Magic.node) + TREE_NODE_AREA] = 5;
  journal.edit(at(2), Magic.node);
  journal.discard(at(2));
  journal.discard(at(0));
  journal.commit();
  const stores = kit.pmem.log.slice(before).filter((entry) => entry.kind === 'store' && entry.address >= 700 * BLOCK_SIZE);
  t.ok(stores.length > 0 && stores.every((entry) => Math.floor(entry.address / BLOCK_SIZE) === 701), 'a freed block is not written to');
  t.equal(valuesOf(kit.pmem, kit.geometry, 2)[1], 5);
  t.end();
});

t.test('records fill segments and go around the ring', (t) => {
  const kit = fresh();
  put(kit, 1, 60, 4000, true);
  for (let value = 2; value < 20; value += 1) {
    put(kit, value, 60, 4000);
    // Reopened each time: from the middle of a segment, from its first record, after the turn.
    const again = open(kit.pmem.fork(), kit.geometry);
    t.match(again.recovery, { position: { sequence: value + 1 }, applied: 2, changed: false });
    t.equal(valuesOf(again.pmem, kit.geometry, 60)[59], value);
  }
  t.end();
});

t.test('every crash of a commit leaves the value before or after, also when recovery crashes', (t) => {
  const random = new Random(SEED);
  for (const [blocks, bytes] of [[1, 8], [3, 200], [96, 100], [30, 4000]] as const) {
    const kit = fresh();
    put(kit, 1, blocks, bytes, true);
    put(kit, 2, blocks, bytes);
    const start = kit.pmem.log.length;
    put(kit, 3, blocks, bytes);
    const { certain, replay } = kit.pmem.replay();
    for (let position = start; position <= kit.pmem.log.length; position += 1) {
      const isFence = kit.pmem.log[position]?.kind === 'fence' || kit.pmem.log[position - 1]?.kind === 'fence';
      if (position !== start && position !== kit.pmem.log.length && !isFence) continue;
      replay.advance(position);
      const committed = kit.pmem.log.slice(start, position).some((entry) => entry.kind === 'fence');
      for (const state of crashStates(replay.lines().length, blocks < 10 ? 12 : 2, random)) {
        let image = kit.pmem.crashImageOf(certain, replay, state.chooser);
        image.startRecording();
        const first = recoverJournal(image, kit.geometry).position.sequence;
        const cut = random.below(image.log.length + 1);
        image = image.crashImage(cut, (line) => random.below(line.atoms.length + 1));
        const second = recoverJournal(image, kit.geometry).position.sequence;
        const values = new Set(valuesOf(image, kit.geometry, blocks));
        const value = [...values][0] ?? 0;
        const right = values.size === 1 && first === second && value === first - 1 && (value === 3 || (value === 2 && !committed));
        if (!right) t.fail(`${String(blocks)} blocks, entry ${String(position - start)}, ${state.name}: ${[...values].join()}`, { seed: SEED, first, second });
      }
    }
    t.pass(`${String(blocks)} blocks of ${String(bytes)} bytes`);
  }
  t.end();
});

t.test('a record torn in any line is no record', (t) => {
  const kit = fresh();
  put(kit, 1, 2, 300, true);
  put(kit, 2, 2, 300);
  const start = kit.geometry.journalStart * BLOCK_SIZE;
  const header = new DataView(new ArrayBuffer(64));
  kit.pmem.load(asByteAddr(start), new Uint8Array(header.buffer), 0, 64);
  const second = start + header.getUint32(JournalRecord.length, true);
  kit.pmem.load(asByteAddr(second), new Uint8Array(header.buffer), 0, 64);
  const length = header.getUint32(JournalRecord.length, true);
  t.ok(length > 10 * 64, 'there are lines to tear');
  for (let line = 0; line < length; line += 64) {
    const image = kit.pmem.fork();
    const bytes = new Uint8Array(1);
    image.load(asByteAddr(second + line + 9), bytes, 0, 1);
    image.store(asByteAddr(second + line + 9), Uint8Array.of((bytes[0] as number) ^ 0x10), 0, 1);
    t.equal(recoverJournal(image, kit.geometry).position.sequence, 2);
  }
  t.end();
});

t.test('a record that can not be one is none, although its checksum is right', (t) => {
  const kit = fresh();
  put(kit, 1, 1, 8, true);
  const { pmem, geometry } = kit;
  const address = asByteAddr(geometry.journalStart * BLOCK_SIZE);
  const entry = RECORD_HEADER_SIZE;
  const cases: [string, (view: DataView) => void][] = [
    ['no entry', (view) => { view.setUint32(JournalRecord.entries, 0, true); }],
    ['more entries than it has', (view) => { view.setUint32(JournalRecord.entries, 2, true); }],
    ['a superblock', (view) => { view.setUint16(entry + JournalEntry.block, 0, true); }],
    ['a block of the journal', (view) => { view.setUint16(entry + JournalEntry.block, geometry.journalStart, true); }],
    ['fewer lines', (view) => { view.setUint32(entry + JournalEntry.lines, 0, true); }],
    ['an unknown flag', (view) => { view.setUint16(entry + JournalEntry.flags, 2, true); }],
  ];
  const { length } = readRecord(pmem, geometry, 0, 0)?.bytes ?? [];
  t.ok(length !== undefined, 'it is one');
  for (const [what, change] of cases) {
    const damaged = pmem.fork();
    const bytes = new Uint8Array(length ?? 0);
    damaged.load(address, bytes, 0, bytes.length);
    const view = new DataView(bytes.buffer);
    change(view);
    view.setUint32(JournalRecord.checksum, damaged.crc32c(geometry.seed, bytes, 4, bytes.length - 4), true);
    damaged.store(address, bytes, 0, bytes.length);
    t.equal(readRecord(damaged, geometry, 0, 0), undefined, what);
  }
  t.end();
});

t.test('records of another volume on the same medium are not taken', (t) => {
  const kit = fresh(5);
  put(kit, 1, 3, 100, true);
  const geometry = makeVolume(kit.pmem, { label: '', uuid: new Uint8Array(16).fill(3), journalId: 6, hashSeed: 1 });
  t.match(recoverJournal(kit.pmem, geometry), { position: { sequence: 1, segment: 0, offset: 0 }, applied: 0, changed: false });
  t.end();
});

t.test('damage to the newest records is noticed', (t) => {
  const kit = fresh();
  kit.pmem.zero(asByteAddr(kit.geometry.journalStart * BLOCK_SIZE), JOURNAL_BYTES);
  const { pmem } = fresh();
  const fs = openVolume(pmem, {});
  fs.makeNode(asIno(1), Name.from('a'), 0o100644, new Caller(), 0, 0);
  const image = pmem.fork();
  image.zero(asByteAddr(kit.geometry.journalStart * BLOCK_SIZE), JOURNAL_BYTES);
  t.throws(() => openVolume(image, {}), { code: 'EUCLEAN' });
  t.end();
});

t.test('a damaged record in the middle undoes nothing that came after it', (t) => {
  const kit = fresh();
  put(kit, 1, 3, 200, true);
  for (let value = 2; value <= 5; value += 1) put(kit, value, 3, 200);
  const image = kit.pmem.fork({ record: true });
  const journal = kit.geometry.journalStart * BLOCK_SIZE;
  const header = new Uint8Array(64);
  image.load(asByteAddr(journal), header, 0, header.length);
  const secondRecord = journal + new DataView(header.buffer).getUint32(JournalRecord.length, true);
  image.zero(asByteAddr(secondRecord), header.length);
  const stores = image.log.length;
  t.throws(() => recoverJournal(image, kit.geometry), { code: 'EUCLEAN', message: /the journal is damaged/ });
  t.equal(image.log.length, stores, 'and nothing is written');
  t.end();
});

/** Address and length of all records of a segment, from its beginning on. */
function recordsOf({ pmem, geometry }: Pick<Kit, 'pmem' | 'geometry'>, segment: number): { address: number; offset: number; length: number; sequence: number }[] {
  const found: { address: number; offset: number; length: number; sequence: number }[] = [];
  for (let offset = 0; ; ) {
    const record = readRecord(pmem, geometry, segment, offset);
    if (record === undefined) return found;
    const address = (geometry.journalStart + segment * geometry.journalSegmentBlocks) * BLOCK_SIZE + offset;
    found.push({ address, offset, length: record.bytes.length, sequence: record.sequence });
    offset += record.bytes.length;
  }
}

function bytesAt(pmem: SimulatedPmem, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  pmem.load(asByteAddr(address), bytes, 0, length);
  return bytes;
}

// The journal once took an older record behind its end for the proof that nothing later is there, and went on below what was committed.
t.test('what an older lap left in place of the newest records hides none behind it', (t) => {
  // Some 340 records in a segment, until the ring has been gone round once.
  const long = fresh();
  put(long, 1, 2, 600, true);
  let value = 1;
  for (; recordsOf(long, 1).length < 300; value += 1) put(long, value % 256, 2, 600);
  // One whose next lap has other lengths.
  const kit = open(long.pmem.fork(), long.geometry);
  const begun = (): number => recordsOf(kit, 0)[0]?.sequence ?? 0;
  for (const first = begun(); begun() === first; value += 1) put(kit, value % 256, 2, 600);
  for (let more = 0; more < 30; more += 1) put(kit, more + 1, 2, 100 + 10 * more);
  const records = recordsOf(kit, 0);
  t.equal(records.length, 31, 'the present lap has begun the segment again');
  const next = (records.at(-1) as { sequence: number }).sequence + 1;
  t.equal(recoverJournal(kit.pmem.fork(), kit.geometry).position.sequence, next, 'older records behind the end are no fault');
  const older = recordsOf(long, 0).find(({ address }) => address > (records.at(-1) as { address: number }).address + 4096) as { address: number; length: number };

  const target = records[10] as { address: number; offset: number; length: number };
  for (const [what, change] of Object.entries({
    'an older record of the same length': (image: SimulatedPmem) => {
      // The same bytes with an older number: what this place held before the turn, had the store been lost.
      const bytes = bytesAt(image, target.address, target.length);
      const view = new DataView(bytes.buffer);
      setU64(view, JournalRecord.sequence, 2);
      view.setUint32(JournalRecord.checksum, image.crc32c(kit.geometry.seed, bytes, 4, bytes.length - 4), true);
      image.store(asByteAddr(target.address), bytes, 0, bytes.length);
    },
    'an older record of another length': (image: SimulatedPmem) => {
      const bytes = bytesAt(image, (records[0] as { address: number }).address, (records[0] as { length: number }).length);
      image.store(asByteAddr(target.address), bytes, 0, bytes.length);
    },
    'two pages of the older lap': (image: SimulatedPmem) => {
      const page = Math.floor(target.address / BLOCK_SIZE) * BLOCK_SIZE;
      image.store(asByteAddr(page), bytesAt(long.pmem, page, 2 * BLOCK_SIZE), 0, 2 * BLOCK_SIZE);
    },
  })) {
    const image = kit.pmem.fork({ record: true });
    change(image);
    const stores = image.log.length;
    t.throws(() => recoverJournal(image, kit.geometry), { code: 'EUCLEAN', message: /ends? at transaction \d+, but there is a record of transaction \d+/ }, what);
    t.equal(image.log.length, stores, 'and nothing is written');
  }
  // Damage to what is left of the older lap concerns nobody.
  const image = kit.pmem.fork();
  image.zero(asByteAddr(older.address + 64), older.length - 64);
  t.equal(recoverJournal(image, kit.geometry).position.sequence, next, 'a damaged older record is no fault');
  t.end();
});

t.test('the last record but one is applied from where it is', (t) => {
  const kit = fresh();
  put(kit, 1, 40, 4000, true);
  put(kit, 2, 40, 4000);
  put(kit, 3, 40, 4000);
  const before = kit.pmem.fork();
  // Two that end the first segment, one that begins the second; those last two are not in place.
  for (const value of [4, 5]) put(kit, value, 2, 8);
  put(kit, 6, 40, 4000);
  t.equal(recordsOf(kit, 1).length, 1, 'the newest segment has one record');
  const records = recordsOf(kit, 0);
  const image = before.fork();
  for (const segment of [0, 1]) {
    for (const { address, length } of recordsOf(kit, segment)) image.store(asByteAddr(address), bytesAt(kit.pmem, address, length), 0, length);
  }
  image.store(asByteAddr((records[1] as { address: number }).address), new Uint8Array(64), 0, 64);
  t.match(recoverJournal(image, kit.geometry), { position: { sequence: 7 }, applied: 2 }, 'though a record before it is damaged');
  t.end();
});

t.test('what a killed server left in the page cache is brought to the medium before anything builds on it', (t) => {
  const kit = fresh();
  put(kit, 1, 2, 8, true);
  put(kit, 2, 2);
  const image = kit.pmem.fork({ record: true });
  const { recovery } = open(image, kit.geometry);
  t.equal(recovery.changed, false, 'all of it is visible');
  const kinds = image.log.map((entry) => entry.kind);
  const covers = (address: number): boolean => image.log.some((entry) => entry.kind === 'persist' && entry.address <= address && address < entry.address + entry.length);
  t.ok(covers(700 * BLOCK_SIZE) && covers(701 * BLOCK_SIZE + 4095), 'the changed blocks');
  t.ok(covers(kit.geometry.journalStart * BLOCK_SIZE), 'and the records');
  t.equal(kinds.at(-1), 'fence');
  t.end();
});

t.test('damage to one inode record does not spread to its neighbours', (t) => {
  const { pmem } = fresh();
  const fs = openVolume(pmem, {});
  const ino = fs.makeNode(asIno(1), Name.from('a'), 0o100644, new Caller(), 0, 0);
  pmem.fence();
  // Inode 0 of the table block; nobody uses it.
  const image = pmem.fork();
  image.zero(asByteAddr(513 * BLOCK_SIZE), 256);
  const other = openVolume(image, {});
  other.write(ino, 0, new Uint8Array(10), 0, 10);
  other.close();
  const again = openVolume(image.fork(), {});
  t.doesNotThrow(() => { again.write(ino, 0, new Uint8Array(10), 0, 10); });
  t.end();
});

t.test('a new block that was an interior block of the same transaction is whole', (t) => {
  const { journal } = fresh();
  journal.begin();
  journal.fresh(at(3), Magic.node, 0);
  journal.discard(at(3));
  const base = journal.freshInodes(at(3), 160);
  journal.commit();
  t.equal(journal.cache.verified[base / BLOCK_SIZE], 0xffff);
  t.end();
});
