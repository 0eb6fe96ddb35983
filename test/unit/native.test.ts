// Guards promises 1 and 7 at the medium: what the addon stores is what it loads back, at any alignment and across
// windows; wrong ranges, locks, full hosts and vanished pages give errors, never a crash.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addon } from '../../native/addon.js';
import { AssertionFailure } from '../../src/base/assert.js';
import { crc32c as plainCrc32c } from '../../src/base/crc32c.js';
import { BlockComparison } from '../../src/base/difference.js';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr } from '../../src/base/units.js';
import { MappedPmem } from '../../src/pmem/mapped.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
t.comment(`SEED=${String(seed)}`);
const generator = new Random(seed);
/** A whole number in [0, limit); 0 for a limit of 0. */
function random(limit: number): number {
  return generator.below(Math.max(limit, 1));
}
function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  generator.bytes(bytes);
  return bytes;
}

const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const directory = mkdtempSync(join(memory, 'nvmfs-native-'));
const diskDirectory = mkdtempSync(join('/var/tmp', 'nvmfs-native-'));
t.teardown(() => {
  rmSync(directory, { recursive: true });
  rmSync(diskDirectory, { recursive: true });
});
const at = asByteAddr;
const WINDOW = 65536;
const SIZE = 8 * WINDOW;
let counter = 0;
function fresh(options: Parameters<typeof MappedPmem.open>[1] = {}, parent = directory): MappedPmem {
  counter++;
  return MappedPmem.open(join(parent, `image-${String(counter)}`), { create: true, size: SIZE, windowSize: WINDOW, windowLimit: 2, ...options });
}
function fails(t: Test, action: () => void, code: string, pattern: RegExp): void {
  try {
    action();
    t.fail(`expected ${code}`);
  } catch (error) {
    t.ok(error instanceof FsError, `an FsError: ${String(error)}`);
    if (error instanceof FsError) {
      t.equal(error.code, code);
      t.match(error.message, pattern);
    }
  }
}

t.test('random operations agree with a plain array, with few small windows and either instruction set', (t) => {
  for (const baseline of [false, true]) {
    addon.selectBaseline(baseline);
    const { flush, copy, crc32c } = addon.instructions();
    t.comment(`flush ${flush}, copy ${copy}, crc32c ${crc32c}`);
    const pmem = fresh();
    const model = new Uint8Array(SIZE);
    const source = randomBytes(3 * WINDOW + 100);
    let wrong = 0;
    for (let i = 0; i < 4000; i++) {
      const length = random(10) === 0 ? random(3 * WINDOW) : random(300);
      // Half of the addresses lie near a boundary of windows.
      const address = random(2) === 0 ? random(SIZE - length) : Math.min(Math.max((1 + random(7)) * WINDOW - random(200), 0), SIZE - length);
      const kind = random(5);
      if (kind === 0) {
        pmem.zero(at(address), length);
        model.fill(0, address, address + length);
      } else if (kind === 1) {
        const from = random(SIZE - length);
        if (from < address + length && address < from + length) continue;
        pmem.copy(at(address), at(from), length);
        model.copyWithin(address, from, from + length);
      } else if (kind === 2) {
        const offset = random(100);
        const target = new Uint8Array(length + 200).fill(0xaa);
        pmem.load(at(address), target, offset, length);
        const expected = new Uint8Array(length + 200).fill(0xaa);
        expected.set(model.subarray(address, address + length), offset);
        if (Buffer.compare(target, expected) !== 0) wrong++;
        pmem.persist(at(address), length);
      } else {
        const offset = random(100);
        pmem.store(at(address), source, offset, length);
        model.set(source.subarray(offset, offset + length), address);
      }
      if (random(50) === 0) pmem.fence();
    }
    t.equal(wrong, 0, 'loads see every earlier store');
    const path = pmem.path;
    pmem.close();
    t.equal(Buffer.compare(readFileSync(path), model), 0, 'and so does the file');
  }
  addon.selectBaseline(false);
  t.end();
});

