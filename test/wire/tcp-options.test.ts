import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/wire/bytes.js";
import {
  decodeTcpOptions,
  encodeTcpOptions,
  formatTcpOption,
  formatTcpOptions,
  type TcpOption,
} from "../../src/wire/tcp-options.js";
import { concat, embedded, fromHex } from "./packets.js";

/** Each option with the bytes that its RFC gives it, and in print. */
const KNOWN: readonly [TcpOption, string, string][] = [
  [{ kind: "nop" }, "01", "nop"],
  [{ kind: "mss", mss: 65495 }, "0204ffd7", "mss 65495"],
  [{ kind: "window-scale", shift: 7 }, "030307", "wscale 7"],
  [{ kind: "sack-permitted" }, "0402", "sackOK"],
  [{ kind: "sack", blocks: [{ left: 100, right: 200 }] }, "050a 00000064 000000c8", "sack 1 {100:200}"],
  [
    {
      kind: "sack",
      blocks: [
        { left: 0xfffffff0, right: 16 },
        { left: 32, right: 48 },
      ],
    },
    "0512 fffffff0 00000010 00000020 00000030",
    "sack 2 {4294967280:16}{32:48}",
  ],
  [{ kind: "timestamps", tsVal: 1, tsEcr: 0xffffffff }, "080a 00000001 ffffffff", "TS val 1 ecr 4294967295"],
  [{ kind: "fast-open", cookie: new Uint8Array(0) }, "2202", "tfo  cookiereq"],
  [{ kind: "fast-open", cookie: fromHex("01020304") }, "2206 01020304", "tfo  cookie 01020304"],
  [{ kind: "md5", digest: fromHex("00".repeat(15).concat("ff")) }, `1312 ${"00".repeat(15)}ff`, `md5 ${"00".repeat(15)}ff`],
  [
    { kind: "ao", keyId: 1, rNextKeyId: 2, mac: fromHex("0a0b0c") },
    "1d07 01 02 0a0b0c",
    "tcp-ao keyid 1 rnextkeyid 2 mac 0x0a0b0c",
  ],
  [{ kind: "accecn0", counters: [1, 2, 0xffffff] }, "ac0b 000001 000002 ffffff", "accecn0 e0b 1 ceb 2 e1b 16777215"],
  [{ kind: "accecn1", counters: [0x010203] }, "ae05 010203", "accecn1 e1b 66051"],
  [{ kind: "accecn0", counters: [] }, "ac02", "accecn0"],
  [{ kind: "unknown", number: 253, data: fromHex("0102") }, "fd04 0102", "unknown-253 0x0102"],
  [{ kind: "unknown", number: 99, data: new Uint8Array(0) }, "6302", "unknown-99"],
];

/** Options whose own length is wrong. */
const WRONG_LENGTHS: readonly [string, string][] = [
  ["020305", "mss [bad length 3] 0x05"],
  ["0202", "mss [bad length 2]"],
  ["03040707", "wscale [bad length 4] 0x0707"],
  ["0403ff", "sackOK [bad length 3] 0xff"],
  ["0502", "sack [bad length 2]"],
  ["050b000000640000 00c8ff", "sack [bad length 11] 0x00000064000000c8ff"],
  ["080401ff", "TS [bad length 4] 0x01ff"],
  ["220401ff", "tfo [bad length 4] 0x01ff"],
  ["22070102030405", "tfo [bad length 7] 0x0102030405"],
  ["130301", "md5 [bad length 3] 0x01"],
  ["1d0301", "tcp-ao [bad length 3] 0x01"],
  ["ac0400ff", "accecn0 [bad length 4] 0x00ff"],
  ["ae0e 000001 000002 000003 000004", "accecn1 [bad length 14] 0x000001000002000003000004"],
];

const decode = (bytes: Uint8Array) => decodeTcpOptions(bytes, 0, bytes.length);

describe.each(KNOWN)("option %j", (option, hex, text) => {
  const bytes = fromHex(hex);
  const padded = concat(bytes, new Uint8Array(-bytes.length & 3));

  it("is decoded", () => {
    expect(decodeTcpOptions(embedded(bytes), 7, bytes.length)).toEqual({ options: [option], trailing: new Uint8Array(0) });
  });

  it("is encoded, with zeros up to a word (MUST-69) (MUST-68)", () => {
    expect(toHex(encodeTcpOptions([option]))).toBe(toHex(padded));
  });

  it("is printed", () => {
    expect(formatTcpOption(option)).toBe(text);
  });
});

