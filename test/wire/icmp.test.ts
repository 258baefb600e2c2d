import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Family, parseAddress } from "../../src/wire/address.js";
import { putU16 } from "../../src/wire/bytes.js";
import {
  buildIcmpError,
  classifyIcmpError,
  decodeIcmp,
  encodeIcmp,
  IcmpError,
  type IcmpMessage,
  icmpChecksum,
  isIcmpError,
  nameIcmp,
  parseIcmpError,
} from "../../src/wire/icmp.js";
import { concat, embedded, fromHex, PROHIBITED_V6, patched, SYN_V4, SYN_V6, UNREACHABLE_V4 } from "./packets.js";

const ROUTER = parseAddress("10.0.0.1");
const HOST = parseAddress("10.0.0.2");
const ROUTER6 = parseAddress("fd00::1");
const HOST6 = parseAddress("fd00::2");
const LOOPBACK6 = parseAddress("::1");

const error = new IcmpError();

function parse(message: Uint8Array, family: Family = 4): string {
  const [source, destination] = family === 4 ? [ROUTER, HOST] : [ROUTER6, HOST6];
  return parseIcmpError(error, embedded(message), 7, message.length, family, source, destination);
}

const about = (packet: Uint8Array, type = 3, code = 1, rest = 0): Uint8Array =>
  buildIcmpError(type, code, rest, packet, ROUTER, HOST);
const about6 = (packet: Uint8Array, type = 1, code = 0, rest = 0): Uint8Array =>
  buildIcmpError(type, code, rest, packet, ROUTER6, HOST6);

