import { FsError } from './errno.js';
import { GIB, KIB, MIB, PIB, TIB } from './units.js';

const unitByLetter: Readonly<Record<string, number>> = { k: KIB, m: MIB, g: GIB, t: TIB, p: PIB };

/**
 * Reads a size as people write it: decimal digits with an optional letter k, m, g, t or p (either case, powers of 1024).
 * Returns bytes, a whole number ≤ 2^53. Throws FsError EINVAL for anything else.
 */
export function parseSize(text: string): number {
  const match = /^([0-9]{1,16})([kmgtp])?$/i.exec(text);
  if (match === null) {
    throw new FsError('EINVAL', `bad size '${text}': expected a whole number with an optional k, m, g, t or p`);
  }
  const [, digits, letter] = match;
  const bytes = Number(digits) * (letter === undefined ? 1 : (unitByLetter[letter.toLowerCase()] ?? 1));
  if (bytes > 2 ** 53) throw new FsError('EINVAL', `bad size '${text}': more than 8 PiB`);
  return bytes;
}

/** A number of bytes for people, in the largest unit that keeps it exact to two decimals: `4 MiB`, `1.5 GiB`, `4097 bytes`. */
export function formatSize(bytes: number): string {
  const units: readonly [number, string][] = [[PIB, 'PiB'], [TIB, 'TiB'], [GIB, 'GiB'], [MIB, 'MiB'], [KIB, 'KiB']];
  for (const [unit, name] of units) {
    if (bytes >= unit && Number.isInteger((bytes / unit) * 100)) return `${String(bytes / unit)} ${name}`;
  }
  return `${String(bytes)} bytes`;
}
