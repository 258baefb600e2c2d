import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { Connection } from "../../src/tcp/connection.js";
import type { ConnectionEvent } from "../../src/tcp/events.js";
import { DELAY, Recorded, readAll } from "./recorded.js";

const hasFin = (segment: { flags: string }): boolean => segment.flags.includes("F");

/** Closes its direction as soon as the peer has closed the other. */
function closeAfterPeer(world: () => Recorded): (connection: Connection, event: ConnectionEvent) => void {
  return (connection, event) => {
    if (event !== "readable") return;
    readAll(connection);
    if (connection.endOfData) connection.shutdown(world().sim.now);
  };
}

describe("closing between two stacks", () => {
  it("four segments: FIN, ACK, FIN, ACK, and 2 MSL for the one who began (MUST-13)", () => {
    const world: Recorded = new Recorded();
    const { a } = world.established(
      undefined,
      closeAfterPeer(() => world),
    );
    const begun = world.sim.now;
    a.shutdown(begun);
    world.run(1);
    expect(world.segments).toEqual(["a F.", "b .", "b F.", "a ."]);
    const [fin, finAck, fin2, last] = world.wire;
    expect(finAck?.ack).toBe(((fin?.seq ?? 0) + 1) >>> 0);
    expect(last).toMatchObject({ ack: ((fin2?.seq ?? 0) + 1) >>> 0, seq: finAck?.ack });
    expect(world.a.states).toEqual(["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
    expect(world.b.states).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    expect(world.b.events).toEqual(["readable", "closed"]);
    expect([world.a.host.stack.connectionCount, world.b.host.stack.connectionCount]).toEqual([1, 0]);
    const ended = world.runUntilClosed(a);
    expect(ended - begun - 2 * DELAY).toBe(60 * SECOND);
    expect(world.a.states.at(-1)).toBe("CLOSED");
    expect(world.a.events).toEqual(["readable", "closed"]);
    expect(world.connectionCount).toBe(0);
  });

  it("three segments: the passive side's FIN carries the ACK of the other one", () => {
    const world = new Recorded();
    const { a, b } = world.established();
    // The user of b closes before the ACK has left: FIN and ACK merge.
    world.there.filter = (bytes) => {
      const fin = bytes.slice();
      world.sim.schedule(world.sim.now + DELAY, () => {
        // To the stack, not through the host, which would answer before its user hears of anything.
        world.b.host.stack.receive(fin, 0, fin.length, world.sim.now);
        b.shutdown(world.sim.now);
      });
      world.there.filter = undefined;
      return false;
    };
    a.shutdown(world.sim.now);
    world.run(1);
    expect(world.segments).toEqual(["a F. x", "b F.", "a ."]);
    expect(world.wire[1]?.ack).toBe(((world.wire[0]?.seq ?? 0) + 1) >>> 0);
    expect(world.a.states).toEqual(["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
    expect(world.b.states).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
  });

  it("simultaneous: FINs cross, both through CLOSING, both wait 2 MSL", () => {
    const world = new Recorded();
    const { a, b } = world.established();
    a.shutdown(world.sim.now);
    b.shutdown(world.sim.now);
    world.run(1);
    expect(world.segments.slice(0, 2)).toEqual(["a F.", "b F."]);
    expect(world.segments.slice(2).sort()).toEqual(["a .", "b ."]);
    expect(world.a.states).toEqual(["FIN-WAIT-1", "CLOSING", "TIME-WAIT"]);
    expect(world.b.states).toEqual(["FIN-WAIT-1", "CLOSING", "TIME-WAIT"]);
    world.run(61);
    expect(world.connectionCount).toBe(0);
    expect([world.a.events, world.b.events]).toEqual([
      ["readable", "closed"],
      ["readable", "closed"],
    ]);
  });

  it("simultaneous with one FIN lost: it is repeated in its place", () => {
    const world = new Recorded();
    const { a, b } = world.established();
    world.lose(world.there, hasFin);
    a.shutdown(world.sim.now);
    b.shutdown(world.sim.now);
    world.run(3);
    expect(world.a.states).toEqual(["FIN-WAIT-1", "CLOSING", "TIME-WAIT"]);
    expect(world.b.states).toEqual(["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
    world.run(61);
    expect(world.connectionCount).toBe(0);
  });

  it.each(["a", "b"] as const)("half-close by %s: the other streams on after that FIN, and nothing is lost", (first) => {
    const world = new Recorded();
    const both = world.established();
    const [closer, other] = first === "a" ? [both.a, both.b] : [both.b, both.a];
    const ends = { closer: world[first], other: first === "a" ? world.b : world.a };
    closer.send(new Uint8Array(1000));
    closer.shutdown(world.sim.now);
    world.run(1);
    expect(closer.state).toBe("FIN-WAIT-2");
    expect(other.state).toBe("CLOSE-WAIT");
    expect(readAll(other)).toBe(1000);
    expect(other.endOfData).toBe(true);
    expect(() => closer.send(new Uint8Array(1))).toThrow(expect.objectContaining({ code: "EPIPE" }));
    // In several helpings, with long silence between them: nothing times out.
    let received = 0;
    for (let i = 0; i < 3; i++) {
      other.send(new Uint8Array(100_000));
      world.run(100);
      received += readAll(closer);
    }
    expect(received).toBe(300_000);
    expect(closer.endOfData).toBe(false);
    other.shutdown(world.sim.now);
    world.run(1);
    expect(closer.endOfData).toBe(true);
    expect(ends.closer.states).toEqual(["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
    expect(ends.other.states).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    world.run(61);
    expect(world.connectionCount).toBe(0);
  });

  it.each(["a", "b"] as const)("abort by %s: one RST, both CLOSED at once, no TIME-WAIT", (first) => {
    const world = new Recorded();
    const both = world.established();
    const [aborter, other] = first === "a" ? [both.a, both.b] : [both.b, both.a];
    aborter.abort(world.sim.now);
    world.run(1);
    expect(world.segments).toEqual([`${first} R.`]);
    expect([aborter.failure, other.failure]).toEqual(["ECONNABORTED", "ECONNRESET"]);
    expect([world.a.states, world.b.states]).toEqual([["CLOSED"], ["CLOSED"]]);
    expect(world.connectionCount).toBe(0);
    expect((first === "a" ? world.b : world.a).events).toEqual(["readable", "failed", "closed"]);
    expect(world[first].events.at(-1)).toBe("closed");
  });

  it("abort with data on its way: the RST is taken, the data is lost, which is what ABORT means", () => {
    const world = new Recorded();
    const { a, b } = world.established();
    a.send(new Uint8Array(5000));
    a.abort(world.sim.now);
    world.run(1);
    expect(world.segments).toContain("a R.");
    expect(b.failure).toBe("ECONNRESET");
    expect(world.connectionCount).toBe(0);
  });

  it("close with unread data: the peer learns by RST that it was lost (RFC 2525 §2.17) (SHLD-3)", () => {
    const world = new Recorded();
    const { a, b } = world.established();
    a.send(new Uint8Array(10));
    world.run(1);
    b.close(world.sim.now);
    world.run(1);
    expect(world.segments.at(-1)).toBe("b R.");
    expect(a.failure).toBe("ECONNRESET");
  });

  it("the peer of a closed user that never closes: FIN-WAIT-2 ends by itself, and what comes then gets RST", () => {
    const world = new Recorded();
    const { a, b } = world.established();
    a.close(world.sim.now);
    world.run(59);
    expect(a.state).toBe("FIN-WAIT-2");
    world.run(2);
    expect(a.state).toBe("CLOSED");
    b.send(new Uint8Array(1));
    world.run(1);
    expect(b.failure).toBe("ECONNRESET");
    expect(world.connectionCount).toBe(0);
  });

  it("lost FIN: repeated after the time-out", () => {
    const world = new Recorded();
    const { a } = world.established();
    world.lose(world.there, hasFin);
    const begun = world.sim.now;
    a.shutdown(begun);
    world.run(1);
    expect(world.segments).toEqual(["a F. x", "a F.", "b ."]);
    expect(world.wire[1]?.seq).toBe(world.wire[0]?.seq);
    // A round trip of 20 ms and the least margin; what goes then is the tail loss probe.
    expect(world.wire[1]?.at).toBe(begun + 220 * MILLISECOND);
    expect(a.state).toBe("FIN-WAIT-2");
  });

  it("lost ACK of the first FIN: the other FIN carries it just as well", () => {
    const world: Recorded = new Recorded();
    const { a } = world.established(
      undefined,
      closeAfterPeer(() => world),
    );
    world.lose(world.back, (segment) => segment.flags === ".");
    a.shutdown(world.sim.now);
    world.run(1);
    expect(world.segments).toEqual(["a F.", "b . x", "b F.", "a ."]);
    expect(world.a.states).toEqual(["FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
  });

  it("lost last ACK: the FIN comes again, is acknowledged again, and 2 MSL start anew", () => {
    const world: Recorded = new Recorded();
    const { a } = world.established(
      undefined,
      closeAfterPeer(() => world),
    );
    let seen = 0;
    world.there.filter = (_bytes, _note, _index) => ++seen !== 2;
    a.shutdown(world.sim.now);
    world.run(1);
    expect(world.segments).toEqual(["a F.", "b .", "b F.", "a . x", "b F.", "a ."]);
    expect(world.b.states).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    const lastAck = world.wire.at(-1)?.at ?? 0;
    const ended = world.runUntilClosed(a);
    expect(ended - lastAck).toBe(60 * SECOND);
    expect(world.connectionCount).toBe(0);
  });

  it("all last ACKs lost: LAST-ACK gives up after R2, nothing is left", () => {
    const world: Recorded = new Recorded({ r2Us: 100 * SECOND });
    const { a } = world.established(
      undefined,
      closeAfterPeer(() => world),
    );
    world.lose(world.there, (segment) => segment.flags === ".", Number.POSITIVE_INFINITY);
    a.shutdown(world.sim.now);
    world.run(400);
    expect(world.b.states).toEqual(["CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
    expect(world.b.connection?.failure).toBe("ETIMEDOUT");
    expect(world.connectionCount).toBe(0);
  });

  it("data that nobody acknowledges: repeated with growing waits, trouble after R1, ETIMEDOUT after R2 (MUST-20, SHLD-9)", () => {
    const world = new Recorded();
    const { a } = world.established();
    world.there.filter = () => false;
    const begun = world.sim.now;
    a.send(new Uint8Array(100));
    world.sim.run({ until: begun + 3000 * SECOND });
    const waits = world.wire.map((segment, i) => segment.at - (world.wire[i - 1]?.at ?? begun));
    expect(waits.slice(0, 6).map((wait) => wait / MILLISECOND)).toEqual([0, 220, 220, 440, 880, 1760]);
    expect(Math.max(...waits)).toBe(120 * SECOND);
    expect(new Set(world.wire.map((segment) => segment.seq)).size).toBe(1);
    expect(world.a.events).toEqual(["trouble", "readable", "failed", "closed"]);
    expect(a.failure).toBe("ETIMEDOUT");
    expect(world.a.host.stack.connectionCount).toBe(0);
  });
});

describe("an old duplicate and a new incarnation on the same ports", () => {
  it.each([true, false])("is refused (timestamps %s), and the new stream is whole", (timestamps) => {
    const world: Recorded = new Recorded({ timestamps, mslUs: SECOND });
    world.listen(closeAfterPeer(() => world));
    let old: Uint8Array | undefined;
    world.there.filter = (bytes) => {
      if (bytes.length > 500) old ??= bytes.slice();
      return true;
    };
    const first = world.connect(undefined, 80, 5000);
    first.send(new Uint8Array(1000).fill(1));
    world.run(1);
    first.shutdown(world.sim.now);
    world.run(10);
    expect(world.connectionCount).toBe(0);
    const duplicate = old;
    if (duplicate === undefined) throw new Error("no data was sent");
    world.there.filter = undefined;
    const second = world.connect(undefined, 80, 5000);
    world.run(1);
    const server = world.b.connection as Connection;
    expect(server.state).toBe("ESTABLISHED");
    const before = server.tcb.rcv.nxt;
    world.b.host.deliver(duplicate);
    world.run(1);
    expect(server.tcb.rcv.nxt).toBe(before);
    expect(server.readableBytes).toBe(0);
    expect([first.state, second.state, server.state]).toEqual(["CLOSED", "ESTABLISHED", "ESTABLISHED"]);
    second.send(new Uint8Array(700).fill(2));
    world.run(1);
    expect(server.tcb.counters.bytesReceived).toBe(700);
  });

  it("while TIME-WAIT lasts it is acknowledged and goes no further", () => {
    const world: Recorded = new Recorded();
    let data: Uint8Array | undefined;
    world.there.filter = (bytes) => {
      if (bytes.length > 500) data ??= bytes.slice();
      return true;
    };
    const { a, b } = world.established();
    a.send(new Uint8Array(1000));
    world.run(1);
    readAll(b);
    b.shutdown(world.sim.now);
    world.run(1);
    a.shutdown(world.sim.now);
    world.run(1);
    expect(b.state).toBe("TIME-WAIT");
    if (data === undefined) throw new Error("no data was sent");
    const before = world.wire.length;
    world.b.host.deliver(data);
    expect(world.segments.slice(before)).toEqual(["b ."]);
    expect(b.state).toBe("TIME-WAIT");
    expect(b.readableBytes).toBe(0);
  });
});
