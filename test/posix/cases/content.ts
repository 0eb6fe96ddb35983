/** truncate, fallocate, holes, SEEK_HOLE and SEEK_DATA, copy_file_range. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

const BLOCK = 4096;

function run(byte: string, length: number): string[] {
  if (length <= 0) return [];
  return [length === 1 ? byte : `${byte}*${String(length)}`];
}

function joined(...parts: string[][]): string {
  const runs = parts.flat();
  return runs.length === 0 ? '-' : runs.join(',');
}

/** A file of `from` bytes cut or grown to `to`, then grown again: nothing old comes back. */
function truncation(from: number, to: number): Case {
  const kept = Math.min(from, to);
  const end = Math.max(from, to) + 10;
  return {
    name: `truncate from ${String(from)} to ${String(to)} bytes`,
    steps: `put f ${joined(run('x', from))}
      truncate f ${String(to)} = ok
      stat f size = ${String(to)}
      get f = ${joined(run('x', kept), run('.', to - kept))}
      truncate f ${String(end)} = ok
      get f = ${joined(run('x', kept), run('.', end - kept))}
      open fd f rw
      ftruncate fd 0 = ok
      fstat fd size blocks = 0 0`,
  };
}

function truncateType(type: string): Case {
  const wanted = type === 'dir' ? 'EISDIR' : type === 'link' ? 'ENOENT' : type === 'file' ? 'ok' : 'EINVAL';
  return { name: `truncate of a ${type}`, mount: Kernel.descriptors, steps: `${make(type, 'n')}\ntruncate n 0 = ${wanted}\ntruncate n 10 = ${wanted}\nlstat n type = ${type}` };
}

interface Range {
  mode: string;
  offset: number;
  length: number;
}

/** fallocate on a file of 3 blocks of x: contents and size, as the manual page has it. */
function allocation({ mode, offset, length }: Range): Case {
  const size = 3 * BLOCK;
  const end = offset + length;
  const grows = (mode === 'plain' || mode === 'zero') && end > size;
  const cleared = mode === 'plain' || mode === 'keep' ? 0 : Math.max(0, Math.min(end, size) - offset);
  const after = grows ? end : size;
  const head = Math.min(size, cleared > 0 ? offset : size);
  const tail = cleared > 0 ? Math.max(0, size - end) : 0;
  return {
    name: `fallocate ${mode} from ${String(offset)} for ${String(length)} bytes`,
    steps: `put f x*${String(size)}
      open fd f rw
      mark f
      fallocate fd ${mode} ${String(offset)} ${String(length)} = ok
      changed f = mc
      stat f size = ${String(after)}
      get f = ${joined(run('x', head), run('.', after - head - tail), run('x', tail))}
      truncate f ${String(after + BLOCK)}
      get f = ${joined(run('x', head), run('.', after - head - tail + (tail > 0 ? 0 : BLOCK)), run('x', tail), tail > 0 ? run('.', after + BLOCK - size) : [])}`,
    ...(mode === 'keep' && end <= size ? { host: 'times of an allocation that allocates nothing differ' } : {}),
  };
}

const ranges: Range[] = ['plain', 'keep', 'punch', 'zero', 'zero-keep'].flatMap((mode) => [
  { mode, offset: 0, length: BLOCK }, { mode, offset: BLOCK, length: BLOCK }, { mode, offset: 1, length: 10 }, { mode, offset: BLOCK - 1, length: 2 },
  { mode, offset: 100, length: 2 * BLOCK }, { mode, offset: 2 * BLOCK, length: BLOCK }, { mode, offset: 0, length: 3 * BLOCK },
  { mode, offset: 3 * BLOCK - 10, length: 1000 }, { mode, offset: 2 * BLOCK + 5, length: 4 * BLOCK }, { mode, offset: 5 * BLOCK, length: 100 },
]);

function allocateType(type: string): Case {
  const wanted = type === 'file' ? 'ok' : type === 'fifo' ? 'ESPIPE' : 'ENODEV';
  return { name: `fallocate on a ${type}`, mount: Kernel.descriptors, steps: `${make(type, 'n')}\nopen fd n rw nonblock\nfallocate fd plain 0 100 = ${wanted}` };
}

