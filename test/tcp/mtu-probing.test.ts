/** The search for a larger path MTU by probes (RFC 4821 §7, RFC 8899 §5). */
import { describe, expect, test } from "vitest";
import { MINUTE, NEVER } from "../../src/base/time.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { IcmpError } from "../../src/wire/icmp.js";
import { Harness, type Sent, type Stimulus, texts, WORLDS, type World } from "./harness.js";

const WND = 65_535;
/** Segments of 1,024 bytes pass; the first probe is half-way to 1,460: a packet of 1,282 bytes. */
const SMALL = 1_024;
const PROBE = 1_242;
/** A probe and what must follow it. */
const ENOUGH = PROBE + 4 * SMALL;

/** Of mtuProbing 2: the search begins with the connection. */
function searching(world: World, config: Partial<ConnectionConfig> = {}): Harness {
  const full = {
    mtuBytes: 1_500,
    mtuProbing: 2 as const,
    initialWindowSegments: 30,
    rack: false,
    tailLossProbe: false,
    ...config,
  };
  const options: Stimulus["options"] = [
    { kind: "mss", mss: 1_460 },
    ...(full.sack === false ? [] : [{ kind: "sack-permitted" } as const]),
  ];
  const h = new Harness(world, full).connect({ options, wnd: WND });
  h.events();
  return h;
}

function ack(h: Harness, at: number, ...sacked: readonly [number, number][]): Sent[] {
  const blocks = sacked.map(([left, right]) => ({ left: (h.world.iss + left) >>> 0, right: (h.world.iss + right) >>> 0 }));
  return h.rcv({ flags: ".", ack: at, wnd: WND, options: blocks.length === 0 ? [] : [{ kind: "sack", blocks }] });
}

function lengths(sent: readonly Sent[]): number[] {
  return sent.map((packet) => packet.payload.length);
}

/** "Packet too big" about a packet of `length` bytes at `seq` (relative to ISS). */
function tooBig(h: Harness, mtu: number, seq: number, length: number): string {
  const error = new IcmpError();
  error.kind = "packet-too-big";
  error.nextHopMtu = mtu;
  error.quotedSeq = (h.world.iss + seq) >>> 0;
  error.quotedLength = length;
  error.hasSeq = true;
  return h.conn.receiveIcmp(error, h.now);
}

