import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findInterface, isOwnAddress, listInterfaces, readOffloads } from "../../src/kernel/interfaces.js";
import { AF_INET, addressOf, close, ioctl, SOCK_DGRAM, socket } from "../../src/kernel/libc.js";
import { neighbourMac, routeTo } from "../../src/kernel/route.js";
import { enterPrivateNamespace, eventually, type FarNamespace, openFarNamespace, run } from "./support.js";

let far: FarNamespace;
beforeAll(async () => {
  enterPrivateNamespace();
  far = await openFarNamespace(1400);
  run("ip", "route", "add", "198.51.100.0/24", "via", "10.77.0.2");
  run("ip", "route", "add", "unreachable", "203.0.113.0/24");
  run("ip", "-6", "addr", "add", "2001:db8:77::1/64", "dev", "near0", "nodad");
});
afterAll(() => far.close());

describe("routeTo", () => {
  const loopback = { interface: "lo", isOwnAddress: true, gateway: undefined };

  it.each([
    ["127.0.0.1", { ...loopback, source: "127.0.0.1", mtuBytes: 65535 }],
    ["127.1.2.3", { ...loopback, source: "127.0.0.1", mtuBytes: 65535 }],
    ["::1", { ...loopback, source: "::1", mtuBytes: 65536 }],
    ["10.77.0.1", { ...loopback, source: "10.77.0.1", mtuBytes: 65535 }],
  ])("to the host's own address %s goes over loopback", (target, expected) => {
    expect(routeTo(target)).toMatchObject(expected);
  });

  it("to a neighbour and to what lies behind it (MUST-44)", () => {
    const link = { source: "10.77.0.1", interface: "near0", mtuBytes: 1400, isOwnAddress: false };
    expect(routeTo("10.77.0.2")).toMatchObject({ ...link, gateway: undefined });
    expect(routeTo("198.51.100.9")).toMatchObject({ ...link, gateway: "10.77.0.2" });
    expect(routeTo("2001:db8:77::2")).toMatchObject({ source: "2001:db8:77::1", interface: "near0", mtuBytes: 1400 });
  });

  it("through a named interface", () => {
    expect(routeTo("10.77.0.2", "near0").interfaceIndex).toBe(findInterface("near0")?.index);
    expect(() => routeTo("10.77.0.2", "nowhere0")).toThrow(expect.objectContaining({ code: "ENODEV" }));
  });

  it.each([
    ["192.0.2.1", "ENETUNREACH"], // no route at all
    ["203.0.113.1", "EHOSTUNREACH"],
    ["2001:db8:99::1", "ENETUNREACH"],
  ])("to %s fails with %s", (target, code) => {
    expect(() => routeTo(target)).toThrow(expect.objectContaining({ code }));
  });
});

describe("listInterfaces", () => {
  it("agrees with Node about names, addresses and MACs", () => {
    const ours = listInterfaces().flatMap((link) => link.addresses.map(({ address }) => `${link.name} ${link.mac} ${address}`));
    const nodes = Object.entries(networkInterfaces()).flatMap(([name, entries]) =>
      (entries ?? []).map(({ mac, address }) => `${name} ${mac} ${address}`),
    );
    expect(ours.sort()).toEqual(nodes.sort());
    expect(ours.length).toBeGreaterThan(3);
  });

  it("tells MTU, link type, prefix and whether it is up", () => {
    run("ip", "tuntap", "add", "mode", "tun", "name", "tunny0");
    expect(findInterface("lo")).toMatchObject({ index: 1, mtuBytes: 65536, linkType: "loopback", isUp: true });
    expect(findInterface("near0")).toMatchObject({ mtuBytes: 1400, linkType: "ethernet", mac: far.nearMac, isUp: true });
    expect(findInterface("near0")?.addresses).toContainEqual({ address: "10.77.0.1", prefixLength: 24 });
    expect(findInterface("tunny0")).toMatchObject({ linkType: "tun", mac: "", isUp: false, addresses: [] });
    expect(findInterface("nowhere0")).toBeUndefined();
  });
});

describe("isOwnAddress", () => {
  it("knows loopback, all of 127.0.0.0/8 and the interfaces' addresses", () => {
    for (const own of ["127.0.0.1", "127.255.0.9", "::1", "10.77.0.1", "2001:db8:77:0::1"]) expect(isOwnAddress(own)).toBe(true);
    for (const other of ["10.77.0.2", "128.0.0.1", "::2", "0.0.0.0"]) expect(isOwnAddress(other)).toBe(false);
  });
});

describe("readOffloads", () => {
  it("follows a change", () => {
    expect(readOffloads("lo")).toMatchObject({ txChecksum: true, tso: true, gso: true });
    expect(readOffloads("near0")).toMatchObject({ txChecksum: true, tso: true, gso: true });
    const ETHTOOL_STSO = 0x1f;
    switchOffload("near0", ETHTOOL_STSO, false);
    expect(readOffloads("near0")).toMatchObject({ txChecksum: true, tso: false, gso: true });
    expect(() => readOffloads("nowhere0")).toThrow(expect.objectContaining({ code: "ENODEV" }));
  });
});

describe("neighbourMac", () => {
  it("is empty until the kernel knows the neighbour", async () => {
    const index = findInterface("near0")?.index ?? 0;
    expect(neighbourMac("10.77.0.99", index)).toBe("");
    run("ip", "neigh", "add", "10.77.0.50", "lladdr", "02:00:00:00:00:50", "dev", "near0");
    expect(neighbourMac("10.77.0.50", index)).toBe("02:00:00:00:00:50");
    far.run("bash", "-c", "echo > /dev/udp/10.77.0.1/9"); // the far side asks for our MAC and so tells its own
    expect(await eventually(() => neighbourMac("10.77.0.2", index), far.farMac)).toBe(far.farMac);
  });
});

/** What "ethtool -K" does: SIOCETHTOOL with a struct ethtool_value. */
function switchOffload(name: string, command: number, isOn: boolean): void {
  const value = new Uint8Array(new Uint32Array([command, isOn ? 1 : 0]).buffer);
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name));
  new BigUint64Array(request.buffer)[2] = addressOf(value);
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  ioctl(fd, 0x8946, request);
  close(fd);
}
