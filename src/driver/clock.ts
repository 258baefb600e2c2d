/** Clocks: the one real clock, and what the driver wants of any. */
import { performance } from "node:perf_hooks";
import type { Micros } from "../base/time.js";

/** A wake-up that was asked for. */
export interface ClockTimer {
  /** It will not come. Later calls do nothing. */
  stop(): void;
  /** Whether waiting for it keeps the process alive. */
  setRef(keepAlive: boolean): void;
}

/** What a driver lives by: real time, or the virtual time of `virtual-clock.ts`. */
export interface Clock {
  /** Microseconds since some origin. */
  now(): Micros;
  /** Calls `action` once, in a turn of the event loop of its own, at `at` or soon after. */
  startTimer(at: Micros, action: () => void): ClockTimer;
}

/** What the monotonic clock showed when `performance.now` began to count. */
const ORIGIN: Micros = Number(process.hrtime.bigint() / 1000n) - Math.floor(performance.now() * 1000);

/**
 * Microseconds on the monotonic clock, which is the same for all processes of the host: timestamps and initial sequence
 * numbers of a later process are later ones.
 */
export function monotonicNow(): Micros {
  return ORIGIN + Math.floor(performance.now() * 1000);
}

/** Real time. */
export const MONOTONIC_CLOCK: Clock = {
  now: monotonicNow,
  startTimer(at, action) {
    const delayMs = Math.ceil((at - monotonicNow()) / 1000);
    if (delayMs <= 0) return turn(action);
    // Node's longest; an earlier wake-up does no harm.
    const timer = setTimeout(action, Math.min(delayMs, 0x7fffffff));
    return {
      stop: () => clearTimeout(timer),
      setRef(keepAlive) {
        if (keepAlive) timer.ref();
        else timer.unref();
      },
    };
  },
};

/** The next turn of the event loop; a timer of Node's would come a millisecond later. */
function turn(action: () => void): ClockTimer {
  const immediate = setImmediate(action);
  return {
    stop: () => clearImmediate(immediate),
    setRef(keepAlive) {
      if (keepAlive) immediate.ref();
      else immediate.unref();
    },
  };
}

/** A clock of the wall in nanoseconds that never runs backwards: the wall's time at the start, and monotonic time since. */
export function wallClockNs(): () => bigint {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return () => process.hrtime.bigint() + offset;
}
