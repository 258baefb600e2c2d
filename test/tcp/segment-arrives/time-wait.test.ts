/** SEGMENT ARRIVES in TIME-WAIT (RFC 9293 §3.10.7.4, RFC 1337, RFC 6191). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { bareAck, describeSteps } from "./steps.js";

describeSteps({ state: "TIME-WAIT", rst: "ignored", receives: false });

describe.each(WORLDS)("TIME-WAIT, its own, $name", (world) => {
  test("the FIN again: acknowledged, 2 MSL start anew", () => {
    const h = reach("TIME-WAIT", world);
    const first = h.conn.nextTimeout();
    h.now = first - 1;
    expect(texts(h.rcv({ flags: "F.", seq: 1 }))).toEqual([bareAck(h)]);
    expect(h.conn.nextTimeout()).toBe(h.now + 2 * h.tcb.config.mslUs);
    h.now = first;
    h.conn.handleTimeout(h.now);
    expect(h.state).toBe("TIME-WAIT");
  });

  test("old data again: acknowledged, 2 MSL go on", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: "P.", data: 10 });
    h.shutdown();
    h.rcv({ flags: "F." });
    expect(h.state).toBe("TIME-WAIT");
    const end = h.conn.nextTimeout();
    h.now += 1_000_000;
    expect(texts(h.rcv({ flags: "P.", seq: 1, data: 10 }))).toEqual([bareAck(h)]);
    expect(h.conn.nextTimeout()).toBe(end);
  });

  test("RST cannot cut it short (RFC 1337) (RFC 1337 §3)", () => {
    const h = reach("TIME-WAIT", world);
    const end = h.conn.nextTimeout();
    expect(h.rcv({ flags: "R" })).toEqual([]);
    expect(h.verdict).toContain("RFC 1337");
    expect(h.conn.nextTimeout()).toBe(end);
    h.nextTimer();
    expect(h.state).toBe("CLOSED");
    expect(h.events()).toEqual(["closed"]);
  });

  test("a new SYN without timestamps: a higher sequence number begins a new incarnation, another does not (MAY-2)", () => {
    for (const [seq, yields] of [
      [1, false],
      [2, false],
      [3, true],
      [1_000_000, true],
      [-1_000_000, false],
    ] as const) {
      const h = reach("TIME-WAIT", world);
      expect(h.yieldTimeWait({ flags: "S", seq, ack: 0 }), `seq ${seq}`).toBe(yields);
      expect(h.state).toBe(yields ? "CLOSED" : "TIME-WAIT");
      expect(h.events()).toEqual(yields ? ["closed"] : []);
    }
  });

  test("a new SYN with timestamps: a later one, or the same with a higher sequence number (RFC 6191) (SHLD-4, RFC 6191 §2)", () => {
    for (const [val, seq, yields] of [
      [101, -5_000, true],
      [100, 3, true],
      [100, 2, false],
      [99, 5_000, false],
    ] as const) {
      const h = reach("TIME-WAIT", world, { timestamps: true }, { peerTs: 100 });
      expect(h.yieldTimeWait({ flags: "S", seq, ack: 0, ts: [val, 0] }), `TS ${val}, seq ${seq}`).toBe(yields);
    }
    const h = reach("TIME-WAIT", world, { timestamps: true }, { peerTs: 100 });
    h.peerTs = undefined;
    expect(h.yieldTimeWait({ flags: "S", seq: 3, ack: 0 })).toBe(true);
  });

  test("only for a listener that has room", () => {
    const h = reach("TIME-WAIT", world);
    expect(h.yieldTimeWait({ flags: "S", seq: 5_000 }, false)).toBe(false);
    expect(h.state).toBe("TIME-WAIT");
    expect(h.yieldTimeWait({ flags: "S", seq: 5_000 }, true)).toBe(true);
  });

  test("only a bare SYN, and only in TIME-WAIT", () => {
    const h = reach("TIME-WAIT", world);
    for (const flags of ["S.", "R", "SR", "."]) expect(h.yieldTimeWait({ flags, seq: 5_000 }), flags).toBe(false);
    expect(reach("FIN-WAIT-2", world).yieldTimeWait({ flags: "S", seq: 5_000 })).toBe(false);
  });
});
