import { describe, expect, it } from "vitest";
import { LOSSY, MEBIBYTE, MEDIAN_GOODPUT, TIMEOUT, VARIATIONS, WITHIN } from "./transfers.js";
import { grid } from "./worlds.js";

/** The second half of the seeds is in `transfers-b.test.ts`: a file a core. */
describe("1 MiB both ways at once through 10 % loss, reordering and duplication", () => {
  it("arrives intact, ends, and leaves nothing behind, for seeds 1 to 500", { timeout: TIMEOUT }, () => {
    const goodputs = grid(1, 500, { bytes: MEBIBYTE, link: LOSSY, within: WITHIN });
    expect(goodputs).toHaveLength(500);
    expect(goodputs[250]).toBeGreaterThan(MEDIAN_GOODPUT);
  });
});

describe("the same with", () => {
  it.each(VARIATIONS.slice(0, 4))("$name, for 100 seeds", { timeout: TIMEOUT }, ({ options, medianGoodput }) => {
    const goodputs = grid(10_000, 100, options);
    expect(goodputs).toHaveLength(100);
    expect(goodputs[50]).toBeGreaterThan(medianGoodput);
  });
});
