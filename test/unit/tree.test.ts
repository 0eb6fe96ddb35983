// Guards: a tree finds exactly what was put into it, keeps every invariant of doc/FORMAT.md, gives back all its
// nodes when it is emptied (promise 6), changes only what was made editable, and answers damage with EIO (promise 7).
import t from 'tap';
import { thorough } from '../helpers/run.js';
import { FsError, fail } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { type BlockNo, asBlockNo } from '../../src/base/units.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  ItemArea,
  Magic,
  TREE_MAX_DEPTH,
  TREE_NODE_AREA,
  TREE_ROOT_AREA,
  TREE_ROOT_SIZE,
  XATTR_ROOT_SIZE,
  TreeKind,
  type TreeKindNumber,
  TreeNode,
  TreeRoot,
} from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import type { Blocks, NodeAllocator } from '../../src/journal/blocks.js';
import { TreeCursor } from '../../src/tree/cursor.js';
import { Tree } from '../../src/tree/tree.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const OWNER = 77;
/** The tree root lies in slot 0 of the memory, as in an inode record, or, a long one, as in an xattr block. */
const ROOT = 64;

/** [0, 1), the same sequence for the same seed. */
function randomOf(start: number): () => number {
  const random = new Random(start);
  return () => random.nextU32() / 2 ** 32;
}

/** Blocks in memory, an allocator, and a watch over blocks that change without having been made editable. */
class Memory implements Blocks, NodeAllocator {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly used = new Set<number>();
  readonly #free: number[] = [];
  readonly #editable = new Set<number>();
  #shadow: Uint8Array;
  #highest = 0;
  allocations = 0;

