/**
 * Every kind of inconsistency that the verifier knows, one name each, so that a repair can be written per kind.
 * The names are part of `fsck.nvmfs --json`.
 */
export const FINDING_KINDS = [
  // the medium
  'block-unreadable',
  'reserved-bytes',
  // superblock and volume state
  'superblock-damaged',
  'superblock-field',
  'superblock-backup',
  'state-damaged',
  'state-groups-initialised',
  'state-free-blocks',
  'state-table-blocks',
  'state-mapped-table-blocks',
  'state-used-inodes',
  'state-sequence',
  'state-range',
  // allocation groups and ownership of blocks
  'group-damaged',
  'group-free-count',
  'group-fixed-bits',
  'block-leaked',
  'block-not-marked',
  'block-doubly-used',
  // trees
  'tree-root',
  'tree-pointer',
  'tree-node-damaged',
  'tree-node-misplaced',
  'tree-node-empty',
  'tree-items',
  'tree-key-bounds',
  'tree-node-count',
  // extents
  'extent-length',
  'extent-range',
  'extent-crosses-group',
  'extent-covers-header',
  'extent-flags',
  'extent-region',
  'extent-overlap',
  'extent-past-end',
  // inode table and free inodes
  'table-extent',
  'table-block-unused',
  'free-inode-missing',
  'free-inode-wrong',
  // inodes
  'inode-damaged',
  'inode-number',
  'inode-free-not-zero',
  'inode-mode',
  'inode-flags',
  'inode-size',
  'inode-blocks',
  'inode-time',
  'inode-parent',
  'inode-xattr',
  'inode-body',
  'symlink-body',
  'symlink-target',
  'root-directory',
  // extended attributes
  'xattr-block-damaged',
  'xattr-count',
  'xattr-item',
  'xattr-name',
  'xattr-hash',
  'xattr-duplicate',
  'xattr-value',
  'xattr-value-damaged',
  'xattr-acl',
  // host files
  'region-directory',
  'region-missing',
  'region-orphan',
  'region-size',
  'region-mode',
  'region-extents',
  // directories and links
  'dentry-hash',
  'dentry-name',
  'dentry-duplicate',
  'dentry-dangling',
  'dentry-type',
  'directory-size',
  'directory-parent',
  'directory-linked-twice',
  'directory-unreferenced',
  'directory-unreachable',
  'directory-removed-not-empty',
  'link-count',
  'inode-unreferenced',
  // orphans
  'orphan-list-broken',
  'orphan-list-cycle',
  'orphan-flag',
  'orphan-not-listed',
  'orphan-next',
  'orphan-in-use',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** Where a finding is: any of the numbers that apply. */
export interface FindingPlace {
  /** First block concerned. */
  block?: number;
  /** Number of blocks concerned, where it is not one. */
  blocks?: number;
  ino?: number;
  group?: number;
  /** Key of the tree item concerned. */
  key?: number;
}

/** One inconsistency. `message` names structure, address, expected and found; the other fields are for programs. */
export interface Finding extends FindingPlace {
  kind: FindingKind;
  expected: string;
  found: string;
  message: string;
}

/** Collects findings: all are counted, the first `limit` are kept, so that memory is bounded on a ruined volume. */
export class FindingList {
  readonly kept: Finding[] = [];
  readonly countByKind = new Map<FindingKind, number>();
  total = 0;

  constructor(private readonly limit: number) {}

  add(kind: FindingKind, place: FindingPlace, what: string, expected: string | number, found: string | number): void {
    this.total++;
    this.countByKind.set(kind, (this.countByKind.get(kind) ?? 0) + 1);
    if (this.kept.length >= this.limit) return;
    const message = `${what}: expected ${String(expected)}, found ${String(found)}`;
    this.kept.push({ kind, ...place, expected: String(expected), found: String(found), message });
  }
}

/** A number of the medium as people look it up: decimal for counts, hexadecimal for sums and magics. */
export const hex = (value: number): string => `0x${value.toString(16)}`;

/** Permission bits as chmod(1) takes them. */
export const octal = (mode: number): string => `0${mode.toString(8)}`;

/** Names a block with its byte address. */
export const blockName = (block: number): string => `block ${String(block)} (address ${hex(block * 4096)})`;
