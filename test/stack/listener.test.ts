import { describe, expect, it } from "vitest";
import { SECOND } from "../../src/base/time.js";
import type { StackConfig } from "../../src/stack/config.js";
import type { Listener, ListenOptions } from "../../src/stack/listener.js";
import { PROFILES } from "../../src/tcp/profiles.js";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp-flags.js";
import { HeldPorts } from "./held-ports.js";
import { address, LOCAL, LOCAL6, REMOTE, Rig, type Sent } from "./rig.js";

function listening(
  options: Partial<ListenOptions> = {},
  stack: Partial<StackConfig> = {},
): { rig: Rig; listener: Listener; holder: HeldPorts } {
  const holder = new HeldPorts();
  const rig = new Rig({ ports: holder, ...stack });
  return { rig, listener: rig.stack.listen({ address: LOCAL, port: 80, ...options }), holder };
}

function syn(rig: Rig, fromPort: number, from = REMOTE): Sent[] {
  return rig.inject({ from, fromPort, toPort: 80, seq: 0xffff_ffff, flags: SYN });
}

/** The third segment for a SYN-ACK. */
function ack(rig: Rig, synAck: Sent, payload = new Uint8Array(0), flags = ACK): Sent[] {
  const spec = { fromPort: synAck.toPort, from: parseAddress(synAck.to), toPort: 80 };
  return rig.inject({ ...spec, seq: synAck.ack, ack: (synAck.seq + 1) >>> 0, flags, payload });
}

function only(sent: readonly Sent[]): Sent {
  expect(sent).toHaveLength(1);
  return sent[0] as Sent;
}

describe("listener: the way of a connection", () => {
  it("SYN queue, accept queue, accepted", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, 4000));
    expect(synAck).toMatchObject({ flags: "S.", ack: 0, fromPort: 80, toPort: 4000 });
    expect([listener.synQueue.size, listener.acceptQueue.length]).toEqual([1, 0]);
    expect([...listener.synQueue][0]?.state).toBe("SYN-RECEIVED");
    expect(listener.accept()).toBeUndefined();
    expect(rig.stack.pollEventful()).toBeUndefined();
    expect(ack(rig, synAck)).toEqual([]);
    expect([listener.synQueue.size, listener.acceptQueue.length]).toEqual([0, 1]);
    expect(rig.stack.pollEventful()).toBe(listener);
    // Before accept the connection's own events are nobody's.
    expect(rig.stack.pollEventful()).toBeUndefined();
    const connection = listener.accept();
    expect(connection?.state).toBe("ESTABLISHED");
    expect(listener.counters).toEqual({
      synsReceived: 1,
      synQueueOverflows: 0,
      fastOpenAccepted: 0,
      fastOpenOverflows: 0,
      fastOpenCookiesSent: 0,
      fastOpenCookiesFailed: 0,
      acceptQueueOverflows: 0,
      handshakesFailed: 0,
      established: 1,
      accepted: 1,
      cookiesSent: 0,
      cookiesReceived: 0,
      cookiesFailed: 0,
    });
    expect(rig.stack.pollEventful()).toBe(connection);
    expect(connection?.pollEvent()).toBe("established");
    expect(rig.stack.nextTimeout()).toBeGreaterThan(rig.now);
  });

  it("data and FIN on the third segment wait for the user", () => {
    const { rig, listener } = listening();
    const answer = ack(rig, only(syn(rig, 4000)), new Uint8Array([1, 2, 3]), PSH | FIN | ACK);
    expect(answer).toMatchObject([{ flags: ".", ack: 4 }]);
    const connection = listener.accept();
    expect(connection?.state).toBe("CLOSE-WAIT");
    const target = new Uint8Array(8);
    expect(connection?.read(target)).toBe(3);
    expect(connection?.endOfData).toBe(true);
  });

  it("a connection that is reset in the accept queue is told to the user who accepts it", () => {
    const { rig, listener, holder } = listening();
    const synAck = only(syn(rig, 4000));
    ack(rig, synAck, new Uint8Array([7]), PSH | ACK);
    rig.inject({ fromPort: 4000, toPort: 80, seq: (synAck.ack + 1) >>> 0, flags: RST });
    expect(rig.stack.connectionCount).toBe(0);
    expect(rig.stack.pollEventful()).toBe(listener);
    const connection = listener.accept();
    expect(connection).toMatchObject({ state: "CLOSED", failure: "ECONNRESET", readableBytes: 1 });
    expect(rig.stack.pollEventful()).toBe(connection);
    const events: (string | undefined)[] = [];
    for (let e = connection?.pollEvent(); e !== undefined; e = connection?.pollEvent()) events.push(e);
    expect(events.at(-1)).toBe("closed");
    expect(events).toContain("failed");
    listener.close(rig.now);
    expect(holder.held.size).toBe(0);
  });

  it("a new incarnation of such a connection does not answer for it", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, 4000));
    ack(rig, synAck);
    rig.inject({ fromPort: 4000, toPort: 80, seq: synAck.ack, flags: RST });
    ack(rig, only(syn(rig, 4000)));
    const [first, second] = [listener.accept(), listener.accept()];
    expect([first?.state, second?.state]).toEqual(["CLOSED", "ESTABLISHED"]);
    expect(rig.stack.connectionCount).toBe(1);
    const told = new Set([listener, rig.stack.pollEventful(), rig.stack.pollEventful(), rig.stack.pollEventful()]);
    expect(told).toContain(first);
    expect(told).toContain(second);
  });
});