  constructor(slots: number) {
    this.bytes = new Uint8Array(slots * BLOCK_SIZE);
    this.view = new DataView(this.bytes.buffer);
    this.#shadow = new Uint8Array(0);
  }
  #base(block: BlockNo): number {
    if (!this.used.has(block)) fail('EIO', `block ${String(block)} is not in use`);
    return block * BLOCK_SIZE;
  }
  read(block: BlockNo, magic: number): number {
    const base = this.#base(block);
    if (this.view.getUint32(base + BlockHeader.magic, true) !== magic) fail('EIO', `block ${String(block)}: wrong magic`);
    return base;
  }
  edit(block: BlockNo, magic: number): number {
    this.#editable.add(block);
    return this.read(block, magic);
  }
  fresh(block: BlockNo, magic: number, owner: number): number {
    this.#editable.add(block);
    const base = this.#base(block);
    this.bytes.fill(0, base, base + BLOCK_SIZE);
    this.view.setUint32(base + BlockHeader.magic, magic, true);
    setU64(this.view, base + BlockHeader.self, block);
    setU64(this.view, base + BlockHeader.owner, owner);
    return base;
  }
  discard(block: BlockNo): void {
    // Whoever still uses the base of a freed node finds nonsense.
    this.bytes.fill(0xdd, this.#base(block), this.#base(block) + BLOCK_SIZE);
  }
  allocateNode(): BlockNo {
    this.allocations++;
    const block = this.#free.pop() ?? ++this.#highest;
    if ((block + 1) * BLOCK_SIZE > this.bytes.length) throw new Error('the memory of the test is too small');
    this.used.add(block);
    return asBlockNo(block);
  }
  freeNode(block: BlockNo): void {
    this.discard(block);
    if (!this.used.delete(block)) throw new Error(`block ${String(block)} is freed twice`);
    this.#free.push(block);
  }
  /** Throws when a block in use differs from the last call without having been edited since. */
  checkEdits(): void {
    for (const block of this.used) {
      if (this.#editable.has(block)) continue;
      const base = block * BLOCK_SIZE;
      const before = Buffer.from(this.#shadow.buffer, base, BLOCK_SIZE);
      if (before.compare(this.bytes, base, base + BLOCK_SIZE) !== 0) throw new Error(`block ${String(block)} changed unasked`);
    }
    this.#editable.clear();
    this.#shadow = this.bytes.slice(0, (this.#highest + 1) * BLOCK_SIZE);
  }
}

/** A full check of one tree against doc/FORMAT.md; returns its keys and nodes, throws what is wrong. */
export function checkTree(blocks: Blocks, root: number, owner: number, kind: number): { keys: number[]; nodes: Set<number>; depth: number } {
  const { view } = blocks;
  const keys: number[] = [];
  const nodes = new Set<number>();
  const must = (condition: boolean, what: string): void => {
    if (!condition) throw new Error(`tree of ${String(owner)}: ${what}`);
  };
  const checkArea = (area: number, size: number, low: number, high: number): number => {
    const count = view.getUint16(area + ItemArea.count, true);
    const heapStart = view.getUint16(area + ItemArea.heapStart, true);
    const ranges: [number, number][] = [];
    let before = -1;
    for (let i = 0; i < count; i++) {
      const offset = view.getUint16(area + 8 + 4 * i, true);
      const end = offset + 8 + view.getUint16(area + 10 + 4 * i, true);
      must(offset >= heapStart && end <= size, `item ${String(i)} outside the heap`);
      const key = getU64(view, area + offset);
      must(key > before && key >= low && key < high, `key ${String(key)} out of order`);
      before = key;
      ranges.push([offset, end]);
    }
    ranges.sort((a, b) => a[0] - b[0]);
    must((ranges[0]?.[0] ?? size) === heapStart, 'heapStart is not the lowest item');
    must(8 + 4 * count <= heapStart, 'slots overlap the heap');
    const sum = ranges.reduce((total, [from, to]) => total + to - from, 0);
    must(sum === view.getUint16(area + ItemArea.heapBytes, true), 'heapBytes is wrong');
    must(view.getUint16(area + 6, true) === 0, 'reserved bytes are not zero');
    for (let i = 1; i < count; i++) must((ranges[i]?.[0] ?? 0) >= (ranges[i - 1]?.[1] ?? 0), 'items overlap');
    return count;
  };
  const collect = (area: number, count: number): void => {
    for (let i = 0; i < count; i++) keys.push(getU64(view, area + view.getUint16(area + 8 + 4 * i, true)));
  };
  const visit = (block: number, level: number, low: number, high: number, least: number): void => {
    must(!nodes.has(block), `node ${String(block)} is used twice`);
    nodes.add(block);
    const base = blocks.read(asBlockNo(block), Magic.node);
    must(getU64(view, base + BlockHeader.self) === block, 'wrong self');
    must(getU64(view, base + BlockHeader.owner) === owner, 'wrong owner');
    must(view.getUint16(base + TreeNode.level, true) === level, 'wrong level');
    must(view.getUint16(base + TreeNode.kind, true) === kind, 'wrong kind');
    const area = base + TREE_NODE_AREA;
    const count = checkArea(area, BLOCK_SIZE - TREE_NODE_AREA, low, high);
    must(count >= least, `${String(count)} items`);
    if (level === 0) {
      collect(area, count);
      return;
    }
    for (let i = 0; i < count; i++) {
      const offset = view.getUint16(area + 8 + 4 * i, true);
      must(view.getUint16(area + 10 + 4 * i, true) === 8, 'a child is not a block number');
      const key = getU64(view, area + offset);
      if (i === 0) must(key === low, 'the first key is not the lower bound');
      const next = i + 1 < count ? getU64(view, area + view.getUint16(area + 12 + 4 * i, true)) : high;
      visit(getU64(view, area + offset + 8), level - 1, key, next, 1);
    }
  };
  const rootSize = kind === TreeKind.xattrs ? XATTR_ROOT_SIZE : TREE_ROOT_SIZE;
  const depth = view.getUint16(root + TreeRoot.depth, true);
  must(depth <= TREE_MAX_DEPTH, `depth ${String(depth)}`);
  if (depth === 0) {
    collect(root + TREE_ROOT_AREA, checkArea(root + TREE_ROOT_AREA, rootSize - TREE_ROOT_AREA, 0, 2 ** 53));
  } else {
    visit(getU64(view, root + TreeRoot.root), depth - 1, 0, 2 ** 53, depth > 1 ? 2 : 1);
    for (let i = 16; i < rootSize; i++) must(blocks.bytes[root + i] === 0, 'reserved bytes of the root are not zero');
  }
  must(view.getUint32(root + TreeRoot.nodes, true) === nodes.size, 'wrong count of nodes');
  return { keys, nodes, depth };
}

/** A tree beside a plain model: a sorted array of keys and the payloads. */
class Pair {
  readonly memory: Memory;
  readonly tree: Tree;
  readonly cursor: TreeCursor;
  readonly keys: number[] = [];
  readonly #payloads = new Map<number, { length: number; salt: number }>();
  #salt = 0;
  deepest = 0;

  constructor(slots = 4096, kind: TreeKindNumber = TreeKind.directory) {
    this.memory = new Memory(slots);
    this.tree = new Tree(this.memory, this.memory, kind);
    this.tree.initRoot(ROOT);
    this.cursor = new TreeCursor(this.tree);
  }
  has(key: number): boolean {
    return this.#payloads.has(key);
  }
  /** Position of the first key ≥ `key`. */
  position(key: number): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.keys[middle] ?? 0) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  #write(key: number, at: number, length: number): void {
    const salt = ++this.#salt;
    this.#payloads.set(key, { length, salt });
    for (let i = 0; i < length; i++) this.memory.bytes[at + i] = (salt + i * 7) & 255;
  }
  insert(key: number, length: number): void {
    const { memory, tree } = this;
    const bound = tree.nodesForInserts(ROOT, 1);
    const before = memory.allocations;
    const at = tree.insert(ROOT, OWNER, key, length);
    if (memory.allocations - before > bound) throw new Error(`an insert took more than ${String(bound)} nodes`);
    for (let i = 0; i < length; i++) if (memory.bytes[at + i] !== 0) throw new Error('the payload is not zeroed');
    this.#write(key, at, length);
    this.keys.splice(this.position(key), 0, key);
  }
  remove(key: number): void {
    this.tree.remove(ROOT, OWNER, key);
    this.#payloads.delete(key);
    this.keys.splice(this.position(key), 1);
  }
  rewrite(key: number): void {
    const at = this.tree.edit(ROOT, OWNER, key);
    this.comparePayload(key, at, this.tree.foundLength);
    this.#write(key, at, this.tree.foundLength);
  }
  comparePayload(key: number, at: number, length: number): void {
    const payload = this.#payloads.get(key);
    if (payload?.length !== length) throw new Error(`key ${String(key)}: payload of ${String(length)} bytes`);
    for (let i = 0; i < length; i++) {
      if (this.memory.bytes[at + i] !== ((payload.salt + i * 7) & 255)) throw new Error(`key ${String(key)}: wrong payload`);
    }
  }
  compareFind(key: number): void {
    const at = this.tree.find(ROOT, OWNER, key);
    if (at >= 0 !== this.has(key)) throw new Error(`find ${String(key)}: ${String(at)}`);
    if (at >= 0) this.comparePayload(key, at, this.tree.foundLength);
  }
  #compareCursor(found: boolean, expected: number | undefined, what: string): void {
    if (found !== (expected !== undefined)) throw new Error(`${what}: ${String(found)}, expected ${String(expected)}`);
    if (expected === undefined) return;
    if (this.cursor.key !== expected) throw new Error(`${what}: ${String(this.cursor.key)}, expected ${String(expected)}`);
    this.comparePayload(expected, this.cursor.payload, this.cursor.length);
  }
  /** Seeks near `key` and walks a few steps in both directions. */
  compareSeek(key: number): void {
    const { cursor, keys } = this;
    const ceiling = this.position(key);
    this.#compareCursor(cursor.seekCeiling(ROOT, OWNER, key), keys[ceiling], `ceiling of ${String(key)}`);
    if (ceiling < keys.length) {
      for (let i = 1; i < 5 && ceiling + i <= keys.length; i++) this.#compareCursor(cursor.next(), keys[ceiling + i], 'next');
    }
    const floor = keys[ceiling] === key ? ceiling : ceiling - 1;
    this.#compareCursor(cursor.seekFloor(ROOT, OWNER, key), keys[floor], `floor of ${String(key)}`);
    if (floor >= 0) {
      for (let i = 1; i < 5 && floor - i >= -1; i++) this.#compareCursor(cursor.previous(), keys[floor - i], 'previous');
    }
  }
  /** Structure, contents, both walks, and blocks that changed unasked. */
  verify(): void {
    const { memory, keys, cursor } = this;
    const found = checkTree(memory, ROOT, OWNER, this.tree.kind);
    this.deepest = Math.max(this.deepest, found.depth);
    if (found.nodes.size !== memory.used.size) throw new Error('nodes were lost');
    if (found.keys.length !== keys.length || found.keys.some((key, i) => key !== keys[i])) throw new Error('wrong keys');
    if (this.tree.isEmpty(ROOT) !== (keys.length === 0)) throw new Error('isEmpty is wrong');
    let more = cursor.seekFirst(ROOT, OWNER);
    for (const key of keys) {
      this.#compareCursor(more, key, 'walk');
      more = cursor.next();
    }
    if (more) throw new Error('the walk does not end');
    more = cursor.seekLast(ROOT, OWNER);
    for (let i = keys.length - 1; i >= 0; i--) {
      this.#compareCursor(more, keys[i], 'walk back');
      more = cursor.previous();
    }
    if (more) throw new Error('the walk back does not end');
    memory.checkEdits();
  }
}

