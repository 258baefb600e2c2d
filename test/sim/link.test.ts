import { describe, expect, it } from "vitest";
import { MILLISECOND, SECOND } from "../../src/base/time.js";
import type { Link, LinkOptions } from "../../src/sim/link.js";
import { type PacketFate, Simulation } from "../../src/sim/simulation.js";
import { parseAddress } from "../../src/wire/address.js";

interface Told {
  readonly t: number;
  readonly fate: PacketFate;
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** A link whose packets are no TCP: the stack at the end drops them. The first four bytes number them. */
function wire(
  options: LinkOptions,
  seed = 1,
): { sim: Simulation; link: Link; told: Told[]; send: (id: number, length?: number) => void } {
  const sim = new Simulation(seed);
  const [a, b] = [sim.host("a", parseAddress("10.0.0.1")), sim.host("b", parseAddress("10.0.0.2"))];
  const [link] = sim.link(a, b, options);
  const told: Told[] = [];
  sim.witness = (t, _from, _to, fate, bytes) => {
    const id = new DataView(bytes.buffer, bytes.byteOffset).getUint16(2);
    told.push({ t, fate, id, bytes: bytes.slice() });
  };
  const send = (id: number, length = 100): void => {
    const packet = new Uint8Array(length);
    new DataView(packet.buffer).setUint16(2, id);
    link.send(packet, length, "");
  };
  return { sim, link, told, send };
}

function arrivals(told: readonly Told[]): Told[] {
  return told.filter(({ fate }) => fate === "arrived");
}

describe("link", () => {
  it("delivers a copy after the delay, in order", () => {
    const { sim, link, told } = wire({ delayUs: 7 * MILLISECOND });
    const bytes = new Uint8Array(60).fill(9);
    link.send(bytes, 50, "a note");
    bytes.fill(0);
    sim.run();
    const [arrived] = arrivals(told);
    expect(arrived).toMatchObject({ t: 7 * MILLISECOND });
    expect(arrived?.bytes).toEqual(new Uint8Array(50).fill(9));
    expect(link.counters).toEqual({
      packets: 1,
      bytes: 50,
      lost: 0,
      tooBig: 0,
      queueFull: 0,
      duplicated: 0,
      reordered: 0,
      corrupted: 0,
      marked: 0,
    });
    expect(link.destination.name).toBe("b");
  });

  it("jitter adds to the delay and keeps the order", () => {
    const { sim, told, send } = wire({ delayUs: 1000, jitterUs: 500 });
    for (let i = 0; i < 500; i++) sim.schedule(i * 100, () => send(i));
    sim.run();
    const arrived = arrivals(told);
    expect(arrived.map(({ id }) => id)).toEqual(Array.from({ length: 500 }, (_, i) => i));
    const delays = arrived.map(({ t, id }) => t - id * 100);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(1000);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1500);
    expect(new Set(delays).size).toBeGreaterThan(20);
  });

  it("loses, duplicates, reorders and corrupts at the stated rates", () => {
    const count = 20_000;
    const { sim, link, told, send } = wire({ loss: 0.1, duplicate: 0.05, reorder: 0.2, corrupt: 0.02 });
    for (let i = 0; i < count; i++) sim.schedule(i * 10, () => send(i));
    sim.run();
    const { counters } = link;
    const survivors = count - counters.lost;
    // Four standard deviations of a binomial.
    const near = (actual: number, n: number, p: number): void => {
      expect(Math.abs(actual - n * p)).toBeLessThan(4 * Math.sqrt(n * p * (1 - p)));
    };
    near(counters.lost, count, 0.1);
    near(counters.duplicated, survivors, 0.05);
    near(counters.reordered, survivors, 0.2);
    near(counters.corrupted, survivors, 0.02);
    const arrived = arrivals(told);
    expect(arrived).toHaveLength(survivors + counters.duplicated);
    // Each fate is told as often as it is counted.
    for (const [fate, times] of [
      ["sent", count],
      ["lost", counters.lost],
      ["duplicated", counters.duplicated],
      ["reordered", counters.reordered],
      ["corrupted", counters.corrupted],
    ] as const) {
      expect(told.filter((one) => one.fate === fate)).toHaveLength(times);
    }
  });

  it("a reordered packet comes later than those behind it; the others keep their order", () => {
    const { sim, told, send } = wire({ reorder: 0.1, delayUs: 1000, reorderDelayUs: 5000 });
    for (let i = 0; i < 1000; i++) sim.schedule(i * 100, () => send(i));
    sim.run();
    const late = new Set(told.filter(({ fate }) => fate === "reordered").map(({ id }) => id));
    const arrived = arrivals(told);
    const onTime = arrived.map(({ id }) => id).filter((id) => !late.has(id));
    expect(onTime).toEqual([...onTime].sort((x, y) => x - y));
    for (const { t, id } of arrived) expect(t - id * 100).toBe(late.has(id) ? 6000 : 1000);
    expect(late.size).toBeGreaterThan(50);
  });

  it("corruption changes one byte and never none", () => {
    const { sim, told, send } = wire({ corrupt: 1 });
    for (let i = 0; i < 300; i++) send(0);
    sim.run();
    const places = arrivals(told).map(({ bytes }) => {
      const changed = [...bytes.entries()].filter(([, byte]) => byte !== 0);
      expect(changed).toHaveLength(1);
      return changed[0]?.[0];
    });
    expect(new Set(places).size).toBeGreaterThan(80);
  });

  it("a rate spaces packets by their length, and an idle wire sends at once", () => {
    // 8 Mbit/s: a byte a microsecond.
    const { sim, told, send } = wire({ rateBps: 8_000_000, delayUs: 1000 });
    send(0, 100);
    send(1, 300);
    send(2, 50);
    sim.schedule(10_000, () => send(3, 100));
    sim.run();
    expect(arrivals(told).map(({ t }) => t)).toEqual([1100, 1400, 1450, 11_100]);
  });

  it("the queue of a limited rate takes so many bytes and no more", () => {
    const { sim, link, told, send } = wire({ rateBps: 8_000_000, queueBytes: 1000 });
    for (let i = 0; i < 15; i++) send(i, 100);
    expect(link.counters.queueFull).toBe(5);
    // As bytes leave there is room again, for as much as has left.
    sim.schedule(250, () => {
      send(20, 100);
      send(21, 100);
      send(22, 100);
    });
    sim.run();
    expect(link.counters.queueFull).toBe(6);
    expect(arrivals(told).map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21]);
    expect(told.filter(({ fate }) => fate === "queue full").map(({ id }) => id)).toEqual([10, 11, 12, 13, 14, 22]);
  });