describe.each(WORLDS)("when a probe is sent, $name", (world) => {
  test("with four full segments behind it, one at a time (RFC 4821 §7.4)", () => {
    const h = searching(world);
    const sent = h.send(ENOUGH);
    expect(lengths(sent)).toEqual([PROBE, SMALL, SMALL, SMALL, SMALL]);
    expect(sent.map((packet) => packet.note !== "")).toEqual([true, false, false, false, false]);
    expect(sent[0]?.note).toContain("path MTU probe");
    expect(lengths(h.send(ENOUGH))).toEqual([...new Array(5).fill(SMALL), ENOUGH - 5 * SMALL]);
  });

  test("not with less data, nor into a smaller window", () => {
    expect(lengths(searching(world).send(ENOUGH - 1))).toEqual([SMALL, SMALL, SMALL, SMALL, SMALL, 217]);
    const h = searching(world);
    h.rcv({ flags: ".", wnd: ENOUGH - 1 });
    expect(lengths(h.send(10 * SMALL))).toEqual(new Array(5).fill(SMALL));
  });

  test("not while the congestion window holds fewer than eleven segments", () => {
    const h = searching(world, { initialWindowSegments: 11 });
    expect(h.tcb.congestion.cwnd).toBeLessThan(PROBE + 10 * SMALL);
    expect(lengths(h.send(20 * SMALL))).toEqual(new Array(11).fill(SMALL));
  });

  test("not while something is SACKed, and not while it is to carry SACK blocks itself", () => {
    const h = searching(world);
    h.send(3 * SMALL);
    ack(h, 1, [1_025, 2_049]);
    expect(Math.max(...lengths(h.send(ENOUGH)))).toBe(SMALL);
    const receiver = searching(world);
    receiver.rcv({ flags: ".", seq: 100, data: 10, wnd: WND });
    expect(Math.max(...lengths(receiver.send(ENOUGH)))).toBeLessThan(SMALL);
  });

  test("when the flight leaves too little for it, nothing takes its room until ACKs have made some", () => {
    const h = searching(world, { initialWindowSegments: 12 });
    // Not enough for a probe: the window fills with small segments.
    for (let i = 0; i < 4; i++) h.send(3 * SMALL - 300);
    const room = h.tcb.congestion.cwnd - h.tcb.sent.inFlightBytes;
    expect(room).toBeLessThan(PROBE);
    expect(room).toBeGreaterThan(SMALL);
    expect(h.send(ENOUGH)).toEqual([]);
    expect(lengths(ack(h, 1 + SMALL))[0]).toBe(PROBE);
  });

  test("in its turn, where segments are paced", () => {
    const h = searching(world, { pacing: true, maxPacingRate: 10_000 });
    h.tcb.rtt.sample(100_000);
    expect(lengths(h.send(SMALL))).toEqual([SMALL]);
    expect(h.send(ENOUGH)).toEqual([]);
    expect(h.tcb.mtuSearch.probeBytes).toBe(0);
    expect(lengths(h.nextTimer())).toEqual([PROBE]);
  });

  test("not where routers must fragment: that would tell nothing", () => {
    const h = searching(world);
    h.send(SMALL);
    tooBig(h, 300, 1, 1_064);
    h.poll();
    ack(h, h.sndMax);
    h.now += 10 * MINUTE;
    h.send(20 * SMALL);
    expect(h.tcb.mtuSearch.active).toBe(false);
    expect(h.tcb.pathMtu).toMatchObject({ bytes: Number.POSITIVE_INFINITY, mayFragment: false });
  });

  test("over IPv6 from 1280 up", () => {
    const h = new Harness(world, { mtuBytes: 1_500, mtuProbing: 2, initialWindowSegments: 30 }, 6);
    h.connect({ options: [{ kind: "mss", mss: 1_440 }], wnd: WND });
    expect(lengths(h.send(20 * 1_220)).slice(0, 2)).toEqual([1_390 - 60, 1_220]);
  });

  test("mtuProbing 0: never, and 1: not without a reason", () => {
    for (const mtuProbing of [0, 1] as const) {
      expect(lengths(searching(world, { mtuProbing }).send(5 * 1_460))).toEqual(new Array(5).fill(1_460));
    }
  });

  test("where our link carries no more than the first size, there is nothing to search for", () => {
    const h = searching(world, { mtuBytes: 1_064 });
    expect(h.tcb.mtuSearch.active).toBe(false);
    expect(lengths(h.send(10 * SMALL))).toEqual(new Array(10).fill(SMALL));
  });

  test("not beyond what the user allows", () => {
    const h = searching(world, { mssBytes: 1_100 });
    const sizes = Array.from({ length: 4 }, () => {
      const sent = lengths(h.send(10 * SMALL));
      ack(h, h.sndMax);
      return Math.max(...sent);
    });
    expect(Math.max(...sizes)).toBe(1_100);
    expect(h.tcb.mtuSearch.active).toBe(false);
  });
});

