/** Actions in order of time, and of arrival where times are equal: the order never depends on the heap. */
import { type Micros, NEVER } from "../base/time.js";

interface Item {
  readonly at: Micros;
  readonly order: number;
  readonly action: () => void;
}

export class EventQueue {
  readonly #heap: Item[] = [];
  #order = 0;

  get nextTime(): Micros {
    return this.#heap[0]?.at ?? NEVER;
  }

  push(at: Micros, action: () => void): void {
    const heap = this.#heap;
    const item: Item = { at, order: this.#order++, action };
    let i = heap.length;
    heap.push(item);
    while (i > 0) {
      const parentAt = (i - 1) >>> 1;
      const parent = heap[parentAt];
      if (parent === undefined || before(parent, item)) break;
      heap[i] = parent;
      i = parentAt;
    }
    heap[i] = item;
  }

  pop(): (() => void) | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (first !== last) this.#sink(last);
    return first.action;
  }

  #sink(item: Item): void {
    const heap = this.#heap;
    let i = 0;
    for (;;) {
      let childAt = 2 * i + 1;
      let child = heap[childAt];
      if (child === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && before(right, child)) {
        childAt++;
        child = right;
      }
      if (before(item, child)) break;
      heap[i] = child;
      i = childAt;
    }
    heap[i] = item;
  }
}

function before(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
