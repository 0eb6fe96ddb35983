// Guards the compatibility transport without libfuse: paths reach the right inode after every move, nothing wrong is answered where fuse-native tells too little.
import t from 'tap';
import { Errno, FsError } from '../../src/base/errno.js';
import { asIno } from '../../src/base/units.js';
import { Attributes, Caller, Name, Statistics } from '../../src/fs/types.js';
import { libfuseOptions, loadFuseNative, type NativeOperations } from '../../src/fuse/fuse-native/library.js';
import { PathOperations } from '../../src/fuse/fuse-native/operations.js';
import { Serving } from '../../src/fuse/fuse-native/serving.js';
import { requestTimes, statfsRecord, statRecord } from '../../src/fuse/fuse-native/values.js';
import type { MountSettings } from '../../src/fuse/transport.js';
import { MemoryVolume } from '../helpers/memory-volume.js';

const EILSEQ = 84;
const MIB = 2 ** 20;

/** Serves the real engine, and remembers each answer. */
class Mounted {
  readonly volume = new MemoryVolume({ sizeBytes: 64 * MIB });
  readonly logged: string[] = [];
  served = 0;
  readonly files: PathOperations;
  readonly serving: Serving;
  readonly call: NativeOperations;

  constructor() {
    const owner = new Caller();
    owner.uid = 7;
    owner.gid = 8;
    this.files = new PathOperations(this.volume.fs, this.volume.pmem, owner);
    this.serving = new Serving(this.files, false, (level, message) => this.logged.push(`${level} ${message}`), () => { this.served++; });
    this.call = this.serving.operations;
  }

  /** Makes a call that must be answered exactly once; returns the result and what came beside it. */
  answer(request: (call: NativeOperations, reply: (result: number, ...values: unknown[]) => void) => void): [number, ...unknown[]] {
    const answers: [number, ...unknown[]][] = [];
    request(this.call, (...answer) => { answers.push(answer); });
    const [first] = answers;
    if (first === undefined || answers.length !== 1) throw new Error(`answered ${String(answers.length)} times`);
    return first;
  }

  write(path: string, text: string): void {
    const handle = this.files.create(path, 0o644);
    const bytes = Buffer.from(text);
    this.files.write(handle, bytes, bytes.length, 0);
    this.files.release(handle);
  }

  read(path: string): string {
    const handle = this.files.open(path);
    const buffer = Buffer.alloc(4096, 0xee);
    const length = this.files.read(handle, buffer, buffer.length, 0);
    this.files.release(handle);
    return buffer.toString('latin1', 0, length);
  }
}

function errnoOf(call: () => unknown): number {
  try {
    call();
  } catch (error) {
    if (error instanceof FsError) return error.errno;
    throw error;
  }
  return 0;
}

t.test('paths lead to what is there now', (t) => {
  const mounted = new Mounted();
  const { files } = mounted;
  for (const path of ['/a', '/a/b', '/a/b/c']) files.mkdir(path, 0o755);
  mounted.write('/a/b/c/file', 'one');
  t.equal(mounted.read('/a/b/c/file'), 'one');

  files.rename('/a', '/z');
  t.equal(errnoOf(() => files.stat('/a/b/c/file')), Errno.ENOENT, 'a moved directory takes what is below with it');
  t.equal(mounted.read('/z/b/c/file'), 'one');
  for (const path of ['/a', '/a/b', '/a/b/c']) files.mkdir(path, 0o755);
  mounted.write('/a/b/c/file', 'two');
  t.same([mounted.read('/a/b/c/file'), mounted.read('/z/b/c/file')], ['two', 'one'], 'the old path is another file now');

  files.mkdir('/empty', 0o755);
  t.same(files.list('/empty').names.sort(), ['.', '..']);
  t.equal(errnoOf(() => files.stat('/empty/x')), Errno.ENOENT, 'the directory is remembered');
  files.rename('/z/b', '/empty');
  t.equal(mounted.read('/empty/c/file'), 'one', 'a directory that took the place of an empty one');

  files.mkdir('/gone', 0o755);
  t.equal(errnoOf(() => files.stat('/gone/x')), Errno.ENOENT);
  files.rmdir('/gone');
  mounted.write('/gone', 'a file');
  t.equal(errnoOf(() => files.stat('/gone/x')), Errno.ENOTDIR, 'a file where a directory was');
  files.unlink('/gone');
  files.mkdir('/gone', 0o755);
  mounted.write('/gone/x', 'again');
  t.equal(mounted.read('/gone/x'), 'again');
  t.end();
});

