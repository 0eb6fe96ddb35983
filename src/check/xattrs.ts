import {
  BLOCK_SIZE,
  COLLISIONS_MAX,
  FileType,
  Magic,
  TREE_MAX_PAYLOAD,
  TreeKind,
  XATTR_LIST_MAX,
  XATTR_VALUE_BLOCK_BYTES,
  XATTR_VALUE_MAX,
  XattrBlock,
  XattrItem,
  XattrValue,
} from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import { ACL_BYTES_MAX, aclFault, aclMode } from './acl.js';
import type { CheckContext } from './context.js';
import { blockName, type FindingKind, hex } from './findings.js';
import { BlockBuffer } from './medium.js';
import { type ItemVisitor, TreeWalker } from './tree-walker.js';
import { ACCESS_ACL, DEFAULT_ACL, isXattrName } from './xattr-names.js';

const PERMISSIONS = 0o777;

/** Checks the extended attributes of one inode after another: all their blocks are found, and claimed, here. */
export class XattrChecker implements ItemVisitor {
  private readonly walker: TreeWalker;
  private readonly head = new BlockBuffer();
  private readonly part = new BlockBuffer();
  /** The value of an ACL, or its beginning. */
  private readonly value = new Uint8Array(ACL_BYTES_MAX + BLOCK_SIZE);
  private readonly names = new Set<string>();
  private ino = 0;
  private mode = 0;
  private listBytes = 0;
  private valueBlocks = 0;
  private valuesComplete = true;

  constructor(private readonly context: CheckContext) {
    this.walker = new TreeWalker(context);
  }

  /** Checks everything that the xattr block `block` of an inode leads to. Returns how many blocks that are, −1 when damage hides some. */
  check(block: number, ino: number, mode: number): number {
    const { context, head, walker } = this;
    this.ino = ino;
    this.mode = mode;
    this.listBytes = 0;
    this.valueBlocks = 0;
    this.valuesComplete = true;
    this.names.clear();
    const what = `xattr block of inode ${String(ino)}`;
    if (!context.xattrs) {
      this.report('inode-xattr', `inode ${String(ino)}: xattrBlock in a volume without the feature xattrs`, 0, block);
    }
    if (!context.geometry.isAllocatable(block)) {
      this.report('inode-xattr', `inode ${String(ino)}: xattrBlock`, 'a block inside a group', block);
      return -1;
    }
    if (!context.claim(block, 1, ino, what)) return -1;
    const place = { ino, block };
    const trusted = context.medium.loadHeaded(head, { name: what, magic: Magic.xattr, block, owner: ino, seed: context.geometry.seed, damaged: 'xattr-block-damaged', place });
    if (!trusted) return -1;
    const name = `${what} at ${blockName(block)}`;
    if (context.checkReserved) context.medium.checkReserved(head, XattrBlock.listBytes + 4, XattrBlock.root, name, place);
    const complete = walker.walk(head.view, head.bytes, XattrBlock.root, TreeKind.xattrs, ino, this);
    if (!complete) return -1;
    const count = head.view.getUint32(XattrBlock.count, true);
    if (walker.items === 0) this.report('xattr-count', `${name}: attributes`, 'at least 1', 0, block);
    if (count !== walker.items) this.report('xattr-count', `${name}: count`, walker.items, count, block);
    const listBytes = head.view.getUint32(XattrBlock.listBytes, true);
    if (listBytes !== this.listBytes) this.report('xattr-count', `${name}: listBytes`, this.listBytes, listBytes, block);
    else if (listBytes > XATTR_LIST_MAX) this.report('xattr-count', `${name}: listBytes`, `at most ${String(XATTR_LIST_MAX)}`, listBytes, block);
    return this.valuesComplete ? 1 + walker.nodes + this.valueBlocks : -1;
  }

  /** An attribute. */
  item(key: number, view: DataView, bytes: Uint8Array, offset: number, length: number): void {
    const { context } = this;
    context.statistics.xattrs++;
    const valueBlock = getU64(view, offset + XattrItem.valueBlock);
    const valueLength = view.getUint32(offset + XattrItem.valueLength, true);
    const nameLength = view.getUint8(offset + XattrItem.nameLength);
    const reserved = view.getUint8(offset + XattrItem.nameLength + 1) | view.getUint16(offset + XattrItem.nameLength + 2, true);
    const what = `extended attribute ${String(key)} of inode ${String(this.ino)}`;
    if (reserved !== 0 && context.checkReserved) this.report('reserved-bytes', `${what}: reserved`, 0, hex(reserved), undefined, key);
    const whole = XattrItem.name + nameLength + valueLength;
    const expected = whole <= TREE_MAX_PAYLOAD ? whole : XattrItem.name + nameLength;
    if (nameLength === 0 || valueLength > XATTR_VALUE_MAX || length !== expected || (valueBlock === 0) !== (whole <= TREE_MAX_PAYLOAD)) {
      const found = `name of ${String(nameLength)}, value of ${String(valueLength)} ${valueBlock === 0 ? 'inline' : 'in blocks'}, payload of ${String(length)} bytes`;
      this.report('xattr-item', what, 'lengths that fit the payload', found, undefined, key);
      this.valuesComplete &&= valueBlock === 0;
      return;
    }
    this.listBytes += nameLength + 1;
    const name = Buffer.from(bytes.buffer, bytes.byteOffset + offset + XattrItem.name, nameLength).toString('latin1');
    this.checkName(key, name, bytes, offset + XattrItem.name, nameLength);
    const isAcl = name === ACCESS_ACL || name === DEFAULT_ACL;
    if (valueBlock !== 0) {
      if (!this.walkValue(key, valueBlock, valueLength)) {
        this.valuesComplete = false;
        return;
      }
    } else if (isAcl) {
      const from = offset + XattrItem.name + nameLength;
      this.value.set(bytes.subarray(from, from + valueLength));
    }
    if (isAcl) this.checkAcl(key, name, valueLength);
  }

