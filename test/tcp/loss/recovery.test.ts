/** Recovery with SACK on a whole connection: what a hostile or unlucky sequence of ACKs must not bring about. */
import { describe, expect, test } from "vitest";
import { newReno } from "../../../src/tcp/new-reno.js";
import { Harness, PEER_MSS, type Sent, type Stimulus, texts, WORLDS, type World } from "../harness.js";

const RTT = 20_000;
type Range = readonly [number, number];

/** Connected after one round trip, `segments` of 1,000 bytes on their way. */
function flight(world: World, segments: number, stamped = false): Harness {
  const h = new Harness(world, { congestion: newReno, timestamps: stamped, mtuBytes: stamped ? 1_052 : 1_040 }, 4, 0xffff_ff00);
  h.openActive();
  h.now += RTT;
  const mss = stamped ? PEER_MSS + 12 : PEER_MSS;
  const options = [{ kind: "mss", mss }, { kind: "sack-permitted" }] as const;
  const ts = stamped ? ({ ts: [1, stamp(h)] } as const) : {};
  h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 60_000, options, ...ts });
  h.now += 1_000;
  if (segments > 0) expect(h.send(segments * 1_000)).toHaveLength(segments);
  return h;
}

/** Our timestamp clock. */
function stamp(h: Harness): number {
  return (Math.floor(h.now / 1_000) + h.tcb.ts.offset) >>> 0;
}

function sacks(h: Harness, ranges: readonly Range[]): Pick<Stimulus, "options"> {
  const at = (n: number): number => (h.world.iss + n) >>> 0;
  if (ranges.length === 0) return {};
  return { options: [{ kind: "sack", blocks: ranges.map(([left, right]) => ({ left: at(left), right: at(right) })) }] };
}

function ack(h: Harness, una: number, ...ranges: readonly Range[]): Sent[] {
  return h.rcv({ flags: ".", ack: una, wnd: 60_000, ...sacks(h, ranges) });
}

/** An ACK with our timestamp `ecr` echoed. */
function echo(h: Harness, una: number, ecr: number, ...ranges: readonly Range[]): Sent[] {
  return h.rcv({ flags: ".", ack: una, wnd: 60_000, ts: [2, ecr], ...sacks(h, ranges) });
}

