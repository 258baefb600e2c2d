import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NEVER } from "../../src/base/time.js";
import { EventQueue } from "../../src/sim/event-queue.js";

describe("event queue", () => {
  it("gives actions in order of time, and of arrival where times are equal, pushes and pops in any mixture", () => {
    // null pops, a number pushes for that time; few times, so that many are equal.
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(9), { freq: 2 }), { maxLength: 300, size: "max" }), (steps) => {
        const queue = new EventQueue();
        let model: { at: number; id: number }[] = [];
        const popped: number[] = [];
        const expected: number[] = [];
        const pop = (): void => {
          const first = model[0];
          expect(queue.nextTime).toBe(first?.at ?? NEVER);
          model = model.slice(1);
          if (first !== undefined) expected.push(first.id);
          queue.pop()?.();
        };
        for (const [id, at] of steps.entries()) {
          if (at === null) {
            pop();
          } else {
            queue.push(at, () => popped.push(id));
            model.push({ at, id });
            model.sort((x, y) => x.at - y.at || x.id - y.id);
          }
        }
        while (model.length > 0) pop();
        expect(popped).toEqual(expected);
        expect(queue.pop()).toBeUndefined();
        expect(queue.nextTime).toBe(NEVER);
      }),
      { numRuns: 100 },
    );
  });
});
