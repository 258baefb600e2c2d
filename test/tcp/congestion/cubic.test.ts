/** CUBIC (RFC 9438) against numbers computed here, in segments and seconds, from the formulas of the RFC. */
import { describe, expect, test } from "vitest";
import type { CongestionControl } from "../../../src/tcp/congestion.js";
import { type Cubic, cubic, cubicWith } from "../../../src/tcp/cubic.js";
import { newReno } from "../../../src/tcp/new-reno.js";
import { ack, loseAndRecover, MSS, meanWindow } from "./ack.js";

const SECOND = 1_000_000;
const windows = (cc: CongestionControl) => [cc.cwnd, cc.ssthresh];

/** K of figure 2 and W_cubic of figure 1, in segments and seconds. */
const kOf = (wMax: number, cwndEpoch: number) => Math.cbrt((wMax - cwndEpoch) / 0.4);
const wCubic = (t: number, wMax: number, cwndEpoch: number) => 0.4 * (t - kOf(wMax, cwndEpoch)) ** 3 + wMax;

/** A control in congestion avoidance after one loss at `segments`; its epoch begins with the next ACK. */
function afterLoss(segments: number, make = cubic): Cubic {
  const cc = make(MSS, segments * MSS);
  loseAndRecover(cc, segments * MSS);
  return cc;
}

/** One ACK for each segment of the window, evenly over each round trip, from `from` to `to` in µs. */
function drive(cc: Cubic, from: number, to: number, rttUs: number, each?: (nowUs: number) => void): void {
  for (let now = from; now < to; now += Math.round((rttUs * MSS) / cc.cwnd)) {
    cc.onAck(ack({ now, srttUs: rttUs, flightSize: cc.cwnd }));
    each?.(now);
  }
}

describe("CUBIC, multiplicative decrease (RFC 9438 §4.6)", () => {
  test("a loss leaves 0.7 of the flight; the window is inflated by three segments until recovery ends", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onEnterRecovery(100 * MSS);
    expect([...windows(cc), cc.phase]).toEqual([73 * MSS, 70 * MSS, "recovery"]);
    cc.onDuplicateAck();
    expect(cc.cwnd).toBe(74 * MSS);
    cc.onPartialAck(10 * MSS);
    expect(cc.cwnd).toBe(65 * MSS);
    cc.onPartialAck(500);
    expect(cc.cwnd).toBe(64_500);
    cc.onExitRecovery(80 * MSS);
    expect([cc.cwnd, cc.wMax]).toEqual([70 * MSS, 100 * MSS]);
  });

  test("little in flight at the end of recovery: no burst, slow start up to the threshold", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onEnterRecovery(100 * MSS);
    cc.onExitRecovery(2 * MSS);
    expect(cc.cwnd).toBe(3 * MSS);
    cc.onAck(ack());
    expect([cc.cwnd, cc.phase]).toEqual([4 * MSS, "slow-start"]);
  });

  test("the flight counts, not a window that the user did not fill; nor what limited transmit sent beyond it", () => {
    const idle = cubic(MSS, 100 * MSS);
    loseAndRecover(idle, 20 * MSS);
    expect([idle.ssthresh, idle.wMax]).toEqual([14 * MSS, 100 * MSS]);
    const beyond = cubic(MSS, 100 * MSS);
    loseAndRecover(beyond, 102 * MSS);
    expect([beyond.ssthresh, beyond.wMax]).toEqual([70 * MSS, 100 * MSS]);
  });

  test("two segments are the least after a loss, one after an ECN mark", () => {
    const lost = cubic(MSS, 2 * MSS);
    loseAndRecover(lost, 2 * MSS);
    expect(windows(lost)).toEqual([2 * MSS, 2 * MSS]);
    const marked = cubic(MSS, MSS);
    marked.onEcn(MSS);
    expect(windows(marked)).toEqual([MSS, 2 * MSS]);
  });

  test("an ECN mark leaves 0.85 and inflates nothing, fast convergence follows suit", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onEcn(100 * MSS);
    expect([...windows(cc), cc.wMax]).toEqual([85 * MSS, 85 * MSS, 100 * MSS]);
    cc.onEcn(85 * MSS);
    expect(windows(cc)).toEqual([72_250, 72_250]);
    expect(cc.wMax).toBeCloseTo((85 * MSS * 1.85) / 2, 6);
  });

  test("an ECN mark in a window that recovery has deflated does not raise it", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onTimeout(100 * MSS, true);
    cc.onEcn(100 * MSS);
    expect(windows(cc)).toEqual([MSS, 2 * MSS]);
  });
});

