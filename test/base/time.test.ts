import { describe, expect, it } from "vitest";
import { formatDuration, MILLISECOND, MINUTE, NEVER, SECOND } from "../../src/base/time.js";

describe("formatDuration", () => {
  it.each([
    [0, "0 µs"],
    [250, "250 µs"],
    [999, "999 µs"],
    [MILLISECOND, "1 ms"],
    [40 * MILLISECOND, "40 ms"],
    [1_234, "1.23 ms"],
    [999_999, "1000 ms"],
    [SECOND, "1 s"],
    [1_500_000, "1.5 s"],
    [2 * MINUTE, "120 s"],
    [-200 * MILLISECOND, "-200 ms"],
    [NEVER, "never"],
  ])("prints %d µs as %s", (us, text) => {
    expect(formatDuration(us)).toBe(text);
  });
});
