// Guards promise 5: whenever a server dies, the next one answers the request in flight as if nothing had happened, once; nothing that is held is lost or leaked.
import { createHash } from 'node:crypto';
import t from 'tap';
import { Random } from '../../src/base/random.js';
import { asByteAddr, asIno, type Ino } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { InodeFlag } from '../../src/format/layout.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import { Attributes, Name, Ranges } from '../../src/fs/types.js';
import { Opcode as O } from '../../src/fuse/opcodes.js';
import { copyEstate, type Estate, Kernel, MortalServer, newEstate, ROOT } from '../helpers/mortal-server.js';
import { seed, thorough } from '../helpers/run.js';
import { name, u32, u64 } from './fuse-wire.js';

t.setTimeout(600_000);
const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
const SIZE = 6 * 1024 * 1024;
/** Moments of a first death that are tried, of each request: all, or so many of them. */
const FIRST_DEATHS = thorough ? 24 : 2;
const EEXIST = 17;
const ENOSPC = 28;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

const create = (flags: number): Buffer => u32(flags, 0o100644, 0, 0);
const writing = (offset: number, data: Buffer): Buffer[] => [u64(0, offset), u32(data.length, 0), u64(0), u32(0, 0), data];
const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value);

function setattr(valid: number, { size = 0, mode = 0 }: { size?: number; mode?: number }): Buffer {
  return Buffer.concat([u32(valid, 0), u64(0, size, 0, 0, 0, 0), u32(0, 0, 0, mode, 0, 0, 0, 0)]);
}

const FILL = 1;
const LEASE_TO_WRITE = 6;

/** The ioctl of libnvm, on an open file. */
function mapRange(handle: number, offset: number, length: number, flags: number): Buffer[] {
  const size = 64 + 24 * 16;
  return [u64(handle), u32(0, (3 * 2 ** 30 + (size << 16) + 0x4e41) >>> 0), u64(0), u32(64, size), u64(offset, length), u32(flags), bytes(44, 0)];
}

/** The volume that every case starts from, and the inodes in it by name. */
interface Start {
  readonly estate: Estate;
  readonly kernel: Kernel;
  readonly inodes: Readonly<Record<string, number>>;
  /** Of the files as they were made: how the kernel names them. */
  readonly handles: Readonly<Record<string, number>>;
}

function prepare(): Start {
  const estate = newEstate(SIZE);
  const kernel = new Kernel();
  const server = new MortalServer(estate, kernel);
  const inodes: Record<string, number> = {};
  const handles: Record<string, number> = {};
  const ask = (opcode: number, nodeid: number, ...parts: Buffer[]): Buffer => {
    kernel.send(server, opcode, nodeid, parts);
    const { answer } = kernel;
    if (answer === null || answer.error !== 0) throw new Error(`the preparation of opcode ${String(opcode)} failed: ${String(answer?.error)} ${server.log.join()}`);
    return answer.body;
  };
  const entry = (key: string, body: Buffer): void => {
    inodes[key] = Number(body.readBigUInt64LE(0));
    if (body.length > 128) handles[key] = Number(body.readBigUInt64LE(128));
  };
  for (const key of ['file', 'other', 'target', 'lost', 'cut', 'mapped', 'shrunk', 'gone']) entry(key, ask(O.CREATE, ROOT, create(0o102), name(key)));
  for (const key of ['file', 'other', 'cut']) ask(O.WRITE, inodes[key] as number, ...writing(0, bytes(9000, 7)));
  for (const [key, length] of [['user.short', 5], ['user.long', 6000]] as const) ask(O.SETXATTR, inodes['other'] as number, u32(length, 0), name(key), bytes(length, 8));
  entry('directory', ask(O.MKDIR, ROOT, u32(0o755, 0), name('directory')));
  entry('direct', ask(O.MKDIR, ROOT, u32(0o755, 0), name('direct')));
  server.fs.setFlags(asIno(inodes['direct'] as number), InodeFlag.dax, 0);
  entry('empty', ask(O.MKDIR, ROOT, u32(0o755, 0), name('empty')));
  entry('unheld', ask(O.CREATE, ROOT, create(0o102), name('unheld')));
  entry('anonymous', ask(O.TMPFILE, ROOT, create(0o102), name('x')));
  // Pieces far from each other: what covers them takes several transactions.
  for (let piece = 0; piece < 40; piece++) ask(O.WRITE, inodes['other'] as number, ...writing(32_768 + piece * 16_384, bytes(4096, piece)));
  // Mapped from the medium by programs; one cut, one without a name meanwhile.
  for (const key of ['mapped', 'shrunk', 'gone']) {
    for (let piece = 0; piece < 20; piece++) ask(O.WRITE, inodes[key] as number, ...writing(piece * 16_384, bytes(4096, piece)));
    ask(O.IOCTL, inodes[key] as number, ...mapRange(handles[key] as number, 0, 4096, LEASE_TO_WRITE));
  }
  ask(O.SETATTR, inodes['shrunk'] as number, setattr(8, { size: 1000 }));
  ask(O.UNLINK, ROOT, name('gone'));
  kernel.send(server, O.FORGET, inodes['unheld'] as number, [u64(1)]);
  ask(O.UNLINK, ROOT, name('lost'));
  while (server.fs.backgroundStep());
  return { estate: server.die(), kernel, inodes, handles };
}