describe("CUBIC, fast convergence (RFC 9438 §4.7)", () => {
  test("a loss below the former plateau lowers the next one to 0.85 of the window, one above it does not", () => {
    const cc = afterLoss(100);
    loseAndRecover(cc, 70 * MSS);
    expect(cc.wMax).toBeCloseTo(59.5 * MSS, 6);
    expect(cc.cwnd).toBe(49 * MSS);
    const grown = afterLoss(100);
    drive(grown, 0, 8 * SECOND, 300_000);
    expect(grown.cwnd).toBeGreaterThan(100 * MSS);
    const before = grown.cwnd;
    loseAndRecover(grown, before);
    expect(Math.floor(grown.wMax)).toBe(before);
  });

  test("switched off, the plateau is the window at the loss", () => {
    const cc = afterLoss(100, cubicWith({ fastConvergence: false }));
    loseAndRecover(cc, 70 * MSS);
    expect(cc.wMax).toBe(70 * MSS);
  });
});

describe("CUBIC, window increase (RFC 9438 §4.2–4.5) (MAY-18)", () => {
  test("K is the time from the window after the reduction to the plateau; the epoch begins with the first ACK", () => {
    const cc = afterLoss(100);
    expect(cc.cwndEpoch).toBe(0);
    cc.onAck(ack({ now: 5 * SECOND, srttUs: 300_000 }));
    expect([cc.cwndEpoch, cc.wMax, cc.phase]).toEqual([70 * MSS, 100 * MSS, "reno-friendly"]);
    // ∛(30 / 0.4) = ∛75
    expect(cc.k).toBeCloseTo(4.217163, 6);
    // At t = 0 the cubic has not risen yet and Reno's estimate has, by α / cwnd.
    expect(cc.cwnd).toBe(Math.floor((70 + 9 / 17 / 70) * MSS));
    // From then on (target - cwnd) / cwnd segments, target = W_cubic(t + RTT).
    const cwnd = 70 + 9 / 17 / 70;
    const target = wCubic(0.304, 100, 70);
    expect(target).toBeCloseTo(76.0313, 4);
    cc.onAck(ack({ now: 5 * SECOND + 4_000, srttUs: 300_000 }));
    expect(cc.phase).toBe("concave");
    expect(cc.cwnd).toBe(Math.floor((cwnd + (target - cwnd) / cwnd) * MSS));
  });

  test.each([0.3, 0.1])(
    "every ACK of twelve seconds at a round trip of %d s, in all three regions, as the formulas have it",
    (rtt) => {
      const cc = afterLoss(100);
      let cwnd = 70;
      let wEst = 70;
      const phases = new Set<string>();
      let acks = 0;
      drive(cc, SECOND, 13 * SECOND, rtt * SECOND, (nowUs) => {
        const t = nowUs / SECOND - 1;
        wEst += (wEst >= 100 ? 1 : (3 * 0.3) / 1.7) / cwnd;
        if (wCubic(t, 100, 70) < wEst) {
          cwnd = Math.max(cwnd, wEst);
          phases.add("reno-friendly");
        } else {
          const w = wCubic(t + rtt, 100, 70);
          const target = w < cwnd ? cwnd : w > 1.5 * cwnd ? 1.5 * cwnd : w;
          phases.add(cwnd < 100 ? "concave" : "convex");
          cwnd += (target - cwnd) / cwnd;
        }
        acks++;
        // One byte for what the getter cuts off.
        expect(Math.abs(cc.cwnd - cwnd * MSS)).toBeLessThan(1.001);
      });
      expect([...phases].sort()).toEqual(["concave", "convex", "reno-friendly"]);
      expect(acks).toBeGreaterThan(4_000);
      expect(cc.wEst / MSS).toBeCloseTo(wEst, 6);
    },
  );

  test("the window stays between W_cubic(t) of a round trip ago and W_cubic(t + RTT)", () => {
    const cc = afterLoss(1_000);
    const rtt = 0.1;
    let checked = 0;
    drive(cc, 0, 15 * SECOND, rtt * SECOND, (nowUs) => {
      const t = nowUs / SECOND;
      if (t < 2 * rtt) return;
      checked++;
      expect(cc.cwnd / MSS).toBeLessThanOrEqual(wCubic(t + rtt, 1_000, 700) + 1e-9);
      expect(cc.cwnd / MSS).toBeGreaterThan(wCubic(t - rtt, 1_000, 700) - 0.002);
    });
    expect(checked).toBeGreaterThan(100_000);
    expect(cc.phase).toBe("convex");
  });

  test("a round trip that has become shorter asks for less than there is: the window stays", () => {
    const cc = afterLoss(100);
    cc.onAck(ack({ now: 0 }));
    cc.onAck(ack({ now: SECOND, srttUs: SECOND, ackedBytes: 100 * MSS }));
    const before = cc.cwnd;
    expect(before).toBe(Math.floor(wCubic(2, 100, 70) * MSS));
    cc.onAck(ack({ now: SECOND + 1_000, srttUs: 1_000 }));
    expect([cc.cwnd, cc.phase]).toEqual([before, "concave"]);
  });

  test("the threshold of two segments lies above a smaller plateau: the plateau is there", () => {
    const cc = cubic(MSS, 4 * MSS);
    cc.onTimeout(4 * MSS, true);
    loseAndRecover(cc, MSS);
    expect([cc.cwnd, cc.wMax]).toEqual([2 * MSS, 0.85 * MSS]);
    cc.onAck(ack({ now: SECOND }));
    expect([cc.cwndEpoch, cc.wMax, cc.k]).toEqual([2 * MSS, 2 * MSS, 0]);
  });

  test("a plateau far above: at most half the window more in a round trip", () => {
    const cc = cubic(MSS, 10_000 * MSS);
    loseAndRecover(cc, 4 * MSS);
    expect(cc.cwnd).toBe(2_800);
    cc.onAck(ack({ now: 0 }));
    const cwnd = 2_800 + (9 / 17) * MSS * (MSS / 2_800);
    expect(cc.cwnd).toBe(Math.floor(cwnd));
    // Half a second later the cubic asks for hundreds of segments; this ACK is for one.
    cc.onAck(ack({ now: SECOND / 2, srttUs: SECOND / 2 }));
    expect(cc.cwnd).toBe(Math.floor(cwnd + 0.5 * MSS));
  });

  test("an ACK for more than the window counts as one window", () => {
    const cc = afterLoss(100);
    cc.onAck(ack({ now: 0, srttUs: 300_000, ackedBytes: 500 * MSS }));
    expect(cc.cwnd).toBe(Math.floor((70 + 9 / 17) * MSS));
    cc.onAck(ack({ now: SECOND, srttUs: 300_000, ackedBytes: 500 * MSS }));
    expect(cc.cwnd).toBe(Math.floor(wCubic(1.3, 100, 70) * MSS));
  });

  test("time in which the user was the limit does not count", () => {
    const held = afterLoss(100);
    const steady = afterLoss(100);
    drive(held, 0, 2 * SECOND, 300_000);
    drive(steady, 0, 2 * SECOND, 300_000);
    const before = held.cwnd;
    // Thirty seconds of small requests; the window says nothing about them.
    for (let now = 2 * SECOND; now <= 32 * SECOND; now += 50_000) held.onAck(ack({ now, srttUs: 300_000, limited: false }));
    expect(held.cwnd).toBe(before);
    drive(held, 32 * SECOND, 36 * SECOND, 300_000);
    drive(steady, 2 * SECOND, 6 * SECOND, 300_000);
    expect(Math.abs(held.cwnd - steady.cwnd)).toBeLessThan(50);
  });

  test("an epoch begins with the first ACK that may grow the window", () => {
    const cc = afterLoss(100);
    cc.onAck(ack({ now: 0, limited: false }));
    expect(cc.cwndEpoch).toBe(0);
    cc.onAck(ack({ now: 60 * SECOND, srttUs: 300_000 }));
    expect([cc.cwndEpoch, cc.cwnd]).toEqual([70 * MSS, Math.floor((70 + 9 / 17 / 70) * MSS)]);
  });

  test("another segment size: the plateau stays in bytes, K is anew", () => {
    const cc = afterLoss(100);
    cc.onAck(ack({ now: 0, srttUs: 0 }));
    cc.onMss(MSS / 2);
    expect([cc.wMax, cc.cwndEpoch]).toEqual([100 * MSS, 70 * MSS]);
    expect(cc.k).toBeCloseTo(kOf(200, 140), 9);
    cc.onTimeout(70 * MSS, true);
    expect(cc.cwnd).toBe(MSS / 2);
  });
});

