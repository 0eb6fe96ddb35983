import { blockName, type FindingKind, hex } from '../check/findings.js';
import { areaFault, itemCount } from '../check/item-area.js';
import { BlockBuffer } from '../check/medium.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  Magic,
  TREE_MAX_DEPTH,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TreeKind,
  type TreeKindNumber,
  TreeNode,
  TreeRoot,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { CHILD_SIZE, KEY_END, NODE_AREA_SIZE, PAYLOAD_MAX, PAYLOAD_MIN, rootSizeOf } from '../format/tree-limits.js';
import type { RepairContext } from './context.js';
import { childItem, childOf, fitting, type Item, packNode, packRoot, packRootAbove, readItems } from './tree-items.js';

/** What a judge says about an item of a leaf. */
export const Verdict = { keep: 0, changed: 1, drop: 2 } as const;
export type VerdictNumber = (typeof Verdict)[keyof typeof Verdict];

/** Called with each item in the order of keys. It may change the key (upwards, to less than `high`) and the payload: `changed`. */
export type Judge = (item: Item, high: number) => VerdictNumber;

export interface MendOptions {
  /** The nodes have no owner yet: those that somebody else has are dropped. Otherwise they are known to be this tree's. */
  claim: boolean;
  /** Change nothing on the medium: the tree is only read, and will be built anew if anything is wrong with it. */
  dry?: boolean;
}

/** Names of the trees of inodes. */
const OWNED_TREES: Record<TreeKindNumber, string> = { 1: 'extent tree', 2: 'directory tree', 3: 'tree', 4: 'tree of extended attributes' };

/** A node that was visited: whether it stays, and its children if it is an interior one. */
interface Visited {
  stays: boolean;
  items: number;
  onlyChild: number;
}

const GONE: Visited = { stays: false, items: 0, onlyChild: 0 };

/**
 * Mends a tree in place without needing any space: drops nodes that can't be believed with all that is below them, items that lie outside
 * the bounds of their node, and what a judge refuses; keeps the rest. Every node is rewritten as a whole, children before
 * parents, so that a repair that is cut off leaves a tree that the next one mends further.
 *
 * A walk ends whatever the bytes say: levels fall from node to node, and no block is entered twice by trees that claim their nodes.
 */
export class TreeMender {
  /** Nodes and items that are left in the last tree. */
  nodes = 0;
  items = 0;
  /** A part of the tree was dropped, or would be. */
  lostParts = false;
  /** Something was wrong that a tree built anew would not have. */
  faulty = false;
  /** Damage was left because somebody said so: counts made from this tree mean nothing. */
  left = false;
  /** With `dry`: blocks of the nodes that were claimed. */
  claimed: number[] = [];
  private readonly levels: BlockBuffer[] = [];
  private kind: TreeKindNumber = TreeKind.extents;
  private owner = 0;
  private judge: Judge = () => Verdict.keep;
  private options: MendOptions = { claim: true };

  constructor(private readonly context: RepairContext) {}

  /** Mends the tree whose root is at `root` of a buffer. True when the root was changed: the caller writes it. */
  mend(view: DataView, bytes: Uint8Array, root: number, kind: TreeKindNumber, owner: number, judge: Judge, options: MendOptions): boolean {
    this.kind = kind;
    this.owner = owner;
    this.judge = judge;
    this.options = options;
    this.nodes = this.items = 0;
    this.lostParts = this.faulty = this.left = false;
    this.claimed = [];
    const depth = view.getUint16(root + TreeRoot.depth, true);
    if (depth > TREE_MAX_DEPTH) {
      if (!this.problem('tree-root', `root of the ${this.name()}: depth`, `at most ${String(TREE_MAX_DEPTH)}`, depth, 'make the tree empty')) return false;
      this.lostParts = true;
      packRoot(view, bytes, root, [], rootSizeOf(this.kind));
      return true;
    }
    return depth === 0 ? this.mendRootItems(view, bytes, root) : this.mendBelow(view, bytes, root, depth);
  }

  /** What the tree is, for messages. */
  name(): string {
    if (this.kind === TreeKind.freeInodes) return 'tree of free inodes';
    if (this.owner === 0) return 'extent tree of the inode table';
    return `${OWNED_TREES[this.kind]} of inode ${String(this.owner)}`;
  }

