// Guards what a session does with file flags, ids, names and damage at the protocol's bytes: ioctls, open flags, id-less headers, names that are too long.
import t from 'tap';
import { Errno, FsError } from '../../src/base/errno.js';
import { asIno } from '../../src/base/units.js';
import { InodeFlag } from '../../src/format/layout.js';
import { mayAdminister } from '../../src/fuse/caller.js';
import { Opcode as O } from '../../src/fuse/opcodes.js';
import { name, u32, u64, Wire } from './fuse-wire.js';

const GETFLAGS = 0x80086601;
const SETFLAGS = 0x40086602;
const GETVERSION = 0x80087601;
const FSGETXATTR = 0x801c581f;
const FSSETXATTR = 0x401c5820;
const SHUTDOWN = 0x8004587d;

/** struct fuse_ioctl_in and the data that goes in. */
const ioctl = (command: number, input: Buffer, outSize: number): Buffer => Buffer.concat([u64(0), u32(0, command), u64(0x7fff_0000), u32(input.length, outSize), input]);

function makeFile(wire: Wire): number {
  return Number(wire.ask(O.CREATE, 1, [u32(0o102, 0o100644, 0o022, 0), name('f')], { uid: 7, gid: 8 }).body.readBigUInt64LE(0));
}

function newKernel(minor = 45): Wire {
  const wire = new Wire();
  wire.ask(O.INIT, 0, [u32(7, minor, 131072, 0x7fffffff, 0xffffffff), Buffer.alloc(44)]);
  return wire;
}

t.test('file flags', (t) => {
  const wire = newKernel();
  const ino = makeFile(wire);
  const table: [number, number, number][] = [
    [InodeFlag.sync, 0x8, 0x20], [InodeFlag.immutable, 0x10, 0x8], [InodeFlag.appendOnly, 0x20, 0x10], [InodeFlag.noDump, 0x40, 0x80],
    [InodeFlag.noAtime, 0x80, 0x40], [InodeFlag.dax, 0x2000000, 0x8000], [InodeFlag.projectInherit, 0x20000000, 0x200],
  ];
  for (const [flag, fileFlag, fileXflag] of table) {
    for (const [command, input] of [[SETFLAGS, u32(fileFlag)], [FSSETXATTR, Buffer.concat([u32(fileXflag, 0, 0, 99, 0), Buffer.alloc(8)])]] as const) {
      const { error, body } = wire.ask(O.IOCTL, ino, [ioctl(command, input, 0)]);
      t.same([error, body.length, body.readInt32LE(0)], [0, 16, 0], 'set');
      t.equal(wire.fs.node(asIno(ino)).attributes.flags, flag);
      const got = wire.ask(O.IOCTL, ino, [ioctl(GETFLAGS, Buffer.alloc(0), 4)]).body;
      t.same([got.length, got.readUInt32LE(16)], [20, fileFlag], 'GETFLAGS');
      const long = wire.ask(O.IOCTL, ino, [ioctl(GETFLAGS, Buffer.alloc(0), 8)]).body;
      t.equal(long.length, 20, 'programs have room for an int only, whatever the number says');
      const extended = wire.ask(O.IOCTL, ino, [ioctl(FSGETXATTR, Buffer.alloc(0), 28)]).body;
      t.same([extended.length, extended.readUInt32LE(16)], [16 + 28, fileXflag], 'FSGETXATTR');
    }
  }
  t.equal(wire.fs.node(asIno(ino)).attributes.project, 99, 'SETFLAGS leaves the project');
  t.equal(wire.ask(O.IOCTL, ino, [ioctl(GETVERSION, Buffer.alloc(0), 8)]).body.readUInt32LE(16), wire.fs.node(asIno(ino)).attributes.generation);
  const refused: [string, Buffer, number][] = [
    ['an unknown file flag', ioctl(SETFLAGS, u32(0x4), 0), Errno.EOPNOTSUPP],
    ['an unknown xflag', ioctl(FSSETXATTR, Buffer.concat([u32(0x800, 0, 0, 0, 0), Buffer.alloc(8)]), 0), Errno.EOPNOTSUPP],
    ['an extent size hint', ioctl(FSSETXATTR, Buffer.concat([u32(0, 4096, 0, 0, 0), Buffer.alloc(8)]), 0), Errno.EOPNOTSUPP],
    ['no flags', ioctl(SETFLAGS, Buffer.alloc(0), 0), Errno.EINVAL],
    ['no room', ioctl(FSGETXATTR, Buffer.alloc(0), 20), Errno.EINVAL],
    ['another ioctl', ioctl(0x1234, Buffer.alloc(0), 0), Errno.ENOTTY],
    ['a remount that nobody follows', ioctl(0x6e40, Buffer.alloc(0), 0), Errno.ENOTTY],
    ['flags that are not there', Buffer.concat([u64(0), u32(0, SETFLAGS), u64(0), u32(4, 0)]), Errno.EIO],
  ];
  for (const [what, request, errno] of refused) t.equal(wire.ask(O.IOCTL, ino, [request]).error, errno, what);
  t.equal(newKernel(31).ask(O.IOCTL, 1, [ioctl(SETFLAGS, u32(0), 0)]).error, Errno.EPERM, 'a kernel that checks nobody: only an administrator may');
  t.end();
});

