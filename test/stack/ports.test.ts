import { describe, expect, it } from "vitest";
import { RawTcpError } from "../../src/base/errors.js";
import { SeededRandom } from "../../src/base/random.js";
import { SECOND } from "../../src/base/time.js";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp-flags.js";
import { HeldPorts } from "./held-ports.js";
import { address, LOCAL, LOCAL6, REMOTE, REMOTE6, Rig } from "./rig.js";

const TO = { local: LOCAL, remote: REMOTE, remotePort: 80 } as const;

describe("ephemeral ports (RFC 6056)", () => {
  it("lie in the dynamic range, are not in use, and are not simply counted from its start (RFC 6056 §3.3)", () => {
    const rig = new Rig();
    const ports = Array.from({ length: 500 }, (_, i) => rig.stack.connect({ ...TO, remote: address(i) }, rig.now).tcb.localPort);
    expect(new Set(ports).size).toBe(500);
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(49_152);
    expect(Math.max(...ports)).toBeLessThanOrEqual(65_535);
    // Each peer has an offset of its own: hardly any two connections to different peers have neighbouring ports.
    const steps = ports.map((port, i) => Math.abs(port - (ports[i - 1] ?? 0)));
    expect(steps.filter((step) => step < 8).length).toBeLessThan(10);
  });

  it("differ with the secret", () => {
    const first = (seed: number): number => new Rig({ random: new SeededRandom(seed) }).stack.connect(TO, 0).tcb.localPort;
    expect(new Set([1, 2, 3, 4].map(first)).size).toBe(4);
  });

  it("come from the configured range, both ends included, until it is used up", () => {
    const holder = new HeldPorts();
    const rig = new Rig({ ephemeralPorts: [6000, 6004], ports: holder });
    rig.stack.listen({ address: LOCAL, port: 6002 });
    const ports = [1, 2, 3, 4].map(() => rig.stack.connect(TO, rig.now).tcb.localPort);
    expect(ports.sort()).toEqual([6000, 6001, 6003, 6004]);
    expect(() => rig.stack.connect(TO, rig.now)).toThrow(expect.objectContaining({ code: "EADDRNOTAVAIL" }));
    expect(rig.stack.connectionCount).toBe(4);
    // One ends: its port is free again.
    const [victim] = rig.stack.connections();
    victim?.abort(rig.now);
    rig.drain();
    expect(rig.stack.connect(TO, rig.now).tcb.localPort).toBe(victim?.tcb.localPort);
  });

  it("that another program holds are skipped; if it holds all, its error is told", () => {
    const holder = new HeldPorts();
    const taken = new RawTcpError("EADDRINUSE", "held by another program");
    for (const port of [6000, 6001, 6003]) holder.refuse.set(port, taken);
    const rig = new Rig({ ephemeralPorts: [6000, 6003], ports: holder });
    expect(rig.stack.connect(TO, rig.now).tcb.localPort).toBe(6002);
    expect(() => rig.stack.connect(TO, rig.now)).toThrow(taken);
    expect([...holder.held]).toEqual(["10.0.0.1:6002"]);
  });

  it("are not searched further when the holder fails for another reason", () => {
    const holder = new HeldPorts();
    const denied = new RawTcpError("EACCES", "not permitted");
    for (let port = 6000; port < 6010; port++) holder.refuse.set(port, denied);
    const rig = new Rig({ ephemeralPorts: [6000, 6009], ports: holder });
    expect(() => rig.stack.connect(TO, rig.now)).toThrow(denied);
    expect(holder.asked).toHaveLength(1);
    expect(rig.stack.connectionCount).toBe(0);
  });
});

