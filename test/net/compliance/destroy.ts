/** destroy, at every moment. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, eventsUntil, listening, type World } from "./harness.js";

export default function destroy(world: World): void {
  const { host } = world;

  it("of a new socket: close and nothing else", async () => {
    const socket = disposable(new world.client.Socket());
    const told = eventsUntil(socket, ["end", "error", "close"], "close");
    expect(socket.destroy()).toBe(socket);
    expect(await told).toEqual(["close"]);
  });

  it("while connecting: no connect", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    const told = eventsUntil(socket, ["connect", "ready", "error", "close"], "close");
    socket.destroy();
    expect(socket.connecting).toBe(false);
    expect(await told).toEqual(["close"]);
  });

  it("in the listener of connect", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    const told = eventsUntil(socket, ["connect", "data", "error", "close"], "close");
    socket.on("connect", () => socket.destroy());
    expect(await told).toEqual(["connect", "close"]);
  });

  it("in data: no more data", async () => {
    const { near, far } = await connected(world);
    far.on("error", () => undefined);
    let told = 0;
    near.on("data", () => {
      told++;
      near.destroy();
    });
    const closed = once(near, "close");
    for (let i = 0; i < 100; i++) far.write(Buffer.alloc(10_000));
    await closed;
    expect(told).toBe(1);
  });

  it("with an error: error, then close that knows it", async () => {
    const { near } = await connected(world);
    const failure = new Error("mine");
    const closed = new Promise((resolve) => near.once("close", resolve));
    near.destroy(failure);
    expect(await errorOf(near)).toBe(failure);
    expect([await closed, near.errored]).toEqual([true, failure]);
  });

  it("is told in a later turn", async () => {
    const { near } = await connected(world);
    let isLater = false;
    near.on("close", () => expect(isLater).toBe(true));
    near.destroy();
    isLater = true;
    await once(near, "close");
  });

  it("the flags", async () => {
    const { near } = await connected(world);
    expect([near.destroyed, near.closed]).toEqual([false, false]);
    near.destroy();
    expect([near.destroyed, near.readable, near.writable]).toEqual([true, false, false]);
    await once(near, "close");
    expect([near.closed, near.readyState, near.pending]).toEqual([true, "closed", true]);
  });

  it("twice does nothing more", async () => {
    const { near } = await connected(world);
    let closes = 0;
    near.on("close", () => closes++);
    near.destroy();
    near.destroy(new Error("ignored"));
    await once(near, "close");
    await new Promise((resolve) => setImmediate(resolve));
    expect(closes).toBe(1);
  });

  it("the peer sees the end", async () => {
    const { near, far } = await connected(world);
    far.resume();
    const ended = once(far, "end");
    near.destroy();
    await ended;
  });

  it("what was written before gets through", async () => {
    const { near, far } = await connected(world);
    near.write("last words", () => near.destroy());
    expect(String((await once(far, "data"))[0])).toBe("last words");
  });

  it("writes that were not taken get an error", async () => {
    const { near } = await connected(world, {}, { pauseOnConnect: true });
    let failure: NodeJS.ErrnoException | null | undefined;
    let writes = 0;
    while (near.write(Buffer.alloc(1 << 20)) && writes++ < 100);
    const told = new Promise<void>((resolve) =>
      near.write("never", (error) => {
        failure = error;
        resolve();
      }),
    );
    near.on("error", () => undefined);
    near.destroy();
    await told;
    // Node 20 tells the stream's error, later ones that of the write below it.
    expect(["ERR_STREAM_DESTROYED", "ECANCELED"]).toContain(failure?.code);
  });

  it("write afterwards is an error with a code", async () => {
    const { near } = await connected(world);
    near.destroy();
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => near.write("x", resolve));
    expect(error?.code).toBe("ERR_STREAM_DESTROYED");
  });

  it("destroySoon lets out what was written", async () => {
    const { near, far } = await connected(world);
    near.write("all of it");
    near.destroySoon();
    let text = "";
    for await (const chunk of far) text += String(chunk);
    expect(text).toBe("all of it");
    expect(near.destroyed).toBe(true);
  });

  it("a server's socket that is destroyed in connection ends the client", async () => {
    const { port } = await listening(world, {}, (far: Socket) => far.destroy());
    const socket = client(world, { port, host });
    socket.resume();
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("close", resolve));
    expect(socket.destroyed).toBe(true);
  });

  it("names of the ends are gone", async () => {
    const { near } = await connected(world);
    near.destroy();
    await once(near, "close");
    expect([near.remoteAddress, near.address()]).toEqual([undefined, {}]);
  });

  it("both ends at once", async () => {
    const { near, far } = await connected(world);
    const closed = Promise.all([once(near, "close"), once(far, "close")]);
    near.destroy();
    far.destroy();
    await closed;
  });
}
