// Guards the conversation with the kernel: every request is decoded at the right bytes, answered once and in the protocol's shape.
import t from 'tap';
import { AssertionFailure } from '../../src/base/assert.js';
import { Errno, FsError } from '../../src/base/errno.js';
import { asIno } from '../../src/base/units.js';
import { Change } from '../../src/fs/types.js';
import { deviceMajor, deviceMinor, encodeDevice } from '../../src/fuse/encode.js';
import { Opcode as O } from '../../src/fuse/opcodes.js';
import { name, u32, u64, Wire } from './fuse-wire.js';

const DAY = 86400n;
const create = (mode: number, flags = 0o102): Buffer => u32(flags, mode, 0o022, 0);

/** Makes a file in the root, returns its inode number. */
function makeFile(wire: Wire, text: string, mode = 0o100644): number {
  return Number(wire.ask(O.CREATE, 1, [create(mode), name(text)], { uid: 7, gid: 8 }).body.readBigUInt64LE(0));
}

const write = (offset: number, size: number, flags = 0): Buffer => Buffer.concat([u64(0, offset), u32(size, flags), u64(0), u32(0, 0)]);
const read = (offset: number | bigint, size: number): Buffer => Buffer.concat([u64(0, offset), u32(size, 0), u64(0), u32(0, 0)]);
const holdsOf = (wire: Wire, ino: number): number => wire.fs.node(asIno(ino)).holds;

t.test('INIT agrees on what both sides have', (t) => {
  const offer = (major: number, minor: number, flags: number, flags2: number): Buffer =>
    Buffer.concat([u32(major, minor, 131072, flags, flags2), Buffer.alloc(44)]);

  const wire = new Wire();
  const { error, body } = wire.ask(O.INIT, 0, [offer(7, 45, 0x7fffffff, 0xffffffff)]);
  t.equal(error, 0);
  t.equal(body.length, 64);
  t.same([0, 4, 8].map((at) => body.readUInt32LE(at)), [7, 45, 131072], 'version and readahead');
  const flags = body.readUInt32LE(12);
  for (const [bit, wanted] of [[0, 1], [3, 1], [4, 1], [5, 1], [6, 1], [13, 1], [14, 1], [16, 0], [18, 1], [19, 0], [20, 1], [22, 1], [23, 1], [28, 1], [29, 1], [30, 1]] as const) {
    t.equal((flags >>> bit) & 1, wanted, `INIT flag ${String(bit)}`);
  }
  t.same([16, 18].map((at) => body.readUInt16LE(at)), [64, 48], 'background requests');
  t.same([body.readUInt32LE(20), body.readUInt32LE(24), body.readUInt16LE(28)], [1 << 20, 1, 256], 'writes of 1 MiB, times in ns');
  t.equal(body.readUInt32LE(32), (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8), 'direct I/O allows mmap, passthrough, requests are sent again, id-mapped mounts');
  t.equal(body.readUInt32LE(36), 1, 'host files are not on stacked filesystems');
  t.equal(wire.session.protocol?.minor, 45);

  const older = new Wire().ask(O.INIT, 0, [u32(7, 31, 4096, (1 << 5) | (1 << 22))]).body;
  t.same([older.readUInt32LE(4), older.readUInt32LE(12), older.readUInt32LE(32)], [31, (1 << 5) | (1 << 22), 0], 'a kernel without the second word');
  const small = new Wire().ask(O.INIT, 0, [offer(7, 40, 1 << 5, 0)]).body;
  t.same([small.readUInt32LE(20), small.readUInt16LE(28)], [131072, 32], 'without MAX_PAGES');
  const ancient = new Wire();
  t.equal(ancient.ask(O.INIT, 0, [offer(7, 27, 0, 0)]).error, Errno.EIO);
  t.match(ancient.logged.join(), /the kernel speaks FUSE 7\.27; at least 7\.28/);
  const newer = new Wire();
  t.equal(newer.ask(O.INIT, 0, [offer(8, 0, 0, 0)]).body.readUInt32LE(0), 7, 'a newer major version hears ours');
  t.equal(newer.session.protocol, null, 'and will ask again');
  t.end();
});

