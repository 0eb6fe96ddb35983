import { errnoName, Errno, FsError } from '../../base/errno.js';
import type { LogFunction } from '../log.js';
import type { NativeOperations, Reply } from './library.js';
import type { PathOperations } from './operations.js';

/** Kinds of failures remembered so that each is reported once. */
const REPORTED_KINDS_MAX = 256;

/** Answers the calls of fuse-native: each exactly once, failures with −errno; those that are ours or the medium's are reported. */
export class Serving {
  readonly operations: NativeOperations;
  /** The request being served, for what fuse-native does not pass on. */
  request: Buffer = Buffer.alloc(0);
  /** When the last request was served, by performance.now(). */
  lastServedMs = -Infinity;
  private closed = false;
  private readonly reported = new Set<string>();

  /** `served` is called after each request. */
  constructor(
    private readonly files: PathOperations,
    private readonly debug: boolean,
    private readonly log: LogFunction,
    private readonly served: () => void,
  ) {
    this.operations = this.table(files);
  }

  /** The filesystem is not asked any more: all that comes is answered with ENOTCONN. */
  close(): void {
    this.closed = true;
  }

  /** Reports a failure that is ours or the medium's, once per kind. */
  report(kind: string, message: string): void {
    if (this.reported.has(kind)) return;
    if (this.reported.size >= REPORTED_KINDS_MAX) this.reported.clear();
    this.reported.add(kind);
    this.log('error', message);
  }

  private table(files: PathOperations): NativeOperations {
    const serve = this.serve.bind(this);
    /** For calls that answer nothing but success. */
    const run = (name: string, path: string, reply: Reply, call: () => void): void => {
      this.serve(name, path, reply, () => {
        call();
        reply(0);
      });
    };
    return {
      getattr: (path, reply) => serve('getattr', path, reply, () => reply(0, files.stat(path))),
      statfs: (path, reply) => serve('statfs', path, reply, () => reply(0, files.statistics())),
      readdir: (path, reply) =>
        serve('readdir', path, reply, () => {
          const { names, stats } = files.list(path);
          reply(0, names, stats);
        }),
      readlink: (path, reply) => serve('readlink', path, reply, () => reply(0, files.readlink(path))),
      open: (path, _flags, reply) => serve('open', path, reply, () => reply(0, files.open(path))),
      create: (path, mode, reply) => serve('create', path, reply, () => reply(0, files.create(path, mode))),
      read: (path, handle, buffer, length, offset, reply) => serve('read', path, reply, () => reply(files.read(handle, buffer, length, offset))),
      write: (path, handle, buffer, length, offset, reply) => serve('write', path, reply, () => reply(files.write(handle, buffer, length, offset))),
      release: (path, handle, reply) => run('release', path, reply, () => files.release(handle)),
      fsync: (path, _dataOnly, handle, reply) => run('fsync', path, reply, () => files.fsync(handle)),
      fsyncdir: (path, _dataOnly, _handle, reply) => run('fsyncdir', path, reply, () => files.syncDirectory(path)),
      truncate: (path, size, reply) => run('truncate', path, reply, () => files.truncate(path, size)),
      utimens: (path, atime, _copy, reply) => run('utimens', path, reply, () => files.setTimes(path, this.request, atime)),
      chown: (path, uid, gid, reply) => run('chown', path, reply, () => files.chown(path, uid, gid)),
      chmod: (path, mode, reply) => run('chmod', path, reply, () => files.chmod(path, mode)),
      mknod: (path, mode, device, reply) => run('mknod', path, reply, () => files.mknod(path, mode, device)),
      mkdir: (path, mode, reply) => run('mkdir', path, reply, () => files.mkdir(path, mode)),
      symlink: (target, path, reply) => run('symlink', path, reply, () => files.symlink(target, path)),
      link: (path, newPath, reply) => run('link', path, reply, () => files.link(path, newPath)),
      unlink: (path, reply) => run('unlink', path, reply, () => files.unlink(path)),
      rmdir: (path, reply) => run('rmdir', path, reply, () => files.rmdir(path)),
      rename: (path, newPath, reply) => run('rename', path, reply, () => files.rename(path, newPath)),
    };
  }

  /** `call` does the work and replies at its very end, so that whatever fails before is answered here. */
  private serve(name: string, path: string, reply: (result: number) => void, call: () => void): void {
    if (this.debug) this.log('debug', `${name} ${path}`);
    try {
      if (this.closed) throw new FsError('ENOTCONN');
      call();
    } catch (error) {
      reply(-this.errnoOf(error, `${name} of ${path}`));
    }
    this.lastServedMs = performance.now();
    this.served();
  }

  private errnoOf(error: unknown, what: string): number {
    if (!(error instanceof FsError)) {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.report(stack, `${what} failed; this is a bug of nvmfs: ${stack}`);
      return Errno.EIO;
    }
    const { errno } = error;
    if (this.debug) this.log('debug', `${what}: ${errnoName(errno)}`);
    const media = errno === Errno.EIO || errno === Errno.EUCLEAN || errno === Errno.EPROTO;
    if (!media) return errno;
    this.report(error.message, `${what}: ${error.message}`);
    this.files.noteDamage(error.message);
    return Errno.EIO;
  }
}
