import { assert } from './assert.js';

/** Time of day, injected so that tests repeat. Allocates nothing. */
export interface Clock {
  /** Reads the time into `seconds` and `nanoseconds`. */
  now(): void;
  /** Seconds since 1970, a whole number, of the last call of now(). */
  seconds: number;
  /** 0 … 999,999,999. */
  nanoseconds: number;
}

const RESYNCHRONISE_MS = 2;

/** The system's clock, to the microsecond. */
export class SystemClock implements Clock {
  seconds = 0;
  nanoseconds = 0;
  /** Milliseconds since 1970 at the zero of performance.now(). */
  private origin = performance.timeOrigin;

  now(): void {
    const elapsed = performance.now();
    const wall = Date.now();
    let milliseconds = this.origin + elapsed;
    // performance.now() is finer but doesn't follow when somebody sets the clock. Date.now() is cut to whole milliseconds.
    if (milliseconds - wall > RESYNCHRONISE_MS || wall - milliseconds > RESYNCHRONISE_MS) {
      this.origin = wall - elapsed;
      milliseconds = wall;
    }
    const microseconds = Math.floor(milliseconds * 1000);
    this.seconds = Math.floor(microseconds / 1e6);
    this.nanoseconds = (microseconds - this.seconds * 1e6) * 1000;
  }
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  constructor(
    public seconds = 1_000_000_000,
    public nanoseconds = 0,
  ) {}

  now(): void {
    // What it shows is set by `advance` and by assignment alone.
  }

  /** Moves the clock on by a whole number of nanoseconds ≥ 0. */
  advance(nanoseconds: number): void {
    assert(Number.isSafeInteger(nanoseconds) && nanoseconds >= 0, 'a clock is moved on by whole nanoseconds');
    const sum = this.nanoseconds + nanoseconds;
    this.seconds += Math.floor(sum / 1e9);
    this.nanoseconds = sum % 1e9;
  }
}
