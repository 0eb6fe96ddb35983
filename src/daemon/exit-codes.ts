/** How the processes of a mount end. */
export const Exit = {
  /** Unmounted, the volume is closed. */
  done: 0,
  /** Unmounted, but the volume could not be closed cleanly. */
  unclean: 1,
  /** The volume could not be opened or mounted. */
  notMounted: 32,
  /** FS_IOC_SHUTDOWN: nothing was flushed or closed, as after a crash. */
  shutDown: 3,
  /** A failure that nobody handled, or more of them than a supervisor tries to mend. */
  crashed: 70,
  /** Ended at once by a second signal. */
  impatient: 130,
} as const;
