import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NEVER } from "../../src/base/time.js";
import { Entry } from "../../src/stack/entry.js";
import { TimerHeap } from "../../src/stack/timer-heap.js";
import { DEFAULT_CONFIG } from "../../src/tcp/config.js";
import { Connection } from "../../src/tcp/connection.js";
import { LOCAL, REMOTE } from "./rig.js";

function entries(count: number): Entry[] {
  const seed = { tsOffset: 0, ipId: 0 };
  return Array.from(
    { length: count },
    (_, i) => new Entry(new Connection(i, DEFAULT_CONFIG, LOCAL, 80, REMOTE, i + 1, seed), undefined, ""),
  );
}

type Step =
  | { readonly kind: "schedule"; readonly who: number; readonly at: number }
  | { readonly kind: "remove"; readonly who: number }
  | { readonly kind: "pop"; readonly now: number };

const who = fc.nat(15);
const at = fc.oneof(fc.nat(40), fc.constant(NEVER));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("schedule" as const), who, at }) },
  fc.record({ kind: fc.constant("remove" as const), who }),
  fc.record({ kind: fc.constant("pop" as const), now: fc.nat(40) }),
);

describe("timer heap", () => {
  it("behaves as a list in which the earliest time asked for counts", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
        const all = entries(16);
        const heap = new TimerHeap();
        const model = new Map<Entry, number>();
        for (const s of steps) {
          if (s.kind === "pop") {
            const popped = heap.popDue(s.now);
            const first = Math.min(NEVER, ...model.values());
            if (first > s.now) {
              expect(popped).toBeUndefined();
            } else {
              expect(popped === undefined ? undefined : model.get(popped)).toBe(first);
              if (popped !== undefined) model.delete(popped);
            }
          } else {
            const entry = all[s.who] as Entry;
            if (s.kind === "remove") {
              heap.remove(entry);
              model.delete(entry);
            } else {
              heap.schedule(entry, s.at);
              const known = model.get(entry) ?? NEVER;
              if (s.at < known) model.set(entry, s.at);
            }
          }
          expect(heap.size).toBe(model.size);
          expect(heap.next).toBe(Math.min(NEVER, ...model.values()));
          expect(all.filter((entry) => entry.heapIndex >= 0 !== model.has(entry))).toEqual([]);
        }
        const order: number[] = [];
        for (let e = heap.popDue(NEVER); e !== undefined; e = heap.popDue(NEVER)) order.push(model.get(e) ?? -1);
        expect(order).toEqual([...model.values()].sort((x, y) => x - y));
      }),
      { numRuns: 100 },
    );
  });

  it("leaves a timer that moves later where it is: it is looked at early, never late", () => {
    const [entry] = entries(1) as [Entry];
    const heap = new TimerHeap();
    heap.schedule(entry, 10);
    heap.schedule(entry, 50);
    expect(heap.next).toBe(10);
    expect(heap.popDue(9)).toBeUndefined();
    expect(heap.popDue(10)).toBe(entry);
    expect(heap.next).toBe(NEVER);
  });
});
