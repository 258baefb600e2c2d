import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seqAdd, seqDiff, seqGe, seqGt, seqInRange, seqLe, seqLt, seqMax, seqMin } from "../../src/base/seq.js";

/** Each test runs at a place where nothing wraps, and at twins where 2^31 or 2^32 lies between the numbers. */
const BASES = [
  ["far from a wrap", 1000],
  ["across 2^31", 2 ** 31 - 5],
  ["across 2^32", 2 ** 32 - 5],
] as const;

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

describe.each(BASES)("sequence arithmetic %s", (_where, base) => {
  const at = (n: number): number => (base + n) % 2 ** 32;

  it("adds and subtracts canonically", () => {
    expect(seqAdd(at(0), 10)).toBe(at(10));
    expect(seqAdd(at(10), -10)).toBe(at(0));
    expect(seqAdd(at(0), 0)).toBe(at(0));
  });

  it("gives the signed distance", () => {
    expect(seqDiff(at(10), at(0))).toBe(10);
    expect(seqDiff(at(0), at(10))).toBe(-10);
    expect(seqDiff(at(3), at(3))).toBe(0);
  });

  it("orders", () => {
    expect([seqLt(at(0), at(10)), seqLt(at(10), at(0)), seqLt(at(4), at(4))]).toEqual([true, false, false]);
    expect([seqLe(at(0), at(10)), seqLe(at(10), at(0)), seqLe(at(4), at(4))]).toEqual([true, false, true]);
    expect([seqGt(at(0), at(10)), seqGt(at(10), at(0)), seqGt(at(4), at(4))]).toEqual([false, true, false]);
    expect([seqGe(at(0), at(10)), seqGe(at(10), at(0)), seqGe(at(4), at(4))]).toEqual([false, true, true]);
  });

  it("takes the later and the earlier", () => {
    expect(seqMax(at(0), at(10))).toBe(at(10));
    expect(seqMax(at(10), at(0))).toBe(at(10));
    expect(seqMin(at(0), at(10))).toBe(at(0));
    expect(seqMin(at(10), at(0))).toBe(at(0));
  });

  it("knows what lies in a range", () => {
    expect(seqInRange(at(0), at(0), 10)).toBe(true);
    expect(seqInRange(at(9), at(0), 10)).toBe(true);
    expect(seqInRange(at(10), at(0), 10)).toBe(false);
    expect(seqInRange(at(-1), at(0), 10)).toBe(false);
    expect(seqInRange(at(0), at(0), 0)).toBe(false);
  });
});

describe("sequence arithmetic anywhere", () => {
  it("agrees with integers for all distances below 2^31", () => {
    fc.assert(
      fc.property(u32, fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }), (a, n) => {
        const b = Number((BigInt(a) + BigInt(n) + 2n ** 32n) % 2n ** 32n);
        expect(seqAdd(a, n)).toBe(b);
        expect(seqDiff(b, a)).toBe(n);
        expect([seqLt(b, a), seqLe(b, a), seqGt(b, a), seqGe(b, a)]).toEqual([n < 0, n <= 0, n > 0, n >= 0]);
        expect([seqMax(a, b), seqMin(a, b)]).toEqual(n >= 0 ? [b, a] : [a, b]);
      }),
    );
  });

  it("holds windows up to the whole space", () => {
    fc.assert(
      fc.property(u32, u32, fc.integer({ min: 0, max: 2 ** 32 }), (start, distance, length) => {
        expect(seqInRange(seqAdd(start, distance), start, length)).toBe(distance < length);
      }),
    );
  });
});
