/** What code runs within: async context, ticks, promises. */
import { AsyncLocalStorage, executionAsyncId } from "node:async_hooks";
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, disposable, listening, type World } from "./harness.js";

export default function context(world: World): void {
  const { host } = world;

  it.each(["connect", "data", "end", "close"])("the store of connect is there in %s", async (event) => {
    const { port } = await listening(world, {}, (far) => far.end("x"));
    const storage = new AsyncLocalStorage<string>();
    const seen = await storage.run("mine", () => {
      const socket = client(world, { port, host });
      if (event !== "data") socket.resume();
      return new Promise((resolve) => socket.once(event, () => resolve(storage.getStore())));
    });
    expect(seen).toBe("mine");
  });

  it("the store is there in the callback of a write", async () => {
    const { near, far } = await connected(world);
    far.resume();
    const storage = new AsyncLocalStorage<number>();
    const seen = await storage.run(7, () => new Promise((resolve) => near.write("x", () => resolve(storage.getStore()))));
    expect(seen).toBe(7);
  });

  it("the store is there in the callback of end", async () => {
    const { near, far } = await connected(world);
    far.resume();
    const storage = new AsyncLocalStorage<number>();
    const seen = await storage.run(8, () => new Promise((resolve) => near.end("x", () => resolve(storage.getStore()))));
    expect(seen).toBe(8);
  });

  it("the store of listen is there in connection", async () => {
    const storage = new AsyncLocalStorage<string>();
    const server = disposable(world.server.createServer());
    const seen = new Promise((resolve) => server.once("connection", () => resolve(storage.getStore())));
    storage.run("server", () => server.listen(0, host));
    await once(server, "listening");
    client(world, { port: (server.address() as import("node:net").AddressInfo).port, host });
    expect(await seen).toBe("server");
  });

  it("two sockets do not mix their stores", async () => {
    const { port } = await listening(world, {}, (far) => far.pipe(far));
    const storage = new AsyncLocalStorage<number>();
    const seen = await Promise.all(
      [1, 2, 3, 4].map((i) =>
        storage.run(i, () => {
          const socket = client(world, { port, host });
          socket.write("x");
          return new Promise((resolve) => socket.once("data", () => resolve(storage.getStore())));
        }),
      ),
    );
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it("executionAsyncId is set in data", async () => {
    const { near, far } = await connected(world);
    far.write("x");
    const id = await new Promise<number>((resolve) => near.once("data", () => resolve(executionAsyncId())));
    expect(id).toBeGreaterThan(0);
  });

  it("ticks and promises of one data handler run before that of the next socket", async () => {
    const first = await connected(world);
    const second = await connected(world);
    const order: string[] = [];
    const done = new Promise<void>((resolve) => {
      for (const { near } of [first, second]) {
        near.on("data", (chunk: Buffer) => {
          const name = String(chunk);
          order.push(`data ${name}`);
          process.nextTick(() => order.push(`tick ${name}`));
          void Promise.resolve().then(() => {
            order.push(`promise ${name}`);
            if (order.length === 6) resolve();
          });
        });
      }
    });
    first.far.write("1");
    second.far.write("2");
    await done;
    expect(order.map((what) => what.split(" ")[0])).toEqual(["data", "tick", "promise", "data", "tick", "promise"]);
  });
}
