import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { RST, SYN } from "../../src/wire/tcp-flags.js";
import { tcpPacket } from "../stack/rig.js";
import { DELAY, Recorded, readAll } from "./recorded.js";

const isSyn = (segment: { flags: string }): boolean => segment.flags === "S";
const isSynAck = (segment: { flags: string }): boolean => segment.flags === "S.";
const isAck = (segment: { flags: string }): boolean => segment.flags === ".";

describe("opening between two stacks", () => {
  it("three-way: SYN, SYN-ACK, ACK", () => {
    const world = new Recorded();
    world.listen();
    world.connect();
    world.run(1);
    expect(world.segments).toEqual(["a S", "b S.", "a ."]);
    const [syn, synAck, ack] = world.wire;
    expect(synAck?.ack).toBe(((syn?.seq ?? 0) + 1) >>> 0);
    expect(ack).toMatchObject({ seq: synAck?.ack, ack: ((synAck?.seq ?? 0) + 1) >>> 0, at: 2 * DELAY });
    expect(world.a.states).toEqual(["SYN-SENT", "ESTABLISHED"]);
    expect(world.b.states).toEqual(["LISTEN", "SYN-RECEIVED", "ESTABLISHED"]);
    expect([world.a.events, world.b.events]).toEqual([["established"], ["established"]]);
  });

  it("simultaneous: SYNs cross, SYN-ACKs cross, one connection (MUST-10)", () => {
    const world = new Recorded();
    const { a, b } = world;
    a.connection = a.host.connect(b.host, 80, world.recorder(a), {}, 81);
    b.connection = b.host.connect(a.host, 81, world.recorder(b), {}, 80);
    world.run(1);
    expect(world.segments.slice(0, 4)).toEqual(["a S", "b S", "b S.", "a S."]);
    for (const end of [a, b]) {
      expect(end.states).toEqual(["SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"]);
      expect(end.events).toEqual(["established"]);
    }
    // Nothing is repeated, and it carries data both ways.
    expect(world.wire.every((segment) => segment.at <= 2 * DELAY)).toBe(true);
    a.connection.send(new Uint8Array(3000));
    b.connection.send(new Uint8Array(5000));
    world.run(1);
    expect([readAll(b.connection), readAll(a.connection)]).toEqual([3000, 5000]);
    a.connection.abort(world.sim.now);
    world.run(1);
    expect(world.connectionCount).toBe(0);
  });

  it("simultaneous with one of the SYNs lost becomes three-way or simultaneous, and works", () => {
    const world = new Recorded();
    const { a, b } = world;
    world.lose(world.there, isSyn);
    a.connection = a.host.connect(b.host, 80, world.recorder(a), {}, 81);
    b.connection = b.host.connect(a.host, 81, world.recorder(b), {}, 80);
    world.run(5);
    expect([a.connection.state, b.connection.state]).toEqual(["ESTABLISHED", "ESTABLISHED"]);
    a.connection.send(new Uint8Array(10));
    world.run(1);
    expect(readAll(b.connection)).toBe(10);
  });

  it("refused: RST from a closed port, told as ECONNREFUSED", () => {
    const world = new Recorded();
    const connection = world.connect();
    world.run(1);
    expect(world.segments).toEqual(["a S", "b R."]);
    expect(world.a.states).toEqual(["SYN-SENT", "CLOSED"]);
    expect(connection.failure).toBe("ECONNREFUSED");
    expect(world.a.events).toEqual(["readable", "failed", "closed"]);
    expect(world.connectionCount).toBe(0);
  });

  it("no answer: SYN again after 1, 2, 4, … s, ETIMEDOUT not before 3 minutes (MUST-23) (MUST-22)", () => {
    const world = new Recorded();
    world.there.filter = () => false;
    const connection = world.connect();
    world.sim.run();
    expect(world.wire.map((segment) => segment.at / SECOND)).toEqual([0, 1, 3, 7, 15, 31, 63, 127]);
    expect(new Set(world.wire.map((segment) => segment.seq)).size).toBe(1);
    expect(connection).toMatchObject({ state: "CLOSED", failure: "ETIMEDOUT" });
    expect(world.a.events).toEqual(["trouble", "readable", "failed", "closed"]);
    expect(world.sim.now / SECOND).toBeGreaterThanOrEqual(180);
    expect(world.sim.now / SECOND).toBeLessThan(250);
    expect(world.a.host.stack.connectionCount).toBe(0);
  });

  it("lost SYN: repeated after the first time-out", () => {
    const world = new Recorded();
    world.listen();
    world.lose(world.there, isSyn);
    world.connect();
    world.run(5);
    expect(world.segments).toEqual(["a S x", "a S", "b S.", "a ."]);
    expect(world.wire.map((segment) => segment.at)).toEqual([0, SECOND, SECOND + DELAY, SECOND + 2 * DELAY]);
    expect(world.b.states).toEqual(["LISTEN", "SYN-RECEIVED", "ESTABLISHED"]);
  });

  it("lost SYN-ACK: both sides repeat what has no answer, one connection comes of it", () => {
    const world = new Recorded();
    world.listen();
    world.lose(world.back, isSynAck);
    world.connect();
    world.run(5);
    expect(world.segments.slice(0, 4)).toEqual(["a S", "b S. x", "a S", "b S."]);
    expect(world.wire[3]).toMatchObject({ seq: world.wire[1]?.seq, ack: world.wire[1]?.ack });
    expect([world.a.connection?.state, world.b.connection?.state]).toEqual(["ESTABLISHED", "ESTABLISHED"]);
    expect(world.connectionCount).toBe(2);
    const before = world.wire.length;
    world.run(60);
    expect(world.wire).toHaveLength(before);
  });

  it("lost third segment without data: the server repeats SYN-ACK, the client acknowledges again", () => {
    const world = new Recorded();
    world.listen();
    world.lose(world.there, isAck);
    world.connect();
    world.run(5);
    expect(world.segments).toEqual(["a S", "b S.", "a . x", "b S.", "a ."]);
    expect(world.wire[3]?.at).toBe(DELAY + SECOND);
    expect(world.a.states).toEqual(["SYN-SENT", "ESTABLISHED"]);
    expect(world.b.states).toEqual(["LISTEN", "SYN-RECEIVED", "ESTABLISHED"]);
  });

  it("lost third segment with data after it: the data completes the handshake, no SYN-ACK is repeated", () => {
    const world = new Recorded();
    world.listen();
    world.lose(world.there, isAck);
    world.connect((connection, event) => {
      if (event === "established") connection.send(new Uint8Array(100));
    });
    world.run(1);
    expect(world.segments.slice(0, 4)).toEqual(["a S", "b S.", "a . x", "a P. 100"]);
    expect(world.segments.filter((segment) => segment.startsWith("b S."))).toHaveLength(1);
    expect(world.b.connection?.readableBytes).toBe(100);
  });

  it("all third segments lost: SYN-ACK is repeated at its maximum, the half-open entry goes, the client learns it later", () => {
    const world = new Recorded();
    const listener = world.listen();
    world.lose(world.there, (segment) => !isSyn(segment), Number.POSITIVE_INFINITY);
    const connection = world.connect();
    world.run(120);
    const synAcks = world.wire.filter((segment) => segment.flags === "S.");
    expect(synAcks.map((segment) => (segment.at - DELAY) / SECOND)).toEqual([0, 1, 3, 7, 15, 31]);
    expect(listener.counters.handshakesFailed).toBe(1);
    expect(world.b.host.stack.connectionCount).toBe(0);
    expect(connection.state).toBe("ESTABLISHED");
    world.there.filter = undefined;
    connection.send(new Uint8Array(1));
    world.run(1);
    expect(connection.failure).toBe("ECONNRESET");
  });

  it("a stale SYN of an old incarnation is answered, the answer is refused, and no connection comes of it", () => {
    const world = new Recorded();
    const listener = world.listen();
    const stale = tcpPacket({
      from: world.a.host.address,
      to: world.b.host.address,
      fromPort: 5000,
      toPort: 80,
      seq: 12_345,
      flags: SYN,
    });
    world.b.host.deliver(stale);
    expect(listener.synQueue.size).toBe(1);
    world.run(60);
    expect(world.segments).toEqual(["b S.", "a R"]);
    expect([world.wire[0]?.ack, world.wire[1]?.seq]).toEqual([12_346, 12_346]);
    expect(world.b.states).toEqual(["LISTEN", "SYN-RECEIVED", "LISTEN", "CLOSED"]);
    expect(listener.counters).toMatchObject({ handshakesFailed: 1, accepted: 0 });
    expect(world.connectionCount).toBe(0);
  });

  it("a stale SYN that overtakes: the client in SYN-SENT resets it and its own SYN succeeds", () => {
    const world = new Recorded();
    world.listen();
    const stale = { from: world.a.host.address, to: world.b.host.address, fromPort: 5000, toPort: 80, seq: 12_345, flags: SYN };
    // The old SYN arrives just before the new one, on the same ports.
    world.sim.schedule(9 * MILLISECOND, () => world.b.host.deliver(tcpPacket(stale)));
    const connection = world.connect(undefined, 80, 5000);
    world.run(10);
    expect(world.wire.some((segment) => segment.by === "a" && segment.flags === "R")).toBe(true);
    expect([connection.state, world.b.connection?.state]).toEqual(["ESTABLISHED", "ESTABLISHED"]);
    connection.send(new Uint8Array(5));
    world.run(1);
    expect(world.b.connection?.readableBytes).toBe(5);
    expect(world.connectionCount).toBe(2);
  });

  it("the client gives up in the middle: its RST removes the half-open entry", () => {
    const world = new Recorded();
    const listener = world.listen();
    const connection = world.connect();
    world.sim.schedule(DELAY + 1, () => connection.abort(world.sim.now));
    world.run(60);
    // In SYN-SENT nothing is said; the SYN-ACK that comes then finds nobody.
    expect(world.segments).toEqual(["a S", "b S.", "a R"]);
    expect(listener.counters.handshakesFailed).toBe(1);
    expect(world.connectionCount).toBe(0);
  });

  it("a SYN with RST opens nothing", () => {
    const world = new Recorded();
    world.listen();
    const packet = { from: world.a.host.address, to: world.b.host.address, fromPort: 5000, toPort: 80, seq: 1 };
    world.b.host.deliver(tcpPacket({ ...packet, flags: SYN | RST }));
    world.run(1);
    expect(world.wire).toEqual([]);
    expect(world.connectionCount).toBe(0);
  });
});