const start = prepare();
const ino = (key: string): number => start.inodes[key] as number;

const handle = (key: string): number => start.handles[key] as number;

interface Case {
  readonly what: string;
  readonly opcode: number;
  readonly nodeid: number;
  readonly parts: readonly Buffer[];
  readonly error?: number;
  /** Moments of a first death that are tried; default: FIRST_DEATHS. */
  readonly moments?: number;
}

const cases: readonly Case[] = [
  { what: 'LOOKUP', opcode: O.LOOKUP, nodeid: ROOT, parts: [name('file')] },
  { what: 'LOOKUP of nothing', opcode: O.LOOKUP, nodeid: ROOT, parts: [name('nothing')] },
  { what: 'CREATE', opcode: O.CREATE, nodeid: ROOT, parts: [create(0o302), name('new')] },
  { what: 'CREATE of what is there', opcode: O.CREATE, nodeid: ROOT, parts: [create(0o302), name('file')], error: EEXIST },
  { what: 'CREATE that cuts', opcode: O.CREATE, nodeid: ROOT, parts: [create(0o1102), name('file')] },
  { what: 'CREATE of a DAX file that the host has no room for', moments: 20, opcode: O.CREATE, nodeid: ino('direct'), parts: [create(0o302), name('new')], error: ENOSPC },
  { what: 'MKNOD', opcode: O.MKNOD, nodeid: ino('directory'), parts: [u32(0o020644, 0x103, 0, 0), name('device')] },
  { what: 'MKDIR', opcode: O.MKDIR, nodeid: ino('directory'), parts: [u32(0o755, 0), name('inner')] },
  { what: 'SYMLINK', opcode: O.SYMLINK, nodeid: ROOT, parts: [name('short'), name('elsewhere')] },
  { what: 'SYMLINK with a block', opcode: O.SYMLINK, nodeid: ROOT, parts: [name('long'), name('x'.repeat(2000))] },
  { what: 'LINK', opcode: O.LINK, nodeid: ROOT, parts: [u64(ino('file')), name('second')] },
  { what: 'LINK of O_TMPFILE', opcode: O.LINK, nodeid: ROOT, parts: [u64(ino('anonymous')), name('named')] },
  { what: 'UNLINK of a held file', opcode: O.UNLINK, nodeid: ROOT, parts: [name('file')] },
  { what: 'UNLINK of a file that nobody holds', opcode: O.UNLINK, nodeid: ROOT, parts: [name('unheld')] },
  { what: 'RMDIR', opcode: O.RMDIR, nodeid: ROOT, parts: [name('empty')] },
  { what: 'RENAME', opcode: O.RENAME, nodeid: ROOT, parts: [u64(ino('directory')), name('file'), name('moved')] },
  { what: 'RENAME over a held file', opcode: O.RENAME, nodeid: ROOT, parts: [u64(ROOT), name('file'), name('target')] },
  { what: 'RENAME over a file that nobody holds', opcode: O.RENAME2, nodeid: ROOT, parts: [u64(ROOT), u32(0, 0), name('file'), name('unheld')] },
  { what: 'RENAME_NOREPLACE', opcode: O.RENAME2, nodeid: ROOT, parts: [u64(ROOT), u32(1, 0), name('file'), name('fresh')] },
  { what: 'RENAME_EXCHANGE', opcode: O.RENAME2, nodeid: ROOT, parts: [u64(ROOT), u32(2, 0), name('file'), name('directory')] },
  { what: 'TMPFILE', opcode: O.TMPFILE, nodeid: ROOT, parts: [create(0o102), name('x')] },
  { what: 'WRITE in place', opcode: O.WRITE, nodeid: ino('file'), parts: writing(100, bytes(5000, 1)) },
  { what: 'WRITE at the end', opcode: O.WRITE, nodeid: ino('file'), parts: writing(9000, bytes(5000, 2)) },
  { what: 'WRITE of several transactions', opcode: O.WRITE, nodeid: ino('other'), parts: writing(20_000, bytes(700_000, 3)) },
  { what: 'WRITE into a file without a name', opcode: O.WRITE, nodeid: ino('lost'), parts: writing(0, bytes(5000, 4)) },
  { what: 'SETATTR of the size', opcode: O.SETATTR, nodeid: ino('other'), parts: [setattr(8, { size: 1000 })] },
  { what: 'SETATTR of the mode', opcode: O.SETATTR, nodeid: ino('file'), parts: [setattr(1, { mode: 0o4711 })] },
  { what: 'FALLOCATE', opcode: O.FALLOCATE, nodeid: ino('other'), parts: [u64(0, 0, 800_000), u32(0, 0)] },
  { what: 'FALLOCATE that zeroes', opcode: O.FALLOCATE, nodeid: ino('other'), parts: [u64(0, 100, 600_001), u32(0x10, 0)] },
  { what: 'FALLOCATE that punches', opcode: O.FALLOCATE, nodeid: ino('other'), parts: [u64(0, 5000, 600_001), u32(3, 0)] },
  { what: 'SETXATTR', opcode: O.SETXATTR, nodeid: ino('file'), parts: [u32(5, 0), name('user.new'), bytes(5, 1)] },
  { what: 'SETXATTR of a new one', opcode: O.SETXATTR, nodeid: ino('file'), parts: [u32(5, XATTR_CREATE), name('user.new'), bytes(5, 1)] },
  { what: 'SETXATTR of a new one that is there', opcode: O.SETXATTR, nodeid: ino('other'), parts: [u32(5, XATTR_CREATE), name('user.short'), bytes(5, 1)], error: EEXIST },
  { what: 'SETXATTR in blocks', opcode: O.SETXATTR, nodeid: ino('other'), parts: [u32(9000, XATTR_REPLACE), name('user.long'), bytes(9000, 1)] },
  { what: 'REMOVEXATTR', opcode: O.REMOVEXATTR, nodeid: ino('other'), parts: [name('user.short')] },
  { what: 'REMOVEXATTR in blocks', opcode: O.REMOVEXATTR, nodeid: ino('other'), parts: [name('user.long')] },
  { what: 'OPEN with O_TRUNC', opcode: O.OPEN, nodeid: ino('other'), parts: [u32(0o1002, 0)] },
  { what: 'OPEN', opcode: O.OPEN, nodeid: ino('file'), parts: [u32(2, 0)] },
  { what: 'RELEASE', opcode: O.RELEASE, nodeid: ino('other'), parts: [u64(0), u32(2, 0), u64(0)] },
  { what: 'COPY_FILE_RANGE', opcode: O.COPY_FILE_RANGE, nodeid: ino('other'), parts: [u64(0, 30_000, ino('file'), 0, 3000, 100_000, 0)] },
  { what: 'OPEN', moments: 10, opcode: O.OPEN, nodeid: ino('file'), parts: [u32(0, 0)] },
  { what: 'OPEN of a mapped file', moments: 10, opcode: O.OPEN, nodeid: ino('mapped'), parts: [u32(0, 0)] },
  { what: 'RELEASE', moments: 10, opcode: O.RELEASE, nodeid: ino('file'), parts: [u64(handle('file')), u32(0, 0), u64(0)] },
  { what: 'IOCTL that leases', moments: 10, opcode: O.IOCTL, nodeid: ino('cut'), parts: mapRange(handle('cut'), 0, 4096, LEASE_TO_WRITE) },
  { what: 'IOCTL that fills', moments: 10, opcode: O.IOCTL, nodeid: ino('mapped'), parts: mapRange(handle('mapped'), 0, 81_920, FILL) },
  { what: 'SETATTR that cuts a mapped file', moments: 10, opcode: O.SETATTR, nodeid: ino('mapped'), parts: [setattr(8, { size: 1000 })] },
  { what: 'FALLOCATE that punches a mapped file', moments: 10, opcode: O.FALLOCATE, nodeid: ino('mapped'), parts: [u64(0, 5000, 100_001), u32(3, 0)] },
  { what: 'RELEASE of a mapped file that was cut', moments: 10, opcode: O.RELEASE, nodeid: ino('shrunk'), parts: [u64(handle('shrunk')), u32(0, 0), u64(0)] },
  { what: 'RELEASE of a mapped file without a name', moments: 10, opcode: O.RELEASE, nodeid: ino('gone'), parts: [u64(handle('gone')), u32(0, 0), u64(0)] },
  { what: 'READ', opcode: O.READ, nodeid: ino('file'), parts: [u64(0, 0), u32(9000, 0), u64(0), u32(0, 0)] },
  { what: 'READDIR', opcode: O.READDIR, nodeid: ROOT, parts: [u64(0, 0), u32(4096, 0), u64(0), u32(0, 0)] },
  { what: 'READDIRPLUS', opcode: O.READDIRPLUS, nodeid: ROOT, parts: [u64(0, 0), u32(4096, 0), u64(0), u32(0, 0)] },
  { what: 'FSYNC', opcode: O.FSYNC, nodeid: ino('file'), parts: [u64(0), u32(0, 0)] },
  { what: 'FORGET', opcode: O.FORGET, nodeid: ino('target'), parts: [u64(1)] },
  { what: 'FORGET of the last hold without a name', opcode: O.FORGET, nodeid: ino('lost'), parts: [u64(1)] },
  {
    what: 'BATCH_FORGET', opcode: O.BATCH_FORGET, nodeid: 0,
    parts: [u32(4, 0), u64(ino('lost'), 1, ino('target'), 1, ino('anonymous'), 1, ino('empty'), 1)],
  },
];

