import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/base/random.js";
import { Stack } from "../../src/stack/stack.js";
import { parseAddress } from "../../src/wire/address.js";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp-flags.js";
import { address, LOCAL, LOCAL6, REMOTE6, Rig, type TcpSpec, tcpPacket } from "./rig.js";

const TO_CLOSED = { fromPort: 4000, toPort: 81 } as const;

describe("a segment for a closed port (RFC 9293 §3.10.7.1)", () => {
  it.each<[string, number, number, number]>([
    ["SYN", SYN, 0, 1],
    ["SYN with data", SYN, 10, 11],
    ["data without ACK", PSH, 10, 10],
    ["FIN without ACK", FIN, 0, 1],
    ["SYN and FIN with data", SYN | FIN, 10, 12],
    ["no flags at all", 0, 0, 0],
  ])("without ACK (%s): <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>", (_, flags, size, length) => {
    const rig = new Rig();
    const seq = 0xffff_fffe;
    const sent = rig.inject({ ...TO_CLOSED, seq, flags, payload: new Uint8Array(size) });
    expect(sent).toMatchObject([
      { flags: "R.", seq: 0, ack: (seq + length) >>> 0, from: "10.0.0.1", fromPort: 81, to: "10.0.0.2", toPort: 4000 },
    ]);
    expect(rig.stack.counters.resetsSent).toBe(1);
  });

  it.each<[string, number]>([
    ["ACK", ACK],
    ["SYN,ACK", SYN | ACK],
    ["FIN,ACK", FIN | ACK],
    ["data", PSH | ACK],
  ])("with ACK (%s): <SEQ=SEG.ACK><CTL=RST>", (_, flags) => {
    const sent = new Rig().inject({ ...TO_CLOSED, seq: 5, ack: 0xffff_ffff, flags, payload: new Uint8Array(3) });
    expect(sent).toMatchObject([{ flags: "R", seq: 0xffff_ffff, ack: 0 }]);
    expect(sent[0]?.payload).toHaveLength(0);
    expect(sent[0]?.hasTimestamps).toBe(false);
  });

  it.each([RST, RST | ACK, RST | SYN])("with RST (flags %i): nothing", (flags) => {
    const rig = new Rig();
    expect(rig.give(tcpPacket({ ...TO_CLOSED, seq: 5, ack: 6, flags }))).toContain("ignored");
    expect(rig.drain()).toEqual([]);
    expect(rig.stack.counters.resetsSent).toBe(0);
  });

  it("is answered over IPv6 as well", () => {
    const sent = new Rig().inject({ ...TO_CLOSED, from: REMOTE6, to: LOCAL6, seq: 9, flags: SYN });
    expect(sent).toMatchObject([{ flags: "R.", seq: 0, ack: 10, from: "2001:db8::1", to: "2001:db8::2" }]);
  });

  it("is answered a bounded number of times at once, in order", () => {
    const rig = new Rig();
    for (let i = 0; i < 1000; i++) rig.give(tcpPacket({ fromPort: 1000 + i, toPort: 81, seq: i, flags: SYN }));
    const sent = rig.drain();
    expect(sent.map((packet) => packet.toPort)).toEqual(Array.from({ length: 64 }, (_, i) => 1000 + i));
    // After the drain there is room again.
    expect(rig.inject({ ...TO_CLOSED, seq: 1, flags: SYN })).toHaveLength(1);
  });
});

describe("on an address that the kernel shares", () => {
  it("a port that the stack does not hold is not spoken for", () => {
    const rig = new Rig({ ownsAddresses: false });
    expect(rig.give(tcpPacket({ ...TO_CLOSED, seq: 1, flags: SYN }))).toBe("not ours");
    expect(rig.drain()).toEqual([]);
    expect(rig.stack.counters.notOurs).toBe(1);
  });

  it("a port that it holds is: the segment of an unknown peer is answered", () => {
    const rig = new Rig({ ownsAddresses: false });
    rig.stack.connect({ local: LOCAL, localPort: 5000, remote: address(1), remotePort: 80 }, rig.now);
    rig.drain();
    expect(rig.inject({ fromPort: 4000, toPort: 5000, seq: 1, flags: SYN })).toMatchObject([{ flags: "R.", toPort: 4000 }]);
  });

  it("the same port of another address is not: another process may hold it, and a raw socket sees its packets too", () => {
    const rig = new Rig({ ownsAddresses: false });
    rig.stack.connect({ local: LOCAL, localPort: 5000, remote: address(1), remotePort: 80 }, rig.now);
    rig.drain();
    const packet = tcpPacket({ fromPort: 4000, to: address(9), toPort: 5000, seq: 1, ack: 1, flags: ACK });
    expect(rig.give(packet)).toBe("not ours");
    expect(rig.drain()).toEqual([]);
    // A listener at every address speaks for each of them.
    rig.stack.listen({ address: parseAddress("0.0.0.0"), port: 6000 });
    expect(rig.inject({ fromPort: 4000, to: address(9), toPort: 6000, seq: 1, ack: 1, flags: ACK })).toMatchObject([
      { flags: "R" },
    ]);
  });

  it("a listener's port is answered with RST again once the listener is gone and the port released", () => {
    const rig = new Rig({ ownsAddresses: false });
    const listener = rig.stack.listen({ address: LOCAL, port: 80 });
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 1, ack: 2, flags: ACK })).toMatchObject([{ flags: "R", seq: 2 }]);
    listener.close(rig.now);
    expect(rig.inject({ fromPort: 4000, toPort: 80, seq: 1, ack: 2, flags: ACK })).toEqual([]);
  });
});

