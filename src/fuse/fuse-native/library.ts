import { createRequire } from 'node:module';
import { FsError } from '../../base/errno.js';
import type { MountSettings } from '../transport.js';
import type { StatRecord, StatfsRecord } from './values.js';

/** A result of 0 or more (for read and write the bytes), or −errno; then what the call returns beside it. */
export type Reply<Values extends unknown[] = []> = (result: number, ...values: Values) => void;

/** The calls of libfuse that are answered here, in the shape that fuse-native 2.2.6 makes them. Paths start with a slash. */
export interface NativeOperations {
  getattr(path: string, reply: Reply<[StatRecord?]>): void;
  statfs(path: string, reply: Reply<[StatfsRecord?]>): void;
  readdir(path: string, reply: Reply<[string[]?, StatRecord[]?]>): void;
  readlink(path: string, reply: Reply<[string?]>): void;
  open(path: string, flags: number, reply: Reply<[number?]>): void;
  create(path: string, mode: number, reply: Reply<[number?]>): void;
  release(path: string, handle: number, reply: Reply): void;
  read(path: string, handle: number, buffer: Buffer, length: number, offset: number, reply: Reply): void;
  write(path: string, handle: number, buffer: Buffer, length: number, offset: number, reply: Reply): void;
  fsync(path: string, dataOnly: number, handle: number, reply: Reply): void;
  fsyncdir(path: string, dataOnly: number, handle: number, reply: Reply): void;
  truncate(path: string, size: number, reply: Reply): void;
  /** Milliseconds since 1970; the second is a copy of the first, see {@link requestTimes}. */
  utimens(path: string, atime: number, mtime: number, reply: Reply): void;
  chown(path: string, uid: number, gid: number, reply: Reply): void;
  chmod(path: string, mode: number, reply: Reply): void;
  mknod(path: string, mode: number, device: number, reply: Reply): void;
  mkdir(path: string, mode: number, reply: Reply): void;
  symlink(target: string, path: string, reply: Reply): void;
  link(path: string, newPath: string, reply: Reply): void;
  unlink(path: string, reply: Reply): void;
  rmdir(path: string, reply: Reply): void;
  rename(path: string, newPath: string, reply: Reply): void;
}

type NativeHandler = (request: Buffer, ...values: unknown[]) => void;

/** What is used of an instance of fuse-native's class. The members with an underscore are its own; its last version is final. */
export interface NativeMount {
  mount(done: (error?: Error | null) => void): void;
  /** Calls the class's `unmount` and then gives back what holds the event loop. */
  unmount(done: (error?: Error | null) => void): void;
  /** The words after `-o` for libfuse, with the `-o`. */
  _fuseOptions(): string;
  /** By number of the operation; with gaps. The first argument is the request, see {@link requestTimes}. */
  _handlers: NativeHandler[];
}

/** `timeout: false`: no answer is made up for a request that takes long. */
export interface NativeMountClass {
  new (directory: string, operations: NativeOperations, options: { timeout: false }): NativeMount;
  /** Detaches whatever is mounted there, by fusermount. */
  unmount(directory: string, done: (error: Error | null) => void): void;
}

/** fuse-native copies these into buffers of this size and cuts what is longer. */
const NATIVE_TEXT_BYTES = 1024;

/** Flags of mount(8) that libfuse 2 understands. */
const KNOWN_FLAGS = new Set(['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec', 'sync', 'async', 'dirsync', 'atime', 'noatime']);
/** Flags that say what is the case anyway. */
const DEFAULT_FLAGS = new Set(['diratime', 'relatime', 'nostrictatime', 'nolazytime']);

/** Loads the package. Throws FsError EOPNOTSUPP that says what to install. `require` is replaced in tests. */
export function loadFuseNative(require: (name: string) => unknown = createRequire(import.meta.url)): NativeMountClass {
  try {
    const loaded = require('fuse-native') as NativeMountClass;
    // Unmounting is the daemon's, which looks at what is mounted there.
    loaded.unmount = (_directory, done) => done(null);
    return loaded;
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    const missingPackage = error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND';
    const remedy = missingPackage ? 'install the npm package fuse-native' : 'install libfuse 2 (Debian: apt-get install libfuse2)';
    throw new FsError('EOPNOTSUPP', `transport=fuse-native can not be used here: ${remedy}, or leave the option out (${reason})`);
  }
}

/**
 * Options for libfuse:
 *  - use_ino: hard links are told by st_ino;
 *  - attr_timeout=0: libfuse numbers names, not inodes, so the kernel can't know that a change of one hard link changes the other;
 *  - nonempty: what the other transport does without asking.
 * Throws FsError EOPNOTSUPP for a flag that libfuse lacks, ENAMETOOLONG for more text than fuse-native carries.
 */
export function libfuseOptions(settings: MountSettings): string {
  const { source, directory, subtype, readOnly, allowOther, flags, maxRead, directIo } = settings;
  const unknown = flags.find((flag) => !KNOWN_FLAGS.has(flag) && !DEFAULT_FLAGS.has(flag));
  if (unknown !== undefined) throw new FsError('EOPNOTSUPP', `transport=fuse-native does not have the mount option ${unknown}`);
  const words = ['default_permissions', 'use_ino', 'attr_timeout=0', 'big_writes', 'nonempty', `subtype=${subtype}`, `fsname=${escaped(source)}`];
  if (allowOther) words.push('allow_other');
  if (readOnly) words.push('ro');
  if (directIo) words.push('direct_io');
  if (maxRead > 0) words.push(`max_read=${String(maxRead)}`);
  words.push(...flags.filter((flag) => KNOWN_FLAGS.has(flag)));
  const options = `-o${words.join(',')}`;
  for (const text of [options, directory]) {
    if (Buffer.byteLength(text) >= NATIVE_TEXT_BYTES) {
      throw new FsError('ENAMETOOLONG', `transport=fuse-native takes paths and options of less than ${String(NATIVE_TEXT_BYTES)} bytes: ${text}`);
    }
  }
  return options;
}

function escaped(value: string): string {
  return value.replace(/[\\,]/g, '\\$&');
}
