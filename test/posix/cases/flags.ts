/** Inode flags, file handles, and what lives through a remount. */
import { Kernel, type Topic } from '../case.js';

export const flags: Topic = {
  name: 'flags',
  cases: [
    {
      name: 'append-only files',
      needs: 'flags',
      mount: Kernel.permissions,
      host: 'not every filesystem has them',
      steps: `put f abc
        open fd f rw
        flags f = -
        flags f +append = ok
        flags f = append
        open - f w = EPERM
        open - f w trunc = EPERM
        open a f w append = ok
        write a def = 3
        truncate f 1 = EPERM
        unlink f = EPERM
        rename f g = EPERM
        link f g = EPERM
        chmod f 0600 = EPERM
        utimens f 1 2 = EPERM
        utimens f now now = ok
        get f = a,b,c,d,e,f
        as 1001 flags f -append = EPERM
        flags f -append = ok
        unlink f = ok`,
    },
    {
      name: 'immutable files and directories',
      needs: 'flags',
      mount: Kernel.permissions,
      host: 'not every filesystem has them',
      steps: `put f abc
        mkdir d
        put d/f x
        flags f +immutable = ok
        flags d +immutable = ok
        open - f w = EPERM
        open - f w append = EPERM
        open - f r = ok
        truncate f 1 = EPERM
        unlink f = EPERM
        rename f g = EPERM
        link f g = EPERM
        chmod f 0600 = EPERM
        chown f 1 1 = EPERM
        utimens f 1 2 = EPERM
        utimens f now now = EPERM
        put d/g x = EPERM
        mkdir d/e = EPERM
        unlink d/f = EPERM
        rename d/f h = EPERM
        open - d/f w = ok
        flags f -immutable = ok
        flags d -immutable = ok
        unlink f = ok
        unlink d/f = ok
        rmdir d = ok`,
    },
    {
      name: 'flags that only say something',
      needs: 'flags',
      mount: Kernel.descriptors,
      host: 'not every filesystem has them',
      steps: `put f abc
        mkdir d
        mark f
        flags f +nodump = ok
        flags f +noatime = ok
        changed f = c
        flags f = noatime nodump
        utimens f 1 2
        mark f
        get f = a,b,c
        changed f = -
        flags f -noatime = ok
        flags f = nodump
        flags d +nodump = ok
        flags d = nodump`,
    },
    {
      name: 'file handles',
      needs: 'handles',
      mount: Kernel.handles,
      steps: `put f abc
        mkdir d
        put d/g ghi
        handle 1 f = ok
        handle 2 d = ok
        handle 3 d/g = ok
        byhandle 1 a = ok
        read a 9 = a,b,c
        byhandle 2 b = ok
        fstat b type = dir
        rename d/g h
        byhandle 3 c = ok
        read c 9 = g,h,i
        close c
        unlink h
        byhandle 3 c = ESTALE
        put i x
        byhandle 3 c = ESTALE`,
    },
    {
      name: 'file handles live through a remount',
      needs: 'handles',
      mount: Kernel.handles,
      steps: `put f abc
        mkdir d
        mkdir d/e
        put d/e/f deep
        put gone x
        handle 1 f
        handle 2 d/e/f
        handle 3 gone
        handle 4 d/e
        --- remount
        unlink gone
        byhandle 2 b = ok
        read b 9 = d,e*2,p
        byhandle 1 a = ok
        read a 9 = a,b,c
        byhandle 3 c = ESTALE
        byhandle 4 d = ok
        fstat d type nlink = dir 2
        put new x
        byhandle 3 c = ESTALE`,
    },
    {
      name: 'what was done is there after a remount',
      steps: `put f x*10000,y*5
        truncate f 9000
        chown f 70000 4294967294
        chmod f 04751
        utimens f -5.123456789 8589934592.987654321
        mkdir d
        chmod d 01777
        mkdir d/e
        symlink {t*4095} l
        mknod c char 0600 4095 1048575
        mknod p fifo 0640
        mknod s socket 0600
        link f d/g
        open fd h rw creat
        pwrite fd 8192 x*4096
        ftruncate fd 20000
        fallocate fd keep 0 4096
        put gone x
        unlink gone
        rename c d/c
        --- remount
        list . types = d:dir f:file h:file l:link p:fifo s:socket
        list d types = c:char e:dir g:file
        stat f size mode uid gid nlink = 9000 4751 70000 4294967294 2
        stat f mtime = 8589934592.987654321
        same f d/g = yes
        get f = x*9000
        lstat l size = 4095
        readlink l = ${'t'.repeat(4095)}
        stat d/c type rdev mode = char 4095:1048575 0600
        stat d mode nlink = 1777 3
        stat p type mode = fifo 0640
        stat s type mode = socket 0600
        stat h size blocks = 20000 16
        open fd h r
        lseek fd 0 data = 8192
        lseek fd 8192 hole = 12288`,
    },
  ],
};
