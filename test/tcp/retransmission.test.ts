/** The retransmission timer: RFC 6298, Karn's rule, back-off, R1 and R2 (RFC 9293 §3.8.1 to §3.8.3). */
import { describe, expect, test } from "vitest";
import { MILLISECOND, MINUTE, NEVER, SECOND } from "../../src/base/time.js";
import { RttEstimator } from "../../src/tcp/rtt.js";
import { Harness, PEER_MSS, reach, type Sent, texts, WORLDS } from "./harness.js";

/** Distances between the times of packets, and from `start` to the first. */
function gaps(start: number, sent: readonly Sent[]): number[] {
  return sent.map((packet, i) => (packet.at - (i === 0 ? start : (sent[i - 1] as Sent).at)) / MILLISECOND);
}

describe("the estimate (RFC 6298 §2)", () => {
  const make = () => new RttEstimator(SECOND, 200 * MILLISECOND, 120 * SECOND);

  test("1 s before the first sample", () => {
    expect(make().rto).toBe(SECOND);
  });

  test("the first sample: SRTT = R, RTTVAR = R/2 (RFC 6298 §2, MUST-18)", () => {
    const rtt = make();
    rtt.sample(400 * MILLISECOND);
    expect([rtt.srtt, rtt.rttvar, rtt.rto]).toEqual([400_000, 200_000, 1_200_000]);
  });

  test("further samples: a quarter and an eighth", () => {
    const rtt = make();
    rtt.sample(400 * MILLISECOND);
    rtt.sample(800 * MILLISECOND);
    // RTTVAR = 3/4 · 200 + 1/4 · 400 ms, SRTT = 7/8 · 400 + 1/8 · 800 ms
    expect([rtt.srtt, rtt.rttvar, rtt.rto]).toEqual([450_000, 250_000, 1_450_000]);
  });

  test("a steady path: never less than the minimum more than the round-trip time", () => {
    const rtt = make();
    for (let i = 0; i < 100; i++) rtt.sample(500 * MILLISECOND);
    expect(rtt.rto).toBe(700_000);
    for (let i = 0; i < 200; i++) rtt.sample(10 * MILLISECOND);
    expect(Math.round(rtt.rto / MILLISECOND)).toBe(210);
  });

  test("a steady path with a tiny minimum: the granularity stands for the variance", () => {
    const rtt = new RttEstimator(SECOND, 10, 120 * SECOND);
    for (let i = 0; i < 100; i++) rtt.sample(500 * MILLISECOND);
    expect(rtt.rto).toBe(501_000);
  });

  test("a minimum of a second bounds the whole time-out, and the margin stays 200 ms", () => {
    const rtt = new RttEstimator(SECOND, SECOND, 120 * SECOND);
    for (let i = 0; i < 100; i++) rtt.sample(500 * MILLISECOND);
    expect(rtt.rto).toBe(SECOND);
    for (let i = 0; i < 300; i++) rtt.sample(2 * SECOND);
    expect(Math.round(rtt.rto / MILLISECOND)).toBe(2_200);
  });

  test("the maximum bounds the time-out and its back-off", () => {
    const rtt = make();
    rtt.sample(100 * SECOND);
    expect(rtt.rto).toBe(120 * SECOND);
    rtt.restart(3 * SECOND);
    expect([0, 1, 5, 6, 1_000].map((n) => rtt.backedOff(n) / SECOND)).toEqual([3, 6, 96, 120, 120]);
  });
});