describe.each(WORLDS)("fast recovery with SACK (RFC 6675 §5), $name", (world) => {
  test("one segment goes at once, then the window comes down to ssthresh and stays there", () => {
    const h = flight(world, 10);
    h.now += RTT;
    expect(ack(h, 1, [1_001, 2_001])).toEqual([]);
    expect(ack(h, 1, [1_001, 3_001])).toEqual([]);
    expect(texts(ack(h, 1, [1_001, 4_001]))).toEqual([". 1+1000 ack 1"]);
    expect(h.tcb.congestion.ssthresh).toBe(5_000);
    h.send(20_000);
    let most = 0;
    for (let end = 5_001; end <= 10_001; end += 1_000) {
      ack(h, 1, [1_001, end]);
      most = Math.max(most, h.tcb.sent.inFlightBytes);
    }
    expect(most).toBeLessThanOrEqual(8_000);
    expect(h.tcb.sent.inFlightBytes).toBe(5_000);
    h.now += RTT;
    ack(h, 10_001);
    expect(h.tcb.recovery.active).toBe(false);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
  });

  test("a loss among what left after it began is a loss of its own", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1, [1_001, 10_001]);
    expect(h.tcb.recovery.active).toBe(true);
    h.now += 1_000;
    expect(h.send(5_000).length).toBeGreaterThan(2);
    const { ssthresh } = h.tcb.congestion;
    h.now += RTT;
    // All that was out when it began is there; of what followed the first is missing.
    ack(h, 10_001, [11_001, h.sndMax]);
    h.advance(RTT);
    expect(h.tcb.counters.fastRetransmits).toBe(2);
    expect(h.tcb.congestion.ssthresh).toBeLessThan(ssthresh);
  });

  test.each<[string, Range[]]>([
    ["inverted", [[3_001, 2_001]]],
    ["empty", [[2_001, 2_001]]],
    ["beyond SND.MAX", [[1_001, 90_001]]],
    ["wholly beyond SND.MAX", [[10_001, 20_001]]],
    ["half a segment", [[1_501, 2_000]]],
    ["half of the sequence space", [[1_001, 1_001 + 2 ** 31]]],
  ])("a block that is %s marks nothing", (_, ranges) => {
    const h = flight(world, 10);
    h.now += RTT;
    for (let i = 0; i < 4; i++) expect(ack(h, 1, ...ranges)).toEqual([]);
    expect([h.tcb.sent.sackedSegments, h.tcb.sent.lostSegments, h.tcb.recovery.active]).toEqual([0, 0, false]);
  });

  test("ACKs that come as one batch leave ssthresh as if each had been answered (RFC 5681 §3.2)", () => {
    const h = flight(world, 10);
    h.send(40_000);
    h.now += RTT;
    const window = h.tcb.congestion.cwnd;
    for (let end = 1_001; end <= 7_001; end += 1_000) h.give({ flags: ".", ack: end, wnd: 60_000 });
    expect(h.tcb.flightSize).toBeLessThan(window / 2);
    h.give({ flags: ".", ack: 7_001, wnd: 60_000, ...sacks(h, [[8_001, h.sndMax]]) });
    const { cwnd } = h.tcb.congestion;
    h.now = h.tcb.timers.rack;
    h.conn.handleTimeout(h.now);
    expect([h.tcb.recovery.active, h.tcb.congestion.ssthresh]).toEqual([true, cwnd >>> 1]);
    h.poll();
    // What the batch delivered is answered at once: recovery begins with a flight of ssthresh, not with the little that was left.
    expect(h.tcb.sent.inFlightBytes).toBeGreaterThan(cwnd / 2 - 1_000);
  });

  test("it ends with a window of ssthresh, however little is in flight then (PRR)", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1, [1_001, 10_001]);
    expect(h.tcb.recovery.active).toBe(true);
    h.now += RTT;
    ack(h, 10_001);
    expect([h.tcb.recovery.active, h.tcb.flightSize, h.tcb.congestion.cwnd]).toEqual([false, 0, 5_000]);
  });

  test("two blocks that are news in one ACK are no sign of reordering, whichever comes first", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1, [8_001, 9_001], [4_001, 5_001]);
    expect(h.tcb.sent.sackedSegments).toBe(2);
    expect(h.tcb.rack.reorderingSeen).toBe(false);
    // And this one is: it left once and came after later ones.
    ack(h, 1, [6_001, 7_001], [8_001, 9_001], [4_001, 5_001]);
    expect(h.tcb.rack.reorderingSeen).toBe(true);
  });

  test("a segment acknowledged in part counts as far as it was delivered", () => {
    const h = flight(world, 10);
    h.now += RTT;
    const { cwnd } = h.tcb.congestion;
    ack(h, 501);
    expect(h.tcb.congestion.cwnd).toBe(cwnd + 500);
    ack(h, 1_001);
    expect(h.tcb.congestion.cwnd).toBe(cwnd + 1_000);
  });

  test("a peer that takes back what it reported is believed at the time-out (RFC 2018 §8)", () => {
    const h = flight(world, 5);
    h.now += RTT;
    ack(h, 1, [1, 5_001]);
    expect(h.tcb.sent.sackedSegments).toBe(5);
    const [first] = h.nextTimer();
    expect(first?.text).toBe(". 1+1000 ack 1");
    expect(h.tcb.sent.sackedSegments).toBe(0);
  });

  test("a repetition takes no FIN along that was never sent", () => {
    const h = flight(world, 10);
    h.conn.shutdown(h.now);
    // Lost twice, so that more than the congestion window seems to be in flight when the last segment goes again.
    h.now += RTT;
    for (const packet of [...ack(h, 1, [1_001, 9_001]), ...h.advance(5_000_000)]) {
      const end = packet.seq + packet.payload.length + (packet.flags.includes("F") ? 1 : 0);
      expect(end).toBeLessThanOrEqual(h.sndMax);
    }
    expect(h.sndMax).toBe(10_002);
    ack(h, 10_002);
    expect(h.state).toBe("FIN-WAIT-2");
  });
});

