// Guards promise 4 and the placement of data: holes, unwritten blocks and grown tails read as zero bytes on a medium full of old bytes,
// and large files lie where huge pages can map them.
import t from 'tap';
import { makeVolume } from '../../mkfs/layout.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino, MIB } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FILE_SIZE_MAX } from '../../src/format/layout.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { AllocateMode, AttributeChange, Caller, Change, Name, Ranges, SeekWhence } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
const BLOCK = 4096;
const { keepSize, punchHole } = AllocateMode;
t.comment(`SEED=${String(SEED)}`);

/** A file on a medium that is full of 0xee. */
class Kit {
  readonly pmem: SimulatedPmem;
  readonly fs: FileSystemOperations;
  readonly ino: Ino;
  readonly ranges = new Ranges(64);

  constructor(bytes: number) {
    this.pmem = new SimulatedPmem(bytes);
    const old = new Uint8Array(MIB).fill(0xee);
    for (let at = 0; at < bytes; at += MIB) this.pmem.store(asByteAddr(at), old, 0, MIB);
    makeVolume(this.pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1 });
    this.fs = openVolume(this.pmem, {});
    this.ino = this.fs.makeNode(asIno(1), Name.from('file'), 0o100644, new Caller(), 0, 0);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.fs.write(this.ino, offset, bytes, 0, bytes.length);
  }

  resize(size: number): void {
    this.fs.setAttributes(this.ino, Object.assign(new AttributeChange(), { mask: Change.size, size }));
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length).fill(0xcc);
    let done = 0;
    while (done < length) {
      const some = this.fs.read(this.ino, offset + done, length - done, this.ranges);
      if (some === 0) return bytes.subarray(0, done);
      for (let index = 0; index < this.ranges.count; index += 1) {
        const address = this.ranges.addresses[index] as number;
        const part = this.ranges.lengths[index] as number;
        if (address < 0) bytes.fill(0, done, done + part);
        else this.pmem.load(asByteAddr(address), bytes, done, part);
        done += part;
      }
    }
    return bytes;
  }

  findings(): unknown[] {
    return verifyVolume(this.pmem).findings;
  }
}

function imageOf(pmem: SimulatedPmem): Uint8Array {
  const bytes = new Uint8Array(pmem.size);
  pmem.load(asByteAddr(0), bytes, 0, bytes.length);
  return bytes;
}

t.test('nothing of a former owner is readable, whatever is written, cut, punched and grown', (t) => {
  const random = new Random(SEED);
  const kit = new Kit(16 * MIB);
  let model: Uint8Array = new Uint8Array(0);
  for (let step = 0; step < 400; step += 1) {
    const offset = random.below(40 * BLOCK);
    const length = random.pick([1, 100, BLOCK, random.between(1, 5 * BLOCK)]);
    const grown = (size: number): Uint8Array => {
      const bytes = new Uint8Array(Math.max(size, model.length));
      bytes.set(model);
      return bytes;
    };
    switch (random.below(6)) {
      case 0:
      case 1: {
        const bytes = new Uint8Array(length).fill(1 + random.below(200));
        kit.write(offset, bytes);
        model = grown(offset + length);
        model.set(bytes, offset);
        break;
      }
      case 2: {
        kit.resize(offset);
        const cut = new Uint8Array(offset);
        cut.set(model.subarray(0, offset));
        model = cut;
        break;
      }
      case 3:
        kit.fs.allocate(kit.ino, 0, offset, length);
        model = grown(offset + length);
        break;
      case 4:
        kit.fs.allocate(kit.ino, keepSize, offset, length);
        break;
      default:
        kit.fs.allocate(kit.ino, punchHole | keepSize, offset, length);
        model.fill(0, Math.min(offset, model.length), Math.min(offset + length, model.length));
    }
    if (Buffer.compare(kit.read(0, 60 * BLOCK), model) !== 0) {
      t.fail(`step ${String(step)}`, { seed: SEED });
      break;
    }
  }
  t.same(kit.findings(), []);
  t.end();
});

t.test('large files start on 2 MiB', (t) => {
  const kit = new Kit(64 * MIB);
  kit.write(0, new Uint8Array(100));
  const large = kit.fs.makeNode(asIno(1), Name.from('large'), 0o100644, new Caller(), 0, 0);
  kit.fs.allocate(large, 0, 0, 8 * MIB);
  const other = kit.fs.makeNode(asIno(1), Name.from('other'), 0o100644, new Caller(), 0, 0);
  kit.fs.write(other, 0, new Uint8Array(2 * MIB), 0, 2 * MIB);
  kit.fs.read(other, 0, 2 * MIB, kit.ranges);
  t.match(kit.ranges, { count: 1 });
  t.equal((kit.ranges.addresses[0] as number) % (2 * MIB), 0, 'written');
  kit.fs.write(large, 0, new Uint8Array(8 * MIB), 0, 8 * MIB);
  kit.fs.read(large, 0, 8 * MIB, kit.ranges);
  t.equal((kit.ranges.addresses[0] as number) % (2 * MIB), 0, 'allocated before');
  t.same(kit.findings(), []);
  t.end();
});

