import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8Decode, utf8Encode, utf8Length, utf8Write } from "../../src/base/utf8.js";

/** The platform's own codec is the witness. */
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

describe("encoding", () => {
  test("any text, lone surrogates included, gives the bytes that TextEncoder gives", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 0xd800, max: 0xdfff }), (text, surrogate) => {
        for (const sample of [text, `${text}${String.fromCharCode(surrogate)}${text}`]) {
          expect(utf8Encode(sample)).toEqual(encoder.encode(sample));
          expect(utf8Length(sample)).toBe(encoder.encode(sample).length);
        }
      }),
    );
  });

  test("writes at an offset and leaves what lies around", () => {
    const target = new Uint8Array(8).fill(7);
    expect(utf8Write("a€", target, 2)).toBe(6);
    expect([...target]).toEqual([7, 7, 0x61, 0xe2, 0x82, 0xac, 7, 7]);
  });
});

describe("decoding", () => {
  test("any bytes give the text that TextDecoder gives", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(utf8Decode(bytes)).toBe(decoder.decode(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  test("bytes around the limits of RFC 3629 give the text that TextDecoder gives", () => {
    const edge = fc.constantFrom(
      0x00,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
      0xff,
    );
    fc.assert(
      fc.property(fc.array(edge, { maxLength: 8 }), (list) => {
        const bytes = Uint8Array.from(list);
        expect(utf8Decode(bytes)).toBe(decoder.decode(bytes));
      }),
      { numRuns: 5000 },
    );
  });

  test("decodes a part of an array", () => {
    expect(utf8Decode(encoder.encode("abcdef"), 2, 4)).toBe("cd");
  });
});
