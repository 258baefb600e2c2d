import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, PSH, SYN } from "../../src/wire/tcp-flags.js";
import { address, LOCAL, LOCAL6, REMOTE, REMOTE6, Rig, tcpPacket } from "./rig.js";

const LOCAL_B = parseAddress("10.0.0.9");

describe("demultiplexing", () => {
  it("finds the connection by all four parts: same ports, different addresses, both families", () => {
    const rig = new Rig();
    rig.stack.listen({ address: parseAddress("0.0.0.0"), port: 80 });
    rig.stack.listen({ address: parseAddress("::"), port: 80 });
    const peers = [
      { from: REMOTE, to: LOCAL, fromPort: 4000 },
      { from: REMOTE, to: LOCAL, fromPort: 4001 },
      { from: REMOTE, to: LOCAL_B, fromPort: 4000 },
      { from: LOCAL_B, to: LOCAL, fromPort: 4000 },
      { from: REMOTE6, to: LOCAL6, fromPort: 4000 },
      { from: parseAddress("::10.0.0.2"), to: parseAddress("::10.0.0.1"), fromPort: 4000 },
    ].map((peer) => ({ ...peer, toPort: 80 }));
    const isns = peers.map((peer) => rig.handshake({ ...peer, seq: 100 }).seq);
    const [v4, v6] = rig.stack.listeners();
    expect(v4?.acceptQueue.length).toBe(4);
    expect(v6?.acceptQueue.length).toBe(2);
    expect(rig.stack.connectionCount).toBe(6);
    // Data to one of them reaches that one alone.
    for (const [i, peer] of peers.entries()) {
      rig.inject({ ...peer, seq: 101, ack: ((isns[i] ?? 0) + 1) >>> 0, flags: PSH | ACK, payload: new Uint8Array(i + 1) });
    }
    const read = [...rig.stack.connections()].map((c) => [
      String(c.tcb.remote),
      c.tcb.remotePort,
      String(c.tcb.local),
      c.readableBytes,
    ]);
    expect(new Set(read.map(String))).toEqual(
      new Set(peers.map((p, i) => String([String(p.from), p.fromPort, String(p.to), i + 1]))),
    );
    const ids = peers.map((p) => rig.stack.connectionId(p.to, 80, p.from, p.fromPort));
    expect(new Set(ids)).toEqual(new Set([1, 2, 3, 4, 5, 6]));
    expect(rig.stack.connectionId(LOCAL, 81, REMOTE, 4000)).toBe(0);
  });

  it("a connection comes before a listener of its port (MUST-42)", () => {
    const rig = new Rig();
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    const synAck = rig.handshake({ fromPort: 4000, toPort: 80, seq: 100 });
    // A SYN in the window of the connection is challenged, not taken for a new one.
    const answer = rig.inject({ fromPort: 4000, toPort: 80, seq: 200, flags: SYN });
    expect(answer).toMatchObject([{ flags: ".", seq: (synAck.seq + 1) >>> 0, ack: 101 }]);
    expect(listener.synQueue.size).toBe(0);
    expect(rig.stack.connectionCount).toBe(1);
  });

  it("listeners of one port at different addresses each get their own", () => {
    const rig = new Rig();
    const first = rig.stack.listen({ address: LOCAL, port: 80 });
    const second = rig.stack.listen({ address: LOCAL_B, port: 80 });
    rig.inject({ fromPort: 4000, toPort: 80, seq: 1, flags: SYN });
    expect([first.synQueue.size, second.synQueue.size]).toEqual([1, 0]);
    rig.inject({ to: LOCAL_B, fromPort: 4000, toPort: 80, seq: 1, flags: SYN });
    expect([first.synQueue.size, second.synQueue.size]).toEqual([1, 1]);
    // An address that nobody listens on.
    expect(rig.inject({ to: address(1), fromPort: 4000, toPort: 80, seq: 1, flags: SYN })).toMatchObject([
      { flags: "R.", from: "10.1.0.1" },
    ]);
  });

  it("a wildcard takes every address of its family and no other", () => {
    const rig = new Rig();
    const v4 = rig.stack.listen({ address: parseAddress("0.0.0.0"), port: 80 });
    expect(rig.inject({ to: address(5), fromPort: 4000, toPort: 80, seq: 1, flags: SYN })).toMatchObject([
      { flags: "S.", from: "10.1.0.5" },
    ]);
    expect(rig.inject({ from: REMOTE6, to: LOCAL6, fromPort: 4000, toPort: 80, seq: 1, flags: SYN })).toMatchObject([
      { flags: "R." },
    ]);
    const v6 = rig.stack.listen({ address: parseAddress("::"), port: 80 });
    expect(rig.inject({ from: REMOTE6, to: LOCAL6, fromPort: 4000, toPort: 80, seq: 1, flags: SYN })).toMatchObject([
      { flags: "S." },
    ]);
    expect([v4.synQueue.size, v6.synQueue.size]).toEqual([1, 1]);
  });

  it("no bytes that a peer may send throw, nor do they make the stack answer without end", () => {
    const rig = new Rig({ checksums: "off", ownsAddresses: true });
    rig.stack.listen({ address: LOCAL, port: 80 });
    rig.handshake({ fromPort: 4000, toPort: 80, seq: 100 });
    fc.assert(
      fc.property(
        fc.record({
          fromPort: fc.constantFrom(4000, 4001),
          toPort: fc.constantFrom(80, 81),
          seq: fc.oneof(fc.integer({ min: 90, max: 120 }), fc.nat(0xffffffff)),
          ack: fc.nat(0xffffffff),
          flags: fc.nat(0x1ff),
          window: fc.nat(0xffff),
          payload: fc.uint8Array({ maxLength: 40 }),
          options: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => [...bytes]),
        }),
        (spec) => {
          expect(rig.give(tcpPacket(spec))).toBeTypeOf("string");
          expect(rig.drain().length).toBeLessThan(20);
        },
      ),
      { numRuns: 500 },
    );
  });
});
