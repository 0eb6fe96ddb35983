// Guards the oracle of all other tests: a verifier that overlooks damage makes every test that ends with it worthless,
// and one that crashes or loops on damage is no use to anybody (promise 7).
import t from 'tap';
import { Random } from '../../src/base/random.js';
import { asByteAddr } from '../../src/base/units.js';
import { hashOfName } from '../../src/check/name-hash.js';
import { FINDING_KINDS, type FindingKind, verifyVolume, type VerifyReport } from '../../src/check/verify.js';
import { nameHash } from '../../src/dir/hash.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  GroupHeader,
  Inode,
  INODE_SIZE,
  ItemArea,
  KEY_SIZE,
  STATE_BLOCK,
  Superblock,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TreeNode,
  TreeRoot,
  VolumeState,
  XattrBlock,
  XattrValue,
} from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import { addTo, DAMAGES, group1, item, structureBlocks, xattrItem } from '../helpers/damages.js';
import { Sample, sampleVolume, type SampleVolume } from '../helpers/sample-volume.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 32) >>> 0;
t.comment(`SEED=${String(seed)}`);

const seenKinds = new Set<FindingKind>();

function kinds(report: VerifyReport): FindingKind[] {
  const found = [...report.countByKind.keys()];
  for (const kind of found) seenKinds.add(kind);
  return found;
}

t.test('a sound volume is clean, and everything in it is counted', (t) => {
  for (const groups of [1, 2, 3]) {
    const report = verifyVolume(sampleVolume(groups).volume.pmem);
    t.same(report.findings, [], `${String(groups)} groups initialised`);
    t.ok(report.clean);
    t.match(report.statistics, {
      regularFiles: 7,
      directories: 4,
      symlinks: 2,
      specialFiles: 2,
      inodes: 15,
      orphans: 2,
      entries: 513,
      extents: 258,
      xattrs: 4,
    });
    t.match(report.identity, { label: 'handmade', uuid: '07070707-0707-0707-0707-070707070707', fromBackup: false });
  }
  t.end();
});

t.test('every damage has its finding', (t) => {
  for (const damage of DAMAGES) {
    const sample = sampleVolume();
    damage.do(sample, sample.volume);
    const report = verifyVolume(sample.volume.pmem);
    if (!kinds(report).includes(damage.kind)) t.fail(`${damage.name}: expected ${damage.kind}, found ${kinds(report).join(', ')}`);
    else t.pass(damage.name);
    for (const finding of report.findings) {
      if (!/: expected .+, found /.test(finding.message)) t.fail(`${damage.name}: message '${finding.message}'`);
    }
  }
  t.end();
});

t.test('duplicate names and cycles of directories', (t) => {
  const { volume } = sampleVolume();
  // One name twice, as two neighbours of the same hash: `in` becomes `big` with c = 1.
  volume.editInode(Sample.directory, (view, bytes) => {
    const area = Inode.body + TREE_ROOT_AREA;
    const first = volume.dentry('big', Sample.bigDirectory, 4);
    const second = volume.dentry('big', Sample.innerDirectory, 4, 1);
    bytes.fill(0, area);
    [first, second].forEach((entry, index) => {
      const offset = 120 - (index + 1) * (KEY_SIZE + entry.payload.length);
      view.setUint16(area + ItemArea.slots + 4 * index, offset, true);
      view.setUint16(area + ItemArea.slots + 4 * index + 2, entry.payload.length, true);
      setU64(view, area + offset, entry.key);
      bytes.set(entry.payload, area + offset + KEY_SIZE);
      view.setUint16(area + ItemArea.heapStart, offset, true);
    });
    view.setUint16(area + ItemArea.count, 2, true);
    view.setUint16(area + ItemArea.heapBytes, 120 - view.getUint16(area + ItemArea.heapStart, true), true);
  });
  t.same(kinds(verifyVolume(volume.pmem)), ['dentry-duplicate']);

  // One attribute twice, as two neighbours of the same hash.
  const twins = sampleVolume();
  twins.volume.editBlock(twins.directoryXattrs.block, (view, bytes) => {
    const name = 'system.posix_acl_default';
    const area = XattrBlock.root + TREE_ROOT_AREA;
    const first = xattrItem(view, bytes, name) - KEY_SIZE;
    const length = KEY_SIZE + view.getUint16(area + ItemArea.slots + 2, true);
    bytes.copyWithin(first - length, first, first + length);
    addTo(view, first, 1);
    view.setUint16(area + ItemArea.count, 2, true);
    view.setUint32(area + ItemArea.slots + 4, view.getUint32(area + ItemArea.slots, true), true);
    view.setUint16(area + ItemArea.slots, first - length - area, true);
    view.setUint16(area + ItemArea.heapStart, first - length - area, true);
    view.setUint16(area + ItemArea.heapBytes, 2 * length, true);
    view.setUint32(XattrBlock.count, 2, true);
    view.setUint32(XattrBlock.listBytes, 2 * (name.length + 1), true);
  });
  t.same(kinds(verifyVolume(twins.volume.pmem)), ['xattr-duplicate']);

  // `directory` is moved into its own subdirectory.
  const cycle = sampleVolume();
  cycle.volume.editBlock(cycle.directoryLeaf, (view) => {
    const entry = item(view, TREE_NODE_AREA, 3) + KEY_SIZE;
    setU64(view, entry, Sample.directory);
  });
  cycle.volume.editInode(Sample.root, (view) => {
    const node = getU64(view, Inode.body + TreeRoot.root);
    cycle.volume.editBlock(node, (leaf) => {
      for (let i = 0; i < leaf.getUint16(TREE_NODE_AREA, true); i++) {
        const entry = item(leaf, TREE_NODE_AREA, i) + KEY_SIZE;
        if (getU64(leaf, entry) === Sample.directory) setU64(leaf, entry, Sample.fifo);
      }
    });
  });
  t.ok(kinds(verifyVolume(cycle.volume.pmem)).includes('directory-unreachable'));
  t.end();
});

