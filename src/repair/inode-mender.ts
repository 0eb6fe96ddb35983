import { type FindingKind, hex } from '../check/findings.js';
import { Type } from '../check/inode.js';
import { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, FILE_SIZE_MAX, FileType, Inode, INODE_BODY_SIZE, InodeFlag, ROOT_INO, SYMLINK_MAX, TreeKind } from '../format/layout.js';
import { getI64, getU64, setI64, setU64 } from '../format/numbers.js';
import type { RepairContext } from './context.js';
import { ExtentMender } from './extents.js';
import { InodeNotes, Note } from './inode-notes.js';
import { packRoot } from './tree-items.js';
import { type Judge, TreeMender, Verdict } from './tree-mender.js';
import { XattrMender } from './xattrs.js';

const NANOSECONDS = ['atimeNanoseconds', 'mtimeNanoseconds', 'ctimeNanoseconds', 'btimeNanoseconds'] as const;
const SECONDS = ['atimeSeconds', 'mtimeSeconds', 'ctimeSeconds', 'btimeSeconds'] as const;
const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(Type));
const KNOWN_FLAGS =
  InodeFlag.dax |
  InodeFlag.appendOnly |
  InodeFlag.immutable |
  InodeFlag.noDump |
  InodeFlag.noAtime |
  InodeFlag.sync |
  InodeFlag.projectInherit |
  InodeFlag.regionDraft |
  InodeFlag.region |
  InodeFlag.treeBody |
  InodeFlag.orphan;

const keepAll: Judge = () => Verdict.keep;

/** What becomes of an inode record. */
export const Outcome = { same: 0, changed: 1, clear: 2 } as const;
export type OutcomeNumber = (typeof Outcome)[keyof typeof Outcome];

/**
 * Mends one record in use after another, in two steps: `mendRecord` everything that stands in the record itself, and claims the
 * nodes of its tree and its extended attributes; `mendContents` the blocks that it maps. All nodes are claimed before the first data block: a node says
 * whose it is, a data block doesn't. These two are the only places where the blocks of an inode are enumerated.
 */
export class InodeMender {
  readonly extents: ExtentMender;
  private readonly trees: TreeMender;
  private readonly xattrs: XattrMender;
  private readonly target = new BlockBuffer();
  private buffer = new BlockBuffer();
  private base = 0;
  private ino = 0;
  private changed = false;

  constructor(private readonly context: RepairContext) {
    this.extents = new ExtentMender(context);
    this.trees = new TreeMender(context);
    this.xattrs = new XattrMender(context);
  }

  /** First step; the record at `base` is that of `ino`, with a mode that is not 0. */
  mendRecord(buffer: BlockBuffer, base: number, ino: number): OutcomeNumber {
    this.enter(buffer, base, ino);
    let type = this.u16(Inode.mode) >> 12;
    if (ino === ROOT_INO && type !== Type.directory && this.fix('root-directory', 'type', Type.directory, type, 'make it a directory')) {
      type = Type.directory;
      this.set(() => { this.view.setUint16(base + Inode.mode, FileType.directory | 0o755, true); });
    }
    if (!KNOWN_TYPES.has(type)) {
      if (this.fix('inode-mode', 'mode', 'a known file type', `0${this.u16(Inode.mode).toString(8)}`, 'clear the inode')) return Outcome.clear;
      this.context.problems.incomplete = true;
    }
    this.mendCommon(type);
    this.note(type);
    const kind = type === Type.directory ? TreeKind.directory : this.hasExtents(type) ? TreeKind.extents : 0;
    // A symbolic link whose target can't be read is nothing.
    if (type === Type.symlink && kind === 0 && !this.mendShortTarget()) return Outcome.clear;
    this.mendXattrs();
    if (kind !== 0) this.mendTree(kind, keepAll, true);
    else this.mendPlain(type);
    return this.changed ? Outcome.changed : Outcome.same;
  }

