/**
 * An ordered set of disjoint, non-adjacent half-open ranges `[start, end)` of sequence numbers, all within 2^31 of each
 * other. Small by nature (holes in a window), so plain arrays and linear walks. Used for reassembly.
 */
import { seqGe, seqGt, seqLe, seqLt, seqMax, seqMin } from "./seq.js";

/** See the top of the file. Ranges are numbered from 0 in sequence order. */
export class RangeSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** The number of ranges. */
  get size(): number {
    return this.#starts.length;
  }

  /** The first sequence number of range `i`, which must exist. */
  start(i: number): number {
    return this.#starts[i] as number;
  }

  /** The sequence number behind range `i`, which must exist. */
  end(i: number): number {
    return this.#ends[i] as number;
  }

  /** Adds `[start, end)`, merging what it touches. Returns the index of the range that now holds it; -1 for an empty one, a no-op. */
  add(start: number, end: number): number {
    if (seqGe(start, end)) return -1;
    const starts = this.#starts;
    const ends = this.#ends;
    let i = 0;
    while (i < starts.length && seqLt(ends[i] as number, start)) i++;
    let j = i;
    while (j < starts.length && seqLe(starts[j] as number, end)) {
      start = seqMin(start, starts[j] as number);
      end = seqMax(end, ends[j] as number);
      j++;
    }
    starts.splice(i, j - i, start);
    ends.splice(i, j - i, end);
    return i;
  }

  /** The index of the range that starts at `start`, -1 when there is none. */
  indexOfStart(start: number): number {
    return this.#starts.indexOf(start);
  }

  /** Whether every byte of `[start, end)` is in the set. */
  covers(start: number, end: number): boolean {
    for (let i = 0; i < this.#starts.length; i++) {
      if (seqLe(this.#starts[i] as number, start) && seqGe(this.#ends[i] as number, end)) return true;
    }
    return false;
  }

  /** Forgets all before `seq`. */
  trimBefore(seq: number): void {
    const starts = this.#starts;
    const ends = this.#ends;
    let gone = 0;
    while (gone < starts.length && seqLe(ends[gone] as number, seq)) gone++;
    if (gone > 0) {
      starts.splice(0, gone);
      ends.splice(0, gone);
    }
    if (starts.length > 0 && seqGt(seq, starts[0] as number)) starts[0] = seq;
  }

  /** Forgets all from `seq` on. */
  trimAfter(seq: number): void {
    const starts = this.#starts;
    const ends = this.#ends;
    while (starts.length > 0 && seqGe(starts.at(-1) as number, seq)) {
      starts.pop();
      ends.pop();
    }
    if (ends.length > 0 && seqGt(ends.at(-1) as number, seq)) ends[ends.length - 1] = seq;
  }

  /** Forgets all. */
  clear(): void {
    this.#starts.length = 0;
    this.#ends.length = 0;
  }
}