describe("CUBIC, Reno-friendly region (RFC 9438 §4.3)", () => {
  test("on a short path the window is that of AIMD(9/17, 0.7), and AIMD(1) past the former window", () => {
    const cc = afterLoss(20);
    const rttUs = 10_000;
    let w = 14;
    let friendly = 0;
    drive(cc, 0, 40 * rttUs, rttUs, () => {
      w += (w < 20 ? 9 / 17 : 1) / w;
      if (cc.phase === "reno-friendly") friendly++;
    });
    expect(friendly).toBeGreaterThan(500);
    expect(cc.phase).toBe("reno-friendly");
    // Six segments at 9/17 a round trip take about 11, the other 29 give one each.
    expect(w).toBeGreaterThan(45);
    expect(cc.wEst / MSS).toBeCloseTo(w, 0);
    expect(cc.cwnd).toBe(Math.floor(cc.wEst));
  });

  test("after fast convergence α stays below 1 up to the window of the last loss, not only to the lower plateau", () => {
    const cc = afterLoss(40);
    loseAndRecover(cc, cc.cwnd);
    expect([cc.cwnd, Math.round(cc.wMax)]).toEqual([19_600, 23_800]);
    let w = 19.6;
    drive(cc, 0, 300_000, 10_000, () => {
      w += (w < 28 ? 9 / 17 : 1) / w;
    });
    expect(w).toBeGreaterThan(35);
    expect(cc.wEst / MSS).toBeCloseTo(w, 0);
    expect(Math.abs(cc.wEst / MSS - w)).toBeLessThan(0.2);
  });

  test.each([
    // RFC 9438 §5.1, table 1 (0.1 s) and table 2 (0.01 s), column C = 0.4: mean windows in segments.
    { rtt: 0.1, every: 1_000, mean: 38, reno: true },
    { rtt: 0.1, every: 10_000, mean: 187, reno: false },
    { rtt: 0.1, every: 100_000, mean: 1_054, reno: false },
    { rtt: 0.01, every: 1_000, mean: 38, reno: true },
    { rtt: 0.01, every: 10_000, mean: 120, reno: true },
    { rtt: 0.01, every: 100_000, mean: 379, reno: true },
  ])("RTT $rtt s, a loss every $every segments: a mean window of $mean", ({ rtt, every, mean, reno }) => {
    const make = cubicWith({ fastConvergence: false });
    const measured = meanWindow(make(MSS, mean * MSS), rtt * SECOND, every, 12, 6);
    expect(measured / mean).toBeGreaterThan(0.92);
    expect(measured / mean).toBeLessThan(1.08);
    // Where Reno does well, CUBIC takes no more than Reno on the same path.
    const ofReno = meanWindow(newReno(MSS, mean * MSS), rtt * SECOND, every, 12, 6);
    if (reno) expect(Math.abs(measured / ofReno - 1)).toBeLessThan(0.1);
    else expect(measured).toBeGreaterThan(1.3 * ofReno);
  });
});

