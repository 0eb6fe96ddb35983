import type { Ino } from '../base/units.js';

/**
 * Which files programs have mapped straight from the medium. Blocks of such a file may be stored to at any moment, so they are not
 * freed, and what they hold is changed in place only.
 */
export interface PinnedFiles {
  isPinned(ino: Ino): boolean;
  /**
   * The inode that takes the written blocks that leave a file, 0: nobody has mapped it, they are free at once. A pinned file whose
   * blocks are to leave has one: it was made before the transaction.
   */
  keeperOf(ino: Ino): Ino | 0;
}

export const NOTHING_PINNED: PinnedFiles = { isPinned: () => false, keeperOf: () => 0 };
