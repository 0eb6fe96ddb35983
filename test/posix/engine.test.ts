// Guards: the engine itself answers every call of the conformance table as Linux does, without a mount, and leaves a sound volume.
import t from 'tap';
import { GIB } from '../../src/base/units.js';
import { EngineExecutor } from './engine.js';
import { runTopics } from './run.js';
import { describeExcluded, table, waitsFor } from './table.js';

t.setTimeout(300_000);
const executor = new EngineExecutor(GIB);
for (const topic of table) {
  await t.test(topic.name, { timeout: 120_000 }, async (t) => {
    const outcome = await runTopics([topic], {
      executor,
      exclude: (test) => waitsFor(test) ?? test.mount,
      report: {
        assertion: (passed, message, detail) => {
          t.ok(passed, message, passed ? {} : detail);
        },
      },
    });
    t.comment(`${topic.name}: ${String(outcome.assertions)} assertions in ${String(outcome.cases)} cases`);
    for (const line of describeExcluded(outcome.excluded)) t.comment(line);
    t.same(executor.verify(), [], 'the verifier finds nothing wrong');
    t.same(executor.volume.log, [], 'the engine had nothing to complain about');
  });
}
