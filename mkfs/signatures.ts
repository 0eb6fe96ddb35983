/**
 * What may already be on a medium: a table of the signatures of filesystems, partition tables, volume managers and
 * encryption, and a probe that reads nothing but the places the table names.
 */

/** Bytes that must be at a place. An address < 0 counts from the end of the medium. */
interface Mark {
  readonly at: number;
  /** latin1 text, one character per byte */
  readonly bytes: string;
}

interface Signature {
  /** What it is, for people and for --json. */
  readonly name: string;
  /** Any one of these marks is enough … */
  readonly marks: readonly Mark[];
  /** … if the bytes around it make sense, too: for marks so short that random bytes could match. */
  readonly plausible?: (read: ReadBytes) => boolean;
}

/** Reads `length` bytes at an address; null when they are outside of the medium. */
export type ReadBytes = (address: number, length: number) => Buffer | null;

/** A signature found on a medium. */
export interface FoundSignature {
  readonly name: string;
  /** Byte address of the mark. */
  readonly address: number;
  /** Length of the mark in bytes: zeroing it makes the signature vanish. */
  readonly length: number;
}

const at = (address: number, ...bytes: string[]): Mark[] => bytes.map((text) => ({ at: address, bytes: text }));
const each = (addresses: readonly number[], bytes: string): Mark[] => addresses.map((address) => ({ at: address, bytes }));
const multiples = (first: number, step: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i * step);

/** Page sizes of the machines that may have made a swap area; its mark ends the first page. */
const SWAP_PAGES = [4096, 8192, 16384, 32768, 65536] as const;
/** Four ZFS labels of 256 KiB, two at either end; the ring of uberblocks is the second half of a label. */
const ZFS_UBERBLOCKS = [...multiples(128 * 1024, 1024, 128), ...multiples(384 * 1024, 1024, 128)];
/** Disc images: volume descriptors in sectors of 2 KiB from sector 16. */
const DISC_DESCRIPTORS = multiples(16 * 2048, 2048, 16);

