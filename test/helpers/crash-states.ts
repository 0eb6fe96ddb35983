/**
 * What a crash may leave: the states of a recorded medium at one moment, and what a volume in such a state shows.
 */
import { createHash } from 'node:crypto';
import { ManualClock } from '../../src/base/clock.js';
import type { Random } from '../../src/base/random.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { openVolume } from '../../src/fs/volume.js';
import type { Regions } from '../../src/region/regions.js';
import type { SurvivorChooser } from '../../src/pmem/recording.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { MemoryVolume } from './memory-volume.js';

export interface CrashState {
  readonly name: string;
  readonly chooser: SurvivorChooser;
}

/**
 * Crash states of a moment with `lines` uncertain lines: none of them made it, all, each alone, all but each, and random prefixes.
 * At most `most` of each kind of the middle two, picked by `random`.
 */
export function crashStates(lines: number, most: number, random: Random): CrashState[] {
  const states: CrashState[] = [{ name: 'nothing', chooser: () => 0 }];
  if (lines === 0) return states;
  states.push({ name: 'everything', chooser: (line) => line.atoms.length });
  for (const index of sample(lines, most, random)) {
    states.push({ name: `only line ${String(index)}`, chooser: (line, at) => (at === index ? line.atoms.length : 0) });
  }
  for (const index of sample(lines, most, random)) {
    states.push({ name: `all but line ${String(index)}`, chooser: (line, at) => (at === index ? 0 : line.atoms.length) });
  }
  for (let count = 0; count < Math.min(most, 2 * lines); count += 1) {
    // The choices are made now: the state is the same however often it is built.
    const choices = Array.from({ length: lines }, () => random.nextU32());
    states.push({ name: `random prefixes ${String(count)}`, chooser: (line, at) => (choices[at] as number) % (line.atoms.length + 1) });
  }
  return states;
}

/** Up to `most` different numbers below `count`, ascending. */
function sample(count: number, most: number, random: Random): number[] {
  const all = Array.from({ length: count }, (_, index) => index);
  while (all.length > most) all.splice(random.below(all.length), 1);
  return all;
}

/** What programs see of a volume: one line per name without times, one with its times, and the bytes of each file. */
export interface VolumeView {
  names: string;
  times: string;
  files: Map<string, Uint8Array>;
}

/** A volume on a medium that is there already; with a clock that stands still. */
export function openOn(pmem: SimulatedPmem, clock = new ManualClock(1_800_000_000, 0), regions: Regions | null = null): MemoryVolume {
  const volume: MemoryVolume = Object.create(MemoryVolume.prototype, Object.getOwnPropertyDescriptors(template)) as MemoryVolume;
  volume.pmem = pmem;
  volume.fs = openVolume(pmem, { clock, regions, cacheBytes: CACHE_BYTES, log: (message) => volume.log.push(message) });
  return volume;
}
/** Small: thousands of volumes are opened. */
const CACHE_BYTES = 2 * 1024 * 1024;
const template = new MemoryVolume({ sizeBytes: 4 * 1024 * 1024 });

export function viewOf(volume: MemoryVolume): VolumeView {
  const view: VolumeView = { names: '', times: '', files: new Map() };
  describe(volume, asIno(1), '', view);
  return view;
}

function describe(volume: MemoryVolume, ino: Ino, path: string, view: VolumeView): void {
  const attributes = volume.attributes(ino);
  const type = attributes.mode & FileType.mask;
  const { mode, nlink, uid, gid, size, rdevMajor, rdevMinor } = attributes;
  let line = `${path === '' ? '/' : path}: ${mode.toString(8)} ${[nlink, uid, gid, size, rdevMajor, rdevMinor].join(' ')}`;
  if (type === FileType.symlink) {
    const target = Buffer.alloc(4096);
    line += ` -> ${target.toString('latin1', 0, volume.fs.readlink(ino, target, 0))}`;
  }
  view.names += `${line}\n`;
  for (const name of volume.listXattr(ino)) {
    const value = Buffer.from(volume.getXattr(ino, name)).toString('hex');
    view.names += `${path} [${name}] ${value.length <= 100 ? value : createHash('sha1').update(value).digest('hex')}\n`;
  }
  view.times += `${path} ${String(attributes.mtimeSeconds)}.${String(attributes.mtimeNanoseconds)} ${String(attributes.ctimeSeconds)}.${String(attributes.ctimeNanoseconds)}\n`;
  if (type === FileType.regular) view.files.set(path, volume.read(ino, 0, size));
  if (type !== FileType.directory) return;
  const entries = volume.list(ino).filter((entry) => entry.name !== '.');
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name === '..') view.names += `${path}/..: ${String(entry.ino)}\n`;
    else describe(volume, entry.ino, `${path}/${entry.name}`, view);
  }
}