  /** Second step, for a record that has come through the first: data blocks. Directories have none. */
  mendContents(buffer: BlockBuffer, base: number, ino: number): OutcomeNumber {
    const type = this.context.notes.typeOf(ino);
    if (!this.hasExtentsAt(buffer, base, type) || this.context.notes.has(ino, Note.left)) return Outcome.same;
    this.enter(buffer, base, ino);
    this.extents.begin(ino, this.u64(Inode.size));
    this.mendTree(TreeKind.extents, this.extents.judge, false);
    if (this.trees.left) return this.changed ? Outcome.changed : Outcome.same;
    if (type === Type.symlink && !this.mendLongTarget()) {
      this.mendTree(TreeKind.extents, this.releaseAll, false);
      this.xattrs.release(this.u64(Inode.xattrBlock), ino);
      return Outcome.clear;
    }
    if (type === Type.regular) {
      this.mendRegion();
      this.mendSize();
    }
    this.mendBlocks(this.hasExtents(type) ? this.extents.blocks + this.trees.nodes : 0);
    return this.changed ? Outcome.changed : Outcome.same;
  }

  private enter(buffer: BlockBuffer, base: number, ino: number): void {
    this.buffer = buffer;
    this.base = base;
    this.ino = ino;
    this.changed = false;
  }

  private hasExtents(type: number): boolean {
    return this.hasExtentsAt(this.buffer, this.base, type);
  }

  private hasExtentsAt({ view }: BlockBuffer, base: number, type: number): boolean {
    return type === Type.regular || (type === Type.symlink && (view.getUint32(base + Inode.flags, true) & InodeFlag.treeBody) !== 0);
  }

  private mendTree(kind: 1 | 2, judge: Judge, claim: boolean): void {
    const { view, bytes } = this.buffer;
    if (this.trees.mend(view, bytes, this.base + Inode.body, kind, this.ino, judge, { claim })) this.changed = true;
    if (this.trees.left) this.context.notes.set(this.ino, Note.left, true);
  }

  private note(type: number): void {
    const { notes } = this.context;
    const page = notes.make(this.ino);
    const slot = InodeNotes.slot(this.ino);
    page.type[slot] = type;
    notes.set(this.ino, Note.orphan, (this.u32(Inode.flags) & InodeFlag.orphan) !== 0);
    notes.set(this.ino, Note.named, this.u32(Inode.nlink) !== 0);
    if (type === Type.directory) page.directories.parent[slot] = this.u64(Inode.parent);
  }

  private mendCommon(type: number): void {
    const flags = this.u32(Inode.flags);
    const placed = type === Type.regular && this.context.regions ? 0 : InodeFlag.region | InodeFlag.regionDraft;
    const known = (type === Type.symlink ? KNOWN_FLAGS : KNOWN_FLAGS & ~InodeFlag.treeBody) & flags & ~placed;
    if (known >>> 0 !== flags && this.fix('inode-flags', 'flags', hex(known >>> 0), hex(flags), 'clear the others')) {
      this.set(() => { this.view.setUint32(this.base + Inode.flags, known >>> 0, true); });
    }
    for (const field of NANOSECONDS) {
      const value = this.u32(Inode[field]);
      if (value >= 1e9 && this.fix('inode-time', field, 'less than 10^9', value, 'set it to 0')) {
        this.set(() => { this.view.setUint32(this.base + Inode[field], 0, true); });
      }
    }
    for (const field of SECONDS) {
      const value = getI64(this.view, this.base + Inode[field]);
      if (!Number.isSafeInteger(value) && this.fix('inode-time', field, 'between -2^53 and 2^53', value, 'set it to 0')) {
        this.set(() => { setI64(this.view, this.base + Inode[field], 0); });
      }
    }
    if (type !== Type.directory) this.mendNumber('inode-parent', Inode.parent, 'parent', 0);
    const size = this.u64(Inode.size);
    if (size > FILE_SIZE_MAX && type !== Type.regular && this.fix('inode-size', 'size', `at most ${String(FILE_SIZE_MAX)}`, size, 'compute it')) {
      this.set(() => { setU64(this.view, this.base + Inode.size, 0); });
    }
  }

  /** Extended attributes: all their blocks are found, and claimed, here. */
  private mendXattrs(): void {
    const { xattrs } = this;
    const block = this.u64(Inode.xattrBlock);
    const stays = block === 0 || xattrs.mend(block, this.ino, this.u16(Inode.mode));
    this.context.notes.setXattrBlocks(this.ino, block === 0 || !stays ? 0 : xattrs.blocks);
    if (!stays) this.set(() => { setU64(this.view, this.base + Inode.xattrBlock, 0); });
  }

