/** SEGMENT ARRIVES in CLOSE-WAIT (RFC 9293 §3.10.7.4). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { describeSteps, expectAckOnly } from "./steps.js";

describeSteps({ state: "CLOSE-WAIT", rst: "reset", receives: false });

describe.each(WORLDS)("CLOSE-WAIT, its own, $name", (world) => {
  test("half-close: we send on, the peer's ACKs count", () => {
    const h = reach("CLOSE-WAIT", world);
    expect(texts(h.send(2_500))).toEqual([". 1+1000 ack 2", ". 1001+1000 ack 2", "P. 2001+500 ack 2"]);
    h.rcv({ flags: "." });
    expect(h.sndUna).toBe(2_501);
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
    expect(h.state).toBe("CLOSE-WAIT");
  });

  test("the FIN again: acknowledged once more, no timer", () => {
    const h = reach("CLOSE-WAIT", world);
    expectAckOnly(h, { flags: "F.", seq: 1 });
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("RST with data received and unread: it can still be read", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: "F.", data: 10 });
    h.rcv({ flags: "R" });
    expect(h.conn.failure).toBe("ECONNRESET");
    expect(h.conn.endOfData).toBe(false);
    expect(h.read().length).toBe(10);
    expect(h.conn.endOfData).toBe(true);
  });
});
