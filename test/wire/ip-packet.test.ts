import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IpPacket, parseIpPacket } from "../../src/wire/ip-packet.js";
import { decodeIpv4Header } from "../../src/wire/ipv4.js";
import { decodeIpv6Header, ipv6HeaderLength, ipv6UpperProtocol } from "../../src/wire/ipv6.js";
import { ALL, concat, embedded, fromHex, patched, RST_V4, SYN_V4, SYN_V6 } from "./packets.js";

const packet = new IpPacket();
const parse = (bytes: Uint8Array, verify = true): string => parseIpPacket(packet, bytes, 0, bytes.length, verify);

/** An IPv6 header whose payload is `rest`, with `nextHeader`. */
function v6(nextHeader: number, rest: Uint8Array): Uint8Array {
  return concat(patched(SYN_V6, 4, 0, rest.length, nextHeader).subarray(0, 40), rest);
}

const TCP = SYN_V6.subarray(40);

describe("parseIpPacket on IPv4", () => {
  it("reads the header at an offset", () => {
    expect(parseIpPacket(packet, embedded(SYN_V4), 7, SYN_V4.length, true)).toBe("");
    expect(packet).toMatchObject({ version: 4, protocol: 6, ttl: 64, tos: 0, id: 0xcbe9, dontFragment: true });
    expect([packet.payloadOffset, packet.payloadLength]).toEqual([27, 40]);
    expect([String(packet.source), String(packet.destination)]).toEqual(["127.0.0.1", "127.0.0.1"]);
  });

  it("leaves the padding of the link layer out of the payload", () => {
    expect(parse(concat(RST_V4, [0, 0, 0, 0, 0, 0]))).toBe("");
    expect(packet.payloadLength).toBe(20);
  });

  it("steps over options (MUST-50)", () => {
    const withOption = concat(fromHex("4600002c 00004000 40060000 7f000001 7f000002 94040000"), RST_V4.subarray(20));
    expect(parse(withOption, false)).toBe("");
    expect([packet.payloadOffset, packet.payloadLength, String(packet.destination)]).toEqual([24, 20, "127.0.0.2"]);
  });

  it.each<[string, Uint8Array]>([
    ["too short for an IP header", new Uint8Array(0)],
    ["too short for an IP header", RST_V4.subarray(0, 19)],
    ["unknown IP version", patched(RST_V4, 0, 0x55)],
    ["bad IP header length", patched(RST_V4, 0, 0x44)],
    ["bad IP header length", patched(RST_V4, 0, 0x4f)],
    ["bad IP total length", patched(RST_V4, 2, 0, 19)],
    ["bad IP total length", patched(RST_V4, 2, 0, 41)],
    ["bad IP header checksum", patched(RST_V4, 8, 63)],
  ])("says: %s", (reason, bytes) => {
    expect(parse(bytes)).toBe(reason);
  });

  it("calls first, middle and last fragments fragments", () => {
    for (const field of [0x20, 0x21, 0x01]) expect(parse(patched(RST_V4, 6, field, 0), false)).toBe("IP fragment");
    expect(parse(patched(RST_V4, 6, 0, 1), false)).toBe("IP fragment");
    // The reserved flag does not make one.
    expect(parse(patched(RST_V4, 6, 0x80, 0), false)).toBe("");
    expect(packet.dontFragment).toBe(false);
  });

  it("passes a bad header checksum when it is told not to verify", () => {
    expect(parse(patched(RST_V4, 8, 63), false)).toBe("");
    expect(packet.ttl).toBe(63);
  });
});

