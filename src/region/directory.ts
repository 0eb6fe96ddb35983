import { closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, opendirSync, readSync, writeSync } from 'node:fs';
import { fail } from '../base/errno.js';
import { asHostFailure, attempt, codeOf } from './host-errors.js';

/** The file that says whose directory it is (doc/FORMAT.md, "Regions"). */
export const MARKER = 'volume';
const GROUP_OR_OTHER_WRITE = 0o022;
const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC } = constants;

/** Whether one who uses a region directory may trust it: nobody but its owner can put something in it. */
export function isPrivate({ mode }: { readonly mode: number }): boolean {
  return (mode & GROUP_OR_OTHER_WRITE) === 0;
}

/** Makes a directory of mode 0700, durably. Returns false if there is something of that name already. */
export function makeDirectory(directory: string): boolean {
  try {
    mkdirSync(directory, 0o700);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw asHostFailure(`make the region directory ${directory}`, error);
    return false;
  }
  attempt(`make the region directory ${directory}`, () => {
    const parent = openSync(`${directory}/..`, O_RDONLY | O_DIRECTORY);
    fsyncSync(parent);
    closeSync(parent);
  });
  return true;
}

export function openDirectory(directory: string): number {
  return attempt(`open the region directory ${directory}`, () => openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

/** Opens the directory to use it. EACCES if others could write to it. */
export function enterDirectory(directory: string): number {
  const fd = openDirectory(directory);
  const status = fstatSync(fd);
  if (status.uid === process.geteuid?.() && isPrivate(status)) return fd;
  closeSync(fd);
  return fail('EACCES', `the region directory ${directory} must belong to the user who mounts, and nobody else may write to it`);
}

/** What the marker of a volume's directory holds. */
export function markerOf(uuid: Uint8Array): string {
  return `${Buffer.from(uuid).toString('hex')}\n`;
}

/** What the marker of an open directory holds; null if it is missing or empty (a crash came before its contents) and there is nothing else. EIO if there is. */
export function readMarker(fd: number, directory: string): string | null {
  const text = markerText(fd);
  if (text !== null && text !== '') return text;
  if (hasOthers(fd)) fail('EIO', `${directory} is no region directory: it has no file '${MARKER}', but others`);
  return null;
}

/** The marker's text, null if there is none. */
export function markerText(directory: number): string | null {
  let fd: number;
  try {
    fd = openSync(placeIn(directory, MARKER), O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw asHostFailure('read the region directory', error);
  }
  try {
    const bytes = Buffer.alloc(64);
    return bytes.toString('latin1', 0, attempt('read the region directory', () => readSync(fd, bytes)));
  } finally {
    closeSync(fd);
  }
}

/** Makes an open directory that of a volume, durably. */
export function markDirectory(directory: number, uuid: Uint8Array): void {
  attempt('mark the region directory', () => {
    const fd = openSync(placeIn(directory, MARKER), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      writeSync(fd, markerOf(uuid));
      fsyncSync(fd);
      fsyncSync(directory);
    } finally {
      closeSync(fd);
    }
  });
}

/** Path of a name in an open directory, whatever is mounted over that later. */
export function placeIn(directory: number, name: string): string {
  return `/proc/self/fd/${String(directory)}/${name}`;
}

/** Whether there is anything but the marker. */
export function hasOthers(directory: number): boolean {
  return attempt('read the region directory', () => {
    const entries = opendirSync(placeIn(directory, ''));
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) if (entry.name !== MARKER) return true;
      return false;
    } finally {
      entries.closeSync();
    }
  });
}
