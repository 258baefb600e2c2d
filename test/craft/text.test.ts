import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RawTcpError } from "../../src/base/errors.js";
import { craft } from "../../src/craft/build.js";
import { parseFlags } from "../../src/craft/flags-text.js";
import { listFields } from "../../src/craft/listing.js";
import { parseTcpOptions } from "../../src/craft/options-text.js";
import { countProduct, oneOf, product, range } from "../../src/craft/product.js";
import type { PacketSpec } from "../../src/craft/spec.js";
import { parseTemplate } from "../../src/craft/template.js";
import { toHex } from "../../src/wire/bytes.js";
import { ACK, AE, CWR, ECE, SYN } from "../../src/wire/tcp-flags.js";

describe("TCP options as text", () => {
  it.each([
    ["mss=1460,sackok,ts=1:0,nop,wscale=7", "020405b40402080a000000010000000001030307"],
    ["M5B4NNSNW7", "020405b40101040201030307"],
    ["ST11L", "0402080a000000010000000100"],
    ["0x02 04 05b4", "020405b4"],
    ["sack=1:2/3:0xffffffff", "05120000000100000002" + "00000003ffffffff"],
    ["fo", "2202"],
    ["fo=0102030405060708", "220a0102030405060708"],
    ["253=0102,254", "fd040102fe02"],
    ["2=010203", "0205010203"],
    ["ao=1:2:aabb", "1d060102aabb"],
    ["accecn0=1:2:3", "ac0b000001000002000003"],
    ["md5=00112233445566778899aabbccddeeff", "131200112233445566778899aabbccddeeff"],
    ["eol,nop", "0001"],
    ["", ""],
  ])("%s", (text, hex) => {
    expect(toHex(parseTcpOptions(text).bytes)).toBe(hex);
  });

  it.each([
    ["mss", 'TCP option "mss": expected a whole number from 0 to 65535'],
    ["mss=70000", 'TCP option "mss=70000": expected a whole number from 0 to 65535'],
    ["mss=1460,bogus=1", 'TCP option "bogus=1": expected one of mss=BYTES'],
    ["nop=1", 'TCP option "nop=1": expected no value behind it'],
    ["253=012", 'TCP option "253=012": expected pairs of hexadecimal digits'],
    ["MFFFFF", 'TCP option "MFFFFF": expected M is followed by hexadecimal digits, at most FFFF'],
    ["ts=1:2:3", 'TCP option "ts=1:2:3": expected 1 to 2 numbers with ":" between'],
  ])("%s is refused, and told why", (text, message) => {
    expect(() => parseTcpOptions(text)).toThrow(message);
  });

  it("throws nothing but its own error", () => {
    const words = ["mss", "=", "1", ",", "ts", ":", "sack", "/", "0x", "M5", "W", "N", "fo", "ff", "256", " ", "é"];
    const texts = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom(...words)).map((list) => list.join("")),
    );
    fc.assert(
      fc.property(texts, (text) => throwsOwn(() => parseTcpOptions(text))),
      { numRuns: 3000 },
    );
  });
});

describe("flags as text", () => {
  it.each([
    ["SA", SYN | ACK],
    ["S.", SYN | ACK],
    ["syn,ack", SYN | ACK],
    ["SYN+ACK", SYN | ACK],
    ["SEW", SYN | ECE | CWR],
    ["SECN", SYN | ECE | CWR | AE],
    ["0x12", SYN | ACK],
    ["none", 0],
  ])("%s", (text, flags) => {
    expect(parseFlags(text)).toBe(flags);
  });

  it.each([
    ["SX", 'flags "SX": "X" is no flag; expected letters'],
    ["0x200", 'flags "0x200": expected letters'],
  ])("%s is refused", (text, message) => {
    expect(() => parseFlags(text)).toThrow(message);
  });
});

describe("product", () => {
  it("gives every combination, the last field fastest", () => {
    const spec = { ip: { family: 4, ttl: oneOf(1, 9) }, tcp: { destinationPort: range(80, 82) } } as const;
    const got = [...product(spec)].map(({ ip, tcp }) => [ip?.family === 4 && ip.ttl, tcp?.destinationPort]);
    expect(got).toEqual([
      [1, 80],
      [1, 81],
      [1, 82],
      [9, 80],
      [9, 81],
      [9, 82],
    ]);
    expect(countProduct(spec)).toBe(6);
  });

  it("is lazy: a product of 2^64 packets begins at once", () => {
    const all = range(0, 0xffff_ffff);
    const iterator = product({ tcp: { seq: all, ack: all } });
    iterator.next();
    expect(iterator.next().value).toMatchObject({ tcp: { seq: 0, ack: 1 } });
  });

  it("counts downwards, and in steps", () => {
    expect([...range(10, 1, 4)]).toEqual([10, 6, 2]);
    expect(() => range(1, 2, 0)).toThrow("expected whole numbers and a step of at least 1");
  });

  it("of no variants is the spec itself", () => {
    const spec: PacketSpec = { payload: new Uint8Array([1]) };
    expect([...product(spec)]).toEqual([spec]);
  });
});

