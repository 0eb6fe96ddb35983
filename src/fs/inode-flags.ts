import { fail } from '../base/errno.js';
import { FileType, Inode, InodeFlag } from '../format/layout.js';
import { typeOf } from './records.js';
import { type AttributeChange, Change } from './types.js';

/**
 * What chattr(1) sets: flags of an inode and its project id. The kernel keeps no such flags of a FUSE file, so that what they
 * forbid is refused here, with the errors and in the order of the kernel's own filesystems.
 */

/** Flags that programs may set. */
export const SETTABLE_FLAGS =
  InodeFlag.dax |
  InodeFlag.appendOnly |
  InodeFlag.immutable |
  InodeFlag.noDump |
  InodeFlag.noAtime |
  InodeFlag.sync |
  InodeFlag.projectInherit;

/** What a new inode takes over from its directory, by its type. */
const INHERITED_BY_DIRECTORIES = InodeFlag.dax | InodeFlag.noDump | InodeFlag.noAtime | InodeFlag.sync | InodeFlag.projectInherit;
const INHERITED_BY_FILES = InodeFlag.dax | InodeFlag.noDump | InodeFlag.noAtime | InodeFlag.sync;
const INHERITED_BY_OTHERS = InodeFlag.noDump | InodeFlag.noAtime;

const PROTECTED = InodeFlag.appendOnly | InodeFlag.immutable;
const TOUCH = Change.atimeNow | Change.mtimeNow;
const TIMES = Change.atime | Change.mtime | TOUCH;

export function flagsOf(view: DataView, record: number): number {
  return view.getUint32(record + Inode.flags, true);
}

export function projectOf(view: DataView, record: number): number {
  return view.getUint32(record + Inode.project, true);
}

/** Gives a new, editable record the flags and the project that it inherits from its directory's. */
export function inheritFlags(view: DataView, record: number, directory: number): void {
  const flags = flagsOf(view, directory);
  const type = typeOf(view, record);
  const mask = type === FileType.directory ? INHERITED_BY_DIRECTORIES : type === FileType.regular ? INHERITED_BY_FILES : INHERITED_BY_OTHERS;
  view.setUint32(record + Inode.flags, flags & mask, true);
  if ((flags & InodeFlag.projectInherit) !== 0) view.setUint32(record + Inode.project, projectOf(view, directory), true);
}

/** EPERM for what is immutable: files that are to be written, directories in which names are to be made. */
export function requireMutable(view: DataView, record: number): void {
  if ((flagsOf(view, record) & InodeFlag.immutable) !== 0) fail('EPERM', 'it is immutable');
}

/** EPERM for what is immutable or append-only: its attributes, names and what lies before its end stay as they are. */
export function requireUnprotected(view: DataView, record: number): void {
  if ((flagsOf(view, record) & PROTECTED) !== 0) fail('EPERM', 'it is immutable or append-only');
}

/** EPERM unless `victim` may lose a name in `directory`. */
export function requireRemovable(view: DataView, directory: number, victim: number): void {
  requireUnprotected(view, directory);
  requireUnprotected(view, victim);
}

/** EXDEV when a directory that hands its project down would get a name of an inode of another project. */
export function requireSameProject(view: DataView, directory: number, record: number): void {
  const inherits = (flagsOf(view, directory) & InodeFlag.projectInherit) !== 0;
  if (inherits && projectOf(view, directory) !== projectOf(view, record)) fail('EXDEV', 'the directory belongs to another project');
}

export function isAppendOnly(view: DataView, record: number): boolean {
  return (flagsOf(view, record) & InodeFlag.appendOnly) !== 0;
}

/** EPERM for a change that the flags forbid. To set both times to the present is allowed on what is append-only, as writing is. */
export function requireChangeable(view: DataView, record: number, { mask }: AttributeChange): void {
  const flags = flagsOf(view, record);
  if ((flags & PROTECTED) === 0) return;
  const times = mask & TIMES;
  const onlyTouched = times === 0 || (times & TOUCH) === TOUCH;
  const other = (mask & (Change.mode | Change.uid | Change.gid | Change.size)) !== 0;
  const implied = times === 0 && !other;
  if ((flags & InodeFlag.immutable) !== 0 || (!implied && (other || !onlyTouched))) fail('EPERM', 'it is immutable or append-only');
}

/**
 * Sets flags and project of an editable record. EOPNOTSUPP for flags that there are not, EINVAL for DAX of what has no pages, EPERM when what
 * is and stays immutable would change.
 */
export function changeFlags(view: DataView, record: number, flags: number, project: number): void {
  if ((flags & ~SETTABLE_FLAGS) !== 0) fail('EOPNOTSUPP', 'there is no such flag here');
  const type = typeOf(view, record);
  if ((flags & InodeFlag.dax) !== 0 && type !== FileType.regular && type !== FileType.directory) fail('EINVAL', 'only files and directories can be DAX');
  const before = flagsOf(view, record);
  const staysImmutable = (before & flags & InodeFlag.immutable) !== 0;
  if (staysImmutable && ((before & SETTABLE_FLAGS) !== flags || project !== projectOf(view, record))) fail('EPERM', 'it is immutable');
  view.setUint32(record + Inode.flags, ((before & ~SETTABLE_FLAGS) | flags) >>> 0, true);
  view.setUint32(record + Inode.project, project, true);
}