describe.each(WORLDS)("the tail loss probe, $name", (world) => {
  test("goes in the place of a time-out that would come earlier (RFC 8985 §7.2)", () => {
    const h = flight(world, 1);
    const [probe] = h.nextTimer();
    expect([probe?.text, probe?.note]).toEqual(["P. 1+1000 ack 1", "tail loss probe: the last segment again"]);
    expect([h.tcb.counters.timeouts, h.tcb.congestion.cwnd]).toEqual([0, 10_000]);
    // Only one: next is the time-out.
    expect(h.tcb.timers.tlp).toBe(Number.POSITIVE_INFINITY);
    h.nextTimer();
    expect(h.tcb.counters.timeouts).toBe(1);
  });

  test("a D-SACK of it that comes when all is acknowledged proves that nothing was lost (RFC 8985 §7.4)", () => {
    const h = flight(world, 1);
    h.nextTimer();
    ack(h, 1_001);
    expect(h.tcb.recovery.tlpActive).toBe(true);
    ack(h, 1_001, [1, 1_001]);
    expect(h.tcb.recovery.tlpActive).toBe(false);
    h.send(1_000);
    ack(h, 2_001);
    expect(h.tcb.congestion.ssthresh).toBe(Number.POSITIVE_INFINITY);
  });

  test("without one the next ACK means that the probe mended a loss (RFC 8985 §7.4)", () => {
    const h = flight(world, 1);
    h.nextTimer();
    ack(h, 1_001);
    h.send(1_000);
    ack(h, 2_001);
    expect(h.tcb.recovery.tlpActive).toBe(false);
    expect(h.tcb.congestion.ssthresh).toBeLessThan(10_000);
  });

  test("what it mended halves the flight of before, not what the ACK leaves of it (RFC 8985 §7.4)", () => {
    const h = flight(world, 8);
    h.nextTimer();
    ack(h, 8_001);
    h.send(8_000);
    ack(h, 16_001);
    expect(h.tcb.recovery.tlpActive).toBe(false);
    expect(h.tcb.congestion.ssthresh).toBe(4_000);
  });

  test("an ACK that tells of its repair and of a loss reduces the window once (RFC 8985 §7.4)", () => {
    const h = flight(world, 10);
    h.nextTimer();
    ack(h, 10_001);
    expect(h.tcb.recovery.tlpActive).toBe(true);
    h.send(10_000);
    h.now += RTT;
    ack(h, 11_001, [12_001, h.sndMax]);
    // Half of the nine that are outstanding, not a quarter.
    expect([h.tcb.recovery.tlpActive, h.tcb.recovery.active, h.tcb.congestion.ssthresh]).toEqual([false, true, 4_500]);
  });

  test("is not sent when blocks came between the timer and the drain", () => {
    const h = flight(world, 10);
    h.now = h.conn.nextTimeout();
    h.conn.handleTimeout(h.now);
    expect(h.tcb.pending.tlp).toBe(true);
    h.give({ flags: ".", ack: 1, wnd: 60_000, ...sacks(h, [[9_001, 10_001]]) });
    for (const packet of h.poll()) expect(packet.note).not.toContain("probe");
    expect([h.tcb.counters.tailLossProbes, h.tcb.pending.tlp]).toEqual([0, false]);
    expect(h.tcb.timers.retransmission).toBeLessThan(Number.POSITIVE_INFINITY);
  });

  test("is not sent into a window that closed meanwhile", () => {
    const h = flight(world, 10);
    h.now = h.conn.nextTimeout();
    h.conn.handleTimeout(h.now);
    h.give({ flags: ".", ack: 1, wnd: 0 });
    expect(h.poll()).toEqual([]);
    expect(h.tcb.timers.retransmission).toBeLessThan(Number.POSITIVE_INFINITY);
  });
});

