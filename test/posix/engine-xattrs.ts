import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { XattrFlag } from '../../src/fs/types.js';
import { bytesFromRuns, runsFromBytes } from './bytes.js';
import { type Command, type Commands, type Context, numberAt, textAt } from './engine-context.js';

const ROOM = 65536;

function set(follow: boolean): Command {
  return (context, args) => {
    const ino = context.walker.existing(textAt(args, 0), follow);
    const value = bytesFromRuns(textAt(args, 2));
    const flags = (args.includes('create', 3) ? XattrFlag.create : 0) | (args.includes('replace', 3) ? XattrFlag.replace : 0);
    requireUserFile(context, ino, textAt(args, 1));
    context.volume.withName(textAt(args, 1), (name) => {
      context.volume.fs.setXattr(ino, name, value, 0, value.length, flags);
    });
    return 'ok';
  };
}

/** The kernel keeps user attributes to files and directories. */
function requireUserFile(context: Context, ino: Ino, name: string): void {
  const type = context.volume.attributes(ino).mode >> 12;
  if (name.startsWith('user.') && type !== 8 && type !== 4) throw new FsError('EPERM');
}

function get(follow: boolean): Command {
  return (context, args) => {
    const ino = context.walker.existing(textAt(args, 0), follow);
    const room = args[2] === undefined ? ROOM : numberAt(args, 2);
    const bytes = new Uint8Array(ROOM);
    const length = context.volume.withName(textAt(args, 1), (name) => context.volume.fs.getXattr(ino, name, bytes, 0, room));
    return room === 0 ? String(length) : runsFromBytes(bytes.subarray(0, length));
  };
}

export const xattrCommands: Commands = {
  setxattr: set(true),
  lsetxattr: set(false),
  getxattr: get(true),
  lgetxattr: get(false),
  listxattr: (context, args) => {
    const ino = context.walker.existing(textAt(args, 0), false);
    const room = args[1] === undefined ? ROOM : numberAt(args, 1);
    const bytes = Buffer.alloc(ROOM);
    const length = context.volume.fs.listXattr(ino, bytes, 0, room);
    if (room === 0) return String(length);
    const names = bytes.toString('latin1', 0, length).split('\0').slice(0, -1).sort();
    return names.length === 0 ? '-' : names.join(' ');
  },
  removexattr: (context, args) => {
    const ino = context.walker.existing(textAt(args, 0), false);
    context.volume.withName(textAt(args, 1), (name) => {
      context.volume.fs.removeXattr(ino, name);
    });
    return 'ok';
  },
};
