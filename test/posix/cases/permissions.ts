/** Permissions as other users, sticky and set-group-id directories, set-user-id on change. */
import { Kernel, type Case, type Topic } from '../case.js';

const OWNER = '1001:2001';
const MEMBER = '1002:2001';
const SUPPLEMENTARY = '1003:3003,2001';
const OTHER = '1004:2004';

/** What each class of user may do with a file whose mode has only these three bits for it. */
function fileBits(bits: number): Case[] {
  const wanted = (bit: number): string => ((bits & bit) !== 0 ? 'ok' : 'EACCES');
  const classes: readonly (readonly [string, string, number])[] = [
    ['owner', OWNER, bits << 6], ['group', MEMBER, bits << 3], ['a supplementary group', SUPPLEMENTARY, bits << 3], ['others', OTHER, bits],
  ];
  return classes.map(([who, user, mode]) => ({
    name: `a file of mode ${mode.toString(8).padStart(4, '0')} for ${who}`,
    mount: Kernel.permissions,
    steps: `put f data
      chown f 1001 2001
      chmod f ${mode.toString(8).padStart(4, '0')}
      as ${user} open - f r = ${wanted(4)}
      as ${user} open - f w = ${wanted(2)}
      as ${user} open - f rw = ${(bits & 6) === 6 ? 'ok' : 'EACCES'}
      as ${user} open - f w append = ${wanted(2)}
      as ${user} access f 4 = ${wanted(4)}
      as ${user} access f 2 = ${wanted(2)}
      as ${user} access f 1 = ${wanted(1)}
      as ${user} access f 0 = ok
      as ${user} exec ./f = ${(bits & 1) !== 0 ? 'ENOEXEC' : 'EACCES'}
      as ${user} truncate f 4 = ${wanted(2)}
      as ${user} stat f size = 4
      open - f rw = ok`,
  }));
}

/** … and with a directory: read lists, execute walks, write and execute change. */
function directoryBits(bits: number): Case[] {
  const may = (needed: number): string => ((bits & needed) === needed ? 'ok' : 'EACCES');
  const classes: readonly (readonly [string, string, number])[] = [['owner', OWNER, bits << 6], ['group', MEMBER, bits << 3], ['others', OTHER, bits]];
  return classes.map(([who, user, mode]) => ({
    name: `a directory of mode ${mode.toString(8).padStart(4, '0')} for ${who}`,
    mount: Kernel.permissions,
    steps: `mkdir d
      put d/f data
      chmod d/f 0666
      mkdir d/e
      mkdir out
      chmod out 0777
      chown d 1001 2001
      chmod d ${mode.toString(8).padStart(4, '0')}
      as ${user} open - d r = ${may(4)}
      as ${user} list d = ${(bits & 4) !== 0 ? 'e f' : 'EACCES'}
      as ${user} stat d/f size = ${(bits & 1) !== 0 ? '4' : 'EACCES'}
      as ${user} stat d/missing = ${(bits & 1) !== 0 ? 'ENOENT' : 'EACCES'}
      as ${user} open - d/f r = ${may(1)}
      as ${user} chdir d = ${may(1)}
      as ${user} open - d/new w creat = ${may(3)}
      as ${user} mkdir d/new-dir = ${may(3)}
      as ${user} symlink x d/new-link = ${may(3)}
      as ${user} mknod d/new-fifo fifo 0644 = ${may(3)}
      as ${user} link d/f d/new-name = ${may(3)}
      as ${user} rename d/f d/g = ${may(3)}
      as ${user} rename d/${(bits & 3) === 3 ? 'g' : 'f'} out/f = ${may(3)}
      as ${user} rmdir d/e = ${may(3)}
      as ${user} unlink d/${(bits & 3) === 3 ? 'new' : 'f'} = ${may(3)}
      as ${user} open - d rw tmpfile = ${may(3)}`,
  }));
}

/** Who may remove, rename and replace in a sticky directory: the owner of the name, of the directory, and root. */
function sticky(user: string, ownsDirectory: boolean, ownsFile: boolean): Case {
  const wanted = ownsDirectory || ownsFile ? 'ok' : 'EPERM';
  return {
    name: `a sticky directory: ${user} owns ${ownsDirectory ? 'the directory' : ownsFile ? 'the names' : 'nothing'}`,
    mount: Kernel.permissions,
    steps: `mkdir d
      put d/f x
      put d/g x
      put d/t x
      mkdir d/e
      symlink x d/l
      mknod d/p fifo 0644
      mkdir out
      chmod out 0777
      ${['f', 'g', 't', 'e', 'l', 'p'].map((name) => `lchown d/${name} ${ownsFile ? user : '1009'} 0`).join('\n')}
      chown d ${ownsDirectory ? user : '1010'} 0
      chmod d 01777
      as ${user} put d/mine x = ok
      as ${user} rename d/mine d/t = ${wanted}
      as ${user} unlink d/f = ${wanted}
      as ${user} rmdir d/e = ${wanted}
      as ${user} unlink d/l = ${wanted}
      as ${user} rename d/g d/h = ${wanted}
      as ${user} rename d/p out/p = ${wanted}
      chmod d 0777
      as ${user} put d/again x
      as ${user} rename d/again d/t = ok`,
  };
}

