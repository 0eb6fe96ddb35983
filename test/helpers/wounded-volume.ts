/**
 * A volume that the engine made, of which it is known which block belongs to which inode: so that after a damage and a repair it can be
 * told which files must still be what they were.
 */
import { isDeepStrictEqual } from 'node:util';
import { hashOfName } from '../../src/check/name-hash.js';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno } from '../../src/base/units.js';
import { CheckContext } from '../../src/check/context.js';
import { FindingList } from '../../src/check/findings.js';
import { Geometry } from '../../src/check/geometry.js';
import { BlockBuffer, MediumReader } from '../../src/check/medium.js';
import { TreeWalker } from '../../src/check/tree-walker.js';
import { XattrChecker } from '../../src/check/xattrs.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  FileType,
  Inode,
  INODE_SIZE,
  INODES_PER_BLOCK,
  InodeFlag,
  Magic,
  STATE_BLOCK,
  TreeKind,
  VolumeState,
  XATTR_LIST_MAX,
} from '../../src/format/layout.js';
import { getU64 } from '../../src/format/numbers.js';
import { readSuperblock } from '../../src/format/superblock.js';
import { openVolume } from '../../src/fs/volume.js';
import { Attributes, Name, Ranges } from '../../src/fs/types.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { acl, MINIMAL_ACL } from './acl.js';
import { MemoryVolume } from './memory-volume.js';

/** What is known of an inode of the sound volume. */
export interface KnownInode {
  ino: number;
  mode: number;
  size: number;
  /** Contents of a regular file, target of a symbolic link; null for others. */
  bytes: Uint8Array | null;
  /** Extended attributes: name, value. */
  xattrs: Map<string, Buffer>;
  /** Everything on the medium that is its own: the block with its record is not counted. */
  blocks: number[];
  /** Block and offset of its record. */
  tableBlock: number;
  base: number;
}

export interface KnownVolume {
  pmem: SimulatedPmem;
  seed: number;
  totalBlocks: number;
  inodes: KnownInode[];
  /** Blocks with a block header: state, group headers, tree nodes, extended attributes, both superblocks. */
  headed: number[];
  tableBlocks: number[];
}

/** Makes a volume with files of all kinds, a tree of extents, a directory of three levels, extended attributes, and something on the orphan list. */
export function knownVolume(sizeBytes = 8 * 1024 * 1024): KnownVolume {
  const volume = new MemoryVolume({ sizeBytes });
  const { fs } = volume;
  const owner = volume.owner(7, 8);
  const random = new Random(11);
  const bytes = new Uint8Array(200_000);
  random.bytes(bytes);
  const make = (parent: number, name: string, mode: number): number => volume.withName(name, (given) => fs.makeNode(asIno(parent), given, mode, owner, 5, 6));
  const file = (parent: number, name: string, length: number): number => {
    const ino = make(parent, name, FileType.regular | 0o644);
    for (let at = 0; at < length; at += bytes.length) fs.write(asIno(ino), at, bytes, random.below(1000) & ~7, Math.min(length - at, bytes.length - 1000));
    return ino;
  };
  const link = (parent: number, name: string, target: string): void => {
    volume.withNames(name, target, (given, to) => { fs.symlink(asIno(parent), given, to, owner); });
  };
  file(1, 'small', 100);
  file(1, 'medium', 90_000);
  const pieces = file(1, 'pieces', 0);
  for (let i = 0; i < 160; i++) fs.write(asIno(pieces), 2 * i * BLOCK_SIZE, bytes, i * 8, BLOCK_SIZE);
  const directory = make(1, 'dir', FileType.directory | 0o755);
  const deep = make(directory, 'deep', FileType.directory | 0o700);
  file(deep, 'inner', 5000);
  file(directory, 'beside', 12_345);
  link(deep, 'short link', 'somewhere');
  link(directory, 'long link', 'x'.repeat(3000));
  make(directory, 'device', FileType.character | 0o600);
  make(deep, 'fifo', FileType.fifo | 0o600);
  const many = make(directory, 'many', FileType.directory | 0o755);
  volume.setXattr(asIno(many), 'system.posix_acl_default', acl(...MINIMAL_ACL));
  for (let i = 0; i < 60; i++) volume.setXattr(asIno(pieces), `user.${String(i)}`, bytes.subarray(i, i + 40 + ((i * 29) % 200)));
  const named = file(1, 'named', 100);
  for (const [name, length] of [['user.short', 5], ['user.long', 9000], ['trusted.one', 4032]] as const) volume.setXattr(asIno(named), name, bytes.subarray(0, length));
  volume.setXattr(asIno(named), 'system.posix_acl_access', acl(['userObject', 0, 6], ['user', 9, 4], ['groupObject', 0, 4], ['mask', 0, 4], ['other', 0, 4]));
  // Last: a damaged journal may lose the last transaction.
  for (let i = 0; i < 400; i++) {
    if (i % 20 === 0) file(many, `${'n'.repeat(100)}${String(i)}`, 300);
    else volume.withName(`${'n'.repeat(100)}${String(i)}`, (given) => { fs.link(asIno(pieces), asIno(many), given); });
  }
  volume.leave('close', random);
  return describe(volume.pmem);
}

