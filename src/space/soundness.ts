import type { BlockNo } from '../base/units.js';
import { bitmapFault } from '../format/group.js';
import {
  BlockHeader,
  FILE_SIZE_MAX,
  FileType,
  GROUP_BLOCKS,
  Inode,
  INODE_BODY_SIZE,
  INODE_SIZE,
  InodeFlag,
  INODES_PER_BLOCK,
  Magic,
  MAX_VOLUME_BLOCKS,
  SYMLINK_MAX,
  TreeKind,
  VolumeState,
  XATTR_LIST_MAX,
  XATTR_VALUE_BLOCK_BYTES,
  XattrBlock,
  XattrValue,
} from '../format/layout.js';
import { getI64, getU64 } from '../format/numbers.js';
import { TABLE_BLOCKS_MAX } from '../format/tree-limits.js';
import type { Geometry } from '../format/superblock.js';
import { nodeFault, rootFault } from '../tree/node.js';

/*
 * What a right checksum does not say: that the contents of a structure are possible. Asked once, when a structure comes into the
 * cache, so that nothing above has to expect a number that is none, an item outside of its node or a bitmap that contradicts its count
 * (promise 7). Whether structures fit each other is not seen here: whoever uses them together notices, and fsck.nvmfs looks for it.
 *
 * All return what is wrong, for people, or undefined.
 */

/** Of a block with a header. */
export function blockFault(view: DataView, geometry: Geometry, magic: number, base: number, block: BlockNo): string | undefined {
  switch (magic) {
    case Magic.node:
      return nodeFault(view, base);
    case Magic.group:
      return groupFault(view, geometry, base, block);
    case Magic.state:
      return stateFault(view, geometry, base);
    case Magic.xattr:
      return xattrFault(view, base);
    case Magic.xattrValue:
      return valueFault(view, base);
    default:
      return undefined;
  }
}

function groupFault(view: DataView, geometry: Geometry, base: number, block: BlockNo): string | undefined {
  const group = (block - geometry.groupStart) / GROUP_BLOCKS;
  if (getU64(view, base + BlockHeader.owner) !== group) return 'the header of another group';
  return bitmapFault(view, base, geometry, group);
}

const STATE_NUMBERS = [VolumeState.orphanHead, VolumeState.sequence, VolumeState.rangeIno, VolumeState.rangeOffset, VolumeState.rangeEnd] as const;

function stateFault(view: DataView, geometry: Geometry, base: number): string | undefined {
  const field = (offset: number): number => getU64(view, base + offset);
  const groups = field(VolumeState.groupsInitialised);
  if (groups < 1 || groups > geometry.groups) return `${String(groups)} groups in use, of ${String(geometry.groups)}`;
  if (field(VolumeState.freeBlocks) > geometry.totalBlocks) return `${String(field(VolumeState.freeBlocks))} free blocks, of ${String(geometry.totalBlocks)}`;
  const tableBlocks = field(VolumeState.tableBlocks);
  const mapped = field(VolumeState.mappedTableBlocks);
  if (tableBlocks < 1 || tableBlocks > TABLE_BLOCKS_MAX) return `an inode table of ${String(tableBlocks)} blocks`;
  if (mapped > Math.min(tableBlocks, geometry.totalBlocks)) return `${String(mapped)} blocks of the inode table, of ${String(tableBlocks)}`;
  if (field(VolumeState.usedInodes) > mapped * INODES_PER_BLOCK) return `${String(field(VolumeState.usedInodes))} inodes in use, in ${String(mapped)} blocks`;
  if (STATE_NUMBERS.some((offset) => field(offset) > Number.MAX_SAFE_INTEGER)) return 'a number ≥ 2^53';
  return rootFault(view, base + VolumeState.tableRoot, TreeKind.extents) ?? rootFault(view, base + VolumeState.freeInodeRoot, TreeKind.freeInodes);
}

function xattrFault(view: DataView, base: number): string | undefined {
  const count = view.getUint32(base + XattrBlock.count, true);
  const listBytes = view.getUint32(base + XattrBlock.listBytes, true);
  // A name has a byte at least, and one more in the list.
  if (count < 1 || listBytes < 2 * count || listBytes > XATTR_LIST_MAX) return `${String(count)} attributes with ${String(listBytes)} bytes of names`;
  return rootFault(view, base + XattrBlock.root, TreeKind.xattrs);
}

/** Which value it is part of, whoever follows the chain compares. */
function valueFault(view: DataView, base: number): string | undefined {
  const length = view.getUint32(base + XattrValue.length, true);
  if (length < 1 || length > XATTR_VALUE_BLOCK_BYTES) return `${String(length)} bytes of a value`;
  const next = getU64(view, base + XattrValue.next);
  return next < MAX_VOLUME_BLOCKS ? undefined : `a next block of ${String(next)}`;
}

const TIMES = [
  [Inode.atimeSeconds, Inode.atimeNanoseconds],
  [Inode.mtimeSeconds, Inode.mtimeNanoseconds],
  [Inode.ctimeSeconds, Inode.ctimeNanoseconds],
  [Inode.btimeSeconds, Inode.btimeNanoseconds],
] as const;
const INODE_NUMBERS = [Inode.blocks, Inode.parent, Inode.orphanNext, Inode.xattrBlock] as const;

/** Of an inode record, in use or free. */
export function inodeFault(view: DataView, record: number): string | undefined {
  const mode = view.getUint16(record + Inode.mode, true);
  if (mode === 0) return freeInodeFault(view, record);
  for (const [seconds, nanoseconds] of TIMES) {
    if (!Number.isSafeInteger(getI64(view, record + seconds)) || view.getUint32(record + nanoseconds, true) >= 1e9) return 'a time that is none';
  }
  for (const field of INODE_NUMBERS) {
    if (getU64(view, record + field) > Number.MAX_SAFE_INTEGER / 8) return `a number of ${String(getU64(view, record + field))} at byte ${String(field)}`;
  }
  const size = getU64(view, record + Inode.size);
  if (size > FILE_SIZE_MAX) return `a size of ${String(size)}`;
  return bodyFault(view, record, mode & FileType.mask, size);
}

function bodyFault(view: DataView, record: number, type: number, size: number): string | undefined {
  const treeBody = (view.getUint32(record + Inode.flags, true) & InodeFlag.treeBody) !== 0;
  switch (type) {
    case FileType.regular:
      return rootFault(view, record + Inode.body, TreeKind.extents);
    case FileType.directory:
      return getU64(view, record + Inode.parent) < 1 ? 'a directory without a parent' : rootFault(view, record + Inode.body, TreeKind.directory);
    case FileType.symlink:
      if (size < 1 || size > SYMLINK_MAX || treeBody !== size > INODE_BODY_SIZE) return `a symbolic link of ${String(size)} bytes, ${treeBody ? 'in a block' : 'in the inode'}`;
      return treeBody ? rootFault(view, record + Inode.body, TreeKind.extents) : undefined;
    case FileType.character:
    case FileType.block:
    case FileType.fifo:
    case FileType.socket:
      return size === 0 ? undefined : `a special file of ${String(size)} bytes`;
    default:
      return `a file type of 0${type.toString(8)}`;
  }
}

/** Who takes it relies on its being zero but for checksum, magic, number and generation. */
function freeInodeFault(view: DataView, record: number): string | undefined {
  for (let offset: number = Inode.uid; offset < INODE_SIZE; offset += 4) {
    if (offset !== Inode.generation && view.getUint32(record + offset, true) !== 0) return `a free inode with a value at byte ${String(offset)}`;
  }
  return undefined;
}