describe("an option of a wrong length", () => {
  it.each(WRONG_LENGTHS)("%s is kept as bytes and named", (hex, text) => {
    const bytes = fromHex(hex);
    const { options, trailing } = decode(bytes);
    expect(options).toEqual([{ kind: "unknown", number: bytes[0], data: bytes.slice(2) }]);
    expect(trailing).toHaveLength(0);
    expect(formatTcpOptions(options)).toBe(text);
  });
});

describe("decodeTcpOptions", () => {
  it("keeps what stands behind the end of the list", () => {
    const list = decode(fromHex("020405b4 00 0102ff"));
    expect(list.options).toEqual([{ kind: "mss", mss: 1460 }, { kind: "eol" }]);
    expect(list.trailing).toEqual(fromHex("0102ff"));
    expect(formatTcpOptions(list)).toBe("mss 1460,eol");
  });

  it.each(["fd00 ffff", "fd01 ffff", "fd05 ffff", "fd"])("keeps %s, an impossible length, as it stands", (junk) => {
    const list = decode(concat(fromHex("01"), fromHex(junk)));
    expect(list.options).toEqual([{ kind: "nop" }]);
    expect(list.trailing).toEqual(fromHex(junk));
    expect(formatTcpOptions(list)).toBe(`nop,bad option 0x${junk.replace(" ", "")}`);
  });

  it("copies what it keeps", () => {
    const bytes = fromHex("fd040102 fd00");
    const { options, trailing } = decode(bytes);
    bytes.fill(0);
    expect([options, trailing]).toEqual([[{ kind: "unknown", number: 253, data: fromHex("0102") }], fromHex("fd00")]);
  });

  it("loses nothing: any bytes are encoded again as they were", () => {
    const kind = fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 19, 29, 34, 172, 174, 253, 254);
    const size = fc.oneof(fc.constantFrom(2, 3, 4, 5, 8, 10, 11, 18), fc.nat(45));
    const likely = fc.tuple(kind, size, fc.uint8Array({ maxLength: 18 })).map(([k, s, data]) => concat([k, s], data));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.array(likely, { maxLength: 6 }).map((pieces) => concat(...pieces)),
    );
    fc.assert(
      fc.property(bytes, (raw) => {
        const { options, trailing } = decode(raw);
        const again = encodeTcpOptions(options, trailing);
        expect(toHex(again)).toBe(toHex(concat(raw, new Uint8Array(-raw.length & 3))));
        expect(formatTcpOptions({ options, trailing })).toBeTypeOf("string");
      }),
      { numRuns: 1000 },
    );
  });
});

describe("encodeTcpOptions", () => {
  it("gives back the values that it was given", () => {
    const some = fc.array(fc.constantFrom(...KNOWN.map(([option]) => option)), { maxLength: 6 });
    fc.assert(
      fc.property(some, (options) => {
        const bytes = encodeTcpOptions(options);
        expect(bytes.length % 4).toBe(0);
        const decoded = decode(bytes);
        expect(decoded.options.slice(0, options.length)).toEqual(options);
        // What follows is padding: an end of list and zeros.
        expect(decoded.options.length - options.length).toBeLessThanOrEqual(1);
        expect(decoded.trailing.every((byte) => byte === 0)).toBe(true);
      }),
    );
  });

  it("refuses what no length field can say", () => {
    expect(encodeTcpOptions([{ kind: "unknown", number: 253, data: new Uint8Array(253) }])).toHaveLength(256);
    expect(() => encodeTcpOptions([{ kind: "unknown", number: 253, data: new Uint8Array(254) }])).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_OPTION" }),
    );
  });
});

describe("formatTcpOptions", () => {
  it("joins with commas and no spaces", () => {
    const bytes = fromHex("0204ffd7 0402 080a 00000001 00000000 01 030307");
    expect(formatTcpOptions(decode(bytes))).toBe("mss 65495,sackOK,TS val 1 ecr 0,nop,wscale 7");
    expect(formatTcpOptions([])).toBe("");
  });
});