t.test('names become entries with long timeouts, missing ones too', (t) => {
  const wire = new Wire();
  const missing = wire.ask(O.LOOKUP, 1, [name('nobody')]);
  t.equal(missing.error, 0);
  t.equal(missing.body.length, 128);
  t.equal(missing.body.readBigUInt64LE(0), 0n, 'node id 0');
  t.equal(missing.body.readBigUInt64LE(16), DAY, 'remembered');

  const made = wire.ask(O.CREATE, 1, [create(0o104750), name('f\xe9')], { uid: 7, gid: 8 }).body;
  t.equal(made.length, 144);
  t.equal(made.readUInt32LE(136), 1 << 1, 'opened, keeping the cache');
  const { body } = wire.ask(O.LOOKUP, 1, [name('f\xe9')]);
  t.same([0, 8, 16, 24].map((at) => body.readBigUInt64LE(at)), [2n, 1002n, DAY, DAY], 'node id, generation, timeouts');
  const attributes = body.subarray(40);
  t.equal(attributes.readBigUInt64LE(0), 2n);
  t.same([60, 64, 68, 72, 80].map((at) => attributes.readUInt32LE(at)), [0o104750, 1, 7, 8, 4096], 'mode nlink uid gid blksize');
  t.equal(holdsOf(wire, 2), 2, 'two lookups are counted');

  t.equal(wire.ask(O.LOOKUP, 1, [name('x'.repeat(255))]).error, 0);
  for (const opcode of [O.LOOKUP, O.UNLINK, O.RMDIR]) t.equal(wire.ask(opcode, 1, [name('x'.repeat(256))]).error, Errno.ENAMETOOLONG);
  t.equal(wire.ask(O.MKDIR, 1, [u32(0o755, 0), name('x'.repeat(256))]).error, Errno.ENAMETOOLONG);
  t.equal(wire.ask(O.SYMLINK, 1, [name('s'), name('x'.repeat(4096))]).error, Errno.ENAMETOOLONG);
  t.end();
});

t.test('nodes of every kind are made, linked, renamed and removed', (t) => {
  const wire = new Wire();
  const mode = (body: Buffer): number => body.readUInt32LE(40 + 60);
  t.equal(mode(wire.ask(O.MKDIR, 1, [u32(0o1777, 0), name('d')]).body), 0o041777);
  t.equal(mode(wire.ask(O.MKNOD, 1, [u32(0o600, 0, 0, 0), name('plain')]).body), 0o100600, 'no type is a regular file');
  const device = encodeDevice(0xabc, 0xfedcb);
  t.same([deviceMajor(device), deviceMinor(device)], [0xabc, 0xfedcb]);
  t.equal(wire.ask(O.MKNOD, 1, [u32(0o060600, device, 0, 0), name('b')]).body.readUInt32LE(40 + 76), device);
  const symlink = wire.ask(O.SYMLINK, 1, [name('s'), name('to/there')]).body;
  t.equal(wire.ask(O.READLINK, Number(symlink.readBigUInt64LE(0))).body.toString(), 'to/there');
  t.equal(wire.ask(O.LINK, 2, [u64(3), name('hard')]).body.readUInt32LE(40 + 64), 2, 'link count');
  t.equal(holdsOf(wire, 3), 2, 'LINK counts a lookup');

  wire.ask(O.RENAME, 1, [u64(2), name('s'), name('t')]);
  t.equal(wire.ask(O.RENAME2, 1, [u64(2), u32(1, 0), name('b'), name('c')]).error, 0);
  t.same(wire.fs.calls.filter((call) => call.startsWith('rename')), ['rename 1 s 2 t 0', 'rename 1 b 2 c 1']);
  t.equal(wire.ask(O.UNLINK, 2, [name('hard')]).error, 0);
  t.equal(wire.ask(O.UNLINK, 2, [name('hard')]).error, Errno.ENOENT);
  t.equal(wire.ask(O.RMDIR, 1, [name('d')]).error, Errno.ENOTEMPTY);
  t.ok(wire.session.workDue, 'freeing is left to the background');

  const tmp = wire.ask(O.TMPFILE, 1, [create(0o600), name('#1')]).body;
  t.equal(holdsOf(wire, Number(tmp.readBigUInt64LE(0))), 1, 'O_TMPFILE is held by its lookup count');
  t.end();
});