  private checkName(key: number, name: string, bytes: Uint8Array, offset: number, length: number): void {
    const what = `extended attribute ${JSON.stringify(name)} of inode ${String(this.ino)}`;
    if (!isXattrName(name)) this.report('xattr-name', what, 'a name of a known namespace without zero bytes', 'this', undefined, key);
    if (this.names.has(name)) this.report('xattr-duplicate', what, 'one of this name', 'another', undefined, key);
    this.names.add(name);
    const hash = this.context.nameHash(this.context.geometry.hashSeed, bytes, offset, length);
    const found = Math.floor(key / COLLISIONS_MAX);
    if (hash !== found) this.report('xattr-hash', `${what}: hash in its key`, hash, found, undefined, key);
  }

  /** Follows the blocks of a value; false when they can't be followed to the end. */
  private walkValue(key: number, first: number, length: number): boolean {
    const { context, part } = this;
    const name = `value of extended attribute ${String(key)} of inode ${String(this.ino)}`;
    let block = first;
    for (let index = 0, done = 0; done < length; index++) {
      const bytes = Math.min(XATTR_VALUE_BLOCK_BYTES, length - done);
      const what = `${name}, block ${String(index)}`;
      if (!context.geometry.isAllocatable(block)) {
        this.report('xattr-value', `${what}: address`, 'a block inside a group', block, undefined, key);
        return false;
      }
      if (!context.claim(block, 1, this.ino, what)) return false;
      const place = { ino: this.ino, block, key };
      const seed = context.geometry.seed;
      if (!context.medium.loadHeaded(part, { name: what, magic: Magic.xattrValue, block, owner: this.ino, seed, damaged: 'xattr-value-damaged', place })) return false;
      const { view } = part;
      const found = [getU64(view, XattrValue.key), view.getUint32(XattrValue.index, true), view.getUint32(XattrValue.length, true)].join(', ');
      const expected = [key, index, bytes].join(', ');
      if (found !== expected) {
        this.report('xattr-value', `${what}: key, index, length`, expected, found, block, key);
        return false;
      }
      if (context.checkReserved) {
        context.medium.checkReserved(part, XattrValue.length + 4, XattrValue.data, what, place);
        context.medium.checkReserved(part, XattrValue.data + bytes, BLOCK_SIZE, what, place);
      }
      if (done < ACL_BYTES_MAX) this.value.set(part.bytes.subarray(XattrValue.data, XattrValue.data + bytes), done);
      this.valueBlocks++;
      done += bytes;
      const next = getU64(view, XattrValue.next);
      if (done === length && next !== 0) this.report('xattr-value', `${what}: next of the last one`, 0, next, block, key);
      block = next;
    }
    return true;
  }

  /** The rules of doc/FORMAT.md, "ACLs". */
  private checkAcl(key: number, name: string, length: number): void {
    const what = `${name} of inode ${String(this.ino)}`;
    const fault = aclFault(this.value, length);
    if (fault !== null) {
      this.report('xattr-acl', what, 'a valid ACL', fault, undefined, key);
    } else if (name === DEFAULT_ACL) {
      const type = this.mode & FileType.mask;
      if (type !== FileType.directory) this.report('xattr-acl', what, 'on directories only', `file type 0${type.toString(8)}`, undefined, key);
    } else {
      const mode = aclMode(this.value, length);
      const found = this.mode & PERMISSIONS;
      if (mode !== found) this.report('xattr-acl', `${what}: mode`, `0${mode.toString(8)}`, `0${found.toString(8)}`, undefined, key);
    }
  }

  private report(kind: FindingKind, what: string, expected: string | number, found: string | number, block?: number, key?: number): void {
    const place = { ino: this.ino, ...(block === undefined ? {} : { block }), ...(key === undefined ? {} : { key }) };
    this.context.findings.add(kind, place, what, expected, found);
  }
}
