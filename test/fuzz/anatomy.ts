/**
 * What a healthy volume consists of, read from its bytes: every structure with its fields, and whose each block is.
 * Written from doc/FORMAT.md; it believes what it reads, so it is for volumes that are well.
 */
import { asByteAddr } from '../../src/base/units.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  Dentry,
  Extent,
  FileType,
  FreeInodes,
  GROUP_BLOCKS,
  GroupHeader,
  Inode,
  INODE_SIZE,
  InodeFlag,
  INODES_PER_BLOCK,
  ItemArea,
  JOURNAL_ENTRY_SIZE,
  JournalEntry,
  JournalRecord,
  KEY_SIZE,
  LINE_SIZE,
  Magic,
  RECORD_HEADER_SIZE,
  SLOT_SIZE,
  STATE_BLOCK,
  Superblock,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  TreeKind,
  TreeNode,
  TreeRoot,
  VolumeState,
  XATTR_ROOT_SIZE,
  XATTR_VALUE_BLOCK_BYTES,
  XattrBlock,
  XattrItem,
  XattrValue,
} from '../../src/format/layout.js';
import { getU48, getU64 } from '../../src/format/numbers.js';
import { type Geometry, readSuperblock } from '../../src/format/superblock.js';
import type { Pmem } from '../../src/pmem/pmem.js';

/** What a field means: damaged ones are given values of other fields of the same meaning. */
export type Meaning = 'block' | 'ino' | 'key' | 'count' | 'flags' | 'length' | 'offset' | 'text' | 'checksum';

export interface Field {
  name: string;
  /** Bytes from the start of the structure. */
  offset: number;
  /** Bytes: 1, 2, 4, 6 or 8. */
  size: number;
  meaning: Meaning;
}

export type StructureKind = 'superblock' | 'state' | 'group' | 'node' | 'inode' | 'xattr' | 'value' | 'record';

export interface Structure {
  kind: StructureKind;
  /** For people: `inode 17`, `node of inode 3, level 1`. */
  name: string;
  /** Byte address and length. */
  address: number;
  length: number;
  /** The checksum is at the start, over the rest, continued from this. */
  seed: number;
  fields: Field[];
  /** Slots of its item area, where there is one: offsets from the start of the structure. */
  area?: { base: number; size: number };
}

/** Whose a block of the volume is: an inode number, 0 for what belongs to all. */
export interface Owner {
  ino: number;
  what: 'data' | 'node' | 'table' | 'free-inode-node' | 'table-node' | 'xattr' | 'value';
}

export interface Anatomy {
  geometry: Geometry;
  structures: Structure[];
  /** Blocks inside groups that are in use, headers excepted. */
  owners: Map<number, Owner>;
  /** All blocks that hold anything. */
  usedBlocks: number[];
  /** Values found, by meaning: what damaged fields are given. */
  pool: Map<Meaning, number[]>;
}

const at = (fields: Readonly<Record<string, number>>, sizes: Readonly<Record<string, [number, Meaning]>>): Field[] =>
  Object.entries(sizes).map(([name, [size, meaning]]) => ({ name, offset: fields[name] as number, size, meaning }));

