/** Linux's loss recovery on a whole connection: RACK, reductions (PRR), undo (D-SACK, Eifel), F-RTO, TLP. Each case was seen on Linux 6.18. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, NEVER } from "../../../src/base/time.js";
import type { ConnectionConfig } from "../../../src/tcp/config.js";
import type { LinuxControl } from "../../../src/tcp/linux-control.js";
import { newReno } from "../../../src/tcp/new-reno.js";
import { IcmpError } from "../../../src/wire/icmp.js";
import { Harness, type Sent, WORLDS, type World } from "../harness.js";

const RTT = 100 * MILLISECOND;
type Range = readonly [left: number, right: number];

interface Peer {
  /** Without SACK, with timestamps. */
  readonly sack?: boolean;
  readonly stamped?: boolean;
  readonly config?: Partial<ConnectionConfig>;
}

/** A connection that a peer has opened in one round trip, and its Linux sender with a window of ten segments of 1,000 bytes. */
function linux(world: World, { sack = true, stamped = false, config = {} }: Peer = {}): { h: Harness; lx: LinuxControl } {
  const h = new Harness(world, {
    sender: "linux",
    receiver: "linux",
    congestion: newReno,
    timestamps: stamped,
    mtuBytes: 1_500,
    sendBufferBytes: 1 << 20,
    ...config,
  });
  h.openPassive();
  const mss = { kind: "mss", mss: stamped ? 1_012 : 1_000 } as const;
  const options = sack ? [mss, { kind: "sack-permitted" } as const] : [mss];
  h.rcv({ flags: "S", seq: 0, ack: 0, wnd: 60_000, options, ...(stamped && { ts: [1, 0] as const }) });
  h.now += RTT;
  ack(h, 1);
  const lx = h.tcb.linuxSender;
  if (h.state !== "ESTABLISHED" || lx === undefined) throw new Error("not connected");
  return { h, lx };
}

/** Our timestamp clock. */
function stamp(h: Harness): number {
  return (Math.floor(h.now / MILLISECOND) + h.tcb.ts.offset) >>> 0;
}

function blocks(h: Harness, ranges: readonly Range[]) {
  const at = (n: number): number => (h.world.iss + n) >>> 0;
  if (ranges.length === 0) return {};
  return { options: [{ kind: "sack", blocks: ranges.map(([left, right]) => ({ left: at(left), right: at(right) })) } as const] };
}

function ack(h: Harness, una: number, ...ranges: readonly Range[]): string[] {
  const ts = h.tcb.ts.enabled ? { ts: [2, stamp(h)] as const } : {};
  return spans(h.rcv({ flags: ".", ack: una, wnd: 60_000, ...ts, ...blocks(h, ranges) }));
}

/** An ACK that echoes `ecr`. */
function echo(h: Harness, una: number, ecr: number, ...ranges: readonly Range[]): string[] {
  return spans(h.rcv({ flags: ".", ack: una, wnd: 60_000, ts: [2, ecr], ...blocks(h, ranges) }));
}

/** A router says that it carries `mtu`. */
function tooBig(h: Harness, mtu: number): string {
  const error = new IcmpError();
  error.kind = "packet-too-big";
  error.nextHopMtu = mtu;
  error.quotedSeq = h.tcb.snd.una;
  error.hasSeq = true;
  return h.conn.receiveIcmp(error, h.now);
}

/** Where each segment begins and how long it is. */
function spans(sent: readonly Sent[]): string[] {
  return sent.map(({ seq, payload }) => `${seq}+${payload.length}`);
}

