/** What generated cases have in common: one name of every type, and the paths that no call can walk. */
import { Kernel, type Case } from '../case.js';

/** Commands that make `name` as a file of each type. */
export const makers: Readonly<Record<string, (name: string) => string>> = {
  file: (name) => `put ${name} data`,
  dir: (name) => `mkdir ${name}`,
  link: (name) => `symlink nowhere ${name}`,
  fifo: (name) => `mknod ${name} fifo 0644`,
  socket: (name) => `mknod ${name} socket 0644`,
  char: (name) => `mknod ${name} char 0644 1 7`,
  block: (name) => `mknod ${name} block 0644 250 1048575`,
};

export const types = Object.keys(makers);

export function make(type: string, name: string): string {
  const maker = makers[type];
  if (maker === undefined) throw new Error(`no type ${type}`);
  return maker(name);
}

/** A system call on a path: `text` with its path put in. */
export interface PathCall {
  readonly name: string;
  call(path: string): string;
  /** Prepares what the call needs beside the path. */
  readonly setup?: string;
  /** For a path that must exist, as a file or as a directory. */
  readonly on: 'file' | 'dir' | 'new' | 'link' | 'any';
  /** Changes something: refused on a read-only mount. */
  readonly changes: boolean;
  /** Works on a symbolic link itself. */
  readonly nofollow?: boolean;
}

/** Every call of the issue that takes a path; generated cases run over all of them. */
export const pathCalls: readonly PathCall[] = [
  { name: 'stat', call: (p) => `stat ${p}`, on: 'any', changes: false },
  { name: 'lstat', call: (p) => `lstat ${p}`, on: 'any', changes: false, nofollow: true },
  { name: 'open for reading', call: (p) => `open - ${p} r`, on: 'any', changes: false },
  { name: 'open for writing', call: (p) => `open - ${p} w`, on: 'file', changes: true },
  { name: 'open O_TRUNC', call: (p) => `open - ${p} w trunc`, on: 'file', changes: true },
  { name: 'open O_CREAT|O_EXCL', call: (p) => `open - ${p} w creat excl`, on: 'new', changes: true, nofollow: true },
  { name: 'open O_TMPFILE', call: (p) => `open - ${p} rw tmpfile`, on: 'dir', changes: true },
  { name: 'mkdir', call: (p) => `mkdir ${p}`, on: 'new', changes: true, nofollow: true },
  { name: 'rmdir', call: (p) => `rmdir ${p}`, on: 'dir', changes: true, nofollow: true },
  { name: 'mknod of a fifo', call: (p) => `mknod ${p} fifo 0644`, on: 'new', changes: true, nofollow: true },
  { name: 'mknod of a device', call: (p) => `mknod ${p} char 0644 1 3`, on: 'new', changes: true, nofollow: true },
  { name: 'mknod of a file', call: (p) => `mknod ${p} file 0644`, on: 'new', changes: true, nofollow: true },
  { name: 'symlink', call: (p) => `symlink target ${p}`, on: 'new', changes: true, nofollow: true },
  { name: 'readlink', call: (p) => `readlink ${p}`, on: 'link', changes: false, nofollow: true },
  { name: 'link from', call: (p) => `link ${p} new-link`, on: 'file', changes: true, nofollow: true },
  { name: 'link to', call: (p) => `link other-file ${p}`, setup: 'put other-file x', on: 'new', changes: true, nofollow: true },
  { name: 'unlink', call: (p) => `unlink ${p}`, on: 'file', changes: true, nofollow: true },
  { name: 'rename from', call: (p) => `rename ${p} new-name`, on: 'any', changes: true, nofollow: true },
  { name: 'rename to', call: (p) => `rename other-file ${p}`, setup: 'put other-file x', on: 'new', changes: true, nofollow: true },
  { name: 'chmod', call: (p) => `chmod ${p} 0600`, on: 'any', changes: true },
  { name: 'chown', call: (p) => `chown ${p} 7 8`, on: 'any', changes: true },
  { name: 'lchown', call: (p) => `lchown ${p} 7 8`, on: 'any', changes: true, nofollow: true },
  { name: 'truncate', call: (p) => `truncate ${p} 1`, on: 'file', changes: true },
  { name: 'utimensat', call: (p) => `utimens ${p} 1 2`, on: 'any', changes: true },
  { name: 'utimensat AT_SYMLINK_NOFOLLOW', call: (p) => `lutimens ${p} 1 2`, on: 'any', changes: true, nofollow: true },
  { name: 'statfs', call: (p) => `statfs ${p} namemax`, on: 'any', changes: false },
  { name: 'opendir', call: (p) => `opendir d ${p}`, on: 'dir', changes: false },
];

/** Calls on paths whose cases are the kernel's alone. */
export const kernelPathCalls: readonly PathCall[] = [
  { name: 'access', call: (p) => `access ${p} 0`, on: 'any', changes: false },
  { name: 'chdir', call: (p) => `chdir ${p}`, on: 'dir', changes: false },
];

export function kernelOnly(cases: Case[], reason: keyof typeof Kernel): Case[] {
  return cases.map((test) => ({ ...test, mount: Kernel[reason] }));
}
