// Guards: the compatibility transport (libfuse 2 through fuse-native) serves the same volume; without it there is one clear message and the rest works.
import t from 'tap';
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, projectRoot, runChecks, type RunResult, shell, tryRun } from '../helpers/run.js';
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

/** Commands that hide what the transport needs, for a shell in a private mount namespace. Where it is missing anyway there is nothing to hide. */
async function hiding(what: 'the package' | 'libfuse2'): Promise<string> {
  if (what === 'the package') {
    const path = join(projectRoot, 'node_modules/fuse-native');
    return existsSync(path) ? `mount -t tmpfs none '${path}'` : 'true';
  }
  const found = await shell("ldconfig -p | sed -n 's/.*libfuse.so.2 .*=> //p'");
  const paths = found.stdout.split('\n').filter((path) => path !== '');
  return paths.map((path) => `mount --bind /dev/null "$(readlink -f '${path}')"`).join(' && ') || 'true';
}

for (const what of ['the package', 'libfuse2'] as const) {
  await t.test(`without ${what}`, { skip: base || missing('unshare') }, async (t) => {
    const volume = new Volume({ size: '64m' });
    try {
      await volume.format();
      const hide = await hiding(what);
      const hidden = (script: string): Promise<RunResult> =>
        tryRun('unshare', ['-m', '/bin/sh', '-ec', `${hide}\n${script}`, tools.nvmfs, volume.image, volume.directory]);
      const result = await hidden('"$0" mount "$1" "$2" -o transport=fuse-native');
      t.equal(result.status, 32, 'transport=fuse-native: an exit code', { output: describeRun('nvmfs mount', [], result) });
      t.match(result.stderr, what === 'the package' ? /install the npm package fuse-native/ : /install (libfuse 2|the npm package)/, 'and a message that says what to install');
      t.equal(result.stderr.trim().split('\n').length, 1, 'in one line', { output: result.stderr });
      t.notOk(isMounted(volume.directory), 'and nothing is mounted');
      const other = await hidden('"$0" mount "$1" "$2"; echo works > "$2/file"; cat "$2/file"; "$0" umount "$2"');
      t.equal(other.status, 0, 'the default transport mounts and unmounts all the same', { output: describeRun('nvmfs mount', [], other) });
      t.equal(other.stdout, 'works\n', 'and works');
      await volume.verifyClean(t);
    } finally {
      volume.destroy();
    }
  });
}