t.test('CREATE of a name that exists', (t) => {
  const wire = new Wire();
  const ino = makeFile(wire, 'f');
  wire.ask(O.WRITE, ino, [write(0, 3), Buffer.from('abc')]);
  t.equal(wire.ask(O.CREATE, 1, [create(0o644, 0o302), name('f')]).error, Errno.EEXIST, 'O_EXCL');
  t.equal(Number(wire.ask(O.CREATE, 1, [create(0o644), name('f')]).body.readBigUInt64LE(0)), ino, 'opened as it is');
  t.equal(wire.fs.node(asIno(ino)).attributes.size, 3);
  wire.ask(O.CREATE, 1, [create(0o644, 0o1102), name('f')]);
  t.equal(wire.fs.node(asIno(ino)).attributes.size, 0, 'O_TRUNC');
  wire.ask(O.MKDIR, 1, [u32(0o755, 0), name('d')]);
  t.equal(wire.ask(O.CREATE, 1, [create(0o644), name('d')]).error, Errno.EISDIR);
  t.end();
});

t.test('the payload of READ and WRITE', (t) => {
  const wire = new Wire();
  const ino = makeFile(wire, 'f');
  const payload = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff));
  t.equal(wire.ask(O.WRITE, ino, [write(100, payload.length), payload]).body.readUInt32LE(0), 5000);
  t.same(wire.ask(O.READ, ino, [read(100, 8192)]).body, payload, 'clipped to the size');
  t.same(wire.ask(O.READ, ino, [read(99, 3)]).body, Buffer.from([0, 0, 7]));
  t.equal(wire.ask(O.READ, ino, [read(5100, 10)]).body.length, 0);
  t.equal(wire.ask(O.WRITE, ino, [write(0, 5001), payload]).error, Errno.EIO, 'a payload that is not there');
  const far = wire.ask(O.READ, ino, [read(2n ** 60n, 10)]);
  t.same([far.error, far.body.length], [0, 0], 'beyond every file is the end of the file');
  t.equal(wire.ask(O.WRITE, ino, [write(2 ** 63, 1), Buffer.alloc(1)]).error, Errno.EFBIG);

  const big = Buffer.alloc(1 << 20, 0x5a);
  const other = makeFile(wire, 'g');
  t.equal(wire.ask(O.WRITE, other, [write(0, big.length), big]).body.readUInt32LE(0), 1 << 20, 'the largest request fits');
  t.ok(wire.ask(O.READ, other, [read(0, 1 << 20)]).body.equals(big));

  wire.results = [-Errno.EIO];
  t.equal(wire.ask(O.READ, other, [read(0, 10)]).error, Errno.EIO, 'a medium that does not deliver');
  t.match(wire.logged.at(-1), /READ of inode 3: the medium can't deliver 10 bytes/);
  wire.results = [-Errno.EINVAL];
  t.equal(wire.ask(O.READ, other, [read(0, 10)]).error, Errno.EIO, 'a reply that the kernel refuses does not leave the caller waiting');
  t.end();
});

