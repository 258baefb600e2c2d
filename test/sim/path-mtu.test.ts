/** A path that is narrower than its ends: routers that say so, old ones that say half of it, and silent ones. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, MINUTE, SECOND } from "../../src/base/time.js";
import { streamUser } from "../../src/sim/apps.js";
import type { LinkOptions } from "../../src/sim/link.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import type { Connection } from "../../src/tcp/connection.js";
import { PORT, transferBothWays, twoHosts, type World } from "./worlds.js";

const BYTES = 200_000;

/** One stream from a to b; runs until it has arrived. */
function download(
  link: LinkOptions,
  connection: Partial<ConnectionConfig> = {},
  family: 4 | 6 = 4,
  meanwhile?: (world: World) => void,
): { world: World; sender: Connection; doneAt: number } {
  const world = twoHosts(5, link, connection, family);
  const { sim, a, b } = world;
  const server = streamUser({ now: () => sim.now, sendBytes: 0, sendSalt: 2, receiveSalt: 1 });
  b.listen(PORT, () => server.user);
  const client = streamUser({ now: () => sim.now, sendBytes: BYTES, sendSalt: 1, receiveSalt: 2 });
  const sender = a.connect(b, PORT, client.user);
  meanwhile?.(world);
  expect(sim.run({ done: () => server.report.ended, until: 20 * MINUTE })).toBe(true);
  expect(server.report).toMatchObject({ received: BYTES, firstWrong: -1 });
  return { world, sender, doneAt: sim.now };
}

describe.each([4, 6] as const)("a narrow path over IPv%i", (family) => {
  const narrow: LinkOptions = { mtuBytes: 1_300 };

  it("its router says so: the first flight is cut anew, and no time-out and no reduction is needed (SHLD-6, RFC 1191 §6, RFC 8201 §5)", () => {
    const { world, sender } = download(narrow, {}, family);
    const { counters } = sender.tcb;
    expect([counters.timeouts, counters.fastRetransmits]).toEqual([0, 0]);
    expect(sender.tcb.congestion.ssthresh).toBe(Number.POSITIVE_INFINITY);
    expect(sender.tcb.pathMtu.bytes).toBe(1_300);
    // The initial window, and what the ACK of the handshake let go besides: nothing later was too big.
    expect(world.there.counters.tooBig).toBe(10);
  });

  it("the next connection knows it from the start (RFC 8201 §5)", () => {
    const { world } = download(narrow, {}, family);
    const { sim, a, b, there } = world;
    const before = there.counters.tooBig;
    const next = streamUser({ now: () => sim.now, sendBytes: 50_000, sendSalt: 3, receiveSalt: 2 });
    a.connect(b, PORT, next.user);
    sim.run({ until: sim.now + MINUTE });
    expect(next.report.sent).toBe(50_000);
    expect(there.counters.tooBig).toBe(before);
  });

  it("the path narrows later: one time-out confirms the router's word (RFC 5927 §7.2)", () => {
    const { world, sender } = download({ rateBps: 8_000_000 }, {}, family, ({ sim, there }) => {
      sim.schedule(100 * MILLISECOND, () => {
        there.options = { ...there.options, mtuBytes: 1_300 };
      });
    });
    expect(sender.tcb.pathMtu.bytes).toBe(1_300);
    expect(sender.tcb.counters.timeouts).toBe(1);
    expect(world.there.counters.tooBig).toBeGreaterThan(0);
  });

  it("a silent router is a black hole: found after three time-outs (RFC 4821 §7)", () => {
    const { sender, doneAt } = download({ ...narrow, blackhole: true }, {}, family);
    expect(sender.tcb.pathMtu.bytes).toBe(family === 4 ? 1_064 : 1_280);
    expect(sender.tcb.counters.timeouts).toBe(3);
    expect(doneAt).toBeLessThan(10 * SECOND);
  });

  it("without detection such a connection never gets through", () => {
    const connection = { blackholeDetection: false, r2Us: MINUTE };
    const { sim, a, b } = twoHosts(5, { ...narrow, blackhole: true }, connection, family);
    const now = (): number => sim.now;
    const server = streamUser({ now, sendBytes: -1, sendSalt: 2, receiveSalt: 1 });
    b.listen(PORT, () => server.user);
    const client = streamUser({ now, sendBytes: BYTES, sendSalt: 1, receiveSalt: 2 });
    a.connect(b, PORT, client.user);
    sim.run({ until: 10 * MINUTE });
    expect([client.report.failed, server.report.received]).toEqual(["ETIMEDOUT", 0]);
  });
});

describe("a narrow path over IPv4", () => {
  it("an old router does not tell its MTU: plateau by plateau (RFC 1191 §7.1)", () => {
    const { sender } = download({ mtuBytes: 1_300, oldRouter: true });
    expect(sender.tcb.pathMtu.bytes).toBe(1_006);
    expect(sender.tcb.counters.timeouts).toBe(0);
  });

  it("narrower than 576: packets of 576 that routers may fragment", () => {
    const { sender } = download({ mtuBytes: 296 });
    expect(sender.tcb.pathMtu).toMatchObject({ bytes: 576, mayFragment: true });
    expect(sender.tcb.counters.timeouts).toBe(0);
  });

  it("without SACK and without timestamps as well", () => {
    const { sender } = download({ mtuBytes: 1_300 }, { sack: false, timestamps: false });
    expect([sender.tcb.counters.timeouts, sender.tcb.counters.fastRetransmits]).toEqual([0, 0]);
  });

  it("it opens again: after ten minutes full packets pass", () => {
    const { world, sender } = download({ mtuBytes: 1_300 });
    const { sim, there } = world;
    there.options = {};
    expect(sender.tcb.snd.mss).toBe(1_248);
    // Something must happen at that time, or virtual time stands still.
    sim.schedule(sim.now + 10 * MINUTE, () => {});
    sim.run();
    const largest = { bytes: 0 };
    sim.witness = (_t, from, _to, fate, bytes) => {
      if (from === "a" && fate === "arrived") largest.bytes = Math.max(largest.bytes, bytes.length);
    };
    const next = streamUser({ now: () => sim.now, sendBytes: 50_000, sendSalt: 3, receiveSalt: 2 });
    world.a.connect(world.b, PORT, next.user);
    sim.run({ until: sim.now + MINUTE });
    expect(largest.bytes).toBe(1_500);
  });
});

describe("a narrow path with faults, both ways at once", () => {
  const faults: LinkOptions = { loss: 0.03, reorder: 0.05, duplicate: 0.03, mtuBytes: 1_100 };

  it.each([
    ["a router that answers", {}],
    ["an old router", { oldRouter: true }],
    ["a black hole", { blackhole: true }],
  ])("%s: every byte arrives, with every seed", (_, kind) => {
    for (let seed = 1; seed <= 25; seed++) {
      const result = transferBothWays(seed, { bytes: 60_000, link: { ...faults, ...kind }, within: 30 * MINUTE });
      expect(result.leftOver).toBe(0);
    }
  });
});
