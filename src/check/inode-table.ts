import { Inode, INODE_SIZE, INODES_PER_BLOCK, Magic, STATE_BLOCK, TreeKind, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import { ExtentVisitor } from './extents.js';
import { blockName, hex } from './findings.js';
import { DAMAGED, InodeMap } from './inode-map.js';
import { InodeChecker } from './inode.js';
import { BlockBuffer } from './medium.js';
import type { TableMap } from './table-map.js';
import { type ItemVisitor, TreeWalker } from './tree-walker.js';

/** First pass: every extent of the inode table, every record, every file's extents. */
export class InodeTablePass implements ItemVisitor {
  private readonly buffer = new BlockBuffer();
  private readonly extents: ExtentVisitor;
  private readonly checker: InodeChecker;
  private tableBlocks = 0;

  constructor(
    private readonly context: CheckContext,
    private readonly table: TableMap,
    private readonly progress: (tableBlock: number, tableBlocks: number) => void,
  ) {
    this.extents = new ExtentVisitor(context);
    this.checker = new InodeChecker(context);
  }

  /** Runs over the table whose root is in the volume state. */
  run(state: BlockBuffer): void {
    const { context, table } = this;
    this.tableBlocks = getU64(state.view, VolumeState.tableBlocks);
    this.extents.begin(0, this.tableBlocks, false);
    const walker = new TreeWalker(context);
    if (!walker.walk(state.view, state.bytes, VolumeState.tableRoot, TreeKind.extents, 0, this)) context.tableComplete = false;
    if (!context.tableComplete) return;
    const end = table.count > 0 ? table.end(table.count - 1) : 0;
    if (end !== this.tableBlocks) {
      context.findings.add('state-table-blocks', { block: STATE_BLOCK }, 'volume state: tableBlocks', end, this.tableBlocks);
    }
    const mapped = getU64(state.view, VolumeState.mappedTableBlocks);
    if (mapped !== table.masks) {
      context.findings.add('state-mapped-table-blocks', { block: STATE_BLOCK }, 'volume state: mappedTableBlocks', table.masks, mapped);
    }
    if (table.find(0) < 0) context.findings.add('table-extent', {}, 'inode table: block 0', 'mapped', 'a hole');
  }

  /** An extent of the inode table. */
  item(key: number, view: DataView, bytes: Uint8Array, offset: number): void {
    const { extents, context } = this;
    const total = context.findings.total;
    extents.item(key, view, bytes, offset);
    if (extents.lastUnwritten) {
      context.findings.add('table-extent', { key, block: extents.lastBlock }, `extent of the inode table at ${String(key)}`, 'written', 'unwritten');
    }
    if (context.findings.total !== total) {
      context.tableComplete = false;
      return;
    }
    this.table.add(key, extents.lastBlock, extents.lastLength);
    const first = extents.lastBlock;
    const count = extents.lastLength;
    for (let i = 0; i < count; i++) this.scan(key + i, first + i);
  }

  /** Checks the 16 records of one block of the table. */
  private scan(tableBlock: number, block: number): void {
    const { context, table, buffer } = this;
    if ((tableBlock & 0xff) === 0) this.progress(tableBlock, this.tableBlocks);
    if (!context.medium.load(block, buffer)) {
      for (let slot = 0; slot < INODES_PER_BLOCK; slot++) this.noteDamaged(tableBlock * INODES_PER_BLOCK + slot);
      table.addMask(0, 0xffff);
      return;
    }
    let free = 0;
    let damaged = 0;
    for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
      const ino = tableBlock * INODES_PER_BLOCK + slot;
      const base = slot * INODE_SIZE;
      if (!this.isTrusted(ino, base, block)) {
        this.noteDamaged(ino);
        damaged |= 1 << slot;
      } else if (buffer.view.getUint16(base + Inode.mode, true) === 0) {
        this.checkFree(ino, base, block);
        // Inode 0 does not exist: its record is a free one that nobody may take.
        if (ino !== 0) free |= 1 << slot;
      } else if (ino === 0) {
        context.findings.add('inode-mode', { ino, block }, `inode 0 at ${blockName(block)}: mode`, 'free', 'in use');
      } else {
        this.checker.check(buffer.view, buffer.bytes, base, ino);
      }
    }
    table.addMask(free, damaged);
    if (free === 0xffff && tableBlock !== 0) {
      const what = `block ${String(tableBlock)} of the inode table at ${blockName(block)}`;
      context.findings.add('table-block-unused', { block }, what, 'an inode in use, or a hole', 'only free inodes');
    }
  }

  private noteDamaged(ino: number): void {
    this.context.damagedInodes++;
    this.context.inodes.make(ino).type[InodeMap.slot(ino)] = DAMAGED;
  }

  /** Checks magic, checksum and number of a record. */
  private isTrusted(ino: number, base: number, block: number): boolean {
    const { context, buffer } = this;
    const { view } = buffer;
    const magic = view.getUint16(base + Inode.magic, true);
    const sum = context.medium.pmem.crc32c(context.geometry.seed, buffer.bytes, base + 4, INODE_SIZE - 4);
    const stored = view.getUint32(base + Inode.checksum, true);
    const number = getU64(view, base + Inode.ino);
    if (magic === Magic.inode && stored === sum && number === ino) return true;
    const what = `inode ${String(ino)} at ${blockName(block)} + ${String(base)}`;
    const place = { ino, block };
    if (magic !== Magic.inode) context.findings.add('inode-damaged', place, `${what}: magic`, hex(Magic.inode), hex(magic));
    else if (stored !== sum) context.findings.add('inode-damaged', place, `${what}: checksum`, hex(sum), hex(stored));
    else context.findings.add('inode-number', place, `${what}: ino`, ino, number);
    return false;
  }

  /** A free record is zero but for checksum, magic, ino and generation. */
  private checkFree(ino: number, base: number, block: number): void {
    const { view } = this.buffer;
    for (let offset: number = Inode.uid; offset < INODE_SIZE; offset += 4) {
      if (offset === Inode.generation || view.getUint32(base + offset, true) === 0) continue;
      const what = `free inode ${String(ino)} at ${blockName(block)}: bytes ${String(offset)} … ${String(offset + 3)}`;
      const found = hex(view.getUint32(base + offset, true));
      this.context.findings.add('inode-free-not-zero', { ino, block }, what, 'zero', found);
      return;
    }
  }
}
