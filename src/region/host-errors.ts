import { Errno, FsError } from '../base/errno.js';

const EDQUOT = 122;
/** What a program can do something about; all else is an error of the medium. */
const PASSED: readonly number[] = [Errno.ENOENT, Errno.ENXIO, Errno.EFBIG, Errno.ENOSPC, Errno.EOPNOTSUPP, Errno.EINVAL, Errno.EACCES, Errno.EROFS];

/** Makes a call of Node's; what the host refuses becomes an FsError: `can't WHAT: ERRNO`. */
export function attempt<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asHostFailure(what, error);
  }
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Of a failed call of Node's; others stay what they are. */
export function asHostFailure(what: string, error: unknown): unknown {
  if (error instanceof FsError || !(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') return error;
  return hostFailure(what, Math.abs(error.errno));
}

export function hostFailure(what: string, errno: number): FsError {
  const error = new FsError(errno);
  // A full host is a full volume.
  const known = PASSED.includes(errno) ? errno : errno === EDQUOT ? Errno.ENOSPC : Errno.EIO;
  return new FsError(known, `can't ${what}: ${error.code}`);
}