t.test('many directories are walked although few are remembered', (t) => {
  const mounted = new Mounted();
  const { files } = mounted;
  for (let i = 0; i < 5000; i++) files.mkdir(`/d${String(i)}`, 0o755);
  for (const i of [0, 4999]) mounted.write(`/d${String(i)}/file`, String(i));
  files.rename('/d0', '/moved');
  t.same([mounted.read('/moved/file'), mounted.read('/d4999/file')], ['0', '4999']);
  t.equal(errnoOf(() => files.stat('/d0/file')), Errno.ENOENT);
  let deep = '';
  for (let i = 0; i < 40; i++) {
    deep += `/${'n'.repeat(200)}`;
    files.mkdir(deep, 0o755);
  }
  mounted.write(`${deep}/file`, 'deep');
  t.equal(mounted.read(`${deep}/file`), 'deep', 'a path longer than what is remembered');
  t.end();
});

t.test('names are bytes: what fuse-native garbled is refused', (t) => {
  const mounted = new Mounted();
  const { files, volume } = mounted;
  volume.fs.makeNode(asIno(1), Name.from(Buffer.from('x\xe9', 'latin1')), 0o100644, new Caller(), 0, 0);
  t.ok(files.list('/').names.includes('x\ufffd'), 'a name that is not UTF-8 can be seen');
  t.equal(errnoOf(() => files.stat('/x\ufffd')), EILSEQ, 'but not reached');
  t.equal(errnoOf(() => files.create('/x\ufffd', 0o644)), EILSEQ, 'nor is another made in its place');
  t.equal(errnoOf(() => files.symlink('\ufffd', '/link')), EILSEQ);
  files.mkdir('/dé😀', 0o755);
  t.equal(volume.lookup(asIno(1), Buffer.from('dé😀').toString('latin1')), files.stat('/dé😀').ino, 'UTF-8 is kept');
  files.symlink('zürich', '/link');
  t.equal(files.readlink('/link'), 'zürich');
  t.equal(errnoOf(() => files.mkdir(`/${'é'.repeat(128)}`, 0o755)), Errno.ENAMETOOLONG, 'bytes are counted');
  t.end();
});

t.test('files are read and written through handles, holes as zeros', (t) => {
  const mounted = new Mounted();
  const { files, volume } = mounted;
  const handle = files.create('/file', 0o6755);
  const { mode, uid, gid, ino } = files.stat('/file');
  t.same([mode, uid, gid], [0o100755, 7, 8], 'owned by the one who mounted, without set-user-id');
  const payload = Buffer.from('payload');
  t.equal(files.write(handle, payload, payload.length, 100_000), payload.length);
  const buffer = Buffer.alloc(131_072, 0xee);
  t.equal(files.read(handle, buffer, buffer.length, 4096), 100_007 - 4096);
  t.ok(buffer.subarray(0, 100_000 - 4096).every((byte) => byte === 0), 'a hole is zeros');
  t.equal(buffer.toString('latin1', 100_000 - 4096, 100_007 - 4096), 'payload');
  t.equal(buffer[100_007 - 4096], 0xee, 'nothing beyond');
  t.equal(files.read(handle, buffer, 10, 100_007), 0, 'end of file');

  files.unlink('/file');
  t.equal(files.read(handle, buffer, 7, 100_000), 7, 'a file without a name lives as long as it is open');
  files.release(handle);
  t.equal(errnoOf(() => files.read(handle, buffer, 7, 0)), Errno.EBADF);
  const other = files.create('/other', 0o600);
  t.equal(other, handle, 'handles are used again');
  files.truncate('/other', 5 * 2 ** 32);
  t.equal(files.stat('/other').size, 5 * 2 ** 32);
  files.chown('/other', 0xffffffff, 12);
  files.chmod('/other', 0o100640);
  t.same([files.stat('/other').uid, files.stat('/other').gid, files.stat('/other').mode], [7, 12, 0o100640]);
  files.mknod('/device', 0o020600, (300 << 8) | 0x70 | (0x111 << 20));
  t.equal(files.stat('/device').rdev, (300 << 8) | 0x70 | (0x111 << 20));
  t.not(files.stat('/device').ino, ino);
  volume.fs.flushTimes();
  t.end();
});

