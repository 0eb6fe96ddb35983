/** Extended attributes and ACLs. */
import { Kernel, type Case, type Topic } from '../case.js';
import { make, types } from './fixtures.js';

/** Which namespaces each type of file takes. */
function onType(type: string): Case {
  const user = type === 'file' || type === 'dir' ? 'ok' : 'EPERM';
  return {
    name: `attributes of a ${type}`,
    needs: 'xattr',
    steps: `${make(type, 'n')}
      lsetxattr n trusted.a one = ok
      lgetxattr n trusted.a = o,n,e
      lsetxattr n security.b two = ok
      lgetxattr n security.b = t,w,o
      lsetxattr n user.c three = ${user}
      listxattr n = security.b trusted.a${user === 'ok' ? ' user.c' : ''}
      removexattr n trusted.a = ok
      lgetxattr n trusted.a = ENODATA
      removexattr n trusted.a = ENODATA`,
    host: 'not every filesystem takes them all',
  };
}

function valueSize(size: number): Case {
  return {
    name: `a value of ${String(size)} bytes`,
    needs: 'xattr',
    host: 'limits differ',
    steps: `put f x
      setxattr f user.a v*${String(size)} = ok
      getxattr f user.a = ${size === 1 ? 'v' : `v*${String(size)}`}
      getxattr f user.a 0 = ${String(size)}
      getxattr f user.a ${String(size)} = ${size === 1 ? 'v' : `v*${String(size)}`}
      ${size > 1 ? `getxattr f user.a ${String(size - 1)} = ERANGE` : ''}
      listxattr f = user.a
      setxattr f user.a w replace = ok
      getxattr f user.a = w
      get f = x
      unlink f = ok`,
  };
}

const general: Case[] = [
  {
    name: 'create and replace',
    needs: 'xattr',
    steps: `put f x
      setxattr f user.a one replace = ENODATA
      setxattr f user.a one create = ok
      setxattr f user.a two create = EEXIST
      getxattr f user.a = o,n,e
      setxattr f user.a two replace = ok
      getxattr f user.a = t,w,o
      setxattr f user.a three = ok
      getxattr f user.a = t,h,r,e*2
      setxattr f user.a - = ok
      getxattr f user.a = -
      listxattr f = user.a`,
  },
  {
    name: 'names',
    needs: 'xattr',
    steps: `put f x
      setxattr f user.{n*250} x = ok
      getxattr f user.{n*250} = x
      setxattr f user.%c3%a4 x = ok
      setxattr f user.. x = ok
      listxattr f = user.%c3%a4 user.. user.{n*250}
      removexattr f user.{n*250} = ok
      listxattr f = user.%c3%a4 user..`.replace('user.{n*250}\n      removexattr', `user.${'n'.repeat(250)}\n      removexattr`),
  },
  {
    name: 'names that are none',
    needs: 'xattr',
    mount: Kernel.paths,
    steps: `put f x
      setxattr f user.{n*251} x = ERANGE
      setxattr f '' x = ERANGE
      setxattr f nothing x = EOPNOTSUPP
      setxattr f other.a x = EOPNOTSUPP
      getxattr f other.a = EOPNOTSUPP
      setxattr f user. x = EINVAL
      getxattr f user.missing = ENODATA
      removexattr f user.missing = ENODATA
      setxattr f user.a v*65537 = E2BIG
      setxattr missing user.a x = ENOENT
      listxattr missing = ENOENT
      listxattr f = -`,
    host: 'some errors differ',
  },
  {
    name: 'times: an attribute changes the change time only',
    needs: 'xattr',
    steps: `put f x
      mark f
      setxattr f user.a one
      changed f = c
      mark f
      getxattr f user.a = o,n,e
      listxattr f = user.a
      changed f = -
      mark f
      removexattr f user.a
      changed f = c
      mark f
      removexattr f user.a = ENODATA
      changed f = -`,
  },
  {
    name: 'they follow the file, not the name',
    needs: 'xattr',
    steps: `put f x
      setxattr f user.a one
      link f g
      rename f h
      getxattr g user.a = o,n,e
      getxattr h user.a = o,n,e
      unlink g
      getxattr h user.a = o,n,e
      put h new
      getxattr h user.a = o,n,e
      symlink h l
      getxattr l user.a = o,n,e
      unlink h
      put h x
      getxattr h user.a = ENODATA
      listxattr h = -`,
  },
  {
    name: 'many of them',
    needs: 'xattr',
    host: 'limits differ',
    steps: `put f x
      ${Array.from({ length: 60 }, (_, i) => `setxattr f user.n${String(i)} v*${String(i * 37 + 1)} = ok`).join('\n')}
      ${Array.from({ length: 60 }, (_, i) => `getxattr f user.n${String(i)} 0 = ${String(i * 37 + 1)}`).join('\n')}
      ${Array.from({ length: 59 }, (_, i) => `removexattr f user.n${String(i)} = ok`).join('\n')}
      listxattr f = user.n59
      listxattr f 0 = 9
      listxattr f 8 = ERANGE`,
  },
  {
    name: 'who may',
    needs: 'xattr',
    mount: Kernel.permissions,
    steps: `put f x
      setxattr f user.a one
      setxattr f trusted.a one
      as 1001 getxattr f user.a = o,n,e
      as 1001 setxattr f user.b x = EACCES
      as 1001 removexattr f user.a = EACCES
      as 1001 getxattr f trusted.a = ENODATA
      as 1001 setxattr f trusted.b x = EPERM
      as 1001 listxattr f = user.a
      chmod f 0600
      as 1001 getxattr f user.a = EACCES
      chmod f 0666
      as 1001 setxattr f user.b x = ok
      as 1001 setxattr f security.x x = EPERM
      mkdir d
      chmod d 01777
      as 1001 setxattr d user.a x = EPERM`,
    host: 'listing trusted attributes differs',
  },
];

