/** The lines of a moment that a crash may leave in more than one way, and the choices among these ways that make its crash states. */
import type { Random } from '../../src/base/random.js';
import { applyAtom, type LogEntry, type PendingLine } from '../../src/pmem/recording.js';
import { type Image, LINE, LineHash } from './image.js';

const WORDS = LINE / 4;

/** A line and what may be found in it: version 0 is what is certain, the last one what the program stored, in between what its prefixes leave. */
export interface UncertainLine {
  /** Number of the line on the medium. */
  readonly line: number;
  /** Contents of the versions, sixteen words each. */
  readonly contents: Int32Array;
  /** Number of the last version, ≥ 1. */
  readonly last: number;
  /** Per version: hash of its content combined with that of version 0. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** Nothing but contents of files was stored in it. */
  readonly data: boolean;
}

const hash = new LineHash();

/** Works out the versions of each pending line; prefixes that leave the same bytes count once, lines that stay as they are not at all. */
export function uncertainLines(pending: readonly PendingLine[], certain: Image, isData: (entry: LogEntry) => boolean): UncertainLine[] {
  const lines: UncertainLine[] = [];
  const scratch = new Int32Array(WORDS);
  const bytes = new Uint8Array(scratch.buffer);
  for (const { address, atoms } of pending) {
    const line = address / LINE;
    scratch.set(certain.words.subarray(line * WORDS, (line + 1) * WORDS));
    const versions = [scratch.slice()];
    const target = {
      store: (at: number, source: Uint8Array, offset: number, length: number) => {
        bytes.set(source.subarray(offset, offset + length), at - address);
      },
      zero: (at: number, length: number) => {
        bytes.fill(0, at - address, at - address + length);
      },
    };
    for (const atom of atoms) {
      applyAtom(target, atom);
      const before = versions.at(-1) as Int32Array;
      if (scratch.some((word, index) => word !== before[index])) versions.push(scratch.slice());
    }
    if (versions.length === 1) continue;
    lines.push(describe(line, versions, atoms.every((atom) => isData(atom.entry))));
  }
  return lines;
}

function describe(line: number, versions: Int32Array[], data: boolean): UncertainLine {
  const contents = new Int32Array(versions.length * WORDS);
  const low = new Int32Array(versions.length);
  const high = new Int32Array(versions.length);
  versions.forEach((version, index) => {
    contents.set(version, index * WORDS);
    hash.of(line, version, 0);
    low[index] = hash.low ^ (index === 0 ? 0 : (low[0] as number));
    high[index] = hash.high ^ (index === 0 ? 0 : (high[0] as number));
  });
  // So far relative to nothing for version 0: what version 0 adds to itself is nothing.
  low[0] = high[0] = 0;
  return { line, contents, last: versions.length - 1, low, high, data };
}

/** How far the choices at one moment go. All counts are of choices. */
export interface Thoroughness {
  /** All subsets of whole lines are taken up to this many lines. */
  readonly allSubsetsUpTo: number;
  /** Singles and all-but-ones at most, each; the first, the middle and the last line are among them. */
  readonly singlesMost: number;
  readonly pairsMost: number;
  /** Prefixes of one line, the others whole or not at all. */
  readonly prefixesMost: number;
  /** Random choices, in which each line has any of its versions. */
  readonly random: number;
}

/** Calls `visit` with the version of each line (the array is reused). Choices may repeat. */
export function forEachChoice(lines: readonly UncertainLine[], thoroughness: Thoroughness, random: Random, visit: (choice: Uint16Array) => void): void {
  const count = lines.length;
  const choice = new Uint16Array(count);
  const lasts = lines.map((line) => line.last);
  const nothing = (): void => {
    choice.fill(0);
  };
  const everything = (): void => {
    choice.set(lasts);
  };
  nothing();
  visit(choice);
  if (count === 0) return;
  everything();
  visit(choice);
  for (const index of sample(count, thoroughness.singlesMost, random)) {
    nothing();
    choice[index] = lasts[index] as number;
    visit(choice);
    everything();
    choice[index] = 0;
    visit(choice);
  }
  for (const pair of sample((count * (count - 1)) / 2, thoroughness.pairsMost, random)) {
    const second = Math.floor((1 + Math.sqrt(1 + 8 * pair)) / 2);
    const first = pair - (second * (second - 1)) / 2;
    nothing();
    choice[first] = lasts[first] as number;
    choice[second] = lasts[second] as number;
    visit(choice);
  }
  forEachPrefix(lines, thoroughness.prefixesMost, random, (index, version) => {
    nothing();
    choice[index] = version;
    visit(choice);
    everything();
    choice[index] = version;
    visit(choice);
  });
  if (count <= thoroughness.allSubsetsUpTo) {
    for (let subset = 0; subset < 2 ** count; subset += 1) {
      for (let index = 0; index < count; index += 1) choice[index] = ((subset >>> index) & 1) * (lasts[index] as number);
      visit(choice);
    }
  }
  for (let number = 0; number < thoroughness.random; number += 1) {
    for (let index = 0; index < count; index += 1) {
      const last = lasts[index] as number;
      // Whole lines and prefixes, half of each.
      choice[index] = random.nextU32() < 0x80000000 ? (random.nextU32() & 1) * last : random.below(last + 1);
    }
    visit(choice);
  }
}

function forEachPrefix(lines: readonly UncertainLine[], most: number, random: Random, visit: (index: number, version: number) => void): void {
  let total = 0;
  for (const line of lines) total += line.last - 1;
  const chance = total > most ? most / total : 1;
  lines.forEach((line, index) => {
    for (let version = 1; version < line.last; version += 1) if (chance === 1 || random.chance(chance)) visit(index, version);
  });
}

/** All numbers below `count`, or `most` of them: the first, the middle and the last one, and others spread at random. */
function sample(count: number, most: number, random: Random): number[] {
  if (count <= most) return Array.from({ length: count }, (_, index) => index);
  const chosen = new Set([0, count >>> 1, count - 1]);
  while (chosen.size < most) chosen.add(random.below(count));
  return [...chosen];
}
