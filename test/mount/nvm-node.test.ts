// Guards the mapping library for Node programs, and its example: what is stored is there for others at once and after the end of the process; what is unmapped can't be touched.
import t from 'tap';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
// As other packages import it.
import { attach, map } from 'nvmfs';
import { projectRoot, run, sleep, tryRun } from '../helpers/run.js';
import { cannotUseVolume, withVolume } from '../helpers/volume.js';

t.setTimeout(300_000);
const skip = cannotUseVolume();

await t.test('map and attach', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const path = join(volume.directory, 'file');
    const fd = openSync(path, 'w+');
    ftruncateSync(fd, 10_000_000);
    const mapping = map(fd, { requireDirect: true });
    t.equal(mapping.length, 10_002_432, 'whole pages');
    t.ok(mapping.isDirect);
    t.notOk(mapping.isSync, 'shared memory is not persistent');
    const bytes = new Uint8Array(mapping.buffer);
    bytes.set([1, 2, 3], 5_000_000);
    mapping.persist(5_000_000, 3);
    const read = Buffer.alloc(3);
    readSync(fd, read, 0, 3, 5_000_000);
    t.same([...read], [1, 2, 3], 'read(2) shows what was stored');
    writeSync(fd, Buffer.from([4, 5]), 0, 2, 77);
    t.same([...bytes.subarray(77, 79)], [4, 5], 'the mapping shows what was written');
    mapping.sync();
    t.throws(() => {
      mapping.persist(mapping.length - 1, 2);
    }, RangeError);
    const part = map(fd, { offset: 4096, length: 8192, writable: false });
    closeSync(fd);
    t.equal(part.length, 8192);
    mapping.unmap();
    mapping.unmap();
    t.equal(bytes.length, 0, 'nothing of what was mapped can be touched');
    t.throws(() => {
      mapping.persist(0, 0);
    }, { code: 'EBADF' });
    part.unmap();
    const read2 = readFileSync(path);
    t.same([...read2.subarray(5_000_000, 5_000_003)], [1, 2, 3]);
    await sleep(200);

    process.env['NVM_ROOT'] = volume.directory;
    const whole = attach('file', { writable: false });
    t.equal(new Uint8Array(whole.buffer)[78], 5);
    whole.unmap();
    t.throws(() => attach('not-there'), { code: 'ENOENT' });
    const reader = openSync(path, 'r');
    t.throws(() => map(reader), { code: 'EACCES' });
    t.throws(() => map(reader, { offset: 1 }), { code: 'EINVAL' });
    t.throws(() => map(reader, { writable: false, requireSync: true }), { code: 'EOPNOTSUPP' });
    closeSync(reader);
    mkdirSync(join(volume.directory, 'directory'));
    t.throws(() => attach('directory', { writable: false }), { code: 'ENODEV' });
  });
});

await t.test('mappings that nobody refers to are unmapped', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const script = `
      const { map } = await import('nvmfs');
      const { ftruncateSync, openSync, readFileSync } = await import('node:fs');
      const fd = openSync(process.argv[1], 'w+');
      ftruncateSync(fd, 1 << 20);
      for (let i = 0; i < 300; i++) { new Uint8Array(map(fd, { requireDirect: true }).buffer)[i] = 1; if (i % 50 === 49) { gc(); await new Promise((r) => setTimeout(r, 20)); } }
      gc(); await new Promise((r) => setTimeout(r, 100)); gc();
      console.log(readFileSync('/proc/self/maps', 'latin1').split('\\n').filter((line) => line.endsWith('/image')).length);`;
    const result = await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', script, join(volume.directory, 'file')], { cwd: projectRoot });
    t.ok(Number(result.stdout) < 60, `${result.stdout.trim()} of 300 are left`);
  });
});

await t.test('the example: a counter and a ring log', { skip }, async (t) => {
  await withVolume(t, { size: '64m' }, async (volume) => {
    const file = join(volume.directory, 'log');
    const example = (...messages: string[]): Promise<{ stdout: string }> => run(process.execPath, [join(projectRoot, 'demo/ring-log.mjs'), file, ...messages]);
    t.equal((await example('first', 'zweite Zeile')).stdout, 'run 1, mapped from the medium\n1: first\n2: zweite Zeile\n');
    t.equal((await example()).stdout, 'run 2, mapped from the medium\n1: first\n2: zweite Zeile\n', 'it is all there in the next run');
    await volume.kill9AndRemount();
    const full = (await example(...Array.from({ length: 70 }, (_, i) => `message ${String(i)}`))).stdout.trim().split('\n');
    t.equal(full[0], 'run 3, mapped from the medium', 'and after a crash');
    t.equal(full.length, 64, 'a ring');
    t.equal(full.at(-1), '72: message 69');
    const usage = await tryRun(process.execPath, [join(projectRoot, 'demo/ring-log.mjs')]);
    t.equal(usage.status, 2);
  });
});
