/** The compliance suite over the real lo by IPv6: what does not depend on the address has to hold at ::1 as well. */
import { once } from "node:events";
import * as net from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, describe, expect, it } from "vitest";
import { createNet, liveStack } from "../../../src/net/index.js";
import { behaviours } from "./behaviours.js";
import { disposable, type Net, runCompliance } from "./harness.js";

const stack = liveStack();
const ours = createNet(stack) as unknown as Net;
afterAll(() => stack.close());

/** Those in which the family might make a difference and whose cases name no IPv4 address. */
const CHOSEN = [
  "accept",
  "back-pressure",
  "byte-counts",
  "destroy",
  "end",
  "half-open",
  "large-writes",
  "many",
  "pause-resume",
  "reset",
];
const chosen = Object.entries(behaviours).filter(([name]) => [...CHOSEN, "server-close", "tls-exchange"].includes(name));

runCompliance(
  [
    { name: "ours to the kernel", client: ours, server: net, host: "::1" },
    { name: "the kernel to ours", client: net, server: ours, host: "::1" },
    { name: "ours to ours", client: ours, server: ours, host: "::1" },
  ],
  Object.fromEntries(chosen),
);

describe("both families at one port", () => {
  it("a server without an address takes clients of the kernel's by IPv6 and by IPv4", async () => {
    const seen: string[] = [];
    const server = disposable(ours.createServer((far) => far.end(`${far.remoteFamily} ${far.remoteAddress}`)));
    server.on("connection", ({ localAddress = "" }) => seen.push(localAddress));
    server.listen(0);
    await once(server, "listening");
    const { address, port } = server.address() as net.AddressInfo;
    expect(address).toBe("::");
    expect(await text(net.connect(port, "::1"))).toBe("IPv6 ::1");
    expect(await text(net.connect(port, "127.0.0.1"))).toBe("IPv6 ::ffff:127.0.0.1");
    expect(seen).toEqual(["::1", "::ffff:127.0.0.1"]);
  });
});
