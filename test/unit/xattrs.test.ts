// Guards extended attributes and ACLs: promises 1, 2 and 6 for them (durable, atomic, bounded), errors as Linux gives them, and what
// Linux's own filesystems do with ACLs when files are made and modes change. SEED=n replays.
import t from 'tap';
import { FsError } from '../../src/base/errno.js';
import { Random } from '../../src/base/random.js';
import { asIno, type Ino, MIB } from '../../src/base/units.js';
import { verifyVolume } from '../../src/check/verify.js';
import { FileType } from '../../src/format/layout.js';
import { AttributeChange, Change, Name, XattrFlag } from '../../src/fs/types.js';
import { MemoryVolume } from '../helpers/memory-volume.js';
import { acl, type AclEntry, MINIMAL_ACL } from '../helpers/acl.js';
import { seed } from '../helpers/run.js';

const SEED = seed();
t.comment(`SEED=${String(SEED)}`);
const root = asIno(1);
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/** A volume with a file to put attributes on, and short forms of the calls. */
class Kit {
  readonly volume: MemoryVolume;
  readonly file: Ino;

  constructor(options: { sizeBytes?: number; cacheBytes?: number } = {}) {
    this.volume = new MemoryVolume({ sizeBytes: 16 * MIB, ...options });
    this.file = this.make('file');
  }

  make(name: string, mode: number = FileType.regular | 0o644, parent: Ino = root, umask = 0): Ino {
    const caller = Object.assign(this.volume.owner(1000, 100), { umask });
    const ino = this.volume.withName(name, (given) => this.volume.fs.makeNode(parent, given, mode, caller, 0, 0));
    caller.umask = 0;
    return ino;
  }

  set(name: string, value: Uint8Array | string, flags = 0, ino = this.file): void {
    const bytes = Buffer.from(value);
    const buffer = Buffer.alloc(bytes.length + 5, 0xee);
    bytes.copy(buffer, 5);
    this.volume.withName(name, (given) => { this.volume.fs.setXattr(ino, given, buffer, 5, bytes.length, flags); });
    buffer.fill(0xdd);
  }

  get(name: string, ino = this.file, size = 65536): Buffer {
    const buffer = Buffer.alloc(65536 + 3);
    const length = this.volume.withName(name, (given) => this.volume.fs.getXattr(ino, given, buffer, 3, size));
    return buffer.subarray(3, 3 + length);
  }

  list(ino = this.file): string[] {
    const buffer = Buffer.alloc(65536 + 3);
    const length = this.volume.fs.listXattr(ino, buffer, 3, 65536);
    return buffer.toString('latin1', 3, 3 + length).split('\0').slice(0, -1).sort();
  }

  remove(name: string, ino = this.file): void {
    this.volume.withName(name, (given) => { this.volume.fs.removeXattr(ino, given); });
  }

  /** The error's name, or what came back. */
  attempt(action: () => unknown): unknown {
    try {
      return action() ?? 'done';
    } catch (error) {
      if (error instanceof FsError) return error.code;
      throw error;
    }
  }

  mode(ino = this.file): string {
    return (this.volume.attributes(ino).mode & 0o7777).toString(8);
  }

  chmod(mode: number, ino = this.file): void {
    this.change(ino, { mask: Change.mode, mode });
  }

  change(ino: Ino, fields: Partial<AttributeChange>): void {
    this.volume.fs.setAttributes(ino, Object.assign(new AttributeChange(), fields));
  }

  free(): number {
    this.volume.settle();
    return this.volume.statistics().freeBlocks;
  }

  unlink(name: string): void {
    this.volume.withName(name, (given) => { this.volume.fs.unlink(root, given); });
  }

  /** Closes, verifies, opens again. */
  remount(): string[] {
    this.volume.leave('close', new Random(1));
    const report = verifyVolume(this.volume.pmem);
    this.volume.reopen();
    return report.findings.map((finding) => finding.message);
  }
}

function bytes(length: number, start: number): Buffer {
  const value = Buffer.alloc(length);
  new Random(start).bytes(value);
  return value;
}