const owners: Case[] = [
  {
    name: 'chmod is the owner\'s',
    mount: Kernel.permissions,
    steps: `put f x
      chown f 1001 2001
      chmod f 0666
      as ${OWNER} chmod f 0600 = ok
      as ${MEMBER} chmod f 0644 = EPERM
      as ${OTHER} chmod f 0644 = EPERM
      stat f mode = 0600
      mkdir d
      as ${OTHER} chmod d 0777 = EPERM
      symlink f l
      as ${OWNER} chmod l 0640 = ok
      stat f mode = 0640`,
  },
  {
    name: 'chown: the owner changes the group to one of his own',
    mount: Kernel.permissions,
    steps: `put f x
      chown f 1001 2001
      as 1001:2001,2005 chown f -1 2005 = ok
      stat f uid gid = 1001 2005
      as 1001:2001 chown f -1 2001 = ok
      as 1001:2001 chown f -1 2006 = EPERM
      as 1001:2001 chown f 1002 -1 = EPERM
      as 1001:2001 chown f 1001 -1 = ok
      as 1001:2001 chown f 1002 2001 = EPERM
      as ${MEMBER} chown f -1 2001 = EPERM
      as ${OTHER} chown f 1004 2004 = EPERM
      as ${OTHER} lchown f -1 -1 = ok
      stat f uid gid = 1001 2001`,
  },
  {
    name: 'chmod by one who is not of the group takes set-group-id away',
    mount: Kernel.permissions,
    steps: `put f x
      chown f 1001 5000
      as ${OWNER} chmod f 02755 = ok
      stat f mode = 0755
      chown f 1001 2001
      as ${OWNER} chmod f 02755 = ok
      stat f mode = 2755
      chown f 1001 3003
      as 1001:2001,3003 chmod f 02700 = ok
      stat f mode = 2700`,
  },
  {
    name: 'who creates owns',
    mount: Kernel.permissions,
    steps: `chmod . 0777
      as ${OWNER} put f x
      as ${OWNER} mkdir d
      as ${OWNER} symlink x l
      as ${OWNER} mknod p fifo 0644
      as ${OWNER} open - . rw tmpfile = ok
      lstat f uid gid = 1001 2001
      lstat d uid gid = 1001 2001
      lstat l uid gid = 1001 2001
      lstat p uid gid = 1001 2001
      as ${OWNER} mknod c char 0644 1 3 = EPERM
      as ${OWNER} mknod b block 0644 1 3 = EPERM
      as 4294967294:4294967294 put big x
      stat big uid gid = 4294967294 4294967294
      as 65536:100000 mkdir big-dir
      stat big-dir uid gid = 65536 100000`,
  },
  {
    name: 'a hard link to what is somebody else\'s',
    mount: Kernel.permissions,
    steps: `put f x
      chmod . 0777
      chmod f 0666
      as ${OTHER} link f g = ok
      stat g uid nlink = 0 2`,
  },
  {
    name: 'walking needs execute on every directory of the way',
    mount: Kernel.permissions,
    steps: `mkdir a
      mkdir a/b
      mkdir a/b/c
      put a/b/c/f x
      as ${OTHER} stat a/b/c/f size = 1
      chmod a/b 0700
      as ${OTHER} stat a/b/c/f = EACCES
      as ${OTHER} stat a/b type = dir
      as ${OTHER} open - a/b/c/f r = EACCES
      as ${OTHER} unlink a/b/c/f = EACCES
      as ${OTHER} mkdir a/b/new = EACCES
      symlink a/b/c/f l
      as ${OTHER} stat l = EACCES
      as ${OTHER} lstat l type = link
      as ${OTHER} readlink l = a/b/c/f
      chmod a/b 0711
      as ${OTHER} stat l size = 1`,
  },
  {
    name: 'renaming needs write on both directories, and on a directory that changes its parent',
    mount: Kernel.permissions,
    steps: `mkdir a
      mkdir b
      mkdir a/d
      put a/f x
      chown a 1001 2001
      chown a/f 1001 2001
      chown b 1001 2001
      as ${OWNER} rename a/d b/d = EACCES
      as ${OWNER} rename a/d a/e = ok
      chmod b 0500
      as ${OWNER} rename a/f b/f = EACCES
      chmod b 0700
      as ${OWNER} rename a/f b/f = ok
      chmod a 0500
      as ${OWNER} rename b/f a/f = EACCES
      as ${OWNER} rename b/f b/g exchange = ENOENT`,
  },
  {
    name: 'root may do it all but execute what nobody may',
    mount: Kernel.permissions,
    steps: `put f x
      chmod f 0000
      chown f 1001 1001
      open - f rw = ok
      access f 6 = ok
      access f 1 = EACCES
      mkdir d
      chmod d 0000
      put d/f x = ok
      list d = f
      chmod f 0001
      access f 1 = ok`,
  },
];

