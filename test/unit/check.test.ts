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
  Dentry,
  Extent,
  FreeInodes,
  GROUP_BLOCKS,
  GroupHeader,
  Inode,
  INODE_SIZE,
  InodeFlag,
  ItemArea,
  KEY_SIZE,
  STATE_BLOCK,
  Superblock,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TreeNode,
  TreeRoot,
  VolumeState,
} from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import type { HandmadeVolume } from '../helpers/handmade.js';
import { Sample, sampleVolume, type SampleVolume } from '../helpers/sample-volume.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 32) >>> 0;
t.comment(`SEED=${String(seed)}`);

const seenKinds = new Set<FindingKind>();

function kinds(report: VerifyReport): FindingKind[] {
  const found = [...report.countByKind.keys()];
  for (const kind of found) seenKinds.add(kind);
  return found;
}

/** Offset of item `index` (its key) in an area. */
function item(view: DataView, area: number, index: number): number {
  return area + view.getUint16(area + ItemArea.slots + 4 * index, true);
}

/** Offset of the first item of the tree root in an inode record. */
function firstItem(view: DataView, index = 0): number {
  return item(view, Inode.body + TREE_ROOT_AREA, index);
}

function addTo(view: DataView, offset: number, difference: number): void {
  setU64(view, offset, getU64(view, offset) + difference);
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
    });
    t.match(report.identity, { label: 'handmade', uuid: '07070707-0707-0707-0707-070707070707', fromBackup: false });
  }
  t.end();
});

interface Damage {
  name: string;
  kind: FindingKind;
  do: (sample: SampleVolume, volume: HandmadeVolume) => void;
}

const group1 = (volume: HandmadeVolume): number => volume.groupStart + GROUP_BLOCKS;

