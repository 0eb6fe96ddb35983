import type { Clock } from '../base/clock.js';
import type { Geometry } from '../format/superblock.js';
import type { Allocate } from '../journal/cache.js';
import { Journal } from '../journal/journal.js';
import type { LogPosition } from '../journal/log.js';
import type { Pmem } from '../pmem/pmem.js';
import { Allocator } from './allocator.js';
import { Groups } from './groups.js';
import { InodeTable } from './inodes.js';
import { Orphans } from './orphans.js';
import { blockFault } from './soundness.js';
import { State } from './state.js';

/** What files, directories and the filesystem above them stand on: one set of these per mounted volume. */
export class Core {
  readonly journal: Journal;
  readonly state: State;
  readonly groups: Groups;
  readonly allocator: Allocator;
  readonly inodes: InodeTable;
  readonly orphans: Orphans;

  constructor(
    readonly pmem: Pmem,
    readonly geometry: Geometry,
    readonly clock: Clock,
    position: LogPosition,
    cacheBlocks: number,
    allocate?: Allocate,
  ) {
    this.journal = new Journal(pmem, geometry, position, cacheBlocks, allocate);
    const { journal } = this;
    journal.cache.validate = (magic, base, block) => blockFault(journal.view, geometry, magic, base, block);
    this.state = new State(this.journal);
    this.groups = new Groups(this.journal, geometry, this.state, (address, length) => {
      pmem.back(address, length);
    });
    this.allocator = new Allocator(this.journal, geometry, this.state, this.groups);
    this.inodes = new InodeTable(this.journal, pmem, geometry.seed, this.state, this.allocator);
    this.orphans = new Orphans(this.journal, this.state, this.inodes);
    this.journal.onAbort = () => {
      this.groups.forget();
      this.inodes.forget();
      this.orphans.forget();
    };
  }
}
