/**
 * Damages that a volume can have although all checksums are right: one line each. Verifier and repair are tried on all of them.
 */
import type { FindingKind } from '../../src/check/verify.js';
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
  XATTR_ROOT_SIZE,
  XattrBlock,
  XattrItem,
  XattrValue,
} from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import { type HandmadeVolume, viewOf } from './handmade.js';
import { Sample, type SampleVolume } from './sample-volume.js';

/** Offset of item `index` (its key) in an area. */
export function item(view: DataView, area: number, index: number): number {
  return area + view.getUint16(area + ItemArea.slots + 4 * index, true);
}

/** Offset of the first item of the tree root in an inode record. */
export function firstItem(view: DataView, index = 0): number {
  return item(view, Inode.body + TREE_ROOT_AREA, index);
}

export function addTo(view: DataView, offset: number, difference: number): void {
  setU64(view, offset, getU64(view, offset) + difference);
}

export interface Damage {
  name: string;
  kind: FindingKind;
  /** Nothing that a repair may touch: a newer format. */
  newer?: boolean;
  do: (sample: SampleVolume, volume: HandmadeVolume) => void;
}

/** Offset of the payload of an attribute in the xattr block. */
export function xattrItem(view: DataView, bytes: Uint8Array, name: string): number {
  const area = XattrBlock.root + TREE_ROOT_AREA;
  for (let index = 0; index < view.getUint16(area + ItemArea.count, true); index++) {
    const payload = item(view, area, index) + KEY_SIZE;
    const length = view.getUint8(payload + XattrItem.nameLength);
    if (Buffer.from(bytes.subarray(payload + XattrItem.name, payload + XattrItem.name + length)).toString() === name) return payload;
  }
  throw new Error(`${name} is not there`);
}

/** Changes an attribute of linkedFile in its item. */
function editXattr({ xattrs, volume }: SampleVolume, name: string, change: (view: DataView, payload: number) => void): void {
  volume.editBlock(xattrs.block, (view, bytes) => { change(view, xattrItem(view, bytes, name)); });
}

const ACL = 'system.posix_acl_access';
export const group1 = (volume: HandmadeVolume): number => volume.groupStart + GROUP_BLOCKS;

