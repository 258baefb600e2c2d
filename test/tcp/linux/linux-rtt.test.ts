/** The round-trip time estimate of Linux (tcp_rtt_estimator). */
import { describe, expect, it } from "vitest";
import { LinuxRttEstimator } from "../../../src/tcp/linux-rtt.js";

function estimator(): { rtt: LinuxRttEstimator; round: { una: number; nxt: number } } {
  const round = { una: 0xffff_fff0, nxt: 0xffff_fffa };
  return { rtt: new LinuxRttEstimator(1_000_000, 200_000, 120_000_000, round), round };
}

describe("LinuxRttEstimator", () => {
  it("takes the first sample as it is; the variation is not below the least time-out", () => {
    const { rtt } = estimator();
    rtt.sample(100_000);
    expect([rtt.srtt, rtt.rttvar, rtt.rto]).toEqual([100_000, 50_000, 300_000]);
  });

  it("a longer sample raises the time-out at once", () => {
    const { rtt } = estimator();
    rtt.sample(100_000);
    rtt.sample(500_000);
    // 7/8 · 100 + 1/8 · 500; deviation 200 · 3/4 + 400 · 1/4 ... in quarters: 200 + 400 - 50.
    expect([rtt.srtt, rtt.rttvar, rtt.rto]).toEqual([150_000, 137_500, 700_000]);
  });

  it("the variation falls by a quarter of what is too much, once a round trip", () => {
    const { rtt, round } = estimator();
    rtt.sample(100_000);
    rtt.sample(500_000);
    const before = rtt.rto - rtt.srtt;
    round.una = 4;
    round.nxt = 20;
    rtt.sample(150_000);
    round.una = 21;
    rtt.sample(150_000);
    const after = rtt.rto - rtt.srtt;
    expect(after).toBeLessThan(before);
    expect(after).toBeGreaterThanOrEqual(Math.floor(before * 0.74));
  });

  it("a sample that is shorter than before is no reason for a longer time-out", () => {
    const { rtt } = estimator();
    rtt.sample(500_000);
    const before = rtt.rto;
    rtt.sample(1_000);
    expect(rtt.rto).toBeLessThanOrEqual(before);
  });
});
