/** RACK's reordering window and loss detection by numbers (RFC 8985 §6.2), PRR's by RFC 6937 §3 and its successor. */
import { describe, expect, test } from "vitest";
import { seqAdd } from "../../../src/base/seq.js";
import { ProportionalRateReduction } from "../../../src/tcp/prr.js";
import { Rack } from "../../../src/tcp/rack.js";
import { SentList, type SentSegment } from "../../../src/tcp/sent-list.js";

const RTT = 40_000;
const MSS = 1_000;

/** `count` segments, one each ms, delivered by hand. */
function world(count: number, iss = 0xffff_fc00) {
  const list = new SentList();
  const rack = new Rack();
  rack.start(iss);
  for (let i = 0; i < count; i++) list.push(seqAdd(iss, i * MSS), seqAdd(iss, (i + 1) * MSS), i * 1_000);
  const segments = Array.from({ length: count }, (_, i) => list.at(i) as SentSegment);
  const deliver = (i: number, now: number, earlierCopy = false): void => {
    const segment = segments[i] as SentSegment;
    list.sack(segment.seq, segment.end, { delivered: (each) => rack.update(each, earlierCopy, now) });
  };
  const window = (dsack = false, recovery = false, sacked = 0, una = iss): number => {
    rack.updateWindow(dsack, una, seqAdd(iss, count * MSS), recovery, sacked, RTT);
    return rack.reoWnd;
  };
  return { list, rack, segments, deliver, window, iss, nxt: seqAdd(iss, count * MSS) };
}

describe("the reordering window", () => {
  test("is a quarter of the shortest round trip; nothing in recovery or with three SACKed while no reordering was seen", () => {
    const { window, deliver, rack } = world(10);
    expect(window()).toBe(0);
    deliver(1, 1_000 + RTT);
    expect(rack.minRtt).toBe(RTT);
    expect([window(), window(false, true), window(false, false, 2), window(false, false, 3)]).toEqual([10_000, 0, 10_000, 0]);
    deliver(0, 1_000 + RTT);
    expect(rack.reorderingSeen).toBe(true);
    expect([window(false, true), window(false, false, 3)]).toEqual([10_000, 10_000]);
  });

  test("follows a path that has become longer within five minutes (RFC 8985 §6.2)", () => {
    const { list, deliver, rack, nxt, window } = world(2);
    deliver(1, 1_000 + RTT);
    const longer = (n: number, at: number): void => {
      const segment = list.push(seqAdd(nxt, n * MSS), seqAdd(nxt, (n + 1) * MSS), at);
      list.sack(segment.seq, segment.end, { delivered: (each) => rack.update(each, false, at + 2 * RTT) });
    };
    longer(0, 149_000_000);
    expect([rack.minRtt, window()]).toEqual([RTT, 10_000]);
    longer(1, 302_000_000);
    expect(rack.minRtt).toBe(2 * RTT);
    expect(window()).toBe(20_000);
  });

  test("grows by a quarter for each D-SACK, once a round trip, at most to SRTT (RFC 8985 §6.2)", () => {
    const { window, deliver, rack, nxt } = world(10);
    deliver(1, 1_000 + RTT);
    deliver(0, 1_000 + RTT);
    expect([window(true), window(true), window(true)]).toEqual([20_000, 20_000, 20_000]);
    expect(window(true, false, 0, nxt)).toBe(30_000);
    for (let i = 0; i < 5; i++) window(true, false, 0, seqAdd(nxt, i));
    expect(rack.reoWnd).toBeLessThanOrEqual(RTT);
    for (let i = 0; i < 15; i++) rack.recoveryEnded();
    expect(rack.reoWndMult).toBeGreaterThan(1);
    rack.recoveryEnded();
    expect([rack.reoWndMult, window()]).toEqual([1, 10_000]);
  });

  test("a repetition that comes late is no reordering", () => {
    const { list, deliver, rack, segments } = world(4);
    list.markLost(segments[0] as SentSegment);
    list.resend(segments[0] as SentSegment, 5_000);
    deliver(3, 3_000 + RTT);
    deliver(0, 5_000 + RTT);
    expect(rack.reorderingSeen).toBe(false);
  });
});

