/** OPEN and its addresses (RFC 9293 §3.5, §3.9.1.1), through a whole stack. */
import { describe, expect, test } from "vitest";
import { parseAddress } from "../../../src/wire/address.js";
import { ACK, FIN, PSH, SYN } from "../../../src/wire/tcp-flags.js";
import { LOCAL, REMOTE, Rig, type Sent } from "../../stack/rig.js";

const OTHER = parseAddress("10.0.0.9");
const ANY = parseAddress("0.0.0.0");
const PEER = { fromPort: 4_000, toPort: 80 } as const;
const IRS = 0xffff_fffe;

/** A listener, a client, and what comes of them. */
function connected(address = LOCAL, to = LOCAL) {
  const rig = new Rig({ connection: { noDelay: true } });
  const listener = rig.stack.listen({ address, port: 80 });
  const synAck = rig.handshake({ ...PEER, to, seq: IRS });
  const connection = listener.accept();
  if (connection === undefined) throw new Error("nothing was accepted");
  return { rig, listener, connection, ours: (synAck.seq + 1) >>> 0, synAck };
}

describe("a passive OPEN", () => {
  test("disturbs no connection, whatever address and port it is for (MUST-41)", () => {
    const { rig, connection, ours } = connected();
    const before = connection.status();
    rig.stack.listen({ address: LOCAL, port: 81 });
    rig.stack.listen({ address: OTHER, port: 80 });
    rig.stack.listen({ address: LOCAL, port: 4_000 });
    expect(rig.drain()).toEqual([]);
    expect(connection.status()).toEqual(before);
    rig.inject({ ...PEER, seq: 0xffff_ffff, ack: ours, flags: PSH | ACK, payload: new Uint8Array(5) });
    expect(connection.readableBytes).toBe(5);
  });

  test("is possible on a port that connections of a former listener still use (MUST-42)", () => {
    const { rig, listener, connection, ours } = connected();
    listener.close(rig.now);
    const next = rig.stack.listen({ address: LOCAL, port: 80 });
    rig.handshake({ fromPort: 4_001, toPort: 80, seq: 7 });
    expect(next.accept()?.tcb.remotePort).toBe(4_001);
    rig.inject({ ...PEER, seq: 0xffff_ffff, ack: ours, flags: PSH | ACK, payload: new Uint8Array(5) });
    expect([connection.state, connection.readableBytes]).toEqual(["ESTABLISHED", 5]);
  });

  test("is possible on the port of an active OPEN (MUST-42)", () => {
    const rig = new Rig();
    const connection = rig.stack.connect({ local: LOCAL, localPort: 80, remote: OTHER, remotePort: 9 }, rig.now);
    rig.drain();
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    rig.handshake({ ...PEER, seq: IRS });
    expect(listener.accept()?.state).toBe("ESTABLISHED");
    expect(connection.state).toBe("SYN-SENT");
  });
});

describe("the local address", () => {
  test("is the one that OPEN is given (MUST-43)", () => {
    const rig = new Rig();
    rig.stack.connect({ local: OTHER, remote: REMOTE, remotePort: 80 }, rig.now);
    expect(rig.drain()).toMatchObject([{ flags: "S", from: "10.0.0.9" }]);
    const listener = rig.stack.listen({ address: OTHER, port: 80 });
    expect(rig.inject({ ...PEER, seq: IRS, flags: SYN, to: LOCAL })).toMatchObject([{ flags: "R." }]);
    rig.handshake({ ...PEER, seq: IRS, to: OTHER });
    expect(listener.accept()?.status().local).toBe("10.0.0.9:80");
  });

  test("of a listener for all addresses is that of the SYN, in every segment of the connection's life (MUST-45)", () => {
    const { rig, connection, ours, synAck } = connected(ANY, OTHER);
    const sent: Sent[] = [synAck];
    connection.send(new Uint8Array(3_000));
    sent.push(...rig.drain());
    sent.push(...rig.runUntil(rig.now + 2_000_000));
    const ack = (ours + 3_000) >>> 0;
    sent.push(...rig.inject({ ...PEER, to: OTHER, seq: 0xffff_ffff, ack, flags: FIN | ACK }));
    connection.shutdown(rig.now);
    sent.push(...rig.drain());
    expect(new Set(sent.map((packet) => `${packet.from}:${packet.fromPort}`))).toEqual(new Set(["10.0.0.9:80"]));
    expect(sent.map((packet) => packet.flags)).toEqual(expect.arrayContaining(["S.", "P.", ".", "F."]));
  });
});
