/** Fast retransmit and NewReno's fast recovery (RFC 5681 §3.2, RFC 6582), slow start and congestion avoidance. */
import { describe, expect, test } from "vitest";
import type { CongestionControl } from "../../src/tcp/congestion.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { type Harness, PLAIN, reach, texts, WORLDS } from "./harness.js";

const MSS = 1_000;

/** An ACK of new data; `limited`: the congestion window was the limit. */
function acked(cc: CongestionControl, bytes: number, limited = true): void {
  cc.onAck({ now: 0, ackedBytes: bytes, flightSize: bytes, limited, rttUs: 0, srttUs: 0, una: 0, nxt: 0 });
}

describe("NewReno, the numbers", () => {
  test("slow start grows by what is acknowledged, but only while the window is the limit", () => {
    const cc = newReno(MSS, 10 * MSS);
    acked(cc, 2 * MSS);
    expect(cc.cwnd).toBe(12 * MSS);
    acked(cc, 2 * MSS, false);
    expect(cc.cwnd).toBe(12 * MSS);
    expect(cc.ssthresh).toBe(Number.POSITIVE_INFINITY);
  });

  test("a time-out: one segment, half the flight, at least two segments; the same time-out again leaves ssthresh", () => {
    const cc = newReno(MSS, 10 * MSS);
    cc.onTimeout(9 * MSS, true, 0);
    expect([cc.cwnd, cc.ssthresh]).toEqual([MSS, 4_500]);
    cc.onTimeout(MSS, false, 0);
    expect([cc.cwnd, cc.ssthresh]).toEqual([MSS, 4_500]);
    cc.onTimeout(MSS, true, 0);
    expect([cc.cwnd, cc.ssthresh]).toEqual([MSS, 2 * MSS]);
  });

  test("congestion avoidance: one segment a window (MUST-19, RFC 5681 §3.1)", () => {
    const cc = newReno(MSS, 10 * MSS);
    cc.onTimeout(8 * MSS, true, 0);
    for (let i = 0; i < 3; i++) acked(cc, MSS);
    expect(cc.cwnd).toBe(4 * MSS);
    for (let i = 0; i < 3; i++) acked(cc, MSS);
    expect(cc.cwnd).toBe(4 * MSS);
    acked(cc, MSS);
    expect(cc.cwnd).toBe(5 * MSS);
    for (let i = 0; i < 5; i++) acked(cc, MSS);
    expect(cc.cwnd).toBe(6 * MSS);
  });

  test("recovery: inflation, deflation, exit", () => {
    const cc = newReno(MSS, 10 * MSS);
    cc.onEnterRecovery(10 * MSS, 0);
    expect([cc.cwnd, cc.ssthresh]).toEqual([8 * MSS, 5 * MSS]);
    cc.onDuplicateAck();
    expect(cc.cwnd).toBe(9 * MSS);
    cc.onPartialAck(3 * MSS);
    expect(cc.cwnd).toBe(7 * MSS);
    cc.onPartialAck(500);
    expect(cc.cwnd).toBe(6_500);
    cc.onExitRecovery(2 * MSS, 0);
    expect(cc.cwnd).toBe(3 * MSS);
    cc.onEnterRecovery(10 * MSS, 0);
    cc.onExitRecovery(9 * MSS, 0);
    expect(cc.cwnd).toBe(5 * MSS);
  });

  test("a changed segment size counts from then on", () => {
    const cc = newReno(MSS, 10 * MSS);
    cc.onMss(500);
    cc.onTimeout(500, true, 0);
    expect([cc.cwnd, cc.ssthresh]).toEqual([500, 1_000]);
  });
});

