/** Reading directories: types, positions, and names that come and go meanwhile. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

/** Removes while reading, `step` names at a time: every name that stays is seen, none twice. */
function changing(count: number, step: number): Case {
  return {
    name: `${String(count)} names, read ${String(step)} at a time, while others come and go`,
    steps: `mkdir d
      fill d stay ${String(count)}
      fill d go ${String(count)}
      opendir s d
      readdir s ${String(step)} count = ${String(Math.min(step, 2 * count))}
      fill d go ${String(count)} remove = ok
      list d count = ${String(count)}
      rewinddir s
      readdir s 4000 count = ${String(count)}
      readdir s 10 = -
      rewinddir s
      readdir s ${String(Math.min(step, count))} count = ${String(Math.min(step, count))}
      fill d stay ${String(count)} remove = ok
      rewinddir s
      readdir s 4000 = -
      rmdir d = ok
      readdir s 10 = -`,
  };
}

export const directories: Topic = {
  name: 'directories',
  cases: [
    {
      name: 'every type shows in the directory',
      steps: `mkdir d
        ${types.map((type) => make(type, `d/${type}`)).join('\n')}
        list d types = ${[...types].sort().map((type) => `${type}:${type}`).join(' ')}
        list d dots types = ..:dir .:dir ${[...types].sort().map((type) => `${type}:${type}`).join(' ')}`,
    },
    { name: 'an empty directory', steps: 'mkdir d\nlist d = -\nlist d dots = . ..\nopendir s d\nreaddir s 5 dots = . ..\nreaddir s 5 dots = -' },
    {
      name: 'what is no directory is not read',
      steps: `${types.filter((type) => type !== 'dir').map((type) => `${make(type, type)}\nlist ${type} = ${type === 'link' ? 'ENOENT' : 'ENOTDIR'}`).join('\n')}`,
    },
    ...[[10, 3], [100, 7], [500, 200], [1000, 1]].map(([count = 0, step = 0]) => changing(count, step)),
    {
      name: 'positions lead back to where they were taken',
      steps: `mkdir d
        fill d n 300
        opendir s d
        telldir s 0
        readdir s 100 count = 100
        telldir s 1
        readdir s 50 count = 50
        telldir s 2
        readdir s 1000 count = 150
        telldir s 3
        readdir s 10 = -
        seekdir s 1
        readdir s 1000 count = 200
        seekdir s 2
        readdir s 1000 count = 150
        seekdir s 3
        readdir s 10 = -
        seekdir s 0
        readdir s 1000 count = 300
        fill d m 300
        seekdir s 0
        rewinddir s
        readdir s 1000 count = 600`,
    },
    {
      name: 'a position stays good when the names before it are removed',
      steps: `mkdir d
        fill d n 300
        opendir s d
        readdir s 150 count = 150
        telldir s 1
        opendir t d
        readdir s 1000 count = 150
        seekdir s 1
        readdir s 1000 count = 150
        fill d n 300 remove
        list d = -
        seekdir s 1
        rewinddir s
        readdir s 1000 = -`,
    },
    {
      name: 'two streams of a directory have their own positions',
      steps: `mkdir d
        fill d n 50
        opendir a d
        opendir b d
        readdir a 20 count = 20
        readdir b 50 count = 50
        readdir a 50 count = 30
        closedir a
        rewinddir b
        readdir b 100 count = 50`,
    },
    {
      name: 'names of every length',
      steps: `mkdir d
        ${Array.from({ length: 26 }, (_, i) => `put d/{${String.fromCharCode(97 + i)}*${String(i * 10 + 1)}} x`).join('\n')}
        list d count = 26
        ${Array.from({ length: 26 }, (_, i) => `stat d/{${String.fromCharCode(97 + i)}*${String(i * 10 + 1)}} size = 1`).join('\n')}
        rename d/a d/{a*255}
        list d count = 26`,
    },
    {
      name: 'a directory may be read by path while it is the working directory of a process',
      mount: Kernel.paths,
      steps: `mkdir d
        put d/f x
        chdir d
        list . = f
        list ../d = f
        rmdir ../d = ENOTEMPTY
        unlink f
        rmdir ../d = ok
        list . = -
        put g x = ENOENT
        stat . nlink = 0
        stat .. type = dir`,
      host: 'the link count of what was removed differs',
    },
    {
      name: 'reading moves the access time of the directory',
      steps: `mkdir d
        put d/f x
        utimens d 1 2
        mark d
        list d = f
        changed d = a`,
      host: 'mount options',
    },
    {
      name: 'inotify sees what happens through the mount',
      mount: Kernel.notification,
      steps: `mkdir d
        watch w d
        events w = -
        put d/f x
        events w = create:f modify:f
        chmod d/f 0600
        events w = attrib:f
        rename d/f d/g
        events w = from:f to:g
        mkdir d/e
        rmdir d/e
        unlink d/g
        events w = create:e delete:e delete:g
        rmdir d
        events w = delete-self`,
    },
  ],
};
