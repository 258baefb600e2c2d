/** TCP_DEFER_ACCEPT: a listener whose connections wait for data in SYN-RECEIVED. */
import { describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import type { Listener } from "../../src/stack/listener.js";
import { timeOf, timeoutsWithin } from "../../src/tcp/defer-accept.js";
import { ACK, FIN, SYN } from "../../src/wire/tcp-flags.js";
import { ascii } from "../stack/fast-open-support.js";
import { LOCAL, Rig, type Sent } from "../stack/rig.js";

const PORT = 80;

function waiting(deferAcceptUs: number): { rig: Rig; listener: Listener; synAck: Sent } {
  const rig = new Rig();
  const listener = rig.stack.listen({ address: LOCAL, port: PORT, connection: { deferAcceptUs } });
  const [synAck] = rig.inject({ fromPort: 4_000, toPort: PORT, seq: 0xffff_ffff, flags: SYN });
  if (synAck === undefined) throw new Error("no SYN-ACK");
  return { rig, listener, synAck };
}

function third(rig: Rig, synAck: Sent, flags = ACK, data = ""): Sent[] {
  return rig.inject({ fromPort: 4_000, toPort: PORT, seq: 0, ack: (synAck.seq + 1) >>> 0, flags, payload: ascii(data) });
}

describe("SYN-RECEIVED with deferred accept", () => {
  it("ignores the bare third segment, and no SYN-ACK is repeated; data makes the connection", () => {
    const { rig, listener, synAck } = waiting(10 * SECOND);
    expect(third(rig, synAck)).toEqual([]);
    expect([listener.acceptQueue.length, listener.synQueue.size]).toEqual([0, 1]);
    expect(rig.runUntil(rig.now + 6 * SECOND)).toEqual([]);
    third(rig, synAck, ACK, "GET /");
    expect(listener.accept()?.readableBytes).toBe(5);
  });

  it("takes a third segment with FIN as data", () => {
    const { rig, listener, synAck } = waiting(10 * SECOND);
    third(rig, synAck, ACK | FIN);
    expect(listener.accept()?.state).toBe("CLOSE-WAIT");
  });

  it("repeats the SYN-ACK when the time is over, and the answer to it makes the connection", () => {
    const { rig, listener, synAck } = waiting(3 * SECOND);
    third(rig, synAck);
    expect(rig.runUntil(rig.now + 2_900_000)).toEqual([]);
    expect(rig.runUntil(rig.now + SECOND).map((sent) => [sent.flags, sent.at])).toEqual([["S.", synAck.at + 3 * SECOND]]);
    third(rig, synAck);
    expect(listener.accept()?.state).toBe("ESTABLISHED");
  });

  it("repeats the SYN-ACK as ever while no third segment comes, and gives up in the end", () => {
    const { rig, listener } = waiting(10 * SECOND);
    expect(rig.runUntil(rig.now + 4 * SECOND).map((sent) => sent.flags)).toEqual(["S.", "S."]);
    rig.runUntil(rig.now + 200 * SECOND);
    expect([rig.stack.connectionCount, listener.counters.handshakesFailed]).toEqual([0, 1]);
  });

  it("gives up a peer that stays silent after its bare third segment, once the time is over too", () => {
    const { rig, listener, synAck } = waiting(200 * SECOND);
    third(rig, synAck);
    rig.runUntil(rig.now + 180 * SECOND);
    expect(listener.synQueue.size).toBe(1);
    rig.runUntil(rig.now + 200 * SECOND);
    expect(listener.synQueue.size).toBe(0);
  });

  it("without it the bare third segment makes the connection", () => {
    const { rig, listener, synAck } = waiting(0);
    third(rig, synAck);
    expect(listener.acceptQueue).toHaveLength(1);
  });

  it.each([
    [0, 0, 0],
    [1, 1, 1],
    [2, 2, 3],
    [3, 2, 3],
    [4, 3, 7],
    [30, 5, 31],
  ])("%d s are %d time-outs, which are %d s", (asked, timeouts, rounded) => {
    expect(timeoutsWithin(asked * SECOND, SECOND, 120 * SECOND)).toBe(timeouts);
    expect(timeOf(timeouts, SECOND, 120 * SECOND)).toBe(rounded * SECOND);
  });
});