describe("listener: a full SYN queue", () => {
  it("drops further SYNs in silence, counts them, and takes them again when there is room", () => {
    const { rig, listener } = listening({ synBacklog: 3 }, { synCookies: "off" });
    const synAcks = [1, 2, 3].map((port) => only(syn(rig, port)));
    expect(syn(rig, 4)).toEqual([]);
    expect(syn(rig, 4)).toEqual([]);
    expect(listener.counters).toMatchObject({ synQueueOverflows: 2, acceptQueueOverflows: 0 });
    expect(rig.stack.connectionCount).toBe(3);
    // The SYN of one that is in the queue is no newcomer: it gets its SYN-ACK again.
    expect(only(syn(rig, 2))).toMatchObject({ flags: "S.", seq: synAcks[1]?.seq, toPort: 2 });
    ack(rig, synAcks[0] as Sent);
    expect(listener.synQueue.size).toBe(2);
    expect(only(syn(rig, 4)).flags).toBe("S.");
    expect(listener.synQueue.size).toBe(3);
  });
});

describe("listener: a full accept queue", () => {
  it("takes no new SYN, and lets a third segment wait for its repetition", () => {
    const { rig, listener } = listening({ backlog: 2 });
    const synAcks = [1, 2, 3].map((port) => only(syn(rig, port)));
    ack(rig, synAcks[0] as Sent);
    ack(rig, synAcks[1] as Sent);
    expect(listener.acceptQueue.length).toBe(2);
    expect(syn(rig, 4)).toEqual([]);
    expect(listener.counters).toMatchObject({ acceptQueueOverflows: 1, synQueueOverflows: 0 });
    // The third of the third: silence, still half-open; so is data on it.
    expect(ack(rig, synAcks[2] as Sent)).toEqual([]);
    expect(ack(rig, synAcks[2] as Sent, new Uint8Array([1, 2]), PSH | ACK)).toEqual([]);
    expect(listener.counters.acceptQueueOverflows).toBe(3);
    expect([...listener.synQueue][0]?.state).toBe("SYN-RECEIVED");
    // One is accepted; our SYN-ACK comes again by its timer, and its ACK completes the handshake.
    listener.accept();
    const again = only(rig.runUntil(rig.now + SECOND));
    expect(again).toMatchObject({ flags: "S.", seq: synAcks[2]?.seq, ack: synAcks[2]?.ack, toPort: 3 });
    ack(rig, again);
    expect(listener.acceptQueue.length).toBe(2);
    expect([listener.accept(), listener.accept()].map((c) => c?.tcb.remotePort)).toEqual([2, 3]);
    expect(listener.counters).toMatchObject({ accepted: 3, handshakesFailed: 0 });
  });

  it("a peer that repeats its data completes the handshake without our SYN-ACK", () => {
    const { rig, listener } = listening({ backlog: 1 });
    const synAcks = [1, 2].map((port) => only(syn(rig, port)));
    ack(rig, synAcks[0] as Sent);
    expect(ack(rig, synAcks[1] as Sent, new Uint8Array([1, 2]), PSH | ACK)).toEqual([]);
    listener.accept();
    ack(rig, synAcks[1] as Sent, new Uint8Array([1, 2]), PSH | ACK);
    expect(listener.accept()?.readableBytes).toBe(2);
  });
});

