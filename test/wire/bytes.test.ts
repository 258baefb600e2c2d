import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { getU16, getU32, putU16, putU32, toHex } from "../../src/wire/bytes.js";

describe("big-endian access", () => {
  it("agrees with DataView at any offset", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.nat(4), fc.integer(), (bytes, at, value) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
        expect(getU16(bytes, at)).toBe(view.getUint16(at));
        expect(getU32(bytes, at)).toBe(view.getUint32(at));
        const expected = bytes.slice();
        const expectedView = new DataView(expected.buffer);
        expectedView.setUint32(at, value);
        putU32(bytes, at, value);
        expect(bytes).toEqual(expected);
        expectedView.setUint16(at, value >> 3);
        putU16(bytes, at, value >> 3);
        expect(bytes).toEqual(expected);
      }),
    );
  });
});

describe("toHex", () => {
  it("writes two digits a byte", () => {
    expect(toHex(Uint8Array.of(0, 10, 255))).toBe("000aff");
    expect(toHex(Uint8Array.of(0, 10, 255), ":")).toBe("00:0a:ff");
    expect(toHex(new Uint8Array(0), ":")).toBe("");
  });
});