describe("a segment from or to an address that is not one host's (MUST-57, MUST-63)", () => {
  const bad: readonly [string, Partial<TcpSpec>][] = [
    ["from broadcast", { from: parseAddress("255.255.255.255") }],
    ["from multicast", { from: parseAddress("224.0.0.1") }],
    ["from 0.0.0.0", { from: parseAddress("0.0.0.0") }],
    ["to broadcast", { to: parseAddress("255.255.255.255") }],
    ["to multicast", { to: parseAddress("239.1.2.3") }],
    ["from IPv6 multicast", { from: parseAddress("ff02::1"), to: LOCAL6 }],
    ["from ::", { from: parseAddress("::"), to: LOCAL6 }],
    ["to IPv6 multicast", { from: REMOTE6, to: parseAddress("ff02::1") }],
  ];

  it.each(bad)("%s is dropped in silence, by closed ports and by a wildcard listener", (_, part) => {
    const rig = new Rig();
    const family = part.from?.family ?? part.to?.family ?? 4;
    const listener = rig.stack.listen({ address: parseAddress(family === 4 ? "0.0.0.0" : "::"), port: 80 });
    for (const toPort of [80, 81]) {
      expect(rig.give(tcpPacket({ fromPort: 4000, toPort, seq: 1, flags: SYN, ...part }))).toBe(
        "dropped: not from or to one host",
      );
    }
    expect(rig.drain()).toEqual([]);
    expect(listener.synQueue.size).toBe(0);
    expect(rig.stack.connectionCount).toBe(0);
  });
});

describe("checksums", () => {
  const packet = (checksum: "good" | "bad" | "partial", payload = new Uint8Array(0)): Uint8Array =>
    tcpPacket({ ...TO_CLOSED, seq: 1, flags: SYN, checksum, payload });

  it.each([
    ["strict", "good", true],
    ["strict", "partial", false],
    ["strict", "bad", false],
    ["partial-ok", "good", true],
    ["partial-ok", "partial", true],
    ["partial-ok", "bad", false],
    ["off", "good", true],
    ["off", "partial", true],
    ["off", "bad", true],
  ] as const)("%s: a %s one is taken: %s", (checksums, kind, taken) => {
    const rig = new Rig({ checksums });
    const verdict = rig.give(packet(kind, new Uint8Array([1, 2, 3])));
    expect(rig.drain()).toHaveLength(taken ? 1 : 0);
    expect(rig.stack.counters.badChecksums).toBe(taken ? 0 : 1);
    if (!taken) expect(verdict).toBe("dropped: bad TCP checksum");
  });

  it("default to partial-ok", () => {
    const stack = new Stack({ random: new SeededRandom(1), ownsAddresses: true });
    const give = (bytes: Uint8Array): string => stack.receive(bytes, 0, bytes.length, 0);
    expect(give(packet("partial"))).toContain("answered with RST");
    expect(give(packet("bad"))).toBe("dropped: bad TCP checksum");
  });

  it("any changed byte of the segment is found out (MUST-3)", () => {
    const good = tcpPacket({ ...TO_CLOSED, seq: 0x01020304, flags: SYN, payload: new Uint8Array([1, 2, 3]) });
    const rig = new Rig();
    for (let at = 20; at < good.length; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 0x10;
      rig.give(bad);
    }
    expect(rig.drain()).toEqual([]);
    // A changed data offset may fail before the checksum is looked at.
    expect(rig.stack.counters.badChecksums + rig.stack.counters.badPackets).toBe(good.length - 20);
  });

  it("an IPv4 header with a wrong checksum is dropped where the stack is the only reader", () => {
    const bad = packet("good");
    bad[8] = 63;
    const own = new Rig();
    expect(own.give(bad)).toBe("bad IP header checksum");
    expect(own.stack.counters.badPackets).toBe(1);
    // The kernel has looked at it already where addresses are shared.
    expect(new Rig({ ownsAddresses: false }).give(bad)).toBe("not ours");
  });
});

describe("what is no TCP segment", () => {
  it("is counted and never throws", () => {
    const rig = new Rig();
    const good = tcpPacket({ ...TO_CLOSED, seq: 1, flags: SYN });
    for (let length = 0; length < good.length; length++) expect(rig.give(good.slice(0, length))).not.toBe("");
    expect(rig.stack.counters.badPackets).toBe(good.length);
    expect(rig.stack.counters.packetsIn).toBe(good.length);
    const udp = good.slice();
    udp[9] = 17;
    udp[10] = 0;
    expect(new Rig({ ownsAddresses: false }).give(udp)).toBe("not TCP");
    expect(rig.drain()).toEqual([]);
  });

  it("a data offset beyond the segment or below the header is a bad packet", () => {
    for (const offset of [4, 15]) {
      const rig = new Rig({ checksums: "off" });
      const packet = tcpPacket({ ...TO_CLOSED, seq: 1, flags: SYN });
      packet[32] = offset << 4;
      expect(rig.give(packet)).toBe("bad TCP data offset");
      expect(rig.drain()).toEqual([]);
    }
  });
});
