/**
 * The mutants that no workload can catch, because with them the volume is as correct as without. Why is said in doc/CRASH.md, "Mutants that change nothing", which
 * has the same names in the same order; a test compares the two.
 */
const RECOVERED = 'fence of recoverJournal in journal/recovery';
const NOTED = 'fence of FileAllocation.zeroEdges in file/allocation';

export const arguedMutants: readonly string[] = [
  'without persist of persistRecord in journal/recovery #1',
  'without persist of persistRecord in journal/recovery #2',
  `swap persist of persistRecord in journal/recovery #2 and ${RECOVERED}`,
  `swap store of applyEntry in journal/recovery and ${RECOVERED}`,
  `swap ${RECOVERED} and store of FileContent.fillBlocks in file/content`,
  `swap ${RECOVERED} and zero of FileContent.fillBlocks in file/content #1`,
  `swap ${RECOVERED} and store of FileContent.fillMapped in file/content`,
  `swap ${RECOVERED} and store of FileContent.overwrite in file/content`,
  `swap ${RECOVERED} and zero of FileContent.zeroTail in file/content`,
  `swap ${RECOVERED} and zero of edge in file/allocation, fallocate at mount`,
  'without fence of FileSystem.sync in fs/filesystem',
  'swap store of Journal.storeLines in journal/journal and fence of FileSystem.sync in fs/filesystem',
  `swap store of Journal.storeLines in journal/journal and ${NOTED}`,
  `swap ${NOTED}, fallocate at mount and zero of FileContent.zeroTail in file/content, fallocate at mount`,
];
