import { closeSync, constants, fchmodSync, fchownSync, fstatSync, fsyncSync, ftruncateSync, linkSync, lstatSync, opendirSync, openSync, type Stats, unlinkSync } from 'node:fs';
import { FsError } from '../base/errno.js';
import { hasOthers, MARKER, markerOf, markerText, openDirectory, placeIn } from './directory.js';
import { attempt } from './host-errors.js';
import { type HostFileStatus, parseRegionName, type RegionInspection, type RegionPlace } from './inspection.js';

const PERMISSIONS = 0o7777;

/** The region directory on a filesystem of the host, opened to be looked at. */
export class HostInspection implements RegionInspection {
  private constructor(
    readonly path: string,
    readonly owners: readonly number[],
    private readonly fd: number,
  ) {}

  /** Opens a directory and finds out whether it is that of the volume with this UUID. */
  static find(path: string, uuid: Uint8Array, owners: readonly number[]): RegionPlace & { readonly inspection: HostInspection | null } {
    const without = (reason: string, foreign: boolean): RegionPlace & { readonly inspection: null } => ({ inspection: null, reason, foreign });
    let fd: number;
    try {
      fd = openDirectory(path);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return without(error.code === 'ENOENT' ? `the region directory ${path} is missing` : error.message, false);
    }
    const inspection = new HostInspection(path, owners, fd);
    try {
      const marker = markerText(fd) ?? '';
      if (marker === markerOf(uuid)) return { inspection, reason: '', foreign: false };
      const empty = marker === '' && !hasOthers(fd);
      inspection.close();
      if (empty) return without(`the region directory ${path} is empty`, false);
      if (marker !== '') return without(`the region directory ${path} belongs to another volume`, true);
      return without(`${path} has no file '${MARKER}' that says whose region directory it is`, true);
    } catch (error) {
      inspection.close();
      if (!(error instanceof FsError)) throw error;
      return without(`the region directory ${path} can't be read: ${error.message}`, false);
    }
  }

  directory(to: HostFileStatus): void {
    fill(to, attempt(`look at ${this.path}`, () => fstatSync(this.fd)));
  }

  *names(): Generator<string> {
    const directory = attempt(`read ${this.path}`, () => opendirSync(placeIn(this.fd, '')));
    try {
      for (;;) {
        const entry = attempt(`read ${this.path}`, () => directory.readSync());
        if (entry === null) return;
        if (parseRegionName(entry.name) !== null) yield entry.name;
      }
    } finally {
      directory.closeSync();
    }
  }

  status(name: string, to: HostFileStatus): boolean {
    const status = attempt(`look at ${this.path}/${name}`, () => lstatSync(this.place(name), { throwIfNoEntry: false }));
    if (status === undefined) return false;
    fill(to, status);
    return true;
  }

  link(name: string, second: string): void {
    attempt(`give ${this.path}/${name} the name ${second}`, () => {
      linkSync(this.place(name), this.place(second));
      fsyncSync(this.fd);
    });
  }

  remove(name: string): void {
    attempt(`remove ${this.path}/${name}`, () => {
      unlinkSync(this.place(name));
      fsyncSync(this.fd);
    });
  }

  cut(name: string, size: number): void {
    attempt(`cut ${this.path}/${name}`, () => {
      const fd = openSync(this.place(name), constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        ftruncateSync(fd, size);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  restrict(name: string | null, uid: number, mode: number): void {
    const place = this.place(name ?? '');
    attempt(`change owner and mode of ${this.path}/${name ?? ''}`, () => {
      // A host file is known to be a regular one; what it is now is not followed.
      const fd = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const { uid: owner, gid } = fstatSync(fd);
        if (owner !== uid) fchownSync(fd, uid, gid);
        fchmodSync(fd, mode);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  close(): void {
    closeSync(this.fd);
  }

  private place(name: string): string {
    return placeIn(this.fd, name);
  }
}

function fill(to: HostFileStatus, status: Stats): void {
  to.isFile = status.isFile();
  to.size = status.size;
  to.mode = status.mode & PERMISSIONS;
  to.uid = status.uid;
  to.links = status.nlink;
}
