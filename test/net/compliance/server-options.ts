/** Options of createServer. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, type World } from "./harness.js";

export default function serverOptions(world: World): void {
  const { host } = world;

  it("a listener alone", async () => {
    const accepted = new Promise<Socket>((resolve) => {
      const server = disposable(world.server.createServer(resolve));
      server.listen(0, host, () => {
        client(world, { port: (server.address() as import("node:net").AddressInfo).port, host });
      });
    });
    disposable(await accepted);
  });

  it("options and a listener", async () => {
    const accepted = new Promise<Socket>((resolve) => {
      const server = disposable(world.server.createServer({ allowHalfOpen: true }, resolve));
      server.listen(0, host, () => {
        client(world, { port: (server.address() as import("node:net").AddressInfo).port, host });
      });
    });
    expect(disposable(await accepted).allowHalfOpen).toBe(true);
  });

  it("allowHalfOpen is that of its sockets", async () => {
    const { far, server } = await connected(world, {}, { allowHalfOpen: true });
    expect([far.allowHalfOpen, (server as unknown as { allowHalfOpen: boolean }).allowHalfOpen]).toEqual([true, true]);
  });

  it("highWaterMark, where Node has it, is that of its sockets", async () => {
    const { far } = await connected(world, {}, { highWaterMark: 1234 } as object);
    expect([far.readableHighWaterMark, far.writableHighWaterMark]).toEqual([1234, 1234]);
  });

  it("maxConnections is undefined at first", () => {
    expect(world.server.createServer().maxConnections).toBe(undefined);
  });

  it("a connection that the server's listener destroys does not end the server", async () => {
    const { server, port } = await connected(world);
    server.on("connection", (far) => far.destroy());
    const near = client(world, { port, host });
    near.on("error", () => undefined).resume();
    await new Promise((resolve) => near.once("close", resolve));
    expect(server.listening).toBe(true);
    const again = once(server, "connection");
    client(world, { port, host }).on("error", () => undefined);
    await again;
  });
}
