/** What programs see of a volume: the semantic dump that a recovered volume is compared by. */
import { asByteAddr, type Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { Attributes, Name, Ranges } from '../../src/fs/types.js';
import type { Pmem } from '../../src/pmem/pmem.js';
import { type Kit, root } from './kit.js';

/** Where a regular file's bytes lie: runs of (address or −1 for zero bytes, length), in order. */
export interface FileLayout {
  path: string;
  ino: Ino;
  size: number;
  addresses: number[];
  lengths: number[];
}

export interface Dump {
  /** One line per name, sorted: everything but times and contents. */
  names: string;
  /** By inode: the four timestamps. */
  times: Map<Ino, string>;
  files: FileLayout[];
  /** Directories, from the root down. */
  directories: string[];
}

const PUBLIC_TARGET_MAX = 4096;
const attributes = new Attributes();
/** Room for the longest value and the longest list of names. */
const xattrBytes = new Uint8Array(65_536);
const ranges = new Ranges(64);
const target = Buffer.alloc(PUBLIC_TARGET_MAX);

/** Walks the whole volume. */
export function dumpOf(kit: Kit): Dump {
  const dump: Dump = { names: '', times: new Map(), files: [], directories: [] };
  const lines: string[] = [];
  describe(kit, root, root, '', dump, lines);
  dump.names = lines.join('\n');
  return dump;
}

function describe(kit: Kit, ino: Ino, parent: Ino, path: string, dump: Dump, lines: string[]): void {
  const a = attributes;
  kit.fs.getAttributes(ino, a);
  const type = a.mode & FileType.mask;
  const { mode, size } = a;
  let line = `${path === '' ? '/' : path}: inode ${String(ino)}.${String(a.generation)} ${mode.toString(8)} links ${String(a.nlink)} owner ${String(a.uid)}:${String(a.gid)} size ${String(size)} blocks ${String(a.blocks)} device ${String(a.rdevMajor)}:${String(a.rdevMinor)} flags ${String(a.flags)}`;
  const time = (seconds: number, nanoseconds: number): string => `${String(seconds)}.${String(nanoseconds)}`;
  dump.times.set(ino, `a ${time(a.atimeSeconds, a.atimeNanoseconds)} m ${time(a.mtimeSeconds, a.mtimeNanoseconds)} c ${time(a.ctimeSeconds, a.ctimeNanoseconds)} b ${time(a.btimeSeconds, a.btimeNanoseconds)}`);
  if (type === FileType.symlink) line += ` -> ${target.toString('latin1', 0, kit.fs.readlink(ino, target, 0))}`;
  line += extendedAttributes(kit, ino);
  if (type === FileType.regular) dump.files.push(layoutOf(kit, ino, path, size));
  lines.push(line);
  if (type !== FileType.directory) return;
  dump.directories.push(path);
  const entries: { name: string; ino: Ino }[] = [];
  kit.fs.readDirectory(ino, 0, {
    entry: (bytes, offset, length, entryIno) => {
      entries.push({ name: Buffer.from(bytes.buffer, bytes.byteOffset + offset, length).toString('latin1'), ino: entryIno });
      return true;
    },
  });
  for (const entry of entries.sort((x, y) => (x.name < y.name ? -1 : 1))) {
    if (entry.name === '.') continue;
    if (entry.name === '..') {
      if (entry.ino !== parent) lines.push(`${path}/..: inode ${String(entry.ino)} instead of ${String(parent)}`);
      continue;
    }
    describe(kit, entry.ino, ino, `${path}/${entry.name}`, dump, lines);
  }
}

/** Names and values of extended attributes, each as ` name=value`. */
function extendedAttributes({ fs }: Kit, ino: Ino): string {
  const listed = fs.listXattr(ino, xattrBytes, 0, xattrBytes.length);
  if (listed === 0) return '';
  const names = Buffer.from(xattrBytes.subarray(0, listed)).toString('latin1').split('\0').slice(0, -1).sort();
  return names.map((name) => {
    const length = fs.getXattr(ino, Name.from(Buffer.from(name, 'latin1')), xattrBytes, 0, xattrBytes.length);
    return ` ${name}=${Buffer.from(xattrBytes.subarray(0, length)).toString('hex')}`;
  }).join('');
}

function layoutOf(kit: Kit, ino: Ino, path: string, size: number): FileLayout {
  const layout: FileLayout = { path, ino, size, addresses: [], lengths: [] };
  for (let done = 0; done < size; ) {
    const described = kit.fs.read(ino, done, size - done, ranges);
    if (described <= 0) throw new Error(`${path}: a read at ${String(done)} of ${String(size)} bytes describes nothing`);
    for (let index = 0; index < ranges.count; index += 1) {
      layout.addresses.push(ranges.addresses[index] as number);
      layout.lengths.push(ranges.lengths[index] as number);
    }
    done += described;
  }
  return layout;
}

/** The bytes of a file. */
export function contentOf(layout: FileLayout, pmem: Pmem): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  let done = 0;
  layout.addresses.forEach((address, index) => {
    const length = layout.lengths[index] as number;
    if (address >= 0) pmem.load(asByteAddr(address), bytes, done, length);
    done += length;
  });
  return bytes;
}