t.test('an unaligned store changes nothing beside it', (t) => {
  const pmem = fresh();
  let wrong = 0;
  for (let address = 0; address < 130; address++) {
    for (let length = 0; length < 200; length++) {
      const around = new Uint8Array(512).fill(0x55);
      pmem.store(at(0), around, 0, 512);
      pmem.store(at(address + 64), new Uint8Array(length).fill(0xee), 0, length);
      around.fill(0xee, address + 64, address + 64 + length);
      const seen = new Uint8Array(512);
      pmem.load(at(0), seen, 0, 512);
      if (Buffer.compare(seen, around) !== 0) wrong++;
    }
  }
  t.equal(wrong, 0);
  pmem.close();
  t.end();
});

t.test('CRC32C: vectors of RFC 3720, hardware = portable = plain JavaScript', (t) => {
  const ascii = Buffer.from('123456789');
  for (const implementation of ['crc32c', 'crc32cPortable'] as const) {
    const crc = (...parameters: Parameters<typeof addon.crc32c>): number => addon[implementation](...parameters);
    t.equal(crc(0, new Uint8Array(32), 0, 32), 0x8a9136aa);
    t.equal(crc(0, new Uint8Array(32).fill(0xff), 0, 32), 0x62a8ab43);
    t.equal(crc(0, ascii, 0, 9), 0xe3069283);
    t.equal(crc(crc(0, ascii, 0, 4), ascii, 4, 5), 0xe3069283, 'continued');
    t.equal(crc(0x12345678, ascii, 0, 0), 0x12345678, 'of nothing');
  }
  const bytes = randomBytes(20000);
  let wrong = 0;
  for (let offset = 0; offset < 16; offset++) {
    for (let length = 0; length <= 300; length++) {
      if (addon.crc32c(length, bytes, offset, length) !== addon.crc32cPortable(length, bytes, offset, length)) wrong++;
    }
  }
  for (const length of [503, 504, 505, 511, 1008, 4079, 4080, 4081, 4096, 8160, 12345, 16384]) {
    const crc = addon.crc32c(7, bytes, 3, length);
    if (crc !== addon.crc32cPortable(7, bytes, 3, length) || crc !== plainCrc32c(7, bytes, 3, length)) wrong++;
  }
  t.equal(wrong, 0);
  t.end();
});

t.test('difference names exactly the lines that differ', (t) => {
  const comparison = new BlockComparison();
  const pmem = fresh();
  for (const baseline of [false, true]) {
    addon.selectBaseline(baseline);
    let wrong = 0;
    for (let round = 0; round < 500; round++) {
      const bytes = new Uint8Array(3 * 4096).fill(random(256));
      for (let i = random(80); i > 0; i--) bytes[random(bytes.length)] = random(256);
      const a = random(3) * 64;
      const b = 4096 + a + random(3) * 64;
      comparison.compare(bytes, a, b);
      if (pmem.difference(bytes, a, b) !== comparison.low || pmem.differenceHigh !== comparison.high) wrong++;
    }
    const bytes = new Uint8Array(8192);
    for (let i = 0; i < 4096; i++) {
      bytes.fill(0);
      bytes[4096 + i] = 1 + random(255);
      const low = pmem.difference(bytes, 0, 4096);
      const line = i >> 6;
      if (low !== (line < 32 ? (1 << line) >>> 0 : 0) || pmem.differenceHigh !== (line < 32 ? 0 : (1 << (line - 32)) >>> 0)) wrong++;
    }
    t.equal(wrong, 0);
  }
  addon.selectBaseline(false);
  pmem.close();
  t.end();
});

