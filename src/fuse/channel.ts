import type { Ranges } from '../fs/types.js';

/** The way back to the kernel: what a session needs of the device. */
export interface Channel {
  /** Sends bytes[offset … offset + length), a whole message with its header. 0, or −errno: −ENOENT when the request was interrupted. */
  reply(bytes: Uint8Array, offset: number, length: number): number;
  /**
   * Sends header[0 … headerLength) and then the ranges of the medium, from the mapping itself. 0, or −errno: −EIO when
   * the medium can't deliver them (nothing was sent then).
   */
  replyMapped(header: Uint8Array, headerLength: number, ranges: Ranges): number;
  /** Tells the kernel of a host file that open files may be served from; returns its id, > 0, or −errno: −EPERM without CAP_SYS_ADMIN, −ELOOP where it lies on a stacked filesystem. */
  openBacking?(descriptor: number): number;
  /** Whether openBacking would work with an ordinary file: 0 or −errno. */
  tryBacking?(): number;
  /** The kernel keeps the file for those who have it open. */
  closeBacking?(id: number): void;
}
