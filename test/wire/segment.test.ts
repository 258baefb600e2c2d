import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../src/wire/address.js";
import { parseSegment, Segment, verifyChecksum } from "../../src/wire/segment.js";
import { ACK, FIN, PSH, SYN } from "../../src/wire/tcp-flags.js";
import { decodeTcpHeader, encodeTcpHeader, type TcpHeader, tcpChecksum } from "../../src/wire/tcp-header.js";
import { decodeTcpOptions, encodeTcpOptions, type TcpOption } from "../../src/wire/tcp-options.js";
import { concat, DATA_V4, DATA_V6, embedded, fromHex, patched, RST_V4, SYN_V4 } from "./packets.js";

const LOOPBACK = parseAddress("127.0.0.1");

/** A header with `options` and `payload` behind it. */
function tcp(options: Uint8Array, payload: Uint8Array = new Uint8Array(0), flags = ACK): Uint8Array {
  const header: TcpHeader = {
    sourcePort: 1,
    destinationPort: 2,
    seq: 3,
    ack: 4,
    dataOffset: 5 + options.length / 4,
    reserved: 0,
    flags,
    window: 5,
    checksum: 0,
    urgentPointer: 0,
    options,
  };
  return concat(encodeTcpHeader(header), payload);
}

function parse(bytes: Uint8Array): Segment {
  const segment = new Segment();
  expect(parseSegment(segment, bytes, 0, bytes.length)).toBe("");
  return segment;
}

