/** open(2), read, write, append, and what descriptors allow. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

/** open with flags on every type of file: the result, as Linux gives it. */
function openType(type: string): Case {
  const directory = type === 'dir';
  const file = type === 'file';
  const write = directory ? 'EISDIR' : 'ok';
  const lines = [
    `open - n r = ok`,
    `open - n w = ${write}`,
    `open - n rw = ${write}`,
    `open - n w trunc = ${write}`,
    `open - n r directory = ${directory ? 'ok' : 'ENOTDIR'}`,
    `open - n w creat = ${write}`,
    `open - n r creat = ${directory ? 'EISDIR' : 'ok'}`,
    `open - n w creat excl = EEXIST`,
    `open - n r nofollow = ok`,
    `open - n r creat directory = EINVAL`,
  ];
  return {
    name: `open of a ${type} with every flag`,
    steps: `${make(type, 'n')}\n${lines.join('\n')}\nlstat n type = ${type}${file ? '\nstat n size = 0' : ''}`,
    mount: Kernel.descriptors,
  };
}

function viaLink(type: string): Case {
  return {
    name: `open of a link to a ${type}`,
    mount: Kernel.descriptors,
    steps: `${make(type, 'n')}
      symlink n l
      open - l r = ${type === 'link' ? 'ENOENT' : 'ok'}
      open - l r nofollow = ELOOP
      open - l r path nofollow = ok
      open - l w creat excl = EEXIST
      open - l r directory = ${type === 'dir' ? 'ok' : type === 'link' ? 'ENOENT' : 'ENOTDIR'}`,
  };
}

const creating: Case[] = [
  {
    name: 'O_CREAT through a link to nothing makes its target',
    steps: `mkdir d
      symlink d/new l
      open - l w creat = ok
      stat d/new type size = file 0
      lstat l type = link
      symlink missing/new k
      open - k w creat = ENOENT
      lstat missing = ENOENT`,
    mount: Kernel.paths,
  },
  {
    name: 'O_CREAT of what is there leaves it alone',
    steps: `put f abc
      chmod f 0400
      mark f
      open - f rw creat 0777 = ok
      changed f = -
      stat f mode size = 0400 3`,
  },
  {
    name: 'O_TRUNC empties, and moves the times even of what is empty',
    steps: `put f abc
      mark f
      open - f w trunc = ok
      changed f = mc
      stat f size blocks = 0 0
      mark f
      open - f w trunc = ok
      changed f = mc
      open - f w creat trunc = ok
      open - g w creat trunc = ok
      stat g size = 0`,
  },
  {
    name: 'O_EXCL makes exactly once',
    steps: `open - f w creat excl = ok
      open - f w creat excl = EEXIST
      unlink f
      open - f w creat excl = ok
      mkdir d
      open - d w creat excl = EEXIST
      symlink nothing l
      open - l w creat excl = EEXIST
      lstat nothing = ENOENT`,
  },
  {
    name: 'a new file may be written whatever its mode says',
    mount: Kernel.permissions,
    steps: `as 1001 open - . r = ok
      chmod . 0777
      as 1001 open - f rw creat 0000 = ok
      stat f mode uid gid = 0000 1001 1001
      as 1001 open - f r = EACCES
      as 1001 open - g w creat 0444 = ok
      as 1001 open - g w = EACCES`,
  },
  {
    name: 'descriptors allow what they were opened for',
    mount: Kernel.descriptors,
    steps: `put f abc
      open r f r
      open w f w
      open p f r path
      open d . r directory
      write r x = EBADF
      read w 1 = EBADF
      read p 1 = EBADF
      write p 1 = EBADF
      ftruncate r 0 = EINVAL
      ftruncate p 0 = EBADF
      ftruncate d 0 = EINVAL
      read d 1 = EISDIR
      write d x = EBADF
      fallocate r plain 0 1 = EBADF
      fallocate d plain 0 1 = EBADF
      fchmod p 0600 = EBADF
      fstat p size = 3
      read none 1 = EBADF
      write none x = EBADF
      fsync none = EBADF
      fsync r = ok
      fsync w = ok
      fsync d = ok
      fdatasync d = ok
      fsync p = EBADF
      syncfs r = ok
      get f = a,b,c`,
  },
];