t.test('values of every length come back, before and after a remount, and their space too', (t) => {
  const kit = new Kit();
  const fresh = kit.free();
  const lengths = [0, 1, 7, 255, 260, 261, 277, 278, 279, 300, 4031, 4032, 4033, 8064, 20_000, 65_535, 65_536];
  for (const length of lengths) kit.set(`user.${String(length)}`, bytes(length, length));
  const check = (): void => {
    t.same(kit.list(), lengths.map((length) => `user.${String(length)}`).sort());
    for (const length of lengths) {
      t.ok(kit.get(`user.${String(length)}`).equals(bytes(length, length)), `${String(length)} bytes`);
      t.equal(kit.get(`user.${String(length)}`, kit.file, 0).length, length, 'size 0 asks for the length');
    }
  };
  check();
  t.same(kit.remount(), []);
  check();
  const { blocks } = kit.volume.attributes(kit.file);
  t.equal(blocks / 8, fresh - kit.free(), 'blocks counts all that was taken');
  for (const length of lengths) kit.remove(`user.${String(length)}`);
  t.equal(kit.volume.attributes(kit.file).blocks, 0);
  t.equal(kit.free(), fresh);
  t.same(kit.remount(), []);
  t.end();
});

t.test('a value is replaced by one of any other length', (t) => {
  const kit = new Kit();
  const random = new Random(SEED);
  const lengths = [0, 5, 200, 270, 300, 4032, 5000, 65_536];
  for (let count = 0; count < 300; count += 1) {
    const name = `user.${random.pick(['a', 'b', 'long'.repeat(50)])}`;
    const value = bytes(random.pick(lengths), count);
    kit.set(name, value);
    if (!kit.get(name).equals(value)) t.fail(`replacement ${String(count)}`);
  }
  t.same(kit.remount(), []);
  t.end();
});

t.test('create and replace, names and sizes: errors as setxattr(2) has them', (t) => {
  const kit = new Kit();
  const is = (expected: string, action: () => unknown, message: string): void => { t.equal(kit.attempt(action), expected, message); };
  is('ENODATA', () => { kit.set('user.a', '1', XattrFlag.replace); }, 'nothing to replace');
  kit.set('user.a', '1', XattrFlag.create);
  is('EEXIST', () => { kit.set('user.a', '2', XattrFlag.create); }, 'something there');
  kit.set('user.a', '22', XattrFlag.replace);
  t.equal(kit.get('user.a').toString(), '22');
  is('EINVAL', () => { kit.set('user.a', '2', 8); }, 'unknown flag');
  is('ERANGE', () => kit.get('user.a', kit.file, 1), 'no room');
  is('ENODATA', () => kit.get('user.b'), 'not there');
  is('ENODATA', () => { kit.remove('user.b'); }, 'not there');
  is('ERANGE', () => { kit.set(`user.${'n'.repeat(251)}`, ''); }, 'a name of 256 bytes');
  kit.set(`user.${'n'.repeat(250)}`, 'longest');
  t.equal(kit.get(`user.${'n'.repeat(250)}`).toString(), 'longest');
  is('E2BIG', () => { kit.set('user.big', Buffer.alloc(65_537)); }, 'a value of 65537 bytes');
  for (const name of ['user', 'other.a', 'system.a', 'USER.a', 'system.posix_acl_accessx']) {
    is('EOPNOTSUPP', () => { kit.set(name, ''); }, name);
    is('EOPNOTSUPP', () => kit.get(name), name);
    is('EOPNOTSUPP', () => { kit.remove(name); }, name);
  }
  is('EINVAL', () => { kit.set('user.', ''); }, 'a namespace alone');
  for (const name of ['trusted.\xff', 'security.x', 'user.a/b']) kit.set(name, name);
  t.equal(kit.list().length, 5);
  is('ESTALE', () => { kit.set('user.a', '', 0, asIno(77)); }, 'no such inode');
  is('ERANGE', () => kit.volume.fs.listXattr(kit.file, Buffer.alloc(10), 0, 10), 'no room for the names');
  t.equal(kit.volume.fs.listXattr(kit.file, Buffer.alloc(0), 0, 0), kit.list().join('.').length + 1);

  const fifo = kit.make('fifo', FileType.fifo | 0o600);
  const link = kit.volume.withNames('link', 'x', (name, target) => kit.volume.fs.symlink(root, name, target, kit.volume.owner(0, 0)));
  for (const ino of [fifo, link]) {
    is('EPERM', () => { kit.set('user.a', '', 0, ino); }, 'attributes of users are for files and directories');
    kit.set('trusted.a', 'kept', 0, ino);
    t.equal(kit.get('trusted.a', ino).toString(), 'kept');
  }
  is('EOPNOTSUPP', () => { kit.set(ACCESS, acl(...MINIMAL_ACL), 0, link); }, 'a symbolic link has no ACL');
  t.same(kit.remount(), []);
  t.end();
});

