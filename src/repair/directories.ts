import { BlockBuffer } from '../check/medium.js';
import { Type } from '../check/inode.js';
import { COLLISIONS_MAX, Dentry, Inode, NAME_MAX, ROOT_INO, TreeKind } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { FindingKind } from '../check/findings.js';
import type { RepairContext } from './context.js';
import { InodeNotes, Note } from './inode-notes.js';
import type { Item } from './tree-items.js';
import { type Judge, TreeMender, Verdict, type VerdictNumber } from './tree-mender.js';

const SLASH = 0x2f;
const DOT = 0x2e;

/** Pass 2: the entries of every directory; all inodes are known by now, and the trees are sound. */
export class DirectoryPass {
  private readonly buffer = new BlockBuffer();
  private readonly trees: TreeMender;
  private ino = 0;
  private subdirectories = 0;
  /** Names with the hash of the last entry: keys are ordered by hash, so these are neighbours. */
  private hash = -1;
  private names: Uint8Array[] = [];

  constructor(private readonly context: RepairContext) {
    this.trees = new TreeMender(context);
  }

  run(): void {
    // A directory has one entry: if there are more, the one that its own record names is the right one.
    this.walk(1, this.noteParent);
    this.walk(2, this.judge);
  }

  private walk(round: 1 | 2, judge: Judge): void {
    const { notes, progress } = this.context;
    let done = 0;
    for (const ino of notes.numbers()) {
      if (notes.typeOf(ino) !== Type.directory || notes.has(ino, Note.left)) continue;
      if ((done & 0xff) === 0) progress(2, done, 0);
      done++;
      this.walkDirectory(ino, round, judge);
    }
  }

  private walkDirectory(ino: number, round: 1 | 2, judge: Judge): void {
    const { buffer, context, trees } = this;
    const base = context.table.load(ino, buffer);
    if (base < 0) return;
    this.ino = ino;
    this.subdirectories = 0;
    this.hash = -1;
    let changed = trees.mend(buffer.view, buffer.bytes, base + Inode.body, TreeKind.directory, ino, judge, { claim: false, dry: round === 1 });
    if (round === 1 || trees.left) return;
    const slot = InodeNotes.slot(ino);
    context.notes.make(ino).directories.subdirectories[slot] = this.subdirectories;
    context.notes.set(ino, Note.notEmpty, trees.items > 0);
    if (this.mendNumber('directory-size', base + Inode.size, 'size', trees.items)) changed = true;
    const xattrBlocks = context.notes.xattrBlocksOf(ino);
    if (xattrBlocks >= 0 && this.mendNumber('inode-blocks', base + Inode.blocks, 'blocks', trees.nodes + xattrBlocks)) changed = true;
    if (changed) context.table.store(ino, buffer);
  }

  private mendNumber(kind: FindingKind, offset: number, name: string, expected: number): boolean {
    const { view } = this.buffer;
    const found = getU64(view, offset);
    if (found === expected) return false;
    if (!this.context.problems.fix(kind, { ino: this.ino }, `inode ${String(this.ino)}: ${name}`, expected, found, 'correct it')) return false;
    setU64(view, offset, expected);
    return true;
  }

  private readonly noteParent: Judge = (item) => {
    const target = getU64(viewOf(item), Dentry.ino);
    const { notes } = this.context;
    if (notes.typeOf(target) !== Type.directory) return Verdict.keep;
    if (notes.find(target)?.directories.parent[InodeNotes.slot(target)] === this.ino) notes.set(target, Note.parentHasEntry, true);
    return Verdict.keep;
  };

  private readonly judge: Judge = (item) => {
    const name = item.payload.subarray(Dentry.name);
    const target = getU64(viewOf(item), Dentry.ino);
    if (!this.isRightName(item.key, name)) return Verdict.drop;
    return this.mendTarget(item, name, target);
  };