const append: Case[] = [
  {
    name: 'O_APPEND writes at the end, wherever the position is',
    steps: `put f abc
      open a f rw append
      lseek a 0 set = 0
      write a de = 2
      lseek a 0 cur = 5
      get f = a,b,c,d,e
      truncate f 1
      write a z = 1
      get f = a,z
      truncate f 4
      write a y = 1
      get f = a,z,.*2,y`,
  },
  {
    name: 'several writers append without overwriting each other',
    mount: Kernel.descriptors,
    steps: `put f -
      open a f w append
      open b f w append
      open c f w append
      ${Array.from({ length: 10 }, () => 'write a a*7 = 7\nfork write b b*5 = 5\nas 1001 write c c*3 = 3').join('\n')}
      stat f size = 150
      get f = ${Array.from({ length: 10 }, () => 'a*7,b*5,c*3').join(',')}`,
  },
  {
    name: 'pwrite of an appending descriptor appends',
    mount: Kernel.descriptors,
    steps: `put f abc
      open a f rw append
      pwrite a 0 zz = 2
      get f = a,b,c,z*2
      pread a 0 2 = a,b`,
  },
];

/** Sizes around the block and the page: written at once, read in two ways. */
function writeSize(size: number): Case {
  return {
    name: `writing ${String(size)} bytes`,
    steps: `open fd f rw creat
      mark f
      write fd x*${String(size)} = ${String(size)}
      changed f = mc
      stat f size = ${String(size)}
      get f = ${size === 1 ? 'x' : `x*${String(size)}`}
      lseek fd 0 cur = ${String(size)}
      read fd 10 = -
      pwrite fd ${String(size - 1)} yz = 2
      pread fd ${String(size - 1)} 10 = y,z
      stat f size = ${String(size + 1)}
      pwrite fd 0 a = 1
      pread fd 0 2 = a,${size === 1 ? 'z' : size === 2 ? 'y' : 'x'}`,
  };
}

/** A write beyond the end leaves a hole of zero bytes. */
function writeBeyond(offset: number): Case {
  return {
    name: `writing at ${String(offset)} of an empty file`,
    steps: `open fd f rw creat
      pwrite fd ${String(offset)} abc = 3
      stat f size = ${String(offset + 3)}
      pread fd ${String(offset)} 10 = a,b,c
      pread fd ${String(Math.max(0, offset - 4))} ${String(Math.min(4, offset) + 3)} = ${offset === 0 ? '' : offset === 1 ? '.,' : `.*${String(Math.min(4, offset))},`}a,b,c
      pread fd 0 1 = ${offset === 0 ? 'a' : '.'}
      pread fd ${String(offset + 3)} 5 = -
      pread fd ${String(offset + 100)} 5 = -`,
  };
}

