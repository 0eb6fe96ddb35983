import { Type } from '../check/inode.js';
import { ROOT_INO } from '../format/layout.js';
import type { RepairContext } from './context.js';
import type { DirectoryPass } from './directories.js';
import { InodeNotes, Note } from './inode-notes.js';

/** What is known of a directory's way to the root. */
const Reach = { unknown: 0, climbing: 1, known: 2 } as const;

/**
 * Pass 3: every directory can be reached from the root. One without an entry is noted as lost; a ring of directories that contain
 * each other is cut open at one of its entries, and that directory is lost, too. What hangs below a lost directory comes with it.
 */
export class ConnectivityPass {
  constructor(
    private readonly context: RepairContext,
    private readonly directories: DirectoryPass,
  ) {}

  run(): void {
    const { notes } = this.context;
    for (const ino of notes.numbers()) {
      if (notes.typeOf(ino) === Type.directory && ino !== ROOT_INO) this.climb(ino);
    }
  }

  /** Climbs until a directory is reached whose way is known. Every directory is climbed through once. */
  private climb(ino: number): void {
    const { notes } = this.context;
    const path: number[] = [];
    let current = ino;
    for (;;) {
      const page = notes.find(current);
      const slot = InodeNotes.slot(current);
      if (page?.type[slot] !== Type.directory || current === ROOT_INO) break;
      const { reach, foundParent } = page.directories;
      if (reach[slot] === Reach.known || foundParent[slot] === 0) break;
      if (reach[slot] === Reach.climbing) {
        this.cutRing(path.slice(path.indexOf(current)));
        break;
      }
      reach[slot] = Reach.climbing;
      path.push(current);
      current = foundParent[slot] as number;
    }
    for (const climbed of path) this.context.notes.make(climbed).directories.reach[InodeNotes.slot(climbed)] = Reach.known;
  }

  /** Takes out one entry of a ring: one that the record of its directory does not confirm, if there is such. */
  private cutRing(ring: readonly number[]): void {
    const { notes, problems } = this.context;
    const parentOf = (ino: number, which: 'parent' | 'foundParent'): number => notes.make(ino).directories[which][InodeNotes.slot(ino)] as number;
    const [first = 0] = ring;
    const victim = ring.find((ino) => parentOf(ino, 'parent') !== parentOf(ino, 'foundParent')) ?? first;
    const parent = parentOf(victim, 'foundParent');
    const what = `inode ${String(victim)}: way to the root directory`;
    if (!problems.fix('directory-unreachable', { ino: victim }, what, 'one', 'a cycle', `drop its entry in directory ${String(parent)}`)) return;
    this.directories.removeEntries(parent, victim);
    const page = notes.make(victim);
    const slot = InodeNotes.slot(victim);
    page.directories.foundParent[slot] = 0;
    page.links[slot] = 0;
    const { subdirectories } = notes.make(parent).directories;
    const parentSlot = InodeNotes.slot(parent);
    subdirectories[parentSlot] = (subdirectories[parentSlot] as number) - 1;
    notes.set(victim, Note.lost, true);
  }
}
