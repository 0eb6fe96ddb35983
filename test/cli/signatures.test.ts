// Guards that mkfs never destroys a filesystem it could have recognised, and never sees one where there is none.
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findSignatures, knownSignatures, type FoundSignature } from '../../mkfs/signatures.js';
import { command, run, scratchDirectory } from './command.js';

const MIB = 2 ** 20;

function findIn(bytes: Buffer): FoundSignature[] {
  return findSignatures(bytes.length, (address, length) =>
    address + length > bytes.length ? null : bytes.subarray(address, address + length),
  );
}

function findInFile(path: string): string[] {
  const { size } = statSync(path);
  const descriptor = openSync(path, 'r');
  try {
    const found = findSignatures(size, (address, length) => {
      const bytes = Buffer.alloc(length);
      return readSync(descriptor, bytes, 0, length, address) === length ? bytes : null;
    });
    return found.map((signature) => signature.name);
  } finally {
    closeSync(descriptor);
  }
}

/** Bytes that each signature is known by, written by hand from the formats' own documents, not from our table. */
const EXAMPLES: Readonly<Record<string, readonly [address: number, hex: string][]>> = {
  nvmfs: [[24, '4e564d46530d0a1a']],
  'ext2/ext3/ext4': [[1024, '10000000'], [1024 + 56, '53ef'], [1024 + 76, '01000000']],
  xfs: [[0, '58465342']],
  btrfs: [[65600, '5f42485266535f4d']],
  f2fs: [[1024, '1020f5f2']],
  erofs: [[1024, 'e2e1f5e0']],
  squashfs: [[0, '68737173']],
  nilfs2: [[1024, '02000000'], [1024 + 6, '3434'], [1024 + 8, '1801']],
  ntfs: [[3, '4e54465320202020'], [510, '55aa']],
  exfat: [[3, '4558464154202020'], [510, '55aa']],
  vfat: [[0x52, '4641543332202020'], [510, '55aa']],
  iso9660: [[32769, '4344303031']],
  udf: [[32769, '4245413031'], [34817, '4e53523032']],
  swap: [[4086, '53574150535041434532']],
  LUKS: [[0, '4c554b53babe0002']],
  'LVM2 physical volume': [[512, '4c4142454c4f4e45']],
  'Linux RAID member': [[4096, 'fc4e2ba901000000']],
  'bcachefs/bcache': [[4096 + 24, 'c68573f666ce90a9d96a60cf803df7ef']],
  zfs: [[131072, '0cb1ba0000000000']],
  reiserfs: [[65588, '526549734572324673']],
  jfs: [[32768, '4a465331']],
  'GPT partition table': [[512, '4546492050415254']],
  'MBR partition table': [[446, '80202100830000000008000000000100'], [510, '55aa']],
};

function imageOf(parts: readonly [number, string][]): Buffer {
  const image = Buffer.alloc(MIB);
  for (const [address, hex] of parts) image.write(hex, address, 'hex');
  return image;
}

t.test('every example is found by its name, once its mark is erased no longer', (t) => {
  for (const [name, parts] of Object.entries(EXAMPLES)) {
    const image = imageOf(parts);
    const found = findIn(image).filter((signature) => signature.name === name);
    t.ok(found.length > 0, `${name} is found`);
    for (const { address, length } of found) image.fill(0, address, address + length);
    t.notOk(findIn(image).some((signature) => signature.name === name), `${name} is gone`);
  }
  t.ok(knownSignatures().length >= 40, 'the table is complete enough');
  t.end();
});

t.test('a backup at the end of the medium is found', (t) => {
  const image = Buffer.alloc(MIB);
  image.write('EFI PART', MIB - 512, 'latin1');
  t.same(findIn(image).map((one) => [one.name, one.address]), [['GPT partition table', MIB - 512]]);
  t.end();
});

