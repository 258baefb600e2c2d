/** RST. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, listening, type World } from "./harness.js";

export default function reset(world: World): void {
  it("the peer's error is Node's to the letter", async () => {
    const { near, far } = await connected(world);
    far.resume();
    const failed = errorOf(far);
    near.resetAndDestroy();
    const error = await failed;
    expect([error.code, error.syscall, error.message]).toEqual(["ECONNRESET", "read", "read ECONNRESET"]);
    expect(Object.keys(error).sort()).toEqual(["code", "errno", "syscall"]);
  });

  it("by the server", async () => {
    const { near, far } = await connected(world);
    near.resume();
    const failed = errorOf(near);
    far.resetAndDestroy();
    expect((await failed).code).toBe("ECONNRESET");
  });

  it("whoever resets gets close without an error", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    far.resume();
    near.resetAndDestroy();
    expect(await new Promise((resolve) => near.once("close", resolve))).toBe(false);
  });

  it("the peer's close says that there was an error", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    far.resume();
    near.resetAndDestroy();
    expect(await new Promise((resolve) => far.once("close", resolve))).toBe(true);
  });

  it("returns the socket", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    expect(near.resetAndDestroy()).toBe(near);
    expect(near.destroyed).toBe(true);
  });

  it("of a socket that was never connected is an error", async () => {
    const socket = disposable(new world.client.Socket());
    const failed = errorOf(socket);
    socket.resetAndDestroy();
    expect((await failed).code).toBe("ERR_SOCKET_CLOSED");
  });

  it("while connecting waits for the connection", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.on("error", () => undefined).resume());
    const socket = client(world, { port, host: world.host });
    let connected = false;
    socket.on("connect", () => (connected = true));
    socket.resetAndDestroy();
    await once(socket, "close");
    expect([connected, socket.destroyed]).toEqual([true, true]);
  });

  it("in the listener of connect: the server has had the connection", async () => {
    const { server, port } = await listening(world);
    const accepted = once(server, "connection") as Promise<[import("node:net").Socket]>;
    const socket = client(world, { port, host: world.host });
    socket.on("connect", () => socket.resetAndDestroy());
    const [far] = await accepted;
    far.on("error", () => undefined).resume();
    if (!far.destroyed) await new Promise((resolve) => far.once("close", resolve));
    expect(far.destroyed).toBe(true);
  });

  it("after end: the peer's next write fails", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    near.end();
    far.resume();
    await once(far, "end");
    near.resetAndDestroy();
    await once(near, "close");
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
      far.on("error", resolve);
      const write = (): void => {
        if (!far.destroyed) far.write("x", () => setImmediate(write));
      };
      write();
    });
    expect(["EPIPE", "ECONNRESET"]).toContain(error.code);
  });

  it("of a closed socket is an error", async () => {
    const { near } = await connected(world);
    near.destroy();
    await once(near, "close");
    expect(near.resetAndDestroy()).toBe(near);
    expect(near.destroyed).toBe(true);
  });

  it("closing with unread data resets", async () => {
    const { near, far } = await connected(world, {}, { pauseOnConnect: true });
    near.write("never read");
    const failed = errorOf(near);
    near.resume();
    // Until it has come.
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    far.destroy();
    expect((await failed).code).toBe("ECONNRESET");
  });

  it("in the middle of a large transfer", async () => {
    const { near, far } = await connected(world);
    near.on("error", () => undefined);
    far.once("data", () => far.resetAndDestroy());
    near.write(Buffer.alloc(16 << 20));
    expect(await new Promise((resolve) => near.once("close", resolve))).toBe(true);
  });
}