  it("a queue of nothing still lets an idle wire send", () => {
    const { sim, told, send } = wire({ rateBps: 8_000_000, queueBytes: 0 });
    send(0);
    send(1);
    sim.run();
    expect(arrivals(told).map(({ id }) => id)).toEqual([0]);
  });

  it("a filter loses certain packets, and is told their number", () => {
    const { sim, link, told, send } = wire({});
    const indices: number[] = [];
    link.filter = (_bytes, _note, index) => {
      indices.push(index);
      return index !== 1;
    };
    for (const id of [10, 11, 12]) send(id);
    sim.run();
    expect(indices).toEqual([0, 1, 2]);
    expect(arrivals(told).map(({ id }) => id)).toEqual([10, 12]);
    expect(link.counters.lost).toBe(1);
  });

  it("each direction has its own faults", () => {
    const sim = new Simulation(1);
    const [a, b] = [sim.host("a", parseAddress("10.0.0.1")), sim.host("b", parseAddress("10.0.0.2"))];
    const [there, back] = sim.link(a, b, { loss: 1 }, { delayUs: SECOND });
    let arrived = 0;
    sim.witness = (t, from, to, fate) => {
      if (fate !== "arrived") return;
      expect([t, from, to]).toEqual([SECOND, "b", "a"]);
      arrived++;
    };
    there.send(new Uint8Array(40), 40, "");
    back.send(new Uint8Array(40), 40, "");
    sim.run();
    expect(arrived).toBe(1);
  });
});