describe.each(WORLDS)("fast retransmit and fast recovery (RFC 5681 §3.2, RFC 6582 §3.2), $name", (world) => {
  /** Ten segments in flight. */
  function flight(config = {}): Harness {
    const h = reach("ESTABLISHED", world, { congestion: newReno, ...config }, { synAck: { wnd: 60_000 } });
    h.rcv({ flags: ".", wnd: 60_000 });
    expect(h.send(10_000).length).toBe(10);
    return h;
  }
  const duplicate = (h: Harness, ack: number) => h.rcv({ flags: ".", ack, wnd: 60_000 });

  test("the third duplicate ACK repeats the segment at SND.UNA, the first two nothing (RFC 5681 §3.2)", () => {
    const h = flight();
    duplicate(h, 1_001);
    expect(duplicate(h, 1_001)).toEqual([]);
    expect(duplicate(h, 1_001)).toEqual([]);
    const due = h.conn.nextTimeout();
    expect(texts(duplicate(h, 1_001))).toEqual([". 1001+1000 ack 1"]);
    expect(h.conn.status().inRecovery).toBe(true);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
    expect(h.tcb.congestion.ssthresh).toBe(4_500);
    expect(h.tcb.congestion.cwnd).toBe(4_500 + 3_000);
    expect(h.conn.nextTimeout()).toBe(due);
  });

  test("further duplicates let new data out, one segment each once there is room", () => {
    const h = flight();
    for (let i = 0; i < 3; i++) duplicate(h, 1);
    h.send(5_000);
    expect(h.tcb.congestion.cwnd).toBe(8_000);
    const sent = Array.from({ length: 4 }, () => texts(duplicate(h, 1)));
    expect(sent).toEqual([[], [], [". 10001+1000 ack 1"], [". 11001+1000 ack 1"]]);
  });

  test("a partial ACK repeats the next hole at once; the first one restarts the timer, later ones do not", () => {
    const h = flight();
    for (let i = 0; i < 3; i++) duplicate(h, 1);
    h.now += 10_000;
    expect(texts(duplicate(h, 3_001))).toEqual([". 3001+1000 ack 1"]);
    const due = h.conn.nextTimeout();
    expect(due).toBe(h.now + h.conn.status().rto);
    h.now += 10_000;
    expect(texts(duplicate(h, 5_001))).toEqual([". 5001+1000 ack 1"]);
    expect(h.conn.nextTimeout()).toBe(due);
  });

  test("the ACK of all that was out ends it, without a burst", () => {
    const h = flight();
    for (let i = 0; i < 6; i++) duplicate(h, 1);
    expect(duplicate(h, 10_001)).toEqual([]);
    expect(h.conn.status().inRecovery).toBe(false);
    expect(h.tcb.congestion.cwnd).toBe(2_000);
    expect(h.send(10_000).length).toBe(2);
  });

  test("Karn: the acknowledgment of what was sent again gives no sample", () => {
    const h = flight();
    for (let i = 0; i < 3; i++) duplicate(h, 1);
    const { srtt } = h.conn.status();
    h.now += 150_000;
    duplicate(h, 10_001);
    expect(h.conn.status().srtt).toBe(srtt);
  });

  test("a partial and the full ACK in one batch: nothing is repeated", () => {
    const h = flight();
    h.send(2_000);
    for (let i = 0; i < 7; i++) duplicate(h, 1);
    expect(h.sndMax).toBe(12_001);
    expect(h.tcb.counters.retransmits).toBe(1);
    h.give({ flags: ".", ack: 3_001, wnd: 60_000 });
    h.give({ flags: ".", ack: 12_001, wnd: 60_000 });
    expect(h.poll()).toEqual([]);
    expect(h.tcb.counters.retransmits).toBe(1);
  });

  test("no second entry for losses of the same window (RFC 6582 §3.2 step 1)", () => {
    const h = flight();
    for (let i = 0; i < 3; i++) duplicate(h, 1);
    duplicate(h, 10_001);
    h.send(2_000);
    // Duplicates about the end of the old window: SND.UNA does not lie beyond "recover".
    for (let i = 0; i < 5; i++) expect(duplicate(h, 10_001)).toEqual([]);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
    duplicate(h, 11_001);
    for (let i = 0; i < 3; i++) duplicate(h, 11_001);
    expect(h.tcb.counters.fastRetransmits).toBe(2);
  });

  test("duplicates after a time-out do not start it (RFC 6582 §4.2)", () => {
    const h = flight();
    h.nextTimer();
    for (let i = 0; i < 5; i++) duplicate(h, 1);
    expect(h.tcb.counters.fastRetransmits).toBe(0);
    expect(h.conn.status().inRecovery).toBe(false);
  });

  test("a time-out ends recovery", () => {
    const h = flight();
    for (let i = 0; i < 3; i++) duplicate(h, 1);
    expect(texts(h.nextTimer())).toEqual([". 1+1000 ack 1"]);
    expect(h.conn.status().inRecovery).toBe(false);
    expect(h.tcb.congestion.cwnd).toBe(1_000);
  });

  test.each([
    ["a window that changed", { wnd: 50_000 }],
    ["data", { wnd: 60_000, data: 10 }],
    ["FIN", { wnd: 60_000, flags: "F." }],
  ])("%s makes it no duplicate (RFC 5681 §2)", (_, part) => {
    const h = flight();
    h.rcv({ flags: ".", ack: 1, ...part });
    expect(h.tcb.counters.dupAcksIn).toBe(0);
  });

  test("with nothing outstanding there are no duplicates", () => {
    const h = reach("ESTABLISHED", world);
    for (let i = 0; i < 5; i++) h.rcv({ flags: "." });
    expect(h.tcb.counters.dupAcksIn).toBe(0);
  });

  test("the repeated segment carries FIN when it reaches it", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(500));
    h.shutdown();
    for (let i = 0; i < 2; i++) expect(h.rcv({ flags: ".", ack: 1 })).toEqual([]);
    expect(texts(h.rcv({ flags: ".", ack: 1 }))).toEqual(["FP. 1+500 ack 1"]);
  });
});

