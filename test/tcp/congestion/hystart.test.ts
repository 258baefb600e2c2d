/** HyStart++, step by step (RFC 9406 §4.2), and the slow start of CUBIC that it steers. */
import { describe, expect, test } from "vitest";
import { seqAdd } from "../../../src/base/seq.js";
import { cubic, cubicWith } from "../../../src/tcp/cubic.js";
import { HyStart } from "../../../src/tcp/hystart.js";
import { ack, MSS } from "./ack.js";

const WINDOW = 20 * MSS;

/** A sender in rounds of 20 segments; the numbers wrap when `start` says so. */
class Rounds {
  readonly hystart = new HyStart();
  una: number;

  constructor(start: number) {
    this.una = start;
  }

  /** One round: the first ACK passes what was SND.NXT at the start of the last, `samples` ACKs carry `rttUs`, the rest none. */
  round(rttUs: number, samples = 8, limited = true): string {
    const end = seqAdd(this.una, WINDOW);
    for (let i = 0; i < samples; i++) {
      this.hystart.onAck(ack({ rttUs, limited, una: this.una, nxt: end }));
      // Within the round: the next ACKs acknowledge a little more, but not its end.
      if (i < samples - 1) this.una = seqAdd(this.una, MSS);
    }
    this.una = end;
    return this.hystart.phase;
  }
}

describe.each([
  { name: "plain numbers", start: 1_000 },
  { name: "numbers that wrap in the second round", start: 2 ** 32 - 25 * MSS },
  { name: "numbers that wrap on a round's end", start: 2 ** 32 - 2 * WINDOW },
])("HyStart++, $name", ({ start }) => {
  test("a rise below the threshold is noise; at the threshold CSS begins; five rounds end it (RFC 9406 §4.2)", () => {
    const r = new Rounds(start);
    // An eighth of 80 ms is 10 ms, between the bounds of 4 and 16 ms.
    expect(r.round(80_000)).toBe("slow-start");
    expect(r.round(89_999)).toBe("slow-start");
    // An eighth of 89,999 µs is 11,249.875 µs.
    expect(r.round(101_248)).toBe("slow-start");
    expect(r.round(101_248 + 12_656)).toBe("css");
    for (let round = 0; round < 4; round++) expect(r.round(120_000)).toBe("css");
    // The round in which it began was the first of the five: the next ACK after it and four more rounds ends it.
    expect(r.round(120_000)).toBe("done");
    expect(r.round(1_000)).toBe("done");
  });

  test.each([
    { name: "at least 4 ms", base: 10_000, below: 13_999, at: 14_000 },
    { name: "an eighth", base: 80_000, below: 89_999, at: 90_000 },
    { name: "at most 16 ms", base: 400_000, below: 415_999, at: 416_000 },
  ])("the threshold is $name", ({ base, below, at }) => {
    const quiet = new Rounds(start);
    quiet.round(base);
    expect(quiet.round(below)).toBe("slow-start");
    const risen = new Rounds(start);
    risen.round(base);
    expect(risen.round(at)).toBe("css");
  });

  test("seven samples say nothing, the eighth decides", () => {
    const r = new Rounds(start);
    r.round(50_000);
    expect(r.round(100_000, 7)).toBe("slow-start");
    const s = new Rounds(start);
    s.round(50_000);
    expect(s.round(100_000, 8)).toBe("css");
  });

  test("one quick sample among the slow ones is the round's least: no rise", () => {
    const r = new Rounds(start);
    r.round(50_000);
    r.hystart.onAck(ack({ rttUs: 50_000, una: r.una, nxt: seqAdd(r.una, WINDOW) }));
    for (let i = 0; i < 12; i++) r.hystart.onAck(ack({ rttUs: 100_000, una: seqAdd(r.una, MSS), nxt: seqAdd(r.una, WINDOW) }));
    expect(r.hystart.phase).toBe("slow-start");
  });

  test("the first round has nothing to be compared with, nor has one after a round without samples", () => {
    const r = new Rounds(start);
    expect(r.round(500_000)).toBe("slow-start");
    expect(r.round(0)).toBe("slow-start");
    expect(r.round(900_000)).toBe("slow-start");
    expect(r.round(1_800_000)).toBe("css");
  });

  test("CSS ends at once when the round-trip time falls below the baseline, and a later rise begins it anew with five rounds", () => {
    const r = new Rounds(start);
    r.round(50_000);
    expect(r.round(70_000)).toBe("css");
    // As high as the baseline is not below it.
    expect(r.round(70_000)).toBe("css");
    expect(r.round(69_999)).toBe("slow-start");
    expect(r.round(90_000)).toBe("css");
    for (let round = 0; round < 4; round++) expect(r.round(90_000)).toBe("css");
    expect(r.round(90_000)).toBe("done");
  });

  test("while the user is the limit rounds go on but nothing is decided", () => {
    const r = new Rounds(start);
    r.round(50_000);
    expect(r.round(100_000, 8, false)).toBe("slow-start");
    // That round counted as one: 100 ms is the measure now.
    expect(r.round(105_000)).toBe("slow-start");
    expect(r.round(130_000)).toBe("css");
  });

  test("restart forgets the rounds", () => {
    const r = new Rounds(start);
    r.round(50_000);
    expect(r.round(70_000)).toBe("css");
    // A round under way that would last for another ten.
    r.hystart.onAck(ack({ rttUs: 70_000, una: r.una, nxt: seqAdd(r.una, 10 * WINDOW) }));
    r.hystart.restart();
    expect(r.hystart.phase).toBe("slow-start");
    expect(r.round(300_000)).toBe("slow-start");
    expect(r.round(400_000)).toBe("css");
  });
});

