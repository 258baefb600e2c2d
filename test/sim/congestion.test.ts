/** Congestion control in a world with a drop-tail queue: no collapse, the window follows the path, idling and idle users. */
import { describe, expect, test } from "vitest";
import { MILLISECOND, type Micros, SECOND } from "../../src/base/time.js";
import type { LinkOptions } from "../../src/sim/link.js";
import { cubic } from "../../src/tcp/cubic.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { type Flow, mbps, pass, startFlow } from "./bulk.js";
import { PORT, twoHosts, type World } from "./worlds.js";

const MSS = 1448;
const DELAY = 20 * MILLISECOND;

describe.each([
  ["cubic", cubic],
  ["newreno", newReno],
] as const)("%s", (_name, congestion) => {
  const worldOf = (link: LinkOptions, seed = 1): World => twoHosts(seed, { delayUs: DELAY, ...link }, { congestion });

  test.each([4, 16, 64, 256])("does not collapse behind a queue of %i packets", (packets) => {
    const world = worldOf({ rateBps: 10_000_000, queueBytes: packets * 1500 });
    const flow = startFlow(world);
    pass(world, 10 * SECOND);
    const before = flow.received;
    pass(world, 50 * SECOND);
    // A queue far below the bandwidth-delay product (33 packets) cannot hide the halved window.
    const least = packets < 16 ? 0.6 : packets < 64 ? 0.8 : 0.9;
    expect(mbps(flow.received - before, 50 * SECOND) / 10).toBeGreaterThan(least);
    expect(flow.connection.tcb.counters.timeouts).toBeLessThanOrEqual(2);
    const { packets: sent, queueFull } = world.there.counters;
    expect(queueFull / sent).toBeLessThan(0.03);
  });

  test("the window follows a path that becomes slower and fast again", () => {
    const link = { delayUs: DELAY, rateBps: 40_000_000, queueBytes: 64 * 1500 };
    const world = worldOf(link);
    // The link reads its options for every packet.
    const options = world.there.options as { rateBps: number };
    const flow = startFlow(world);
    pass(world, 20 * SECOND);
    const fast = goodput(world, flow, 10 * SECOND);
    expect(fast).toBeGreaterThan(30);
    expect(most(world, flow, 5 * SECOND)).toBeLessThan(1.5 * (bytesInFlight(40) + 64 * 1500));

    options.rateBps = 4_000_000;
    pass(world, 10 * SECOND);
    const slow = goodput(world, flow, 20 * SECOND);
    expect(slow).toBeGreaterThan(3.2);
    expect(most(world, flow, 10 * SECOND)).toBeLessThan(1.5 * (bytesInFlight(4) + 64 * 1500));

    options.rateBps = 40_000_000;
    pass(world, 20 * SECOND);
    expect(goodput(world, flow, 20 * SECOND)).toBeGreaterThan(0.8 * fast);
  });

  test("after idling no more than the initial window leaves at once", () => {
    const world = worldOf({ rateBps: 0 });
    const flow = startFlow(world, PORT, 1 << 20);
    const chunk = new Uint8Array(1 << 20);
    // The flow's own end is not wanted: it is a second one, on the same connection's settings, that pauses.
    world.sim.run({ until: 30 * SECOND, done: () => flow.doneAt >= 0 });
    const pausing = world.a.connect(world.b, PORT + 1, () => {});
    world.b.listen(PORT + 1, () => (receiver) => {
      while (receiver.read(chunk) > 0);
    });
    pass(world, 2 * SECOND);
    expect(pausing.state).toBe("ESTABLISHED");
    pausing.send(chunk);
    pass(world, SECOND);
    expect(pausing.tcb.sendQueue.length).toBe(0);
    expect(pausing.tcb.congestion.cwnd).toBeGreaterThan(20 * MSS);

    const { packets } = world.there.counters;
    pass(world, 60 * SECOND);
    expect(world.there.counters.packets).toBe(packets);
    pausing.send(chunk);
    // Nothing can have been acknowledged yet: this is the burst.
    expect(world.there.counters.packets - packets).toBeGreaterThanOrEqual(2);
    expect(world.there.counters.packets - packets).toBeLessThanOrEqual(10);
    pass(world, 2 * SECOND);
    expect(pausing.tcb.sendQueue.length).toBe(0);
  });

  test("a user who sends little does not gather a window that was never tried", () => {
    const world = worldOf({ rateBps: 0 });
    const chunk = new Uint8Array(2 * MSS);
    const target = new Uint8Array(1 << 20);
    world.b.listen(PORT, () => (receiver) => {
      while (receiver.read(target) > 0);
    });
    const connection = world.a.connect(world.b, PORT, () => {});
    pass(world, SECOND);
    const { cwnd } = connection.tcb.congestion;
    for (let i = 0; i < 1_000; i++) {
      connection.send(chunk);
      pass(world, 2 * DELAY + MILLISECOND);
    }
    expect(connection.tcb.counters.bytesAcked).toBeGreaterThan(900 * chunk.length);
    expect(connection.tcb.congestion.cwnd).toBeLessThanOrEqual(cwnd);
  });

  test("a lost last segment is repaired by a probe, without a retransmission time-out", () => {
    const world = worldOf({ rateBps: 0 });
    const total = 40 * MSS;
    let dropped = 0;
    // The packet that carries the FIN with the last data, once.
    world.there.filter = (bytes) => !((bytes[20 + 13] ?? 0) & 1 && dropped++ === 0);
    const flow = startFlow(world, PORT, total);
    world.sim.run({ until: 5 * SECOND, done: () => flow.doneAt >= 0 });
    expect(dropped).toBeGreaterThanOrEqual(1);
    expect(flow.received).toBe(total);
    expect(flow.connection.tcb.counters.timeouts).toBe(0);
    expect(flow.connection.tcb.counters.tailLossProbes).toBeGreaterThanOrEqual(1);
  });
});

/** Bytes on the way at `rate` Mbit/s. */
function bytesInFlight(rate: number): number {
  return ((rate * 1e6) / 8) * ((2 * DELAY) / SECOND);
}

function goodput(world: World, flow: Flow, us: Micros): number {
  const before = flow.received;
  pass(world, us);
  return mbps(flow.received - before, us);
}

/** The largest congestion window of some time. */
function most(world: World, flow: Flow, us: Micros): number {
  let largest = 0;
  world.sim.run({
    until: world.sim.now + us,
    done: () => {
      largest = Math.max(largest, flow.connection.tcb.congestion.cwnd);
      return false;
    },
  });
  return largest;
}