t.test('a volume in use is refused, to other processes and to this one', (t) => {
  const pmem = fresh();
  fails(t, () => MappedPmem.open(pmem.path), 'EBUSY', /in use by another process/);
  fails(t, () => MappedPmem.open(pmem.path, { readOnly: true }), 'EBUSY', /in use by another process/);
  const shell = spawnSync('flock', ['-n', pmem.path, 'true']);
  t.equal(shell.status, 1, 'flock(1) sees the lock');
  MappedPmem.open(pmem.path, { readOnly: true, lock: 'none' }).close();
  pmem.close();
  const one = MappedPmem.open(pmem.path, { readOnly: true });
  const two = MappedPmem.open(pmem.path, { readOnly: true });
  fails(t, () => MappedPmem.open(pmem.path), 'EBUSY', /in use by another process/);
  one.close();
  two.close();
  MappedPmem.open(pmem.path).close();
  t.end();
});

t.test('what is not an image is refused with one clear line', (t) => {
  const file = join(directory, 'small');
  writeFileSync(file, 'x');
  fails(t, () => MappedPmem.open(directory), 'EISDIR', /is a directory/);
  fails(t, () => MappedPmem.open(join(directory, 'missing')), 'ENOENT', /missing: No such file/);
  fails(t, () => MappedPmem.open('/dev/null'), 'EINVAL', /neither a regular file nor a block device/);
  fails(t, () => MappedPmem.open(file), 'EINVAL', /smaller than 4096 bytes/);
  t.equal(readFileSync(file, 'latin1'), 'x', 'and is left as it was');
  fails(t, () => MappedPmem.open(join(directory, 'unfinished'), { create: true, size: 100 }), 'EINVAL', /smaller than 4096 bytes/);
  t.notOk(existsSync(join(directory, 'unfinished')), 'what could not be made is not left behind');
  t.throws(() => MappedPmem.open(join(directory, 'x'), { create: true }), AssertionFailure);
  t.end();
});

t.test('sizes: rounded down to blocks; a new size replaces the old one', (t) => {
  const file = join(directory, 'sized');
  writeFileSync(file, Buffer.alloc(10000));
  const pmem = MappedPmem.open(file);
  t.equal(pmem.size, 8192);
  t.equal(pmem.kind, 'regular');
  pmem.close();
  const grown = MappedPmem.open(file, { size: 2 ** 40 });
  t.equal(grown.size, 2 ** 40);
  grown.store(at(2 ** 40 - 5), Buffer.from('hello'), 0, 5);
  const end = Buffer.alloc(5);
  grown.load(at(2 ** 40 - 5), end, 0, 5);
  t.equal(end.toString(), 'hello', 'a terabyte that is not there costs nothing');
  grown.close();
  t.ok(statSync(file).blocks * 512 < 100000);
  t.end();
});

t.test('ranges outside of medium or array are bugs of the caller', (t) => {
  const pmem = fresh();
  const bytes = new Uint8Array(100);
  t.throws(() => pmem.load(at(SIZE - 10), bytes, 0, 11), AssertionFailure);
  t.throws(() => pmem.load(at(-1), bytes, 0, 1), AssertionFailure);
  t.throws(() => pmem.store(at(0.5), bytes, 0, 1), AssertionFailure);
  t.throws(() => pmem.store(at(0), bytes, 50, 51), AssertionFailure);
  t.throws(() => pmem.zero(at(0), SIZE + 1), AssertionFailure);
  t.throws(() => pmem.copy(at(0), at(10), 11), AssertionFailure);
  t.throws(() => addon.load(pmem.handle, SIZE - 10, bytes, 0, 11), RangeError, 'the addon checks for itself, too');
  t.throws(() => addon.store(pmem.handle, NaN, bytes, 0, 1), RangeError);
  t.throws(() => addon.store(pmem.handle, 0, bytes, 2 ** 53, 2 ** 53), RangeError);
  t.throws(() => addon.copy(pmem.handle, 0, 2 ** 53, 2 ** 53), RangeError);
  t.throws(() => addon.crc32c(0, bytes, 99, 2), RangeError);
  t.throws(() => addon.difference(bytes, 0, 0), RangeError);
  const { handle } = pmem;
  pmem.close();
  t.throws(() => pmem.fence(), AssertionFailure);
  t.throws(() => addon.load(handle, 0, bytes, 0, 1), { code: 'EBADF' }, 'use after close is an error');
  t.throws(() => addon.fence(handle), { code: 'EBADF' });
  addon.closeImage(handle);
  t.end();
});

