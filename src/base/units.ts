/** Bytes in a KiB, MiB, GiB, TiB. */
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;
export const PIB = 1024 * TIB;

/** Branded numbers: a block number can't be passed where a byte address is expected. */
declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Number of a 4 KiB block of the volume, 0 is the first. */
export type BlockNo = Branded<'BlockNo'>;
/** Byte address inside the volume. */
export type ByteAddr = Branded<'ByteAddr'>;
/** Inode number; the root directory is 1, 0 is never an inode. */
export type Ino = Branded<'Ino'>;

export const asBlockNo = (n: number): BlockNo => n as BlockNo;
export const asByteAddr = (n: number): ByteAddr => n as ByteAddr;
export const asIno = (n: number): Ino => n as Ino;