t.test('files are opened, allocated, searched, copied and synced', (t) => {
  const wire = new Wire();
  const ino = makeFile(wire, 'f', 0o106777);
  wire.ask(O.WRITE, ino, [write(0, 3), Buffer.from('abc')]);
  t.equal(wire.ask(O.OPEN, ino, [u32(2, 0)]).body.readUInt32LE(8), 2, 'KEEP_CACHE');
  t.equal(new Wire({ directIo: true }).ask(O.OPEN, 1, [u32(2, 0)]).body.readUInt32LE(8), 1 | (1 << 6), 'direct_io');
  t.equal(wire.fs.node(asIno(ino)).attributes.size, 3);

  const sent = wire.exchange(O.OPEN, ino, [u32(0o1002, 0)], { uid: 1000 });
  t.equal(sent.length, 2, 'O_TRUNC by an ordinary user, from a kernel that does not say who may keep set-user-id: a notification and the reply');
  t.equal(wire.fs.node(asIno(ino)).attributes.mode, 0o100777, 'takes set-user-id');
  t.same(sent[0], Buffer.concat([u32(40, 2), u64(0), u64(ino, -1, 0)]), 'and the kernel is told to ask for the mode again');
  t.equal(wire.fs.node(asIno(ino)).attributes.size, 0);
  t.equal(wire.exchange(O.WRITE, ino, [write(0, 1, 1 << 2), Buffer.from('x')]).length, 1, 'nothing to take, no notification');
  wire.fs.node(asIno(ino)).attributes.mode = 0o102644;
  t.equal(wire.exchange(O.WRITE, ino, [write(0, 1, 1 << 2), Buffer.from('x')]).length, 1, 'set-group-id of what the group may not execute stays');
  t.equal(wire.fs.node(asIno(ino)).attributes.mode, 0o102644);

  wire.fs.calls.length = 0;
  t.equal(wire.ask(O.FALLOCATE, ino, [u64(0, 4096, 8192), u32(3, 0)]).error, 0);
  t.equal(wire.ask(O.LSEEK, ino, [u64(0, 0), u32(4, 0)]).body.readBigUInt64LE(0), 1n);
  t.equal(wire.ask(O.LSEEK, ino, [u64(0, 100), u32(3, 0)]).error, Errno.ENXIO);
  // The kernel passes offsets of a program's own on as they are.
  t.equal(wire.ask(O.LSEEK, ino, [u64(0, -1), u32(3, 0)]).error, Errno.ENXIO, 'lseek to -1');
  t.equal(wire.ask(O.LSEEK, ino, [u64(0, 2n ** 60n), u32(4, 0)]).error, Errno.ENXIO, 'beyond every file');
  const range = [u64(0, 5, 9, 0, 7, 1000, 0)];
  t.equal(wire.ask(O.COPY_FILE_RANGE, ino, range).body.readUInt32LE(0), 1000);
  t.equal(wire.ask(O.COPY_FILE_RANGE_64, ino, [u64(0, 5, 9, 0, 7, 2n ** 62n, 0)]).body.readBigUInt64LE(0), 4194304n, 'cut into steps');
  t.equal(wire.ask(O.FSYNC, ino, [u64(0), u32(1, 0)]).error, 0);
  t.equal(wire.ask(O.SYNCFS, 1, [u64(0)]).error, 0);
  t.equal(wire.ask(O.RELEASE, ino, [u64(0), u32(2, 0), u64(0)]).error, 0);
  t.same(wire.fs.calls, ['allocate 2 3 4096 8192', 'copyRange 2 5 9 7 1000', 'copyRange 2 5 9 7 4194304', 'sync 2', 'flushTimes']);
  t.end();
});

/** A session that has agreed on the INIT flags. */
function agreed(flags: number, acls = true): Wire {
  const wire = new Wire({ acls });
  wire.ask(O.INIT, 0, [u32(7, 45, 131072, flags, 0), Buffer.alloc(44)]);
  return wire;
}

t.test('who may keep set-user-id is told by the kernel (HANDLE_KILLPRIV_V2)', (t) => {
  const wire = agreed(1 << 28);
  const ino = makeFile(wire, 'f');
  const { attributes } = wire.fs.node(asIno(ino));
  const after = (message: string, opcode: number, parts: Buffer[], uid: number, expected: number, notified: boolean): void => {
    attributes.mode = 0o106755;
    const sent = wire.exchange(opcode, opcode === O.CREATE ? 1 : ino, parts, { uid });
    t.equal(attributes.mode.toString(8), expected.toString(8), message);
    t.equal(sent.length, notified ? 2 : 1, `${message}: ${notified ? 'the kernel is told' : 'one reply'}`);
  };
  after('WRITE that may not', O.WRITE, [write(0, 1, 1 << 2), Buffer.from('x')], 0, 0o100755, true);
  after('WRITE that may', O.WRITE, [write(0, 1), Buffer.from('x')], 1000, 0o106755, false);
  after('OPEN with O_TRUNC that may not', O.OPEN, [u32(0o1002, 1)], 0, 0o100755, true);
  after('OPEN with O_TRUNC that may', O.OPEN, [u32(0o1002, 0)], 1000, 0o106755, false);
  after('CREATE of what exists that may not', O.CREATE, [u32(0o1102, 0o644, 0, 1), name('f')], 0, 0o100755, true);
  after('FALLOCATE does not say: root may', O.FALLOCATE, [u64(0, 0, 10), u32(0, 0)], 0, 0o106755, false);
  after('FALLOCATE does not say: others may not', O.FALLOCATE, [u64(0, 0, 10), u32(0, 0)], 1000, 0o100755, true);
  after('COPY_FILE_RANGE likewise', O.COPY_FILE_RANGE, [u64(0, 0, ino, 0, 0, 1, 0)], 1000, 0o100755, true);
  t.end();
});