describe("detection", () => {
  test("what left before the latest that arrived is lost when its time and the window are over, the rest is waited for (RFC 8985 §6.2)", () => {
    const { list, deliver, rack, window } = world(6);
    deliver(3, 3_000 + RTT);
    window();
    // Due at sentAt + RTT + 10 ms, one each ms.
    expect(rack.detectLoss(list, 3_000 + RTT)).toBe(7_000);
    expect(list.lostSegments).toBe(0);
    expect(rack.detectLoss(list, RTT + 10_000)).toBe(1_000);
    expect(list.lostSegments).toBe(1);
    expect(rack.detectLoss(list, RTT + 12_000)).toBe(Number.POSITIVE_INFINITY);
    expect([list.lostSegments, list.inFlightBytes]).toEqual([3, 2 * MSS]);
  });

  test("nothing is lost before anything arrived, and nothing that left later", () => {
    const { list, rack, deliver, window } = world(3);
    expect(rack.detectLoss(list, 10 ** 9)).toBe(Number.POSITIVE_INFINITY);
    deliver(0, RTT);
    window();
    expect(rack.detectLoss(list, 10 ** 9)).toBe(Number.POSITIVE_INFINITY);
    expect(list.lostSegments).toBe(0);
  });

  test("a repetition is lost again when something that left after it arrived", () => {
    const { list, deliver, rack, segments, window } = world(5);
    const first = segments[0] as SentSegment;
    list.markLost(first);
    list.resend(first, 10_000);
    const later = list.push(first.end, seqAdd(first.end, MSS), 11_000);
    later.seq = seqAdd(segments[4]?.end ?? 0, 0);
    later.end = seqAdd(later.seq, MSS);
    for (let i = 1; i < 5; i++) deliver(i, 1_000 * i + RTT);
    window(false, true);
    rack.detectLoss(list, 11_000 + RTT);
    expect(first.lost).toBe(false);
    list.sack(later.seq, later.end, { delivered: (each) => rack.update(each, false, 11_000 + RTT) });
    rack.detectLoss(list, 11_000 + RTT);
    expect([first.lost, first.transmissions]).toEqual([true, 2]);
  });

  test("a repetition is not older than the new data that left just before it in the same µs", () => {
    const { list, deliver, rack, segments, window } = world(4);
    const [first] = segments as [SentSegment];
    for (let i = 1; i < 4; i++) deliver(i, 1_000 * i + RTT);
    list.markLost(first);
    const end = segments[3]?.end ?? 0;
    const later = list.push(end, seqAdd(end, MSS), 50_000);
    list.resend(first, 50_000);
    window(false, true);
    list.sack(later.seq, later.end, { delivered: (each) => rack.update(each, false, 50_000 + RTT) });
    expect(rack.detectLoss(list, 50_000 + RTT)).toBe(Number.POSITIVE_INFINITY);
    expect(first.lost).toBe(false);
    // What leaves in that µs after it, and arrives, proves it lost.
    const last = list.push(later.end, seqAdd(later.end, MSS), 50_000);
    list.sack(last.seq, last.end, { delivered: (each) => rack.update(each, false, 50_000 + RTT) });
    rack.detectLoss(list, 50_000 + RTT);
    expect(first.lost).toBe(true);
  });

  test.each([
    ["the echo shows the first copy", RTT, true],
    ["it is faster than any round trip", RTT / 2, false],
  ])("the ACK of a repetition moves nothing when %s", (_, after, earlier) => {
    const { list, deliver, rack, segments } = world(3);
    deliver(1, 1_000 + RTT);
    const { xmitTs, rtt } = rack;
    list.markLost(segments[0] as SentSegment);
    list.resend(segments[0] as SentSegment, 50_000);
    deliver(0, 50_000 + after, earlier);
    expect([rack.xmitTs, rack.rtt]).toEqual([xmitTs, rtt]);
  });

  test("a time-out takes the first, and others whose time has come (RFC 8985 §6.3)", () => {
    const { list, deliver, rack, segments, window, iss } = world(5);
    deliver(1, 1_000 + RTT);
    window();
    list.resend(segments[0] as SentSegment, 100_000);
    list.resend(segments[4] as SentSegment, 100_000);
    rack.markLossesOnTimeout(list, iss, 110_000);
    expect(segments.map((segment) => segment.lost)).toEqual([true, false, true, true, false]);
  });
});

describe("proportional rate reduction", () => {
  test("a single loss in 20 segments, ssthresh half: one out for two in, from the first on (RFC 6937 §5)", () => {
    const prr = new ProportionalRateReduction();
    let pipe = 19;
    prr.begin(20 * MSS, MSS);
    const sent: number[] = [];
    for (let i = 1; i < 20; i++) {
      pipe--;
      prr.update(MSS, pipe * MSS, 10 * MSS, MSS, false);
      const out = Math.floor(prr.cwnd / MSS) - pipe;
      pipe += out;
      prr.sent(out * MSS);
      sent.push(out);
    }
    expect(sent[0]).toBe(1);
    expect(sent.reduce((sum, out) => sum + out, 0)).toBe(10);
    expect(Math.max(...sent)).toBe(1);
    expect(pipe).toBe(10);
  });

  test("when most of the flight is lost it never sends more than is delivered, and one more only when it is safe (RFC 6937 §3)", () => {
    const prr = new ProportionalRateReduction();
    prr.begin(20 * MSS, MSS);
    // 16 of 20 lost: the pipe is below ssthresh at once.
    prr.update(MSS, 3 * MSS, 10 * MSS, MSS, false);
    expect(prr.cwnd).toBe(4 * MSS);
    prr.sent(MSS);
    prr.update(MSS, 3 * MSS, 10 * MSS, MSS, false);
    expect(prr.cwnd).toBe(4 * MSS);
    prr.sent(MSS);
    prr.update(MSS, 3 * MSS, 10 * MSS, MSS, true);
    expect(prr.cwnd).toBe(5 * MSS);
    prr.sent(2 * MSS);
    prr.update(9 * MSS, 9 * MSS, 10 * MSS, MSS, true);
    expect(prr.cwnd).toBe(10 * MSS);
  });

  test("the first repetition goes even when nothing may", () => {
    const prr = new ProportionalRateReduction();
    prr.begin(20 * MSS, MSS);
    prr.update(0, 19 * MSS, 10 * MSS, MSS, false);
    expect(prr.cwnd).toBe(20 * MSS);
  });
});
