// Guards: a full volume, several processes at once, and kill -9 of the daemon at any moment: nothing acknowledged is lost, nothing is damaged.
import t from 'tap';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describeRun, missing, programPath, python, run, runChecks, type RunResult, seed, sleep, start, tryRun } from '../helpers/run.js';
import { cannotMount, cannotUseVolume, sameStatFs, statFs, Volume, withVolume } from '../helpers/volume.js';
import { readFileSync } from 'node:fs';

t.setTimeout(900_000);
const skip = cannotMount() || missing('python3');

await t.test('a full volume', { skip: cannotUseVolume() || missing('python3') }, async (t) => {
  for (const [size, reused] of [['24m', false], ['150m', true]] as const) {
    await withVolume(t, { size, reused }, async (volume) => {
      const fresh = await statFs(volume.directory);
      await runChecks(t, 'full.py', [volume.directory, String(seed())], { timeout: 240_000 });
      await sameStatFs(t, volume.directory, fresh, `${size}: after everything was removed, statfs shows what it showed when fresh`);
      await volume.remount();
      await sameStatFs(t, volume.directory, fresh, `${size}: and after a remount`);
    });
  }
});

await t.test('random operations of several processes on the same names', { skip }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const number = String(seed());
    const fresh = await statFs(volume.directory);
    await runChecks(t, 'stress.py', [volume.directory, number, '4', '8000'], { timeout: 240_000 });
    const before = await run(python, [programPath('tree.py'), 'show', volume.directory]);
    await volume.remount();
    const after = await run(python, [programPath('tree.py'), 'show', volume.directory]);
    t.equal(after.stdout, before.stdout, 'everything is the same after a remount');
    await runChecks(t, 'stress.py', [volume.directory, number, '4', '8000', 'judge']);
    await run('rm', ['-rf', join(volume.directory, 'stress')]);
    if (volume.real) await sameStatFs(t, volume.directory, fresh, 'everything that several processes took comes back');
  });
});

await t.test('kill -9 of the daemon under a writing load', { skip: cannotUseVolume() || missing('python3') }, async (t) => {
  const rounds = Number(process.env['NVMFS_KILL_ROUNDS'] ?? 50);
  const writers = 3;
  const number = seed();
  t.comment(`SEED=${String(number)} (the moments of the kills are not repeatable), ${String(rounds)} rounds`);
  const volume = new Volume({ size: '512m' });
  try {
    await volume.format();
    await volume.mount();
    const fresh = await statFs(volume.directory);
    const places = Array.from({ length: writers }, (_, i) => ({
      base: join(volume.directory, `writer${String(i)}`),
      state: join(volume.scratch, `state${String(i)}`),
      log: join(volume.scratch, `log${String(i)}`),
      output: join(volume.scratch, `output${String(i)}`),
    }));
    for (const place of places) mkdirSync(place.base);
    let acknowledged = 0;
    let inFlight = 0;
    for (let round = 0; round < rounds; round++) {
      const load = places.map((place, i) => start(python, [programPath('load.py'), 'write', place.base, place.state, place.log, String(number + round * 10 + i), '1000000'], place.output));
      await sleep(150 + Math.random() * 700);
      await volume.kill9();
      const codes = await Promise.all(load.map((program) => program.ended));
      // 135: a store to a mapped page that can't be read in any more is SIGBUS.
      if (!codes.every((code) => code === 0 || code === 135)) {
        t.fail(`round ${String(round)}: a writer failed before the kill`, { output: places.map((place) => readFileSync(place.output, 'latin1').slice(-2000)) });
        return;
      }
      const verified = round % 5 === 0 ? await volume.verify() : undefined;
      await volume.mount();
      const results = await Promise.all(places.map((place) => tryRun(python, [programPath('load.py'), 'check', place.base, place.state, place.log])));
      const wrong = results.filter((result) => result.status !== 0);
      if (wrong.length > 0) {
        const first = wrong[0] as RunResult;
        t.fail(`round ${String(round)}: an acknowledged operation is not there: ${lastLine(first.stdout)} ${lastLine(first.stderr)}`, { output: wrong.map((result) => describeRun('load.py', ['check'], result)) });
        return;
      }
      for (const result of results) {
        acknowledged += Number(/^(\d+) acknowledged/.exec(result.stdout)?.[1]);
        if (!result.stdout.includes('in flight: null')) inFlight += 1;
      }
      await volume.unmount();
      const clean = await volume.verify();
      if (clean.status !== 0) {
        t.fail(`round ${String(round)}: the volume is not clean after recovery`, { output: describeRun('fsck.nvmfs', [], clean) });
        return;
      }
      // Without recovery: what fsck says about a volume that needs its journal must not be that it is damaged.
      if (verified !== undefined) t.ok(verified.status === 0, `round ${String(round)}: a volume that was not unmounted is no damaged volume to fsck`, { output: describeRun('fsck.nvmfs', [], verified) });
      await volume.mount();
    }
    t.comment(`${String(acknowledged)} operations acknowledged, ${String(inFlight)} in flight at a kill`);
    t.ok(acknowledged > rounds * 30 && inFlight > rounds / 10, 'the kills hit a busy daemon');
    await run('find', [volume.directory, '-mindepth', '1', '-delete']);
    await sameStatFs(t, volume.directory, fresh, 'after all kills, removing everything gives back every block and inode');
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    volume.destroy();
  }
});

/** For a message: output may be cut off behind it. */
function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
