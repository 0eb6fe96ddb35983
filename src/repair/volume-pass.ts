import { blockName, type FindingKind, hex } from '../check/findings.js';
import { Type } from '../check/inode.js';
import { BlockBuffer } from '../check/medium.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  Extent,
  EXTENT_PAYLOAD_SIZE,
  FILE_SIZE_MAX,
  FREE_INODES_HOLE,
  FREE_INODES_PAYLOAD_SIZE,
  FreeInodes,
  GROUP_BLOCKS,
  GroupHeader,
  INODES_PER_BLOCK,
  Magic,
  STATE_BLOCK,
  TREE_ROOT_SIZE,
  TreeKind,
  VolumeState,
} from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import { fixedBits } from './block-map.js';
import type { RepairContext } from './context.js';
import { TreeBuilder } from './tree-builder.js';
import type { TableMapPass } from './table-map.js';
import { isGroupHeader } from './table-scan.js';
import type { Item } from './tree-items.js';
import { TreeMender, Verdict } from './tree-mender.js';

/** What a fallocate under way may be, doc/FORMAT.md, "Volume state". */
const RANGE_MODES = new Set([0, 1, 3, 0x10, 0x11]);

/**
 * Pass 5: everything that only repeats what the others know — the trees of the volume state, bitmaps, counters — is compared with what
 * it has to be and made anew where it differs. Nothing of it is believed.
 */
export class VolumePass {
  private readonly buffer = new BlockBuffer();
  /** Blocks that are free as soon as the volume state no longer refers to them. */
  private released: number[] = [];
  private hasNoSpace = false;

  constructor(
    private readonly context: RepairContext,
    private readonly map: TableMapPass,
  ) {}

  /** `state`: the volume state, or a new one (`lost`). Everything that was changed is committed before. */
  run(state: BlockBuffer, lost: boolean, orphanHead: number): void {
    const { context } = this;
    if (context.problems.incomplete) return;
    const before = state.bytes.slice();
    this.unmapUnused();
    const freeInodes = this.mendFreeInodes(state);
    if (this.map.rebuild) this.build(state, VolumeState.tableRoot, TreeKind.extents, () => this.tableItems());
    if (freeInodes) this.build(state, VolumeState.freeInodeRoot, TreeKind.freeInodes, () => this.freeInodeItems());
    // Only now: until the state is written, the old trees are those that count, and nothing may be put over them.
    for (const block of this.released) context.owned.release(block, 1);
    if (this.hasNoSpace) return;
    const freeBlocks = this.mendGroups();
    this.mendState(state, lost, orphanHead, freeBlocks);
    if (Buffer.compare(before, state.bytes) !== 0) context.writer.writeHeaded(STATE_BLOCK, state);
  }

  /** Table blocks without an inode in use go back to the free space, but for block 0. */
  private unmapUnused(): void {
    const { context, map } = this;
    const kept: (readonly [number, number])[] = [];
    let unmapped = false;
    for (const [tableBlock, block] of context.table.blocks()) {
      const what = `block ${String(tableBlock)} of the inode table at ${blockName(block)}`;
      const unused = tableBlock !== 0 && this.maskOf(tableBlock) === FREE_INODES_HOLE;
      if (unused && context.problems.fix('table-block-unused', { block }, what, 'an inode in use, or a hole', 'only free inodes', 'make it a hole')) {
        this.released.push(block);
        context.writer.discard(block);
        unmapped = true;
      } else {
        kept.push([tableBlock, block]);
      }
    }
    if (unmapped) {
      context.table.setBlocks(kept);
      map.rebuild = true;
    }
    if (map.rebuild) this.released.push(...map.nodes);
  }

