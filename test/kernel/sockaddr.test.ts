import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressBytes, addressText, isWildcard, normalAddress, sockaddrOf, socketAddressOf } from "../../src/kernel/sockaddr.js";

describe("addressBytes and addressText", () => {
  it.each([
    ["0.0.0.0", "0.0.0.0"],
    ["127.0.0.1", "127.0.0.1"],
    ["255.254.253.252", "255.254.253.252"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"], // one zero group is not shortened (RFC 5952 §4.2.2)
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"], // the longest run is
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"], // of two equal ones, the first
    ["fe80::1%lo", "fe80::1"],
    ["::ffff:192.0.2.33", "::ffff:192.0.2.33"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ])("%s is printed as %s", (address, text) => {
    expect(addressText(addressBytes(address))).toBe(text);
  });

  it("are each other's inverse for any IPv6 address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect([...addressBytes(addressText(bytes))]).toEqual([...bytes]);
      }),
    );
  });

  it.each(["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "localhost"])("refuse %j", (text) => {
    expect(() => addressBytes(text)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe("normalAddress", () => {
  it("makes IPv4 of an IPv4-mapped address and leaves others", () => {
    expect(normalAddress("::ffff:127.0.0.1")).toBe("127.0.0.1");
    expect(normalAddress("::FFFF:7f00:1")).toBe("127.0.0.1");
    expect(normalAddress("0:0::1")).toBe("::1");
    expect(normalAddress("10.0.0.1")).toBe("10.0.0.1");
  });
});

describe("isWildcard", () => {
  it("is true of 0.0.0.0 and :: alone", () => {
    expect(["0.0.0.0", "::", "0:0::"].map(isWildcard)).toEqual([true, true, true]);
    expect(["127.0.0.1", "::1", "0.0.0.1"].map(isWildcard)).toEqual([false, false, false]);
  });
});

describe("sockaddrOf and socketAddressOf", () => {
  it("lay out sockaddr_in and sockaddr_in6", () => {
    expect([...sockaddrOf("1.2.3.4", 0x1234).subarray(2, 8)]).toEqual([0x12, 0x34, 1, 2, 3, 4]);
    expect(sockaddrOf("1.2.3.4", 1)).toHaveLength(16);
    expect(sockaddrOf("::2", 1)).toHaveLength(28);
    expect(sockaddrOf("::2", 1)[23]).toBe(2);
    expect(sockaddrOf("fe80::1%7", 1)[24]).toBe(7);
  });

  it.each([
    ["192.0.2.1", 65535],
    ["2001:db8::1", 80],
  ])("are each other's inverse for %s", (address, port) => {
    expect(socketAddressOf(sockaddrOf(address, port))).toEqual({ address, port });
  });

  it("refuse another family", () => {
    expect(() => socketAddressOf(new Uint8Array(16))).toThrow(expect.objectContaining({ code: "EAFNOSUPPORT" }));
  });
});
