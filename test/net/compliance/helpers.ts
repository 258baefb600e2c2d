/** What the module has beside sockets and servers. */
import { expect, it } from "vitest";
import type { World } from "./harness.js";

export default function helpers(world: World): void {
  const { client: net } = world;

  const inputs: [string, number][] = [
    ["127.0.0.1", 4],
    ["0.0.0.0", 4],
    ["255.255.255.255", 4],
    ["256.0.0.1", 0],
    ["1.2.3", 0],
    ["01.2.3.4", 0],
    ["::", 6],
    ["::1", 6],
    ["fe80::1%lo", 6],
    ["2001:db8::1:0:0:1", 6],
    ["::ffff:127.0.0.1", 6],
    ["1::2::3", 0],
    ["", 0],
    ["localhost", 0],
  ];
  it.each(inputs)("isIP(%j) is %i", (text, expected) => {
    expect([net.isIP(text), net.isIPv4(text), net.isIPv6(text)]).toEqual([expected, expected === 4, expected === 6]);
  });

  it("BlockList: addresses, ranges, subnets", () => {
    const list = new net.BlockList();
    list.addAddress("10.0.0.1");
    list.addRange("10.1.0.0", "10.1.0.9");
    list.addSubnet("fd00::", 8, "ipv6");
    expect([
      list.check("10.0.0.1"),
      list.check("10.0.0.2"),
      list.check("10.1.0.5"),
      list.check("fd12::1", "ipv6"),
      list.check("fe80::1", "ipv6"),
    ]).toEqual([true, false, true, true, false]);
    expect(list.rules.length).toBe(3);
  });

  it("SocketAddress", () => {
    const address = new net.SocketAddress({ address: "127.0.0.1", port: 80 });
    expect([address.address, address.port, address.family]).toEqual(["127.0.0.1", 80, "ipv4"]);
  });

  it("the default of autoSelectFamily can be set", () => {
    const before = net.getDefaultAutoSelectFamily();
    net.setDefaultAutoSelectFamily(!before);
    expect(net.getDefaultAutoSelectFamily()).toBe(!before);
    net.setDefaultAutoSelectFamily(before);
  });

  it("the time of an attempt can be set", () => {
    const before = net.getDefaultAutoSelectFamilyAttemptTimeout();
    net.setDefaultAutoSelectFamilyAttemptTimeout(777);
    expect(net.getDefaultAutoSelectFamilyAttemptTimeout()).toBe(777);
    net.setDefaultAutoSelectFamilyAttemptTimeout(before);
  });
}
