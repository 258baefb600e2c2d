import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EXACT_PORTS, PortSet } from "../../src/device/port-set.js";
import type { PortRange } from "../../src/kernel/bpf.js";

const LOCAL: PortRange = { first: 49152, last: 65535 };
const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);
const covers = (filter: readonly (number | PortRange)[], port: number) =>
  filter.some((entry) => (typeof entry === "number" ? entry === port : port >= entry.first && port <= entry.last));

describe("PortSet", () => {
  it("lists up to 16 ports one by one and is silent when nothing changed", () => {
    const set = new PortSet(LOCAL);
    expect(set.update([80, 50000])).toEqual([80, 50000]);
    expect(set.update([50000, 80])).toBeUndefined();
    expect(set.update([80])).toEqual([80]);
    expect(set.update(from(50000, EXACT_PORTS))).toHaveLength(EXACT_PORTS);
    expect(set.update([])).toEqual([]);
  });

  it("starts with no port, so an empty set is no change", () => {
    expect(new PortSet(LOCAL).update([])).toBeUndefined();
  });

  it("lets the whole local range through beyond 16 ports, and then each new connection costs nothing", () => {
    const set = new PortSet(LOCAL);
    expect(set.update([80, ...from(50000, 16)])).toEqual([LOCAL, { first: 80, last: 80 }]);
    expect(set.update([80, ...from(51000, 4000)])).toBeUndefined();
    expect(set.update([80, ...from(60000, 9)])).toBeUndefined();
  });

  it("a Set that lives: what was added to it since the last call changes the filter", () => {
    const set = new PortSet(LOCAL);
    const live = new Set([80]);
    expect(set.update(live)).toEqual([80]);
    live.add(443);
    expect(set.update(live)).toEqual([80, 443]);
    expect(set.update(live)).toBeUndefined();
    live.delete(80);
    expect(set.update(live)).toEqual([443]);
  });

  it("becomes exact again only when few are left", () => {
    const set = new PortSet(LOCAL);
    set.update(from(50000, 17));
    expect(set.update(from(50000, 9))).toBeUndefined();
    expect(set.update(from(50000, 8))).toEqual(from(50000, 8));
  });

  it("changes a wide filter when a port outside of it is wanted", () => {
    const set = new PortSet(LOCAL);
    set.update(from(50000, 17));
    expect(set.update([443, ...from(50000, 17)])).toEqual([LOCAL, { first: 443, last: 443 }]);
  });

  it("takes many ports outside the local range together", () => {
    const set = new PortSet(LOCAL);
    expect(set.update(from(1000, 17))).toEqual([{ first: 1000, last: 1016 }]);
    expect(set.update([...from(1000, 17), 50000])).toEqual([LOCAL, { first: 1000, last: 1016 }]);
  });

  it("always lets every wanted port through, whatever came before", () => {
    const ports = fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(ports, { maxLength: 8 }), (history) => {
        const set = new PortSet(LOCAL);
        let filter: readonly (number | PortRange)[] = [];
        for (const wanted of history) {
          filter = set.update(wanted) ?? filter;
          expect(filter.length).toBeLessThanOrEqual(100);
          for (const port of wanted) expect(covers(filter, port)).toBe(true);
        }
      }),
    );
  });
});