  /** Whether the name may stay: valid, where its hash says, and for the first time. */
  private isRightName(key: number, name: Uint8Array): boolean {
    const { context } = this;
    const remedy = 'drop the entry';
    if (!isValidName(name) && this.problem('dentry-name', key, name, '', 'a name without zero byte and /, not . or ..', 'this', remedy)) return false;
    const hash = Math.floor(key / COLLISIONS_MAX);
    const expected = context.nameHash(context.geometry.hashSeed, name, 0, name.length);
    if (hash !== expected && this.problem('dentry-hash', key, name, ': hash in its key', expected, hash, remedy)) return false;
    if (hash !== this.hash) {
      this.hash = hash;
      this.names = [];
    }
    const known = this.names.some((other) => Buffer.compare(other, name) === 0);
    if (known && this.problem('dentry-duplicate', key, name, '', 'one entry of this name', 'another', remedy)) return false;
    // At most COLLISIONS_MAX names of NAME_MAX bytes.
    this.names.push(name.slice(0, NAME_MAX));
    return true;
  }

  /** The inode it leads to is in use and has the type that the entry says. Links are counted. */
  private mendTarget(item: Item, name: Uint8Array, target: number): VerdictNumber {
    const { notes } = this.context;
    const page = notes.find(target);
    const slot = InodeNotes.slot(target);
    const known = page?.type[slot] ?? 0;
    if (page === undefined || known === 0) {
      const found = `inode ${String(target)}, which is not`;
      return this.problem('dentry-dangling', item.key, name, '', 'an inode in use', found, 'drop the entry') ? Verdict.drop : Verdict.keep;
    }
    if (known === Type.directory && !this.isOnlyEntry(item.key, name, target)) return Verdict.drop;
    page.links[slot] = (page.links[slot] as number) + 1;
    if (known === Type.directory) this.subdirectories++;
    const type = item.payload[Dentry.type] as number;
    if (type === known || !this.problem('dentry-type', item.key, name, ': type', known, type, 'correct it')) return Verdict.keep;
    item.payload[Dentry.type] = known;
    return Verdict.changed;
  }

  private isOnlyEntry(key: number, name: Uint8Array, target: number): boolean {
    const { notes } = this.context;
    const { directories } = notes.make(target);
    const slot = InodeNotes.slot(target);
    let first = '';
    if (target === ROOT_INO) first = 'no entry for the root directory';
    else if (directories.foundParent[slot] !== 0) first = `the only entry in directory ${String(directories.foundParent[slot])}`;
    else if (notes.has(target, Note.parentHasEntry) && directories.parent[slot] !== this.ino) first = `the only entry in directory ${String(directories.parent[slot])}`;
    if (first !== '') {
      const what = ` for directory ${String(target)}`;
      if (this.problem('directory-linked-twice', key, name, what, first, 'this one', 'drop the entry')) return false;
    }
    if (directories.foundParent[slot] === 0) directories.foundParent[slot] = this.ino;
    return true;
  }

  private problem(kind: FindingKind, key: number, name: Uint8Array, field: string, expected: string | number, found: string | number, remedy: string): boolean {
    const what = `entry ${JSON.stringify(Buffer.from(name).toString('latin1'))} of directory ${String(this.ino)}${field}`;
    return this.context.problems.fix(kind, { ino: this.ino, key }, what, expected, found, remedy);
  }

  /** Drops the entries of directory `parent` that lead to `target`. */
  removeEntries(parent: number, target: number): void {
    const { buffer, context, trees } = this;
    const base = context.table.load(parent, buffer);
    if (base < 0) return;
    this.ino = parent;
    const judge: Judge = (item) => (getU64(viewOf(item), Dentry.ino) === target ? Verdict.drop : Verdict.keep);
    trees.mend(buffer.view, buffer.bytes, base + Inode.body, TreeKind.directory, parent, judge, { claim: false });
    setU64(buffer.view, base + Inode.size, trees.items);
    const xattrBlocks = context.notes.xattrBlocksOf(parent);
    if (xattrBlocks >= 0) setU64(buffer.view, base + Inode.blocks, trees.nodes + xattrBlocks);
    context.table.store(parent, buffer);
    context.notes.set(parent, Note.notEmpty, trees.items > 0);
  }
}

function viewOf({ payload }: Item): DataView {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
}

function isValidName(name: Uint8Array): boolean {
  if (name.includes(0) || name.includes(SLASH)) return false;
  return name[0] !== DOT || name.length > 2 || (name.length === 2 && name[1] !== DOT);
}
