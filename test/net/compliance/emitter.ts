/** Sockets and servers as event emitters. */
import events, { errorMonitor, getEventListeners, on, once } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, listening, type World } from "./harness.js";
import { turns } from "./turns.js";

export default function emitter(world: World): void {
  const { host } = world;

  /** Runs `make` while rejections of async listeners are captured, as `events.captureRejections` says. */
  function capturing<T>(make: () => T): T {
    events.captureRejections = true;
    try {
      return make();
    } finally {
      events.captureRejections = false;
    }
  }

  it("captureRejections: an async listener of connection that rejects destroys that socket with the reason", async () => {
    const server = capturing(() => disposable(world.server.createServer()));
    const reason = new Error("the listener's");
    const failed = new Promise((resolve) => {
      server.on("connection", async (far) => {
        far.on("error", resolve);
        await turns(1);
        throw reason;
      });
    });
    server.listen(0, host);
    await once(server, "listening");
    const near = client(world, { port: (server.address() as import("node:net").AddressInfo).port, host });
    near.on("error", () => undefined).resume();
    const closed = new Promise((resolve) => near.once("close", resolve));
    expect(await failed).toBe(reason);
    await closed;
    expect(server.listening).toBe(true);
  });

  it("captureRejections: an async listener of listening that rejects is the server's error", async () => {
    const server = capturing(() => disposable(world.server.createServer()));
    const reason = new Error("the listener's");
    const failed = errorOf(server);
    server.on("listening", async () => {
      throw reason;
    });
    server.listen(0, host);
    expect(await failed).toBe(reason);
  });

  it("captureRejections: an async listener of data that rejects destroys the socket with the reason", async () => {
    const { port } = await listening(world, {}, (far) => far.write("x"));
    const near = capturing(() => client(world, { port, host }));
    const reason = new Error("the listener's");
    const failed = errorOf(near);
    near.on("data", async () => {
      throw reason;
    });
    expect(await failed).toBe(reason);
    expect(near.destroyed).toBe(true);
  });

  it("without data listeners what flows is lost, and the end still comes", async () => {
    const { near, far } = await connected(world);
    const heard: string[] = [];
    const listener = (chunk: Buffer): void => void heard.push(String(chunk));
    near.on("data", listener);
    far.write("heard");
    await once(near, "data");
    near.off("data", listener);
    expect(near.readableFlowing).toBe(true);
    far.end("not heard");
    await once(near, "end");
    expect(heard).toEqual(["heard"]);
  });

  it("removeAllListeners takes those of one event, and the socket goes on", async () => {
    const { near, far } = await connected(world);
    let heard = 0;
    let ended = 0;
    near.on("data", () => heard++);
    near.on("end", () => ended++);
    near.removeAllListeners("data");
    expect([near.listenerCount("data"), near.listenerCount("end") > 0]).toEqual([0, true]);
    near.resume();
    far.end("unheard");
    await once(near, "end");
    expect([heard, ended]).toEqual([0, 1]);
  });

  it("a listener of data removed while data is told hears no more", async () => {
    const { near, far } = await connected(world);
    const heard: string[] = [];
    near.once("data", (chunk: Buffer) => heard.push(String(chunk)));
    far.write("first");
    await once(near, "data");
    far.end("second");
    near.resume();
    await once(near, "end");
    expect(heard).toEqual(["first"]);
  });

  it("listeners are called in their order, prepended ones first", async () => {
    const { near, far } = await connected(world);
    const order: number[] = [];
    near.on("data", () => order.push(2));
    near.on("data", () => order.push(3));
    near.prependListener("data", () => order.push(1));
    near.prependOnceListener("data", () => order.push(0));
    far.write("x");
    await once(near, "data");
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it("every listener of data gets the same chunk", async () => {
    const { near, far } = await connected(world);
    const chunks: Buffer[] = [];
    near.on("data", (chunk: Buffer) => chunks.push(chunk));
    near.on("data", (chunk: Buffer) => chunks.push(chunk));
    far.write("x");
    await once(near, "data");
    expect(chunks.length).toBe(2);
    expect(chunks[0]).toBe(chunks[1]);
  });

  it("errorMonitor sees an error before its listeners do, and does not handle it", async () => {
    const { near, far } = await connected(world);
    const order: string[] = [];
    near.on("error", () => order.push("error"));
    near.on(errorMonitor as unknown as string, () => order.push("monitor"));
    near.resume();
    const closed = new Promise((resolve) => near.once("close", resolve));
    far.resetAndDestroy();
    await closed;
    expect(order).toEqual(["monitor", "error"]);
  });

  it("once rejects with the error of a socket that fails first", async () => {
    const { server, port } = await listening(world);
    server.close();
    await once(server, "close");
    await expect(once(client(world, { port, host }), "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("once with a signal gives up, and the socket lives on", async () => {
    const { near, far } = await connected(world);
    const gone = new AbortController();
    const waits = once(near, "data", { signal: gone.signal });
    gone.abort();
    await expect(waits).rejects.toMatchObject({ name: "AbortError" });
    far.write("x");
    expect(String((await once(near, "data"))[0])).toBe("x");
  });

  it("on with close as its end iterates over every chunk", async () => {
    const { near, far } = await connected(world);
    const heard: string[] = [];
    const chunks = on(near, "data", { close: ["end"] } as object);
    far.end("to the end");
    for await (const [chunk] of chunks as AsyncIterable<[Buffer]>) heard.push(String(chunk));
    expect(heard.join("")).toBe("to the end");
  });

  it("on throws the error of a socket that is reset", async () => {
    const { near, far } = await connected(world);
    const iteration = (async () => {
      for await (const _chunk of on(near, "data"));
    })();
    far.resetAndDestroy();
    await expect(iteration).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("newListener is told before the listener is there", async () => {
    const { near } = await connected(world);
    const told: unknown[] = [];
    near.once("newListener", (name: string) => told.push(name, near.listenerCount("timeout")));
    near.on("timeout", () => undefined);
    expect([...told, near.listenerCount("timeout")]).toEqual(["timeout", 0, 1]);
  });

  it("the callback of connect is a listener of connect that is called once", async () => {
    const { port } = await listening(world);
    const listener = (): void => undefined;
    const socket = disposable(new world.client.Socket());
    socket.connect({ port, host }, listener);
    expect(getEventListeners(socket, "connect").length).toBe(1);
    expect(socket.listeners("connect")).toEqual([listener]);
    await once(socket, "ready");
    expect(socket.listenerCount("connect")).toBe(0);
  });

  it("the callback of createServer is a listener of connection", () => {
    const listener = (): void => undefined;
    const server = world.server.createServer(listener);
    expect(server.listeners("connection")).toEqual([listener]);
  });

  it("a symbol may be an event of one's own", async () => {
    const { near } = await connected(world);
    const mine = Symbol("mine");
    const told = once(near, mine);
    expect(near.emit(mine, 5)).toBe(true);
    expect(await told).toEqual([5]);
  });

  it("an event without a listener is told to nobody", async () => {
    const { near } = await connected(world);
    expect([near.emit("nobody"), near.eventNames().includes("nobody")]).toEqual([false, false]);
  });

  it("an error without a listener is thrown by emit", () => {
    const socket = disposable(new world.client.Socket());
    const reason = new Error("unheard");
    expect(() => socket.emit("error", reason)).toThrow(reason);
  });

  it("close is told once, whoever ends first", async () => {
    const { near, far } = await connected(world);
    let closes = 0;
    for (const socket of [near, far]) {
      socket.on("close", () => closes++);
      socket.resume();
    }
    const both = Promise.all([once(near, "close"), once(far, "close")]);
    near.end();
    await both;
    near.destroy();
    far.destroy();
    await turns(5);
    expect(closes).toBe(2);
  });

  it("a listener added by a listener hears the next event, not this one", async () => {
    const { near, far } = await connected(world);
    const heard: string[] = [];
    near.once("data", () => near.on("data", (chunk: Buffer) => heard.push(String(chunk))));
    far.write("one");
    await once(near, "data");
    expect(heard).toEqual([]);
    far.write("two");
    await once(near, "data");
    expect(heard).toEqual(["two"]);
  });

  it("20 listeners of each kind leave with removeAllListeners", async () => {
    const { near } = await connected(world);
    near.setMaxListeners(0);
    const before = near.listenerCount("end");
    for (let i = 0; i < 20; i++) for (const name of ["data", "drain", "timeout"]) near.on(name, () => undefined);
    expect([near.listenerCount("data"), near.listenerCount("drain"), near.listenerCount("end")]).toEqual([20, 20, before]);
    near.removeAllListeners();
    expect(near.eventNames()).toEqual([]);
  });

  it("a server tells its events with the server as this", async () => {
    const server = disposable(world.server.createServer());
    const selves: unknown[] = [];
    for (const name of ["listening", "close"]) {
      server.on(name, function (this: unknown) {
        selves.push(this);
      });
    }
    server.listen(0, host);
    await once(server, "listening");
    server.close();
    await once(server, "close");
    expect(selves).toEqual([server, server]);
  });

  it("a socket tells its events with the socket as this", async () => {
    const { port } = await listening(world, {}, (far: Socket) => far.end("x"));
    const near = client(world, { port, host });
    const selves = new Set<unknown>();
    for (const name of ["connect", "ready", "data", "end", "close"]) {
      near.on(name, function (this: unknown) {
        selves.add(this);
      });
    }
    await once(near, "close");
    expect([...selves]).toEqual([near]);
  });
}
