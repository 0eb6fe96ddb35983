/**
 * The operations that workloads are made of, as CrashMonkey's generator ACE has them: each with the files it needs, which are made just before it when an
 * earlier operation took them away.
 */
import { FileType } from '../../src/format/layout.js';
import { AllocateMode, Change, RenameFlag } from '../../src/fs/types.js';
import { acl } from '../helpers/acl.js';
import { manyName } from './base.js';
import type { Kit } from './kit.js';

const BLOCK = 4096;
const { keepSize, punchHole, zeroRange } = AllocateMode;
const SHORT = 'user.short';
const LONG = 'user.long';
const DEFAULT_ACL = 'system.posix_acl_default';
/** One more user than the mode can say. */
const INHERITED = acl(['userObject', 0, 7], ['user', 9, 6], ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 4]);

/** What must be at a path before an operation. */
type Need =
  | 'nothing'
  /** A regular file of 10,003 bytes. */
  | 'file'
  /** One with written blocks, a hole, unwritten blocks and such past the end. */
  | 'sparse'
  | 'empty directory'
  /** With a file in it. */
  | 'directory'
  | 'short symlink'
  | 'long symlink'
  /** A file that has a second name. */
  | 'second name'
  /** A file with a short attribute and one whose value has blocks of its own. */
  | 'attributes'
  /** An empty directory with a default ACL. */
  | 'default ACL';

export interface Operation {
  readonly name: string;
  readonly needs: Readonly<Record<string, Need>>;
  readonly run: (kit: Kit) => void;
  /** One of those that sequences of three are made of. */
  readonly core?: boolean;
}

/** Makes what an operation needs. */
export function prepare(kit: Kit, operation: Operation): void {
  for (const [path, need] of Object.entries(operation.needs)) ensure(kit, path, need);
}

let asides = 0;

/** Numbers the names of what is moved aside from 1 again: a workload is the same each time. */
export function resetPreparations(): void {
  asides = 0;
}

function ensure(kit: Kit, path: string, need: Need): void {
  const found = kit.find(path);
  if (found !== 0) {
    if (need !== 'nothing' && fits(kit, path, need)) return;
    asides += 1;
    kit.rename(path, `/aside${String(asides)}`);
  }
  const parent = path.slice(0, path.lastIndexOf('/'));
  if (parent !== '' && kit.find(parent) === 0) kit.directory(parent);
  if (need !== 'nothing') makeNeeded(kit, path, need);
}

function fits(kit: Kit, path: string, need: Need): boolean {
  const { mode, nlink, size } = kit.attributes(kit.ino(path));
  const type = mode & FileType.mask;
  switch (need) {
    case 'file':
    case 'sparse':
      return type === FileType.regular;
    case 'second name':
      return type === FileType.regular && nlink > 1;
    case 'empty directory':
      return type === FileType.directory && isEmpty(kit, path);
    case 'directory':
      return type === FileType.directory && !isEmpty(kit, path);
    case 'short symlink':
      return type === FileType.symlink && size < 100;
    case 'long symlink':
      return type === FileType.symlink && size > 1000;
    case 'attributes':
      return type === FileType.regular && hasXattr(kit, path, SHORT) && hasXattr(kit, path, LONG);
    case 'default ACL':
      return type === FileType.directory && isEmpty(kit, path) && hasXattr(kit, path, DEFAULT_ACL);
    case 'nothing':
      return false;
  }
}

function hasXattr(kit: Kit, path: string, name: string): boolean {
  const list = Buffer.alloc(1000);
  const length = kit.fs.listXattr(kit.ino(path), list, 0, list.length);
  return list.toString('latin1', 0, length).split('\0').includes(name);
}

function isEmpty(kit: Kit, path: string): boolean {
  let entries = 0;
  kit.fs.readDirectory(kit.ino(path), 0, {
    entry: () => {
      entries += 1;
      return true;
    },
  });
  return entries === 2;
}

