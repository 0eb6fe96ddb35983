import { closeSync, constants, fsyncSync, ftruncateSync, openSync, readSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { addon } from '../../native/addon.js';
import { Errno, FsError, fail } from '../base/errno.js';
import { MIB, type Ino } from '../base/units.js';
import { AllocateMode, FILE_SIZE_MAX } from '../format/layout.js';
import { enterDirectory, makeDirectory, markDirectory, markerOf, placeIn, readMarker } from './directory.js';
import { asHostFailure, attempt, codeOf, hostFailure } from './host-errors.js';
import type { DurabilityDomain } from '../pmem/pmem.js';
import { type RegionAttributes, type RegionFile, regionName, type Regions, type RegionSpace } from './regions.js';

/** Host files grow by so much where space is set aside: the size of a huge page. */
const STEP_BYTES = 2 * MIB;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC } = constants;

export interface HostRegionsOptions {
  /** Absolute path of the region directory. */
  readonly directory: string;
  readonly uuid: Uint8Array;
  /**
   * `beside`: the directory may be made where it is missing. `given`: an empty one may be taken. `recorded`: it was made with the volume, so one that is missing or
   * empty is a filesystem that is not mounted; nothing is put there, and nothing is gone because it is not there.
   */
  readonly origin: 'beside' | 'given' | 'recorded';
  readonly readOnly: boolean;
}

/** The region directory of a volume on a filesystem of the host. Files are 0600 in a directory of 0700: nobody but the daemon's user gets at them. */
export class HostRegions implements Regions {
  /** An open descriptor of the directory: what is mounted over its path later does not matter. −1: not opened yet. */
  private directory = -1;

  constructor(private readonly options: HostRegionsOptions) {}

  obstacle(): string | null {
    if (this.options.readOnly) return 'the volume is read-only';
    try {
      this.enter(true);
      return null;
    } catch (error) {
      if (error instanceof FsError) return error.message;
      throw error;
    }
  }