/** Fields that may have any value: a change is damage only to their owner, and nothing shows it. */
const FREE_FIELDS: Record<string, string[]> = {
  Superblock: [],
  VolumeState: ['sequence'],
  GroupHeader: [],
  Inode: [
    'uid', 'gid', 'project', 'atimeSeconds', 'mtimeSeconds', 'ctimeSeconds', 'btimeSeconds',
    'atimeNanoseconds', 'mtimeNanoseconds', 'ctimeNanoseconds', 'btimeNanoseconds', 'generation', 'size',
  ],
  TreeNode: [],
  XattrBlock: [],
  XattrValue: ['data'],
};

t.test('no field of any structure is overlooked', (t) => {
  const header = Object.entries(BlockHeader).filter(([name]) => name !== 'checksum');
  const structures: [keyof typeof FREE_FIELDS, Record<string, number>, (sample: SampleVolume) => number][] = [
    ['Superblock', { ...Object.fromEntries(header), ...Superblock }, () => 0],
    ['VolumeState', { ...Object.fromEntries(header), ...VolumeState }, () => STATE_BLOCK],
    ['GroupHeader', { ...Object.fromEntries(header), ...GroupHeader }, ({ volume }) => group1(volume)],
    ['TreeNode', { ...Object.fromEntries(header), ...TreeNode }, ({ directoryLeaf }) => directoryLeaf],
    ['XattrBlock', { ...Object.fromEntries(header), ...XattrBlock }, ({ xattrs }) => xattrs.block],
    ['XattrValue', { ...Object.fromEntries(header), ...XattrValue }, ({ xattrs }) => xattrs.valueBlocks[0] as number],
  ];
  for (const [name, fields, blockOf] of structures) {
    for (const [field, offset] of Object.entries(fields)) {
      const sample = sampleVolume();
      sample.volume.editBlock(blockOf(sample), (view) => { view.setUint8(offset, view.getUint8(offset) ^ 1); });
      const report = verifyVolume(sample.volume.pmem);
      t.equal(report.clean, FREE_FIELDS[name]?.includes(field), `${name}.${field}`);
    }
  }
  for (const [field, offset] of Object.entries(Inode)) {
    if (field === 'checksum') continue;
    const { volume } = sampleVolume();
    // The type is in the high byte of mode; everything else shows in its lowest bit.
    const at = field === 'mode' ? offset + 1 : offset;
    const change = field === 'mode' ? 0x10 : field === 'flags' ? 0x80 : 1;
    volume.editInode(Sample.treeFile, (view) => { view.setUint8(at, view.getUint8(at) ^ change); });
    const report = verifyVolume(volume.pmem);
    t.equal(report.clean, FREE_FIELDS['Inode']?.includes(field), `Inode.${field}`);
  }
  t.end();
});