  /** Depth 0: the items are in the root itself. */
  private mendRootItems(view: DataView, bytes: Uint8Array, root: number): boolean {
    const [shortest, longest] = [PAYLOAD_MIN[this.kind], PAYLOAD_MAX[this.kind]];
    const size = rootSizeOf(this.kind) - TREE_ROOT_AREA;
    const fault = areaFault(view, root + TREE_ROOT_AREA, size, shortest, longest);
    if (fault !== null) {
      if (!this.problem('tree-items', `root of the ${this.name()}: ${fault.what}`, fault.expected, fault.found, 'keep the items that can be read')) return false;
      this.lostParts = true;
    }
    const found = fitting(readItems(view, root + TREE_ROOT_AREA, size, shortest, longest), size);
    const strange = fault === null && this.hasStrangeKeys(view, root + TREE_ROOT_AREA, found, 0);
    const { kept, changed } = this.judgeItems(found, 0, KEY_END, 0);
    const nodes = view.getUint32(root + TreeRoot.nodes, true);
    const miscounted = nodes !== 0 && this.countProblem(nodes);
    if (fault === null && !changed && !miscounted && !strange) return false;
    if (!this.isDry) packRoot(view, bytes, root, kept, rootSizeOf(this.kind));
    return true;
  }

  private mendBelow(view: DataView, bytes: Uint8Array, root: number, depth: number): boolean {
    const block = getU64(view, root + TreeRoot.root);
    const visited = this.visit(block, depth - 1, 0, KEY_END, true);
    if (!visited.stays) {
      if (!this.isDry) packRoot(view, bytes, root, [], rootSizeOf(this.kind));
      return true;
    }
    const nodes = view.getUint32(root + TreeRoot.nodes, true);
    const lowered = depth > 1 && visited.items === 1 && !this.left ? this.lower(block, depth, visited.onlyChild) : { block, depth };
    const miscounted = !this.left && nodes !== this.nodes && this.countProblem(nodes);
    if (lowered.depth === depth && !miscounted) return false;
    if (!this.isDry) packRootAbove(view, bytes, root, lowered.block, lowered.depth, this.nodes, rootSizeOf(this.kind));
    return true;
  }

  /** An interior root node has two children at least: one with a single child gives its place to that. */
  private lower(block: number, depth: number, onlyChild: number): { block: number; depth: number } {
    const buffer = new BlockBuffer();
    this.drop(block);
    let level = depth - 2;
    let at = onlyChild;
    while (level > 0) {
      if (!this.context.writer.load(at, buffer)) break;
      const items = readItems(buffer.view, TREE_NODE_AREA, NODE_AREA_SIZE, CHILD_SIZE, CHILD_SIZE);
      if (items.length !== 1) break;
      this.drop(at);
      at = childOf(items[0] as Item);
      level--;
    }
    return { block: at, depth: level + 1 };
  }

  /** Visits the node of `level` in `block`, whose keys must be in [low, high). */
  private visit(block: number, level: number, low: number, high: number, isRoot: boolean): Visited {
    const { context, options } = this;
    const remedy = 'drop the node and what is below it';
    if (!context.isAllocatable(block)) {
      const what = `${this.name()}: address of a node of level ${String(level)}`;
      return this.refuse('tree-pointer', what, 'a block inside a group in use', block, remedy, 0);
    }
    if (options.claim && !context.owned.isFree(block, 1)) {
      return this.refuse('block-doubly-used', `node of the ${this.name()} at ${blockName(block)}`, 'a block of its own', 'one that has an owner', remedy, block);
    }
    const buffer = (this.levels[level] ??= new BlockBuffer());
    const refused = this.headerFault(buffer, block, level);
    if (refused !== null) return refused;
    if (options.claim) context.owned.claim(block, 1);
    if (this.isDry) this.claimed.push(block);
    this.nodes++;
    return level === 0 ? this.visitLeaf(buffer, block, low, high) : this.visitInterior(buffer, block, level, low, high, isRoot);
  }

