import { FsError } from '../../src/base/errno.js';
import { asByteAddr, asIno, MIB, type Ino } from '../../src/base/units.js';
import type { AccessTimes } from '../../src/fs/access-times.js';
import type { FileSystemOperations } from '../../src/fs/operations.js';
import {
  type AttributeChange,
  Attributes,
  type Caller,
  Change,
  CloseResult,
  type CloseResultNumber,
  type EntrySink,
  type MappedExtents,
  type Name,
  type OpenedFile,
  type Placement,
  type Ranges,
  type Statistics,
} from '../../src/fs/types.js';
import type { DurabilityDomain, Pmem } from '../../src/pmem/pmem.js';

const DIRECTORY = 0o040000;
const TYPE_MASK = 0o170000;
/** Every file has a megabyte of the medium to itself. */
const SLOT = MIB;

class Node {
  readonly attributes = new Attributes();
  readonly names = new Map<string, Ino>();
  readonly xattrs = new Map<string, Buffer>();
  target = Buffer.alloc(0);
  holds = 0;
}

const keyOf = (name: Name): string =>
  Buffer.from(name.bytes.buffer, name.bytes.byteOffset + name.offset, name.length).toString('latin1');

function copyOut(value: Buffer, bytes: Uint8Array, offset: number, size: number): number {
  if (size > 0 && value.length > size) throw new FsError('ERANGE');
  if (size > 0) bytes.set(value, offset);
  return value.length;
}

/** The simplest filesystem that can stand behind a session: no durability, files of at most 1 MiB, inodes never reused. */
export class FakeFileSystem implements FileSystemOperations {
  readonly nodes = new Map<number, Node>();
  /** The calls made, for tests that look at what a request became. */
  readonly calls: string[] = [];
  private next = 2;

  constructor(readonly pmem: Pmem) {
    const root = new Node();
    root.attributes.ino = asIno(1);
    root.attributes.mode = DIRECTORY | 0o755;
    root.attributes.nlink = 2;
    root.attributes.generation = 1;
    this.nodes.set(1, root);
  }

  node(ino: Ino): Node {
    const node = this.nodes.get(ino);
    if (node === undefined) throw new FsError('ESTALE');
    return node;
  }

  lookup(parent: Ino, name: Name): Ino | 0 {
    const key = keyOf(name);
    return key === '.' ? parent : (this.node(parent).names.get(key) ?? (0 as const));
  }

  getAttributes(ino: Ino, attributes: Attributes): void {
    Object.assign(attributes, this.node(ino).attributes);
  }

  setAttributes(ino: Ino, change: AttributeChange): void {
    this.calls.push(`setAttributes ${String(ino)} ${String(change.mask)}`);
    const { attributes } = this.node(ino);
    if ((change.mask & Change.mode) !== 0) attributes.mode = (attributes.mode & TYPE_MASK) | (change.mode & 0o7777);
    if ((change.mask & Change.killPrivileges) !== 0) attributes.mode &= ~0o6000;
    if ((change.mask & Change.uid) !== 0) attributes.uid = change.uid;
    if ((change.mask & Change.gid) !== 0) attributes.gid = change.gid;
    if ((change.mask & Change.size) !== 0) this.resize(attributes, change.size);
    if ((change.mask & Change.mtime) !== 0) {
      attributes.mtimeSeconds = change.mtimeSeconds;
      attributes.mtimeNanoseconds = change.mtimeNanoseconds;
    }
  }

  openFile(_ino: Ino, opened: OpenedFile): void {
    opened.descriptor = -1;
    opened.direct = false;
    opened.first = false;
  }

  closeFile(): CloseResultNumber {
    return CloseResult.open;
  }

  isOpen(): boolean {
    return false;
  }

  populate(): void {
    // Nobody maps anything.
  }

  /** Of all files, when they are regions. */
  domainOfRegions: DurabilityDomain | null = null;

  placementOf(): Placement {
    const isRegion = this.domainOfRegions !== null;
    return { isRegion, isWanted: isRegion, obstacle: null };
  }

  regionDomain(): DurabilityDomain | null {
    return this.domainOfRegions;
  }

  serveRegions(): void {
    // There are none.
  }

