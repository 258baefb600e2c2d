import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteRing, copy } from "../../src/base/byte-ring.js";
import { InvariantError } from "../../src/base/errors.js";

const SMALLEST = 4096;

/** `count` bytes that differ from their neighbours and from other calls. */
function pattern(seed: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (seed * 131 + i * 7 + (i >>> 8)) & 0xff);
}

function contents(ring: ByteRing, distance = 0, count = ring.length - distance): number[] {
  const target = new Uint8Array(count);
  ring.copyOut(distance, target, 0, count);
  return [...target];
}

describe("ByteRing", () => {
  it("takes no memory until it is used and gives it back", () => {
    const ring = new ByteRing();
    expect(ring.allocatedBytes).toBe(0);
    ring.append(pattern(1, 10), 0, 10);
    expect(ring.allocatedBytes).toBe(SMALLEST);
    ring.release();
    expect([ring.length, ring.allocatedBytes]).toEqual([0, 0]);
    ring.append(pattern(2, 10), 0, 10);
    expect(contents(ring)).toEqual([...pattern(2, 10)]);
  });

  it("gives out bytes in the order in which they came, from any part of a source", () => {
    const ring = new ByteRing();
    const source = pattern(1, 300);
    ring.append(source, 0, 100);
    ring.append(source, 100, 200);
    expect(ring.length).toBe(300);
    expect(contents(ring)).toEqual([...source]);
    expect(contents(ring, 150, 20)).toEqual([...source.subarray(150, 170)]);
  });

  it("wraps without growing", () => {
    const ring = new ByteRing();
    ring.append(pattern(1, SMALLEST), 0, SMALLEST);
    ring.discard(4000);
    ring.append(pattern(2, 3000), 0, 3000);
    expect(ring.allocatedBytes).toBe(SMALLEST);
    expect(contents(ring)).toEqual([...pattern(1, SMALLEST).subarray(4000), ...pattern(2, 3000)]);
  });

  it("grows while its contents wrap and bytes are written ahead", () => {
    const ring = new ByteRing();
    ring.append(pattern(1, SMALLEST), 0, SMALLEST);
    ring.discard(4000);
    ring.append(pattern(2, 1000), 0, 1000);
    ring.writeAt(2000, pattern(3, 500), 0, 500);
    ring.writeAt(6000, pattern(4, 100), 0, 100);
    expect(ring.allocatedBytes).toBe(2 * SMALLEST);
    expect(ring.length).toBe(1096);
    expect(contents(ring)).toEqual([...pattern(1, SMALLEST).subarray(4000), ...pattern(2, 1000)]);
    expect(contents(ring, 2000, 500)).toEqual([...pattern(3, 500)]);
    expect(contents(ring, 6000, 100)).toEqual([...pattern(4, 100)]);
  });

  it("joins bytes written ahead when the hole before them is filled", () => {
    const ring = new ByteRing();
    ring.writeAt(3, Uint8Array.of(4, 5, 6), 0, 3);
    expect(ring.length).toBe(0);
    ring.append(Uint8Array.of(1, 2, 3), 0, 3);
    ring.extend(3);
    expect(contents(ring)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("does nothing for no bytes", () => {
    const ring = new ByteRing();
    ring.append(new Uint8Array(0), 0, 0);
    ring.writeAt(100, new Uint8Array(0), 0, 0);
    ring.copyOut(0, new Uint8Array(0), 0, 0);
    ring.discard(0);
    expect([ring.length, ring.allocatedBytes]).toEqual([0, 0]);
  });

  it("refuses to discard what it does not hold, and to extend over memory that it does not have", () => {
    const ring = new ByteRing();
    ring.append(Uint8Array.of(1, 2), 0, 2);
    expect(() => ring.discard(3)).toThrow(InvariantError);
    expect(() => ring.extend(SMALLEST)).toThrow(InvariantError);
  });

  it("agrees with a plain list of bytes", () => {
    const size = fc.oneof(fc.nat(100), fc.nat(9000));
    const step = fc.oneof(
      fc.record({ op: fc.constant("append" as const), count: size, ahead: fc.constant(0) }),
      fc.record({ op: fc.constant("ahead" as const), count: size, ahead: fc.nat(6000) }),
      fc.record({ op: fc.constant("discard" as const), count: size, ahead: fc.constant(0) }),
      fc.record({ op: fc.constant("extend" as const), count: size, ahead: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const ring = new ByteRing();
        // The tail is at `length`; what stands behind it was written ahead, and holes are undefined.
        const model: (number | undefined)[] = [];
        let length = 0;
        for (const [i, { op, count, ahead }] of steps.entries()) {
          if (op === "append" || op === "ahead") {
            const bytes = pattern(i, count + 5);
            const at = length + ahead;
            for (let n = 0; n < count; n++) model[at + n] = bytes[n + 5];
            if (op === "append") {
              ring.append(bytes, 5, count);
              length += count;
            } else ring.writeAt(at, bytes, 5, count);
          } else if (op === "discard") {
            const gone = Math.min(count, length);
            ring.discard(gone);
            model.splice(0, gone);
            length -= gone;
          } else {
            let run = 0;
            while (run < count && model[length + run] !== undefined) run++;
            ring.extend(run);
            length += run;
          }
          expect(ring.length).toBe(length);
          // One comparison a step, not one a byte: the whole of the memory in use, holes left out.
          const target = new Uint8Array(model.length);
          ring.copyOut(0, target, 0, model.length);
          const wrong = model.findIndex((byte, n) => byte !== undefined && byte !== target[n]);
          expect(wrong).toBe(-1);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("copy", () => {
  it.each([0, 1, 47, 48, 49, 200])("copies %d bytes and touches no others", (count) => {
    const source = pattern(3, count + 7);
    const target = new Uint8Array(count + 9).fill(0xee);
    copy(target, 4, source, 5, count);
    expect([...target]).toEqual([0xee, 0xee, 0xee, 0xee, ...source.subarray(5, 5 + count), 0xee, 0xee, 0xee, 0xee, 0xee]);
  });

  it("copies a whole source", () => {
    const source = pattern(4, 100);
    const target = new Uint8Array(110);
    copy(target, 10, source, 0, 100);
    expect([...target.subarray(10)]).toEqual([...source]);
  });
});
