/** SEGMENT ARRIVES in LAST-ACK (RFC 9293 §3.10.7.4). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { describeSteps, expectAckOnly } from "./steps.js";

describeSteps({ state: "LAST-ACK", rst: "closed", receives: false });

describe.each(WORLDS)("LAST-ACK, its own, $name", (world) => {
  test("the ACK of FIN: CLOSED, no timer, no word", () => {
    const h = reach("LAST-ACK", world);
    expect(h.rcv({ flags: ".", ack: 2 })).toEqual([]);
    expect(h.state).toBe("CLOSED");
    expect(h.events()).toEqual(["closed"]);
    expect(h.conn.failure).toBeUndefined();
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("the ACK of data before FIN: stays, FIN is repeated", () => {
    const h = reach("CLOSE-WAIT", world);
    h.conn.send(new Uint8Array(1_500));
    expect(texts(h.shutdown())).toEqual([". 1+1000 ack 2", "FP. 1001+500 ack 2"]);
    h.rcv({ flags: ".", ack: 1_501 });
    expect(h.state).toBe("LAST-ACK");
    expect(texts(h.nextTimer())).toEqual(["F. 1501+0 ack 2"]);
  });

  test("the peer's FIN again: ACK, stays", () => {
    const h = reach("LAST-ACK", world);
    expectAckOnly(h, { flags: "F.", seq: 1, ack: 1 });
  });

  test("RST while data is unacknowledged: the user is told that it may be lost (MUST-12)", () => {
    const h = reach("CLOSE-WAIT", world);
    h.conn.send(new Uint8Array(10));
    h.shutdown();
    h.rcv({ flags: "R" });
    expect(h.conn.failure).toBe("ECONNRESET");
    expect(h.events()).toEqual(["readable", "failed", "closed"]);
  });
});