function makeNeeded(kit: Kit, path: string, need: Exclude<Need, 'nothing'>): void {
  switch (need) {
    case 'file':
      kit.file(path);
      kit.write(path, 0, 10_003);
      break;
    case 'sparse':
      kit.file(path);
      kit.write(path, 0, 2 * BLOCK);
      kit.allocate(path, 0, 4 * BLOCK, 2 * BLOCK);
      kit.allocate(path, keepSize, 6 * BLOCK, BLOCK);
      break;
    case 'second name':
      kit.file(path);
      kit.write(path, 0, 101);
      asides += 1;
      kit.link(kit.ino(path), `/aside${String(asides)}`);
      break;
    case 'empty directory':
      kit.directory(path);
      break;
    case 'directory':
      kit.directory(path);
      kit.file(`${path}/inner`);
      break;
    case 'attributes':
      kit.file(path);
      kit.setXattr(path, SHORT, 13);
      kit.setXattr(path, LONG, 5003);
      break;
    case 'default ACL':
      kit.directory(path);
      kit.setXattr(path, DEFAULT_ACL, INHERITED);
      break;
    case 'short symlink':
      kit.symlink(path, 'a target');
      break;
    case 'long symlink':
      kit.symlink(path, 'x'.repeat(1003));
      break;
  }
}

const foo: Readonly<Record<string, Need>> = { '/A/foo': 'file' };
const attributes: Readonly<Record<string, Need>> = { '/B/attributes': 'attributes' };
const sparse: Readonly<Record<string, Need>> = { '/B/foo': 'sparse' };

