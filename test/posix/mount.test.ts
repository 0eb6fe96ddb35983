// Guards: through a real mount every call of the conformance table gives what Linux gives on a local filesystem, as root and as other users, whatever
// becomes of the server meanwhile.
//
// NVMFS_TEST_DIR=/directory tries the table itself on another filesystem. POSIX_OPTIONS=dax=always,… adds mount options, POSIX_TOPIC=name runs one
// topic, POSIX_REMOUNT=n remounts and POSIX_RESTART=n kills the server after every n cases.
import { chmodSync } from 'node:fs';
import t from 'tap';
import { cannotMount, plainDirectory, Volume } from '../helpers/volume.js';
import { missing } from '../helpers/run.js';
import { compileDriver, DriverExecutor } from './driver.js';
import { runTopics } from './run.js';
import { describeExcluded, table, waitsFor } from './table.js';
import type { Case } from './case.js';

/** Each run's mount options; by default the table is run with ordinary files, and with files that the kernel serves from host files. */
const RUNS = (process.env['POSIX_OPTIONS'] === undefined ? ['', 'dax=always'] : [process.env['POSIX_OPTIONS']]).map((words) => words.split(',').filter((word) => word !== ''));
const TOPIC = process.env['POSIX_TOPIC'];
t.setTimeout(1_200_000);
const REMOUNT_EVERY = Number(process.env['POSIX_REMOUNT'] ?? 500);
const RESTART_EVERY = Number(process.env['POSIX_RESTART'] ?? 60);

for (const options of plainDirectory === undefined ? RUNS : [[]]) await t.test(`the conformance table through a mount ${options.join()}`, { timeout: 600_000, skip: cannotMount() || missing('gcc') }, async (t) => {
  const volume = new Volume({ size: '1g', mountOptions: ['suid', 'dev', ...options] });
  const { real } = volume;
  let driver: DriverExecutor | undefined;
  const exclude = (test: Case): string | undefined => {
    if (real && options.includes('dax=always') && test.passthrough !== undefined) return test.passthrough;
    if (real) return waitsFor(test);
    return test.steps.includes('--- ') ? 'needs a volume of its own' : (test.host ?? waitsFor(test));
  };
  try {
    await volume.format();
    await volume.mount();
    chmodSync(volume.scratch, 0o755);
    chmodSync(volume.directory, 0o755);
    const executor = new DriverExecutor(await compileDriver(volume.scratch), volume.directory, async (readOnly) => {
      await volume.unmount();
      await volume.mount(readOnly ? ['ro'] : []);
    });
    driver = executor;
    const totals = { cases: 0, assertions: 0 };
    for (const topic of table.filter(({ name }) => TOPIC === undefined || TOPIC === name)) {
      await t.test(topic.name, { timeout: 300_000 }, async (t) => {
        const outcome = await runTopics([topic], {
          executor,
          exclude,
          report: {
            assertion: (passed, message, detail) => {
              t.ok(passed, message, passed ? {} : detail);
            },
          },
          between: async (finished) => {
            if (!real) return;
            if (finished % REMOUNT_EVERY === 0) await executor.remount(false);
            else if (finished % RESTART_EVERY === 0) volume.killServer();
          },
        });
        totals.cases += outcome.cases;
        totals.assertions += outcome.assertions;
        t.comment(`${topic.name}: ${String(outcome.assertions)} assertions in ${String(outcome.cases)} cases`);
        for (const line of describeExcluded(outcome.excluded)) t.comment(line);
        t.ok(outcome.cases > 0, `cases of ${topic.name} were run`);
      });
    }
    t.comment(`${String(totals.assertions)} assertions in ${String(totals.cases)} cases`);
    await executor.leave();
    await volume.unmount();
    await volume.verifyClean(t);
  } finally {
    driver?.end();
    volume.destroy();
  }
});
