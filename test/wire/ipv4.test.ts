import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IpAddress, parseAddress } from "../../src/wire/address.js";
import { decodeIpv4Header, encodeIpv4Header, type Ipv4Header, ipv4Checksum } from "../../src/wire/ipv4.js";
import { ALL, embedded, fromHex, patched, SYN_V4, SYN_V6 } from "./packets.js";

describe("decodeIpv4Header", () => {
  it("reads every field, at an offset", () => {
    const bytes = fromHex("46b91234 8001bfff 81069009 0a000001 c0a80102 94040000");
    expect(decodeIpv4Header(embedded(bytes), 7, bytes.length)).toEqual({
      version: 4,
      ihl: 6,
      tos: 0xb9,
      totalLength: 0x1234,
      id: 0x8001,
      reservedFlag: true,
      dontFragment: false,
      moreFragments: true,
      fragmentOffset: 0x1fff,
      ttl: 0x81,
      protocol: 6,
      checksum: 0x9009,
      source: parseAddress("10.0.0.1"),
      destination: parseAddress("192.168.1.2"),
      options: fromHex("94040000"),
    } satisfies Ipv4Header);
  });

  it("reads what Linux sends", () => {
    expect(decodeIpv4Header(SYN_V4, 0, SYN_V4.length)).toMatchObject({
      totalLength: 60,
      id: 52201,
      reservedFlag: false,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      checksum: 0x70d0,
    });
  });

  it("says why bytes are no header", () => {
    expect(decodeIpv4Header(SYN_V4, 0, 19)).toBe("too short for an IP header");
    expect(decodeIpv4Header(SYN_V6, 0, 40)).toBe("unknown IP version");
    expect(decodeIpv4Header(patched(SYN_V4, 0, 0x44), 0, 60)).toBe("bad IP header length");
    expect(decodeIpv4Header(patched(SYN_V4, 0, 0x46), 0, 23)).toBe("bad IP header length");
  });

  it("gives any bytes a value or a reason, and the value the same bytes", () => {
    const first = fc.integer({ min: 0x40, max: 0x4f });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), fc.option(first), (bytes, version) => {
        if (version !== null && bytes.length > 0) bytes[0] = version;
        const header = decodeIpv4Header(bytes, 0, bytes.length);
        if (typeof header === "string") return;
        expect(encodeIpv4Header(header)).toEqual(bytes.slice(0, header.ihl * 4));
      }),
    );
  });
});

describe("encodeIpv4Header", () => {
  it("gives back the values that it was given", () => {
    const bits = (n: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: 2 ** n - 1 });
    const address = bits(32).map((word) => new IpAddress(4, 0, 0, 0, word));
    const header: fc.Arbitrary<Ipv4Header> = fc.nat(10).chain((words) =>
      fc.record({
        version: fc.constant(4),
        ihl: fc.constant(5 + words),
        tos: bits(8),
        totalLength: bits(16),
        id: bits(16),
        reservedFlag: fc.boolean(),
        dontFragment: fc.boolean(),
        moreFragments: fc.boolean(),
        fragmentOffset: bits(13),
        ttl: bits(8),
        protocol: bits(8),
        checksum: bits(16),
        source: address,
        destination: address,
        options: fc.uint8Array({ minLength: 4 * words, maxLength: 4 * words }),
      }),
    );
    fc.assert(
      fc.property(header, (value) => {
        const bytes = encodeIpv4Header(value);
        expect(decodeIpv4Header(bytes, 0, bytes.length)).toEqual({ ...value, options: Uint8Array.from(value.options) });
      }),
    );
  });

  it("writes wrong lengths and versions as stated and pads options with zeros", () => {
    const header = decodeIpv4Header(SYN_V4, 0, 60) as Ipv4Header;
    const bytes = encodeIpv4Header({ ...header, version: 5, ihl: 3, totalLength: 1, options: fromHex("0107") });
    expect([...bytes.subarray(0, 4)]).toEqual([0x53, 0, 0, 1]);
    expect(bytes.subarray(20)).toEqual(fromHex("01070000"));
  });
});

describe("ipv4Checksum", () => {
  it("is that of captured headers, whatever stands in the field", () => {
    const headers = Object.values(ALL).filter((bytes) => (bytes[0] ?? 0) >>> 4 === 4);
    expect(headers.length).toBeGreaterThan(3);
    for (const bytes of headers) {
      const expected = (decodeIpv4Header(bytes, 0, bytes.length) as Ipv4Header).checksum;
      expect(ipv4Checksum(embedded(bytes), 7, 20)).toBe(expected);
      expect(ipv4Checksum(patched(bytes, 10, 0x12, 0x34), 0, 20)).toBe(expected);
    }
  });
});
