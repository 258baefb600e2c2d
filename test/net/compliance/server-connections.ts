/** What a server knows of its connections: how many, which were dropped, what they were given, when the last is gone. */
import { once } from "node:events";
import type { AddressInfo, DropArgument, Server, Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, listening, readAll, type World } from "./harness.js";
import { turns } from "./turns.js";

export default function serverConnections(world: World): void {
  const { host } = world;

  const count = (server: Server): Promise<number> =>
    new Promise((resolve, reject) => server.getConnections((error, number) => (error ? reject(error) : resolve(number))));

  const major = Number(process.versions.node.split(".")[0]);

  it("getConnections answers in a later turn", async () => {
    const { server } = await listening(world);
    let told = false;
    const answered = new Promise<void>((resolve) => {
      server.getConnections(() => {
        told = true;
        resolve();
      });
    });
    expect(told).toBe(false);
    await answered;
    expect(told).toBe(true);
  });

  it("getConnections in connection counts that one", async () => {
    const { server, port } = await listening(world);
    const counted = new Promise<number>((resolve, reject) => {
      server.once("connection", () => void count(server).then(resolve, reject));
    });
    client(world, { port, host });
    expect(await counted).toBe(1);
  });

  it("getConnections counts a half-open connection", async () => {
    const { server, near, far } = await connected(world, {}, { allowHalfOpen: true });
    near.end();
    far.resume();
    await once(far, "end");
    expect(await count(server)).toBe(1);
    near.resume();
    far.end();
    await once(far, "close");
    expect(await count(server)).toBe(0);
  });

  it("getConnections of a closed server whose connections live on", async () => {
    const { server, near, far } = await connected(world);
    server.close();
    expect(await count(server)).toBe(1);
    near.destroy();
    far.resume();
    await once(server, "close");
    expect(await count(server)).toBe(0);
  });

  it("getConnections counts 30 up and down", async () => {
    const { server, port } = await listening(world);
    const far: Socket[] = [];
    const all = new Promise<void>((resolve) => {
      server.on("connection", (socket) => {
        far.push(socket);
        if (far.length === 30) resolve();
      });
    });
    for (let i = 0; i < 30; i++) client(world, { port, host }).on("error", () => undefined);
    await all;
    expect(await count(server)).toBe(30);
    const gone = far.slice(0, 12).map((socket) => once(socket, "close"));
    for (const socket of far.slice(0, 12)) socket.destroy();
    await Promise.all(gone);
    expect(await count(server)).toBe(18);
  });

  it("drop names the connection that was dropped", async () => {
    const { server, port } = await listening(world);
    server.maxConnections = 1;
    const first = once(server, "connection");
    client(world, { port, host });
    await first;
    const dropped = once(server, "drop") as Promise<[DropArgument]>;
    const near = client(world, { port, host });
    near.on("error", () => undefined).resume();
    const localPort = new Promise((resolve) => near.once("connect", () => resolve(near.localPort)));
    const closed = new Promise((resolve) => near.once("close", resolve));
    const [about] = await dropped;
    expect(about).toEqual({
      localAddress: host,
      localPort: port,
      localFamily: "IPv4",
      remoteAddress: host,
      remotePort: await localPort,
      remoteFamily: "IPv4",
    });
    await closed;
  });

  it("drop is told for each that was dropped, and those within the limit stay", async () => {
    const { server, port } = await listening(world);
    server.maxConnections = 2;
    const events: string[] = [];
    server.on("connection", () => events.push("connection"));
    server.on("drop", () => events.push("drop"));
    const clients: Socket[] = [];
    for (let i = 0; i < 4; i++) {
      const told = i < 2 ? once(server, "connection") : once(server, "drop");
      const near = client(world, { port, host });
      near.on("error", () => undefined).resume();
      clients.push(near);
      await told;
    }
    expect(events).toEqual(["connection", "connection", "drop", "drop"]);
    expect([await count(server), clients[0]?.destroyed, clients[1]?.destroyed]).toEqual([2, false, false]);
  });

  it("maxConnections may be raised while the server listens", async () => {
    const { server, port } = await connected(world);
    server.maxConnections = 1;
    const dropped = once(server, "drop");
    client(world, { port, host })
      .on("error", () => undefined)
      .resume();
    await dropped;
    server.maxConnections = 2;
    const taken = once(server, "connection");
    client(world, { port, host });
    await taken;
    expect(await count(server)).toBe(2);
  });

  it("maxConnections below the present count lets the present ones live", async () => {
    const { server, port, near, far } = await connected(world);
    const second = once(server, "connection");
    client(world, { port, host });
    await second;
    server.maxConnections = 1;
    far.pipe(far);
    near.write("still");
    expect(String((await once(near, "data"))[0])).toBe("still");
    expect(await count(server)).toBe(2);
  });

  it(`maxConnections 0 ${major >= 21 ? "drops all" : "is no limit"}, as this Node documents`, async () => {
    const { server, port } = await listening(world);
    server.maxConnections = 0;
    const told = new Promise((resolve) => {
      server.once("drop", () => resolve("drop"));
      server.once("connection", () => resolve("connection"));
    });
    client(world, { port, host })
      .on("error", () => undefined)
      .resume();
    expect(await told).toBe(major >= 21 ? "drop" : "connection");
  });

  it("pauseOnConnect hands over a paused socket, whose data comes with resume", async () => {
    const { near, far } = await connected(world, {}, { pauseOnConnect: true });
    expect([far.isPaused(), far.readableFlowing]).toEqual([true, false]);
    let heard = "";
    far.on("data", (chunk: Buffer) => (heard += String(chunk)));
    await new Promise((resolve) => near.write("waits", resolve));
    await turns(20);
    expect(heard).toBe("");
    far.resume();
    await once(far, "data");
    expect([heard, far.isPaused()]).toEqual(["waits", false]);
  });

  it("pauseOnConnect: a paused socket can write", async () => {
    const { near, far } = await connected(world, {}, { pauseOnConnect: true });
    far.end("one way");
    near.end();
    expect(String(await readAll(near))).toBe("one way");
  });

  const given: [string, object][] = [
    ["noDelay", { noDelay: true }],
    ["keepAlive", { keepAlive: true }],
    ["keepAlive and its initial delay", { keepAlive: true, keepAliveInitialDelay: 5000 }],
    ["all of them", { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000, allowHalfOpen: true }],
  ];
  it.each(given)("data goes both ways with %s", async (_what, options) => {
    const { near, far } = await connected(world, {}, options);
    far.pipe(far);
    near.write("there and back");
    expect(String((await once(near, "data"))[0])).toBe("there and back");
  });

  it("keepAliveInitialDelay of a wrong type throws", () => {
    expect(() => world.server.createServer({ keepAliveInitialDelay: "x" } as never)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE", name: "TypeError" }),
    );
  });

  it("close is told after the close of every connection", async () => {
    const { server, near, far } = await connected(world);
    const order: string[] = [];
    far.on("close", () => order.push("socket"));
    server.on("close", () => order.push("server"));
    server.close(() => order.push("callback"));
    far.resume();
    near.resume();
    near.end();
    await once(server, "close");
    await turns(3);
    expect([...order].sort()).toEqual(["callback", "server", "socket"]);
    expect([far.destroyed, server.listening]).toEqual([true, false]);
    expect(order.indexOf("server")).toBeLessThan(order.indexOf("callback"));
  });

  it("close twice: the second callback gets ERR_SERVER_NOT_RUNNING", async () => {
    const { server } = await listening(world);
    const results = await Promise.all([
      new Promise((resolve) => server.close(resolve)),
      new Promise((resolve) => server.close(resolve)),
    ]);
    expect(results[0]).toBe(undefined);
    expect(results[1]).toMatchObject({ code: "ERR_SERVER_NOT_RUNNING", message: "Server is not running.", name: "Error" });
  });

  it("close at once after listen: no listening, but close", async () => {
    const server = disposable(world.server.createServer());
    const told: string[] = [];
    server.on("listening", () => told.push("listening"));
    server.on("close", () => told.push("close"));
    server.listen(0);
    server.close();
    await once(server, "close");
    await turns(3);
    expect(told).toEqual(["close"]);
  });

  it("close in the listener of listening", async () => {
    const server = disposable(world.server.createServer());
    server.listen(0, host, () => server.close());
    await once(server, "close");
    expect([server.listening, server.address()]).toEqual([false, null]);
  });

  it("listen in the listener of close", async () => {
    const { server } = await listening(world);
    server.once("close", () => server.listen(0, host));
    server.close();
    await once(server, "listening");
    const taken = once(server, "connection");
    client(world, { port: (server.address() as AddressInfo).port, host });
    await taken;
    expect(server.listening).toBe(true);
  });

  it("a connection of before listening anew is still the server's", async () => {
    const { server, near, far } = await connected(world);
    server.close();
    server.listen(0, host);
    await once(server, "listening");
    expect(await count(server)).toBe(1);
    far.pipe(far);
    near.write("old");
    expect(String((await once(near, "data"))[0])).toBe("old");
  });

  it("the listener given to listen is called once, though the server listens anew", async () => {
    const server = disposable(world.server.createServer());
    let called = 0;
    server.listen(0, host, () => called++);
    await once(server, "listening");
    server.close();
    await once(server, "close");
    server.listen(0, host);
    await once(server, "listening");
    expect(called).toBe(1);
  });
}
