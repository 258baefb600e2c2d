/** Accurate ECN on a path in virtual time: what both ends count is what the link has marked. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import { cubic } from "../../src/tcp/cubic.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { startFlow } from "./bulk.js";
import { transferBothWays, twoHosts } from "./worlds.js";

const MEBIBYTE = 1 << 20;

describe.each(["off", "minimum", "full", "persist"] as const)("option %s", (accurateEcnOption) => {
  it.each([
    [4, 0.001],
    [4, 0.1],
    [6, 0.5],
    [4, 1],
  ] as const)(
    "IPv%i, %f of packets marked, none lost: the sender counts what the link has marked (RFC 9768 §3.2.2)",
    (family, mark) => {
      for (let seed = 1; seed <= 5; seed++) {
        const link = { delayUs: 5 * MILLISECOND, mark };
        const world = twoHosts(seed, link, { ecn: "accurate", accurateEcnOption }, family);
        const flow = startFlow(world, 80, MEBIBYTE);
        world.sim.run({ until: 600 * SECOND, done: () => flow.doneAt >= 0 });
        world.sim.run({ until: world.sim.now + SECOND });
        const client = flow.connection.info(world.sim.now);
        const server = flow.peer?.info(world.sim.now);
        expect([flow.received, client.tcpi_total_retrans]).toEqual([MEBIBYTE, 0]);
        expect([server?.tcpi_received_ce, client.tcpi_received_ce]).toEqual([
          world.there.counters.marked,
          world.back.counters.marked,
        ]);
        // What came last, with nothing to send after it, is not told yet.
        const untold = flow.peer?.tcb.ecn.accurate?.untold ?? -1;
        expect(client.tcpi_delivered_ce).toBe((server?.tcpi_received_ce ?? 0) - untold);
        const bytes = [server?.tcpi_received_e0_bytes ?? 0, server?.tcpi_received_ce_bytes ?? 0];
        expect((bytes[0] ?? 0) + (bytes[1] ?? 0)).toBe(MEBIBYTE);
        const told = [client.tcpi_delivered_e0_bytes, client.tcpi_delivered_ce_bytes];
        // Without an option only the count is known.
        if (accurateEcnOption !== "off" && accurateEcnOption !== "minimum") expect(told).toEqual(bytes);
      }
    },
  );
});

it.each([4, 6] as const)("streams both ways over IPv%i with marks and every other fault: whole, checksums right", (family) => {
  for (let seed = 1; seed <= 20; seed++) {
    const link = { mark: 0.2, loss: 0.03, duplicate: 0.03, reorder: 0.05, corrupt: 0.01 };
    const connection = { ecn: "accurate" } as const;
    expect(transferBothWays(seed, { bytes: 100_000, link, connection, family, within: 600 * SECOND }).leftOver).toBe(0);
  }
});

describe.each([
  ["cubic", cubic],
  ["newreno", newReno],
])("%s", (_, congestion) => {
  it("a queue that marks is kept as short as with classic ECN, and loses less than one that only drops", () => {
    const run = (ecn: "accurate" | "off"): { lost: number; reductions: number; bytes: number } => {
      const link = { delayUs: 10 * MILLISECOND, rateBps: 20_000_000, queueBytes: 60_000, markQueueBytes: 20_000 };
      const world = twoHosts(3, link, { ecn, congestion });
      const flow = startFlow(world, 80, 8 * MEBIBYTE);
      world.sim.run({ until: 60 * SECOND, done: () => flow.doneAt >= 0 });
      return {
        lost: world.there.counters.queueFull,
        reductions: flow.connection.tcb.ecn.reductions,
        bytes: flow.received,
      };
    };
    const [marking, dropping] = [run("accurate"), run("off")];
    expect([marking.bytes, dropping.bytes]).toEqual([8 * MEBIBYTE, 8 * MEBIBYTE]);
    expect(marking.reductions).toBeGreaterThan(0);
    expect(marking.lost).toBeLessThan(dropping.lost);
  });
});

it("ACKs are lost, four of five: the counts come home all the same, by the option (RFC 9768 §3.2.2.5.2)", () => {
  const world = twoHosts(9, { delayUs: 5 * MILLISECOND, mark: 0.05 }, { ecn: "accurate", accurateEcnOption: "persist" });
  let acks = 0;
  world.back.filter = () => ++acks < 4 || acks % 5 === 0;
  const flow = startFlow(world, 80, 2 * MEBIBYTE);
  world.sim.run({ until: 600 * SECOND, done: () => flow.doneAt >= 0 });
  world.sim.run({ until: world.sim.now + 10 * SECOND });
  const client = flow.connection.info(world.sim.now);
  const server = flow.peer?.info(world.sim.now);
  expect(flow.received).toBe(2 * MEBIBYTE);
  expect(client.tcpi_delivered_ce_bytes).toBe(server?.tcpi_received_ce_bytes);
  expect(client.tcpi_delivered_ce).toBe((server?.tcpi_received_ce ?? 0) - (flow.peer?.tcb.ecn.accurate?.untold ?? -1));
});

it.each([
  [
    "drops SYNs that ask for accurate ECN",
    (bytes: Uint8Array) => ((bytes[33] ?? 0) & 0x02) === 0 || ((bytes[32] ?? 0) & 1) === 0,
  ],
  ["drops whatever has an option of accurate ECN", (bytes: Uint8Array) => !hasOption(bytes)],
])("a path that %s: the transfer is whole (RFC 9768 §3.1.4, §3.2.3.2)", (_, filter) => {
  const world = twoHosts(1, {}, { ecn: "accurate" });
  world.there.filter = filter;
  world.back.filter = filter;
  const flow = startFlow(world, 80, 100_000);
  world.sim.run({ until: 60 * SECOND, done: () => flow.doneAt >= 0 });
  expect(flow.received).toBe(100_000);
});

/** Kind 174 stands behind NOPs and timestamps, if anywhere. */
function hasOption(bytes: Uint8Array): boolean {
  const end = 20 + ((bytes[32] ?? 0) >>> 4) * 4;
  for (let at = 40; at < end; ) {
    if (bytes[at] === 174) return true;
    at += (bytes[at] ?? 0) <= 1 ? 1 : Math.max(2, bytes[at + 1] ?? 2);
  }
  return false;
}
