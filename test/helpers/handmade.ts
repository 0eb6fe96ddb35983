/**
 * Volumes laid out by hand from doc/FORMAT.md, without the engine, so that every field of them can be damaged.
 */
import { makeVolume } from '../../mkfs/layout.js';
import { asByteAddr } from '../../src/base/units.js';
import { hashOfName } from '../../src/check/name-hash.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  Dentry,
  Extent,
  EXTENT_PAYLOAD_SIZE,
  FREE_INODES_PAYLOAD_SIZE,
  FreeInodes,
  GROUP_BLOCKS,
  GroupHeader,
  Inode,
  INODE_SIZE,
  INODES_PER_BLOCK,
  ItemArea,
  KEY_SIZE,
  Magic,
  SLOT_SIZE,
  STATE_BLOCK,
  TREE_MAX_PAYLOAD,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeKind,
  type TreeKindNumber,
  TreeNode,
  TreeRoot,
  VolumeState,
  XATTR_ROOT_SIZE,
  XATTR_VALUE_BLOCK_BYTES,
  XattrBlock,
  XattrItem,
  XattrValue,
} from '../../src/format/layout.js';
import { setU64 } from '../../src/format/numbers.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';

export interface Item {
  key: number;
  payload: Uint8Array;
}

export interface ExtentSpec {
  key: number;
  block: number;
  length: number;
  unwritten?: boolean;
}

export interface InodeSpec {
  mode: number;
  nlink?: number;
  size?: number;
  blocks?: number;
  parent?: number;
  flags?: number;
  orphanNext?: number;
  xattrBlock?: number;
  body?: Uint8Array;
}

export interface BuiltXattrs {
  /** The xattr block. */
  block: number;
  /** Blocks of values, in the order of their attributes. */
  valueBlocks: number[];
}

export interface BuiltTree {
  root: Uint8Array;
  nodes: number;
}

const emptyRoot = (): Uint8Array => areaRoot([]);

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes items as an item area at `base`. */
function fillArea(bytes: Uint8Array, base: number, size: number, items: Item[]): void {
  const view = viewOf(bytes);
  let heap = size;
  items.forEach((item, index) => {
    heap -= KEY_SIZE + item.payload.length;
    const slot = base + ItemArea.slots + index * SLOT_SIZE;
    if (heap < slot + SLOT_SIZE - base) throw new Error('the items do not fit into the area');
    view.setUint16(slot, heap, true);
    view.setUint16(slot + 2, item.payload.length, true);
    setU64(view, base + heap, item.key);
    bytes.set(item.payload, base + heap + KEY_SIZE);
  });
  view.setUint16(base + ItemArea.count, items.length, true);
  view.setUint16(base + ItemArea.heapStart, heap, true);
  view.setUint16(base + ItemArea.heapBytes, size - heap, true);
}

function areaRoot(items: Item[]): Uint8Array {
  const root = new Uint8Array(TREE_ROOT_SIZE);
  fillArea(root, TREE_ROOT_AREA, TREE_ROOT_SIZE - TREE_ROOT_AREA, items);
  return root;
}

export function extentItem({ key, block, length, unwritten }: ExtentSpec): Item {
  const payload = new Uint8Array(EXTENT_PAYLOAD_SIZE);
  const view = viewOf(payload);
  setU64(view, Extent.block, block);
  view.setUint32(Extent.length, length, true);
  view.setUint16(Extent.flags, unwritten === true ? 1 : 0, true);
  return { key, payload };
}

function freeItem(key: number, mask: number, length: number): Item {
  const payload = new Uint8Array(FREE_INODES_PAYLOAD_SIZE);
  const view = viewOf(payload);
  view.setUint16(FreeInodes.mask, mask, true);
  view.setUint32(FreeInodes.length, length, true);
  return { key, payload };
}

export class HandmadeVolume {
  readonly pmem: SimulatedPmem;
  readonly seed: number;
  readonly hashSeed = 0x1234567;
  readonly groupStart: number;
  readonly totalBlocks: number;
  private nextBlock: number;
  private readonly used = new Map<number, Uint8Array>();
  private readonly inodes = new Map<number, InodeSpec>();
  private readonly tableBlocks = new Map<number, number>();
  orphanHead = 0;

