import type { Random } from '../../src/base/random.js';
import { Change, SeekWhence, XattrFlag } from '../../src/fs/types.js';
import type { AclEntry } from '../helpers/acl.js';
import { FileType, type ModelInode } from './inode.js';
import type { Model } from './model.js';
import type { Operation, OperationBody } from './operation.js';
import { ACCESS, CAPABILITY, DEFAULT } from './xattrs.js';

const BLOCK = 4096;
const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
/** Operations from one comparison of everything to the next. */
const COMPARE_EVERY = 2000;
const SIZE_MAX = Number.MAX_SAFE_INTEGER;

/** What a run is about: how often each kind of operation comes, and how large things are. */
export interface Profile {
  /** Relative frequencies. */
  weights: Partial<Record<OperationBody['kind'], number>>;
  /** Different ordinary names. */
  names: number;
  /** Greatest length of most writes, in bytes. */
  writeBytes: number;
  /** Above so many inodes removing is preferred. */
  inodes: number;
  /** Chance of a remount per operation. */
  remounts: number;
}

const everyKind: Record<OperationBody['kind'], number> = {
  lookup: 30,
  make: 100,
  symlink: 15,
  temporary: 8,
  link: 25,
  unlink: 60,
  rmdir: 25,
  rename: 60,
  readlink: 5,
  setAttributes: 60,
  read: 30,
  write: 110,
  append: 30,
  allocate: 40,
  seek: 30,
  copy: 25,
  setXattr: 70,
  removeXattr: 25,
  sync: 10,
  list: 5,
  openDirectory: 4,
  readDirectory: 30,
  hold: 25,
  release: 30,
  stale: 2,
  flushTimes: 3,
  background: 10,
  request: 5,
  wait: 1,
  compare: 0,
  remount: 0,
};

const names: Profile['weights'] = { write: 20, append: 5, allocate: 5, copy: 2, read: 2, seek: 2, make: 250, rename: 120, link: 60, unlink: 150, rmdir: 60, list: 1 };
const data: Profile['weights'] = { make: 40, unlink: 20, rename: 10, link: 5, write: 300, append: 60, allocate: 150, copy: 80, seek: 60, read: 60, setAttributes: 90 };

export const profiles = {
  mixed: { weights: {}, names: 12, writeBytes: 40_000, inodes: 150, remounts: 0.004 },
  names: { weights: names, names: 60, writeBytes: 5_000, inodes: 400, remounts: 0.003 },
  wide: { weights: { ...names, make: 500, unlink: 200, rmdir: 20, list: 0.5, symlink: 60 }, names: 4000, writeBytes: 100, inodes: 3000, remounts: 0.001 },
  data: { weights: data, names: 8, writeBytes: 200_000, inodes: 20, remounts: 0.004 },
  full: { weights: { ...data, make: 100, link: 30, rename: 40, unlink: 12, rmdir: 5, symlink: 20 }, names: 200, writeBytes: 300_000, inodes: 500, remounts: 0.004 },
} satisfies Record<string, Profile>;

/** Makes random operations that suit the state of a model. */
export class Generator {
  private readonly kinds: OperationBody['kind'][];
  private readonly bounds: number[] = [];
  private readonly streams: number[] = [];
  private nextId = 1;

  constructor(
    private readonly random: Random,
    private readonly profile: Profile,
    private readonly model: Model,
  ) {
    const weights = { ...everyKind, ...profile.weights };
    this.kinds = Object.keys(weights) as OperationBody['kind'][];
    let sum = 0;
    for (const kind of this.kinds) this.bounds.push((sum += weights[kind]));
  }

  next(): Operation {
    const id = this.nextId++;
    if (id % COMPARE_EVERY === 0) return { id, kind: 'compare' };
    const body = this.random.chance(this.profile.remounts)
      ? ({ kind: 'remount', how: this.random.pick(['close', 'all', 'nothing', 'some'] as const), verify: true } as const)
      : this.body(this.kind(), id);
    return { id, ...body };
  }

  private kind(): OperationBody['kind'] {
    const at = this.random.below(1_000_000) * 1e-6 * (this.bounds.at(-1) as number);
    const kind = this.kinds[this.bounds.findIndex((bound) => at < bound)] as OperationBody['kind'];
    const creates = kind === 'make' || kind === 'symlink' || kind === 'temporary';
    if (creates && this.model.inodes.size > this.profile.inodes) return this.random.pick(['unlink', 'unlink', 'rmdir', 'release']);
    return kind;
  }

