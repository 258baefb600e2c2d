/** Block lists, socket addresses and the tests of addresses, beyond the simplest. */
import { once } from "node:events";
import type { BlockList, Socket } from "node:net";
import { expect, it } from "vitest";
import { client, errorOf, listening, type World } from "./harness.js";

export default function lists(world: World): void {
  const { client: net, host } = world;

  const versions: [unknown, number][] = [
    ["1.1.1.1", 4],
    ["0.0.0.0", 4],
    ["1.1.1.1.1", 0],
    [" 1.1.1.1", 0],
    ["1.1.1.1 ", 0],
    ["1.1.1.1:80", 0],
    ["1.1.1.-1", 0],
    ["0x7f.1.1.1", 0],
    ["1", 0],
    ["::ffff:1.2.3.4", 6],
    ["::1.2.3.4", 6],
    ["1:2:3:4:5:6:7:8", 6],
    ["1:2:3:4:5:6:7", 0],
    ["1:2:3:4:5:6:7:8:9", 0],
    ["1:2:3:4:5:6:1.2.3.4", 6],
    ["FE80::A", 6],
    ["fe80::1%eth0", 6],
    ["g::1", 0],
    ["12345::1", 0],
    [":::", 0],
    ["[::1]", 0],
    [undefined, 0],
    [null, 0],
    [1, 0],
    [{}, 0],
    [true, 0],
  ];
  it.each(versions)("isIP(%j) is %i", (text, version) => {
    const given = text as string;
    expect([net.isIP(given), net.isIPv4(given), net.isIPv6(given)]).toEqual([version, version === 4, version === 6]);
  });

  it("a new BlockList blocks nothing", () => {
    const list = new net.BlockList();
    expect([list.check("1.2.3.4"), list.check("::1", "ipv6"), list.rules]).toEqual([false, false, []]);
  });

  it("the ends of a range are within it", () => {
    const list = new net.BlockList();
    list.addRange("10.0.0.5", "10.0.0.10");
    const checked = ["10.0.0.4", "10.0.0.5", "10.0.0.10", "10.0.0.11"].map((address) => list.check(address));
    expect(checked).toEqual([false, true, true, false]);
  });

  it("a subnet is all that shares its prefix", () => {
    const list = new net.BlockList();
    list.addSubnet("192.168.4.0", 22);
    const checked = ["192.168.3.255", "192.168.4.0", "192.168.7.255", "192.168.8.0"].map((address) => list.check(address));
    expect(checked).toEqual([false, true, true, false]);
  });

  it("an IPv4 address that is written as IPv6 is checked by the rules of IPv4", () => {
    const list = new net.BlockList();
    list.addAddress("123.123.123.123");
    expect([list.check("::ffff:7b7b:7b7b", "ipv6"), list.check("::ffff:123.123.123.123", "ipv6")]).toEqual([true, true]);
  });

  it("an address of the other family is not blocked", () => {
    const list = new net.BlockList();
    list.addAddress("::1", "ipv6");
    expect([list.check("::1", "ipv6"), list.check("0.0.0.1")]).toEqual([true, false]);
  });

  it("socket addresses serve as addresses", () => {
    const list = new net.BlockList();
    const first = new net.SocketAddress({ address: "10.0.0.1" });
    const last = new net.SocketAddress({ address: "10.0.0.3" });
    list.addRange(first, last);
    list.addAddress(new net.SocketAddress({ address: "10.1.0.1" }));
    expect([list.check(first), list.check("10.0.0.2"), list.check("10.1.0.1"), list.check("10.0.0.4")]).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  it("rules are told as text, the latest first", () => {
    const list = new net.BlockList();
    list.addAddress("1.2.3.4");
    list.addRange("10.0.0.1", "10.0.0.2");
    list.addSubnet("fd00::", 8, "ipv6");
    expect([...list.rules].sort()).toEqual(["Address: IPv4 1.2.3.4", "Range: IPv4 10.0.0.1-10.0.0.2", "Subnet: IPv6 fd00::/8"]);
  });

  const wrongRules: [string, (list: BlockList) => void, string][] = [
    ["an address that is none", (list) => list.addAddress("1.2.3"), "ERR_INVALID_ADDRESS"],
    ["an address of the wrong type", (list) => list.addAddress(5 as never), "ERR_INVALID_ARG_TYPE"],
    ["a family that is none", (list) => list.addAddress("1.2.3.4", "ipv5" as never), "ERR_INVALID_ARG_VALUE"],
    ["a range that ends before it begins", (list) => list.addRange("10.0.0.2", "10.0.0.1"), "ERR_INVALID_ARG_VALUE"],
    ["a prefix beyond 32", (list) => list.addSubnet("10.0.0.0", 33), "ERR_OUT_OF_RANGE"],
    ["a negative prefix", (list) => list.addSubnet("10.0.0.0", -1), "ERR_OUT_OF_RANGE"],
    ["a prefix beyond 128", (list) => list.addSubnet("fd00::", 129, "ipv6"), "ERR_OUT_OF_RANGE"],
    ["a prefix that is text", (list) => list.addSubnet("10.0.0.0", "8" as never), "ERR_INVALID_ARG_TYPE"],
  ];
  it.each(wrongRules)("%s throws", (_what, add, code) => {
    const list = new net.BlockList();
    expect(() => add(list)).toThrow(expect.objectContaining({ code }));
    expect(list.rules).toEqual([]);
  });

  it("SocketAddress has defaults for each family", () => {
    const four = new net.SocketAddress({});
    const six = new net.SocketAddress({ family: "ipv6" });
    expect([four.address, four.port, four.family, four.flowlabel]).toEqual(["127.0.0.1", 0, "ipv4", 0]);
    expect([six.address, six.port, six.family, six.flowlabel]).toEqual(["::", 0, "ipv6", 0]);
  });

  it("SocketAddress keeps all that it was given", () => {
    const six = new net.SocketAddress({ address: "fe80::1", port: 8080, family: "ipv6", flowlabel: 7 });
    expect([six.address, six.port, six.family, six.flowlabel]).toEqual(["fe80::1", 8080, "ipv6", 7]);
  });

  const wrongAddresses: [string, object, string][] = [
    ["a port beyond 65535", { port: 65_536 }, "ERR_SOCKET_BAD_PORT"],
    ["a family that is none", { family: "ipv5" }, "ERR_INVALID_ARG_VALUE"],
    ["an address that is none", { address: "1.2.3" }, "ERR_INVALID_ADDRESS"],
    ["an address of the other family", { address: "::1", family: "ipv4" }, "ERR_INVALID_ADDRESS"],
    ["an address that is no text", { address: 5 }, "ERR_INVALID_ARG_TYPE"],
    ["a flow label that is negative", { family: "ipv6", flowlabel: -1 }, "ERR_OUT_OF_RANGE"],
  ];
  it.each(wrongAddresses)("SocketAddress of %s throws", (_what, options, code) => {
    expect(() => new net.SocketAddress(options as never)).toThrow(expect.objectContaining({ code }));
  });

  it("an attempt timeout below 10 ms is 10 ms", () => {
    const before = net.getDefaultAutoSelectFamilyAttemptTimeout();
    try {
      net.setDefaultAutoSelectFamilyAttemptTimeout(3);
      expect(net.getDefaultAutoSelectFamilyAttemptTimeout()).toBe(10);
    } finally {
      net.setDefaultAutoSelectFamilyAttemptTimeout(before);
    }
  });

  it("defaults of wrong types throw, and stay as they were", () => {
    const before = [net.getDefaultAutoSelectFamily(), net.getDefaultAutoSelectFamilyAttemptTimeout()];
    const type = expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" });
    expect(() => net.setDefaultAutoSelectFamily("yes" as never)).toThrow(type);
    expect(() => net.setDefaultAutoSelectFamilyAttemptTimeout("5" as never)).toThrow(type);
    expect(() => net.setDefaultAutoSelectFamilyAttemptTimeout(0)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
    expect([net.getDefaultAutoSelectFamily(), net.getDefaultAutoSelectFamilyAttemptTimeout()]).toEqual(before);
  });

  // `blockList` of sockets and servers came with `BlockList.isBlockList`.
  const hasBlockLists = "isBlockList" in net.BlockList;

  it("isBlockList, where Node has it, knows one", () => {
    const { isBlockList } = net.BlockList as unknown as { isBlockList?: (value: unknown) => boolean };
    if (isBlockList === undefined) return expect(hasBlockLists).toBe(false);
    expect([isBlockList(new net.BlockList()), isBlockList({}), isBlockList(undefined)]).toEqual([true, false, false]);
  });

  it("SocketAddress.parse, where Node has it, reads an address and a port", () => {
    const { parse } = net.SocketAddress as unknown as {
      parse?: (text: string) => { address: string; port: number; family: string } | undefined;
    };
    if (parse === undefined) return expect(hasBlockLists).toBe(false);
    const known = parse("123.1.2.3:1234");
    expect([known?.address, known?.port, known?.family, parse("no address")]).toEqual(["123.1.2.3", 1234, "ipv4", undefined]);
  });

  it("blockList of connect, where Node has it, refuses the address", async () => {
    const { port } = await listening(world);
    const blockList = new net.BlockList();
    blockList.addAddress(host);
    const near = client(world, { port, host, blockList } as never);
    const told = await Promise.race([
      errorOf(near).then(({ code }) => code),
      once(near, "connect").then(() => "connected"),
    ]).catch((error: NodeJS.ErrnoException) => error.code);
    expect(told).toBe(hasBlockLists ? "ERR_IP_BLOCKED" : "connected");
  });

  it("blockList of connect lets other addresses through", async () => {
    const { port } = await listening(world);
    const blockList = new net.BlockList();
    blockList.addAddress("192.0.2.1");
    const near = client(world, { port, host, blockList } as never);
    await once(near, "connect");
    expect(near.remotePort).toBe(port);
  });

  it("blockList of a server, where Node has it, drops the connections of those addresses", async () => {
    const blockList = new world.server.BlockList();
    blockList.addAddress("127.0.0.9");
    const { server, port } = await listening(world, { blockList } as object);
    const taken: (string | undefined)[] = [];
    server.on("connection", (far) => taken.push(far.remoteAddress));
    const blocked = client(world, { port, host, localAddress: "127.0.0.9" });
    blocked.on("error", () => undefined).resume();
    const closed = new Promise((resolve) => blocked.once("close", resolve));
    if (!hasBlockLists) {
      await once(server, "connection");
      expect(taken).toEqual(["127.0.0.9"]);
      return;
    }
    await closed;
    const welcome = once(server, "connection") as Promise<[Socket]>;
    client(world, { port, host });
    await welcome;
    expect(taken).toEqual([host]);
  });
}
