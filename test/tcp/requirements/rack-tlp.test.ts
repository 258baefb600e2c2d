/** RACK-TLP, PRR and the undo of what was spurious, on a connection with a round trip of 100 ms (RFC 8985, 6937, 3522). */
import { describe, expect, test } from "vitest";
import { MILLISECOND, NEVER } from "../../../src/base/time.js";
import { newReno } from "../../../src/tcp/new-reno.js";
import { ProportionalRateReduction } from "../../../src/tcp/prr.js";
import { Harness, PEER_MSS, type Sent, texts, WORLDS, type World } from "../harness.js";

const RTT = 100 * MILLISECOND;

/** Established, one exchange done: SRTT is 100 ms, RACK knows its least round-trip time, no data is outstanding. */
function measured(world: World, config = {}): Harness {
  const h = new Harness(world, { congestion: newReno, ...config });
  h.openActive();
  h.now += RTT;
  if (h.tcb.config.timestamps) h.peerTs = 1;
  h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 60_000, options: [{ kind: "mss", mss: PEER_MSS }, { kind: "sack-permitted" }] });
  h.rcv({ flags: ".", wnd: 60_000 });
  h.send(1_000);
  h.now += RTT;
  h.rcv({ flags: ".", wnd: 60_000 });
  h.events();
  expect([h.sndUna, h.conn.status().srtt, h.conn.nextTimeout()]).toEqual([1_001, RTT, NEVER]);
  return h;
}

/** An ACK that reports one range, relative to ISS. */
function report(h: Harness, ack: number, left: number, right: number): Sent[] {
  const at = (n: number): number => (h.world.iss + n) >>> 0;
  return h.rcv({ flags: ".", ack, wnd: 60_000, options: [{ kind: "sack", blocks: [{ left: at(left), right: at(right) }] }] });
}

describe.each(WORLDS)("RACK (RFC 8985 §6.2), $name", (world) => {
  test("a segment that others overtook is lost a quarter of the least round trip after they came, not before", () => {
    const h = measured(world);
    h.send(2_000);
    h.now += RTT;
    expect(report(h, 1_001, 2_001, 3_001)).toEqual([]);
    expect(h.tcb.timers.rack - h.now).toBe(RTT / 4);
    expect(texts(h.nextTimer())).toEqual([". 1001+1000 ack 1"]);
    expect(h.conn.status().inRecovery).toBe(true);
  });

  test("it was only late: nothing is repeated, and from then on three reports are no proof", () => {
    const h = measured(world);
    h.send(2_000);
    h.now += RTT;
    report(h, 1_001, 2_001, 3_001);
    h.now += 10 * MILLISECOND;
    expect(h.rcv({ flags: ".", ack: 3_001, wnd: 60_000 })).toEqual([]);
    expect(h.tcb.rack.reorderingSeen).toBe(true);
    h.send(5_000);
    h.now += RTT;
    expect(report(h, 3_001, 4_001, 8_001)).toEqual([]);
    expect(h.tcb.counters.retransmits).toBe(0);
    expect(texts(h.nextTimer())).toEqual([". 3001+1000 ack 1"]);
  });

  test("a repetition that is lost is found by time as well, without a time-out", () => {
    const h = measured(world);
    h.send(6_000);
    h.now += RTT;
    expect(texts(report(h, 1_001, 2_001, 7_001))).toContain(". 1001+1000 ack 1");
    // Sent at the same time or later than the repetition, and delivered: the repetition is lost.
    h.send(4_000);
    h.now += RTT;
    expect(texts(report(h, 1_001, 2_001, h.sndMax))).toContain(". 1001+1000 ack 1");
    expect(h.tcb.counters.timeouts).toBe(0);
  });
});

describe.each(WORLDS)("the time-out (RFC 8985 §6.3), $name", (world) => {
  test("repeats the first segment at once; what left a moment ago is not taken for lost", () => {
    const h = measured(world);
    h.send(1_000);
    h.now = h.tcb.timers.retransmission - 20 * MILLISECOND;
    h.send(1_000);
    h.tcb.timers.tlp = NEVER;
    h.now = h.tcb.timers.retransmission;
    h.conn.handleTimeout(h.now);
    expect(texts(h.poll())).toEqual([". 1001+1000 ack 1"]);
    expect(h.tcb.sent.lostSegments).toBe(0);
  });
});