describe.each(WORLDS)("undo, $name", (world) => {
  test("D-SACK: when each repetition has proven needless the window is as before, once", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1, [2_001, 9_001]);
    expect(h.tcb.counters.retransmits).toBe(2);
    const reduced = h.tcb.congestion.ssthresh;
    h.now += 1_000;
    ack(h, 1_001, [2_001, 9_001]);
    ack(h, 10_001, [1, 1_001]);
    expect(h.tcb.congestion.ssthresh).toBe(reduced);
    ack(h, 10_001, [1_001, 2_001]);
    expect(h.tcb.congestion.ssthresh).toBe(Number.POSITIVE_INFINITY);
    ack(h, 10_001, [1_001, 2_001]);
    expect(h.tcb.counters.undos).toBe(1);
  });

  test("D-SACK: a duplicate that the network made of something else proves nothing (RFC 3708 §3)", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1, [1_001, 6_001]);
    expect(h.tcb.counters.retransmits).toBe(1);
    ack(h, 1, [3_001, 4_001], [1_001, 7_001]);
    ack(h, 10_001, [5_001, 6_001]);
    expect([h.tcb.counters.undos, h.tcb.counters.retransmits]).toEqual([0, 1]);
  });

  test("Eifel: the echo of the first copy after a time-out takes it back, and what was on its way is again", () => {
    const h = flight(world, 10, true);
    const first = stamp(h);
    while (h.tcb.counters.timeouts === 0) h.nextTimer();
    expect(h.tcb.congestion.cwnd).toBe(1_000);
    h.now += 5_000;
    echo(h, 1_001, first);
    expect([h.tcb.counters.undos, h.tcb.congestion.ssthresh]).toEqual([1, Number.POSITIVE_INFINITY]);
    expect(h.tcb.congestion.cwnd).toBeGreaterThanOrEqual(10_000);
    expect([h.tcb.sent.lostSegments, h.tcb.recovery.loss, h.tcb.backoffs]).toEqual([0, false, 0]);
    echo(h, 2_001, first);
    expect(h.tcb.counters.undos).toBe(1);
  });

  test("Eifel: the echo of the repetition takes nothing back", () => {
    const h = flight(world, 10, true);
    while (h.tcb.counters.timeouts === 0) h.nextTimer();
    const again = stamp(h);
    h.now += RTT;
    echo(h, 1_001, again);
    expect([h.tcb.counters.undos, h.tcb.recovery.loss]).toEqual([0, true]);
  });

  test("Eifel: an old echo tells nothing when the segment at the left edge was sent once (RFC 7323 §4.3)", () => {
    const h = flight(world, 10, true);
    const first = stamp(h);
    h.now += RTT;
    // The second is missing and goes again; the ACK of the first, delayed, covers both.
    echo(h, 1, first, [2_001, 8_001]);
    h.now += RTT;
    expect(h.tcb.sent.at(1)?.retransmitted).toBe(true);
    expect(h.tcb.sent.first?.retransmitted).toBe(true);
    echo(h, 1_001, stamp(h) - 1);
    expect(h.tcb.counters.undos).toBe(0);
  });
});

describe.each(WORLDS)("without SACK, $name", (world) => {
  test("in each recovery the first partial ACK restarts the timer (RFC 6582 §3.2 step 3)", () => {
    const h = new Harness(world, { congestion: newReno }).connect({ wnd: 60_000 });
    h.send(5_000);
    for (let round = 0; round < 2; round++) {
      const from = h.sndUna;
      for (let i = 0; i < 3; i++) ack(h, from);
      expect(h.tcb.recovery.active).toBe(true);
      h.now += 10_000;
      ack(h, from + 1_000);
      expect(h.tcb.timers.retransmission).toBe(h.now + h.conn.status().rto);
      ack(h, h.sndMax);
      expect(h.tcb.recovery.active).toBe(false);
      // One window more, so that what follows lies beyond "recover".
      h.send(1_000);
      ack(h, h.sndMax);
      expect(h.send(3_000).length).toBeGreaterThan(1);
    }
  });
});

