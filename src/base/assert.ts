/**
 * Assertions for what this program assumes about itself. They are always on.
 * What comes from outside (users, media, kernel) is reported with {@link FsError} instead.
 */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/** Throws {@link AssertionFailure} unless `condition` holds. The message states the invariant. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionFailure(`assertion failed: ${invariant}`);
}

/** Marks a branch that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`assertion failed: unexpected value ${String(value)}`);
}
