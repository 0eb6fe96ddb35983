/** Takes away what a failure doesn't need. */

export interface ShrinkOptions<T> {
  /** Whether the sequence still fails. */
  fails: (items: readonly T[]) => boolean;
  /** Milliseconds after which the smallest sequence so far is good enough. */
  milliseconds: number;
  /** Milliseconds since some start; injected so that tests repeat. */
  now: () => number;
}

/**
 * Delta debugging: removes ever smaller chunks as long as the rest fails. `items` fails. Returns a subsequence that fails, one from
 * which no single item can be removed unless time ran out.
 */
export function shrink<T>(items: readonly T[], options: ShrinkOptions<T>): T[] {
  const end = options.now() + options.milliseconds;
  let current = [...items];
  let chunk = Math.ceil(current.length / 2);
  for (;;) {
    let removed = false;
    // From the end: what came late depends on what came early, not the other way round.
    for (let at = current.length - chunk; at > -chunk; at -= chunk) {
      if (options.now() > end) return current;
      const from = Math.max(0, at);
      const rest = [...current.slice(0, from), ...current.slice(at + chunk)];
      if (rest.length < current.length && options.fails(rest)) {
        current = rest;
        removed = true;
      }
    }
    if (chunk === 1 && !removed) return current;
    if (!removed || chunk > current.length) chunk = Math.max(1, Math.floor(Math.min(chunk, current.length) / 2));
  }
}