class Collector extends CheckContext {
  readonly nodes: number[] = [];

  override claim(block: number): boolean {
    this.nodes.push(block);
    return true;
  }
}

/** Reads everything about a sound volume. */
function describe(pmem: SimulatedPmem): KnownVolume {
  const { geometry } = readSuperblock(pmem);
  const findings = new FindingList(10);
  const context = new Collector(new MediumReader(pmem, findings), findings, new Geometry(geometry.totalBlocks, geometry.journalStart, geometry.groupStart, geometry.seed, geometry.hashSeed), true, true, true, hashOfName);
  const walker = new TreeWalker(context);
  const state = load(pmem, STATE_BLOCK);
  const tableBlocks: [number, number][] = [];
  walker.walk(state.view, state.bytes, VolumeState.tableRoot, TreeKind.extents, 0, {
    item: (key, view, _bytes, offset) => {
      for (let i = 0; i < view.getUint32(offset + 8, true); i++) tableBlocks.push([key + i, getU64(view, offset) + i]);
    },
  });
  walker.walk(state.view, state.bytes, VolumeState.freeInodeRoot, TreeKind.freeInodes, 0, { item: () => undefined });
  const headed = [0, STATE_BLOCK, geometry.groupStart, geometry.totalBlocks - 1, ...context.nodes];
  const inodes: KnownInode[] = [];
  for (const [tableBlock, block] of tableBlocks) {
    const { view, bytes } = load(pmem, block);
    for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
      const base = slot * INODE_SIZE;
      const mode = view.getUint16(base + Inode.mode, true);
      const ino = tableBlock * INODES_PER_BLOCK + slot;
      if (mode === 0) continue;
      context.nodes.length = 0;
      const blocks: number[] = [];
      const type = mode & FileType.mask;
      const hasExtents = type === FileType.regular || (view.getUint32(base + Inode.flags, true) & InodeFlag.treeBody) !== 0;
      if (type === FileType.directory) walker.walk(view, bytes, base + Inode.body, TreeKind.directory, ino, { item: () => undefined });
      if (hasExtents) {
        walker.walk(view, bytes, base + Inode.body, TreeKind.extents, ino, {
          item: (_key, items, _bytes, offset) => {
            for (let i = 0; i < items.getUint32(offset + 8, true); i++) blocks.push(getU64(items, offset) + i);
          },
        });
      }
      const xattrBlock = getU64(view, base + Inode.xattrBlock);
      if (xattrBlock !== 0) new XattrChecker(context).check(xattrBlock, ino, mode);
      headed.push(...context.nodes);
      blocks.push(...context.nodes);
      inodes.push({ ino, mode, size: getU64(view, base + Inode.size), bytes: null, xattrs: new Map(), blocks, tableBlock: block, base });
    }
  }
  const reader = new InodeReader(pmem);
  for (const inode of inodes) {
    inode.bytes = reader.read(inode.ino, inode.mode);
    inode.xattrs = reader.xattrs(inode.ino);
  }
  return { pmem, seed: geometry.seed, totalBlocks: geometry.totalBlocks, inodes, headed, tableBlocks: tableBlocks.map(([, block]) => block) };
}

