import { ROOT_INO } from '../format/layout.js';
import type { CheckContext } from './context.js';
import type { FindingKind } from './findings.js';
import { DAMAGED, InodeMap, type InodePage } from './inode-map.js';
import { Type } from './inode.js';

/** What is known of a directory's way to the root. */
const Reach = { unknown: 0, climbing: 1, connected: 2, lost: 3 } as const;

/** Third pass: link counts, parents, and the way from every directory to the root. */
export class LinkPass {
  constructor(private readonly context: CheckContext) {}

  run(): void {
    const { inodes } = this.context;
    const root = inodes.typeOf(ROOT_INO);
    if (root !== Type.directory && root !== DAMAGED && this.context.tableComplete) {
      this.report('root-directory', ROOT_INO, 'type', Type.directory, root);
    }
    for (const ino of inodes.numbers()) {
      const page = inodes.find(ino);
      if (page === undefined) continue;
      const slot = InodeMap.slot(ino);
      const type = page.type[slot];
      if (type === DAMAGED) continue;
      if (type === Type.directory) this.checkDirectory(ino, page, slot);
      else this.checkFile(ino, page, slot);
    }
  }

  private checkFile(ino: number, page: InodePage, slot: number): void {
    const nlink = page.nlink[slot] ?? 0;
    const links = page.links[slot] ?? 0;
    if (nlink === 0 && page.orphan[slot] === 0) this.report('link-count', ino, 'nlink of an inode that is no orphan', 'at least 1', 0);
    if (nlink === links) return;
    if (links > 0) this.report('link-count', ino, 'nlink', links, nlink);
    else this.report('inode-unreferenced', ino, 'directory entries', nlink, 0);
  }

  private checkDirectory(ino: number, page: InodePage, slot: number): void {
    const nlink = page.nlink[slot] ?? 0;
    const { parent, foundParent, subdirectories } = page.directories;
    // Of a directory with an entry, the parent is compared below.
    if (ino !== ROOT_INO && parent[slot] === 0 && (nlink === 0 || foundParent[slot] === 0)) this.report('directory-parent', ino, 'parent', 'at least 1', 0);
    if (ino === ROOT_INO) {
      foundParent[slot] = ROOT_INO;
    } else if (nlink === 0) {
      if (page.orphan[slot] === 0) this.report('link-count', ino, 'nlink of a directory that is no orphan', 'at least 2', 0);
      if ((page.links[slot] ?? 0) > 0) this.report('link-count', ino, 'nlink', 2 + (subdirectories[slot] ?? 0), 0);
      return;
    }
    const expected = 2 + (subdirectories[slot] ?? 0);
    if (nlink !== expected) this.report('link-count', ino, 'nlink', expected, nlink);
    const found = foundParent[slot] ?? 0;
    if (found === 0) {
      this.report('directory-unreferenced', ino, 'directory entries', 1, 0);
      return;
    }
    if (parent[slot] !== found) this.report('directory-parent', ino, 'parent', found, parent[slot] ?? 0);
    if (!this.isConnected(ino)) this.report('directory-unreachable', ino, 'way to the root directory', 'one', 'a cycle');
  }

  /**
   * Climbs from directory to directory until one is known. A directory that is lost only because one above it has no
   * entry counts as connected: it comes back when that one does. Every directory is climbed through once.
   */
  private isConnected(ino: number): boolean {
    const { inodes } = this.context;
    const path: number[] = [];
    let current = ino;
    let outcome: number = Reach.connected;
    for (;;) {
      const page = inodes.find(current);
      const slot = InodeMap.slot(current);
      if (page === undefined || page.type[slot] !== Type.directory) break;
      const { reach, foundParent } = page.directories;
      if (reach[slot] === Reach.connected || reach[slot] === Reach.lost) {
        outcome = reach[slot];
        break;
      }
      if (reach[slot] === Reach.climbing) {
        outcome = Reach.lost;
        break;
      }
      if (current === ROOT_INO || foundParent[slot] === 0) break;
      reach[slot] = Reach.climbing;
      path.push(current);
      current = foundParent[slot] ?? 0;
    }
    for (const climbed of path) {
      const page = inodes.find(climbed);
      if (page !== undefined) page.directories.reach[InodeMap.slot(climbed)] = outcome;
    }
    return outcome === Reach.connected;
  }

  private report(kind: FindingKind, ino: number, field: string, expected: string | number, found: string | number): void {
    this.context.findings.add(kind, { ino }, `inode ${String(ino)}: ${field}`, expected, found);
  }
}
