// Guards promises 1 to 3 on persistent memory, as far as an emulated one goes: the domain is what the medium is, MAP_SYNC is had where there is one, DAX files are the host's
// own pages, and a machine that is killed at random moments has, when it comes up again, all that it had acknowledged. It is a kernel of its own, too: Linux 6.12.
import t from 'tap';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cleanCommand, cleanEnvironment } from '../helpers/environment.js';
import { projectRoot, seed as givenSeed, sleep } from '../helpers/run.js';
import { Random } from '../../src/base/random.js';
import { type Boot, Machine } from './machine.js';

/** `KILLS=n` for others. */
const kills = Number(process.env['KILLS'] ?? 4);
/** How long the load goes on after the first record was acknowledged. */
const LOAD_MS_MAX = 8000;
/** In the first round: nobody else has the journal of ext4 written, which goes out every five seconds by itself. */
const LONE_STREAM = 'ext4.written';
const LONE_MS_MAX = 2000;
/** Exit code of `prepare` where the emulator or a kernel can't be had. */
const EXIT_SKIP = 77;
const STREAMS = ['dax.names', 'dax.append', 'dax.medium', 'ext4.names', 'ext4.append', 'ext4.medium', 'ext4.region', 'ext4.written', 'disk.names', 'disk.append', 'disk.medium'];

t.setTimeout(300_000 * (kills + 2));

const files = join(projectRoot, 'build/dax-machine');
const prepared = spawnSync(...cleanCommand(join(projectRoot, 'test/dax-machine/prepare'), [files]), { env: cleanEnvironment(), encoding: 'utf8' });
const said = `${prepared.stdout}${prepared.stderr}`.trim();
const skip = prepared.status === EXIT_SKIP ? (said.split('\n').at(-1) ?? '') : false;
t.ok(prepared.status === 0 || (skip !== false && skip !== ''), 'the machine is made, or it is said why it can not be', { said });

const directory = mkdtempSync('/tmp/nvmfs-dax-machine-');
let machine: Machine | null = null;
const acknowledged = new Map<string, number>();
const cleanUp = async (): Promise<void> => {
  await machine?.kill();
  rmSync(directory, { recursive: true, force: true });
};
t.teardown(cleanUp);
// A runner that loses patience sends these.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    void cleanUp().then(() => process.exit(1));
  });
}

/** Boots, lets `use` do what it wants, and sees to it that the machine is gone; a failure shows the end of the console. */
async function withMachine(boot: Boot, use: (machine: Machine) => Promise<void>): Promise<void> {
  const booted = new Machine(files, directory, boot);
  machine = booted;
  try {
    await use(booted);
  } catch (error) {
    const console = readFileSync(join(directory, 'console.log'), 'utf8').trimEnd().split('\n');
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n--- console\n${console.slice(-40).join('\n')}`);
  } finally {
    await booted.kill();
    machine = null;
  }
}

t.test('what the media are', { skip }, async (t) => {
  const started = Date.now();
  await withMachine({ step: 'setup', seed: 0, acknowledged }, async (machine) => {
    await machine.off();
    const has = (fact: string, message: string): void => { t.ok(machine.facts.includes(fact), message, { facts: machine.facts }); };
    has('made ext4 sync-dax', 'mkfs.nvmfs in a file on a DAX filesystem');
    has('mounted ext4 sync-dax', 'its mount');
    has('made dax sync-dax', 'mkfs.nvmfs on /dev/dax0.0');
    has('mounted dax sync-dax', 'its mount');
    has('made disk file', 'virtio-pmem is DAX without MAP_SYNC: not the domain sync-dax');
    has('probe /mnt/disk/probe refused EOPNOTSUPP direct', 'where nvm_map with NVM_SYNC is refused');
    has('probe /mnt/ext4/probe sync direct MAP_SYNC', 'nvm_map on the DAX filesystem: the kernel marks the mapping as synchronous');
    has('probe /mnt/dax/probe sync direct MAP_SYNC', 'and on /dev/dax0.0, where it is made of whole units of 2 MiB');
    has('probe /mnt/dax/fine sync direct MAP_SYNC', 'on one of 4 KiB units, a file of any size');
    has('refused mkfs.nvmfs: /dev/dax0.0 is in use by another process', 'a device is locked while it is mounted');
    has('refused mkfs.nvmfs: /dev/dax0.0 contains a signature of nvmfs; -f overwrites it', 'and what is on it is found');
    has('probe /mnt/dax/small refused EOPNOTSUPP kernel', 'but what has no whole unit of the device is mapped by the kernel');
    has('region /mnt/ext4/regions/file shared', 'passthrough: a store to a DAX file is in the host file’s own page');
    for (const file of ['/mnt/ext4/pmdk', '/mnt/dax/pmdk', '/mnt/ext4/regions/pmdk']) has(`pmdk ${file} is_pmem 1, before: persistent`, `PMDK takes ${file} for persistent memory`);
    has('pmdk /mnt/disk/pmdk is_pmem 0, before: persistent', 'but not what is none');
    const stat = machine.facts.find((fact) => fact.startsWith('stat '))?.slice('stat '.length) ?? '{}';
    t.match(JSON.parse(stat), { data: 'region', served: 'passthrough', reason: '' }, 'nvmfs stat says so');
    for (const volume of ['dax', 'ext4', 'disk']) has(`verified ${volume}`, `fsck.nvmfs finds nothing on ${volume}`);
  });
  t.comment(`${String(Math.round((Date.now() - started) / 1000))} s`);
});

t.test(`${String(kills)} power failures`, { skip }, async (t) => {
  const seed = givenSeed();
  t.comment(`SEED=${String(seed)}`);
  const random = new Random(seed);
  for (let round = 1; round <= kills + 1; round += 1) {
    const started = Date.now();
    const step = round <= kills ? 'crash' : 'last';
    const before = new Map(acknowledged);
    const lone = round === 1;
    await withMachine({ step, seed, acknowledged, ...(lone ? { only: LONE_STREAM } : {}) }, async (machine) => {
      await machine.until('checked all');
      for (const stream of STREAMS) {
        const fact = `checked ${stream} ${String(acknowledged.get(stream) ?? 0)}`;
        if (!machine.facts.includes(fact)) t.fail(`the machine did not say '${fact}'`);
      }
      if (step === 'last') return machine.off();
      await machine.until('loading');
      // At last all streams shall have something to lose.
      await machine.acknowledgedBy(round === kills && !lone ? STREAMS.length : 1);
      await sleep(random.below(lone ? LONE_MS_MAX : LOAD_MS_MAX));
      await machine.kill();
      for (const [stream, number] of machine.acknowledged()) acknowledged.set(stream, number);
    });
    let added = 0;
    for (const [stream, number] of acknowledged) added += number - (before.get(stream) ?? 0);
    const now = step === 'crash' ? `, ${String(added)} more acknowledged` : '';
    t.pass(`boot ${String(round)}: all that was acknowledged is there`);
    t.comment(`boot ${String(round)}, ${String(Math.round((Date.now() - started) / 1000))} s: ${[...before.values()].reduce((sum, number) => sum + number, 0)} records are there${now}`);
  }
  if (kills > 1) t.ok(STREAMS.every((stream) => (acknowledged.get(stream) ?? 0) > 0), 'every stream acknowledged something', { acknowledged: Object.fromEntries(acknowledged) });
});
