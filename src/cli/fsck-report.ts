import type { QuickReport } from '../check/quick.js';
import type { VerifyReport } from '../check/verify.js';
import type { RepairResult } from '../repair/problems.js';

/** What fsck.nvmfs has to say about a volume. */
export interface FsckResult {
  readonly path: string;
  /** The journal held changes that were not in place: the volume was not unmounted cleanly. */
  readonly journalReplayed: boolean;
  /** The volume as it is now. */
  readonly report: VerifyReport;
  /** What was done about problems, null: nothing. */
  readonly repair: RepairResult | null;
}

/** One object; fsck.nvmfs(8) describes it. `version` changes when a member changes its meaning or goes away. */
export function resultAsJson({ path, journalReplayed, report, repair }: FsckResult): string {
  return JSON.stringify({
    version: 1,
    path,
    clean: report.clean,
    journalReplayed,
    volume: report.identity,
    statistics: report.statistics,
    findingsTotal: report.total,
    findingsByKind: Object.fromEntries(report.countByKind),
    findings: report.findings,
    repair: repair === null ? null : { found: repair.found, fixed: repair.fixed, left: repair.left, byKind: Object.fromEntries(repair.countByKind) },
  });
}

/** The same for people: findings one per line, then a summary like e2fsck's. */
export function resultAsText({ path, report }: FsckResult, verbose: boolean): string {
  const lines = report.findings.map((finding) => `${finding.kind}: ${finding.message}`);
  const more = report.total - report.findings.length;
  if (more > 0) {
    lines.push(`… and ${String(more)} more, in all:`);
    for (const [kind, count] of report.countByKind) lines.push(`  ${kind}: ${String(count)}`);
  }
  if (verbose) lines.push(...countsAsText(report));
  lines.push(summaryLine(path, report));
  return lines.join('\n');
}

/** What a quick look showed: one line. */
export function quickAsText(path: string, { identity, inodes, usedBlocks }: QuickReport): string {
  const name = identity.label === '' ? path : identity.label;
  return `${name}: clean, ${String(inodes)} files, ${String(usedBlocks)}/${String(identity.totalBlocks)} blocks`;
}

function summaryLine(path: string, { identity, statistics, clean, total }: VerifyReport): string {
  const name = identity === null || identity.label === '' ? path : identity.label;
  const verdict = clean ? 'clean' : `${String(total)} ${total === 1 ? 'error' : 'errors'}`;
  if (identity === null || statistics === null) return `${name}: ${verdict}, the rest could not be checked`;
  const { inodes, fragmentedFiles, regularFiles, usedBlocks } = statistics;
  const fragmented = regularFiles === 0 ? 0 : (100 * fragmentedFiles) / regularFiles;
  const files = `${String(inodes)} files (${fragmented.toFixed(1)}% non-contiguous)`;
  return `${name}: ${verdict}, ${files}, ${String(usedBlocks)}/${String(identity.totalBlocks)} blocks`;
}

function countsAsText({ identity, statistics }: VerifyReport): string[] {
  const rows: [string | number, string][] = [];
  if (identity !== null) {
    rows.push([identity.uuid, 'uuid']);
    rows.push([new Date(identity.madeSeconds * 1000).toISOString(), 'made']);
    if (identity.regions !== null) rows.push([identity.regions, 'region directory']);
  }
  if (statistics !== null) {
    rows.push([statistics.regularFiles, 'regular files'], [statistics.directories, 'directories']);
    rows.push([statistics.symlinks, 'symbolic links'], [statistics.specialFiles, 'devices, fifos and sockets']);
    rows.push([statistics.orphans, 'orphans'], [statistics.entries, 'directory entries']);
    rows.push([statistics.extents, 'extents'], [statistics.treeNodes, 'tree nodes'], [statistics.xattrs, 'extended attributes'], [statistics.regions, 'files with their data in the region directory']);
  }
  return rows.map(([value, name]) => `${String(value).padStart(12)} ${name}`);
}
