import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../src/wire/address.js";
import { addBytes, finish, fold, pseudoHeaderSum } from "../../src/wire/checksum.js";
import { fromHex, RST_V4, UNREACHABLE_V4 } from "./packets.js";

/** RFC 1071 §4.1, one 16-bit word after the other, with the carry brought round at once. */
function naive(bytes: Uint8Array, offset: number, length: number, sum = 0): number {
  for (let i = 0; i < length; i += 2) {
    const high = bytes[offset + i] ?? 0;
    const low = i + 1 < length ? (bytes[offset + i + 1] ?? 0) : 0;
    sum += high * 256 + low;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

function noise(count: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const MEMORY = noise(70_100, 1);

describe("addBytes", () => {
  it("gives the sum of the example of RFC 1071 §3", () => {
    expect(fold(addBytes(0, fromHex("0001 f203 f4f5 f6f7"), 0, 8))).toBe(0xddf2);
  });

  it("agrees with the naive sum around the switch to words, at every alignment", () => {
    for (let offset = 0; offset < 8; offset++) {
      for (let length = 0; length <= 220; length++) {
        const got = fold(addBytes(0, MEMORY, offset, length));
        if (got !== naive(MEMORY, offset, length)) expect.fail(`offset ${offset}, length ${length}`);
      }
    }
  });

  it.each([1455, 1456, 65_495, 65_535, 65_536, 65_537, 69_999, 70_000])("agrees with the naive sum for %d bytes", (length) => {
    for (let offset = 0; offset < 4; offset++) {
      expect(fold(addBytes(0, MEMORY, offset, length))).toBe(naive(MEMORY, offset, length));
    }
  });

  it("does not overflow on the largest words", () => {
    const ones = new Uint8Array(140_000).fill(0xff);
    for (const offset of [0, 1, 2, 3]) expect(fold(addBytes(0, ones, offset, 139_990))).toBe(0xffff);
  });

  it("agrees for views that begin anywhere in their memory", () => {
    fc.assert(
      fc.property(fc.nat(9), fc.nat(9), fc.nat(2000), fc.nat(0xffff), (byteOffset, offset, length, sum) => {
        const bytes = MEMORY.subarray(byteOffset, byteOffset + offset + length);
        expect(fold(addBytes(sum, bytes, offset, length))).toBe(naive(bytes, offset, length, sum));
      }),
    );
  });

  it("takes memory whose size is no multiple of four", () => {
    const bytes = noise(1003, 5);
    expect(fold(addBytes(0, bytes, 0, 1003))).toBe(naive(bytes, 0, 1003));
  });

  it("follows when another memory takes the place of the last", () => {
    const [a, b] = [noise(400, 2), noise(400, 3)];
    expect(fold(addBytes(0, a, 0, 400))).toBe(naive(a, 0, 400));
    expect(fold(addBytes(0, b, 0, 400))).toBe(naive(b, 0, 400));
    a.fill(9);
    expect(fold(addBytes(0, a, 0, 400))).toBe(naive(a, 0, 400));
  });

  it("chains pieces of even length, and a last one of any", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 6 }), fc.nat(301), fc.nat(7), (halves, last, start) => {
        let sum = 0;
        let at = start;
        for (const half of halves) {
          sum = addBytes(sum, MEMORY, at, 2 * half);
          at += 2 * half;
        }
        sum = addBytes(sum, MEMORY, at, last);
        expect(fold(sum)).toBe(naive(MEMORY, start, at + last - start));
      }),
    );
  });
});

describe("fold and finish", () => {
  it("bring every carry round", () => {
    expect(fold(0)).toBe(0);
    expect(fold(0xffff)).toBe(0xffff);
    expect(fold(0x10000)).toBe(1);
    expect(fold(0x1ffff)).toBe(1);
    expect(fold(0xffff_ffff)).toBe(0xffff);
    expect(fold(0x12_3456_789a)).toBe(0x12 + 0x3456 + 0x789a);
    expect(finish(0x1ffff)).toBe(0xfffe);
    expect(finish(0)).toBe(0xffff);
  });
});

describe("checksums of captured packets", () => {
  it("hold for IPv4 headers and an ICMP message", () => {
    expect(fold(addBytes(0, RST_V4, 0, 20))).toBe(0xffff);
    expect(fold(addBytes(0, UNREACHABLE_V4, 0, 20))).toBe(0xffff);
    expect(fold(addBytes(0, UNREACHABLE_V4, 20, UNREACHABLE_V4.length - 20))).toBe(0xffff);
  });

  it("hold for TCP with the pseudo-header of IPv4", () => {
    const loopback = parseAddress("127.0.0.1");
    expect(fold(addBytes(pseudoHeaderSum(loopback, loopback, 6, 20), RST_V4, 20, 20))).toBe(0xffff);
  });
});

describe("pseudoHeaderSum", () => {
  it("is the sum of the pseudo-header's bytes (RFC 9293 §3.1)", () => {
    const bytes = fromHex("c0a80102 0a00fffe 0006 05b4");
    const sum = pseudoHeaderSum(parseAddress("192.168.1.2"), parseAddress("10.0.255.254"), 6, 0x05b4);
    expect(fold(sum)).toBe(naive(bytes, 0, bytes.length));
  });

  it("is the sum of the pseudo-header's bytes in IPv6, with a length of 32 bits (RFC 8200 §8.1)", () => {
    const bytes = fromHex("20010db8000000000000000000abcdef fe80000000000000fffffffffffffffe 00012345 00000006");
    const sum = pseudoHeaderSum(parseAddress("2001:db8::ab:cdef"), parseAddress("fe80::ffff:ffff:ffff:fffe"), 6, 0x12345);
    expect(fold(sum)).toBe(naive(bytes, 0, bytes.length));
  });
});