describe.each(WORLDS)("after a time-out, $name", (world) => {
  /** Everything is lost: the probe, then the time-out. */
  function timedOut(segments: number): { h: Harness; first: Sent[] } {
    const h = flight(world, segments);
    let first: Sent[] = [];
    while (h.tcb.counters.timeouts === 0) first = h.nextTimer();
    return { h, first };
  }

  test("the first segment goes alone, then slow start through what is lost, in order and once each", () => {
    const { h, first } = timedOut(10);
    expect(texts(first)).toEqual([". 1+1000 ack 1"]);
    const again: number[] = [];
    for (let una = 1_001; una < 10_001; una += 1_000) {
      h.now += 1_000;
      for (const packet of ack(h, una)) again.push(packet.seq);
    }
    // The tail had its probe, and that may still arrive; all others in between are repeated.
    expect(again.slice(0, 8)).toEqual([1_001, 2_001, 3_001, 4_001, 5_001, 6_001, 7_001, 8_001]);
    expect(new Set(again).size).toBe(again.length);
    ack(h, 10_001);
    expect([h.tcb.recovery.loss, h.tcb.sent.length, h.tcb.timers.retransmission]).toEqual([false, 0, Number.POSITIVE_INFINITY]);
  });

  test("the first segment goes though younger ones fill the window (RFC 6298 §5.4)", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1, [1_001, 4_001]);
    // New data keeps arriving and leaving while the repetition is lost, so that what is in flight is young.
    h.send(8_000);
    h.now = h.tcb.timers.retransmission - 2_000;
    ack(h, 1, [1_001, 10_001]);
    const before = h.tcb.counters.timeouts;
    let sent: Sent[] = [];
    while (h.tcb.counters.timeouts === before) sent = h.nextTimer();
    expect(sent[0]?.seq).toBe(1);
  });

  test("the back-off doubles until an ACK of new data, and the timer is always armed until then", () => {
    const { h } = timedOut(5);
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      const from = h.now;
      expect(h.tcb.timers.retransmission).toBeLessThan(Number.POSITIVE_INFINITY);
      h.nextTimer();
      waits.push(h.now - from);
    }
    const [base = 0] = waits;
    expect(waits).toEqual([base, 2 * base, 4 * base, 8 * base]);
    ack(h, 1_001);
    expect(h.tcb.timers.retransmission - h.now).toBe(h.conn.status().rto);
  });

  test("a window that closed over what is lost is probed, and what is lost goes out when it opens", () => {
    const { h } = timedOut(5);
    h.rcv({ flags: ".", ack: 1, wnd: 0 });
    const probe = h.advance(5_000_000).find((packet) => packet.payload.length === 1);
    expect(probe?.seq).toBe(1);
    expect(h.tcb.timers.persist).toBeLessThan(Number.POSITIVE_INFINITY);
    // The probe's byte was taken, and there is room again.
    const sent = ack(h, 2);
    expect([sent[0]?.seq, sent[0]?.payload.length]).toEqual([2, 999]);
    for (let i = 0; i < 20 && h.sndUna < 5_001; i++) {
      h.now += 1_000;
      ack(h, Math.min(h.sndUna + 1_000, 5_001));
    }
    expect([h.tcb.sent.length, h.tcb.sent.lostBytes, h.tcb.sent.inFlightBytes]).toEqual([0, 0, 0]);
  });
});

