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
  bytes = BYTES,
): { world: World; sender: Connection; doneAt: number } {
  const world = twoHosts(5, link, connection, family);
  const { sim, a, b } = world;
  const server = streamUser({ now: () => sim.now, sendBytes: 0, sendSalt: 2, receiveSalt: 1 });
  b.listen(PORT, () => server.user);
  const client = streamUser({ now: () => sim.now, sendBytes: bytes, sendSalt: 1, receiveSalt: 2 });
  const sender = a.connect(b, PORT, client.user);
  meanwhile?.(world);
  expect(sim.run({ done: () => server.report.ended, until: 20 * MINUTE })).toBe(true);
  expect(server.report).toMatchObject({ received: bytes, firstWrong: -1 });
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

  it.each([{ sack: true }, { sack: false }])(
    "a silent router is a black hole: found after three time-outs, and probes find its width without another or a reduction, %o (RFC 4821 §7)",
    (connection) => {
      const { sender, doneAt } = download({ ...narrow, blackhole: true }, connection, family, undefined, 5_000_000);
      const { pathMtu, mtuSearch, counters } = sender.tcb;
      expect(pathMtu.bytes).toBeLessThanOrEqual(1_300);
      expect(pathMtu.bytes).toBeGreaterThan(1_300 - 8);
      expect(mtuSearch.active).toBe(false);
      expect(mtuSearch.probesLost).toBeGreaterThanOrEqual(3);
      expect([counters.timeouts, counters.fastRetransmits]).toEqual([3, 0]);
      expect(doneAt).toBeLessThan(10 * SECOND);
    },
  );

  it("without detection such a connection never gets through", () => {
    const connection = { mtuProbing: 0 as const, r2Us: MINUTE };
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

/** The largest packet from a that has arrived since the last call. */
function largestArrived({ sim }: World): () => number {
  let largest = 0;
  sim.witness = (_t, from, _to, fate, bytes) => {
    if (from === "a" && fate === "arrived") largest = Math.max(largest, bytes.length);
  };
  return () => {
    const result = largest;
    largest = 0;
    return result;
  };
}

describe("a long life on a path that changes in silence (RFC 4821 §7.5, RFC 8899 §5.3)", () => {
  /** Speaks for a moment every minute, until `minutes` have passed; returns the connection. */
  function speaks(world: World, minutes: number): Connection {
    const { sim, a, b } = world;
    b.listen(PORT, () => streamUser({ now: () => sim.now, sendBytes: 0, sendSalt: 2, receiveSalt: 1 }).user);
    const sender = a.connect(b, PORT, () => {});
    for (let i = 0; i < minutes; i++) {
      sim.schedule(sim.now + i * MINUTE + SECOND, () => void sender.send(new Uint8Array(200_000)));
    }
    return sender;
  }

  it("narrows: smaller at once, as much as must be; widens: found by a probe ten minutes later, and never a time-out for it", () => {
    const world = twoHosts(3, { delayUs: 5 * MILLISECOND });
    const { sim, there } = world;
    const largest = largestArrived(world);
    const sender = speaks(world, 20);
    sim.run({ until: 90 * SECOND });
    expect(largest()).toBe(1_500);
    there.options = { ...there.options, mtuBytes: 1_400, blackhole: true };
    sim.run({ until: 3 * MINUTE });
    largest();
    sim.run({ until: 5 * MINUTE });
    const narrow = largest();
    expect(narrow).toBeLessThanOrEqual(1_400);
    expect(narrow).toBeGreaterThan(1_392);
    const { timeouts, fastRetransmits } = sender.tcb.counters;
    expect(timeouts).toBe(5);
    there.options = { ...there.options, mtuBytes: 9_000 };
    sim.run({ until: 11 * MINUTE });
    expect(largest()).toBe(narrow);
    sim.run({ until: 16 * MINUTE });
    expect(largest()).toBe(1_500);
    expect(sender.tcb.pathMtu.bytes).toBe(Number.POSITIVE_INFINITY);
    expect([sender.tcb.counters.timeouts, sender.tcb.counters.fastRetransmits]).toEqual([timeouts, fastRetransmits]);
  });

  it("it did not widen: three probes are lost each time, and no window is reduced for them", () => {
    const world = twoHosts(3, { delayUs: 5 * MILLISECOND, mtuBytes: 1_400, blackhole: true });
    const sender = speaks(world, 30);
    world.sim.run({ until: 5 * MINUTE });
    const { timeouts, fastRetransmits } = sender.tcb.counters;
    const { probesLost } = sender.tcb.mtuSearch;
    expect(sender.tcb.mtuSearch.active).toBe(false);
    world.sim.run({ until: 29 * MINUTE });
    expect(sender.tcb.mtuSearch.probesLost).toBeGreaterThan(probesLost);
    expect([sender.tcb.counters.timeouts, sender.tcb.counters.fastRetransmits]).toEqual([timeouts, fastRetransmits]);
    expect(sender.tcb.pathMtu.bytes).toBeLessThanOrEqual(1_400);
  });

  it("a router that answers tells what the probe was too large for: that is tried next, and it is exact", () => {
    const world = twoHosts(3, { delayUs: 5 * MILLISECOND, mtuBytes: 1_400 });
    const sender = speaks(world, 14);
    world.sim.run({ until: 5 * MINUTE });
    expect(sender.tcb.pathMtu.bytes).toBe(1_400);
    const before = world.there.counters.tooBig;
    world.there.options = { ...world.there.options, mtuBytes: 1_450 };
    world.sim.run({ until: 13 * MINUTE });
    expect(sender.tcb.pathMtu.bytes).toBe(1_450);
    // The one probe of 1,500.
    expect(world.there.counters.tooBig).toBe(before + 1);
    expect([sender.tcb.counters.timeouts, sender.tcb.counters.fastRetransmits]).toEqual([0, 0]);
  });

  it("from the start (mtuProbing 2): small first, and upwards without any loss", () => {
    const world = twoHosts(3, { delayUs: 5 * MILLISECOND }, { mtuProbing: 2 });
    const largest = largestArrived(world);
    const sender = speaks(world, 3);
    world.sim.run({ until: SECOND + 12 * MILLISECOND });
    expect(largest()).toBe(1_064);
    world.sim.run({ until: 3 * MINUTE });
    expect(largest()).toBe(1_500);
    expect(sender.tcb.mtuSearch).toMatchObject({ probesLost: 0, active: false });
    expect(sender.tcb.counters.retransmits).toBe(0);
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