const distributions: Record<string, (random: () => number, step: number) => number> = {
  ascending: (random, step) => step * 16 + Math.floor(random() * 4),
  descending: (random, step) => 2 ** 40 - step * 16 - Math.floor(random() * 4),
  random: (random) => Math.floor(random() * 2 ** 53),
  clustered: (random) => Math.floor(random() * 20) * 2 ** 43 + Math.floor(random() * 1500),
};
const payloadLengths: Record<string, (random: () => number) => number> = {
  '8': () => 8,
  '16': () => 16,
  '0…264': (random) => Math.floor(random() * 265),
};

/** Random operations with a bias that swings between growing and shrinking; then everything is removed. */
function runModel(runSeed: number, keyOf: (random: () => number, step: number) => number, lengthOf: (random: () => number) => number, kind: TreeKindNumber): Pair {
  const random = randomOf(runSeed);
  const pair = new Pair(4096, kind);
  let insertBias = 0.8;
  for (let step = 1; step <= 22_000; step++) {
    if (step % 2500 === 0) {
      insertBias = random();
      pair.verify();
    }
    const key = keyOf(random, step);
    const some = pair.keys[Math.floor(random() * pair.keys.length)];
    const what = random();
    if (what < 0.7) {
      if (some === undefined || random() < insertBias) {
        if (!pair.has(key)) pair.insert(key, lengthOf(random));
      } else pair.remove(some);
    } else if (what < 0.8 && some !== undefined) pair.rewrite(some);
    else if (what < 0.9) pair.compareFind(random() < 0.5 ? key : (some ?? 0));
    else pair.compareSeek(random() < 0.5 ? key : (some ?? 0) + Math.floor(random() * 3));
  }
  const order = random();
  while (pair.keys.length > 0) {
    const index = order < 0.3 ? 0 : order < 0.6 ? pair.keys.length - 1 : Math.floor(random() * pair.keys.length);
    pair.remove(pair.keys[index] ?? 0);
    if (pair.keys.length % 1500 === 0) pair.verify();
  }
  pair.verify();
  return pair;
}