function load(pmem: SimulatedPmem, block: number): BlockBuffer {
  const buffer = new BlockBuffer();
  pmem.load(asByteAddr(block * BLOCK_SIZE), buffer.bytes, 0, BLOCK_SIZE);
  return buffer;
}

/** Reads inodes by number from a volume that can be opened. */
export class InodeReader {
  private readonly medium: SimulatedPmem;
  private readonly fs: ReturnType<typeof openVolume>;

  constructor(pmem: SimulatedPmem) {
    this.medium = pmem.fork();
    this.fs = openVolume(this.medium, { cacheBytes: 2 * 1024 * 1024, readOnly: true });
  }

  attributes(ino: number): Attributes {
    const attributes = new Attributes();
    this.fs.getAttributes(asIno(ino), attributes);
    return attributes;
  }

  /** Extended attributes: name, value. */
  xattrs(ino: number): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    const bytes = new Uint8Array(XATTR_LIST_MAX);
    const list = Buffer.from(bytes.slice(0, this.fs.listXattr(asIno(ino), bytes, 0, bytes.length))).toString('latin1');
    for (const name of list.split('\0').slice(0, -1)) {
      const length = this.fs.getXattr(asIno(ino), Name.from(Buffer.from(name, 'latin1')), bytes, 0, bytes.length);
      found.set(name, Buffer.from(bytes.slice(0, length)));
    }
    return found;
  }

  /** Contents of a regular file, target of a symbolic link, null of others. */
  read(ino: number, mode: number): Uint8Array | null {
    const { size } = this.attributes(ino);
    if ((mode & FileType.mask) === FileType.symlink) {
      const target = new Uint8Array(BLOCK_SIZE);
      return target.subarray(0, this.fs.readlink(asIno(ino), target, 0));
    }
    if ((mode & FileType.mask) !== FileType.regular) return null;
    const bytes = new Uint8Array(size);
    const ranges = new Ranges(500);
    for (let done = 0; done < size; ) {
      const described = this.fs.read(asIno(ino), done, size - done, ranges);
      for (let i = 0, filled = done; i < ranges.count; i++) {
        const [address, length] = [ranges.addresses[i] as number, ranges.lengths[i] as number];
        if (address !== -1) this.medium.load(asByteAddr(address), bytes, filled, length);
        filled += length;
      }
      done += described;
    }
    return bytes;
  }
}

/** What a damage touched. */
export interface Wound {
  what: string;
  /** Blocks that were changed as a whole or in parts. */
  blocks: Set<number>;
  /** Inodes whose records were changed. */
  records: Set<number>;
}

/** Damages a structure or two at random, with right checksums mostly: what a field says is damaged, too. */
export function wound(known: KnownVolume, pmem: SimulatedPmem, random: Random, times: number): Wound {
  const wound: Wound = { what: '', blocks: new Set(), records: new Set() };
  for (let i = 0; i < times; i++) {
    const kind = random.below(10);
    if (kind < 4) woundHeaded(known, pmem, random, wound);
    else if (kind < 8) woundRecord(known, pmem, random, wound);
    else if (kind < 9) woundJournal(known, pmem, random, wound);
    else woundAnyBlock(known, pmem, random, wound);
  }
  return wound;
}

function spoil(bytes: Uint8Array, from: number, to: number, random: Random): void {
  const whole = random.chance(0.1);
  const changes = whole ? to - from : 1 + random.below(6);
  for (let i = 0; i < changes; i++) {
    const at = whole ? from + i : from + random.below(random.chance(0.5) ? Math.min(to - from, 200) : to - from);
    bytes[at] = random.chance(0.2) ? 0xff : random.chance(0.3) ? (bytes[at] as number) ^ (1 << random.below(8)) : random.below(256);
  }
}

function woundHeaded(known: KnownVolume, pmem: SimulatedPmem, random: Random, wound: Wound): void {
  const block = random.pick(known.headed);
  // One superblock has to stay.
  if (block === 0 && wound.blocks.has(known.totalBlocks - 1)) return;
  if (block === known.totalBlocks - 1 && wound.blocks.has(0)) return;
  const { view, bytes } = load(pmem, block);
  spoil(bytes, BlockHeader.magic, BLOCK_SIZE, random);
  const seed = block === 0 || block === known.totalBlocks - 1 ? 0 : known.seed;
  const sealed = random.chance(0.7);
  if (sealed) view.setUint32(BlockHeader.checksum, pmem.crc32c(seed, bytes, 4, BLOCK_SIZE - 4), true);
  pmem.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
  wound.blocks.add(block);
  wound.what += `block ${String(block)}${sealed ? '' : ' (checksum)'}; `;
}

