/** The least of the samples of the last while, in constant memory: a path that has become longer is believed in the end. */
import { type Micros, NEVER } from "./time.js";

/** Keeps the least sample of two half windows; so a sample counts for half a window at least and for a whole one at most. */
export class WindowedMin {
  /** As of the last sample; NEVER before the first. */
  value: number = NEVER;
  readonly #half: Micros;
  #former: number = NEVER;
  #present: number = NEVER;
  #presentSince: Micros = -NEVER;

  /** `windowUs`: how long a sample may count at the most. */
  constructor(windowUs: Micros) {
    this.#half = windowUs / 2;
  }

  /** Takes a sample; `now` must not go back. */
  add(sample: number, now: Micros): void {
    const elapsed = now - this.#presentSince;
    if (elapsed >= this.#half) {
      this.#former = elapsed < 2 * this.#half ? this.#present : NEVER;
      this.#present = sample;
      this.#presentSince = now;
    } else if (sample < this.#present) {
      this.#present = sample;
    }
    this.value = Math.min(this.#former, this.#present);
  }
}
