import { assert } from '../base/assert.js';
import type { ByteAddr } from '../base/units.js';
import type { Pages } from './pages.js';

/** One call that changed the medium, or made changes durable. */
export interface LogEntry {
  /** store, zero and copy start what they store on its way to the medium, as `Pmem` says; a `plain store` would not, and is only made by tests. */
  readonly kind: 'store' | 'zero' | 'copy' | 'plain store' | 'persist' | 'fence';
  readonly address: ByteAddr;
  readonly length: number;
  /** What was stored; undefined for zero bytes, persist and fence. */
  readonly bytes: Uint8Array | undefined;
  /** The operation that was going on: `SimulatedPmem.operation`. */
  readonly operation: string;
  /** The calling code, if sites are recorded: functions of the engine from the innermost on, one a line. */
  readonly site: string;
}

export interface Recording {
  /** The medium when recording began. */
  readonly base: Pages;
  readonly log: LogEntry[];
}

const LINE = 64;
const ATOM = 8;

/** Bytes of one store inside one atom: they reach the medium together or not at all. */
export interface AtomStore {
  readonly address: number;
  readonly length: number;
  /** The store, and where in its bytes the atom's lie. */
  readonly entry: LogEntry;
  readonly offset: number;
}

/** A line with stores that no fence has made certain yet, in program order. */
export interface PendingLine {
  /** Address of the line, a multiple of 64. */
  readonly address: ByteAddr;
  readonly atoms: readonly AtomStore[];
}

/** The same while the replay goes on. */
interface Pending {
  atoms: AtomStore[];
  /** How many of the first atoms are on their way: the next fence makes them certain. */
  persisted: number;
}

/** What shows the bytes that are certain. */
export interface ReplayTarget {
  store(address: ByteAddr, source: Uint8Array, sourceOffset: number, length: number): void;
  zero(address: ByteAddr, length: number): void;
}

/**
 * Says how many of the first atoms of a line's pending stores survive, 0 … line.atoms.length.
 * A cache line is written back as it is at some moment: what is there is always a prefix.
 */
export type SurvivorChooser = (line: PendingLine, index: number) => number;

/**
 * A moment in a recording: what is certain to be on the medium, and what may be there.
 * It only moves forward, so that going through all moments of a log costs one replay.
 */
export class Replay {
  /** Entries of the log that have been executed. */
  position = 0;
  private readonly pending = new Map<number, Pending>();

  /** `certain` shows the medium at the start of the log; the replay writes to it. */
  constructor(
    private readonly certain: ReplayTarget,
    private readonly log: readonly LogEntry[],
  ) {}

  /** Executes the log up to, not including, entry `position`. */
  advance(position: number): void {
    assert(position >= this.position && position <= this.log.length, 'a replay moves forward, inside its log');
    for (; this.position < position; this.position++) {
      const entry = this.log[this.position] as LogEntry;
      if (entry.kind === 'fence') this.settle();
      else if (entry.kind === 'persist') this.persist(entry);
      else this.cut(entry, entry.kind !== 'plain store');
    }
  }

  /** The lines whose contents are uncertain at this moment, by address. */
  lines(): PendingLine[] {
    return [...this.pending.entries()]
      .sort(([a], [b]) => a - b)
      .map(([address, { atoms }]) => ({ address: address as ByteAddr, atoms }));
  }

  /** Writes the surviving atoms to `target`, which shows what is certain. */
  survive(target: ReplayTarget, chooser: SurvivorChooser): void {
    this.lines().forEach((line, index) => {
      const survivors = chooser(line, index);
      assert(survivors >= 0 && survivors <= line.atoms.length, 'a prefix of the stores to a line survives');
      for (let i = 0; i < survivors; i++) applyAtom(target, line.atoms[i] as AtomStore);
    });
  }

  /** A fence: everything that was on its way is certain. */
  private settle(): void {
    for (const [line, pending] of this.pending) {
      for (let i = 0; i < pending.persisted; i++) applyAtom(this.certain, pending.atoms[i] as AtomStore);
      if (pending.persisted === pending.atoms.length) {
        this.pending.delete(line);
      } else {
        pending.atoms.splice(0, pending.persisted);
        pending.persisted = 0;
      }
    }
  }

  /** Everything stored so far in the lines of a range is on its way: a line is flushed as a whole. */
  private persist(entry: LogEntry): void {
    const end = entry.address + entry.length;
    for (let line = Math.floor(entry.address / LINE) * LINE; line < end; line += LINE) {
      const pending = this.pending.get(line);
      if (pending !== undefined) pending.persisted = pending.atoms.length;
    }
  }

  /** Cuts a store at atoms, in order of address as a copying loop stores them. */
  private cut(entry: LogEntry, persisted: boolean): void {
    const end = entry.address + entry.length;
    for (let at: number = entry.address; at < end; ) {
      const stop = Math.min(end, (Math.floor(at / ATOM) + 1) * ATOM);
      const line = Math.floor(at / LINE) * LINE;
      let pending = this.pending.get(line);
      if (pending === undefined) this.pending.set(line, (pending = { atoms: [], persisted: 0 }));
      pending.atoms.push({ address: at, length: stop - at, entry, offset: at - entry.address });
      if (persisted) pending.persisted = pending.atoms.length;
      at = stop;
    }
  }
}

/** Stores the bytes of one atom. */
export function applyAtom(target: ReplayTarget, atom: AtomStore): void {
  const { bytes } = atom.entry;
  if (bytes === undefined) target.zero(atom.address as ByteAddr, atom.length);
  else target.store(atom.address as ByteAddr, bytes, atom.offset, atom.length);
}
