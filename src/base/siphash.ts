/**
 * SipHash-2-4 (Aumasson and Bernstein 2012) on 32-bit halves: the keyed pseudo-random function behind initial sequence
 * numbers (RFC 6528), port choice (RFC 6056) and hash tables that a peer must not be able to fill on purpose.
 * Our own because `base` is pure (no node:crypto) and synchronous; the published vectors hold it in the tests.
 */

/** The hash under one key. */
export class SipHash {
  readonly #k0: number;
  readonly #k1: number;
  readonly #k2: number;
  readonly #k3: number;

  /** The key: four 32-bit words, little-endian (k0 low, k0 high, k1 low, k1 high). */
  constructor(key: readonly [number, number, number, number]) {
    [this.#k0, this.#k1, this.#k2, this.#k3] = key;
  }

  /** The low 32 bits of SipHash-2-4 over the words as little-endian bytes. */
  hash(words: ArrayLike<number>): number {
    return this.#run(words);
  }

  /** All 64 bits of it: the low word and the high one into `out`. */
  hash64(words: ArrayLike<number>, out: Uint32Array): void {
    out[0] = this.#run(words);
    out[1] = (v[1] as number) ^ (v[3] as number) ^ (v[5] as number) ^ (v[7] as number);
  }

  #run(words: ArrayLike<number>): number {
    v[0] = this.#k0 ^ 0x70736575;
    v[1] = this.#k1 ^ 0x736f6d65;
    v[2] = this.#k2 ^ 0x6e646f6d;
    v[3] = this.#k3 ^ 0x646f7261;
    v[4] = this.#k0 ^ 0x6e657261;
    v[5] = this.#k1 ^ 0x6c796765;
    v[6] = this.#k2 ^ 0x79746573;
    v[7] = this.#k3 ^ 0x74656462;
    const count = words.length;
    let i = 0;
    for (; i + 1 < count; i += 2) compress(words[i] as number, words[i + 1] as number);
    // The last block holds the left-over word, if any, and the length in bytes in its top byte.
    compress(i < count ? (words[i] as number) : 0, ((count * 4) & 0xff) << 24);
    v[4] = (v[4] as number) ^ 0xff;
    for (let r = 0; r < 4; r++) round();
    return ((v[0] as number) ^ (v[2] as number) ^ (v[4] as number) ^ (v[6] as number)) >>> 0;
  }
}

/** v0..v3, each as low and high word. Shared: hashing is synchronous. */
const v = new Int32Array(8);

function compress(low: number, high: number): void {
  v[6] = (v[6] as number) ^ low;
  v[7] = (v[7] as number) ^ high;
  round();
  round();
  v[0] = (v[0] as number) ^ low;
  v[1] = (v[1] as number) ^ high;
}

function round(): void {
  add(0, 2);
  rotate(2, 13);
  xor(2, 0);
  swap(0);
  add(4, 6);
  rotate(6, 16);
  xor(6, 4);
  add(0, 6);
  rotate(6, 21);
  xor(6, 0);
  add(4, 2);
  rotate(2, 17);
  xor(2, 4);
  swap(4);
}

function add(a: number, b: number): void {
  const low = ((v[a] as number) >>> 0) + ((v[b] as number) >>> 0);
  v[a + 1] = (v[a + 1] as number) + (v[b + 1] as number) + (low > 0xffffffff ? 1 : 0);
  v[a] = low | 0;
}

function xor(a: number, b: number): void {
  v[a] = (v[a] as number) ^ (v[b] as number);
  v[a + 1] = (v[a + 1] as number) ^ (v[b + 1] as number);
}

/** Rotates the 64-bit value left by `n` in 1..31. */
function rotate(a: number, n: number): void {
  const low = v[a] as number;
  const high = v[a + 1] as number;
  v[a] = (low << n) | (high >>> (32 - n));
  v[a + 1] = (high << n) | (low >>> (32 - n));
}

/** Rotates by 32. */
function swap(a: number): void {
  const low = v[a] as number;
  v[a] = v[a + 1] as number;
  v[a + 1] = low;
}