t.test('the umask is applied here (DONT_MASK)', (t) => {
  const modes = (wire: Wire): string[] => [
    wire.ask(O.CREATE, 1, [u32(0o102, 0o666, 0o027, 0), name('a')]).body,
    wire.ask(O.MKDIR, 1, [u32(0o777, 0o027), name('b')]).body,
    wire.ask(O.MKNOD, 1, [u32(0o010666, 0, 0o027, 0), name('c')]).body,
    wire.ask(O.TMPFILE, 1, [u32(0o102, 0o666, 0o027, 0), name('#')]).body,
  ].map((body) => body.readUInt32LE(40 + 60).toString(8));
  t.same(modes(agreed(1 << 6)), ['100640', '40750', '10640', '100640']);
  t.same(modes(agreed(0)), ['100666', '40777', '10666', '100666'], 'unless the kernel did it');
  t.end();
});

t.test('extended attributes', (t) => {
  for (const extended of [true, false]) {
    const wire = agreed((extended ? 1 << 29 : 0) | (1 << 20));
    const ino = makeFile(wire, 'f');
    const set = (text: string, value: Buffer, flags = 0, extra = 0): number =>
      wire.ask(O.SETXATTR, ino, [u32(value.length, flags), ...(extended ? [u32(extra, 0)] : []), name(text), value]).error;
    const get = (text: string, size: number): { error: number; body: Buffer } => wire.ask(O.GETXATTR, ino, [u32(size, 0), name(text)]);
    t.equal(set('user.a', Buffer.from('value'), 1), 0);
    t.equal(set('user.big', Buffer.alloc(65_536, 3), 2), 0);
    t.equal(set('system.posix_acl_access', Buffer.alloc(0), 0, 1), 0);
    t.same(wire.fs.calls.filter((call) => call.startsWith('setX')), ['setXattr 2 user.a 5 1', 'setXattr 2 user.big 65536 2', `setXattr 2 system.posix_acl_access 0 ${extended ? '4' : '0'}`]);
    t.same(get('user.a', 0).body, u32(5, 0), 'size 0 asks for the length');
    t.equal(get('user.a', 100).body.toString(), 'value');
    t.equal(get('user.a', 4).error, Errno.ERANGE);
    t.equal(get('user.none', 4).error, Errno.ENODATA);
    t.ok(get('user.big', 65_536).body.equals(Buffer.alloc(65_536, 3)));
    t.equal(get('system.posix_acl_access', 10).body.length, 0, 'an empty value');
    t.equal(wire.ask(O.SETXATTR, ino, [u32(50, 0), ...(extended ? [u32(0, 0)] : []), name('user.a'), Buffer.alloc(49)]).error, Errno.EIO, 'a value that is not there');

    set('trusted.t', Buffer.alloc(1));
    set('user.z', Buffer.alloc(1));
    const list = (size: number, uid: number): { error: number; body: Buffer } => wire.ask(O.LISTXATTR, ino, [u32(size, 0)], { uid });
    t.equal(list(1000, 0).body.toString(), 'user.a\0user.big\0system.posix_acl_access\0trusted.t\0user.z\0');
    t.equal(list(1000, 7).body.toString(), 'user.a\0user.big\0system.posix_acl_access\0user.z\0', 'trusted ones are for root');
    t.same([list(0, 0).body, list(0, 7).body], [u32(57, 0), u32(47, 0)]);
    t.equal(list(56, 0).error, Errno.ERANGE);
    t.equal(list(47, 7).error, 0);
    t.equal(wire.ask(O.REMOVEXATTR, ino, [name('user.a')]).error, 0);
    t.equal(wire.ask(O.REMOVEXATTR, ino, [name('user.a')]).error, Errno.ENODATA);
  }
  t.end();
});

