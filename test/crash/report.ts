/** Says of a wrong crash state what a person needs to find the bug, and to see it again. */
import type { LogEntry } from '../../src/pmem/recording.js';
import { type CrashFailure, describeChoice, type FailurePart, type StatePart } from './explorer.js';
import { LINE } from './image.js';
import { placeOf } from './sites.js';
import { nameOf, type Workload } from './workloads.js';

const ENTRIES_BEFORE = 14;
const ENTRIES_AFTER = 3;

/** The command that builds the same state again. */
export function replayCommand(failure: CrashFailure, workload: Workload, seed: number, mutant?: string): string {
  const state = failure.parts.map((part) => `${String(part.stop.position)}:${describeChoice(part.choice)}`).join('/');
  const planted = mutant === undefined ? '' : ` MUTANT='${mutant}'`;
  return `make crash SEED=${String(seed)} WORKLOAD=${workload.id} STATE=${state}${planted}`;
}

/** Reads what `replayCommand` gives as STATE. */
export function parseState(text: string): StatePart[] {
  return text.split('/').map((part) => {
    const [position, choice] = part.split(':');
    const versions = new Map<number, number>();
    for (const pair of (choice ?? '').split(',')) {
      if (pair === '') continue;
      const [index, version] = pair.split('=').map(Number);
      if (index === undefined || version === undefined || !(index >= 0) || !(version > 0)) throw new Error(`bad state '${text}'`);
      versions.set(index, version);
    }
    if (!(Number(position) >= 0)) throw new Error(`bad state '${text}'`);
    return { position: Number(position), versions };
  });
}

export function describeFailure(failure: CrashFailure, workload: Workload, seed: number, mutant?: string): string {
  const lines = [`a crash state is wrong: ${failure.reason}`, `workload ${workload.id}: ${nameOf(workload)}`, `seed ${String(seed)}`];
  failure.parts.forEach((part, depth) => {
    lines.push(`${depth === 0 ? 'crash' : 'then a crash inside the recovery from that'}: ${part.stop.label}, after ${String(part.stop.position)} entries`);
    lines.push(...timeline(part), ...survivors(part));
  });
  lines.push(`again: ${replayCommand(failure, workload, seed, mutant)}`);
  return lines.join('\n');
}

function timeline({ log, stop }: FailurePart): string[] {
  const first = Math.max(0, stop.position - ENTRIES_BEFORE);
  const lines = first > 0 ? ['    …'] : [];
  for (let at = first; at < Math.min(log.length, stop.position + ENTRIES_AFTER); at += 1) {
    if (at === stop.position) lines.push('    ---- crash ----');
    lines.push(`    ${String(at)}: ${entryText(log[at] as LogEntry)}`);
  }
  if (stop.position >= log.length) lines.push('    ---- crash ----');
  return lines;
}

function entryText(entry: LogEntry): string {
  const range = entry.kind === 'fence' ? '' : ` ${String(entry.length)} bytes at ${address(entry.address)}`;
  return `${entry.kind}${range}, ${placeOf(entry)} [${entry.operation}]`;
}

function address(bytes: number): string {
  return `block ${String(Math.floor(bytes / 4096))} + ${String(bytes % 4096)}`;
}

function survivors({ lines, choice }: FailurePart): string[] {
  if (lines.length === 0) return ['    nothing was uncertain'];
  return lines.map((line, index) => {
    const version = choice[index] as number;
    const what = version === 0 ? 'did not survive' : version === line.last ? 'survived' : `survived in part: version ${String(version)} of ${String(line.last)}`;
    return `    line ${String(index)} at ${address(line.line * LINE)}${line.data ? ' (contents of a file)' : ''}: ${what}`;
  });
}
