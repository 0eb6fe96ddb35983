/** Damage of every kind, chosen by a seed: to the fields of a structure, with or without a corrected checksum, and blindly. */
import type { Random } from '../../src/base/random.js';
import { asByteAddr } from '../../src/base/units.js';
import { BLOCK_SIZE, BlockHeader, ItemArea, SLOT_SIZE, STATE_BLOCK } from '../../src/format/layout.js';
import { setU64 } from '../../src/format/numbers.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import type { Anatomy, Field, Structure, StructureKind } from './anatomy.js';
import { readField } from './anatomy.js';

const TWO_32 = 2 ** 32;
/** How often each kind of structure is hit, whatever its share of the volume. */
const WEIGHTS: Record<StructureKind, number> = { superblock: 1, state: 3, group: 2, node: 7, inode: 7, xattr: 4, value: 2, record: 2 };
const SEALED = 0.75;

/** Damages the medium as `random` says; returns a line for people per damage. */
export function damage(medium: SimulatedPmem, anatomy: Anatomy, random: Random): string[] {
  const vandal = new Vandal(medium, anatomy, random);
  const count = random.chance(0.6) ? 1 : random.chance(0.8) ? random.between(2, 4) : random.between(5, 40);
  const blind = random.chance(0.2);
  return Array.from({ length: count }, () => (blind ? vandal.blind() : vandal.structured()));
}

class Vandal {
  private readonly byKind = new Map<StructureKind, Structure[]>();

  constructor(
    private readonly medium: SimulatedPmem,
    private readonly anatomy: Anatomy,
    private readonly random: Random,
  ) {
    for (const structure of anatomy.structures) {
      const list = this.byKind.get(structure.kind) ?? [];
      list.push(structure);
      this.byKind.set(structure.kind, list);
    }
  }

  // ---- by structure ------------------------------------------------------------------------------

  structured(): string {
    const { random } = this;
    const structure = this.pickStructure();
    const bytes = this.load(structure.address, structure.length);
    const what = random.chance(0.1) ? this.replaceWhole(structure, bytes) : structure.area !== undefined && random.chance(0.25) ? this.disturbArea(structure, bytes) : this.changeFields(structure, bytes);
    const sealed = random.chance(SEALED);
    if (sealed) this.seal(structure, bytes);
    this.medium.store(asByteAddr(structure.address), bytes, 0, bytes.length);
    return `${structure.name}: ${what}${sealed ? ', checksum corrected' : ''}`;
  }

