/** Randomness as a value that is handed in: seeded in simulation, from the system in the driver. */

/** A source of random numbers. */
export interface Random {
  /** A uniform 32-bit unsigned integer. */
  u32(): number;
}

/**
 * A seeded generator (xoshiro128**, Blackman and Vigna 2018): the same seed gives the same numbers on every machine.
 * Not for secrets.
 */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Any 32-bit integer is a good seed: it is spread by splitmix32. */
  constructor(seed: number) {
    let s = seed >>> 0;
    const next = (): number => {
      s = (s + 0x9e3779b9) >>> 0;
      let z = s;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  u32(): number {
    const x = Math.imul(this.#b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }
}

/** A uniform integer in `[0, bound)`, `bound` in 1..2^32, without modulo bias. */
export function randomBelow(random: Random, bound: number): number {
  const limit = 2 ** 32 - (2 ** 32 % bound);
  for (;;) {
    const value = random.u32();
    if (value < limit) return value % bound;
  }
}

/** True with the given probability (0..1). */
export function chance(random: Random, probability: number): boolean {
  return probability > 0 && random.u32() < probability * 2 ** 32;
}