t.test('nothing is found where there is nothing', (t) => {
  t.same(findIn(Buffer.alloc(MIB)), [], 'zero bytes');
  t.same(findIn(Buffer.alloc(MIB, 0xff)), [], 'bytes of ones');
  t.same(findIn(Buffer.alloc(0)), [], 'an empty medium');
  t.same(findIn(Buffer.alloc(511)), [], 'a medium smaller than every place');
  t.same(findIn(imageOf([[510, '55aa']])), [], 'a boot sector without partitions');
  t.same(findIn(imageOf([[1024 + 56, '53ef'], [1024 + 24, 'ffffffff']])), [], 'the two bytes of ext4 in something else');
  t.end();
});

t.test('random bytes are not taken for a filesystem', (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31) >>> 0;
  t.comment(`SEED=${String(seed)}`);
  let state = seed === 0 ? 1 : seed;
  const image = Buffer.alloc(MIB);
  let wrong = 0;
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < MIB; i += 4) {
      // xorshift32
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      image.writeInt32LE(state, i);
    }
    if (findIn(image).length > 0) wrong += 1;
  }
  t.equal(wrong, 0, 'no signature in 20 MiB of random bytes');
  t.end();
});

/** Real ones, made by their own tools where those are installed. */
const MAKERS: readonly { program: string; args: readonly string[]; expected: string; size: number }[] = [
  { program: 'mkfs.ext2', args: ['-q', '-F'], expected: 'ext2/ext3/ext4', size: 16 * MIB },
  { program: 'mkfs.ext4', args: ['-q', '-F'], expected: 'ext2/ext3/ext4', size: 16 * MIB },
  { program: 'mke2fs', args: ['-q', '-F', '-O', 'journal_dev'], expected: 'ext2/ext3/ext4', size: 16 * MIB },
  { program: 'mkfs.xfs', args: ['-q'], expected: 'xfs', size: 512 * MIB },
  { program: 'mkfs.btrfs', args: ['-q'], expected: 'btrfs', size: 256 * MIB },
  { program: 'mkfs.f2fs', args: ['-q'], expected: 'f2fs', size: 64 * MIB },
  { program: 'mkfs.vfat', args: [], expected: 'vfat', size: 64 * MIB },
  { program: 'mkswap', args: [], expected: 'swap', size: 16 * MIB },
  { program: 'mkfs.minix', args: [], expected: 'minix', size: 16 * MIB },
];

const SEARCH = ['/sbin', '/usr/sbin', '/bin', '/usr/bin'];

for (const { program, args, expected, size } of MAKERS) {
  const path = SEARCH.map((directory) => join(directory, program)).find((candidate) => existsSync(candidate));
  const skip = path === undefined ? `${program} is not installed` : false;
  t.test(`what ${[program, ...args].join(' ')} makes is ${expected}`, { skip }, (t) => {
    const [directory, remove] = scratchDirectory();
    t.teardown(remove);
    const image = join(directory, 'image');
    writeFileSync(image, '');
    truncateSync(image, size);
    const { exitCode, stderr } = run(path ?? program, [...args, image]);
    t.equal(exitCode, 0, stderr);
    const before = readFileSync(image).subarray(0, MIB);
    t.ok(findInFile(image).includes(expected), `found: ${findInFile(image).join(', ')}`);
    t.ok(readFileSync(image).subarray(0, MIB).equals(before), 'looking changes nothing');
    t.equal(command('mkfs.nvmfs', '-q', image).exitCode, 1, 'mkfs refuses it');
    t.equal(command('mkfs.nvmfs', '-q', '-f', image).exitCode, 0, 'unless it is forced');
    t.same(findInFile(image).filter((name) => name !== 'nvmfs'), [], 'then nothing of it is found any more');
    const others = run('blkid', ['-p', '-o', 'value', '-s', 'TYPE', '-s', 'PTTYPE', image]);
    t.equal(others.stdout, '', 'nor by blkid');
    t.end();
  });
}
