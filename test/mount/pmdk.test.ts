// Guards unmodified programs that map files from the medium (libnvm-preload.so): mmap and its kin as POSIX says, MAP_SYNC where it is due, PMDK's pools through kill -9.
import t from 'tap';
import { join } from 'node:path';
import { Random } from '../../src/base/random.js';
import { describeRun, missing, programPath, projectRoot, run, seed, sleep, start, tryRun, waitFor } from '../helpers/run.js';
import { cannotUseVolume, type Volume, withVolume } from '../helpers/volume.js';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

t.setTimeout(900_000);
const skip = cannotUseVolume() || missing('gcc');
const noPmdk = skip || missing('pmempool') || (existsSync('/usr/include/libpmemobj.h') ? false : 'not installed: libpmemobj-dev');
const preload = { LD_PRELOAD: join(projectRoot, 'build/libnvm-preload.so') };
const ROUNDS = 100;
const declared = ['pmem=declared'];

async function compile(volume: Volume, source: string, ...libraries: string[]): Promise<string> {
  const program = join(volume.scratch, source.replace('.c', ''));
  await run('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, programPath(source), ...libraries], { timeout: 60_000 });
  return program;
}

for (const sync of [false, true]) {
  await t.test(`mmap, mremap, mprotect, msync, munmap; persistent memory ${sync ? '' : 'not '}declared`, { skip }, async (t) => {
    await withVolume(t, { size: '128m', mountOptions: sync ? declared : [] }, async (volume) => {
      const program = await compile(volume, 'mmap-checks.c');
      const args = [volume.directory, sync ? 'sync' : 'nosync'];
      const result = await tryRun(program, args, { env: preload });
      t.ok(result.status === 0, 'as POSIX says', { output: describeRun(program, args, result) });
    });
  });
}

await t.test('a lock of flock(2) lasts as long as what was mapped', { skip }, async (t) => {
  // libpmemobj trusts in it: its pools are mapped, closed, and not to be opened twice.
  await withVolume(t, { size: '128m' }, async (volume) => {
    const program = await compile(volume, 'flock-map.c');
    const directory = join(volume.directory, 'dax');
    mkdirSync(directory);
    await run(join(projectRoot, 'bin/nvmfs'), ['dax', 'on', directory]);
    const ask = async (file: string, env: Record<string, string>): Promise<string> => (await run(program, [file], { env })).stdout.trim();
    const [cached, region] = [join(volume.directory, 'file'), join(directory, 'file')];
    t.equal(await ask(cached, {}), 'held', 'through the page cache');
    t.equal(await ask(cached, preload), 'held', 'mapped from the image');
    t.equal(await ask(region, preload), 'held', 'mapped from the region, with the library');
    t.comment(`mapped from the region, without it: ${await ask(region, {})} (with Linux 6.18 lost: doc/DESIGN.md, "DAX files")`);
  });
});

await t.test('libpmem takes the medium for what it is', { skip: noPmdk }, async (t) => {
  await withVolume(t, { size: '128m' }, async (volume) => {
    const program = await compile(volume, 'pmem-map.c', '-lpmem');
    const file = join(volume.directory, 'file');
    const ask = async (env: Record<string, string>): Promise<string> => (await run(program, [file], { env })).stdout.trim();
    t.equal(await ask({}), 'is_pmem 0, before:', 'the kernel refuses MAP_SYNC');
    t.equal(await ask(preload), 'is_pmem 0, before: persistent', 'shared memory is none');
    await volume.unmount();
    await volume.mount(declared);
    t.equal(await ask(preload), 'is_pmem 1, before: persistent', 'where it is declared, it is');
    t.equal(await ask({}), 'is_pmem 0, before: persistent', 'for those who use the library');
  });
});

await t.test(`a libpmemobj program is killed ${String(ROUNDS)} times`, { skip: noPmdk }, async (t) => {
  const number = seed();
  t.comment(`SEED=${String(number)}`);
  const random = new Random(number);
  await withVolume(t, { size: '128m', mountOptions: declared }, async (volume) => {
    const program = await compile(volume, 'pmemobj-load.c', '-lpmemobj');
    const pool = join(volume.directory, 'pool');
    const log = join(volume.scratch, 'load.log');
    let transactions = 0;
    let problem = '';
    for (let round = 0; round < ROUNDS && problem === ''; round += 1) {
      writeFileSync(log, '');
      const load = start(program, [pool, String(number + round)], log, { env: preload });
      let ended = false;
      void load.ended.then(() => (ended = true));
      await waitFor('the first transaction', () => ended || readFileSync(log, 'latin1').includes('\n'), 30_000);
      await sleep(random.below(60));
      load.kill('SIGKILL');
      await load.ended;
      const sound = /^sound after (\d+) transactions\n$/.exec(readFileSync(log, 'latin1'));
      if (sound === null) problem = `round ${String(round)}: ${readFileSync(log, 'latin1')}`;
      else transactions = Number(sound[1]);
      const check = await tryRun('pmempool', ['check', pool]);
      if (check.status !== 0) problem += `round ${String(round)}: ${describeRun('pmempool', ['check', pool], check)}`;
    }
    t.equal(problem, '', 'the pool is sound after each');
    t.ok(transactions > 1000, `sound after ${String(transactions)} transactions`);
  });
});