describe("parseSegment", () => {
  it("reads a SYN of Linux at an offset", () => {
    const segment = new Segment();
    const bytes = embedded(SYN_V4);
    expect(parseSegment(segment, bytes, 27, 40)).toBe("");
    expect(segment).toMatchObject({ sourcePort: 53064, destinationPort: 80, seq: 3351880257, ack: 0, wnd: 65495, up: 0 });
    expect(segment).toMatchObject({ flags: SYN, len: 1, payloadOffset: 67, payloadLength: 0, mss: 65495, windowScale: 10 });
    expect(segment).toMatchObject({ sackPermitted: true, hasTimestamps: true, tsVal: 3201696900, tsEcr: 0 });
    expect(segment).toMatchObject({ sackCount: 0, fastOpenLength: -1 });
    expect(segment.bytes).toBe(bytes);
  });

  it("reads data, and forgets the options of the segment before", () => {
    const segment = new Segment();
    parseSegment(segment, SYN_V4, 20, 40);
    expect(parseSegment(segment, DATA_V4, 20, 38)).toBe("");
    expect(segment).toMatchObject({ flags: PSH | ACK, seq: 3351880258, ack: 1127990847, len: 6, payloadLength: 6 });
    expect(segment).toMatchObject({ mss: -1, windowScale: -1, sackPermitted: false, tsVal: 3201696900, tsEcr: 1701291503 });
    const payload = segment.bytes.subarray(segment.payloadOffset, segment.payloadOffset + segment.payloadLength);
    expect(String.fromCharCode(...payload)).toBe("hello\n");
    expect(parseSegment(segment, RST_V4, 20, 20)).toBe("");
    expect(segment.hasTimestamps).toBe(false);
  });

  it("counts SYN and FIN in SEG.LEN", () => {
    const payload = new Uint8Array(10);
    expect(parse(tcp(new Uint8Array(0), payload, ACK)).len).toBe(10);
    expect(parse(tcp(new Uint8Array(0), payload, SYN)).len).toBe(11);
    expect(parse(tcp(new Uint8Array(0), payload, FIN | ACK)).len).toBe(11);
    expect(parse(tcp(new Uint8Array(0), payload, SYN | FIN)).len).toBe(12);
  });

  it("keeps nine flags apart from the reserved bits", () => {
    expect(parse(patched(tcp(new Uint8Array(0)), 12, 0x5f, 0xff)).flags).toBe(0x1ff);
    expect(parse(patched(tcp(new Uint8Array(0)), 12, 0x5e, 0x10)).flags).toBe(ACK);
  });

  it("refuses what is too short or has no room for its header", () => {
    const segment = new Segment();
    const bytes = tcp(new Uint8Array(4));
    expect(parseSegment(segment, bytes, 0, 19)).toBe("too short for a TCP header");
    expect(parseSegment(segment, bytes, 0, 20)).toBe("bad TCP data offset");
    expect(parseSegment(segment, bytes, 0, 23)).toBe("bad TCP data offset");
    expect(parseSegment(segment, bytes, 0, 24)).toBe("");
    expect(parseSegment(segment, patched(bytes, 12, 0x40), 0, 24)).toBe("bad TCP data offset");
  });

  it("reads four SACK blocks", () => {
    const blocks = [1, 2, 3, 4].map((n) => ({ left: 2 ** 32 - n, right: n }));
    const segment = parse(tcp(encodeTcpOptions([{ kind: "nop" }, { kind: "nop" }, { kind: "sack", blocks }])));
    expect(segment.sackCount).toBe(4);
    expect([...segment.sack]).toEqual(blocks.flatMap(({ left, right }) => [left, right]));
  });

  it("takes the experimental Fast Open option by its number, unless its own option is there (RFC 7413 §4.1)", () => {
    const seg = parse(tcp(Uint8Array.of(254, 8, 0xf9, 0x89, 1, 2, 3, 4)));
    expect([seg.fastOpenExperimental, [...seg.bytes.slice(seg.fastOpenOffset, seg.fastOpenOffset + seg.fastOpenLength)]]).toEqual(
      [true, [1, 2, 3, 4]],
    );
    expect(parse(tcp(Uint8Array.of(254, 4, 0xf9, 0x89))).fastOpenLength).toBe(0);
    for (const other of [
      [254, 4, 0xf9, 0x88],
      [254, 6, 0xf9, 0x89, 1, 2, 1, 1],
      [254, 3, 0xf9, 1],
    ]) {
      expect(parse(tcp(Uint8Array.from(other))).fastOpenLength).toBe(-1);
    }
    const both = [34, 6, 1, 2, 3, 4, 254, 10, 0xf9, 0x89, 5, 6, 7, 8, 9, 9];
    expect(parse(tcp(Uint8Array.from(both)))).toMatchObject({ fastOpenExperimental: false, fastOpenLength: 4 });
  });

  it("gives the place of a Fast Open cookie", () => {
    const cookie = fromHex("0102030405060708");
    const segment = parse(tcp(encodeTcpOptions([{ kind: "nop" }, { kind: "fast-open", cookie }])));
    expect(segment.bytes.slice(segment.fastOpenOffset, segment.fastOpenOffset + segment.fastOpenLength)).toEqual(cookie);
    expect(parse(tcp(encodeTcpOptions([{ kind: "fast-open", cookie: new Uint8Array(0) }]))).fastOpenLength).toBe(0);
  });

  it("steps over options that it does not know, and over those with a wrong length (MUST-6)", () => {
    const segment = parse(tcp(fromHex("fd04abcd 0203ff 0304ffff 0404ffff 05030a 080300 220301 0204 05b4 01 01 01")));
    expect(segment).toMatchObject({ mss: 1460, windowScale: -1, sackPermitted: false, sackCount: 0, hasTimestamps: false });
    expect(segment.fastOpenLength).toBe(-1);
  });

  it.each([
    ["an option of length 0", "0204 05b4 fd00 0402"],
    ["an option of length 1", "0204 05b4 fd01 0402"],
    ["an option beyond the header", "0204 05b4 fd05 0402"],
    ["an option without a length", "0204 05b4 010101 04"],
    ["the end of the list", "0204 05b4 00 0402 00"],
  ])("stops at %s without harm (MUST-7) (MUST-4)", (_what, options) => {
    expect(parse(tcp(fromHex(options)))).toMatchObject({ mss: 1460, sackPermitted: false });
  });

  it("agrees with the option list for any bytes", () => {
    const kind = fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 34, 253);
    const piece = fc.tuple(kind, fc.oneof(fc.constantFrom(2, 3, 4, 10, 18), fc.nat(40)), fc.uint8Array({ maxLength: 18 }));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const raw = concat(...pieces.map(([number, size, data]) => concat([number, size], data))).subarray(0, 40);
        const options = concat(raw, new Uint8Array(-raw.length & 3));
        const segment = parse(tcp(options));
        const last = <K extends TcpOption["kind"]>(name: K): Extract<TcpOption, { kind: K }> | undefined =>
          decodeTcpOptions(options, 0, options.length).options.findLast(
            (option): option is Extract<TcpOption, { kind: K }> => option.kind === name,
          );
        expect(segment.mss).toBe(last("mss")?.mss ?? -1);
        expect(segment.windowScale).toBe(last("window-scale")?.shift ?? -1);
        expect(segment.sackPermitted).toBe(last("sack-permitted") !== undefined);
        expect(segment.sackCount).toBe(last("sack")?.blocks.length ?? 0);
        expect(segment.hasTimestamps).toBe(last("timestamps") !== undefined);
        if (segment.hasTimestamps)
          expect([segment.tsVal, segment.tsEcr]).toEqual([last("timestamps")?.tsVal, last("timestamps")?.tsEcr]);
        expect(segment.fastOpenLength).toBe(last("fast-open")?.cookie.length ?? -1);
      }),
      { numRuns: 500 },
    );
  });

  it("agrees with the header value for any bytes", () => {
    const segment = new Segment();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const problem = parseSegment(segment, bytes, 0, bytes.length);
        const header = decodeTcpHeader(bytes, 0, bytes.length);
        if (typeof header === "string") {
          expect(problem).toBe(header);
          return;
        }
        const { sourcePort, destinationPort, seq, ack, flags, window, urgentPointer, dataOffset } = header;
        expect(problem).toBe("");
        expect(segment).toMatchObject({ sourcePort, destinationPort, seq, ack, flags, wnd: window, up: urgentPointer });
        expect(segment).toMatchObject({ payloadOffset: dataOffset * 4, payloadLength: bytes.length - dataOffset * 4 });
      }),
    );
  });
});