  /** Devices, fifos, sockets and short symbolic links: no blocks; devices keep 8 bytes of their body. */
  private mendPlain(type: number): void {
    this.mendBlocks(0);
    if (type === Type.symlink) return;
    this.mendNumber('inode-size', Inode.size, 'size of a special file', 0);
    this.mendBodyZero(type === Type.character || type === Type.block ? 8 : 0);
  }

  /** The target in the body of the record; false when there is none. */
  private mendShortTarget(): boolean {
    const size = this.u64(Inode.size);
    const body = this.buffer.bytes.subarray(this.base + Inode.body, this.base + Inode.body + INODE_BODY_SIZE);
    const zero = body.indexOf(0);
    const length = zero < 0 ? INODE_BODY_SIZE : zero;
    if (size < 1 || size > INODE_BODY_SIZE) {
      const remedy = length > 0 ? 'take the body up to its first zero byte' : 'clear the inode';
      if (!this.fix('symlink-body', 'size of a symbolic link with its target in the inode', `1 … ${String(INODE_BODY_SIZE)}`, size, remedy)) return true;
    } else if (length < size) {
      const remedy = length > 0 ? 'cut the target there' : 'clear the inode';
      if (!this.fix('symlink-target', 'target', 'no zero byte', `one at ${String(length)}`, remedy)) return true;
    } else {
      this.mendBodyZero(size);
      return true;
    }
    if (length === 0) return false;
    this.set(() => { setU64(this.view, this.base + Inode.size, length); });
    this.mendBodyZero(length);
    return true;
  }

  /** The target in a block of its own; false when it can't be had. */
  private mendLongTarget(): boolean {
    const { extents, context, target } = this;
    const one = this.trees.items === 1 && extents.lastKey === 0 && extents.lastLength === 1 && !extents.lastUnwritten;
    const fitting = one && context.isAllocatable(extents.lastBlock);
    if (!fitting || !context.writer.load(extents.lastBlock, target)) {
      return !this.fix('symlink-body', 'extents of the target', 'one written block', `${String(extents.blocks)} blocks`, 'clear the inode');
    }
    const size = this.u64(Inode.size);
    const zero = target.bytes.subarray(0, SYMLINK_MAX).indexOf(0);
    const length = zero < 0 ? SYMLINK_MAX : zero;
    const fits = size > INODE_BODY_SIZE && size <= SYMLINK_MAX;
    if (fits && length >= size) return true;
    const remedy = length === 0 ? 'clear the inode' : 'take the block up to its first zero byte';
    const said = fits
      ? this.fix('symlink-target', 'target', 'no zero byte', `one at ${String(length)}`, remedy)
      : this.fix('symlink-body', 'size of a symbolic link with its target in a block', `${String(INODE_BODY_SIZE + 1)} … ${String(SYMLINK_MAX)}`, size, remedy);
    if (!said) return true;
    if (length === 0) return false;
    const kept = !fits && size >= 1 && size <= length ? size : length;
    this.set(() => { setU64(this.view, this.base + Inode.size, kept); });
    if (kept <= INODE_BODY_SIZE) this.moveTargetIntoBody(kept);
    return true;
  }

  private moveTargetIntoBody(length: number): void {
    this.mendTree(TreeKind.extents, this.releaseAll, false);
    const { bytes, view } = this.buffer;
    const body = this.base + Inode.body;
    bytes.fill(0, body, body + INODE_BODY_SIZE);
    bytes.set(this.target.bytes.subarray(0, length), body);
    view.setUint32(this.base + Inode.flags, (this.u32(Inode.flags) & ~InodeFlag.treeBody) >>> 0, true);
  }

  /** Drops everything that the tree of a symbolic link maps; its data blocks were claimed by the walk before. */
  private readonly releaseAll: Judge = (item) => {
    const view = new DataView(item.payload.buffer, item.payload.byteOffset);
    const block = getU64(view, 0);
    const length = view.getUint32(8, true);
    const { context } = this;
    if (this.extents.doubles === 0 && context.isAllocatable(block) && length > 0) context.owned.release(block, length);
    return Verdict.drop;
  };

