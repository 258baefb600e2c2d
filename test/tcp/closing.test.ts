/** Whole lives: simultaneous open and close, half-close both ways, what each user event tells and when (RFC 9293 §3.5, §3.6). */
import { describe, expect, test } from "vitest";
import { Harness, PEER_MSS, reach, texts, WORLDS } from "./harness.js";

describe.each(WORLDS)("opening, $name", (world) => {
  test("three segments, we first (figure 6)", () => {
    const h = new Harness(world);
    expect(texts(h.openActive())).toEqual(["S 0+0"]);
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack: 1 }))).toEqual([". 1+0 ack 1"]);
    expect(h.state).toBe("ESTABLISHED");
  });

  test("three segments, the peer first", () => {
    const h = new Harness(world);
    h.openPassive();
    expect(texts(h.rcv({ flags: "S", seq: 0 }))).toEqual(["S. 0+0 ack 1"]);
    expect(h.rcv({ flags: ".", seq: 1, ack: 1 })).toEqual([]);
    expect(h.events()).toEqual(["established"]);
  });

  test("simultaneous open (figure 7): SYN, SYN, SYN,ACK, SYN,ACK (MUST-10)", () => {
    const h = new Harness(world);
    h.openActive();
    expect(texts(h.rcv({ flags: "S", seq: 0, ack: 0, options: [{ kind: "mss", mss: PEER_MSS }] }))).toEqual(["S. 0+0 ack 1"]);
    h.rcv({ flags: "S.", seq: 0, ack: 1 });
    expect(h.state).toBe("ESTABLISHED");
    expect(texts(h.send(5))).toEqual(["P. 1+5 ack 1"]);
    h.rcv({ flags: ".", ack: 6, data: 10 });
    expect(h.read().length).toBe(10);
  });

  test("simultaneous open with options: both SYNs count", () => {
    const h = new Harness(world, { timestamps: true, windowScaling: true, receiveBufferBytes: 1 << 20 });
    h.openActive();
    const [synAck] = h.rcv({ flags: "S", seq: 0, ack: 0, ts: [50, 0], options: [{ kind: "window-scale", shift: 3 }] });
    expect(synAck?.ts?.[1]).toBe(50);
    expect(synAck?.options.some((option) => option.kind === "window-scale")).toBe(true);
    h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 1_000, ts: [51, 0] });
    expect(h.tcb.snd.wnd).toBe(1_000);
    h.rcv({ flags: ".", ts: [52, 0], wnd: 1_000 });
    expect(h.tcb.snd.wnd).toBe(8_000);
  });

  test("simultaneous open with a CLOSE in between", () => {
    const h = reach("SYN-RECEIVED", world, {}, { origin: "active" });
    h.shutdown();
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack: 1 }))).toEqual(["F. 1+0 ack 1"]);
    expect(h.state).toBe("FIN-WAIT-1");
  });
});

describe.each(WORLDS)("closing, $name", (world) => {
  test("we first (figure 12) (MUST-13)", () => {
    const h = reach("ESTABLISHED", world);
    expect(texts(h.shutdown())).toEqual(["F. 1+0 ack 1"]);
    h.rcv({ flags: ".", ack: 2 });
    expect(texts(h.rcv({ flags: "F.", ack: 2 }))).toEqual([". 2+0 ack 2"]);
    expect(h.state).toBe("TIME-WAIT");
    expect(h.events()).toEqual(["readable"]);
    h.advance(2 * h.tcb.config.mslUs);
    expect(h.state).toBe("CLOSED");
    expect(h.events()).toEqual(["closed"]);
  });

  test("the peer first, ACK and FIN in one segment when the user is quick (N12)", () => {
    const h = reach("ESTABLISHED", world);
    h.give({ flags: "F." });
    expect(texts(h.shutdown())).toEqual(["F. 1+0 ack 2"]);
    h.rcv({ flags: ".", ack: 2 });
    expect(h.state).toBe("CLOSED");
  });

  test("simultaneous close (figure 13)", () => {
    const h = reach("ESTABLISHED", world);
    h.shutdown();
    expect(texts(h.rcv({ flags: "F.", ack: 1 }))).toEqual([". 2+0 ack 2"]);
    expect(h.state).toBe("CLOSING");
    h.rcv({ flags: ".", ack: 2 });
    expect(h.state).toBe("TIME-WAIT");
  });

  test("half-close by us: the peer streams on after our FIN, nothing is lost", () => {
    const h = reach("FIN-WAIT-2", world);
    for (let i = 0; i < 6; i++) {
      h.rcv({ flags: ".", data: 1_000 });
      expect(h.read().length).toBe(1_000);
    }
    h.rcv({ flags: "F.", data: 100 });
    expect(h.read().length).toBe(100);
    expect(h.state).toBe("TIME-WAIT");
    expect(h.tcb.counters.bytesReceived).toBe(6_100);
  });

  test("half-close by the peer: we stream on after its FIN", () => {
    const h = reach("CLOSE-WAIT", world);
    for (let i = 0; i < 5; i++) {
      expect(h.send(1_000).length).toBe(1);
      h.rcv({ flags: "." });
    }
    h.shutdown();
    h.rcv({ flags: "." });
    expect(h.state).toBe("CLOSED");
    expect(h.tcb.counters.bytesAcked).toBe(5_000);
  });

  test("FIN out of order, filled after CLOSE of ours", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: "F.", seq: 11, data: 10 });
    h.shutdown();
    h.rcv({ flags: ".", seq: 1, ack: 2, data: 10 });
    expect(h.state).toBe("TIME-WAIT");
    expect(h.read().length).toBe(20);
  });

  test("out-of-order ranges that a repetition covers and joins are delivered at once, with FIN", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: ".", seq: 11, data: 10 });
    h.rcv({ flags: "F.", seq: 31, data: 20 });
    // Covers the hole, the first range, the second hole and a part of the second range.
    expect(texts(h.rcv({ flags: ".", seq: 1, data: 40 }))).toEqual([". 1+0 ack 52"]);
    expect(h.read().length).toBe(50);
    expect(h.state).toBe("CLOSE-WAIT");
  });

  test("data and the ACK of our FIN with the peer's FIN in one segment", () => {
    const h = reach("FIN-WAIT-1", world);
    h.rcv({ flags: "FP.", ack: 2, data: 10 });
    expect(h.state).toBe("TIME-WAIT");
    expect(h.read().length).toBe(10);
  });

  test("readable is told for data and for its end, closed comes last", () => {
    const h = reach("CLOSE-WAIT", world);
    h.rcv({ flags: "R" });
    expect(h.events()).toEqual(["readable", "failed", "closed"]);
    expect(h.conn.pollEvent()).toBeUndefined();
  });
});
