/** `sendReceive` against the live kernel, in a namespace of the test's own. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { oneOf, product, range } from "../../src/craft/product.js";
import type { PacketSpec } from "../../src/craft/spec.js";
import { type Exchange, Prober, type SendReceiveOptions, sendReceive } from "../../src/driver/send-receive.js";
import { describePacket } from "../../src/wire/print.js";
import { ACK } from "../../src/wire/tcp-flags.js";
import { enterPrivateNamespace, run } from "../kernel/support.js";

let server: Server;
const LOCAL = { target: "127.0.0.1", timeoutMs: 300 };

beforeAll(async () => {
  enterPrivateNamespace();
  server = createServer((socket) => socket.destroy()).listen(80, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => server.close());

async function all(specs: Iterable<PacketSpec>, options: SendReceiveOptions = LOCAL): Promise<Exchange[]> {
  const exchanges: Exchange[] = [];
  for await (const exchange of sendReceive(specs, options)) exchanges.push(exchange);
  return exchanges.sort((a, b) => a.index - b.index);
}
const told = ({ answer, problem }: Exchange): string =>
  answer === undefined ? problem : (/Flags \[[^\]]*\]|ICMP.* reply/.exec(describePacket(answer, 0, answer.length))?.[0] ?? "");

describe("each packet has its own answer", () => {
  it("a product of ranges: every port once, open ones and closed ones", async () => {
    const exchanges = await all(product({ tcp: { destinationPort: range(79, 81) } }), { ...LOCAL, kind: "tcp" });
    expect(exchanges.map(told)).toEqual(["Flags [R.]", "Flags [S.]", "Flags [R.]"]);
    expect(exchanges.every(({ rttUs, strength }) => rttUs >= 0 && strength === "exact")).toBe(true);
  });

  it("repeated SYNs to one port come from ports of their own, and leave nothing half-open", async () => {
    const exchanges = await all(product({ ip: { family: 4, ttl: range(1, 20) }, tcp: { destinationPort: 80 } }));
    expect(new Set(exchanges.map(({ spec }) => spec.tcp?.sourcePort)).size).toBe(20);
    expect(exchanges.map(told)).toEqual(Array(20).fill("Flags [S.]"));
    expect(run("ss", "-Htan", "state", "syn-recv")).toBe("");
  });

  it("ICMP beside TCP, and both families", async () => {
    const specs = [{ icmp: { identifier: 5 } }, { tcp: { flags: ACK, destinationPort: 80 } }];
    expect((await all(specs)).map(told)).toEqual(["ICMP echo reply", "Flags [R]"]);
    expect((await all([{ tcp: { destinationPort: 81 } }], { ...LOCAL, target: "::1" })).map(told)).toEqual(["Flags [R.]"]);
  });
});

describe("without an answer", () => {
  it("a wrong checksum: given back when the time is up, after its retries", async () => {
    const specs: PacketSpec[] = [{ tcp: { destinationPort: 80, checksum: "bad" } }];
    const [exchange] = await all(specs, { ...LOCAL, timeoutMs: 50, retries: 2 });
    expect(exchange).toMatchObject({ answer: undefined, attempts: 3, problem: "", rttUs: -1 });
  });

  it("a wrong IP checksum goes as a frame, without being asked for", async () => {
    const [exchange] = await all([{ ip: { family: 4, checksum: "bad" }, tcp: {} }], { ...LOCAL, timeoutMs: 50 });
    expect([exchange?.problem, exchange?.answer]).toEqual(["", undefined]);
  });

  it("a packet that comes to need a frame later is not sent, and says why", async () => {
    const specs = product({ ip: { family: 4, checksum: oneOf<number | "bad">("bad") }, tcp: {} });
    const [, second] = await all([{ tcp: { destinationPort: 81 } }, ...specs], { ...LOCAL, kind: "tcp" });
    expect(second?.problem).toBe("it needs the link layer: say frames: true");
  });

  it("an abort gives up what waits", async () => {
    const abort = new AbortController();
    const specs = product({ tcp: { destinationPort: range(1, 60_000) } });
    let seen = 0;
    for await (const _ of sendReceive(specs, { ...LOCAL, kind: "tcp", signal: abort.signal })) if (++seen === 10) abort.abort();
    expect(seen).toBeLessThan(1000);
  });
});

describe("what is refused", () => {
  it("a target beyond this host", async () => {
    run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0");
    run("ip", "addr", "add", "192.0.2.2/24", "dev", "near0");
    run("ip", "link", "set", "far0", "up");
    run("ip", "link", "set", "near0", "up");
    run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1");
    const target = "198.51.100.1";
    await expect(all([{ tcp: {} }], { ...LOCAL, target })).rejects.toThrow(`${target} is not an address of this host`);
  });

  it("a source port that somebody has", async () => {
    await expect(all([{ tcp: {} }], { ...LOCAL, sourcePort: 80 })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  it("a port that no field can hold", async () => {
    await expect(all([{ tcp: { destinationPort: 70_000 } }])).rejects.toThrow("tcp destinationPort: 70000 is not a whole number");
  });

  it("anything from a closed prober", async () => {
    const prober = await Prober.open({ ...LOCAL, kind: "tcp", onDone: () => undefined });
    prober.close();
    prober.close();
    expect(() => prober.send({ tcp: { sourcePort: 5_000 } })).toThrow("the port guard is closed");
  });
});
