import { expect, test } from "vitest";
import { NEVER, SECOND } from "../../src/base/time.js";
import { WindowedMin } from "../../src/base/windowed-min.js";

test("there is none before the first sample, then the least", () => {
  const min = new WindowedMin(10 * SECOND);
  expect(min.value).toBe(NEVER);
  for (const [at, sample] of [30, 20, 40].entries()) min.add(sample, at * SECOND);
  expect(min.value).toBe(20);
});

test("a sample counts for half a window at least and a whole one at most", () => {
  const min = new WindowedMin(10 * SECOND);
  const seen: number[] = [];
  for (let at = 0; at <= 12; at++) {
    min.add(at === 0 ? 20 : 50, at * SECOND);
    seen.push(min.value);
  }
  expect(seen).toEqual([20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 50, 50, 50]);
});

test("after a silence longer than the window the next sample stands alone", () => {
  const min = new WindowedMin(10 * SECOND);
  min.add(20, 0);
  min.add(70, 11 * SECOND);
  expect(min.value).toBe(70);
});
