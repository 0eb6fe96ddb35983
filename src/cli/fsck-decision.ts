import type { Problem } from '../repair/problems.js';
import type { FsckArguments } from './fsck-arguments.js';
import type { Progress } from './fsck-progress.js';
import { ask, Cancelled } from './fsck-question.js';

/** Tells of each problem, and decides about it: yes without questions, or what somebody at the terminal says. */
export class Decision {
  private all: boolean;
  private told = 0;

  constructor(
    private readonly given: FsckArguments,
    private readonly progress: Progress | null,
    /** Problems that are printed one by one. */
    private readonly limit: number,
    private readonly interrupted: () => boolean,
  ) {
    this.all = given.mode !== 'ask';
  }

  decide(problem: Problem): boolean {
    if (this.interrupted()) throw new Cancelled('cancelled');
    this.told++;
    if (this.all) {
      if (this.told <= this.limit) this.tell(`${problem.kind}: ${problem.message}: ${problem.remedy}`);
      return true;
    }
    this.tell(`${problem.kind}: ${problem.message}`);
    const answer = ask(`${problem.remedy.charAt(0).toUpperCase()}${problem.remedy.slice(1)}`, this.interrupted);
    if (answer === 'all') this.all = true;
    return answer !== 'no';
  }

  /** Says how many problems were not told of. */
  end(): void {
    const more = this.told - this.limit;
    if (this.all && more > 0) this.tell(`… and ${String(more)} more`);
  }

  private tell(line: string): void {
    this.progress?.end();
    // With --json standard output is for the report alone.
    (this.given.json || this.given.mode === 'ask' ? process.stderr : process.stdout).write(`${line}\n`);
  }
}