describe("listener: the third segment never comes", () => {
  it("SYN-ACK is repeated with doubled waits up to the maximum, then the entry is gone", () => {
    const { rig, listener, holder } = listening();
    const start = rig.now;
    const first = only(syn(rig, 4000));
    const sent = rig.runUntil(start + 200 * SECOND);
    expect(sent.map((packet) => (packet.at - start) / SECOND)).toEqual([1, 3, 7, 15, 31]);
    for (const packet of sent) expect(packet).toMatchObject({ flags: "S.", seq: first.seq, ack: first.ack });
    expect(listener.counters.handshakesFailed).toBe(1);
    expect(listener.synQueue.size).toBe(0);
    expect(rig.stack.connectionCount).toBe(0);
    expect(rig.stack.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
    // The third segment comes after all: there is nothing for it.
    expect(ack(rig, first)).toMatchObject([{ flags: "R", seq: (first.seq + 1) >>> 0 }]);
    // The listener is as before.
    expect(only(syn(rig, 4000)).flags).toBe("S.");
    expect([...holder.held]).toEqual(["10.0.0.1:80"]);
  });

  it("the number of repetitions and the waits are settings", () => {
    const { rig } = listening({ connection: { synAckRetries: 2, rtoInitialUs: 3 * SECOND } });
    const start = rig.now;
    syn(rig, 4000);
    expect(rig.runUntil(start + 100 * SECOND).map((packet) => (packet.at - start) / SECOND)).toEqual([3, 9]);
    expect(rig.stack.connectionCount).toBe(0);
  });

  it("a peer that repeats its SYN gets the same SYN-ACK", () => {
    const { rig, listener } = listening();
    const first = only(syn(rig, 4000));
    rig.runUntil(rig.now + SECOND / 2);
    const again = only(syn(rig, 4000));
    expect(again).toMatchObject({ flags: "S.", seq: first.seq, ack: first.ack });
    expect(listener.synQueue.size).toBe(1);
  });
});

describe("listener: RST and wrong segments in SYN-RECEIVED", () => {
  it("RST at RCV.NXT removes the entry and tells no user", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, 4000));
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: synAck.ack, flags: RST })).toEqual([]);
    expect(listener.counters.handshakesFailed).toBe(1);
    expect([listener.synQueue.size, rig.stack.connectionCount]).toEqual([0, 0]);
    expect(rig.stack.pollEventful()).toBeUndefined();
  });

  it("RST elsewhere does not: in the window it is challenged, outside it is dropped", () => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, 4000));
    const challenged = rig.inject({ fromPort: 4000, toPort: 80, seq: (synAck.ack + 1) >>> 0, flags: RST });
    expect(challenged).toMatchObject([{ flags: ".", ack: synAck.ack }]);
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: (synAck.ack - 1) >>> 0, flags: RST })).toEqual([]);
    expect(listener.synQueue.size).toBe(1);
  });

  it.each([-1, 1, 0x8000_0000])("an acknowledgment that is off by %i gets RST, and the entry stays", (offBy) => {
    const { rig, listener } = listening();
    const synAck = only(syn(rig, 4000));
    const wrong = (synAck.seq + 1 + offBy) >>> 0;
    const sent = rig.inject({ fromPort: 4000, toPort: 80, seq: synAck.ack, ack: wrong, flags: ACK });
    expect(sent).toMatchObject([{ flags: "R", seq: wrong }]);
    expect(listener.synQueue.size).toBe(1);
    expect(listener.acceptQueue.length).toBe(0);
  });

  it.each<[string, number]>([
    ["ACK", ACK],
    ["SYN,ACK", SYN | ACK],
    ["FIN,ACK", FIN | ACK],
  ])("in LISTEN %s gets RST", (_, flags) => {
    const { rig } = listening();
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 5, ack: 77, flags })).toMatchObject([{ flags: "R", seq: 77 }]);
    expect(rig.stack.connectionCount).toBe(0);
  });

  it.each([RST, RST | SYN, RST | ACK, FIN, PSH, 0])("in LISTEN flags %i get silence", (flags) => {
    const { rig } = listening();
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 5, ack: 77, flags })).toEqual([]);
    expect(rig.stack.connectionCount).toBe(0);
  });
});