/** ACL values: version 2, then (tag, permissions, id) of 2, 2 and 4 bytes. */
function acl(...entries: readonly (readonly [number, number, number?])[]): string {
  const bytes = [2, 0, 0, 0];
  for (const [tag, permissions, id] of entries) {
    bytes.push(tag, 0, permissions, 0);
    const number = id ?? 0xffffffff;
    bytes.push(number & 255, (number >>> 8) & 255, (number >>> 16) & 255, number >>> 24);
  }
  return bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(',');
}

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';
const named = acl([1, 6], [2, 4, 1001], [4, 4], [8, 2, 2005], [16, 6], [32, 0]);

const acls: Case[] = [
  {
    name: 'an access ACL opens a file to a named user and a named group',
    needs: 'acl',
    mount: Kernel.permissions,
    steps: `put f abc
      chmod f 0600
      as 1001 open - f r = EACCES
      setxattr f ${ACCESS} ${named} = ok
      stat f mode = 0660
      as 1001 open - f r = ok
      as 1001 open - f w = EACCES
      as 1002:2005 open - f w = ok
      as 1002:2005 open - f r = EACCES
      as 1003 open - f r = EACCES
      as 1003:3,2005 open - f w = ok
      chmod f 0640
      as 1001 open - f r = ok
      as 1002:2005 open - f w = EACCES
      chmod f 0600
      as 1001 open - f r = EACCES
      chmod f 0666
      as 1001 open - f w = EACCES
      as 1003 open - f rw = ok
      removexattr f ${ACCESS} = ok
      stat f mode = 0666
      as 1002:2005 open - f w = ok`,
    host: 'mount options',
  },
  {
    name: 'an ACL that says no more than the mode becomes the mode',
    needs: 'acl',
    mount: Kernel.permissions,
    steps: `put f x
      setxattr f ${ACCESS} ${acl([1, 7], [4, 5], [32, 1])} = ok
      stat f mode = 0751
      listxattr f = -
      getxattr f ${ACCESS} = ENODATA`,
    host: 'mount options',
  },
  {
    name: 'ACLs that are none',
    needs: 'acl',
    mount: Kernel.permissions,
    steps: `put f x
      mkdir d
      setxattr f ${ACCESS} junk = EOPNOTSUPP
      setxattr f ${ACCESS} ${acl([1, 6], [2, 4, 5], [4, 4], [32, 0])} = EINVAL
      setxattr f ${ACCESS} ${acl([1, 6], [4, 4])} = EINVAL
      setxattr f ${ACCESS} ${acl([1, 6], [1, 6], [4, 4], [32, 0])} = EINVAL
      setxattr f ${DEFAULT} ${acl([1, 6], [4, 4], [32, 0])} = EACCES
      as 1001 setxattr f ${ACCESS} ${acl([1, 6], [4, 4], [32, 0])} = EPERM
      setxattr d ${DEFAULT} ${acl([1, 7], [4, 5], [32, 0])} = ok
      listxattr d = ${DEFAULT}
      stat f mode = 0644`,
    host: 'mount options',
  },
  {
    name: 'a default ACL is inherited, and takes the place of the umask',
    needs: 'acl',
    mount: Kernel.permissions,
    steps: `mkdir d
      setxattr d ${DEFAULT} ${acl([1, 7], [2, 7, 1001], [4, 5], [16, 7], [32, 0])} = ok
      stat d mode = 0755
      umask 077
      open - d/f w creat 0666 = ok
      stat d/f mode = 0660
      as 1001 open - d/f rw = ok
      as 1002 open - d/f r = EACCES
      mkdir d/e 0777
      stat d/e mode = 0770
      listxattr d/e = ${ACCESS} ${DEFAULT}
      listxattr d/f = ${ACCESS}
      open - d/e/g w creat 0600 = ok
      stat d/e/g mode = 0600
      as 1001 open - d/e/g r = EACCES
      symlink x d/l
      listxattr d/l = -
      mknod d/p fifo 0666
      stat d/p mode = 0660
      removexattr d ${DEFAULT} = ok
      open - d/h w creat 0666
      stat d/h mode = 0600`,
    host: 'mount options',
  },
];

export const xattrs: Topic = {
  name: 'xattrs',
  cases: [...types.map(onType), ...[1, 10, 100, 1000, 3900, 4096, 4097, 20000, 65535, 65536].map(valueSize), ...general, ...acls],
};
