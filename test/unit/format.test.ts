// Guards the medium: code and doc/FORMAT.md say the same, and a volume that an earlier program made is read as it was meant.
// GOLDEN=write, write-xattrs and write-regions make the golden images of the present version anew: only when the version changes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import t from 'tap';
import { makeVolume } from '../../mkfs/layout.js';
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { nameHash } from '../../src/dir/hash.js';
import * as layout from '../../src/format/layout.js';
import { isRegionDirectory, readSuperblock } from '../../src/format/superblock.js';
import { openVolume } from '../../src/fs/volume.js';
import { AllocateMode, AttributeChange, Caller, Change, Name } from '../../src/fs/types.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { SimulatedRegions } from '../../src/region/simulated.js';
import { acl } from '../helpers/acl.js';
import { openOn, viewOf } from '../helpers/crash-states.js';
import { type Asserts, projectRoot } from '../helpers/run.js';

const text = readFileSync(join(projectRoot, 'doc/FORMAT.md'), 'utf8');

/** The cells of the tables below a heading, by the first line of each table. */
function tables(heading: string): string[][][] {
  const at = text.search(new RegExp(`^#+ ${heading}$`, 'm'));
  t.ok(at >= 0, `the document has a section ${heading}`);
  const rest = text.slice(at).split('\n').slice(1);
  const end = rest.findIndex((line) => line.startsWith('#'));
  const found: string[][][] = [];
  let open: string[][] | undefined;
  for (const line of rest.slice(0, end)) {
    if (!line.startsWith('|')) open = undefined;
    else if (open === undefined) found.push((open = []));
    else if (!line.startsWith('|--')) open.push(line.replaceAll('\\|', '!').split('|').slice(1, -1).map((cell) => cell.trim()));
  }
  return found;
}

function names(record: object): Record<string, number> {
  return { ...record };
}

const fields: [string, number, object][] = [
  ['Block header', 0, layout.BlockHeader],
  ['Superblock', 0, layout.Superblock],
  ['Volume state', 0, layout.VolumeState],
  ['Allocation group', 0, layout.GroupHeader],
  ['Tree root', 0, layout.TreeRoot],
  ['Tree node', 0, layout.TreeNode],
  ['Item area', 0, layout.ItemArea],
  ['Inode table', 0, layout.FreeInodes],
  ['Inode record', 0, layout.Inode],
  ['Extents', 0, layout.Extent],
  ['Directory entries', 0, layout.Dentry],
  ['Xattr block', 0, layout.XattrBlock],
  ['Xattr item', 0, layout.XattrItem],
  ['Xattr value', 0, layout.XattrValue],
  ['Journal record', 0, layout.JournalRecord],
  ['Journal record', 1, layout.JournalEntry],
];

t.test('every field is where the document says', (t) => {
  for (const [heading, index, code] of fields) {
    const rows = tables(heading)[index] ?? [];
    const document = Object.fromEntries(rows.map(([offset, , name]) => [name as string, Number(offset)]));
    t.same(document, names(code), `${heading}, table ${String(index)}`);
    let end = 0;
    for (const [offset, type] of rows) {
      t.ok(Number(offset) >= end, `${heading}: the field at ${String(offset)} begins behind the one before`);
      end = Number(offset) + sizeOf(type as string);
    }
  }
  t.end();
});

/** Bytes of a field's type, one element of an array of unknown length. */
function sizeOf(type: string): number {
  const [, bits, count] = /^[ui](\d+)(?:\[(\d*)\])?$/.exec(type) ?? [];
  return (Number(bits) / 8) * (count === undefined || count === '' ? 1 : Number(count));
}

