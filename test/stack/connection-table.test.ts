import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConnectionTable } from "../../src/stack/connection-table.js";
import { Entry } from "../../src/stack/entry.js";
import { DEFAULT_CONFIG } from "../../src/tcp/config.js";
import { Connection } from "../../src/tcp/connection.js";
import { IpAddress, parseAddress } from "../../src/wire/address.js";

type Tuple = readonly [IpAddress, number, IpAddress, number];

let lastId = 0;

function entryOf([local, localPort, remote, remotePort]: Tuple): Entry {
  const seed = { tsOffset: 0, ipId: 0 };
  return new Entry(new Connection(++lastId, DEFAULT_CONFIG, local, localPort, remote, remotePort, seed), undefined, "");
}

function nameOf([local, localPort, remote, remotePort]: Tuple): string {
  return `${local.family} ${local} ${localPort} ${remote} ${remotePort}`;
}

// Few values for each part, so that tuples share all but one of them, and collide.
const word = fc.constantFrom(0, 1, 2, 0x80000000, 0xffffffff);
const v4 = word.map((w) => new IpAddress(4, 0, 0, 0, w));
const v6 = fc.tuple(word, word, word, word).map(([a, b, c, d]) => new IpAddress(6, a, b, c, d));
const port = fc.constantFrom(1, 2, 80, 32_768, 32_848, 65_535);
const tuple: fc.Arbitrary<Tuple> = fc.oneof(fc.tuple(v4, port, v4, port), fc.tuple(v6, port, v6, port));

describe("connection table", () => {
  it("behaves as a map by four-tuple, through growth and removal, for any seed", () => {
    const step = fc.record({ tuple, add: fc.boolean() });
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.array(step, { maxLength: 400, size: "max" }), (seed, steps) => {
        const table = new ConnectionTable(seed);
        const model = new Map<string, Entry>();
        for (const { tuple: t, add } of steps) {
          const name = nameOf(t);
          const known = model.get(name);
          expect(table.find(...t)).toBe(known);
          if (add && known === undefined) {
            const entry = entryOf(t);
            table.add(entry);
            model.set(name, entry);
          } else if (!add && known !== undefined) {
            table.remove(known);
            // A second removal is a no-op.
            table.remove(known);
            model.delete(name);
            expect(table.find(...t)).toBeUndefined();
          }
          expect(table.size).toBe(model.size);
        }
        expect(new Set(table)).toEqual(new Set(model.values()));
      }),
      { numRuns: 60 },
    );
  });

  it("tells apart the same ports at different addresses, and the same words in the other family", () => {
    const table = new ConnectionTable(5);
    const [a, b] = [parseAddress("10.0.0.1"), parseAddress("10.0.0.2")];
    const first = entryOf([a, 80, b, 4000]);
    table.add(first);
    expect(table.find(a, 80, b, 4000)).toBe(first);
    expect(table.find(b, 80, a, 4000)).toBeUndefined();
    expect(table.find(a, 4000, b, 80)).toBeUndefined();
    expect(table.find(a, 80, parseAddress("10.0.0.3"), 4000)).toBeUndefined();
    const asV6 = (address: IpAddress): IpAddress => new IpAddress(6, 0, 0, 0, address.w3);
    expect(table.find(asV6(a), 80, asV6(b), 4000)).toBeUndefined();
  });

  it("keeps chains short for the addresses of one IPv6 network that were chosen to cancel out", () => {
    // An attacker with a /64 chooses the last two words; here their exclusive-or is always the same.
    const table = new ConnectionTable(0x1234567);
    const hashes = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const entry = entryOf([parseAddress("2001:db8::1"), 80, new IpAddress(6, 0x20010db8, 1, i, i ^ 0x5555), 4000]);
      table.add(entry);
      hashes.add(entry.hash);
    }
    expect(hashes.size).toBeGreaterThan(990);
  });

  it("spreads 4,000 ports of one host over the buckets", () => {
    const table = new ConnectionTable(99);
    const loads = new Map<number, number>();
    for (let i = 0; i < 4000; i++) {
      const entry = entryOf([parseAddress("10.0.0.1"), 80, parseAddress("10.0.0.2"), 1024 + i]);
      table.add(entry);
      const bucket = entry.hash & 4095;
      loads.set(bucket, (loads.get(bucket) ?? 0) + 1);
    }
    expect(table.size).toBe(4000);
    expect(Math.max(...loads.values())).toBeLessThanOrEqual(10);
  });
});
