/**
 * One volume with one of everything that the format knows, laid out by hand: what the verifier and fsck.nvmfs are tried on.
 */
import {
  BLOCK_SIZE,
  GROUP_BLOCKS,
  InodeFlag,
  ItemArea,
  KEY_SIZE,
  TREE_NODE_AREA,
  TreeKind,
  TreeRoot,
} from '../../src/format/layout.js';
import { acl, MINIMAL_ACL } from './acl.js';
import { type BuiltXattrs, extentItem, HandmadeVolume, type Item, viewOf } from './handmade.js';

/** Numbers of the inodes of `sampleVolume`, by what they are. */
export const Sample = {
  root: 1,
  directory: 2,
  bigDirectory: 3,
  sparseFile: 4,
  treeFile: 5,
  linkedFile: 6,
  shortLink: 7,
  longLink: 8,
  device: 9,
  fifo: 10,
  removedFile: 11,
  cutFile: 12,
  manyLinksFile: 13,
  innerDirectory: 14,
  /** Inode 15 and most of table block 3 are free; table blocks 1 and 2 are a hole. */
  free: 15,
  farFile: 50,
} as const;

export interface SampleVolume {
  volume: HandmadeVolume;
  /** Tree nodes of bigDirectory and treeFile: a root node, then a leaf. */
  directoryRoot: number;
  directoryLeaf: number;
  extentLeaf: number;
  longLinkBlock: number;
  /** Extended attributes of linkedFile (one in its item, one in two blocks, an ACL) and of innerDirectory (a default ACL). */
  xattrs: BuiltXattrs;
  directoryXattrs: BuiltXattrs;
}

const SAMPLE_BLOCKS = 1536 + 2 * GROUP_BLOCKS + 1000;

