import { assert } from '../base/assert.js';
import type { ByteAddr } from '../base/units.js';
import type { Pages } from './pages.js';

/** One call that changed the medium, or made changes durable. */
export interface LogEntry {
  readonly kind: 'store' | 'zero' | 'copy' | 'persist' | 'fence';
  readonly address: ByteAddr;
  readonly length: number;
  /** What was stored (store, copy); undefined for zero bytes, persist and fence. */
  readonly bytes: Uint8Array | undefined;
  /** The operation that was going on: `SimulatedPmem.operation`. */
  readonly operation: string;
  /** The calling code, if sites are recorded. */
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
interface AtomStore {
  readonly address: number;
  readonly length: number;
  /** The source, undefined for zero bytes. */
  readonly bytes: Uint8Array | undefined;
  readonly offset: number;
}

/** A line with stores that no fence has made certain yet, in program order. */
export interface PendingLine {
  /** Address of the line, a multiple of 64. */
  readonly address: ByteAddr;
  readonly atoms: readonly AtomStore[];
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
  private readonly pending = new Map<number, AtomStore[]>();

  /** `certain` shows the medium at the start of the log; the replay writes to it. */
  constructor(
    private readonly certain: Pages,
    private readonly log: readonly LogEntry[],
  ) {}

  /** Executes the log up to, not including, entry `position`. */
  advance(position: number): void {
    assert(position >= this.position && position <= this.log.length, 'a replay moves forward, inside its log');
    for (; this.position < position; this.position++) {
      const entry = this.log[this.position] as LogEntry;
      if (entry.kind === 'fence') this.settle();
      else if (entry.kind !== 'persist') this.cut(entry);
    }
  }

  /** The lines whose contents are uncertain at this moment, by address. */
  lines(): PendingLine[] {
    return [...this.pending.entries()]
      .sort(([a], [b]) => a - b)
      .map(([address, atoms]) => ({ address: address as ByteAddr, atoms }));
  }

  /** Writes the surviving atoms to `target`, which shows what is certain. */
  survive(target: Pages, chooser: SurvivorChooser): void {
    this.lines().forEach((line, index) => {
      const survivors = chooser(line, index);
      assert(survivors >= 0 && survivors <= line.atoms.length, 'a prefix of the stores to a line survives');
      for (let i = 0; i < survivors; i++) applyAtom(target, line.atoms[i] as AtomStore);
    });
  }

  /** A fence: everything pending is certain. */
  private settle(): void {
    for (const atoms of this.pending.values()) {
      for (const atom of atoms) applyAtom(this.certain, atom);
    }
    this.pending.clear();
  }

  /** Cuts a store at atoms, in order of address as a copying loop stores them. */
  private cut(entry: LogEntry): void {
    const end = entry.address + entry.length;
    for (let at: number = entry.address; at < end; ) {
      const stop = Math.min(end, (Math.floor(at / ATOM) + 1) * ATOM);
      const line = Math.floor(at / LINE) * LINE;
      let atoms = this.pending.get(line);
      if (atoms === undefined) this.pending.set(line, (atoms = []));
      atoms.push({ address: at, length: stop - at, bytes: entry.bytes, offset: at - entry.address });
      at = stop;
    }
  }
}

function applyAtom(target: Pages, atom: AtomStore): void {
  if (atom.bytes === undefined) target.zero(atom.address as ByteAddr, atom.length);
  else target.store(atom.address as ByteAddr, atom.bytes, atom.offset, atom.length);
}
