/** What every call on a path has to say about the path itself. */
import { Kernel, type Case, type Topic } from '../case.js';
import { kernelPathCalls, pathCalls, type PathCall } from './fixtures.js';

function setupOf(call: PathCall): string {
  return call.setup ?? '';
}

function missing(call: PathCall): Case[] {
  const cases: Case[] = [{
    name: `${call.name}: a directory on the way is missing`,
    steps: `${setupOf(call)}
      ${call.call('missing/name')} = ENOENT`,
  }];
  if (call.on !== 'new') cases.push({ name: `${call.name}: the name is missing`, steps: `${setupOf(call)}\n${call.call('missing')} = ENOENT` });
  return cases;
}

function notDirectories(call: PathCall): Case {
  return {
    name: `${call.name}: something on the way is no directory`,
    steps: `${setupOf(call)}
      put f x
      mknod p fifo 0644
      symlink f l
      ${call.call('f/name')} = ENOTDIR
      ${call.call('p/name')} = ENOTDIR
      ${call.call('l/name')} = ENOTDIR
      ${call.call('f/a/b')} = ENOTDIR`,
  };
}

/** Names of up to 255 bytes, whatever the call does with them. */
function longNames(call: PathCall): Case {
  const wanted = call.on === 'new' ? 'ok' : 'ENOENT';
  const tries = [`{n*255} = ${wanted}`, '{n*256} = ENAMETOOLONG', '{n*256}/name = ENAMETOOLONG', '{d*255}/{n*256} = ENAMETOOLONG'].map((line) => {
    const [path = '', result = ''] = line.split(' = ');
    return `${setupOf(call)}\n${call.call(path)} = ${result}`;
  });
  return { name: `${call.name}: names of 255 bytes and of one more`, steps: `mkdir {d*255}\n${tries.join('\n')}\nlist {d*255} = -` };
}

function loops(call: PathCall): Case {
  const ownLoop = call.nofollow === true ? '' : `${call.call('a')} = ${call.on === 'new' ? 'EEXIST' : 'ELOOP'}\n${call.call('self')} = ELOOP`;
  return {
    name: `${call.name}: symbolic links that lead nowhere but to each other`,
    steps: `${setupOf(call)}
      symlink a b
      symlink b a
      symlink self self
      ${call.call('a/name')} = ELOOP
      ${call.call('self/name')} = ELOOP
      ${ownLoop}`,
  };
}

function emptyPath(call: PathCall): Case {
  return { name: `${call.name}: the empty path`, mount: Kernel.paths, steps: `${setupOf(call)}\n${call.call("''")} = ENOENT` };
}

/** PATH_MAX is 4096 bytes with the zero byte. */
function longPaths(call: PathCall): Case {
  return {
    name: `${call.name}: paths of 4095 bytes and of one more`,
    mount: Kernel.paths,
    steps: `${setupOf(call)}
      ${call.call('{x/*2047}y')} = ENOENT
      ${call.call('{x/*2047}yy')} = ENAMETOOLONG`,
  };
}

/** Every call that changes something, in one case: a remount costs more than all of them. */
function readOnly(name: string, calls: readonly PathCall[]): Case {
  const lines = calls.map((call) => {
    const existing = call.on === 'dir' ? 'd' : call.on === 'link' ? 'l' : 'f';
    return `${call.call(call.on === 'new' ? 'fresh' : existing)} = EROFS`;
  });
  return {
    name,
    steps: `put other-file x
      put f data
      mkdir d
      symlink f l
      --- read-only
      ${lines.join('\n')}
      get f = d,a,t,a
      stat f size mode = 4 0644
      readlink l = f
      list . = d f l other-file`,
  };
}

const everyCall = [...pathCalls, ...kernelPathCalls];
const changing = pathCalls.filter((call) => call.changes);
const opening = changing.filter((call) => call.name.startsWith('open for'));