  private body(kind: OperationBody['kind'], id: number): OperationBody {
    const { random } = this;
    switch (kind) {
      case 'lookup':
        return { kind, ...this.place(0.6) };
      case 'make':
        return { kind, ...this.place(0.05), mode: this.mode(), ...this.owner(), umask: this.umask(), major: random.below(4096), minor: random.below(2 ** 20) };
      case 'symlink':
        return { kind, ...this.place(0.05), target: this.target(), ...this.owner() };
      case 'temporary':
        return { kind, parent: this.directory().id, mode: FileType.regular | random.below(0o10000), ...this.owner(), umask: this.umask() };
      case 'link':
        return { kind, inode: random.chance(0.95) ? this.otherThanDirectory().id : this.directory().id, ...this.place(0.05) };
      case 'unlink':
        return { kind, ...this.place(0.95, false) };
      case 'rmdir':
        return { kind, ...this.place(0.95, true) };
      case 'rename':
        return this.rename();
      case 'readlink':
        return { kind, inode: this.inode((inode) => inode.isLink).id };
      case 'sync':
        return { kind, inode: this.inode().id };
      case 'hold':
        return { kind, inode: this.inode(random.chance(0.5) ? (inode) => inode.holds > 0 : undefined).id };
      case 'release': {
        const inode = this.inode((candidate) => candidate.holds > 0);
        return { kind, inode: inode.id, count: random.chance(0.5) ? 1 : random.between(1, Math.max(1, inode.holds)) };
      }
      case 'setAttributes':
        return this.setAttributes();
      case 'setXattr':
        return this.setXattr();
      case 'removeXattr': {
        const inode = this.inode(random.chance(0.9) ? (candidate) => candidate.xattrs.all.size > 0 : undefined);
        const names = [...inode.xattrs.all.keys()];
        return { kind, inode: inode.id, name: names.length > 0 && random.chance(0.9) ? random.pick(names) : this.xattrName() };
      }
      case 'list':
        return { kind, inode: this.directory().id, chunk: random.pick([1, 2, 10, 1000]) };
      case 'openDirectory':
        this.streams.push(id);
        return { kind, inode: this.directory().id };
      case 'readDirectory':
        return { kind, stream: random.chance(0.8) ? (this.streams.at(-1 - random.below(3)) ?? 0) : (this.streams.at(-1) ?? 0), count: random.between(1, 20) };
      case 'stale':
        return { kind, ino: random.pick([0, 2, 15, 16, random.below(100_000), 2 ** 32 + 1, 2 ** 48, SIZE_MAX]) };
      case 'background':
        return { kind, steps: random.between(1, 5) };
      case 'request':
        return { kind, low: random.nextU32(), high: random.nextU32(), opcode: random.below(60) };
      case 'wait':
        return { kind, seconds: random.pick([1, 3600, 90_000]) };
      case 'flushTimes':
      case 'compare':
        return { kind };
      case 'remount':
        return { kind, how: 'close', verify: true };
      default:
        return this.onData(kind);
    }
  }

  private onData(kind: 'read' | 'write' | 'append' | 'allocate' | 'seek' | 'copy'): OperationBody {
    const { random } = this;
    // Now and then something that is not a file: the error counts.
    const file = this.inode(random.chance(0.97) ? (inode) => inode.isRegular : undefined);
    const offset = this.offset(file);
    switch (kind) {
      case 'read':
        return { kind, inode: file.id, offset, length: random.pick([1, BLOCK, random.below(100_000), MIB]) };
      case 'write':
        return { kind, inode: file.id, offset, length: this.length(), fill: random.nextU32() };
      case 'append':
        return { kind, inode: file.id, length: this.length(), fill: random.nextU32() };
      case 'allocate':
        return {
          kind,
          inode: file.id,
          mode: random.pick([0, 0, 1, 1, 3, 3, 3, 16, 16, 17, 17, random.below(128)]),
          offset,
          length: random.chance(0.9) ? this.length() : random.pick([0, 3 * MIB, 5 * MIB, GIB, 2 ** 40, SIZE_MAX - Math.min(offset, SIZE_MAX), SIZE_MAX]),
        };
      case 'seek':
        return { kind, inode: file.id, offset, whence: random.pick([SeekWhence.data, SeekWhence.hole]) };
      case 'copy': {
        const target = random.chance(0.3) ? file : this.inode((inode) => inode.isRegular);
        return { kind, inode: file.id, sourceOffset: offset, target: target.id, targetOffset: this.offset(target), length: this.length() };
      }
    }
  }