describe("CUBIC, time-out (RFC 9438 §4.8)", () => {
  test("one segment, 0.7 of the flight; the same data again leaves the threshold", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onTimeout(100 * MSS, true);
    expect(windows(cc)).toEqual([MSS, 70 * MSS]);
    cc.onTimeout(MSS, false);
    expect(windows(cc)).toEqual([MSS, 70 * MSS]);
  });

  test("congestion avoidance after it starts on the plateau: K is 0, convex from the threshold on", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onTimeout(100 * MSS, true);
    while (cc.cwnd < cc.ssthresh) cc.onAck(ack({ now: SECOND, srttUs: 300_000 }));
    expect(cc.cwnd).toBe(70 * MSS);
    cc.onAck(ack({ now: 2 * SECOND, srttUs: 300_000 }));
    expect([cc.k, cc.wMax, cc.cwndEpoch]).toEqual([0, 70 * MSS, 70 * MSS]);
    drive(cc, 2 * SECOND + 4_000, 12 * SECOND, 300_000);
    // W_cubic(10) = 70 + 0.4 · 10³
    const w = cc.cwnd / MSS;
    expect(w).toBeGreaterThan(70 + 0.4 * 9.7 ** 3);
    expect(w).toBeLessThan(70 + 0.4 * 10.3 ** 3);
  });

  test("one said to be repeated ends congestion avoidance too: what follows slow start is a new epoch", () => {
    const cc = afterLoss(4);
    drive(cc, 0, SECOND, 100_000);
    cc.onTimeout(cc.cwnd, false);
    while (cc.cwnd < cc.ssthresh) cc.onAck(ack({ now: SECOND }));
    cc.onAck(ack({ now: 2 * SECOND, limited: false }));
    cc.onAck(ack({ now: 2 * SECOND, srttUs: 100_000 }));
    expect([cc.cwndEpoch, cc.wMax, cc.k]).toEqual([cc.ssthresh, cc.ssthresh, 0]);
    expect(cc.wEst).toBeLessThan(cc.ssthresh + MSS);
  });

  test("a loss in the slow start after it tells a plateau again", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onTimeout(100 * MSS, true);
    for (let i = 0; i < 49; i++) cc.onAck(ack());
    loseAndRecover(cc, 50 * MSS);
    expect(cc.cwnd).toBe(35 * MSS);
    cc.onAck(ack({ now: SECOND }));
    // Below the plateau of 100: fast convergence.
    expect(cc.wMax).toBeCloseTo(42.5 * MSS, 6);
    expect(cc.k).toBeCloseTo(kOf(42.5, 35), 9);
  });
});

