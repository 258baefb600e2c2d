/** What a stack refuses: foreign addresses, more than its queues hold, challenge ACKs beyond its budget. */
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp-flags.js";
import { LOCAL, LOCAL6, REMOTE, Rig, type Sent } from "./rig.js";

const OTHER = parseAddress("10.0.0.77");

function ack(rig: Rig, synAck: Sent): Sent[] {
  const spec = { fromPort: synAck.toPort, from: parseAddress(synAck.to), to: parseAddress(synAck.from), toPort: synAck.fromPort };
  return rig.inject({ ...spec, seq: synAck.ack, ack: (synAck.seq + 1) >>> 0, flags: ACK });
}

describe("addresses that are ours", () => {
  it("segments to others are dropped in silence, for listeners and closed ports alike", () => {
    const rig = new Rig({ addresses: [LOCAL, LOCAL6] });
    rig.stack.listen({ address: parseAddress("0.0.0.0"), port: 80 });
    for (const toPort of [80, 81]) {
      for (const flags of [SYN, ACK, RST, FIN | ACK]) {
        expect(rig.inject({ to: OTHER, fromPort: 4000, toPort, seq: 1, ack: 1, flags })).toEqual([]);
      }
    }
    expect(rig.stack.counters.notOurs).toBe(8);
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 1, flags: SYN })).toMatchObject([{ flags: "S." }]);
    expect(rig.inject({ fromPort: 4000, toPort: 81, seq: 1, flags: SYN })).toMatchObject([{ flags: "R." }]);
  });

  it("EADDRNOTAVAIL: no connection from another", () => {
    const rig = new Rig({ addresses: [LOCAL] });
    expect(() => rig.stack.connect({ local: OTHER, remote: REMOTE, remotePort: 80 }, rig.now)).toThrow(
      expect.objectContaining({ code: "EADDRNOTAVAIL" }),
    );
    expect(rig.stack.connectionCount).toBe(0);
    rig.stack.connect({ local: LOCAL, remote: REMOTE, remotePort: 80 }, rig.now);
    expect(rig.stack.connectionCount).toBe(1);
  });
});

describe("a listener's room", () => {
  it("a backlog of 0 admits one connection at a time, as Linux does", () => {
    const rig = new Rig();
    const listener = rig.stack.listen({ address: LOCAL, port: 80, backlog: 0 });
    rig.handshake({ fromPort: 1, toPort: 80 });
    expect(listener.acceptQueue.length).toBe(1);
    expect(rig.inject({ fromPort: 2, toPort: 80, seq: 1, flags: SYN })).toEqual([]);
    expect(listener.accept()?.state).toBe("ESTABLISHED");
    rig.handshake({ fromPort: 2, toPort: 80 });
    expect(listener.accept()?.state).toBe("ESTABLISHED");
    expect(listener.counters).toMatchObject({ synsReceived: 3, acceptQueueOverflows: 1, established: 2, accepted: 2 });
  });

  /** A connection of port 4000 in TIME-WAIT; the peer's next sequence number is 2. */
  function timeWait(rig: Rig): void {
    const [synAck] = rig.inject({ fromPort: 4000, toPort: 80, seq: 0, flags: SYN });
    const ours = ((synAck as Sent).seq + 1) >>> 0;
    ack(rig, synAck as Sent);
    const connection = rig.stack.listeners()[0]?.accept();
    connection?.shutdown(rig.now);
    rig.drain();
    rig.inject({ fromPort: 4000, toPort: 80, seq: 1, ack: (ours + 1) >>> 0, flags: FIN | ACK });
    expect(connection?.state).toBe("TIME-WAIT");
  }

  it("TIME-WAIT yields to a SYN only if there is room for the new incarnation", () => {
    const rig = new Rig({ synCookies: "when-full" });
    const listener = rig.stack.listen({ address: LOCAL, port: 80, synBacklog: 1 });
    timeWait(rig);
    const [other] = rig.inject({ fromPort: 1, toPort: 80, seq: 1, flags: SYN });
    expect(listener.synQueue.size).toBe(1);
    // The SYN queue is full: the old one stays, and says so; no cookie.
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 1_000, flags: SYN })).toMatchObject([{ flags: ".", ack: 2 }]);
    expect([...rig.stack.connections()].map((c) => c.state).sort()).toEqual(["SYN-RECEIVED", "TIME-WAIT"]);
    ack(rig, other as Sent);
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 1_000, flags: SYN })).toMatchObject([{ flags: "S.", ack: 1_001 }]);
    expect(listener.synQueue.size).toBe(1);
    expect(listener.counters.cookiesSent).toBe(0);
  });

  it("even where every SYN gets a cookie, that one does not: its numbers must lie beyond the old ones", () => {
    const rig = new Rig({ synCookies: "always" });
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    timeWait(rig);
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 1_000, flags: SYN })).toMatchObject([{ flags: "S.", ack: 1_001 }]);
    expect(listener.synQueue.size).toBe(1);
  });
});

describe("challenge ACKs of a whole stack (RFC 5961 §7)", () => {
  it("many connections under a blind attack share one budget a second", () => {
    const rig = new Rig({ challengeAcksPerSecond: 10 });
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    for (let port = 1; port <= 60; port++) rig.handshake({ fromPort: port, toPort: 80, seq: 0 });
    expect(listener.acceptQueue.length).toBe(60);
    let answers = 0;
    for (let port = 1; port <= 60; port++) {
      answers += rig.inject({ fromPort: port, toPort: 80, seq: 500, flags: RST }).length;
    }
    expect(answers).toBeGreaterThanOrEqual(5);
    expect(answers).toBeLessThan(15);
    expect(rig.stack.challengeAcksHeld).toBe(60 - answers);
    expect(listener.acceptQueue.every((connection) => connection.state === "ESTABLISHED")).toBe(true);
  });
});
