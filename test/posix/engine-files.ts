import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { AttributeChange, Change, SeekWhence } from '../../src/fs/types.js';
import { bytesFromRuns, runsFromBytes } from './bytes.js';
import { type Command, type Commands, type Context, type Descriptor, descriptorAt, numberAt, textAt } from './engine-context.js';
import { makeAt } from './engine-names.js';

const GET_MAX = 8 * 1024 * 1024;
const ALLOCATE_MODES: Record<string, number> = {
  plain: 0, keep: 1, punch: 3, 'punch-only': 2, zero: 0x10, 'zero-keep': 0x11, collapse: 8, insert: 0x20, unshare: 0x40, 'punch-zero': 0x13,
};

function typeOf(context: Context, ino: Ino): number {
  return context.volume.attributes(ino).mode & FileType.mask;
}

function resize(context: Context, ino: Ino, size: number): string {
  const change = new AttributeChange();
  change.mask = Change.size;
  change.size = size;
  context.volume.fs.setAttributes(ino, change);
  return 'ok';
}

/** Finds or makes what open(2) opens; checks that are the kernel's are made as it makes them. */
function openAt(context: Context, path: string, flags: Set<string>, mode: number): Ino {
  const { walker, volume } = context;
  const writes = flags.has('w') || flags.has('rw');
  if (flags.has('tmpfile')) {
    const { uid, gid } = context.owner();
    return context.hold(volume.fs.makeTemporary(walker.existing(path, true), FileType.regular | (mode & ~context.umask), volume.owner(uid, gid)));
  }
  const exclusive = flags.has('creat') && flags.has('excl');
  const place = walker.find(path, !exclusive && !flags.has('nofollow'));
  if (place.ino === 0) {
    if (!flags.has('creat')) throw new FsError('ENOENT');
    return context.hold(makeAt(context, path, FileType.regular | mode));
  }
  if (exclusive) throw new FsError('EEXIST');
  const type = typeOf(context, place.ino);
  if (type === FileType.symlink) throw new FsError('ELOOP');
  if (type === FileType.directory && (writes || flags.has('creat'))) throw new FsError('EISDIR');
  if (type !== FileType.directory && flags.has('directory')) throw new FsError('ENOTDIR');
  if (flags.has('trunc') && writes && type === FileType.regular) resize(context, place.ino, 0);
  return context.hold(place.ino);
}

function writeAt(context: Context, { ino }: Descriptor, offset: number, text: string): number {
  const bytes = bytesFromRuns(text);
  return bytes.length === 0 ? 0 : context.volume.fs.write(ino, offset, bytes, 0, bytes.length);
}

const open: Command = (context, args) => {
  const words = args.slice(2);
  const mode = words.find((word) => word.startsWith('0'));
  const flags = new Set(words.filter((word) => word !== mode));
  const ino = openAt(context, textAt(args, 1), flags, mode === undefined ? 0o644 : parseInt(mode, 8));
  const slot = textAt(args, 0);
  if (slot === '-') context.volume.fs.release(ino, 1);
  else context.descriptors.set(slot, { ino, position: 0, append: flags.has('append') });
  return 'ok';
};

const write: Command = (context, args) => {
  const descriptor = descriptorAt(context, args, 0);
  const bytes = bytesFromRuns(textAt(args, 1));
  if (descriptor.append) descriptor.position = context.volume.fs.append(descriptor.ino, bytes, 0, bytes.length);
  else writeAt(context, descriptor, descriptor.position, textAt(args, 1));
  descriptor.position += bytes.length;
  return String(bytes.length);
};

const lseek: Command = (context, args) => {
  const descriptor = descriptorAt(context, args, 0);
  const offset = numberAt(args, 1);
  const whence = textAt(args, 2);
  const { size } = context.volume.attributes(descriptor.ino);
  if (whence === 'set') descriptor.position = offset;
  else if (whence === 'cur') descriptor.position += offset;
  else if (whence === 'end') descriptor.position = size + offset;
  else descriptor.position = context.volume.fs.seek(descriptor.ino, offset, whence === 'data' ? SeekWhence.data : SeekWhence.hole);
  return String(descriptor.position);
};

export const fileCommands: Commands = {
  open,
  write,
  lseek,
  close: (context, args) => {
    const { ino } = descriptorAt(context, args, 0);
    context.descriptors.delete(textAt(args, 0));
    context.volume.fs.release(ino, 1);
    return 'ok';
  },
  put: (context, args) => {
    const ino = openAt(context, textAt(args, 0), new Set(['w', 'creat', 'trunc']), 0o644);
    writeAt(context, { ino, position: 0, append: false }, 0, textAt(args, 1));
    context.volume.fs.release(ino, 1);
    return 'ok';
  },
  get: (context, args) => {
    const ino = context.walker.existing(textAt(args, 0), true);
    if (typeOf(context, ino) === FileType.directory) throw new FsError('EISDIR');
    return runsFromBytes(context.volume.read(ino, 0, Math.min(context.volume.attributes(ino).size, GET_MAX)));
  },
  read: (context, args) => {
    const descriptor = descriptorAt(context, args, 0);
    const bytes = context.volume.read(descriptor.ino, descriptor.position, numberAt(args, 1));
    descriptor.position += bytes.length;
    return runsFromBytes(bytes);
  },
  pread: (context, args) => runsFromBytes(context.volume.read(descriptorAt(context, args, 0).ino, numberAt(args, 1), numberAt(args, 2))),
  pwrite: (context, args) => String(writeAt(context, descriptorAt(context, args, 0), numberAt(args, 1), textAt(args, 2))),
  truncate: (context, args) => resize(context, context.walker.existing(textAt(args, 0), true), numberAt(args, 1)),
  ftruncate: (context, args) => resize(context, descriptorAt(context, args, 0).ino, numberAt(args, 1)),
  fallocate: (context, args) => {
    const mode = ALLOCATE_MODES[textAt(args, 1)] ?? numberAt(args, 1);
    context.volume.fs.allocate(descriptorAt(context, args, 0).ino, mode, numberAt(args, 2), numberAt(args, 3));
    return 'ok';
  },
  copy: (context, args) => {
    const [source, target] = [descriptorAt(context, args, 0), descriptorAt(context, args, 2)];
    return String(context.volume.fs.copyRange(source.ino, numberAt(args, 1), target.ino, numberAt(args, 3), numberAt(args, 4)));
  },
  fsync: (context, args) => {
    context.volume.fs.sync(descriptorAt(context, args, 0).ino);
    return 'ok';
  },
  fdatasync: (context, args) => {
    context.volume.fs.sync(descriptorAt(context, args, 0).ino);
    return 'ok';
  },
};