t.test('a wrong checksum of any block is found', (t) => {
  for (const index of structureBlocks(sampleVolume()).keys()) {
    const sample = sampleVolume();
    const block = structureBlocks(sample)[index] as number;
    const bytes = sample.volume.read(block);
    bytes[4000] = (bytes[4000] as number) ^ 0x40;
    sample.volume.write(block, bytes, false);
    t.ok(kinds(verifyVolume(sample.volume.pmem)).length > 0, `block ${String(block)}`);
  }
  t.end();
});

t.test('without the primary superblock the backup serves; without both there is one clear finding', (t) => {
  const { volume } = sampleVolume();
  volume.write(0, new Uint8Array(BLOCK_SIZE), false);
  const report = verifyVolume(volume.pmem);
  t.same(kinds(report), ['superblock-damaged']);
  t.equal(report.identity?.fromBackup, true);
  t.equal(report.statistics?.inodes, 15);
  volume.write(volume.totalBlocks - 1, new Uint8Array(BLOCK_SIZE), false);
  const nothing = verifyVolume(volume.pmem);
  t.same(kinds(nothing), ['superblock-damaged', 'superblock-backup']);
  t.equal(nothing.identity, null);
  t.end();
});

t.test('what the medium cannot deliver is a finding', (t) => {
  const sample = sampleVolume();
  for (const block of structureBlocks(sample)) {
    sample.volume.pmem.poison(asByteAddr(block * BLOCK_SIZE + 100), 1);
    const report = verifyVolume(sample.volume.pmem);
    t.ok(kinds(report).includes('block-unreadable'), `block ${String(block)}`);
    sample.volume.pmem.heal();
  }
  t.end();
});

t.test('garbage ends quickly, with findings, whatever it is', (t) => {
  const random = new Random(seed);
  const count = structureBlocks(sampleVolume()).length;
  let longest = 0;
  for (let round = 0; round < 600; round++) {
    const sample = sampleVolume();
    const { volume } = sample;
    const block = structureBlocks(sample)[random.below(count)] as number;
    const bytes = volume.read(block);
    const isTable = block === volume.inodeAt(1).block || block === volume.inodeAt(Sample.farFile).block;
    // All of it, or some bytes, with a right checksum mostly, so that the contents are looked at.
    const changes = round % 3 === 0 ? BLOCK_SIZE : 1 + random.below(8);
    for (let i = 0; i < changes; i++) {
      const at = changes === BLOCK_SIZE ? i : random.below(BLOCK_SIZE);
      if (at >= BlockHeader.owner + 8) bytes[at] = random.below(4) === 0 ? 0xff : random.below(256);
    }
    if (isTable && random.below(4) > 0) {
      const ino = block === volume.inodeAt(1).block ? 1 + random.below(14) : Sample.farFile;
      const { base } = volume.inodeAt(ino);
      volume.editInode(ino, (view, record) => {
        const number = getU64(view, Inode.ino);
        record.set(bytes.subarray(base, base + INODE_SIZE));
        view.setUint16(Inode.magic, 0x4e49, true);
        setU64(view, Inode.ino, number);
      });
    } else {
      volume.write(block, bytes, !isTable);
    }
    const start = Date.now();
    const report = verifyVolume(volume.pmem, { maxFindings: 20 });
    longest = Math.max(longest, Date.now() - start);
    if (report.findings.length > 20) t.fail('the kept findings are bounded');
    // Few bytes may by chance be free fields or bytes of the heap that no item uses; a whole block never is.
    if (changes === BLOCK_SIZE && !isTable && report.clean) t.fail(`round ${String(round)}: block ${String(block)} full of garbage, and nothing found`);
  }
  t.ok(longest < 2000, `the longest check took ${String(longest)} ms`);
  t.end();
});

t.test('engine and verifier, written separately, hash names alike', (t) => {
  const random = new Random(seed);
  const bytes = new Uint8Array(300);
  for (let length = 1; length <= 255; length++) {
    random.bytes(bytes);
    const hashSeed = random.nextU32();
    const offset = random.below(40);
    if (nameHash(hashSeed, bytes, offset, length) !== hashOfName(hashSeed, bytes, offset, length)) t.fail(`length ${String(length)}`);
  }
  t.end();
});

t.test('every kind of finding was seen', (t) => {
  // Those of the region directory: region-check.test.ts.
  const ofHosts = ['region-directory', 'region-missing', 'region-orphan', 'region-size', 'region-mode'];
  t.same(FINDING_KINDS.filter((kind) => !seenKinds.has(kind)), ofHosts);
  t.end();
});