t.test('magic numbers, flags and constants', (t) => {
  const byName: Record<string, number> = { superblock: layout.Magic.superblock, 'volume state': layout.Magic.state, 'allocation group header': layout.Magic.group, 'tree node': layout.Magic.node, 'xattr block': layout.Magic.xattr, 'xattr value': layout.Magic.xattrValue, 'journal record (no block header)': layout.Magic.record, 'inode record (16 bits, no block header)': layout.Magic.inode };
  for (const [number, ascii, name] of tables('Block header')[1] ?? []) {
    t.equal(Number(number), byName[name as string], `magic of ${String(name)}`);
    let value = Number(number);
    let letters = '';
    for (; value > 0; value = Math.floor(value / 256)) letters += String.fromCharCode(value % 256);
    t.equal(letters, ascii, `letters of ${String(name)}`);
  }
  const flags = Object.fromEntries((tables('Inode record')[1] ?? []).map(([bit, name]) => [name as string, Number(bit)]));
  t.same(flags, names(layout.InodeFlag), 'inode flags');
  const features = (kind: string): Record<string, number> =>
    Object.fromEntries((tables('Superblock')[1] ?? []).filter((row) => row[0] === kind).map(([, bit, name]) => [name as string, 2 ** Number(bit)]));
  t.same(features('readOnlyCompat'), names(layout.ReadOnlyFeature), 'read-only features');
  t.same(features('incompat'), names(layout.IncompatFeature), 'incompatible features');
  const says = (pattern: RegExp, value: number): void => {
    t.equal(Number(pattern.exec(text)?.[1]?.replaceAll(',', '')), value, String(pattern));
  };
  says(/\*\*block\*\* of (\d+) bytes/, layout.BLOCK_SIZE);
  says(/A group is as many .*: (\d+) blocks/, layout.GROUP_BLOCKS);
  says(/last group has at least (\d+) blocks/, layout.MIN_GROUP_BLOCKS);
  says(/version 1\n/.test(text) ? /format, version (\d+)/ : /never/, layout.FORMAT_VERSION);
  says(/array of (\d+)-byte records/, layout.INODE_SIZE);
  says(/\| entries \| 1 … (\d+) \|/, layout.TRANSACTION_BLOCKS_MAX);
  says(/a \*\*payload\*\* of 0 … (\d+) bytes/, layout.TREE_MAX_PAYLOAD);
  says(/, (\d+) bytes inside an \[xattr block\]/, layout.XATTR_ROOT_SIZE);
  says(/valueLength \| bytes, at most (\d+) \|/, layout.XATTR_VALUE_MAX);
  says(/one byte more; at most (\d+),/, layout.XATTR_LIST_MAX);
  says(/nameLength \| 1 … (\d+) \|/, layout.XATTR_NAME_MAX);
  says(/bytes of the value in this block, 1 … (\d+) \|/, layout.XATTR_VALUE_BLOCK_BYTES);
  says(/a longer one \(to (\d+) bytes\)/, layout.SYMLINK_MAX);
  says(/`root` is a node of level n − 1. At most (\d+)/, layout.TREE_MAX_DEPTH);
  t.equal(layout.GROUP_BLOCKS, (layout.BLOCK_SIZE - layout.GroupHeader.bitmap) * 8);
  t.end();
});

t.test('a region directory in the superblock', (t) => {
  const made = (regions: string): SimulatedPmem => {
    const pmem = new SimulatedPmem(8 * 1024 * 1024);
    makeVolume(pmem, { label: '', uuid: new Uint8Array(16), journalId: 1, hashSeed: 1, madeSeconds: 1, regions });
    return pmem;
  };
  const longest = `/${'é'.repeat(511)}e`;
  for (const path of ['/a', '/srv/nv mfs/ünï', longest]) {
    const { geometry } = readSuperblock(made(path));
    t.equal(geometry.regions, path);
    t.equal(geometry.readOnlyCompat, layout.ReadOnlyFeature.xattrs | layout.ReadOnlyFeature.regionDirectory, 'an older program may only read');
    t.ok(verifyVolume(made(path)).clean);
    t.equal(verifyVolume(made(path)).identity?.regions, path);
  }
  for (const path of ['a', '/', '/a/', '//a', '/a/./b', '/..', '/a\nb', `${longest}x`]) {
    t.notOk(isRegionDirectory(path), JSON.stringify(path));
    t.throws(() => made(path), { code: 'EINVAL' });
  }
  const backup = made('/a');
  backup.zero(asByteAddr(0), layout.BLOCK_SIZE);
  t.equal(readSuperblock(backup).geometry.regions, '/a', 'the backup has it, too');
  const plain = readSuperblock(made('')).geometry;
  t.same([plain.regions, plain.readOnlyCompat], ['', layout.ReadOnlyFeature.xattrs], 'without one nothing is new');
  t.end();
});