  /** What is wrong with the header of a node, null: nothing. */
  private headerFault(buffer: BlockBuffer, block: number, level: number): Visited | null {
    const { context } = this;
    const what = this.nodeName(block);
    const remedy = 'drop the node and what is below it';
    if (!context.writer.load(block, buffer)) return this.refuse('block-unreadable', what, 'a readable block', 'an error of the medium', remedy, block);
    const { view, bytes } = buffer;
    const facts: [FindingKind, string, number, number][] = [
      ['tree-node-damaged', 'magic', Magic.node, view.getUint32(BlockHeader.magic, true)],
      ['tree-node-damaged', 'checksum', context.writer.pmem.crc32c(context.geometry.seed, bytes, 4, BLOCK_SIZE - 4), view.getUint32(BlockHeader.checksum, true)],
      ['tree-node-damaged', 'self', block, getU64(view, BlockHeader.self)],
      ['tree-node-damaged', 'owner', this.owner, getU64(view, BlockHeader.owner)],
      ['tree-node-misplaced', 'level', level, view.getUint16(TreeNode.level, true)],
      ['tree-node-misplaced', 'kind', this.kind, view.getUint16(TreeNode.kind, true)],
    ];
    for (const [kind, field, expected, found] of facts) {
      if (expected !== found) return this.refuse(kind, `${what}: ${field}`, hex(expected), hex(found), remedy, block);
    }
    return null;
  }

  /** A key that no tree has (2^53 and more) is no fault of the area, but its item was not read. True when the area is to be rewritten. */
  private hasStrangeKeys(view: DataView, area: number, found: readonly Item[], block: number): boolean {
    const count = itemCount(view, area);
    if (found.length === count) return false;
    this.lostParts = true;
    const what = `${this.nodeName(block)}: items with a key below 2^53`;
    return this.problem('tree-key-bounds', what, count, found.length, 'drop the others', block);
  }

  /** Reports the faults of a node as a whole; true when it has to be rewritten. */
  private nodeFaults(buffer: BlockBuffer, block: number, shortest: number, longest: number): boolean {
    const { view, bytes } = buffer;
    const what = this.nodeName(block);
    let rewrite = false;
    const fault = areaFault(view, TREE_NODE_AREA, NODE_AREA_SIZE, shortest, longest);
    if (fault !== null) {
      this.lostParts = true;
      if (this.problem('tree-items', `${what}: ${fault.what}`, fault.expected, fault.found, 'keep the items that can be read', block)) rewrite = true;
    } else if (this.hasStrangeKeys(view, TREE_NODE_AREA, readItems(view, TREE_NODE_AREA, NODE_AREA_SIZE, shortest, longest), block)) {
      rewrite = true;
    }
    if (this.context.checkReserved && bytes.subarray(TreeNode.kind + 2, TREE_NODE_AREA).some((byte) => byte !== 0)) {
      if (this.context.problems.fix('reserved-bytes', this.place(block), `${what}: reserved bytes`, 0, 'others', 'clear them')) rewrite = true;
      this.faulty = true;
    }
    return rewrite;
  }

  private visitLeaf(buffer: BlockBuffer, block: number, low: number, high: number): Visited {
    const [shortest, longest] = [PAYLOAD_MIN[this.kind], PAYLOAD_MAX[this.kind]];
    const rewrite = this.nodeFaults(buffer, block, shortest, longest);
    const found = readItems(buffer.view, TREE_NODE_AREA, NODE_AREA_SIZE, shortest, longest);
    if (found.length === 0 && !this.problem('tree-node-empty', `${this.nodeName(block)}: items`, 'at least 1', 0, 'drop the node', block)) {
      return { stays: true, items: 0, onlyChild: 0 };
    }
    const { kept, changed } = this.judgeItems(fitting(found, NODE_AREA_SIZE), low, high, block);
    if (kept.length === 0) return this.empty(block);
    if (rewrite || changed) this.rewrite(buffer, block, 0, kept);
    return { stays: true, items: kept.length, onlyChild: 0 };
  }

