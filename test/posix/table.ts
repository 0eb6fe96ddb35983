import type { Case, Feature, Topic } from './case.js';
import { paths } from './cases/paths.js';
import { attributes } from './cases/attributes.js';
import { names } from './cases/names.js';
import { open } from './cases/open.js';
import { permissions } from './cases/permissions.js';
import { rename } from './cases/rename.js';

/** The whole table, in the order in which it is run. */
export const table: readonly Topic[] = [paths, names, rename, open, attributes, permissions];

/** What the filesystem has by now; cases that need anything else wait. */
const features: ReadonlySet<Feature> = new Set<Feature>([]);

/** Why a case that waits for a part of the filesystem is not run yet, or undefined. */
export function waitsFor(test: Case): string | undefined {
  return test.needs === undefined || features.has(test.needs) ? undefined : `waits for: ${test.needs}`;
}

/** For people: what was left out, and why. */
export function describeExcluded(excluded: ReadonlyMap<string, number>): string[] {
  return [...excluded].sort(([, a], [, b]) => b - a).map(([reason, count]) => `left out ${String(count)}: ${reason}`);
}