describe("CUBIC, undo (RFC 9438 §4.9)", () => {
  /** In the middle of a concave epoch, and a twin to compare with. */
  function twins(): [Cubic, Cubic] {
    const pair: [Cubic, Cubic] = [afterLoss(100), afterLoss(100)];
    for (const cc of pair) drive(cc, 0, 2 * SECOND, 300_000);
    return pair;
  }
  const all = (cc: Cubic) => [cc.cwnd, cc.ssthresh, cc.wMax, cc.k, cc.wEst, cc.cwndEpoch];

  test.each([
    { name: "a recovery under way", lose: (cc: Cubic) => cc.onEnterRecovery(cc.cwnd) },
    { name: "a recovery that has ended", lose: (cc: Cubic) => loseAndRecover(cc, cc.cwnd, 2 * SECOND) },
    { name: "a time-out", lose: (cc: Cubic) => cc.onTimeout(cc.cwnd, true) },
    {
      name: "a time-out, repeated, and slow start since",
      lose: (cc: Cubic) => {
        cc.onTimeout(cc.cwnd, true);
        cc.onTimeout(MSS, false);
        for (let i = 0; i < 10; i++) cc.onAck(ack({ now: 2 * SECOND }));
      },
    },
  ])("$name is taken back: all is as if it had never been, the cubic's clock included", ({ lose }) => {
    const [undone, twin] = twins();
    lose(undone);
    expect(undone.ssthresh).not.toBe(twin.ssthresh);
    undone.onUndo();
    expect(all(undone)).toEqual(all(twin));
    for (const cc of [undone, twin]) drive(cc, 2 * SECOND, 4 * SECOND, 300_000);
    expect(all(undone)).toEqual(all(twin));
  });

  test("a segment size that changed meanwhile counts in the K that is brought back", () => {
    const [cc] = twins();
    cc.onTimeout(cc.cwnd, true);
    cc.onMss(MSS / 2);
    cc.onUndo();
    expect(cc.k).toBeCloseTo(kOf(200, 140), 9);
  });

  test("only the last reduction, and only once", () => {
    const cc = afterLoss(100);
    loseAndRecover(cc, 70 * MSS);
    cc.onUndo();
    expect([...windows(cc), cc.wMax]).toEqual([70 * MSS, 70 * MSS, 100 * MSS]);
    cc.onUndo();
    expect([...windows(cc), cc.wMax]).toEqual([70 * MSS, 70 * MSS, 100 * MSS]);
  });

  test("a time-out in recovery goes back to the window that recovery aimed at, without its inflation", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onEnterRecovery(100 * MSS);
    for (let i = 0; i < 40; i++) cc.onDuplicateAck();
    expect(cc.cwnd).toBe(113 * MSS);
    cc.onTimeout(100 * MSS, true);
    expect(cc.ssthresh).toBe(49 * MSS);
    cc.onUndo();
    expect(windows(cc)).toEqual([70 * MSS, 70 * MSS]);
  });

  test("inflation does not pass for growth: recovery is undone however many duplicates came", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onEnterRecovery(100 * MSS);
    for (let i = 0; i < 40; i++) cc.onDuplicateAck();
    cc.onUndo();
    expect(windows(cc)).toEqual([100 * MSS, Number.POSITIVE_INFINITY]);
  });

  test("a window that has grown past the former one stays as it is", () => {
    const cc = afterLoss(100);
    drive(cc, 0, 9 * SECOND, 300_000);
    const now = all(cc);
    expect(cc.cwnd).toBeGreaterThan(100 * MSS);
    cc.onUndo();
    expect(all(cc)).toEqual(now);
  });

  test("a mark since then stands: nothing is taken back", () => {
    const cc = afterLoss(100);
    cc.onEcn(70 * MSS);
    cc.onUndo();
    expect(windows(cc)).toEqual([59_500, 59_500]);
  });

  test("undone in the first slow start, HyStart++ watches again", () => {
    const cc = cubic(MSS, 10 * MSS);
    const round = (una: number, rttUs: number) => {
      for (let i = 0; i < 8; i++) cc.onAck(ack({ rttUs, una: una + i, nxt: una + 10 * MSS }));
    };
    round(0, 50_000);
    round(10 * MSS, 100_000);
    expect(cc.phase).toBe("css");
    loseAndRecover(cc, cc.cwnd);
    cc.onUndo();
    round(50 * MSS, 200_000);
    expect(cc.phase).toBe("slow-start");
    round(60 * MSS, 300_000);
    expect(cc.phase).toBe("css");
  });
});