describe("template", () => {
  it("says what a spec says, with lists and ranges", () => {
    const spec = parseTemplate({
      ipv4: { destination: "127.0.0.1", ttl: "1-2" },
      tcp: { destinationPort: [22, "80-81"], flags: "SA", options: ["mss=1460", "nop"], checksum: "bad" },
      payload: { text: "hé" },
    });
    expect(countProduct(spec)).toBe(6);
    const [first] = product(spec);
    expect(first).toMatchObject({
      ip: { family: 4, ttl: 1 },
      tcp: { destinationPort: 22, flags: SYN | ACK, checksum: "bad" },
      payload: new Uint8Array([0x68, 0xc3, 0xa9]),
    });
    expect(craft(first ?? {}).bytes.length).toBe(20 + 28 + 3);
  });

  it.each<[unknown, string]>([
    [7, "template is 7: expected names and values"],
    [{ tpc: {} }, "tpc is no part of a packet: expected one of ethernet, ipv4, ipv6, tcp, icmp, payload, trailer"],
    [{ ipv4: {}, ipv6: {} }, "ipv6 stands beside another IP header: expected one of ipv4, ipv6"],
    [{ tcp: { port: 1 } }, "tcp.port is no field: expected one of sourcePort, destinationPort, seq"],
    [{ tcp: { sourcePort: "70000" } }, "tcp.sourcePort: tcp sourcePort: 70000 is not a whole number from 0 to 65535"],
    [{ tcp: { sourcePort: "x" } }, 'tcp.sourcePort is "x": expected a number, or a range such as 1-1024 or 0-100/10'],
    [{ tcp: { destinationPort: [] } }, "tcp.destinationPort is an empty list: expected at least one value"],
    [{ tcp: { options: "bogus" } }, 'tcp.options: TCP option "bogus": expected one of'],
    [{ payload: { hex: "abc" } }, 'payload.hex is "abc": expected pairs of hexadecimal digits'],
    [{ payload: { hex: 16 } }, "payload.hex is 16: expected pairs of hexadecimal digits in quotes"],
    [
      { ipv6: { extensions: [{ body: "x" }] } },
      "ipv6.extensions[0].protocol is undefined: expected a whole number from 0 to 255",
    ],
  ])("%j is refused by place", (value, message) => {
    expect(() => parseTemplate(value)).toThrow(message);
  });

  it("throws nothing but its own error", () => {
    const names = fc.constantFrom(
      "ipv4",
      "ipv6",
      "tcp",
      "payload",
      "options",
      "seq",
      "flags",
      "tags",
      "extensions",
      "hex",
      "body",
      "x",
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: "small" },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("tree")),
        fc.dictionary(names, tie("tree")),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => throwsOwn(() => parseTemplate(value))),
      { numRuns: 2000 },
    );
  });
});

describe("listing", () => {
  it("covers every bit of the packet once", () => {
    const spec: PacketSpec = {
      ethernet: { tags: [{ tpid: 0x8100, priority: 0, dropEligible: false, vlan: 5 }] },
      ip: { family: 4, ttl: 9, options: new Uint8Array(4) },
      tcp: { options: "mss=1460,nop,eol", flags: SYN | ACK },
      payload: new Uint8Array(50),
      trailer: new Uint8Array(2),
    };
    const packet = craft(spec);
    const fields = listFields(spec, packet);
    let at = 0;
    for (const field of fields) {
      expect([field.name, field.bitOffset]).toEqual([field.name, at]);
      at += field.bitLength;
    }
    expect(at).toBe(8 * packet.bytes.length);
    expect(fields.filter((field) => field.name === "flags").map((field) => field.text)).toEqual(["0x012 [S.]"]);
    expect(fields.filter((field) => field.isSet && field.layer === "ipv4").map((field) => field.name)).toEqual([
      "ttl",
      "options",
    ]);
  });
});

function throwsOwn(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof RawTcpError)) throw error;
  }
}