  constructor(
    sizeBytes: number,
    private readonly initialisedGroups: number,
  ) {
    this.pmem = new SimulatedPmem(sizeBytes);
    const uuid = new Uint8Array(16).fill(7);
    const geometry = makeVolume(this.pmem, { label: 'handmade', uuid, hashSeed: this.hashSeed, journalId: 42 });
    this.seed = geometry.seed;
    this.groupStart = geometry.groupStart;
    this.totalBlocks = geometry.totalBlocks;
    this.nextBlock = this.groupStart + 1;
    for (let group = 0; group < initialisedGroups; group++) this.mark(this.groupStart + group * GROUP_BLOCKS, 1);
    this.mapTable(0);
  }

  /** Takes `length` blocks that follow one another. */
  allocate(length: number): number {
    const block = this.nextBlock;
    this.nextBlock += length;
    this.mark(block, length);
    return block;
  }

  /** Leaves blocks out, so that the next ones are elsewhere. */
  skip(length: number): void {
    this.nextBlock += length;
  }

  /** Marks blocks in the bitmaps. */
  mark(block: number, length: number): void {
    for (let at = block - this.groupStart; at < block - this.groupStart + length; at++) {
      const group = Math.floor(at / GROUP_BLOCKS);
      let bitmap = this.used.get(group);
      if (bitmap === undefined) this.used.set(group, (bitmap = new Uint8Array(GROUP_BLOCKS / 8)));
      const bit = at % GROUP_BLOCKS;
      bitmap[bit >> 3] = (bitmap[bit >> 3] as number) | (1 << (bit & 7));
    }
  }

  mapTable(tableBlock: number): number {
    const block = this.allocate(1);
    this.tableBlocks.set(tableBlock, block);
    return block;
  }

  setInode(ino: number, spec: InodeSpec): void {
    this.inodes.set(ino, spec);
  }

  /** Block and offset of an inode record. */
  inodeAt(ino: number): { block: number; base: number } {
    const block = this.tableBlocks.get(Math.floor(ino / INODES_PER_BLOCK));
    if (block === undefined) throw new Error(`inode ${String(ino)} has no table block`);
    return { block, base: (ino % INODES_PER_BLOCK) * INODE_SIZE };
  }

  dentry(name: string, ino: number, type: number, collision = 0): Item {
    const bytes = Buffer.from(name, 'latin1');
    const payload = new Uint8Array(Dentry.name + bytes.length);
    setU64(viewOf(payload), Dentry.ino, ino);
    payload[Dentry.type] = type;
    payload.set(bytes, Dentry.name);
    return { key: hashOfName(this.hashSeed, bytes, 0, bytes.length) * 1024 + collision, payload };
  }

  /** Builds the extended attributes of an inode: values that fit go into the items, others into blocks. */
  xattrs(owner: number, attributes: Record<string, Uint8Array>): BuiltXattrs {
    const block = this.allocate(1);
    const valueBlocks: number[] = [];
    let listBytes = 0;
    const items = Object.entries(attributes).map(([text, value]): Item => {
      const name = Buffer.from(text, 'latin1');
      const key = hashOfName(this.hashSeed, name, 0, name.length) * 1024;
      const inline = XattrItem.name + name.length + value.length <= TREE_MAX_PAYLOAD;
      const own = inline ? [] : this.value(owner, key, value);
      const payload = new Uint8Array(XattrItem.name + name.length + (inline ? value.length : 0));
      setU64(viewOf(payload), XattrItem.valueBlock, own[0] ?? 0);
      viewOf(payload).setUint32(XattrItem.valueLength, value.length, true);
      payload[XattrItem.nameLength] = name.length;
      payload.set(name, XattrItem.name);
      if (inline) payload.set(value, XattrItem.name + name.length);
      listBytes += name.length + 1;
      valueBlocks.push(...own);
      return { key, payload };
    });
    items.sort((a, b) => a.key - b.key);
    const bytes = this.headed(Magic.xattr, block, owner);
    viewOf(bytes).setUint32(XattrBlock.count, items.length, true);
    viewOf(bytes).setUint32(XattrBlock.listBytes, listBytes, true);
    fillArea(bytes, XattrBlock.root + TREE_ROOT_AREA, XATTR_ROOT_SIZE - TREE_ROOT_AREA, items);
    this.write(block, bytes, true);
    return { block, valueBlocks };
  }