await t.test(`random operations against a sorted array, SEED=${String(seed)}`, async (t) => {
  let run = 0;
  for (const [distribution, keyOf] of Object.entries(distributions)) {
    for (const [lengths, lengthOf] of Object.entries(payloadLengths)) {
      // A long tree root and a short one in turns.
      const kind = run % 2 === 0 ? TreeKind.directory : TreeKind.xattrs;
      const pair = runModel(seed + run++, keyOf, lengthOf, kind);
      t.equal(pair.memory.used.size, 0, `${distribution} keys, payloads of ${lengths} bytes: all nodes are given back`);
      t.ok(pair.deepest >= 2, `${distribution}, ${lengths}: the tree was ${String(pair.deepest)} deep`);
    }
  }
});

await t.test('deep trees, emptied from each end and at random', async (t) => {
  for (const order of thorough ? ['ascending', 'descending', 'random'] : ['random']) {
    const random = randomOf(seed);
    const count = 150_000;
    const pair = new Pair(36_000);
    // Descending keys split in the middle: half-full nodes, the deepest tree for the number.
    const length = 300;
    const { tree, memory } = pair;
    const keys: number[] = [];
    for (let i = count; i > 0; i--) {
      tree.insert(ROOT, OWNER, i * 8, length);
      keys.push(i * 8);
    }
    t.equal(checkTree(memory, ROOT, OWNER, TreeKind.directory).depth, 4);
    if (order === 'ascending') keys.reverse();
    if (order === 'random') {
      for (let i = keys.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [keys[i], keys[j]] = [keys[j] ?? 0, keys[i] ?? 0];
      }
    }
    keys.forEach((key, i) => {
      tree.remove(ROOT, OWNER, key);
      if (i % 20_000 === 0) checkTree(memory, ROOT, OWNER, TreeKind.directory);
    });
    pair.verify();
    t.equal(memory.used.size, 0, `${order}: all nodes are given back`);
  }
});

