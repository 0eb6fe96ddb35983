import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import type { MemoryVolume } from '../helpers/memory-volume.js';

const SYMLINKS_MAX = 40;
const TARGET_MAX = 4095;

/** Where a path leads. */
export interface Place {
  parent: Ino;
  /** The last component; one character per byte. */
  name: string;
  /** 0 when the name is not there. */
  ino: Ino | 0;
}

/** Walks relative paths on the engine as the kernel does: component by component, through symbolic links. */
export class Walker {
  constructor(
    private readonly volume: MemoryVolume,
    readonly cwd: Ino,
  ) {}

  /** Throws FsError: ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP; the last name may be missing. */
  find(path: string, follow: boolean): Place {
    const place: Place = { parent: this.cwd, name: '.', ino: this.cwd };
    const rest = componentsOf(path);
    if (path === '') throw new FsError('ENOENT');
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift() as string;
      if (place.ino === 0) throw new FsError('ENOENT');
      if (this.typeOf(place.ino) !== FileType.directory) throw new FsError('ENOTDIR');
      place.parent = place.ino;
      place.name = name;
      place.ino = this.volume.lookup(place.parent, name);
      if (place.ino === 0 || this.typeOf(place.ino) !== FileType.symlink || (rest.length === 0 && !follow)) continue;
      links += 1;
      if (links > SYMLINKS_MAX) throw new FsError('ELOOP');
      rest.unshift(...componentsOf(this.readlink(place.ino)));
      place.ino = place.parent;
    }
    return place;
  }

  /** As find, for what must be there. */
  existing(path: string, follow: boolean): Ino {
    const { ino } = this.find(path, follow);
    if (ino === 0) throw new FsError('ENOENT');
    return ino;
  }

  readlink(ino: Ino): string {
    const bytes = Buffer.alloc(TARGET_MAX);
    return bytes.toString('latin1', 0, this.volume.fs.readlink(ino, bytes, 0));
  }

  private typeOf(ino: Ino): number {
    return this.volume.attributes(ino).mode & FileType.mask;
  }
}

function componentsOf(path: string): string[] {
  if (path.startsWith('/')) throw new Error(`the engine walks relative paths only: ${path}`);
  return path.split('/').filter((name) => name !== '');
}