/** The name hash as the document words it, slowly. */
function documentedHash(hashSeed: number, name: Uint8Array): bigint {
  const u32 = (x: bigint): bigint => x & 0xffffffffn;
  const rotate = (x: bigint, k: bigint): bigint => u32((x << k) | (x >> (32n - k)));
  let a = BigInt(hashSeed) ^ BigInt(name.length);
  let b = BigInt(hashSeed) ^ 0x9e3779b9n;
  for (const byte of name) {
    a = u32((a ^ BigInt(byte)) * 0x01000193n);
    b = rotate(u32((b ^ BigInt(byte)) * 0x85ebca6bn), 13n);
  }
  const mix = (h: bigint): bigint => {
    h ^= h >> 16n;
    h = u32(h * 0x7feb352dn);
    h ^= h >> 15n;
    h = u32(h * 0x846ca68bn);
    return h ^ (h >> 16n);
  };
  const hash = mix(a ^ rotate(b, 7n)) * 2048n + (mix(b) >> 21n);
  return hash === 0n ? 1n : hash;
}

t.test('the name hash', (t) => {
  const random = new Random(1);
  for (let count = 0; count < 200; count += 1) {
    const bytes = new Uint8Array(random.between(1, 255));
    random.bytes(bytes);
    const hashSeed = random.nextU32();
    t.equal(BigInt(nameHash(hashSeed, bytes, 0, bytes.length)), documentedHash(hashSeed, bytes));
  }
  t.end();
});

const SIZE = 4 * 1024 * 1024;
const goldenPath = (suffix: string): string => join(projectRoot, `test/golden/version-${String(layout.FORMAT_VERSION)}${suffix}.bin`);
const MADE = { uuid: Buffer.from('golden volume 01'), journalId: 77, hashSeed: 0x1234567, madeSeconds: 1_700_000_000, madeNanoseconds: 5 };

/** A volume of the first programs, without features, made with nothing left to chance, as the bytes of its blocks that are not zero: number, then contents. */
function goldenVolume(): Uint8Array {
  const pmem = new SimulatedPmem(SIZE);
  makeVolume(pmem, { ...MADE, label: 'golden', readOnlyFeatures: 0, incompatFeatures: 0 });
  const clock = new ManualClock(1_700_000_001, 6);
  const fs = openVolume(pmem, { clock });
  const caller = Object.assign(new Caller(), { uid: 1000, gid: 100 });
  const root = asIno(1);
  const make = (parent: ReturnType<typeof asIno>, name: string, mode: number): ReturnType<typeof asIno> => {
    clock.advance(1_000_000_007);
    return fs.makeNode(parent, Name.from(name), mode, caller, 8, 17);
  };
  const file = make(root, 'file', 0o100644);
  const bytes = Uint8Array.from({ length: 9000 }, (_, index) => (index % 64 === 0 ? 65 + ((index / 64) % 26) : 46));
  fs.write(file, 0, bytes, 0, bytes.length);
  fs.link(file, root, Name.from('second name'));
  const directory = make(root, 'directory', 0o040750);
  for (let index = 0; index < 60; index += 1) make(directory, `entry ${String(index)} ${'e'.repeat(60)}`, 0o100600);
  for (let index = 0; index < 60; index += 4) fs.unlink(directory, Name.from(`entry ${String(index)} ${'e'.repeat(60)}`));
  const sparse = make(directory, 'sparse', 0o100640);
  for (let index = 0; index < 9; index += 1) fs.write(sparse, 3 * index * 4096, bytes, 0, 100);
  fs.allocate(sparse, AllocateMode.keepSize, 40 * 4096, 4 * 4096);
  fs.symlink(root, Name.from('short'), Name.from('file'), caller);
  fs.symlink(root, Name.from('long'), Name.from(`/${'l'.repeat(2000)}`), caller);
  make(root, 'device', 0o060660);
  make(root, Buffer.from([0xff, 0xfe]).toString('latin1'), 0o010600);
  fs.hold(file);
  fs.unlink(root, Name.from('file'));
  fs.unlink(root, Name.from('second name'));
  pmem.fence();
  return pack(pmem);
}

