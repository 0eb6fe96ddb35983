import { LRUCache } from 'lru-cache';
import { FsError } from '../../base/errno.js';
import { asIno, type Ino } from '../../base/units.js';
import type { FileSystemOperations } from '../../fs/operations.js';
import { Attributes, Name } from '../../fs/types.js';
import { FileType } from '../flags.js';

const ROOT = asIno(1);
const DIRECTORIES_MAX = 4096;
/** Longer paths are walked each time, so that the cache's memory is bounded. */
const CACHED_PATH_MAX = 4096;
const EILSEQ = 84;
/** What fuse-native puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = '\ufffd';

/**
 * Finds inodes by path. Only directories are remembered (path → inode), so only what moves or removes a directory
 * invalidates anything; the last name of a path is looked up each time.
 *
 * Invariant: a remembered path leads to that directory now. libfuse never lets a rename run beside a request below it,
 * and requests are served one after the other.
 */
export class Paths {
  /** The last name of the path that `parentOf` took apart; valid until its next call. */
  readonly name = new Name();
  private readonly directories = new LRUCache<string, Ino>({ max: DIRECTORIES_MAX });
  private readonly attributes = new Attributes();

  constructor(private readonly fs: FileSystemOperations) {}

  /** The inode of a path. Throws FsError ENOENT, ENOTDIR, ENAMETOOLONG, EILSEQ (a name that is not UTF-8). */
  inode(path: string): Ino {
    if (path === '/') return ROOT;
    const parent = this.parentOf(path);
    return this.child(parent, this.name);
  }

  /** The directory of the path's last name, which it leaves in `target`. Throws as `inode` does. */
  parentOf(path: string, target: Name = this.name): Ino {
    const slash = path.lastIndexOf('/');
    const parent = this.directory(path.slice(0, slash));
    setName(target, path.slice(slash + 1));
    return parent;
  }

  /** Whether the path is a directory, and so a rename of it moves others. */
  isDirectory(ino: Ino): boolean {
    this.fs.getAttributes(ino, this.attributes);
    return (this.attributes.mode & FileType.MASK) === FileType.DIRECTORY;
  }

  /** The directory at this path has been removed; there was nothing in it. */
  removed(path: string): void {
    this.directories.delete(path);
  }

  /** A directory has been moved, and all paths below it. */
  moved(): void {
    this.directories.clear();
  }

  /** `path`: without a slash at its end; '' is the root. */
  private directory(path: string): Ino {
    if (path === '') return ROOT;
    const known = this.directories.get(path);
    if (known !== undefined) return known;
    return this.walk(path);
  }

  private walk(path: string): Ino {
    let ino = ROOT;
    let start = 1;
    while (start <= path.length) {
      const slash = path.indexOf('/', start);
      const end = slash < 0 ? path.length : slash;
      setName(this.name, path.slice(start, end));
      ino = this.child(ino, this.name);
      if (!this.isDirectory(ino)) throw new FsError('ENOTDIR');
      if (end <= CACHED_PATH_MAX) this.directories.set(path.slice(0, end), ino);
      start = end + 1;
    }
    return ino;
  }

  private child(parent: Ino, name: Name): Ino {
    const ino = this.fs.lookup(parent, name);
    if (ino === 0) throw new FsError('ENOENT');
    return ino;
  }
}

function setName(name: Name, text: string): void {
  const bytes = bytesOf(text);
  name.set(bytes, 0, bytes.length);
}

/**
 * The bytes of a name or target. Throws FsError EILSEQ if they were not UTF-8: fuse-native has replaced some then, and the rest
 * could be the name of another file.
 */
export function bytesOf(text: string): Buffer {
  if (text.includes(REPLACEMENT)) throw new FsError(EILSEQ, 'transport=fuse-native only knows names in UTF-8');
  return Buffer.from(text);
}
