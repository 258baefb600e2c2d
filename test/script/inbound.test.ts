/** Packets of a script as bytes: what they say to a parser that knows nothing of scripts. */
import { describe, expect, it } from "vitest";
import { UnsupportedError } from "../../src/script/errors.js";
import { Flow } from "../../src/script/flow.js";
import { icmpPacket, tcpPacket, udpPacket } from "../../src/script/inbound.js";
import { parseScript } from "../../src/script/parser.js";
import { readSettings, type Settings } from "../../src/script/settings.js";
import { IcmpError, parseIcmpError } from "../../src/wire/icmp.js";
import { IpPacket, PROTOCOL_TCP, parseIpPacket } from "../../src/wire/ip-packet.js";
import { parseSegment, Segment, verifyChecksum } from "../../src/wire/segment.js";
import { ACK, PSH, SYN } from "../../src/wire/tcp-flags.js";

const PORTS = { local: 4_000, remote: 80 };

function settingsOf(family: 4 | 6): Settings {
  return readSettings([], family === 6 ? { ip_version: "ipv6" } : {});
}

/** The packet of a line of script; the flow's numbers are 1,000 ours, 5,000 the peer's. */
function bytesOf(line: string, family: 4 | 6 = 4): Uint8Array {
  const settings = settingsOf(family);
  const flow = new Flow();
  flow.begin("child", PORTS.remote);
  flow.numbers.peerIsn = 0;
  flow.numbers.ourIsn = 1_000;
  const action = parseScript(line).events[0]?.action;
  if (action?.kind === "packet") return tcpPacket(action.packet, flow, PORTS, settings);
  if (action?.kind === "udp") return udpPacket(action.udp, PORTS, settings);
  if (action?.kind === "icmp") return icmpPacket(action.icmp, flow, PORTS, settings);
  throw new Error("no packet");
}

function ipOf(bytes: Uint8Array): IpPacket {
  const packet = new IpPacket();
  expect(parseIpPacket(packet, bytes, 0, bytes.length, true)).toBe("");
  return packet;
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  it("a segment: ports of the connection, our numbers moved to those of the wire, good checksums", () => {
    const bytes = bytesOf("0 < P. 1:101(100) ack 11 win 500 <mss 1000>", family);
    const ip = ipOf(bytes);
    const segment = new Segment();
    expect(parseSegment(segment, bytes, ip.payloadOffset, ip.payloadLength)).toBe("");
    const { seq, ack, wnd, flags, payloadLength, mss } = segment;
    expect({ seq, ack, wnd, flags, payloadLength, mss }).toEqual({
      seq: 1,
      ack: 1_011,
      wnd: 500,
      flags: PSH | ACK,
      payloadLength: 100,
      mss: 1_000,
    });
    const sum = verifyChecksum(ip.source, ip.destination, bytes, ip.payloadOffset, ip.payloadLength, "strict");
    expect(sum).toBe("ok");
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    expect([view.getUint16(ip.payloadOffset), view.getUint16(ip.payloadOffset + 2)]).toEqual([80, 4_000]);
    expect(ip.source.equals(settingsOf(family).remote)).toBe(true);
  });

  it("ports that the script names stand in the place of the connection's", () => {
    const bytes = bytesOf("0 < 1234 > 99 S 0:0(0) win 1", family);
    const at = ipOf(bytes).payloadOffset;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    expect([view.getUint16(at), view.getUint16(at + 2)]).toEqual([1_234, 99]);
    expect((view.getUint16(at + 12) & SYN) !== 0).toBe(true);
  });

  it("marks: ECN, Diffserv and TTL of the IP header, its default 64", () => {
    expect(ipOf(bytesOf("0 < [ce] . 1:1(0) ack 1 win 1", family))).toMatchObject({ ttl: 64, tos: 3 });
    expect(ipOf(bytesOf("0 < (ttl 7) . 1:1(0) ack 1 win 1", family)).ttl).toBe(7);
  });

  it("an ICMP error quotes our segment, with the number of the wire and its length", () => {
    const bytes = bytesOf("0 < icmp time_exceeded [11:111(100)]", family);
    const ip = ipOf(bytes);
    const error = new IcmpError();
    const { source, destination, payloadOffset, payloadLength } = ip;
    expect(parseIcmpError(error, bytes, payloadOffset, payloadLength, family, source, destination)).toBe("");
    const headers = family === 4 ? 40 : 60;
    expect(error).toMatchObject({
      kind: "time-exceeded",
      quotedSeq: 1_011,
      quotedLength: headers + 100,
      quotedProtocol: PROTOCOL_TCP,
    });
    expect([error.quotedSourcePort, error.quotedDestinationPort]).toEqual([4_000, 80]);
    expect(error.quotedSource.equals(settingsOf(family).local)).toBe(true);
  });

  it("the MTU that a router tells stands in it", () => {
    const bytes = bytesOf(
      family === 4 ? "0 < icmp unreachable frag_needed mtu 1300 [1:2(1)]" : "0 < icmp packet_too_big mtu 1300 [1:2(1)]",
      family,
    );
    const ip = ipOf(bytes);
    const error = new IcmpError();
    parseIcmpError(error, bytes, ip.payloadOffset, ip.payloadLength, family, ip.source, ip.destination);
    expect(error).toMatchObject({ kind: "packet-too-big", nextHopMtu: 1_300 });
  });

  it("a datagram of UDP has its length and a checksum (RFC 768)", () => {
    const bytes = bytesOf("0 < udp 5 > 6 (100)", family);
    const { payloadOffset, payloadLength } = ipOf(bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset + payloadOffset);
    expect(payloadLength).toBe(108);
    expect([view.getUint16(0), view.getUint16(2), view.getUint16(4)]).toEqual([5, 6, 108]);
    expect(view.getUint16(6)).not.toBe(0);
  });
});

it.each(["0 < icmp packet_too_big mtu 1300 [1:2(1)]", "0 < icmp unreachable no_route [1:2(1)]"])(
  "%s: names that IPv4 does not have are told as unsupported",
  (line) => {
    expect(() => bytesOf(line)).toThrow(UnsupportedError);
  },
);