/** One line per damage that a volume can have with all checksums right. */
const DAMAGES: Damage[] = [
  { name: 'backup differs', kind: 'superblock-backup', do: (_, v) => { v.editBlock(v.totalBlocks - 1, (view) => { view.setUint32(Superblock.madeNanoseconds, 5, true); }); } },
  { name: 'label with bytes behind its end', kind: 'superblock-field', do: (_, v) => { v.editBlock(0, (view) => { view.setUint8(Superblock.label + 20, 65); }); } },
  { name: 'more groups initialised than exist', kind: 'state-groups-initialised', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { setU64(view, VolumeState.groupsInitialised, 4); }); } },
  { name: 'free blocks', kind: 'state-free-blocks', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { addTo(view, VolumeState.freeBlocks, 1); }); } },
  { name: 'table blocks', kind: 'state-table-blocks', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { addTo(view, VolumeState.tableBlocks, 1); }); } },
  { name: 'sequence of 2^53', kind: 'state-sequence', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { view.setUint32(VolumeState.sequence + 4, 0x200000, true); }); } },
  { name: 'mapped table blocks', kind: 'state-mapped-table-blocks', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { addTo(view, VolumeState.mappedTableBlocks, 1); }); } },
  { name: 'used inodes', kind: 'state-used-inodes', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { addTo(view, VolumeState.usedInodes, -1); }); } },
  { name: 'a fallocate under way of a directory', kind: 'state-range', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { setU64(view, VolumeState.rangeIno, 1); setU64(view, VolumeState.rangeEnd, 9); }); } },
  { name: 'a fallocate under way without a file', kind: 'state-range', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { setU64(view, VolumeState.rangeEnd, 9); }); } },
  { name: 'reserved byte of the state', kind: 'reserved-bytes', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { view.setUint8(4095, 1); }); } },
  { name: 'reserved byte of a group header', kind: 'reserved-bytes', do: (_, v) => { v.editBlock(v.groupStart, (view) => { view.setUint8(40, 1); }); } },
  { name: 'reserved byte of a tree node', kind: 'reserved-bytes', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint8(30, 1); }); } },
  { name: 'free count of a group', kind: 'group-free-count', do: (_, v) => { v.editBlock(v.groupStart, (view) => { view.setUint32(GroupHeader.freeCount, 3, true); }); } },
  { name: 'header of a group marked free', kind: 'group-fixed-bits', do: (_, v) => { v.editBlock(v.groupStart, (view) => { view.setUint8(GroupHeader.bitmap, view.getUint8(GroupHeader.bitmap) & 0xfe); }); } },
  { name: 'leaked block', kind: 'block-leaked', do: (_, v) => { v.editBlock(group1(v), (view) => { view.setUint8(GroupHeader.bitmap + 100, 0x10); }); } },
  { name: 'block in use marked free', kind: 'block-not-marked', do: (_, v) => { v.editBlock(group1(v), (view) => { view.setUint8(GroupHeader.bitmap, 1); }); } },
  { name: 'block in a group that was never initialised', kind: 'block-not-marked', do: (_, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, firstItem(view) + KEY_SIZE, v.groupStart + 2 * GROUP_BLOCKS + 9); }); } },
  { name: 'two files with one block', kind: 'block-doubly-used', do: (s, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, firstItem(view) + KEY_SIZE, s.longLinkBlock); }); } },
  { name: 'file that owns a tree node', kind: 'block-doubly-used', do: (s, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, firstItem(view) + KEY_SIZE, s.directoryLeaf); }); } },
  { name: 'depth 13', kind: 'tree-root', do: (_, v) => { v.editInode(Sample.treeFile, (view) => { view.setUint16(Inode.body + TreeRoot.depth, 13, true); }); } },
  { name: 'root node in the journal', kind: 'tree-pointer', do: (_, v) => { v.editInode(Sample.treeFile, (view) => { setU64(view, Inode.body + TreeRoot.root, 600); }); } },
  { name: 'root node outside the volume', kind: 'tree-pointer', do: (_, v) => { v.editInode(Sample.treeFile, (view) => { view.setUint32(Inode.body + TreeRoot.root + 4, 0xffffffff, true); }); } },
  { name: 'root node of another tree', kind: 'tree-node-damaged', do: (s, v) => { v.editInode(Sample.treeFile, (view) => { setU64(view, Inode.body + TreeRoot.root, s.directoryRoot); }); } },
  { name: 'node count', kind: 'tree-node-count', do: (_, v) => { v.editInode(Sample.treeFile, (view) => { view.setUint32(Inode.body + TreeRoot.nodes, 99, true); }); } },
  { name: 'level of a node', kind: 'tree-node-misplaced', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { view.setUint16(TreeNode.level, 1, true); }); } },
  { name: 'kind of a node', kind: 'tree-node-misplaced', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { view.setUint16(TreeNode.kind, 2, true); }); } },
  { name: 'owner of a node', kind: 'tree-node-damaged', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { setU64(view, BlockHeader.owner, 6); }); } },
  { name: 'self of a node', kind: 'tree-node-damaged', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { addTo(view, BlockHeader.self, 1); }); } },
  { name: 'empty node', kind: 'tree-node-empty', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { view.setUint16(TREE_NODE_AREA, 0, true); view.setUint16(TREE_NODE_AREA + ItemArea.heapBytes, 0, true); }); } },
  { name: 'a node that is its own child', kind: 'block-doubly-used', do: (s, v) => { v.editBlock(s.directoryRoot, (view) => { setU64(view, item(view, TREE_NODE_AREA, 0) + KEY_SIZE, s.directoryRoot); }); } },
  { name: 'item outside the area', kind: 'tree-items', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint16(TREE_NODE_AREA + ItemArea.slots, 4060, true); }); } },
  { name: 'two slots of one item', kind: 'tree-items', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint32(TREE_NODE_AREA + ItemArea.slots + 4, view.getUint32(TREE_NODE_AREA + ItemArea.slots, true), true); }); } },
  { name: 'overlapping items', kind: 'tree-items', do: (s, v) => {
    v.editBlock(s.extentLeaf, (view) => {
      // The second item is moved one byte over the first; its key stays the larger one.
      const slot = TREE_NODE_AREA + ItemArea.slots + 4;
      view.setUint16(slot, view.getUint16(slot, true) + 1, true);
      setU64(view, item(view, TREE_NODE_AREA, 1), 1);
    });
  } },
  { name: 'too many items', kind: 'tree-items', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint16(TREE_NODE_AREA, 5000, true); }); } },
  { name: 'live bytes', kind: 'tree-items', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint16(TREE_NODE_AREA + ItemArea.heapBytes, 20, true); }); } },
  { name: 'heap behind the end', kind: 'tree-items', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint16(TREE_NODE_AREA + ItemArea.heapStart, 5000, true); }); } },
  { name: 'keys that fall', kind: 'tree-items', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { setU64(view, item(view, TREE_NODE_AREA, 0), 3); }); } },
  { name: 'key outside the bounds of its node', kind: 'tree-key-bounds', do: (s, v) => { v.editBlock(s.extentLeaf, (view) => { setU64(view, item(view, TREE_NODE_AREA, 99), 400); }); } },
  { name: 'first key of the leftmost interior node', kind: 'tree-key-bounds', do: (s, v) => { v.editBlock(s.directoryRoot, (view) => { setU64(view, item(view, TREE_NODE_AREA, 0), 1); }); } },
  { name: 'extent of length 0', kind: 'extent-length', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint32(firstItem(view) + KEY_SIZE + Extent.length, 0, true); }); } },
  { name: 'extent in the journal', kind: 'extent-range', do: (_, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, firstItem(view) + KEY_SIZE, 700); }); } },
  { name: 'extent over the backup superblock', kind: 'extent-range', do: (_, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, firstItem(view) + KEY_SIZE, v.totalBlocks - 1); }); } },
  { name: 'extent into the next group', kind: 'extent-crosses-group', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint32(firstItem(view) + KEY_SIZE + Extent.length, GROUP_BLOCKS, true); }); } },
  { name: 'extent on a group header', kind: 'extent-covers-header', do: (_, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, firstItem(view) + KEY_SIZE, group1(v)); }); } },
  { name: 'extent flags', kind: 'extent-flags', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint16(firstItem(view) + KEY_SIZE + Extent.flags, 2, true); }); } },
  { name: 'extent region', kind: 'extent-region', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint16(firstItem(view) + KEY_SIZE + Extent.region, 1, true); }); } },
  { name: 'extents that overlap in the file', kind: 'extent-overlap', do: (_, v) => { v.editInode(Sample.sparseFile, (view) => { setU64(view, firstItem(view, 1), 1); }); } },
  { name: 'written extent behind the end', kind: 'extent-past-end', do: (_, v) => { v.editInode(Sample.sparseFile, (view) => { view.setUint16(firstItem(view, 2) + KEY_SIZE + Extent.flags, 0, true); }); } },
  { name: 'unwritten extent in the inode table', kind: 'table-extent', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { view.setUint16(item(view, VolumeState.tableRoot + TREE_ROOT_AREA, 1) + KEY_SIZE + Extent.flags, 1, true); }); } },
  { name: 'table block without an inode in use', kind: 'table-block-unused', do: (_, v) => { v.editInode(Sample.farFile, (_view, bytes) => { bytes.fill(0, Inode.mode, Inode.ino); bytes.fill(0, Inode.uid, INODE_SIZE); }); } },
  { name: 'free inode that the tree does not know', kind: 'free-inode-wrong', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { view.setUint16(item(view, VolumeState.freeInodeRoot + TREE_ROOT_AREA, 2) + KEY_SIZE + FreeInodes.mask, 0xff00, true); }); } },
  { name: 'hole of the wrong length', kind: 'free-inode-wrong', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { view.setUint32(item(view, VolumeState.freeInodeRoot + TREE_ROOT_AREA, 1) + KEY_SIZE + FreeInodes.length, 1, true); }); } },
  { name: 'hole without an item', kind: 'free-inode-missing', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { setU64(view, item(view, VolumeState.freeInodeRoot + TREE_ROOT_AREA, 1), 2); }); } },
  { name: 'free item behind the end', kind: 'free-inode-wrong', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { setU64(view, item(view, VolumeState.freeInodeRoot + TREE_ROOT_AREA, 2), 9); }); } },
  { name: 'reserved bytes of a free item', kind: 'reserved-bytes', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { view.setUint16(item(view, VolumeState.freeInodeRoot + TREE_ROOT_AREA, 2) + KEY_SIZE + FreeInodes.reserved, 9, true); }); } },
  { name: 'number of an inode', kind: 'inode-number', do: (_, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, Inode.ino, 51); }); } },
  { name: 'magic of an inode', kind: 'inode-damaged', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint16(Inode.magic, 0, true); }); } },
  { name: 'free inode with contents', kind: 'inode-free-not-zero', do: (_, v) => { v.editInode(Sample.free, (view) => { view.setUint32(Inode.uid, 1, true); }); } },
  { name: 'inode 0 in use', kind: 'inode-mode', do: (_, v) => { v.editInode(0, (view) => { view.setUint16(Inode.mode, 0o100644, true); }); } },
  { name: 'unknown file type', kind: 'inode-mode', do: (_, v) => { v.editInode(Sample.fifo, (view) => { view.setUint16(Inode.mode, 0o030644, true); }); } },
  { name: 'unknown flag', kind: 'inode-flags', do: (_, v) => { v.editInode(Sample.fifo, (view) => { view.setUint32(Inode.flags, 0x1000, true); }); } },
  { name: 'treeBody of a regular file', kind: 'inode-flags', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint32(Inode.flags, InodeFlag.treeBody, true); }); } },
  { name: 'size of 2^53', kind: 'inode-size', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint32(Inode.size + 4, 0x200000, true); }); } },
  { name: 'size of a fifo', kind: 'inode-size', do: (_, v) => { v.editInode(Sample.fifo, (view) => { setU64(view, Inode.size, 1); }); } },
  { name: 'blocks of a file', kind: 'inode-blocks', do: (_, v) => { v.editInode(Sample.sparseFile, (view) => { setU64(view, Inode.blocks, 8); }); } },
  { name: 'blocks of a directory', kind: 'inode-blocks', do: (_, v) => { v.editInode(Sample.bigDirectory, (view) => { addTo(view, Inode.blocks, 1); }); } },
  { name: 'nanoseconds', kind: 'inode-time', do: (_, v) => { v.editInode(Sample.fifo, (view) => { view.setUint32(Inode.btimeNanoseconds, 1e9, true); }); } },
  { name: 'seconds beyond 2^53', kind: 'inode-time', do: (_, v) => { v.editInode(Sample.fifo, (view) => { view.setUint32(Inode.atimeSeconds + 4, 0x40000000, true); }); } },
  { name: 'xattr block', kind: 'inode-xattr', do: (_, v) => { v.editInode(Sample.fifo, (view) => { setU64(view, Inode.xattrBlock, 1600); }); } },
  { name: 'parent of a file', kind: 'inode-parent', do: (_, v) => { v.editInode(Sample.fifo, (view) => { setU64(view, Inode.parent, 1); }); } },
  { name: 'body of a fifo', kind: 'inode-body', do: (_, v) => { v.editInode(Sample.fifo, (view) => { view.setUint8(Inode.body + 127, 1); }); } },
  { name: 'body of a device', kind: 'inode-body', do: (_, v) => { v.editInode(Sample.device, (view) => { view.setUint8(Inode.body + 8, 1); }); } },
  { name: 'bytes behind the target', kind: 'inode-body', do: (_, v) => { v.editInode(Sample.shortLink, (view) => { view.setUint8(Inode.body + 8, 1); }); } },
  { name: 'empty target', kind: 'symlink-body', do: (_, v) => { v.editInode(Sample.shortLink, (view) => { setU64(view, Inode.size, 0); }); } },
  { name: 'long target in the inode', kind: 'symlink-body', do: (_, v) => { v.editInode(Sample.shortLink, (view) => { setU64(view, Inode.size, 129); }); } },
  { name: 'short target in a block', kind: 'symlink-body', do: (_, v) => { v.editInode(Sample.longLink, (view) => { setU64(view, Inode.size, 128); }); } },
  { name: 'target of 4096 bytes', kind: 'symlink-body', do: (_, v) => { v.editInode(Sample.longLink, (view) => { setU64(view, Inode.size, 4096); }); } },
  { name: 'target in an unwritten block', kind: 'symlink-body', do: (_, v) => { v.editInode(Sample.longLink, (view) => { view.setUint16(firstItem(view) + KEY_SIZE + Extent.flags, 1, true); }); } },
  { name: 'zero byte in a target', kind: 'symlink-target', do: (_, v) => { v.editInode(Sample.shortLink, (view) => { view.setUint8(Inode.body + 3, 0); }); } },
  { name: 'zero byte in a long target', kind: 'symlink-target', do: (s, v) => { v.write(s.longLinkBlock, new Uint8Array(BLOCK_SIZE), false); } },
  { name: 'root is no directory', kind: 'root-directory', do: (_, v) => { v.editInode(Sample.root, (view) => { view.setUint16(Inode.mode, 0o100644, true); }); } },
  { name: 'hash of a name', kind: 'dentry-hash', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { addTo(view, item(view, TREE_NODE_AREA, 29), 1024); }); } },
  { name: 'name with a slash', kind: 'dentry-name', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint8(item(view, TREE_NODE_AREA, 3) + KEY_SIZE + Dentry.name, 0x2f); }); } },
  { name: 'name with a zero byte', kind: 'dentry-name', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint8(item(view, TREE_NODE_AREA, 3) + KEY_SIZE + Dentry.name, 0); }); } },
  { name: 'entry of an inode that is not in use', kind: 'dentry-dangling', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { setU64(view, item(view, TREE_NODE_AREA, 3) + KEY_SIZE, Sample.free); }); } },
  { name: 'entry of an inode behind the table', kind: 'dentry-dangling', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { setU64(view, item(view, TREE_NODE_AREA, 3) + KEY_SIZE, 2 ** 52); }); } },
  { name: 'type in an entry', kind: 'dentry-type', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { view.setUint8(item(view, TREE_NODE_AREA, 3) + KEY_SIZE + Dentry.type, 10); }); } },
  { name: 'entries of a directory', kind: 'directory-size', do: (_, v) => { v.editInode(Sample.bigDirectory, (view) => { addTo(view, Inode.size, 1); }); } },
  { name: 'parent of a directory', kind: 'directory-parent', do: (_, v) => { v.editInode(Sample.bigDirectory, (view) => { setU64(view, Inode.parent, 1); }); } },
  { name: 'parent of the root', kind: 'directory-parent', do: (_, v) => { v.editInode(Sample.root, (view) => { setU64(view, Inode.parent, 2); }); } },
  { name: 'directory with two entries', kind: 'directory-linked-twice', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { setU64(view, item(view, TREE_NODE_AREA, 3) + KEY_SIZE, Sample.innerDirectory); }); } },
  { name: 'entry of the root', kind: 'directory-linked-twice', do: (s, v) => { v.editBlock(s.directoryLeaf, (view) => { setU64(view, item(view, TREE_NODE_AREA, 3) + KEY_SIZE, Sample.root); }); } },
  { name: 'directory without an entry', kind: 'directory-unreferenced', do: (_, v) => { v.editInode(Sample.directory, (view) => { setU64(view, firstItem(view) + KEY_SIZE, Sample.fifo); setU64(view, firstItem(view, 1) + KEY_SIZE, Sample.fifo); }); } },
  { name: 'removed directory with entries', kind: 'directory-removed-not-empty', do: (_, v) => { v.editInode(Sample.bigDirectory, (view) => { view.setUint32(Inode.nlink, 0, true); }); } },
  { name: 'links of a file', kind: 'link-count', do: (_, v) => { v.editInode(Sample.linkedFile, (view) => { view.setUint32(Inode.nlink, 3, true); }); } },
  { name: 'links of a directory', kind: 'link-count', do: (_, v) => { v.editInode(Sample.directory, (view) => { view.setUint32(Inode.nlink, 3, true); }); } },
  { name: 'no links and no orphan', kind: 'link-count', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint32(Inode.nlink, 0, true); }); } },
  { name: 'file without an entry', kind: 'inode-unreferenced', do: (_, v) => { v.editInode(Sample.removedFile, (view) => { view.setUint32(Inode.nlink, 1, true); }); } },
  { name: 'orphan list that leads nowhere', kind: 'orphan-list-broken', do: (_, v) => { v.editInode(Sample.cutFile, (view) => { setU64(view, Inode.orphanNext, 2 ** 50); }); } },
  { name: 'orphan list that bites its tail', kind: 'orphan-list-cycle', do: (_, v) => { v.editInode(Sample.cutFile, (view) => { setU64(view, Inode.orphanNext, Sample.removedFile); }); } },
  { name: 'listed without the flag', kind: 'orphan-flag', do: (_, v) => { v.editInode(Sample.cutFile, (view) => { view.setUint32(Inode.flags, 0, true); setU64(view, Inode.size, 3 * 4096); }); } },
  { name: 'flag without a place on the list', kind: 'orphan-not-listed', do: (_, v) => { v.editInode(Sample.farFile, (view) => { view.setUint32(Inode.flags, InodeFlag.orphan, true); }); } },
  { name: 'successor of what is no orphan', kind: 'orphan-next', do: (_, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, Inode.orphanNext, 4); }); } },
  { name: 'directory in use on the orphan list', kind: 'orphan-in-use', do: (_, v) => { v.editBlock(STATE_BLOCK, (view) => { setU64(view, VolumeState.orphanHead, Sample.innerDirectory); }); } },
];

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
};

