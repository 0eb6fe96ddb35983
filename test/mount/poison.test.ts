// Guards: pages of a mounted image that raise SIGBUS (here: the image is cut short under the mapping) are EIO or SIGBUS for the program that needs
// them; the daemon goes on serving everything else and unmounts (promise 7).
import t from 'tap';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { missing, python, tryRun } from '../helpers/run.js';
import { cannotUseVolume, isAlive, isMounted, Volume } from '../helpers/volume.js';

t.setTimeout(300_000);
const skip = cannotUseVolume() || missing('python3');
const MIB = 1024 * 1024;
const CUT = 16 * MIB;
const VICTIM_BYTES = 40 * MIB;

/** Runs python in another process; its exit status is negative for a signal. What it prints is 'ok' or the name of an errno. */
async function program(body: string, path: string): Promise<{ said: string; status: number }> {
  const indented = body.split('\n').map((line) => ` ${line}`).join('\n');
  const script = `import errno, mmap, os, sys\np = sys.argv[1]\ntry:\n${indented}\n print("ok")\nexcept OSError as e: print(errno.errorcode[e.errno])`;
  const { stdout, status } = await tryRun(python, ['-c', script, path], { timeout: 30_000 });
  return { said: stdout.trim(), status };
}

await t.test('pages of the image vanish under a mounted volume', { skip }, async (t) => {
  const volume = new Volume({ size: '64m', foreground: true });
  const at = (name: string): string => join(volume.directory, name);
  try {
    await volume.format();
    await volume.mount();
    mkdirSync(at('others'));
    for (let i = 0; i < 50; i++) writeFileSync(at(`others/file${String(i)}`), `content ${String(i)}`.repeat(100));
    // Next fit: what is written last lies behind all others, and is larger than what stays.
    writeFileSync(at('victim'), Buffer.alloc(VICTIM_BYTES, 'v'));
    await volume.remount();
    const { pid } = volume;

    const image = openSync(volume.image, 'r+');
    const tail = Buffer.alloc(64 * MIB - CUT);
    readSync(image, tail, 0, tail.length, CUT);
    ftruncateSync(image, CUT);
    t.same(await program(`f = os.open(p, os.O_RDONLY)\nos.pread(f, 4096, ${String(VICTIM_BYTES - 8192)})`, at('victim')), { said: 'EIO', status: 0 }, 'reading what vanished is EIO');
    t.same(await program('f = os.open(p, os.O_RDONLY)\nassert os.pread(f, 4096, 0) == b"v" * 4096', at('victim')), { said: 'ok', status: 0 }, 'the beginning of the same file is there');
    t.same(await program(`f = os.open(p, os.O_RDWR)\nos.pwrite(f, b"w" * 8192, ${String(VICTIM_BYTES - 16384)})`, at('victim')), { said: 'EIO', status: 0 }, 'writing there is EIO');
    const mapped = await program(`f = os.open(p, os.O_RDONLY)\nm = mmap.mmap(f, ${String(VICTIM_BYTES)}, mmap.MAP_SHARED, mmap.PROT_READ)\nm[${String(VICTIM_BYTES - 40_000)}]`, at('victim'));
    // The runner tells a signal as the shell does.
    t.ok(mapped.said === '' && mapped.status !== 0, 'a mapping of it is SIGBUS in the program', mapped);
    t.ok(isAlive(pid) && isMounted(volume.directory), 'the daemon lives');

    for (const i of [0, 25, 49]) t.equal(readFileSync(at(`others/file${String(i)}`), 'latin1'), `content ${String(i)}`.repeat(100), `file ${String(i)} is well`);
    t.same(await program('assert len(os.listdir(p)) == 50\nos.mkdir(p + "/new")\nos.rename(p + "/new", p + "/newer")\nos.rmdir(p + "/newer")', at('others')), { said: 'ok', status: 0 }, 'directories are listed and changed');
    t.same(await program('f = os.open(p, os.O_RDWR)\nos.pwrite(f, b"C", 0)\nos.fsync(f)', at('others/file7')), { said: 'ok', status: 0 }, 'and other files written');
    t.ok(isAlive(pid), 'the daemon still lives');

    writeSync(image, tail, 0, tail.length, CUT);
    closeSync(image);
    await volume.unmount();
    t.notMatch(volume.readLog(), /bug of nvmfs|AssertionFailure/, 'what it said is about the medium');
    t.match(volume.readLog(), /cannot deliver|can't deliver/, 'and names it');
    await volume.verifyClean(t);
    await volume.mount();
    t.equal(readFileSync(at('others/file7'), 'latin1').slice(0, 9), 'Content 7', 'what was acknowledged is there');
    await volume.unmount();
  } finally {
    volume.destroy();
  }
});