const HEADER_FIELDS = at(BlockHeader, { checksum: [4, 'checksum'], magic: [4, 'flags'], self: [8, 'block'], owner: [8, 'ino'] });
const SUPERBLOCK_FIELDS = at(Superblock, {
  signature: [8, 'text'], version: [4, 'count'], compat: [4, 'flags'], readOnlyCompat: [4, 'flags'], incompat: [4, 'flags'], uuid: [8, 'text'],
  label: [8, 'text'], totalBlocks: [8, 'block'], journalStart: [8, 'block'], journalSegments: [4, 'count'], journalSegmentBlocks: [4, 'count'],
  groupStart: [8, 'block'], groupBlocks: [4, 'count'], blockSize: [4, 'count'], journalId: [8, 'count'], madeSeconds: [8, 'count'], hashSeed: [4, 'flags'],
});
const STATE_FIELDS = at(VolumeState, {
  freeBlocks: [8, 'count'], groupsInitialised: [8, 'count'], tableBlocks: [8, 'count'], usedInodes: [8, 'count'], orphanHead: [8, 'ino'], sequence: [8, 'count'],
  mappedTableBlocks: [8, 'count'], rangeIno: [8, 'ino'], rangeOffset: [8, 'length'], rangeEnd: [8, 'length'], rangeMode: [4, 'flags'],
});
const INODE_FIELDS = at(Inode, {
  checksum: [4, 'checksum'], magic: [2, 'flags'], mode: [2, 'flags'], ino: [8, 'ino'], uid: [4, 'count'], gid: [4, 'count'], nlink: [4, 'count'], flags: [4, 'flags'],
  size: [8, 'length'], blocks: [8, 'count'], atimeSeconds: [8, 'count'], mtimeSeconds: [8, 'count'], ctimeSeconds: [8, 'count'], btimeSeconds: [8, 'count'],
  mtimeNanoseconds: [4, 'count'], generation: [4, 'count'], project: [4, 'count'], parent: [8, 'ino'], orphanNext: [8, 'ino'], xattrBlock: [8, 'block'],
});
const XATTR_FIELDS = at(XattrBlock, { count: [4, 'count'], listBytes: [4, 'length'] });
const VALUE_FIELDS = at(XattrValue, { next: [8, 'block'], key: [8, 'key'], index: [4, 'count'], length: [4, 'length'], data: [8, 'text'] });
const RECORD_FIELDS = at(JournalRecord, {
  checksum: [4, 'checksum'], magic: [4, 'flags'], sequence: [8, 'count'], journalId: [8, 'count'], length: [4, 'length'], entries: [4, 'count'],
  requestId: [8, 'count'], result: [8, 'ino'],
});

/** Bits of a mode that say that the body of the inode is a tree root. */
function hasTree(mode: number, flags: number): boolean {
  const type = mode & FileType.mask;
  return type === FileType.regular || type === FileType.directory || (type === FileType.symlink && (flags & InodeFlag.treeBody) !== 0);
}

class Dissection {
  readonly structures: Structure[] = [];
  readonly owners = new Map<number, Owner>();
  readonly pool = new Map<Meaning, number[]>();
  private readonly geometry: Geometry;

  constructor(private readonly pmem: Pmem) {
    this.geometry = readSuperblock(pmem).geometry;
  }

  run(): Anatomy {
    const { geometry } = this;
    this.addHeaded('superblock', 'superblock', 0, SUPERBLOCK_FIELDS, 0);
    this.addHeaded('superblock', 'backup superblock', geometry.totalBlocks - 1, SUPERBLOCK_FIELDS, 0);
    const state = this.addHeaded('state', 'volume state', STATE_BLOCK, STATE_FIELDS, geometry.seed);
    const groups = getU64(state.view, VolumeState.groupsInitialised);
    for (let group = 0; group < groups; group += 1) this.addGroup(group);
    const table: { key: number; block: number; length: number }[] = [];
    this.addTree(state, VolumeState.tableRoot, TreeKind.extents, 0, 'table-node', (key, payload, view) => {
      table.push({ key, block: getU64(view, payload + Extent.block), length: view.getUint32(payload + Extent.length, true) });
    });
    this.addTree(state, VolumeState.freeInodeRoot, TreeKind.freeInodes, 0, 'free-inode-node', () => undefined);
    for (const { key, block, length } of table) for (let i = 0; i < length; i += 1) this.addTableBlock(key + i, block + i);
    this.addJournal();
    const used = new Set<number>(this.owners.keys());
    for (const { address, length } of this.structures) for (let a = address; a < address + length; a += BLOCK_SIZE) used.add(Math.floor(a / BLOCK_SIZE));
    return { geometry, structures: this.structures, owners: this.owners, usedBlocks: [...used].sort((a, b) => a - b), pool: this.pool };
  }

  private load(address: number, length: number): { view: DataView; bytes: Uint8Array } {
    const bytes = new Uint8Array(length);
    this.pmem.load(asByteAddr(address), bytes, 0, length);
    return { view: new DataView(bytes.buffer), bytes };
  }

