/**
 * Operations as plain data. They name inodes by the operation that made them (0: the root directory), so that any
 * subsequence of a sequence means something: what refers to an inode that is not there is skipped.
 */
import type { AclEntry } from '../helpers/acl.js';

export type Reference = number;

interface Named {
  parent: Reference;
  /** One character per byte. */
  name: string;
}

interface Owner {
  uid: number;
  gid: number;
}

interface Masked {
  umask: number;
}

/** What differs from kind to kind. */
export type OperationBody =
  | ({ kind: 'lookup' } & Named)
  | ({ kind: 'make'; mode: number; major: number; minor: number } & Named & Owner & Masked)
  | ({ kind: 'symlink'; target: string } & Named & Owner)
  | ({ kind: 'temporary'; parent: Reference; mode: number } & Owner & Masked)
  | ({ kind: 'link'; inode: Reference } & Named)
  | ({ kind: 'unlink' } & Named)
  | ({ kind: 'rmdir' } & Named)
  | ({ kind: 'rename'; newParent: Reference; newName: string; flags: number } & Named)
  | { kind: 'readlink'; inode: Reference }
  | {
      kind: 'setAttributes';
      inode: Reference;
      mask: number;
      mode: number;
      uid: number;
      gid: number;
      size: number;
      atime: [number, number];
      mtime: [number, number];
      ctime: [number, number];
    }
  | { kind: 'read'; inode: Reference; offset: number; length: number }
  /** The bytes written follow from `fill`. */
  | { kind: 'write'; inode: Reference; offset: number; length: number; fill: number }
  | { kind: 'append'; inode: Reference; length: number; fill: number }
  | { kind: 'allocate'; inode: Reference; mode: number; offset: number; length: number }
  | { kind: 'seek'; inode: Reference; offset: number; whence: number }
  | { kind: 'copy'; inode: Reference; sourceOffset: number; target: Reference; targetOffset: number; length: number }
  /** The value: `entries` of an ACL, or `length` bytes that follow from `fill`. */
  | { kind: 'setXattr'; inode: Reference; name: string; flags: number; entries?: readonly AclEntry[]; length: number; fill: number }
  | { kind: 'removeXattr'; inode: Reference; name: string }
  | { kind: 'sync'; inode: Reference }
  /** Reads a whole directory, `chunk` entries per call. */
  | { kind: 'list'; inode: Reference; chunk: number }
  /** Starts to read a directory; `readDirectory` continues it between other operations. */
  | { kind: 'openDirectory'; inode: Reference }
  | { kind: 'readDirectory'; stream: Reference; count: number }
  | { kind: 'hold'; inode: Reference }
  | { kind: 'release'; inode: Reference; count: number }
  /** An inode number that was never used, or is of a file that is gone. */
  | { kind: 'stale'; ino: number }
  | { kind: 'flushTimes' }
  | { kind: 'background'; steps: number }
  | { kind: 'request'; low: number; high: number; opcode: number }
  | { kind: 'wait'; seconds: number }
  /** Compares everything, and checks statistics. */
  | { kind: 'compare' }
  /** `close`: in order. Otherwise the engine is left where it stands, and of what no fence has made certain survives: all, nothing, or some of it. */
  | { kind: 'remount'; how: 'close' | 'all' | 'nothing' | 'some'; verify: boolean };

export type Operation = OperationBody & {
  /** Unique in a sequence, > 0. */
  id: number;
};

/** Source text of a sequence, to paste into a test. */
export function sourceOf(operations: readonly Operation[]): string {
  const one = (operation: Operation): string =>
    JSON.stringify(operation)
      .replace(/"([a-zA-Z]+)":/g, ' $1: ')
      .replace(/,(?= [a-zA-Z]+: )/g, ',')
      .replace(/\}$/, ' }');
  return `[\n${operations.map((operation) => `  ${one(operation)},`).join('\n')}\n]`;
}
