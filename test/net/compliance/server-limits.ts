/** How many connections a server takes. */
import { once } from "node:events";
import type { Server, Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, listening, type World } from "./harness.js";

const count = (server: Server): Promise<number> =>
  new Promise((resolve, reject) => server.getConnections((error, number) => (error ? reject(error) : resolve(number))));

export default function serverLimits(world: World): void {
  const { host } = world;

  it("getConnections counts", async () => {
    const { server, port, near, far } = await connected(world);
    expect(await count(server)).toBe(1);
    const second = once(server, "connection");
    client(world, { port, host });
    await second;
    expect(await count(server)).toBe(2);
    far.resume();
    near.destroy();
    await once(far, "close");
    expect(await count(server)).toBe(1);
  });

  it("getConnections of a new server", async () => {
    expect(await count(world.server.createServer())).toBe(0);
  });

  it("getConnections returns the server", async () => {
    const { server } = await listening(world);
    expect(server.getConnections(() => undefined)).toBe(server);
  });

  it("maxConnections: those beyond are dropped, and told of", async () => {
    const { server, port } = await listening(world);
    server.maxConnections = 1;
    const first = once(server, "connection");
    client(world, { port, host });
    await first;
    let accepted = 0;
    server.on("connection", () => accepted++);
    const dropped = once(server, "drop") as Promise<[Record<string, unknown>]>;
    const second = client(world, { port, host });
    second.on("error", () => undefined);
    second.resume();
    const closed = new Promise((resolve) => second.once("close", resolve));
    const [about] = await dropped;
    await closed;
    expect(accepted).toBe(0);
    expect(about).toMatchObject({ localAddress: host, localPort: port, localFamily: "IPv4", remoteAddress: host });
    expect(Object.keys(about).sort()).toEqual([
      "localAddress",
      "localFamily",
      "localPort",
      "remoteAddress",
      "remoteFamily",
      "remotePort",
    ]);
  });

  it("maxConnections: room again once one has closed", async () => {
    const { server, port } = await listening(world);
    server.maxConnections = 1;
    const first = once(server, "connection") as Promise<[Socket]>;
    client(world, { port, host }).resume();
    const [far] = await first;
    far.destroy();
    await once(far, "close");
    const second = once(server, "connection");
    client(world, { port, host });
    await second;
    expect(await count(server)).toBe(1);
  });

  it("backlog 1 still takes many, one after another", async () => {
    const server = world.server.createServer((far) => far.end("x"));
    server.listen({ port: 0, host, backlog: 1 });
    await once(server, "listening");
    const { port } = server.address() as import("node:net").AddressInfo;
    for (let i = 0; i < 10; i++) {
      const near = client(world, { port, host });
      near.resume();
      await once(near, "close");
    }
    server.close();
    await once(server, "close");
  });
}
