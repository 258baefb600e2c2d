import { isIP, SocketAddress } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RawTcpError } from "../../src/base/errors.js";
import { formatEndpoint, IpAddress, parseAddress, tryParseAddress } from "../../src/wire/address.js";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
/** Words with runs of zero groups, as addresses have. */
const word = fc.oneof(u32, fc.constantFrom(0, 1, 0x10000, 0x20010db8, 0xffff));
const v6 = fc.tuple(word, word, word, word).map(([a, b, c, d]) => new IpAddress(6, a, b, c, d));
const v4 = u32.map((w) => new IpAddress(4, 0, 0, 0, w));

describe("address text", () => {
  it.each(["0.0.0.0", "127.0.0.1", "255.255.255.255", "10.0.200.7"])("reads and writes %s", (text) => {
    expect(parseAddress(text).family).toBe(4);
    expect(String(parseAddress(text))).toBe(text);
  });

  it.each([
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8::0001", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:1.2.3.4", "::ffff:102:304"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ])("reads %s and writes it as RFC 5952 has it: %s", (text, canonical) => {
    expect(parseAddress(text).family).toBe(6);
    expect(String(parseAddress(text))).toBe(canonical);
  });

  it.each([
    "",
    "localhost",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "1.2..4",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4::5:6:7:8",
    "12345::",
    "g::",
    "::1.2.3",
    "1.2.3.4::",
    "::1.2.3.4:5",
    ":1:2:3:4:5:6:7",
    "fe80::1%lo",
  ])("refuses %j", (text) => {
    expect(tryParseAddress(text)).toBeUndefined();
    expect(() => parseAddress(text)).toThrow(RawTcpError);
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ADDRESS" }));
  });

  it("reads back what it writes", () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), (address) => {
        const text = address.toString();
        expect(isIP(text)).toBe(address.family);
        expect(parseAddress(text).equals(address)).toBe(true);
      }),
    );
  });

  it("reads IPv6 as Node does", () => {
    const group = fc.constantFrom("0", "1", "", "abcd", "00f", "1.2.3.4", "12345");
    fc.assert(
      fc.property(fc.array(group, { minLength: 2, maxLength: 9 }), (groups) => {
        const text = groups.join(":");
        const address = tryParseAddress(text);
        expect(address?.family ?? 0).toBe(isIP(text));
        if (address !== undefined) {
          const node = new SocketAddress({ address: text, family: "ipv6" }).address;
          expect(parseAddress(node).equals(address)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("address bytes", () => {
  it("reads back what it writes, and touches no other bytes", () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), fc.nat(5), (address, at) => {
        const bytes = new Uint8Array(30).fill(0xee);
        address.write(bytes, at);
        const size = address.family === 4 ? 4 : 16;
        expect([...bytes.subarray(0, at), ...bytes.subarray(at + size)].every((byte) => byte === 0xee)).toBe(true);
        const copy = new IpAddress(6, 1, 2, 3, 4);
        copy.read(address.family, bytes, at);
        expect(copy.equals(address)).toBe(true);
        expect(address.equals(copy)).toBe(true);
      }),
    );
  });

  it("writes network order", () => {
    const bytes = new Uint8Array(16);
    parseAddress("1.2.3.4").write(bytes, 0);
    expect([...bytes.subarray(0, 4)]).toEqual([1, 2, 3, 4]);
    parseAddress("2001:db8::ff").write(bytes, 0);
    expect([...bytes]).toEqual([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
  });
});

describe("wordSum", () => {
  it("is the sum of the address's 16-bit words", () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), (address) => {
        const bytes = new Uint8Array(16);
        address.write(bytes, 0);
        const view = new DataView(bytes.buffer);
        const words = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i));
        expect(address.wordSum()).toBe(words.reduce((sum, w) => sum + w, 0));
      }),
    );
  });
});

describe("comparing addresses", () => {
  it("tells families and words apart", () => {
    const address = new IpAddress(6, 1, 2, 3, 4);
    expect(address.equals(address.clone())).toBe(true);
    for (const other of ["1:0:0:2:0:3:0:4", "0:1:0:3:0:3:0:4", "0:1:0:2:0:4:0:4", "0:1:0:2:0:3:0:5"]) {
      expect(address.equals(parseAddress(other))).toBe(false);
    }
    expect(parseAddress("0.0.0.1").equals(parseAddress("::1"))).toBe(false);
  });

  it("clones by value", () => {
    const scratch = parseAddress("10.0.0.1");
    const kept = scratch.clone();
    scratch.read(4, Uint8Array.of(10, 0, 0, 2), 0);
    expect(String(kept)).toBe("10.0.0.1");
  });
});

describe("kinds of addresses", () => {
  it.each([
    ["0.0.0.0", "unspecified"],
    ["::", "unspecified"],
    ["127.0.0.1", "loopback"],
    ["127.255.0.9", "loopback"],
    ["::1", "loopback"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.255", "multicast"],
    ["ff02::1", "multicast"],
    ["255.255.255.255", "broadcast"],
    ["10.0.0.1", ""],
    ["128.0.0.1", ""],
    ["240.0.0.1", ""],
    ["fe80::1", ""],
    ["1::1", ""],
    ["::2", ""],
  ])("%s is %s", (text, kind) => {
    const address = parseAddress(text);
    const kinds = [
      address.isUnspecified() ? "unspecified" : "",
      address.isLoopback() ? "loopback" : "",
      address.isMulticast() ? "multicast" : "",
      address.isBroadcast() ? "broadcast" : "",
    ];
    expect(kinds.join("")).toBe(kind);
  });
});

describe("formatEndpoint", () => {
  it("puts IPv6 in brackets", () => {
    expect(formatEndpoint(parseAddress("127.0.0.1"), 80)).toBe("127.0.0.1:80");
    expect(formatEndpoint(parseAddress("::1"), 80)).toBe("[::1]:80");
  });
});
