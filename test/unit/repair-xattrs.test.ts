// Guards repair: of extended attributes only what is damaged is lost, what an access ACL says never outlives the mode, and all their blocks have an owner.
import t from 'tap';
import { ManualClock } from '../../src/base/clock.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino, MIB } from '../../src/base/units.js';
import { aclMode } from '../../src/check/acl.js';
import { verifyVolume } from '../../src/check/verify.js';
import { BLOCK_SIZE, BlockHeader, FileType, Inode, INODE_SIZE, Magic, TreeKind, TreeNode } from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import { readSuperblock } from '../../src/format/superblock.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import type { Problem } from '../../src/repair/problems.js';
import { repairVolume } from '../../src/repair/repair.js';
import { acl } from '../helpers/acl.js';
import { DAMAGES } from '../helpers/damages.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { Sample, sampleVolume } from '../helpers/sample-volume.js';
import { InodeReader } from '../helpers/wounded-volume.js';

const SHORT = 'user.short';
const LONG = 'user.long';
const ACL = 'system.posix_acl_access';
const ALL = [SHORT, LONG, ACL];

/** What the file of the sample loses by which damage. */
const LOST: Record<string, readonly string[]> = {
  'attributes in a volume without the feature': ALL,
  'owner of an xattr block': ALL,
  'magic of an xattr block': ALL,
  'no attributes': ALL,
  'count of attributes': [],
  'bytes of names': [],
  'reserved byte of an xattr block': [],
  'reserved byte of an attribute': [],
  'length of a value in its item': [SHORT],
  'length of a name': [SHORT],
  'name in no namespace': [SHORT],
  'name with a zero byte': [SHORT],
  'hash of the name of an attribute': [SHORT],
  'length of a value beyond 64 KiB': [LONG],
  'short value in blocks': [LONG],
  'value without blocks': [LONG],
  'value in the journal': [LONG],
  'value that is its own continuation': [LONG],
  'checksum of a value': [LONG],
  'owner of a value': [LONG],
  'value of another attribute': [LONG],
  'value out of order': [LONG],
  'value that is too short': [LONG],
  'value that goes on behind its end': [],
  'bytes behind the end of a value': [],
  'version of an ACL': [ACL],
  'order of an ACL': [ACL],
  'blocks without those of the attributes': [],
  'two inodes with one xattr block': [],
};

const repair = (pmem: SimulatedPmem, decide?: (problem: Problem) => boolean): ReturnType<typeof repairVolume> =>
  repairVolume(pmem, { clock: new ManualClock(1_700_000_000), ...(decide === undefined ? {} : { decide }) });

t.test('the damaged attribute is lost, the others stay', (t) => {
  const sound = new InodeReader(sampleVolume().volume.pmem).xattrs(Sample.linkedFile);
  t.same([...sound.keys()].sort(), [...ALL].sort());
  for (const [name, lost] of Object.entries(LOST)) {
    // The name of one damage of a directory is that of one of an attribute.
    const damage = DAMAGES.find((candidate) => candidate.name === name && !candidate.kind.startsWith('dentry'));
    if (damage === undefined) throw new Error(`no damage '${name}'`);
    const sample = sampleVolume();
    damage.do(sample, sample.volume);
    const { pmem } = sample.volume;
    const { countByKind } = repair(pmem);
    const { kind } = damage;
    // What two inodes claim is one's that says so: the other has a block that is not its own.
    if (name !== 'two inodes with one xattr block') t.ok(countByKind.has(kind), `${name}: found as ${kind}`);
    t.ok(verifyVolume(pmem).clean, `${name}: clean`);
    const expected = new Map([...sound].filter(([key]) => !lost.includes(key)));
    t.same(new InodeReader(pmem).xattrs(Sample.linkedFile), expected, `${name}: what is left`);
  }
  t.end();
});

t.test('an access ACL follows the mode, a default ACL of a file goes', (t) => {
  const sample = sampleVolume();
  sample.volume.editInode(Sample.linkedFile, (view) => { view.setUint16(Inode.mode, 0o100600, true); });
  const { pmem } = sample.volume;
  t.ok(repair(pmem).countByKind.has('xattr-acl'));
  const reader = new InodeReader(pmem);
  const left = reader.xattrs(Sample.linkedFile);
  const value = left.get(ACL) ?? Buffer.alloc(0);
  t.equal(reader.attributes(Sample.linkedFile).mode, 0o100600, 'the mode stays');
  t.equal(aclMode(value, value.length), 0o600);
  t.equal(left.size, 3);

  const other = sampleVolume();
  DAMAGES.find(({ name }) => name === 'default ACL of a file')?.do(other, other.volume);
  repair(other.volume.pmem);
  t.equal(new InodeReader(other.volume.pmem).xattrs(Sample.farFile).size, 0);
  t.end();
});