describe.each(WORLDS)("the tail loss probe, $name", (world) => {
  test("after two round trips; with a single segment in flight the peer's delayed ACK is waited for (RFC 8985 §7.2)", () => {
    const h = measured(world);
    h.send(2_000);
    expect(h.tcb.timers.tlp - h.now).toBe(2 * RTT);
    const lone = measured(world, { rtoMinUs: 1_000 * MILLISECOND });
    lone.send(1_000);
    expect(lone.tcb.timers.tlp - lone.now).toBe(2 * RTT + 200 * MILLISECOND);
  });

  test("is the last segment again, or new data if there is some; once (RFC 8985 §7.3)", () => {
    const h = measured(world);
    h.send(3_000);
    expect(texts(h.nextTimer())).toEqual(["P. 3001+1000 ack 1"]);
    expect(h.tcb.counters.tailLossProbes).toBe(1);
    expect(h.tcb.timers.tlp).toBe(NEVER);

    const more = measured(world, { initialWindowSegments: 2 });
    more.tcb.congestion = newReno(1_000, 2_000);
    expect(more.send(5_000).length).toBe(2);
    expect(texts(more.nextTimer())).toEqual([". 3001+1000 ack 1"]);
  });

  test("brings the report that finds a lost tail, without a time-out (RFC 8985 §7.3)", () => {
    const h = measured(world);
    h.send(3_000);
    h.nextTimer();
    h.now += RTT;
    expect(texts(report(h, 1_001, 3_001, 4_001))).toEqual([". 1001+1000 ack 1"]);
    h.now += RTT;
    expect(texts(report(h, 2_001, 3_001, 4_001))).toEqual([". 2001+1000 ack 1"]);
    expect(h.tcb.counters.timeouts).toBe(0);
  });

  test("that repaired a loss is answered by a smaller window; one that the peer did not need is not (RFC 8985 §7.4)", () => {
    for (const [dsack, reduced] of [
      [false, true],
      [true, false],
    ] as const) {
      const h = measured(world);
      h.send(3_000);
      h.nextTimer();
      h.send(1_000);
      h.now += RTT;
      if (dsack) report(h, 4_001, 3_001, 4_001);
      h.rcv({ flags: ".", ack: 5_001, wnd: 60_000 });
      expect(Number.isFinite(h.tcb.congestion.ssthresh)).toBe(reduced);
    }
  });
});

describe("proportional rate reduction (RFC 6937 §3)", () => {
  const MSS = 1_000;

  test("above the threshold: what is sent follows what is delivered, in the ratio of the windows", () => {
    const prr = new ProportionalRateReduction();
    prr.begin(20 * MSS, MSS);
    let pipe = 20 * MSS;
    let out = 0;
    for (let delivered = 1; delivered <= 10; delivered++) {
      pipe -= MSS;
      prr.update(MSS, pipe, 10 * MSS, MSS, false);
      while (pipe + MSS <= prr.cwnd) {
        prr.sent(MSS);
        pipe += MSS;
        out++;
      }
      // Half of what is delivered; the first repetition goes at once.
      expect(out).toBe(Math.max(1, Math.floor(delivered / 2)));
    }
  });

  test("below it: no faster than what is delivered, a segment more when SND.UNA moves and nothing further is lost", () => {
    for (const [safe, most] of [
      [false, 2],
      [true, 3],
    ] as const) {
      const prr = new ProportionalRateReduction();
      prr.begin(20 * MSS, MSS);
      prr.sent(MSS);
      prr.update(2 * MSS, 4 * MSS, 10 * MSS, MSS, safe);
      expect(prr.cwnd).toBe((4 + most) * MSS);
    }
  });

  test("never above the threshold", () => {
    const prr = new ProportionalRateReduction();
    prr.begin(20 * MSS, MSS);
    prr.sent(MSS);
    prr.update(15 * MSS, 9_500, 10 * MSS, MSS, true);
    expect(prr.cwnd).toBe(10 * MSS);
  });
});

describe.each(WORLDS)("a spurious time-out, $name", (world) => {
  test("the echo of the first copy's timestamp gives the window back (RFC 3522 §3.2)", () => {
    const h = measured(world, { timestamps: true });
    const [first] = h.send(1_000);
    const { cwnd } = h.tcb.congestion;
    h.tcb.timers.tlp = NEVER;
    h.nextTimer();
    expect(h.tcb.congestion.cwnd).toBeLessThan(cwnd);
    h.now += 5 * MILLISECOND;
    h.rcv({ flags: ".", wnd: 60_000, ts: [2, first?.ts?.[0] ?? 0] });
    expect(h.tcb.congestion.cwnd).toBeGreaterThanOrEqual(cwnd);
    expect(h.tcb.counters.undos).toBe(1);
  });

  test("the echo of the repetition's does not", () => {
    const h = measured(world, { timestamps: true });
    h.send(1_000);
    h.tcb.timers.tlp = NEVER;
    const [again] = h.nextTimer();
    h.now += RTT;
    h.rcv({ flags: ".", wnd: 60_000, ts: [2, again?.ts?.[0] ?? 0] });
    expect(h.tcb.counters.undos).toBe(0);
  });
});
