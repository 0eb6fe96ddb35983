/** Sequences of operations: run once on the engine, recorded, with the moments at which a crash is tried and what it may leave. */
import { ManualClock } from '../../src/base/clock.js';
import type { Geometry } from '../../src/format/superblock.js';
import type { LogEntry } from '../../src/pmem/recording.js';
import { type Base, imageOf, START_SECONDS } from './base.js';
import type { Stop } from './explorer.js';
import type { Image } from './image.js';
import { Kit } from './kit.js';
import { laterOperations, operations, type Operation, pairedOperations, prepare, resetPreparations, treeOperations } from './operations.js';
import { type Moment, momentOf } from './oracle.js';
import { randomWorkload } from './random.js';

const BLOCK = 4096;

export interface Workload {
  /** How it is asked for on a command line. */
  readonly id: string;
  readonly base: 'small' | 'large';
  readonly operations: readonly Operation[];
  /** Crashes are tried in this operation and those after it. */
  readonly from: number;
}

export function nameOf(workload: Workload): string {
  return workload.operations.map((operation) => operation.name).join('; ');
}

/** All sequences of one operation, those on trees included. */
export function* sequencesOfOne(): Generator<Workload> {
  for (const [index, operation] of operations.entries()) yield { id: String(index), base: 'small', operations: [operation], from: 0 };
  for (const [index, operation] of treeOperations.entries()) yield { id: `tree:${String(index)}`, base: 'large', operations: [operation], from: 0 };
}

/** A few long ones, crashed in all their operations: for bugs that show only when the records that cover them up are gone, or before they are there. */
export function* samples(): Generator<Workload> {
  for (const id of ['0,3,7,11@0', '56,0,3,9@0', '31,32,42,0@0', '40,44,46,0@0', '12,15,20,21@0', '59,62@0', '11,58,59@0', 'tree:0,4,2,3@0']) yield workloadOf(id);
}

/** All sequences of `length` of the operations given. What crashes in the first ones leave is seen by the shorter sequences. */
export function* sequences(length: number, from: readonly Operation[] = operations): Generator<Workload> {
  const chosen = new Array<number>(length).fill(0);
  for (;;) {
    yield fromIndices(chosen.map((index) => operations.indexOf(from[index] as Operation)));
    let place = length - 1;
    while (place >= 0 && (chosen[place] as number) + 1 === from.length) chosen[place--] = 0;
    if (place < 0) return;
    chosen[place] = (chosen[place] as number) + 1;
  }
}

/** The operations that sequences of three are made of. */
export const coreOperations = operations.filter((operation) => operation.core === true);

/** All sequences of two: every pair, and the operations that came later before and after those of the core. */
export function* sequencesOfTwo(): Generator<Workload> {
  yield* sequences(2, pairedOperations);
  for (const later of laterOperations) {
    for (const core of coreOperations) {
      const [a, b] = [operations.indexOf(later), operations.indexOf(core)];
      yield fromIndices([a, b]);
      yield fromIndices([b, a]);
    }
  }
}

function fromIndices(indices: readonly number[]): Workload {
  return { id: indices.join(','), base: 'small', operations: indices.map((index) => operations[index] as Operation), from: indices.length - 1 };
}

/** The workload with an id; `@0` behind it: crashed from operation 0 on, not only in the last one. */
export function workloadOf(id: string): Workload {
  if (id.startsWith('random:')) return randomWorkload(Number(id.slice(7)));
  const isTree = id.startsWith('tree:');
  const table = isTree ? treeOperations : operations;
  const [list, from] = id.slice(isTree ? 5 : 0).split('@') as [string, string?];
  const chosen = list.split(',').map((index) => {
    const operation = table[Number(index)];
    if (operation === undefined) throw new Error(`there is no operation ${index} in workload ${id}`);
    return operation;
  });
  return { id, base: isTree ? 'large' : 'small', operations: chosen, from: from === undefined ? chosen.length - 1 : Number(from) };
}

export interface RecordedWorkload {
  readonly log: readonly LogEntry[];
  readonly stops: readonly Stop[];
  /** What the program saw in the end. */
  readonly final: Image;
}

/** Runs a workload on a copy of its base. */
export function recordWorkload(workload: Workload, base: Base): RecordedWorkload {
  const pmem = base.pmem.fork({ record: true });
  pmem.recordSites = true;
  const clock = new ManualClock(START_SECONDS, 1);
  const kit = new Kit(pmem, clock);
  const stops: Stop[] = [];
  let moment = momentOf(kit, pmem, undefined, false);
  let watched = false;
  kit.around = (call, ino) => {
    const [start, before] = [pmem.log.length, moment];
    call();
    const commits = pmem.log.slice(start).filter((entry) => entry.kind === 'store' && isInJournal(entry, base.geometry)).length;
    moment = momentOf(kit, pmem, before, commits === 0);
    clock.advance(1_000_000);
    if (!watched) return;
    const expectation = { moments: [before, moment], mixed: ino, stepwise: commits > 1 };
    pmem.log.slice(start).forEach((entry, index) => {
      if (entry.kind === 'fence') stops.push({ position: start + index, expectation, label: `inside ${pmem.operation}` });
    });
    stops.push(returned(pmem.log.length, moment, `return of ${pmem.operation}`));
  };
  resetPreparations();
  workload.operations.forEach((operation, index) => {
    clock.advance(1_000_000_000);
    watched = false;
    pmem.operation = 'what is needed';
    prepare(kit, operation);
    clock.advance(1_000_000_000);
    pmem.operation = operation.name;
    watched = index >= workload.from;
    if (watched) stops.push(returned(pmem.log.length, moment, `entry of ${operation.name}`));
    operation.run(kit);
  });
  return { log: pmem.log, stops, final: imageOf(pmem) };
}

function returned(position: number, moment: Moment, label: string): Stop {
  return { position, expectation: { moments: [moment], mixed: undefined, stepwise: false }, label };
}

function isInJournal(entry: LogEntry, geometry: Geometry): boolean {
  return entry.address >= geometry.journalStart * BLOCK && entry.address < geometry.groupStart * BLOCK;
}
