/** Inodes per page: what 16 blocks of the inode table hold. */
const PAGE_INODES = 256;

/** Bits that are noted of an inode. */
export const Note = {
  /** The record has the orphan flag. */
  orphan: 1,
  /** The walk along the orphan list came by. */
  listed: 2,
  /** Directory: the parent that its record names has an entry for it. */
  parentHasEntry: 4,
  /** No entry leads to it, and it is no orphan: it goes to lost+found. */
  lost: 8,
  /** Directory: has entries. */
  notEmpty: 16,
  /** Damage of it was left: it is not walked again. */
  left: 32,
  /** The record has a link count that is not 0. */
  named: 64,
} as const;

/** What has to be remembered of directories only. */
class DirectoryPage {
  /** Parent as the record has it. */
  readonly parent = new Float64Array(PAGE_INODES);
  /** Directory with the entry for it, 0: none. */
  readonly foundParent = new Float64Array(PAGE_INODES);
  readonly subdirectories = new Uint32Array(PAGE_INODES);
  readonly reach = new Uint8Array(PAGE_INODES);
}

/** A few bytes for each of 256 inodes. */
export class NotesPage {
  /** File type as in dirent(3) (mode >> 12); 0: free. */
  readonly type = new Uint8Array(PAGE_INODES);
  readonly notes = new Uint8Array(PAGE_INODES);
  /** Directory entries found. */
  readonly links = new Uint32Array(PAGE_INODES);
  /** Blocks of the extended attributes, −1 when damage that was left hides some; null: no inode of the page has any. */
  xattrBlocks: Float64Array | null = null;
  private directoryPart: DirectoryPage | null = null;

  get directories(): DirectoryPage {
    return (this.directoryPart ??= new DirectoryPage());
  }
}

/** What a repair remembers of every inode in use: 6 bytes, 27 for directories, 8 more with extended attributes, in pages made on demand. */
export class InodeNotes {
  private readonly pages = new Map<number, NotesPage>();
  private lastNumber = -1;
  private lastPage: NotesPage | undefined;

  /** Index of an inode in its page. */
  static slot(ino: number): number {
    return ino % PAGE_INODES;
  }

  find(ino: number): NotesPage | undefined {
    const number = Math.floor(ino / PAGE_INODES);
    if (number !== this.lastNumber) {
      this.lastPage = this.pages.get(number);
      this.lastNumber = number;
    }
    return this.lastPage;
  }

  make(ino: number): NotesPage {
    const found = this.find(ino);
    if (found !== undefined) return found;
    const page = new NotesPage();
    this.pages.set(this.lastNumber, page);
    this.lastPage = page;
    return page;
  }

  /** File type of an inode, 0 when it is free. */
  typeOf(ino: number): number {
    return this.find(ino)?.type[InodeNotes.slot(ino)] ?? 0;
  }

  has(ino: number, note: number): boolean {
    return ((this.find(ino)?.notes[InodeNotes.slot(ino)] ?? 0) & note) !== 0;
  }

  set(ino: number, note: number, value: boolean): void {
    const { notes } = this.make(ino);
    const slot = InodeNotes.slot(ino);
    notes[slot] = value ? (notes[slot] as number) | note : (notes[slot] as number) & ~note;
  }

  /** Blocks of the extended attributes of an inode, −1 when damage that was left hides some. */
  xattrBlocksOf(ino: number): number {
    return this.find(ino)?.xattrBlocks?.[InodeNotes.slot(ino)] ?? 0;
  }

  setXattrBlocks(ino: number, blocks: number): void {
    const page = this.make(ino);
    if (blocks === 0 && page.xattrBlocks === null) return;
    page.xattrBlocks ??= new Float64Array(PAGE_INODES);
    page.xattrBlocks[InodeNotes.slot(ino)] = blocks;
  }

  /** Numbers of the inodes in use, ascending. */
  *numbers(): Generator<number> {
    for (const number of [...this.pages.keys()].sort((a, b) => a - b)) {
      const page = this.pages.get(number);
      if (page === undefined) continue;
      for (let slot = 0; slot < PAGE_INODES; slot++) if (page.type[slot] !== 0) yield number * PAGE_INODES + slot;
    }
  }
}
