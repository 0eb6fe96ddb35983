// Guards: the compatibility transport (libfuse 2 through fuse-native) serves the same volume; without it there is one clear message and the rest works.
import t from 'tap';
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, projectRoot, runChecks, shell, tryRun } from '../helpers/run.js';
import { cannotUseVolume, isMounted, tools, Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(180_000);

/** Why the transport can't run here, or false. */
async function unavailable(): Promise<string | false> {
  try {
    createRequire(join(projectRoot, 'package.json')).resolve('fuse-native');
  } catch {
    return 'the package fuse-native is not installed';
  }
  const library = await shell('ldconfig -p | grep -c libfuse.so.2 || true');
  return library.stdout.trim() === '0' ? 'libfuse2 is not installed' : false;
}

const base = cannotUseVolume() || missing('python3');
const reason = base || (await unavailable());

await t.test('a basic set over fuse-native', { skip: reason }, async (t) => {
  await withVolume(t, { size: '128m', mountOptions: ['transport=fuse-native'] }, async (volume) => {
    await runChecks(t, 'basics.py', [volume.directory, 'make']);
    await volume.remount();
    await runChecks(t, 'basics.py', [volume.directory, 'after']);
  });
});

await t.test('the same set over the default transport', { skip: base }, async (t) => {
  await withVolume(t, { size: '128m' }, async (volume) => {
    await runChecks(t, 'basics.py', [volume.directory, 'make']);
    await volume.remount();
    await runChecks(t, 'basics.py', [volume.directory, 'after']);
  });
});

await t.test('without the package or libfuse2', { skip: base || (reason === false ? 'fuse-native is available here' : false) }, async (t) => {
  const volume = new Volume({ size: '64m' });
  try {
    await volume.format();
    const result = await tryRun(tools.nvmfs, ['mount', volume.image, volume.directory, '-o', 'transport=fuse-native']);
    t.ok(result.status > 0 && result.status < 126, 'transport=fuse-native without what it needs: an exit code', { output: describeRun('nvmfs mount', [], result) });
    t.match(result.stderr, /fuse-native|libfuse/, 'and a message that names what is missing');
    t.equal(result.stderr.trim().split('\n').length, 1, 'in one line', { output: result.stderr });
    t.notOk(isMounted(volume.directory), 'and nothing is mounted');
    await volume.mount();
    t.ok(existsSync(volume.directory), 'the default transport works all the same');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});