/** Operations on few names in two directories: sequences of two are made of all pairs of these. */
export const pairedOperations: readonly Operation[] = [
  { name: 'create A/bar', needs: { '/A/bar': 'nothing' }, run: (k) => k.file('/A/bar'), core: true },
  { name: 'create B/bar', needs: { '/B/bar': 'nothing' }, run: (k) => k.file('/B/bar') },
  { name: 'create bar', needs: { '/bar': 'nothing' }, run: (k) => k.file('/bar') },
  { name: 'mkdir A/new', needs: { '/A/new': 'nothing' }, run: (k) => k.directory('/A/new'), core: true },
  { name: 'mkdir B/new', needs: { '/B/new': 'nothing' }, run: (k) => k.directory('/B/new') },
  { name: 'mkfifo A/fifo', needs: { '/A/fifo': 'nothing' }, run: (k) => k.make('/A/fifo', FileType.fifo | 0o600) },
  { name: 'symlink A/link', needs: { '/A/link': 'nothing' }, run: (k) => { k.symlink('/A/link', '../B/foo'); }, core: true },
  { name: 'symlink B/link with a block of its own', needs: { '/B/link': 'nothing' }, run: (k) => { k.symlink('/B/link', 'y'.repeat(1501)); } },
  { name: 'link A/foo to A/bar', needs: { ...foo, '/A/bar': 'nothing' }, run: (k) => { k.link(k.ino('/A/foo'), '/A/bar'); } },
  { name: 'link A/foo to B/bar', needs: { ...foo, '/B/bar': 'nothing' }, run: (k) => { k.link(k.ino('/A/foo'), '/B/bar'); }, core: true },
  { name: 'link B/foo to A/bar', needs: { ...sparse, '/A/bar': 'nothing' }, run: (k) => { k.link(k.ino('/B/foo'), '/A/bar'); } },
  { name: 'unlink A/foo', needs: foo, run: (k) => { k.unlink('/A/foo'); }, core: true },
  { name: 'unlink B/foo', needs: sparse, run: (k) => { k.unlink('/B/foo'); } },
  { name: 'unlink A/hard, one of two names', needs: { '/A/hard': 'second name' }, run: (k) => { k.unlink('/A/hard'); }, core: true },
  { name: 'unlink symlink A/short', needs: { '/A/short': 'short symlink' }, run: (k) => { k.unlink('/A/short'); } },
  { name: 'unlink symlink B/long', needs: { '/B/long': 'long symlink' }, run: (k) => { k.unlink('/B/long'); } },
  { name: 'rmdir A/dir', needs: { '/A/dir': 'empty directory' }, run: (k) => { k.rmdir('/A/dir'); }, core: true },
  { name: 'rename A/foo to A/bar', needs: { ...foo, '/A/bar': 'nothing' }, run: (k) => { k.rename('/A/foo', '/A/bar'); }, core: true },
  { name: 'rename A/foo to B/bar', needs: { ...foo, '/B/bar': 'nothing' }, run: (k) => { k.rename('/A/foo', '/B/bar'); } },
  { name: 'rename A/foo to A/bar, not replacing', needs: { ...foo, '/A/bar': 'nothing' }, run: (k) => { k.rename('/A/foo', '/A/bar', RenameFlag.noReplace); } },
  { name: 'rename A/foo over B/foo', needs: { ...foo, ...sparse }, run: (k) => { k.rename('/A/foo', '/B/foo'); }, core: true },
  { name: 'rename B/foo over A/foo', needs: { ...foo, ...sparse }, run: (k) => { k.rename('/B/foo', '/A/foo'); } },
  { name: 'rename A/foo over A/hard', needs: { ...foo, '/A/hard': 'second name' }, run: (k) => { k.rename('/A/foo', '/A/hard'); } },
  { name: 'rename A/dir to A/new', needs: { '/A/dir': 'empty directory', '/A/new': 'nothing' }, run: (k) => { k.rename('/A/dir', '/A/new'); } },
  { name: 'rename A/dir to B/new', needs: { '/A/dir': 'empty directory', '/B/new': 'nothing' }, run: (k) => { k.rename('/A/dir', '/B/new'); }, core: true },
  { name: 'rename B/dir over A/dir', needs: { '/B/dir': 'directory', '/A/dir': 'empty directory' }, run: (k) => { k.rename('/B/dir', '/A/dir'); }, core: true },
  { name: 'exchange A/foo and B/foo', needs: { ...foo, ...sparse }, run: (k) => { k.rename('/A/foo', '/B/foo', RenameFlag.exchange); }, core: true },
  { name: 'exchange A/foo and B/dir', needs: { ...foo, '/B/dir': 'directory' }, run: (k) => { k.rename('/A/foo', '/B/dir', RenameFlag.exchange); } },
  { name: 'exchange A/dir and B/dir', needs: { '/A/dir': 'empty directory', '/B/dir': 'directory' }, run: (k) => { k.rename('/A/dir', '/B/dir', RenameFlag.exchange); } },
  { name: 'truncate A/foo to nothing', needs: foo, run: (k) => { k.truncate('/A/foo', 0); }, core: true },
  { name: 'truncate A/foo to 5001', needs: foo, run: (k) => { k.truncate('/A/foo', 5001); } },
  { name: 'truncate A/foo to 20005', needs: foo, run: (k) => { k.truncate('/A/foo', 20_005); }, core: true },
  { name: 'truncate B/foo into its hole', needs: sparse, run: (k) => { k.truncate('/B/foo', 3 * BLOCK + 7); } },
  { name: 'truncate B/foo over its preallocated blocks', needs: sparse, run: (k) => { k.truncate('/B/foo', 7 * BLOCK - 3); } },
  { name: 'shrink and grow A/foo', needs: foo, run: (k) => { k.truncate('/A/foo', 13); k.truncate('/A/foo', 9001); } },
  { name: 'fallocate A/foo past its end', needs: foo, run: (k) => { k.allocate('/A/foo', 0, 9000, 21_003); }, core: true },
  { name: 'fallocate A/foo, keeping its size', needs: foo, run: (k) => { k.allocate('/A/foo', keepSize, 9000, 21_003); } },
  { name: 'fallocate the hole of B/foo', needs: sparse, run: (k) => { k.allocate('/B/foo', 0, BLOCK, 4 * BLOCK); } },
  { name: 'punch a block of A/foo', needs: foo, run: (k) => { k.allocate('/A/foo', punchHole | keepSize, BLOCK, BLOCK); } },
  { name: 'punch parts of blocks of A/foo', needs: foo, run: (k) => { k.allocate('/A/foo', punchHole | keepSize, 101, 9000); } },
  { name: 'punch inside a block of A/foo', needs: foo, run: (k) => { k.allocate('/A/foo', punchHole | keepSize, 4099, 333); } },
  { name: 'punch B/foo', needs: sparse, run: (k) => { k.allocate('/B/foo', punchHole | keepSize, 5000, 4 * BLOCK); } },
  { name: 'zero a range of A/foo', needs: foo, run: (k) => { k.allocate('/A/foo', zeroRange, 1001, 8005); } },
  { name: 'zero a range of A/foo past its end', needs: foo, run: (k) => { k.allocate('/A/foo', zeroRange, 5001, 9002); } },
  { name: 'zero a range of A/foo past its end, keeping its size', needs: foo, run: (k) => { k.allocate('/A/foo', zeroRange | keepSize, 5001, 9002); } },
  { name: 'zero a range of B/foo', needs: sparse, run: (k) => { k.allocate('/B/foo', zeroRange, 1003, 6 * BLOCK); } },
  { name: 'append to A/foo', needs: foo, run: (k) => { k.write('/A/foo', k.attributes(k.ino('/A/foo')).size, 5001); } },
  { name: 'append to B/foo', needs: sparse, run: (k) => { k.append('/B/foo', BLOCK); } },
  { name: 'overwrite A/foo', needs: foo, run: (k) => { k.write('/A/foo', 3000, 3001); } },
  { name: 'overwrite five bytes of A/foo', needs: foo, run: (k) => { k.write('/A/foo', 13, 5); } },
  { name: 'overwrite A/foo across its end', needs: foo, run: (k) => { k.write('/A/foo', 9990, 101); } },
  { name: 'write into the hole of B/foo', needs: sparse, run: (k) => { k.write('/B/foo', 2 * BLOCK + 5, BLOCK); } },
  { name: 'write into unwritten blocks of B/foo', needs: sparse, run: (k) => { k.write('/B/foo', 4 * BLOCK + 1, 13); } },
  { name: 'write across all extents of B/foo', needs: sparse, run: (k) => { k.write('/B/foo', BLOCK + 3, 5 * BLOCK); } },
  { name: 'write past the end of A/foo', needs: foo, run: (k) => { k.write('/A/foo', 30_001, 99); } },
  { name: 'write behind the end of A/foo, in its last block', needs: foo, run: (k) => { k.write('/A/foo', 10_051, 8); } },
  { name: 'write the preallocated blocks of B/foo', needs: sparse, run: (k) => { k.write('/B/foo', 6 * BLOCK, 17); } },
  { name: 'chmod A/foo', needs: foo, run: (k) => { k.change('/A/foo', { mask: Change.mode, mode: 0o4711 }); }, core: true },
  { name: 'chown A', needs: {}, run: (k) => { k.change('/A', { mask: Change.uid | Change.gid, uid: 3, gid: 4 }); } },
  { name: 'utimens B/foo', needs: sparse, run: (k) => { k.change('/B/foo', { mask: Change.atime | Change.mtime, atimeSeconds: 11, atimeNanoseconds: 12, mtimeSeconds: -5, mtimeNanoseconds: 6 }); } },
  { name: 'a file without a name gets A/bar', needs: { '/A/bar': 'nothing' }, run: (k) => { k.link(k.temporary('/A'), '/A/bar'); } },
  { name: 'a written file without a name gets B/bar', needs: { '/B/bar': 'nothing' }, run: (k) => { const ino = k.temporary('/A'); k.writeTo(ino, 0, 5003); k.link(ino, '/B/bar'); } },
  { name: 'unlink A/foo, held twice, write to it, let go', needs: foo, run: (k) => { const ino = k.ino('/A/foo'); k.hold(ino); k.hold(ino); k.unlink('/A/foo'); k.writeTo(ino, 9001, 2005); k.release(ino); k.writeTo(ino, 20_001, 3); k.release(ino); } },
  { name: 'rename A/foo over B/foo, which is held', needs: { ...foo, ...sparse }, run: (k) => { k.hold(k.ino('/B/foo')); k.rename('/A/foo', '/B/foo'); } },
  { name: 'write A/foo through two holds', needs: foo, run: (k) => { const ino = k.ino('/A/foo'); k.hold(ino); k.hold(ino); k.writeTo(ino, 5, 11); k.writeTo(ino, 9, 22); k.release(ino); k.sync(ino); k.release(ino); } },
  { name: 'copy a range of A/foo to B/foo', needs: { ...foo, ...sparse }, run: (k) => { k.copy('/A/foo', 101, '/B/foo', 2 * BLOCK, 8003); } },
  { name: 'fsync A/foo', needs: foo, run: (k) => { k.sync(k.ino('/A/foo')); } },
];