/** The same with extended attributes of all kinds. */
function goldenXattrs(): Uint8Array {
  const pmem = new SimulatedPmem(SIZE);
  makeVolume(pmem, { ...MADE, label: 'golden xattrs', incompatFeatures: 0 });
  const clock = new ManualClock(1_700_000_001, 6);
  const fs = openVolume(pmem, { clock });
  const caller = Object.assign(new Caller(), { uid: 1000, gid: 100, umask: 0o027 });
  const root = asIno(1);
  const make = (parent: ReturnType<typeof asIno>, name: string, mode: number): ReturnType<typeof asIno> => {
    clock.advance(1_000_000_007);
    return fs.makeNode(parent, Name.from(name), mode, caller, 0, 0);
  };
  const set = (ino: ReturnType<typeof asIno>, name: string, value: Uint8Array): void => {
    fs.setXattr(ino, Name.from(name), value, 0, value.length, 0);
  };
  const file = make(root, 'file', 0o100666);
  set(file, 'user.small', Buffer.from('value'));
  set(file, 'user.empty', Buffer.alloc(0));
  set(file, 'trusted.large', new Uint8Array(10_000).fill(65));
  set(file, 'security.gone', new Uint8Array(5000).fill(66));
  fs.removeXattr(file, Name.from('security.gone'));
  const many = make(root, 'many', 0o100666);
  for (let index = 0; index < 60; index += 1) set(many, `user.${String(index)}.${'n'.repeat(100)}`, Buffer.from(String(index)));
  const parent = make(root, 'parent', 0o040777);
  set(parent, 'system.posix_acl_default', acl(['userObject', 0, 7], ['user', 1001, 6], ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 4]));
  make(parent, 'inherits', 0o100666);
  make(parent, 'sub', 0o040700);
  pmem.fence();
  return pack(pmem);
}

/** With a recorded region directory: a region, a draft, and a file whose data was in the image before the flag. */
function goldenRegions(regions: SimulatedRegions): Uint8Array {
  const pmem = new SimulatedPmem(SIZE);
  makeVolume(pmem, { ...MADE, label: 'golden regions', regions: '/srv/golden.regions' });
  const clock = new ManualClock(1_700_000_001, 6);
  const fs = openVolume(pmem, { clock, regions });
  const root = asIno(1);
  const make = (parent: ReturnType<typeof asIno>, name: string, mode: number): ReturnType<typeof asIno> => fs.makeNode(parent, Name.from(name), mode, new Caller(), 0, 0);
  const directory = make(root, 'directory', 0o040755);
  fs.setFlags(directory, layout.InodeFlag.dax, 0);
  const region = make(directory, 'region', 0o100644);
  fs.write(region, 0, Buffer.from('in the host file'), 0, 16);
  fs.setAttributes(region, Object.assign(new AttributeChange(), { mask: Change.size, size: 5000 }));
  make(directory, 'draft', 0o100644);
  const image = make(root, 'image', 0o100644);
  fs.write(image, 0, Buffer.from('in the image'), 0, 12);
  fs.setFlags(image, layout.InodeFlag.dax, 0);
  pmem.fence();
  return pack(pmem);
}

function pack(pmem: SimulatedPmem): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let block = 0; block < SIZE / 4096; block += 1) {
    const contents = new Uint8Array(4096);
    pmem.load(asByteAddr(block * 4096), contents, 0, 4096);
    if (contents.every((byte) => byte === 0)) continue;
    const number = Buffer.alloc(4);
    number.writeUInt32LE(block);
    parts.push(number, contents);
  }
  return Buffer.concat(parts);
}

function unpack(packed: Uint8Array): SimulatedPmem {
  const pmem = new SimulatedPmem(SIZE);
  for (let at = 0; at < packed.length; at += 4100) {
    pmem.store(asByteAddr(Buffer.from(packed).readUInt32LE(at) * 4096), packed, at + 4, 4096);
  }
  return pmem;
}

/** Compares what is made now with the golden image, and returns that as a medium. */
function checkGolden(t: Asserts, suffix: string, made: Uint8Array): SimulatedPmem {
  if (process.env['GOLDEN'] === `write${suffix}`) writeFileSync(goldenPath(suffix), deflateRawSync(made, { level: 9 }));
  const golden = inflateRawSync(readFileSync(goldenPath(suffix)));
  t.equal(Buffer.compare(made, golden), 0, 'the same operations give the same bytes');
  return unpack(golden);
}