  makeNode(parent: Ino, name: Name, mode: number, caller: Caller, rdevMajor: number, rdevMinor: number): Ino {
    const { names } = this.node(parent);
    if (names.has(keyOf(name))) throw new FsError('EEXIST');
    const ino = this.makeTemporary(parent, mode, caller);
    Object.assign(this.node(ino).attributes, { rdevMajor, rdevMinor, nlink: (mode & TYPE_MASK) === DIRECTORY ? 2 : 1 });
    names.set(keyOf(name), ino);
    return ino;
  }

  makeTemporary(_parent: Ino, given: number, caller: Caller): Ino {
    const mode = given & ~caller.umask;
    const ino = asIno(this.next++);
    const node = new Node();
    Object.assign(node.attributes, { ino, mode, uid: caller.uid, gid: caller.gid, generation: ino + 1000 });
    this.nodes.set(ino, node);
    return ino;
  }

  symlink(parent: Ino, name: Name, target: Name, caller: Caller): Ino {
    const ino = this.makeNode(parent, name, 0o120777, caller, 0, 0);
    const node = this.node(ino);
    node.target = Buffer.from(keyOf(target), 'latin1');
    node.attributes.size = node.target.length;
    return ino;
  }

  link(ino: Ino, newParent: Ino, newName: Name): void {
    const { names } = this.node(newParent);
    if (names.has(keyOf(newName))) throw new FsError('EEXIST');
    names.set(keyOf(newName), ino);
    this.node(ino).attributes.nlink++;
  }

  unlink(parent: Ino, name: Name): void {
    const { names } = this.node(parent);
    const ino = names.get(keyOf(name));
    if (ino === undefined) throw new FsError('ENOENT');
    names.delete(keyOf(name));
    this.node(ino).attributes.nlink--;
  }

  rmdir(parent: Ino, name: Name): void {
    const ino = this.lookup(parent, name);
    if (ino !== 0 && this.node(ino).names.size > 0) throw new FsError('ENOTEMPTY');
    this.unlink(parent, name);
  }

  rename(parent: Ino, name: Name, newParent: Ino, newName: Name, flags: number): void {
    this.calls.push(`rename ${String(parent)} ${keyOf(name)} ${String(newParent)} ${keyOf(newName)} ${String(flags)}`);
    const ino = this.lookup(parent, name);
    if (ino === 0) throw new FsError('ENOENT');
    this.node(parent).names.delete(keyOf(name));
    this.node(newParent).names.set(keyOf(newName), ino);
  }

  readlink(ino: Ino, bytes: Uint8Array, offset: number): number {
    const { target } = this.node(ino);
    bytes.set(target, offset);
    return target.length;
  }

  read(ino: Ino, offset: number, length: number, ranges: Ranges): number {
    const { size } = this.node(ino).attributes;
    const available = Math.max(0, Math.min(length, size - offset));
    ranges.count = available > 0 ? 1 : 0;
    ranges.addresses[0] = this.slot(ino) + offset;
    ranges.lengths[0] = available;
    return available;
  }

  write(ino: Ino, offset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    this.calls.push(`write ${String(ino)} ${String(offset)} ${String(length)}`);
    if (offset + length > SLOT) throw new FsError('EFBIG');
    this.pmem.store(asByteAddr(this.slot(ino) + offset), source, sourceOffset, length);
    const { attributes } = this.node(ino);
    attributes.size = Math.max(attributes.size, offset + length);
    return length;
  }

  append(ino: Ino, source: Uint8Array, sourceOffset: number, length: number): number {
    const { size } = this.node(ino).attributes;
    this.write(ino, size, source, sourceOffset, length);
    return size;
  }

  allocate(ino: Ino, mode: number, offset: number, length: number): void {
    this.calls.push(`allocate ${String(ino)} ${String(mode)} ${String(offset)} ${String(length)}`);
  }

  seek(ino: Ino, offset: number, whence: number): number {
    const { size } = this.node(ino).attributes;
    if (offset >= size) throw new FsError('ENXIO');
    return whence === 3 ? offset : size;
  }

  copyRange(source: Ino, sourceOffset: number, target: Ino, targetOffset: number, length: number): number {
    this.calls.push(`copyRange ${[source, sourceOffset, target, targetOffset, length].join(' ')}`);
    return length;
  }