function extendedAttributes(fs: FileSystemOperations, found: Ino): string {
  const room = Buffer.alloc(65_536);
  const names = room.toString('latin1', 0, fs.listXattr(found, room, 0, room.length)).split('\0').slice(0, -1).sort();
  return names.map((key) => {
    const length = fs.getXattr(found, Name.from(key), room, 0, room.length);
    return ` ${key}: ${String(length)} bytes ${createHash('sha1').update(room.subarray(0, length)).digest('hex')}`;
  }).join('');
}

/** Everything that programs can see, but for inode numbers. */
function dump(fs: FileSystemOperations, read: (ino: Ino, size: number) => string): string[] {
  const lines: string[] = [];
  const visit = (directory: Ino, path: string): void => {
    const entries: [string, Ino][] = [];
    fs.readDirectory(directory, 2, {
      entry: (from, offset, length, found) => entries.push([Buffer.from(from.subarray(offset, offset + length)).toString('latin1'), found]) > 0,
    });
    for (const [key, found] of entries.sort()) {
      const attributes = new Attributes();
      fs.getAttributes(found, attributes);
      const { mode, nlink, size, blocks } = attributes;
      const regular = (mode & 0o170000) === 0o100000;
      lines.push(`${path}/${key} ${mode.toString(8)} links ${String(nlink)} size ${String(size)} blocks ${String(blocks)} ${regular ? read(found, size) : ''}${extendedAttributes(fs, found)}`);
      if ((mode & 0o170000) === 0o040000) visit(found, `${path}/${key}`);
    }
  };
  visit(ROOT, '');
  return lines;
}

