import { BlockBuffer } from '../check/medium.js';
import { ItemArea, type TreeKindNumber } from '../format/layout.js';
import { NODE_AREA_SIZE, ROOT_AREA_SIZE } from '../format/tree-limits.js';
import type { RepairContext } from './context.js';
import { childItem, costOf, type Item, packNode, packRoot, packRootAbove } from './tree-items.js';

const ROOT_CAPACITY = ROOT_AREA_SIZE - ItemArea.slots;
/** Nodes are not filled to the brim: the next insert would split each of them. */
const NODE_CAPACITY = Math.floor((NODE_AREA_SIZE - ItemArea.slots) * 0.9);

/** A level of the tree under construction: the node that is being filled. */
interface Level {
  items: Item[];
  used: number;
  /** Nodes of this level written so far. */
  written: number;
}

/**
 * Builds a tree of the volume state (owner 0) from items in ascending order, in blocks that are free. Nothing refers to its nodes until
 * the root that `finish` makes is written, so they may be written at any time before.
 */
export class TreeBuilder {
  private readonly levels: Level[] = [];
  private readonly buffer = new BlockBuffer();
  /** The blocks of its nodes. */
  readonly blocks: number[] = [];
  /** There was no free block: the tree is not whole. */
  failed = false;

  constructor(
    private readonly context: RepairContext,
    private readonly kind: TreeKindNumber,
  ) {}

  add(item: Item): void {
    this.addTo(0, item);
  }

  /** Writes what is left and makes the root at `root` of a buffer. */
  finish(view: DataView, bytes: Uint8Array, root: number): void {
    const leaf = this.levels[0];
    if (leaf === undefined || (this.levels.length === 1 && leaf.used <= ROOT_CAPACITY)) {
      packRoot(view, bytes, root, leaf?.items ?? []);
      return;
    }
    // Every level but the highest has nodes that are written; what is left of it is not empty, so a higher one has two items at least.
    for (let level = 0; level < this.levels.length - 1; level++) this.flush(level);
    const top = this.levels.length - 1;
    packRootAbove(view, bytes, root, this.store(top), top + 1, this.blocks.length);
  }

  private addTo(number: number, item: Item): void {
    const level = (this.levels[number] ??= { items: [], used: 0, written: 0 });
    if (level.used + costOf(item) > NODE_CAPACITY) this.flush(number);
    level.items.push(item);
    level.used += costOf(item);
  }

  /** Writes the node that is being filled and enters it in the level above. */
  private flush(number: number): void {
    const level = this.levels[number] as Level;
    const key = level.written === 0 ? 0 : (level.items[0] as Item).key;
    const block = this.store(number);
    level.items = [];
    level.used = 0;
    level.written++;
    this.addTo(number + 1, childItem(key, block));
  }

  /** Writes a node; returns its block. */
  private store(number: number): number {
    const block = this.context.allocate(1);
    if (block < 0) {
      this.failed = true;
      return 0;
    }
    packNode(this.buffer.view, this.buffer.bytes, block, 0, this.kind, number, (this.levels[number] as Level).items);
    this.context.writer.writeHeaded(block, this.buffer);
    this.blocks.push(block);
    return block;
  }
}
