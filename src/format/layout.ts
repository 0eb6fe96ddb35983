/**
 * Offsets and constants of every structure on the medium, exactly as doc/FORMAT.md has them
 * (test/unit/format.test.ts compares the two). Nothing here computes.
 */
export const BLOCK_SIZE = 4096;
export const LINE_SIZE = 64;
export const LINES_PER_BLOCK = 64;

export const FORMAT_VERSION = 1;
export const MIN_VOLUME_BLOCKS = 1024;
export const MAX_VOLUME_BLOCKS = 2 ** 41;

export const Magic = {
  superblock: 0x4253564e,
  state: 0x5453564e,
  group: 0x4741564e,
  node: 0x4e54564e,
  xattr: 0x4158564e,
  xattrValue: 0x5658564e,
  record: 0x524a564e,
  inode: 0x4e49,
} as const;

export const BlockHeader = { checksum: 0, magic: 4, self: 8, owner: 16 } as const;
export const BLOCK_HEADER_SIZE = 24;

export const Superblock = {
  signature: 24,
  version: 32,
  compat: 36,
  readOnlyCompat: 40,
  incompat: 44,
  uuid: 48,
  label: 64,
  totalBlocks: 128,
  journalStart: 136,
  journalSegments: 144,
  journalSegmentBlocks: 148,
  groupStart: 152,
  groupBlocks: 160,
  blockSize: 164,
  journalId: 168,
  madeSeconds: 176,
  madeNanoseconds: 184,
  hashSeed: 188,
} as const;
/** End of the named fields; the rest of the block is reserved. */
export const SUPERBLOCK_END = 192;
/** Bits of `readOnlyCompat`. */
export const ReadOnlyFeature = { xattrs: 0x1 } as const;
/** Bits of `incompat`. */
export const IncompatFeature = { regions: 0x1 } as const;
export const SUPERBLOCK_SIGNATURE = 'NVMFS\r\n\x1a';
export const LABEL_SIZE = 64;
export const UUID_SIZE = 16;
export const PRIMARY_SUPERBLOCK = 0;
export const STATE_BLOCK = 1;

export const VolumeState = {
  freeBlocks: 24,
  groupsInitialised: 32,
  tableBlocks: 40,
  usedInodes: 48,
  orphanHead: 56,
  sequence: 64,
  mappedTableBlocks: 72,
  rangeIno: 80,
  rangeOffset: 88,
  rangeEnd: 96,
  rangeMode: 104,
  tableRoot: 128,
  freeInodeRoot: 256,
} as const;

export const GroupHeader = { freeCount: 24, bitmap: 64 } as const;
/** As many blocks as the bitmap has bits: 126 MiB, 63 chunks of 2 MiB. */
export const GROUP_BLOCKS = (BLOCK_SIZE - 64) * 8;
/** 2 MiB, the size of a huge page, in blocks. */
export const CHUNK_BLOCKS = 512;
export const MIN_GROUP_BLOCKS = 64;

export const TreeRoot = { depth: 0, nodes: 4, root: 8 } as const;
export const TREE_ROOT_SIZE = 128;
export const TREE_ROOT_AREA = 8;
export const TREE_MAX_DEPTH = 12;
export const TREE_MAX_PAYLOAD = 300;
export const TreeNode = { level: 24, kind: 26 } as const;
export const TREE_NODE_AREA = 32;
export const TreeKind = { extents: 1, directory: 2, freeInodes: 3, xattrs: 4 } as const;
export type TreeKindNumber = (typeof TreeKind)[keyof typeof TreeKind];
export const ItemArea = { count: 0, heapStart: 2, heapBytes: 4, slots: 8 } as const;
export const SLOT_SIZE = 4;
export const KEY_SIZE = 8;

export const INODE_SIZE = 256;
export const INODES_PER_BLOCK = 16;
export const ROOT_INO = 1;
export const Inode = {
  checksum: 0,
  magic: 4,
  mode: 6,
  ino: 8,
  uid: 16,
  gid: 20,
  nlink: 24,
  flags: 28,
  size: 32,
  blocks: 40,
  atimeSeconds: 48,
  mtimeSeconds: 56,
  ctimeSeconds: 64,
  btimeSeconds: 72,
  atimeNanoseconds: 80,
  mtimeNanoseconds: 84,
  ctimeNanoseconds: 88,
  btimeNanoseconds: 92,
  generation: 96,
  project: 100,
  parent: 104,
  orphanNext: 112,
  xattrBlock: 120,
  body: 128,
} as const;
export const INODE_BODY_SIZE = 128;
export const InodeFlag = {
  dax: 0x1,
  appendOnly: 0x2,
  immutable: 0x4,
  noDump: 0x8,
  noAtime: 0x10,
  sync: 0x20,
  projectInherit: 0x40,
  regionDraft: 0x10000000,
  region: 0x20000000,
  treeBody: 0x40000000,
  orphan: 0x80000000,
} as const;
/** Payload of the free-inode tree. */
export const FreeInodes = { mask: 0, reserved: 2, length: 4 } as const;
export const FREE_INODES_PAYLOAD_SIZE = 8;
export const FREE_INODES_HOLE = 0xffff;
export const NAME_MAX = 255;
export const SYMLINK_MAX = 4095;
export const FILE_SIZE_MAX = 2 ** 53 - 1;

export const Extent = { block: 0, length: 8, flags: 12, region: 14 } as const;
export const EXTENT_PAYLOAD_SIZE = 16;
export const ExtentFlag = { unwritten: 1 } as const;

/** Bits of a fallocate, as fallocate(2) numbers them. */
export const AllocateMode = { keepSize: 1, punchHole: 2, zeroRange: 16 } as const;

export const Dentry = { ino: 0, type: 8, name: 9 } as const;
export const COLLISIONS_MAX = 1024;

export const XattrBlock = { count: 24, listBytes: 28, root: 64 } as const;
/** Length of the tree root in an xattr block. */
export const XATTR_ROOT_SIZE = BLOCK_SIZE - 64;
export const XattrItem = { valueBlock: 0, valueLength: 8, nameLength: 12, name: 16 } as const;
export const XattrValue = { next: 24, key: 32, index: 40, length: 44, data: 64 } as const;
/** Bytes of a value in one of its blocks. */
export const XATTR_VALUE_BLOCK_BYTES = BLOCK_SIZE - 64;
export const XATTR_NAME_MAX = 255;
export const XATTR_VALUE_MAX = 65536;
export const XATTR_LIST_MAX = 65536;

export const JournalRecord = {
  checksum: 0,
  magic: 4,
  sequence: 8,
  journalId: 16,
  length: 24,
  entries: 28,
  requestId: 32,
  result: 40,
  requestKind: 48,
} as const;
export const RECORD_HEADER_SIZE = 64;
export const JournalEntry = { block: 0, flags: 6, lines: 8 } as const;
export const JOURNAL_ENTRY_SIZE = 16;
export const JournalEntryFlag = { zeroFirst: 1 } as const;
export const JOURNAL_SEGMENT_BLOCKS = 128;
/** Most blocks one transaction may change; a record of that many fits into a segment. */
export const TRANSACTION_BLOCKS_MAX = 96;

/** File type bits of `mode`, as in stat(2). */
export const FileType = {
  mask: 0o170000,
  socket: 0o140000,
  symlink: 0o120000,
  regular: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
} as const;