t.test('setting and removing change ctime and nothing else', (t) => {
  const kit = new Kit();
  const times = (): number[] => {
    const { ctimeSeconds, mtimeSeconds, atimeSeconds } = kit.volume.attributes(kit.file);
    return [ctimeSeconds, mtimeSeconds, atimeSeconds].map((seconds) => seconds - 1_700_000_000);
  };
  kit.volume.clock.advance(1e9);
  kit.set('user.a', '1');
  t.same(times(), [1, 0, 0]);
  kit.volume.clock.advance(1e9);
  kit.get('user.a');
  kit.list();
  t.same(times(), [1, 0, 0]);
  kit.remove('user.a');
  t.same(times(), [2, 0, 0]);
  t.end();
});

t.test('thousands of attributes on one inode, listed with a small cache, until the list is full', (t) => {
  const kit = new Kit({ sizeBytes: 64 * MIB, cacheBytes: MIB });
  const fresh = kit.free();
  const names: string[] = [];
  const value = Buffer.alloc(270, 7);
  let outcome: unknown = 'done';
  for (let index = 0; outcome === 'done'; index += 1) {
    const name = `user.${index.toString(36)}`;
    outcome = kit.attempt(() => { kit.set(name, value); });
    if (outcome === 'done') names.push(name);
  }
  t.equal(outcome, 'ENOSPC', 'what listxattr can return is the limit');
  t.ok(names.length > 6000, `${String(names.length)} attributes`);
  t.same(kit.list(), names.sort());
  t.equal(kit.get(names[4000] as string).length, 270);
  t.same(kit.remount(), []);
  t.same(kit.list(), names);
  for (let index = 0; index < names.length; index += 2) kit.remove(names[index] as string);
  t.same(kit.list(), names.filter((_, index) => index % 2 === 1));
  t.same(kit.remount(), []);
  kit.unlink('file');
  t.equal(kit.free(), fresh + 0, 'unlink gives all back, in steps');
  t.same(kit.remount(), []);
  t.end();
});

t.test('a full volume: ENOSPC leaves everything as it was, and removing works', (t) => {
  const kit = new Kit({ sizeBytes: 4 * MIB });
  const chunk = Buffer.alloc(65_536, 9);
  kit.set('user.kept', bytes(5000, 1));
  kit.set('security.capability', 'caps');
  kit.set(ACCESS, acl(['userObject', 0, 7], ['user', 5, 7], ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 0]));
  let count = 0;
  while (kit.attempt(() => { kit.set(`user.fill${String(count)}`, chunk); }) === 'done') count += 1;
  t.ok(count > 10);
  while (kit.attempt(() => { kit.set(`user.small${String(count)}`, Buffer.alloc(3000)); }) === 'done') count += 1;
  t.equal(kit.attempt(() => { kit.set('user.kept', chunk); }), 'ENOSPC');
  t.ok(kit.get('user.kept').equals(bytes(5000, 1)), 'the old value is whole');
  kit.set('user.kept', bytes(5000, 2));
  t.ok(kit.get('user.kept').equals(bytes(5000, 2)), 'one of the same length needs no space');
  kit.chmod(0o700);
  t.ok(kit.get(ACCESS).equals(acl(['userObject', 0, 7], ['user', 5, 7], ['groupObject', 0, 5], ['mask', 0, 0], ['other', 0, 0])), 'chmod neither');
  t.same(kit.remount(), []);
  for (const name of kit.list()) kit.remove(name);
  t.same(kit.list(), []);
  t.same(kit.remount(), []);
  t.end();
});