t.test('the modification time that fuse-native loses is found', (t) => {
  const mounted = new Mounted();
  mounted.write('/file', '');
  const request = Buffer.alloc(200, 0x5a);
  const setTimes = (atime: bigint, mtime: bigint): [number, ...unknown[]] => {
    request.writeBigInt64LE(atime, 104);
    request.writeBigInt64LE(mtime, 112);
    const passed = request.readUInt32LE(104) + request.readUInt32LE(108) * 2 ** 32;
    mounted.serving.request = request;
    return mounted.answer((call, reply) => call.utimens('/file', passed, passed, reply));
  };
  t.same(setTimes(1_500_000_000_123n, 1_600_000_000_987n), [0]);
  const { atime, mtime } = mounted.files.stat('/file');
  t.same([atime, mtime], [1_500_000_000_123, 1_600_000_000_987]);
  t.same(setTimes(-5500n, -1n), [0], 'before 1970');
  const attributes = new Attributes();
  mounted.volume.fs.getAttributes(asIno(mounted.files.stat('/file').ino), attributes);
  t.same([attributes.atimeSeconds, attributes.atimeNanoseconds, attributes.mtimeSeconds, attributes.mtimeNanoseconds], [-6, 500_000_000, -1, 999_000_000]);
  t.same([mounted.files.stat('/file').atime, mounted.files.stat('/file').mtime], [0, 0], 'shown as 1970, not as the far future');

  t.same(mounted.answer((call, reply) => call.utimens('/file', 4711, 4711, reply)), [-Errno.EOPNOTSUPP], 'another build: an error rather than a wrong time');
  t.equal(requestTimes(Buffer.alloc(119), 0), null, 'a shorter structure');
  t.end();
});

t.test('every call is answered once, failures with -errno', (t) => {
  const mounted = new Mounted();
  t.same(mounted.answer((call, reply) => call.getattr('/missing', reply)), [-Errno.ENOENT]);
  t.same(mounted.answer((call, reply) => call.mkdir('/d', 0o755, reply)), [0]);
  t.same(mounted.answer((call, reply) => call.mkdir('/d', 0o755, reply)), [-Errno.EEXIST]);
  const [result, handle] = mounted.answer((call, reply) => call.create('/d/f', 0o644, reply));
  t.same([result, handle], [0, 1], 'libfuse takes 0 for no handle');
  t.same(mounted.answer((call, reply) => call.write('/d/f', 1, Buffer.from('abc'), 3, 0, reply)), [3]);
  t.same(mounted.answer((call, reply) => call.read('/d/f', 1, Buffer.alloc(9), 9, 0, reply)), [3]);
  t.same(mounted.answer((call, reply) => call.read('/d/f', 2, Buffer.alloc(9), 9, 0, reply)), [-Errno.EBADF]);
  t.same(mounted.answer((call, reply) => call.rmdir('/d', reply)), [-Errno.ENOTEMPTY]);
  t.same(mounted.answer((call, reply) => call.readdir('/d', reply)).slice(0, 2), [0, ['.', '..', 'f']]);
  t.same(mounted.answer((call, reply) => call.fsync('/d/f', 0, 1, reply)), [0]);
  t.equal(mounted.served, 10);
  t.same(mounted.logged, [], "what a program does wrong is not the log's business");

  mounted.files.stat = () => { throw new FsError('EUCLEAN', 'inode 9 is damaged'); };
  for (let i = 0; i < 2; i++) t.same(mounted.answer((call, reply) => call.getattr('/d', reply)), [-Errno.EIO]);
  t.same(mounted.logged, ['error getattr of /d: inode 9 is damaged'], 'damage is reported once');
  mounted.files.stat = () => { throw new TypeError('oops'); };
  t.same(mounted.answer((call, reply) => call.getattr('/d', reply)), [-Errno.EIO]);
  t.match(mounted.logged[1], /bug of nvmfs: TypeError: oops/);

  mounted.serving.close();
  t.same(mounted.answer((call, reply) => call.mkdir('/late', 0o755, reply)), [-Errno.ENOTCONN], 'a closed volume is not touched');
  t.end();
});

