import { COLLISIONS_MAX, Dentry, Inode, INODE_SIZE, INODES_PER_BLOCK, NAME_MAX, ROOT_INO, TreeKind } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import type { FindingKind } from './findings.js';
import { DAMAGED, InodeMap } from './inode-map.js';
import { Type } from './inode.js';
import { BlockBuffer } from './medium.js';
import type { TableMap } from './table-map.js';
import { type ItemVisitor, TreeWalker } from './tree-walker.js';

const SLASH = 0x2f;
const DOT = 0x2e;

/** Second pass: the entries of every directory; all inodes are known by now. */
export class DirectoryPass implements ItemVisitor {
  private readonly buffer = new BlockBuffer();
  private loadedBlock = -1;
  private readonly walker: TreeWalker;
  private ino = 0;
  private subdirectories = 0;
  /** Names with the hash of the last entry: keys are ordered by hash, so these are neighbours. */
  private hash = -1;
  private readonly names = new Uint8Array(COLLISIONS_MAX * NAME_MAX);
  private readonly nameEnds = new Uint32Array(COLLISIONS_MAX + 1);
  private nameCount = 0;

  constructor(
    private readonly context: CheckContext,
    private readonly table: TableMap,
    private readonly progress: (done: number, total: number) => void,
  ) {
    this.walker = new TreeWalker(context);
  }

  run(): void {
    const { inodes, statistics } = this.context;
    let done = 0;
    for (const ino of inodes.numbers()) {
      if (inodes.typeOf(ino) !== Type.directory) continue;
      if ((done & 0xff) === 0) this.progress(done, statistics.directories);
      done++;
      this.checkDirectory(ino);
    }
  }

  private checkDirectory(ino: number): void {
    const { context, buffer } = this;
    const block = this.table.find(Math.floor(ino / INODES_PER_BLOCK));
    if (block < 0) return; // its table extent was rejected, and reported
    if (block !== this.loadedBlock) {
      if (!context.medium.load(block, buffer)) return;
      this.loadedBlock = block;
    }
    const base = (ino % INODES_PER_BLOCK) * INODE_SIZE;
    this.ino = ino;
    this.subdirectories = 0;
    this.hash = -1;
    const complete = this.walker.walk(buffer.view, buffer.bytes, base + Inode.body, TreeKind.directory, ino, this);
    const page = context.inodes.make(ino);
    page.directories.subdirectories[InodeMap.slot(ino)] = this.subdirectories;
    if (!complete) return;
    const size = getU64(buffer.view, base + Inode.size);
    if (size !== this.walker.items) this.report('directory-size', `inode ${String(ino)}: size`, this.walker.items, size);
    const xattrBlocks = page.directories.xattrBlocks[InodeMap.slot(ino)] ?? 0;
    const blocks = getU64(buffer.view, base + Inode.blocks);
    const expected = this.walker.nodes + xattrBlocks;
    if (xattrBlocks >= 0 && blocks !== expected) this.report('inode-blocks', `inode ${String(ino)}: blocks`, expected, blocks);
    if (page.nlink[InodeMap.slot(ino)] === 0 && this.walker.items > 0) {
      this.report('directory-removed-not-empty', `removed directory ${String(ino)}: entries`, 0, this.walker.items);
    }
  }

  /** A directory entry. */
  item(key: number, view: DataView, bytes: Uint8Array, offset: number, length: number): void {
    this.context.statistics.entries++;
    const nameOffset = offset + Dentry.name;
    const nameLength = length - Dentry.name;
    this.checkName(key, bytes, nameOffset, nameLength);
    this.checkTarget(key, getU64(view, offset + Dentry.ino), bytes[offset + Dentry.type] ?? 0, bytes, nameOffset, nameLength);
  }

  private checkName(key: number, bytes: Uint8Array, offset: number, length: number): void {
    const hash = Math.floor(key / COLLISIONS_MAX);
    const expected = this.context.nameHash(this.context.geometry.hashSeed, bytes, offset, length);
    if (hash !== expected) this.report('dentry-hash', `${this.entry(bytes, offset, length)}: hash in its key`, expected, hash, key);
    if (!isValidName(bytes, offset, length)) {
      this.report('dentry-name', this.entry(bytes, offset, length), 'a name without zero byte and /, not . or ..', 'this', key);
    }
    if (hash !== this.hash) {
      this.hash = hash;
      this.nameCount = 0;
    }
    const end = this.nameEnds[this.nameCount] ?? 0;
    for (let i = 0; i < this.nameCount; i++) {
      if (!this.isSameName(i, bytes, offset, length)) continue;
      this.report('dentry-duplicate', this.entry(bytes, offset, length), 'one entry of this name', 'another', key);
      break;
    }
    this.names.set(bytes.subarray(offset, offset + length), end);
    this.nameCount++;
    this.nameEnds[this.nameCount] = end + length;
  }

  private isSameName(index: number, bytes: Uint8Array, offset: number, length: number): boolean {
    const start = this.nameEnds[index] ?? 0;
    if ((this.nameEnds[index + 1] ?? 0) - start !== length) return false;
    for (let i = 0; i < length; i++) if (this.names[start + i] !== bytes[offset + i]) return false;
    return true;
  }

  /** The inode an entry leads to is in use and has the type the entry says; links and parents are counted. */
  private checkTarget(key: number, target: number, type: number, bytes: Uint8Array, offset: number, length: number): void {
    const { context } = this;
    const page = context.inodes.find(target);
    const slot = InodeMap.slot(target);
    const known = page?.type[slot] ?? 0;
    if (page === undefined || known === 0) {
      if (context.tableComplete) {
        this.report('dentry-dangling', this.entry(bytes, offset, length), 'an inode in use', `inode ${String(target)}, which is not`, key);
      }
      return;
    }
    page.links[slot] = (page.links[slot] ?? 0) + 1;
    if (known === DAMAGED) return;
    if (known !== type) this.report('dentry-type', `${this.entry(bytes, offset, length)}: type`, known, type, key);
    if (known !== Type.directory) return;
    this.subdirectories++;
    const { foundParent } = page.directories;
    if (target === ROOT_INO) {
      this.report('directory-linked-twice', this.entry(bytes, offset, length), 'no entry for the root directory', 'one', key);
    } else if (foundParent[slot] !== 0) {
      const first = `the only entry in directory ${String(foundParent[slot])}`;
      const what = `${this.entry(bytes, offset, length)} for directory ${String(target)}`;
      this.report('directory-linked-twice', what, first, 'a second one', key);
    } else {
      foundParent[slot] = this.ino;
    }
  }

  private entry(bytes: Uint8Array, offset: number, length: number): string {
    const name = Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString('latin1');
    return `entry ${JSON.stringify(name)} of directory ${String(this.ino)}`;
  }

  private report(kind: FindingKind, what: string, expected: string | number, found: string | number, key?: number): void {
    this.context.findings.add(kind, { ino: this.ino, ...(key === undefined ? {} : { key }) }, what, expected, found);
  }
}

function isValidName(bytes: Uint8Array, offset: number, length: number): boolean {
  for (let i = offset; i < offset + length; i++) {
    const byte = bytes[i];
    if (byte === 0 || byte === SLASH) return false;
  }
  if (length > 2 || bytes[offset] !== DOT) return true;
  return length === 2 && bytes[offset + 1] !== DOT;
}
