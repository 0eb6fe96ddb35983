/** What a recovered volume may show: the state after all operations that returned, and of the one in flight all or nothing. */
import { asByteAddr, type Ino } from '../../src/base/units.js';
import { BLOCK_SIZE, STATE_BLOCK, VolumeState } from '../../src/format/layout.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import { contentOf, type Dump, dumpOf } from './dump.js';
import type { Kit } from './kit.js';

const ATOM = 8;

/** The state of a volume between two operations, as the running engine shows it. */
export interface Moment {
  readonly names: string;
  /** By inode: timestamps that a crash may leave. More than one where an overwrite set times that may be late. */
  readonly times: ReadonlyMap<Ino, readonly string[]>;
  readonly contents: ReadonlyMap<Ino, Uint8Array>;
  /** Something is on the orphan list: a mount goes on freeing blocks, so their counts may be lower. */
  readonly freeing: boolean;
}

/** What a crash at some moment may leave. */
export interface Expectation {
  /** One of these … */
  readonly moments: readonly Moment[];
  /** … in the first of which bytes of this file may be those of the last one already, atom by atom; */
  readonly mixed: Ino | undefined;
  /** … or, when this file is written in several transactions, its size and blocks may be in between. */
  readonly stepwise: boolean;
}

/** Takes the present state. `lazy`: the operation since `previous` may have changed times that are not durable yet. */
export function momentOf(kit: Kit, pmem: Pmem, previous: Moment | undefined, lazy: boolean): Moment {
  const dump = dumpOf(kit);
  const times = new Map<Ino, readonly string[]>();
  for (const [ino, now] of dump.times) {
    const before = previous?.times.get(ino) ?? [];
    if (!kit.hasPendingTimes || before.length === 0) times.set(ino, [now]);
    else if (before.at(-1) === now) times.set(ino, before);
    else times.set(ino, lazy ? [...before, now] : [now]);
  }
  return { names: dump.names, times, contents: contentsOf(dump, pmem), freeing: hasOrphans(pmem) };
}

function hasOrphans(pmem: Pmem): boolean {
  const head = new Uint8Array(8);
  pmem.load(asByteAddr(STATE_BLOCK * BLOCK_SIZE + VolumeState.orphanHead), head, 0, 8);
  return head.some((byte) => byte !== 0);
}

export function contentsOf(dump: Dump, pmem: Pmem): Map<Ino, Uint8Array> {
  return new Map(dump.files.map((file) => [file.ino, contentOf(file, pmem)]));
}

/** What is wrong with names, attributes and times; '' when they are those of the moment. */
export function differenceOfNames(dump: Dump, moment: Moment): string {
  const comparable = (names: string): string => (moment.freeing ? names.replace(/ blocks \d+/g, '') : names);
  if (dump.names !== moment.names && comparable(dump.names) !== comparable(moment.names)) return firstDifference(dump.names, moment.names);
  for (const [ino, found] of dump.times) {
    const allowed = moment.times.get(ino) ?? [];
    if (!allowed.includes(found)) return `times of inode ${String(ino)}: found ${found}, expected ${allowed.join(' or ')}`;
  }
  return '';
}

function firstDifference(found: string, expected: string): string {
  const foundLines = found.split('\n');
  const expectedLines = expected.split('\n');
  const surplus = foundLines.filter((line) => !expectedLines.includes(line)).slice(0, 3);
  const missing = expectedLines.filter((line) => !foundLines.includes(line)).slice(0, 3);
  return `found ${surplus.join(' | ') || 'nothing more'}; expected ${missing.join(' | ') || 'nothing more'}`;
}

/** Whether everything is as before but size and blocks of a file that is being written in steps, which are those of some step. */
export function isStepBetween(dump: Dump, before: Moment, after: Moment, ino: Ino): boolean {
  const file = `: inode ${String(ino)}.`;
  const without = (names: string): string => names.split('\n').map((line) => (line.includes(file) ? line.replace(/ size \d+ blocks \d+/, '') : line)).join('\n');
  if (without(dump.names) !== without(before.names)) return false;
  const sizeIn = (names: string): number => Number(/ size (\d+) /.exec(names.split('\n').find((line) => line.includes(file)) ?? '')?.[1] ?? -1);
  const size = sizeIn(dump.names);
  if (size < sizeIn(before.names) || size > sizeIn(after.names)) return false;
  return [...dump.times].every(([of, found]) => (before.times.get(of) ?? []).includes(found) || (after.times.get(of) ?? []).includes(found));
}

/** What is wrong with the bytes of a file that may be old or new atom by atom (`newer` undefined: exactly `expected`); '' when nothing is. */
export function differenceOfContent(ino: Ino, found: Uint8Array, expected: Uint8Array, newer: Uint8Array | undefined): string {
  if (newer === undefined && found.length !== expected.length) return `inode ${String(ino)}: ${String(found.length)} bytes, expected ${String(expected.length)}`;
  if (Buffer.compare(found, expected) === 0) return '';
  for (let at = 0; at < found.length; at += ATOM) {
    const end = Math.min(at + ATOM, found.length);
    if (isSame(found, expected, at, end) || (newer !== undefined && isSame(found, newer, at, end))) continue;
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at, end)).toString('hex');
    return `inode ${String(ino)}: bytes ${String(at)} … ${String(end - 1)} are ${hex(found)}, expected ${hex(expected)}${newer === undefined ? '' : ` or ${hex(newer)}`}`;
  }
  return '';
}

/** Whether bytes [at, end) are the same; past the end of a file it has zero bytes. */
function isSame(a: Uint8Array, b: Uint8Array, at: number, end: number): boolean {
  for (let index = at; index < end; index += 1) if ((a[index] ?? 0) !== (b[index] ?? 0)) return false;
  return true;
}