t.test('figures that have no room in 32 bits', (t) => {
  const statistics = Object.assign(new Statistics(), {
    blockSize: 4096, blocks: 2 ** 41, freeBlocks: 2 ** 40, availableBlocks: 2 ** 39, files: 2 ** 43, freeFiles: 17, nameMax: 255,
  });
  const record = statfsRecord(statistics);
  t.ok(record.blocks <= 0xffffffff && record.frsize <= 0xffffffff, 'all fit');
  t.same([record.blocks * record.frsize, record.bfree * record.frsize], [2 ** 53, 2 ** 52], 'the sizes are right');
  t.same([record.files, record.ffree], [0xffffffff, 17]);
  const attributes = Object.assign(new Attributes(), { mtimeSeconds: 12, mtimeNanoseconds: 345_678_901 });
  t.equal(statRecord(attributes).mtime, 12_345);
  t.end();
});

t.test('options for libfuse', (t) => {
  const settings: MountSettings = {
    source: '/srv/a,b\\c', directory: '/mnt', subtype: 'nvmfs', readOnly: true, allowOther: true, flags: ['noatime', 'relatime', 'nosuid'],
    maxRead: 8192, directIo: false, acls: true, spinMicroseconds: 0, debug: false,
  };
  const words = libfuseOptions(settings).replace(/^-o/, '').split(/(?<!\\),/);
  t.ok(words.includes('fsname=/srv/a\\,b\\\\c'), 'a comma in the path of the image stays there');
  t.same(['default_permissions', 'allow_other', 'ro', 'subtype=nvmfs', 'max_read=8192', 'noatime', 'nosuid'].filter((word) => !words.includes(word)), []);
  t.notOk(words.includes('relatime'), 'libfuse 2 does not know what is the default');
  t.throws(() => libfuseOptions({ ...settings, flags: ['lazytime'] }), /does not have the mount option lazytime/);
  t.throws(() => libfuseOptions({ ...settings, source: `/${'x'.repeat(1024)}` }), /less than 1024 bytes/, 'fuse-native would cut it');
  t.end();
});

t.test('what is not installed is named, in one line', (t) => {
  const failing = (message: string, code: string) => () => { throw Object.assign(new Error(message), { code }); };
  for (const [require, wanted] of [
    [failing("Cannot find module 'fuse-native'\nRequire stack:\n- /x", 'MODULE_NOT_FOUND'), /install the npm package fuse-native/],
    [failing('libfuse.so.2: cannot open shared object file', 'ERR_DLOPEN_FAILED'), /install libfuse 2 .*libfuse\.so\.2/],
  ] as const) {
    try {
      loadFuseNative(require);
      t.fail('it must throw');
    } catch (error) {
      t.ok(error instanceof FsError && error.errno === Errno.EOPNOTSUPP, 'EOPNOTSUPP');
      t.match((error as Error).message, wanted);
      t.notMatch((error as Error).message, /\n/);
    }
  }
  t.end();
});