await t.test('ascending keys leave full nodes behind', async (t) => {
  const pair = new Pair();
  for (let i = 0; i < 14_400; i++) pair.insert(i * 100, 16);
  pair.verify();
  t.equal(pair.memory.used.size, 14_400 / 144 + 1, 'as many leaves as full ones take, and a root');
});

await t.test('small trees live in the root', async (t) => {
  const pair = new Pair();
  for (let i = 0; i < 4; i++) pair.insert(i, 16);
  t.equal(pair.memory.allocations, 0, 'four extents need no node');
  pair.insert(4, 16);
  t.equal(pair.memory.used.size, 1, 'the fifth does');
  pair.remove(2);
  t.equal(pair.memory.used.size, 1, 'and it stays for the next one');
  pair.remove(0);
  pair.remove(1);
  t.equal(pair.memory.used.size, 0, 'with two left it is given back');
  pair.insert(Number.MAX_SAFE_INTEGER, 0);
  pair.insert(0, 30);
  pair.verify();
  pair.insert(5, 300);
  pair.verify();
  t.throws(() => pair.tree.insert(ROOT, OWNER, 5, 1), { name: 'FsError', code: 'EIO' }, 'a key twice');
  t.throws(() => pair.tree.insert(ROOT, OWNER, 6, 301), { name: 'AssertionFailure' }, 'a payload too long');
  t.throws(() => { pair.tree.remove(ROOT, OWNER, 6); }, { name: 'FsError', code: 'EIO' }, 'a key that is not there');
});

