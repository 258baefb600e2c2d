/** SEGMENT ARRIVES in SYN-RECEIVED, from a passive and from an active OPEN (RFC 9293 §3.10.7.4, MUST-11). */
import { describe, expect, test } from "vitest";
import type { Connection } from "../../../src/tcp/connection.js";
import { type Origin, reach, texts, WORLDS } from "../harness.js";
import { bareAck, expectAckOnly, expectSilence } from "./steps.js";

const CASES = WORLDS.flatMap((world) => (["passive", "active"] as const).map((origin) => ({ world, origin, name: world.name })));

describe.each(CASES)("SYN-RECEIVED from $origin OPEN, $name", ({ world, origin }) => {
  const make = (config = {}, peerTs?: number) =>
    reach("SYN-RECEIVED", world, config, peerTs === undefined ? { origin } : { origin, peerTs });

  test("first, a segment outside the window: ACK, dropped", () => {
    const h = make();
    expectAckOnly(h, { flags: ".", seq: 1 + h.tcb.receiveWindow, data: 5 });
    expectAckOnly(h, { flags: ".", seq: 0, data: 1 });
  });

  test("first, the same SYN again: SYN,ACK again", () => {
    const h = make();
    expect(texts(h.rcv({ flags: "S", seq: 0, ack: 0 }))).toEqual(["S. 0+0 ack 1"]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("PAWS: an older timestamp gets an ACK", () => {
    const h = make({ timestamps: true }, 100);
    expect(texts(h.rcv({ flags: ".", seq: 1, ts: [99, 0] }))).toEqual([bareAck(h)]);
    expect(h.state).toBe("SYN-RECEIVED");
  });

  test("second, RST at RCV.NXT: back to LISTEN, or refused (MUST-11)", () => {
    const h = make();
    expect(h.rcv({ flags: "R", seq: 1 })).toEqual([]);
    expectGone(h.state, origin);
    if (origin === "active") expect(h.conn.failure).toBe("ECONNREFUSED");
    expect(h.events()).toEqual(origin === "active" ? ["readable", "failed", "closed"] : []);
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("second, RST in the window: challenge ACK; outside: silence", () => {
    const h = make();
    expectAckOnly(h, { flags: "R", seq: 2 });
    expectSilence(h, { flags: "R", seq: 0 });
    expectSilence(h, { flags: "R", seq: 1 + h.tcb.receiveWindow });
  });

  test("fourth, a SYN in the window: back to LISTEN, or challenge ACK (MUST-11)", () => {
    const h = make();
    const sent = texts(h.rcv({ flags: "S", seq: 100 }));
    expect(h.state).toBe(origin === "passive" ? "LISTEN" : "SYN-RECEIVED");
    expect(sent).toEqual(origin === "passive" ? [] : [". 1+0 ack 1"]);
  });

  test("fifth, no ACK: dropped", () => {
    const h = make();
    expectSilence(h, { flags: "", data: 10 });
    expectSilence(h, { flags: "F", seq: 1 });
  });

  test.each([
    ["too old", 0],
    ["of what was never sent", 2],
  ])("fifth, an ACK %s: RST with that number, the handshake goes on", (_, ack) => {
    const h = make();
    expect(texts(h.rcv({ flags: ".", seq: 1, ack }))).toEqual([`R ${ack}+0`]);
    expect(h.state).toBe("SYN-RECEIVED");
    h.rcv({ flags: ".", seq: 1, ack: 1 });
    expect(h.state).toBe("ESTABLISHED");
  });

  test("the RST for a wrong ACK bears no echo: it answers no SYN of this connection", () => {
    const h = make({ timestamps: true }, 100);
    expect(h.rcv({ flags: ".", seq: 1, ack: 7 })[0]?.ts?.[1]).toBe(0);
  });

  test("fifth, the ACK of our SYN: ESTABLISHED, silence; its window counts", () => {
    const h = make();
    expect(h.rcv({ flags: ".", seq: 1, ack: 1, wnd: 1_234 })).toEqual([]);
    expect(h.state).toBe("ESTABLISHED");
    expect(h.events()).toEqual(["established"]);
    expect(h.tcb.snd.wnd).toBe(1_234);
    expect(h.conn.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test("sixth to eighth: text and FIN on the third segment are taken", () => {
    const h = make();
    expect(texts(h.rcv({ flags: "FP.", seq: 1, ack: 1, data: 10 }))).toEqual([". 1+0 ack 12"]);
    expect(h.state).toBe("CLOSE-WAIT");
    expect(h.events()).toEqual(["established", "readable"]);
  });

  test("CLOSE was called before: FIN follows the handshake, and data before it", () => {
    const h = make();
    h.send(10);
    expect(h.shutdown()).toEqual([]);
    expect(texts(h.rcv({ flags: ".", seq: 1, ack: 1 }))).toEqual(["FP. 1+10 ack 1"]);
    expect(h.state).toBe("FIN-WAIT-1");
  });

  test("the gate keeps the third segment out", () => {
    const h = make();
    let open = false;
    h.conn.gate = { mayEstablish: (connection: Connection) => connection === h.conn && open };
    expect(h.rcv({ flags: ".", seq: 1, ack: 1 })).toEqual([]);
    expect(h.state).toBe("SYN-RECEIVED");
    // A SYN,ACK is no way around it.
    expect(h.rcv({ flags: "S.", seq: 0, ack: 1 })).toEqual([]);
    expect(h.state).toBe("SYN-RECEIVED");
    open = true;
    h.rcv({ flags: ".", seq: 1, ack: 1 });
    expect(h.state).toBe("ESTABLISHED");
  });

  test("the SYN,ACK of a simultaneous open: ESTABLISHED, acknowledged; a wrong one: RST", () => {
    const h = make();
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack: 2 }))).toEqual(["R 2+0"]);
    expect(h.state).toBe("SYN-RECEIVED");
    expect(texts(h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 5_000 }))).toEqual([". 1+0 ack 1"]);
    expect(h.state).toBe("ESTABLISHED");
    expect(h.tcb.snd.wnd).toBe(5_000);
    expect(h.events()).toEqual(["established"]);
  });
});

function expectGone(state: string, origin: Origin): void {
  expect(state).toBe(origin === "passive" ? "LISTEN" : "CLOSED");
}