const allocationErrors: Case[] = [
  {
    name: 'fallocate: ranges and modes that are none',
    steps: `put f abc
      open fd f rw
      fallocate fd plain 0 0 = EINVAL
      fallocate fd keep 10 0 = EINVAL
      fallocate fd punch 0 0 = EINVAL
      fallocate fd zero 5 0 = EINVAL
      get f = a,b,c`,
  },
  {
    name: 'fallocate: what the kernel refuses',
    mount: Kernel.descriptors,
    steps: `put f abc
      open fd f rw
      fallocate fd plain -1 10 = EINVAL
      fallocate fd plain 0 -1 = EINVAL
      fallocate fd punch -5 10 = EINVAL
      fallocate fd punch-only 0 1 = EOPNOTSUPP
      fallocate fd punch-zero 0 1 = EOPNOTSUPP
      fallocate fd 0x1000 0 1 = EOPNOTSUPP
      open a f rw append
      fallocate a plain 0 100 = ok
      fallocate none plain 0 1 = EBADF
      stat f size = 100`,
  },
  {
    name: 'fallocate: modes that FUSE or we do not have',
    host: 'ext4 has them',
    steps: `put f x*12288
      open fd f rw
      fallocate fd collapse 0 4096 = EOPNOTSUPP
      fallocate fd insert 0 4096 = EOPNOTSUPP
      fallocate fd unshare 0 4096 = EOPNOTSUPP
      get f = x*12288`,
  },
  {
    name: 'allocated blocks are counted, hold zero bytes, and punching gives them back',
    host: 'blocks are counted otherwise',
    steps: `open fd f rw creat
      fallocate fd keep 0 40960 = ok
      stat f size blocks = 0 80
      get f = -
      ftruncate fd 8192
      stat f blocks = 80
      get f = .*8192
      ftruncate fd 4096
      stat f blocks = 8
      fallocate fd plain 0 16384 = ok
      stat f size blocks = 16384 32
      pwrite fd 5000 abc = 3
      pread fd 4998 7 = .*2,a,b,c,.*2
      fallocate fd punch 4096 4096 = ok
      stat f size blocks = 16384 24
      pread fd 4998 7 = .*7
      fallocate fd punch 0 100000 = ok
      stat f size blocks = 16384 0`,
  },
  {
    name: 'fallocate through another link and of an unlinked file',
    steps: `put f abc
      link f g
      open fd g rw
      unlink g
      unlink f
      fallocate fd plain 0 10000 = ok
      fstat fd size nlink = 10000 0
      pread fd 0 5 = a,b,c,.*2
      fallocate fd punch 1 1 = ok
      pread fd 0 3 = a,.,c`,
  },
];

/** A file with data at blocks 2, 3 and 6 of 8, hole elsewhere. */
const seekSetup = `open fd f rw creat
  pwrite fd 8192 x*8192
  pwrite fd 24576 y*4096
  ftruncate fd 32768`;

function seeks(): Case[] {
  const data = [[8192, 16384], [24576, 28672]] as const;
  const size = 32768;
  const nextData = (at: number): string => {
    if (at >= size) return 'ENXIO';
    for (const [start, end] of data) if (at < end) return String(Math.max(at, start));
    return 'ENXIO';
  };
  const nextHole = (at: number): string => {
    if (at >= size) return 'ENXIO';
    const inside = data.find(([start, end]) => at >= start && at < end);
    return String(inside === undefined ? at : inside[1]);
  };
  const positions = [0, 1, 4095, 8191, 8192, 8193, 12288, 16383, 16384, 20000, 24575, 24576, 28671, 28672, 32767, 32768, 40000];
  return positions.map((at) => ({
    name: `SEEK_DATA and SEEK_HOLE from ${String(at)}`,
    steps: `${seekSetup}
      lseek fd ${String(at)} data = ${nextData(at)}
      lseek fd ${String(at)} hole = ${nextHole(at)}`,
  }));
}

