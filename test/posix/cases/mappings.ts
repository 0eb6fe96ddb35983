/** Mappings and their coherence with read, write and truncate. */
import { type Case, type Topic } from '../case.js';
import { kernelOnly } from './fixtures.js';

const cases: Case[] = [
  {
    name: 'a shared mapping and read and write see each other',
    steps: `put f x*8192
      open fd f rw
      mmap m fd rw shared 0 8192 = ok
      load m 0 4 = x*4
      pwrite fd 0 abc = 3
      load m 0 4 = a,b,c,x
      store m 4096 def = ok
      pread fd 4095 5 = x,d,e,f,x
      get f = a,b,c,x*4093,d,e,f,x*4093
      msync m = ok
      munmap m = ok
      get f = a,b,c,x*4093,d,e,f,x*4093`,
  },
  {
    name: 'stores into a shared mapping stay after munmap and close',
    steps: `put f x*100
      open fd f rw
      mmap m fd rw shared 0 4096
      close fd
      store m 10 stored = ok
      munmap m
      get f = x*10,s,t,o,r,e,d,x*84
      stat f size = 100`,
  },
  {
    name: 'a private mapping keeps its stores to itself',
    steps: `put f x*4096
      open fd f r
      mmap m fd rw private 0 4096 = ok
      store m 0 own = ok
      load m 0 4 = o,w,n,x
      get f = x*4096
      mmap n fd r private 0 4096
      load n 0 4 = x*4`,
  },
  {
    name: 'two mappings of one file are one memory',
    steps: `put f x*4096
      open a f rw
      open b f rw
      mmap m a rw shared 0 4096
      mmap n b rw shared 0 4096
      store m 0 one = ok
      load n 0 4 = o,n,e,x
      fork store n 4 two = ok
      load m 0 8 = o,n,e,x,t,w,o,x`,
  },
  {
    name: 'beyond the end: zero bytes in the last page, SIGBUS after it',
    steps: `put f x*10
      open fd f rw
      mmap m fd rw shared 0 8192 = ok
      load m 8 6 = x*2,.*4
      store m 100 y = ok
      load m 4096 1 = SIGBUS
      store m 5000 y = SIGBUS
      stat f size = 10
      ftruncate fd 8192
      load m 4096 2 = .*2
      load m 10 1 = .
      store m 5000 y = ok
      pread fd 5000 1 = y`,
  },
  {
    name: 'truncate takes mapped pages away',
    steps: `put f x*12288
      open fd f rw
      mmap m fd rw shared 0 12288
      load m 8192 1 = x
      ftruncate fd 5000
      load m 4999 3 = x,.*2
      load m 8192 1 = SIGBUS
      ftruncate fd 12288
      load m 4999 3 = x,.*2
      load m 8192 1 = .`,
  },
  {
    name: 'holes are filled by stores',
    steps: `open fd f rw creat
      ftruncate fd 40960
      mmap m fd rw shared 0 40960
      load m 20000 2 = .*2
      store m 20000 hole = ok
      msync m = ok
      pread fd 19999 6 = .,h,o,l,e,.
      fallocate fd punch 16384 8192 = ok
      load m 20000 4 = .*4
      pread fd 20000 4 = .*4`,
  },
  {
    name: 'what protection and descriptor allow',
    steps: `put f x*4096
      open r f r
      open w f w
      open p f r path
      mkdir d
      open d d r directory
      mmap m r rw shared 0 4096 = EACCES
      mmap m r rw private 0 4096 = ok
      mmap m w r shared 0 4096 = EACCES
      mmap m w w shared 0 4096 = EACCES
      mmap m p r shared 0 4096 = EBADF
      mmap m d r shared 0 4096 = ENODEV
      mmap n r r shared 0 4096 = ok
      store n 0 x = SIGSEGV
      mmap o r r shared 1 4096 = EINVAL
      mmap o r r shared 0 0 = EINVAL
      mmap o r r shared 4096 4096 = ok
      load o 0 1 = SIGBUS`,
  },
  {
    name: 'a mapping outlives the name',
    steps: `put f abc
      open fd f rw
      mmap m fd rw shared 0 4096
      unlink f
      close fd
      load m 0 3 = a,b,c
      store m 0 xyz = ok
      load m 0 3 = x,y,z
      munmap m = ok`,
  },
  {
    name: 'copy_file_range and fallocate are seen by mappings',
    steps: `put a x*4096
      put b y*8192
      open in a r
      open out b rw
      mmap m out rw shared 0 8192
      load m 4096 2 = y*2
      copy in 0 out 4096 4096 = 4096
      load m 4095 3 = y,x*2
      fallocate out zero 0 4096 = ok
      load m 0 2 = .*2`,
    host: 'not every filesystem zeroes ranges',
  },
  {
    name: 'a store moves the times',
    steps: `put f x*4096
      utimens f now 2
      open fd f rw
      mmap m fd rw shared 0 4096
      store m 0 y
      msync m
      munmap m
      close fd
      recent f = am`,
    host: 'when the times move differs',
  },
];

export const mappings: Topic = { name: 'mappings', cases: kernelOnly(cases, 'mappings') };
