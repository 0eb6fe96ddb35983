import { Contents } from './contents.js';
import { ModelXattrs } from './xattrs.js';

export const FileType = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  regular: 0o100000,
  link: 0o120000,
  socket: 0o140000,
  mask: 0o170000,
} as const;

/** A moment; never changed once made. */
export interface Moment {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export function sameMoment(a: Moment, b: Moment): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}

export type TimeName = 'atime' | 'mtime' | 'ctime';

/** A file of any type, as stat(2) and its contents show it. */
export class ModelInode {
  nlink = 1;
  holds = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  atime: Moment;
  mtime: Moment;
  ctime: Moment;
  readonly btime: Moment;
  /** Values that a time had since it was last certain to be on the medium: what a crash may bring back. */
  readonly earlier: Record<TimeName, Moment[]> = { atime: [], mtime: [], ctime: [] };
  /** Directory: its entries, names as latin1 strings. */
  readonly entries = new Map<string, ModelInode>();
  parent: ModelInode | undefined;
  readonly contents = new Contents();
  readonly xattrs = new ModelXattrs();
  /** Symbolic link: its target as a latin1 string. */
  target = '';
  /** Made without a name, and still without. */
  temporary = false;

  constructor(
    /** The operation that made it, 0 for the root directory. */
    readonly id: number,
    public mode: number,
    public uid: number,
    public gid: number,
    now: Moment,
  ) {
    this.atime = this.mtime = this.ctime = this.btime = now;
  }

  get type(): number {
    return this.mode & FileType.mask;
  }

  get isDirectory(): boolean {
    return this.type === FileType.directory;
  }

  get isRegular(): boolean {
    return this.type === FileType.regular;
  }

  get isLink(): boolean {
    return this.type === FileType.link;
  }

  /** What stat(2) shows as the size. */
  get size(): number {
    if (this.isDirectory) return this.entries.size;
    return this.isLink ? this.target.length : this.contents.size;
  }

  /** A change of times that is on the medium when the operation returns. */
  touch(now: Moment, ...names: TimeName[]): void {
    for (const name of names) this[name] = now;
    this.settle();
  }

  /** A change of times that may be written later. */
  touchLazily(now: Moment, ...names: TimeName[]): void {
    for (const name of names) {
      this.earlier[name].push(this[name]);
      this[name] = now;
    }
  }

  /** The times are on the medium. */
  settle(): void {
    this.earlier.atime.length = 0;
    this.earlier.mtime.length = 0;
    this.earlier.ctime.length = 0;
  }

  /** Whether `other` is this directory or lies below it. */
  contains(other: ModelInode): boolean {
    // The root directory is its own parent.
    for (let at: ModelInode | undefined = other; at !== undefined; at = at.parent === at ? undefined : at.parent) {
      if (at === this) return true;
    }
    return false;
  }
}