describe("CUBIC, idle", () => {
  test("half the window for every time-out, the threshold kept at three quarters or above (RFC 5681 §4.1)", () => {
    const cc = cubic(MSS, 100 * MSS);
    cc.onIdle(200_000, 200_000, 10 * MSS);
    expect(cc.cwnd).toBe(100 * MSS);
    cc.onIdle(450_000, 200_000, 10 * MSS);
    expect(windows(cc)).toEqual([25 * MSS, Number.POSITIVE_INFINITY]);
    const avoiding = afterLoss(100);
    drive(avoiding, 0, 20 * SECOND, 300_000);
    const before = avoiding.cwnd;
    expect(before).toBeGreaterThan(1_000 * MSS);
    avoiding.onIdle(3_600 * SECOND, 200_000, 10 * MSS);
    expect(avoiding.cwnd).toBe(10 * MSS);
    // A byte for the fraction that the getter cuts off.
    expect(Math.abs(avoiding.ssthresh - (before * 3) / 4)).toBeLessThan(1);
  });

  test("after it slow start leads to the threshold, and a new epoch to the plateau of before", () => {
    const cc = afterLoss(100);
    drive(cc, 0, 4 * SECOND, 300_000);
    expect(cc.cwnd).toBeGreaterThan(99 * MSS);
    cc.onIdle(10 * SECOND, 200_000, 10 * MSS);
    const { cwnd, ssthresh } = cc;
    expect(cwnd).toBe(10 * MSS);
    expect(ssthresh).toBeGreaterThan(74 * MSS);
    while (cc.cwnd < cc.ssthresh) cc.onAck(ack({ now: 15 * SECOND }));
    cc.onAck(ack({ now: 16 * SECOND }));
    expect([cc.cwndEpoch, cc.wMax]).toEqual([ssthresh, 100 * MSS]);
    expect(cc.k).toBeCloseTo(kOf(100, ssthresh / MSS), 9);
  });

  test("a pause too short for that only stops the cubic's clock", () => {
    const paused = afterLoss(100);
    const steady = afterLoss(100);
    for (const cc of [paused, steady]) drive(cc, 0, 2 * SECOND, 300_000);
    paused.onIdle(5 * SECOND, 6 * SECOND, 10 * MSS);
    drive(paused, 7 * SECOND, 9 * SECOND, 300_000);
    drive(steady, 2 * SECOND, 4 * SECOND, 300_000);
    expect(paused.cwnd).toBe(steady.cwnd);
  });

  test("a pause counts once, also when the first ACK after it finds the user to be the limit", () => {
    const paused = afterLoss(100);
    const steady = afterLoss(100);
    for (const cc of [paused, steady]) {
      drive(cc, 0, 2 * SECOND, 300_000);
      cc.onAck(ack({ now: 2 * SECOND, srttUs: 300_000 }));
    }
    paused.onIdle(5 * SECOND, 6 * SECOND, 10 * MSS);
    paused.onAck(ack({ now: 7 * SECOND, srttUs: 300_000, limited: false }));
    drive(paused, 7 * SECOND, 9 * SECOND, 300_000);
    drive(steady, 2 * SECOND, 4 * SECOND, 300_000);
    expect(paused.cwnd).toBe(steady.cwnd);
  });
});
