import { FsError } from '../../base/errno.js';
import type { Ino } from '../../base/units.js';
import type { FileSystemOperations } from '../../fs/operations.js';

/** Open files: small numbers from 1 for libfuse (it has 32 bits for them, and takes 0 for none). Each is a hold of its inode. */
export class Handles {
  private readonly inodes: (Ino | 0)[] = [0];
  private readonly free: number[] = [];

  constructor(private readonly fs: FileSystemOperations) {}

  open(ino: Ino): number {
    this.fs.hold(ino);
    const handle = this.free.pop() ?? this.inodes.length;
    this.inodes[handle] = ino;
    return handle;
  }

  /** Throws FsError EBADF for one that is not open. */
  inode(handle: number): Ino {
    const ino = this.inodes[handle] ?? 0;
    if (ino === 0) throw new FsError('EBADF');
    return ino;
  }

  close(handle: number): void {
    const ino = this.inode(handle);
    this.inodes[handle] = 0;
    this.free.push(handle);
    this.fs.release(ino, 1);
  }
}