t.test('shutting down is for administrators', (t) => {
  const wire = newKernel();
  t.equal(wire.ask(O.IOCTL, 1, [ioctl(SHUTDOWN, Buffer.alloc(0), 4)]).error, Errno.EPERM, 'a process that is not there');
  t.equal(wire.session.shutDown, false);
  t.equal(mayAdminister(0), false, 'one of another pid namespace');
  t.equal(mayAdminister(process.pid), process.geteuid?.() !== 0 || mayAdminister(1), 'this process, if it is root or the daemon\'s own user');
  t.end();
});

t.test('OPEN asks whether a file may be written', (t) => {
  const wire = newKernel();
  const ino = makeFile(wire);
  const calls = (flags: number): string[] => {
    wire.fs.calls.length = 0;
    wire.ask(O.OPEN, ino, [u32(flags, 0)]);
    return wire.fs.calls.filter((call) => call.startsWith('checkOpen'));
  };
  t.same(calls(0), [], 'O_RDONLY');
  t.same(calls(1), [`checkOpen ${String(ino)} false`], 'O_WRONLY');
  t.same(calls(0o2002), [`checkOpen ${String(ino)} true`], 'O_RDWR | O_APPEND');
  t.same(calls(0o3001), [`checkOpen ${String(ino)} false`], 'O_APPEND | O_TRUNC');
  t.same(calls(0o1000), [`checkOpen ${String(ino)} false`], 'O_RDONLY | O_TRUNC');
  t.end();
});

t.test('attributes that the kernel did not see change are forgotten before the caller hears of the change', (t) => {
  // The other way round, a caller who asks for them at once could still be shown the old ones.
  const wire = newKernel();
  const ino = makeFile(wire);
  const fsxattr = Buffer.concat([u32(0x80, 0, 0, 5, 0), Buffer.alloc(8)]);
  for (const [what, request] of [['SETFLAGS', ioctl(SETFLAGS, u32(0x40), 0)], ['FSSETXATTR', ioctl(FSSETXATTR, fsxattr, 0)]] as const) {
    const messages = wire.exchange(O.IOCTL, ino, [request]);
    t.same(messages.map((message) => message.readBigUInt64LE(8) === 0n), [true, false], `${what}: the notification, then the answer`);
    t.same([messages[0]?.readInt32LE(4), messages[0]?.readBigUInt64LE(16)], [2, BigInt(ino)], `${what}: FUSE_NOTIFY_INVAL_INODE of the file`);
    t.equal(messages[1]?.readInt32LE(4), 0, `${what}: answered`);
  }
  t.end();
});

t.test('every name in a request has at most 255 bytes', (t) => {
  const wire = newKernel();
  makeFile(wire);
  const long = name('n'.repeat(256));
  const short = name('s');
  const requests: [string, number, Buffer[]][] = [
    ['LOOKUP', O.LOOKUP, [long]], ['CREATE', O.CREATE, [u32(0o102, 0o100644, 0, 0), long]], ['MKDIR', O.MKDIR, [u32(0o755, 0), long]],
    ['MKNOD', O.MKNOD, [u32(0o010644, 0, 0, 0), long]], ['SYMLINK', O.SYMLINK, [long, name('target')]], ['LINK', O.LINK, [u64(2), long]],
    ['UNLINK', O.UNLINK, [long]], ['RMDIR', O.RMDIR, [long]], ['RENAME, the old name', O.RENAME, [u64(1), long, short]],
    ['RENAME, the new name', O.RENAME, [u64(1), short, long]], ['RENAME2, the old name', O.RENAME2, [u64(1), u32(0, 0), long, short]],
    ['RENAME2, the new name', O.RENAME2, [u64(1), u32(0, 0), short, long]],
  ];
  for (const [what, opcode, parts] of requests) t.equal(wire.ask(opcode, 1, parts).error, Errno.ENAMETOOLONG, what);
  t.equal(wire.ask(O.SYMLINK, 1, [short, name('t'.repeat(4096))]).error, Errno.ENAMETOOLONG, 'a target of 4096 bytes');
  t.equal(wire.ask(O.SYMLINK, 1, [short, name('t'.repeat(4095))]).error, 0, 'a target of 4095 bytes');
  t.end();
});

