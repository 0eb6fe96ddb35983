// Guards the media that other tests stand on: a simulated medium that lies would let every promise pass.
import t from 'tap';
import { ManualClock, SystemClock } from '../../src/base/clock.js';
import { crc32c } from '../../src/base/crc32c.js';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, GIB, KIB, MIB, TIB } from '../../src/base/units.js';
import { OverlayPmem } from '../../src/pmem/overlay.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);

function read(pmem: Pmem, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(0xee);
  pmem.load(asByteAddr(address), bytes, 0, length);
  return bytes;
}

/** Bytes compared without the cost of a deep comparison by the test runner. */
function same(test: { ok(value: unknown, message: string): boolean }, found: Uint8Array, wanted: Uint8Array, message: string): void {
  test.ok(Buffer.compare(found, wanted) === 0, message);
}

function errnoOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    return error instanceof FsError ? error.code : String(error);
  }
  return 'no error';
}

t.test('CRC32C', (t) => {
  const crc = (bytes: Uint8Array): number => crc32c(0, bytes, 0, bytes.length);
  t.equal(crc(new Uint8Array(32)), 0x8a9136aa, '32 zero bytes (RFC 3720)');
  t.equal(crc(new Uint8Array(32).fill(0xff)), 0x62a8ab43, '32 bytes 0xff (RFC 3720)');
  t.equal(crc(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e, 'ascending (RFC 3720)');
  t.equal(crc(Buffer.from('123456789')), 0xe3069283, 'check value');
  const random = new Random(SEED);
  const bytes = new Uint8Array(400);
  random.bytes(bytes);
  const bitwise = (from: number, length: number): number => {
    let value = 0xffffffff;
    for (let i = from; i < from + length; i++) {
      value ^= bytes[i] ?? 0;
      for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ ((value & 1) * 0x82f63b78);
    }
    return ~value >>> 0;
  };
  let wrong = 0;
  for (let length = 0; length <= 300; length++) {
    for (let from = 0; from < 9; from++) {
      const whole = bitwise(from, length);
      if (crc32c(0, bytes, from, length) !== whole) wrong += 1;
      const cut = random.below(length + 1);
      if (crc32c(crc32c(0, bytes, from, cut), bytes, from + cut, length - cut) !== whole) wrong += 1;
    }
  }
  t.equal(wrong, 0, 'equals the bit by bit definition for all lengths and alignments, in one piece and continued');
  t.end();
});

t.test('difference of blocks', (t) => {
  const random = new Random(SEED);
  const pmem = new SimulatedPmem(MIB);
  const bytes = new Uint8Array(5 * 4096);
  random.bytes(bytes);
  let wrong = 0;
  for (let round = 0; round < 300; round++) {
    const a = random.below(4) * 4096 + 64 * random.below(2);
    const b = (a + 4096 * random.between(1, 3)) % (4 * 4096);
    bytes.copyWithin(b, a, a + 4096);
    const lines = new Set<number>();
    for (let n = random.below(6); n > 0; n--) {
      const at = random.pick([random.below(4096), 0, 4095, 2047, 2048]);
      bytes[b + at] = (bytes[a + at] ?? 0) ^ (1 << random.below(8));
      lines.add(Math.floor(at / 64));
    }
    if (a % 4096 !== 0 && Math.abs(a - b) < 4096) continue;
    let low = 0;
    let high = 0;
    for (const line of lines) {
      if (line < 32) low = (low | (1 << line)) >>> 0;
      else high = (high | (1 << (line - 32))) >>> 0;
    }
    const found = pmem.difference(bytes, a, b);
    if (found !== low || pmem.differenceHigh !== high) wrong += 1;
  }
  t.equal(wrong, 0, 'exactly the changed lines');
  t.end();
});

/** Random calls on `pmem` and on a plain array. */
function exercise(pmem: Pmem, shadow: Uint8Array, random: Random, calls: number): number {
  const size = shadow.length;
  const source = new Uint8Array(9000);
  let wrong = 0;
  for (let i = 0; i < calls; i++) {
    const length = random.pick([random.below(9000), random.below(100), 8, 64, 4096, 0]);
    const near = random.pick([0, MIB, 2 * MIB, 4096, size, random.below(size)]);
    const address = Math.max(0, Math.min(size - length, near + random.between(-5000, 100)));
    switch (random.below(7)) {
      case 0:
      case 1:
        random.bytes(source, 0, length);
        pmem.store(asByteAddr(address), source, 0, length);
        shadow.set(source.subarray(0, length), address);
        break;
      case 2:
        pmem.zero(asByteAddr(address), length);
        shadow.fill(0, address, address + length);
        break;
      case 3: {
        const target = (address + length + random.below(size - 2 * length - 1)) % (size - length);
        if (target + length > address && address + length > target) break;
        pmem.copy(asByteAddr(target), asByteAddr(address), length);
        shadow.copyWithin(target, address, address + length);
        break;
      }
      case 4:
        pmem.fence();
        break;
      default:
        if (Buffer.compare(read(pmem, address, length), shadow.subarray(address, address + length)) !== 0) wrong += 1;
    }
  }
  return wrong;
}

t.test('simulated medium and overlay keep what is stored', (t) => {
  const random = new Random(SEED);
  const size = 3 * MIB + 4096;
  const pmem = new SimulatedPmem(size);
  const shadow = new Uint8Array(size);
  t.equal(exercise(pmem, shadow, random, 3000), 0, 'simulated: loads see what was stored');
  pmem.zero(asByteAddr(0), size);
  shadow.fill(0);
  t.equal(exercise(pmem, shadow, random, 500), 0, 'simulated: also after everything was zeroed');
  const before = shadow.slice();
  const stores = pmem.counts.stores;
  const overlay = new OverlayPmem(pmem);
  t.equal(exercise(overlay, shadow, random, 3000), 0, 'overlay: loads see what was stored');
  same(t, read(overlay, 0, size), shadow, 'overlay: whole contents');
  same(t, read(pmem, 0, size), before, 'the lower medium is untouched');
  t.equal(pmem.counts.stores, stores, 'and was not even asked');
  const readOnly = new SimulatedPmem(MIB, { readOnly: true });
  t.equal(errnoOf(() => { readOnly.zero(asByteAddr(0), 1); }), 'EROFS', 'a read-only medium');
  const above = new OverlayPmem(readOnly);
  above.store(asByteAddr(5), Uint8Array.of(7), 0, 1);
  t.equal(read(above, 5, 1)[0], 7, 'an overlay over a read-only medium is writable');
  above.close();
  t.throws(() => { above.fence(); }, /closed/, 'nothing goes to a closed medium');
  t.throws(() => { pmem.zero(asByteAddr(size - 1), 2); }, /lies on the medium/, 'a range beyond the end');
  t.throws(() => { read(pmem, -1, 1); }, /lies on the medium/, 'a range before the start');
  t.end();
});

t.test('sparse, damaged, and full', (t) => {
  const pmem = new SimulatedPmem(TIB, { hostBytes: 4 * MIB });
  pmem.store(asByteAddr(TIB - 3), Uint8Array.of(1, 2, 3), 0, 3);
  pmem.zero(asByteAddr(0), GIB);
  same(t, read(pmem, TIB - 5, 5), Uint8Array.of(0, 0, 1, 2, 3), 'the end of a terabyte');
  t.equal(pmem.allocatedBytes, MIB, 'costs one page');
  pmem.poison(asByteAddr(TIB - 4096), 64);
  t.equal(errnoOf(() => read(pmem, TIB - 4096 + 63, 10)), 'EIO', 'poison');
  t.equal(errnoOf(() => { pmem.copy(asByteAddr(0), asByteAddr(TIB - 4096), 64); }), 'EIO', 'poison as the source of a copy');
  t.equal(errnoOf(() => read(pmem, TIB - 4096 + 64, 10)), 'no error', 'next to poison');
  pmem.heal();
  t.equal(errnoOf(() => read(pmem, TIB - 4096, 10)), 'no error', 'healed');
  pmem.back(asByteAddr(0), 2 * MIB);
  pmem.back(asByteAddr(2 * MIB - 1), 2);
  pmem.back(asByteAddr(100), 4 * MIB - 100);
  t.equal(errnoOf(() => { pmem.back(asByteAddr(4 * MIB), 1); }), 'ENOSPC', 'the host is full');
  t.end();
});

t.test('recording and crash images', (t) => {
  const random = new Random(SEED);
  const size = 2 * MIB;
  const pmem = new SimulatedPmem(size);
  const shadow = new Uint8Array(size);
  exercise(pmem, shadow, random, 200);
  const start = shadow.slice();
  pmem.startRecording();
  exercise(pmem, shadow, random, 1000);
  const everything = pmem.crashImage(pmem.log.length, (line) => line.atoms.length);
  same(t, read(everything, 0, size), shadow, 'the whole log with all lines gives the final image, byte for byte');
  same(t, read(pmem.crashImage(0, (line) => line.atoms.length), 0, size), start, 'an empty log gives the base');
  same(t, read(everything.compact(), 0, size), shadow, 'the same without layers');
  everything.zero(asByteAddr(0), size);
  same(t, read(pmem, 0, size), shadow, 'a crash image is a copy');

  const small = new SimulatedPmem(64 * KIB, { record: true });
  small.recordSites = true;
  small.operation = 'first';
  small.store(asByteAddr(60), Uint8Array.from({ length: 12 }, (_, i) => i + 1), 0, 12);
  small.fence();
  small.operation = 'second';
  small.store(asByteAddr(64), new Uint8Array(16).fill(9), 0, 16);
  small.zero(asByteAddr(64), 8);
  t.match(small.log[0]?.site, /pmem\.test/, 'the call site is recorded');
  t.equal(small.log[2]?.operation, 'second', 'and the operation');
  const at = (position: number, atoms: number): number[] => [...read(small.crashImage(position, () => atoms), 60, 24)];
  t.same(at(1, 0), new Array(24).fill(0), 'before the fence: perhaps nothing');
  t.same(at(1, 1), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ...new Array<number>(12).fill(0)], 'perhaps all of it');
  t.same(
    [...read(small.crashImage(1, (line) => (line.address === 64 ? 1 : 0)), 60, 12)],
    [0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12],
    'or one line and not the other',
  );
  const head = [1, 2, 3, 4];
  const rest = [0, 0, 0, 0];
  t.same(at(4, 0), [...head, 5, 6, 7, 8, 9, 10, 11, 12, ...new Array<number>(8).fill(0), ...rest], 'after the fence: certain');
  t.same(at(4, 1), [...head, ...new Array<number>(8).fill(9), ...new Array<number>(8).fill(0), ...rest], 'the first atom of the next');
  t.same(at(4, 2), [...head, ...new Array<number>(16).fill(9), ...rest], 'both');
  t.same(at(4, 3), [...head, ...new Array<number>(8).fill(0), ...new Array<number>(8).fill(9), ...rest], 'and the overwriting');
  t.throws(() => at(4, 4), /prefix/, 'no more than there is');

  const { certain, replay } = small.replay();
  replay.advance(2);
  t.same(replay.lines(), [], 'nothing is pending after a fence');
  replay.advance(4);
  t.equal(replay.lines()[0]?.atoms.length, 3, 'atoms pending in one line');
  const image = small.crashImageOf(certain, replay, () => 3);
  image.startRecording();
  image.store(asByteAddr(0), Uint8Array.of(1), 0, 1);
  t.equal(read(image.crashImage(1, () => 0), 64, 1)[0], 0, 'a crash image can be recorded, too: a crash in recovery');
  t.equal(read(image.crashImage(1, () => 1), 0, 1)[0], 1, 'with its own stores on top');
  t.end();
});

