import type { Ino } from '../../src/base/units.js';
import type { MemoryVolume } from '../helpers/memory-volume.js';
import { describe, expectEqual, mismatch } from './compare.js';
import type { ModelInode } from './inode.js';

/**
 * A directory that is read bit by bit while names come and go. POSIX: a name that is there all the time appears exactly
 * once; one that comes or goes meanwhile may appear or not; nothing else appears.
 */
export class DirectoryStream {
  private cookie = 0;
  private readonly seen = new Set<string>();
  private readonly initial: Map<string, ModelInode>;
  private readonly changed = new Set<string>();
  private ended = false;

  constructor(readonly directory: ModelInode) {
    this.initial = new Map(directory.entries);
  }

  /** A name of this directory was given, taken or given to another file. */
  nameChanged(name: string): void {
    this.changed.add(name);
  }

  /** Reads at most `count` entries more. */
  advance(volume: MemoryVolume, count: number, inoOf: (inode: ModelInode) => Ino): void {
    const who = describe(this.directory);
    const entries = volume.readDirectory(inoOf(this.directory), this.cookie, count);
    for (const entry of entries) {
      const first = this.seen.size;
      if (first < 2) {
        expectEqual(entry.name, first === 0 ? '.' : '..', `entry ${String(first)} of ${who}`);
      } else if (!this.changed.has(entry.name)) {
        const expected = this.initial.get(entry.name);
        if (expected === undefined) mismatch(`${who}, read while it changes, shows ${JSON.stringify(entry.name)}, which was never there`);
        if (this.seen.has(entry.name)) mismatch(`${who}, read while it changes, shows ${JSON.stringify(entry.name)} twice`);
        expectEqual(entry.ino, inoOf(expected), `number of ${JSON.stringify(entry.name)} in ${who}`);
        expectEqual(entry.type, expected.mode >> 12, `type of ${JSON.stringify(entry.name)} in ${who}`);
      }
      this.seen.add(entry.name);
      this.cookie = entry.cookie;
    }
    if (entries.length === 0) this.finish();
  }

  private finish(): void {
    if (this.ended) return;
    this.ended = true;
    for (const name of this.initial.keys()) {
      if (!this.seen.has(name) && !this.changed.has(name)) {
        mismatch(`${describe(this.directory)}, read while it changes, does not show ${JSON.stringify(name)}`);
      }
    }
  }
}
