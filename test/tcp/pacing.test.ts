/** Pacing, in virtual time: when each segment leaves. */
import { describe, expect, it } from "vitest";
import { MILLISECOND, type Micros, NEVER, SECOND } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { newReno } from "../../src/tcp/new-reno.js";
import { startFlow } from "../sim/bulk.js";
import { twoHosts } from "../sim/worlds.js";
import { Harness, type Sent, WORLDS } from "./harness.js";

const RTT = 100 * MILLISECOND;
const MSS = 1_000;

describe.each(WORLDS)("$name", (world) => {
  /** Connected over a path of 100 ms, ten segments of window. */
  function connected(more: Partial<ConnectionConfig> = {}): Harness {
    const h = new Harness(world, { pacing: true, congestion: newReno, tailLossProbe: false, ...more });
    h.openActive();
    h.advance(RTT);
    h.rcv({ flags: "S.", seq: 0, ack: 1, wnd: 60_000, options: [{ kind: "mss", mss: MSS }] });
    return h;
  }
  const gaps = (sent: readonly Sent[]): Micros[] => sent.slice(1).map((packet, i) => packet.at - (sent[i]?.at ?? 0));

  it("ESTABLISHED in slow start: a window takes half a round trip, evenly", () => {
    const h = connected();
    const sent = h.send(10 * MSS).concat(h.advance(RTT / 2));
    expect(sent.map((packet) => packet.payload.length)).toEqual(Array(10).fill(MSS));
    // The first one's late timer is made up for.
    expect(gaps(sent)).toEqual([4 * MILLISECOND, ...Array(8).fill(5 * MILLISECOND)]);
    expect(h.conn.info(h.now).tcpi_pacing_rate).toBe((2 * 10 * MSS * SECOND) / RTT);
  });

  it("ESTABLISHED beyond slow start: 1.2 windows a round trip", () => {
    const h = connected({ congestion: (mss, window) => newReno(mss, window, 8 * MSS) });
    const sent = h.send(10 * MSS).concat(h.advance(RTT));
    expect(gaps(sent).at(-1)).toBe(Math.ceil(RTT / 12));
  });

  it("maxPacingRate bounds it", () => {
    const h = connected({ maxPacingRate: 10_000 });
    const sent = h.send(3 * MSS).concat(h.advance(RTT * 2));
    expect(gaps(sent)).toEqual([99 * MILLISECOND, 100 * MILLISECOND]);
    expect(h.conn.info(h.now)).toMatchObject({ tcpi_pacing_rate: 10_000, tcpi_max_pacing_rate: 10_000 });
  });

  it("ESTABLISHED, time-out: the repetition does not wait for its turn", () => {
    const h = connected({ maxPacingRate: 100 });
    h.send(2 * MSS);
    const rto = h.conn.info(h.now).tcpi_rto;
    expect(h.advance(rto).map((packet) => packet.text)).toEqual([`. 1+${MSS} ack 1`]);
  });

  it("a bare ACK and FIN without data do not wait", () => {
    const h = connected({ maxPacingRate: 100 });
    h.send(MSS);
    expect(
      h
        .rcv({ flags: "P.", data: 5, ack: 1 })
        .concat(h.advance(SECOND / 20))
        .map((packet) => packet.flags),
    ).toContain(".");
  });

  it("nothing is known of the path, for no round trip was measured: the first window goes at once", () => {
    const h = new Harness(world, { pacing: true, congestion: newReno, timesSynAck: false });
    h.accept({ wnd: 60_000 }, { wnd: 60_000 });
    expect(h.send(10 * MSS)).toHaveLength(10);
    expect([h.tcb.timers.pacing, h.conn.info(h.now).tcpi_pacing_rate]).toEqual([NEVER, 0]);
  });

  it("off by default: the window goes at once", () => {
    const h = connected({ pacing: false });
    expect(h.send(10 * MSS).length).toBe(10);
    expect([h.tcb.timers.pacing, h.conn.info(h.now).tcpi_max_pacing_rate]).toEqual([NEVER, NEVER]);
  });
});

it("a queue of three segments on the way loses nothing of a paced window, and of one at once it does", () => {
  const lost = (pacing: boolean): number => {
    const link = { delayUs: 25 * MILLISECOND, rateBps: 5_000_000, queueBytes: 4_500 };
    const world = twoHosts(7, link, { pacing });
    const flow = startFlow(world, 80, 60_000);
    world.sim.run({ until: 60 * SECOND, done: () => flow.doneAt >= 0 });
    expect(flow.received).toBe(60_000);
    return world.there.counters.queueFull;
  };
  const [paced, atOnce] = [lost(true), lost(false)];
  expect(atOnce).toBeGreaterThan(paced);
});
