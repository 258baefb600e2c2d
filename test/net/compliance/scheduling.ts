/** When code runs, and what it finds of the context in which it was asked for. */
import { AsyncLocalStorage, AsyncResource, executionAsyncId } from "node:async_hooks";
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, listening, readAll, type World } from "./harness.js";

export default function scheduling(world: World): void {
  const { host } = world;

  it("the store of connect is there in ready, drain and finish", async () => {
    const { port } = await listening(world, {}, (far) => far.resume());
    const storage = new AsyncLocalStorage<string>();
    const seen: Record<string, string | undefined> = {};
    await storage.run("mine", async () => {
      const near = client(world, { port, host });
      for (const name of ["ready", "drain", "finish"]) near.on(name, () => (seen[name] = storage.getStore()));
      near.resume();
      near.write(Buffer.alloc(200_000));
      await once(near, "drain");
      near.end();
      await once(near, "close");
    });
    expect(seen).toEqual({ ready: "mine", drain: "mine", finish: "mine" });
  });

  it("the store of setTimeout is there in timeout", async () => {
    const { near } = await connected(world);
    const storage = new AsyncLocalStorage<string>();
    const seen = await storage.run("idle", () => {
      return new Promise((resolve) => near.setTimeout(1, () => resolve(storage.getStore())));
    });
    near.setTimeout(0);
    expect(seen).toBe("idle");
  });

  it("the store of connect is there in error and close of a refused connection", async () => {
    const { server, port } = await listening(world);
    server.close();
    await once(server, "close");
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await storage.run("mine", () => {
      const near = client(world, { port, host });
      near.on("error", () => seen.push(storage.getStore()));
      return new Promise<void>((resolve) => {
        near.on("close", () => {
          seen.push(storage.getStore());
          resolve();
        });
      });
    });
    expect(seen).toEqual(["mine", "mine"]);
  });

  it("the store of connect is there in what an async iteration awaits", async () => {
    const { port } = await listening(world, {}, (far) => far.end("x"));
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await storage.run("mine", async () => {
      for await (const _chunk of client(world, { port, host })) seen.push(storage.getStore());
      seen.push(storage.getStore());
    });
    expect(seen).toEqual(["mine", "mine"]);
  });

  it("the store of listen is there in its callback", async () => {
    const storage = new AsyncLocalStorage<string>();
    const server = disposable(world.server.createServer());
    const begun = await storage.run("listen", () => {
      return new Promise((resolve) => server.listen(0, host, () => resolve(storage.getStore())));
    });
    expect(begun).toBe("listen");
  });

  it("a store entered in connection is that of the one connection", async () => {
    const storage = new AsyncLocalStorage<number | undefined>();
    let next = 0;
    const { port } = await listening(world, { allowHalfOpen: true }, (far) => {
      storage.run(next++, () => {
        const mine = storage.getStore();
        far.on(
          "data",
          AsyncResource.bind(() => far.end(String(storage.getStore() === mine))),
        );
      });
    });
    const texts = await Promise.all(
      Array.from({ length: 5 }, () => {
        const near = client(world, { port, host });
        near.write("x");
        return readAll(near);
      }),
    );
    expect(texts.map(String)).toEqual(["true", "true", "true", "true", "true"]);
  });

  it("the store of getConnections is there in its callback", async () => {
    const { server } = await listening(world);
    const storage = new AsyncLocalStorage<string>();
    const seen = await storage.run("count", () => {
      return new Promise((resolve) => server.getConnections(() => resolve(storage.getStore())));
    });
    expect(seen).toBe("count");
  });

  it.each(["connect", "end", "close"])("executionAsyncId is set in %s", async (event) => {
    const { port } = await listening(world, {}, (far) => far.end("x"));
    const near = client(world, { port, host }).resume();
    const id = await new Promise<number>((resolve) => near.once(event, () => resolve(executionAsyncId())));
    expect(id).toBeGreaterThan(0);
  });

  it("sockets have execution ids of their own", async () => {
    const { port } = await listening(world, {}, (far) => far.write("x"));
    const ids = await Promise.all(
      Array.from({ length: 3 }, () => {
        const near = client(world, { port, host });
        return new Promise<number>((resolve) => near.once("data", () => resolve(executionAsyncId())));
      }),
    );
    expect(new Set(ids).size).toBe(3);
  });

  it("no event is told before the call that asks for it has returned", async () => {
    const { port } = await listening(world);
    let returned = false;
    const early: string[] = [];
    const near = disposable(new world.client.Socket());
    for (const name of ["lookup", "connect", "ready"]) near.on(name, () => returned || early.push(name));
    near.connect(port, host);
    returned = true;
    await once(near, "ready");
    expect(early).toEqual([]);
  });

  it("close after destroy comes in a later turn, after the ticks of this one", async () => {
    const { near } = await connected(world);
    const order: string[] = [];
    near.on("close", () => order.push("close"));
    process.nextTick(() => order.push("tick"));
    near.destroy();
    order.push("returned");
    await once(near, "close");
    expect(order).toEqual(["returned", "tick", "close"]);
  });

  it("the callback of a write never runs within the write", async () => {
    const { near, far } = await connected(world);
    far.resume();
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      near.write("x", () => {
        order.push("callback");
        resolve();
      });
      order.push("returned");
    });
    expect(order).toEqual(["returned", "callback"]);
  });

  it("the callbacks of writes and the end come in their order", async () => {
    const { near, far } = await connected(world);
    far.resume();
    const order: number[] = [];
    for (let i = 0; i < 5; i++) near.write("x".repeat(i * 1000 + 1), () => order.push(i));
    await new Promise<void>((resolve) => near.end("last", resolve));
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });

  it("ticks, then promises, before the next data of the same socket", async () => {
    const { near, far } = await connected(world);
    const order: string[] = [];
    let events = 0;
    const done = new Promise<void>((resolve) => {
      near.on("data", () => {
        const n = ++events;
        order.push(`data ${n}`);
        process.nextTick(() => order.push(`tick ${n}`));
        void Promise.resolve().then(() => order.push(`promise ${n}`));
        if (n === 1) far.write("second");
        else setImmediate(resolve);
      });
    });
    far.write("first");
    await done;
    expect(order).toEqual(["data 1", "tick 1", "promise 1", "data 2", "tick 2", "promise 2"]);
  });

  it("ticks and promises of connection run before the next connection", async () => {
    const { server, port } = await listening(world);
    const order: string[] = [];
    const done = new Promise<void>((resolve) => {
      server.on("connection", () => {
        order.push("connection");
        process.nextTick(() => order.push("tick"));
        void Promise.resolve().then(() => {
          order.push("promise");
          if (order.length === 9) resolve();
        });
      });
    });
    for (let i = 0; i < 3; i++) client(world, { port, host });
    await done;
    expect(order).toEqual(Array.from({ length: 3 }, () => ["connection", "tick", "promise"]).flat());
  });

  it("end comes after the data and after the promises of the last", async () => {
    const { near, far } = await connected(world);
    const order: string[] = [];
    near.on("data", () => {
      order.push("data");
      void Promise.resolve().then(() => order.push("promise"));
    });
    near.on("end", () => order.push("end"));
    far.end("x");
    await once(near, "end");
    expect(order).toEqual(["data", "promise", "end"]);
  });

  it("a socket written to from a tick of data answers in order", async () => {
    const { near, far } = await connected(world);
    const answers: string[] = [];
    far.on("data", (chunk: Buffer) => process.nextTick(() => far.write(`<${chunk}>`)));
    for (const word of ["a", "b", "c"]) {
      near.write(word);
      answers.push(String((await once(near, "data"))[0]));
    }
    expect(answers).toEqual(["<a>", "<b>", "<c>"]);
  });

  it("a synchronous loop of writes gives no event until it is over", async () => {
    const { near, far } = await connected(world);
    far.resume();
    let during = 0;
    let isLooping = true;
    for (const socket of [near, far] as Socket[]) {
      for (const name of ["drain", "data", "readable", "close"]) socket.on(name, () => (during += isLooping ? 1 : 0));
    }
    for (let i = 0; i < 200; i++) near.write("x".repeat(1000));
    isLooping = false;
    const finished = once(near, "finish");
    near.end();
    await finished;
    expect(during).toBe(0);
  });
}
