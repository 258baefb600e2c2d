/** What kind of thing a socket is. */
import { EventEmitter, once } from "node:events";
import type { Server, Socket } from "node:net";
import { Duplex, Readable, Stream } from "node:stream";
import { inherits } from "node:util";
import { expect, it } from "vitest";
import { connected, disposable, listening, type World } from "./harness.js";

export default function instances(world: World): void {
  const { client: net, host } = world;

  it("a socket is a Duplex", async () => {
    const { near } = await connected(world);
    for (const type of [net.Socket, Duplex, Readable, Stream, EventEmitter]) expect(near).toBeInstanceOf(type);
  });

  it("a server's socket is the module's Socket", async () => {
    const { far } = await connected(world);
    expect(far).toBeInstanceOf(world.server.Socket);
  });

  it("a server's socket knows its server", async () => {
    const { far, server } = await connected(world);
    expect((far as unknown as { server: Server }).server).toBe(server);
  });

  it("Stream is another name of Socket", () => {
    expect((net as unknown as { Stream: unknown }).Stream).toBe(net.Socket);
  });

  it("createConnection is another name of connect", () => {
    expect(net.createConnection).toBe(net.connect);
  });

  it("Socket without new makes one", () => {
    const socket = disposable((net.Socket as unknown as () => Socket)());
    expect(socket).toBeInstanceOf(net.Socket);
  });

  it("createServer and Server, with and without new", () => {
    const make = world.server.Server as unknown as { new (): Server; (): Server };
    for (const server of [world.server.createServer(), new make(), make()]) {
      expect(server).toBeInstanceOf(world.server.Server);
      expect(server).toBeInstanceOf(EventEmitter);
    }
  });

  it("a function may inherit from Socket by call", async () => {
    const { port } = await listening(world);
    function Mine(this: Socket & { mine: boolean }): void {
      (net.Socket as unknown as (this: Socket) => void).call(this);
      this.mine = true;
    }
    inherits(Mine, net.Socket);
    const socket = disposable(new (Mine as unknown as new () => Socket & { mine: boolean })());
    socket.connect(port, host);
    await once(socket, "connect");
    expect([socket.mine, socket instanceof net.Socket]).toEqual([true, true]);
  });

  it("a class may extend Socket", async () => {
    const { port } = await listening(world);
    class Mine extends net.Socket {
      readonly told: string[] = [];
      override emit(event: string | symbol, ...args: unknown[]): boolean {
        this.told?.push(String(event));
        return super.emit(event as "data", ...(args as [Buffer]));
      }
    }
    const socket = disposable(new Mine());
    socket.connect(port, host);
    await once(socket, "ready");
    expect(socket.told).toContain("connect");
  });

  it("a function may inherit from Server by call", async () => {
    const { Server } = world.server;
    function Mine(this: Server): void {
      (Server as unknown as (this: Server, listener: () => void) => void).call(this, () => undefined);
    }
    inherits(Mine, Server);
    const server = disposable(new (Mine as unknown as new () => Server)());
    server.listen(0, host);
    await once(server, "listening");
    expect(server.listenerCount("connection")).toBe(1);
  });

  it("high-water marks are those of streams", async () => {
    const { near } = await connected(world, { readableHighWaterMark: 99, writableHighWaterMark: 77 } as object);
    expect([near.readableHighWaterMark, near.writableHighWaterMark]).toEqual([99, 77]);
  });

  it("emits no event that was not asked of it after all has closed", async () => {
    const { near, far } = await connected(world);
    far.resume();
    near.resume();
    near.end();
    await once(near, "close");
    let told = 0;
    for (const event of ["data", "end", "error", "timeout", "close"]) near.on(event, () => told++);
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toBe(0);
  });

  it("a listener that throws does not harm the other sockets", async () => {
    const { near, far } = await connected(world);
    const other = await connected(world);
    const caught = new Promise<unknown>((resolve) => {
      const listeners = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of listeners) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    const failure = new Error("thrown by a listener");
    near.on("data", () => {
      throw failure;
    });
    far.write("x");
    other.far.write("y");
    expect(String((await once(other.near, "data"))[0])).toBe("y");
    expect(await caught).toBe(failure);
  });

  it("Symbol.asyncDispose destroys a socket", async () => {
    const { near } = await connected(world);
    const dispose = (near as unknown as Record<symbol, (() => Promise<void>) | undefined>)[asyncDispose()];
    near.on("error", () => undefined);
    await dispose?.call(near);
    expect(near.destroyed).toBe(true);
  });

  it("Symbol.asyncDispose closes a server", async () => {
    const { server } = await listening(world);
    const dispose = (server as unknown as Record<symbol, (() => Promise<void>) | undefined>)[asyncDispose()];
    await dispose?.call(server);
    expect(server.listening).toBe(false);
  });
}

/** TypeScript's library does not have it yet. */
function asyncDispose(): symbol {
  return (Symbol as unknown as { asyncDispose?: symbol }).asyncDispose ?? Symbol("none");
}
