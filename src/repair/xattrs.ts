import { aclFault, aclMode } from '../check/acl.js';
import { blockName, type FindingKind, hex } from '../check/findings.js';
import { BlockBuffer } from '../check/medium.js';
import { ACCESS_ACL, DEFAULT_ACL, isXattrName } from '../check/xattr-names.js';
import {
  BLOCK_SIZE,
  BlockHeader,
  COLLISIONS_MAX,
  FileType,
  Magic,
  TREE_MAX_PAYLOAD,
  TreeKind,
  XATTR_LIST_MAX,
  XATTR_VALUE_MAX,
  XattrBlock,
  XattrItem,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { followMode } from './acl.js';
import type { RepairContext } from './context.js';
import type { Item } from './tree-items.js';
import { type Judge, TreeMender, Verdict, type VerdictNumber } from './tree-mender.js';
import { Chain, XattrValueMender } from './xattr-values.js';

const PERMISSIONS = 0o777;
const DROP = 'drop the attribute';
const DROP_ALL = 'drop all extended attributes of the inode';

/**
 * Mends the extended attributes of one inode after another, and claims all their blocks: each says whose it is, so they are
 * claimed with the nodes of trees. A damaged attribute is dropped alone; all of them only when the block they hang on can't be believed.
 */
export class XattrMender {
  /** Blocks of the last inode's attributes, −1 when damage that was left hides some. */
  blocks = 0;
  private readonly trees: TreeMender;
  private readonly values: XattrValueMender;
  private readonly head = new BlockBuffer();
  private readonly names = new Set<string>();
  private ino = 0;
  private mode = 0;
  private listBytes = 0;
  private valueBlocks = 0;
  private left = false;
  private dropped = false;

  constructor(private readonly context: RepairContext) {
    this.trees = new TreeMender(context);
    this.values = new XattrValueMender(context);
  }

  /** Mends what the xattr block `block` of an inode leads to. False when the inode has no attributes any more: `xattrBlock` is to be 0. */
  mend(block: number, ino: number, mode: number): boolean {
    this.ino = ino;
    this.mode = mode;
    this.blocks = this.listBytes = this.valueBlocks = 0;
    this.left = this.dropped = false;
    this.names.clear();
    if (!this.context.xattrs) {
      if (this.hiding('inode-xattr', `inode ${String(ino)}: xattrBlock in a volume without the feature xattrs`, 0, block, DROP_ALL)) return false;
    }
    const fault = this.headFault(block);
    if (fault !== null) {
      const [kind, field, expected, found] = fault;
      const what = kind === 'inode-xattr' ? `inode ${String(ino)}: ${field}` : `${this.name(block)}: ${field}`;
      if (this.hiding(kind, what, expected, found, DROP_ALL)) return false;
      this.blocks = -1;
      return true;
    }
    this.context.owned.claim(block, 1);
    return this.mendBlock(block);
  }

  /** Takes the blocks of attributes that were mended before away from their owner, who is cleared. */
  release(block: number, ino: number): void {
    const { context, head, trees, values } = this;
    if (context.notes.xattrBlocksOf(ino) <= 0 || !context.writer.load(block, head)) return;
    const releaseValue: Judge = ({ payload }) => {
      const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      const first = getU64(view, XattrItem.valueBlock);
      if (first !== 0) values.releaseChain(first, view.getUint32(XattrItem.valueLength, true));
      return Verdict.drop;
    };
    trees.mend(head.view, head.bytes, XattrBlock.root, TreeKind.xattrs, ino, releaseValue, { claim: false });
    this.discard(block);
  }

  /** Loads the xattr block; kind, field, expected and found of what keeps it from being believed, null: nothing. */
  private headFault(block: number): readonly [FindingKind, string, string | number, string | number] | null {
    const { context, head } = this;
    if (!context.isAllocatable(block)) return ['inode-xattr', 'xattrBlock', 'a block inside a group in use', block];
    if (!context.owned.isFree(block, 1)) return ['block-doubly-used', 'block', 'one of its own', 'one that has an owner'];
    if (!context.writer.load(block, head)) return ['block-unreadable', 'block', 'a readable one', 'an error of the medium'];
    const { view, bytes } = head;
    const facts: readonly [string, number, number][] = [
      ['magic', Magic.xattr, view.getUint32(BlockHeader.magic, true)],
      ['checksum', context.writer.pmem.crc32c(context.geometry.seed, bytes, 4, BLOCK_SIZE - 4), view.getUint32(BlockHeader.checksum, true)],
      ['self', block, getU64(view, BlockHeader.self)],
      ['owner', this.ino, getU64(view, BlockHeader.owner)],
    ];
    const wrong = facts.find(([, expected, found]) => expected !== found);
    return wrong === undefined ? null : ['xattr-block-damaged', wrong[0], hex(wrong[1]), hex(wrong[2])];
  }

  /** The block in `head`, which can be believed. */
  private mendBlock(block: number): boolean {
    const { context, head, trees } = this;
    let changed = trees.mend(head.view, head.bytes, XattrBlock.root, TreeKind.xattrs, this.ino, this.judge, { claim: true });
    if (trees.left || this.left) {
      this.blocks = -1;
      if (changed) context.writer.writeHeaded(block, head);
      return true;
    }
    const empty = `${this.name(block)}: attributes`;
    if (trees.items === 0 && (trees.lostParts || this.dropped || this.fix('xattr-count', empty, 'at least 1', 0, 'free the block'))) {
      this.discard(block);
      return false;
    }
    if (this.mendHead(block)) changed = true;
    if (changed) context.writer.writeHeaded(block, head);
    this.blocks = 1 + trees.nodes + this.valueBlocks;
    return true;
  }

  /** Counters and reserved bytes; true when something was changed. */
  private mendHead(block: number): boolean {
    const { context, head, trees } = this;
    const { view, bytes } = head;
    let changed = false;
    const fields = [['count', XattrBlock.count, trees.items], ['listBytes', XattrBlock.listBytes, this.listBytes]] as const;
    for (const [field, offset, expected] of fields) {
      const found = view.getUint32(offset, true);
      if (found === expected) continue;
      // What was dropped has been reported; that the counters follow is no further problem.
      const follows = trees.lostParts || this.dropped;
      if (!follows && !this.fix('xattr-count', `${this.name(block)}: ${field}`, expected, found, 'correct it')) continue;
      view.setUint32(offset, expected, true);
      changed = true;
    }
    const reserved = bytes.subarray(XattrBlock.listBytes + 4, XattrBlock.root);
    if (context.checkReserved && reserved.some((byte) => byte !== 0) && this.fix('reserved-bytes', `${this.name(block)}: reserved bytes`, 0, 'others', 'clear them')) {
      reserved.fill(0);
      changed = true;
    }
    return changed;
  }

  private readonly judge: Judge = (item) => {
    const verdict = this.judgeAttribute(item);
    if (verdict === Verdict.drop) this.dropped = true;
    return verdict;
  };

  /** Whether an attribute may stay; claims the blocks of its value. */
  private judgeAttribute({ key, payload }: Item): VerdictNumber {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const valueBlock = getU64(view, XattrItem.valueBlock);
    const valueLength = view.getUint32(XattrItem.valueLength, true);
    const nameLength = view.getUint8(XattrItem.nameLength);
    const what = `extended attribute ${String(key)} of inode ${String(this.ino)}`;
    const whole = XattrItem.name + nameLength + valueLength;
    const inline = whole <= TREE_MAX_PAYLOAD;
    const expected = inline ? whole : XattrItem.name + nameLength;
    if (nameLength === 0 || valueLength > XATTR_VALUE_MAX || payload.length !== expected || (valueBlock === 0) !== inline) {
      const found = `name of ${String(nameLength)}, value of ${String(valueLength)} ${valueBlock === 0 ? 'inline' : 'in blocks'}, payload of ${String(payload.length)} bytes`;
      return this.hiding('xattr-item', what, 'lengths that fit the payload', found, DROP, key) ? Verdict.drop : this.leave();
    }
    const name = Buffer.from(payload.buffer, payload.byteOffset + XattrItem.name, nameLength).toString('latin1');
    if (!this.isRightName(key, name, payload.subarray(XattrItem.name, XattrItem.name + nameLength))) return Verdict.drop;
    if (valueBlock !== 0) {
      const chain = this.values.mend(this.ino, key, valueBlock, valueLength);
      if (chain !== Chain.whole) return chain === Chain.lost ? Verdict.drop : this.leave();
    } else {
      this.values.blocks.length = 0;
      this.values.bytes.set(payload.subarray(XattrItem.name + nameLength));
    }
    const verdict = name === ACCESS_ACL || name === DEFAULT_ACL ? this.judgeAcl(key, name, payload, valueLength) : Verdict.keep;
    if (verdict === Verdict.drop) {
      this.values.release();
      return Verdict.drop;
    }
    this.names.add(name);
    this.listBytes += nameLength + 1;
    this.valueBlocks += this.values.blocks.length;
    return this.mendReserved(key, view, what) ? Verdict.changed : verdict;
  }

  private mendReserved(key: number, view: DataView, what: string): boolean {
    const reserved = view.getUint8(XattrItem.nameLength + 1) | view.getUint16(XattrItem.nameLength + 2, true);
    if (reserved === 0 || !this.context.checkReserved || !this.fix('reserved-bytes', `${what}: reserved`, 0, hex(reserved), 'clear them', key)) return false;
    view.setUint8(XattrItem.nameLength + 1, 0);
    view.setUint16(XattrItem.nameLength + 2, 0, true);
    return true;
  }

  /** Whether the name may stay: valid, where its hash says, for the first time, and one that listxattr(2) has room for. */
  private isRightName(key: number, name: string, bytes: Uint8Array): boolean {
    const { context } = this;
    const what = `extended attribute ${JSON.stringify(name)} of inode ${String(this.ino)}`;
    if (!isXattrName(name) && this.fix('xattr-name', what, 'a name of a known namespace without zero bytes', 'this', DROP, key)) return false;
    const hash = context.nameHash(context.geometry.hashSeed, bytes, 0, bytes.length);
    const found = Math.floor(key / COLLISIONS_MAX);
    if (hash !== found && this.fix('xattr-hash', `${what}: hash in its key`, hash, found, DROP, key)) return false;
    if (this.names.has(name) && this.fix('xattr-duplicate', what, 'one of this name', 'another', DROP, key)) return false;
    const listed = this.listBytes + bytes.length + 1;
    return listed <= XATTR_LIST_MAX || !this.fix('xattr-count', `${what}: bytes of the names up to it`, `at most ${String(XATTR_LIST_MAX)}`, listed, DROP, key);
  }

  /** The rules of doc/FORMAT.md, "ACLs". What a mode says counts: an access ACL that is valid follows it. */
  private judgeAcl(key: number, name: string, payload: Uint8Array, length: number): VerdictNumber {
    const { values } = this;
    const what = `${name} of inode ${String(this.ino)}`;
    const fault = aclFault(values.bytes, length);
    if (fault !== null) return this.fix('xattr-acl', what, 'a valid ACL', fault, DROP, key) ? Verdict.drop : Verdict.keep;
    if (name === DEFAULT_ACL) {
      const type = this.mode & FileType.mask;
      if (type === FileType.directory) return Verdict.keep;
      return this.fix('xattr-acl', what, 'on directories only', `file type 0${type.toString(8)}`, DROP, key) ? Verdict.drop : Verdict.keep;
    }
    const said = aclMode(values.bytes, length);
    const wanted = this.mode & PERMISSIONS;
    if (said === wanted || !this.fix('xattr-acl', `${what}: mode`, `0${wanted.toString(8)}`, `0${said.toString(8)}`, 'let it follow the mode', key)) return Verdict.keep;
    followMode(values.bytes, length, wanted);
    if (values.blocks.length > 0) {
      values.store(length);
      return Verdict.keep;
    }
    payload.set(values.bytes.subarray(0, length), payload.length - length);
    return Verdict.changed;
  }

  /** An attribute whose damage was left: what it owns is not known. */
  private leave(): VerdictNumber {
    this.left = true;
    return Verdict.keep;
  }

  private discard(block: number): void {
    this.context.owned.release(block, 1);
    this.context.writer.discard(block);
  }

  private name(block: number): string {
    return `xattr block of inode ${String(this.ino)} at ${blockName(block)}`;
  }

  private fix(kind: FindingKind, what: string, expected: string | number, found: string | number, remedy: string, key?: number): boolean {
    return this.context.problems.fix(kind, this.place(key), what, expected, found, remedy);
  }

  private hiding(kind: FindingKind, what: string, expected: string | number, found: string | number, remedy: string, key?: number): boolean {
    return this.context.problems.fixHiding(kind, this.place(key), what, expected, found, remedy);
  }

  private place(key?: number): { ino: number; key?: number } {
    return { ino: this.ino, ...(key === undefined ? {} : { key }) };
  }
}