  setXattr(ino: Ino, name: Name, value: Uint8Array, valueOffset: number, length: number, flags: number): void {
    this.calls.push(`setXattr ${String(ino)} ${keyOf(name)} ${String(length)} ${String(flags)}`);
    this.node(ino).xattrs.set(keyOf(name), Buffer.from(value.subarray(valueOffset, valueOffset + length)));
  }

  getXattr(ino: Ino, name: Name, bytes: Uint8Array, offset: number, size: number): number {
    const value = this.node(ino).xattrs.get(keyOf(name));
    if (value === undefined) throw new FsError('ENODATA');
    return copyOut(value, bytes, offset, size);
  }

  listXattr(ino: Ino, bytes: Uint8Array, offset: number, size: number): number {
    const names = [...this.node(ino).xattrs.keys()].map((key) => `${key}\0`).join('');
    return copyOut(Buffer.from(names, 'latin1'), bytes, offset, size);
  }

  removeXattr(ino: Ino, name: Name): void {
    if (!this.node(ino).xattrs.delete(keyOf(name))) throw new FsError('ENODATA');
  }

  sync(ino: Ino): void {
    this.calls.push(`sync ${String(ino)}`);
  }

  readDirectory(ino: Ino, cookie: number, sink: EntrySink): void {
    const all: [string, Ino][] = [['.', ino], ['..', asIno(1)], ...this.node(ino).names];
    for (let i = cookie; i < all.length; i++) {
      const [key, entry] = all[i] as [string, Ino];
      const bytes = Buffer.from(key, 'latin1');
      const type = this.nodes.get(entry)?.attributes.mode ?? 0;
      if (!sink.entry(bytes, 0, bytes.length, entry, (type & TYPE_MASK) >> 12, i + 1)) return;
    }
  }

  setFlags(ino: Ino, flags: number, project: number): void {
    Object.assign(this.node(ino).attributes, { flags, project });
  }

  checkOpen(ino: Ino, appending: boolean): void {
    this.calls.push(`checkOpen ${String(ino)} ${String(appending)}`);
  }

  setReadOnly(readOnly: boolean): void {
    this.calls.push(`setReadOnly ${String(readOnly)}`);
  }

  setAccessTimes(times: AccessTimes): void {
    this.calls.push(`setAccessTimes ${times.policy} ${String(times.directories)}`);
  }

  noteDamage(message: string): void {
    this.calls.push(`noteDamage ${message}`);
  }

  statistics(statistics: Statistics): void {
    const blocks = this.pmem.size / 4096;
    Object.assign(statistics, { blockSize: 4096, blocks, freeBlocks: 1000, availableBlocks: 900, files: 50, freeFiles: 40, nameMax: 255 });
  }

  readonly leasedBy = new Map<number, Ino>();

  lease(ino: Ino, holder: number): void {
    this.leasedBy.set(holder, ino);
  }

  unlease(holder: number): boolean {
    return this.leasedBy.delete(holder);
  }

  hasLease(holder: number): boolean {
    return this.leasedBy.has(holder);
  }

  isLeased(ino: Ino): boolean {
    return [...this.leasedBy.values()].includes(ino);
  }

  wasLeased(): boolean {
    return false;
  }

  forgetLeased(): void {
    // It remembers nothing.
  }

  leases(): Iterable<readonly [number, Ino]> {
    return this.leasedBy;
  }

  mapRange(_ino: Ino, offset: number, _length: number, _fill: boolean, extents: MappedExtents): number {
    extents.count = 0;
    return offset;
  }

  hold(ino: Ino): void {
    this.node(ino).holds++;
  }

  release(ino: Ino, count: number): void {
    this.calls.push(`release ${String(ino)} ${String(count)}`);
    this.node(ino).holds -= count;
  }

  flushTimes(): void {
    this.calls.push('flushTimes');
  }

  backgroundStep(): boolean {
    return false;
  }

  setRequest(): void {
    // A fake has no journal.
  }

  close(): void {
    this.pmem.close();
  }

  private slot(ino: Ino): number {
    return (ino - 2) * SLOT;
  }

  private resize(attributes: Attributes, size: number): void {
    if (size > SLOT) throw new FsError('EFBIG');
    if (size < attributes.size) this.pmem.zero(asByteAddr(this.slot(attributes.ino) + size), attributes.size - size);
    attributes.size = size;
  }
}
