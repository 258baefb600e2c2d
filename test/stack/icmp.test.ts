import { describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import type { Connection } from "../../src/tcp/connection.js";
import type { IpAddress } from "../../src/wire/address.js";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, SYN } from "../../src/wire/tcp-flags.js";
import { icmpPacket, LOCAL, LOCAL6, REMOTE, REMOTE6, Rig, type Sent, tcpPacket } from "./rig.js";

const ROUTER = parseAddress("10.0.0.254");
const ROUTER6 = parseAddress("2001:db8::fe");

function open(
  rig: Rig,
  local: IpAddress = LOCAL,
  remote: IpAddress = REMOTE,
  localPort = 5000,
): { connection: Connection; syn: Sent } {
  const connection = rig.stack.connect({ local, localPort, remote, remotePort: 80 }, rig.now);
  const [syn] = rig.drain();
  if (syn === undefined) throw new Error("no SYN");
  return { connection, syn };
}

function establish(rig: Rig, syn: Sent): void {
  rig.inject({ fromPort: 80, toPort: syn.fromPort, seq: 900, ack: (syn.seq + 1) >>> 0, flags: SYN | ACK });
}

function events(connection: Connection): string[] {
  const all: string[] = [];
  for (let e = connection.pollEvent(); e !== undefined; e = connection.pollEvent()) all.push(e);
  return all;
}

describe("ICMP errors reach the connection that they quote (MUST-54)", () => {
  it("a hard one ends the attempt to connect, of that connection alone", () => {
    const rig = new Rig();
    const first = open(rig);
    const second = open(rig, LOCAL, REMOTE, 5001);
    expect(rig.give(icmpPacket(3, 3, second.syn.bytes, ROUTER, LOCAL))).toBe("ICMP error ends the attempt to connect");
    expect(rig.drain()).toEqual([]);
    expect(second.connection).toMatchObject({ state: "CLOSED", failure: "ECONNREFUSED" });
    expect(events(second.connection)).toEqual(["readable", "trouble", "failed", "closed"]);
    expect(first.connection).toMatchObject({ state: "SYN-SENT", failure: undefined, softError: undefined });
    expect(rig.stack.connectionCount).toBe(1);
    expect([...rig.stack.ports()]).toEqual([5000]);
  });

  it("over IPv6 too", () => {
    const rig = new Rig();
    const { connection, syn } = open(rig, LOCAL6, REMOTE6);
    rig.give(icmpPacket(1, 4, syn.bytes, ROUTER6, LOCAL6));
    rig.drain();
    expect(connection).toMatchObject({ state: "CLOSED", failure: "ECONNREFUSED" });
  });

  it("a soft one is told and the attempt goes on; its cause is named when time runs out (MUST-47, MUST-56, SHLD-25)", () => {
    const rig = new Rig();
    const start = rig.now;
    const { connection, syn } = open(rig);
    expect(rig.give(icmpPacket(3, 1, syn.bytes, ROUTER, LOCAL))).toContain("soft");
    rig.drain();
    expect(connection).toMatchObject({ state: "SYN-SENT", softError: "EHOSTUNREACH" });
    expect(rig.stack.pollEventful()).toBe(connection);
    expect(events(connection)).toEqual(["trouble"]);
    rig.runUntil(start + 1000 * SECOND);
    expect(connection).toMatchObject({ state: "CLOSED", failure: "EHOSTUNREACH" });
    expect(rig.stack.connectionCount).toBe(0);
  });

  it("on an established connection a hard one is soft (RFC 5927 §5.2)", () => {
    const rig = new Rig();
    const { connection, syn } = open(rig);
    establish(rig, syn);
    connection.send(new Uint8Array([1]));
    const [data] = rig.drain();
    expect(rig.give(icmpPacket(3, 3, (data as Sent).bytes, ROUTER, LOCAL))).toContain("soft");
    expect(connection).toMatchObject({ state: "ESTABLISHED", softError: "ECONNREFUSED" });
  });

  it("a half-open connection of a listener is not ended by one", () => {
    const rig = new Rig();
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    const [synAck] = rig.inject({ fromPort: 4000, toPort: 80, seq: 1, flags: SYN });
    rig.give(icmpPacket(3, 3, (synAck as Sent).bytes, ROUTER, LOCAL));
    rig.drain();
    expect(listener.synQueue.size).toBe(1);
  });
});

describe("forged ICMP errors (RFC 5927)", () => {
  it.each([-1, 1, 0x4000_0000])("one whose quoted sequence number is off by %i changes nothing (RFC 5927 §4.1)", (offBy) => {
    const rig = new Rig();
    const { connection, syn } = open(rig);
    const forged = tcpPacket({ from: LOCAL, fromPort: 5000, to: REMOTE, toPort: 80, seq: (syn.seq + offBy) >>> 0, flags: SYN });
    expect(rig.give(icmpPacket(3, 3, forged, ROUTER, LOCAL))).toBe("ICMP error dropped: it quotes nothing that is outstanding");
    expect(connection).toMatchObject({ state: "SYN-SENT", softError: undefined });
    expect(events(connection)).toEqual([]);
  });

  it("with nothing outstanding every guess fails", () => {
    const rig = new Rig();
    const { connection, syn } = open(rig);
    establish(rig, syn);
    const quoted = tcpPacket({ from: LOCAL, fromPort: 5000, to: REMOTE, toPort: 80, seq: syn.seq, flags: SYN });
    const next = tcpPacket({ from: LOCAL, fromPort: 5000, to: REMOTE, toPort: 80, seq: (syn.seq + 1) >>> 0, flags: ACK });
    for (const quote of [quoted, next]) expect(rig.give(icmpPacket(3, 2, quote, ROUTER, LOCAL))).toContain("dropped");
    expect(connection.softError).toBeUndefined();
  });

  it.each([
    ["another port", { fromPort: 5001 }],
    ["another remote port", { toPort: 81 }],
    ["another remote address", { to: ROUTER }],
    ["the two ends exchanged", { from: REMOTE, to: LOCAL, fromPort: 80, toPort: 5000 }],
  ])("one about %s is for no connection", (_, part) => {
    const rig = new Rig();
    const { connection, syn } = open(rig);
    const quote = tcpPacket({ from: LOCAL, fromPort: 5000, to: REMOTE, toPort: 80, seq: syn.seq, flags: SYN, ...part });
    expect(rig.give(icmpPacket(3, 3, quote, ROUTER, LOCAL))).toBe("ICMP error for no connection");
    expect(connection.state).toBe("SYN-SENT");
  });

  it("one with a wrong checksum, and one that is no error, are dropped", () => {
    const rig = new Rig();
    const { connection, syn } = open(rig);
    const broken = icmpPacket(3, 3, syn.bytes, ROUTER, LOCAL);
    broken[22] = (broken[22] ?? 0) ^ 1;
    expect(rig.give(broken)).toBe("bad ICMP checksum");
    expect(rig.give(icmpPacket(8, 0, syn.bytes, ROUTER, LOCAL))).toBe("not an ICMP error");
    expect(connection.state).toBe("SYN-SENT");
  });

  it("source quench is ignored (MUST-55)", () => {
    const rig = new Rig();
    const { connection, syn } = open(rig);
    rig.give(icmpPacket(4, 0, syn.bytes, ROUTER, LOCAL));
    expect(connection).toMatchObject({ state: "SYN-SENT", softError: undefined });
  });
});