describe.each(WORLDS)("what becomes of a probe, $name", (world) => {
  test("it arrives: its size is the path MTU, and the next goes half-way up again (RFC 4821 §7.6)", () => {
    const h = searching(world);
    const sizes: number[] = [];
    for (let i = 0; i < 12; i++) {
      sizes.push(...lengths(h.send(4 * 1_460 + 1_460)).slice(0, 1));
      ack(h, h.sndMax);
    }
    expect(sizes.slice(0, 3)).toEqual([1_242, 1_351, 1_406]);
    expect(sizes.at(-1)).toBe(1_460);
    expect(h.tcb.snd.mss).toBe(1_460);
    expect(h.tcb.pathMtu).toMatchObject({ bytes: Number.POSITIVE_INFINITY, raiseAt: NEVER });
    expect(h.tcb.mtuSearch).toMatchObject({ active: false, probesLost: 0 });
  });

  test("a SACK is proof enough", () => {
    const h = searching(world);
    h.send(SMALL);
    h.send(ENOUGH);
    ack(h, 1, [1 + SMALL, 1 + SMALL + PROBE]);
    expect(h.tcb.pathMtu.bytes).toBe(1_282);
  });

  test.each([{ sack: true }, { sack: false }])(
    "it alone is lost: sent again in small segments, and no window is reduced, %o (RFC 4821 §7.6)",
    (config) => {
      const h = searching(world, config);
      h.send(ENOUGH);
      const { cwnd, ssthresh } = h.tcb.congestion;
      const end = 1 + ENOUGH;
      const sent = [1, 2, 3].flatMap((n) =>
        ack(
          h,
          1,
          ...(config.sack ? [[1 + PROBE, 1 + PROBE + n * SMALL] as const] : []).map(([l, r]) => [l, r] as [number, number]),
        ),
      );
      expect(texts(sent)).toEqual([`. 1+${SMALL} ack 1`, `. ${1 + SMALL}+${PROBE - SMALL} ack 1`]);
      expect(sent[0]?.note).toContain("too large for the path");
      expect(h.tcb.congestion.ssthresh).toBe(ssthresh);
      expect(h.tcb.congestion.cwnd).toBeGreaterThanOrEqual(cwnd);
      expect(h.tcb.recovery).toMatchObject({ active: false, loss: false });
      expect(ack(h, end)).toEqual([]);
      expect([h.tcb.counters.fastRetransmits, h.tcb.mtuSearch.probesLost]).toEqual([0, 1]);
      // Once is no verdict: the same size again.
      expect(lengths(h.send(ENOUGH))[0]).toBe(PROBE);
    },
  );

  test("three losses of one size are a verdict: half-way down (RFC 8899 §5.1.2)", () => {
    const h = searching(world);
    for (let i = 0; i < 3; i++) {
      const una = h.sndUna;
      expect(lengths(h.send(ENOUGH))[0]).toBe(PROBE);
      ack(h, una, [una + PROBE, h.sndMax]);
      ack(h, h.sndMax);
    }
    expect(h.tcb.mtuSearch).toMatchObject({ low: 1_064, high: 1_281, failures: 0 });
    expect(lengths(h.send(ENOUGH))[0]).toBe(1_173 - 40);
    expect(h.tcb.counters.fastRetransmits).toBe(0);
  });

  test("lost beside another segment: that is congestion", () => {
    const h = searching(world);
    h.send(ENOUGH + 4 * SMALL);
    ack(h, 1, [1 + PROBE + SMALL, h.sndMax]);
    expect(h.tcb.recovery.active).toBe(true);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
    expect(h.tcb.mtuSearch).toMatchObject({ probeBytes: 0, probesLost: 1, low: 1_064 });
  });

  test("a time-out says nothing of its size for sure, and counts as a loss of it", () => {
    const h = searching(world);
    h.send(ENOUGH);
    expect(texts(h.nextTimer())[0]).toBe(`. 1+${SMALL} ack 1`);
    expect(h.tcb.counters.timeouts).toBe(1);
    expect(h.tcb.mtuSearch).toMatchObject({ probeBytes: 0, failures: 1, high: 1_500, active: true });
  });

  test("RACK's timer finds it lost alone: no reduction either (RFC 8985 §6.2)", () => {
    const h = searching(world, { rack: true });
    h.send(SMALL);
    h.now += 100_000;
    ack(h, 1 + SMALL);
    const una = h.sndUna;
    h.send(ENOUGH);
    h.tcb.rack.reorderingSeen = true;
    h.now += 100_000;
    expect(ack(h, una, [una + PROBE, h.sndMax])).toEqual([]);
    expect(h.tcb.timers.rack).not.toBe(NEVER);
    expect(lengths(h.nextTimer())).toEqual([SMALL, PROBE - SMALL]);
    expect(h.tcb.counters).toMatchObject({ fastRetransmits: 0, timeouts: 0 });
    expect(h.tcb.mtuSearch.probesLost).toBe(1);
  });
});

