/** Acknowledgments and the window that is advertised: delayed ACK, receiver's silly-window avoidance, window scale. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, NEVER } from "../../src/base/time.js";
import { Harness, PLAIN, pattern, reach, type Sent, texts, WORLDS } from "./harness.js";

describe.each(WORLDS)("delayed ACK (RFC 9293 §3.8.6.3, RFC 5681 §4.2), $name", (world) => {
  test("one segment waits for the timer (MUST-40) (SHLD-18)", () => {
    const h = reach("ESTABLISHED", world);
    expect(h.rcv({ flags: ".", data: 1_000 })).toEqual([]);
    const due = h.conn.nextTimeout();
    expect(due - h.now).toBe(40 * MILLISECOND);
    expect(texts(h.nextTimer())).toEqual([". 1+0 ack 1001"]);
    expect(h.conn.nextTimeout()).toBe(NEVER);
  });

  test("every second full segment is acknowledged at once (SHLD-19)", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 20_000 });
    const answers = Array.from({ length: 6 }, () => texts(h.rcv({ flags: ".", data: 1_000 })));
    expect(answers).toEqual([[], [". 1+0 ack 2001"], [], [". 1+0 ack 4001"], [], [". 1+0 ack 6001"]]);
  });

  test("small segments after full ones add up to two full ones", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 20_000 });
    h.rcv({ flags: ".", data: 1_000 });
    h.rcv({ flags: ".", data: 1_000 });
    for (let i = 0; i < 3; i++) expect(h.rcv({ flags: ".", data: 500 })).toEqual([]);
    expect(h.rcv({ flags: ".", data: 500 }).length).toBe(1);
  });

  test("a later segment does not put the timer off", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", data: 1_000 });
    const due = h.conn.nextTimeout();
    h.now += 10 * MILLISECOND;
    h.rcv({ flags: ".", data: 10 });
    expect(h.conn.nextTimeout()).toBe(due);
  });

  test("a batch is acknowledged once (MUST-58, MUST-59)", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 20_000 });
    for (let i = 0; i < 10; i++) h.give({ flags: ".", data: 1_000 });
    expect(texts(h.poll())).toEqual([". 1+0 ack 10001"]);
  });

  test("delayedAckUs 0: each segment at once", () => {
    const h = reach("ESTABLISHED", world, { delayedAckUs: 0 });
    expect(texts(h.rcv({ flags: ".", data: 10 }))).toEqual([". 1+0 ack 11"]);
  });
});

describe.each(WORLDS)("the receive window (RFC 9293 §3.8.6.2.2), $name", (world) => {
  test("closes with what the user leaves, opens when two segments or half the buffer are free (MUST-39)", () => {
    const h = reach("ESTABLISHED", world);
    const windows: number[] = [];
    for (let i = 0; i < 4; i++) {
      const sent = [...h.rcv({ flags: ".", data: 1_000 }), ...h.advance(40 * MILLISECOND)];
      windows.push(...sent.map((packet) => packet.wnd));
    }
    expect(windows).toEqual([3_000, 2_000, 1_000, 0]);
    h.read(1_999);
    expect(h.poll()).toEqual([]);
    h.read(1);
    expect(h.poll().map((packet) => [packet.text, packet.wnd])).toEqual([[". 1+0 ack 4001", 2_000]]);
    h.read();
    expect(h.poll().map((packet) => packet.wnd)).toEqual([4_000]);
  });

  test("an ACK that goes out anyway does not offer a silly window", () => {
    const h = reach("ESTABLISHED", world, {}, { fill: true });
    h.read(999);
    expect(h.rcv({ flags: ".", data: 1 }).map((packet) => packet.wnd)).toEqual([0]);
    h.read(1);
    expect(h.rcv({ flags: ".", data: 1 }).map((packet) => packet.wnd)).toEqual([1_000]);
  });

  test("no window update while the peer still has most of the window: its next data brings one", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 20_000, delayedAckUs: 0 });
    for (let i = 0; i < 5; i++) h.rcv({ flags: ".", data: 1_000 });
    h.read(4_000);
    expect(h.poll()).toEqual([]);
    expect(h.rcv({ flags: ".", data: 1_000 }).map((packet) => packet.wnd)).toEqual([18_000]);
  });

  test("the right edge never goes back, whatever is read and when (SHLD-14)", () => {
    const h = reach("ESTABLISHED", world, { delayedAckUs: 0 });
    let edge = 0;
    for (let i = 0; i < 300; i++) {
      const sent = h.rcv({ flags: ".", data: Math.min(h.tcb.receiveWindow, (i * 377) % 1_000) });
      if (i % 3 !== 0) h.read((i * 211) % 1_500);
      for (const packet of [...sent, ...h.poll()]) {
        expect(packet.ack + packet.wnd).toBeGreaterThanOrEqual(edge);
        edge = packet.ack + packet.wnd;
        expect(packet.wnd).toBeLessThanOrEqual(4_000);
      }
    }
    expect(h.rcvNxt).toBeGreaterThan(20_000);
  });

  test("no window update after the peer's FIN: nothing can come", () => {
    const h = reach("CLOSE-WAIT", world, {}, { fill: true });
    h.read();
    expect(h.poll()).toEqual([]);
  });
});

describe("window scale (RFC 7323 §2)", () => {
  const scaling = { windowScaling: true, receiveBufferBytes: 1 << 20 };
  const shiftOf = (packet: Sent | undefined) => packet?.options.find((option) => option.kind === "window-scale");

  test.each([
    [65_535, 0],
    [65_536, 1],
    [1 << 20, 5],
    [2 ** 30, 14],
    [2 ** 31, 14],
  ])("a buffer of %d bytes asks for a shift of %d", (receiveBufferBytes, shift) => {
    const h = new Harness(PLAIN, { windowScaling: true, receiveBufferBytes });
    expect(shiftOf(h.openActive()[0])).toEqual({ kind: "window-scale", shift });
  });

  test("both sides: windows are scaled both ways, those of SYN and SYN,ACK never", () => {
    const h = new Harness(PLAIN, scaling);
    const [syn] = h.openActive();
    expect(syn?.wnd).toBe(0xffff);
    const [ack] = h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 5_000, options: [{ kind: "window-scale", shift: 7 }] });
    expect(h.tcb.snd.wnd).toBe(5_000);
    expect(ack?.wnd).toBe((1 << 20) / 32);
    expect(h.tcb.receiveWindow).toBe(1 << 20);
    h.rcv({ flags: ".", wnd: 5_000 });
    expect(h.tcb.snd.wnd).toBe(5_000 << 7);
  });

  test("passive side: the window of the SYN,ACK is not scaled, that of the third segment is", () => {
    const h = new Harness(PLAIN, scaling);
    h.openPassive();
    const [synAck] = h.rcv({ flags: "S", seq: 0, wnd: 5_000, options: [{ kind: "window-scale", shift: 2 }] });
    expect(synAck?.wnd).toBe(0xffff);
    expect(shiftOf(synAck)).toEqual({ kind: "window-scale", shift: 5 });
    expect(h.tcb.snd.wnd).toBe(5_000);
    h.rcv({ flags: ".", seq: 1, ack: 1, wnd: 5_000 });
    expect(h.tcb.snd.wnd).toBe(20_000);
  });

  test("one-sided, the peer without: none either way", () => {
    const h = new Harness(PLAIN, scaling).connect({ options: [] });
    h.rcv({ flags: ".", wnd: 5_000 });
    expect(h.tcb.snd.wnd).toBe(5_000);
    const [sent] = h.send(1);
    expect(sent?.wnd).toBe(0xffff);
  });

  test("one-sided, we without: not offered, not accepted", () => {
    const h = new Harness(PLAIN, { ...scaling, windowScaling: false });
    h.openPassive();
    const [synAck] = h.rcv({ flags: "S", seq: 0, options: [{ kind: "window-scale", shift: 2 }] });
    expect(shiftOf(synAck)).toBeUndefined();
    h.rcv({ flags: ".", seq: 1, ack: 1, wnd: 5_000 });
    expect(h.tcb.snd.wnd).toBe(5_000);
  });

  test("a shift beyond 14 counts as 14 (RFC 7323 §2.3, REC-1)", () => {
    const h = new Harness(PLAIN, scaling).connect({ options: [{ kind: "window-scale", shift: 200 }] });
    h.rcv({ flags: ".", wnd: 0xffff });
    expect(h.tcb.snd.wnd).toBe(0xffff << 14);
  });

  test("rounding takes the advertised edge back by less than a unit, and all up to it is still taken (RFC 7323 §2.4)", () => {
    const h = new Harness(PLAIN, { ...scaling, delayedAckUs: 0 }).connect({ options: [{ kind: "window-scale", shift: 0 }] });
    let edge = 0;
    for (let i = 0; i < 200; i++) {
      const [ack] = h.rcv({ flags: ".", data: 997 });
      const next = (ack?.ack ?? 0) + (ack?.wnd ?? 0) * 32;
      expect(next).toBeGreaterThan(edge - 32);
      edge = Math.max(edge, next);
      expect(h.rcvNxt + h.tcb.receiveWindow).toBe(edge);
    }
    expect(edge).toBeLessThanOrEqual(1 + (1 << 20) + 32);
  });
});

describe.each(WORLDS)("reassembly, $name", (world) => {
  test("segments in any order give the stream, each byte once (SHLD-31)", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 20_000 });
    const order = [7, 3, 9, 1, 5, 8, 2, 6, 4, 0];
    for (const i of order) h.rcv({ flags: ".", seq: 1 + i * 100, data: 130 });
    expect(h.rcvNxt).toBe(1 + 9 * 100 + 130);
    expect([...h.read()]).toEqual(Array.from({ length: 1_030 }, (_, i) => ((1 + i) * 31) & 0xff));
    expect(h.tcb.outOfOrder.size).toBe(0);
    expect(h.tcb.counters.outOfOrder).toBe(9);
  });

  test("every other byte: the list of holes is bounded, and what was kept is right", () => {
    const h = reach("ESTABLISHED", world, { receiveBufferBytes: 20_000 });
    for (let i = 0; i < 4_100; i++) h.give({ flags: ".", seq: 2 + 2 * i, data: 1 });
    expect(h.verdict).toContain("too many holes");
    expect(texts(h.poll())).toEqual([". 1+0 ack 1"]);
    expect(h.tcb.outOfOrder.size).toBe(4_096);
    h.rcv({ flags: ".", seq: 1, data: 8_192 });
    expect(h.rcvNxt).toBe(8_193);
    expect(h.tcb.outOfOrder.size).toBe(0);
    expect(h.read()).toEqual(pattern(8_192, 1));
  });

  test("what fills a part of a hole is acknowledged at once (RFC 5681 §4.2)", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", seq: 1_001, data: 1_000 });
    expect(texts(h.rcv({ flags: ".", seq: 1, data: 10 }))).toEqual([". 1+0 ack 11"]);
  });

  test("out-of-order data beyond the window is cut at the edge", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", seq: 3_901, data: 500 });
    h.rcv({ flags: ".", seq: 1, data: 3_900 });
    expect(h.rcvNxt).toBe(4_001);
    expect(h.conn.readableBytes).toBe(4_000);
  });
});

describe.each(WORLDS)("timestamps (RFC 7323 §3, §4.3), $name", (world) => {
  const on = { timestamps: true };
  const clock = (h: Harness) => (Math.floor(h.now / 1_000) + 0xffff_ff00) >>> 0;

  test("SYN offers with an empty echo, everything after carries both values", () => {
    const h = new Harness(world, on);
    const [syn] = h.openActive();
    expect(syn?.ts).toEqual([clock(h), 0]);
    h.now += 5_000;
    const [ack] = h.rcv({ flags: "S.", seq: 0, ack: 1, ts: [77, clock(h)] });
    expect(ack?.ts).toEqual([clock(h), 77]);
    h.peerTs = 78;
    expect(h.send(10)[0]?.ts).toEqual([clock(h), 77]);
    expect(h.shutdown()[0]?.ts).toEqual([clock(h), 77]);
  });

  test.each([
    ["the peer does not answer the offer", true, false],
    ["we do not offer", false, true],
  ])("%s: none", (_, ours, theirs) => {
    const h = new Harness(world, { timestamps: ours });
    h.openActive();
    const [ack] = h.rcv(theirs ? { flags: "S.", seq: 0, ack: 1, ts: [1, 0] } : { flags: "S.", seq: 0, ack: 1 });
    expect(ack?.ts).toBeUndefined();
    expect(h.rcv({ flags: ".", ts: [0, 0], data: 10 })).toEqual([]);
    expect(h.rcvNxt).toBe(11);
  });

  test("TS.Recent is that of the segment that the ACK answers: with a delayed ACK the earlier one (RFC 7323 §4.3)", () => {
    const h = reach("ESTABLISHED", world, on, { peerTs: 100 });
    h.rcv({ flags: ".", data: 10, ts: [110, 0] });
    h.give({ flags: ".", data: 10, ts: [111, 0] });
    expect(h.poll()[0]?.ts?.[1]).toBe(110);
    h.rcv({ flags: ".", data: 10, ts: [112, 0] });
    expect(h.nextTimer()[0]?.ts?.[1]).toBe(112);
  });

  test("a segment behind a hole does not move TS.Recent, the one that fills it does (RFC 7323 §4.3)", () => {
    const h = reach("ESTABLISHED", world, on, { peerTs: 100 });
    expect(h.rcv({ flags: ".", seq: 11, data: 10, ts: [120, 0] })[0]?.ts?.[1]).toBe(100);
    expect(h.rcv({ flags: ".", seq: 1, data: 10, ts: [121, 0] })[0]?.ts?.[1]).toBe(121);
  });

  test("PAWS compares in sequence space: a clock that wraps is no old duplicate (RFC 7323 §5)", () => {
    const h = reach("ESTABLISHED", world, on, { peerTs: 0xffff_ffff });
    h.rcv({ flags: ".", data: 10, ts: [3, 0] });
    expect(h.rcvNxt).toBe(11);
    h.rcv({ flags: ".", data: 10, ts: [0xffff_ffff, 0] });
    expect(h.rcvNxt).toBe(11);
    expect(h.tcb.counters.pawsDrops).toBe(1);
  });
});
