/** flock and fcntl locks: kept by the kernel, and never in the way of the daemon. */
import { type Case, type Topic } from '../case.js';
import { kernelOnly } from './fixtures.js';

const whole = ['shared', 'exclusive'] as const;

const flocks: Case[] = whole.flatMap((first) => whole.map((second) => {
  const wanted = first === 'shared' && second === 'shared' ? 'ok' : 'EAGAIN';
  return {
    name: `flock: ${second} after ${first}`,
    steps: `put f x
      open a f r
      open b f r
      flock a ${first} = ok
      flock b ${second} = ${wanted}
      fork flock b ${second} = ${wanted}
      flock a unlock = ok
      flock b exclusive = ok
      close b = ok
      flock a exclusive wait = ok`,
  };
}));

const fcntls: Case[] = (['read', 'write'] as const).flatMap((first) => (['read', 'write'] as const).map((second) => {
  const free = first === 'read' && second === 'read';
  return {
    name: `fcntl: ${second} after ${first}`,
    steps: `put f x*100
      open a f rw
      lock a ${first} 10 20 = ok
      fork lock a ${second} 0 10 = ok
      fork lock a ${second} 30 0 = ok
      fork lock a ${second} 29 1 = ${free ? 'ok' : 'EAGAIN'}
      fork lock a ${second} 0 0 = ${free ? 'ok' : 'EAGAIN'}
      fork getlock a ${second} 0 100 = ${free ? 'free' : `${first} 10 20`}
      lock a unlock 15 5 = ok
      fork getlock a write 0 100 = ${first} 10 5
      fork getlock a write 16 2 = free
      fork getlock a write 20 100 = ${first} 20 10
      lock a unlock 0 0 = ok
      fork lock a write 0 0 = ok`,
  };
}));

const rules: Case[] = [
  {
    name: 'fcntl locks are the process\'s, and go with any of its descriptors',
    steps: `put f x
      open a f rw
      open b f rw
      lock a write 0 0 = ok
      lock b write 0 0 = ok
      fork lock b write 0 0 = EAGAIN
      close b = ok
      fork lock a write 0 0 = ok`,
  },
  {
    name: 'locks of an open file are the descriptor\'s',
    steps: `put f x
      open a f rw
      open b f rw
      lock a write 0 10 owned = ok
      lock b write 5 10 owned = EAGAIN
      lock b write 10 10 owned = ok
      fork lock a write 0 10 owned = ok
      close a
      lock b write 0 10 owned = ok`,
  },
  {
    name: 'what a descriptor must be open for',
    steps: `put f x
      open r f r
      open w f w
      lock r write 0 0 = EBADF
      lock w read 0 0 = EBADF
      lock r read 0 0 = ok
      lock r read -5 1 = EINVAL
      flock r exclusive = ok
      flock none shared = EBADF`,
  },
  {
    name: 'flock and fcntl do not know of each other',
    steps: `put f x
      open a f rw
      open b f rw
      flock a exclusive = ok
      fork lock b write 0 0 = ok
      get f = x
      as 1001 open - f r = ok`,
  },
  {
    name: 'a lock stays on a file that is renamed or removed',
    steps: `put f x
      open a f rw
      open b f rw
      flock a exclusive = ok
      rename f g
      flock b exclusive = EAGAIN
      unlink g
      flock b exclusive = EAGAIN
      close a
      flock b exclusive = ok`,
  },
  {
    name: 'directories are locked, too',
    steps: `mkdir d
      open a d r directory
      open b d r directory
      flock a exclusive = ok
      flock b shared = EAGAIN
      put d/f x = ok
      flock a unlock = ok
      flock b shared = ok`,
  },
];

export const locks: Topic = { name: 'locks', cases: kernelOnly([...flocks, ...fcntls, ...rules], 'locks') };