/** One line per damage that a volume can have with all checksums right. */
export const DAMAGES: Damage[] = [
  { name: 'backup differs', kind: 'superblock-backup', do: (_, v) => { v.editBlock(v.totalBlocks - 1, (view) => { view.setUint32(Superblock.madeNanoseconds, 5, true); }); } },
  { name: 'label with bytes behind its end', kind: 'superblock-field', do: (_, v) => { v.editBlock(0, (view) => { view.setUint8(Superblock.label + 20, 65); }); } },
  {
    name: 'label with bytes behind its end, beside a feature that need not be known', kind: 'superblock-field',
    do: (_, v) => { for (const block of [0, v.totalBlocks - 1]) v.editBlock(block, (view) => { view.setUint32(Superblock.compat, 2, true); view.setUint8(Superblock.label + 20, 65); }); },
  },
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
  { name: 'xattr block in the journal', kind: 'inode-xattr', do: (_, v) => { v.editInode(Sample.fifo, (view) => { setU64(view, Inode.xattrBlock, 1000); }); } },
  { name: 'xattr block that is a tree node', kind: 'block-doubly-used', do: (s, v) => { v.editInode(Sample.farFile, (view) => { setU64(view, Inode.xattrBlock, s.extentLeaf); }); } },
  { name: 'two inodes with one xattr block', kind: 'block-doubly-used', do: (s, v) => { v.editInode(Sample.fifo, (view) => { setU64(view, Inode.xattrBlock, s.xattrs.block); }); } },
  { name: 'attributes in a volume without the feature', kind: 'inode-xattr', do: (_, v) => { for (const block of [0, v.totalBlocks - 1]) v.editBlock(block, (view) => { view.setUint32(Superblock.readOnlyCompat, 0, true); }); } },
  { name: 'unknown read-only feature', kind: 'superblock-field', newer: true, do: (_, v) => { for (const block of [0, v.totalBlocks - 1]) v.editBlock(block, (view) => { view.setUint32(Superblock.readOnlyCompat, 3, true); }); } },
  { name: 'owner of an xattr block', kind: 'xattr-block-damaged', do: (s, v) => { v.editBlock(s.xattrs.block, (view) => { setU64(view, BlockHeader.owner, 5); }); } },
  { name: 'magic of an xattr block', kind: 'xattr-block-damaged', do: (s, v) => { v.editBlock(s.xattrs.block, (view) => { view.setUint32(BlockHeader.magic, 5, true); }); } },
  { name: 'count of attributes', kind: 'xattr-count', do: (s, v) => { v.editBlock(s.xattrs.block, (view) => { view.setUint32(XattrBlock.count, 4, true); }); } },
  { name: 'bytes of names', kind: 'xattr-count', do: (s, v) => { v.editBlock(s.xattrs.block, (view) => { view.setUint32(XattrBlock.listBytes, 4, true); }); } },
  { name: 'no attributes', kind: 'xattr-count', do: (s, v) => { v.editBlock(s.xattrs.block, (_view, bytes) => { bytes.fill(0, XattrBlock.count); viewOf(bytes).setUint16(XattrBlock.root + TREE_ROOT_AREA + ItemArea.heapStart, XATTR_ROOT_SIZE - TREE_ROOT_AREA, true); }); } },
  { name: 'reserved byte of an xattr block', kind: 'reserved-bytes', do: (s, v) => { v.editBlock(s.xattrs.block, (view) => { view.setUint8(40, 1); }); } },
  { name: 'reserved byte of an attribute', kind: 'reserved-bytes', do: (s) => { editXattr(s, ACL, (view, at) => { view.setUint8(at + 14, 1); }); } },
  { name: 'attributes out of order', kind: 'tree-items', do: (s, v) => { v.editBlock(s.xattrs.block, (view) => { setU64(view, item(view, XattrBlock.root + TREE_ROOT_AREA, 1), 1); }); } },
  { name: 'length of a value in its item', kind: 'xattr-item', do: (s) => { editXattr(s, 'user.short', (view, at) => { view.setUint32(at + XattrItem.valueLength, 5, true); }); } },
  { name: 'length of a name', kind: 'xattr-item', do: (s) => { editXattr(s, 'user.short', (view, at) => { view.setUint8(at + XattrItem.nameLength, 0); }); } },
  { name: 'length of a value beyond 64 KiB', kind: 'xattr-item', do: (s) => { editXattr(s, 'user.long', (view, at) => { view.setUint32(at + XattrItem.valueLength, 65_537, true); }); } },
  { name: 'short value in blocks', kind: 'xattr-item', do: (s) => { editXattr(s, 'user.long', (view, at) => { view.setUint32(at + XattrItem.valueLength, 100, true); }); } },
  { name: 'value without blocks', kind: 'xattr-item', do: (s) => { editXattr(s, 'user.long', (view, at) => { setU64(view, at + XattrItem.valueBlock, 0); }); } },
  { name: 'name in no namespace', kind: 'xattr-name', do: (s) => { editXattr(s, 'user.short', (view, at) => { view.setUint8(at + XattrItem.name, 0x55); }); } },
  { name: 'name with a zero byte', kind: 'xattr-name', do: (s) => { editXattr(s, 'user.short', (view, at) => { view.setUint8(at + XattrItem.name + 7, 0); }); } },
  { name: 'hash of the name of an attribute', kind: 'xattr-hash', do: (s) => { editXattr(s, 'user.short', (view, at) => { view.setUint8(at + XattrItem.name + 7, 0x58); }); } },
  { name: 'value in the journal', kind: 'xattr-value', do: (s) => { editXattr(s, 'user.long', (view, at) => { setU64(view, at + XattrItem.valueBlock, 1000); }); } },
  { name: 'value that is its own continuation', kind: 'block-doubly-used', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[0] as number, (view) => { setU64(view, XattrValue.next, s.xattrs.valueBlocks[0] as number); }); } },
  { name: 'checksum of a value', kind: 'xattr-value-damaged', do: (s, v) => { const block = s.xattrs.valueBlocks[0] as number; v.write(block, v.read(block).fill(1, 3000, 3001), false); } },
  { name: 'owner of a value', kind: 'xattr-value-damaged', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[1] as number, (view) => { setU64(view, BlockHeader.owner, 5); }); } },
  { name: 'value of another attribute', kind: 'xattr-value', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[1] as number, (view) => { addTo(view, XattrValue.key, 1); }); } },
  { name: 'value out of order', kind: 'xattr-value', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[1] as number, (view) => { view.setUint32(XattrValue.index, 2, true); }); } },
  { name: 'value that is too short', kind: 'xattr-value', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[1] as number, (view) => { view.setUint32(XattrValue.length, 900, true); }); } },
  { name: 'value that goes on behind its end', kind: 'xattr-value', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[1] as number, (view) => { setU64(view, XattrValue.next, s.extentLeaf); }); } },
  { name: 'bytes behind the end of a value', kind: 'reserved-bytes', do: (s, v) => { v.editBlock(s.xattrs.valueBlocks[1] as number, (view) => { view.setUint8(4095, 1); }); } },
  { name: 'version of an ACL', kind: 'xattr-acl', do: (s) => { editXattr(s, ACL, (view, at) => { view.setUint8(at + XattrItem.name + ACL.length, 3); }); } },
  { name: 'order of an ACL', kind: 'xattr-acl', do: (s) => { editXattr(s, ACL, (view, at) => { view.setUint8(at + XattrItem.name + ACL.length + 4, 32); }); } },
  { name: 'mode that contradicts the ACL', kind: 'xattr-acl', do: (_, v) => { v.editInode(Sample.linkedFile, (view) => { view.setUint16(Inode.mode, 0o100600, true); }); } },
  { name: 'default ACL of a file', kind: 'xattr-acl', do: (s, v) => {
    v.editInode(Sample.innerDirectory, (view) => { setU64(view, Inode.xattrBlock, 0); });
    v.editInode(Sample.farFile, (view) => { setU64(view, Inode.xattrBlock, s.directoryXattrs.block); });
    v.editBlock(s.directoryXattrs.block, (view) => { setU64(view, BlockHeader.owner, Sample.farFile); });
  } },
  { name: 'blocks without those of the attributes', kind: 'inode-blocks', do: (_, v) => { v.editInode(Sample.linkedFile, (view) => { setU64(view, Inode.blocks, 0); }); } },
  { name: 'blocks of a directory without those of the attributes', kind: 'inode-blocks', do: (_, v) => { v.editInode(Sample.innerDirectory, (view) => { setU64(view, Inode.blocks, 0); }); } },
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
  { name: 'lost directory without a parent', kind: 'directory-parent', do: (_, v) => { v.editInode(Sample.directory, (view) => { setU64(view, firstItem(view) + KEY_SIZE, Sample.fifo); setU64(view, firstItem(view, 1) + KEY_SIZE, Sample.fifo); }); for (const ino of [Sample.bigDirectory, Sample.innerDirectory]) v.editInode(ino, (view) => { setU64(view, Inode.parent, 0); }); } },
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

/** Blocks of the sample that hold structures. */
export function structureBlocks({ volume, directoryRoot, directoryLeaf, extentLeaf, xattrs, directoryXattrs }: SampleVolume): number[] {
  const blocks = [0, STATE_BLOCK, volume.groupStart, group1(volume), volume.totalBlocks - 1];
  return [...blocks, volume.inodeAt(1).block, volume.inodeAt(Sample.farFile).block, directoryRoot, directoryLeaf, extentLeaf, xattrs.block, directoryXattrs.block, ...xattrs.valueBlocks];
}
