import { blockName, hex } from '../check/findings.js';
import { BlockBuffer } from '../check/medium.js';
import { Inode, INODE_SIZE, INODES_PER_BLOCK, Magic, ROOT_INO } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { BlockMap } from './block-map.js';
import type { RepairContext } from './context.js';
import { InodeNotes } from './inode-notes.js';
import { InodeMender, Outcome, type OutcomeNumber } from './inode-mender.js';

/**
 * Pass 1: every record of the inode table, and every block that inodes own. One run claims what has one owner; blocks with two need
 * a second run, because only after the first it is known which blocks are free.
 */
export class InodePass {
  private readonly buffer = new BlockBuffer();
  private readonly mender: InodeMender;

  constructor(private readonly context: RepairContext) {
    this.mender = new InodeMender(context);
  }

  /** `others`: the owners of the first run, null for that one. Returns the number of extents that need a second run. */
  run(others: BlockMap | null): number {
    this.mender.extents.others = others;
    this.mender.extents.doubles = 0;
    this.walk((base, ino) => this.mendRecord(base, ino));
    this.walk((base, ino) => (this.context.notes.typeOf(ino) === 0 ? Outcome.same : this.mender.mendContents(this.buffer, base, ino)));
    return this.mender.extents.doubles;
  }

  private walk(visit: (base: number, ino: number) => OutcomeNumber): void {
    const { context, buffer } = this;
    const { table, writer } = context;
    for (const [tableBlock, block] of table.blocks()) {
      if ((tableBlock & 0xff) === 0) context.progress(1, tableBlock, table.end);
      if (!writer.load(block, buffer)) continue;
      let changed = false;
      for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
        const base = slot * INODE_SIZE;
        const ino = tableBlock * INODES_PER_BLOCK + slot;
        const outcome = visit(base, ino);
        if (outcome === Outcome.same) continue;
        if (outcome === Outcome.clear) this.clear(base, ino);
        else table.seal(buffer, base);
        changed = true;
      }
      if (changed) writer.write(block, buffer.bytes);
    }
  }

  private mendRecord(base: number, ino: number): OutcomeNumber {
    const { buffer, context } = this;
    const { view } = buffer;
    if (!context.table.isTrusted(buffer, base, ino)) return this.mendUntrusted(base, ino);
    if (view.getUint16(base + Inode.mode, true) === 0) return this.mendFree(base, ino);
    if (ino !== 0) return this.mender.mendRecord(buffer, base, ino);
    return context.problems.fix('inode-mode', { ino }, 'inode 0: mode', 'free', 'in use', 'clear the inode') ? Outcome.clear : Outcome.same;
  }

  private mendUntrusted(base: number, ino: number): OutcomeNumber {
    const { view } = this.buffer;
    const { problems, table } = this.context;
    const what = `inode ${String(ino)} at ${blockName(table.find(Math.floor(ino / INODES_PER_BLOCK)))} + ${String(base)}`;
    const magic = view.getUint16(base + Inode.magic, true);
    const number = getU64(view, base + Inode.ino);
    const remedy = 'clear the inode';
    const yes =
      magic !== Magic.inode
        ? problems.fixHiding('inode-damaged', { ino }, `${what}: magic`, hex(Magic.inode), hex(magic), remedy)
        : number !== ino
          ? problems.fixHiding('inode-number', { ino }, `${what}: ino`, ino, number, remedy)
          : problems.fixHiding('inode-damaged', { ino }, `${what}: checksum`, 'that of the record', 'another', remedy);
    return yes ? Outcome.clear : Outcome.same;
  }

  /** A free record is zero but for checksum, magic, ino and generation. */
  private mendFree(base: number, ino: number): OutcomeNumber {
    const { view } = this.buffer;
    for (let offset: number = Inode.uid; offset < INODE_SIZE; offset += 4) {
      if (offset === Inode.generation || view.getUint32(base + offset, true) === 0) continue;
      const what = `free inode ${String(ino)}: bytes ${String(offset)} … ${String(offset + 3)}`;
      const found = hex(view.getUint32(base + offset, true));
      return this.context.problems.fix('inode-free-not-zero', { ino }, what, 'zero', found, 'clear the inode') ? Outcome.clear : Outcome.same;
    }
    return Outcome.same;
  }

  private clear(base: number, ino: number): void {
    const { context, buffer } = this;
    if (ino === ROOT_INO) {
      // It is made anew at once: everything else hangs on it.
      this.mender.makeRoot(buffer, base);
      return;
    }
    const trusted = context.table.isTrusted(buffer, base, ino);
    const generation = trusted ? buffer.view.getUint32(base + Inode.generation, true) : 0;
    context.table.clear(buffer, base, ino, generation);
    const page = context.notes.find(ino);
    if (page === undefined) return;
    page.type[InodeNotes.slot(ino)] = 0;
    page.notes[InodeNotes.slot(ino)] = 0;
    context.notes.setXattrBlocks(ino, 0);
  }

  /** Sees to it that there is table block 0 with a root directory. Everything that was changed is committed before. */
  ensureRoot(): void {
    const { context, buffer } = this;
    const { problems, table, writer } = context;
    if (table.find(0) < 0) {
      if (!problems.fixHiding('table-extent', {}, 'inode table: block 0', 'mapped', 'a hole', 'make a new one with an empty root directory')) return;
      const block = context.allocate(1);
      if (block < 0) {
        problems.leave('table-extent', {}, 'inode table: block 0', 'a free block for it', 'none', 'no space');
        problems.incomplete = true;
        return;
      }
      table.setBlocks([[0, block], ...table.blocks()]);
      for (let slot = 0; slot < INODES_PER_BLOCK; slot++) table.clear(buffer, slot * INODE_SIZE, slot, 0);
      this.mender.makeRoot(buffer, ROOT_INO * INODE_SIZE);
      writer.write(block, buffer.bytes);
      return;
    }
    if (context.notes.typeOf(ROOT_INO) !== 0) return;
    const base = table.load(ROOT_INO, buffer);
    if (base < 0 || !problems.fixHiding('root-directory', { ino: ROOT_INO }, 'root directory', 'an inode in use', 'a free one', 'make an empty one')) return;
    this.mender.makeRoot(buffer, base);
    table.store(ROOT_INO, buffer);
  }
}