  /**
   * A file whose data is a host file has extents only while it is moved, on the orphan list. Which of the two is its data can't be known: nothing is lost if it is the extents,
   * as a host file without an inode is found.
   */
  private mendRegion(): void {
    const flags = this.u32(Inode.flags);
    if ((flags & InodeFlag.region) === 0 || this.trees.items === 0 || this.context.notes.has(this.ino, Note.orphan)) return;
    if (!this.fix('region-extents', 'extents of a file whose data is a host file', 0, this.trees.items, 'take the extents for its data')) return;
    this.set(() => { this.view.setUint32(this.base + Inode.flags, (flags & ~(InodeFlag.region | InodeFlag.regionDraft)) >>> 0, true); });
  }

  /** Written blocks lie inside the file, unless it is being cut. The size gives way: nothing is lost by that. */
  private mendSize(): void {
    const size = this.u64(Inode.size);
    const orphan = this.context.notes.has(this.ino, Note.orphan);
    if (size > FILE_SIZE_MAX) {
      if (!this.fix('inode-size', 'size', `at most ${String(FILE_SIZE_MAX)}`, size, 'set it to the end of the data')) return;
    } else if (orphan || Math.ceil(size / BLOCK_SIZE) >= this.extents.writtenEnd) {
      return;
    } else {
      const expected = `at most file block ${String(Math.ceil(size / BLOCK_SIZE))}`;
      if (!this.fix('extent-past-end', 'end of a written extent', expected, this.extents.writtenEnd, 'let the file reach there')) return;
    }
    this.set(() => { setU64(this.view, this.base + Inode.size, Math.min(this.extents.writtenEnd * BLOCK_SIZE, FILE_SIZE_MAX)); });
  }

  /** `own`: blocks of the contents. */
  private mendBlocks(own: number): void {
    const xattrBlocks = this.context.notes.xattrBlocksOf(this.ino);
    if (this.extents.doubles === 0 && xattrBlocks >= 0) this.mendNumber('inode-blocks', Inode.blocks, 'blocks', own + xattrBlocks);
  }

  private mendNumber(kind: FindingKind, field: number, name: string, expected: number): void {
    const found = this.u64(field);
    if (found !== expected && this.fix(kind, name, expected, found, 'correct it')) {
      this.set(() => { setU64(this.view, this.base + field, expected); });
    }
  }

  private mendBodyZero(used: number): void {
    const rest = this.buffer.bytes.subarray(this.base + Inode.body + used, this.base + Inode.body + INODE_BODY_SIZE);
    if (rest.every((byte) => byte === 0)) return;
    if (this.fix('inode-body', `body behind byte ${String(used)}`, 'zero bytes', 'others', 'clear them')) this.set(() => { rest.fill(0); });
  }

  /** Makes a new, empty root directory of the record at `base`. */
  makeRoot(buffer: BlockBuffer, base: number): void {
    const { clock, table, notes } = this.context;
    const { view, bytes } = buffer;
    table.clear(buffer, base, ROOT_INO, 0);
    clock.now();
    view.setUint16(base + Inode.mode, FileType.directory | 0o755, true);
    view.setUint32(base + Inode.nlink, 2, true);
    setU64(view, base + Inode.parent, ROOT_INO);
    for (const field of SECONDS) setI64(view, base + Inode[field], clock.seconds);
    for (const field of NANOSECONDS) view.setUint32(base + Inode[field], clock.nanoseconds, true);
    packRoot(view, bytes, base + Inode.body, []);
    table.seal(buffer, base);
    const page = notes.make(ROOT_INO);
    page.type[ROOT_INO] = Type.directory;
    page.notes[ROOT_INO] = 0;
    page.directories.parent[ROOT_INO] = ROOT_INO;
  }

  private get view(): DataView {
    return this.buffer.view;
  }

  private set(change: () => void): void {
    change();
    this.changed = true;
  }

  private u16(field: number): number {
    return this.view.getUint16(this.base + field, true);
  }

  private u32(field: number): number {
    return this.view.getUint32(this.base + field, true);
  }

  private u64(field: number): number {
    return getU64(this.view, this.base + field);
  }

  private fix(kind: FindingKind, field: string, expected: string | number, found: string | number, remedy: string): boolean {
    return this.context.problems.fix(kind, { ino: this.ino }, `inode ${String(this.ino)}: ${field}`, expected, found, remedy);
  }
}
