import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../src/wire/address.js";
import { decodeTcpHeader, encodeTcpHeader, type TcpHeader, tcpChecksum } from "../../src/wire/tcp-header.js";
import { concat, DATA_V4, embedded, fromHex, patched, RST_V4, SYN_V4 } from "./packets.js";

describe("decodeTcpHeader", () => {
  it("reads every field, at an offset", () => {
    // Every field with its top and lowest bits set, so that a neighbour that leaks in shows.
    const bytes = fromHex("8001 c003 80000001 90000009 6bf3 a005 b00d e00b 01020304");
    expect(decodeTcpHeader(embedded(bytes), 7, bytes.length)).toEqual({
      sourcePort: 0x8001,
      destinationPort: 0xc003,
      seq: 0x80000001,
      ack: 0x90000009,
      dataOffset: 6,
      reserved: 5,
      flags: 0x1f3,
      window: 0xa005,
      checksum: 0xb00d,
      urgentPointer: 0xe00b,
      options: fromHex("01020304"),
    } satisfies TcpHeader);
  });

  it("refuses what is too short or has no room for its options", () => {
    expect(decodeTcpHeader(SYN_V4, 20, 19)).toBe("too short for a TCP header");
    expect(decodeTcpHeader(SYN_V4, 20, 39)).toBe("bad TCP data offset");
    expect(decodeTcpHeader(patched(SYN_V4, 32, 0x40), 20, 40)).toBe("bad TCP data offset");
  });

  it("gives any bytes a value or a reason, and the value the same bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), fc.option(fc.integer({ min: 0x50, max: 0xff })), (bytes, twelfth) => {
        if (twelfth !== null && bytes.length > 12) bytes[12] = twelfth;
        const header = decodeTcpHeader(bytes, 0, bytes.length);
        if (typeof header === "string") return;
        expect(encodeTcpHeader(header)).toEqual(bytes.slice(0, header.dataOffset * 4));
      }),
    );
  });
});

describe("encodeTcpHeader", () => {
  it("gives back the values that it was given", () => {
    const bits = (n: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: 2 ** n - 1 });
    const header: fc.Arbitrary<TcpHeader> = fc.nat(10).chain((words) =>
      fc.record({
        sourcePort: bits(16),
        destinationPort: bits(16),
        seq: bits(32),
        ack: bits(32),
        dataOffset: fc.constant(5 + words),
        reserved: bits(3),
        flags: bits(9),
        window: bits(16),
        checksum: bits(16),
        urgentPointer: bits(16),
        options: fc.uint8Array({ minLength: 4 * words, maxLength: 4 * words }),
      }),
    );
    fc.assert(
      fc.property(header, (value) => {
        const bytes = encodeTcpHeader(value);
        expect(decodeTcpHeader(bytes, 0, bytes.length)).toEqual({ ...value, options: Uint8Array.from(value.options) });
      }),
    );
  });

  it("pads options with zeros and writes a wrong data offset as stated (MUST-69)", () => {
    const header = decodeTcpHeader(RST_V4, 20, 20) as TcpHeader;
    const bytes = encodeTcpHeader({ ...header, dataOffset: 3, options: fromHex("030307") });
    expect(bytes.subarray(20)).toEqual(fromHex("03030700"));
    expect(bytes[12]).toBe(0x30);
  });

  it("keeps values that are too large out of their neighbours", () => {
    const header = decodeTcpHeader(RST_V4, 20, 20) as TcpHeader;
    const bytes = encodeTcpHeader({ ...header, sourcePort: 0x10052, seq: 2 ** 32, reserved: 8, flags: 0x214 });
    expect(bytes).toEqual(RST_V4.slice(20));
  });
});

describe("tcpChecksum", () => {
  const loopback = parseAddress("127.0.0.1");

  it("is that of a packet of Linux, whatever stands in the field", () => {
    expect(tcpChecksum(loopback, loopback, RST_V4, 20, 20)).toBe(0xd160);
    expect(tcpChecksum(loopback, loopback, patched(RST_V4, 36, 0xff, 0xee), 20, 20)).toBe(0xd160);
  });

  it("is what tcpdump computed for packets that Linux left unfinished", () => {
    expect(tcpChecksum(loopback, loopback, SYN_V4, 20, 40)).toBe(0x5300);
    expect(tcpChecksum(loopback, loopback, DATA_V4, 20, 38)).toBe(0x22bf);
  });

  it("pads an odd last byte with zero", () => {
    const odd = concat(RST_V4.subarray(20), [0x41]);
    const even = concat(RST_V4.subarray(20), [0x41, 0]);
    const difference = tcpChecksum(loopback, loopback, odd, 0, 21) - tcpChecksum(loopback, loopback, even, 0, 22);
    // The pseudo-header's length is one more.
    expect(difference).toBe(1);
  });
});
