/** A reader that stops for a while. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { client, connected, listening, readBytes, type World } from "./harness.js";

/** Some turns of the event loop, in which what is on its way arrives. */
async function turns(count = 50): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

export default function pauseResume(world: World): void {
  it("no data while paused, all of it after resume", async () => {
    const { near, far } = await connected(world);
    let told = 0;
    near.on("data", (chunk) => (told += chunk.length));
    near.pause();
    far.write("12345");
    await turns();
    expect([told, near.isPaused()]).toEqual([0, true]);
    near.resume();
    await once(near, "data");
    expect([told, near.isPaused()]).toEqual([5, false]);
  });

  it("pause within data keeps the next for later", async () => {
    const { near, far } = await connected(world);
    const received = readBytes(near, 3000);
    near.on("data", () => {
      near.pause();
      setImmediate(() => near.resume());
    });
    for (let i = 0; i < 30; i++) far.write(Buffer.alloc(100, i));
    const bytes = await received;
    expect([...bytes].filter((_, i) => i % 100 === 0)).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  it("pause and resume return the socket", async () => {
    const { near } = await connected(world);
    expect([near.pause(), near.resume()]).toEqual([near, near]);
  });

  it("pauseOnConnect: nothing is read until resume", async () => {
    const { server, port } = await listening(world, { pauseOnConnect: true });
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const near = client(world, { port, host: world.host });
    near.end("early");
    const [far] = await accepted;
    await turns();
    expect([far.bytesRead, far.isPaused()]).toEqual([0, true]);
    const data = once(far, "data");
    far.resume();
    expect(String((await data)[0])).toBe("early");
  });

  it("the end waits with the data", async () => {
    const { near, far } = await connected(world);
    let hasEnded = false;
    near.on("end", () => (hasEnded = true));
    near.on("data", () => undefined);
    near.pause();
    far.end("x");
    await turns();
    expect(hasEnded).toBe(false);
    near.resume();
    await once(near, "end");
  });

  it("a socket without a reader is not read", async () => {
    const { near, far } = await connected(world);
    far.write("x");
    await turns();
    expect(near.readableFlowing).toBe(null);
    expect(String((await once(near, "data"))[0])).toBe("x");
  });

  it("pausing before it is connected holds", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.write("x"));
    const near = client(world, { port, host: world.host });
    near.on("data", () => undefined);
    near.pause();
    await once(near, "connect");
    await turns();
    expect(near.isPaused()).toBe(true);
    near.resume();
    await once(near, "data");
  });

  it("many pauses and resumes lose nothing", async () => {
    const { near, far } = await connected(world);
    const received = readBytes(near, 1 << 20);
    far.end(Buffer.alloc(1 << 20, 5));
    for (let i = 0; i < 200; i++) {
      near.pause();
      near.resume();
    }
    expect((await received).length).toBe(1 << 20);
  });
}
