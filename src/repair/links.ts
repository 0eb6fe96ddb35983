import { BlockBuffer } from '../check/medium.js';
import type { FindingKind } from '../check/findings.js';
import { Type } from '../check/inode.js';
import { Inode, INODE_SIZE, INODES_PER_BLOCK, InodeFlag, ROOT_INO } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { RepairContext } from './context.js';
import { InodeNotes, Note } from './inode-notes.js';

/**
 * Pass 4: link counts, parents, and who is an orphan. The orphan list is kept when it is right, else made anew in the order of
 * inode numbers: the inodes are visited from the last to the first, each learning its successor.
 */
export class LinkPass {
  /** First inode of the orphan list, as it has to be. */
  orphanHead = 0;
  private readonly buffer = new BlockBuffer();
  private relink = false;

  constructor(private readonly context: RepairContext) {}

  /** `orphanHead`: what the volume state says. */
  run(orphanHead: number): void {
    const { context, buffer } = this;
    const { table, writer } = context;
    this.classify();
    this.relink = !this.isListRight(orphanHead);
    this.orphanHead = this.relink ? 0 : orphanHead;
    for (const [tableBlock, block] of table.blocksBackwards()) {
      if ((tableBlock & 0xff) === 0) context.progress(4, table.end - tableBlock, table.end);
      if (!writer.load(block, buffer)) continue;
      let changed = false;
      for (let slot = INODES_PER_BLOCK - 1; slot >= 0; slot--) {
        const base = slot * INODE_SIZE;
        if (!this.mend(base, tableBlock * INODES_PER_BLOCK + slot)) continue;
        table.seal(buffer, base);
        changed = true;
      }
      if (changed) writer.write(block, buffer.bytes);
    }
  }

  /** Notes the inodes that are lost: without an entry, and not removed either. */
  private classify(): void {
    const { notes } = this.context;
    for (const ino of notes.numbers()) {
      const page = notes.find(ino);
      if (page === undefined) continue;
      const slot = InodeNotes.slot(ino);
      if (ino === ROOT_INO) page.directories.foundParent[slot] = ROOT_INO;
      else if (page.links[slot] === 0 && !this.isRemoved(ino)) notes.set(ino, Note.lost, true);
    }
  }

  /** Flagged as an orphan, without links by its own account, without entries, and, if it is a directory, empty. */
  private isRemoved(ino: number): boolean {
    const { notes } = this.context;
    const links = notes.find(ino)?.links[InodeNotes.slot(ino)] ?? 0;
    return links === 0 && notes.has(ino, Note.orphan) && !notes.has(ino, Note.named) && !notes.has(ino, Note.notEmpty);
  }

  /** What belongs on the list: the removed, and regular files with the flag, which are being cut. */
  private isOrphan(ino: number): boolean {
    const { notes } = this.context;
    return this.isRemoved(ino) || (notes.has(ino, Note.orphan) && notes.typeOf(ino) === Type.regular);
  }

  /** Follows the list: every member is an orphan, none comes twice, and none is missing. */
  private isListRight(head: number): boolean {
    const { notes, table } = this.context;
    let listed = 0;
    let ino = head;
    while (ino !== 0) {
      if (notes.typeOf(ino) === 0 || !this.isOrphan(ino) || notes.has(ino, Note.listed)) return false;
      notes.set(ino, Note.listed, true);
      listed++;
      const base = table.load(ino, this.buffer);
      if (base < 0) return false;
      ino = getU64(this.buffer.view, base + Inode.orphanNext);
    }
    let orphans = 0;
    for (const member of notes.numbers()) if (this.isOrphan(member)) orphans++;
    return orphans === listed;
  }

  /** Mends the record at `base`; true when it was changed. */
  private mend(base: number, ino: number): boolean {
    const { notes } = this.context;
    const type = notes.typeOf(ino);
    if (type === 0 || notes.has(ino, Note.left)) return false;
    const counted = type === Type.directory ? this.mendDirectory(base, ino) : this.mendFile(base, ino);
    return this.mendOrphan(base, ino, this.isOrphan(ino)) || counted;
  }

  private mendFile(base: number, ino: number): boolean {
    const { notes } = this.context;
    // One that is lost gets its entry, and its count, in lost+found.
    if (notes.has(ino, Note.lost)) return false;
    return this.mendU32('link-count', base + Inode.nlink, ino, 'nlink', notes.find(ino)?.links[InodeNotes.slot(ino)] ?? 0);
  }

  private mendDirectory(base: number, ino: number): boolean {
    const { notes } = this.context;
    const { subdirectories, foundParent } = notes.make(ino).directories;
    const slot = InodeNotes.slot(ino);
    // Any will do, but the engine takes none, and no number, for damage, and could neither free the directory nor give it a place.
    const isOrphaned = this.isRemoved(ino) || notes.has(ino, Note.lost);
    const parent = getU64(this.buffer.view, base + Inode.parent);
    const adopted = isOrphaned && (parent === 0 || !Number.isSafeInteger(parent)) && this.mendU64('directory-parent', base + Inode.parent, ino, 'parent', ROOT_INO);
    if (this.isRemoved(ino)) return adopted;
    const counted = this.mendU32('link-count', base + Inode.nlink, ino, 'nlink', 2 + (subdirectories[slot] as number)) || adopted;
    if (notes.has(ino, Note.lost)) return counted;
    return this.mendU64('directory-parent', base + Inode.parent, ino, 'parent', foundParent[slot] as number) || counted;
  }

  private mendOrphan(base: number, ino: number, orphan: boolean): boolean {
    const { view } = this.buffer;
    const flags = view.getUint32(base + Inode.flags, true);
    const expected = (orphan ? flags | InodeFlag.orphan : flags & ~InodeFlag.orphan) >>> 0;
    let changed = false;
    if (expected !== flags && this.fix('orphan-flag', ino, 'orphan flag', orphan ? 'set' : 'clear', orphan ? 'clear' : 'set')) {
      view.setUint32(base + Inode.flags, expected, true);
      changed = true;
    }
    if (!orphan) return this.mendU64('orphan-next', base + Inode.orphanNext, ino, 'orphanNext', 0) || changed;
    if (!this.relink) return changed;
    const next = this.mendU64('orphan-not-listed', base + Inode.orphanNext, ino, 'orphanNext', this.orphanHead);
    this.orphanHead = ino;
    return next || changed;
  }

  private mendU32(kind: FindingKind, offset: number, ino: number, name: string, expected: number): boolean {
    const found = this.buffer.view.getUint32(offset, true);
    if (found === expected || !this.fix(kind, ino, name, expected, found)) return false;
    this.buffer.view.setUint32(offset, expected, true);
    return true;
  }

  private mendU64(kind: FindingKind, offset: number, ino: number, name: string, expected: number): boolean {
    const found = getU64(this.buffer.view, offset);
    if (found === expected || !this.fix(kind, ino, name, expected, found)) return false;
    setU64(this.buffer.view, offset, expected);
    return true;
  }

  private fix(kind: FindingKind, ino: number, name: string, expected: string | number, found: string | number): boolean {
    return this.context.problems.fix(kind, { ino }, `inode ${String(ino)}: ${name}`, expected, found, 'correct it');
  }
}