t.test('no field of any structure is overlooked', (t) => {
  const header = Object.entries(BlockHeader).filter(([name]) => name !== 'checksum');
  const structures: [keyof typeof FREE_FIELDS, Record<string, number>, (sample: SampleVolume) => number][] = [
    ['Superblock', { ...Object.fromEntries(header), ...Superblock }, () => 0],
    ['VolumeState', { ...Object.fromEntries(header), ...VolumeState }, () => STATE_BLOCK],
    ['GroupHeader', { ...Object.fromEntries(header), ...GroupHeader }, ({ volume }) => group1(volume)],
    ['TreeNode', { ...Object.fromEntries(header), ...TreeNode }, ({ directoryLeaf }) => directoryLeaf],
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

/** Blocks of the sample that hold structures. */
function structureBlocks({ volume, directoryRoot, directoryLeaf, extentLeaf }: SampleVolume): number[] {
  const blocks = [0, STATE_BLOCK, volume.groupStart, group1(volume), volume.totalBlocks - 1];
  return [...blocks, volume.inodeAt(1).block, volume.inodeAt(Sample.farFile).block, directoryRoot, directoryLeaf, extentLeaf];
}

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
  t.same(FINDING_KINDS.filter((kind) => !seenKinds.has(kind)), []);
  t.end();
});
