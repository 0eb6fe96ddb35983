/**
 * Planted bugs of the kind that persistent-memory filesystems have: one persist or fence that is missing, or two calls in the wrong order. They are made in
 * the recording, by the place that a call came from, so the engine needs no hooks for them.
 */
import type { ByteAddr } from '../../src/base/units.js';
import type { LogEntry } from '../../src/pmem/recording.js';
import { lineOf, placeOf } from './sites.js';

export type Mutation =
  /** The fence or persist is not there; a store (which persists itself) is an ordinary one that nobody flushes. */
  | 'without'
  /** The call and the one after it in the other order. */
  | 'swap';

/** Numbers the calls of one kind inside a function, in order of their lines. */
export class Sites {
  private readonly lines = new Map<string, number[]>();

  learn(log: readonly LogEntry[]): void {
    for (const entry of log) {
      const key = `${entry.kind} ${functionOf(entry)}`;
      const lines = this.lines.get(key) ?? [];
      if (!lines.includes(lineOf(entry))) this.lines.set(key, [...lines, lineOf(entry)].sort((a, b) => a - b));
    }
  }

  /** As `fence of Log.append in journal/log`, with `#2` for the second such call of the function. */
  nameOf(entry: LogEntry): string {
    const lines = this.lines.get(`${entry.kind} ${functionOf(entry)}`) ?? [];
    const number = lines.indexOf(lineOf(entry)) + 1;
    return `${entry.kind} of ${placeOf(entry)}${lines.length > 1 ? ` #${String(number)}` : ''}`;
  }
}

function functionOf(entry: LogEntry): string {
  return placeOf(entry).split(',')[0] as string;
}

/** Names of all mutants that change a recording. Two stores in the other order differ only where they share a line, so one of a swapped pair is a fence. */
export function mutantsOf(log: readonly LogEntry[], sites: Sites): Set<string> {
  const found = new Set<string>();
  log.forEach((entry, index) => {
    found.add(`without ${sites.nameOf(entry)}`);
    const next = log[index + 1];
    if (next !== undefined && (entry.kind === 'fence') !== (next.kind === 'fence')) found.add(`swap ${sites.nameOf(entry)} and ${sites.nameOf(next)}`);
  });
  return found;
}

/** The recording that the engine would have given with the bug. It has the same number of entries. */
export function mutate(log: readonly LogEntry[], mutant: string, sites: Sites): LogEntry[] {
  const kind: Mutation = mutant.startsWith('swap ') ? 'swap' : 'without';
  const [first, second] = mutant.slice(kind.length + 1).split(' and ');
  const result = [...log];
  for (let index = 0; index < result.length; index += 1) {
    const entry = result[index] as LogEntry;
    if (sites.nameOf(entry) !== first) continue;
    if (kind === 'without') {
      result[index] = without(entry);
    } else {
      const next = result[index + 1];
      if (next === undefined || sites.nameOf(next) !== second) continue;
      result[index] = next;
      result[index + 1] = entry;
      index += 1;
    }
  }
  return result;
}

function without(entry: LogEntry): LogEntry {
  if (entry.kind === 'fence' || entry.kind === 'persist') return { ...entry, kind: 'persist', address: 0 as ByteAddr, length: 0 };
  return { ...entry, kind: 'plain store' };
}
