import { readSync } from 'node:fs';

/** Longest answer that is read. */
const ANSWER_BYTES = 1024;

/** The user ended the run: by a signal, or by the end of his input. */
export class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

export type Answer = 'yes' | 'no' | 'all';

/**
 * Asks on standard error and reads a line from standard input, until it is an answer: y, n, or a (yes to everything). An empty line
 * means yes, as in e2fsck. Throws Cancelled at the end of the input and when a signal came.
 */
export function ask(question: string, interrupted: () => boolean): Answer {
  for (;;) {
    process.stderr.write(`${question}? [Y/n/a] `);
    const line = readLine(interrupted).trim().toLowerCase();
    if (line === '' || line === 'y' || line === 'yes') return 'yes';
    if (line === 'n' || line === 'no') return 'no';
    if (line === 'a' || line === 'all') return 'all';
  }
}

function readLine(interrupted: () => boolean): string {
  const bytes = Buffer.alloc(ANSWER_BYTES);
  let length = 0;
  while (length < ANSWER_BYTES) {
    if (interrupted()) throw new Cancelled('cancelled');
    const read = readByte(bytes, length);
    if (read === 0) throw new Cancelled('the input has ended');
    if (read < 0) continue;
    if (bytes[length] === 0x0a) break;
    length += 1;
  }
  return bytes.toString('utf8', 0, length);
}

/** Number of bytes read, 0 at the end, −1 when a signal or another process came between. */
function readByte(bytes: Buffer, at: number): number {
  try {
    return readSync(0, bytes, at, 1, null);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'EINTR' || error.code === 'EAGAIN')) return -1;
    // A terminal whose other end is gone.
    if (error instanceof Error && 'code' in error && (error.code === 'EIO' || error.code === 'EOF')) return 0;
    throw error;
  }
}
