import { LRUCache } from 'lru-cache';
import { addon } from '../../native/addon.js';
import type { LogFunction, LogLevel } from '../fuse/log.js';

/** Priorities of syslog(3). */
const priorities: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, info: 6, debug: 7 };

/** A message that repeats is shown once in this time, with the number of those left out. */
const REPEAT_MS = 10_000;
/** Different messages remembered. */
const REMEMBERED_MESSAGES = 256;

export interface LogOptions {
  /** Where messages go: `syslog` for a daemon in the background. */
  readonly target: 'syslog' | 'stderr';
  readonly debug: boolean;
}

/** The daemon's log: syslog or standard error, repeated messages limited in rate, debug messages only when asked for. */
export function makeLog(options: LogOptions): LogFunction {
  const write: LogFunction =
    options.target === 'syslog'
      ? (level, message) => {
          addon.syslog(priorities[level], message);
        }
      : (level, message) => {
          process.stderr.write(`nvmfs: ${level === 'info' ? '' : `${level}: `}${message}\n`);
        };
  const limited = limitRepeats(write, () => performance.now());
  return (level, message) => {
    if (level !== 'debug') limited(level, message);
    else if (options.debug) write(level, message);
  };
}

/** Passes a message on unless the same one was passed on less than REPEAT_MS ago. `now`: milliseconds. */
export function limitRepeats(write: LogFunction, now: () => number): LogFunction {
  const seen = new LRUCache<string, { quietUntil: number; suppressed: number }>({ max: REMEMBERED_MESSAGES });
  return (level, message) => {
    const entry = seen.get(message);
    if (entry !== undefined && now() < entry.quietUntil) {
      entry.suppressed++;
      return;
    }
    const suppressed = entry?.suppressed ?? 0;
    seen.set(message, { quietUntil: now() + REPEAT_MS, suppressed: 0 });
    write(level, suppressed === 0 ? message : `${message} (${String(suppressed)} more of these)`);
  };
}
