/** chmod, chown, utimensat, statfs: what changes, what follows, and the times of it. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

function chmodType(type: string): Case {
  const modes = ['0000', '0001', '0644', '0777', '1777', '2755', '4755', '6711', '7777'];
  return {
    name: `chmod of a ${type}`,
    steps: `${make(type, 'n')}
      ${modes.map((mode) => `mark n\nchmod n ${mode} = ok\nchanged n = c\nlstat n type mode = ${type} ${mode}`).join('\n')}`,
  };
}

function chownType(type: string): Case {
  const ids: readonly (readonly [number, number, string])[] = [
    [1, 2, '1 2'], [-1, 3, '1 3'], [4, -1, '4 3'], [65534, 65535, '65534 65535'], [65536, 100000, '65536 100000'], [4294967294, 4294967294, '4294967294 4294967294'], [0, 0, '0 0'],
  ];
  return {
    name: `lchown of a ${type}`,
    steps: `${make(type, 'n')}
      ${ids.map(([uid, gid, wanted]) => `lchown n ${String(uid)} ${String(gid)} = ok\nlstat n uid gid type = ${wanted} ${type}`).join('\n')}
      mark n
      lchown n 5 6 = ok
      changed n = c`,
  };
}

/** Seconds and nanoseconds that a time may have; ext4 and tmpfs hold most of them, too. */
const moments = ['0.0', '0.1', '1.999999999', '1234567890.123456789', '2147483647.5', '2147483648.0', '4294967295.999999999', '4294967296.1', '-1.0', '-2147483648.0'];
const farMoments = ['-2147483649.999999999', '-30610224000.0', '15032385536.123456789', '253402300799.999999999'];

function timesOfType(type: string): Case {
  return {
    name: `utimensat of a ${type}`,
    steps: `${make(type, 'n')}
      ${moments.map((moment, i) => `lutimens n ${moment} ${moments[(i + 3) % moments.length] ?? ''} = ok\nlstat n atime mtime = ${moment} ${moments[(i + 3) % moments.length] ?? ''}`).join('\n')}
      mark n
      lutimens n 7.7 omit = ok
      changed n = ac
      mark n
      lutimens n omit 8.8 = ok
      changed n = mc
      lstat n atime mtime = 7.7 8.8
      mark n
      lutimens n omit omit = ok
      changed n = -
      lutimens n now omit = ok
      lstat n mtime = 8.8
      recent n = a
      lutimens n 7.7 now = ok
      lstat n atime = 7.7
      recent n = m
      lutimens n now now = ok
      recent n = am`,
  };
}

const followed: Case[] = [
  {
    name: 'chmod, chown and utimensat follow links',
    steps: `put f x
      symlink f l
      mark l
      mark f
      chmod l 0600 = ok
      stat f mode = 0600
      chown l 3 4 = ok
      stat f uid gid = 3 4
      utimens l 1.5 2.5 = ok
      stat f atime mtime = 1.5 2.5
      changed f = amc
      lstat l type mode uid = link 0777 0
      lchown l 8 9 = ok
      lstat l uid gid = 8 9
      stat f uid gid = 3 4
      lutimens l 5.5 6.5 = ok
      lstat l atime mtime = 5.5 6.5
      stat f atime mtime = 1.5 2.5`,
  },
  {
    name: 'the same through descriptors',
    steps: `put f x
      mkdir d
      open fd f r
      open dd d r directory
      fchmod fd 0604 = ok
      fchown fd 3 4 = ok
      futimens fd 1.5 2.5 = ok
      stat f mode uid gid atime mtime = 0604 3 4 1.5 2.5
      fchmod dd 0711 = ok
      fchown dd 5 6 = ok
      futimens dd 3.5 4.5 = ok
      stat d mode uid gid atime mtime = 0711 5 6 3.5 4.5
      futimens fd now omit = ok
      recent f = a`,
  },
  {
    name: 'times that few filesystems hold',
    host: 'ext4 ends in 2446, and neither begins before 1901',
    steps: `put f x\n${farMoments.map((moment) => `utimens f ${moment} ${moment} = ok\nstat f atime mtime = ${moment} ${moment}`).join('\n')}`,
  },
  {
    name: 'nanoseconds that are none',
    mount: Kernel.paths,
    steps: `put f x
      utimens f 1 2
      utimens f 1.1000000000 2 = EINVAL
      utimens f 1 2.-1 = EINVAL
      stat f atime mtime = 1.0 2.0`,
  },
  {
    name: 'birth does not move',
    steps: `put f x
      chmod f 0600
      utimens f 1 2
      stat f born = yes
      rename f g
      stat g born = yes`,
    host: 'not every filesystem tells it',
  },
];

