import { VolumeState } from '../format/layout.js';
import { getU64 } from '../format/numbers.js';
import type { CheckContext } from './context.js';
import type { FindingKind } from './findings.js';
import { DAMAGED, InodeMap } from './inode-map.js';
import { Type } from './inode.js';
import type { BlockBuffer } from './medium.js';

/** Follows the orphan list and compares it with the flags of the inodes, both ways. */
export function checkOrphans(context: CheckContext, state: BlockBuffer): void {
  const { inodes, orphanNext } = context;
  const report = (kind: FindingKind, ino: number, what: string, expected: string | number, found: string | number): void => {
    context.findings.add(kind, { ino }, what, expected, found);
  };
  const listed = new Set<number>();
  let previous = 'volume state: orphanHead';
  let unknownRest = false;
  let ino = getU64(state.view, VolumeState.orphanHead);
  while (ino !== 0) {
    if (listed.has(ino)) {
      report('orphan-list-cycle', ino, previous, 'the end of the orphan list', `inode ${String(ino)}, listed before`);
      break;
    }
    const type = inodes.typeOf(ino);
    if (type === 0 || type === DAMAGED) {
      unknownRest = true;
      report('orphan-list-broken', ino, previous, 'an orphan', `inode ${String(ino)}, ${type === 0 ? 'not in use' : 'damaged'}`);
      break;
    }
    listed.add(ino);
    checkMember(context, ino, report);
    previous = `inode ${String(ino)}: orphanNext`;
    ino = orphanNext.get(ino) ?? 0;
  }
  context.statistics.orphans = listed.size;
  for (const [member, next] of orphanNext) {
    if (listed.has(member)) continue;
    const flagged = inodes.find(member)?.orphan[InodeMap.slot(member)] === 1;
    if (!flagged) report('orphan-next', member, `inode ${String(member)}: orphanNext of an inode that is no orphan`, 0, next);
    else if (!unknownRest) report('orphan-not-listed', member, `inode ${String(member)}: orphan flag`, 'a place on the orphan list', 'none');
  }
}

/** A member has the flag, and is either without links or a regular file that is being cut. */
function checkMember(
  context: CheckContext,
  ino: number,
  report: (kind: FindingKind, ino: number, what: string, expected: string | number, found: string | number) => void,
): void {
  const page = context.inodes.find(ino);
  const slot = InodeMap.slot(ino);
  if (page?.orphan[slot] !== 1) report('orphan-flag', ino, `inode ${String(ino)} on the orphan list: orphan flag`, 'set', 'clear');
  const nlink = page?.nlink[slot] ?? 0;
  if (nlink !== 0 && page?.type[slot] !== Type.regular) {
    report('orphan-in-use', ino, `inode ${String(ino)} on the orphan list: nlink`, 0, nlink);
  }
}
