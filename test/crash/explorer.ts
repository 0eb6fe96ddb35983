/** Builds the crash states of a recording and judges each: the core of the crash tests. See doc/CRASH.md. */
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import type { Ino } from '../../src/base/units.js';
import type { Geometry } from '../../src/format/superblock.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import { type LogEntry, Replay } from '../../src/pmem/recording.js';
import type { FileLayout } from './dump.js';
import { FlatPmem } from './flat-pmem.js';
import { Image, joined, LINE, LineHash } from './image.js';
import { type FreeCounts, isData, judge, type Outcome, recordMount, type RecordedMount } from './judge.js';
import { differenceOfContent, differenceOfNames, type Expectation, isStepBetween, type Moment } from './oracle.js';
import { forEachChoice, type Thoroughness, type UncertainLine, uncertainLines } from './uncertain.js';

const BLOCK = 4096;
const BLOCK_LINES = BLOCK / LINE;
/** A crash, one inside the recovery from it, and one inside the recovery from that. */
export const DEPTH = 3;

/** A moment of a recording at which crashes are tried. */
export interface Stop {
  /** Entries of the log that have been executed. */
  readonly position: number;
  readonly expectation: Expectation;
  readonly label: string;
  /** In or after a change that follows recovery: that is not a crash inside recovery, to be followed by another one. */
  readonly follows?: boolean;
}

/** A crash state: at which position, and which version of each uncertain line survived (by index; others did not). */
export interface StatePart {
  readonly position: number;
  readonly versions: ReadonlyMap<number, number>;
}

export interface Counts {
  /** Choices of versions of lines, after prefixes with the same bytes were merged. */
  states: number;
  /** Of these: different images at their moment. */
  unique: number;
  /** Journal recoveries executed. */
  recoveries: number;
  /** Recovered volumes that were verified, dumped, used and emptied. */
  judged: number;
  /** Of the states: those inside recovery, and inside the recovery after a crash in recovery. */
  nested: number[];
}

export interface ExplorerOptions {
  /** By depth. */
  readonly thoroughness: readonly Thoroughness[];
  /** How often a state is judged alone, to test what the tests themselves assume: one in so many. */
  readonly auditEvery: number;
  /** Also crash inside two changes that follow the first recovery. */
  readonly changesAfterRecovery: boolean;
  /** Changes what was recorded: for mutants. */
  readonly mutate: (log: readonly LogEntry[]) => readonly LogEntry[];
  /** Only this state, by depth. */
  readonly only?: readonly StatePart[] | undefined;
}

/** A state that is wrong. */
export class CrashFailure extends Error {
  constructor(
    readonly reason: string,
    /** From the outermost crash to the innermost. */
    readonly parts: readonly FailurePart[],
  ) {
    super(reason);
    // Nobody wants to see megabytes of recordings when the exception is printed.
    Object.defineProperty(this, 'parts', { enumerable: false });
  }
}

export interface FailurePart {
  readonly stop: Stop;
  readonly log: readonly LogEntry[];
  readonly lines: readonly UncertainLine[];
  readonly choice: Uint16Array;
}

/** What one level of nesting works on. */
interface Level {
  readonly certain: Image;
  readonly work: Image;
  readonly pmem: FlatPmem;
}

/** What is known of an outcome at one stop. */
interface Standing {
  readonly outcome: Outcome;
  /** Ways in which names and attributes fit. */
  readonly branches: readonly Branch[];
  /** What does not fit, if there are none. */
  readonly difference: string;
  /** Some uncertain line mattered for more than contents: nothing may be concluded for other states. */
  readonly alone: boolean;
  /** Files of which uncertain lines hold contents. */
  readonly uncertainFiles: readonly FileLayout[];
}

interface Branch {
  readonly moment: Moment;
  /** Contents that the file in flight may have in part. */
  readonly newer: Moment | undefined;
}

const hash = new LineHash();
const now = new LineHash();

export class Explorer {
  readonly counts: Counts = { states: 0, unique: 0, recoveries: 0, judged: 0, nested: new Array<number>(DEPTH).fill(0) };
  private readonly levels: Level[] = [];
  /** By hash of all that is not journal, and the end of the journal: recovered images. */
  private outcomes = new Map<number, Outcome>();
  /** By hash of the whole image and whether changes follow: what a mount of it does. */
  private mounts = new Map<string, RecordedMount>();
  private readonly journalFirst: number;
  private readonly journalEnd: number;
  private hashLow = 0;
  private hashHigh = 0;
  private readonly parts: FailurePart[] = [];
  private random = new Random(0);