t.test('ACLs that nobody checks are none', (t) => {
  for (const wire of [agreed(0), agreed(1 << 20, false)]) {
    const ino = makeFile(wire, 'f');
    wire.fs.node(asIno(ino)).xattrs.set('system.posix_acl_access', Buffer.from('acl')).set('user.a', Buffer.from('a'));
    const acl = name('system.posix_acl_access');
    t.equal(wire.ask(O.SETXATTR, ino, [u32(3, 0), acl, Buffer.from('acl')]).error, Errno.EOPNOTSUPP, 'set');
    t.equal(wire.ask(O.GETXATTR, ino, [u32(100, 0), acl]).error, Errno.EOPNOTSUPP, 'get');
    t.equal(wire.ask(O.REMOVEXATTR, ino, [acl]).error, Errno.EOPNOTSUPP, 'remove');
    t.equal(wire.ask(O.LISTXATTR, ino, [u32(100, 0)]).body.toString(), 'user.a\0', 'list');
    t.equal(wire.ask(O.GETXATTR, ino, [u32(100, 0), name('user.a')]).body.toString(), 'a', 'others are there');
  }
  t.end();
});

t.test('SETATTR in all forms', (t) => {
  const wire = new Wire();
  const ino = makeFile(wire, 'f');
  const setattr = (valid: number, size = 0n, mtime = 0): Buffer =>
    Buffer.concat([u32(valid, 0), u64(0, size, 0, 11, mtime, 13), u32(111, 222, 333, 0o640, 0, 70, 80, 0)]);
  const forms: [number, number][] = [
    [1, Change.mode], [2, Change.uid], [4, Change.gid], [8, Change.size], [16, Change.atime], [32, Change.mtime],
    [16 | 128, Change.atime | Change.atimeNow], [32 | 256, Change.mtime | Change.mtimeNow], [1024, Change.ctime],
    [8 | 2048 | 64, Change.size | Change.killPrivileges],
  ];
  for (const [valid, mask] of forms) {
    wire.ask(O.SETATTR, ino, [setattr(valid, 5n)]);
    t.equal(wire.fs.calls.at(-1), `setAttributes 2 ${String(mask)}`);
  }
  const { body } = wire.ask(O.SETATTR, ino, [setattr(1 | 32, 0n, -3)]);
  t.equal(body.length, 104);
  t.equal(body.readBigUInt64LE(0), DAY);
  t.equal(body.readBigInt64LE(16 + 32), -3n, 'a time before 1970');
  t.equal(body.readUInt32LE(16 + 52), 222, 'its nanoseconds');
  t.same([60, 68, 72].map((at) => body.readUInt32LE(16 + at)), [0o100640, 70, 80]);
  t.equal(body.readBigUInt64LE(16 + 8), 5n, 'size');
  const { change } = wire.session;
  t.same([change.atimeSeconds, change.ctimeSeconds, change.atimeNanoseconds, change.ctimeNanoseconds], [11, 13, 111, 333]);
  t.equal(wire.ask(O.SETATTR, ino, [setattr(8, 2n ** 53n)]).error, Errno.EFBIG);
  t.same(wire.ask(O.GETATTR, ino, [u32(0, 0), u64(0)]).body, body);
  t.end();
});