const seekCases: Case[] = [
  ...seeks(),
  {
    name: 'SEEK_DATA and SEEK_HOLE of files without holes, and without data',
    steps: `put full x*10000
      open a full r
      lseek a 0 data = 0
      lseek a 0 hole = 10000
      lseek a 9999 hole = 10000
      lseek a 9999 data = 9999
      lseek a 10000 hole = ENXIO
      lseek a 10000 data = ENXIO
      put empty -
      open b empty rw
      lseek b 0 data = ENXIO
      lseek b 0 hole = ENXIO
      ftruncate b 1000000
      lseek b 0 data = ENXIO
      lseek b 0 hole = 0
      lseek b 5000 hole = 5000
      lseek a 0 cur = 9999`,
  },
  {
    name: 'SEEK_DATA passes over what is allocated but not written',
    steps: `open fd f rw creat
      fallocate fd plain 0 65536
      pwrite fd 16384 x*4096
      lseek fd 0 data = 16384
      lseek fd 16384 hole = 20480
      lseek fd 20480 data = ENXIO`,
    host: 'allowed, but not everywhere so exact',
  },
  {
    name: 'a punched range is a hole',
    steps: `put f x*40960
      open fd f rw
      fallocate fd punch 8192 8192
      lseek fd 0 hole = 8192
      lseek fd 8192 data = 16384
      lseek fd 16384 hole = 40960`,
  },
  {
    name: 'the position moves with SEEK_DATA',
    steps: `${seekSetup}
      lseek fd 0 data = 8192
      read fd 2 = x*2
      lseek fd 0 cur = 8194
      lseek fd -1 data = ENXIO
      lseek fd -1 hole = ENXIO`,
    mount: Kernel.descriptors,
  },
];

function copyCase(from: number, to: number, length: number): Case {
  const size = 10000;
  const copied = Math.max(0, Math.min(length, size - from));
  const after = copied === 0 ? 5 : Math.max(5, to + copied);
  return {
    name: `copy_file_range of ${String(length)} bytes from ${String(from)} to ${String(to)}`,
    steps: `put a x*${String(size)}
      put b yyyyy
      open in a r
      open out b rw
      mark a
      mark b
      copy in ${String(from)} out ${String(to)} ${String(length)} = ${String(copied)}
      stat b size = ${String(after)}
      changed b = ${copied > 0 ? 'mc' : '-'}
      ${copied > 0 ? `pread out ${String(to)} ${String(copied)} = ${joined(run('x', copied))}` : 'get b = y*5'}
      pread out 0 ${String(Math.min(5, to))} = ${joined(run('y', Math.min(5, to)))}
      get a = x*${String(size)}`,
    ...(copied === 0 ? { mount: Kernel.descriptors } : {}),
  };
}

const copies: Case[] = [
  ...[[0, 0, 10], [0, 0, 10000], [1, 0, 4096], [0, 3, 5000], [4096, 4096, 4096], [5000, 100000, 5000], [9999, 1, 1], [9000, 0, 5000], [10000, 0, 10], [20000, 0, 10], [0, 0, 0]].map(
    ([from = 0, to = 0, length = 0]) => copyCase(from, to, length)),
  {
    name: 'copy_file_range within one file',
    steps: `put f a*4096,b*4096
      open fd f rw
      copy fd 0 fd 8192 4096 = 4096
      get f = a*4096,b*4096,a*4096
      copy fd 4096 fd 0 100 = 100
      get f = b*100,a*3996,b*4096,a*4096
      copy fd 0 fd 100 200 = EINVAL
      copy fd 100 fd 0 200 = EINVAL
      get f = b*100,a*3996,b*4096,a*4096`,
  },
  {
    name: 'copy_file_range of a hole',
    steps: `open in a rw creat
      ftruncate in 20000
      put b x*20000
      open out b rw
      copy in 0 out 5 10000 = 10000
      get b = x*5,.*10000,x*9995`,
  },
  {
    name: 'copy_file_range and descriptors',
    mount: Kernel.descriptors,
    steps: `put a abc
      put b xyz
      mkdir d
      open r a r
      open w b w
      open rw b rw
      open ap b w append
      open d d r directory
      copy w 0 rw 0 1 = EBADF
      copy r 0 r 0 1 = EBADF
      copy r 0 ap 0 1 = EBADF
      copy none 0 w 0 1 = EBADF
      copy d 0 w 0 1 = EISDIR
      copy r -1 w 0 1 = EOVERFLOW
      copy r 0 w 9223372036854775807 1 = EFBIG
      get b = x,y,z`,
  },
];

export const content: Topic = {
  name: 'content',
  cases: [
    ...[0, 1, 100, 4095, 4096, 4097, 10000].flatMap((from) => [0, 1, 99, 4095, 4096, 4097, 8192, 10001].filter((to) => to !== from || from === 0).map((to) => truncation(from, to))),
    ...types.map(truncateType),
    ...ranges.map(allocation),
    ...types.filter((type) => ['file', 'fifo'].includes(type)).map(allocateType),
    ...allocationErrors,
    ...seekCases,
    ...copies,
  ],
};
