/** SEGMENT ARRIVES in ESTABLISHED (RFC 9293 §3.10.7.4). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { describeSteps } from "./steps.js";

describeSteps({ state: "ESTABLISHED", rst: "reset", receives: true });

describe.each(WORLDS)("ESTABLISHED, its own, $name", (world) => {
  test("an acceptable ACK frees the send queue and moves SND.UNA", () => {
    const h = reach("ESTABLISHED", world);
    h.send(1_500);
    expect(h.rcv({ flags: ".", ack: 1_001 })).toEqual([]);
    expect(h.sndUna).toBe(1_001);
    expect(h.conn.status().sendQueueBytes).toBe(500);
    expect(h.tcb.counters.bytesAcked).toBe(1_000);
  });

  test("an ACK in the middle of a segment", () => {
    const h = reach("ESTABLISHED", world);
    h.send(1_000);
    h.rcv({ flags: ".", ack: 301 });
    expect(h.sndUna).toBe(301);
    expect(texts(h.nextTimer())).toEqual(["P. 301+700 ack 1"]);
  });

  test("a window update with a later sequence number counts, one with an earlier acknowledgment does not", () => {
    const h = reach("ESTABLISHED", world);
    h.send(100);
    h.rcv({ flags: ".", ack: 101, wnd: 5_000 });
    expect(h.tcb.snd.wnd).toBe(5_000);
    h.rcv({ flags: ".", ack: 51, wnd: 9_000 });
    expect(h.tcb.snd.wnd).toBe(5_000);
    h.rcv({ flags: ".", ack: 101, wnd: 9_000 });
    expect(h.tcb.snd.wnd).toBe(9_000);
    h.rcv({ flags: ".", seq: 11, data: 10, ack: 101, wnd: 8_000 });
    expect(h.tcb.snd.wnd).toBe(8_000);
    h.rcv({ flags: ".", seq: 1, data: 10, ack: 101, wnd: 7_000 });
    expect(h.tcb.snd.wnd).toBe(8_000);
  });

  test("data and the acknowledgment of ours share a segment", () => {
    const h = reach("ESTABLISHED", world);
    h.give({ flags: "P.", data: 10 });
    expect(texts(h.send(20))).toEqual(["P. 1+20 ack 11"]);
    expect(h.advance(1_000)).toEqual([]);
    expect(h.tcb.timers.delayedAck).toBe(Number.POSITIVE_INFINITY);
  });
});
