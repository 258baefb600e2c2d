/** ECN on a path in virtual time: routers that mark instead of dropping. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { cubic } from "../../src/tcp/cubic.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { startFlow } from "./bulk.js";
import { transferBothWays, twoHosts } from "./worlds.js";

const MEBIBYTE = 1 << 20;

describe.each([
  ["cubic", cubic],
  ["newreno", newReno],
])("%s", (_, congestion) => {
  it("a queue that marks keeps short and loses nothing; one that only drops fills up and does", () => {
    const run = (ecn: "on" | "off"): { lost: number; marked: number; retransmits: number; bytes: number } => {
      const link = { delayUs: 10 * MILLISECOND, rateBps: 20_000_000, queueBytes: 60_000, markQueueBytes: 20_000 };
      const world = twoHosts(3, link, { ecn, congestion });
      const flow = startFlow(world, 80, 8 * MEBIBYTE);
      world.sim.run({ until: 60 * SECOND, done: () => flow.doneAt >= 0 });
      const { queueFull, marked } = world.there.counters;
      return { lost: queueFull, marked, retransmits: flow.connection.tcb.counters.retransmits, bytes: flow.received };
    };
    const [marking, dropping] = [run("on"), run("off")];
    expect([marking.bytes, dropping.bytes]).toEqual([8 * MEBIBYTE, 8 * MEBIBYTE]);
    expect([dropping.marked, dropping.lost > 0]).toEqual([0, true]);
    expect(marking.marked).toBeGreaterThan(0);
    expect(marking.lost).toBeLessThan(dropping.lost);
    expect(marking.retransmits).toBeLessThan(dropping.retransmits);
  });
});

it.each([4, 6] as const)("streams both ways over IPv%i with marks and every other fault: whole, checksums right", (family) => {
  for (let seed = 1; seed <= 20; seed++) {
    const link = { mark: 0.2, loss: 0.03, duplicate: 0.03, reorder: 0.05, corrupt: 0.01 };
    const result = transferBothWays(seed, { bytes: 100_000, link, connection: { ecn: "on" }, family, within: 600 * SECOND });
    expect(result.leftOver).toBe(0);
  }
});

it("a path that drops SYNs with ECN flags: connected all the same, without (RFC 3168 §6.1.1.1)", () => {
  const world = twoHosts(1, {}, { ecn: "on" });
  world.there.filter = (bytes) => ((bytes[33] ?? 0) & 0xc2) !== 0xc2;
  const flow = startFlow(world, 80, 10_000);
  world.sim.run({ until: 10 * SECOND });
  expect([flow.received, flow.connection.tcb.ecn.enabled]).toEqual([10_000, false]);
});

it("marks are answered: each window of data that is marked costs one reduction", () => {
  const world = twoHosts(5, { mark: 0.01 }, { ecn: "on" });
  const flow = startFlow(world, 80, 4 * MEBIBYTE);
  world.sim.run({ until: 60 * SECOND, done: () => flow.doneAt >= 0 });
  const { ecn, counters } = flow.connection.tcb;
  expect(ecn.reductions).toBeGreaterThan(2);
  expect(ecn.reductions).toBeLessThanOrEqual(world.there.counters.marked);
  expect([counters.retransmits, flow.peer?.tcb.ecn.marksIn]).toEqual([0, world.there.counters.marked]);
});
