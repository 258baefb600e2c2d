import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RawTcpError } from "../../src/base/errors.js";
import { addressInUse, PortRegistry } from "../../src/stack/port-registry.js";
import type { IpAddress } from "../../src/wire/address.js";
import { parseAddress } from "../../src/wire/address.js";
import { HeldPorts } from "./held-ports.js";
import { LOCAL, LOCAL6 } from "./rig.js";

describe("port registry", () => {
  it("holds a reservation once for all its users and gives it back with the last", () => {
    const holder = new HeldPorts();
    const ports = new PortRegistry(holder);
    const key = ports.take(LOCAL, 80);
    expect(ports.take(LOCAL, 80)).toBe(key);
    ports.share(key);
    expect(holder.log).toEqual(["hold 10.0.0.1:80"]);
    ports.release(key);
    ports.release(key);
    expect(ports.isHeld(80)).toBe(true);
    expect(holder.log).toHaveLength(1);
    ports.release(key);
    expect(ports.isHeld(80)).toBe(false);
    expect(holder.log).toEqual(["hold 10.0.0.1:80", "release 10.0.0.1:80"]);
    // Once too often is harmless, and so is a key that never was.
    ports.release(key);
    ports.share("nowhere:1");
    expect(holder.log).toHaveLength(2);
  });

  it("the set of ports lives, and a port leaves it with the last of three addresses", () => {
    const ports = new PortRegistry(undefined);
    const live = ports.ports();
    const keys = [LOCAL, LOCAL6, parseAddress("10.0.0.9")].map((address) => ports.take(address, 80));
    const listed = keys.map((key) => {
      const before = [...live];
      ports.release(key);
      return before;
    });
    expect(listed).toEqual([[80], [80], [80]]);
    expect(ports.ports()).toBe(live);
    expect([...live]).toEqual([]);
  });

  it("keeps the addresses of one port apart and lists the port once", () => {
    const ports = new PortRegistry(undefined);
    const v4 = ports.take(LOCAL, 80);
    const v6 = ports.take(LOCAL6, 80);
    expect(v6).not.toBe(v4);
    expect([...ports.ports()]).toEqual([80]);
    ports.release(v4);
    expect(ports.isHeld(80)).toBe(true);
    ports.release(v6);
    expect([...ports.ports()]).toEqual([]);
  });

  it("keeps nothing of a port that the holder refuses", () => {
    const holder = new HeldPorts();
    holder.refuse.set(80, new RawTcpError("EACCES", "refused"));
    const ports = new PortRegistry(holder);
    expect(() => ports.take(LOCAL, 80)).toThrow(expect.objectContaining({ code: "EACCES" }));
    expect(ports.isHeld(80)).toBe(false);
    expect(ports.changes).toBe(0);
    holder.refuse.clear();
    expect(ports.take(LOCAL, 80)).not.toBe("");
    expect(ports.changes).toBe(1);
  });

  it("balances hold and release for any order of users", () => {
    const addresses: readonly IpAddress[] = [LOCAL, LOCAL6, parseAddress("0.0.0.0")];
    const step = fc.record({ take: fc.boolean(), address: fc.nat(2), port: fc.integer({ min: 1, max: 4 }), pick: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const holder = new HeldPorts();
        const ports = new PortRegistry(holder);
        const users: string[] = [];
        for (const s of steps) {
          const before = holder.log.length;
          const changes = ports.changes;
          if (s.take) users.push(ports.take(addresses[s.address] as IpAddress, s.port));
          else if (users.length > 0) ports.release(users.splice(s.pick % users.length, 1)[0] as string);
          // The count of changes moves when, and only when, something is held or released.
          expect(ports.changes - changes).toBe(holder.log.length - before);
          expect(holder.held).toEqual(new Set(users));
        }
        for (const key of users) ports.release(key);
        expect(holder.held.size).toBe(0);
        expect([...ports.ports()]).toEqual([]);
      }),
    );
  });

  it("names the address in EADDRINUSE", () => {
    const error = addressInUse(LOCAL6, 80);
    expect(error.code).toBe("EADDRINUSE");
    expect(error.message).toContain("[2001:db8::1]:80");
  });
});