function withReason(call: PathCall, test: Case): Case {
  const own = kernelPathCalls.some(({ name }) => name === call.name);
  return own ? { ...test, mount: Kernel.paths } : test;
}

const chains: Case[] = [
  {
    name: 'forty links in a row are followed, one more is not',
    steps: `put l0 end
      ${Array.from({ length: 41 }, (_, i) => `symlink l${String(i)} l${String(i + 1)}`).join('\n')}
      get l40 = e,n,d
      get l41 = ELOOP
      stat l40 type size = file 3
      stat l41 = ELOOP
      lstat l41 type = link
      readlink l41 = l40`,
  },
  {
    name: 'links to directories on the way',
    steps: `mkdir d
      mkdir d/e
      put d/e/f x
      symlink d/e one
      symlink one two
      symlink ../d/e d/up
      stat two/f size = 1
      stat d/up/f size = 1
      same d/e/f d/up/../e/f = yes
      lstat two type = link
      stat two type = dir
      list two = f
      unlink two/f = ok
      list d/e = -`,
  },
  {
    name: '. and ..',
    steps: `mkdir a
      mkdir a/b
      put a/f x
      same a/b/.. a = yes
      same a/. a = yes
      same a/b/../../a/./b a/b = yes
      stat a/b/../f size = 1
      stat a/f/.. = ENOTDIR
      stat a/f/. = ENOTDIR
      stat missing/.. = ENOENT`,
  },
  {
    name: 'trailing slashes',
    mount: Kernel.paths,
    steps: `put f x
      mkdir d
      symlink d l
      symlink f lf
      stat f/ = ENOTDIR
      stat d/ type = dir
      lstat l/ type = dir
      lstat lf/ = ENOTDIR
      open - f/ r = ENOTDIR
      open - new/ w creat = EISDIR
      mkdir e/ = ok
      rmdir e// = ok
      unlink f/ = ENOTDIR
      rmdir l/ = ENOTDIR
      rename f g/ = ENOTDIR
      rename d e/ = ok
      link f h/ = ENOENT
      symlink x s/ = ENOENT
      mknod p/ fifo 0644 = ENOENT
      truncate f/ 0 = ENOTDIR
      chmod f/ 0600 = ENOTDIR`,
  },
  {
    name: '. and .. as the last name',
    mount: Kernel.paths,
    steps: `mkdir d
      mkdir d/e
      mkdir . = EEXIST
      mkdir d/.. = EEXIST
      rmdir . = EINVAL
      rmdir d/. = EINVAL
      rmdir d/.. = ENOTEMPTY
      rmdir d/e/.. = ENOTEMPTY
      unlink . = EISDIR
      unlink d/.. = EISDIR
      rename d/. x = EBUSY
      rename d/.. x = EBUSY
      rename d d/. = EBUSY
      rename d d/.. = EBUSY
      rename d . noreplace = EEXIST
      link d/. x = EPERM
      symlink t d/. = EEXIST
      mknod d/.. fifo 0644 = EEXIST
      open - . w = EISDIR
      open - d/.. rw = EISDIR
      open - d/. w creat = EISDIR
      open - . r = ok`,
  },
  {
    name: 'names are bytes',
    steps: `${['%', '~', 'a:b', '"', "o'clock", '\\', '\x01', '\x7f', '...', '..a', '.a', 'A', '-', '?*', '#', '$x'].map((name) => `put ${name} x\nstat ${name} size = 1`).join('\n')}
      stat a = ENOENT
      list . count = 16`,
  },
];

export const paths: Topic = {
  name: 'paths',
  cases: [
    ...everyCall.flatMap((call) => [...missing(call), notDirectories(call), longNames(call), loops(call)].map((test) => withReason(call, test))),
    ...everyCall.flatMap((call) => [emptyPath(call), longPaths(call)]),
    readOnly('a read-only mount', changing.filter((call) => !opening.includes(call))),
    { ...readOnly('opening for writing on a read-only mount', opening), mount: Kernel.descriptors },
    ...chains,
  ],
};