t.test('STATX and STATFS', (t) => {
  const wire = new Wire();
  const ino = makeFile(wire, 'f');
  Object.assign(wire.fs.node(asIno(ino)).attributes, { btimeSeconds: 5, btimeNanoseconds: 6, mtimeSeconds: 7, rdevMajor: 8, rdevMinor: 9, blocks: 24 });
  const { body } = wire.ask(O.STATX, ino, [u32(0, 0), u64(0), u32(0, 0xfff)]);
  t.equal(body.length, 288);
  const stat = body.subarray(32);
  t.same([stat.readUInt32LE(0), stat.readUInt32LE(4), stat.readUInt16LE(28)], [0xfff, 4096, 0o100644], 'mask, block size, mode');
  t.same([stat.readBigUInt64LE(32), stat.readBigUInt64LE(48)], [2n, 24n], 'ino, blocks');
  t.same([stat.readBigInt64LE(80), stat.readUInt32LE(88), stat.readBigInt64LE(112)], [5n, 6, 7n], 'btime, mtime');
  t.same([stat.readUInt32LE(128), stat.readUInt32LE(132)], [8, 9], 'device');
  const statfs = wire.ask(O.STATFS, 1).body;
  t.equal(statfs.length, 80);
  t.same([0, 8, 16, 24, 32].map((at) => Number(statfs.readBigUInt64LE(at))), [16384, 1000, 900, 50, 40]);
  t.same([40, 44, 48].map((at) => statfs.readUInt32LE(at)), [4096, 255, 4096]);
  t.end();
});

t.test('directories', (t) => {
  const wire = new Wire();
  for (const text of ['a', 'bcdefghi', 'c']) makeFile(wire, text);
  t.equal(wire.ask(O.OPENDIR, 1, [u32(0, 0)]).body.readUInt32LE(8), (1 << 1) | (1 << 3), 'kept and cached by the kernel');

  const records = (body: Buffer, entrySize: number): { text: string; ino: bigint; cookie: bigint; node: bigint }[] => {
    const list = [];
    for (let at = 0; at < body.length; ) {
      const record = body.subarray(at + entrySize);
      const length = record.readUInt32LE(16);
      const node = entrySize > 0 ? body.readBigUInt64LE(at) : 0n;
      list.push({ text: record.toString('latin1', 24, 24 + length), ino: record.readBigUInt64LE(0), cookie: record.readBigUInt64LE(8), node });
      at += Math.ceil((entrySize + 24 + length) / 8) * 8;
    }
    return list;
  };
  const all = records(wire.ask(O.READDIR, 1, [read(0, 4096)]).body, 0);
  t.same(all.map((entry) => entry.text), ['.', '..', 'a', 'bcdefghi', 'c']);
  t.same(all.map((entry) => entry.cookie), [1n, 2n, 3n, 4n, 5n]);
  const part = records(wire.ask(O.READDIR, 1, [read(2, 32 + 31)]).body, 0);
  t.same(part.map((entry) => entry.text), ['a'], 'an entry that does not fit waits');
  t.equal(wire.ask(O.READDIR, 1, [read(5, 4096)]).body.length, 0, 'the end');
  t.equal(wire.ask(O.READDIR, 1, [read(2n ** 62n, 4096)]).body.length, 0, 'a cookie of the program\'s own making');
  t.equal(holdsOf(wire, 2), 1, 'READDIR counts no lookups');

  const plus = wire.ask(O.READDIRPLUS, 1, [read(0, 4096)]).body;
  t.same(records(plus, 128).map((entry) => [entry.text, entry.node]), [['.', 0n], ['..', 0n], ['a', 2n], ['bcdefghi', 3n], ['c', 4n]]);
  t.equal(plus.readUInt32LE(2 * 160 + 40 + 60), 0o100644, 'attributes of the first file');
  t.same([1, 2, 3, 4].map((ino) => holdsOf(wire, ino)), [0, 2, 2, 2], 'READDIRPLUS counts a lookup of each, . and .. excepted');
  wire.results = [-Errno.ENOENT];
  t.same(wire.exchange(O.READDIRPLUS, 1, [read(0, 4096)]), []);
  t.same([2, 3, 4].map((ino) => holdsOf(wire, ino)), [2, 2, 2], 'an answer that nobody got counts none');

  wire.fs.nodes.delete(3);
  const damaged = records(wire.ask(O.READDIRPLUS, 1, [read(0, 4096)]).body, 128);
  t.same(damaged.map((entry) => [entry.text, entry.node]).slice(2), [['a', 2n], ['bcdefghi', 0n], ['c', 4n]], 'a damaged inode does not hide its neighbours');
  t.equal(wire.logged.length, 1);
  t.end();
});

