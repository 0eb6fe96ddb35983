// Guards what the kernel and the daemon give together: ids, devices, times, whiteouts, limits, handles, id-mapped mounts, chattr, directories in motion.
import t from 'tap';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { missing, runChecks, seed } from '../helpers/run.js';
import { cannotMount, cannotUseVolume, Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotMount() || missing('python3');

await t.test('system calls', { skip }, async (t) => {
  await withVolume(t, { size: '256m' }, async (volume) => {
    const other = new Volume({ size: '64m' });
    try {
      await other.format();
      await other.mount();
      await runChecks(t, 'semantics.py', [volume.directory, other.directory]);
      await other.unmount();
      await other.verifyClean(t);
    } finally {
      other.destroy();
    }
  });
});

await t.test('chattr', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    await runChecks(t, 'chattr.py', [volume.directory, 'make']);
    await volume.remount();
    await runChecks(t, 'chattr.py', [volume.directory, 'check']);
  });
});

await t.test('file handles', { skip: cannotUseVolume() || skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const file = join(volume.scratch, 'handles');
    await runChecks(t, 'handles.py', [volume.directory, file, 'make']);
    await runChecks(t, 'handles.py', [volume.directory, file, 'check']);
    await volume.remount();
    await runChecks(t, 'handles.py', [volume.directory, file, 'check']);
    await volume.kill9AndRemount();
    await runChecks(t, 'handles.py', [volume.directory, file, 'check']);
  });
});

await t.test('id-mapped mounts', { skip: cannotUseVolume() || skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const mapped = join(volume.scratch, 'mapped');
    mkdirSync(mapped);
    chmodSync(volume.scratch, 0o755); // for ordinary users
    await runChecks(t, 'idmap.py', [volume.directory, mapped]);
  });
});

await t.test('directories that change while they are read', { skip }, async (t) => {
  await withVolume(t, { size: '256m' }, async (volume) => {
    const number = seed();
    t.comment(`SEED=${String(number)}`);
    await runChecks(t, 'listing.py', [volume.directory, String(number), '8'], { timeout: 240_000 });
  });
});