  private pickStructure(): Structure {
    const { random } = this;
    const kinds = [...this.byKind.keys()];
    const total = kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0);
    let left = random.below(total);
    for (const kind of kinds) {
      left -= WEIGHTS[kind];
      if (left < 0) return random.pick(this.byKind.get(kind) as Structure[]);
    }
    throw new Error('the weights add up');
  }

  private changeFields(structure: Structure, bytes: Uint8Array): string {
    const { random } = this;
    const view = new DataView(bytes.buffer);
    const parts: string[] = [];
    const count = random.chance(0.7) ? 1 : random.between(2, 3);
    for (let i = 0; i < count; i += 1) {
      const field = random.pick(structure.fields);
      const before = readField(view, field);
      this.writeValue(view, structure, field, before);
      parts.push(`${field.name} ${String(before)} → ${String(readField(view, field))}`);
    }
    return parts.join(', ');
  }

  private writeValue(view: DataView, structure: Structure, field: Field, before: number): void {
    const { random } = this;
    const max = 2 ** (8 * field.size) - 1;
    switch (random.below(10)) {
      case 0:
        return writeField(view, field, 0);
      case 1:
        return writeField(view, field, 1);
      case 2:
        return writeField(view, field, max);
      case 3:
        return writeField(view, field, 2 ** random.below(8 * field.size));
      case 4:
        return writeField(view, field, before + random.pick([-1, 1, -2, 2, 16, -16, 4096, -4096]));
      case 5: {
        const bytes = new Uint8Array(view.buffer);
        random.bytes(bytes, field.offset, field.size);
        return;
      }
      case 6: {
        const bit = random.below(8 * field.size);
        const at = field.offset + (bit >> 3);
        view.setUint8(at, view.getUint8(at) ^ (1 << (bit & 7)));
        return;
      }
      default:
        return writeField(view, field, this.borrowed(structure, field));
    }
  }

  /** A value that is right elsewhere: another pointer, a duplicate, a cycle. */
  private borrowed(structure: Structure, field: Field): number {
    const { random, anatomy } = this;
    if (field.meaning === 'block' && random.chance(0.5)) {
      const { geometry } = anatomy;
      return random.pick([Math.floor(structure.address / BLOCK_SIZE), STATE_BLOCK, geometry.journalStart, geometry.groupStart, geometry.totalBlocks - 1, geometry.totalBlocks, random.pick(anatomy.usedBlocks), random.pick(anatomy.usedBlocks), random.below(geometry.totalBlocks)]);
    }
    return random.pick(anatomy.pool.get(field.meaning) ?? [0]);
  }

  /** Another structure of the kind in its place; sometimes made to look as if it belonged there. */
  private replaceWhole(structure: Structure, bytes: Uint8Array): string {
    const { random } = this;
    const other = random.pick((this.byKind.get(structure.kind) as Structure[]).filter((candidate) => candidate.kind !== 'record' || candidate.length === structure.length));
    const copy = this.load(other.address, structure.length);
    const own = random.chance(0.6);
    if (own && structure.kind === 'inode') copy.set(bytes.subarray(8, 16), 8);
    if (own && structure.kind !== 'inode' && structure.kind !== 'record') {
      copy.set(bytes.subarray(BlockHeader.self, BlockHeader.self + 8), BlockHeader.self);
      if (random.chance(0.7)) copy.set(bytes.subarray(BlockHeader.owner, BlockHeader.owner + 8), BlockHeader.owner);
    }
    bytes.set(copy);
    return `replaced by ${other.name}${own ? ', with its own number' : ''}`;
  }

  private disturbArea({ area }: Structure, bytes: Uint8Array): string {
    const { random } = this;
    if (area === undefined) throw new Error('there is an area');
    const view = new DataView(bytes.buffer);
    const count = view.getUint16(area.base + ItemArea.count, true);
    const slot = (index: number): number => area.base + ItemArea.slots + index * SLOT_SIZE;
    const room = Math.max(1, Math.min(count + 2, Math.floor((area.size - ItemArea.slots) / SLOT_SIZE)));
    const [a, b] = [random.below(room), random.below(room)];
    const [first, second] = [view.getUint32(slot(a), true), view.getUint32(slot(b), true)];
    switch (random.below(4)) {
      case 0:
        view.setUint32(slot(a), second, true);
        view.setUint32(slot(b), first, true);
        return `slots ${String(a)} and ${String(b)} swapped`;
      case 1:
        view.setUint32(slot(a), second, true);
        return `slot ${String(a)} copied from ${String(b)}`;
      case 2: {
        const fewer = count === 0 ? 1 : random.below(count);
        view.setUint16(area.base + ItemArea.count, fewer, true);
        return `count ${String(count)} → ${String(fewer)}`;
      }
      default:
        random.bytes(bytes, area.base, random.between(1, 64));
        return 'random bytes over the item area';
    }
  }

  private seal(structure: Structure, bytes: Uint8Array): void {
    // A record says itself how long it is.
    const claimed = structure.kind === 'record' ? new DataView(bytes.buffer).getUint32(24, true) : structure.length;
    const length = claimed > 64 && claimed <= bytes.length ? claimed : bytes.length;
    new DataView(bytes.buffer).setUint32(0, this.medium.crc32c(structure.seed, bytes, 4, length - 4), true);
  }

  // ---- blindly -----------------------------------------------------------------------------------

  blind(): string {
    const { random, anatomy } = this;
    const block = random.chance(0.9) ? random.pick(anatomy.usedBlocks) : random.below(Math.floor(this.medium.size / BLOCK_SIZE));
    const bytes = this.load(block * BLOCK_SIZE, BLOCK_SIZE);
    const what = this.vandalise(bytes, block);
    this.medium.store(asByteAddr(block * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
    return `block ${String(block)}: ${what}`;
  }

  private vandalise(bytes: Uint8Array, block: number): string {
    const { random, anatomy } = this;
    const start = random.below(BLOCK_SIZE);
    switch (random.below(6)) {
      case 0: {
        const bit = random.below(8);
        bytes[start] = (bytes[start] as number) ^ (1 << bit);
        return `bit ${String(bit)} of byte ${String(start)} flipped`;
      }
      case 1: {
        const length = random.between(1, Math.min(64, BLOCK_SIZE - start));
        random.bytes(bytes, start, length);
        return `${String(length)} random bytes at ${String(start)}`;
      }
      case 2:
        random.bytes(bytes);
        return 'random bytes';
      case 3:
        bytes.fill(0);
        return 'zeroed';
      case 4: {
        const other = random.pick(anatomy.usedBlocks);
        const theirs = this.load(other * BLOCK_SIZE, BLOCK_SIZE);
        this.medium.store(asByteAddr(other * BLOCK_SIZE), bytes, 0, BLOCK_SIZE);
        bytes.set(theirs);
        return `swapped with block ${String(other)}`;
      }
      default: {
        const other = random.pick(anatomy.usedBlocks);
        bytes.set(this.load(other * BLOCK_SIZE, BLOCK_SIZE));
        return other === block ? 'left alone' : `copied from block ${String(other)}`;
      }
    }
  }

  private load(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.medium.load(asByteAddr(address), bytes, 0, length);
    return bytes;
  }
}

/** Writes the low bytes of a value that may be negative or ≥ 2^53. */
function writeField(view: DataView, field: Field, value: number): void {
  const { offset, size } = field;
  switch (size) {
    case 1:
      view.setUint8(offset, value);
      return;
    case 2:
      view.setUint16(offset, value, true);
      return;
    case 4:
      view.setUint32(offset, value, true);
      return;
    case 6:
      view.setUint32(offset, value % TWO_32, true);
      view.setUint16(offset + 4, Math.floor(value / TWO_32), true);
      return;
    default:
      if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
        setU64(view, offset, value);
      } else {
        view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
      }
  }
}
