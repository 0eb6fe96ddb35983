/**
 * Between the daemon and the way requests of the kernel reach it. Two transports implement it: `devfuse` (raw
 * /dev/fuse, the default) and `fuse-native` (libfuse 2). A transport is given the volume
 * (FileSystemOperations) and {@link MountSettings} when it is made; it owns neither, and the daemon closes the volume
 * after `serve` has ended.
 */
export interface Transport {
  /**
   * Serves requests until the filesystem is no longer mounted or `stop` is called; resolves with the reason.
   * Rejects when the transport itself fails; a failed request is not a failure of the transport.
   */
  serve(): Promise<ServeEnd>;

  /** Ends `serve` at the next request boundary: what the kernel has queued already is answered first, for at most `graceMs`. */
  stop(graceMs: number): void;

  /**
   * Gives back what the transport holds of the kernel (the device), once `serve` has ended. If the filesystem is
   * still mounted, those who use it get ENOTCONN from now on. May be called at any time, and twice.
   */
  close(): void;
}

/** A transport that mounts by itself; with `devfuse` that is the supervisor's. */
export interface MountingTransport extends Transport {
  /**
   * Attaches the volume to the directory. From then on the kernel may send requests, which wait until `serve` is called.
   * Throws FsError with a message of one line: ENODEV (no /dev/fuse), EACCES or EPERM, ENOENT or ENOTDIR (mount
   * point), EBUSY, EOPNOTSUPP (a part is not installed).
   */
  mount(): Promise<void>;
}

export type ServeEnd =
  /** The kernel ended it: umount(2), or the connection was aborted. */
  | 'unmounted'
  /** `stop` was called. */
  | 'stopped'
  /** FS_IOC_SHUTDOWN: nothing more is written, as after a crash. */
  | 'shut down';

/** What a mount is asked for, as far as a transport must know. */
export interface MountSettings {
  /** First column of /proc/mounts: the absolute path of the image, or what `fsname=` says. */
  readonly source: string;
  /** Absolute path of the mount point. */
  readonly directory: string;
  /** Filesystem type after `fuse.`. */
  readonly subtype: string;
  readonly readOnly: boolean;
  /** Others than the one who mounts may use it. */
  readonly allowOther: boolean;
  /** Flags that the kernel handles alone: nosuid, nodev, noexec, noatime, nodiratime, relatime, strictatime, sync, dirsync. */
  readonly flags: readonly string[];
  /** Largest READ in bytes, 0 for the transport's own limit. */
  readonly maxRead: number;
  /** No page cache: every read and write of a program reaches the daemon. */
  readonly directIo: boolean;
  /** The kernel checks access with ACLs; without it there are none to be set or seen. */
  readonly acls: boolean;
  /** Microseconds to look out for the next request before sleeping, 0: none. */
  readonly spinMicroseconds: number;
  /** Every request is logged. */
  readonly debug: boolean;
}