  constructor(
    private readonly base: Image,
    private readonly geometry: Geometry,
    private readonly fresh: FreeCounts,
    private readonly options: ExplorerOptions,
  ) {
    this.journalFirst = geometry.journalStart * BLOCK_LINES;
    this.journalEnd = geometry.groupStart * BLOCK_LINES;
    for (let depth = 0; depth < DEPTH; depth += 1) {
      const certain = new Image(base.size);
      const work = new Image(base.size);
      certain.bytes.set(base.bytes);
      work.bytes.set(base.bytes);
      this.levels.push({ certain, work, pmem: new FlatPmem(work) });
    }
  }

  /** Forgets outcomes: they cost memory, and are found again seldom once the volume has changed. */
  forgetOutcomes(): void {
    this.outcomes = new Map();
    this.mounts = new Map();
  }

  /** Tries all stops of a recording that began with the base; `final` is the image that the program saw at its end. Throws CrashFailure. */
  explore(log: readonly LogEntry[], stops: readonly Stop[], final: Image | undefined, random: Random): void {
    this.random = random;
    this.hashLow = this.hashHigh = 0;
    this.parts.length = 0;
    const mutated = this.options.mutate(log);
    const written: number[] = [];
    try {
      const replay = this.walk(0, mutated, placed(stops, mutated, log), written);
      if (final !== undefined) this.checkFinal(replay, mutated, final);
    } finally {
      this.takeBack(0, written, this.base);
    }
  }

  // ---- walking a recording -------------------------------------------------------------------------

  /** Goes through the stops of a recording at one depth. Lines that became certain are noted in `written`. */
  private walk(depth: number, log: readonly LogEntry[], stops: readonly Stop[], written: number[]): Replay {
    const { certain } = this.level(depth);
    const settle = (line: number, change: () => void): void => {
      hash.of(line, certain.words, line * (LINE / 4));
      this.hashLow ^= hash.low;
      this.hashHigh ^= hash.high;
      change();
      hash.of(line, certain.words, line * (LINE / 4));
      this.hashLow ^= hash.low;
      this.hashHigh ^= hash.high;
      written.push(line);
      for (let deeper = depth; deeper < DEPTH; deeper += 1) this.copyLine(deeper, line, certain);
    };
    const target = {
      store: (address: number, source: Uint8Array, offset: number, length: number) => {
        settle(Math.floor(address / LINE), () => {
          certain.bytes.set(source.subarray(offset, offset + length), address);
        });
      },
      zero: (address: number, length: number) => {
        settle(Math.floor(address / LINE), () => {
          certain.bytes.fill(0, address, address + length);
        });
      },
    };
    const replay = new Replay(target, log);
    const only = this.options.only?.[depth];
    for (const stop of stops) {
      if (only !== undefined && stop.position !== only.position) continue;
      replay.advance(stop.position);
      this.tryStop(depth, log, stop, uncertainLines(replay.lines(), certain, isData));
    }
    return replay;
  }

  private copyLine(depth: number, line: number, from: Image): void {
    const { certain, work } = this.level(depth);
    const end = (line + 1) * (LINE / 4);
    for (let at = line * (LINE / 4); at < end; at += 1) {
      const word = from.words[at] as number;
      certain.words[at] = word;
      work.words[at] = word;
    }
  }

  /** Gives lines the content of `original` at this depth and below. */
  private takeBack(depth: number, lines: readonly number[], original: Image): void {
    for (let deeper = depth; deeper < DEPTH; deeper += 1) for (const line of lines) this.copyLine(deeper, line, original);
  }

  /** The model itself: everything that was recorded, executed again, is what the program saw. */
  private checkFinal(replay: Replay, log: readonly LogEntry[], final: Image): void {
    const { certain } = this.level(0);
    replay.advance(log.length);
    const left = uncertainLines(replay.lines(), certain, isData);
    const lines = new Map(left.map((line) => [line.line, line.contents.subarray(line.last * 16)]));
    const saved = left.map((line) => certain.words.slice(line.line * 16, line.line * 16 + 16));
    for (const [line, words] of lines) certain.words.set(words, line * 16);
    const same = Buffer.compare(certain.bytes, final.bytes) === 0;
    left.forEach((line, index) => {
      certain.words.set(saved[index] as Int32Array, line.line * 16);
    });
    if (!same) throw new Error('the recording, executed again, does not give the final image');
  }

  // ---- the states of one stop ------------------------------------------------------------------------