t.test('attributes live and die with their inode', (t) => {
  const kit = new Kit();
  const fresh = kit.free();
  for (const mode of [FileType.regular, FileType.directory, FileType.character, FileType.fifo]) {
    const ino = kit.make('x', mode | 0o755);
    for (let index = 0; index < 40; index += 1) kit.set(`trusted.${String(index)}`, bytes(index * 500, index), 0, ino);
    kit.volume.fs.hold(ino);
    if (mode === FileType.directory) kit.volume.withName('x', (name) => { kit.volume.fs.rmdir(root, name); });
    else kit.unlink('x');
    t.ok(kit.get('trusted.39', ino).equals(bytes(19_500, 39)), 'unlinked, but held');
    kit.set('trusted.late', 'still possible', 0, ino);
    kit.volume.fs.release(ino, 1);
    t.equal(kit.free(), fresh, 'all is given back');
    t.same(kit.list(kit.make('x', FileType.regular | 0o600)), [], 'and nothing is left for the next one');
    kit.unlink('x');
  }
  t.same(kit.remount(), []);
  t.end();
});

t.test('names whose hashes collide', (t) => {
  const volume = new MemoryVolume({ sizeBytes: 16 * MIB, hash: () => 5 });
  const ino = volume.fs.makeNode(root, Name.from('f'), FileType.regular | 0o600, volume.owner(0, 0), 0, 0);
  const name = (index: number): Name => Name.from(`user.${String(index)}`);
  for (let index = 0; index < 1024; index += 1) volume.fs.setXattr(ino, name(index), Buffer.from(String(index)), 0, String(index).length, 0);
  t.throws(() => { volume.fs.setXattr(ino, name(9999), Buffer.alloc(0), 0, 0, 0); }, { code: 'ENOSPC' });
  volume.fs.removeXattr(ino, name(500));
  volume.fs.setXattr(ino, name(9999), Buffer.from('new'), 0, 3, 0);
  const buffer = Buffer.alloc(10);
  for (const [index, value] of [[0, '0'], [501, '501'], [1023, '1023'], [9999, 'new']] as const) {
    t.equal(buffer.toString('latin1', 0, volume.fs.getXattr(ino, name(index), buffer, 0, 10)), value);
  }
  volume.leave('close', new Random(1));
  t.same(verifyVolume(volume.pmem, { nameHash: () => 5 }).findings, []);
  t.end();
});

t.test('capabilities go with a change of contents or owner', (t) => {
  const kit = new Kit();
  kit.volume.fs.write(kit.file, 0, Buffer.alloc(10_000, 1), 0, 10_000);
  const other = kit.make('other');
  const changes: [string, () => void][] = [
    ['overwrite', () => { kit.volume.fs.write(kit.file, 0, Buffer.from('x'), 0, 1); }],
    ['append', () => { kit.volume.fs.append(kit.file, Buffer.from('x'), 0, 1); }],
    ['truncate', () => { kit.change(kit.file, { mask: Change.size, size: 5 }); }],
    ['chown', () => { kit.change(kit.file, { mask: Change.uid, uid: 5 }); }],
    ['chgrp', () => { kit.change(kit.file, { mask: Change.gid, gid: 5 }); }],
    ['fallocate', () => { kit.volume.fs.allocate(kit.file, 0, 0, 100); }],
    ['copy_file_range', () => { kit.volume.fs.write(other, 0, Buffer.from('abc'), 0, 3); kit.volume.fs.copyRange(other, 0, kit.file, 0, 3); }],
    ['killPrivileges', () => { kit.change(kit.file, { mask: Change.killPrivileges }); }],
  ];
  kit.set('user.stays', 'y');
  for (const [what, change] of changes) {
    kit.set('security.capability', 'caps');
    change();
    t.equal(kit.attempt(() => kit.get('security.capability')), 'ENODATA', what);
  }
  kit.set('security.capability', 'caps');
  kit.chmod(0o4755);
  kit.change(kit.file, { mask: Change.mtimeNow });
  kit.volume.fs.write(kit.file, 0, Buffer.alloc(0), 0, 0);
  t.equal(kit.get('security.capability').toString(), 'caps', 'chmod, utimens and writing nothing leave them');
  t.same(kit.list(), ['security.capability', 'user.stays']);
  t.same(kit.remount(), []);
  t.end();
});

