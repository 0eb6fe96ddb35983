// Guards the promise of serve(): the caller goes on at once, though nobody sends a request. A mount was reported a second late.
import { spawnSync } from 'node:child_process';
import { constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { addon } from '../../native/addon.js';
import { MIB } from '../../src/base/units.js';
import { DevFuseTransport } from '../../src/fuse/devfuse.js';
import { SharedState } from '../../src/fuse/shared-state.js';
import type { MountSettings } from '../../src/fuse/transport.js';
import { MappedPmem } from '../../src/pmem/mapped.js';
import { FakeFileSystem } from './fuse-fake.js';

/** It wakes up by itself to write pending timestamps after so long. */
const FLUSH_TIMES_MS = 1000;

const settings: MountSettings = {
  source: 'x', directory: '/nowhere', subtype: 'nvmfs', readOnly: false, allowOther: false, flags: [],
  maxRead: 0, directIo: false, acls: false, spinMicroseconds: 20, debug: false,
};

t.test('serve() does not wait for the first request', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'nvmfs-devfuse-'));
  t.teardown(() => {
    rmSync(scratch, { recursive: true });
  });
  const pmem = MappedPmem.open(join(scratch, 'image'), { create: true, size: MIB });
  t.teardown(() => {
    pmem.close();
  });
  // As /dev/fuse while the kernel asks nothing.
  const device = join(scratch, 'fifo');
  spawnSync('mkfifo', [device]);
  const fd = openSync(device, constants.O_RDWR | constants.O_NONBLOCK);
  // As in a process that has just begun: no event of the loop is outstanding, so that receive() would wait at once.
  for (let i = 0; i < 3; i++) addon.receive(fd, Buffer.alloc(2 * MIB), 1, 0);
  const transport = new DevFuseTransport(fd, new FakeFileSystem(pmem), pmem.handle, settings, () => undefined, new SharedState());

  const begun = performance.now();
  const ended = transport.serve();
  const elapsed = performance.now() - begun;
  t.ok(elapsed < FLUSH_TIMES_MS / 2, `came back after ${elapsed.toFixed(1)} ms`);
  transport.close();
  t.equal(await ended, 'stopped');
});
