import type { FindingKind, FindingPlace } from '../check/findings.js';

/** Kinds of problems: those of the verifier, which looks at the volume after its journal was replayed, and one more. */
export type ProblemKind = FindingKind | 'journal-damaged';

/** One thing that is wrong, and what can be done about it. */
export interface Problem extends FindingPlace {
  readonly kind: ProblemKind;
  /** Names structure, address, expected and found. */
  readonly message: string;
  /** What is done about it, as an order: `clear the inode`. */
  readonly remedy: string;
}

/** What a repair did, and what it left. */
export interface RepairResult {
  /** Problems that were found. */
  found: number;
  /** Problems that were mended. */
  fixed: number;
  /** Problems that were left: somebody said no, or there was no space. */
  left: number;
  countByKind: ReadonlyMap<ProblemKind, number>;
  /** The journal held changes that were not in place. */
  journalReplayed: boolean;
}

/** Asks about problems one by one, and counts them. */
export class Problems {
  readonly countByKind = new Map<ProblemKind, number>();
  found = 0;
  left = 0;
  /**
   * Something was left that hides who owns what: nothing may be given out or called free on the strength of what was seen.
   */
  incomplete = false;

  constructor(private readonly decide: (problem: Problem) => boolean) {}

  /** True when the problem is to be mended. */
  fix(kind: ProblemKind, place: FindingPlace, what: string, expected: string | number, found: string | number, remedy: string): boolean {
    const yes = this.decide({ kind, ...place, message: `${what}: expected ${String(expected)}, found ${String(found)}`, remedy });
    this.found++;
    this.countByKind.set(kind, (this.countByKind.get(kind) ?? 0) + 1);
    if (!yes) this.left++;
    return yes;
  }

  /** As `fix`, for a problem that hides a part of the volume as long as it is left. */
  fixHiding(kind: ProblemKind, place: FindingPlace, what: string, expected: string | number, found: string | number, remedy: string): boolean {
    const yes = this.fix(kind, place, what, expected, found, remedy);
    if (!yes) this.incomplete = true;
    return yes;
  }

  /** A problem for which there is no remedy here. */
  leave(kind: ProblemKind, place: FindingPlace, what: string, expected: string | number, found: string | number, reason: string): void {
    const { left } = this;
    this.fix(kind, place, what, expected, found, reason);
    this.left = left + 1;
  }
}