/** New names in a set-group-id directory have its group; directories also the bit. */
const inheritance: Case[] = [
  {
    name: 'a set-group-id directory hands its group down',
    steps: `mkdir d
      chown d 5 4242
      chmod d 02777
      as 1001:2001 put d/f x
      as 1001:2001 mkdir d/e
      as 1001:2001 symlink x d/l
      as 1001:2001 mknod d/p fifo 0644
      stat d/f uid gid mode = 1001 4242 0644
      stat d/e uid gid mode = 1001 4242 2755
      lstat d/l uid gid = 1001 4242
      stat d/p gid = 4242
      as 1001:2001 mkdir d/e/g
      stat d/e/g gid mode = 4242 2755
      mkdir n
      chown n 5 4242
      chmod n 0777
      as 1001:2001 put n/f x
      as 1001:2001 mkdir n/e
      stat n/f gid = 2001
      stat n/e gid mode = 2001 0755`,
  },
  {
    name: 'what is renamed or linked into it keeps its group',
    steps: `mkdir d
      chown d 5 4242
      chmod d 02777
      put f x
      mkdir e
      rename f d/f
      rename e d/e
      stat d/f gid = 0
      stat d/e gid mode = 0 0755
      put g x
      link g d/g
      stat d/g gid = 0`,
  },
  {
    name: 'a set-group-id file of a group that is not the creator\'s loses the bit',
    mount: Kernel.sets,
    steps: `mkdir d
      chown d 5 4242
      chmod d 02777
      umask 0
      as 1001:2001 open - d/f w creat 02775 = ok
      stat d/f gid mode = 4242 0775
      as 1001:2001,4242 open - d/g w creat 02775 = ok
      stat d/g gid mode = 4242 2775
      open - d/h w creat 02775 = ok
      stat d/h mode = 2775`,
  },
];

/** Which change by whom takes set-user-id and set-group-id away; the latter is kept where the group may not execute. */
function killing(name: string, call: string, byRoot: string, byUser: string): Case[] {
  return ([['root', '0:0', byRoot], ['another user', '1001:2001', byUser]] as const).map(([who, user, wanted]) => ({
    name: `${name} by ${who} of a set-user-id and set-group-id file`,
    mount: Kernel.sets,
    steps: `put f abc
      chown f 1001 2001
      chmod f 06777
      stat f mode = 6777
      open fd f rw
      as ${user} ${call}
      stat f mode = ${wanted}
      chmod f 06767
      as ${user} ${call}
      stat f mode = ${wanted === '6777' ? '6767' : '2767'}`,
  }));
}

const setIds: Case[] = [
  ...killing('write', 'pwrite fd 0 x', '6777', '0777'),
  ...killing('truncate', 'truncate f 2', '6777', '0777'),
  ...killing('ftruncate', 'ftruncate fd 2', '6777', '0777'),
  ...killing('open with O_TRUNC', 'open - f w trunc', '6777', '0777'),
  ...killing('fallocate', 'fallocate fd plain 0 100', '6777', '0777'),
  ...killing('read', 'pread fd 0 3', '6777', '6777'),
  {
    name: 'chown takes set-user-id and set-group-id from files, whoever does it, and from directories never',
    mount: Kernel.sets,
    steps: `put f x
      chmod f 06755
      chown f 1001 2001 = ok
      stat f mode = 0755
      chmod f 06745
      chown f 1001 2002 = ok
      stat f mode = 2745
      chmod f 06755
      as 1001:2001 chown f -1 2001 = ok
      stat f mode gid = 0755 2001
      mkdir d
      chmod d 06755
      chown d 1001 2001 = ok
      stat d mode = 6755`,
  },
  {
    name: 'chown of nothing takes nothing',
    mount: Kernel.sets,
    host: 'filesystems differ',
    steps: `put f x
      chmod f 06755
      chown f -1 -1 = ok
      stat f uid gid = 0 0`,
  },
];

export const permissions: Topic = {
  name: 'permissions',
  cases: [
    ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap(fileBits),
    ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap(directoryBits),
    sticky('1001', false, false), sticky('1001', false, true), sticky('1001', true, false),
    ...owners,
    ...inheritance,
    ...setIds,
  ],
};