describe("after gigabytes", () => {
  test("a recovery point from 2^31 bytes ago does not forbid fast retransmit", () => {
    const h = reach("ESTABLISHED", PLAIN, {}, { synAck: { wnd: 60_000 } });
    shift(h, 2 ** 31 + 5_000);
    h.send(5_000);
    for (let i = 0; i < 3; i++) h.rcv({ flags: ".", ack: h.sndUna, wnd: 60_000 });
    expect(h.tcb.counters.fastRetransmits).toBe(1);
  });

  test("SND.UNA equal to ISS once more is not taken for the SYN", () => {
    const h = reach("ESTABLISHED", PLAIN, {}, { synAck: { wnd: 60_000 } });
    shift(h, 2 ** 32 - 1);
    expect(h.tcb.snd.una).toBe(h.tcb.iss);
    const sent = h.send(1_500);
    expect(texts(sent)).toEqual([". 0+1000 ack 1", "P. 1000+500 ack 1"]);
    expect([...(sent[0]?.payload.slice(0, 3) ?? [])]).toEqual([0, 31, 62]);
    h.rcv({ flags: ".", ack: 1_000 });
    expect(h.conn.status().sendQueueBytes).toBe(500);
    h.rcv({ flags: ".", ack: 1_500 });
    expect(h.conn.status().sendQueueBytes).toBe(0);
  });

  test("an urgent pointer from 2^31 bytes ago hides no new one, and none is reported", () => {
    const h = reach("ESTABLISHED", PLAIN);
    h.tcb.rcv.nxt = (h.tcb.rcv.nxt + 2 ** 31 + 5_000) >>> 0;
    h.tcb.rcv.adv = (h.tcb.rcv.nxt + 4_000) >>> 0;
    h.tcb.snd.wl1 = h.tcb.rcv.nxt;
    expect(h.tcb.urgentBytes).toBeLessThanOrEqual(0);
    h.rcv({ flags: "U.", up: 10, data: 10 });
    expect(h.events()).toEqual(["readable", "urgent"]);
    expect(h.tcb.urgentBytes).toBe(10);
  });

  /** As if `bytes` had been sent and acknowledged, in steps of a window: real ACKs, without the data. */
  function shift(h: Harness, bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const step = Math.min(left, 2 ** 28);
      h.tcb.snd.nxt = (h.tcb.snd.nxt + step) >>> 0;
      h.tcb.snd.max = h.tcb.snd.nxt;
      h.rcv({ flags: ".", wnd: 60_000 });
      left -= step;
    }
    expect(h.tcb.snd.una).toBe(h.tcb.snd.max);
    h.tcb.congestion = h.tcb.config.congestion(1_000, 10_000);
  }
});

describe.each(WORLDS)("the congestion window on a connection, $name", (world) => {
  test("ten segments at first (RFC 6928), doubled by their acknowledgment, and FIN and SYN do not count (RFC 6928 §2, RFC 5681 §3.1)", () => {
    const h = reach("ESTABLISHED", world, {}, { synAck: { wnd: 65_000 } });
    expect(h.tcb.congestion.cwnd).toBe(10_000);
    expect(h.send(60_000).length).toBe(10);
    expect(h.rcv({ flags: ".", ack: 5_001, wnd: 65_000 }).length).toBe(10);
    expect(h.tcb.congestion.cwnd).toBe(15_000);
  });

  test("an initial window of one segment stays one segment after the handshake", () => {
    const h = reach("ESTABLISHED", world, { initialWindowSegments: 1 });
    expect(h.tcb.congestion.cwnd).toBe(1_000);
  });

  test("what the user holds back does not open it", () => {
    const h = reach("ESTABLISHED", world, {}, { synAck: { wnd: 65_000 } });
    for (let i = 0; i < 20; i++) {
      h.send(1_000);
      h.rcv({ flags: ".", wnd: 65_000 });
    }
    expect(h.tcb.congestion.cwnd).toBe(10_000);
  });
});
