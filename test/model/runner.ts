import { Random } from '../../src/base/random.js';
import { asIno, type Ino } from '../../src/base/units.js';
import { AttributeChange, Change, SeekWhence } from '../../src/fs/types.js';
import { expectEqual, Mismatch, mismatch } from './compare.js';
import { Execution, type Outcome } from './execution.js';
import type { ModelInode } from './inode.js';
import type { Operation } from './operation.js';
import { DirectoryStream } from './streams.js';
import { bytesOf, CAPABILITY, type XattrValue } from './xattrs.js';

const TICK_NANOSECONDS = 1_000_003;

type OperationOf<Kind extends Operation['kind']> = Operation & { kind: Kind };

/** Does operations on a volume and on the model, and throws Mismatch when the two differ. */
export class Runner extends Execution {
  /** How often each kind of operation ended how. */
  readonly counts = new Map<string, number>();

  /** Does one operation on both. */
  step(operation: Operation): Outcome {
    this.random = new Random(operation.id);
    this.volume.clock.advance(TICK_NANOSECONDS);
    this.model.now = this.now();
    this.volume.pmem.operation = `${String(operation.id)} ${operation.kind}`;
    let outcome: Outcome;
    try {
      outcome = this.perform(operation);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      throw new Mismatch(`operation ${String(operation.id)}, ${operation.kind}: ${error.message}`, { cause: error });
    }
    const key = `${operation.kind}: ${outcome}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    return outcome;
  }

  private perform(operation: Operation): Outcome {
    switch (operation.kind) {
      case 'lookup':
        return this.lookup(operation);
      case 'make':
      case 'symlink':
      case 'temporary':
        return this.create(operation);
      case 'link':
      case 'unlink':
      case 'rmdir':
        return this.changeName(operation);
      case 'rename':
        return this.rename(operation);
      case 'setAttributes':
        return this.setAttributes(operation);
      case 'read':
      case 'readlink':
      case 'seek':
      case 'list':
      case 'openDirectory':
      case 'readDirectory':
        return this.look(operation);
      case 'write':
      case 'append':
      case 'allocate':
        return this.changeData(operation);
      case 'copy':
        return this.copy(operation);
      case 'setXattr':
      case 'removeXattr':
        return this.changeXattr(operation);
      case 'hold':
      case 'release':
      case 'sync':
        return this.keep(operation);
      default:
        return this.manage(operation);
    }
  }

  private lookup({ parent: reference, name }: OperationOf<'lookup'>): Outcome {
    const parent = this.get(reference);
    if (parent === undefined || (parent.nlink === 0 && name === '..')) return 'skipped';
    const ino = this.inoOf(parent);
    return this.both(
      () => {
        const inode = this.model.lookup(parent, name);
        return () => inode;
      },
      () => this.volume.lookup(ino, name),
      -1,
      [],
      (inode, found) => {
        expectEqual(found, inode === undefined ? 0 : this.inoOf(inode), `lookup of ${JSON.stringify(name)}`);
      },
    );
  }

  private create(operation: OperationOf<'make' | 'symlink' | 'temporary'>): Outcome {
    const parent = this.get(operation.parent);
    if (parent === undefined) return 'skipped';
    const { id, uid, gid } = operation;
    const { fs } = this.volume;
    const ino = this.inoOf(parent);
    const umask = operation.kind === 'symlink' ? 0 : operation.umask;
    const caller = this.volume.owner(uid, gid, umask);
    const made = (inode: ModelInode, found: Ino): void => {
      this.bind(inode, found);
      this.comparison.xattrs(inode);
      if (operation.kind === 'temporary') fs.hold(found);
      else this.noteName(parent, operation.name);
      this.comparison.attributes(inode);
    };
    if (operation.kind === 'temporary') {
      const { mode } = operation;
      return this.both(() => this.model.makeTemporary(id, parent, mode, uid, gid, umask), () => fs.makeTemporary(ino, mode, caller), 0, [parent], made);
    }
    const { name } = operation;
    if (operation.kind === 'symlink') {
      const { target } = operation;
      return this.both(
        () => this.model.symlink(id, parent, name, target, uid, gid),
        () => this.volume.withNames(name, target, (n, to) => fs.symlink(ino, n, to, caller)),
        1,
        [parent],
        made,
      );
    }
    const { mode, major, minor } = operation;
    return this.both(
      () => this.model.make(id, parent, name, mode, uid, gid, umask, [major, minor]),
      () => this.volume.withName(name, (n) => fs.makeNode(ino, n, mode, caller, major, minor)),
      0,
      [parent],
      made,
    );
  }

  private changeName(operation: OperationOf<'link' | 'unlink' | 'rmdir'>): Outcome {
    const parent = this.get(operation.parent);
    if (parent === undefined) return 'skipped';
    const { fs } = this.volume;
    const { name } = operation;
    const ino = this.inoOf(parent);
    const note = (): void => {
      this.noteName(parent, name);
    };
    if (operation.kind === 'link') {
      const inode = this.get(operation.inode);
      if (inode === undefined || (inode.nlink === 0 && !inode.temporary)) return 'skipped';
      const linked = this.inoOf(inode);
      return this.both(
        () => this.model.link(inode, parent, name),
        () => {
          this.volume.withName(name, (n) => { fs.link(linked, ino, n); });
        },
        0,
        [parent, inode],
        note,
      );
    }
    const target = parent.entries.get(name);
    const touched = target === undefined ? [parent] : [parent, target];
    const remove = operation.kind;
    return this.both(
      () => this.model[remove](parent, name),
      () => {
        this.volume.withName(name, (n) => { fs[remove](ino, n); });
      },
      -1,
      touched,
      note,
    );
  }

  private rename({ parent: from, name, newParent: to, newName, flags }: OperationOf<'rename'>): Outcome {
    const parent = this.get(from);
    const newParent = this.get(to);
    if (parent === undefined || newParent === undefined) return 'skipped';
    const involved = [parent, newParent, parent.entries.get(name), newParent.entries.get(newName)];
    return this.both(
      () => this.model.rename(parent, name, newParent, newName, flags),
      () => {
        this.volume.withNames(name, newName, (n, m) => {
          this.volume.fs.rename(this.inoOf(parent), n, this.inoOf(newParent), m, flags);
        });
      },
      0,
      [...new Set(involved)].filter((inode) => inode !== undefined),
      () => {
        this.noteName(parent, name);
        this.noteName(newParent, newName);
      },
    );
  }

  private setAttributes(operation: OperationOf<'setAttributes'>): Outcome {
    const inode = this.get(operation.inode);
    if (inode === undefined || (inode.isLink && (operation.mask & Change.mode) !== 0)) return 'skipped';
    const change = new AttributeChange();
    const { mask, mode, uid, gid, size } = operation;
    Object.assign(change, { mask, mode, uid, gid, size });
    [change.atimeSeconds, change.atimeNanoseconds] = operation.atime;
    [change.mtimeSeconds, change.mtimeNanoseconds] = operation.mtime;
    [change.ctimeSeconds, change.ctimeNanoseconds] = operation.ctime;
    const moment = ([seconds, nanoseconds]: [number, number]): { seconds: number; nanoseconds: number } => ({ seconds, nanoseconds });
    const wanted = { mask, mode, uid, gid, size, atime: moment(operation.atime), mtime: moment(operation.mtime), ctime: moment(operation.ctime) };
    return this.both(
      () => this.model.setAttributes(inode, wanted),
      () => { this.volume.fs.setAttributes(this.inoOf(inode), change); },
      -1,
      [inode],
    );
  }

  private changeXattr(operation: OperationOf<'setXattr' | 'removeXattr'>): Outcome {
    const inode = this.get(operation.inode);
    if (inode === undefined) return 'skipped';
    const ino = this.inoOf(inode);
    const { name } = operation;
    const compare = (): void => { this.comparison.xattrs(inode); };
    if (operation.kind === 'removeXattr') {
      return this.both(() => this.model.removeXattr(inode, name), () => { this.volume.removeXattr(ino, name); }, -1, [inode], compare);
    }
    const { entries, length, fill, flags } = operation;
    const bytes = new Uint8Array(length);
    new Random(fill).bytes(bytes);
    const value: XattrValue = entries === undefined ? { bytes } : { entries };
    const outcome = this.both(
      () => this.model.setXattr(inode, name, value, flags),
      () => { this.volume.setXattr(ino, name, bytesOf(value), flags); },
      Math.ceil(bytesOf(value).length / 4000),
      [inode],
    );
    compare();
    return outcome;
  }

  /**
   * A change of contents takes capabilities before it looks for space. Where that may fail they are taken by an operation of its own, because
   * an operation for which there is no space is taken for one that did nothing.
   */
  private makeSureOfSpace(inode: ModelInode, blocks: number): void {
    if (!inode.xattrs.hasCapability || this.hasSpaceFor(blocks)) return;
    this.both(() => this.model.removeXattr(inode, CAPABILITY), () => { this.volume.removeXattr(this.inoOf(inode), CAPABILITY); }, -1, [inode]);
  }

  private look(operation: OperationOf<'read' | 'readlink' | 'seek' | 'list' | 'openDirectory' | 'readDirectory'>): Outcome {
    if (operation.kind === 'readDirectory') {
      const stream = this.streams.get(operation.stream);
      if (stream === undefined || stream.directory.nlink === 0) return 'skipped';
      stream.advance(this.volume, operation.count, (inode) => this.inoOf(inode));
      return 'done';
    }
    const inode = this.get(operation.inode);
    if (inode === undefined) return 'skipped';
    const ino = this.inoOf(inode);
    const { fs } = this.volume;
    switch (operation.kind) {
      case 'list':
      case 'openDirectory':
        if (!inode.isDirectory || inode.nlink === 0) return 'skipped';
        if (operation.kind === 'openDirectory') this.streams.set(operation.id, new DirectoryStream(inode));
        else this.comparison.directory(inode, operation.chunk, this.random);
        return 'done';
      case 'readlink':
        return this.both(
          () => {
            this.model.readlink(inode);
            return () => undefined;
          },
          () => fs.readlink(ino, new Uint8Array(4095), 0),
          -1,
          [],
          () => { this.comparison.link(inode); },
        );
      case 'read':
        return this.both(
          () => {
            this.model.read(inode, operation.offset, operation.length);
            return () => undefined;
          },
          () => this.volume.read(ino, operation.offset, operation.length),
          -1,
          [inode],
          () => { this.comparison.bytes(inode, operation.offset, operation.length, this.random.below(3)); },
        );
      case 'seek':
        if (!inode.isRegular) return 'skipped';
        if (operation.whence === SeekWhence.data) this.comparison.seekData(inode, operation.offset);
        else this.comparison.seekHole(inode, operation.offset);
        return 'done';
    }
  }

  private changeData(operation: OperationOf<'write' | 'append' | 'allocate'>): Outcome {
    const inode = this.get(operation.inode);
    if (inode === undefined) return 'skipped';
    const ino = this.inoOf(inode);
    const { fs } = this.volume;
    const blocks = Math.ceil(operation.length / 4096) + 2;
    this.makeSureOfSpace(inode, blocks);
    if (operation.kind === 'allocate') {
      const { mode, offset, length } = operation;
      const outcome = this.both(
        () => this.model.allocate(inode, mode, offset, length),
        () => { fs.allocate(ino, mode, offset, length); },
        blocks,
        [inode],
      );
      if (inode.isRegular) this.comparison.bytes(inode, Math.max(0, offset - 10), Math.min(length + 20, 1 << 16), this.random.below(3));
      return outcome;
    }
    const size = inode.contents.size;
    const { length } = operation;
    const offset = operation.kind === 'append' ? size : operation.offset;
    const bytes = new Uint8Array(length);
    new Random(operation.fill).bytes(bytes);
    const source = new Uint8Array(length + 16);
    const at = operation.fill % 16;
    source.set(bytes, at);
    const outcome = this.both(
      () => this.model.write(inode, offset, bytes),
      () => (operation.kind === 'append' ? fs.append(ino, source, at, length) : fs.write(ino, offset, source, at, length)),
      blocks,
      [inode],
      (_, found) => { expectEqual(found, operation.kind === 'append' ? offset : Math.min(length, Number.MAX_SAFE_INTEGER - offset), `result of ${operation.kind}`); },
    );
    source.fill(0xcc);
    if (inode.isRegular) this.comparison.bytes(inode, Math.max(0, offset - 10), length + 20, this.random.below(3));
    return outcome;
  }

  private copy(operation: OperationOf<'copy'>): Outcome {
    const source = this.get(operation.inode);
    const target = this.get(operation.target);
    if (source === undefined || target === undefined) return 'skipped';
    const { sourceOffset, targetOffset, length } = operation;
    const most = this.model.copyLength(source, sourceOffset, length);
    this.makeSureOfSpace(target, Math.ceil(most / 4096) + 2);
    const outcome = this.both(
      () => this.model.copyRange(source, sourceOffset, target, targetOffset, length),
      () => this.volume.fs.copyRange(this.inoOf(source), sourceOffset, this.inoOf(target), targetOffset, length),
      Math.ceil(most / 4096) + 2,
      [source, target],
      (_, copied) => {
        if (!(copied <= most && (copied > 0 || most === 0))) mismatch(`copyRange of at most ${String(most)} bytes copied ${String(copied)}`);
      },
    );
    if (target.isRegular) this.comparison.bytes(target, Math.max(0, targetOffset - 10), length + 20, this.random.below(3));
    return outcome;
  }

  private keep(operation: OperationOf<'hold' | 'release' | 'sync'>): Outcome {
    const inode = this.get(operation.inode);
    if (inode === undefined) return 'skipped';
    const ino = this.inoOf(inode);
    switch (operation.kind) {
      case 'hold':
        this.volume.fs.hold(ino);
        this.model.hold(inode);
        break;
      case 'release': {
        const count = Math.min(operation.count, inode.holds);
        if (count === 0) return 'skipped';
        this.volume.fs.release(ino, count);
        this.changed(inode, () => { this.model.release(inode, count); });
        break;
      }
      case 'sync':
        this.volume.fs.sync(ino);
        inode.settle();
        this.comparison.attributes(inode);
        break;
    }
    return 'done';
  }

  private manage(operation: OperationOf<'stale' | 'flushTimes' | 'background' | 'request' | 'wait' | 'compare' | 'remount'>): Outcome {
    const { fs } = this.volume;
    switch (operation.kind) {
      case 'stale':
        if (this.inodeByIno.has(asIno(operation.ino))) return 'skipped';
        this.expectGone(asIno(operation.ino));
        break;
      case 'flushTimes':
        fs.flushTimes();
        for (const inode of this.model.inodes.values()) inode.settle();
        break;
      case 'background':
        for (let i = 0; i < operation.steps && fs.backgroundStep(); i++);
        break;
      case 'request':
        fs.setRequest(operation.low, operation.high, operation.opcode);
        break;
      case 'wait':
        this.volume.clock.seconds += operation.seconds;
        break;
      case 'compare':
        this.compareAll();
        break;
      case 'remount':
        this.remount(operation.how, operation.verify);
        break;
    }
    return 'done';
  }
}