  private tryStop(depth: number, log: readonly LogEntry[], stop: Stop, lines: readonly UncertainLine[]): void {
    const thoroughness = this.options.thoroughness[depth] as Thoroughness;
    const seen = new Set<number>();
    /** By the hash of what recovery makes of the lines that are not contents. */
    const standings = new Map<number, Standing>();
    const visit = (choice: Uint16Array): void => {
      this.counts.states += 1;
      this.counts.nested[depth] = (this.counts.nested[depth] as number) + 1;
      let low = 0;
      let high = 0;
      for (let index = 0; index < lines.length; index += 1) {
        const version = choice[index] as number;
        const line = lines[index] as UncertainLine;
        low ^= line.low[version] as number;
        high ^= line.high[version] as number;
      }
      const image = joined(low, high);
      if (seen.has(image)) return;
      seen.add(image);
      this.counts.unique += 1;
      this.tryState({ depth, log, stop, lines, choice, low, high, standings });
    };
    const only = this.options.only?.[depth];
    // The first state of each kind is followed into its recovery: that should have much to do, so it finds the records and nothing that they cover.
    if (only === undefined) visit(Uint16Array.from(lines, ({ line, last }) => (line >= this.journalFirst && line < this.journalEnd ? last : 0)));
    if (only === undefined) forEachChoice(lines, thoroughness, this.random, visit);
    else visit(Uint16Array.from(lines, (_, index) => only.versions.get(index) ?? 0));
  }

  private tryState(state: State): void {
    const { depth, lines, choice, standings } = state;
    const level = this.level(depth);
    const { certain, work } = level;
    this.build(state);
    let end: number;
    try {
      this.counts.recoveries += 1;
      const { position } = recoverJournal(level.pmem, this.geometry);
      end = Math.imul(position.sequence, 0x9e3779b1) ^ Math.imul(position.offset + position.segment * 0x80000, 0x85ebca6b);
    } catch (error) {
      work.revert(certain);
      throw this.failure(state, `recovery refuses the volume: ${error instanceof FsError ? error.message : String((error as Error).stack)}`);
    }
    // What differs from the certain image now: all of it, and without contents of files.
    let allLow = this.hashLow;
    let allHigh = this.hashHigh;
    let low = end;
    let high = 0;
    const data = dataLines(lines);
    for (let index = 0; index < work.changedCount; index += 1) {
      const line = work.changed[index] as number;
      if (line >= this.journalFirst && line < this.journalEnd) continue;
      now.of(line, work.words, line * 16);
      hash.of(line, certain.words, line * 16);
      const lineLow = now.low ^ hash.low;
      const lineHigh = now.high ^ hash.high;
      allLow ^= lineLow;
      allHigh ^= lineHigh;
      if (data.has(line)) continue;
      low ^= lineLow;
      high ^= lineHigh;
    }
    const key = joined(low, high);
    let standing = standings.get(key);
    const audit = standing !== undefined && this.random.nextU32() < 0x100000000 / this.options.auditEvery;
    if (standing === undefined || standing.alone || audit) {
      const known = standing;
      const outcome = this.outcomeOf(state, joined(allLow ^ end, allHigh), standing === undefined, audit);
      standing = this.stand(outcome, state);
      if (known === undefined || known.alone) standings.set(key, standing);
      if (audit && known !== undefined && (known.outcome.dump.names !== outcome.dump.names || known.outcome.problem !== outcome.problem)) throw new Error(`the tests conclude wrongly from one state to another: ${describeChoice(choice)}`);
      this.checkStanding(state, standing);
      this.checkContents(state, standing, outcome.contents);
    } else if (standing.uncertainFiles.length > 0) {
      for (const { address, length, bytes } of standing.outcome.dataStores) {
        if (bytes === undefined) work.zero(address, length);
        else work.store(address, bytes, 0, length);
      }
      const contents = new Map(standing.uncertainFiles.map((file) => [file.ino, bytesOf(file, work)]));
      this.checkContents(state, standing, contents);
    }
    work.revert(certain);
  }

  /** Writes the surviving versions to the work image. */
  private build({ depth, lines, choice }: State): void {
    const { work } = this.level(depth);
    for (let index = 0; index < lines.length; index += 1) {
      const version = choice[index] as number;
      if (version === 0) continue;
      const line = lines[index] as UncertainLine;
      work.putLine(line.line, line.contents, version * 16);
    }
  }

