import { writeSync } from 'node:fs';
import type { VerifyPhase } from '../check/verify.js';

const PASS: Record<VerifyPhase, number> = { inodes: 1, directories: 2, groups: 3 };
const INTERVAL_MS = 200;

export interface Progress {
  show(phase: VerifyPhase, done: number, total: number): void;
  /** Takes the line away. */
  end(): void;
}

/**
 * Progress as fsck(8) asks for it with -C: 0 a line on stderr if that is a terminal; any other descriptor gets lines
 * `pass done total device`. A few times a second at most.
 */
export function progressTo(descriptor: number, device: string): Progress | null {
  if (descriptor === 0 && !process.stderr.isTTY) return null;
  let shown = 0;
  const write = (phase: VerifyPhase, done: number, total: number): void => {
    if (descriptor > 0) {
      writeSync(descriptor, `${String(PASS[phase])} ${String(done)} ${String(total)} ${device}\n`);
      return;
    }
    const percent = total > 0 ? Math.min(100, Math.floor((100 * done) / total)) : 0;
    writeSync(2, `\r\x1b[K${device}: checking ${phase}: ${String(percent)}%`);
  };
  return {
    show(phase, done, total) {
      const now = Date.now();
      if (now - shown < INTERVAL_MS) return;
      shown = now;
      write(phase, done, total);
    },
    end() {
      if (descriptor === 0 && shown > 0) writeSync(2, '\r\x1b[K');
    },
  };
}
