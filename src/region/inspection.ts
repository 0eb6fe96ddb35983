/** What lstat(2) says of a name in a region directory; filled in, and reused by its owner. */
export class HostFileStatus {
  /** A regular file; other things are nobody's data. */
  isFile = false;
  /** Bytes. */
  size = 0;
  /** Permission bits, 07777. */
  mode = 0;
  uid = 0;
  /** Names of the file. */
  links = 0;
}

/** A region directory as fsck sees it: names, without what is in the files. Changes are durable on return. All calls throw FsError with what the host says. */
export interface RegionInspection {
  readonly path: string;
  /** Users whose directory it may be; the first is the one that a repair gives it to. */
  readonly owners: readonly number[];
  directory(to: HostFileStatus): void;
  /** Names that can be a host file's, one after the other; what is added or removed meanwhile may come or not. */
  names(): Iterable<string>;
  /** False if there is no such name. */
  status(name: string, to: HostFileStatus): boolean;
  /** A second name for a host file. */
  link(name: string, second: string): void;
  remove(name: string): void;
  /** Cuts a host file to this size. */
  cut(name: string, size: number): void;
  /** Owner and permission bits of a host file; null: of the directory. */
  restrict(name: string | null, uid: number, mode: number): void;
}

/** Where a volume's region directory is, and whether it can be looked at. */
export interface RegionPlace {
  /** Null if it can't be. */
  readonly inspection: RegionInspection | null;
  /** Why, for people; '' if it can be. */
  readonly reason: string;
  /** Something is there, but not this volume's region directory. */
  readonly foreign: boolean;
}

/** Finds the region directory of a volume with this UUID, whose superblock names this path (null: none). */
export type FindRegions = (uuid: Uint8Array, recorded: string | null) => RegionPlace;

/** Inode number and generation of a host file's name; null if it is none. */
export function parseRegionName(name: string): { ino: number; generation: number } | null {
  const match = /^([0-9a-f]{16})-([0-9a-f]{8})$/.exec(name);
  if (match === null) return null;
  const ino = Number.parseInt(match[1] ?? '', 16);
  return Number.isSafeInteger(ino) ? { ino, generation: Number.parseInt(match[2] ?? '', 16) } : null;
}
