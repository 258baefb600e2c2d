/** SEGMENT ARRIVES in CLOSING (RFC 9293 §3.10.7.4). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { describeSteps, expectAckOnly } from "./steps.js";

describeSteps({ state: "CLOSING", rst: "closed", receives: false });

describe.each(WORLDS)("CLOSING, its own, $name", (world) => {
  test("the ACK of FIN: TIME-WAIT, for 2 MSL, then CLOSED (MUST-13)", () => {
    const h = reach("CLOSING", world);
    expect(h.rcv({ flags: ".", ack: 2 })).toEqual([]);
    expect(h.state).toBe("TIME-WAIT");
    const end = h.now + 2 * h.tcb.config.mslUs;
    expect(h.nextTimer()).toEqual([]);
    expect(h.now).toBe(end);
    expect(h.state).toBe("CLOSED");
    expect(h.events()).toEqual(["closed"]);
  });

  test("the ACK of data before FIN: stays", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(10));
    h.shutdown();
    h.rcv({ flags: "F.", ack: 1 });
    h.rcv({ flags: ".", ack: 11 });
    expect(h.state).toBe("CLOSING");
  });

  test("no ACK: FIN is repeated", () => {
    const h = reach("CLOSING", world);
    expect(texts(h.nextTimer())).toEqual(["F. 1+0 ack 2"]);
    expect(texts(h.nextTimer())).toEqual(["F. 1+0 ack 2"]);
  });

  test("the peer's FIN again: ACK, no TIME-WAIT", () => {
    const h = reach("CLOSING", world);
    expectAckOnly(h, { flags: "F.", seq: 1, ack: 1 });
  });

  test("RST while data is unacknowledged: the user is told that it may be lost (MUST-12)", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(10));
    h.shutdown();
    h.rcv({ flags: "F.", ack: 1 });
    h.rcv({ flags: "R" });
    expect(h.conn.failure).toBe("ECONNRESET");
  });
});