function contents({ medium }: Estate, fs: FileSystemOperations): (ino: Ino, size: number) => string {
  return (file, size) => {
    const ranges = new Ranges(512);
    fs.read(file, 0, size, ranges);
    const data = Buffer.alloc(size);
    for (let i = 0, at = 0; i < ranges.count; at += ranges.lengths[i] as number, i++) {
      if ((ranges.addresses[i] as number) >= 0) medium.load(asByteAddr(ranges.addresses[i] as number), data, at, ranges.lengths[i] as number);
    }
    return createHash('sha1').update(data).digest('hex');
  };
}

/** Ends a run: compares what the kernel counts with what is held, gives everything back, closes and verifies. Returns what is wrong. */
function finish(estate: Estate, kernel: Kernel, server: MortalServer, testCase: Case, expected: string[] | null): { problems: string[]; state: string[] } {
  const problems: string[] = [];
  const { fs } = server;
  const error = kernel.answer?.error ?? 0;
  if (kernel.unanswered !== null) problems.push('nobody answered');
  if (error !== (testCase.error ?? 0)) problems.push(`answered with error ${String(error)}: ${server.log.join('; ')}`);
  const inodes = new Set([...kernel.lookups.keys(), ...[...estate.pages].flatMap(([number, page]) => [...page.keys()].filter((i) => page[i] !== 0).map((i) => number * 4096 + i))]);
  for (const held of inodes) {
    const count = server.references.get(asIno(held));
    if (count !== (kernel.lookups.get(held) ?? 0)) problems.push(`inode ${String(held)} is held ${String(count)} times, the kernel counts ${String(kernel.lookups.get(held) ?? 0)}`);
  }
  const everOpen = new Set([...kernel.opens.keys(), ...[...estate.openPages].flatMap(([number, page]) => [...page.keys()].filter((i) => page[i] !== 0).map((i) => number * 4096 + i))]);
  for (const file of everOpen) {
    const count = server.opens.get(asIno(file));
    if (count !== (kernel.opens.get(file) ?? 0)) problems.push(`inode ${String(file)} is open ${String(count)} times, the kernel counts ${String(kernel.opens.get(file) ?? 0)}`);
  }
  while (fs.backgroundStep());
  const state = dump(fs, contents(estate, fs));
  for (const [number, page] of estate.openPages) page.forEach((count, i) => count > 0 && state.push(`inode ${String(number * 4096 + i)} is open ${String(count)} times`));
  for (const leased of [...fs.leases()].map(([, file]) => file).sort((a, b) => a - b)) state.push(`inode ${String(leased)} is mapped`);
  // Files without a name are used, too.
  for (const held of kernel.lookups.keys()) {
    const attributes = new Attributes();
    try {
      fs.getAttributes(asIno(held), attributes);
    } catch (failure) {
      problems.push(`inode ${String(held)}, which the kernel holds, is gone: ${String(failure)}`);
    }
  }
  for (const [held, count] of [...kernel.lookups]) kernel.send(server, O.FORGET, held, [u64(count)]);
  fs.close();
  const report = verifyVolume(estate.medium);
  if (!report.clean) problems.push(`damaged: ${report.findings.map((finding) => JSON.stringify(finding)).join('; ')}`);
  state.push(`inodes ${String(report.statistics?.inodes)} used blocks ${String(report.statistics?.usedBlocks)}`);
  if (expected !== null && JSON.stringify(state) !== JSON.stringify(expected)) {
    const differing = state.map((line, i) => (line === expected[i] ? '' : `found ${line}, expected ${String(expected[i])}`)).filter((line) => line !== '');
    problems.push(`another state: ${differing.join('; ')}`);
  }
  return { problems, state };
}

