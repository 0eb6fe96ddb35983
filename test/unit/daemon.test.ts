// Guards what the daemon reads and says: mount options as mount(8) passes them, the table of mounts, a log that can't be flooded.
import t from 'tap';
import { plainMount } from '../../src/cli/nvmfs.js';
import { limitRepeats } from '../../src/daemon/log.js';
import { parseMounts } from '../../src/daemon/mounts.js';
import { parseOptions } from '../../src/daemon/options.js';

t.test('mount options', (t) => {
  const plain = parseOptions([], false);
  t.match(plain, { readOnly: false, flags: [], maxRead: 0, fsname: null, subtype: 'nvmfs', domain: null, transport: 'devfuse', pidfile: null });
  t.equal(plain.allowOther, process.geteuid?.() === 0, 'a volume mounted by root is for everybody');
  t.match(
    parseOptions(['ro', 'nosuid', 'noatime', 'max_read=64k', 'fsname=a=b', 'domain=file', 'direct_io', 'noacl', 'cache_size=1g', 'pidfile=/run/x', 'debug'], false),
    { readOnly: true, flags: ['nosuid', 'noatime'], maxRead: 65536, fsname: 'a=b', domain: 'file', directIo: true, acls: false, cacheBytes: 2 ** 30, pidfile: '/run/x', debug: true },
  );
  t.equal(parseOptions(['ro', 'rw'], false).readOnly, false, 'the last word counts');
  t.equal(parseOptions(['allow_other', 'noallow_other'], false).allowOther, false);
  t.equal(parseOptions(['pidfile="/run/a b"'], false).pidfile, '/run/a b');
  t.equal(parseOptions(['transport=fuse-native'], false).transport, 'fuse-native');
  t.match(parseOptions(['ro', 'norecovery', 'errors=remount-ro'], false), { noRecovery: true, errors: 'remount-ro' });
  t.match(parseOptions(['rw', 'relatime', 'user_id=0', 'group_id=0', 'remount', 'ro'], false), { remount: true, readOnly: true }, 'a remount gets what the kernel shows');
  const ignored = ['_netdev', 'nofail', 'auto', 'noauto', 'user', 'user=joe', 'users', 'owner', 'group', 'defaults', 'x-systemd.automount', 'X-mount.mkdir', 'comment=hi'];
  t.same(parseOptions([...ignored, 'default_permissions'], false), plain);
  t.same(parseOptions(['bogus', 'bogus=1', 'constructor', 'toString=1'], true), plain, 'sloppy');
  const refused: [string, RegExp][] = [
    ['bogus', /unknown mount option 'bogus'/], ['constructor', /unknown/], ['max_read', /max_read needs a value/], ['pidfile=', /needs a value/],
    ['ro=1', /ro takes no value/], ['nosuid=1', /takes no value/], ['max_read=1', /between/], ['max_read=zz', /bad size/],
    ['domain=disk', /sync-dax, memory, file expected/], ['transport=x', /devfuse, fuse-native expected/], ['subtype=a b', /letters/], ['errors=panic', /continue, remount-ro expected/], ['norecovery', /needs ro/],
  ];
  for (const [word, message] of refused) t.throws(() => parseOptions([word], false), { errno: 22, message }, word);
  t.end();
});

t.test('the table of mounts', (t) => {
  const text = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw',
    '40 22 0:39 / /mnt/a\\040b\\134c rw - fuse.nvmfs /dev/shm/x\\040y.img rw,user_id=0',
    '41 40 0:40 /sub /mnt/\xc3\xa9 rw master:1 propagate_from:2 - fuse.nvmfs img ro',
    '',
  ].join('\n');
  t.same(parseMounts(text), [
    { id: 22, device: '8:1', directory: '/', type: 'ext4', source: '/dev/root', options: ['rw', 'relatime'], superOptions: ['rw'] },
    { id: 40, device: '0:39', directory: '/mnt/a b\\c', type: 'fuse.nvmfs', source: '/dev/shm/x y.img', options: ['rw'], superOptions: ['rw', 'user_id=0'] },
    { id: 41, device: '0:40', directory: '/mnt/é', type: 'fuse.nvmfs', source: 'img', options: ['rw'], superOptions: ['ro'] },
  ]);
  t.end();
});

t.test('repeated messages', (t) => {
  let now = 0;
  const written: string[] = [];
  const log = limitRepeats((level, message) => written.push(`${level} ${message}`), () => now);
  for (let i = 0; i < 5; i++) log('error', 'a');
  log('warning', 'b');
  t.same(written, ['error a', 'warning b']);
  now = 10_000;
  log('error', 'a');
  log('error', 'a');
  t.same(written.slice(2), ['error a (4 more of these)']);
  for (let i = 0; i < 1000; i++) log('info', `message ${String(i)}`);
  log('error', 'a');
  t.equal(written.length, 3 + 1000 + 1, 'what was forgotten is shown again');
  t.end();
});

t.test('a plain mount is read without yargs, and to the same effect', (t) => {
  const plain = { image: 'a', directory: 'b', options: [], foreground: false, verbose: false };
  t.same(plainMount(['mount', 'a', 'b']), plain);
  t.same(plainMount(['mount', '-fv', 'a', '-o', 'ro,spin=0', 'b', '--options', 'acl']), {
    ...plain, options: ['ro', 'spin=0', 'acl'], foreground: true, verbose: true,
  });
  t.same(plainMount(['mount', '-oro', '--', '-a', 'b']), { ...plain, image: '-a', options: ['ro'] });
  const others = [
    [], ['umount', 'a'], ['mount'], ['mount', 'a'], ['mount', 'a', 'b', 'c'], ['mount', 'a', 'b', '--help'], ['mount', 'a', 'b', '-h'],
    ['mount', 'a', 'b', '--bogus'], ['mount', 'a', 'b', '-o'], ['mount', '-o=ro', 'a', 'b'], ['mount', 'a', 'b', '--foreground=no'],
  ];
  for (const args of others) t.equal(plainMount(args), null, args.join(' '));
  t.end();
});