  private rename(): OperationBody {
    const from = this.place(0.95);
    const to = this.place(0.4);
    const parent = this.model.inodes.get(from.parent) as ModelInode;
    const flags = this.random.pick([0, 0, 0, 1, 2, 2, 3]);
    // A directory into another is rare when names are picked blindly.
    const directory = this.random.chance(0.2) ? this.directory() : undefined;
    const own = directory?.parent;
    const found = own === undefined ? undefined : [...own.entries].find(([, inode]) => inode === directory);
    if (own !== undefined && found !== undefined) return { kind: 'rename', parent: own.id, name: found[0], newParent: to.parent, newName: to.name, flags };
    return { kind: 'rename', parent: parent.id, name: from.name, newParent: to.parent, newName: to.name, flags };
  }

  private setAttributes(): OperationBody {
    const { random } = this;
    const sizeWanted = random.chance(0.4);
    const inode = this.inode(sizeWanted && random.chance(0.95) ? (candidate) => candidate.isRegular : undefined);
    let mask = 0;
    for (const bit of Object.values(Change)) if (bit !== Change.size && random.chance(0.2)) mask |= bit;
    if (sizeWanted) mask |= Change.size;
    if (mask === 0) mask = Change.mode;
    const moment = (): [number, number] => [
      random.pick([0, -1, -(2 ** 40), 2 ** 31, 2 ** 32, 2 ** 40, random.below(2 ** 32)]),
      random.pick([0, 999_999_999, random.below(1e9)]),
    ];
    return {
      kind: 'setAttributes',
      inode: inode.id,
      mask,
      mode: random.below(0o10000),
      ...this.owner(),
      size: random.chance(0.1) ? random.pick([0, SIZE_MAX, SIZE_MAX - 1]) : Math.min(this.offset(inode), SIZE_MAX),
      atime: moment(),
      mtime: moment(),
      ctime: moment(),
    };
  }

  private setXattr(): OperationBody {
    const { random } = this;
    const isAcl = random.chance(0.25);
    const inode = this.inode(random.chance(0.5) ? (candidate) => candidate.isDirectory || candidate.isRegular : undefined);
    const flags = random.pick([0, 0, 0, 0, XattrFlag.create, XattrFlag.replace]) | (random.chance(0.2) ? XattrFlag.killSetGroupId : 0);
    const common = { kind: 'setXattr', inode: inode.id, flags, fill: random.nextU32() } as const;
    if (isAcl) {
      const name = inode.isDirectory && random.chance(0.7) ? DEFAULT : random.pick([ACCESS, ACCESS, ACCESS, DEFAULT]);
      return { ...common, name, entries: this.aclEntries(), length: 0 };
    }
    const length = random.chance(0.05) ? random.pick([65_535, 65_536, 65_537, 20_000]) : random.pick([0, 1, 20, 200, 260, 280, 300, 4000, 4033, random.below(1000), random.below(9000)]);
    return { ...common, name: this.xattrName(), length };
  }

  private xattrName(): string {
    const { random } = this;
    if (random.chance(0.85)) return `${random.pick(['user', 'user', 'user', 'trusted', 'security'])}.${random.chance(0.5) ? String(random.below(8)) : 'n'.repeat(random.below(200))}${String(random.below(3))}`;
    return random.pick([CAPABILITY, CAPABILITY, CAPABILITY, ACCESS, DEFAULT, 'user.', 'other.a', 'system.a', 'user', `user.${'x'.repeat(250)}`, `user.${'x'.repeat(251)}`, 'trusted.\xff\xfe', 'user..']);
  }

  /** Valid mostly, short mostly. */
  private aclEntries(): AclEntry[] {
    const { random } = this;
    const rwx = (): number => random.below(8);
    if (random.chance(0.05)) return [];
    const named = random.chance(0.3) ? 0 : random.pick([1, 1, 2, 3, 30, 200]);
    const users = Array.from({ length: random.below(named + 1) }, (_, id): AclEntry => ['user', id, rwx()]);
    const groups = Array.from({ length: named - users.length }, (_, id): AclEntry => ['group', id, rwx()]);
    const mask: AclEntry[] = named > 0 || random.chance(0.2) ? [['mask', 0, rwx()]] : [];
    const entries: AclEntry[] = [['userObject', 0, rwx()], ...users, ['groupObject', 0, rwx()], ...groups, ...mask, ['other', 0, rwx()]];
    if (random.chance(0.05)) entries.splice(random.below(entries.length), 1);
    return entries;
  }

