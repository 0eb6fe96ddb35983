import type { FindingKind } from '../check/findings.js';

/**
 * What is mended at start-up without anybody looking: what only repeats what is known from elsewhere, so that no byte and no name
 * of a file can be lost by it. All others want somebody who knows what happened.
 */
const SAFE: ReadonlySet<FindingKind> = new Set<FindingKind>([
  'superblock-backup',
  'state-free-blocks',
  'state-mapped-table-blocks',
  'state-used-inodes',
  'state-table-blocks',
  'group-free-count',
  'block-leaked',
  'tree-node-count',
  'free-inode-missing',
  'free-inode-wrong',
  'table-block-unused',
  'inode-blocks',
  'directory-size',
  'orphan-list-broken',
  'orphan-list-cycle',
  'orphan-flag',
  'orphan-not-listed',
  'orphan-next',
  'reserved-bytes',
  'region-mode',
]);

/** True when every kind of finding may be mended without a question. */
export function isSafe(kinds: Iterable<FindingKind>): boolean {
  for (const kind of kinds) if (!SAFE.has(kind)) return false;
  return true;
}
