import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { type Commands, type Context, numberAt, type Stream, textAt } from './engine-context.js';
import { makeAt } from './engine-names.js';

const TYPES = new Map<number, string>([
  [FileType.regular, 'file'], [FileType.directory, 'dir'], [FileType.symlink, 'link'], [FileType.fifo, 'fifo'],
  [FileType.socket, 'socket'], [FileType.character, 'char'], [FileType.block, 'block'],
]);

function isDots(name: string): boolean {
  return name === '.' || name === '..';
}

function directoryAt(context: Context, path: string): Ino {
  const ino = context.walker.existing(path, true);
  if ((context.volume.attributes(ino).mode & FileType.mask) !== FileType.directory) throw new FsError('ENOTDIR');
  return ino;
}

function streamAt(context: Context, args: string[]): Stream {
  const stream = context.streams.get(textAt(args, 0));
  if (stream === undefined) throw new Error(`no directory stream: ${args.join(' ')}`);
  return stream;
}

function inOrder(names: string[]): string {
  return names.length === 0 ? '-' : names.sort((a, b) => (a < b ? -1 : 1)).join(' ');
}

export const directoryCommands: Commands = {
  list: (context, args) => {
    const flags = new Set(args.slice(1));
    const entries = context.volume.list(directoryAt(context, textAt(args, 0))).filter(({ name }) => flags.has('dots') || !isDots(name));
    if (flags.has('count')) return String(entries.length);
    return inOrder(entries.map(({ name, type }) => (flags.has('types') ? `${name}:${TYPES.get(type << 12) ?? 'unknown'}` : name)));
  },
  opendir: (context, args) => {
    context.streams.set(textAt(args, 0), { ino: context.hold(directoryAt(context, textAt(args, 1))), cookie: 0, saved: new Map() });
    return 'ok';
  },
  readdir: (context, args) => {
    const stream = streamAt(context, args);
    const names: string[] = [];
    for (let most = numberAt(args, 1); names.length < most; ) {
      const [entry] = context.volume.readDirectory(stream.ino, stream.cookie, 1);
      if (entry === undefined) break;
      stream.cookie = entry.cookie;
      if (args.includes('dots') || !isDots(entry.name)) names.push(entry.name);
    }
    return args.includes('count') ? String(names.length) : inOrder(names);
  },
  rewinddir: (context, args) => {
    streamAt(context, args).cookie = 0;
    return 'ok';
  },
  telldir: (context, args) => {
    const stream = streamAt(context, args);
    stream.saved.set(textAt(args, 1), stream.cookie);
    return 'ok';
  },
  seekdir: (context, args) => {
    const stream = streamAt(context, args);
    stream.cookie = stream.saved.get(textAt(args, 1)) ?? 0;
    return 'ok';
  },
  closedir: (context, args) => {
    context.volume.fs.release(streamAt(context, args).ino, 1);
    context.streams.delete(textAt(args, 0));
    return 'ok';
  },
  fill: (context, args) => {
    for (let i = 0; i < numberAt(args, 2); i++) {
      const path = `${textAt(args, 0)}/${textAt(args, 1)}${String(i)}`;
      if (args[3] === 'remove') {
        const place = context.walker.find(path, false);
        context.volume.withName(place.name, (name) => {
          context.volume.fs.unlink(place.parent, name);
        });
      } else {
        makeAt(context, path, FileType.regular | 0o666);
      }
    }
    return 'ok';
  },
};
