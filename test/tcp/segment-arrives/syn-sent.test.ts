/** SEGMENT ARRIVES in SYN-SENT (RFC 9293 §3.10.7.3). */
import { describe, expect, test } from "vitest";
import { PEER_MSS, reach, texts, WORLDS } from "../harness.js";
import { expectSilence } from "./steps.js";

describe.each(WORLDS)("SYN-SENT, $name", (world) => {
  test.each([
    ["at ISS", 0],
    ["before ISS", -5],
    ["beyond SND.NXT", 2],
    ["far beyond", 0x7000_0000],
  ])("first, an ACK %s: RST with that number, the attempt goes on", (_, ack) => {
    const h = reach("SYN-SENT", world);
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack }))).toEqual([`R ${ack >>> 0}+0`]);
    expect(h.state).toBe("SYN-SENT");
    expect(h.events()).toEqual([]);
  });

  test("after the RST the SYN comes again soon, once", () => {
    const h = reach("SYN-SENT", world);
    h.rcv({ flags: ".", seq: 500, ack: 300 });
    expect(h.conn.nextTimeout()).toBe(h.now + 2_000);
    expect(texts(h.nextTimer())).toEqual(["S 0+0"]);
    h.rcv({ flags: ".", seq: 500, ack: 300 });
    expect(h.conn.nextTimeout()).toBeGreaterThanOrEqual(h.now + 1_000_000);
  });

  test("an ACK of what was never sent together with RST: silence", () => {
    const h = reach("SYN-SENT", world);
    expectSilence(h, { flags: "R.", seq: 0, ack: 2 });
    expectSilence(h, { flags: "R.", seq: 0, ack: 0 });
  });

  test("second, RST with our acknowledgment: refused", () => {
    const h = reach("SYN-SENT", world);
    expect(h.rcv({ flags: "R.", seq: 0, ack: 1 })).toEqual([]);
    expect(h.state).toBe("CLOSED");
    expect(h.conn.failure).toBe("ECONNREFUSED");
    expect(h.events()).toEqual(["readable", "failed", "closed"]);
  });

  test("RST without acknowledgment: dropped", () => {
    expectSilence(reach("SYN-SENT", world), { flags: "R", seq: 0 });
  });

  test("fourth, SYN,ACK: ESTABLISHED, the third segment", () => {
    const h = reach("SYN-SENT", world);
    const sent = h.rcv({ flags: "S.", seq: 0, ack: 1, options: [{ kind: "mss", mss: PEER_MSS }] });
    expect(texts(sent)).toEqual([". 1+0 ack 1"]);
    expect(h.state).toBe("ESTABLISHED");
    expect(h.events()).toEqual(["established"]);
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("data that waits rides on the third segment", () => {
    const h = reach("SYN-SENT", world);
    expect(h.send(10)).toEqual([]);
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack: 1 }))).toEqual(["P. 1+10 ack 1"]);
  });

  test("SYN,ACK with text and FIN: all of it is taken", () => {
    const h = reach("SYN-SENT", world);
    expect(texts(h.rcv({ flags: "SFP.", seq: 0, ack: 1, data: 10 }))).toEqual([". 1+0 ack 12"]);
    expect(h.state).toBe("CLOSE-WAIT");
    expect(h.events()).toEqual(["established", "readable"]);
    expect(h.read().length).toBe(10);
  });

  test("SYN alone: simultaneous open, SYN,ACK with our old number (MUST-10)", () => {
    const h = reach("SYN-SENT", world);
    expect(texts(h.rcv({ flags: "S", seq: 0, ack: 0 }))).toEqual(["S. 0+0 ack 1"]);
    expect(h.state).toBe("SYN-RECEIVED");
    expect(h.tcb.passive).toBe(false);
  });

  test("fifth, neither SYN nor RST: dropped", () => {
    const h = reach("SYN-SENT", world);
    expectSilence(h, { flags: ".", seq: 0, ack: 1 });
    expectSilence(h, { flags: "", seq: 0, data: 10 });
    expectSilence(h, { flags: "F", seq: 0 });
  });
});
