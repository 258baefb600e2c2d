import { describe, expect, it } from "vitest";
import { LOSSY, MEBIBYTE, MEDIAN_GOODPUT, TIMEOUT, VARIATIONS, WITHIN } from "./transfers.js";
import { grid } from "./worlds.js";

/** The first half of the seeds is in `transfers-a.test.ts`. */
describe("1 MiB both ways at once through 10 % loss, reordering and duplication", () => {
  it("arrives intact, ends, and leaves nothing behind, for seeds 501 to 1000", { timeout: TIMEOUT }, () => {
    const goodputs = grid(501, 500, { bytes: MEBIBYTE, link: LOSSY, within: WITHIN });
    expect(goodputs).toHaveLength(500);
    expect(goodputs[250]).toBeGreaterThan(MEDIAN_GOODPUT);
  });
});

describe("the same with", () => {
  it.each(VARIATIONS.slice(4))("$name, for 100 seeds", { timeout: TIMEOUT }, ({ options, medianGoodput }) => {
    const goodputs = grid(20_000, 100, options);
    expect(goodputs).toHaveLength(100);
    expect(goodputs[50]).toBeGreaterThan(medianGoodput);
  });
});

describe("1 MiB both ways without faults", () => {
  it("needs no retransmission, and is as fast as the window and the round trip allow", () => {
    const [goodput] = grid(1, 1, { bytes: MEBIBYTE, link: { delayUs: 10_000 }, within: WITHIN });
    // Slow start over 20 ms round trips: about ten of them.
    expect(goodput).toBeGreaterThan(5_000_000);
  });
});
