import { FsError } from '../base/errno.js';
import { asIno, type Ino } from '../base/units.js';
import { Type } from '../check/inode.js';
import { Directories } from '../dir/directory.js';
import { FileType, Inode, ROOT_INO } from '../format/layout.js';
import { setI64, setU64 } from '../format/numbers.js';
import { Core } from '../space/core.js';
import { Tree } from '../tree/tree.js';
import type { RepairContext } from './context.js';
import { Note } from './inode-notes.js';

const CACHE_BLOCKS = 1024;
export const NAME = 'lost+found';
/** Other names that are tried when a name is taken. */
const NAMES_MAX = 100;
const DIRECTORY_MODE = FileType.directory | 0o700;

/**
 * The directory for what has lost its name, and the engine to put it there: everything else is sound by then. Each change is one transaction.
 */
export class LostFound {
  readonly core: Core;
  readonly directories: Directories;
  private home = 0 as Ino;

  constructor(private readonly context: RepairContext) {
    const { writer, superblock, clock, nameHash } = context;
    this.core = new Core(writer.pmem, superblock, clock, writer.position, CACHE_BLOCKS);
    this.directories = new Directories(this.core.journal, this.core.allocator, superblock.hashSeed, nameHash);
  }

  /** The directory, made when it is missing. ENOSPC. */
  directory(): Ino {
    if (this.home === 0) this.home = this.findHome();
    return this.home;
  }

  private findHome(): Ino {
    const name = this.freeName(asIno(ROOT_INO), NAME, (ino) => this.context.notes.typeOf(ino) === Type.directory);
    if (name.ino !== 0) return name.ino;
    return this.transaction(() => {
      const { core, directories } = this;
      const { view, bytes } = core.journal;
      const ino = core.inodes.allocate();
      const record = core.inodes.newRecord;
      view.setUint16(record + Inode.mode, DIRECTORY_MODE, true);
      view.setUint32(record + Inode.nlink, 2, true);
      setU64(view, record + Inode.parent, ROOT_INO);
      Tree.initRoot(view, bytes, record + Inode.body);
      this.stamp(record);
      const root = core.inodes.edit(asIno(ROOT_INO));
      directories.insert(root, name.bytes, 0, name.bytes.length, ino, Type.directory);
      view.setUint32(root + Inode.nlink, view.getUint32(root + Inode.nlink, true) + 1, true);
      return ino;
    });
  }

  /** A name that is free in a directory, made from `wish`; or one that is taken by what the caller is content with. */
  freeName(directory: Ino, wish: string, isWelcome: (ino: Ino) => boolean): { bytes: Uint8Array; ino: Ino | 0 } {
    this.core.journal.cache.beginOperation();
    for (let n = 0; n < NAMES_MAX; n++) {
      const bytes = Buffer.from(n === 0 ? wish : `${wish}.${String(n)}`, 'latin1');
      if (!this.directories.find(this.core.inodes.get(directory), bytes, 0, bytes.length)) return { bytes, ino: 0 };
      if (isWelcome(this.directories.foundIno)) return { bytes, ino: this.directories.foundIno };
    }
    throw new FsError('EEXIST', `all names like ${wish} are taken`);
  }

  /** All of `work`, or nothing. */
  transaction<T>(work: () => T): T {
    const { journal } = this.core;
    journal.cache.beginOperation();
    journal.begin();
    try {
      const result = work();
      journal.commit();
      return result;
    } catch (error) {
      if (journal.inTransaction) journal.abort();
      throw error;
    }
  }

  /** All times of a record are now. */
  stamp(record: number): void {
    const { clock } = this.context;
    const { view } = this.core.journal;
    clock.now();
    for (const field of [Inode.atimeSeconds, Inode.mtimeSeconds, Inode.ctimeSeconds, Inode.btimeSeconds]) setI64(view, record + field, clock.seconds);
    for (const field of [Inode.atimeNanoseconds, Inode.mtimeNanoseconds, Inode.ctimeNanoseconds, Inode.btimeNanoseconds]) {
      view.setUint32(record + field, clock.nanoseconds, true);
    }
  }
}

/** Pass 6: what is lost gets a name in `lost+found`: `#` and its inode number. */
export class LostFoundPass {
  constructor(
    private readonly context: RepairContext,
    private readonly place: LostFound,
  ) {}

  run(): void {
    const { notes, problems } = this.context;
    for (const ino of notes.numbers()) {
      if (!notes.has(ino, Note.lost)) continue;
      const isDirectory = notes.typeOf(ino) === Type.directory;
      const kind = isDirectory ? 'directory-unreferenced' : 'inode-unreferenced';
      if (!problems.fix(kind, { ino }, `inode ${String(ino)}: directory entries`, 'at least 1', 0, `give it a name in ${NAME}`)) continue;
      try {
        this.connect(asIno(ino), isDirectory);
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        problems.leave(kind, { ino }, `inode ${String(ino)}: a place in ${NAME}`, 'one', error.message, 'left for another run, when there is space');
      }
    }
  }

  private connect(ino: Ino, isDirectory: boolean): void {
    const { core, directories } = this.place;
    const home = this.place.directory();
    const name = this.place.freeName(home, `#${String(ino)}`, () => false);
    this.place.transaction(() => {
      const { view } = core.journal;
      const record = core.inodes.edit(ino);
      const directory = core.inodes.edit(home);
      if (isDirectory) {
        setU64(view, record + Inode.parent, home);
        view.setUint32(directory + Inode.nlink, view.getUint32(directory + Inode.nlink, true) + 1, true);
      } else {
        view.setUint32(record + Inode.nlink, 1, true);
      }
      directories.insert(directory, name.bytes, 0, name.bytes.length, ino, this.context.notes.typeOf(ino));
    });
    this.context.notes.set(ino, Note.lost, false);
  }
}
