/** The one real clock. */
import { performance } from "node:perf_hooks";
import type { Micros } from "../base/time.js";

/** What the monotonic clock showed when `performance.now` began to count. */
const ORIGIN: Micros = Number(process.hrtime.bigint() / 1000n) - Math.floor(performance.now() * 1000);

/**
 * Microseconds on the monotonic clock, which is the same for all processes of the host: timestamps and initial sequence
 * numbers of a later process are later ones.
 */
export function monotonicNow(): Micros {
  return ORIGIN + Math.floor(performance.now() * 1000);
}

/** A clock of the wall in nanoseconds that never runs backwards: the wall's time at the start, and monotonic time since. */
export function wallClockNs(): () => bigint {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return () => process.hrtime.bigint() + offset;
}
