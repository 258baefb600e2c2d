import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/driver/virtual-clock.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("VirtualClock", () => {
  it("leaps to the next timer, and to none before it", async () => {
    const clock = new VirtualClock(100);
    const told: number[] = [];
    await new Promise<void>((resolve) => {
      clock.startTimer(60_000_000, () => told.push(clock.now()));
      clock.startTimer(5, () => told.push(clock.now()));
      clock.startTimer(3_600_000_000, () => {
        told.push(clock.now());
        resolve();
      });
    });
    expect(told).toEqual([100, 60_000_000, 3_600_000_000]);
  });

  it("calls nothing from within startTimer", () => {
    const clock = new VirtualClock();
    let isCalled = false;
    clock.startTimer(0, () => (isCalled = true));
    expect(isCalled).toBe(false);
  });

  it("a timer that was stopped does not come, and does not move time", async () => {
    const clock = new VirtualClock(0);
    let isCalled = false;
    clock.startTimer(50, () => (isCalled = true)).stop();
    await turn();
    await turn();
    expect(isCalled).toBe(false);
  });

  it("timers of one moment come in the order in which they were set, in one turn", async () => {
    const clock = new VirtualClock(0);
    const told: string[] = [];
    for (const name of ["a", "b", "c"]) clock.startTimer(10, () => told.push(name));
    clock.startTimer(11, () => told.push("later"));
    await turn();
    expect(told).toEqual(["a", "b", "c"]);
    await turn();
    expect(told).toEqual(["a", "b", "c", "later"]);
  });

  it("one that throws does not stop the clock", async () => {
    const clock = new VirtualClock(0);
    const caught = new Promise((resolve) => {
      const listeners = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of listeners) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    const failure = new Error("thrown");
    clock.startTimer(1, () => {
      throw failure;
    });
    const next = new Promise<void>((resolve) => clock.startTimer(2, resolve));
    expect(await caught).toBe(failure);
    await next;
  });
});
