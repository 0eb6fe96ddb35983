/** Medians and the ratio of two targets measured in turn. */

export interface Ratio {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws RangeError for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError('median of nothing');
  return (lower + upper) / 2;
}

/** The ratios of the rounds, each of two measurements that followed one another. */
export function ratioOfPairs(values: readonly number[], references: readonly number[]): Ratio {
  const ratios = values.map((value, round) => value / (references[round] ?? NaN));
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}
