import { readFileSync } from 'node:fs';

/** One line of /proc/self/mountinfo. */
export interface MountedFilesystem {
  readonly id: number;
  /** major:minor, st_dev of its files. */
  readonly device: string;
  readonly directory: string;
  readonly type: string;
  readonly source: string;
  /** Flags of this mount: rw, nosuid, relatime … */
  readonly options: readonly string[];
  /** Options of the filesystem, of all its mounts: rw, user_id=0 … */
  readonly superOptions: readonly string[];
}

/** What is mounted at the directory (an absolute path, as the kernel shows it); the topmost if there are several. */
export function mountedAt(directory: string): MountedFilesystem | undefined {
  return currentMounts().findLast((mount) => mount.directory === directory);
}

/** The topmost FUSE mount of this source at the directory, even if something else was mounted over it. */
export function fuseMountAt(directory: string, source: string): MountedFilesystem | undefined {
  return currentMounts().findLast((mount) => mount.directory === directory && mount.source === source && isFuse(mount));
}

/** The mount with this number, if it is still there. */
export function mountWithId(id: number): MountedFilesystem | undefined {
  return currentMounts().find((mount) => mount.id === id);
}

/** A FUSE mount of this source (an image's absolute path), if there is one. */
export function mountOf(source: string): MountedFilesystem | undefined {
  return currentMounts().find((mount) => mount.source === source && isFuse(mount));
}

export function isFuse(mount: MountedFilesystem): boolean {
  return mount.type === 'fuse' || mount.type.startsWith('fuse.');
}

function currentMounts(): MountedFilesystem[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'latin1'));
}

/** Reads the text of /proc/self/mountinfo; see proc_pid_mountinfo(5). */
export function parseMounts(text: string): MountedFilesystem[] {
  const mounts: MountedFilesystem[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const [id, , device, , directory, options] = (before ?? '').split(' ');
    const [type, source, superOptions] = (after ?? '').split(' ');
    if (device === undefined || directory === undefined || type === undefined || source === undefined) continue;
    const flags = { options: (options ?? '').split(','), superOptions: (superOptions ?? '').split(',') };
    mounts.push({ id: Number(id), device, directory: unescaped(directory), type, source: unescaped(source), ...flags });
  }
  return mounts;
}

/** Space, tab, newline and backslash are written in octal; the rest is bytes, read as UTF-8 as Node reads paths. */
function unescaped(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
