// Guards: names, links, files and large directories behave as POSIX says, in every durability domain; huge sparse files stay small and exact.
import t from 'tap';
import { join } from 'node:path';
import { missing, run, runChecks, seed } from '../helpers/run.js';
import { cannotMount, cannotUseVolume, sameStatFs, statFs, withVolume, type Medium } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotMount() || missing('python3');

for (const medium of ['memory', 'file'] satisfies Medium[]) {
  await t.test(`names and files, image in ${medium === 'memory' ? 'shared memory' : 'a disk file'}`, { skip }, async (t) => {
    await withVolume(t, { size: '512m', medium }, async (volume) => {
      await runChecks(t, 'namespace.py', [volume.directory]);
      await runChecks(t, 'files.py', [volume.directory, String(seed())]);
      await runChecks(t, 'contents.py', [volume.directory, String(seed())]);
    });
  });
}

await t.test('100,000 files in one directory', { skip }, async (t) => {
  await withVolume(t, { size: '1g' }, async (volume) => {
    const fresh = await statFs(volume.directory);
    await runChecks(t, 'many.py', [volume.directory, '100000', 'make'], { timeout: 240_000 });
    await volume.remount();
    await runChecks(t, 'many.py', [volume.directory, '100000', 'remove'], { timeout: 240_000 });
    if (volume.real) await sameStatFs(t, volume.directory, fresh, 'all space and all inodes of 100,000 files come back');
  });
});

await t.test('a sparse file of 100 GiB', { skip }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const number = String(seed());
    const fresh = await statFs(volume.directory);
    await runChecks(t, 'sparse.py', [volume.directory, 'make', number]);
    await volume.remount();
    await runChecks(t, 'sparse.py', [volume.directory, 'again', number]);
    if (volume.real) await sameStatFs(t, volume.directory, fresh, 'all space of a sparse file comes back');
  });
});

await t.test('a volume of 1 TiB', { skip: cannotUseVolume() || missing('python3') }, async (t) => {
  await withVolume(t, { size: '1t' }, async (volume) => {
    const fresh = await statFs(volume.directory);
    t.ok(fresh.blocks * fresh.bsize > 0.99 * 2 ** 40, 'statfs shows 1 TiB');
    await runChecks(t, 'basics.py', [volume.directory, 'make']);
    await volume.remount();
    await runChecks(t, 'basics.py', [volume.directory, 'after']);
    // More space than any one allocation group has; the image needs as much shared memory.
    const big = join(volume.directory, 'big');
    await run('fallocate', ['-l', '2G', big]);
    const taken = await statFs(volume.directory);
    t.ok(taken.bfree * taken.bsize <= fresh.bfree * fresh.bsize - 2 * 2 ** 30, 'fallocate of 2 GiB takes 2 GiB');
    await run('rm', ['-r', big, join(volume.directory, 'basics')]);
    await sameStatFs(t, volume.directory, fresh, 'and all of it comes back');
  });
});
