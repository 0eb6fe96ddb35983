// Guards the mapping of files straight from the medium: both directions at once, holes filled on touch, nobody else's data, ever; whoever dies lets go.
import t from 'tap';
import { chmodSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, programPath, projectRoot, run, sleep, start, tryRun, waitFor } from '../helpers/run.js';
import { cannotUseVolume, sameStatFs, statFs, type Volume, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotUseVolume() || missing('gcc', 'python3');
const build = join(projectRoot, 'build');

/** Compiles a program of ours against the library as it was built; returns its path. */
async function compile(volume: Volume, source: string, options: readonly string[] = []): Promise<string> {
  const program = join(volume.scratch, source.replace('.c', ''));
  await run('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-I', join(projectRoot, 'native/libnvm'), '-o', program, programPath(source), ...options, '-pthread'], { timeout: 60_000 });
  return program;
}

const dynamic = ['-L', build, '-lnvm', `-Wl,-rpath,${build}`];
const archive = [join(build, 'libnvm.a')];

/** On a disk file every fill is an msync: there, those that fill much are left out. */
const checks = {
  memory: ['coherence', 'truncation', 'holes', 'calls', 'sparse', 'populate', 'forked', 'errors', 'busy', 'attached'],
  file: ['coherence', 'calls', 'sparse', 'populate', 'forked', 'busy'],
} as const;

for (const medium of ['memory', 'file'] as const) {
  await t.test(`libnvm, image in ${medium === 'memory' ? 'shared memory' : 'a disk file'}`, { skip }, async (t) => {
    await withVolume(t, { size: '192m', medium }, async (volume) => {
      const program = await compile(volume, 'nvm-checks.c', medium === 'memory' ? dynamic : archive);
      for (const check of checks[medium]) {
        const result = await tryRun(program, [check, volume.directory], { timeout: 120_000 });
        t.ok(result.status === 0, check, { output: describeRun(program, [check], result) });
      }
    });
  });
}

await t.test('a fault fills as much as NVM_BATCH says', { skip }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const program = await compile(volume, 'nvm-checks.c', dynamic);
    for (const check of ['holes', 'calls', 'forked']) {
      const result = await tryRun(program, [check, volume.directory], { timeout: 120_000, env: { NVM_BATCH: '4096' } });
      t.ok(result.status === 0, check, { output: describeRun(program, [check], result) });
    }
  });
});

await t.test('ordinary users', { skip }, async (t) => {
  await withVolume(t, { size: '256m', mountOptions: ['pmem=declared'] }, async (volume) => {
    chmodSync(volume.scratch, 0o755);
    chmodSync(volume.directory, 0o777);
    const program = await compile(volume, 'nvm-checks.c', archive);
    for (const [image, mode] of [['closed', 0o600], ['readable', 0o644], ['open', 0o666]] as const) {
      chmodSync(volume.image, mode);
      const result = await tryRun(program, ['user', volume.directory, image]);
      t.ok(result.status === 0, `one for whom the image is ${image}`, { output: describeRun(program, ['user', image], result) });
    }
  });
});

await t.test('a file of another filesystem is mapped as ever', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const program = await compile(volume, 'nvm-checks.c', archive);
    const result = await tryRun(program, ['elsewhere', volume.scratch]);
    t.ok(result.status === 0, 'mapped', { output: describeRun(program, ['elsewhere'], result) });
  });
});

await t.test('a program that dies lets go of its blocks, and not before', { skip }, async (t) => {
  await withVolume(t, { size: '256m' }, async (volume) => {
    const program = await compile(volume, 'nvm-checks.c', dynamic);
    const fresh = await statFs(volume.directory);
    const path = join(volume.directory, 'dying');
    writeFileSync(path, Buffer.alloc(16 * 1024 * 1024, 1));
    // The kernel tells the server of a close a moment later.
    await sleep(200);
    const log = join(volume.scratch, 'dying.log');
    const dying = start(program, ['dying', volume.directory], log);
    await waitFor('the mapping', () => readFileSync(log, 'latin1').includes('mapped'));
    truncateSync(path, 0);
    await run('rm', [path]);
    await sleep(500);
    const kept = await statFs(volume.directory);
    t.ok(kept.bfree <= fresh.bfree - 4096, 'all is kept while it lives, even without a descriptor');
    dying.kill('SIGKILL');
    await dying.ended;
    await sameStatFs(t, volume.directory, fresh, 'all of it is free when it is dead');
  });
});

await t.test('servers die while a program stores through its mapping', { skip }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const program = await compile(volume, 'nvm-checks.c', dynamic);
    const fresh = await statFs(volume.directory);
    const log = join(volume.scratch, 'enduring.log');
    const enduring = start(program, ['enduring', volume.directory], log);
    await waitFor('the mapping', () => readFileSync(log, 'latin1').includes('mapped'));
    for (let death = 0; death < 5; death += 1) {
      await sleep(150);
      // Five that die without having served a request would end the mount.
      await statFs(volume.directory);
      volume.killServer();
    }
    await sleep(100);
    writeFileSync(join(volume.directory, 'stop'), '');
    t.equal(await enduring.ended, 0, 'every store is there, and its blocks were kept');
    t.match(readFileSync(log, 'latin1'), /[1-9]\d* pages/);
    t.comment(readFileSync(log, 'latin1').trim());
    await run('rm', [join(volume.directory, 'enduring')]);
    await sameStatFs(t, volume.directory, fresh, 'and they are free in the end');
  });
});
