/** Making and removing names: mkdir, mknod, symlink, readlink, link, unlink, rmdir. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

/** Every type of file: made by every call over every type of file there is already. */
const makingCalls: readonly (readonly [string, string])[] = [
  ['mkdir', 'mkdir n'],
  ['mknod of a file', 'mknod n file 0644'],
  ['mknod of a fifo', 'mknod n fifo 0644'],
  ['mknod of a socket', 'mknod n socket 0644'],
  ['mknod of a character device', 'mknod n char 0600 1 3'],
  ['mknod of a block device', 'mknod n block 0600 7 0'],
  ['symlink', 'symlink target n'],
  ['link', 'link other n'],
  ['open O_CREAT|O_EXCL', 'open - n w creat excl'],
];

function existing([name, command]: readonly [string, string]): Case {
  return {
    name: `${name} over every type of file: EEXIST, and nothing changes`,
    steps: types.map((type) => `mkdir ${type}`).join('\n') + types.map((type) => `
      put ${type}/other x
      ${make(type, `${type}/n`)}
      mark ${type}
      ${command.replace(/\bn\b/, `${type}/n`).replace('link other ', `link ${type}/other `)} = EEXIST
      changed ${type} = -
      lstat ${type}/n type = ${type}`).join(''),
  };
}

/** What a new file looks like, and what its directory sees of it. */
function fresh(type: string): Case {
  const wanted: Record<string, string> = {
    file: 'file 0644 1 4 0:0', dir: 'dir 0755 2', link: 'link 0777 1 7 0:0', fifo: 'fifo 0644 1 0 0:0', socket: 'socket 0644 1 0 0:0',
    char: 'char 0644 1 0 1:7', block: 'block 0644 1 0 250:1048575',
  };
  const fields = type === 'dir' ? 'type mode nlink' : 'type mode nlink size rdev';
  return {
    name: `a new ${type}`,
    steps: `mkdir d
      mark d
      ${make(type, 'd/n')}
      changed d = mc
      lstat d/n ${fields} = ${wanted[type] ?? ''}
      lstat d/n uid gid born = 0 0 yes
      recent d/n = am
      list d types = n:${type}
      stat d nlink = ${type === 'dir' ? '3' : '2'}
      mark d
      ${type === 'dir' ? 'rmdir d/n' : 'unlink d/n'} = ok
      changed d = mc
      lstat d/n = ENOENT
      stat d nlink = 2
      list d = -`,
    ...(type === 'dir' || type === 'file' ? { host: 'not every filesystem counts directories and tells the time of birth alike' } : {}),
  };
}

/** unlink, rmdir and link on each type. */
function removing(type: string): Case {
  const directory = type === 'dir';
  return {
    name: `unlink, rmdir and link of a ${type}`,
    steps: `${make(type, 'n')}
      ${directory ? 'unlink n = EISDIR' : 'rmdir n = ENOTDIR'}
      lstat n type = ${type}
      link n m = ${directory ? 'EPERM' : 'ok'}
      ${directory ? 'lstat m = ENOENT' : `lstat m type nlink = ${type} 2\nsame n m = yes`}
      ${directory ? 'rmdir n = ok' : 'unlink n = ok'}
      ${directory ? '' : `lstat m type nlink = ${type} 1`}
      lstat n = ENOENT`,
  };
}

/** Permission bits of every making call under every umask of a few, and the bits that a mode may have. */
function umasks(mask: string): Case {
  const bits = parseInt(mask, 8);
  const masked = (mode: number): string => (mode & ~bits).toString(8).padStart(4, '0');
  return {
    name: `umask ${mask}`,
    steps: `umask ${mask}
      mkdir d 0777
      open - f w creat 0666
      open - x w creat 0777
      open - s w creat 06755
      mknod p fifo 0666
      mknod n file 01777
      mkdir t 01777
      symlink t l
      stat d mode = ${masked(0o777)}
      stat f mode = ${masked(0o666)}
      stat x mode = ${masked(0o777)}
      stat s mode = ${masked(0o6755)}
      stat p mode = ${masked(0o666)}
      stat n mode = ${masked(0o1777)}
      stat t mode = ${masked(0o1777)}
      lstat l mode = 0777`,
  };
}