function segments(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${from + i * 1_000}+1000`);
}

/** Ten segments have left, and one round trip has passed. */
function flight(h: Harness): void {
  expect(spans(h.send(10_000))).toEqual(segments(h.sndMax - 10_000, 10));
  h.now += RTT;
}

/** A later segment has arrived first: Linux has seen reordering. */
function reordered(h: Harness): number {
  flight(h);
  ack(h, 1, [6_001, 7_001]);
  ack(h, 7_001);
  ack(h, 10_001);
  return 10_001;
}

describe.each(WORLDS)("RACK (RFC 8985), $name", (world) => {
  test("disorder, the third segment is SACKed: it begins recovery and sends the hole", () => {
    const { h, lx } = linux(world);
    flight(h);
    expect(ack(h, 1, [1_001, 3_001])).toEqual([]);
    expect(lx.state).toBe("disorder");
    expect(ack(h, 1, [1_001, 4_001])).toEqual(["1+1000"]);
    expect([lx.state, lx.threshold]).toEqual(["recovery", 5]);
  });

  test("reordering was seen: the hole has a quarter of a round trip to fill itself, then the timer sends it", () => {
    const { h, lx } = linux(world);
    const una = reordered(h);
    expect(lx.reordering).toBe(7);
    flight(h);
    expect(ack(h, una, [una + 1_000, una + 8_000])).toEqual([]);
    const from = h.now;
    const [first] = h.nextTimer();
    expect(first?.seq).toBe(una);
    // min_rtt / 4, and the 2 ms that a timer may not come too early by.
    expect(h.now - from).toBe(27 * MILLISECOND);
    expect(lx.state).toBe("recovery");
  });

  test("reordering was seen, and the hole fills itself in that time: nothing is sent again", () => {
    const { h, lx } = linux(world);
    const una = reordered(h);
    flight(h);
    ack(h, una, [una + 1_000, una + 8_000]);
    h.now += 20 * MILLISECOND;
    ack(h, una + 10_000);
    expect(h.advance(RTT)).toEqual([]);
    expect([lx.state, h.tcb.counters.retransmits]).toEqual(["open", 0]);
  });

  test("all ten are lost: the handshake's round trip tells which repetition is lost too", () => {
    const { h, lx } = linux(world, { config: { tailLossProbe: false } });
    flight(h);
    expect(spans(h.nextTimer())).toEqual(["1+1000"]);
    h.now += RTT;
    expect(ack(h, 1_001)).toEqual(["1001+1000", "2001+1000"]);
    h.now += RTT;
    // 1001 left before 2001, which has arrived.
    expect(ack(h, 1_001, [2_001, 3_001])[0]).toBe("1001+1000");
    expect(lx.state).toBe("recovery");
  });

  test("a time-out while three are SACKed: the degree of reordering was overestimated", () => {
    const { h, lx } = linux(world, { config: { tailLossProbe: false } });
    const una = reordered(h);
    h.send(10_000);
    h.now += h.tcb.timers.retransmission - h.now - 10 * MILLISECOND;
    ack(h, una, [una + 1_000, una + 4_000]);
    expect([lx.state, lx.reordering]).toEqual(["disorder", 7]);
    expect(spans(h.nextTimer())).toEqual([`${una}+1000`]);
    expect([lx.state, lx.reordering]).toEqual(["loss", 3]);
  });

  test("ICMP says that all was too big while the timer runs: it finds nothing that is in doubt", () => {
    const { h, lx } = linux(world, { config: { mtuProbing: 0 } });
    const una = reordered(h);
    flight(h);
    ack(h, una, [una + 1_000, una + 4_000]);
    expect(h.tcb.timers.rack).not.toBe(NEVER);
    expect(tooBig(h, 840)).toContain("path MTU lowered");
    h.poll();
    expect(lx.state).toBe("loss");
    const again = h.tcb.counters.retransmits;
    h.advance(30 * MILLISECOND);
    expect([lx.state, h.tcb.counters.fastRetransmits, h.tcb.counters.retransmits]).toEqual(["loss", 0, again]);
  });
});

describe.each(WORLDS)("the reordering window, $name", (world) => {
  /** How long the hole at SND.UNA is waited for. */
  function patience(h: Harness, una: number): number {
    h.send(10_000);
    h.now += RTT;
    ack(h, una, [una + 1_000, una + 8_000]);
    return h.tcb.timers.rack - h.now - 2 * MILLISECOND;
  }

  test("each D-SACK widens it by a quarter of a round trip, sixteen recoveries without one make it small again", () => {
    const { h, lx } = linux(world);
    let una = reordered(h);
    expect(patience(h, una)).toBe(RTT / 4);
    h.nextTimer();
    una += 10_000;
    ack(h, una);
    ack(h, una, [una - 10_000, una - 9_000]);
    for (let i = 0; i <= 16; i++) {
      lx.window = 12;
      // What the D-SACK says counts with the next ACK that delivers something; once it has come to that it stays.
      expect([i, patience(h, una)]).toEqual([i, i < 16 ? RTT / 2 : RTT / 4]);
      h.nextTimer();
      una += 10_000;
      h.now += RTT;
      ack(h, una);
    }
  });
});

describe.each(WORLDS)("reductions that are taken back, $name", (world) => {
  test("recovery, a D-SACK of its one repetition: window and threshold are as before (RFC 3708)", () => {
    const { h, lx } = linux(world);
    flight(h);
    ack(h, 1, [1_001, 5_001]);
    expect(lx.window).toBe(6);
    h.now += 10 * MILLISECOND;
    ack(h, 10_001, [1, 1_001]);
    expect([lx.state, lx.threshold, h.tcb.counters.undos]).toEqual(["open", NEVER, 1]);
    expect(lx.window).toBeGreaterThanOrEqual(10);
  });

  test("recovery, a D-SACK of what was sent once: the network has duplicated it, and the reduction stays", () => {
    const { h, lx } = linux(world);
    flight(h);
    ack(h, 1, [1_001, 5_001]);
    ack(h, 1, [3_001, 4_001], [1_001, 6_001]);
    ack(h, 10_001);
    // The ACK that ends it is one of congestion avoidance, too.
    expect([lx.state, lx.threshold, lx.window, h.tcb.counters.undos]).toEqual(["open", 5, 6, 0]);
  });

  test("recovery, the ACK echoes a timestamp from before the repetition: the reduction was needless (Eifel, RFC 3522)", () => {
    const { h, lx } = linux(world, { stamped: true });
    h.send(10_000);
    const before = stamp(h);
    h.now += RTT;
    expect(echo(h, 1, before, [1_001, 5_001])).toEqual(["1+1000"]);
    h.now += 10 * MILLISECOND;
    echo(h, 5_001, before);
    expect([lx.state, lx.threshold, h.tcb.counters.undos]).toEqual(["open", NEVER, 1]);
  });

  test("recovery, the ACK echoes the repetition: it was needed", () => {
    const { h, lx } = linux(world, { stamped: true });
    h.send(10_000);
    h.now += RTT;
    ack(h, 1, [1_001, 5_001]);
    const repeated = stamp(h);
    h.now += RTT;
    echo(h, 10_001, repeated);
    expect([lx.state, lx.threshold, lx.window, h.tcb.counters.undos]).toEqual(["open", 5, 6, 0]);
  });

  test("recovery, Eifel while another repetition is out: the reduction stays until that is known too", () => {
    const { h, lx } = linux(world, { stamped: true });
    h.send(10_000);
    const before = stamp(h);
    h.now += RTT;
    ack(h, 1, [1_001, 2_001], [3_001, 7_001]);
    ack(h, 1, [1_001, 2_001], [3_001, 10_001]);
    expect(h.tcb.sent.repeatedSegments).toBe(2);
    h.now += 10 * MILLISECOND;
    expect(echo(h, 2_001, before, [3_001, 10_001])).toEqual([]);
    expect([lx.state, h.tcb.counters.undos]).toEqual(["recovery", 0]);
    echo(h, 10_001, before);
    expect([lx.state, h.tcb.counters.undos]).toEqual(["open", 1]);
  });

  test("recovery, Eifel when what is left was sent twice, as a probe: disorder, not open", () => {
    const { h, lx } = linux(world, { stamped: true });
    h.send(5_000);
    const before = stamp(h);
    expect(spans(h.nextTimer())).toEqual(["4001+1000"]);
    echo(h, 1, before, [1_001, 4_001]);
    expect(lx.state).toBe("recovery");
    h.now += 10 * MILLISECOND;
    echo(h, 4_001, before);
    expect([lx.state, h.tcb.counters.undos]).toEqual(["disorder", 1]);
  });

  test("recovery and the end of the hole in one batch, before anything could go again: it was only late", () => {
    const { h, lx } = linux(world);
    flight(h);
    h.give({ flags: ".", ack: 1, wnd: 60_000, ...blocks(h, [[1_001, 5_001]]) });
    expect([lx.state, lx.threshold]).toEqual(["recovery", 5]);
    ack(h, 5_001);
    expect([lx.state, lx.threshold, h.tcb.counters.undos, h.tcb.counters.retransmits]).toEqual(["open", NEVER, 1, 0]);
  });
});

describe.each(WORLDS)("F-RTO (RFC 5682), $name", (world) => {
  /** Ten segments out, more to send, and the time-out has sent the first again. */
  function timedOut(peer: Peer = {}): { h: Harness; lx: LinuxControl } {
    const made = linux(world, { ...peer, config: { tailLossProbe: false, ...peer.config } });
    made.h.send(20_000);
    expect(spans(made.h.nextTimer())).toEqual(["1+1000"]);
    made.h.now += RTT;
    return made;
  }

  test("loss, the first ACK: two segments of new data go, no repetition (§2.1 step 2b)", () => {
    const { h, lx } = timedOut();
    expect(ack(h, 1_001)).toEqual(["10001+1000", "11001+1000"]);
    expect([lx.state, lx.window]).toEqual(["loss", 2]);
  });

  test("loss, the new data arrives and the old does not: the time-out was right (§2.1 step 3a)", () => {
    const { h, lx } = timedOut();
    ack(h, 1_001);
    h.now += RTT;
    expect(ack(h, 1_001, [10_001, 12_001])).toEqual(["1001+1000", "2001+1000"]);
    expect([lx.state, lx.threshold]).toEqual(["loss", 5]);
  });

  test("loss, what was sent once arrives: the time-out was needless, all is as before (§2.1 step 3b)", () => {
    const { h, lx } = timedOut();
    ack(h, 1_001);
    h.now += RTT;
    ack(h, 3_001);
    expect([lx.state, lx.threshold, h.tcb.counters.undos]).toEqual(["open", NEVER, 1]);
    expect(lx.window).toBeGreaterThanOrEqual(10);
    expect(h.tcb.sent.lostSegments).toBe(0);
  });

  test("loss without new data: the repetitions go on", () => {
    const { h, lx } = linux(world, { config: { tailLossProbe: false } });
    flight(h);
    h.nextTimer();
    h.now += RTT;
    expect(ack(h, 1_001)).toEqual(["1001+1000", "2001+1000"]);
    expect(lx.frto).toBe(false);
  });

  test("loss without SACK, duplicates before anything new has left: they tell nothing", () => {
    const { h, lx } = timedOut({ sack: false });
    expect(ack(h, 1)).toEqual([]);
    expect([lx.state, lx.renoSacked]).toEqual(["loss", 0]);
  });

  test("loss without SACK, a duplicate after the new data: the time-out was right, and it counts as arrived", () => {
    const { h, lx } = timedOut({ sack: false });
    ack(h, 1_001);
    h.now += RTT;
    expect(ack(h, 1_001)[0]).toBe("1001+1000");
    expect([lx.state, lx.renoSacked, lx.frto]).toEqual(["loss", 1, false]);
  });
});

describe.each(WORLDS)("proportional rate reduction (RFC 6937), $name", (world) => {
  test("the flight comes down to ssthresh while ACKs come, one segment for two", () => {
    const { h, lx } = linux(world);
    h.send(40_000);
    h.now += RTT;
    const [first, ...others] = ack(h, 1, [1_001, 4_001]);
    expect([first, lx.state, lx.threshold]).toEqual(["1+1000", "recovery", 5]);
    let sent = 1 + others.length;
    for (let right = 5_001; right <= 10_001; right += 1_000) sent += ack(h, 1, [1_001, right]).length;
    // Ten were out, nine have arrived: half as many have left.
    expect([sent, h.tcb.sent.inFlightBytes]).toEqual([5, 5_000]);
  });

  test("the end of recovery leaves the window at ssthresh", () => {
    const { h, lx } = linux(world);
    flight(h);
    ack(h, 1, [1_001, 10_001]);
    h.now += RTT;
    ack(h, 10_001);
    expect([lx.state, lx.window]).toEqual(["open", 5]);
  });
});

describe.each(WORLDS)("tail loss probe (RFC 8985), $name", (world) => {
  test("two round trips without an ACK: the last segment goes again, once", () => {
    const { h } = linux(world);
    h.send(3_000);
    const from = h.now;
    expect(spans(h.nextTimer())).toEqual(["2001+1000"]);
    expect(h.now - from).toBe(2 * RTT + 2 * MILLISECOND);
    expect(h.tcb.counters.tailLossProbes).toBe(1);
    // Next is the time-out.
    expect(spans(h.nextTimer())).toEqual(["1+1000"]);
  });

  test("the probe has repaired a loss: the window is reduced", () => {
    const { h, lx } = linux(world);
    h.send(3_000);
    h.nextTimer();
    h.now += RTT;
    ack(h, 3_001);
    expect(lx.threshold).toBe(NEVER);
    h.send(1_000);
    h.now += RTT;
    ack(h, 4_001);
    expect([lx.state, lx.threshold, lx.window]).toEqual(["open", 5, 5]);
  });

  test("a D-SACK says that the probe was needless: the window stays", () => {
    const { h, lx } = linux(world);
    h.send(3_000);
    h.nextTimer();
    h.now += RTT;
    ack(h, 3_001);
    ack(h, 3_001, [2_001, 3_001]);
    h.send(1_000);
    h.now += RTT;
    ack(h, 4_001);
    expect([lx.state, lx.threshold]).toEqual(["open", NEVER]);
  });

  test("new data when the time-out is overdue starts the timer anew; then no second probe, the time-out", () => {
    const { h } = linux(world);
    h.send(3_000);
    h.now += RTT;
    ack(h, 1_001);
    expect(spans(h.nextTimer())).toEqual(["2001+1000"]);
    h.now += 248 * MILLISECOND;
    h.send(1_000);
    const from = h.now;
    const again = h.advance(2 * RTT + 5 * MILLISECOND);
    expect(spans(again)).toEqual(["1001+1000"]);
    expect((again[0]?.at ?? 0) - from).toBeGreaterThan(2 * RTT);
  });
});