const data: Case[] = [
  {
    name: 'nothing is written by a write of nothing',
    steps: `put f abc
      open fd f rw
      mark f
      write fd - = 0
      pwrite fd 1000 - = 0
      changed f = -
      stat f size = 3`,
  },
  {
    name: 'reading moves the access time as relatime does',
    steps: `put f abc
      utimens f 1 2
      mark f
      get f = a,b,c
      changed f = a
      mark f
      get f = a,b,c
      changed f = -
      put f d
      mark f
      get f = d
      changed f = a`,
    host: 'mount options',
  },
  {
    name: 'offsets below zero',
    mount: Kernel.descriptors,
    steps: `put f abc
      open fd f rw
      pread fd -1 1 = EINVAL
      pwrite fd -2 x = EINVAL
      lseek fd -1 set = EINVAL
      lseek fd -4 end = EINVAL
      lseek fd -3 end = 0
      lseek fd -1 cur = EINVAL
      lseek fd 0 9 = EINVAL
      truncate f -1 = EINVAL
      ftruncate fd -1 = EINVAL
      stat f size = 3`,
  },
  {
    name: 'lseek beyond the end makes nothing',
    steps: `put f abc
      open fd f rw
      lseek fd 1000 set = 1000
      stat f size = 3
      read fd 5 = -
      write fd x = 1
      stat f size = 1001
      lseek fd 0 end = 1001
      lseek fd -1 cur = 1000
      read fd 5 = x`,
  },
  {
    name: 'files up to 2^53 - 1 bytes',
    host: 'the largest size differs',
    passthrough: 'what the kernel writes without us is bounded by the filesystem of the host',
    steps: `open fd f rw creat
      pwrite fd 1099511627776 x = 1
      stat f size = 1099511627777
      pread fd 1099511627774 9 = .*2,x
      pwrite fd 9007199254740989 yz = 2
      stat f size = 9007199254740991
      pread fd 9007199254740988 9 = .,y,z
      pwrite fd 9007199254740991 x = EFBIG
      ftruncate fd 9007199254740991 = ok
      lseek fd 0 data = 1099511627776
      lseek fd 1099511631872 data = 9007199254736896
      ftruncate fd 0 = ok
      stat f size blocks = 0 0`,
  },
  {
    name: 'sizes that no file has',
    mount: Kernel.descriptors,
    host: 'the largest size differs',
    steps: `put f abc
      open fd f rw
      ftruncate fd 9007199254740992 = EFBIG
      truncate f 9223372036854775807 = EFBIG
      fallocate fd plain 9007199254740991 1 = EFBIG
      fallocate fd plain 9223372036854775806 1 = EFBIG
      stat f size = 3`,
  },
  {
    name: 'RLIMIT_FSIZE',
    mount: Kernel.limits,
    steps: `put f x*50
      open fd f rw
      limit 100
      pwrite fd 50 y*100 = 50
      stat f size = 100
      pwrite fd 100 z = EFBIG
      pwrite fd 1000 z = EFBIG
      ftruncate fd 101 = EFBIG
      truncate f 200 = EFBIG
      truncate f 100 = ok
      fallocate fd plain 0 200 = EFBIG
      pwrite fd 0 z*100 = 100
      limit none
      pwrite fd 100 z = 1`,
  },
  {
    name: 'O_DIRECT',
    mount: Kernel.descriptors,
    host: 'alignment is required there',
    steps: `open fd f rw creat direct
      write fd x*4096 = 4096
      pwrite fd 4096 y*4096 = 4096
      pread fd 0 8192 = x*4096,y*4096
      pwrite fd 1 z*3 = 3
      pread fd 0 6 = x,z*3,x*2
      pread fd 8190 10 = y*2
      pwrite fd 8190 w*1000 = 1000
      stat f size = 9190
      get f = x,z*3,x*4092,y*4094,w*1000
      put f short
      pread fd 0 4096 = s,h,o,r,t`,
  },
  {
    name: 'O_SYNC and O_DSYNC',
    steps: `open s f rw creat sync
      write s abc = 3
      open d f rw dsync
      pwrite d 3 def = 3
      get f = a,b,c,d,e,f`,
  },
  {
    name: 'O_NOATIME leaves the access time alone',
    needs: 'remount',
    mount: Kernel.descriptors,
    steps: `put f abc
      utimens f 1 2
      mark f
      open fd f r noatime
      read fd 3 = a,b,c
      changed f = -`,
  },
  {
    name: 'O_NOATIME is the owner\'s',
    mount: Kernel.permissions,
    steps: `put f abc
      as 1001 open - f r noatime = EPERM
      chown f 1001 1001
      as 1001 open - f r noatime = ok`,
  },
];

const temporary: Case[] = [
  {
    name: 'O_TMPFILE makes a file without a name, which link gives one',
    steps: `mkdir d
      mark d
      open fd d rw tmpfile 0640 = ok
      changed d = -
      fstat fd type mode nlink size = file 0640 0 0
      list d = -
      write fd abc = 3
      pread fd 0 9 = a,b,c
      linkproc fd d/f = ok
      fstat fd nlink = 1
      get d/f = a,b,c
      write fd def = 3
      close fd
      get d/f = a,b,c,d,e,f
      stat d/f mode = 0640`,
  },
  {
    name: 'what was never named is gone when it is closed',
    steps: `open fd . rw tmpfile = ok
      write fd x*100000 = 100000
      close fd = ok
      list . = -`,
  },
  {
    name: 'O_TMPFILE and its rules',
    mount: Kernel.descriptors,
    steps: `mkdir d
      put f x
      open - d r tmpfile = EINVAL
      open - f rw tmpfile = ENOTDIR
      open - missing rw tmpfile = ENOENT
      open fd d w tmpfile = ok
      flink fd d/g = ok
      fstat fd nlink = 1
      linkproc fd d/g = EEXIST
      linkproc fd d/h = ok
      fstat fd nlink = 2
      open x d rw tmpfile excl = ok
      linkproc x d/never = ENOENT
      as 1001 open - d w tmpfile = EACCES`,
  },
];

export const open: Topic = {
  name: 'open',
  cases: [
    ...types.filter((type) => ['file', 'dir'].includes(type)).map(openType),
    ...types.map(viaLink).filter((test) => !/fifo|socket|char|block/.test(test.name)),
    ...creating,
    ...append,
    ...[1, 2, 100, 511, 512, 4095, 4096, 4097, 65536, 131073, 1048576, 1048577].map(writeSize),
    ...[0, 1, 4095, 4096, 4097, 65535, 1048576, 2147483647, 4294967295, 4294967296, 1099511627775].map(writeBeyond),
    ...data,
    ...temporary,
  ],
};