t.test('lookup counts come back', (t) => {
  const wire = new Wire();
  const [a, b] = [makeFile(wire, 'a'), makeFile(wire, 'b')];
  wire.ask(O.LOOKUP, 1, [name('a')]);
  t.same(wire.exchange(O.FORGET, a, [u64(2)]), [], 'FORGET is not answered');
  t.equal(holdsOf(wire, a), 0);
  t.same(wire.exchange(O.BATCH_FORGET, 0, [u32(2, 0), u64(a, 5, b, 1)]), []);
  t.same([holdsOf(wire, a), holdsOf(wire, b)], [-5, 0]);
  wire.results = [-Errno.ENOENT];
  wire.exchange(O.LOOKUP, 1, [name('b')]);
  t.equal(holdsOf(wire, b), 0, 'an interrupted LOOKUP counts nothing');
  t.same(wire.exchange(O.BATCH_FORGET, 0, [u32(1000, 0), u64(a, 1)]), [], 'a count beyond the request is refused');
  t.equal(holdsOf(wire, a), -5);
  t.end();
});

t.test('what is not served is answered so that the kernel stops asking', (t) => {
  const wire = new Wire();
  const unserved = [O.FLUSH, O.ACCESS, O.POLL, O.BMAP, O.GETLK, O.SETUPMAPPING, 53 + 1, 4096, 0, 7];
  for (const opcode of unserved) t.equal(wire.ask(opcode, 1, [Buffer.alloc(64)]).error, Errno.ENOSYS, `opcode ${String(opcode)}`);
  t.equal(wire.ask(O.IOCTL, 1, [Buffer.alloc(32)]).error, Errno.ENOTTY);
  for (const opcode of [O.INTERRUPT, O.NOTIFY_REPLY]) t.same(wire.exchange(opcode, 1, [u64(1)]), []);
  t.equal(wire.ask(O.DESTROY, 0).error, 0);
  t.same(wire.logged, []);
  t.end();
});

t.test('failures are answered, and reported once', (t) => {
  const wire = new Wire();
  let thrown: Error = new AssertionFailure('assertion failed: two is three');
  wire.fs.lookup = () => {
    throw thrown;
  };
  for (let i = 0; i < 3; i++) t.equal(wire.ask(O.LOOKUP, 1, [name('f')]).error, Errno.EIO);
  t.equal(wire.logged.length, 1);
  t.match(wire.logged[0], /error LOOKUP of inode 1 failed; this is a bug of nvmfs: AssertionFailure: .*two is three\n +at /);
  thrown = new FsError('EUCLEAN', 'inode 9 at 0x3000: bad checksum');
  for (let i = 0; i < 2; i++) t.equal(wire.ask(O.LOOKUP, 1, [name('f')]).error, Errno.EIO, 'damage is EIO to programs');
  t.equal(wire.logged.length, 2);
  thrown = new FsError('ENOSPC');
  t.equal(wire.ask(O.LOOKUP, 1, [name('f')]).error, Errno.ENOSPC);
  t.equal(wire.logged.length, 2, 'an ordinary error is not reported');

  t.equal(wire.ask(O.OPEN, 1, []).error, Errno.EIO, 'a request that is too short');
  t.equal(wire.ask(O.UNLINK, 1, [Buffer.from('endless')]).error, Errno.EIO, 'a name without an end');
  wire.sent = [];
  wire.session.handle(20);
  t.same(wire.sent, [], 'what is not a request gets no answer');
  t.end();
});

t.test('debug shows every request', (t) => {
  const wire = new Wire({ debug: true });
  wire.ask(O.LOOKUP, 1, [name('f')], { uid: 5 });
  t.match(wire.logged[0], /^debug LOOKUP inode 1 unique \d+ length 42 uid 5$/);
  t.end();
});