  private value(owner: number, key: number, value: Uint8Array): number[] {
    const blocks: number[] = [];
    for (let at = 0; at < value.length; at += XATTR_VALUE_BLOCK_BYTES) blocks.push(this.allocate(1));
    blocks.forEach((block, index) => {
      const part = value.subarray(index * XATTR_VALUE_BLOCK_BYTES, (index + 1) * XATTR_VALUE_BLOCK_BYTES);
      const bytes = this.headed(Magic.xattrValue, block, owner);
      const view = viewOf(bytes);
      setU64(view, XattrValue.next, blocks[index + 1] ?? 0);
      setU64(view, XattrValue.key, key);
      view.setUint32(XattrValue.index, index, true);
      view.setUint32(XattrValue.length, part.length, true);
      bytes.set(part, XattrValue.data);
      this.write(block, bytes, true);
    });
    return blocks;
  }

  /** Builds a tree; with more than `perNode` items (or children) in nodes of so many. */
  tree(kind: TreeKindNumber, owner: number, items: Item[], perNode: number, inRoot: number): BuiltTree {
    const sorted = [...items].sort((a, b) => a.key - b.key);
    if (sorted.length <= inRoot) return { root: areaRoot(sorted), nodes: 0 };
    let level = 0;
    let nodes = 0;
    let row = sorted;
    for (;;) {
      const parents: Item[] = [];
      for (let i = 0; i < row.length; i += perNode) {
        const block = this.allocate(1);
        nodes++;
        this.writeNode(block, kind, owner, level, row.slice(i, i + perNode));
        const payload = new Uint8Array(8);
        setU64(viewOf(payload), 0, block);
        parents.push({ key: i === 0 ? 0 : (row[i] as Item).key, payload });
      }
      level++;
      row = parents;
      if (row.length === 1) break;
    }
    const root = new Uint8Array(TREE_ROOT_SIZE);
    const view = viewOf(root);
    view.setUint16(TreeRoot.depth, level, true);
    view.setUint32(TreeRoot.nodes, nodes, true);
    root.set((row[0] as Item).payload, TreeRoot.root);
    return { root, nodes };
  }

  private writeNode(block: number, kind: number, owner: number, level: number, items: Item[]): void {
    const bytes = this.headed(Magic.node, block, owner);
    const view = viewOf(bytes);
    view.setUint16(TreeNode.level, level, true);
    view.setUint16(TreeNode.kind, kind, true);
    fillArea(bytes, TREE_NODE_AREA, BLOCK_SIZE - TREE_NODE_AREA, items);
    this.write(block, bytes, true);
  }

  headed(magic: number, block: number, owner: number): Uint8Array {
    const bytes = new Uint8Array(BLOCK_SIZE);
    const view = viewOf(bytes);
    view.setUint32(BlockHeader.magic, magic, true);
    setU64(view, BlockHeader.self, block);
    setU64(view, BlockHeader.owner, owner);
    return bytes;
  }