describe.each(WORLDS)("data, $name", (world) => {
  /** Established with an SRTT of 100 ms, so an RTO of 300 ms. */
  function measured(config = {}): Harness {
    const h = new Harness(world, config);
    h.openActive();
    h.now += 100 * MILLISECOND;
    h.rcv({ flags: "S.", seq: 0, ack: 1, options: [{ kind: "mss", mss: PEER_MSS }] });
    h.events();
    expect(h.conn.status().rto).toBe(300 * MILLISECOND);
    return h;
  }

  test("RFC 6298 §5.1 the timer starts with data, §5.2 ends when all is acknowledged, §5.3 starts anew with an ACK", () => {
    const h = measured();
    h.send(2_000);
    expect(h.conn.nextTimeout()).toBe(h.now + 300 * MILLISECOND);
    h.now += 50 * MILLISECOND;
    h.rcv({ flags: ".", ack: 1_001 });
    expect(h.conn.nextTimeout()).toBe(h.now + h.conn.status().rto);
    h.rcv({ flags: ".", ack: 2_001 });
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("a later segment does not move the running timer", () => {
    const h = measured();
    h.send(1_000);
    const due = h.conn.nextTimeout();
    h.now += 100 * MILLISECOND;
    h.send(1_000);
    expect(h.conn.nextTimeout()).toBe(due);
  });

  test("RFC 6298 §5.4, §5.5, §5.6: the earliest segment is sent again, the time-out doubles up to the maximum", () => {
    const h = measured();
    const start = h.now;
    h.send(1_500);
    const sent = Array.from({ length: 12 }, () => h.nextTimer()).flat();
    expect(new Set(texts(sent))).toEqual(new Set([". 1+1000 ack 1"]));
    expect(gaps(start, sent)).toEqual([300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 76_800, 120_000, 120_000, 120_000]);
    expect(h.tcb.counters.timeouts).toBe(12);
    expect(h.tcb.counters.retransmits).toBe(12);
  });

  test("slow start after a time-out sends the rest again, an ACK ahead of it skips what is there (MUST-19, RFC 5681 §3.1)", () => {
    const h = measured();
    h.send(5_000);
    expect(texts(h.nextTimer())).toEqual([". 1+1000 ack 1"]);
    expect(texts(h.rcv({ flags: ".", ack: 3_001 }))).toEqual([". 3001+1000 ack 1", "P. 4001+1000 ack 1"]);
    h.rcv({ flags: ".", ack: 5_001 });
    expect(h.conn.nextTimeout()).toBe(NEVER);
    expect(texts(h.send(10))).toEqual(["P. 5001+10 ack 1"]);
  });

  test("an acknowledgment of new data ends the back-off", () => {
    const h = measured();
    h.send(2_000);
    for (let i = 0; i < 4; i++) h.nextTimer();
    h.rcv({ flags: ".", ack: 1_001 });
    expect(h.tcb.backoffs).toBe(0);
    expect(h.conn.nextTimeout()).toBe(h.now + 300 * MILLISECOND);
  });

  test("Karn (MUST-18): an acknowledgment of repeated data gives no sample (RFC 6298 §3)", () => {
    const h = measured();
    h.send(1_000);
    h.nextTimer();
    const { srtt, rttvar } = h.conn.status();
    h.now += 7 * SECOND;
    h.rcv({ flags: ".", ack: 1_001 });
    expect([h.conn.status().srtt, h.conn.status().rttvar]).toEqual([srtt, rttvar]);
    h.send(1_000);
    h.now += 500 * MILLISECOND;
    h.conn.handleTimeout(h.now - 400 * MILLISECOND);
    h.rcv({ flags: ".", ack: 2_001 });
    expect(h.conn.status().srtt).toBe(150_000);
  });

  test("with timestamps repeated data gives the true sample (RFC 7323 §4.1)", () => {
    const h = reach("ESTABLISHED", world, { timestamps: true }, { peerTs: 100 });
    const start = h.tcb.rtt.srtt;
    h.send(1_000);
    const [again] = h.nextTimer();
    h.now += 80 * MILLISECOND;
    h.rcv({ flags: ".", ts: [100, again?.ts?.[0] ?? 0] });
    expect(h.tcb.rtt.srtt).toBe(Math.round(0.875 * start + 0.125 * 80_000));
  });

  test.each([
    ["from the future", 50],
    ["from hours ago", -8_000_000],
  ])("an echo %s is not believed", (_, offset) => {
    const h = reach("ESTABLISHED", world, { timestamps: true }, { peerTs: 100 });
    h.send(1_000);
    const [again] = h.nextTimer();
    const { srtt } = h.conn.status();
    h.rcv({ flags: ".", ts: [100, ((again?.ts?.[0] ?? 0) + offset) >>> 0] });
    expect(h.conn.status().srtt).toBe(srtt);
  });

  test("R1: the user is told once; R2: the connection fails (MUST-20, SHLD-9) (SHLD-10, SHLD-11)", () => {
    const h = measured();
    h.send(1_000);
    const start = h.now;
    h.nextTimer();
    h.nextTimer();
    expect(h.events()).toEqual([]);
    h.nextTimer();
    expect(h.events()).toEqual(["trouble"]);
    expect(h.conn.softError).toBeUndefined();
    h.advance(15 * MINUTE - (h.now - start) - 1);
    expect(h.state).toBe("ESTABLISHED");
    h.advance(3 * MINUTE);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe("ETIMEDOUT");
    expect(h.events()).toEqual(["readable", "failed", "closed"]);
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("R2 can be set (MUST-21), and begins with the first expiry of a new trouble", () => {
    const h = measured({ r2Us: 10 * SECOND });
    for (let i = 0; i < 5; i++) {
      h.send(1_000);
      for (let n = 0; n < 4; n++) h.nextTimer();
      h.rcv({ flags: "." });
      h.advance(MINUTE);
    }
    expect(h.state).toBe("ESTABLISHED");
    h.send(1_000);
    h.advance(MINUTE);
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test.each(["FIN-WAIT-1", "CLOSING", "LAST-ACK"] as const)(
    "%s: FIN is repeated with back-off until R2, then CLOSED",
    (state) => {
      const h = reach(state, world);
      const fin = `F. 1+0 ack ${h.rcvNxt}`;
      const start = h.now;
      const sent = h.advance(20 * MINUTE);
      expect(new Set(texts(sent))).toEqual(new Set([fin]));
      expect(gaps(start, sent).slice(0, 4).map(Math.round)).toEqual([200, 400, 800, 1_600]);
      expect(h.state).toBe("CLOSED");
      expect(h.conn.failure).toBe("ETIMEDOUT");
    },
  );

  test("a soft error names the failure, but not one from before the peer spoke again", () => {
    const h = measured();
    h.send(1_000);
    h.icmp("host-unreachable");
    h.advance(20 * MINUTE);
    expect(h.conn.failure).toBe("EHOSTUNREACH");

    const other = measured();
    other.send(1_000);
    other.icmp("host-unreachable");
    other.rcv({ flags: "." });
    other.send(1_000);
    other.advance(20 * MINUTE);
    expect(other.conn.failure).toBe("ETIMEDOUT");
  });
});

describe.each(WORLDS)("the handshake, $name", (world) => {
  test("SYN is repeated with back-off for at least three minutes (MUST-22, MUST-23)", () => {
    const h = new Harness(world);
    const start = h.now;
    h.openActive();
    const sent = h.advance(180 * SECOND - 1);
    expect(new Set(texts(sent))).toEqual(new Set(["S 0+0"]));
    expect(gaps(start, sent)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    expect(h.state).toBe("SYN-SENT");
    expect(h.events()).toEqual(["trouble"]);
    h.advance(1);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe("ETIMEDOUT");
    expect(h.events()).toEqual(["readable", "failed", "closed"]);
  });

  test("RFC 6298 §5.7: after a repeated SYN the time-out is 3 s, the window one segment", () => {
    const h = new Harness(world);
    h.openActive();
    h.nextTimer();
    h.rcv({ flags: "S.", seq: 0, ack: 1, options: [{ kind: "mss", mss: PEER_MSS }] });
    expect(h.conn.status().rto).toBe(3 * SECOND);
    expect(texts(h.send(5_000))).toEqual([". 1+1000 ack 1"]);
    expect(h.tcb.congestion.cwnd).toBe(1_000);
    expect(h.conn.nextTimeout()).toBe(h.now + 3 * SECOND);
    h.now += 100 * MILLISECOND;
    h.rcv({ flags: ".", ack: 1_001 });
    expect(h.conn.status().rto).toBe(300 * MILLISECOND);
  });

  test("RFC 6298 §5.7 for a SYN,ACK, also when CLOSE came first", () => {
    for (const closes of [false, true]) {
      const h = new Harness(world);
      h.openPassive();
      h.rcv({ flags: "S", seq: 0, options: [{ kind: "mss", mss: PEER_MSS }] });
      h.nextTimer();
      h.conn.send(new Uint8Array(3_000));
      if (closes) h.shutdown();
      expect(texts(h.rcv({ flags: ".", seq: 1, ack: 1 }))).toEqual([". 1+1000 ack 1"]);
      expect(h.conn.status().rto).toBe(3 * SECOND);
    }
  });

  test("with timestamps the repeated SYN gives a sample, and no fallback is needed", () => {
    const h = new Harness(world, { timestamps: true });
    h.openActive();
    const [again] = h.nextTimer();
    h.now += 50 * MILLISECOND;
    h.rcv({ flags: "S.", seq: 0, ack: 1, ts: [7, again?.ts?.[0] ?? 0] });
    expect(h.conn.status().srtt).toBe(50 * MILLISECOND);
    expect(h.conn.status().rto).toBe(250 * MILLISECOND);
  });

  test("SYN,ACK is repeated five times, then the half-open connection is forgotten without a word", () => {
    const h = reach("SYN-RECEIVED", world, {}, { origin: "passive" });
    const start = h.now;
    const sent = h.advance(5 * MINUTE);
    expect(new Set(texts(sent))).toEqual(new Set(["S. 0+0 ack 1"]));
    expect(gaps(start, sent)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000]);
    expect(h.state).toBe("LISTEN");
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("a SYN,ACK of our active side (simultaneous open) is repeated like a SYN", () => {
    const h = reach("SYN-RECEIVED", world, {}, { origin: "active" });
    const sent = h.advance(5 * MINUTE);
    expect(sent.length).toBeGreaterThanOrEqual(6);
    expect(new Set(texts(sent))).toEqual(new Set(["S. 0+0 ack 1"]));
    expect(h.conn.failure).toBe("ETIMEDOUT");
  });

  test("the handshake gives the first sample on either side", () => {
    const h = new Harness(world);
    h.openPassive();
    h.rcv({ flags: "S", seq: 0 });
    h.now += 70 * MILLISECOND;
    h.rcv({ flags: ".", seq: 1, ack: 1 });
    expect(h.conn.status().srtt).toBe(70 * MILLISECOND);
  });
});

test("calling handleTimeout early does nothing", () => {
  const h = reach("ESTABLISHED");
  h.send(1_000);
  h.conn.handleTimeout(h.conn.nextTimeout() - 1);
  expect(h.poll()).toEqual([]);
  expect(h.tcb.counters.timeouts).toBe(0);
});
