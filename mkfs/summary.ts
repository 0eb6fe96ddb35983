import { BLOCK_SIZE, GROUP_BLOCKS, INODE_SIZE, JOURNAL_SEGMENT_BLOCKS } from '../src/format/layout.js';
import type { DurabilityDomain } from '../src/pmem/pmem.js';
import { formatSize } from '../src/base/sizes.js';
import { formatUuid } from './arguments.js';

/** The geometry that mkfs prints: common to what is planned and what the superblock says. */
export interface PrintedGeometry {
  readonly totalBlocks: number;
  readonly journalStart: number;
  readonly journalSegments: number;
  readonly groupStart: number;
  readonly groups: number;
}

/** What mkfs has made, or with `dryRun` would make. */
export interface Summary {
  readonly path: string;
  readonly created: boolean;
  readonly dryRun: boolean;
  readonly label: string;
  readonly uuid: Uint8Array;
  /** The region directory that is recorded. */
  readonly regions: string | null;
  readonly geometry: PrintedGeometry;
  /** null: not known, because nothing was opened for writing. */
  readonly domain: DurabilityDomain | null;
}

/** One object; mkfs.nvmfs(8) describes it. `version` changes when a member changes its meaning or goes away. */
export function summaryAsJson({ path, created, dryRun, label, uuid, regions, geometry, domain }: Summary): string {
  const { totalBlocks, groups, groupStart, journalStart } = geometry;
  return JSON.stringify({
    version: 1,
    path,
    created,
    dryRun,
    label,
    uuid: formatUuid(uuid),
    size: totalBlocks * BLOCK_SIZE,
    blockSize: BLOCK_SIZE,
    totalBlocks,
    groups,
    groupBlocks: GROUP_BLOCKS,
    groupStart,
    journalStart,
    journalBlocks: journalBlocks(geometry),
    regions,
    domain,
  });
}

function journalBlocks({ journalSegments }: PrintedGeometry): number {
  return journalSegments * JOURNAL_SEGMENT_BLOCKS;
}

/** The same for people, laid out as mkfs.xfs does it. */
export function summaryAsText({ path, label, uuid, regions, geometry, domain, dryRun }: Summary): string {
  const { totalBlocks, groups } = geometry;
  const rows: [string, string, Record<string, string | number>][] = [
    ['meta-data', path, { isize: INODE_SIZE, agcount: groups, agsize: `${String(GROUP_BLOCKS)} blks` }],
    ['', '', { crc: 'crc32c', uuid: formatUuid(uuid) }],
    ['data', '', { bsize: BLOCK_SIZE, blocks: totalBlocks, size: formatSize(totalBlocks * BLOCK_SIZE) }],
    ['naming', 'hashed tree', { label: label === '' ? '(none)' : label }],
    ['log', 'internal log', { bsize: BLOCK_SIZE, blocks: journalBlocks(geometry), start: geometry.journalStart }],
  ];
  if (regions !== null) rows.push(['regions', regions, {}]);
  if (domain !== null) rows.push(['durability', domain, {}]);
  const lines = rows.map(([section, place, values]) => {
    const pairs = Object.entries(values).map(([name, value]) => `${name}=${String(value)}`);
    return `${section.padEnd(10)}=${place.padEnd(24)} ${pairs.join(', ')}`.trimEnd();
  });
  if (dryRun) lines.push('nothing was written');
  return lines.join('\n');
}