/** A volume of three groups, two of them initialised (or all), with one of everything that the format knows. */
export function sampleVolume(initialisedGroups = 2): SampleVolume {
  const volume = new HandmadeVolume(SAMPLE_BLOCKS * BLOCK_SIZE, initialisedGroups);
  const { regular, directory, symlink, character, fifo } = { regular: 0o100644, directory: 0o040755, symlink: 0o120777, character: 0o020600, fifo: 0o010600 };
  volume.mapTable(3);

  const sparse = volume.allocate(10);
  const sparseTree = volume.tree(TreeKind.extents, Sample.sparseFile, [
    extentItem({ key: 0, block: sparse, length: 2 }),
    extentItem({ key: 100, block: sparse + 5, length: 3 }),
    extentItem({ key: 200, block: sparse + 8, length: 2, unwritten: true }),
  ], 100, 4);
  volume.mark(sparse, 10);
  // Blocks sparse + 2 … 4 belong to the file that is being cut.
  volume.setInode(Sample.sparseFile, { mode: regular, size: 102 * 4096 + 5, blocks: 7, body: sparseTree.root });
  const cut = volume.tree(TreeKind.extents, Sample.cutFile, [extentItem({ key: 0, block: sparse + 2, length: 3 })], 100, 4);
  volume.setInode(Sample.cutFile, { mode: regular, size: 4097, blocks: 3, flags: InodeFlag.orphan, body: cut.root });

  const extents: Item[] = [];
  for (let i = 0; i < 250; i++) {
    extents.push(extentItem({ key: 2 * i, block: volume.allocate(1), length: 1 }));
    volume.skip(1);
  }
  const treeBuilt = volume.tree(TreeKind.extents, Sample.treeFile, extents, 100, 4);
  volume.setInode(Sample.treeFile, { mode: regular, size: 499 * 4096, blocks: 250 + treeBuilt.nodes, body: treeBuilt.root });

  const xattrs = volume.xattrs(Sample.linkedFile, {
    'user.short': Buffer.from('inline'),
    'user.long': new Uint8Array(5000).fill(7),
    'system.posix_acl_access': acl(['userObject', 0, 6], ['user', 9, 7], ['groupObject', 0, 0], ['mask', 0, 4], ['other', 0, 4]),
  });
  volume.setInode(Sample.linkedFile, { mode: regular, nlink: 2, size: 0, blocks: 3, xattrBlock: xattrs.block });
  const target = new Uint8Array(128);
  target.set(Buffer.from('a/target'));
  volume.setInode(Sample.shortLink, { mode: symlink, size: 8, body: target });
  const longLinkBlock = volume.allocate(1);
  volume.write(longLinkBlock, new Uint8Array(BLOCK_SIZE).fill(0x61), false);
  const long = volume.tree(TreeKind.extents, Sample.longLink, [extentItem({ key: 0, block: longLinkBlock, length: 1 })], 100, 4);
  volume.setInode(Sample.longLink, { mode: symlink, size: 3000, blocks: 1, flags: InodeFlag.treeBody, body: long.root });
  const rdev = new Uint8Array(128);
  rdev[0] = 3;
  rdev[4] = 1;
  volume.setInode(Sample.device, { mode: character, body: rdev });
  volume.setInode(Sample.fifo, { mode: fifo, body: new Uint8Array(128) });
  volume.setInode(Sample.removedFile, { mode: regular, nlink: 0, flags: InodeFlag.orphan, orphanNext: Sample.cutFile });
  volume.orphanHead = Sample.removedFile;

  const names = Array.from({ length: 500 }, (_, i) => volume.dentry(`name ${String(i)}`, Sample.manyLinksFile, 8));
  const big = volume.tree(TreeKind.directory, Sample.bigDirectory, names, 30, 3);
  volume.setInode(Sample.manyLinksFile, { mode: regular, nlink: 500 });
  volume.setInode(Sample.bigDirectory, { mode: directory, nlink: 2, size: 500, blocks: big.nodes, parent: Sample.directory, body: big.root });
  const directoryXattrs = volume.xattrs(Sample.innerDirectory, { 'system.posix_acl_default': acl(...MINIMAL_ACL) });
  volume.setInode(Sample.innerDirectory, { mode: directory, nlink: 2, blocks: 1, parent: Sample.directory, xattrBlock: directoryXattrs.block });
  const inner = volume.tree(TreeKind.directory, Sample.directory, [volume.dentry('big', Sample.bigDirectory, 4), volume.dentry('in', Sample.innerDirectory, 4)], 30, 3);
  volume.setInode(Sample.directory, { mode: directory, nlink: 4, size: 2, parent: Sample.root, body: inner.root });

  const farBlock = initialisedGroups > 1 ? volume.groupStart + GROUP_BLOCKS + 7 : volume.allocate(1);
  volume.mark(farBlock, 1);
  const far = volume.tree(TreeKind.extents, Sample.farFile, [extentItem({ key: 0, block: farBlock, length: 1 })], 100, 4);
  volume.setInode(Sample.farFile, { mode: regular, size: 4096, blocks: 1, body: far.root });

  const entries = [
    volume.dentry('directory', Sample.directory, 4),
    volume.dentry('sparse', Sample.sparseFile, 8),
    volume.dentry('tree', Sample.treeFile, 8),
    volume.dentry('linked', Sample.linkedFile, 8),
    volume.dentry('linked \xff twice', Sample.linkedFile, 8),
    volume.dentry('short', Sample.shortLink, 10),
    volume.dentry('long', Sample.longLink, 10),
    volume.dentry('device', Sample.device, 2),
    volume.dentry('fifo', Sample.fifo, 1),
    volume.dentry('cut', Sample.cutFile, 8),
    volume.dentry('far', Sample.farFile, 8),
  ];
  const root = volume.tree(TreeKind.directory, Sample.root, entries, 30, 3);
  volume.setInode(Sample.root, { mode: directory, nlink: 3, size: entries.length, blocks: root.nodes, parent: Sample.root, body: root.root });
  volume.finish();

  const directoryRoot = viewOf(big.root).getUint32(TreeRoot.root, true);
  const leaf = firstChild(volume.read(directoryRoot));
  const extentLeaf = firstChild(volume.read(viewOf(treeBuilt.root).getUint32(TreeRoot.root, true)));
  return { volume, directoryRoot, directoryLeaf: leaf, extentLeaf, longLinkBlock, xattrs, directoryXattrs };
}

function firstChild(node: Uint8Array): number {
  const view = viewOf(node);
  return view.getUint32(TREE_NODE_AREA + view.getUint16(TREE_NODE_AREA + ItemArea.slots, true) + KEY_SIZE, true);
}