  private add(structure: Structure, view: DataView): void {
    this.structures.push(structure);
    for (const field of structure.fields) {
      const values = this.pool.get(field.meaning) ?? [];
      if (values.length < 4096) values.push(readField(view, field));
      this.pool.set(field.meaning, values);
    }
  }

  private addHeaded(kind: StructureKind, name: string, block: number, fields: Field[], seed: number): { view: DataView; structure: Structure } {
    const { view } = this.load(block * BLOCK_SIZE, BLOCK_SIZE);
    const structure = { kind, name: `${name} (block ${String(block)})`, address: block * BLOCK_SIZE, length: BLOCK_SIZE, seed, fields: [...HEADER_FIELDS, ...fields] };
    this.add(structure, view);
    return { view, structure };
  }

  private addGroup(group: number): void {
    const fields: Field[] = [{ name: 'freeCount', offset: GroupHeader.freeCount, size: 4, meaning: 'count' }];
    const block = this.geometry.groupStart + group * GROUP_BLOCKS;
    // The words of the bitmap in which something is in use, the last ones, and some others.
    const { view } = this.load(block * BLOCK_SIZE, BLOCK_SIZE);
    for (let word = 0; word < GROUP_BLOCKS / 32; word += 1) {
      const offset = GroupHeader.bitmap + word * 4;
      if (view.getUint32(offset, true) === 0 && word % 128 !== 0) continue;
      fields.push({ name: `bitmap[${String(word * 32)}…]`, offset, size: 4, meaning: 'flags' });
    }
    this.addHeaded('group', `header of group ${String(group)}`, block, fields, this.geometry.seed);
  }

  /** Adds the fields of the tree root at `root` of a structure, and all nodes below it. */
  private addTree(
    holder: { view: DataView; structure: Structure }, root: number, kind: number, ino: number, what: Owner['what'],
    visit: (key: number, payload: number, view: DataView) => void,
  ): void {
    const { view, structure } = holder;
    const depth = view.getUint16(root + TreeRoot.depth, true);
    structure.fields.push({ name: 'depth', offset: root + TreeRoot.depth, size: 2, meaning: 'count' }, { name: 'nodes', offset: root + TreeRoot.nodes, size: 4, meaning: 'count' });
    if (depth > 0) {
      structure.fields.push({ name: 'root', offset: root + TreeRoot.root, size: 8, meaning: 'block' });
      this.addNode(getU64(view, root + TreeRoot.root), depth - 1, kind, ino, what, visit);
    } else {
      const size = kind === TreeKind.xattrs ? XATTR_ROOT_SIZE : TREE_ROOT_SIZE;
      this.addArea(structure, view, root + TREE_ROOT_AREA, size - TREE_ROOT_AREA, kind, visit);
    }
  }

  private addNode(block: number, level: number, kind: number, ino: number, what: Owner['what'], visit: (key: number, payload: number, view: DataView) => void): void {
    this.owners.set(block, { ino, what });
    const fields: Field[] = [{ name: 'level', offset: TreeNode.level, size: 2, meaning: 'count' }, { name: 'kind', offset: TreeNode.kind, size: 2, meaning: 'count' }];
    const name = `node of level ${String(level)} of ${ino > 0 ? `inode ${String(ino)}` : what}`;
    const { view, structure } = this.addHeaded('node', name, block, fields, this.geometry.seed);
    const children: number[] = [];
    this.addArea(structure, view, TREE_NODE_AREA, BLOCK_SIZE - TREE_NODE_AREA, level > 0 ? 0 : kind, (key, payload) => {
      if (level > 0) children.push(getU64(view, payload));
      else visit(key, payload, view);
    });
    for (const child of children) this.addNode(child, level - 1, kind, ino, what, visit);
  }

