// Guards: extended attributes, ACLs and capabilities behave on a mount as on Linux's own filesystems, for root and for ordinary users;
// the usual tools carry them in, out and over a remount; and nobody keeps set-user-id or capabilities on what he has changed.
import t from 'tap';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { missing, run, runChecks, shell, tryRun } from '../helpers/run.js';
import { cannotMount, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotMount() || missing('python3', 'getfattr', 'setfattr', 'getfacl', 'setfacl');

/** Everything that getfattr and getfacl know of a tree, in one text. */
const DESCRIBE = 'cd "$1" && find . -print0 | LC_ALL=C sort -z | xargs -0 getfattr -h -d -m - -e hex 2>/dev/null; find . ! -type l -print0 | LC_ALL=C sort -z | xargs -0 getfacl -n -E 2>/dev/null; find . -printf "%p %M %U %G %s %l\\n" | LC_ALL=C sort';

/** A tree with attributes and ACLs of all kinds. */
const TREE = `mkdir -p "$1/dir/sub" && cd "$1"
  setfacl -d -m u:1234:rwx,g:77:rx dir
  echo file > dir/file; mkdir dir/inherits; echo secret > dir/sub/private; chmod 600 dir/sub/private
  setfacl -m u:1234:rw,g:77:r,m::rw dir/file
  ln -s file dir/link; mkfifo dir/fifo
  setfattr -n user.comment -v "a comment" dir/file
  setfattr -n user.empty dir/file
  setfattr -n user.big -v "0x$(head -c 3000 /dev/zero | od -An -v -tx1 | tr -d " \\n")" dir/file
  setfattr -n user.ondir -v d dir
  setfattr -n trusted.t -v t dir/sub/private
  i=0; while [ $i -lt 50 ]; do setfattr -n user.number$i -v $i dir/sub; i=$((i+1)); done`;

await t.test('system calls, permissions, inheritance', { skip }, async (t) => {
  for (const mountOptions of [[], ['direct_io']]) {
    await withVolume(t, { size: '256m', mountOptions: ['suid', 'dev', ...mountOptions] }, async (volume) => {
      // The way there is open to the ordinary users that the program becomes.
      chmodSync(volume.scratch, 0o755);
      await runChecks(t, 'xattrs.py', [volume.directory]);
      const before = (await shell(DESCRIBE, [volume.directory])).stdout;
      await volume.remount();
      t.equal((await shell(DESCRIBE, [volume.directory])).stdout, before, 'all of it is there after a remount');
    });
  }
});

await t.test('getfacl and setfacl, getfattr and setfattr', { skip }, async (t) => {
  await withVolume(t, { size: '256m' }, async (volume) => {
    await shell(TREE, [volume.directory]);
    const acl = async (path: string): Promise<string[]> => (await run('getfacl', ['-n', '-c', '-E', join(volume.directory, path)])).stdout.trim().split('\n');
    t.same(await acl('dir/file'), ['user::rw-', 'user:1234:rw-', 'group::r-x', 'group:77:r--', 'mask::rw-', 'other::r--'], 'an ACL');
    t.same((await acl('dir/inherits')).filter((line) => line.startsWith('default:')), ['default:user::rwx', 'default:user:1234:rwx', 'default:group::r-x', 'default:group:77:r-x', 'default:mask::rwx', 'default:other::r-x'], 'an inherited default ACL');
    await run('chmod', ['g-w', join(volume.directory, 'dir/file')]);
    t.ok((await acl('dir/file')).includes('mask::r--'), 'chmod changes the mask');
    await run('setfacl', ['-b', join(volume.directory, 'dir/file')]);
    t.same(await acl('dir/file'), ['user::rw-', 'group::r--', 'other::r--'], 'setfacl -b takes it away, and the mask with the group');
    await run('setfacl', ['-k', join(volume.directory, 'dir')]);
    t.notOk((await acl('dir')).some((line) => line.startsWith('default:')), 'setfacl -k the default ACL');
    const backup = (await shell('cd "$1" && getfacl -n -R .', [volume.directory])).stdout;
    await shell('cd "$1" && setfacl -R -b . && setfacl --restore=-', [volume.directory], { input: backup });
    t.equal((await shell('cd "$1" && getfacl -n -R .', [volume.directory])).stdout, backup, 'setfacl --restore brings all back');
    const dump = (await shell('cd "$1" && getfattr -R -h -d -m "^user\\\\." -e hex .', [volume.directory])).stdout;
    t.match(dump, /user\.number49/, 'getfattr lists them');
    await shell('cd "$1" && setfattr -x user.comment dir/file && setfattr --restore=-', [volume.directory], { input: dump });
    t.equal((await shell('cd "$1" && getfattr -R -h -d -m "^user\\\\." -e hex .', [volume.directory])).stdout, dump, 'setfattr --restore brings them back');
  });
});

await t.test('tar, rsync and cp carry them', { skip: skip || missing('tar', 'rsync') }, async (t) => {
  await withVolume(t, { size: '256m' }, async (volume) => {
    const tree = join(volume.directory, 'tree');
    await shell(TREE, [tree]);
    const original = (await shell(DESCRIBE, [tree])).stdout;
    t.match(original, /user\.big=0x0{6000}\n/, 'the tree has a large attribute');
    const same = async (what: string, script: string, path: string): Promise<void> => {
      const result = await tryRun('/bin/sh', ['-ec', script, 'sh', tree, path], { cwd: volume.scratch });
      t.equal(result.status, 0, `${what} succeeds`, { output: result.stderr });
      t.equal((await shell(DESCRIBE, [path])).stdout, original, `${what} keeps attributes, ACLs and modes`);
    };
    await same('tar', 'tar --xattrs --xattrs-include="*" --acls -C "$1" -cf x.tar . && mkdir "$2" && tar --xattrs --xattrs-include="*" --acls -C "$2" -xpf x.tar', join(volume.directory, 'tar'));
    await same('rsync -aXA', 'rsync -aXA "$1/" "$2"', join(volume.directory, 'rsync'));
    await same('cp -a', 'cp -a "$1" "$2"', join(volume.directory, 'copy'));
    await same('cp -r --preserve=all', 'cp -r --preserve=all "$1" "$2"', join(volume.directory, 'preserved'));
    await volume.remount();
    for (const name of ['tree', 'tar', 'rsync', 'copy', 'preserved']) {
      t.equal((await shell(DESCRIBE, [join(volume.directory, name)])).stdout, original, `${name} after a remount`);
    }
  });
});

await t.test('noacl', { skip }, async (t) => {
  await withVolume(t, { size: '64m', mountOptions: ['noacl'] }, async (volume) => {
    const file = join(volume.directory, 'file');
    await shell('umask 027; touch "$1"; setfattr -n user.a -v b "$1"', [file]);
    t.match((await tryRun('setfacl', ['-m', 'u:1:r', file])).stderr, /not supported/, 'ACLs are refused');
    t.equal((await run('stat', ['-c', '%a', file])).stdout, '640\n', 'the umask counts');
    t.match((await run('getfattr', ['-d', file])).stdout, /user\.a="b"/, 'attributes are there');
  });
});

await t.test('setcap and getcap', { skip: skip || missing('setcap', 'getcap') }, async (t) => {
  await withVolume(t, { size: '256m', mountOptions: ['suid'] }, async (volume) => {
    const program = join(volume.directory, 'program');
    await run('cp', ['/usr/bin/id', program]);
    await run('setcap', ['cap_net_raw+ep', program]);
    t.match((await run('getcap', [program])).stdout, /cap_net_raw[=+]ep/, 'getcap shows what setcap set');
    await volume.remount();
    t.match((await run('getcap', [program])).stdout, /cap_net_raw[=+]ep/, 'after a remount, too');
    await run('cp', ['--preserve=all', program, `${program}2`]);
    t.match((await run('getcap', [`${program}2`])).stdout, /cap_net_raw[=+]ep/, 'cp --preserve=all keeps them');
    await shell('printf x >> "$1"', [program]);
    t.equal((await run('getcap', [program])).stdout, '', 'a byte written takes them');
    await run('setcap', ['-r', `${program}2`]);
    t.equal((await run('getcap', [`${program}2`])).stdout, '', 'setcap -r takes them');
  });
});
