/**
 * Sequence-space arithmetic (RFC 9293 §3.4): 32-bit numbers that wrap. It stands here and nowhere else.
 * Every result is canonical (`>>> 0`); comparisons hold for numbers less than 2^31 apart.
 *
 *      a before b            b - a in (0, 2^31)
 *   0 ──────a────────b──────────────────────────── 2^32-1
 *           └─ lt ──►
 */

/** `a + n` in sequence space; `n` may be negative. */
export function seqAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

/** The signed distance from `b` to `a` in bytes: positive when `a` is later. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

/** a < b */
export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** a ≤ b */
export function seqLe(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** a > b */
export function seqGt(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** a ≥ b */
export function seqGe(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}

/** The later of two. */
export function seqMax(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b;
}

/** The earlier of two. */
export function seqMin(a: number, b: number): number {
  return ((a - b) | 0) < 0 ? a : b;
}

/** Whether `seq` lies in `[start, start + length)`; an empty range holds nothing. */
export function seqInRange(seq: number, start: number, length: number): boolean {
  return (seq - start) >>> 0 < length;
}
