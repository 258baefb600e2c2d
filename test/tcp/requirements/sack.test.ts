/** Selective acknowledgment as it is told and as it is understood (RFC 2018, RFC 2883, RFC 6675), with every number visible. */
import { describe, expect, test } from "vitest";
import { newReno } from "../../../src/tcp/new-reno.js";
import type { SackBlock } from "../../../src/wire/tcp-options.js";
import { Harness, PEER_MSS, type Sent, texts, WORLDS, type World } from "../harness.js";

const PERMITTED = { kind: "sack-permitted" } as const;
const MSS = { kind: "mss", mss: PEER_MSS } as const;

function connected(world: World, config = {}): Harness {
  const big = { receiveBufferBytes: 40_000, congestion: newReno, ...config };
  return new Harness(world, big).connect({ wnd: 60_000, options: [MSS, PERMITTED] });
}

/** The blocks that a packet reports, relative to IRS. */
function blocks(world: World, packet: Sent | undefined): [number, number][] {
  const option = packet?.options.find((candidate) => candidate.kind === "sack");
  const list: readonly SackBlock[] = option?.kind === "sack" ? option.blocks : [];
  return list.map(({ left, right }) => [(left - world.irs) >>> 0, (right - world.irs) >>> 0]);
}

/** An ACK of the peer 10 ms later that reports `ranges`, relative to ISS. */
function report(h: Harness, ack: number, ...ranges: readonly (readonly [number, number])[]): Sent[] {
  h.now += 10_000;
  const at = (n: number): number => (h.world.iss + n) >>> 0;
  const list = ranges.map(([left, right]) => ({ left: at(left), right: at(right) }));
  const options = list.length > 0 ? [{ kind: "sack", blocks: list } as const] : [];
  return h.rcv({ flags: ".", ack, wnd: 60_000, options });
}

const offers = (packet: Sent | undefined): boolean => packet?.options.some((option) => option.kind === "sack-permitted") === true;

describe.each(WORLDS)("SACK, the agreement (RFC 2018 §2), $name", (world) => {
  test("SYN offers, SYN-ACK repeats what was offered, and nothing that was not", () => {
    expect(offers(new Harness(world).openActive()[0])).toBe(true);
    expect(offers(new Harness(world, { sack: false }).openActive()[0])).toBe(false);
    for (const [ours, theirs] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const) {
      const h = new Harness(world, { sack: ours });
      h.openPassive();
      const [synAck] = h.rcv({ flags: "S", seq: 0, options: theirs ? [PERMITTED] : [] });
      expect(offers(synAck)).toBe(ours && theirs);
    }
  });

  test("without the agreement no block is sent, and none that comes is believed", () => {
    const h = new Harness(world, { receiveBufferBytes: 40_000 }).connect({ wnd: 60_000, options: [MSS] });
    expect(h.rcv({ flags: ".", seq: 1_001, data: 10 })[0]?.options).toEqual([]);
    h.send(5_000);
    report(h, 1, [1_001, 5_001]);
    expect(h.tcb.sent.sackedSegments).toBe(0);
  });
});

describe.each(WORLDS)("SACK, the receiver (RFC 2018 §4), $name", (world) => {
  const hole = (h: Harness, n: number): Sent | undefined => h.rcv({ flags: ".", seq: 1 + n * 1_000, data: 100, ack: 1 })[0];

  test("the block of the segment that has just come stands first, the others follow by age", () => {
    const h = connected(world);
    expect(blocks(world, hole(h, 1))).toEqual([[1_001, 1_101]]);
    expect(blocks(world, hole(h, 5))).toEqual([
      [5_001, 5_101],
      [1_001, 1_101],
    ]);
    expect(blocks(world, hole(h, 3))).toEqual([
      [3_001, 3_101],
      [5_001, 5_101],
      [1_001, 1_101],
    ]);
  });

  test("at most four blocks, three beside timestamps (RFC 2018 §3)", () => {
    for (const [timestamps, most] of [
      [false, 4],
      [true, 3],
    ] as const) {
      const h = new Harness(world, { receiveBufferBytes: 40_000, timestamps });
      if (timestamps) h.peerTs = 7;
      h.connect({ wnd: 60_000, options: [MSS, PERMITTED] });
      let last: Sent | undefined;
      for (const n of [1, 3, 5, 7, 9, 11]) last = hole(h, n);
      expect(blocks(world, last)).toEqual([11, 9, 7, 5].slice(0, most).map((n) => [1 + n * 1_000, 101 + n * 1_000]));
    }
  });

  test("ranges that touch are one block; the hole filled, none is left", () => {
    const h = connected(world);
    hole(h, 1);
    expect(blocks(world, h.rcv({ flags: ".", seq: 1_101, data: 900 })[0])).toEqual([[1_001, 2_001]]);
    const [ack] = h.rcv({ flags: ".", seq: 1, data: 1_000 });
    expect([ack?.text, blocks(world, ack)]).toEqual([". 1+0 ack 2001", []]);
  });

  test("what was reported is kept: only the hole is needed", () => {
    const h = connected(world);
    h.rcv({ flags: ".", seq: 1_001, data: 9_000 });
    h.rcv({ flags: ".", seq: 1, data: 1_000 });
    expect(h.rcvNxt).toBe(10_001);
  });

  test("the option takes room from the payload, so that the packet fills the MTU and no more (MUST-16)", () => {
    const h = connected(world);
    h.give({ flags: ".", seq: 5_001, data: 10 });
    const [first] = h.send(3_000);
    expect(first?.payload.length).toBe(988);
    expect(first?.ipLength).toBe(1_040);
  });
});

