import {
  KEY_SIZE,
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
import type { CheckContext } from './context.js';
import { blockName } from './findings.js';
import { areaFault, itemCount, itemLength, itemOffset } from './item-area.js';
import { BlockBuffer } from './medium.js';

/** Called with each item in ascending order of keys; the payload is [offset, offset + length) of `view`, `bytes`. */
export interface ItemVisitor {
  item(key: number, view: DataView, bytes: Uint8Array, offset: number, length: number): void;
}

/** Names of the trees of inodes. */
const OWNED_TREES: Record<TreeKindNumber, string> = { 1: 'extent tree', 2: 'directory tree', 3: 'tree', 4: 'tree of extended attributes' };

/**
 * Walks a tree and checks everything that can be known without its meaning. Claims every node, which is also what ends a walk through
 * a tree with a cycle: a block that has an owner is not entered again. One instance walks one tree at a time.
 */
export class TreeWalker {
  private readonly levels: BlockBuffer[] = [];
  private kind: TreeKindNumber = TreeKind.extents;
  private owner = 0;
  private visitor: ItemVisitor | null = null;
  /** Nodes found in the last walk. */
  nodes = 0;
  /** Items found in the last walk. */
  items = 0;
  /** False when damage kept the last walk from seeing the whole tree: counts made from it mean nothing. */
  complete = true;

  constructor(private readonly context: CheckContext) {}

  /** Walks the tree whose root is at `root` of `view`. Returns `complete`. */
  walk(view: DataView, bytes: Uint8Array, root: number, kind: TreeKindNumber, owner: number, visitor: ItemVisitor): boolean {
    this.kind = kind;
    this.owner = owner;
    this.visitor = visitor;
    this.nodes = 0;
    this.items = 0;
    this.complete = true;
    const depth = view.getUint16(root + TreeRoot.depth, true);
    const nodes = view.getUint32(root + TreeRoot.nodes, true);
    if (depth > TREE_MAX_DEPTH) {
      this.report('tree-root', `root of the ${this.name()}: depth`, `at most ${String(TREE_MAX_DEPTH)}`, depth);
      return false;
    }
    if (depth === 0) {
      const area = root + TREE_ROOT_AREA;
      const size = rootSizeOf(kind) - TREE_ROOT_AREA;
      if (this.checkArea(view, area, size, 0, 0)) this.emit(view, bytes, area);
    } else {
      this.visitNode(getU64(view, root + TreeRoot.root), depth - 1, 0, KEY_END, true);
    }
    if (this.complete && nodes !== this.nodes) {
      this.reportCount(nodes);
    }
    return this.complete;
  }

  /** What the tree is, for messages. */
  private name(): string {
    if (this.kind === TreeKind.freeInodes) return 'tree of free inodes';
    if (this.owner === 0) return 'extent tree of the inode table';
    return `${OWNED_TREES[this.kind]} of inode ${String(this.owner)}`;
  }

  private nodeName(block: number): string {
    return `node of the ${this.name()} at ${blockName(block)}`;
  }

  private report(
    kind: 'tree-root' | 'tree-pointer' | 'tree-items' | 'tree-key-bounds' | 'tree-node-misplaced' | 'tree-node-empty',
    what: string,
    expected: string | number,
    found: string | number,
    block = 0,
  ): void {
    this.complete = false;
    this.context.findings.add(kind, { ...this.place(), ...(block > 0 ? { block } : {}) }, what, expected, found);
  }

  private reportCount(stored: number): void {
    this.context.findings.add('tree-node-count', this.place(), `root of the ${this.name()}: nodes`, this.nodes, stored);
  }

  private place(): { ino?: number } {
    return this.owner > 0 ? { ino: this.owner } : {};
  }

  private buffer(level: number): BlockBuffer {
    return (this.levels[level] ??= new BlockBuffer());
  }

  /** Checks the node of `level` in `block`, whose keys must be in [low, high), and all below it. */
  private visitNode(block: number, level: number, low: number, high: number, isRoot: boolean): void {
    if (!this.context.geometry.isAllocatable(block)) {
      this.report('tree-pointer', `${this.name()}: address of a node of level ${String(level)}`, 'a block inside a group', block);
      return;
    }
    this.nodes++;
    this.context.statistics.treeNodes++;
    if (!this.context.claim(block, 1, this.owner, `node of the ${this.name()}`)) {
      this.complete = false;
      return;
    }
    const buffer = this.buffer(level);
    if (!this.checkNode(buffer, block, level)) return;
    const { view, bytes } = buffer;
    const what = this.nodeName(block);
    if (!this.checkArea(view, TREE_NODE_AREA, NODE_AREA_SIZE, level, block)) return;
    const count = itemCount(view, TREE_NODE_AREA);
    const fewest = isRoot && level > 0 ? 2 : 1;
    if (count < fewest) {
      this.report('tree-node-empty', `${what}: items`, `at least ${String(fewest)}`, count, block);
      if (count === 0) return;
    }
    if (!this.checkKeys(view, count, low, high, level > 0, what, block)) return;
    if (level === 0) {
      this.emit(view, bytes, TREE_NODE_AREA);
      return;
    }
    for (let i = 0; i < count; i++) {
      const offset = itemOffset(view, TREE_NODE_AREA, i);
      const key = getU64(view, offset);
      const end = i + 1 < count ? getU64(view, itemOffset(view, TREE_NODE_AREA, i + 1)) : high;
      this.visitNode(getU64(view, offset + KEY_SIZE), level - 1, key, end, false);
    }
  }

  private checkNode(buffer: BlockBuffer, block: number, level: number): boolean {
    const trusted = this.context.medium.loadHeaded(buffer, {
      name: `node of the ${this.name()}`,
      magic: Magic.node,
      block,
      owner: this.owner,
      seed: this.context.geometry.seed,
      damaged: 'tree-node-damaged',
      place: { ...this.place(), block },
    });
    if (!trusted) {
      this.complete = false;
      return false;
    }
    const { view } = buffer;
    const what = this.nodeName(block);
    const foundLevel = view.getUint16(TreeNode.level, true);
    const foundKind = view.getUint16(TreeNode.kind, true);
    if (foundLevel !== level) this.report('tree-node-misplaced', `${what}: level`, level, foundLevel, block);
    if (foundKind !== this.kind) this.report('tree-node-misplaced', `${what}: kind`, this.kind, foundKind, block);
    if (this.context.checkReserved) {
      this.context.medium.checkReserved(buffer, TreeNode.kind + 2, TREE_NODE_AREA, what, { ...this.place(), block });
    }
    return foundLevel === level && foundKind === this.kind;
  }

  /** Checks an item area; `block` is 0 for one that is inside a tree root. */
  private checkArea(view: DataView, base: number, size: number, level: number, block: number): boolean {
    const shortest = level > 0 ? CHILD_SIZE : PAYLOAD_MIN[this.kind];
    const longest = level > 0 ? CHILD_SIZE : PAYLOAD_MAX[this.kind];
    const fault = areaFault(view, base, size, shortest, longest);
    if (fault === null) return true;
    const what = block > 0 ? this.nodeName(block) : `root of the ${this.name()}`;
    this.report('tree-items', `${what}: ${fault.what}`, fault.expected, fault.found, block);
    return false;
  }

  /** The keys of a node lie in [low, high); the first one of an interior node is `low` itself. */
  private checkKeys(
    view: DataView,
    count: number,
    low: number,
    high: number,
    interior: boolean,
    what: string,
    block: number,
  ): boolean {
    const first = getU64(view, itemOffset(view, TREE_NODE_AREA, 0));
    const last = getU64(view, itemOffset(view, TREE_NODE_AREA, count - 1));
    if (interior && first !== low) {
      this.report('tree-key-bounds', `${what}: first key`, low, first, block);
      return false;
    }
    if (first >= low && last < high) return true;
    const range = `${String(low)} … ${String(high - 1)}`;
    this.report('tree-key-bounds', `${what}: keys`, range, `${String(first)} … ${String(last)}`, block);
    return false;
  }

  private emit(view: DataView, bytes: Uint8Array, area: number): void {
    const count = itemCount(view, area);
    const { visitor } = this;
    if (visitor === null) return;
    this.items += count;
    for (let i = 0; i < count; i++) {
      const offset = itemOffset(view, area, i);
      visitor.item(getU64(view, offset), view, bytes, offset + KEY_SIZE, itemLength(view, area, i));
    }
  }
}
