import { writeSync } from 'node:fs';

const INTERVAL_MS = 200;

export interface Progress {
  /** `pass`: its number, counted as e2fsck counts; `activity`: what is being done, for people. */
  show(pass: number, activity: string, done: number, total: number): void;
  /** Takes the line away. */
  end(): void;
}

/**
 * Progress as fsck(8) asks for it with -C: 0 a line on stderr if that is a terminal; any other descriptor gets lines
 * `pass done total device`. A few times a second at most.
 */
export function progressTo(descriptor: number, device: string): Progress | null {
  if (descriptor === 0 && !process.stderr.isTTY) return null;
  let last = 0;
  let visible = false;
  const write = (pass: number, activity: string, done: number, total: number): void => {
    if (descriptor > 0) {
      writeSync(descriptor, `${String(pass)} ${String(done)} ${String(total)} ${device}\n`);
      return;
    }
    const share = total > 0 ? `${String(Math.min(100, Math.floor((100 * done) / total)))}%` : String(done);
    writeSync(2, `\r\x1b[K${device}: ${activity}: ${share}`);
    visible = true;
  };
  return {
    show(pass, activity, done, total) {
      const now = Date.now();
      if (now - last < INTERVAL_MS) return;
      last = now;
      write(pass, activity, done, total);
    },
    end() {
      if (visible) writeSync(2, '\r\x1b[K');
      visible = false;
    },
  };
}
