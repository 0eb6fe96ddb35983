import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import type { MemoryVolume } from '../helpers/memory-volume.js';
import type { Walker } from './walk.js';

/** An open file of the engine executor. */
export interface Descriptor {
  ino: Ino;
  position: number;
  append: boolean;
}

/** An open directory stream. */
export interface Stream {
  ino: Ino;
  cookie: number;
  saved: Map<string, number>;
}

/** What the commands of the engine executor work with. */
export interface Context {
  readonly volume: MemoryVolume;
  readonly walker: Walker;
  readonly descriptors: Map<string, Descriptor>;
  readonly streams: Map<string, Stream>;
  /** Times of an inode at its mark: atime, mtime, ctime. */
  readonly marks: Map<string, string[]>;
  umask: number;
  /** Who asks. */
  owner(): { uid: number; gid: number };
  hold(ino: Ino): Ino;
}

/** Runs one command and gives its result; errors are thrown as FsError. */
export type Command = (context: Context, args: string[]) => string;
export type Commands = Record<string, Command>;

export function textAt(args: readonly string[], index: number): string {
  const text = args[index];
  if (text === undefined) throw new Error(`word ${String(index)} is missing: ${args.join(' ')}`);
  return text;
}

export function numberAt(args: readonly string[], index: number): number {
  const value = Number(textAt(args, index));
  if (Number.isNaN(value)) throw new Error(`a number expected: ${args.join(' ')}`);
  return value;
}

/** An octal word; `otherwise` when it is not there. */
export function octalAt(args: readonly string[], index: number, otherwise: number): number {
  return args[index] === undefined ? otherwise : parseInt(args[index], 8);
}

export function descriptorAt(context: Context, args: readonly string[], index: number): Descriptor {
  const descriptor = context.descriptors.get(textAt(args, index));
  if (descriptor === undefined) throw new FsError('EBADF');
  return descriptor;
}
