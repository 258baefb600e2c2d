import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SipHash } from "../../src/base/siphash.js";

const M = 2n ** 64n - 1n;
const rotl = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & M;

function littleEndian(bytes: ArrayLike<number>, at: number, count: number): bigint {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

/** SipHash-2-4 over bytes, as §2 of the paper defines it. */
function reference(key: Uint8Array, message: Uint8Array): bigint {
  const k0 = littleEndian(key, 0, 8);
  const k1 = littleEndian(key, 8, 8);
  let [v0, v1, v2, v3] = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn, k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n];
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) & M;
      v1 = rotl(v1, 13n) ^ v0;
      v0 = rotl(v0, 32n);
      v2 = (v2 + v3) & M;
      v3 = rotl(v3, 16n) ^ v2;
      v0 = (v0 + v3) & M;
      v3 = rotl(v3, 21n) ^ v0;
      v2 = (v2 + v1) & M;
      v1 = rotl(v1, 17n) ^ v2;
      v2 = rotl(v2, 32n);
    }
  };
  const whole = message.length >>> 3;
  for (let i = 0; i <= whole; i++) {
    const isLast = i === whole;
    const word = isLast
      ? littleEndian(message, i * 8, message.length & 7) | (BigInt(message.length & 0xff) << 56n)
      : littleEndian(message, i * 8, 8);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

const counting = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => i);
const toWords = (bytes: Uint8Array): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, i) => Number(littleEndian(bytes, i * 4, 4)));

/** The key of the paper's vectors, 00 01 … 0f. */
const KEY = counting(16);
const PAPER = new SipHash([0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c]);

describe("SipHash-2-4", () => {
  it("has a reference that gives the vector of the paper's Appendix A", () => {
    expect(reference(KEY, counting(15))).toBe(0xa129ca6149be45e5n);
  });

  it("agrees with the reference on 00 01 02 … for every whole number of words", () => {
    for (let length = 0; length <= 64; length += 4) {
      const message = counting(length);
      expect(PAPER.hash(toWords(message)), `${length} bytes`).toBe(Number(reference(KEY, message) & 0xffffffffn));
    }
  });

  it("agrees with the reference for any key and words", () => {
    const words = (minLength: number, maxLength: number): fc.Arbitrary<Uint32Array> => fc.uint32Array({ minLength, maxLength });
    fc.assert(
      fc.property(words(4, 4), words(0, 80), (key, message) => {
        const hash = new SipHash([key[0] ?? 0, key[1] ?? 0, key[2] ?? 0, key[3] ?? 0]).hash(message);
        expect(hash).toBe(Number(reference(new Uint8Array(key.buffer), new Uint8Array(message.buffer)) & 0xffffffffn));
      }),
    );
  });

  it("takes signed words for the same bits", () => {
    expect(PAPER.hash([-1, -2])).toBe(PAPER.hash([0xffffffff, 0xfffffffe]));
  });

  it("keeps nothing from one hash to the next", () => {
    const first = PAPER.hash([1, 2, 3]);
    PAPER.hash([4, 5, 6, 7]);
    expect(PAPER.hash([1, 2, 3])).toBe(first);
  });
});