describe("verifyChecksum", () => {
  const verify = (bytes: Uint8Array, policy: "strict" | "partial-ok" | "off"): string =>
    verifyChecksum(LOOPBACK, LOOPBACK, bytes, 20, bytes.length - 20, policy);

  it("takes the finished checksum of a packet of Linux under every policy", () => {
    expect(verify(RST_V4, "strict")).toBe("ok");
    expect(verify(RST_V4, "partial-ok")).toBe("ok");
  });

  it("tells the unfinished checksums of loopback from bad ones", () => {
    expect(verify(SYN_V4, "partial-ok")).toBe("partial");
    expect(verify(DATA_V4, "partial-ok")).toBe("partial");
    expect(verify(DATA_V4, "strict")).toBe("bad");
    const v6 = parseAddress("::1");
    expect(verifyChecksum(v6, v6, DATA_V6, 40, 38, "partial-ok")).toBe("partial");
    expect(verifyChecksum(v6, v6, DATA_V6, 40, 38, "strict")).toBe("bad");
  });

  it("finds every flipped bit", () => {
    for (let bit = 0; bit < 160; bit++) {
      const bytes = RST_V4.slice();
      bytes[20 + (bit >>> 3)] = (bytes[20 + (bit >>> 3)] ?? 0) ^ (1 << (bit & 7));
      expect(verify(bytes, "partial-ok"), `bit ${bit}`).toBe("bad");
    }
  });

  it("takes what tcpChecksum computes, for payloads of odd and even length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(3), (payload, at) => {
        const segment = tcp(fromHex("01010101"), payload);
        const bytes = embedded(segment, at, 3);
        const checksum = tcpChecksum(LOOPBACK, LOOPBACK, bytes, at, segment.length);
        bytes[at + 16] = checksum >>> 8;
        bytes[at + 17] = checksum & 255;
        expect(verifyChecksum(LOOPBACK, LOOPBACK, bytes, at, segment.length, "strict")).toBe("ok");
      }),
    );
  });
});
