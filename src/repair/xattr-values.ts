import { blockName, type FindingKind, hex } from '../check/findings.js';
import { BlockBuffer } from '../check/medium.js';
import { BLOCK_SIZE, BlockHeader, Magic, XATTR_VALUE_BLOCK_BYTES, XATTR_VALUE_MAX, XattrValue } from '../format/layout.js';
import { getU64, setU64 } from '../format/numbers.js';
import type { RepairContext } from './context.js';

/** What became of a value in blocks: it is whole, it can't be had, or its damage was left because somebody said so. */
export const Chain = { whole: 0, lost: 1, left: 2 } as const;
export type ChainNumber = (typeof Chain)[keyof typeof Chain];

/** What is wrong: kind, field, expected, found. */
type Fault = readonly [FindingKind, string, string | number, string | number];

/**
 * Values of extended attributes in chains of blocks, one after the other. Each block says which attribute it belongs to and
 * where in the value, so a chain ends by its length whatever the blocks say.
 */
export class XattrValueMender {
  /** Blocks of the last value that was walked. */
  readonly blocks: number[] = [];
  /** What they hold. */
  readonly bytes = new Uint8Array(XATTR_VALUE_MAX);
  private readonly buffer = new BlockBuffer();
  private ino = 0;
  private key = 0;

  constructor(private readonly context: RepairContext) {}

  /** Walks the value of `length` bytes of attribute `key` of an inode and claims its blocks; none of them if it is lost. */
  mend(ino: number, key: number, first: number, length: number): ChainNumber {
    this.ino = ino;
    this.key = key;
    this.blocks.length = 0;
    let block = first;
    for (let index = 0, done = 0; done < length; index++) {
      const part = Math.min(XATTR_VALUE_BLOCK_BYTES, length - done);
      const fault = this.faultOf(block, index, part);
      if (fault !== null) return this.refuse(block, index, fault);
      this.context.owned.claim(block, 1);
      this.blocks.push(block);
      this.bytes.set(this.buffer.bytes.subarray(XattrValue.data, XattrValue.data + part), done);
      done += part;
      block = this.mendRest(block, index, part, done === length);
    }
    return Chain.whole;
  }

  /** Takes the blocks of the last value away from their owner. */
  release(): void {
    for (const block of this.blocks) {
      this.context.owned.release(block, 1);
      this.context.writer.discard(block);
    }
    this.blocks.length = 0;
  }

  /** Releases the blocks of a value that was found whole before. */
  releaseChain(first: number, length: number): void {
    const { blocks, buffer } = this;
    blocks.length = 0;
    let block = first;
    for (let done = 0; done < length; done += XATTR_VALUE_BLOCK_BYTES) {
      blocks.push(block);
      if (!this.context.writer.load(block, buffer)) break;
      block = getU64(buffer.view, XattrValue.next);
    }
    this.release();
  }

  /** Writes `bytes` into the blocks of the last value again. */
  store(length: number): void {
    const { buffer, context } = this;
    this.blocks.forEach((block, index) => {
      const from = index * XATTR_VALUE_BLOCK_BYTES;
      if (!context.writer.load(block, buffer)) return;
      buffer.bytes.set(this.bytes.subarray(from, Math.min(from + XATTR_VALUE_BLOCK_BYTES, length)), XattrValue.data);
      context.writer.writeHeaded(block, buffer);
    });
  }

  /** Loads block `index` of the value; what keeps it from being the one, null: nothing. */
  private faultOf(block: number, index: number, part: number): Fault | null {
    const { buffer, context } = this;
    if (!context.isAllocatable(block)) return ['xattr-value', 'address', 'a block inside a group in use', block];
    if (!context.owned.isFree(block, 1)) return ['block-doubly-used', 'block', 'one of its own', 'one that has an owner'];
    if (!context.writer.load(block, buffer)) return ['block-unreadable', 'block', 'a readable one', 'an error of the medium'];
    const { view, bytes } = buffer;
    const facts: readonly [FindingKind, string, number, number][] = [
      ['xattr-value-damaged', 'magic', Magic.xattrValue, view.getUint32(BlockHeader.magic, true)],
      ['xattr-value-damaged', 'checksum', context.writer.pmem.crc32c(context.geometry.seed, bytes, 4, BLOCK_SIZE - 4), view.getUint32(BlockHeader.checksum, true)],
      ['xattr-value-damaged', 'self', block, getU64(view, BlockHeader.self)],
      ['xattr-value-damaged', 'owner', this.ino, getU64(view, BlockHeader.owner)],
      ['xattr-value', 'key', this.key, getU64(view, XattrValue.key)],
      ['xattr-value', 'index', index, view.getUint32(XattrValue.index, true)],
      ['xattr-value', 'length', part, view.getUint32(XattrValue.length, true)],
    ];
    const wrong = facts.find(([, , expected, found]) => expected !== found);
    return wrong === undefined ? null : [wrong[0], wrong[1], hex(wrong[2]), hex(wrong[3])];
  }

  private refuse(block: number, index: number, [kind, field, expected, found]: Fault): ChainNumber {
    const place = { ino: this.ino, key: this.key, ...(field === 'address' ? {} : { block }) };
    if (!this.context.problems.fixHiding(kind, place, `${this.name(block, index)}: ${field}`, expected, found, 'drop the attribute')) return Chain.left;
    this.release();
    return Chain.lost;
  }

  /** What harms nobody: a continuation behind the end, bytes that mean nothing. Returns the next block. */
  private mendRest(block: number, index: number, part: number, last: boolean): number {
    const { buffer, context } = this;
    const { view, bytes } = buffer;
    const place = { ino: this.ino, key: this.key, block };
    const what = this.name(block, index);
    let changed = false;
    const next = getU64(view, XattrValue.next);
    if (last && next !== 0 && context.problems.fix('xattr-value', place, `${what}: next of the last one`, 0, next, 'end the value there')) {
      setU64(view, XattrValue.next, 0);
      changed = true;
    }
    for (const [from, to] of [[XattrValue.length + 4, XattrValue.data], [XattrValue.data + part, BLOCK_SIZE]] as const) {
      if (!context.checkReserved || bytes.subarray(from, to).every((byte) => byte === 0)) continue;
      if (!context.problems.fix('reserved-bytes', place, `${what}: bytes ${String(from)} … ${String(to - 1)}`, 0, 'others', 'clear them')) continue;
      bytes.fill(0, from, to);
      changed = true;
    }
    if (changed) context.writer.writeHeaded(block, buffer);
    return next;
  }

  private name(block: number, index: number): string {
    return `value of extended attribute ${String(this.key)} of inode ${String(this.ino)}, block ${String(index)} at ${blockName(block)}`;
  }
}