/** A file with so many attributes that their tree has nodes, an ACL in two blocks and a long value; all blocks by magic. */
function crowded(): { pmem: SimulatedPmem; ino: Ino; blocks: (magic: number) => number[]; seal: (block: number, change: (view: DataView, bytes: Uint8Array) => void) => void } {
  const volume = new MemoryVolume({ sizeBytes: 8 * MIB });
  const ino = volume.withName('crowded', (given) => volume.fs.makeNode(asIno(1), given, FileType.regular | 0o640, volume.owner(1, 2), 0, 0));
  for (let i = 0; i < 200; i++) volume.setXattr(ino, `user.${String(i)}`, Buffer.alloc(200, i));
  const named = Array.from({ length: 505 }, (_, i) => ['user', i, 7] as const);
  volume.setXattr(ino, ACL, acl(['userObject', 0, 6], ...named, ['groupObject', 0, 4], ['mask', 0, 4], ['other', 0, 0]));
  volume.setXattr(ino, LONG, Buffer.alloc(10_000, 7));
  // The last transactions are put in place again: they must not be about it.
  for (const name of ['a', 'b', 'c']) volume.withName(name, (given) => volume.fs.makeNode(asIno(1), given, FileType.regular | 0o600, volume.owner(1, 2), 0, 0));
  volume.leave('close', new Random(1));
  const { pmem } = volume;
  const { seed, groupStart } = readSuperblock(pmem).geometry;
  const load = (block: number): Uint8Array => {
    const bytes = new Uint8Array(BLOCK_SIZE);
    pmem.load(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
    return bytes;
  };
  return {
    pmem,
    ino,
    blocks: (magic) => Array.from({ length: pmem.size / BLOCK_SIZE }, (_, block) => block).filter((block) => block >= groupStart && new DataView(load(block).buffer).getUint32(BlockHeader.magic, true) === magic),
    seal: (block, change) => {
      const bytes = load(block);
      const view = new DataView(bytes.buffer);
      change(view, bytes);
      view.setUint32(BlockHeader.checksum, pmem.crc32c(seed, bytes, 4, BLOCK_SIZE - 4), true);
      pmem.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
    },
  };
}

t.test('a leaf of the tree is lost, the other attributes stay', (t) => {
  const { pmem, ino, blocks, seal } = crowded();
  const before = new InodeReader(pmem).xattrs(ino);
  let leaf = 0;
  for (const block of blocks(Magic.node)) {
    seal(block, (view) => {
      if (view.getUint16(TreeNode.kind, true) === TreeKind.xattrs && view.getUint16(TreeNode.level, true) === 0) leaf = block;
    });
  }
  seal(leaf, (view) => { setU64(view, BlockHeader.owner, 77); });
  const result = repair(pmem);
  t.ok(result.countByKind.has('tree-node-damaged'));
  t.notOk(result.countByKind.has('xattr-block-damaged'));
  t.ok(verifyVolume(pmem).clean);
  const after = new InodeReader(pmem).xattrs(ino);
  t.ok(after.size > 150 && after.size < before.size, `${String(after.size)} of ${String(before.size)} are left`);
  for (const [name, value] of after) t.same(before.get(name), value);
  t.end();
});

t.test('an ACL in blocks follows the mode', (t) => {
  const { pmem, ino, blocks } = crowded();
  t.equal(blocks(Magic.xattrValue).length, 2 + 3);
  const { geometry } = readSuperblock(pmem);
  const record = findRecord(pmem, ino);
  const bytes = new Uint8Array(INODE_SIZE);
  pmem.load(asByteAddr(record), bytes, 0, INODE_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(Inode.mode, FileType.regular | 0o705, true);
  view.setUint32(Inode.checksum, pmem.crc32c(geometry.seed, bytes, 4, INODE_SIZE - 4), true);
  pmem.store(asByteAddr(record), bytes, 0, INODE_SIZE);
  repair(pmem);
  t.ok(verifyVolume(pmem).clean);
  const value = new InodeReader(pmem).xattrs(ino).get(ACL) ?? Buffer.alloc(0);
  t.equal(value.length, 4 + 8 * 509);
  t.equal(aclMode(value, value.length), 0o705);
  t.end();
});

/** Byte address of the record of an inode. */
function findRecord(pmem: SimulatedPmem, ino: number): number {
  const bytes = new Uint8Array(pmem.size);
  pmem.load(asByteAddr(0), bytes, 0, bytes.length);
  const view = new DataView(bytes.buffer);
  const { groupStart } = readSuperblock(pmem).geometry;
  for (let at = groupStart * BLOCK_SIZE; at < bytes.length; at += INODE_SIZE) {
    if (view.getUint16(at + Inode.magic, true) === Magic.inode && getU64(view, at + Inode.ino) === ino) return at;
  }
  throw new Error(`no inode ${String(ino)}`);
}

t.test('who says no loses nothing', (t) => {
  for (const magic of [Magic.xattr, Magic.xattrValue, Magic.node]) {
    const { pmem, blocks, seal } = crowded();
    for (const block of blocks(magic)) seal(block, (view) => { setU64(view, BlockHeader.owner, 77); });
    const before = verifyVolume(pmem).findings.map(({ message }) => message);
    t.not(before.length, 0);
    const result = repair(pmem, () => false);
    t.equal(result.fixed, 0);
    t.not(result.left, 0);
    t.same(verifyVolume(pmem).findings.map(({ message }) => message), before, 'the verifier says the same');
    repair(pmem);
    t.ok(verifyVolume(pmem).clean, 'and with yes all is mended');
  }
  t.end();
});
