import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chance, type Random, randomBelow, SeededRandom } from "../../src/base/random.js";

/** Hands out the numbers that it was given. */
class Script implements Random {
  readonly #values: number[];

  constructor(...values: number[]) {
    this.#values = values;
  }

  u32(): number {
    const value = this.#values.shift();
    if (value === undefined) throw new Error("the script has ended");
    return value;
  }

  get left(): number {
    return this.#values.length;
  }
}

const take = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.u32());

/** xoshiro128** as its authors define it, on BigInt, from the state that the seed gives. */
function* reference(seed: number): Generator<number> {
  const M = 0xffffffffn;
  const rotl = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & M;
  let counter = BigInt(seed) & M;
  const splitmix = (): bigint => {
    counter = (counter + 0x9e3779b9n) & M;
    let z = counter;
    z = ((z ^ (z >> 16n)) * 0x21f0aaadn) & M;
    z = ((z ^ (z >> 15n)) * 0x735a2d97n) & M;
    return z ^ (z >> 15n);
  };
  const s: [bigint, bigint, bigint, bigint] = [splitmix(), splitmix(), splitmix(), splitmix() | 1n];
  for (;;) {
    yield Number((rotl((s[1] * 5n) & M, 7n) * 9n) & M);
    const t = (s[1] << 9n) & M;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 11n);
  }
}

describe("SeededRandom", () => {
  it("is xoshiro128** for any seed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (seed) => {
        const expected = reference(seed);
        expect(take(new SeededRandom(seed), 20)).toEqual(Array.from({ length: 20 }, () => expected.next().value));
      }),
    );
  });

  it("gives different numbers for different seeds", () => {
    expect(take(new SeededRandom(1), 4)).not.toEqual(take(new SeededRandom(2), 4));
  });
});

describe("randomBelow", () => {
  it("rejects the numbers that would make the low remainders likelier", () => {
    // 2^32 = 1431655765 * 3 + 1: the last number is one too many.
    const random = new Script(2 ** 32 - 1, 2 ** 32 - 2);
    expect(randomBelow(random, 3)).toBe((2 ** 32 - 2) % 3);
    expect(random.left).toBe(0);
  });

  it("takes the whole range as a bound", () => {
    expect(randomBelow(new Script(2 ** 32 - 1), 2 ** 32)).toBe(2 ** 32 - 1);
    expect(randomBelow(new Script(12345), 1)).toBe(0);
  });

  it("reaches every value and none beyond", () => {
    const random = new SeededRandom(7);
    const seen = new Set(Array.from({ length: 300 }, () => randomBelow(random, 6)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe("chance", () => {
  it("is never true at 0 and always true at 1", () => {
    expect(chance(new Script(0), 0)).toBe(false);
    expect(chance(new Script(2 ** 32 - 1), 1)).toBe(true);
  });

  it("divides the range at the probability", () => {
    expect(chance(new Script(2 ** 30 - 1), 0.25)).toBe(true);
    expect(chance(new Script(2 ** 30), 0.25)).toBe(false);
  });
});