describe.each(WORLDS)("D-SACK, the receiver (RFC 2883 §4), $name", (world) => {
  test("a segment that is here already is the first block, once", () => {
    const h = connected(world);
    h.rcv({ flags: ".", data: 1_000 });
    expect(blocks(world, h.rcv({ flags: ".", seq: 1, data: 1_000 })[0])).toEqual([[1, 1_001]]);
    expect(blocks(world, h.send(10)[0])).toEqual([]);
  });

  test("a duplicate behind a hole: its own range, then the block that holds it", () => {
    const h = connected(world);
    h.rcv({ flags: ".", seq: 2_001, data: 3_000 });
    expect(blocks(world, h.rcv({ flags: ".", seq: 3_001, data: 500 })[0])).toEqual([
      [3_001, 3_501],
      [2_001, 5_001],
    ]);
  });

  test("a segment of which a part is new: the old part alone", () => {
    const h = connected(world);
    h.rcv({ flags: ".", data: 1_000 });
    h.rcv({ flags: ".", seq: 3_001, data: 10 });
    const [ack] = h.rcv({ flags: ".", seq: 501, data: 1_000 });
    expect(ack?.ack).toBe(1_501);
    expect(blocks(world, ack)).toEqual([
      [501, 1_001],
      [3_001, 3_011],
    ]);
  });
});

describe.each(WORLDS)("SACK, the sender, $name", (world) => {
  /** Ten segments in flight, nothing waiting. */
  function flight(config = {}): Harness {
    const h = connected(world, config);
    h.rcv({ flags: ".", wnd: 60_000 });
    expect(h.send(10_000).length).toBe(10);
    return h;
  }

  test("three segments reported behind a hole: the hole is repeated, and nothing else (RFC 2018 §5, RFC 6675 §4)", () => {
    const h = flight();
    expect(report(h, 1, [1_001, 2_001])).toEqual([]);
    expect(report(h, 1, [1_001, 3_001])).toEqual([]);
    expect(texts(report(h, 1, [1_001, 4_001]))).toEqual([". 1+1000 ack 1"]);
    expect(report(h, 1, [1_001, 10_001])).toEqual([]);
    expect(h.tcb.counters.retransmits).toBe(1);
  });

  test("several holes are repeated in order, each once, what the window allows at a time (RFC 6675 §5)", () => {
    const h = flight();
    const sent = [
      ...report(h, 1, [1_001, 2_001], [3_001, 4_001], [5_001, 6_001]),
      ...report(h, 1, [5_001, 10_001], [3_001, 4_001], [1_001, 2_001]),
      ...report(h, 2_001, [5_001, 10_001], [3_001, 4_001]),
    ];
    expect(texts(sent)).toEqual([". 1+1000 ack 1", ". 2001+1000 ack 1", ". 4001+1000 ack 1"]);
    expect(h.tcb.counters.retransmits).toBe(3);
  });

  test("one reduction for all losses of a window; the ACK of all that was out ends recovery (RFC 6675 §5)", () => {
    const h = flight();
    report(h, 1, [1_001, 4_001]);
    expect(h.tcb.congestion.ssthresh).toBe(5_000);
    report(h, 1, [6_001, 10_001], [1_001, 4_001]);
    expect(h.tcb.congestion.ssthresh).toBe(5_000);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
    expect(h.conn.status().inRecovery).toBe(true);
    report(h, 10_001);
    expect(h.conn.status().inRecovery).toBe(false);
  });

  test("what was reported does not count as in flight (SetPipe, RFC 6675 §4)", () => {
    const h = flight();
    expect(h.tcb.sent.inFlightBytes).toBe(10_000);
    expect(report(h, 1, [8_001, 9_001])).toEqual([]);
    expect([h.tcb.sent.sackedSegments, h.tcb.sent.inFlightBytes, h.sndMax - h.sndUna]).toEqual([1, 9_000, 10_000]);
  });

  test("a report may be taken back: after a time-out what was reported at SND.UNA is sent again (RFC 2018 §8)", () => {
    const h = flight();
    report(h, 1, [1_001, 10_001]);
    // The first segment arrives, and the peer has thrown away the rest.
    report(h, 1_001);
    h.tcb.timers.tlp = Number.POSITIVE_INFINITY;
    const again = h.nextTimer();
    expect(texts(again)[0]).toBe(". 1001+1000 ack 1");
    expect(h.tcb.sent.sackedSegments).toBe(0);
  });

  test.each([
    ["beyond what was sent", 1, [10_001, 11_001]],
    ["below what is acknowledged", 3_001, [1_001, 2_001]],
    ["upside down", 1, [5_001, 4_001]],
    ["empty", 1, [5_001, 5_001]],
  ] as const)("a block %s is no report (RFC 2018 §4)", (_, ack, range) => {
    const h = flight();
    report(h, ack, range);
    expect(h.tcb.sent.sackedSegments).toBe(0);
    expect(h.tcb.counters.retransmits).toBe(0);
  });

  test("a D-SACK is told from a SACK: below the ACK, or inside the second block (RFC 2883 §5)", () => {
    const h = flight();
    report(h, 3_001, [1_001, 2_001]);
    expect(h.tcb.counters.dsacksIn).toBe(1);
    report(h, 3_001, [6_001, 7_001], [5_001, 8_001]);
    expect(h.tcb.counters.dsacksIn).toBe(2);
    report(h, 3_001, [8_001, 9_001], [5_001, 8_001]);
    expect(h.tcb.counters.dsacksIn).toBe(2);
  });
});
