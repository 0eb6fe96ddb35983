import { errnoName } from '../base/errno.js';
import type { Ino } from '../base/units.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { CloseResult, OpenedFile } from '../fs/types.js';
import type { Backings } from './backings.js';
import type { Channel } from './channel.js';
import { OpenReply } from './flags.js';
import type { Handles } from './handles.js';

export interface OpenFilesOptions {
  /** No page cache for any file. */
  readonly directIo: boolean;
  /** Whether the kernel has agreed to passthrough. */
  readonly negotiated: () => boolean;
  /** Told once why passthrough does not work after all. */
  readonly log: (message: string) => void;
}

/**
 * How the kernel serves each open file: from its page cache, by asking us each time (direct), or from a host file without us (passthrough). The last
 * excludes the others as long as any file of the inode is open, so what the first open decides holds for all.
 */
export class OpenFiles {
  /** Of the last file opened: its number, FOPEN bits, and backing id (0: none). */
  handle = 0;
  flags = 0;
  backingId = 0;
  private readonly opened = new OpenedFile();
  /** Why the kernel takes no host file; undefined: not tried yet. */
  private refusal: string | null | undefined = undefined;

  constructor(
    private readonly fs: FileSystemOperations,
    private readonly channel: Channel,
    private readonly backings: Backings,
    private readonly handles: Handles,
    private readonly options: OpenFilesOptions,
  ) {
    fs.serveRegions(() => this.obstacle());
  }

  /** Opens a file; `handle`, `flags` and `backingId` are for the answer. Throws what openFile does. */
  open(ino: Ino): void {
    const { opened } = this;
    this.fs.openFile(ino, opened);
    this.backingId = this.backings.get(ino);
    if (this.backingId === 0 && opened.descriptor >= 0 && opened.first && this.obstacle() === null) this.openBacking(ino);
    const { handles } = this;
    handles.open(ino, this.backingId === 0 && !opened.direct && !this.options.directIo);
    this.handle = handles.handle;
    this.flags = this.backingId === 0 ? handles.flags : OpenReply.PASSTHROUGH;
  }

  /** After the answer; `result`: what the channel said. The kernel releases nothing that it did not take. */
  answered(ino: Ino, result: number): void {
    if (result < 0) this.close(ino, this.handle);
    else this.handles.opened(ino);
  }

  /** The last user of an open file has closed it. True when nobody has the inode open any more and the kernel had better forget it: its data is to be moved. */
  close(ino: Ino, handle: number): boolean {
    this.handles.release(handle, ino);
    const result = this.fs.closeFile(ino);
    if (result !== CloseResult.open) this.closeBacking(ino);
    return result === CloseResult.held;
  }

  isPassthrough(ino: Ino): boolean {
    return this.backings.get(ino) !== 0;
  }

  /** No page cache for any file. */
  get directIo(): boolean {
    return this.options.directIo;
  }

  /** After a takeover: ids of files that nobody has open were of an open that was never answered. */
  closeUnused(isOpen: (ino: Ino) => boolean): void {
    for (const ino of [...this.backings.inodes()]) if (!isOpen(ino)) this.closeBacking(ino);
  }

  /** Why files can't be served from host files, for people. */
  obstacle(): string | null {
    if (this.refusal !== undefined) return this.refusal;
    if (this.channel.openBacking === undefined) return (this.refusal = 'this transport serves all files itself');
    if (!this.options.negotiated()) return (this.refusal = 'the kernel has no FUSE passthrough (that needs Linux 6.9 with CONFIG_FUSE_PASSTHROUGH)');
    const result = this.channel.tryBacking?.() ?? 0;
    this.refusal = result < 0 ? describe(result) : null;
    return this.refusal;
  }

  private openBacking(ino: Ino): void {
    const id = this.channel.openBacking?.(this.opened.descriptor) ?? 0;
    if (id > 0) {
      this.backings.set(ino, id);
      this.backingId = id;
      return;
    }
    this.refusal = describe(id);
    this.options.log(`DAX files are served by the daemon, not by the kernel alone: ${this.refusal}`);
  }

  /** The id goes from the table last: a server that takes over in between closes it a second time, which does no harm. */
  private closeBacking(ino: Ino): void {
    const id = this.backings.get(ino);
    if (id === 0) return;
    this.channel.closeBacking?.(id);
    this.backings.set(ino, 0);
  }
}

function describe(result: number): string {
  const code = errnoName(-result);
  if (code === 'EPERM') return 'the kernel lets only a daemon with CAP_SYS_ADMIN serve files from host files';
  if (code === 'ELOOP') return 'the region directory is on a filesystem that is stacked on another one';
  return `the kernel does not serve files from the region directory: ${code}`;
}