/** Which times of which inode a call moves. */
const stamps: readonly (readonly [string, string, string, string])[] = [
  ['chmod', 'put f x', 'chmod f 0600', 'f=c .=-'],
  ['chown', 'put f x', 'chown f 1 2', 'f=c .=-'],
  ['chown to what it is', 'put f x', 'chown f 0 0', 'f=c .=-'],
  ['truncate to less', 'put f abc', 'truncate f 1', 'f=mc .=-'],
  ['truncate to more', 'put f abc', 'truncate f 100', 'f=mc .=-'],
  ['truncate to what it is', 'put f abc', 'truncate f 3', 'f=mc .=-'],
  ['link', 'put f x\nmkdir d', 'link f d/g', 'f=c .=- d=mc'],
  ['unlink of one of two', 'put f x\nmkdir d\nlink f d/g', 'unlink d/g', 'f=c .=- d=mc'],
  ['create', 'mkdir d', 'open - d/f w creat', 'd=mc .=-'],
  ['mkdir', 'mkdir d', 'mkdir d/e', 'd=mc .=-'],
  ['rmdir', 'mkdir d\nmkdir d/e', 'rmdir d/e', 'd=mc .=-'],
  ['mknod', 'mkdir d', 'mknod d/p fifo 0644', 'd=mc .=-'],
  ['symlink', 'mkdir d', 'symlink x d/l', 'd=mc .=-'],
  ['rename in a directory', 'mkdir d\nput d/f x', 'rename d/f d/g', 'd=mc .=-'],
  ['rename of a directory', 'mkdir d\nmkdir d/a', 'rename d/a d/b', 'd=mc .=-'],
  ['stat', 'put f x', 'stat f', 'f=- .=-'],
  ['a failed create', 'mkdir d\nput d/f x', 'open - d/f w creat excl = EEXIST', 'd=- d/f=-'],
  ['a failed mkdir', 'mkdir d\nput d/f x', 'mkdir d/f = EEXIST', 'd=- d/f=-'],
  ['a failed unlink', 'mkdir d\nmkdir d/e', 'unlink d/e = EISDIR', 'd=- d/e=-'],
  ['a failed rmdir', 'mkdir d\nmkdir d/e\nput d/e/f x', 'rmdir d/e = ENOTEMPTY', 'd=- d/e=-'],
  ['a failed rename', 'mkdir d\nput d/f x\nmkdir d/e', 'rename d/f d/e = EISDIR', 'd=- d/f=- d/e=-'],
  ['a failed link', 'mkdir d\nput d/f x\nput d/g x', 'link d/f d/g = EEXIST', 'd=- d/f=- d/g=-'],
  ['a failed symlink', 'mkdir d\nput d/f x', 'symlink x d/f = EEXIST', 'd=- d/f=-'],
];

function stamp([name, setup, call, wanted]: readonly [string, string, string, string]): Case {
  const pairs = wanted.split(' ').map((pair) => pair.split('='));
  return {
    name: `times: ${name}`,
    steps: `${setup}
      ${pairs.map(([path]) => `mark ${path ?? ''}`).join('\n')}
      ${call.includes(' = ') ? call : `${call}${call === 'stat f' ? '' : ' = ok'}`}
      ${pairs.map(([path, letters]) => `changed ${path ?? ''} = ${letters ?? ''}`).join('\n')}`,
  };
}

/** Who may set times, and to what. */
const whoMay: Case = {
  name: 'utimensat: the owner sets any time, a writer only the present one',
  mount: Kernel.permissions,
  steps: `put mine x
    chown mine 1001 1001
    put writable x
    chmod writable 0666
    put readable x
    as 1001 utimens mine 1.5 2.5 = ok
    stat mine atime mtime = 1.5 2.5
    as 1001 utimens mine now now = ok
    as 1001 utimens writable now now = ok
    as 1001 utimens writable 1 2 = EPERM
    as 1001 utimens writable now omit = EPERM
    as 1001 utimens writable omit 5 = EPERM
    as 1001 utimens writable omit omit = ok
    as 1001 utimens readable now now = EACCES
    as 1001 utimens readable 1 2 = EPERM
    as 1001 utimens readable omit omit = ok`,
};

const statistics: Case[] = [
  { name: 'statfs', steps: 'statfs . bsize namemax sane = 4096 255 yes\nput f x\nstatfs f namemax = 255\nsymlink f l\nstatfs l bsize = 4096', },
  {
    name: 'blocks are counted in units of 512 bytes',
    steps: `put f -
      stat f blocks = 0
      open fd f rw
      pwrite fd 0 x*4096
      stat f size blocks = 4096 8
      pwrite fd 40960 x*4096
      stat f size blocks = 45056 16
      ftruncate fd 4096
      stat f blocks = 8`,
    host: 'a page or block may have another size',
  },
];

export const attributes: Topic = {
  name: 'attributes',
  cases: [
    ...types.filter((type) => type !== 'link').map(chmodType),
    ...types.map(chownType),
    ...types.map(timesOfType),
    ...followed,
    ...stamps.map(stamp),
    whoMay,
    ...statistics,
  ],
};
