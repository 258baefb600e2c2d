/** A peer that wants a connection to keep much, or to work much: what it can reach is bounded, and told here. */
import { describe, expect, test } from "vitest";
import { seqAdd } from "../../src/base/seq.js";
import { checkEngine, MOST_RANGES } from "./engine-invariants.js";
import { Harness, type Stimulus, texts, WORLDS, type World } from "./harness.js";

const BIG = { receiveBufferBytes: 1 << 20, sendBufferBytes: 1 << 20, windowScaling: true, mtuBytes: 1_500 } as const;

describe.each(WORLDS)("$name", (world) => {
  test("every other byte: no more than 4,096 ranges are kept, and the stream is still taken", () => {
    const h = connect(world);
    const start = h.rcvNxt;
    for (let i = 1; i <= MOST_RANGES + 1_000; i++) h.give({ flags: ".", seq: start + 2 * i, data: 1 });
    expect(h.tcb.outOfOrder.size).toBe(MOST_RANGES);
    expect(h.verdict).toBe("dropped: too many holes before it");
    expect(h.poll()).toHaveLength(1);
    checkEngine(h.conn);
    // The holes are filled in order, and nothing is remembered any more.
    for (let i = 0; i < 100; i++) h.give({ flags: ".", seq: start + 1_000 * i, data: 1_000 });
    expect(h.rcvNxt).toBe(start + 100_000);
    expect(h.tcb.outOfOrder.size).toBe(0);
    expect(h.read()).toHaveLength(100_000);
    checkEngine(h.conn);
  });

  test("ranges come from both ends at once: the ACK tells of them all the same", () => {
    const h = connect(world);
    const start = h.rcvNxt;
    for (let i = 1; i <= 200; i++) h.give({ flags: ".", seq: start + (i % 2 === 0 ? 10 * i : 500_000 - 10 * i), data: 1 });
    const [ack] = h.poll();
    expect(ack?.options.some((option) => option.kind === "sack" && option.blocks.length >= 3)).toBe(true);
    expect(h.tcb.outOfOrder.size).toBe(200);
    checkEngine(h.conn);
  });

  test("many ranges of which the latest have merged: the ACK tells of the merged one and then of older ones", () => {
    const h = connect(world);
    const start = h.rcvNxt;
    // Sixteen are remembered as recent; the first of these twenty is not among them.
    for (let i = 1; i <= 20; i++) h.give({ flags: ".", seq: start + 20 * i, data: 10 });
    // One segment joins the last sixteen.
    h.give({ flags: ".", seq: start + 20 * 5, data: 320 });
    const [ack] = h.poll();
    expect(h.tcb.outOfOrder.size).toBe(4 + 1);
    const blocks = ack?.options.flatMap((option) => (option.kind === "sack" ? option.blocks : [])) ?? [];
    const relative = blocks.map(({ left, right }) => [(left - world.irs - start) >>> 0, (right - world.irs - start) >>> 0]);
    // The part that was here already comes first, as D-SACK (RFC 2883 §4.2).
    expect(relative).toEqual([
      [100, 110],
      [100, 420],
      [80, 90],
      [60, 70],
    ]);
    checkEngine(h.conn);
  });

  test("SACK blocks of halves of segments split nothing and mark nothing", () => {
    const h = connect(world);
    h.send(100_000);
    const { sent } = h.tcb;
    const records = sent.length;
    const una = h.tcb.snd.una;
    for (let i = 0; i < 5_000; i++) {
      h.rcv({ flags: ".", ack: h.sndUna, ...sack([[seqAdd(una, 1 + (i % 700)), seqAdd(una, 2 + (i % 1_300))]]) });
      checkEngine(h.conn);
    }
    expect(sent.length).toBeLessThanOrEqual(records + 2);
    expect(sent.sackedBytes).toBe(0);
    expect(sent.lostBytes).toBe(0);
  });

  test("acknowledging byte by byte cuts the first segment and grows neither list nor window without measure", () => {
    const h = connect(world);
    h.send(60_000);
    const cwnd = h.tcb.congestion.cwnd;
    const acked = 2_000;
    for (let i = 1; i <= acked; i++) {
      h.rcv({ flags: ".", ack: 1 + i });
      checkEngine(h.conn);
    }
    expect(h.sndUna).toBe(1 + acked);
    // Appropriate byte counting: dividing ACKs gains nothing (RFC 3465).
    expect(h.tcb.congestion.cwnd).toBeLessThanOrEqual(cwnd + acked);
    expect(h.tcb.sent.length).toBeLessThan(60);
  });

  test("a window that opens byte by byte does not make a segment of every byte", () => {
    const h = connect(world, 0);
    h.send(50_000);
    const sent: string[] = [];
    for (let wnd = 1; wnd <= 3_000; wnd++) {
      sent.push(...texts(h.rcv({ flags: ".", ack: 1, wnd })));
      checkEngine(h.conn);
    }
    // Silly-window avoidance waits for a full segment or half of the largest window (RFC 9293 §3.8.6.2.1).
    expect(sent.length).toBeLessThanOrEqual(20);
    expect(sent.length).toBeGreaterThan(0);
  });

  test("a window that shrinks and grows over lost data leaves no more records than segments", () => {
    const h = connect(world);
    h.send(100_000);
    for (let i = 0; i < 2_000; i++) {
      h.rcv({ flags: ".", ack: h.sndUna, wnd: i % 3 === 0 ? 0 : 1 + (i % 40) });
      if (i % 5 === 0) h.nextTimer();
      checkEngine(h.conn);
    }
    expect(h.tcb.sent.length).toBeLessThan(200);
  });

  test("text beyond the peer's own FIN is forgotten when the FIN counts", () => {
    const h = connect(world);
    const start = h.rcvNxt;
    h.rcv({ flags: ".", seq: start + 500, data: 100 });
    expect(h.tcb.outOfOrder.size).toBe(1);
    const [ack] = h.rcv({ flags: "F.", seq: start, data: 10 });
    expect(h.state).toBe("CLOSE-WAIT");
    expect(h.tcb.outOfOrder.size).toBe(0);
    expect(ack?.ack).toBe(start + 11);
    expect(ack?.options.some((option) => option.kind === "sack")).toBe(false);
    expect(h.read()).toHaveLength(10);
  });

  test("a time-out sends the first segment again though younger ones fill the pipe (RFC 6298 §5.4)", () => {
    const h = connect(world);
    // The first is long out when more leaves; the peer is silent.
    h.send(1_000);
    const [probe] = h.nextTimer();
    expect(probe?.note).toContain("tail loss probe");
    h.now = h.conn.nextTimeout() - 1_000;
    const younger = h.send(5_000);
    expect(younger.length).toBeGreaterThan(0);
    const again = h.nextTimer();
    expect(h.tcb.counters.timeouts).toBe(1);
    expect(again[0]?.seq).toBe(1);
    checkEngine(h.conn);
  });

  test("an ACK brought about by a duplicate (D-SACK) measures no round-trip time", () => {
    const h = connect(world, 65_535, { timestamps: true }, 7);
    h.send(1_000);
    h.now += 10_000;
    const first = Math.floor(h.now / 1_000) + h.tcb.ts.offset - 10;
    const { srtt } = h.conn.status();
    // The first copy arrived, its ACK was lost; seconds later a repetition is answered, with the echo of then.
    for (let i = 0; i < 4; i++) h.nextTimer();
    const { una } = h.tcb.snd;
    h.rcv({ flags: ".", ack: 1_001, ts: [8, first >>> 0], ...sack([[una, seqAdd(una, 1_000)]]) });
    expect(h.sndUna).toBe(1_001);
    expect(h.conn.status().srtt).toBe(srtt);
    checkEngine(h.conn);
  });
});

/** A connection with SACK and large buffers. */
function connect(world: World, wnd = 65_535, config = {}, peerTs?: number): Harness {
  const options = [{ kind: "mss", mss: 1_460 }, { kind: "sack-permitted" }, { kind: "window-scale", shift: 0 }] as const;
  const h = new Harness(world, { ...BIG, ...config });
  h.peerTs = peerTs;
  h.connect({ options, wnd });
  h.poll();
  h.events();
  return h;
}

function sack(blocks: readonly (readonly [number, number])[]): Partial<Stimulus> {
  return { options: [{ kind: "sack", blocks: blocks.map(([left, right]) => ({ left, right })) }] };
}