function symlinkLength(length: number): Case {
  return {
    name: `a symbolic link of ${String(length)} bytes`,
    steps: `symlink {t*${String(length)}} l
      readlink l = ${'t'.repeat(length)}
      lstat l size = ${String(length)}
      readlink l 5 = ${'t'.repeat(Math.min(5, length))}
      rename l m
      link m k
      unlink m
      readlink k = ${'t'.repeat(length)}`,
  };
}

const devices: readonly (readonly [number, number])[] = [[0, 0], [1, 3], [8, 255], [255, 256], [4095, 1048575], [259, 65536]];

const special: Case[] = [
  {
    name: 'device numbers',
    steps: devices.flatMap(([major, minor]) => ['char', 'block'].map((type) => `
      mknod ${type}${String(major)}.${String(minor)} ${type} 0600 ${String(major)} ${String(minor)}
      stat ${type}${String(major)}.${String(minor)} type rdev = ${type} ${String(major)}:${String(minor)}`)).join(''),
  },
  {
    name: 'mknod of what is no node',
    mount: Kernel.paths,
    steps: `mknod d dir 0755 = EPERM
      mknod l link 0755 = EINVAL
      mknod b bad 0644 = EINVAL
      mknod n none 0640 = ok
      stat n type mode = file 0640`,
  },
  {
    name: 'mknod with numbers for what is no device',
    steps: `mknod p fifo 0644 5 6
      mknod s socket 0644 5 6
      mknod f file 0644 5 6
      stat p rdev = 0:0
      stat s rdev = 0:0
      stat f rdev = 0:0`,
    host: 'some keep the number',
  },
  {
    name: 'a directory that is not empty',
    steps: `mkdir d
      put d/f x
      rmdir d = ENOTEMPTY
      unlink d/f
      mkdir d/e
      rmdir d = ENOTEMPTY
      rmdir d/e
      symlink x d/l
      rmdir d = ENOTEMPTY
      unlink d/l
      rmdir d = ok
      stat d = ENOENT`,
  },
  {
    name: 'link counts of directories',
    steps: `mkdir d
      stat d nlink = 2
      mkdir d/a
      mkdir d/b
      mkdir d/a/c
      put d/f x
      stat d nlink = 4
      stat d/a nlink = 3
      rename d/a/c d/c
      stat d nlink = 5
      stat d/a nlink = 2
      rmdir d/c
      rmdir d/b
      stat d nlink = 3`,
  },
  {
    name: 'hard links share everything',
    steps: `put a one
      mark a
      link a b = ok
      changed a = c
      link b c
      stat a nlink = 3
      chmod b 0600
      stat c mode = 0600
      open fd c w append
      write fd more
      get a = o,n,e,m,o,r,e
      mark b
      unlink a = ok
      changed b = c
      stat b nlink size = 2 7
      truncate b 1
      get c = o`,
  },
  {
    name: 'a hundred links',
    steps: `put f x
      ${Array.from({ length: 100 }, (_, i) => `link f l${String(i)}`).join('\n')}
      stat f nlink = 101
      list . count = 101
      ${Array.from({ length: 50 }, (_, i) => `unlink l${String(i * 2)}`).join('\n')}
      stat l99 nlink = 51`,
  },
  {
    name: 'link follows a symbolic link only when told to',
    steps: `put f x
      symlink f l
      link l m = ok
      lstat m type nlink = link 2
      readlink m = f
      link l n follow = ok
      lstat n type nlink = file 2
      same n f = yes
      symlink nowhere k
      link k j follow = ENOENT
      link k j = ok`,
  },
  {
    name: 'unlinked but open',
    steps: `put f abc
      open fd f rw
      unlink f = ok
      fstat fd nlink size = 0 3
      pread fd 0 9 = a,b,c
      pwrite fd 3 d = 1
      ftruncate fd 6 = ok
      pread fd 0 9 = a,b,c,d,.*2
      fstat fd size = 6
      put f new
      get f = n,e,w
      pread fd 0 9 = a,b,c,d,.*2
      fchmod fd 0600 = ok
      futimens fd 5 6 = ok
      fstat fd mode mtime = 0600 6.0
      close fd = ok
      stat f mode = 0644`,
  },
  {
    name: 'a removed file is not brought back by its descriptor',
    mount: Kernel.descriptors,
    steps: `put f x
      open fd f rw
      unlink f
      flink fd g = ENOENT
      linkproc fd g = ENOENT
      lstat g = ENOENT`,
  },
  {
    name: 'a removed directory that is open',
    steps: `mkdir d
      open fd d r directory
      opendir s d
      rmdir d = ok
      fstat fd nlink type = 0 dir
      readdir s 9 = -
      mkdir d = ok
      stat d nlink = 2`,
    host: 'the link count of what was removed differs',
  },
  {
    name: 'symlink with an empty target',
    mount: Kernel.paths,
    steps: `symlink '' l = ENOENT`,
  },
  { name: 'symlink with a target of 4096 bytes', mount: Kernel.paths, steps: 'symlink {t*4096} l = ENAMETOOLONG\nlstat l = ENOENT' },
  {
    name: 'symlink: any target will do',
    steps: `symlink / root
      symlink .. up
      symlink a//b/../c/ odd
      readlink root = /
      readlink up = ..
      readlink odd = a//b/../c/
      lstat odd size = 10`,
  },
  {
    name: 'readlink of what is no link',
    steps: types.filter((type) => type !== 'link').map((type) => `${make(type, type)}\nreadlink ${type} = EINVAL`).join('\n'),
  },
  {
    name: 'bind makes a socket once',
    mount: Kernel.paths,
    steps: `bind s = ok
      stat s type mode = socket 0755
      bind s = EADDRINUSE
      unlink s = ok
      bind s = ok`,
  },
  {
    name: 'special files are opened by the kernel',
    mount: Kernel.descriptors,
    steps: `mknod null char 0666 1 3
      mknod zero char 0666 1 5
      mknod none char 0666 4095 1048575
      mknod p fifo 0644
      mknod s socket 0644
      open n null rw = ok
      write n abc = 3
      read n 4 = -
      open z zero r = ok
      read z 3 = .*3
      open - none r = ENXIO
      open - s r = ENXIO
      open - p w nonblock = ENXIO
      open r p r nonblock = ok
      open w p w nonblock = ok
      write w through = 7
      read r 20 = t,h,r,o,u,g,h
      stat p size = 0
      ftruncate w 5 = EINVAL
      truncate p 5 = EINVAL
      truncate null 5 = EINVAL`,
  },
  {
    name: 'the *at calls begin at their directory',
    mount: Kernel.paths,
    steps: `mkdir d
      put f x
      open dir d r directory
      open file f r
      mkdirat dir a = ok
      list d = a
      unlinkat dir a = EISDIR
      unlinkat dir a dir = ok
      mkdirat file a = ENOTDIR
      mkdirat none a = EBADF
      unlinkat none f = EBADF
      unlinkat cwd f dir = ENOTDIR
      rmdir d
      mkdirat dir a = ENOENT`,
  },
];

export const names: Topic = {
  name: 'names',
  cases: [
    ...makingCalls.map(existing),
    ...types.map(fresh),
    ...types.map(removing),
    ...['0000', '0022', '0027', '0077', '0777', '0123'].map(umasks),
    ...[1, 2, 59, 60, 61, 100, 127, 128, 255, 1000, 4000, 4094, 4095].map(symlinkLength),
    ...special,
  ],
};