/** Serves the request with servers that die at the given events; the last one lives. Returns the events that the last one saw. */
function run(testCase: Case, deaths: readonly number[], expected: string[] | null): { problems: string[]; state: string[]; events: number } {
  const kernel = start.kernel.copy();
  let estate = copyEstate(start.estate);
  let sent = false;
  let left: Estate | null = null;
  const serve = (dieAt: number): MortalServer => {
    const server = new MortalServer(estate, kernel, dieAt, (what) => (left = what));
    if (sent) {
      kernel.sendAgain(server);
    } else {
      sent = true;
      kernel.send(server, testCase.opcode, testCase.nodeid, testCase.parts);
    }
    return server;
  };
  for (const dieAt of deaths) {
    left = null;
    try {
      left = serve(dieAt).die();
    } catch (error) {
      // It died before it was there.
      if (left === null) throw error;
    }
    estate = left;
  }
  const last = serve(Infinity);
  return { events: last.events, ...finish(estate, kernel, last, testCase, expected) };
}

for (const testCase of cases) {
  t.test(`deaths in the middle of ${testCase.what}`, (t) => {
    const random = new Random(SEED);
    const undisturbed = run(testCase, [], null);
    t.same(undisturbed.problems, [], 'undisturbed');
    const failures: string[] = [];
    let runs = 0;
    const moments = Array.from({ length: undisturbed.events }, (_, i) => i + 1);
    while (moments.length > (testCase.moments ?? FIRST_DEATHS)) moments.splice(random.below(moments.length), 1);
    for (const first of moments) {
      if (failures.length > 3) break;
      const one = run(testCase, [first], undisturbed.state);
      for (const problem of one.problems) failures.push(`death at event ${String(first)}: ${problem}`);
      runs++;
      const second = 1 + random.below(one.events);
      const two = run(testCase, [first, second], undisturbed.state);
      for (const problem of two.problems) failures.push(`deaths at events ${String(first)} and ${String(second)}: ${problem}`);
      runs++;
    }
    t.same(failures, [], `${String(runs)} runs with one or two deaths`);
    t.end();
  });
}
