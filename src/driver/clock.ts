/** The one real clock. */
import { performance } from "node:perf_hooks";
import type { Micros } from "../base/time.js";

/** Microseconds on the monotonic clock since the process began. */
export function monotonicNow(): Micros {
  return Math.floor(performance.now() * 1000);
}

/** A clock of the wall in nanoseconds that never runs backwards: the wall's time at the start, and monotonic time since. */
export function wallClockNs(): () => bigint {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return () => process.hrtime.bigint() + offset;
}