  read(block: number): Uint8Array {
    const bytes = new Uint8Array(BLOCK_SIZE);
    this.pmem.load(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
    return bytes;
  }

  /** Stores a block; `seal` corrects the checksum of its header first. */
  write(block: number, bytes: Uint8Array, seal: boolean): void {
    if (seal) {
      const seed = viewOf(bytes).getUint32(BlockHeader.magic, true) === Magic.superblock ? 0 : this.seed;
      viewOf(bytes).setUint32(BlockHeader.checksum, this.pmem.crc32c(seed, bytes, 4, BLOCK_SIZE - 4), true);
    }
    this.pmem.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
  }

  /** Changes a block with a header in place and corrects its checksum. */
  editBlock(block: number, change: (view: DataView, bytes: Uint8Array) => void): void {
    const bytes = this.read(block);
    change(viewOf(bytes), bytes);
    this.write(block, bytes, true);
  }

  /** Changes an inode record in place (offsets from its start) and corrects its checksum. */
  editInode(ino: number, change: (view: DataView, bytes: Uint8Array) => void): void {
    const { block, base } = this.inodeAt(ino);
    const bytes = this.read(block);
    const record = bytes.subarray(base, base + INODE_SIZE);
    change(viewOf(record), record);
    this.sealInode(record);
    this.write(block, bytes, false);
  }

  private sealInode(record: Uint8Array): void {
    viewOf(record).setUint32(Inode.checksum, this.pmem.crc32c(this.seed, record, 4, INODE_SIZE - 4), true);
  }

  /** Writes inode table, free inodes, group headers and state: call once, when everything is described. */
  finish(): void {
    const table = this.tree(
      TreeKind.extents,
      0,
      [...this.tableBlocks].map(([key, block]) => extentItem({ key, block, length: 1 })),
      100,
      3,
    );
    const free = this.tree(TreeKind.freeInodes, 0, this.freeItems(), 100, 5);
    for (const [tableBlock, block] of this.tableBlocks) this.writeTableBlock(tableBlock, block);
    let freeBlocks = 0;
    const groups = Math.ceil((this.totalBlocks - this.groupStart) / GROUP_BLOCKS);
    for (let group = 0; group < groups; group++) freeBlocks += this.writeGroup(group, groups);
    const state = this.headed(Magic.state, STATE_BLOCK, 0);
    const view = viewOf(state);
    setU64(view, VolumeState.freeBlocks, freeBlocks);
    setU64(view, VolumeState.groupsInitialised, this.initialisedGroups);
    setU64(view, VolumeState.tableBlocks, Math.max(...this.tableBlocks.keys()) + 1);
    setU64(view, VolumeState.usedInodes, this.inodes.size);
    setU64(view, VolumeState.orphanHead, this.orphanHead);
    setU64(view, VolumeState.mappedTableBlocks, this.tableBlocks.size);
    state.set(table.root, VolumeState.tableRoot);
    state.set(free.root, VolumeState.freeInodeRoot);
    this.write(STATE_BLOCK, state, true);
  }

  private freeItems(): Item[] {
    const items: Item[] = [];
    const mapped = [...this.tableBlocks.keys()].sort((a, b) => a - b);
    let done = 0;
    for (const tableBlock of mapped) {
      if (tableBlock > done) items.push(freeItem(done, 0xffff, tableBlock - done));
      let mask = 0;
      for (let i = 0; i < INODES_PER_BLOCK; i++) {
        const ino = tableBlock * INODES_PER_BLOCK + i;
        if (ino > 0 && !this.inodes.has(ino)) mask |= 1 << i;
      }
      if (mask !== 0) items.push(freeItem(tableBlock, mask, 1));
      done = tableBlock + 1;
    }
    return items;
  }

  private writeTableBlock(tableBlock: number, block: number): void {
    const bytes = new Uint8Array(BLOCK_SIZE);
    for (let i = 0; i < INODES_PER_BLOCK; i++) {
      const ino = tableBlock * INODES_PER_BLOCK + i;
      const record = bytes.subarray(i * INODE_SIZE, (i + 1) * INODE_SIZE);
      const view = viewOf(record);
      view.setUint16(Inode.magic, Magic.inode, true);
      setU64(view, Inode.ino, ino);
      const spec = this.inodes.get(ino);
      if (spec !== undefined) {
        view.setUint16(Inode.mode, spec.mode, true);
        view.setUint32(Inode.nlink, spec.nlink ?? 1, true);
        view.setUint32(Inode.flags, spec.flags ?? 0, true);
        setU64(view, Inode.size, spec.size ?? 0);
        setU64(view, Inode.blocks, spec.blocks ?? 0);
        setU64(view, Inode.parent, spec.parent ?? 0);
        setU64(view, Inode.orphanNext, spec.orphanNext ?? 0);
        setU64(view, Inode.xattrBlock, spec.xattrBlock ?? 0);
        view.setUint32(Inode.mtimeNanoseconds, 999_999_999, true);
        record.set(spec.body ?? emptyRoot(), Inode.body);
      }
      this.sealInode(record);
    }
    this.write(block, bytes, false);
  }

  /** Returns the group's free blocks. */
  private writeGroup(group: number, groups: number): number {
    const base = this.groupStart + group * GROUP_BLOCKS;
    const length = Math.min(GROUP_BLOCKS, this.totalBlocks - base);
    if (group >= this.initialisedGroups) return length - (group === groups - 1 ? 2 : 1);
    if (group === groups - 1) this.mark(this.totalBlocks - 1, 1 + GROUP_BLOCKS - length);
    const bytes = this.headed(Magic.group, base, group);
    const bitmap = this.used.get(group) as Uint8Array;
    bytes.set(bitmap, GroupHeader.bitmap);
    let free = 0;
    for (const byte of bitmap) for (let bit = 0; bit < 8; bit++) free += 1 - ((byte >> bit) & 1);
    viewOf(bytes).setUint32(GroupHeader.freeCount, free, true);
    this.write(base, bytes, true);
    return free;
  }
}