  /** Adds the fields of an item area; `kind` 0: items of an interior node. */
  private addArea(structure: Structure, view: DataView, base: number, size: number, kind: number, visit: (key: number, payload: number, view: DataView) => void): void {
    const first = structure.fields.length;
    structure.area = { base, size };
    structure.fields.push(...at({ count: base + ItemArea.count, heapStart: base + ItemArea.heapStart, heapBytes: base + ItemArea.heapBytes }, { count: [2, 'count'], heapStart: [2, 'offset'], heapBytes: [2, 'length'] }));
    const count = view.getUint16(base + ItemArea.count, true);
    for (let i = 0; i < count; i += 1) {
      const slot = base + ItemArea.slots + i * SLOT_SIZE;
      const item = base + view.getUint16(slot, true);
      const payload = item + KEY_SIZE;
      const name = `item ${String(i)}`;
      structure.fields.push({ name: `${name} offset`, offset: slot, size: 2, meaning: 'offset' }, { name: `${name} length`, offset: slot + 2, size: 2, meaning: 'length' });
      structure.fields.push({ name: `${name} key`, offset: item, size: 8, meaning: 'key' }, ...payloadFields(name, payload, kind));
      visit(getU64(view, item), payload, view);
    }
    // What the values are is known only now.
    for (const field of structure.fields.slice(first)) {
      const values = this.pool.get(field.meaning) ?? [];
      if (values.length < 4096) values.push(readField(view, field));
      this.pool.set(field.meaning, values);
    }
  }

  private addTableBlock(tableBlock: number, block: number): void {
    this.owners.set(block, { ino: 0, what: 'table' });
    const { view, bytes } = this.load(block * BLOCK_SIZE, BLOCK_SIZE);
    for (let index = 0; index < INODES_PER_BLOCK; index += 1) {
      const ino = tableBlock * INODES_PER_BLOCK + index;
      const record = bytes.slice(index * INODE_SIZE, (index + 1) * INODE_SIZE);
      const recordView = new DataView(record.buffer);
      const mode = view.getUint16(index * INODE_SIZE + Inode.mode, true);
      const name = `${mode === 0 ? 'free inode' : 'inode'} ${String(ino)} (block ${String(block)} + ${String(index * INODE_SIZE)})`;
      const structure: Structure = { kind: 'inode', name, address: block * BLOCK_SIZE + index * INODE_SIZE, length: INODE_SIZE, seed: this.geometry.seed, fields: [...INODE_FIELDS] };
      this.add(structure, recordView);
      if (mode === 0) continue;
      this.addBody(structure, recordView, ino, mode);
      const xattrBlock = getU64(recordView, Inode.xattrBlock);
      if (xattrBlock !== 0) this.addXattrs(xattrBlock, ino);
    }
  }

  /** The extended attributes of an inode: their block, the nodes of their tree, values in blocks. */
  private addXattrs(block: number, ino: number): void {
    this.owners.set(block, { ino, what: 'xattr' });
    const holder = this.addHeaded('xattr', `extended attributes of inode ${String(ino)}`, block, XATTR_FIELDS, this.geometry.seed);
    this.addTree(holder, XattrBlock.root, TreeKind.xattrs, ino, 'node', (_key, payload, view) => {
      const length = view.getUint32(payload + XattrItem.valueLength, true);
      let part = getU64(view, payload + XattrItem.valueBlock);
      for (let done = 0; part !== 0 && done < length; done += XATTR_VALUE_BLOCK_BYTES) {
        this.owners.set(part, { ino, what: 'value' });
        const value = this.addHeaded('value', `value of inode ${String(ino)} from byte ${String(done)}`, part, VALUE_FIELDS, this.geometry.seed);
        part = getU64(value.view, XattrValue.next);
      }
    });
  }

  private addBody(structure: Structure, view: DataView, ino: number, mode: number): void {
    if (!hasTree(mode, view.getUint32(Inode.flags, true))) {
      structure.fields.push({ name: 'body', offset: Inode.body, size: 8, meaning: 'text' });
      return;
    }
    const kind = (mode & FileType.mask) === FileType.directory ? TreeKind.directory : TreeKind.extents;
    this.addTree({ view, structure }, Inode.body, kind, ino, 'node', (_key, payload, itemView) => {
      if (kind === TreeKind.directory) return;
      const block = getU64(itemView, payload + Extent.block);
      const length = itemView.getUint32(payload + Extent.length, true);
      for (let i = 0; i < length; i += 1) this.owners.set(block + i, { ino, what: 'data' });
    });
  }