  /** Mask of the free inodes of a table block. */
  private maskOf(tableBlock: number): number {
    let mask = 0;
    for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
      const ino = tableBlock * INODES_PER_BLOCK + slot;
      if (ino !== 0 && this.context.notes.typeOf(ino) === 0) mask |= 1 << slot;
    }
    return mask;
  }

  /** Builds a tree of the volume state anew; on a full volume in the place of the old ones, if there is no other. */
  private build(state: BlockBuffer, root: number, kind: 1 | 3, items: () => Iterable<Item>): void {
    const { context } = this;
    for (const last of [false, true]) {
      const builder = new TreeBuilder(context, kind);
      for (const item of items()) builder.add(item);
      builder.finish(state.view, state.bytes, root);
      if (!builder.failed) return;
      for (const block of builder.blocks) context.owned.release(block, 1);
      if (last) break;
      for (const block of this.released) context.owned.release(block, 1);
      this.released = [];
    }
    const what = kind === TreeKind.extents ? 'extent tree of the inode table' : 'tree of free inodes';
    context.problems.leave(kind === TreeKind.extents ? 'table-extent' : 'free-inode-missing', {}, what, 'free blocks to build it', 'none', 'no space');
    this.hasNoSpace = true;
  }

  private *tableItems(): Generator<Item> {
    // A run lies inside one group, as an extent must: between groups there is a header.
    for (const { start, block, length } of this.context.table.list) {
      const payload = new Uint8Array(EXTENT_PAYLOAD_SIZE);
      const view = new DataView(payload.buffer);
      setU64(view, Extent.block, block);
      view.setUint32(Extent.length, length, true);
      yield { key: start, payload };
    }
  }

  private *freeInodeItems(): Generator<Item> {
    for (const { key, mask, length } of this.freeItems()) {
      const payload = new Uint8Array(FREE_INODES_PAYLOAD_SIZE);
      const view = new DataView(payload.buffer);
      view.setUint16(FreeInodes.mask, mask, true);
      view.setUint32(FreeInodes.length, length, true);
      yield { key, payload };
    }
  }

  /** The items that the tree of free inodes must have, in order. */
  private *freeItems(): Generator<{ key: number; mask: number; length: number }> {
    let next = 0;
    for (const [tableBlock] of this.context.table.blocks()) {
      // A hole too long for one item is not possible: inode numbers would pass 2^53.
      if (tableBlock > next) yield { key: next, mask: FREE_INODES_HOLE, length: tableBlock - next };
      const mask = this.maskOf(tableBlock);
      if (mask !== 0) yield { key: tableBlock, mask, length: 1 };
      next = tableBlock + 1;
    }
  }

  /** Compares the tree with what it must be; true when it has to be built anew. */
  private mendFreeInodes(state: BlockBuffer): boolean {
    const { context } = this;
    const trees = new TreeMender(context);
    const expected = this.freeItems();
    let right = true;
    const judge = (item: Item): 0 => {
      if (!right) return Verdict.keep;
      const view = new DataView(item.payload.buffer, item.payload.byteOffset);
      const mask = view.getUint16(FreeInodes.mask, true);
      const length = view.getUint32(FreeInodes.length, true);
      const reserved = view.getUint16(FreeInodes.reserved, true);
      const wanted = expected.next();
      const found = `item ${String(item.key)} with mask ${hex(mask)}, length ${String(length)}, reserved ${String(reserved)}`;
      if (wanted.done === true) {
        right = this.wrongFree('free-inode-wrong', item.key, 'no further item', found);
      } else if (wanted.value.key !== item.key || wanted.value.mask !== mask || wanted.value.length !== length || reserved !== 0) {
        const { value } = wanted;
        right = this.wrongFree('free-inode-wrong', item.key, `item ${String(value.key)} with mask ${hex(value.mask)}, length ${String(value.length)}`, found);
      }
      return Verdict.keep;
    };
    trees.mend(state.view, state.bytes, VolumeState.freeInodeRoot, TreeKind.freeInodes, 0, judge, { claim: true, dry: true });
    if (right && !trees.faulty) {
      const missing = expected.next();
      if (missing.done !== true) right = this.wrongFree('free-inode-missing', missing.value.key, `an item of table block ${String(missing.value.key)}`, 'none');
    }
    if (right && !trees.faulty) return false;
    this.released.push(...trees.claimed);
    return true;
  }

  /** False when the tree is to be built anew. */
  private wrongFree(kind: FindingKind, key: number, expected: string, found: string): boolean {
    return !this.context.problems.fix(kind, { key }, 'tree of free inodes', expected, found, 'build it anew');
  }

  /** Writes the headers that differ from what they must be; returns the free blocks of the volume. */
  private mendGroups(): number {
    const { context } = this;
    const { geometry } = context;
    context.groups = this.groupsInUse();
    let free = 0;
    for (let group = 0; group < context.groups; group++) {
      if ((group & 0xff) === 0) context.progress(5, group, context.groups);
      free += this.mendGroup(group);
    }
    if (context.groups < geometry.groupCount) {
      const untouched = geometry.groupCount - context.groups;
      free += (untouched - 1) * (GROUP_BLOCKS - 1) + geometry.groupCapacity(geometry.groupCount - 1);
    }
    return free;
  }

  /** Groups 0 … n − 1 have a header; behind the last that has a valid one, or an owned block, none need have. */
  private groupsInUse(): number {
    const { context } = this;
    const owned = context.owned.lastClaimed + 1;
    let groups = context.groups;
    while (groups > 1 && groups > owned && !isGroupHeader(context, this.buffer, groups - 1)) groups--;
    return groups;
  }

  private mendGroup(group: number): number {
    const { buffer, context } = this;
    const { geometry } = context;
    const block = geometry.groupBase(group);
    const expected = context.owned.find(group) ?? fixedBits(geometry, group);
    const free = countZeroBits(expected);
    if (isGroupHeader(context, buffer, group)) {
      if (!this.differs(group, block, expected, free)) return free;
    } else if (group < context.groupsFound) {
      const what = `header of group ${String(group)} at ${blockName(block)}`;
      if (!context.problems.fix('group-damaged', { group, block }, what, 'a header of this group', 'something else', 'write it anew')) return free;
    }
    buffer.bytes.fill(0);
    buffer.view.setUint32(BlockHeader.magic, Magic.group, true);
    setU64(buffer.view, BlockHeader.self, block);
    setU64(buffer.view, BlockHeader.owner, group);
    buffer.view.setUint32(GroupHeader.freeCount, free, true);
    buffer.bytes.set(expected, GroupHeader.bitmap);
    context.writer.writeHeaded(block, buffer);
    return free;
  }

  /** Reports how a header that can be believed differs; true when it is to be written anew. */
  private differs(group: number, block: number, expected: Uint8Array, free: number): boolean {
    const { context, buffer } = this;
    const { bytes, view } = buffer;
    const name = `header of group ${String(group)} at ${blockName(block)}`;
    const place = { group, block };
    let rewrite = false;
    const fix = (kind: FindingKind, what: string, wanted: string | number, found: string | number): void => {
      if (context.problems.fix(kind, place, what, wanted, found, 'write it anew')) rewrite = true;
    };
    if (context.checkReserved && bytes.subarray(GroupHeader.freeCount + 4, GroupHeader.bitmap).some((byte) => byte !== 0)) fix('reserved-bytes', `${name}: reserved bytes`, 0, 'others');
    const fixed = fixedBits(context.geometry, group);
    let leaked = 0;
    let unmarked = 0;
    let cleared = 0;
    for (let i = 0; i < expected.length; i++) {
      const wanted = expected[i] as number;
      const found = bytes[GroupHeader.bitmap + i] as number;
      if (wanted === found) continue;
      leaked += countBits(found & ~wanted);
      unmarked += countBits(wanted & ~found & ~(fixed[i] as number));
      cleared += countBits(~found & (fixed[i] as number) & 0xff);
    }
    if (cleared > 0) fix('group-fixed-bits', `${name}: bits of header, backup superblock and end`, 'set', `${String(cleared)} clear`);
    if (leaked > 0) fix('block-leaked', `${name}: ${String(leaked)} blocks`, 'free (no owner was found)', 'in use');
    if (unmarked > 0) fix('block-not-marked', `${name}: ${String(unmarked)} blocks`, 'in use (an owner was found)', 'free');
    const stored = view.getUint32(GroupHeader.freeCount, true);
    if (stored !== free && !rewrite) fix('group-free-count', `${name}: freeCount`, free, stored);
    return rewrite;
  }

  private mendState(state: BlockBuffer, lost: boolean, orphanHead: number, freeBlocks: number): void {
    const { context } = this;
    const { view, bytes } = state;
    let inodes = 0;
    let mapped = 0;
    for (const ino of context.notes.numbers()) if (ino !== 0) inodes++;
    for (const _block of context.table.blocks()) mapped++;
    const fields: [FindingKind, number, string, number][] = [
      ['state-free-blocks', VolumeState.freeBlocks, 'freeBlocks', freeBlocks],
      ['state-groups-initialised', VolumeState.groupsInitialised, 'groupsInitialised', context.groups],
      ['state-table-blocks', VolumeState.tableBlocks, 'tableBlocks', context.table.end],
      ['state-used-inodes', VolumeState.usedInodes, 'usedInodes', inodes],
      ['state-mapped-table-blocks', VolumeState.mappedTableBlocks, 'mappedTableBlocks', mapped],
      ['orphan-list-broken', VolumeState.orphanHead, 'orphanHead', orphanHead],
    ];
    for (const [kind, offset, name, expected] of fields) {
      const found = getU64(view, offset);
      if (found === expected) continue;
      const place = { block: STATE_BLOCK };
      if (lost || context.problems.fix(kind, place, `volume state: ${name}`, expected, found, 'correct it')) setU64(view, offset, expected);
    }
    this.mendRange(state);
    const sequence = getU64(view, VolumeState.sequence);
    const next = context.writer.position.sequence;
    if (sequence >= next && context.problems.fix('state-sequence', { block: STATE_BLOCK }, 'volume state: sequence', `less than ${String(next)}`, sequence, 'correct it')) {
      // The record that the state goes out with says the right one.
      setU64(view, VolumeState.sequence, 0);
    }
    if (!context.checkReserved) return;
    for (const [from, to] of [[VolumeState.rangeMode + 4, VolumeState.tableRoot], [VolumeState.freeInodeRoot + TREE_ROOT_SIZE, BLOCK_SIZE]] as const) {
      if (bytes.subarray(from, to).every((byte) => byte === 0)) continue;
      if (context.problems.fix('reserved-bytes', { block: STATE_BLOCK }, 'volume state: reserved bytes', 0, 'others', 'clear them')) bytes.fill(0, from, to);
    }
  }

  /** A fallocate under way names a regular file and a range; without one, everything about it is zero. */
  private mendRange({ view, bytes }: BlockBuffer): void {
    const { notes, problems } = this.context;
    const ino = getU64(view, VolumeState.rangeIno);
    const offset = getU64(view, VolumeState.rangeOffset);
    const end = getU64(view, VolumeState.rangeEnd);
    const mode = view.getUint32(VolumeState.rangeMode, true);
    const right = ino === 0 ? offset === 0 && end === 0 && mode === 0 : notes.typeOf(ino) === Type.regular && offset < end && end <= FILE_SIZE_MAX && RANGE_MODES.has(mode);
    if (right) return;
    const found = `inode ${String(ino)}, mode ${hex(mode)}, bytes ${String(offset)} to ${String(end)}`;
    const expected = ino === 0 ? 'all zero' : 'a regular file, a known mode, a range';
    if (!problems.fix('state-range', { block: STATE_BLOCK, ino }, 'volume state: range operation', expected, found, 'forget it')) return;
    bytes.fill(0, VolumeState.rangeIno, VolumeState.rangeMode + 4);
  }
}

function countBits(byte: number): number {
  let count = 0;
  for (let rest = byte & 0xff; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function countZeroBits(bitmap: Uint8Array): number {
  let used = 0;
  for (const byte of bitmap) used += countBits(byte);
  return GROUP_BLOCKS - used;
}