/** Operations that came later; in sequences of two they stand with those of the metadata core. */
export const laterOperations: readonly Operation[] = [
  { name: 'rename A/foo to B/bar, leaving a whiteout', needs: { ...foo, '/B/bar': 'nothing' }, run: (k) => { k.rename('/A/foo', '/B/bar', RenameFlag.whiteout); } },
  { name: 'the first attribute of A/foo', needs: foo, run: (k) => { k.setXattr('/A/foo', SHORT, 13); } },
  { name: 'a long attribute of A/foo', needs: foo, run: (k) => { k.setXattr('/A/foo', LONG, 9001); } },
  { name: 'another value of a short attribute', needs: attributes, run: (k) => { k.setXattr('/B/attributes', SHORT, 13); } },
  { name: 'a longer value of a short attribute', needs: attributes, run: (k) => { k.setXattr('/B/attributes', SHORT, 4001); } },
  { name: 'another value of a long attribute', needs: attributes, run: (k) => { k.setXattr('/B/attributes', LONG, 5003); } },
  { name: 'a short value of a long attribute', needs: attributes, run: (k) => { k.setXattr('/B/attributes', LONG, 7); } },
  { name: 'remove a short attribute', needs: attributes, run: (k) => { k.removeXattr('/B/attributes', SHORT); } },
  { name: 'remove all attributes', needs: attributes, run: (k) => { k.removeXattr('/B/attributes', LONG); k.removeXattr('/B/attributes', SHORT); } },
  { name: 'unlink a file with attributes', needs: attributes, run: (k) => { k.unlink('/B/attributes'); } },
  { name: 'an access ACL of A/foo', needs: foo, run: (k) => { k.setXattr('/A/foo', 'system.posix_acl_access', INHERITED); } },
  { name: 'create a file that inherits an ACL', needs: { '/A/acl': 'default ACL' }, run: (k) => { k.file('/A/acl/file'); } },
  { name: 'create a directory that inherits an ACL', needs: { '/A/acl': 'default ACL' }, run: (k) => { k.directory('/A/acl/new'); } },
];

