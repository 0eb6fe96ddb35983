/** Names of the places in the engine from which the medium is changed: the same after lines have moved. */
import type { LogEntry } from '../../src/pmem/recording.js';

/** One of the frames that call-site.ts records. */
interface Frame {
  /** As `Log.append`; '' for a function without a name. */
  readonly name: string;
  /** As `journal/log`. */
  readonly file: string;
  readonly line: number;
}

const parsed = new Map<string, Frame[]>();

function framesOf(site: string): Frame[] {
  let frames = parsed.get(site);
  if (frames === undefined) {
    frames = site.split('\n').flatMap((text) => {
      const found = /^(?:(.*) \()?.*\/src\/(.*)\.[jt]s:(\d+):\d+\)?$/.exec(text);
      return found === null ? [] : [{ name: (found[1] ?? '').replace(/^new /, ''), file: found[2] as string, line: Number(found[3]) }];
    });
    parsed.set(site, frames);
  }
  return frames;
}

/** The function that made the change: functions without a name, and those that only go through a list, are left out. */
function caller(frames: readonly Frame[]): Frame | undefined {
  return frames.find((frame) => frame.name !== '' && !/(^|\.)forEach/.test(frame.name));
}

/** Where an entry comes from, and on whose behalf: `Log.append in journal/log, reclaim`. */
export function placeOf(entry: LogEntry): string {
  const frames = framesOf(entry.site);
  const from = caller(frames);
  if (from === undefined) return 'unknown';
  return `${from.name} in ${from.file}${contextOf(frames)}`;
}

function contextOf(frames: readonly Frame[]): string {
  const names = frames.map((frame) => frame.name);
  if (names.includes('Reclaim.adopt')) return ', orphans at mount';
  if (names.some((name) => name.startsWith('Reclaim.'))) return ', orphans';
  if (names.includes('FileAllocation.resume')) return ', fallocate at mount';
  return '';
}

/** Line of the calling code, to tell calls inside one function apart. */
export function lineOf(entry: LogEntry): number {
  return framesOf(entry.site)[0]?.line ?? 0;
}
