/** What NewReno does beyond loss recovery: ECN, undo, idling. Recovery itself is in ../recovery.test.ts. */
import { describe, expect, test } from "vitest";
import { newReno } from "../../../src/tcp/new-reno.js";
import { ack, loseAndRecover, MSS } from "./ack.js";

const windows = (cc: ReturnType<typeof newReno>) => [cc.cwnd, cc.ssthresh];

describe("NewReno, ECN", () => {
  test("a mark leaves 0.8 of the flight and inflates nothing", () => {
    const cc = newReno(MSS, 20 * MSS);
    cc.onEcn(20 * MSS, 0);
    expect(windows(cc)).toEqual([16 * MSS, 16 * MSS]);
  });

  test("the window may fall to one segment, the threshold to two", () => {
    const cc = newReno(MSS, 2 * MSS);
    cc.onEcn(MSS, 0);
    expect(windows(cc)).toEqual([MSS, 2 * MSS]);
  });

  test("a mark never raises the window", () => {
    const cc = newReno(MSS, 4 * MSS);
    cc.onEcn(20 * MSS, 0);
    expect(cc.cwnd).toBe(4 * MSS);
  });
});

describe("NewReno, undo", () => {
  test("after a spurious time-out the former windows hold again, once", () => {
    const cc = newReno(MSS, 20 * MSS);
    cc.onTimeout(20 * MSS, true, 0);
    cc.onTimeout(20 * MSS, false, 0);
    expect(windows(cc)).toEqual([MSS, 10 * MSS]);
    cc.onUndo();
    expect(windows(cc)).toEqual([20 * MSS, Number.POSITIVE_INFINITY]);
    cc.onEcn(20 * MSS, 0);
    cc.onUndo();
    expect(windows(cc)).toEqual([16 * MSS, 16 * MSS]);
  });

  test("in recovery and after it; only the last reduction", () => {
    const cc = newReno(MSS, 20 * MSS);
    loseAndRecover(cc, 20 * MSS);
    cc.onEnterRecovery(10 * MSS, 0);
    for (let i = 0; i < 4; i++) cc.onDuplicateAck();
    cc.onUndo();
    expect(windows(cc)).toEqual([10 * MSS, 10 * MSS]);
    loseAndRecover(cc, 10 * MSS);
    expect(windows(cc)).toEqual([5 * MSS, 5 * MSS]);
    cc.onUndo();
    expect(windows(cc)).toEqual([10 * MSS, 10 * MSS]);
  });

  test("a time-out in recovery is undone to the window that recovery aimed at, without its inflation", () => {
    const cc = newReno(MSS, 20 * MSS);
    cc.onEnterRecovery(20 * MSS, 0);
    for (let i = 0; i < 10; i++) cc.onDuplicateAck();
    expect(cc.cwnd).toBe(23 * MSS);
    cc.onTimeout(20 * MSS, true, 0);
    cc.onUndo();
    expect(windows(cc)).toEqual([10 * MSS, 10 * MSS]);
  });

  test("a mark since then stands: nothing is taken back", () => {
    const cc = newReno(MSS, 20 * MSS);
    loseAndRecover(cc, 20 * MSS);
    cc.onEcn(10 * MSS, 0);
    cc.onUndo();
    expect(windows(cc)).toEqual([8 * MSS, 8 * MSS]);
  });

  test("after an undo in recovery the window is no longer taken for an inflated one", () => {
    const cc = newReno(MSS, 20 * MSS);
    loseAndRecover(cc, 20 * MSS);
    for (let i = 0; i < 10; i++) cc.onAck(ack());
    for (let i = 0; i < 2; i++) {
      cc.onEnterRecovery(11 * MSS, 0);
      cc.onUndo();
      expect(windows(cc)).toEqual([11 * MSS, 10 * MSS]);
    }
  });

  test("does nothing without a loss, nor when the window has grown past the former one", () => {
    const cc = newReno(MSS, 4 * MSS);
    cc.onUndo();
    expect(windows(cc)).toEqual([4 * MSS, Number.POSITIVE_INFINITY]);
    loseAndRecover(cc, 4 * MSS);
    for (let i = 0; i < 20; i++) cc.onAck(ack());
    const [cwnd] = windows(cc);
    expect(cwnd).toBeGreaterThan(4 * MSS);
    cc.onUndo();
    expect(windows(cc)).toEqual([cwnd, 2 * MSS]);
  });
});

describe("NewReno, idle (RFC 5681 §4.1)", () => {
  test.each([
    { idle: 200_000, cwnd: 64 },
    { idle: 200_001, cwnd: 32 },
    { idle: 400_000, cwnd: 32 },
    { idle: 400_001, cwnd: 16 },
    { idle: 3_600_000_000, cwnd: 10 },
  ])("after $idle µs with a time-out of 200 ms: $cwnd segments", ({ idle, cwnd }) => {
    const fresh = newReno(MSS, 64 * MSS);
    fresh.onIdle(idle, 200_000, 10 * MSS);
    expect(windows(fresh)).toEqual([cwnd * MSS, Number.POSITIVE_INFINITY]);
    const avoiding = newReno(MSS, 128 * MSS);
    loseAndRecover(avoiding, 128 * MSS);
    // A segment more than the threshold of 64, after a window of ACKs.
    for (let i = 0; i < 64; i++) avoiding.onAck(ack());
    avoiding.onIdle(200_001, 200_000, 10 * MSS);
    expect(windows(avoiding)).toEqual([32_500, 64 * MSS]);
  });

  test("a window no larger than the first stays", () => {
    const cc = newReno(MSS, 10 * MSS);
    cc.onTimeout(10 * MSS, true, 0);
    cc.onIdle(60_000_000, 200_000, 10 * MSS);
    expect(windows(cc)).toEqual([MSS, 5 * MSS]);
  });

  test("a threshold far below is raised to three quarters of what the window was", () => {
    const cc = newReno(MSS, 4 * MSS);
    loseAndRecover(cc, 4 * MSS);
    for (let i = 0; i < 600; i++) cc.onAck(ack());
    const before = cc.cwnd;
    cc.onIdle(200_001, 200_000, 10 * MSS);
    expect(windows(cc)).toEqual([before / 2, (before * 3) / 4]);
  });
});
