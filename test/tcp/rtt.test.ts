/** What the retransmission timer's estimate gives the persist timer; RFC 6298 itself is in `retransmission.test.ts`. */
import { describe, expect, test } from "vitest";
import { RttEstimator } from "../../src/tcp/rtt.js";

describe("the base of zero-window probes", () => {
  test("before a round trip was measured it is twice the time-out, without what every time-out is lengthened by", () => {
    expect(new RttEstimator(1_000_000, 30_000, 64_000_000).persistBase).toBe(2_000_000);
    expect(new RttEstimator(1_000_000, 30_000, 64_000_000, 200_000).persistBase).toBe(1_600_000);
  });

  test("afterwards it is twice of SRTT and four deviations, where the time-out is not", () => {
    const rtt = new RttEstimator(1_000_000, 30_000, 64_000_000, 200_000);
    rtt.sample(100_000);
    expect([rtt.rto, rtt.persistBase]).toEqual([500_000, 800_000]);
  });
});