  private visitInterior(buffer: BlockBuffer, block: number, level: number, low: number, high: number, isRoot: boolean): Visited {
    let rewrite = this.nodeFaults(buffer, block, CHILD_SIZE, CHILD_SIZE);
    const found = fitting(readItems(buffer.view, TREE_NODE_AREA, NODE_AREA_SIZE, CHILD_SIZE, CHILD_SIZE), NODE_AREA_SIZE);
    const what = this.nodeName(block);
    const kept: Item[] = [];
    found.forEach((item, index) => {
      // The first child that stays begins where the node begins: its key may be lowered, never those below it.
      let begin = kept.length === 0 ? low : item.key;
      const end = Math.min(high, found[index + 1]?.key ?? high);
      if (end <= begin) {
        const range = `${String(low)} … ${String(high - 1)}`;
        if (!this.problem('tree-key-bounds', `${what}: key`, range, item.key, 'drop the child', block)) kept.push(item);
        else this.lostParts = rewrite = true;
        return;
      }
      if (index === 0 && item.key !== low) {
        if (!this.problem('tree-key-bounds', `${what}: first key`, low, item.key, 'correct it', block)) begin = item.key;
      }
      const child = childOf(item);
      const stays = this.visit(child, level - 1, begin, end, false).stays;
      if (stays) kept.push(childItem(begin, child));
      if (!stays || begin !== item.key) rewrite = true;
    });
    if (kept.length === 0) return this.empty(block);
    if (isRoot && kept.length === 1 && found.length === 1) {
      // Not a loss: only one level too many.
      this.problem('tree-node-empty', `${what}: items`, 'at least 2', 1, 'make the child the root', block);
    }
    if (rewrite) this.rewrite(buffer, block, level, kept);
    return { stays: true, items: kept.length, onlyChild: kept.length === 1 ? childOf(kept[0] as Item) : 0 };
  }

  /** Items of a leaf, or of a root, that lie in [low, high) and that the judge lets pass. */
  private judgeItems(found: Item[], low: number, high: number, block: number): { kept: Item[]; changed: boolean } {
    const kept: Item[] = [];
    let changed = false;
    for (const item of found) {
      if (item.key < low || item.key >= high) {
        const range = `${String(low)} … ${String(high - 1)}`;
        if (this.problem('tree-key-bounds', `${this.nodeName(block)}: key`, range, item.key, 'drop the item', block)) {
          this.lostParts = changed = true;
          continue;
        }
      }
      const verdict = this.judge(item, high);
      if (verdict !== Verdict.keep) changed = true;
      if (verdict === Verdict.drop) continue;
      kept.push(item);
      this.items++;
    }
    return { kept, changed };
  }

  /** A node without an item that could stay. */
  private empty(block: number): Visited {
    this.drop(block);
    return GONE;
  }

  /** Takes a node that was claimed out of the tree. */
  private drop(block: number): void {
    this.nodes--;
    this.faulty = true;
    if (this.isDry) return;
    this.context.owned.release(block, 1);
    this.context.writer.discard(block);
  }

  private rewrite(buffer: BlockBuffer, block: number, level: number, items: readonly Item[]): void {
    this.faulty = true;
    if (this.isDry) return;
    packNode(buffer.view, buffer.bytes, block, this.owner, this.kind, level, items);
    this.context.writer.writeHeaded(block, buffer);
  }

  private refuse(kind: FindingKind, what: string, expected: string | number, found: string | number, remedy: string, block: number): Visited {
    const dropped = this.problem(kind, what, expected, found, remedy, block);
    this.lostParts = true;
    return dropped ? GONE : { stays: true, items: 2, onlyChild: 0 };
  }

  private problem(kind: FindingKind, what: string, expected: string | number, found: string | number, remedy: string, block = 0): boolean {
    this.faulty = true;
    const yes = this.context.problems.fixHiding(kind, this.place(block), what, expected, found, remedy);
    if (!yes) this.left = true;
    return yes;
  }

  private countProblem(found: number): boolean {
    this.faulty = true;
    return this.context.problems.fix('tree-node-count', this.place(0), `root of the ${this.name()}: nodes`, this.nodes, found, 'correct it');
  }

  private place(block: number): { ino?: number; block?: number } {
    return { ...(this.owner > 0 ? { ino: this.owner } : {}), ...(block > 0 ? { block } : {}) };
  }

  private nodeName(block: number): string {
    return block > 0 ? `node of the ${this.name()} at ${blockName(block)}` : `root of the ${this.name()}`;
  }

  private get isDry(): boolean {
    return this.options.dry === true;
  }
}
