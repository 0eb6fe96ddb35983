import { assert } from './assert.js';

const rotateLeft = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

/**
 * A seeded generator (xoshiro128**): the same seed gives the same sequence everywhere. Not for secrets.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** `seed`: any whole number; its low 32 bits count. */
  constructor(readonly seed: number) {
    // splitmix32 spreads similar seeds over the whole state, and never gives the all-zero one.
    let state = seed | 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return z ^ (z >>> 15);
    };
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = next() | 1;
  }

  /** A whole number in [0, 2^32). */
  nextU32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.b, 5), 7), 9);
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = rotateLeft(this.d, 11);
    return result >>> 0;
  }

  /** A whole number in [0, n); n in [1, 2^53]. */
  below(n: number): number {
    assert(Number.isInteger(n) && n >= 1 && n <= 2 ** 53, 'below takes a whole number in [1, 2^53]');
    if (n <= 2 ** 32) return Math.floor((this.nextU32() / 2 ** 32) * n);
    const bits53 = this.nextU32() * 2 ** 21 + (this.nextU32() >>> 11);
    return Math.min(n - 1, Math.floor((bits53 / 2 ** 53) * n));
  }

  /** A whole number in [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with probability p, 0 … 1. */
  chance(p: number): boolean {
    return this.nextU32() < p * 2 ** 32;
  }

  /** One element of a list that isn't empty. */
  pick<T>(list: readonly T[]): T {
    assert(list.length > 0, 'pick takes from a list that is not empty');
    return list[this.below(list.length)] as T;
  }

  /** Fills target[offset … offset + length) with random bytes. */
  bytes(target: Uint8Array, offset = 0, length = target.length - offset): void {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      let word = this.nextU32();
      const stop = Math.min(end, at + 4);
      for (; at < stop; at++) {
        target[at] = word & 0xff;
        word >>>= 8;
      }
    }
  }
}
