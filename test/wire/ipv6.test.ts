import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IpAddress, parseAddress } from "../../src/wire/address.js";
import {
  decodeIpv6Header,
  encodeIpv6Header,
  type Ipv6Extension,
  type Ipv6Header,
  ipv6HeaderLength,
  ipv6UpperProtocol,
} from "../../src/wire/ipv6.js";
import { concat, embedded, fromHex, patched, SYN_V4, SYN_V6 } from "./packets.js";

const FIXED = "6b9a5e1b 1234 0681 20010db8000000000000000000000001 fe800000000000000000000000000002";

const withNext = (next: number, ...rest: string[]): Uint8Array => concat(patched(fromHex(FIXED), 6, next), ...rest.map(fromHex));

describe("decodeIpv6Header", () => {
  it("reads every field, at an offset", () => {
    const bytes = fromHex(FIXED);
    expect(decodeIpv6Header(embedded(bytes), 7, bytes.length)).toEqual({
      version: 6,
      trafficClass: 0xb9,
      flowLabel: 0xa5e1b,
      payloadLength: 0x1234,
      nextHeader: 6,
      hopLimit: 0x81,
      source: parseAddress("2001:db8::1"),
      destination: parseAddress("fe80::2"),
      extensions: [],
    } satisfies Ipv6Header);
  });

  it("reads extension headers, their lengths in 8 bytes or, for AH, in words", () => {
    const bytes = withNext(0, "3301 010c 000000000000 000000000000", "2c01 0000 00000001 00000002", "0600 0001 00000007", "ffff");
    const header = decodeIpv6Header(bytes, 0, bytes.length) as Ipv6Header;
    expect(header.extensions).toEqual([
      { protocol: 0, bytes: bytes.slice(40, 56) },
      { protocol: 51, bytes: bytes.slice(56, 68) },
      { protocol: 44, bytes: bytes.slice(68, 76) },
    ]);
    expect(ipv6HeaderLength(header)).toBe(76);
    expect(ipv6UpperProtocol(header)).toBe(6);
  });

  it("looks for no header behind that of a later fragment", () => {
    const bytes = withNext(44, "3c00 0008 00000007", "0600 010400000000");
    const header = decodeIpv6Header(bytes, 0, bytes.length) as Ipv6Header;
    expect(header.extensions).toHaveLength(1);
    expect(ipv6UpperProtocol(header)).toBe(60);
  });

  it("goes on behind a fragment header of a first or whole packet", () => {
    const bytes = withNext(44, "3c00 0001 00000007", "0600 010400000000");
    const header = decodeIpv6Header(bytes, 0, bytes.length) as Ipv6Header;
    expect(header.extensions.map((extension) => extension.protocol)).toEqual([44, 60]);
    expect(ipv6UpperProtocol(header)).toBe(6);
  });

  it("says why bytes are no header", () => {
    expect(decodeIpv6Header(SYN_V6, 0, 39)).toBe("too short for an IP header");
    expect(decodeIpv6Header(SYN_V4, 0, 60)).toBe("unknown IP version");
    const cut = withNext(60, "0601 010400000000 00000000000000");
    expect(decodeIpv6Header(cut, 0, cut.length)).toBe("bad IPv6 extension header");
    expect(decodeIpv6Header(cut, 0, 47)).toBe("bad IPv6 extension header");
  });

  it("gives any bytes a value or a reason, and the value the same bytes", () => {
    const next = fc.constantFrom(0, 6, 43, 44, 51, 60);
    const extension = fc.tuple(next, fc.nat(2), fc.uint8Array({ maxLength: 22 }));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), next, fc.array(extension, { maxLength: 4 }), (fixed, first, rest) => {
        const bytes = concat(fixed, ...rest.map(([protocol, length, data]) => concat([protocol, length], data)));
        if (bytes.length > 6) bytes.set([first], 6);
        if (bytes.length > 0) bytes[0] = 0x60 | ((bytes[0] ?? 0) & 15);
        const header = decodeIpv6Header(bytes, 0, bytes.length);
        if (typeof header === "string") return;
        expect(encodeIpv6Header(header)).toEqual(bytes.slice(0, ipv6HeaderLength(header)));
      }),
      { numRuns: 500 },
    );
  });
});

describe("encodeIpv6Header", () => {
  it("gives back the values that it was given", () => {
    const bits = (n: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: 2 ** n - 1 });
    const address = fc.tuple(bits(32), bits(32), bits(32), bits(32)).map(([a, b, c, d]) => new IpAddress(6, a, b, c, d));
    /** A chain of hop-by-hop, routing and destination headers before TCP. */
    const extensions = fc.array(fc.tuple(fc.constantFrom(0, 43, 60), fc.nat(3)), { maxLength: 4 }).map((chain) =>
      chain.map(([protocol, length], i): Ipv6Extension => {
        const bytes = new Uint8Array(8 * (length + 1)).fill(i);
        bytes.set([chain[i + 1]?.[0] ?? 6, length]);
        return { protocol, bytes };
      }),
    );
    const header: fc.Arbitrary<Ipv6Header> = fc
      .record({
        version: fc.constant(6),
        trafficClass: bits(8),
        flowLabel: bits(20),
        payloadLength: bits(16),
        nextHeader: fc.constant(6),
        hopLimit: bits(8),
        source: address,
        destination: address,
        extensions,
      })
      .map((value) => ({ ...value, nextHeader: value.extensions[0]?.protocol ?? 6 }));
    fc.assert(
      fc.property(header, (value) => {
        const bytes = encodeIpv6Header(value);
        expect(decodeIpv6Header(bytes, 0, bytes.length)).toEqual(value);
        expect(ipv6UpperProtocol(value)).toBe(6);
      }),
    );
  });

  it("keeps values that are too large out of their neighbours", () => {
    const header = decodeIpv6Header(SYN_V6, 0, 80) as Ipv6Header;
    const bytes = encodeIpv6Header({ ...header, version: 0x16, trafficClass: 0x100, flowLabel: 0x10ea5a9 });
    expect(bytes).toEqual(SYN_V6.slice(0, 40));
  });
});
