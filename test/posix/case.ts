/**
 * The language of the conformance table. A case is a few lines in a directory of its own, one system call a line:
 *
 *     put file hello
 *     chmod file 0400
 *     as 1001 open - file w = EACCES
 *     stat file mode size = 0400 5
 *
 * A line with ` = ` is an assertion: the call gives this error, this value, or `ok`. A line without must succeed. `{x*255}` stands for 255 times
 * x; contents are written in runs (`a*5,b`, `.` is a zero byte, `-` nothing). `as UID[:GID[,GROUP…]]` runs the rest in a forked process of that user,
 * `fork` in another process of the same one. A word that ends names an open descriptor: `open fd file rw`, `write fd abc`. What each command does
 * is in test/posix/driver (through the kernel) and test/posix/engine.ts (on the engine itself).
 *
 * A line `--- remount` is replaced by an unmount and a mount; after `--- read-only` the volume is mounted read-only.
 */

/** Why a case is run through a mount only: what it is about is decided before the engine is asked. */
export const Kernel = {
  permissions: 'default_permissions: the kernel checks modes, owners and capabilities before it asks the filesystem',
  descriptors: 'descriptors and their flags are the kernel\'s: the filesystem sees only calls they allow',
  paths: 'the kernel walks paths: empty ones, trailing slashes, PATH_MAX and "." never reach the filesystem as such',
  mappings: 'mappings are made of page-cache pages, filled and written by ordinary READ and WRITE',
  locks: 'locks are kept in the kernel, FUSE locks are not negotiated',
  limits: 'RLIMIT_FSIZE is checked by the kernel',
  notification: 'inotify is fed by the kernel\'s own calls',
  execution: 'programs are run by the kernel',
  handles: 'file handles are made by the kernel from inode number and generation',
  sets: 'the kernel decides who keeps set-user-id, set-group-id and security.capability, and tells with the request',
} as const;

/** What another part of the filesystem brings: its cases wait until it is there (`features` in table.ts). */
export type Feature = 'xattr' | 'acl' | 'flags' | 'whiteout' | 'remount' | 'handles';

export interface Case {
  readonly name: string;
  readonly steps: string;
  /** Run through a mount only, for this reason. */
  readonly mount?: string;
  /** Not on other filesystems, to try the table itself: they differ for this reason. */
  readonly host?: string;
  /** Not where files are served from host files, by the kernel alone, for this reason. */
  readonly passthrough?: string;
  readonly needs?: Feature;
}

export interface Topic {
  readonly name: string;
  readonly cases: readonly Case[];
}

export interface Step {
  readonly command: string;
  /** undefined: set-up, which must succeed. */
  readonly expected: string | undefined;
}

/** The lines of a case. */
export function stepsOf({ steps }: Case): Step[] {
  const found: Step[] = [];
  for (const raw of steps.split('\n')) {
    const line = raw.trim().replaceAll(/\s+/g, ' ');
    if (line === '') continue;
    const at = line.lastIndexOf(' = ');
    found.push(at < 0 ? { command: line, expected: undefined } : { command: line.slice(0, at), expected: line.slice(at + 3) });
  }
  return found;
}

/** Whether the result of a step is what the table says; set-up may give any result that is no error. */
export function agrees(step: Step, result: string): boolean {
  return step.expected === undefined ? !/^(E[A-Z0-9]+|SIG[A-Z]+)$/.test(result) : step.expected === result;
}

/** Something that can run the steps of a case: the engine in this process, or a mount through the driver. */
export interface Executor {
  /** Begins a case in an empty directory of this name. */
  begin(directory: string): Promise<void>;
  /** Runs commands one after the other and gives the result of each. */
  run(commands: readonly string[]): Promise<string[]>;
  /** Unmounts and mounts again, read-only or not. */
  remount(readOnly: boolean): Promise<void>;
}
