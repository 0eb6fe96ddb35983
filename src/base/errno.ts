/** Error numbers of Linux (asm-generic), as user space and the FUSE protocol know them. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  ENOTCONN: 107,
  ESTALE: 116,
  EUCLEAN: 117,
} as const;

export type ErrnoName = keyof typeof Errno;

const nameByNumber = new Map<number, ErrnoName>(
  (Object.entries(Errno) as [ErrnoName, number][]).map(([name, number]) => [number, name]),
);

/** The symbolic name of an error number, or `errno N` for one this program does not use. */
export function errnoName(errno: number): string {
  return nameByNumber.get(errno) ?? `errno ${String(errno)}`;
}

/**
 * A failure with an error number: of a request (ENOENT, ENOSPC), of the medium (EIO), of the system.
 * Nothing else may reach a program that uses the volume.
 */
export class FsError extends Error {
  override readonly name = 'FsError';
  /** Positive Linux error number. */
  readonly errno: number;

  constructor(code: ErrnoName | number, message?: string) {
    const errno = typeof code === 'number' ? code : Errno[code];
    super(message ?? errnoName(errno));
    this.errno = errno;
  }

  get code(): string {
    return errnoName(this.errno);
  }
}

/** Throws an {@link FsError}. */
export function fail(code: ErrnoName, message?: string): never {
  throw new FsError(code, message);
}

/** How node words what a system call about a path came to. */
const NODE_MESSAGE = /^E[A-Z0-9]+: (?<reason>.*), [a-z]+ '(?<path>.*)'$/s;

/** The text of a failure for people; its stack if it is a bug. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const expected = error instanceof FsError || 'errno' in error;
  if (!expected) return error.stack ?? error.message;
  const { path, reason } = NODE_MESSAGE.exec(error.message)?.groups ?? {};
  return path === undefined || reason === undefined ? error.message : `${path}: ${reason}`;
}