t.test('holes and data are told apart', (t) => {
  const kit = new Kit(16 * MIB);
  kit.write(3 * BLOCK, new Uint8Array(BLOCK));
  kit.fs.allocate(kit.ino, 0, 8 * BLOCK, 4 * BLOCK);
  kit.write(10 * BLOCK + 5, new Uint8Array(1));
  const data = (offset: number): number => kit.fs.seek(kit.ino, offset, SeekWhence.data);
  const hole = (offset: number): number => kit.fs.seek(kit.ino, offset, SeekWhence.hole);
  t.same([data(0), hole(0), data(3 * BLOCK + 9), hole(3 * BLOCK)], [3 * BLOCK, 0, 3 * BLOCK + 9, 4 * BLOCK]);
  t.same([data(4 * BLOCK), hole(10 * BLOCK)], [10 * BLOCK, 11 * BLOCK], 'unwritten blocks are a hole');
  t.throws(() => data(11 * BLOCK), { code: 'ENXIO' });
  t.equal(hole(11 * BLOCK), 11 * BLOCK);
  t.throws(() => hole(12 * BLOCK), { code: 'ENXIO' });
  t.same(kit.findings(), []);
  t.end();
});

t.test('files reach 2^53 - 1 bytes and no further', (t) => {
  const kit = new Kit(16 * MIB);
  kit.write(FILE_SIZE_MAX - 3, Uint8Array.of(1, 2, 3));
  t.same([...kit.read(FILE_SIZE_MAX - 5, 10)], [0, 0, 1, 2, 3]);
  t.equal(kit.fs.seek(kit.ino, 0, SeekWhence.data), Math.floor(FILE_SIZE_MAX / BLOCK) * BLOCK);
  t.throws(() => { kit.write(FILE_SIZE_MAX, Uint8Array.of(1)); }, { code: 'EFBIG' });
  kit.resize(FILE_SIZE_MAX - 4);
  kit.resize(FILE_SIZE_MAX);
  t.same([...kit.read(FILE_SIZE_MAX - 4, 10)], [0, 0, 0, 0]);
  t.same(kit.findings(), []);
  t.end();
});

t.test('an interrupted fallocate is finished, also for a reader that must not write', (t) => {
  const kit = new Kit(16 * MIB);
  kit.write(0, new Uint8Array(4 * BLOCK).fill(7));
  kit.pmem.startRecording();
  kit.fs.allocate(kit.ino, punchHole | keepSize, 100, 3 * BLOCK);
  const fences = [...kit.pmem.log.entries()].filter(([, entry]) => entry.kind === 'fence').map(([position]) => position);
  // Everything up to the fence behind the zeroed edges: the transaction that ends the operation is missing.
  const crashed = kit.pmem.crashImage(fences[1] as number, (line) => line.atoms.length);
  const before = crashed.fork();
  const show = (pmem: SimulatedPmem, readOnly: boolean): number[] => {
    const fs = openVolume(pmem, { readOnly });
    const file = fs.lookup(asIno(1), Name.from('file')) as Ino;
    return [fs.seek(file, 0, SeekWhence.hole), fs.seek(file, BLOCK, SeekWhence.data)];
  };
  t.same(show(crashed, true), [BLOCK, 3 * BLOCK], 'in DRAM');
  t.equal(Buffer.compare(imageOf(crashed), imageOf(before)), 0, 'the medium was not written');
  t.same(show(crashed, false), [BLOCK, 3 * BLOCK], 'on the medium');
  t.ok(verifyVolume(crashed).clean);
  t.end();
});

t.test('a file of more pieces than the cache has room for is searched', (t) => {
  const kit = new Kit(16 * MIB);
  for (let index = 0; index < 1500; index += 1) kit.write(2 * index * BLOCK, Uint8Array.of(index));
  t.equal(kit.fs.seek(kit.ino, 1, SeekWhence.hole), BLOCK);
  kit.fs.allocate(kit.ino, 0, 0, 1500 * 2 * BLOCK - BLOCK);
  t.same([...kit.read(2998 * BLOCK, 2)], [1499 & 255, 0]);
  t.same(kit.findings(), []);
  t.end();
});
