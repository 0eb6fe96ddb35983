import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { type Commands, type Context, descriptorAt, numberAt, octalAt, textAt } from './engine-context.js';

const TYPES: Record<string, number> = {
  file: FileType.regular,
  none: FileType.regular,
  fifo: FileType.fifo,
  socket: FileType.socket,
  char: FileType.character,
  block: FileType.block,
};
const RENAME_FLAGS: Record<string, number> = { noreplace: 1, exchange: 2, whiteout: 4 };

/** Makes a node at a path that must not be there. The result is not held. */
export function makeAt(context: Context, path: string, mode: number, major = 0, minor = 0): Ino {
  const { volume, walker, umask } = context;
  const place = walker.find(path, false);
  const { uid, gid } = context.owner();
  return volume.withName(place.name, (name) => volume.fs.makeNode(place.parent, name, mode & ~umask, volume.owner(uid, gid), major, minor));
}

function linkTo(context: Context, ino: Ino, path: string): string {
  const place = context.walker.find(path, false);
  context.volume.withName(place.name, (name) => {
    context.volume.fs.link(ino, place.parent, name);
  });
  return 'ok';
}

export const nameCommands: Commands = {
  umask: (context, args) => {
    context.umask = octalAt(args, 0, 0);
    return 'ok';
  },
  mkdir: (context, args) => {
    makeAt(context, textAt(args, 0), FileType.directory | octalAt(args, 1, 0o755));
    return 'ok';
  },
  mknod: (context, args) => {
    const type = TYPES[textAt(args, 1)];
    if (type === undefined) throw new FsError('EINVAL');
    makeAt(context, textAt(args, 0), type | octalAt(args, 2, 0), args.length > 3 ? numberAt(args, 3) : 0, args.length > 4 ? numberAt(args, 4) : 0);
    return 'ok';
  },
  symlink: (context, args) => {
    const { volume, walker } = context;
    const place = walker.find(textAt(args, 1), false);
    const { uid, gid } = context.owner();
    volume.withNames(place.name, textAt(args, 0), (name, target) => volume.fs.symlink(place.parent, name, target, volume.owner(uid, gid)));
    return 'ok';
  },
  readlink: (context, args) => {
    const target = context.walker.readlink(context.walker.existing(textAt(args, 0), false));
    return args.length > 1 ? target.slice(0, numberAt(args, 1)) : target;
  },
  link: (context, args) => linkTo(context, context.walker.existing(textAt(args, 0), args[2] === 'follow'), textAt(args, 1)),
  linkproc: (context, args) => linkTo(context, descriptorAt(context, args, 0).ino, textAt(args, 1)),
  flink: (context, args) => linkTo(context, descriptorAt(context, args, 0).ino, textAt(args, 1)),
  unlink: (context, args) => {
    const place = context.walker.find(textAt(args, 0), false);
    context.volume.withName(place.name, (name) => {
      context.volume.fs.unlink(place.parent, name);
    });
    return 'ok';
  },
  rmdir: (context, args) => {
    const place = context.walker.find(textAt(args, 0), false);
    context.volume.withName(place.name, (name) => {
      context.volume.fs.rmdir(place.parent, name);
    });
    return 'ok';
  },
  rename: (context, args) => {
    const { volume, walker } = context;
    const from = walker.find(textAt(args, 0), false);
    const to = walker.find(textAt(args, 1), false);
    const flags = args.slice(2).reduce((bits, flag) => bits | (RENAME_FLAGS[flag] ?? Number(flag)), 0);
    volume.withNames(from.name, to.name, (name, newName) => {
      volume.fs.rename(from.parent, name, to.parent, newName, flags);
    });
    return 'ok';
  },
};