describe.each(WORLDS)("corners of recovery, $name", (world) => {
  test("RACK's timer finds more lost in recovery: it goes too, and the window is reduced no further", () => {
    const h = flight(world, 10);
    h.now += RTT;
    // Reordering: from now on holes are given time.
    ack(h, 1, [2_001, 3_001]);
    ack(h, 1, [1_001, 3_001]);
    ack(h, 1, [1_001, 4_001]);
    h.advance(RTT);
    expect(h.tcb.recovery.active).toBe(true);
    const { ssthresh } = h.tcb.congestion;
    ack(h, 1, [1_001, 4_001], [5_001, 10_001]);
    const before = h.tcb.counters.retransmits;
    const again = h.advance(RTT);
    expect(again.map(({ seq }) => seq)).toContain(4_001);
    expect([h.tcb.counters.retransmits > before, h.tcb.congestion.ssthresh]).toEqual([true, ssthresh]);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
  });

  test("RACK's timer after a time-out: what it finds is no new recovery", () => {
    const h = flight(world, 10);
    h.now += RTT;
    ack(h, 1_001);
    while (!h.tcb.recovery.loss) h.nextTimer();
    h.tcb.rack.reorderingSeen = true;
    h.now += RTT;
    ack(h, 2_001);
    h.now += RTT;
    ack(h, 2_001, [3_001, 4_001]);
    expect(h.tcb.timers.rack).toBeLessThan(Number.POSITIVE_INFINITY);
    h.now = h.tcb.timers.rack;
    h.conn.handleTimeout(h.now);
    expect(h.tcb.sent.find((world.iss + 2_001) >>> 0)?.lost).toBe(true);
    expect([h.tcb.recovery.loss, h.tcb.recovery.active, h.tcb.counters.fastRetransmits]).toEqual([true, false, 0]);
  });

  test("a probe that is due and was not sent yet, when an ACK begins recovery: it is not sent (RFC 8985 §7.3)", () => {
    const h = flight(world, 10);
    h.now = h.tcb.timers.tlp;
    h.conn.handleTimeout(h.now);
    h.give({ flags: ".", ack: 1, wnd: 60_000, ...sacks(h, [[1_001, 5_001]]) });
    expect(h.tcb.recovery.active).toBe(true);
    expect(h.poll().map(({ seq, note }) => [seq, note])).toEqual([[1, "fast retransmission: later data has arrived"]]);
    expect(h.tcb.counters.tailLossProbes).toBe(0);
  });

  test("more than 64 repetitions that lie apart: that many losses are no mistake, whatever D-SACKs say", () => {
    const h = flight(world, 0);
    h.tcb.congestion = newReno(1_000, 400_000);
    h.tcb.snd.wnd = 400_000;
    expect(h.send(140_000)).toHaveLength(140);
    h.now += RTT;
    const arrived = (i: number): Range => [2_000 * i + 1_001, 2_000 * i + 2_001];
    for (let i = 0; i < 70; i++) ack(h, 1, arrived(i));
    while (!h.tcb.recovery.loss) h.nextTimer();
    for (let i = 1; i < 70; i++) {
      h.now += 1_000;
      ack(h, 2_000 * i + 1);
    }
    expect(h.tcb.recovery.repeated.size).toBeGreaterThan(64);
    for (let i = 0; i < 70; i++) ack(h, 140_001, [2_000 * i + 1, 2_000 * i + 1_001]);
    expect(h.tcb.counters.undos).toBe(0);
  });

  test("fast recovery without SACK, an ACK that is no duplicate and carries a SACK that was not agreed on: nothing grows", () => {
    const h = new Harness(world, { congestion: newReno, sack: false, ...PROBING_OFF });
    h.connect({ wnd: 60_000 });
    h.send(10_000);
    for (let i = 0; i < 3; i++) h.rcv({ flags: ".", ack: 1, wnd: 60_000 });
    expect(h.tcb.recovery.active).toBe(true);
    const { cwnd } = h.tcb.congestion;
    // The window has changed: no duplicate (RFC 5681 §2).
    h.rcv({ flags: ".", ack: 1, wnd: 61_000, ...sacks(h, [[2_001, 3_001]]) });
    expect([h.tcb.congestion.cwnd, h.tcb.sent.sackedSegments]).toEqual([cwnd, 0]);
    h.rcv({ flags: ".", ack: 1, wnd: 61_000 });
    expect(h.tcb.congestion.cwnd).toBe(cwnd + 1_000);
  });
});

describe.each(WORLDS)("bytes are counted (RFC 3465, net.inet.tcp.abc_l_var 2), $name", (world) => {
  function counting(segments: number): Harness {
    const h = flight(world, segments);
    h.tcb.config = { ...h.tcb.config, slowStartSegments: 2 };
    h.now += RTT;
    return h;
  }

  test("slow start: an ACK of four segments counts for two", () => {
    const h = counting(10);
    const { cwnd } = h.tcb.congestion;
    ack(h, 4_001);
    expect(h.tcb.congestion.cwnd).toBe(cwnd + 2_000);
  });

  test("what is SACKed alone counts for nothing", () => {
    const h = counting(10);
    const { cwnd } = h.tcb.congestion;
    ack(h, 1, [1_001, 2_001]);
    expect(h.tcb.congestion.cwnd).toBe(cwnd);
  });

  test("congestion avoidance: all of it counts", () => {
    const h = counting(10);
    h.tcb.congestion = newReno(1_000, 10_000, 5_000);
    h.tcb.recovery.limitedUntil = h.tcb.snd.max;
    ack(h, 10_001);
    expect(h.tcb.congestion.cwnd).toBe(11_000);
  });
});

const PROBING_OFF = { mtuProbing: 0 } as const;
