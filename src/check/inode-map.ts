/** Inodes per page: what 16 blocks of the inode table hold. */
const PAGE_INODES = 256;

/** Pseudo type of an inode whose record can't be read. */
export const DAMAGED = 255;

/** What has to be remembered of directories only. */
class DirectoryPage {
  /** Parent as the record has it. */
  readonly parent = new Float64Array(PAGE_INODES);
  /** Directory in which an entry for it was found first, 0: none. */
  readonly foundParent = new Float64Array(PAGE_INODES);
  readonly subdirectories = new Uint32Array(PAGE_INODES);
  /** Blocks of its extended attributes, −1 when damage hides some. */
  readonly xattrBlocks = new Int32Array(PAGE_INODES);
  readonly reach = new Uint8Array(PAGE_INODES);
}

/** What is said of the host file of an inode. */
export const Host = { none: 0, possible: 1, required: 2 } as const;

/** What has to be remembered of files with a host file only. */
class HostPage {
  readonly generation = new Uint32Array(PAGE_INODES);
  readonly state = new Uint8Array(PAGE_INODES);
}

/** A few bytes for each of 256 inodes. */
export class InodePage {
  /** File type as in dirent(3) (mode >> 12); 0: free; DAMAGED. */
  readonly type = new Uint8Array(PAGE_INODES);
  /** Bit 0: the orphan flag is set. */
  readonly orphan = new Uint8Array(PAGE_INODES);
  /** Link count as the record has it. */
  readonly nlink = new Uint32Array(PAGE_INODES);
  /** Directory entries found. */
  readonly links = new Uint32Array(PAGE_INODES);
  private directoryPart: DirectoryPage | null = null;
  private hostPart: HostPage | null = null;

  get directories(): DirectoryPage {
    return (this.directoryPart ??= new DirectoryPage());
  }

  get hosts(): HostPage {
    return (this.hostPart ??= new HostPage());
  }

  /** What is said of the host file of the inode in a slot. */
  hostOf(slot: number): number {
    return this.hostPart?.state[slot] ?? Host.none;
  }
}

/**
 * What the verifier remembers of every inode in use: about 10 bytes, 35 for directories, 5 more for host files, in pages made on demand, so that
 * memory follows the inodes in use and not the length of the table.
 */
export class InodeMap {
  private readonly pages = new Map<number, InodePage>();
  private lastNumber = -1;
  private lastPage: InodePage | undefined;

  /** Index of an inode in its page. */
  static slot(ino: number): number {
    return ino % PAGE_INODES;
  }

  /** The page that holds `ino`, if any inode of it is in use. */
  find(ino: number): InodePage | undefined {
    const number = Math.floor(ino / PAGE_INODES);
    if (number !== this.lastNumber) {
      this.lastPage = this.pages.get(number);
      this.lastNumber = number;
    }
    return this.lastPage;
  }

  /** The page that holds `ino`, made when it is missing. */
  make(ino: number): InodePage {
    const found = this.find(ino);
    if (found !== undefined) return found;
    const page = new InodePage();
    this.pages.set(this.lastNumber, page);
    this.lastPage = page;
    return page;
  }

  /** File type of an inode, 0 when it is free, DAMAGED when its record is. */
  typeOf(ino: number): number {
    return this.find(ino)?.type[InodeMap.slot(ino)] ?? 0;
  }

  /** Numbers of the inodes in use or damaged, ascending. */
  *numbers(): Generator<number> {
    for (const number of [...this.pages.keys()].sort((a, b) => a - b)) {
      const page = this.pages.get(number);
      if (page === undefined) continue;
      for (let slot = 0; slot < PAGE_INODES; slot++) {
        if (page.type[slot] !== 0) yield number * PAGE_INODES + slot;
      }
    }
  }
}