  /** The records of the journal that follow one another in each segment. */
  private addJournal(): void {
    const { geometry } = this;
    const segmentBytes = geometry.journalSegmentBlocks * BLOCK_SIZE;
    for (let segment = 0; segment < geometry.journalSegments; segment += 1) {
      const start = geometry.journalStart * BLOCK_SIZE + segment * segmentBytes;
      const { view, bytes } = this.load(start, segmentBytes);
      for (let offset = 0; offset + RECORD_HEADER_SIZE <= segmentBytes && view.getUint32(offset + JournalRecord.magic, true) === Magic.record; ) {
        const length = view.getUint32(offset + JournalRecord.length, true);
        this.addRecord(start + offset, bytes.slice(offset, offset + length), getU64(view, offset + JournalRecord.sequence));
        offset += length;
      }
    }
  }

  private addRecord(address: number, bytes: Uint8Array, sequence: number): void {
    const view = new DataView(bytes.buffer);
    const fields = [...RECORD_FIELDS];
    const entries = view.getUint32(JournalRecord.entries, true);
    for (let entry = 0; entry < entries; entry += 1) {
      const offset = RECORD_HEADER_SIZE + entry * JOURNAL_ENTRY_SIZE;
      const name = `entry ${String(entry)}`;
      fields.push({ name: `${name} block`, offset: offset + JournalEntry.block, size: 6, meaning: 'block' });
      fields.push({ name: `${name} flags`, offset: offset + JournalEntry.flags, size: 2, meaning: 'flags' });
      fields.push({ name: `${name} lines`, offset: offset + JournalEntry.lines, size: 8, meaning: 'flags' });
    }
    for (let offset = RECORD_HEADER_SIZE; offset < bytes.length; offset += LINE_SIZE) fields.push({ name: `byte ${String(offset)}`, offset, size: 8, meaning: 'text' });
    this.add({ kind: 'record', name: `journal record ${String(sequence)}`, address, length: bytes.length, seed: this.geometry.seed, fields }, view);
  }
}

function payloadFields(name: string, payload: number, kind: number): Field[] {
  switch (kind) {
    case 0:
      return [{ name: `${name} child`, offset: payload, size: 8, meaning: 'block' }];
    case TreeKind.extents:
      return [
        { name: `${name} block`, offset: payload + Extent.block, size: 8, meaning: 'block' },
        { name: `${name} length`, offset: payload + Extent.length, size: 4, meaning: 'length' },
        { name: `${name} flags`, offset: payload + Extent.flags, size: 2, meaning: 'flags' },
        { name: `${name} region`, offset: payload + Extent.region, size: 2, meaning: 'count' },
      ];
    case TreeKind.directory:
      return [
        { name: `${name} ino`, offset: payload + Dentry.ino, size: 8, meaning: 'ino' },
        { name: `${name} type`, offset: payload + Dentry.type, size: 1, meaning: 'flags' },
        { name: `${name} name`, offset: payload + Dentry.name, size: 1, meaning: 'text' },
      ];
    case TreeKind.xattrs:
      return [
        { name: `${name} value block`, offset: payload + XattrItem.valueBlock, size: 8, meaning: 'block' },
        { name: `${name} value length`, offset: payload + XattrItem.valueLength, size: 4, meaning: 'length' },
        { name: `${name} name length`, offset: payload + XattrItem.nameLength, size: 1, meaning: 'length' },
        { name: `${name} name`, offset: payload + XattrItem.name, size: 1, meaning: 'text' },
      ];
    default:
      return [
        { name: `${name} mask`, offset: payload + FreeInodes.mask, size: 2, meaning: 'flags' },
        { name: `${name} reserved`, offset: payload + FreeInodes.reserved, size: 2, meaning: 'flags' },
        { name: `${name} length`, offset: payload + FreeInodes.length, size: 4, meaning: 'length' },
      ];
  }
}

/** The value of a field, inexact above 2^53. */
export function readField(view: DataView, field: Field): number {
  switch (field.size) {
    case 1:
      return view.getUint8(field.offset);
    case 2:
      return view.getUint16(field.offset, true);
    case 4:
      return view.getUint32(field.offset, true);
    case 6:
      return getU48(view, field.offset);
    default:
      return getU64(view, field.offset);
  }
}

export function dissect(pmem: Pmem): Anatomy {
  return new Dissection(pmem).run();
}