  private umask(): number {
    return this.random.pick([0, 0o022, 0o077, 0o027]);
  }

  /** An inode for which `fits` holds, if one is found quickly. */
  private inode(fits: (inode: ModelInode) => boolean = () => true): ModelInode {
    const all = this.model.inodes;
    const start = this.random.below(all.size);
    let first: ModelInode | undefined;
    let index = 0;
    let best: ModelInode = this.model.root;
    for (const inode of all.values()) {
      if (fits(inode)) {
        first ??= inode;
        if (index >= start) return inode;
      }
      if (index === start) best = inode;
      index += 1;
    }
    return first ?? best;
  }

  private otherThanDirectory(): ModelInode {
    return this.inode((inode) => !inode.isDirectory);
  }

  private directory(): ModelInode {
    return this.random.chance(0.3) ? this.model.root : this.inode((inode) => inode.isDirectory);
  }

  /** A directory and a name in it; with chance `existing` one that is there, of a directory or of something else if asked for. */
  private place(existing: number, isDirectory?: boolean): { parent: number; name: string } {
    const { random } = this;
    // Now and then something that is not a directory: ENOTDIR.
    const parent = random.chance(0.98) ? this.directory() : this.inode();
    if (random.chance(existing) && parent.entries.size > 0) {
      const entries = [...parent.entries];
      for (let tries = 0; tries < 4; tries++) {
        const [name, inode] = random.pick(entries);
        if (isDirectory === undefined || inode.isDirectory === isDirectory || tries === 3) return { parent: parent.id, name };
      }
    }
    return { parent: parent.id, name: this.name() };
  }

  private name(): string {
    const { random } = this;
    if (random.chance(0.94)) return `n${String(random.below(this.profile.names))}`;
    return random.pick([
      'x'.repeat(255),
      `${'y'.repeat(254)}${String(random.below(10))}`,
      `${'long'.repeat(50)}${String(random.below(100))}`,
      'z'.repeat(256),
      'z'.repeat(1000),
      '\xff\xfe',
      '\xc3',
      ' ',
      '\n\t\x01',
      '.',
      '..',
      '...',
      String.fromCharCode(random.between(0x80, 0xff)),
    ]);
  }

  private target(): string {
    const { random } = this;
    const length = random.pick([1, 10, 127, 128, 129, 1000, 4094, 4095, 4096, 0, random.between(1, 300)]);
    return Array.from({ length }, () => String.fromCharCode(random.between(1, 255))).join('');
  }

  private mode(): number {
    const { random } = this;
    const { regular, directory, fifo, socket, character, block } = FileType;
    return random.pick([regular, regular, regular, regular, directory, directory, fifo, socket, character, block]) | random.below(0o10000);
  }

  private owner(): { uid: number; gid: number } {
    const { random } = this;
    return { uid: random.pick([0, 1000, 65_534, 2 ** 32 - 2]), gid: random.pick([0, 100, 2 ** 32 - 2]) };
  }

  private length(): number {
    const { random } = this;
    const most = this.profile.writeBytes;
    if (random.chance(0.02)) return random.pick([0, MIB, MIB + 1, 2 * MIB, 2 * MIB + 5]);
    return random.pick([1, 7, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 16 * BLOCK, 1 + random.below(most), 1 + random.below(most), 1 + random.below(10_000)]);
  }

  /** Near something of interest: the ends of the file, of blocks and of extents, and far beyond. */
  private offset(file: ModelInode): number {
    const { random } = this;
    const { size } = file.contents;
    const base = random.pick([
      0,
      0,
      size,
      size,
      Math.floor(size / BLOCK) * BLOCK,
      random.below(size + 1),
      random.below(size + 1),
      random.below(64) * BLOCK,
      random.below(64) * BLOCK,
      random.below(MIB),
      2 * MIB,
      random.below(3) * 2 * MIB,
    ]);
    const far = random.chance(0.02) ? random.pick([GIB, 2 ** 32, 2 ** 40, 2 ** 45, SIZE_MAX - BLOCK, SIZE_MAX - 1, SIZE_MAX - random.below(MIB)]) : 0;
    const jitter = random.pick([0, 0, 0, 1, -1, random.between(-BLOCK, BLOCK)]);
    return Math.max(0, Math.min(SIZE_MAX, Math.max(base, far) + jitter));
  }
}