function woundRecord(known: KnownVolume, pmem: SimulatedPmem, random: Random, wound: Wound): void {
  const inode = random.pick(known.inodes);
  const { bytes, view } = load(pmem, inode.tableBlock);
  const record = bytes.subarray(inode.base, inode.base + INODE_SIZE);
  spoil(record, random.chance(0.9) ? Inode.mode : 4, INODE_SIZE, random);
  const sealed = random.chance(0.8);
  if (sealed) view.setUint32(inode.base, pmem.crc32c(known.seed, record, 4, INODE_SIZE - 4), true);
  pmem.store(asByteAddr(inode.tableBlock * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
  wound.records.add(inode.ino);
  wound.what += `inode ${String(inode.ino)}${sealed ? '' : ' (checksum)'}; `;
}

function woundJournal(known: KnownVolume, pmem: SimulatedPmem, random: Random, wound: Wound): void {
  // Of the sound volume: the superblock may have a wound already.
  const { geometry } = readSuperblock(known.pmem);
  const size = geometry.journalSegments * geometry.journalSegmentBlocks * BLOCK_SIZE;
  const bytes = new Uint8Array(64);
  const records: number[] = [];
  for (let at = 0; at < size; at += 64) {
    pmem.load(asByteAddr(geometry.journalStart * BLOCK_SIZE + at), bytes, 0, 64);
    if (new DataView(bytes.buffer).getUint32(4, true) === Magic.record) records.push(at);
  }
  if (records.length === 0) return;
  const at = asByteAddr(geometry.journalStart * BLOCK_SIZE + (random.chance(0.5) ? random.pick(records) : (records.at(-1) as number)));
  pmem.load(at, bytes, 0, 64);
  spoil(bytes, 0, 64, random);
  pmem.store(at, bytes, 0, 64);
  wound.what += `journal at ${String(at)}; `;
}

function woundAnyBlock(known: KnownVolume, pmem: SimulatedPmem, random: Random, wound: Wound): void {
  const block = STATE_BLOCK + random.below(known.totalBlocks - 1 - STATE_BLOCK);
  const bytes = new Uint8Array(BLOCK_SIZE);
  if (random.chance(0.5)) random.bytes(bytes);
  pmem.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
  wound.blocks.add(block);
  for (const inode of known.inodes) if (inode.tableBlock === block) wound.records.add(inode.ino);
  wound.what += `all of block ${String(block)}; `;
}

/** Inodes that the damage has not touched and that are not what they were: one line each. Directories are not compared. */
export function differences(known: KnownVolume, wound: Wound, repaired: SimulatedPmem): string[] {
  const reader = new InodeReader(repaired);
  const found: string[] = [];
  // The bit that says that there are attributes may be among what was damaged.
  const features = !wound.blocks.has(0) && !wound.blocks.has(known.totalBlocks - 1);
  for (const inode of known.inodes) {
    if ((inode.mode & FileType.mask) === FileType.directory) continue;
    if (wound.records.has(inode.ino) || inode.blocks.some((block) => wound.blocks.has(block))) continue;
    try {
      const { mode, size } = reader.attributes(inode.ino);
      if (mode !== inode.mode || size !== inode.size) found.push(`inode ${String(inode.ino)}: mode ${mode.toString(8)} size ${String(size)}, were ${inode.mode.toString(8)} and ${String(inode.size)}`);
      else if (inode.bytes !== null && Buffer.compare(reader.read(inode.ino, inode.mode) ?? new Uint8Array(0), inode.bytes) !== 0) found.push(`inode ${String(inode.ino)}: other contents`);
      else if (features && !isDeepStrictEqual(reader.xattrs(inode.ino), inode.xattrs)) found.push(`inode ${String(inode.ino)}: other extended attributes`);
    } catch (error) {
      found.push(`inode ${String(inode.ino)}: ${String(error)}`);
    }
  }
  return found;
}