describe("parseIpPacket on IPv6", () => {
  it("reads the header at an offset", () => {
    const bytes = patched(SYN_V6, 0, 0x6b, 0xae);
    expect(parseIpPacket(packet, embedded(bytes), 7, bytes.length, true)).toBe("");
    expect(packet).toMatchObject({ version: 6, protocol: 6, ttl: 64, tos: 0xba, id: 0, dontFragment: true });
    expect([packet.payloadOffset, packet.payloadLength, String(packet.source)]).toEqual([47, 40, "::1"]);
  });

  it("steps over extension headers of every kind", () => {
    const hopByHop = fromHex("3c00 010400000000");
    const destination = fromHex("2b01 010c000000000000000000000000");
    const routing = fromHex("3300 0400 00000000");
    const authentication = fromHex("2c01 0000 00000001 00000001");
    const wholeFragment = fromHex("0600 0006 00000001");
    expect(parse(v6(0, concat(hopByHop, destination, routing, authentication, wholeFragment, TCP)))).toBe("");
    expect(packet.protocol).toBe(6);
    expect([packet.payloadOffset, packet.payloadLength]).toEqual([40 + 8 + 16 + 8 + 12 + 8, 40]);
  });

  it("takes a header without a payload", () => {
    expect(parse(v6(6, new Uint8Array(0)))).toBe("");
    expect([packet.payloadOffset, packet.payloadLength]).toEqual([40, 0]);
  });

  it.each<[string, Uint8Array]>([
    ["too short for an IP header", SYN_V6.subarray(0, 39)],
    ["bad IP total length", SYN_V6.subarray(0, 79)],
    ["bad IPv6 extension header", v6(0, fromHex("0600 0104 0000"))],
    ["bad IPv6 extension header", v6(60, concat(fromHex("0606 010400000000"), TCP))],
    ["bad IPv6 extension header", v6(44, fromHex("0600 0001 0000"))],
    ["IP fragment", v6(44, concat(fromHex("0600 0001 00000001"), TCP))],
    ["IP fragment", v6(44, concat(fromHex("0600 0008 00000001"), TCP))],
    ["IP fragment", v6(0, concat(fromHex("2c00 010400000000 0600 fff8 00000001"), TCP))],
  ])("says: %s", (reason, bytes) => {
    expect(parse(bytes)).toBe(reason);
  });
});

describe("parseIpPacket on anything", () => {
  it("reads what the value-level codecs read", () => {
    const base = fc.constantFrom(...Object.values(ALL));
    const edit = fc.tuple(fc.nat(120), fc.nat(255));
    fc.assert(
      fc.property(base, fc.array(edit, { maxLength: 5 }), fc.nat(130), (original, edits, cut) => {
        const bytes = original.slice(0, cut);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        if (parseIpPacket(packet, bytes, 0, bytes.length, false) !== "") return;
        expect(packet.payloadOffset + packet.payloadLength).toBeLessThanOrEqual(bytes.length);
        const four = decodeIpv4Header(bytes, 0, bytes.length);
        if (typeof four !== "string") {
          const { ihl, totalLength, tos, id, ttl, protocol, dontFragment } = four;
          expect(packet).toMatchObject({ version: 4, tos, id, ttl, protocol, dontFragment, payloadOffset: ihl * 4 });
          expect(packet.payloadLength).toBe(totalLength - ihl * 4);
          expect(packet.source.equals(four.source) && packet.destination.equals(four.destination)).toBe(true);
          return;
        }
        const six = decodeIpv6Header(bytes, 0, bytes.length);
        if (typeof six === "string") expect.fail(six);
        const { trafficClass, hopLimit, payloadLength } = six;
        expect(packet).toMatchObject({ version: 6, tos: trafficClass, ttl: hopLimit, payloadOffset: ipv6HeaderLength(six) });
        expect(packet.protocol).toBe(ipv6UpperProtocol(six));
        expect(packet.payloadLength).toBe(40 + payloadLength - ipv6HeaderLength(six));
        expect(packet.source.equals(six.source) && packet.destination.equals(six.destination)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("gives a reason or a payload within the bytes for random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.constantFrom(undefined, 0x45, 0x4f, 0x60), (bytes, first) => {
        if (first !== undefined && bytes.length > 0) bytes[0] = first;
        if (parseIpPacket(packet, bytes, 0, bytes.length, false) !== "") return;
        expect(packet.payloadLength).toBeGreaterThanOrEqual(0);
        expect(packet.payloadOffset + packet.payloadLength).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 300 },
    );
  });
});
