import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FaultInjector, type FaultInjectorOptions, matchSegment } from "../../src/device/fault-injector.js";
import type { TraceEvent } from "../../src/observe/events.js";
import { IpPacket, parseIpPacket } from "../../src/wire/ip-packet.js";
import { verifyChecksum } from "../../src/wire/segment.js";
import { TestDevice, tcpPacket } from "./packets.js";

interface Bench {
  readonly inner: TestDevice;
  readonly device: FaultInjector;
  readonly told: TraceEvent[];
  /** Sequence numbers that came through inwards. */
  readonly received: number[];
  batchEnds: number;
  /** Lets all scheduled actions happen that are due by the given time. */
  advance(us: number): void;
  sent(): number[];
}

const seqOf = (packet: Uint8Array, offset = 0): number => new DataView(packet.buffer, packet.byteOffset).getUint32(offset + 24);

function bench(options: Partial<FaultInjectorOptions>): Bench {
  const inner = new TestDevice();
  const told: TraceEvent[] = [];
  const timers: { at: number; action: () => void }[] = [];
  let now = 0;
  const device = new FaultInjector(inner, {
    seed: 1,
    schedule: (delayUs, action) => timers.push({ at: now + delayUs, action }),
    events: (event) => told.push(event),
    now: () => now,
    ...options,
  });
  const received: number[] = [];
  const b: Bench = {
    inner,
    device,
    told,
    received,
    batchEnds: 0,
    sent: () => inner.sent.map((packet) => seqOf(packet)),
    advance: (us) => {
      now += us;
      timers.sort((a, c) => a.at - c.at);
      while ((timers[0]?.at ?? Number.POSITIVE_INFINITY) <= now) timers.shift()?.action();
    },
  };
  device.start(
    (bytes, offset) => {
      received.push(seqOf(bytes, offset));
      return "seen";
    },
    () => {
      b.batchEnds++;
    },
  );
  return b;
}

/** Lends the packet at an offset and spoils the memory afterwards, as native devices do. */
function send(b: Bench, n: number, payload: number[] = []): boolean {
  const packet = tcpPacket({ seq: n, payload });
  const lent = new Uint8Array(packet.length + 10);
  lent.set(packet, 5);
  const taken = b.device.send(lent, 5, packet.length, `note ${n}`);
  lent.fill(0xdd);
  return taken;
}

const deliver = (b: Bench, ...numbers: number[]): string[] => b.inner.deliver(...numbers.map((n) => tcpPacket({ seq: n })));

test("without faults packets pass as they are, and so does all else", () => {
  const b = bench({});
  expect(send(b, 1)).toBe(true);
  expect(deliver(b, 2)).toEqual(["seen"]);
  b.inner.takes = false;
  expect(send(b, 3)).toBe(false);
  b.device.setPorts([7]);
  b.device.setRef(true);
  b.device.close();
  expect([b.sent(), b.received, b.batchEnds, b.inner.notes]).toEqual([[1], [2], 1, ["note 1"]]);
  expect(b.inner.calls).toEqual(["ports 7", "ref true", "close"]);
  expect([b.device.name, b.device.mtuBytes]).toEqual(["test0", 1500]);
  expect(b.told).toEqual([]);
  expect(b.device.counts.out).toEqual({ packets: 2, loss: 0, duplication: 0, reordering: 0, corruption: 0, delay: 0 });
});