await t.test('items that come and go in a full leaf do not compact it each time', async (t) => {
  const pair = new Pair();
  const random = randomOf(seed);
  for (let i = 0; i < 144; i++) pair.insert(i * 1000, 16);
  const before = new Uint8Array(BLOCK_SIZE);
  let lines = 0;
  for (let i = 0; i < 2000; i++) {
    const block = pair.memory.used.values().next().value ?? 0;
    before.set(pair.memory.bytes.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE));
    pair.remove(pair.keys[Math.floor(random() * pair.keys.length)] ?? 0);
    let key = Math.floor(random() * 144_000);
    while (pair.has(key)) key++;
    pair.insert(key, 16);
    for (let line = 0; line < BLOCK_SIZE; line += 64) {
      const changed = Buffer.from(before.buffer, line, 64).compare(pair.memory.bytes, block * BLOCK_SIZE + line, block * BLOCK_SIZE + line + 64);
      if (changed !== 0) lines++;
    }
  }
  pair.verify();
  t.ok(lines / 2000 < 16, `${(lines / 2000).toFixed(1)} lines of the first leaf change per pair of remove and insert`);
});

/** A tree of two levels to be damaged. */
function victim(): { pair: Pair; rootBase: number; leafBase: number; leafBlock: number } {
  const pair = new Pair(128);
  for (let i = 0; i < 1000; i++) pair.insert(i * 10, 16);
  const { view } = pair.memory;
  const rootBase = getU64(view, ROOT + TreeRoot.root) * BLOCK_SIZE;
  const area = rootBase + TREE_NODE_AREA;
  const leafBlock = getU64(view, area + view.getUint16(area + 8, true) + 8);
  return { pair, rootBase, leafBase: leafBlock * BLOCK_SIZE, leafBlock };
}

await t.test('damage gives EIO with a message that names node and owner', async (t) => {
  const area = TREE_NODE_AREA;
  type Damage = (at: ReturnType<typeof victim>, view: DataView) => void;
  const table: [string, RegExp, Damage][] = [
    ['level', /expected level 0, found 1/, (at, view) => { view.setUint16(at.leafBase + TreeNode.level, 1, true); }],
    ['kind', /expected tree kind 2, found 3/, (at, view) => { view.setUint16(at.leafBase + TreeNode.kind, 3, true); }],
    ['owner', /expected owner 77, found 78/, (at, view) => { setU64(view, at.leafBase + BlockHeader.owner, 78); }],
    ['count', /expected slots/, (at, view) => { view.setUint16(at.leafBase + area + ItemArea.count, 5000, true); }],
    ['no items', /at least 1 items, found 0/, (at, view) => { view.setUint16(at.leafBase + area + ItemArea.count, 0, true); }],
    ['heapStart', /expected slots/, (at, view) => { view.setUint16(at.leafBase + area + ItemArea.heapStart, 5000, true); }],
    ['heapBytes', /expected slots/, (at, view) => { view.setUint16(at.leafBase + area + ItemArea.heapBytes, 5000, true); }],
    ['slot of a child', /items inside the area|item 0 inside/, (at, view) => { view.setUint16(at.rootBase + area + 8, 65535, true); }],
    ['child without a block', /block number of a child/, (at, view) => { view.setUint32(at.rootBase + area + view.getUint16(at.rootBase + area + 8, true) + 12, 0xffffffff, true); }],
    ['child is the root (cycle)', /expected level 0, found 1/, (at, view) => { setU64(view, at.rootBase + area + view.getUint16(at.rootBase + area + 8, true) + 8, at.rootBase / BLOCK_SIZE); }],
    ['first key', /first key/, (at, view) => { setU64(view, at.rootBase + area + view.getUint16(at.rootBase + area + 8, true), 3); }],
    ['length of an item', /item 0 inside the heap/, (at, view) => { view.setUint16(at.leafBase + area + 10, 60000, true); }],
    ['depth', /depth of at most 12, found 99/, (_at, view) => { view.setUint16(ROOT + TreeRoot.depth, 99, true); }],
    ['root block', /block number of a child, found 0/, (_at, view) => { setU64(view, ROOT + TreeRoot.root, 0); }],
  ];
  for (const [what, message, damage] of table) {
    const at = victim();
    damage(at, at.pair.memory.view);
    const expected = { name: 'FsError', code: 'EIO', message };
    t.throws(() => at.pair.tree.find(ROOT, OWNER, 0), expected, `find: ${what}`);
    t.throws(() => at.pair.cursor.seekFirst(ROOT, OWNER), expected, `seek: ${what}`);
    t.throws(() => { at.pair.tree.remove(ROOT, OWNER, 0); }, expected, `remove: ${what}`);
  }
  const { pair, leafBlock, leafBase } = victim();
  pair.memory.view.setUint16(leafBase + TreeNode.level, 9, true);
  t.throws(() => pair.tree.find(ROOT, OWNER, 5), { message: `tree node ${String(leafBlock)} of inode 77: expected level 0, found 9; run fsck.nvmfs` });
});

