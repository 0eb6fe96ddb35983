/** What programs see of a healthy volume, by inode: what must be intact when something else is damaged. */
import { FsError } from '../../src/base/errno.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { Attributes } from '../../src/fs/types.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { BudgetedPmem } from './budgeted-pmem.js';
import { type Entry, listAll, openDamaged, readAll, readAttributes, readTarget } from './exercise.js';

export interface Inode {
  ino: Ino;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeSeconds: number;
  /** Extended attributes. */
  xattrs: Map<string, Buffer>;
  /** Of a regular file. */
  bytes?: Uint8Array;
  /** Of a symbolic link. */
  target?: string;
  /** Of a directory. */
  entries?: Map<string, Ino>;
  /** Directories and inodes on the way from the root, itself included. */
  way: Ino[];
}

export type Contents = Map<Ino, Inode>;

/** Everything that has a name in the volume; it is opened, which finishes what was interrupted. */
export function contentsOf(medium: SimulatedPmem): Contents {
  const pmem = new BudgetedPmem(medium, Infinity);
  const opened = openDamaged(pmem);
  if (opened instanceof FsError) throw opened;
  const contents: Contents = new Map();
  collect(opened.fs, pmem, asIno(1), [], contents);
  opened.fs.close();
  return contents;
}

function collect(fs: FileSystemOperations, pmem: BudgetedPmem, ino: Ino, above: Ino[], contents: Contents): void {
  if (contents.has(ino)) return;
  const way = [...above, ino];
  const shown = show(fs, pmem, ino, way);
  if (shown instanceof FsError) throw shown;
  contents.set(ino, shown);
  for (const entry of shown.entries?.values() ?? []) collect(fs, pmem, entry, way, contents);
}

/** What the volume shows of an inode, or why not. */
export function show(fs: FileSystemOperations, pmem: BudgetedPmem, ino: Ino, way: Ino[]): Inode | FsError {
  const attributes = new Attributes();
  try {
    fs.getAttributes(ino, attributes);
  } catch (error) {
    if (error instanceof FsError) return error;
    throw error;
  }
  const { mode, uid, gid, size, mtimeSeconds } = attributes;
  const xattrs = readAttributes(fs, ino);
  if (xattrs instanceof FsError) return xattrs;
  const inode: Inode = { ino, mode, uid, gid, size, mtimeSeconds, xattrs, way };
  const type = mode & FileType.mask;
  if (type === FileType.regular) {
    const bytes = readAll(fs, pmem, ino, size);
    if (bytes instanceof FsError) return bytes;
    inode.bytes = bytes;
  } else if (type === FileType.symlink) {
    const target = readTarget(fs, ino);
    if (target instanceof FsError) return target;
    inode.target = target;
  } else if (type === FileType.directory) {
    const entries = listAll(fs, ino);
    if (entries instanceof FsError) return entries;
    inode.entries = namesOf(entries);
  }
  return inode;
}

function namesOf(entries: Entry[]): Map<string, Ino> {
  return new Map(entries.map((entry) => [entry.name, entry.ino]));
}

/** How `found` differs from what it was, undefined when it does not. Entries and links are compared apart. */
export function differenceOf(expected: Inode, found: Inode): string | undefined {
  for (const field of ['mode', 'uid', 'gid', 'mtimeSeconds'] as const) {
    if (expected[field] !== found[field]) return `${field} is ${String(found[field])}, was ${String(expected[field])}`;
  }
  if (expected.entries === undefined && expected.size !== found.size) return `size is ${String(found.size)}, was ${String(expected.size)}`;
  if (expected.bytes !== undefined && (found.bytes === undefined || Buffer.compare(expected.bytes, found.bytes) !== 0)) return 'other bytes';
  if (expected.target !== found.target) return 'another target';
  if (expected.xattrs.size !== found.xattrs.size) return `${String(found.xattrs.size)} extended attributes, had ${String(expected.xattrs.size)}`;
  for (const [name, value] of expected.xattrs) {
    if (found.xattrs.get(name)?.equals(value) !== true) return `another extended attribute ${JSON.stringify(name)}`;
  }
  return undefined;
}