describe("parseIcmpError", () => {
  it("reads a port unreachable of Linux", () => {
    expect(parseIcmpError(error, UNREACHABLE_V4, 20, 68, 4)).toBe("");
    expect(error).toMatchObject({ family: 4, type: 3, code: 3, kind: "port-unreachable", nextHopMtu: 0, quotedProtocol: 6 });
    expect(error).toMatchObject({ quotedSourcePort: 58586, quotedDestinationPort: 81, quotedSeq: 1703127177, hasSeq: true });
    expect([String(error.quotedSource), String(error.quotedDestination)]).toEqual(["127.0.0.1", "127.0.0.1"]);
  });

  it("reads a prohibition of Linux in IPv6, with its checksum verified", () => {
    expect(parseIcmpError(error, PROHIBITED_V6, 40, 88, 6, LOOPBACK6, LOOPBACK6)).toBe("");
    expect(error).toMatchObject({ family: 6, type: 1, code: 1, kind: "admin-prohibited", nextHopMtu: 0, quotedProtocol: 6 });
    expect(error).toMatchObject({ quotedSourcePort: 54988, quotedDestinationPort: 81, quotedSeq: 3819084356, hasSeq: true });
    expect([String(error.quotedSource), String(error.quotedDestination)]).toEqual(["::1", "::1"]);
  });

  it("verifies the ICMPv6 checksum when it is given the addresses, and only then", () => {
    const bytes = patched(PROHIBITED_V6, 100, 1);
    expect(parseIcmpError(error, bytes, 40, 88, 6, LOOPBACK6, LOOPBACK6)).toBe("bad ICMP checksum");
    expect(parseIcmpError(error, bytes, 40, 88, 6)).toBe("");
    expect(parseIcmpError(error, PROHIBITED_V6, 40, 88, 6, LOOPBACK6, HOST6)).toBe("bad ICMP checksum");
  });

  it("needs eight bytes of TCP and no more", () => {
    expect(parse(about(SYN_V4.subarray(0, 28)))).toBe("");
    expect(error).toMatchObject({ quotedSourcePort: 53064, quotedDestinationPort: 80, quotedSeq: 3351880257, hasSeq: true });
    expect(parse(about(SYN_V4.subarray(0, 27)))).toBe("ICMP quote too short");
    expect(error.hasSeq).toBe(false);
    expect(parse(about6(SYN_V6.subarray(0, 48)), 6)).toBe("");
    expect(parse(about6(SYN_V6.subarray(0, 47)), 6)).toBe("ICMP quote too short");
    expect(parse(about6(SYN_V6.subarray(0, 39)), 6)).toBe("ICMP quote too short");
  });

  it("gives the next-hop MTU of packet too big and of no other", () => {
    expect(parse(about(SYN_V4, 3, 4, 0xffff05b4))).toBe("");
    expect([error.kind, error.nextHopMtu]).toEqual(["packet-too-big", 1460]);
    expect(parse(about(SYN_V4, 3, 1, 1460))).toBe("");
    expect([error.kind, error.nextHopMtu]).toEqual(["host-unreachable", 0]);
    expect(parse(about6(SYN_V6, 2, 0, 0x10500), 6)).toBe("");
    expect([error.kind, error.nextHopMtu]).toEqual(["packet-too-big", 0x10500]);
  });

  it("steps over options and extension headers in the quote", () => {
    const options = concat(patched(SYN_V4, 0, 0x46).subarray(0, 20), fromHex("94040000"), SYN_V4.subarray(20));
    expect(parse(about(options))).toBe("");
    expect(error.quotedSourcePort).toBe(53064);
    const extensions = concat(patched(SYN_V6, 6, 60).subarray(0, 40), fromHex("2c00 010400000000 0600 0001 00000001"));
    expect(parse(about6(concat(extensions, SYN_V6.subarray(40))), 6)).toBe("");
    expect(error).toMatchObject({ quotedProtocol: 6, quotedSourcePort: 41182, quotedDestinationPort: 80 });
    expect(parse(about6(extensions), 6)).toBe("ICMP quote too short");
    expect(parse(about6(extensions.subarray(0, 47)), 6)).toBe("ICMP quote too short");
  });

  it("refuses quotes that do not begin with a TCP header", () => {
    expect(parse(about(patched(SYN_V4, 9, 17)))).toBe("ICMP quote is not TCP");
    expect(error.quotedProtocol).toBe(17);
    expect(parse(about(patched(SYN_V4, 6, 0, 1)))).toBe("ICMP quote is a later fragment");
    expect(parse(about(patched(SYN_V4, 6, 0x20, 0)))).toBe("");
    expect(parse(about(patched(SYN_V4, 0, 0x44)))).toBe("bad IP header in ICMP quote");
    expect(parse(about(patched(SYN_V4, 0, 0x65)))).toBe("bad IP header in ICMP quote");
    expect(parse(about6(patched(SYN_V6, 0, 0x40)), 6)).toBe("bad IP header in ICMP quote");
    expect(parse(about6(patched(SYN_V6, 6, 17)), 6)).toBe("ICMP quote is not TCP");
    const fragment = (offset: string): Uint8Array =>
      concat(patched(SYN_V6, 6, 44).subarray(0, 40), fromHex(`0600 ${offset} 00000001`), SYN_V6.subarray(40));
    expect(parse(about6(fragment("0008")), 6)).toBe("ICMP quote is a later fragment");
    expect(parse(about6(fragment("0001")), 6)).toBe("");
  });

  it("refuses what is no error message", () => {
    const echo: IcmpMessage = { family: 4, type: 8, code: 0, checksum: 0, rest: 1, body: SYN_V4 };
    expect(parse(encodeIcmp({ ...echo, checksum: icmpChecksum(echo, ROUTER, HOST) }))).toBe("not an ICMP error");
    expect(parse(about(SYN_V4).subarray(0, 7))).toBe("too short for an ICMP header");
    expect(parse(about(new Uint8Array(0)))).toBe("ICMP quote too short");
    expect(parse(patched(about(SYN_V4), 12, 0xee))).toBe("bad ICMP checksum");
  });

  it("never reads past the message, whatever it quotes", () => {
    const start = fc.constantFrom(SYN_V4, SYN_V6, new Uint8Array(60));
    const edits = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(start, edits, fc.nat(80), fc.constantFrom<Family>(4, 6), (quote, changes, cut, family) => {
        const body = quote.slice(0, cut);
        for (const [at, value] of changes) if (at < body.length) body[at] = value;
        const message = family === 4 ? about(body) : about6(body);
        const problem = parse(message, family);
        expect(error.hasSeq).toBe(problem === "");
        // The same message with other bytes behind it must read the same.
        const seen = { ...error };
        const [source, destination] = family === 4 ? [ROUTER, HOST] : [ROUTER6, HOST6];
        expect(
          parseIcmpError(error, concat(message, new Uint8Array(80).fill(6)), 0, message.length, family, source, destination),
        ).toBe(problem);
        if (problem === "") expect({ ...error }).toEqual(seen);
      }),
      { numRuns: 500 },
    );
  });
});