await t.test(`random damage is met with EIO or not noticed, SEED=${String(seed)}`, async (t) => {
  const random = randomOf(seed);
  let met = 0;
  for (let round = 0; round < 1500; round++) {
    const { pair } = victim();
    const { memory, tree, cursor } = pair;
    const blocks = [...memory.used];
    for (let i = 0; i < 3; i++) {
      const block = blocks[Math.floor(random() * blocks.length)] ?? 0;
      const inRoot = random() < 0.2;
      // Headers, slots and the whole of a node each get their share; the block header is guarded by Blocks.
      const within = 16 + Math.floor(random() ** 3 * (BLOCK_SIZE - 16));
      memory.bytes[inRoot ? ROOT + Math.floor(random() * 16) : block * BLOCK_SIZE + within] = Math.floor(random() * 256);
    }
    try {
      for (let step = 0; step < 60; step++) {
        const key = Math.floor(random() * 11_000);
        if (tree.find(ROOT, OWNER, key) < 0) tree.insert(ROOT, OWNER, key, Math.floor(random() * 300));
        else tree.remove(ROOT, OWNER, key);
      }
      let steps = 0;
      for (let more = cursor.seekFirst(ROOT, OWNER); more && steps < 100_000; more = cursor.next()) steps++;
      if (steps === 100_000) t.fail('an endless walk');
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'EIO') throw error;
      met++;
    }
  }
  t.ok(met > 200, `${String(met)} of 1500 damaged trees gave EIO`);
});

await t.test('speed, on demand (BENCH=1)', { skip: process.env['BENCH'] === undefined && 'set BENCH=1' }, async (t) => {
  const report = (what: string, started: bigint, n: number): void => {
    t.comment(`${what}: ${(Number(process.hrtime.bigint() - started) / n).toFixed(0)} ns`);
  };
  for (const order of ['ascending', 'random']) {
    const pair = new Pair();
    const random = randomOf(1);
    const { tree, cursor } = pair;
    const n = 100_000;
    const keys = Array.from({ length: n }, (_, i) => i * 16);
    if (order === 'random') {
      for (let i = n - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [keys[i], keys[j]] = [keys[j] ?? 0, keys[i] ?? 0];
      }
    }
    let started = process.hrtime.bigint();
    for (const key of keys) tree.insert(ROOT, OWNER, key, 16);
    report(`insert, ${order}`, started, n);
    const wanted = Array.from({ length: n }, () => Math.floor(random() * n) * 16);
    let sum = 0;
    for (let round = 0; round < 3; round++) {
      started = process.hrtime.bigint();
      for (const key of wanted) sum += tree.find(ROOT, OWNER, key);
      report(`find among 100,000, random, ${order} tree`, started, n);
    }
    started = process.hrtime.bigint();
    for (const key of wanted) if (cursor.seekFloor(ROOT, OWNER, key + 7)) sum += cursor.payload;
    report(`seekFloor, ${order} tree`, started, n);
    started = process.hrtime.bigint();
    let more = cursor.seekFirst(ROOT, OWNER);
    while (more) {
      sum += cursor.length;
      more = cursor.next();
    }
    report(`next, ${order} tree`, started, n);
    started = process.hrtime.bigint();
    for (const key of keys) tree.remove(ROOT, OWNER, key);
    report(`remove, ${order}`, started, n);
    t.ok(sum > 0 && tree.isEmpty(ROOT));
  }
});
