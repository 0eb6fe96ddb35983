/** How the processes of a mount end. */
export const Exit = {
  /** Unmounted, the volume is closed. */
  done: 0,
  /** Of a server: unmounted, but the volume could not be closed cleanly. No code that node ends with by itself. */
  unclean: 33,
  /** The volume could not be opened or mounted, or not be closed cleanly. */
  notMounted: 32,
  /** FS_IOC_SHUTDOWN: nothing was flushed or closed, as after a crash. */
  shutDown: 34,
  /** A failure that nobody handled, or more of them than a supervisor tries to mend. */
  crashed: 70,
  /** Ended at once by a second signal. */
  impatient: 130,
} as const;