describe("connect: what a caller does wrong", () => {
  it.each([
    ["EINVAL", { remotePort: 0 }],
    ["EINVAL", { remotePort: 65_536 }],
    ["EINVAL", { remotePort: Number.NaN }],
    ["EINVAL", { localPort: -1 }],
    ["EINVAL", { localPort: 70_000 }],
    ["EINVAL", { localPort: 1.5 }],
    ["EINVAL", { remote: REMOTE6 }],
    ["ENETUNREACH", { remote: parseAddress("255.255.255.255") }],
    ["ENETUNREACH", { remote: parseAddress("224.0.0.1") }],
    ["ENETUNREACH", { remote: parseAddress("0.0.0.0") }],
    ["ENETUNREACH", { local: LOCAL6, remote: parseAddress("ff02::1") }],
    ["EADDRNOTAVAIL", { local: parseAddress("0.0.0.0") }],
    ["EADDRNOTAVAIL", { local: parseAddress("224.0.0.1") }],
  ])("%s for %o, and nothing is kept (MUST-46)", (code, part) => {
    const holder = new HeldPorts();
    const rig = new Rig({ ports: holder });
    expect(() => rig.stack.connect({ ...TO, ...part }, rig.now)).toThrow(expect.objectContaining({ code }));
    expect(rig.stack.connectionCount).toBe(0);
    expect(holder.held.size).toBe(0);
    expect(rig.drain()).toEqual([]);
  });

  it("EADDRINUSE for a four-tuple that is in use, TIME-WAIT included, but not for another peer", () => {
    const rig = new Rig();
    const inUse = expect.objectContaining({ code: "EADDRINUSE" });
    const first = rig.stack.connect({ ...TO, localPort: 5000 }, rig.now);
    expect(() => rig.stack.connect({ ...TO, localPort: 5000 }, rig.now)).toThrow(inUse);
    const second = rig.stack.connect({ ...TO, localPort: 5000, remotePort: 81 }, rig.now);
    const syns = rig.drain();
    const syn = syns.find((packet) => packet.toPort === 80);
    if (syn === undefined) throw new Error("no SYN");
    const peer = { fromPort: 80, toPort: 5000 };
    rig.inject({ ...peer, seq: 900, ack: (syn.seq + 1) >>> 0, flags: SYN | ACK });
    first.shutdown(rig.now);
    rig.drain();
    rig.inject({ ...peer, seq: 901, ack: (syn.seq + 2) >>> 0, flags: FIN | ACK });
    expect(first.state).toBe("TIME-WAIT");
    expect(() => rig.stack.connect({ ...TO, localPort: 5000 }, rig.now)).toThrow(inUse);
    rig.runUntil(rig.now + 61 * SECOND);
    expect(first.state).toBe("CLOSED");
    expect(second.state).toBe("SYN-SENT");
    expect(rig.stack.connect({ ...TO, localPort: 5000 }, rig.now).state).toBe("SYN-SENT");
  });
});

describe("the port holder's balance", () => {
  it("is even after connections ended in every way", () => {
    const holder = new HeldPorts();
    const rig = new Rig({ ports: holder });
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    rig.handshake({ fromPort: 1, toPort: 80 });
    rig.handshake({ fromPort: 2, toPort: 80 });
    // Refused, aborted, timed out, closed to the end.
    const [refused, aborted, , closed] = [1, 2, 3, 4].map(() => rig.stack.connect(TO, rig.now));
    const syns = new Map(rig.drain().map((packet) => [packet.fromPort, packet.seq]));
    const peerOf = (port = 0): { fromPort: number; toPort: number; ack: number } => ({
      fromPort: 80,
      toPort: port,
      ack: ((syns.get(port) ?? 0) + 1) >>> 0,
    });
    rig.inject({ ...peerOf(refused?.tcb.localPort), seq: 0, flags: RST | ACK });
    expect(refused?.failure).toBe("ECONNREFUSED");
    aborted?.abort(rig.now);
    const peer = peerOf(closed?.tcb.localPort);
    rig.inject({ ...peer, seq: 0xffff_ffff, flags: SYN | ACK });
    closed?.shutdown(rig.now);
    rig.drain();
    rig.inject({ ...peer, seq: 0, ack: (peer.ack + 1) >>> 0, flags: FIN | ACK });
    expect(closed?.state).toBe("TIME-WAIT");
    const first = listener.accept();
    expect(holder.held.size).toBe(1 + 2);
    rig.runUntil(rig.now + 2000 * SECOND);
    expect([...holder.held]).toEqual(["10.0.0.1:80"]);
    listener.close(rig.now);
    first?.abort(rig.now);
    rig.drain();
    expect(holder.held.size).toBe(0);
    expect(rig.stack.connectionCount).toBe(0);
    expect([...rig.stack.ports()]).toEqual([]);
    const holds = holder.log.filter((line) => line.startsWith("hold")).length;
    expect(holder.log).toHaveLength(2 * holds);
  });
});

describe("initial sequence numbers in use", () => {
  it("follow the clock: the same four-tuple a second later begins 250,000 further (RFC 6528) (MUST-8)", () => {
    const isnAt = (now: number): number => {
      const rig = new Rig({}, now);
      rig.stack.connect({ ...TO, localPort: 5000 }, now);
      return rig.drain()[0]?.seq ?? -1;
    };
    expect((isnAt(9 * SECOND) - isnAt(8 * SECOND)) >>> 0).toBe(250_000);
  });
});

describe("a segment of nobody", () => {
  it("for the port of a connection, from another peer, is answered with RST and leaves the connection alone", () => {
    const rig = new Rig();
    const connection = rig.stack.connect({ ...TO, localPort: 5000 }, rig.now);
    rig.drain();
    const sent = rig.inject({ from: address(1), fromPort: 80, toPort: 5000, seq: 1, ack: 2, flags: SYN | ACK });
    expect(sent).toMatchObject([{ flags: "R", seq: 2, to: "10.1.0.1" }]);
    expect(connection.state).toBe("SYN-SENT");
    expect(rig.inject({ from: address(1), fromPort: 80, toPort: 5000, seq: 1, ack: 2, flags: ACK | RST })).toEqual([]);
  });
});
