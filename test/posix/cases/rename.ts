/** rename(2) and renameat2(2): every type over every type, with every flag. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

const targets = [...types, 'full directory', 'nothing', 'same file'];

function makeTarget(target: string): string {
  if (target === 'nothing') return '';
  if (target === 'full directory') return 'mkdir b\nput b/inside x';
  if (target === 'same file') return 'link a b';
  return make(target, 'b');
}

function isDirectory(type: string): boolean {
  return type === 'dir' || type === 'full directory';
}

function plainResult(source: string, target: string): string {
  if (target === 'nothing' || target === 'same file') return 'ok';
  if (isDirectory(source) && !isDirectory(target)) return 'ENOTDIR';
  if (!isDirectory(source) && isDirectory(target)) return 'EISDIR';
  return target === 'full directory' ? 'ENOTEMPTY' : 'ok';
}

/** What is there afterwards, by type of `a` and `b`. */
function after(source: string, target: string, result: string): string {
  const typeB = target === 'full directory' ? 'dir' : target === 'same file' ? source : target;
  if (result !== 'ok') return `lstat a type = ${source}\n${target === 'nothing' ? 'lstat b = ENOENT' : `lstat b type = ${typeB}`}`;
  if (target === 'same file') return `lstat a type nlink = ${source} 2\nsame a b = yes`;
  return `lstat a = ENOENT\nlstat b type = ${source}\nlist . types = b:${source}`;
}

function pair(source: string, target: string): Case[] {
  if (source === 'dir' && target === 'same file') return [];
  const plain = plainResult(source, target);
  const noReplace = target === 'nothing' ? 'ok' : 'EEXIST';
  const exchange = target === 'nothing' ? 'ENOENT' : 'ok';
  const typeB = target === 'full directory' ? 'dir' : target === 'same file' ? source : target;
  const base = `${make(source, 'a')}\n${makeTarget(target)}`;
  return [
    { name: `${source} over ${target}`, steps: `${base}\nrename a b = ${plain}\n${after(source, target, plain)}` },
    { name: `${source} over ${target}, NOREPLACE`, steps: `${base}\nrename a b noreplace = ${noReplace}\n${after(source, target, noReplace)}` },
    {
      name: `${source} with ${target}, EXCHANGE`,
      steps: `${base}\nrename a b exchange = ${exchange}
        ${exchange === 'ok' ? `lstat a type = ${typeB}\nlstat b type = ${source}` : `lstat a type = ${source}\nlstat b = ENOENT`}`,
    },
  ];
}

/** The same between two directories, where `..` and link counts follow. */
function across(source: string): Case {
  const up = source === 'dir' ? 1 : 0;
  return {
    name: `${source} into another directory`,
    steps: `mkdir from
      mkdir to
      ${make(source, 'from/a')}
      mark from
      mark to
      mark from/a
      rename from/a to/b = ok
      changed from = mc
      changed to = mc
      changed to/b from/a = c
      stat from nlink = 2
      stat to nlink = ${String(2 + up)}
      list from = -
      list to types = b:${source}
      ${source === 'dir' ? 'same to/b/.. to = yes' : 'lstat to/b nlink = 1'}`,
  };
}

const special: Case[] = [
  {
    name: 'a directory into itself or below',
    steps: `mkdir a
      mkdir a/b
      mkdir a/b/c
      rename a a/x = EINVAL
      rename a a/b/x = EINVAL
      rename a a/b/c = EINVAL
      rename a a/b = EINVAL
      rename a a/x noreplace = EINVAL
      rename a a/b/c exchange = EINVAL
      rename a/b/c a exchange = EINVAL
      rename a/b/c a = ENOTEMPTY
      rename a/b a = ENOTEMPTY
      stat a/b/c type = dir`,
  },
  {
    name: 'a name onto itself does nothing',
    steps: `put f x
      mkdir d
      mark f
      mark .
      rename f f = ok
      rename d d = ok
      rename f f exchange = ok
      changed f = -
      changed . = -
      rename f f noreplace = EEXIST`,
  },
  {
    name: 'flags that exclude each other, and unknown ones',
    steps: `put a x
      put b y
      rename a b noreplace exchange = EINVAL
      rename a b 8 = EINVAL
      rename a b 0x80000000 = EINVAL
      get a = x
      get b = y`,
  },
  {
    name: 'the replaced file keeps its contents while it is open',
    steps: `put a new
      put b old
      open fd b rw
      rename a b = ok
      get b = n,e,w
      pread fd 0 9 = o,l,d
      fstat fd nlink = 0
      pwrite fd 3 er = 2
      pread fd 0 9 = o,l,d,e,r
      close fd = ok
      get b = n,e,w`,
  },
  {
    name: 'another link of the replaced file stays',
    steps: `put a new
      put b old
      link b c
      mark c
      rename a b = ok
      stat c nlink size = 1 3
      changed c = c
      get c = o,l,d`,
  },
  {
    name: 'exchanging directories of different parents moves their ..',
    steps: `mkdir p
      mkdir q
      mkdir p/a
      mkdir q/b
      put p/a/1 x
      put q/b/2 x
      rename p/a q/b exchange = ok
      same p/a/.. p = yes
      same q/b/.. q = yes
      list p/a = 2
      list q/b = 1
      stat p nlink = 3
      stat q nlink = 3`,
  },
  {
    name: 'exchanging a file and a directory of different parents counts links',
    steps: `mkdir p
      mkdir q
      mkdir p/d
      put q/f x
      rename p/d q/f exchange = ok
      stat p nlink = 2
      stat q nlink = 3
      stat p/d type = file
      stat q/f type = dir
      same q/f/.. q = yes`,
  },
  {
    name: 'an empty directory is replaced, and what held it sees it removed',
    steps: `mkdir a
      put a/x 1
      mkdir b
      stat . nlink = 4
      rename a b = ok
      stat . nlink = 3
      list b = x
      lstat a = ENOENT`,
  },
  {
    name: 'names of 255 bytes',
    steps: `put {a*255} x
      rename {a*255} {b*255} = ok
      rename {b*255} {c*256} = ENAMETOOLONG
      rename {c*256} d = ENAMETOOLONG
      stat {b*255} size = 1`,
  },
  {
    name: 'a removed directory takes no names',
    mount: Kernel.descriptors,
    steps: `mkdir d
      put f x
      open fd d r directory
      rmdir d
      fchdir fd
      put g x = ENOENT
      mkdir g = ENOENT
      symlink t g = ENOENT
      mknod g fifo 0644 = ENOENT
      list . = -
      fstat fd nlink = 0`,
  },
  {
    name: 'WHITEOUT leaves a character device 0:0 behind',
    needs: 'whiteout',
    steps: `put a x
      put b y
      rename a c whiteout = ok
      lstat a type rdev mode = char 0:0 0000
      get c = x
      rename b c whiteout = ok
      lstat b type rdev = char 0:0
      get c = y
      rename c d whiteout noreplace = ok
      lstat c type = char
      rename d c whiteout exchange = EINVAL`,
  },
];

export const rename: Topic = {
  name: 'rename',
  cases: [...types.flatMap((source) => targets.flatMap((target) => pair(source, target))), ...types.map(across), ...special],
};