  /** The outcome of the state in the work image; mounts it unless one with the same image is known. Goes into the recovery itself for the first of its kind. */
  private outcomeOf(state: State, key: number, isNew: boolean, anew: boolean): Outcome {
    const { depth } = state;
    const { certain, work } = this.level(depth);
    let outcome = anew ? undefined : this.outcomes.get(key);
    if (outcome === undefined) {
      work.revert(certain);
      this.build(state);
      this.counts.judged += 1;
      try {
        outcome = judge(work, this.fresh);
      } catch (error) {
        work.revert(certain);
        throw this.failure(state, `the volume can't be mounted or read: ${error instanceof FsError ? error.message : String((error as Error).stack)}`);
      }
      work.revert(certain);
      if (outcome.problem !== '') throw this.failure(state, outcome.problem);
      this.outcomes.set(key, outcome);
    }
    if (isNew && depth + 1 < DEPTH && state.stop.follows !== true) this.crashRecovery(state);
    return outcome;
  }

  /** Crashes inside the recovery of a state, and inside the first changes after it. */
  private crashRecovery(state: State): void {
    const { depth, lines, choice, stop } = state;
    const only = this.options.only;
    if (only !== undefined && only.length <= depth + 1) return;
    const { certain } = this.level(depth);
    const [low, high] = [this.hashLow, this.hashHigh];
    const written: number[] = [];
    for (let index = 0; index < lines.length; index += 1) {
      const version = choice[index] as number;
      if (version === 0) continue;
      const line = lines[index] as UncertainLine;
      written.push(line.line);
      for (let deeper = depth + 1; deeper < DEPTH; deeper += 1) {
        this.level(deeper).certain.words.set(line.contents.subarray(version * 16, version * 16 + 16), line.line * 16);
        this.level(deeper).work.words.set(line.contents.subarray(version * 16, version * 16 + 16), line.line * 16);
      }
      this.hashLow ^= line.low[version] as number;
      this.hashHigh ^= line.high[version] as number;
    }
    const mount = this.recordMount(state);
    const log = this.options.mutate(mount.log);
    const stops = stopsOf(mount, stop);
    this.parts.push({ stop, log: state.log, lines, choice: choice.slice() });
    this.walk(depth + 1, log, placed(stops, log, mount.log), written);
    this.parts.pop();
    this.takeBack(depth + 1, written, certain);
    this.hashLow = low;
    this.hashHigh = high;
  }

  /** What a mount of a state does. The hash of the walk is that of the state's whole image here. */
  private recordMount(state: State): RecordedMount {
    const { certain, work } = this.level(state.depth);
    // The second crash has the changes, so the third need not.
    const withChanges = state.depth === 0 && this.options.changesAfterRecovery;
    const key = `${String(joined(this.hashLow, this.hashHigh))} ${String(withChanges)}`;
    const known = this.mounts.get(key);
    if (known !== undefined) return known;
    work.revert(certain);
    this.build(state);
    const mount = recordMount(work, withChanges);
    work.revert(certain);
    this.mounts.set(key, mount);
    return mount;
  }

  // ---- judging ---------------------------------------------------------------------------------------

  private stand(outcome: Outcome, { stop, lines }: State): Standing {
    const { moments, mixed, stepwise } = stop.expectation;
    const branches: Branch[] = [];
    let difference = '';
    const last = moments.at(-1) as Moment;
    const first = moments[0] as Moment;
    for (const moment of moments) {
      const wrong = differenceOfNames(outcome.dump, moment);
      if (wrong === '') branches.push({ moment, newer: mixed !== undefined && moment === first ? last : undefined });
      else difference = wrong;
    }
    if (branches.length === 0 && stepwise && mixed !== undefined && isStepBetween(outcome.dump, first, last, mixed)) branches.push({ moment: first, newer: last });
    const dataBlocks = new Set<number>();
    let alone = false;
    for (const line of lines) {
      if (!line.data) continue;
      const block = Math.floor(line.line / BLOCK_LINES);
      dataBlocks.add(block);
      if (outcome.touched.has(block)) alone = true;
    }
    const uncertainFiles = outcome.dump.files.filter((file) => file.addresses.some((address, index) => {
      if (address < 0) return false;
      const end = address + (file.lengths[index] as number);
      for (let block = Math.floor(address / BLOCK); block * BLOCK < end; block += 1) if (dataBlocks.has(block)) return true;
      return false;
    }));
    return { outcome, branches, difference, alone, uncertainFiles };
  }

  private checkStanding(state: State, { branches, difference }: Standing): void {
    if (branches.length > 0) return;
    const wanted = state.stop.expectation.moments.length === 1 ? 'the state that must be there is not' : 'neither the state before nor the one after';
    throw this.failure(state, `${wanted}: ${difference}`);
  }

