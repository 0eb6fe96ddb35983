import {
  BLOCK_SIZE,
  FILE_SIZE_MAX,
  Inode,
  INODE_BODY_SIZE,
  InodeFlag,
  ROOT_INO,
  SYMLINK_MAX,
  TreeKind,
} from '../format/layout.js';
import { getI64, getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import { ExtentVisitor } from './extents.js';
import { type FindingKind, hex } from './findings.js';
import { Host, InodeMap } from './inode-map.js';
import { BlockBuffer } from './medium.js';
import { TreeWalker } from './tree-walker.js';
import { XattrChecker } from './xattrs.js';

/** File types as in dirent(3). */
export const Type = { fifo: 1, character: 2, directory: 4, block: 6, regular: 8, symlink: 10, socket: 12 } as const;

const NANOSECONDS = ['atimeNanoseconds', 'mtimeNanoseconds', 'ctimeNanoseconds', 'btimeNanoseconds'] as const;
const SECONDS = ['atimeSeconds', 'mtimeSeconds', 'ctimeSeconds', 'btimeSeconds'] as const;
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

const PLACED = InodeFlag.region | InodeFlag.regionDraft;

/** Checks one record in use after another, what its body maps included; directories' entries are for a later pass. */
export class InodeChecker {
  private readonly extents: ExtentVisitor;
  private readonly walker: TreeWalker;
  private readonly xattrs: XattrChecker;
  private readonly target = new BlockBuffer();
  private view: DataView = new DataView(new ArrayBuffer(0));
  private bytes: Uint8Array = new Uint8Array(0);
  private base = 0;
  private ino = 0;
  /** Blocks of the extended attributes, −1 when damage hides some. */
  private xattrBlocks = 0;

  constructor(private readonly context: CheckContext) {
    this.extents = new ExtentVisitor(context);
    this.walker = new TreeWalker(context);
    this.xattrs = new XattrChecker(context);
  }

  /** Checks the record at `base` (checksum and number are right, mode is not 0) and notes it in the inode map. */
  check(view: DataView, bytes: Uint8Array, base: number, ino: number): void {
    this.view = view;
    this.bytes = bytes;
    this.base = base;
    this.ino = ino;
    const type = this.u16(Inode.mode) >> 12;
    const flags = this.u32(Inode.flags);
    const orphan = (flags & InodeFlag.orphan) !== 0;
    this.note(type, orphan);
    this.checkCommon(type, flags);
    switch (type) {
      case Type.regular:
        this.context.statistics.regularFiles++;
        this.checkRegular(orphan);
        break;
      case Type.directory:
        this.context.statistics.directories++;
        this.context.inodes.make(ino).directories.xattrBlocks[InodeMap.slot(ino)] = this.xattrBlocks;
        break;
      case Type.symlink:
        this.context.statistics.symlinks++;
        if ((flags & InodeFlag.treeBody) !== 0) this.checkLongSymlink();
        else this.checkShortSymlink();
        break;
      case Type.character:
      case Type.block:
        this.context.statistics.specialFiles++;
        this.checkSpecial(8);
        break;
      case Type.fifo:
      case Type.socket:
        this.context.statistics.specialFiles++;
        this.checkSpecial(0);
        break;
      default:
        this.report('inode-mode', 'mode', 'a known file type', `0${this.u16(Inode.mode).toString(8)}`);
    }
  }

  private note(type: number, orphan: boolean): void {
    const { context, ino } = this;
    const page = context.inodes.make(ino);
    const slot = InodeMap.slot(ino);
    page.type[slot] = type;
    page.orphan[slot] = orphan ? 1 : 0;
    page.nlink[slot] = this.u32(Inode.nlink);
    if (type === Type.directory) page.directories.parent[slot] = this.u64(Inode.parent);
    if (type === Type.regular) this.noteHostFile(orphan);
    context.statistics.inodes++;
    const next = this.u64(Inode.orphanNext);
    if (orphan || next !== 0) context.orphanNext.set(ino, next);
  }

  /** Which host file there must be, or may be (doc/FORMAT.md, "Regions"). That of a removed file goes before its inode does. */
  private noteHostFile(orphan: boolean): void {
    const placed = this.u32(Inode.flags) & PLACED;
    if (placed === 0) return;
    const page = this.context.inodes.make(this.ino);
    const slot = InodeMap.slot(this.ino);
    const required = placed === InodeFlag.region && !(orphan && this.u32(Inode.nlink) === 0);
    page.hosts.state[slot] = required ? Host.required : Host.possible;
    page.hosts.generation[slot] = this.u32(Inode.generation);
    if (placed === InodeFlag.region) this.context.statistics.regions++;
  }

  private checkCommon(type: number, flags: number): void {
    if ((flags & ~KNOWN_FLAGS) !== 0) this.report('inode-flags', 'flags', 'known flags only', hex(flags));
    if ((flags & InodeFlag.treeBody) !== 0 && type !== Type.symlink) {
      this.report('inode-flags', 'flags', 'no treeBody, which is for symbolic links', hex(flags));
    }
    if ((flags & PLACED) !== 0 && (type !== Type.regular || !this.context.regions)) {
      this.report('inode-flags', 'flags', 'neither region nor regionDraft, which are for regular files of volumes with regions', hex(flags));
    }
    const size = this.u64(Inode.size);
    if (size > FILE_SIZE_MAX) this.report('inode-size', 'size', `at most ${String(FILE_SIZE_MAX)}`, size);
    for (const field of NANOSECONDS) {
      const value = this.u32(Inode[field]);
      if (value >= 1e9) this.report('inode-time', field, 'less than 10^9', value);
    }
    for (const field of SECONDS) {
      const value = getI64(this.view, this.base + Inode[field]);
      if (!Number.isSafeInteger(value)) this.report('inode-time', field, 'between -2^53 and 2^53', value);
    }
    const xattrBlock = this.u64(Inode.xattrBlock);
    this.xattrBlocks = xattrBlock === 0 ? 0 : this.xattrs.check(xattrBlock, this.ino, this.u16(Inode.mode));
    const parent = this.u64(Inode.parent);
    if (type !== Type.directory && parent !== 0) this.report('inode-parent', 'parent', 0, parent);
    if (this.ino === ROOT_INO && type !== Type.directory) this.report('root-directory', 'type', 'directory', type);
  }

  private checkRegular(orphan: boolean): void {
    this.extents.begin(this.ino, Math.ceil(this.u64(Inode.size) / BLOCK_SIZE), orphan);
    if (this.walkExtents()) this.checkBlocks(this.extents.blocks + this.walker.nodes);
    if (!orphan && (this.u32(Inode.flags) & InodeFlag.region) !== 0 && this.walker.items > 0) {
      this.report('region-extents', 'extents of a file whose data is a host file', 0, this.walker.items);
    }
    if (this.extents.runs > 1) this.context.statistics.fragmentedFiles++;
  }

  /** The target is in the body, the rest of which is zero. */
  private checkShortSymlink(): void {
    this.checkBlocks(0);
    const size = this.u64(Inode.size);
    if (size < 1 || size > INODE_BODY_SIZE) {
      this.report('symlink-body', 'size of a symbolic link with its target in the inode', `1 … ${String(INODE_BODY_SIZE)}`, size);
      return;
    }
    this.checkTarget(this.bytes, this.base + Inode.body, size);
    this.checkBodyZero(size);
  }

  /** The target is in one block of its own. */
  private checkLongSymlink(): void {
    const { extents, context, target } = this;
    const size = this.u64(Inode.size);
    const fits = size > INODE_BODY_SIZE && size <= SYMLINK_MAX;
    if (!fits) {
      const range = `${String(INODE_BODY_SIZE + 1)} … ${String(SYMLINK_MAX)}`;
      this.report('symlink-body', 'size of a symbolic link with its target in a block', range, size);
    }
    extents.begin(this.ino, 1, false);
    if (!this.walkExtents()) return;
    this.checkBlocks(extents.blocks + this.walker.nodes);
    if (this.walker.items !== 1 || extents.lastKey !== 0 || extents.lastLength !== 1 || extents.lastUnwritten) {
      this.report('symlink-body', 'extents of the target', 'one written block', `${String(extents.blocks)} blocks`);
      return;
    }
    if (!fits || !extents.lastUsable || !context.medium.load(extents.lastBlock, target)) return;
    this.checkTarget(target.bytes, 0, size);
  }

  private checkTarget(bytes: Uint8Array, offset: number, length: number): void {
    const zero = bytes.subarray(offset, offset + length).indexOf(0);
    if (zero >= 0) this.report('symlink-target', 'target', 'no zero byte', `one at ${String(zero)}`);
  }

  /** Devices, fifos, sockets: no data; the body is zero behind its first `used` bytes. */
  private checkSpecial(used: number): void {
    const size = this.u64(Inode.size);
    if (size !== 0) this.report('inode-size', 'size of a special file', 0, size);
    this.checkBlocks(0);
    this.checkBodyZero(used);
  }

  private checkBodyZero(used: number): void {
    for (let i = used; i < INODE_BODY_SIZE; i++) {
      const value = this.bytes[this.base + Inode.body + i] ?? 0;
      if (value === 0) continue;
      this.report('inode-body', `byte ${String(i)} of the body`, 0, value);
      return;
    }
  }

  private walkExtents(): boolean {
    return this.walker.walk(this.view, this.bytes, this.base + Inode.body, TreeKind.extents, this.ino, this.extents);
  }

  /** `own`: blocks of the contents. */
  private checkBlocks(own: number): void {
    if (this.xattrBlocks < 0) return;
    const expected = own + this.xattrBlocks;
    const blocks = this.u64(Inode.blocks);
    if (blocks !== expected) this.report('inode-blocks', 'blocks', expected, blocks);
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

  private report(kind: FindingKind, field: string, expected: string | number, found: string | number): void {
    this.context.findings.add(kind, { ino: this.ino }, `inode ${String(this.ino)}: ${field}`, expected, found);
  }
}
