/** Flows that share a bottleneck: each gets its part, and the link is kept busy. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { cubic } from "../../src/tcp/cubic.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { jain, mbps, pass, startFlow } from "./bulk.js";
import { PORT, twoHosts } from "./worlds.js";

const RATE_BPS = 20_000_000;
/** Round-trip time without a queue. */
const RTT_MS = 40;
/** Once the bandwidth-delay product: what a router would be given for few flows. */
const QUEUE_BYTES = (RATE_BPS / 8) * (RTT_MS / 1000);
/** Slow start and the late comers' entry are over. */
const WARM_UP = 30 * SECOND;
const MEASURED = 90 * SECOND;

describe.each([
  ["cubic", cubic],
  ["newreno", newReno],
] as const)("%s", (_name, congestion) => {
  test.each([1, 2, 4, 8, 16])("%i flows share a bottleneck fairly and fill it", { timeout: 60_000 }, (count) => {
    const world = twoHosts(
      count,
      // A little jitter, or a full queue drops the packets of the same flow again and again.
      { rateBps: RATE_BPS, queueBytes: QUEUE_BYTES, delayUs: (RTT_MS / 2) * MILLISECOND, jitterUs: MILLISECOND },
      { congestion },
    );
    const flows = Array.from({ length: count }, (_, i) => {
      const flow = startFlow(world, PORT + i);
      pass(world, 100 * MILLISECOND);
      return flow;
    });
    pass(world, WARM_UP);
    const before = flows.map((flow) => flow.received);
    pass(world, MEASURED);
    const shares = flows.map((flow, i) => flow.received - (before[i] ?? 0));
    const total = shares.reduce((sum, share) => sum + share, 0);
    expect(jain(shares), `shares: ${shares}`).toBeGreaterThanOrEqual(0.9);
    // Of what the link carries a header takes its part: 1,448 of 1,500 bytes are payload.
    expect(mbps(total, MEASURED) / ((RATE_BPS / 1e6) * (1448 / 1500))).toBeGreaterThanOrEqual(0.9);
  });
});

test("Jain's index is 1 for equal shares and 1/n when one has it all", () => {
  expect(jain([5, 5, 5, 5])).toBe(1);
  expect(jain([7, 0, 0, 0])).toBe(0.25);
});