describe("classifyIcmpError", () => {
  it.each<[Family, number, number, string]>([
    [4, 3, 0, "network-unreachable"],
    [4, 3, 1, "host-unreachable"],
    [4, 3, 2, "protocol-unreachable"],
    [4, 3, 3, "port-unreachable"],
    [4, 3, 4, "packet-too-big"],
    [4, 3, 5, "source-route-failed"],
    [4, 3, 6, "network-unreachable"],
    [4, 3, 7, "host-unreachable"],
    [4, 3, 9, "admin-prohibited"],
    [4, 3, 10, "admin-prohibited"],
    [4, 3, 13, "admin-prohibited"],
    [4, 3, 15, "admin-prohibited"],
    [4, 3, 16, "unknown"],
    [4, 4, 0, "source-quench"],
    [4, 5, 1, "redirect"],
    [4, 11, 0, "time-exceeded"],
    [4, 11, 1, "time-exceeded"],
    [4, 12, 0, "parameter-problem"],
    [4, 13, 0, "unknown"],
    [6, 1, 0, "network-unreachable"],
    [6, 1, 1, "admin-prohibited"],
    [6, 1, 3, "host-unreachable"],
    [6, 1, 4, "port-unreachable"],
    [6, 1, 5, "admin-prohibited"],
    [6, 1, 8, "unknown"],
    [6, 2, 0, "packet-too-big"],
    [6, 3, 1, "time-exceeded"],
    [6, 4, 1, "parameter-problem"],
    [6, 5, 0, "unknown"],
  ])("IPv%d type %d code %d is %s", (family, type, code, kind) => {
    expect(classifyIcmpError(family, type, code)).toBe(kind);
  });

  it("knows which types are errors", () => {
    const errors = (family: Family): number[] =>
      Array.from({ length: 256 }, (_, type) => type).filter((type) => isIcmpError(family, type));
    expect(errors(4)).toEqual([3, 4, 5, 11, 12]);
    expect(errors(6)).toEqual(Array.from({ length: 128 }, (_, type) => type));
  });
});

describe("nameIcmp", () => {
  it("names errors by kind and others by what they ask", () => {
    expect(nameIcmp(4, 3, 3)).toBe("port-unreachable");
    expect(nameIcmp(4, 8, 0)).toBe("echo request");
    expect(nameIcmp(6, 129, 0)).toBe("echo reply");
    expect(nameIcmp(6, 135, 0)).toBe("neighbor solicitation");
    expect(nameIcmp(4, 3, 99)).toBe("type 3 code 99");
    expect(nameIcmp(6, 200, 1)).toBe("type 200 code 1");
  });
});

describe("messages as values", () => {
  it("are decoded and encoded without loss", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom<Family>(4, 6), (bytes, family) => {
        const message = decodeIcmp(bytes, 0, bytes.length, family);
        if (typeof message === "string") expect(bytes.length).toBeLessThan(8);
        else expect(encodeIcmp(message)).toEqual(bytes);
      }),
    );
  });

  it("have the fields of the header, at an offset", () => {
    expect(decodeIcmp(embedded(fromHex("0b01 1234 80000001 aabb")), 7, 10, 4)).toEqual({
      family: 4,
      type: 11,
      code: 1,
      checksum: 0x1234,
      rest: 0x80000001,
      body: fromHex("aabb"),
    });
  });

  it("have the checksums that Linux gave them", () => {
    const four = decodeIcmp(UNREACHABLE_V4, 20, 68, 4) as IcmpMessage;
    expect(icmpChecksum(four, ROUTER, HOST)).toBe(0x06a9);
    const six = decodeIcmp(PROHIBITED_V6, 40, 88, 6) as IcmpMessage;
    expect(icmpChecksum(six, LOOPBACK6, LOOPBACK6)).toBe(0x8020);
  });
});

describe("buildIcmpError", () => {
  it("builds what Linux built", () => {
    const loopback = parseAddress("127.0.0.1");
    expect(buildIcmpError(3, 3, 0, UNREACHABLE_V4.subarray(28), loopback, loopback)).toEqual(UNREACHABLE_V4.slice(20));
    expect(buildIcmpError(1, 1, 0, PROHIBITED_V6.subarray(48), LOOPBACK6, LOOPBACK6)).toEqual(PROHIBITED_V6.slice(40));
  });

  it("cuts the quote to 576 bytes of IPv4 and 1280 of IPv6", () => {
    const big = concat(SYN_V4, new Uint8Array(1440));
    putU16(big, 2, 1500);
    expect(20 + about(big).length).toBe(576);
    expect(parse(about(big))).toBe("");
    expect(40 + about6(concat(SYN_V6, new Uint8Array(1420))).length).toBe(1280);
  });
});
