/** SEGMENT ARRIVES in FIN-WAIT-1 (RFC 9293 §3.10.7.4). */
import { describe, expect, test } from "vitest";
import { reach, texts, WORLDS } from "../harness.js";
import { describeSteps } from "./steps.js";

describeSteps({ state: "FIN-WAIT-1", rst: "reset", receives: true });

describe.each(WORLDS)("FIN-WAIT-1, its own, $name", (world) => {
  test("the ACK of FIN: FIN-WAIT-2, no timer runs while the user may read", () => {
    const h = reach("FIN-WAIT-1", world);
    expect(h.rcv({ flags: ".", ack: 2 })).toEqual([]);
    expect(h.state).toBe("FIN-WAIT-2");
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("the ACK of the data but not of FIN: stays, FIN is repeated alone", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(10));
    expect(texts(h.shutdown())).toEqual(["FP. 1+10 ack 1"]);
    h.rcv({ flags: ".", ack: 11 });
    expect(h.state).toBe("FIN-WAIT-1");
    expect(texts(h.nextTimer())).toEqual(["F. 11+0 ack 1"]);
    h.rcv({ flags: ".", ack: 12 });
    expect(h.state).toBe("FIN-WAIT-2");
  });

  test("the ACK of a part of data and FIN: the rest is repeated with FIN", () => {
    const h = reach("ESTABLISHED", world);
    h.conn.send(new Uint8Array(10));
    h.shutdown();
    h.rcv({ flags: ".", ack: 5 });
    expect(texts(h.nextTimer())).toEqual(["FP. 5+6 ack 1"]);
  });

  test("FIN with the ACK of ours: TIME-WAIT in one step", () => {
    const h = reach("FIN-WAIT-1", world);
    expect(texts(h.rcv({ flags: "F.", ack: 2 }))).toEqual([". 2+0 ack 2"]);
    expect(h.state).toBe("TIME-WAIT");
    expect(h.conn.nextTimeout()).toBe(h.now + 2 * h.tcb.config.mslUs);
  });

  test("after CLOSE: data is answered with RST, at the place that the peer expects (MAY-1, SHLD-3)", () => {
    const h = reach("ESTABLISHED", world);
    h.close();
    expect(texts(h.rcv({ flags: "P.", ack: 1, data: 10 }))).toEqual(["R 2+0"]);
    expect(h.state).toBe("CLOSED");
    expect(h.events()).toEqual(["closed"]);
  });

  test("after CLOSE: FIN alone and old data are no reason for RST", () => {
    const h = reach("ESTABLISHED", world);
    h.rcv({ flags: "P.", data: 10 });
    h.read();
    h.close();
    expect(texts(h.rcv({ flags: "P.", seq: 1, ack: 2, data: 10 }))).toEqual([". 2+0 ack 11"]);
    h.rcv({ flags: "F.", ack: 2 });
    expect(h.state).toBe("TIME-WAIT");
  });
});