describe("listener: close", () => {
  it("resets whom nobody has accepted, leaves the accepted alone, and gives the port back with the last of them", () => {
    const { rig, listener, holder } = listening();
    const synAcks = [1, 2, 3].map((port) => only(syn(rig, port)));
    ack(rig, synAcks[0] as Sent);
    ack(rig, synAcks[1] as Sent);
    const accepted = listener.accept();
    listener.close(rig.now);
    listener.close(rig.now);
    const sent = rig.drain();
    expect(new Map(sent.map((packet) => [packet.toPort, packet.flags]))).toEqual(
      new Map([
        [2, "R."],
        [3, "R."],
      ]),
    );
    expect(rig.stack.listeners()).toEqual([]);
    expect(listener.accept()).toBeUndefined();
    expect(listener.counters.handshakesFailed).toBe(0);
    expect(rig.stack.connectionCount).toBe(1);
    expect(accepted?.state).toBe("ESTABLISHED");
    expect([...holder.held]).toEqual(["10.0.0.1:80"]);
    expect(syn(rig, 9)).toMatchObject([{ flags: "R." }]);
    accepted?.abort(rig.now);
    rig.drain();
    expect(holder.held.size).toBe(0);
    expect(rig.stack.connectionCount).toBe(0);
  });

  it("wakes the owner and is told once", () => {
    const { rig, listener } = listening();
    ack(rig, only(syn(rig, 1)));
    let woken = 0;
    rig.stack.onWake = () => {
      woken++;
      // As the simulator does it: everything that is due goes out within the call.
      rig.drain();
    };
    listener.close(rig.now);
    expect(woken).toBeGreaterThan(0);
    expect(rig.stack.connectionCount).toBe(0);
    expect(rig.drain()).toEqual([]);
  });
});

describe("all connections at once", () => {
  it("can be ended while they are walked over, though each vanishes at once", () => {
    const { rig } = listening();
    for (let i = 0; i < 300; i++) syn(rig, 1000 + i);
    rig.stack.onWake = () => void rig.drain();
    let ended = 0;
    for (const connection of rig.stack.connections()) {
      connection.abort(rig.now);
      ended++;
    }
    expect(ended).toBe(300);
    expect(rig.stack.connectionCount).toBe(0);
  });
});

describe("listener: addresses in use", () => {
  it("EADDRINUSE for the same address, for a wildcard over it and for one under a wildcard, but not across families", () => {
    const { rig, listener } = listening();
    const inUse = expect.objectContaining({ code: "EADDRINUSE" });
    expect(() => rig.stack.listen({ address: LOCAL, port: 80 })).toThrow(inUse);
    expect(() => rig.stack.listen({ address: parseAddress("0.0.0.0"), port: 80 })).toThrow(inUse);
    rig.stack.listen({ address: LOCAL6, port: 80 });
    rig.stack.listen({ address: parseAddress("0.0.0.0"), port: 81 });
    expect(() => rig.stack.listen({ address: LOCAL, port: 81 })).toThrow(inUse);
    listener.close(rig.now);
    rig.drain();
    expect(rig.stack.listen({ address: LOCAL, port: 80 }).port).toBe(80);
  });

  it.each([-1, 65_536, 1.5, Number.NaN])("EINVAL for port %d", (port) => {
    const { rig } = listening();
    expect(() => rig.stack.listen({ address: LOCAL, port })).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect([...rig.stack.ports()]).toEqual([80]);
  });

  it("port 0 chooses an ephemeral one that is free", () => {
    const { rig } = listening();
    const ports = [0, 1, 2, 3].map(() => rig.stack.listen({ address: LOCAL, port: 0 }).port);
    expect(new Set(ports).size).toBe(4);
    for (const port of ports) expect(port).toBeGreaterThanOrEqual(49_152);
  });

  it("what the port holder refuses is not listened on", () => {
    const holder = new HeldPorts();
    holder.refuse.set(80, Object.assign(new Error("taken by another program"), { code: "EADDRINUSE" }));
    const rig = new Rig({ ports: holder });
    expect(() => rig.stack.listen({ address: LOCAL, port: 80 })).toThrow("taken by another program");
    expect(rig.stack.listeners()).toEqual([]);
    expect(syn(rig, 4000)).toMatchObject([{ flags: "R." }]);
  });
});