t.test('read-only: loads work, changes are EROFS', (t) => {
  const pmem = fresh();
  pmem.store(at(5), Buffer.from('abc'), 0, 3);
  pmem.close();
  const readOnly = MappedPmem.open(pmem.path, { readOnly: true });
  const bytes = Buffer.alloc(3);
  readOnly.load(at(5), bytes, 0, 3);
  t.equal(bytes.toString(), 'abc');
  fails(t, () => { readOnly.store(at(0), bytes, 0, 3); }, 'EROFS', /read-only/);
  fails(t, () => { readOnly.zero(at(0), 3); }, 'EROFS', /read-only/);
  fails(t, () => { readOnly.copy(at(0), at(10), 3); }, 'EROFS', /read-only/);
  fails(t, () => { readOnly.persist(at(0), 3); }, 'EROFS', /read-only/);
  fails(t, () => { readOnly.back(at(0), 3); }, 'EROFS', /read-only/);
  readOnly.fence();
  readOnly.close();
  t.end();
});

t.test('durability domains: detected, and overridden', (t) => {
  const inMemory = fresh();
  if (memory === '/dev/shm') t.equal(inMemory.domain, 'memory');
  inMemory.close();
  const onDisk = fresh({}, diskDirectory);
  t.equal(onDisk.domain, 'file');
  // One range and many, in one window and across: the fence has to sync each of them.
  onDisk.store(at(1), Buffer.from('one'), 0, 3);
  onDisk.fence();
  onDisk.store(at(WINDOW - 2), Buffer.from('cross'), 0, 5);
  onDisk.zero(at(SIZE - 100), 100);
  onDisk.fence();
  onDisk.fence();
  const seen = Buffer.alloc(5);
  const fd = openSync(onDisk.path, 'r');
  readSync(fd, seen, 0, 5, WINDOW - 2);
  closeSync(fd);
  t.equal(seen.toString(), 'cross');
  onDisk.close();
  for (const domain of ['memory', 'sync-dax', 'file'] as const) {
    const pmem = fresh({ domain });
    t.equal(pmem.domain, domain);
    pmem.store(at(0), seen, 0, 5);
    pmem.fence();
    pmem.close();
  }
  t.end();
});

t.test('a page that vanished (SIGBUS) is EIO naming its address, and the process lives', (t) => {
  const pmem = fresh();
  const bytes = new Uint8Array(SIZE);
  pmem.store(at(0), bytes, 0, SIZE);
  const fd = openSync(pmem.path, 'r+');
  ftruncateSync(fd, 4096);
  const rounds = 50;
  for (let i = 0; i < rounds; i++) {
    fails(t, () => { pmem.load(at(4000), bytes, 0, 200); }, 'EIO', /load of 200 bytes at address 4000 .* cannot deliver the page at address 4096/);
  }
  fails(t, () => { pmem.store(at(8192), bytes, 0, 64); }, 'EIO', /page at address 8192/);
  fails(t, () => { pmem.store(at(8193), bytes, 0, 1); }, 'EIO', /store of 1 bytes at address 8193 .* page at address 8192/);
  fails(t, () => { pmem.zero(at(2 * WINDOW), 64); }, 'EIO', new RegExp(`page at address ${String(2 * WINDOW)}`));
  fails(t, () => { pmem.copy(at(0), at(WINDOW), 64); }, 'EIO', new RegExp(`page at address ${String(WINDOW)}`));
  fails(t, () => { pmem.copy(at(WINDOW), at(0), 64); }, 'EIO', new RegExp(`page at address ${String(WINDOW)}`));
  ftruncateSync(fd, SIZE);
  closeSync(fd);
  pmem.store(at(8192), Buffer.from('again'), 0, 5);
  const seen = Buffer.alloc(5);
  pmem.load(at(8192), seen, 0, 5);
  t.equal(seen.toString(), 'again', 'what came back is usable');
  pmem.close();
  t.end();
});