const SIGNATURES: readonly Signature[] = [
  { name: 'nvmfs', marks: [...at(24, 'NVMFS\r\n\x1a'), ...at(-4096 + 24, 'NVMFS\r\n\x1a')] },
  { name: 'ext2/ext3/ext4', marks: at(1024 + 0x38, '\x53\xef'), plausible: isExt },
  { name: 'xfs', marks: at(0, 'XFSB') },
  { name: 'xfs log', marks: each(multiples(0, 512, 16), '\xfe\xed\xba\xbe') },
  { name: 'btrfs', marks: at(0x10040, '_BHRfS_M') },
  { name: 'f2fs', marks: at(1024, '\x10\x20\xf5\xf2') },
  { name: 'bcachefs/bcache', marks: at(4096 + 24, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81', '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef') },
  { name: 'zfs', marks: each(ZFS_UBERBLOCKS, '\x0c\xb1\xba\0\0\0\0\0').concat(each(ZFS_UBERBLOCKS, '\0\0\0\0\0\xba\xb1\x0c')) },
  { name: 'nilfs2', marks: at(1024 + 6, '\x34\x34'), plausible: isNilfs },
  { name: 'erofs', marks: at(1024, '\xe2\xe1\xf5\xe0') },
  { name: 'squashfs', marks: at(0, 'hsqs', 'sqsh', 'qshs', 'shsq') },
  { name: 'cramfs', marks: at(0, '\x45\x3d\xcd\x28', '\x28\xcd\x3d\x45') },
  { name: 'romfs', marks: at(0, '-rom1fs-') },
  { name: 'reiserfs', marks: at(0x10034, 'ReIsErFs', 'ReIsEr2Fs', 'ReIsEr3Fs', 'ReIsEr4').concat(at(0x2034, 'ReIsErFs'), at(0x10000, 'ReIsEr4')) },
  { name: 'jfs', marks: at(0x8000, 'JFS1') },
  { name: 'gfs2', marks: at(0x10000, '\x01\x16\x19\x70') },
  { name: 'ocfs2', marks: each([1024, 2048, 4096, 8192], 'OCFSV2') },
  { name: 'minix', marks: at(1024 + 0x10, '\x7f\x13', '\x8f\x13', '\x68\x24', '\x78\x24'), plausible: isMinix },
  { name: 'ufs', marks: each([8192 + 0x55c, 65536 + 0x55c, 262144 + 0x55c], '\x54\x19\x01\0').concat(each([8192 + 0x55c, 65536 + 0x55c, 262144 + 0x55c], '\x19\x01\x54\x19')) },
  { name: 'hfs/hfs+', marks: at(1024, 'H+\0\x04', 'HX\0\x05', 'BD'), plausible: isHfs },
  { name: 'apfs', marks: at(32, 'NXSB') },
  { name: 'ntfs', marks: at(3, 'NTFS    ') },
  { name: 'exfat', marks: at(3, 'EXFAT   ') },
  { name: 'refs', marks: at(3, 'ReFS\0\0\0\0') },
  { name: 'vfat', marks: [...at(0x52, 'FAT32   ', 'MSWIN'), ...at(0x36, 'FAT12   ', 'FAT16   ', 'FAT     ', 'MSDOS')] },
  { name: 'iso9660', marks: each(DISC_DESCRIPTORS.map((a) => a + 1), 'CD001') },
  { name: 'udf', marks: each(DISC_DESCRIPTORS.map((a) => a + 1), 'NSR02').concat(each(DISC_DESCRIPTORS.map((a) => a + 1), 'NSR03')) },
  { name: 'vmfs', marks: at(0x100000, '\x0d\xd0\x01\xc0').concat(at(0x200000, '\x5e\xf1\xab\x2f')) },
  { name: 'pmfs', marks: at(2, '\xfc\xef'), plausible: isPmfs },
  { name: 'nova', marks: at(4, 'AVON') },
  { name: 'swap', marks: SWAP_PAGES.flatMap((page) => at(page - 10, 'SWAPSPACE2', 'SWAP-SPACE')) },
  { name: 'LUKS', marks: [...at(0, 'LUKS\xba\xbe'), ...each([0x4000, 0x8000, 0x10000, 0x20000, 0x40000], 'SKUL\xba\xbe')] },
  { name: 'BitLocker', marks: at(3, '-FVE-FS-') },
  { name: 'dm-integrity', marks: at(0, 'integrt\0') },
  { name: 'dm-verity', marks: at(0, 'verity\0\0') },
  { name: 'LVM2 physical volume', marks: each(multiples(0, 512, 4), 'LABELONE') },
  { name: 'Linux RAID member', marks: each([0, 4096], '\xfc\x4e\x2b\xa9'), plausible: isRaid },
  { name: 'VDO', marks: at(0, 'dmvdo001') },
  { name: 'bluestore', marks: at(0, 'bluestore block device') },
  { name: 'block translation table', marks: each([0, 4096], 'BTT_ARENA_INFO\0\0') },
  { name: 'namespace of persistent memory', marks: each([4096], 'NVDIMM_PFN_INFO\0').concat(each([4096], 'NVDIMM_DAX_INFO\0')) },
  { name: 'GPT partition table', marks: [...each([512, 4096], 'EFI PART'), ...each([-512, -4096], 'EFI PART')] },
  { name: 'MBR partition table', marks: at(510, '\x55\xaa'), plausible: isPartitionTable },
];

/**
 * The signatures on a medium of `size` bytes, in the order of the table; empty when there is none that we know.
 * `read` is asked for a few hundred small ranges.
 */
export function findSignatures(size: number, read: ReadBytes): FoundSignature[] {
  const found: FoundSignature[] = [];
  for (const { name, marks, plausible } of SIGNATURES) {
    for (const mark of marks) {
      const address = mark.at < 0 ? size + mark.at : mark.at;
      if (address < 0 || !matches(read, address, mark.bytes)) continue;
      if (plausible !== undefined && !plausible(read)) continue;
      found.push({ name, address, length: mark.bytes.length });
    }
  }
  return found;
}

/** Names of everything the table knows, for the manual and for tests. */
export function knownSignatures(): string[] {
  return SIGNATURES.map((signature) => signature.name);
}

function matches(read: ReadBytes, address: number, text: string): boolean {
  return read(address, text.length)?.toString('latin1') === text;
}

function isExt(read: ReadBytes): boolean {
  const superblock = read(1024, 128);
  if (superblock === null) return false;
  const inodes = superblock.readUInt32LE(0);
  const logBlockSize = superblock.readUInt32LE(24);
  const revision = superblock.readUInt32LE(76);
  return logBlockSize <= 6 && revision <= 1 && (inodes > 0 || isExtJournal(superblock));
}

/** An external journal has no inodes, but the feature JOURNAL_DEV. */
function isExtJournal(superblock: Buffer): boolean {
  return (superblock.readUInt32LE(96) & 0x8) !== 0;
}

function isNilfs(read: ReadBytes): boolean {
  const superblock = read(1024, 64);
  if (superblock === null) return false;
  const revision = superblock.readUInt32LE(0);
  const bytes = superblock.readUInt16LE(8);
  return revision <= 16 && bytes >= 128 && bytes <= 1024;
}

function isMinix(read: ReadBytes): boolean {
  const superblock = read(1024, 32);
  // Versions 1 and 2: 1 KiB zones (log2 of the factor is 0) and a state of clean or with errors.
  return superblock !== null && superblock.readUInt16LE(10) === 0 && superblock.readUInt16LE(18) <= 3;
}

function isHfs(read: ReadBytes): boolean {
  const header = read(1024, 256);
  if (header === null) return false;
  if (header.toString('latin1', 0, 2) !== 'BD') return true;
  const allocationBlock = header.readUInt32BE(20);
  return allocationBlock >= 512 && allocationBlock % 512 === 0 && allocationBlock <= 2 ** 24;
}

function isPmfs(read: ReadBytes): boolean {
  const blockSize = read(8, 4)?.readUInt32LE(0);
  return blockSize === 4096 || blockSize === 2 ** 21 || blockSize === 2 ** 30;
}

function isRaid(read: ReadBytes): boolean {
  return [0, 4096].some((address) => read(address + 4, 4)?.readUInt32LE(0) === 1);
}

/** A boot signature alone proves nothing: there must be a partition, and every entry must make sense. */
function isPartitionTable(read: ReadBytes): boolean {
  const sector = read(0, 512);
  if (sector === null) return false;
  const entries = [446, 462, 478, 494].map((offset) => sector.subarray(offset, offset + 16));
  const sane = entries.every((entry) => (entry.readUInt8(0) & 0x7f) === 0);
  return sane && entries.some((entry) => entry.readUInt8(4) !== 0 && entry.readUInt32LE(12) !== 0);
}
