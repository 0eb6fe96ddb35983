import type { Case, Feature, Topic } from './case.js';
import { paths } from './cases/paths.js';
import { attributes } from './cases/attributes.js';
import { content } from './cases/content.js';
import { directories } from './cases/directories.js';
import { execution } from './cases/execution.js';
import { flags } from './cases/flags.js';
import { locks } from './cases/locks.js';
import { mappings } from './cases/mappings.js';
import { names } from './cases/names.js';
import { open } from './cases/open.js';
import { permissions } from './cases/permissions.js';
import { rename } from './cases/rename.js';
import { xattrs } from './cases/xattrs.js';

/** The whole table, in the order in which it is run. */
export const table: readonly Topic[] = [paths, names, rename, open, attributes, permissions, content, directories, mappings, locks, execution, xattrs, flags];

/** What the filesystem has by now; cases that need anything else wait. */
const features: ReadonlySet<Feature> = new Set<Feature>(['xattr', 'acl', 'flags', 'whiteout', 'remount', 'handles']);

/** Why a case that waits for a part of the filesystem is not run yet, or undefined. */
export function waitsFor(test: Case): string | undefined {
  return test.needs === undefined || features.has(test.needs) ? undefined : `waits for: ${test.needs}`;
}

/** For people: what was left out, and why. */
export function describeExcluded(excluded: ReadonlyMap<string, number>): string[] {
  return [...excluded].sort(([, a], [, b]) => b - a).map(([reason, count]) => `left out ${String(count)}: ${reason}`);
}
