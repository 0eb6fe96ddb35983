import { addon } from '../../native/addon.js';
import type { CounterPages } from '../fs/references.js';
import { COUNTERS_PER_PAGE, SEGMENT_BYTES, SEGMENT_CONTROL_BYTES } from '../fs/segment.js';

const PAGE_BYTES = 4 * COUNTERS_PER_PAGE;
/** Counters are mapped so much at a time: those of 16 million inodes. */
const WINDOW_BYTES = 64 * 1048576;
const PAGES_PER_WINDOW = WINDOW_BYTES / PAGE_BYTES;

/** Makes the segment of a new mount; returns its descriptor. */
export function createSegment(): number {
  return addon.createSegment(SEGMENT_BYTES);
}

/** Maps all of it but the counters. */
export function mapControl(fd: number): ArrayBuffer {
  return addon.mapSegment(fd, 0, SEGMENT_CONTROL_BYTES);
}

/** A table of counters in the segment, from `start` to `end` (bytes). */
export class SegmentPages implements CounterPages {
  private readonly windows = new Map<number, ArrayBuffer>();

  constructor(
    private readonly fd: number,
    private readonly start: number,
    private readonly end: number,
  ) {}

  *existing(): Generator<number> {
    for (let at = this.nextData(this.start); at >= 0 && at < this.end; ) {
      const number = Math.floor((at - this.start) / PAGE_BYTES);
      yield number;
      at = this.nextData(this.start + (number + 1) * PAGE_BYTES);
    }
  }

  page(number: number): Uint32Array {
    const index = Math.floor(number / PAGES_PER_WINDOW);
    let window = this.windows.get(index);
    if (window === undefined) {
      window = addon.mapSegment(this.fd, this.start + index * WINDOW_BYTES, WINDOW_BYTES);
      this.windows.set(index, window);
    }
    return new Uint32Array(window, (number % PAGES_PER_WINDOW) * PAGE_BYTES, COUNTERS_PER_PAGE);
  }

  release(number: number): void {
    addon.punchSegment(this.fd, this.start + number * PAGE_BYTES, PAGE_BYTES);
  }

  private nextData(from: number): number {
    return addon.nextSegmentData(this.fd, from);
  }
}