/** All of them. Their places are what a workload is called by, so new ones come last. */
export const operations: readonly Operation[] = [...pairedOperations, ...laterOperations];

const pieces: Readonly<Record<string, Need>> = {};

/** Operations on trees, on the large base; sequences of one. */
export const treeOperations: readonly Operation[] = [
  { name: 'create in a tree of entries', needs: {}, run: (k) => k.file(`/many/${'m'.repeat(255)}`) },
  { name: 'unlink in a tree of entries', needs: {}, run: (k) => { k.unlink(manyName(149)); } },
  { name: 'rename from a tree of entries', needs: {}, run: (k) => { k.rename(manyName(1), '/A/x'); } },
  { name: 'rename over a name in a tree of entries', needs: foo, run: (k) => { k.rename('/A/foo', manyName(2)); } },
  { name: 'exchange with a name in a tree of entries', needs: foo, run: (k) => { k.rename('/A/foo', manyName(4), RenameFlag.exchange); } },
  { name: 'create a name like one that was removed', needs: {}, run: (k) => { k.file(manyName(0)); } },
  { name: 'unlink a file in pieces', needs: pieces, run: (k) => { k.unlink('/pieces'); } },
  { name: 'rename over a file in pieces', needs: foo, run: (k) => { k.rename('/A/foo', '/pieces'); } },
  { name: 'truncate a file in pieces', needs: pieces, run: (k) => { k.truncate('/pieces', 3 * BLOCK + 1); } },
  { name: 'truncate a file in pieces to nothing, write to it', needs: pieces, run: (k) => { k.truncate('/pieces', 0); k.write('/pieces', 30_001, 5003); } },
  { name: 'fallocate all holes of a file in pieces', needs: pieces, run: (k) => { k.allocate('/pieces', 0, 0, 90 * BLOCK); } },
  { name: 'punch a file in pieces', needs: pieces, run: (k) => { k.allocate('/pieces', punchHole | keepSize, 5, 60 * BLOCK); } },
  { name: 'zero a file in pieces', needs: pieces, run: (k) => { k.allocate('/pieces', zeroRange, 5, 60 * BLOCK); } },
  { name: 'write over a file in pieces and its holes', needs: pieces, run: (k) => { k.write('/pieces', 1, 78 * BLOCK); } },
  { name: 'write one piece', needs: pieces, run: (k) => { k.write('/pieces', 4 * BLOCK + 3, 2005); } },
  { name: 'write into a hole between pieces', needs: pieces, run: (k) => { k.write('/pieces', 7 * BLOCK + 3, 2005); } },
  { name: 'shrink a file in pieces, fallocate all its holes', needs: pieces, run: (k) => { k.truncate('/pieces', 78 * BLOCK + 33); k.allocate('/pieces', 0, 0, 90 * BLOCK); } },
];
