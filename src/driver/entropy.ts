/** Randomness from the system, for secrets, sequence numbers and ports. */
import { randomFillSync } from "node:crypto";
import type { Random } from "../base/random.js";

/** Draws words from the system in blocks: one call in 256 costs more than an array read. */
export class SystemRandom implements Random {
  readonly #words = new Uint32Array(256);
  #next = this.#words.length;

  u32(): number {
    if (this.#next >= this.#words.length) {
      randomFillSync(this.#words);
      this.#next = 0;
    }
    return this.#words[this.#next++] ?? 0;
  }
}