t.test('the golden image of regions', (t) => {
  const regions = new SimulatedRegions({ clock: new ManualClock(1_700_000_001, 6) });
  const image = checkGolden(t, '-regions', goldenRegions(regions));
  const { geometry } = readSuperblock(image);
  t.equal(geometry.regions, '/srv/golden.regions');
  t.same(regions.names(), ['0000000000000003-00000003']);
  const report = verifyVolume(image, { regions: () => ({ inspection: regions, reason: '', foreign: false }) });
  t.same(report.findings, [], 'it is sound, with its region directory');
  t.equal(report.statistics?.regions, 1);
  const view = viewOf(openOn(image, undefined, regions));
  t.same([...view.files].map(([path, bytes]) => [path, bytes.length, Buffer.from(bytes.subarray(0, 16)).toString()]).sort(), [
    ['/directory/draft', 0, ''],
    ['/directory/region', 5000, 'in the host file'],
    ['/image', 12, 'in the image'],
  ]);
  t.end();
});

t.test('the golden image of extended attributes', (t) => {
  const image = checkGolden(t, '-xattrs', goldenXattrs());
  t.same(verifyVolume(image).findings, [], 'it is sound');
  t.equal(verifyVolume(image).statistics?.xattrs, 67);
  const lines = viewOf(openOn(image)).names.split('\n').filter((line) => !line.startsWith('/many') && !line.includes('/..'));
  t.same(lines.slice(0, -1).sort(), [
    '/: 40755 3 0 0 3 0 0',
    '/file [trusted.large] f2fb75ccad2778e12a7d298244b2f40a106a9f9d',
    '/file [user.empty] ',
    '/file [user.small] 76616c7565',
    '/file: 100640 1 1000 100 0 0 0',
    '/parent [system.posix_acl_default] 0200000001000700ffffffff02000600e903000004000500ffffffff10000700ffffffff20000400ffffffff',
    '/parent/inherits [system.posix_acl_access] 0200000001000600ffffffff02000600e903000004000500ffffffff10000600ffffffff20000400ffffffff',
    '/parent/inherits: 100664 1 1000 100 0 0 0',
    '/parent/sub [system.posix_acl_access] 0200000001000700ffffffff02000600e903000004000500ffffffff10000000ffffffff20000000ffffffff',
    '/parent/sub [system.posix_acl_default] 0200000001000700ffffffff02000600e903000004000500ffffffff10000700ffffffff20000400ffffffff',
    '/parent/sub: 40700 2 1000 100 0 0 0',
    '/parent: 40750 3 1000 100 2 0 0',
  ].sort());
  t.end();
});

t.test('the golden image', (t) => {
  const image = checkGolden(t, '', goldenVolume());
  t.same(verifyVolume(image).findings, [], 'it is sound');
  const view = viewOf(openOn(image));
  const lines = view.names.split('\n').filter((line) => !line.includes('/entry '));
  t.same(lines.slice(0, -1).sort(), [
    '/..: 1',
    '/: 40755 3 0 0 5 0 0',
    '/device: 60660 1 1000 100 0 8 17',
    '/directory/..: 1',
    '/directory/sparse: 100640 1 1000 100 98404 0 0',
    '/directory: 40750 2 1000 100 46 0 0',
    `/long: 120777 1 1000 100 2001 0 0 -> /${'l'.repeat(2000)}`,
    '/short: 120777 1 1000 100 4 0 0 -> file',
    '/\xc3\xbf\xc3\xbe: 10600 1 1000 100 0 0 0',
  ].sort());
  t.equal(view.names.split('\n').filter((line) => line.includes('/entry ')).length, 45);
  const sparse = Buffer.from(view.files.get('/directory/sparse') ?? []);
  t.equal(sparse.toString('latin1', 3 * 4096, 3 * 4096 + 66), `A${'.'.repeat(63)}B.`);
  t.ok(sparse.subarray(100, 3 * 4096).every((byte) => byte === 0), 'holes are zero');
  t.same(verifyVolume(image).findings, [], 'and sound after its orphan was freed');
  t.end();
});
