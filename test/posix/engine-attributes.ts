import { FsError } from '../../src/base/errno.js';
import type { Ino } from '../../src/base/units.js';
import { FileType } from '../../src/format/layout.js';
import { AttributeChange, type Attributes, Change } from '../../src/fs/types.js';
import { type Commands, type Context, descriptorAt, numberAt, octalAt, textAt } from './engine-context.js';

const KEEP = -1;
const TYPE_NAMES = new Map<number, string>([
  [FileType.regular, 'file'], [FileType.directory, 'dir'], [FileType.symlink, 'link'], [FileType.fifo, 'fifo'],
  [FileType.socket, 'socket'], [FileType.character, 'char'], [FileType.block, 'block'],
]);

function fieldOf(attributes: Attributes, field: string): string {
  switch (field) {
    case 'type': return TYPE_NAMES.get(attributes.mode & FileType.mask) ?? 'bad';
    case 'mode': return (attributes.mode & 0o7777).toString(8).padStart(4, '0');
    case 'uid': return String(attributes.uid);
    case 'gid': return String(attributes.gid);
    case 'nlink': return String(attributes.nlink);
    case 'size': return String(attributes.size);
    case 'blocks': return String(attributes.blocks);
    case 'rdev': return `${String(attributes.rdevMajor)}:${String(attributes.rdevMinor)}`;
    case 'atime': return `${String(attributes.atimeSeconds)}.${String(attributes.atimeNanoseconds)}`;
    case 'mtime': return `${String(attributes.mtimeSeconds)}.${String(attributes.mtimeNanoseconds)}`;
    case 'born': return attributes.btimeSeconds !== 0 ? 'yes' : 'no';
    default: throw new Error(`no field '${field}'`);
  }
}

function show(context: Context, ino: Ino, fields: string[]): string {
  const attributes = context.volume.attributes(ino);
  return fields.length === 0 ? 'ok' : fields.map((field) => fieldOf(attributes, field)).join(' ');
}

function change(context: Context, ino: Ino, fill: (change: AttributeChange) => void): string {
  const wanted = new AttributeChange();
  fill(wanted);
  if (wanted.mask !== 0) context.volume.fs.setAttributes(ino, wanted);
  return 'ok';
}

function chmod(context: Context, ino: Ino, args: string[]): string {
  return change(context, ino, (wanted) => {
    wanted.mask = Change.mode;
    wanted.mode = octalAt(args, 1, 0);
  });
}

function chown(context: Context, ino: Ino, args: string[]): string {
  return change(context, ino, (wanted) => {
    wanted.uid = numberAt(args, 1);
    wanted.gid = numberAt(args, 2);
    wanted.mask = (wanted.uid === KEEP ? 0 : Change.uid) | (wanted.gid === KEEP ? 0 : Change.gid);
  });
}

/** utimensat(2) as the kernel hands it on: `omit` leaves a time alone, `now` sends the present one. */
function utimens(context: Context, ino: Ino, args: string[]): string {
  return change(context, ino, (wanted) => {
    const [atime, mtime] = [textAt(args, 1), textAt(args, 2)];
    if (atime === 'now') wanted.mask |= Change.atime | Change.atimeNow;
    else if (atime !== 'omit') wanted.mask |= Change.atime;
    if (mtime === 'now') wanted.mask |= Change.mtime | Change.mtimeNow;
    else if (mtime !== 'omit') wanted.mask |= Change.mtime;
    [wanted.atimeSeconds, wanted.atimeNanoseconds] = timeOf(atime);
    [wanted.mtimeSeconds, wanted.mtimeNanoseconds] = timeOf(mtime);
  });
}

function timeOf(text: string): [number, number] {
  if (text === 'now' || text === 'omit') return [0, 0];
  const [seconds = '0', nanoseconds = '0'] = text.split('.');
  return [Number(seconds), Number(nanoseconds)];
}

function times(context: Context, ino: Ino): string[] {
  const a = context.volume.attributes(ino);
  return [
    `${String(a.atimeSeconds)}.${String(a.atimeNanoseconds)}`,
    `${String(a.mtimeSeconds)}.${String(a.mtimeNanoseconds)}`,
    `${String(a.ctimeSeconds)}.${String(a.ctimeNanoseconds)}`,
  ];
}

export const attributeCommands: Commands = {
  stat: (context, args) => show(context, context.walker.existing(textAt(args, 0), true), args.slice(1)),
  lstat: (context, args) => show(context, context.walker.existing(textAt(args, 0), false), args.slice(1)),
  fstat: (context, args) => show(context, descriptorAt(context, args, 0).ino, args.slice(1)),
  chmod: (context, args) => chmod(context, context.walker.existing(textAt(args, 0), true), args),
  fchmod: (context, args) => chmod(context, descriptorAt(context, args, 0).ino, args),
  chown: (context, args) => chown(context, context.walker.existing(textAt(args, 0), true), args),
  lchown: (context, args) => chown(context, context.walker.existing(textAt(args, 0), false), args),
  fchown: (context, args) => chown(context, descriptorAt(context, args, 0).ino, args),
  utimens: (context, args) => utimens(context, context.walker.existing(textAt(args, 0), true), args),
  lutimens: (context, args) => utimens(context, context.walker.existing(textAt(args, 0), false), args),
  futimens: (context, args) => utimens(context, descriptorAt(context, args, 0).ino, args),
  mark: (context, args) => {
    context.marks.set(textAt(args, 0), times(context, context.walker.existing(textAt(args, 0), false)));
    return 'ok';
  },
  changed: (context, args) => {
    const key = args[1] ?? textAt(args, 0);
    const before = context.marks.get(key);
    if (before === undefined) throw new Error(`no mark of ${key}`);
    const now = times(context, context.walker.existing(textAt(args, 0), false));
    context.marks.delete(key);
    const letters = ['a', 'm', 'c'].filter((_, i) => now[i] !== before[i]).join('');
    return letters === '' ? '-' : letters;
  },
  recent: (context, args) => {
    const a = context.volume.attributes(context.walker.existing(textAt(args, 0), false));
    const near = (seconds: number): boolean => Math.abs(seconds - context.volume.clock.seconds) < 60;
    const letters = `${near(a.atimeSeconds) ? 'a' : ''}${near(a.mtimeSeconds) ? 'm' : ''}`;
    return letters === '' ? '-' : letters;
  },
  same: (context, args) => (context.walker.existing(textAt(args, 0), false) === context.walker.existing(textAt(args, 1), false) ? 'yes' : 'no'),
  statfs: (context, args) => {
    context.walker.existing(textAt(args, 0), true);
    const s = context.volume.statistics();
    const sane = s.blocks >= s.freeBlocks && s.freeBlocks >= s.availableBlocks && s.files >= s.freeFiles && s.freeFiles > 0;
    return args.slice(1).map((field) => {
      if (field === 'bsize') return String(s.blockSize);
      if (field === 'namemax') return String(s.nameMax);
      if (field === 'sane') return sane ? 'yes' : 'no';
      throw new FsError('EINVAL', `no field '${field}'`);
    }).join(' ');
  },
};
