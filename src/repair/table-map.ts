import { blockName } from '../check/findings.js';
import { BlockBuffer } from '../check/medium.js';
import { Extent, ExtentFlag, STATE_BLOCK, TreeKind, VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { TABLE_BLOCKS_MAX } from '../format/tree-limits.js';
import type { RepairContext } from './context.js';
import { TableScan } from './table-scan.js';
import type { Item } from './tree-items.js';
import { TreeMender, Verdict, type VerdictNumber } from './tree-mender.js';

/** Inode numbers are below 2^53. */
/** Blocks without inodes, one behind the other, after which an extent of the table is not followed further. */
const BAD_MAX = 64;

/**
 * Finds out where the blocks of the inode table are: what the tree in the volume state says, as far as there are inodes where it
 * points to; and where a part of the tree is lost, what looks like a block of the table.
 */
export class TableMapPass {
  /** The tree on the medium has to be built anew. */
  rebuild = false;
  /** Its nodes, which are claimed: they are free when it was built anew. */
  nodes: readonly number[] = [];
  private readonly blocks = new Map<number, number>();
  private readonly buffer = new BlockBuffer();
  private incomplete = false;
  private nextTableBlock = 0;

  constructor(private readonly context: RepairContext) {}

  /** `state`: the volume state, null when it is lost. The blocks found are claimed. */
  run(state: BlockBuffer | null): void {
    const { context } = this;
    if (state === null) {
      this.rebuild = this.incomplete = true;
    } else {
      this.readTree(state);
    }
    if (this.incomplete) this.search(state);
    const pairs = [...this.blocks].sort(([a], [b]) => a - b);
    context.table.setBlocks(pairs);
    for (const [, block] of pairs) context.owned.claim(block, 1);
  }

  /** Claims the same blocks in a new block map. */
  claimAgain(): void {
    const { owned, table } = this.context;
    for (const block of this.nodes) owned.claim(block, 1);
    for (const [, block] of table.blocks()) owned.claim(block, 1);
  }

  private readTree(state: BlockBuffer): void {
    const { context } = this;
    const trees = new TreeMender(context);
    trees.mend(state.view, state.bytes, VolumeState.tableRoot, TreeKind.extents, 0, (item) => this.judge(item), { claim: true, dry: true });
    if (trees.left) context.problems.incomplete = true;
    if (trees.faulty) this.rebuild = true;
    if (trees.lostParts) this.incomplete = true;
    this.nodes = trees.claimed;
  }

  private judge(item: Item): VerdictNumber {
    const { context } = this;
    const view = new DataView(item.payload.buffer, item.payload.byteOffset);
    const first = getU64(view, Extent.block);
    const length = view.getUint32(Extent.length, true);
    const flags = view.getUint16(Extent.flags, true);
    const region = view.getUint16(Extent.region, true);
    const what = `extent of the inode table at ${String(item.key)}, ${blockName(first)}`;
    if (flags !== 0 || region !== 0) {
      const kind = region !== 0 ? 'extent-region' : (flags & ~ExtentFlag.unwritten) !== 0 ? 'extent-flags' : 'table-extent';
      this.wrong(kind, item.key, first, `${what}: flags and region`, '0 and 0', `${String(flags)} and ${String(region)}`);
    }
    if (length === 0) this.wrong('extent-length', item.key, first, `${what}: length`, 'at least 1', 0);
    let bad = 0;
    for (let i = 0; i < length; i++) {
      const tableBlock = item.key + i;
      const block = first + i;
      if (tableBlock < this.nextTableBlock || tableBlock >= TABLE_BLOCKS_MAX) {
        this.wrong('extent-overlap', item.key, first, `${what}: table block`, `at least ${String(this.nextTableBlock)}`, tableBlock);
      } else if (!context.isAllocatable(block) || !context.owned.isFree(block, 1)) {
        this.wrong('extent-range', item.key, first, `${what}: block`, 'a block of its own in a group in use', block);
        this.incomplete = true;
        break;
      } else if (this.holdsInodes(tableBlock, block)) {
        this.nextTableBlock = tableBlock + 1;
        this.blocks.set(tableBlock, block);
        bad = 0;
        continue;
      }
      this.rebuild = this.incomplete = true;
      bad++;
      // The length can't be right; what else there is will be looked for.
      if (bad === BAD_MAX) break;
    }
    return Verdict.keep;
  }

  private holdsInodes(tableBlock: number, block: number): boolean {
    const { context } = this;
    const readable = context.writer.load(block, this.buffer);
    if (readable && context.table.holdsInodes(this.buffer, tableBlock)) return true;
    const kind = readable ? 'inode-damaged' : 'block-unreadable';
    const what = `block ${String(tableBlock)} of the inode table at ${blockName(block)}`;
    return !context.problems.fixHiding(kind, { block }, what, 'inode records', readable ? 'none that can be believed' : 'an error of the medium', 'take it out of the table');
  }

  private wrong(kind: 'extent-region' | 'extent-flags' | 'table-extent' | 'extent-length' | 'extent-overlap' | 'extent-range', key: number, block: number, what: string, expected: string | number, found: string | number): void {
    this.rebuild = true;
    this.context.problems.fixHiding(kind, { key, block }, what, expected, found, 'build the tree of the inode table anew');
  }

  /** Looks for blocks of the table that the tree does not know any more. */
  private search(state: BlockBuffer | null): void {
    const { context } = this;
    const end = state === null ? TABLE_BLOCKS_MAX : getU64(state.view, VolumeState.tableBlocks);
    if (!context.problems.fix('table-extent', { block: STATE_BLOCK }, 'extent tree of the inode table', 'whole', 'in parts', 'look for blocks of inodes')) return;
    const scan = new TableScan(context);
    scan.run((tableBlock) => tableBlock < end && !this.blocks.has(tableBlock));
    for (const [tableBlock, block] of scan.found) this.blocks.set(tableBlock, block);
    this.rebuild = true;
  }
}