describe("by rule, outwards", () => {
  test("loss of the second and third: send says true all the same, the trace says which rule", () => {
    const b = bench({ rules: [{ dir: "out", fault: "loss", nth: 2, count: 2 }] });
    expect([1, 2, 3, 4].map((n) => send(b, n))).toEqual([true, true, true, true]);
    expect(b.sent()).toEqual([1, 4]);
    expect(b.told).toMatchObject([
      { type: "fault", dir: "out", fault: "loss", reason: "rule 1" },
      { type: "fault", dir: "out", fault: "loss", reason: "rule 1" },
    ]);
    expect(b.device.counts.out).toMatchObject({ packets: 4, loss: 2 });
  });

  test("duplication", () => {
    const b = bench({ rules: [{ dir: "out", fault: "duplication", nth: 1 }] });
    send(b, 1);
    send(b, 2);
    expect(b.sent()).toEqual([1, 1, 2]);
  });

  test("reordering: the next packet overtakes", () => {
    const b = bench({ rules: [{ dir: "out", fault: "reordering", nth: 1, count: 2 }] });
    for (const n of [1, 2, 3]) send(b, n);
    expect(b.sent()).toEqual([2, 1, 3]);
    b.advance(1_000_000);
    expect(b.sent()).toEqual([2, 1, 3]);
    expect(b.device.counts.out.reordering).toBe(1);
  });

  test("reordering without a next packet: it leaves after its time", () => {
    const b = bench({ out: { reorderingUs: 500 }, rules: [{ dir: "out", fault: "reordering", nth: 1 }] });
    send(b, 1);
    b.advance(499);
    expect(b.sent()).toEqual([]);
    b.advance(1);
    expect(b.sent()).toEqual([1]);
    send(b, 2);
    expect(b.sent()).toEqual([1, 2]);
  });

  test("delay: later packets go first, the bytes are those that were sent", () => {
    const b = bench({ rules: [{ dir: "out", fault: "delay", nth: 1, delayUs: 700 }] });
    send(b, 1, [5, 6]);
    send(b, 2);
    b.advance(699);
    expect(b.sent()).toEqual([2]);
    b.advance(1);
    expect(b.sent()).toEqual([2, 1]);
    expect(b.inner.sent[1]).toEqual(tcpPacket({ seq: 1, payload: [5, 6] }));
    expect(b.inner.notes).toEqual(["note 2", "note 1"]);
  });

  test("corruption: one bit, behind the ports, the TCP checksum fails, the IP header does not", () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.nat(255), { maxLength: 20 }), (seed, payload) => {
        const b = bench({ seed, rules: [{ dir: "out", fault: "corruption", nth: 1 }] });
        send(b, 1, payload);
        const [got] = b.inner.sent;
        const sent = tcpPacket({ seq: 1, payload });
        if (got === undefined) throw new Error("nothing was sent");
        const changed = [...got.entries()].filter(([i, byte]) => byte !== sent[i]);
        expect(changed).toHaveLength(1);
        expect(changed[0]?.[0]).toBeGreaterThanOrEqual(24);
        const header = new IpPacket();
        expect(parseIpPacket(header, got, 0, got.length, true)).toBe("");
        expect(verifyChecksum(header.source, header.destination, got, 20, got.length - 20, "strict")).toBe("bad");
      }),
    );
  });

  test("a rule counts its own matches, also those that an earlier rule decides", () => {
    const withPayload = matchSegment((segment) => segment.payloadLength > 0);
    const b = bench({
      rules: [
        { dir: "out", fault: "loss", nth: 1, match: withPayload, reason: "first data" },
        { dir: "out", fault: "loss", nth: 2, match: withPayload, reason: "second data" },
        { dir: "out", fault: "duplication", nth: 1, match: withPayload, reason: "too late" },
        { dir: "in", fault: "loss", nth: 1, count: Number.POSITIVE_INFINITY },
      ],
    });
    send(b, 1);
    send(b, 2, [0]);
    send(b, 3);
    send(b, 4, [0]);
    send(b, 5, [0]);
    expect(b.sent()).toEqual([1, 3, 5]);
    expect(b.told.map((event) => event.type === "fault" && event.reason)).toEqual(["first data", "second data"]);
    expect(deliver(b, 6, 7)).toEqual(["", ""]);
    expect(b.received).toEqual([]);
  });

  test("matchSegment is false for what is no TCP", () => {
    const all = matchSegment(() => true);
    const udp = tcpPacket({});
    expect(all(udp, 0, udp.length)).toBe(true);
    udp[9] = 17;
    expect(all(udp, 0, udp.length)).toBe(false);
    expect(all(new Uint8Array(4), 0, 4)).toBe(false);
    expect(all(tcpPacket({}).fill(0, 32, 33), 0, 40)).toBe(false);
  });
});

