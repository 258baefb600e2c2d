/** How a server ends. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, eventsUntil, listening, type World } from "./harness.js";

export default function serverClose(world: World): void {
  it("close without connections", async () => {
    const { server } = await listening(world);
    expect(server.close()).toBe(server);
    expect(server.listening).toBe(false);
    await once(server, "close");
  });

  it("the callback is called without an error", async () => {
    const { server } = await listening(world);
    expect(await new Promise((resolve) => server.close(resolve))).toBe(undefined);
  });

  it("of a server that does not listen: the callback gets an error", async () => {
    const server = disposable(world.server.createServer());
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => server.close(resolve));
    expect(error?.code).toBe("ERR_SERVER_NOT_RUNNING");
  });

  it("waits for the connections", async () => {
    const { server, near, far } = await connected(world);
    let isClosed = false;
    server.close(() => (isClosed = true));
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    far.resume();
    near.resume();
    near.end();
    await once(server, "close");
    expect(isClosed).toBe(true);
  });

  it("connections live on", async () => {
    const { server, near, far } = await connected(world);
    server.close();
    far.pipe(far);
    near.write("still here");
    expect(String((await once(near, "data"))[0])).toBe("still here");
  });

  it("nobody can connect any more", async () => {
    const { server, port } = await listening(world);
    server.close();
    await once(server, "close");
    expect((await errorOf(client(world, { port, host: world.host }))).code).toBe("ECONNREFUSED");
  });

  it("tells close once, and no error", async () => {
    const { server } = await listening(world);
    const told = eventsUntil(server, ["error", "close"], "close");
    server.close();
    expect(await told).toEqual(["close"]);
  });

  it("within the listener of connection", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => {
      far.end("only one");
      server.close();
    });
    const near = client(world, { port, host: world.host });
    near.resume();
    await Promise.all([once(server, "close"), once(near, "close")]);
  });

  it("ref and unref return the server, at any time", async () => {
    const server = disposable(world.server.createServer());
    expect([server.unref(), server.ref()]).toEqual([server, server]);
    server.listen(0, world.host);
    await once(server, "listening");
    expect([server.unref(), server.ref()]).toEqual([server, server]);
  });

  it("an unreferenced server accepts", async () => {
    const { server, port } = await listening(world);
    server.unref();
    const accepted = once(server, "connection");
    client(world, { port, host: world.host });
    await accepted;
  });
}