  /** Some branch must fit the contents of the files given. */
  private checkContents(state: State, standing: Standing, contents: ReadonlyMap<Ino, Uint8Array>): void {
    const { mixed } = state.stop.expectation;
    let wrong = '';
    for (const { moment, newer } of standing.branches) {
      wrong = '';
      for (const [ino, found] of contents) {
        const expected = moment.contents.get(ino) ?? new Uint8Array(0);
        wrong = differenceOfContent(ino, found, expected, ino === mixed ? newer?.contents.get(ino) : undefined);
        if (wrong !== '') break;
      }
      if (wrong === '') return;
    }
    throw this.failure(state, wrong);
  }

  private failure({ stop, log, lines, choice }: State, reason: string): CrashFailure {
    return new CrashFailure(reason, [...this.parts, { stop, log, lines, choice: choice.slice() }]);
  }

  private level(depth: number): Level {
    return this.levels[depth] as Level;
  }
}

/** Where the recovery from a crash at `outer` is crashed: what is there then is what the mount shows once it is done, and before that what the first crash may leave. */
function stopsOf({ log, ends, moments }: RecordedMount, outer: Stop): Stop[] {
  const stops: Stop[] = [];
  let part = 0;
  log.forEach((entry, position) => {
    if (position === ends[part]) {
      stops.push({ position, expectation: exactly(moments[part] as Moment), label: part === 0 ? 'after recovery' : 'after a change that follows recovery', follows: part > 0 });
      part += 1;
    }
    if (entry.kind !== 'fence') return;
    if (part === 0) stops.push({ position, expectation: outer.expectation, label: 'inside recovery' });
    else stops.push({ position, expectation: { moments: moments.slice(part - 1, part + 1), mixed: undefined, stepwise: false }, label: 'inside a change that follows recovery', follows: true });
  });
  const last = moments.length > 1 ? { label: 'after the changes that follow recovery', follows: true } : { label: 'after recovery' };
  stops.push({ position: log.length, expectation: exactly(moments.at(-1) as Moment), ...last });
  return stops;
}

/** The stops of a recording in what a mutant made of it: a fence that it moved by one place takes its stop along, and no entry comes before the call that made it. */
function placed(stops: readonly Stop[], log: readonly LogEntry[], original: readonly LogEntry[]): readonly Stop[] {
  if (log === original) return stops;
  const moved = stops.map((stop, index) => {
    const { position } = stop;
    if (!isInside(stop)) return position < original.length && log[position - 1] === original[position] ? { ...stop, position: position - 1 } : stop;
    if (log[position]?.kind === 'fence' || log[position + 1]?.kind !== 'fence') return stop;
    const later = stops.slice(index + 1);
    // A fence that was moved into the call that follows is one of that call.
    const leaves = later.some((other) => other.position === position + 1 && !isInside(other));
    const as = leaves ? later.find(isInside) : stop;
    return as === undefined ? stop : { ...as, position: position + 1 };
  });
  return moved.sort((a, b) => a.position - b.position);
}

function isInside(stop: Stop): boolean {
  return stop.expectation.moments.length > 1 || stop.label.startsWith('inside');
}

function exactly(moment: Moment): Expectation {
  return { moments: [moment], mixed: undefined, stepwise: false };
}

interface State {
  readonly depth: number;
  readonly log: readonly LogEntry[];
  readonly stop: Stop;
  readonly lines: readonly UncertainLine[];
  readonly choice: Uint16Array;
  /** Hash of the surviving versions, relative to the certain image. */
  readonly low: number;
  readonly high: number;
  readonly standings: Map<number, Standing>;
}

const dataLinesOf = new WeakMap<readonly UncertainLine[], ReadonlySet<number>>();

/** Numbers of the lines that hold nothing but contents. */
function dataLines(lines: readonly UncertainLine[]): ReadonlySet<number> {
  let found = dataLinesOf.get(lines);
  if (found === undefined) {
    found = new Set(lines.filter((line) => line.data).map((line) => line.line));
    dataLinesOf.set(lines, found);
  }
  return found;
}

function bytesOf(file: FileLayout, image: Image): Uint8Array {
  const bytes = new Uint8Array(file.size);
  let done = 0;
  file.addresses.forEach((address, index) => {
    const length = file.lengths[index] as number;
    if (address >= 0) bytes.set(image.bytes.subarray(address, address + length), done);
    done += length;
  });
  return bytes;
}

/** A choice for people and command lines: `index=version`, of the lines that survived. */
export function describeChoice(choice: Uint16Array): string {
  return [...choice].flatMap((version, index) => (version === 0 ? [] : [`${String(index)}=${String(version)}`])).join(',');
}