t.test('an access ACL and the mode follow each other', (t) => {
  const kit = new Kit();
  const whole: AclEntry[] = [['userObject', 0, 6], ['user', 7, 5], ['groupObject', 0, 4], ['group', 9, 7], ['mask', 0, 5], ['other', 0, 0]];
  kit.chmod(0o7644);
  kit.set(ACCESS, acl(...whole));
  t.equal(kit.mode(), '7650', 'the mask is the group of the mode; set-id bits stay');
  kit.set(ACCESS, acl(...whole), XattrFlag.killSetGroupId);
  t.equal(kit.mode(), '5650', 'but for one who may not keep set-group-id');
  kit.chmod(0o731);
  t.ok(kit.get(ACCESS).equals(acl(['userObject', 0, 7], ['user', 7, 5], ['groupObject', 0, 4], ['group', 9, 7], ['mask', 0, 3], ['other', 0, 1])), 'chmod changes owner, mask and other');
  kit.set(ACCESS, acl(['userObject', 0, 6], ['groupObject', 0, 2], ['other', 0, 4]));
  t.same([kit.mode(), kit.list()], ['624', []], 'an ACL that the mode can express becomes the mode');
  kit.set(ACCESS, acl(...whole));
  kit.set(ACCESS, acl());
  t.same([kit.mode(), kit.list()], ['650', []], 'an ACL without entries removes it');
  kit.set(ACCESS, acl(...whole));
  kit.remove(ACCESS);
  kit.remove(ACCESS);
  kit.remove(DEFAULT);
  t.same([kit.mode(), kit.list()], ['650', []], 'removing one that is not there is no error');
  kit.set(ACCESS, acl(['userObject', 0, 6], ['groupObject', 0, 7], ['mask', 0, 4], ['other', 0, 0]));
  t.same([kit.mode(), kit.list()], ['640', [ACCESS]], 'a mask alone is kept');
  kit.chmod(0o777);
  t.equal(kit.get(ACCESS)[4 + 8 + 2], 7, 'the group entry stays as it was');
  t.same(kit.remount(), []);
  t.end();
});

t.test('ACLs that are none are refused', (t) => {
  const kit = new Kit();
  const directory = kit.make('d', FileType.directory | 0o755);
  const good = acl(...MINIMAL_ACL);
  const spoilt = (at: number, value: number): Buffer => {
    const copy = Buffer.from(good);
    copy[at] = value;
    return copy;
  };
  const wrong: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['cut short', good.subarray(0, good.length - 1)],
    ['another version', spoilt(0, 1)],
    ['permissions beyond rwx', spoilt(6, 8)],
    ['an unknown tag', spoilt(4, 3)],
    ['no owner', acl(['groupObject', 0, 5], ['other', 0, 5])],
    ['no group', acl(['userObject', 0, 5], ['other', 0, 5])],
    ['no other', acl(['userObject', 0, 5], ['groupObject', 0, 5])],
    ['two owners', acl(['userObject', 0, 5], ['userObject', 0, 5], ['groupObject', 0, 5], ['other', 0, 5])],
    ['out of order', acl(['groupObject', 0, 5], ['userObject', 0, 5], ['other', 0, 5])],
    ['named without a mask', acl(['userObject', 0, 5], ['user', 7, 5], ['groupObject', 0, 5], ['other', 0, 5])],
    ['a user without an id', acl(['userObject', 0, 5], ['user', 0xffffffff, 5], ['groupObject', 0, 5], ['mask', 0, 5], ['other', 0, 5])],
  ];
  for (const [what, value] of wrong) {
    t.equal(kit.attempt(() => { kit.set(ACCESS, value); }), 'EINVAL', what);
    t.equal(kit.attempt(() => { kit.set(DEFAULT, value, 0, directory); }), 'EINVAL', `default: ${what}`);
  }
  const many = Array.from({ length: 520 }, (_, index): AclEntry => ['user', index, 7]);
  t.equal(kit.attempt(() => { kit.set(ACCESS, acl(['userObject', 0, 7], ...many, ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 0])); }), 'E2BIG', 'more than the kernel has room for');
  kit.set(ACCESS, acl(['userObject', 0, 7], ...many.slice(0, 500), ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 0]));
  kit.chmod(0o750);
  t.equal(kit.get(ACCESS)[4 + 8 * 502 + 2], 5, 'a long one lies in blocks, and follows chmod');
  t.equal(kit.attempt(() => { kit.set(DEFAULT, good); }), 'EACCES', 'a file has no default ACL');
  t.equal(kit.attempt(() => { kit.set(DEFAULT, acl()); }), 'done', 'and may be told so');
  t.same(kit.remount(), []);
  t.end();
});