  create(ino: Ino, generation: number): RegionFile {
    this.enter(true);
    const fd = attempt('make a region file', () => openSync(this.path(ino, generation), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600));
    try {
      attempt('make a region file', () => {
        fsyncSync(fd);
        fsyncSync(this.directory);
      });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new HostFile(fd);
  }

  open(ino: Ino, generation: number): RegionFile {
    this.enter(false);
    const access = this.options.readOnly ? O_RDONLY : O_RDWR;
    return new HostFile(attempt('open a region file', () => openSync(this.path(ino, generation), access | O_NOFOLLOW)));
  }

  remove(ino: Ino, generation: number): void {
    try {
      this.enter(false);
    } catch (error) {
      // No directory, no file.
      if (error instanceof FsError && error.errno === Errno.ENOENT) return;
      throw error;
    }
    try {
      unlinkSync(this.path(ino, generation));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw asHostFailure('remove a region file', error);
    }
    attempt('remove a region file', () => {
      fsyncSync(this.directory);
    });
  }

  space(): RegionSpace | null {
    try {
      this.enter(false);
      const { bsize, blocks, bfree, bavail } = statfsSync(placeIn(this.directory, ''));
      return { total: blocks * bsize, free: bfree * bsize, available: bavail * bsize };
    } catch {
      return null;
    }
  }

  close(): void {
    if (this.directory !== -1) closeSync(this.directory);
    this.directory = -1;
  }

  /** Opens the directory and makes sure that it is this volume's. ENOENT if there is none, and it is not to be made; EIO if it is not the volume's. */
  private enter(make: boolean): void {
    if (this.directory !== -1) return;
    const { directory, origin, readOnly } = this.options;
    const marks = make && !readOnly && origin !== 'recorded';
    if (marks && origin === 'beside') makeDirectory(directory);
    let fd: number;
    try {
      fd = enterDirectory(directory);
    } catch (error) {
      if (origin === 'recorded' && error instanceof FsError && error.code === 'ENOENT') fail('EIO', `the region directory ${directory} is missing: is its filesystem mounted?`);
      throw error;
    }
    try {
      this.checkMarker(fd, marks);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.directory = fd;
  }

  private checkMarker(fd: number, make: boolean): void {
    const { directory, uuid, origin } = this.options;
    const found = readMarker(fd, directory);
    if (found === markerOf(uuid)) return;
    if (found !== null) fail('EIO', `the region directory ${directory} belongs to another volume`);
    if (origin === 'recorded') fail('EIO', `the region directory ${directory} is empty: is its filesystem mounted?`);
    if (!make) fail('ENOENT', `the region directory ${directory} is empty`);
    markDirectory(fd, uuid);
  }

  private path(ino: Ino, generation: number): string {
    return placeIn(this.directory, regionName(ino, generation));
  }
}

class HostFile implements RegionFile {
  private readonly numbers = new Float64Array(8);
  /** Pages that are mapped reach the medium: each must have written space before it can be touched. */
  private readonly dax: boolean;

  constructor(readonly descriptor: number) {
    this.dax = addon.hostIsDax(descriptor);
  }

  get domain(): DurabilityDomain {
    return addon.hostDomain(this.descriptor);
  }

  attributes(to: RegionAttributes): void {
    const { numbers } = this;
    check('look at a region file', addon.hostAttributes(this.descriptor, numbers));
    to.size = numbers[0] as number;
    // Only somebody else can have made it so long.
    if (to.size > FILE_SIZE_MAX) fail('EIO', `a region file has ${String(to.size)} bytes, more than a file can have`);
    to.blocks = numbers[1] as number;
    to.atimeSeconds = numbers[2] as number;
    to.atimeNanoseconds = numbers[3] as number;
    to.mtimeSeconds = numbers[4] as number;
    to.mtimeNanoseconds = numbers[5] as number;
    to.ctimeSeconds = numbers[6] as number;
    to.ctimeNanoseconds = numbers[7] as number;
  }

  prepare(size: number): void {
    if (!this.dax || size === 0) return;
    const end = Math.ceil(size / STEP_BYTES) * STEP_BYTES;
    check('set space aside for a region file', addon.hostAllocate(this.descriptor, AllocateMode.keepSize, 0, end));
  }

  resize(size: number): void {
    attempt('resize a region file', () => {
      const before = this.size;
      ftruncateSync(this.descriptor, size);
      if (this.dax && size > before) this.writeHoles(before, size);
      fsyncSync(this.descriptor);
    });
  }

  allocate(mode: number, offset: number, length: number): void {
    const { descriptor } = this;
    const result = addon.hostAllocate(descriptor, mode, offset, length);
    if (result === -Errno.EOPNOTSUPP && (mode & AllocateMode.zeroRange) !== 0) {
      // tmpfs has no zeroing; a hole that is filled again is the same.
      const keep = mode & AllocateMode.keepSize;
      check('zero a range of a region file', addon.hostAllocate(descriptor, AllocateMode.punchHole | AllocateMode.keepSize, offset, length));
      check('zero a range of a region file', addon.hostAllocate(descriptor, keep, offset, length));
    } else {
      check('allocate space of a region file', result);
    }
    if ((mode & ~AllocateMode.keepSize) === 0) this.allocateWholeStep(offset + length);
    attempt('allocate space of a region file', () => {
      if (this.dax) this.writeHoles(offset, Math.min(offset + length, this.size));
      fsyncSync(descriptor);
    });
  }

  seek(offset: number, data: boolean): number {
    const found = addon.hostSeek(this.descriptor, offset, data ? SEEK_DATA : SEEK_HOLE);
    if (found < 0) check('search a region file', found);
    return found;
  }

  read(offset: number, target: Uint8Array, targetOffset: number, length: number): number {
    return attempt('read a region file', () => {
      let done = 0;
      while (done < length) {
        const count = readSync(this.descriptor, target, targetOffset + done, length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    });
  }

  write(offset: number, source: Uint8Array, sourceOffset: number, length: number): void {
    attempt('write a region file', () => {
      for (let done = 0; done < length; ) done += writeSync(this.descriptor, source, sourceOffset + done, length - done, offset + done);
      fsyncSync(this.descriptor);
    });
  }

  setTimes(atimeSeconds: number, atimeNanoseconds: number, mtimeSeconds: number, mtimeNanoseconds: number): void {
    const { numbers } = this;
    numbers[0] = atimeSeconds;
    numbers[1] = atimeNanoseconds;
    numbers[2] = mtimeSeconds;
    numbers[3] = mtimeNanoseconds;
    check('set the times of a region file', addon.hostTimes(this.descriptor, numbers));
    this.sync();
  }

  sync(): void {
    attempt('make a region file durable', () => {
      fsyncSync(this.descriptor);
    });
  }

  close(): void {
    closeSync(this.descriptor);
  }

  private get size(): number {
    check('look at a region file', addon.hostAttributes(this.descriptor, this.numbers));
    return this.numbers[0] as number;
  }

  /** The rest of the last huge page; whether there is space for it is nobody's concern. */
  private allocateWholeStep(end: number): void {
    const rest = STEP_BYTES - (end % STEP_BYTES);
    if (end > STEP_BYTES && rest < STEP_BYTES) addon.hostAllocate(this.descriptor, AllocateMode.keepSize, end, rest);
  }

  /** Space that is only set aside becomes written: a page of it would be made durable by its first fault otherwise, and nobody waits for that. */
  private writeHoles(from: number, end: number): void {
    const zeros = Buffer.alloc(MIB);
    for (let at = from; at < end; ) {
      const hole = addon.hostSeek(this.descriptor, at, SEEK_HOLE);
      if (hole < 0 || hole >= end) break;
      const data = addon.hostSeek(this.descriptor, hole, SEEK_DATA);
      const holeEnd = data < 0 ? end : Math.min(data, end);
      for (at = hole; at < holeEnd; ) at += writeSync(this.descriptor, zeros, 0, Math.min(zeros.length, holeEnd - at), at);
    }
  }
}

function check(what: string, result: number): void {
  if (result < 0) throw hostFailure(what, -result);
}
