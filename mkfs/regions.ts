import { closeSync, readdirSync, realpathSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { FsError } from '../src/base/errno.js';
import { REGIONS_SIZE } from '../src/format/layout.js';
import { isRegionDirectory } from '../src/format/superblock.js';
import { enterDirectory, makeDirectory, markDirectory, MARKER, placeIn } from '../src/region/directory.js';

/** The region directory that is to be recorded: absolute, and without symbolic links as it is now. */
export interface PlannedRegions {
  readonly path: string;
  readonly exists: boolean;
}

/**
 * Looks at the directory and refuses, with an FsError that says why in one line, what can't be one: something else than a directory, one that has something in it (it may
 * be another volume's), one that others may write to, one in a directory that is missing, a path that is too long. Nothing is changed.
 */
export function planRegions(given: string): PlannedRegions {
  if (given === '') throw new FsError('EINVAL', 'bad region directory: an empty path');
  const { path, exists } = locate(resolve(given));
  const bytes = Buffer.byteLength(path, 'utf8');
  if (bytes > REGIONS_SIZE) throw new FsError('ENAMETOOLONG', `bad region directory: its path has ${String(bytes)} bytes, at most ${String(REGIONS_SIZE)} fit`);
  if (!isRegionDirectory(path)) throw new FsError('EINVAL', `bad region directory ${JSON.stringify(path)}: the root directory, control characters, or bytes that are not UTF-8`);
  if (exists) {
    closeSync(enterDirectory(path));
    const [first] = readdirSync(path);
    if (first === MARKER) throw new FsError('EEXIST', `the region directory ${path} belongs to a volume already; remove it, or name another`);
    if (first !== undefined) throw new FsError('ENOTEMPTY', `the region directory ${path} is not empty; remove what is in it, or name another`);
  }
  return { path, exists };
}

function locate(path: string): PlannedRegions {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status !== undefined) {
    if (!status.isDirectory()) throw new FsError('ENOTDIR', `the region directory ${path} is something else than a directory`);
    return { path: realpathSync(path), exists: true };
  }
  const parent = dirname(path);
  if (statSync(parent, { throwIfNoEntry: false })?.isDirectory() !== true) throw new FsError('ENOENT', `the region directory ${path} can't be made: no such directory ${parent}`);
  return { path: join(realpathSync(parent), basename(path)), exists: false };
}

/** Makes the directory that of the volume, durably. Returns how to bring it back to what it was. */
export function prepareRegions({ path }: PlannedRegions, uuid: Uint8Array): () => void {
  const made = makeDirectory(path);
  const undo = (directory: number): void => {
    unlinkSync(placeIn(directory, MARKER));
    if (made) rmdirSync(path);
  };
  const directory = enterDirectory(path);
  try {
    markDirectory(directory, uuid);
  } catch (error) {
    undo(directory);
    throw error;
  } finally {
    closeSync(directory);
  }
  return () => {
    const again = enterDirectory(path);
    undo(again);
    closeSync(again);
  };
}