t.test('what is made in a directory inherits its default ACL, in place of the umask', (t) => {
  const kit = new Kit();
  const plain = kit.make('plain', FileType.directory | 0o755);
  t.equal(kit.mode(kit.make('a', FileType.regular | 0o666, plain, 0o027)), '640', 'without one the umask counts');
  const parent = kit.make('parent', FileType.directory | 0o2775);
  const whole: AclEntry[] = [['userObject', 0, 7], ['user', 7, 7], ['groupObject', 0, 5], ['mask', 0, 6], ['other', 0, 5]];
  kit.set(DEFAULT, acl(...whole), 0, parent);
  t.equal(kit.mode(parent), '2775', 'a default ACL leaves the mode alone');

  const file = kit.make('file', FileType.regular | 0o664, parent, 0o077);
  t.equal(kit.mode(file), '664', 'the umask does not count');
  t.same(kit.list(file), [ACCESS]);
  t.ok(kit.get(ACCESS, file).equals(acl(['userObject', 0, 6], ['user', 7, 7], ['groupObject', 0, 5], ['mask', 0, 6], ['other', 0, 4])));
  const narrow = kit.make('narrow', FileType.regular | 0o600, parent);
  t.ok(kit.get(ACCESS, narrow).equals(acl(['userObject', 0, 6], ['user', 7, 7], ['groupObject', 0, 5], ['mask', 0, 0], ['other', 0, 0])), 'the mode limits the mask');
  const sub = kit.make('sub', FileType.directory | 0o777, parent, 0o077);
  t.same([kit.mode(sub), kit.list(sub)], ['2765', [ACCESS, DEFAULT]], 'a directory gets both, and set-group-id');
  t.ok(kit.get(DEFAULT, sub).equals(acl(...whole)));
  const deep = kit.make('deep', FileType.fifo | 0o666, sub);
  t.same([kit.mode(deep), kit.list(deep)], ['664', [ACCESS]], 'from generation to generation');
  const temporary = kit.volume.fs.makeTemporary(parent, FileType.regular | 0o606, kit.volume.owner(1, 1));
  t.same([kit.mode(temporary), kit.list(temporary)], ['604', [ACCESS]], 'a file without a name, too');
  const link = kit.volume.withNames('link', 'x', (name, target) => kit.volume.fs.symlink(parent, name, target, kit.volume.owner(0, 0)));
  t.same([kit.mode(link), kit.list(link)], ['777', []], 'a symbolic link inherits nothing');

  kit.set(DEFAULT, acl(['userObject', 0, 6], ['groupObject', 0, 4], ['other', 0, 0]), 0, parent);
  const simple = kit.make('simple', FileType.regular | 0o777, parent, 0o077);
  t.same([kit.mode(simple), kit.list(simple)], ['640', []], 'a default ACL that a mode can express makes just a mode');

  const many = Array.from({ length: 400 }, (_, index): AclEntry => ['user', index, 7]);
  kit.set(DEFAULT, acl(['userObject', 0, 7], ...many, ['groupObject', 0, 5], ['mask', 0, 7], ['other', 0, 0]), 0, parent);
  const big = kit.make('big', FileType.directory | 0o777, parent);
  t.same([kit.mode(big), kit.get(DEFAULT, big).length], ['2770', 4 + 404 * 8], 'long ones in blocks of their own');
  t.equal(kit.volume.attributes(big).blocks / 8, 3);
  t.same(kit.remount(), []);
  t.same([kit.mode(big), kit.get(DEFAULT, big).length], ['2770', 4 + 404 * 8]);
  t.end();
});

t.test('a volume that was made without the feature has no attributes, and no program that lacks it writes one that has', (t) => {
  const kit = new Kit();
  t.same(kit.remount(), []);
  const old = new MemoryVolume({ sizeBytes: 4 * MIB, readOnlyFeatures: 0 });
  const ino = old.fs.makeNode(root, Name.from('f'), FileType.regular | 0o600, old.owner(0, 0), 0, 0);
  t.throws(() => { old.fs.setXattr(ino, Name.from('user.a'), Buffer.alloc(1), 0, 1, 0); }, { code: 'EOPNOTSUPP' });
  t.throws(() => old.fs.getXattr(ino, Name.from('user.a'), Buffer.alloc(1), 0, 1), { code: 'ENODATA' });
  t.equal(old.fs.listXattr(ino, Buffer.alloc(1), 0, 1), 0);
  old.leave('close', new Random(1));
  t.same(verifyVolume(old.pmem).findings, []);
  t.end();
});