t.test('random numbers and clocks', (t) => {
  const a = new Random(7);
  const b = new Random(7);
  const other = new Random(8);
  const first = Array.from({ length: 100 }, () => a.nextU32());
  t.same(first, Array.from({ length: 100 }, () => b.nextU32()), 'the same seed repeats');
  t.notSame(first, Array.from({ length: 100 }, () => other.nextU32()), 'another does not');
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) {
    const drawn = a.below(10);
    counts[drawn] = (counts[drawn] ?? 0) + 1;
  }
  t.ok(counts.every((count) => count > 9_000 && count < 11_000), 'even', { counts });
  let large = 0;
  for (let i = 0; i < 1000; i++) {
    const n = a.below(2 ** 53);
    if (!Number.isSafeInteger(n) || n < 0) t.fail(`below(2^53) gave ${String(n)}`);
    if (n > 2 ** 52) large += 1;
  }
  t.ok(large > 400 && large < 600, 'large ones are even, too');

  const clock = new SystemClock();
  clock.now();
  const shown = clock.seconds * 1000 + clock.nanoseconds / 1e6;
  t.ok(Math.abs(shown - Date.now()) < 50, 'the system clock', { shown });
  t.ok(Number.isInteger(clock.nanoseconds) && clock.nanoseconds < 1e9, 'whole nanoseconds');
  const realNow = Date.now;
  Date.now = () => realNow() - 3_600_000;
  t.teardown(() => (Date.now = realNow));
  clock.now();
  t.ok(Math.abs(clock.seconds * 1000 + clock.nanoseconds / 1e6 - Date.now()) < 50, 'follows when the system clock is set');

  const manual = new ManualClock(10, 999_999_999);
  manual.now();
  t.same([manual.seconds, manual.nanoseconds], [10, 999_999_999], 'a manual clock stands still');
  manual.advance(2_000_000_001);
  t.same([manual.seconds, manual.nanoseconds], [13, 0], 'and moves when told');
  t.end();
});