t.test('a SIGBUS that is not ours still ends the process', (t) => {
  const script = `
    import { addon } from '${new URL('../../native/addon.js', import.meta.url).href}';
    addon.closeImage(addon.openImage({ path: process.argv[1], descriptor: -1, readOnly: false, create: true, lock: 'none', size: 4096, domain: 'auto', windowSize: 65536, windowLimit: 2 }).handle);
    process.kill(process.pid, 'SIGBUS');
    setTimeout(() => {}, 5000);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script, join(directory, 'bus')]);
  t.equal(child.signal, 'SIGBUS', child.stderr.toString());
  t.end();
});

t.test('back(): space on the host or ENOSPC', { skip: process.getuid?.() !== 0 && 'needs root to mount a small tmpfs' }, (t) => {
  const mount = join(directory, 'small-tmpfs');
  mkdirSync(mount);
  t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=5m', 'tmpfs', mount]).status, 0);
  t.teardown(() => spawnSync('umount', [mount]));
  const pmem = MappedPmem.open(join(mount, 'image'), { create: true, size: 64 * 2 ** 20 });
  const used = (): number => statSync(pmem.path).blocks * 512;
  pmem.back(at(100), 10);
  t.equal(used(), 2 * 2 ** 20, 'a whole chunk of 2 MiB');
  pmem.back(at(0), 2 * 2 ** 20);
  t.equal(used(), 2 * 2 ** 20);
  pmem.back(at(2 * 2 ** 20 - 1), 2);
  t.equal(used(), 4 * 2 ** 20, 'a range over two chunks');
  pmem.back(at(10 * 2 ** 20), 4096);
  t.equal(used(), 4 * 2 ** 20 + 4096, 'where a chunk is too much, what was asked for');
  fails(t, () => { pmem.back(at(20 * 2 ** 20), 2 ** 20); }, 'ENOSPC', /the host has no space for 1048576 bytes at address 20971520/);
  pmem.store(at(10 * 2 ** 20), new Uint8Array(4096), 0, 4096);
  fails(t, () => { pmem.zero(at(30 * 2 ** 20), 2 ** 20); }, 'EIO', /cannot deliver/);
  pmem.fence();
  pmem.close();
  t.end();
});

t.test('an existing file is changed only where it was stored to', (t) => {
  const path = join(diskDirectory, 'existing');
  const fd = openSync(path, 'w');
  writeSync(fd, Buffer.alloc(8192, 0x77));
  closeSync(fd);
  const pmem = MappedPmem.open(path);
  const bytes = Buffer.alloc(4);
  pmem.load(at(4096), bytes, 0, 4);
  t.equal(bytes.readUInt32LE(0), 0x77777777);
  pmem.zero(at(4096), 2);
  pmem.close();
  t.equal(readFileSync(path).readUInt32LE(4096), 0x77770000);
  t.end();
});

t.test('the domain of a host file', (t) => {
  for (const [place, domain] of [[directory, existsSync('/dev/shm') ? 'memory' : 'file'], [diskDirectory, 'file']] as const) {
    const path = join(place, 'host');
    // Empty, as such a file begins.
    const fd = openSync(path, 'w+');
    const found = addon.hostDomain(fd);
    closeSync(fd);
    rmSync(path);
    t.equal(found, domain, place);
  }
  t.end();
});
