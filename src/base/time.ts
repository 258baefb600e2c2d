/** Time inside the engine: integer microseconds on a clock that its owner chooses and that never runs backwards. */

/** A point in time or a span, in integer microseconds. */
export type Micros = number;

export const MILLISECOND: Micros = 1_000;
export const SECOND: Micros = 1_000_000;
export const MINUTE: Micros = 60 * SECOND;

/** No deadline. */
export const NEVER: Micros = Number.POSITIVE_INFINITY;

/** "250 µs", "40 ms", "1.5 s": three significant digits at the most. */
export function formatDuration(us: Micros): string {
  if (us === NEVER) return "never";
  if (Math.abs(us) < MILLISECOND) return `${us} µs`;
  if (Math.abs(us) < SECOND) return `${trim(us / MILLISECOND)} ms`;
  return `${trim(us / SECOND)} s`;
}

function trim(value: number): string {
  return String(Number(value.toPrecision(3)));
}
