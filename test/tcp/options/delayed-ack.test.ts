/** Delayed ACKs within their bounds (RFC 9293 §3.8.6.3: MUST-40, SHLD-18, SHLD-19), Linux's quick-ACK phase, TCP_QUICKACK. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, SECOND } from "../../../src/base/time.js";
import { type Harness, reach, WORLDS } from "../harness.js";

/** How long the ACK of one small segment takes. */
function ackDelayOf(h: Harness, data = 100): number {
  const start = h.now;
  const atOnce = h.rcv({ flags: ".", data });
  const [first] = atOnce.length > 0 ? atOnce : h.nextTimer();
  if (first === undefined) throw new Error("never acknowledged");
  h.read();
  return first.at - start;
}

describe.each(WORLDS)("bounds, $name", (world) => {
  test.each([40, 200, 499])("a delay of %d ms is kept (SHLD-18)", (ms) => {
    const h = reach("ESTABLISHED", world, { delayedAckUs: ms * MILLISECOND });
    expect(ackDelayOf(h)).toBe(ms * MILLISECOND);
  });

  test.each([500, 5_000])("a delay of %d ms stays below half a second (MUST-40)", (ms) => {
    const h = reach("ESTABLISHED", world, { delayedAckUs: ms * MILLISECOND });
    expect(ackDelayOf(h)).toBe(499 * MILLISECOND);
  });

  test("more data does not put the ACK off any further (MUST-40)", () => {
    const h = reach("ESTABLISHED", world, { delayedAckUs: 200 * MILLISECOND });
    const start = h.now;
    h.rcv({ flags: ".", data: 900 });
    h.advance(150 * MILLISECOND);
    expect(h.rcv({ flags: ".", data: 10 })).toEqual([]);
    expect(h.advance(SECOND).map((packet) => packet.at - start)).toEqual([200 * MILLISECOND]);
  });

  test("every second full segment is acknowledged at once (SHLD-19)", () => {
    const h = reach("ESTABLISHED", world);
    const acks = [1, 2, 3, 4].map(() => h.rcv({ flags: ".", data: 1_000 }).length);
    expect(acks).toEqual([0, 1, 0, 1]);
  });
});

describe.each(WORLDS)("quick-ACK phase, $name", (world) => {
  const QUICK = { quickAckSegments: 16, receiveBufferBytes: 60_000 };

  test("the first segments are acknowledged at once, then it delays", () => {
    const h = reach("ESTABLISHED", world, QUICK);
    const delays = Array.from({ length: 18 }, () => ackDelayOf(h));
    expect(delays.slice(0, 16)).toEqual(new Array(16).fill(0));
    expect(delays.slice(16)).toEqual([40 * MILLISECOND, 40 * MILLISECOND]);
  });

  test("no more than half a window's worth, but two at least", () => {
    const h = reach("ESTABLISHED", world, { ...QUICK, receiveBufferBytes: 4_000 });
    const delays = Array.from({ length: 4 }, () => ackDelayOf(h, 1_000));
    expect(delays).toEqual([0, 0, 40 * MILLISECOND, 40 * MILLISECOND]);
  });

  test("again after a pause longer than an RTO, and not after a shorter one", () => {
    const h = reach("ESTABLISHED", world, { ...QUICK, quickAckSegments: 2, rtoMinUs: 10 * SECOND });
    const delays = Array.from({ length: 3 }, () => ackDelayOf(h));
    h.advance(h.tcb.rtt.rto - SECOND);
    delays.push(ackDelayOf(h));
    h.advance(h.tcb.rtt.rto + SECOND);
    delays.push(ackDelayOf(h));
    expect(delays).toEqual([0, 0, 40 * MILLISECOND, 40 * MILLISECOND, 0]);
  });

  test("a user that answers at once needs no quick ACKs: the answer carries them, until one fails to come", () => {
    const h = reach("ESTABLISHED", world, QUICK);
    h.rcv({ flags: ".", data: 100 });
    h.send(10);
    h.rcv({ flags: "." });
    expect(ackDelayOf(h)).toBe(40 * MILLISECOND);
    expect(ackDelayOf(h)).toBe(0);
  });

  test("0 segments: delayed from the first", () => {
    const h = reach("ESTABLISHED", world, { ...QUICK, quickAckSegments: 0 });
    expect(ackDelayOf(h)).toBe(40 * MILLISECOND);
  });

  test("a batch is still acknowledged once (MUST-58, MUST-59)", () => {
    const h = reach("ESTABLISHED", world, QUICK);
    for (let i = 0; i < 5; i++) h.give({ flags: ".", data: 100 });
    expect(h.poll().map((packet) => packet.text)).toEqual([". 1+0 ack 501"]);
  });

  test("setQuickAck(true) acknowledges what waits, and the next segments; false delays at once", () => {
    const h = reach("ESTABLISHED", world, { quickAckSegments: 0 });
    h.rcv({ flags: ".", data: 100 });
    h.conn.setQuickAck(true);
    expect(h.poll().map((packet) => packet.text)).toEqual([". 1+0 ack 101"]);
    expect(ackDelayOf(h)).toBe(0);
    h.conn.setQuickAck(false);
    expect(ackDelayOf(h)).toBe(40 * MILLISECOND);
    h.conn.setQuickAck(true);
    expect(h.poll()).toEqual([]);
  });
});
