import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RangeSet } from "../../src/base/range-set.js";
import { seqAdd, seqDiff } from "../../src/base/seq.js";

/** Ranges relative to `base`, as [start, end) pairs. */
function rangesOf(set: RangeSet, base: number): number[][] {
  return Array.from({ length: set.size }, (_, i) => [seqDiff(set.start(i), base), seqDiff(set.end(i), base)]);
}

describe.each([
  ["far from a wrap", 5000],
  ["across 2^31", 2 ** 31 - 40],
  ["across 2^32", 2 ** 32 - 40],
])("RangeSet %s", (_where, base) => {
  const at = (n: number): number => seqAdd(base, n);

  function filled(...ranges: [number, number][]): RangeSet {
    const set = new RangeSet();
    for (const [start, end] of ranges) set.add(at(start), at(end));
    return set;
  }

  it("keeps ranges apart and in order", () => {
    expect(rangesOf(filled([50, 60], [10, 20], [30, 40]), base)).toEqual([
      [10, 20],
      [30, 40],
      [50, 60],
    ]);
  });

  it("merges ranges that overlap or touch", () => {
    expect(rangesOf(filled([10, 20], [20, 30]), base)).toEqual([[10, 30]]);
    expect(rangesOf(filled([20, 30], [10, 20]), base)).toEqual([[10, 30]]);
    expect(rangesOf(filled([10, 20], [30, 40], [50, 60], [15, 50]), base)).toEqual([[10, 60]]);
    expect(rangesOf(filled([10, 40], [20, 30]), base)).toEqual([[10, 40]]);
  });

  it("says which range took the bytes", () => {
    const set = filled([10, 20], [50, 60]);
    expect(set.add(at(30), at(40))).toBe(1);
    expect(set.add(at(60), at(70))).toBe(2);
    expect(set.add(at(12), at(18))).toBe(0);
  });

  it("takes no empty range", () => {
    const set = filled([10, 20]);
    expect(set.add(at(30), at(30))).toBe(-1);
    expect(set.add(at(20), at(20))).toBe(-1);
    expect(rangesOf(set, base)).toEqual([[10, 20]]);
  });

  it("knows what it covers", () => {
    const set = filled([10, 20], [30, 40]);
    expect(set.covers(at(10), at(20))).toBe(true);
    expect(set.covers(at(32), at(40))).toBe(true);
    expect(set.covers(at(10), at(21))).toBe(false);
    expect(set.covers(at(15), at(35))).toBe(false);
    expect(set.covers(at(0), at(5))).toBe(false);
  });

  it("forgets what lies before", () => {
    const set = filled([10, 20], [30, 40], [50, 60]);
    set.trimBefore(at(20));
    expect(rangesOf(set, base)).toEqual([
      [30, 40],
      [50, 60],
    ]);
    set.trimBefore(at(35));
    expect(rangesOf(set, base)).toEqual([
      [35, 40],
      [50, 60],
    ]);
    set.trimBefore(at(100));
    expect(set.size).toBe(0);
  });

  it("clears", () => {
    const set = filled([10, 20], [30, 40]);
    set.clear();
    expect(set.size).toBe(0);
    expect(set.covers(at(10), at(20))).toBe(false);
  });

  it("agrees with a set of bytes", () => {
    const add = fc.record({ op: fc.constant("add" as const), start: fc.nat(80), length: fc.nat(15) });
    const trim = fc.record({ op: fc.constant("trim" as const), start: fc.nat(90), length: fc.constant(0) });
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 5, arbitrary: add }, { weight: 1, arbitrary: trim }), { maxLength: 30 }),
        (steps) => {
          const set = new RangeSet();
          const model = new Set<number>();
          for (const { op, start, length } of steps) {
            if (op === "add") {
              const index = set.add(at(start), at(start + length));
              for (let n = start; n < start + length; n++) model.add(n);
              if (length > 0) {
                expect(seqDiff(set.start(index), base)).toBeLessThanOrEqual(start);
                expect(seqDiff(set.end(index), base)).toBeGreaterThanOrEqual(start + length);
              }
            } else {
              set.trimBefore(at(start));
              for (const n of model) if (n < start) model.delete(n);
            }
            expect(rangesOf(set, base)).toEqual(modelRanges(model));
          }
        },
      ),
    );
  });
});

/** Runs of consecutive numbers. */
function modelRanges(model: Set<number>): number[][] {
  const ranges: number[][] = [];
  for (let n = 0; n <= 100; n++) {
    if (!model.has(n)) continue;
    const start = n;
    while (model.has(n)) n++;
    ranges.push([start, n]);
  }
  return ranges;
}
