/**
 * A binary heap of connections by the time of their next timer. A timer that moves later stays where it is and is looked at
 * again when its old time comes (it was restarted by an ACK, most likely), so that an ACK costs nothing here.
 */
import { type Micros, NEVER } from "../base/time.js";
import type { Entry } from "./entry.js";

export class TimerHeap {
  readonly #heap: Entry[] = [];

  /** The earliest time anything may be due; NEVER when nothing is. */
  get next(): Micros {
    return this.#heap[0]?.wakeAt ?? NEVER;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Makes sure that `entry` is looked at no later than `at`. */
  schedule(entry: Entry, at: Micros): void {
    if (entry.heapIndex < 0) {
      if (at === NEVER) return;
      entry.wakeAt = at;
      entry.heapIndex = this.#heap.length;
      this.#heap.push(entry);
      this.#up(entry.heapIndex);
    } else if (at < entry.wakeAt) {
      entry.wakeAt = at;
      this.#up(entry.heapIndex);
    }
  }

  /** Takes out an entry whose time has come, or returns undefined. */
  popDue(now: Micros): Entry | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.wakeAt > now) return undefined;
    this.remove(first);
    return first;
  }

  remove(entry: Entry): void {
    const at = entry.heapIndex;
    if (at < 0) return;
    entry.heapIndex = -1;
    entry.wakeAt = NEVER;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#heap[at] = last;
    last.heapIndex = at;
    this.#up(at);
    this.#down(last.heapIndex);
  }

  #up(at: number): void {
    const heap = this.#heap;
    const entry = heap[at];
    if (entry === undefined) return;
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = heap[parentAt];
      if (parent === undefined || parent.wakeAt <= entry.wakeAt) break;
      heap[at] = parent;
      parent.heapIndex = at;
      at = parentAt;
    }
    heap[at] = entry;
    entry.heapIndex = at;
  }

  #down(at: number): void {
    const heap = this.#heap;
    const entry = heap[at];
    if (entry === undefined) return;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = heap[childAt];
      if (child === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && right.wakeAt < child.wakeAt) {
        childAt++;
        child = right;
      }
      if (child.wakeAt >= entry.wakeAt) break;
      heap[at] = child;
      child.heapIndex = at;
      at = childAt;
    }
    heap[at] = entry;
    entry.heapIndex = at;
  }
}