t.test('damage is told to the filesystem, data that is not delivered is not', (t) => {
  const wire = newKernel();
  const ino = makeFile(wire);
  const told = (): string[] => wire.fs.calls.filter((call) => call.startsWith('noteDamage'));
  wire.ask(O.WRITE, ino, [u64(0, 0), u32(4, 0), u64(0), u32(0, 0), Buffer.from('data')]);
  wire.results = [-Errno.EIO];
  t.equal(wire.ask(O.READ, ino, [u64(0, 0), u32(4, 0), u64(0), u32(0, 0)]).error, Errno.EIO);
  t.same(told(), [], 'poisoned data');
  wire.fs.lookup = () => {
    throw new FsError('EIO', 'block 9: expected checksum');
  };
  wire.ask(O.LOOKUP, 1, [name('f')]);
  t.same(told(), ['noteDamage block 9: expected checksum'], 'a damaged structure');
  t.end();
});

t.test('files are mapped from the medium, or cached', (t) => {
  const wire = new Wire({ image: { device: 7n, inode: 8n, path: '/dev/shm/image', domain: 'memory', declared: true } });
  const RANGE = (size: number): number => (3 * 2 ** 30 + (size << 16) + 0x4e41) >>> 0;
  const size = 64 + 24;
  const handleOf = (body: Buffer, at = 0): number => Number(body.readBigUInt64LE(at));
  const made = wire.ask(O.CREATE, 1, [u32(0o102, 0o100644, 0o022, 0), name('mapped')]).body;
  const ino = handleOf(made);
  const maker = handleOf(made, 128);
  const range = (handle: number, flags: number): Buffer =>
    Buffer.concat([u64(handle), u32(0, RANGE(size)), u64(0), u32(64, size), u64(0, 4096), u32(flags), Buffer.alloc(44)]);
  const open = (): [handle: number, flags: number] => {
    const { body } = wire.ask(O.OPEN, ino, [u32(2, 0)]);
    return [handleOf(body), body.readUInt32LE(8)];
  };
  const release = (handle: number): number => wire.ask(O.RELEASE, ino, [u64(handle), u32(2, 0), u64(0)]).error;

  const identity = wire.ask(O.IOCTL, ino, [ioctl(0x90404e40, Buffer.alloc(0), 4160)]).body.subarray(16);
  t.same([identity.readUInt32LE(0), identity.readUInt32LE(4), identity.readUInt32LE(8), identity.readUInt32LE(12)], [1, 1, 1, 0], 'version, declared, memory, in the image');
  t.same([identity.readBigUInt64LE(16), identity.readBigUInt64LE(24), identity.readBigUInt64LE(32)], [7n, 8n, BigInt(ino)], 'device, inode, the file');
  t.equal(identity.toString('latin1', 64, identity.indexOf(0, 64)), '/dev/shm/image');
  wire.fs.domainOfRegions = 'file';
  const ofRegion = wire.ask(O.IOCTL, ino, [ioctl(0x90404e40, Buffer.alloc(0), 4160)]).body.subarray(16);
  t.same([ofRegion.readUInt32LE(8), ofRegion.readUInt32LE(12)], [0, 1], 'a region has the domain of its host file, whatever the image has');
  wire.fs.domainOfRegions = null;

  const [cached, flags] = open();
  t.equal(flags, 2, 'KEEP_CACHE');
  t.equal(wire.ask(O.IOCTL, ino, [range(maker, 2)]).error, Errno.EBUSY, 'not while another one has it open through the page cache');
  t.equal(release(cached), 0);
  t.equal(wire.ask(O.IOCTL, ino, [range(maker, 2)]).error, 0, 'the own open file does not count');
  t.equal(wire.ask(O.IOCTL, ino, [range(maker, 6)]).error, 0, 'again, to write');
  t.same(wire.exchange(O.IOCTL, ino, [range(maker, 7)]).map((message) => message.readBigUInt64LE(8) === 0n), [true, false], 'blocks that are filled: old attributes are forgotten before the answer');
  const [direct, directFlags] = open();
  t.equal(directFlags & 1, 1, 'DIRECT_IO');
  t.equal(wire.ask(O.IOCTL, ino, [range(direct, 2)]).error, 0, 'a second one who maps it');
  t.equal(release(maker), 0);
  t.equal(open()[1] & 1, 1, 'there is still one');
  t.equal(release(direct), 0);
  const [last, lastFlags] = open();
  t.equal(lastFlags & 1, 0, 'cached again');
  t.equal(release(last), 0);
  t.equal(release(last), Errno.EIO, 'released once');

  t.equal(wire.ask(O.IOCTL, ino, [range(0, 2)]).error, Errno.EINVAL, 'no open file');
  t.equal(wire.ask(O.IOCTL, ino, [ioctl(RANGE(64), Buffer.alloc(64), 64)]).error, Errno.EINVAL, 'no room for an extent');
  t.equal(wire.ask(O.IOCTL, ino, [ioctl(RANGE(size), Buffer.alloc(8), size)]).error, Errno.EINVAL, 'no range');
  t.equal(new Wire().ask(O.IOCTL, 1, [ioctl(0x90404e40, Buffer.alloc(0), 4160)]).error, Errno.ENOTTY, 'where the medium can not be mapped');
  t.end();
});