describe("by rule, inwards", () => {
  test("a lost packet never comes; the trace names it", () => {
    const b = bench({ rules: [{ dir: "in", fault: "loss", nth: 2 }] });
    expect(deliver(b, 1, 2, 3)).toEqual(["seen", "", "seen"]);
    expect(b.received).toEqual([1, 3]);
    expect(b.batchEnds).toBe(1);
    expect(b.told).toMatchObject([
      { dir: "in", fault: "loss", reason: expect.stringContaining("rule 1: 127.0.0.1:1 > 127.0.0.1:2") },
    ]);
  });

  test("a duplicate comes in the same batch", () => {
    const b = bench({ rules: [{ dir: "in", fault: "duplication", nth: 1 }] });
    deliver(b, 1, 2);
    expect([b.received, b.batchEnds]).toEqual([[1, 1, 2], 1]);
  });

  test("a delayed packet comes as a batch of its own", () => {
    const b = bench({ rules: [{ dir: "in", fault: "delay", nth: 1, delayUs: 300 }] });
    deliver(b, 1, 2);
    expect([b.received, b.batchEnds]).toEqual([[2], 1]);
    b.advance(300);
    expect([b.received, b.batchEnds]).toEqual([[2, 1], 2]);
  });

  test("a packet is overtaken within its batch, or comes after its time", () => {
    const b = bench({
      rules: [
        { dir: "in", fault: "reordering", nth: 1 },
        { dir: "in", fault: "reordering", nth: 4 },
      ],
    });
    deliver(b, 1, 2, 3);
    expect(b.received).toEqual([2, 1, 3]);
    deliver(b, 4);
    b.advance(10_000);
    expect([b.received, b.batchEnds]).toEqual([[2, 1, 3, 4], 3]);
  });

  test("after close nothing that was held back arrives", () => {
    const b = bench({
      rules: [
        { dir: "in", fault: "delay", nth: 1 },
        { dir: "out", fault: "reordering", nth: 1 },
      ],
    });
    deliver(b, 1);
    send(b, 2);
    b.device.close();
    b.advance(1_000_000);
    expect([b.received, b.sent(), b.batchEnds]).toEqual([[], [], 1]);
  });
});

describe("by chance", () => {
  const rates = { loss: 0.1, duplication: 0.1, reordering: 0.1, corruption: 0.1, delay: 0.1, delayMinUs: 50, delayMaxUs: 900 };

  /** What came out of 2000 packets, as one string. */
  function run(seed: number): { wire: string; b: Bench } {
    const b = bench({ seed, out: rates });
    for (let i = 0; i < 2000; i++) {
      send(b, i);
      b.advance(100);
    }
    b.advance(1_000_000);
    return { wire: b.inner.sent.map((packet) => packet.join()).join(";"), b };
  }

  test("the same seed gives the same faults, another seed others", () => {
    expect(run(42).wire).toBe(run(42).wire);
    expect(run(42).wire).not.toBe(run(43).wire);
  });

  test("each fault comes about as often as was asked for, and the counts account for every packet", () => {
    const { counts } = run(7).b.device;
    const { b } = run(7);
    // 2000 draws at 0.1 (0.09 behind loss, less behind delay) lie within 120..280 by more than five deviations.
    for (const fault of ["loss", "duplication", "reordering", "corruption", "delay"] as const) {
      expect(counts.out[fault]).toBeGreaterThan(120);
      expect(counts.out[fault]).toBeLessThan(280);
    }
    expect(b.inner.sent).toHaveLength(2000 - counts.out.loss + counts.out.duplication);
    expect(b.told).toHaveLength(
      counts.out.loss + counts.out.duplication + counts.out.reordering + counts.out.corruption + counts.out.delay,
    );
  });

  test("the other direction is left alone", () => {
    const b = bench({ in: { loss: 1 } });
    send(b, 1);
    deliver(b, 2);
    expect([b.sent(), b.received]).toEqual([[1], []]);
  });

  test("a delay lies within its bounds", () => {
    const b = bench({ out: { delay: 1, delayMinUs: 50, delayMaxUs: 60 } });
    for (let i = 0; i < 100; i++) send(b, i);
    b.advance(49);
    expect(b.sent()).toHaveLength(0);
    b.advance(11);
    expect(b.sent()).toHaveLength(100);
  });

  test("rules spare their packets the faults by chance", () => {
    const b = bench({ out: { loss: 1 }, rules: [{ dir: "out", fault: "duplication", nth: 1 }] });
    send(b, 1);
    send(b, 2);
    expect(b.sent()).toEqual([1, 1]);
  });
});
