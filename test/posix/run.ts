import { agrees, type Case, type Executor, type Step, stepsOf, type Topic } from './case.js';

/** What the runner tells its caller about each step. */
export interface Report {
  assertion(passed: boolean, message: string, detail: { expected: string; found: string; steps: string }): void;
}

export interface RunOptions {
  executor: Executor;
  report: Report;
  /** The reason why a case is not run, or undefined. */
  exclude: (test: Case) => string | undefined;
  /** Called between cases: a place to restart a server, or to remount. */
  between?: (finished: number) => Promise<void>;
}

export interface Outcome {
  cases: number;
  assertions: number;
  failures: number;
  /** Cases left out, by reason. */
  excluded: Map<string, number>;
}

/** Runs every case of the topics that is not excluded, each in a directory of its own. */
export async function runTopics(topics: readonly Topic[], options: RunOptions): Promise<Outcome> {
  const outcome: Outcome = { cases: 0, assertions: 0, failures: 0, excluded: new Map() };
  for (const topic of topics) {
    for (const [index, test] of topic.cases.entries()) {
      const reason = options.exclude(test);
      if (reason !== undefined) {
        outcome.excluded.set(reason, (outcome.excluded.get(reason) ?? 0) + 1);
        continue;
      }
      await runCase(topic, index, test, options, outcome);
      outcome.cases += 1;
      await options.between?.(outcome.cases);
    }
  }
  return outcome;
}

async function runCase(topic: Topic, index: number, test: Case, { executor, report }: RunOptions, outcome: Outcome): Promise<void> {
  const steps = stepsOf(test);
  const directory = `${topic.name}-${String(index)}`;
  await executor.begin(directory);
  let readOnly = false;
  for (let at = 0; at < steps.length; ) {
    const end = steps.findIndex((step, i) => i >= at && step.command.startsWith('--- '));
    const part = steps.slice(at, end < 0 ? undefined : end);
    const results = part.length === 0 ? [] : await executor.run(part.map((step) => step.command));
    for (const [i, step] of part.entries()) check(topic, test, step, results[i] ?? 'nothing', report, outcome);
    if (end < 0) break;
    readOnly = steps[end]?.command === '--- read-only';
    await executor.remount(readOnly);
    await executor.begin(directory);
    at = end + 1;
  }
  if (readOnly) await executor.remount(false);
}

function check(topic: Topic, test: Case, step: Step, found: string, report: Report, outcome: Outcome): void {
  const passed = agrees(step, found);
  if (!passed) outcome.failures += 1;
  if (step.expected !== undefined) outcome.assertions += 1;
  if (step.expected === undefined && passed) return;
  const expected = step.expected ?? 'success';
  report.assertion(passed, `${topic.name}: ${test.name}: ${shorten(step.command)} = ${shorten(expected)}`, { expected, found, steps: test.steps });
}

function shorten(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}