describe("CUBIC's first slow start", () => {
  const START = 2 ** 32 - 5 * MSS;

  /** Eight ACKs of a segment each, in a round of their own. */
  function round(cc: ReturnType<typeof cubic>, index: number, rttUs: number): void {
    const una = seqAdd(START, index * WINDOW);
    for (let i = 0; i < 8; i++)
      cc.onAck(ack({ now: index, rttUs, srttUs: rttUs, una: seqAdd(una, i), nxt: seqAdd(una, WINDOW) }));
  }

  test("grows by what is acknowledged, in CSS by a quarter, and leaves for congestion avoidance on the plateau (RFC 9438 §4.10)", () => {
    const cc = cubic(MSS, 10 * MSS);
    round(cc, 0, 50_000);
    expect([cc.cwnd, cc.phase]).toEqual([18 * MSS, "slow-start"]);
    // The eighth sample makes the rise certain: seven segments whole, the eighth a quarter.
    round(cc, 1, 100_000);
    expect([cc.cwnd, cc.phase]).toEqual([25_250, "css"]);
    for (let i = 2; i <= 5; i++) round(cc, i, 100_000);
    expect([cc.cwnd, cc.phase]).toEqual([25_250 + 4 * 2_000, "css"]);
    expect(cc.ssthresh).toBe(Number.POSITIVE_INFINITY);
    const una = seqAdd(START, 6 * WINDOW);
    cc.onAck(ack({ now: 6, rttUs: 100_000, srttUs: 100_000, una, nxt: seqAdd(una, WINDOW) }));
    // No loss has told wMax: K is 0 and the plateau is here (RFC 9438 §4.10).
    expect([cc.ssthresh, cc.cwndEpoch, cc.wMax, cc.k]).toEqual([33_250, 33_250, 33_250, 0]);
    // Nothing to be fair to below this window: Reno's growth of one segment a round trip.
    expect(cc.phase).toBe("reno-friendly");
    expect(cc.wEst).toBeCloseTo(33_250 + (MSS * MSS) / 33_250, 6);
  });

  test("an ACK for many segments adds eight, or all of them when sending is paced", () => {
    const bursty = cubic(MSS, 10 * MSS);
    bursty.onAck(ack({ ackedBytes: 20 * MSS }));
    expect(bursty.cwnd).toBe(18 * MSS);
    const paced = cubicWith({ paced: true })(MSS, 10 * MSS);
    paced.onAck(ack({ ackedBytes: 20 * MSS }));
    expect(paced.cwnd).toBe(30 * MSS);
  });

  test("once a loss has set the threshold delay no longer matters, and slow start stops at the threshold", () => {
    const cc = cubic(MSS, 40 * MSS);
    cc.onTimeout(40 * MSS, true);
    round(cc, 0, 50_000);
    round(cc, 1, 500_000);
    expect([cc.cwnd, cc.phase]).toEqual([17 * MSS, "slow-start"]);
    cc.onAck(ack({ ackedBytes: 7_500 }));
    cc.onAck(ack({ ackedBytes: 7_500 }));
    expect([cc.cwnd, cc.ssthresh]).toEqual([28 * MSS, 28 * MSS]);
  });

  test("does not grow while the user is the limit", () => {
    const cc = cubic(MSS, 10 * MSS);
    cc.onAck(ack({ limited: false }));
    expect(cc.cwnd).toBe(10 * MSS);
  });
});