describe.each(WORLDS)("a router answers a probe, $name", (world) => {
  test("what it tells is tried next, and what was lost is cut anew; the path MTU stays what it was", () => {
    const h = searching(world);
    h.send(ENOUGH);
    expect(tooBig(h, 1_200, 1, PROBE + 40)).toContain("probe");
    expect(h.tcb.pathMtu.bytes).toBe(1_064);
    expect(lengths(h.poll())).toEqual([SMALL, PROBE - SMALL]);
    ack(h, h.sndMax);
    expect(lengths(h.send(ENOUGH))[0]).toBe(1_160);
    ack(h, h.sndMax);
    expect(h.tcb.pathMtu.bytes).toBe(1_200);
    // Known to the byte: over until the path may have changed.
    expect(h.tcb.mtuSearch.active).toBe(false);
    expect(h.tcb.pathMtu.raiseAt).toBe(h.now + 10 * MINUTE);
    expect(h.tcb.counters.fastRetransmits).toBe(0);
  });

  test("less than what passes: the search ends, and the path MTU stays", () => {
    const h = searching(world);
    h.send(ENOUGH);
    tooBig(h, 1_000, 1, PROBE + 40);
    expect(h.tcb.mtuSearch).toMatchObject({ active: false, high: 1_064 });
    expect(h.tcb.pathMtu.bytes).toBe(1_064);
  });

  test("in a recovery that began for another segment: what goes again is what recovery allows", () => {
    const h = searching(world);
    h.send(4 * SMALL);
    const probe = h.sndMax;
    h.send(ENOUGH);
    ack(h, 1, [1 + SMALL, probe]);
    expect(h.tcb.recovery.active).toBe(true);
    expect(tooBig(h, 1_200, probe, PROBE + 40)).toContain("probe");
    h.poll();
    expect(h.tcb.sent.inFlightBytes).toBeLessThanOrEqual(h.tcb.recovery.prr.cwnd);
    expect(h.tcb.counters.fastRetransmits).toBe(1);
  });

  test("about a segment that is no probe: as ever", () => {
    const h = searching(world);
    h.send(ENOUGH);
    expect(tooBig(h, 1_000, 1 + PROBE, 1_064)).toContain("lowered");
    expect(h.tcb.mtuSearch.active).toBe(false);
    expect(h.tcb.pathMtu.bytes).toBe(1_000);
  });
});

describe.each(WORLDS)("after a black hole, $name", (world) => {
  test("larger ones had arrived before: the first probe is as large as they (mtuProbing 1)", () => {
    const h = searching(world, { mtuProbing: 1 });
    h.send(1_460);
    ack(h, h.sndMax);
    h.send(1_460);
    for (let i = 0; i < 5; i++) h.nextTimer();
    expect(h.tcb.snd.mss).toBe(SMALL);
    ack(h, h.sndMax);
    expect(h.tcb.mtuSearch).toMatchObject({ active: true, low: 1_064, high: 1_500, next: 1_500 });
  });

  test("ten minutes after the search: anew, though by the old way where little is sent", () => {
    const h = searching(world);
    h.send(ENOUGH);
    tooBig(h, 1_200, 1, PROBE + 40);
    h.poll();
    ack(h, h.sndMax);
    h.send(ENOUGH);
    ack(h, h.sndMax);
    h.advance(10 * MINUTE - 1);
    expect(lengths(h.send(3 * 1_460))[0]).toBe(1_160);
    ack(h, h.sndMax);
    h.now++;
    h.conn.send(new Uint8Array(12 * 1_460));
    h.poll();
    // Idle for long: the window is small, and the probe waits for it.
    expect(h.tcb.mtuSearch).toMatchObject({ active: true, high: 1_500, next: 1_500 });
    expect(h.tcb.snd.mss).toBe(1_160);
  });
});
