/** The names of both ends. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, listening, type World } from "./harness.js";

export default function addresses(world: World): void {
  const { host } = world;

  it("both ends agree", async () => {
    const { near, far, port } = await connected(world);
    expect([near.remoteAddress, near.remotePort, near.remoteFamily]).toEqual([host, port, "IPv4"]);
    expect([near.localAddress, near.localPort, near.localFamily]).toEqual([far.remoteAddress, far.remotePort, far.remoteFamily]);
    expect([far.localAddress, far.localPort, far.localFamily]).toEqual([host, port, "IPv4"]);
  });

  it("address() is the local end", async () => {
    const { near } = await connected(world);
    expect(near.address()).toEqual({ address: near.localAddress, family: "IPv4", port: near.localPort });
  });

  it("a new socket has none", () => {
    const socket = disposable(new world.client.Socket());
    expect([socket.remoteAddress, socket.remotePort, socket.remoteFamily, socket.address()]).toEqual([
      undefined,
      undefined,
      undefined,
      {},
    ]);
  });

  it("none while connecting", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    expect([socket.remoteAddress, socket.remotePort]).toEqual([undefined, undefined]);
    await once(socket, "connect");
    expect([socket.remoteAddress, socket.remotePort]).toEqual([host, port]);
  });

  it("those of the peer, once asked for, are known after its end", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true });
    const known = near.remotePort;
    near.resume();
    far.end();
    await once(near, "end");
    expect([near.remoteAddress, near.remotePort]).toEqual([host, known]);
  });

  it("each connection has a local port of its own", async () => {
    const { port, near } = await connected(world);
    const others = Array.from({ length: 20 }, () => client(world, { port, host }));
    await Promise.all(others.map((socket) => once(socket, "connect")));
    expect(new Set([near.localPort, ...others.map((socket) => socket.localPort)]).size).toBe(21);
  });

  it("a server at all addresses shows that of each connection", async () => {
    const server = disposable(world.server.createServer());
    server.listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port, address, family } = server.address() as AddressInfo;
    expect([address, family]).toEqual(["0.0.0.0", "IPv4"]);
    const accepted = once(server, "connection") as Promise<[import("node:net").Socket]>;
    client(world, { port, host: "127.0.0.5" });
    const [far] = await accepted;
    expect([far.localAddress, far.localPort]).toEqual(["127.0.0.5", port]);
    far.destroy();
  });

  it("a connection to 0.0.0.0 reaches this host", async () => {
    const server = disposable(world.server.createServer((far) => far.destroy()));
    server.listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const near = client(world, { port, host: "0.0.0.0" });
    near.on("error", () => undefined).resume();
    await once(near, "connect");
  });
}
