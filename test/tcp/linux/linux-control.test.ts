/** Linux's congestion windows, in segments. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, NEVER } from "../../../src/base/time.js";
import { LinuxControl } from "../../../src/tcp/linux-control.js";

function limited(name: "cubic" | "reno", window: number, threshold = NEVER): LinuxControl {
  const lx = new LinuxControl(name, 1000, window, threshold);
  lx.begin(0, 0);
  lx.isLimited = true;
  return lx;
}

describe("LinuxControl", () => {
  it("slow start: the window grows by what is acknowledged, up to the threshold", () => {
    const lx = limited("reno", 10, 14);
    lx.avoid(3, 0);
    expect(lx.window).toBe(13);
    lx.avoid(4, 0);
    expect(lx.window).toBe(14);
  });

  it("reno: one segment a window of ACKs", () => {
    const lx = limited("reno", 10, 5);
    for (let i = 0; i < 9; i++) lx.avoid(1, 0);
    expect(lx.window).toBe(10);
    lx.avoid(1, 0);
    expect(lx.window).toBe(11);
  });

  it("does not grow when the window was not what held the sender back", () => {
    const lx = limited("reno", 10, 5);
    lx.isLimited = false;
    for (let i = 0; i < 40; i++) lx.avoid(1, 0);
    expect(lx.window).toBe(10);
  });

  it("slow start may go to twice of what was in use", () => {
    const lx = limited("reno", 10);
    lx.isLimited = false;
    lx.maxOut = 6;
    lx.avoid(5, 0);
    expect(lx.window).toBe(15);
    lx.avoid(5, 0);
    expect(lx.window).toBe(15);
  });

  it("cubic: without a plateau at least 5 % a round trip; 0.7 after a loss, and less of a plateau when losses come close", () => {
    const lx = limited("cubic", 100, 50);
    for (let i = 0; i < 100; i++) lx.avoid(1, i * MILLISECOND);
    expect(lx.window).toBe(105);
    expect(lx.reducedThreshold()).toBe(73);
    lx.window = 10;
    expect(lx.reducedThreshold()).toBe(7);
    lx.window = 2;
    expect(lx.reducedThreshold()).toBe(2);
  });

  it("cubic comes back to the plateau in K seconds", () => {
    const lx = limited("cubic", 100, 50);
    lx.threshold = lx.reducedThreshold();
    lx.window = lx.threshold;
    // K = cbrt((100 - 70) / 0.4) = 4.2 s; an ACK a millisecond.
    for (let ms = 1; ms <= 4300; ms++) lx.avoid(1, ms * MILLISECOND);
    expect(lx.window).toBeGreaterThanOrEqual(98);
    expect(lx.window).toBeLessThanOrEqual(102);
  });

  it("HyStart: slow start ends when round trips have become longer by an eighth, 4 ms at least", () => {
    const lx = limited("cubic", 20);
    let now = 100 * MILLISECOND;
    lx.measured(40_000, 0, 20, NEVER, now);
    for (let i = 0; i < 9; i++) {
      now += 5 * MILLISECOND;
      lx.measured(43_000, 10, 30, NEVER, now);
    }
    expect(lx.threshold).toBe(NEVER);
    for (let i = 0; i < 9; i++) {
      now += 5 * MILLISECOND;
      lx.measured(50_000, 31, 60, NEVER, now);
    }
    expect(lx.threshold).toBe(20);
  });

  it("after a pause the window is halved for each time-out of it, not below the initial one", () => {
    const lx = limited("reno", 64);
    lx.onIdle(200_000, 300_000, 10_000);
    expect(lx.window).toBe(64);
    lx.onIdle(700_000, 300_000, 10_000);
    expect([lx.window, lx.threshold]).toEqual([16, NEVER]);
    lx.onIdle(60_000_000, 300_000, 10_000);
    expect(lx.window).toBe(10);
  });

  it("HyStart: slow start ends when one train of ACKs lasts for half a round trip", () => {
    const lx = limited("cubic", 20);
    let now = 100 * MILLISECOND;
    lx.measured(40_000, 1, 20, NEVER, now);
    for (let i = 0; i < 11; i++) {
      now += 2 * MILLISECOND;
      lx.measured(40_000, 2, 20, NEVER, now);
    }
    // The train begins with the round, which this ACK has not ended: 20 ms are half of 40.
    expect([lx.threshold, lx.window]).toEqual([20, 20]);
  });

  it("HyStart: the train may be longer by what one batch takes to leave", () => {
    const train = (pacing: number): number => {
      const lx = limited("cubic", 20);
      let now = 100 * MILLISECOND;
      lx.measured(4_000, 1, 20, pacing, now);
      for (let i = 0; i < 20; i++) {
        if (lx.threshold !== NEVER) return i;
        now += 200;
        lx.measured(4_000, 2, 20, pacing, now);
      }
      return NEVER;
    };
    expect(train(NEVER)).toBe(11);
    // A rate of less than a byte a second says nothing.
    expect(train(0)).toBe(11);
    // A batch of 64 KiB four times over takes more than the millisecond that is the most.
    expect(train(10_000_000)).toBe(13);
  });

  it("cubic: the window has grown within a millisecond: the curve is not followed anew, Reno's pace is", () => {
    const lx = limited("cubic", 10, 5);
    lx.avoid(1, 50 * MILLISECOND);
    const before = lx.window;
    for (let i = 0; i < 60; i++) lx.avoid(1, 50 * MILLISECOND);
    expect(lx.window).toBeGreaterThan(before);
    const other = limited("reno", 10, 5);
    for (let i = 0; i < 61; i++) other.avoid(1, 50 * MILLISECOND);
    expect(lx.window).toBeLessThanOrEqual(other.window + 3);
  });

  it("while the window is being reduced the threshold is what it was set to; else not below three quarters of the window", () => {
    const lx = limited("reno", 20, 5);
    expect(lx.presentThreshold).toBe(15);
    lx.setState("cwr", 0, 0);
    expect(lx.presentThreshold).toBe(5);
    lx.setState("disorder", 0, 0);
    expect(lx.presentThreshold).toBe(15);
  });
});