describe("listener: many peers at once", () => {
  it("2,000 connections open, each to its own, and all of it is gone after they end", () => {
    const { rig, listener, holder } = listening({ backlog: 2000, synBacklog: 2000 });
    const peers = Array.from({ length: 2000 }, (_, i) => ({ from: address(i), fromPort: 1024 + (i % 7), toPort: 80 }));
    const synAcks = peers.map((peer) => only(syn(rig, peer.fromPort, peer.from)));
    expect(new Set(synAcks.map((packet) => packet.seq)).size).toBeGreaterThan(1990);
    expect(listener.synQueue.size).toBe(2000);
    for (const synAck of synAcks) ack(rig, synAck, Uint8Array.of(synAck.toPort & 255), PSH | ACK);
    expect(listener.acceptQueue.length).toBe(2000);
    const seen = new Set<string>();
    for (let c = listener.accept(); c !== undefined; c = listener.accept()) {
      const byte = new Uint8Array(1);
      expect(c.read(byte)).toBe(1);
      expect(byte[0]).toBe(c.tcb.remotePort & 255);
      seen.add(String(c.tcb.remote));
      c.abort(rig.now);
    }
    expect(seen.size).toBe(2000);
    expect(rig.drain().filter((packet) => packet.flags === "R.")).toHaveLength(2000);
    expect(rig.stack.connectionCount).toBe(0);
    expect(rig.stack.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
    listener.close(rig.now);
    expect(holder.held.size).toBe(0);
  });
});

describe("listener as FreeBSD has it", () => {
  const bsd = { connection: PROFILES.freebsd };

  it("the accept queue takes half as many again; who comes then is reset, but his SYN is answered", () => {
    const { rig, listener } = listening({ backlog: 2 }, bsd);
    for (let i = 0; i < 4; i++) expect(ack(rig, only(syn(rig, 4000 + i)))).toEqual([]);
    expect(listener.acceptQueue).toHaveLength(4);
    const synAck = only(syn(rig, 5000));
    expect(only(ack(rig, synAck))).toMatchObject({ flags: "R", seq: (synAck.seq + 1) >>> 0 });
    expect(listener.counters.acceptQueueOverflows).toBe(1);
    listener.accept();
    expect(ack(rig, only(syn(rig, 5001)))).toEqual([]);
  });

  it("drop_synfin: SYN with FIN begins nothing", () => {
    const { rig, listener } = listening({}, { connection: { ...PROFILES.freebsd, dropsSynFin: true } });
    expect(rig.inject({ from: REMOTE, fromPort: 4000, toPort: 80, seq: 7, flags: SYN | FIN })).toEqual([]);
    expect(listener.counters.synsReceived).toBe(0);
    expect(only(syn(rig, 4000)).flags).toBe("S.");
  });

  it("a closed port may keep silent, to a SYN or at all", () => {
    const stranger = { from: REMOTE, fromPort: 4000, toPort: 81, seq: 7 };
    const answers = (closedPorts: "reset" | "silent-to-syn" | "silent") => {
      const { rig } = listening({}, { closedPorts, ownsAddresses: true });
      return [rig.inject({ ...stranger, flags: SYN }).length, rig.inject({ ...stranger, flags: ACK }).length];
    };
    expect(answers("reset")).toEqual([1, 1]);
    expect(answers("silent-to-syn")).toEqual([0, 1]);
    expect(answers("silent")).toEqual([0, 0]);
  });
});
