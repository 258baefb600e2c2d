/** A slow reader holds the writer back. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, listening, readBytes, type World } from "./harness.js";

const CHUNK = Buffer.alloc(64 * 1024, 1);
/** More than any buffers on the way hold. */
const MOST = 64 << 20;

export default function backPressure(world: World): void {
  /** Writes until the stream says enough; returns the bytes. */
  function fill(socket: import("node:net").Socket): number {
    let written = 0;
    while (written < MOST) {
      written += CHUNK.length;
      if (!socket.write(CHUNK)) break;
    }
    return written;
  }

  it("write returns false and drain follows", async () => {
    const { near, far } = await connected(world);
    const written = fill(near);
    expect(written).toBeLessThan(MOST);
    expect(near.writableNeedDrain).toBe(true);
    const drained = once(near, "drain");
    far.resume();
    await drained;
    expect(near.writableNeedDrain).toBe(false);
  });

  it("a reader that never reads stops the writer for good", async () => {
    const { near } = await connected(world, {}, { pauseOnConnect: true });
    let total = 0;
    let isStopped = false;
    // Writes whenever it may; without a bound it would never stop.
    for (let turn = 0; turn < 5000 && total < MOST; turn++) {
      if (!near.writableNeedDrain) total += fill(near);
      isStopped = near.writableNeedDrain;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(isStopped).toBe(true);
    expect(total).toBeLessThan(MOST);
  });

  it("what was held back arrives whole", async () => {
    const { near, far } = await connected(world, {}, { pauseOnConnect: true });
    const written = fill(near);
    const received = readBytes(far, written);
    far.resume();
    expect((await received).length).toBe(written);
  });

  it("writableLength counts what waits, and comes back to 0", async () => {
    const { near, far } = await connected(world, {}, { pauseOnConnect: true });
    fill(near);
    expect(near.writableLength).toBeGreaterThan(0);
    far.resume();
    await once(near, "drain");
    expect(near.writableLength).toBe(0);
  });

  it("a small highWaterMark says enough earlier", async () => {
    const { port } = await listening(world);
    const near = client(world, { port, host: world.host, writableHighWaterMark: 10 } as never);
    expect(near.writableHighWaterMark).toBe(10);
    expect([near.write("less"), near.write(Buffer.alloc(11))]).toEqual([true, false]);
  });

  it("the reader's buffer is bounded while it is paused", async () => {
    const { near, far } = await connected(world);
    far.pause();
    far.on("data", () => undefined);
    far.pause();
    fill(near);
    await once(far, "readable").catch(() => undefined);
    expect(far.readableLength).toBeLessThan(4 << 20);
  });

  it("pipe carries the back-pressure on", async () => {
    const { near, far } = await connected(world);
    const relay = await connected(world, {}, { pauseOnConnect: true });
    far.pipe(relay.near);
    let total = 0;
    for (let turn = 0; turn < 5000 && total < MOST; turn++) {
      if (!near.writableNeedDrain) total += fill(near);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(near.writableNeedDrain).toBe(true);
    const received = readBytes(relay.far, total);
    relay.far.resume();
    expect((await received).length).toBe(total);
  });

  it("the callback of each write is called in order", async () => {
    const { near, far } = await connected(world);
    const called: number[] = [];
    const all = new Promise<void>((resolve) => {
      for (let i = 0; i < 50; i++)
        near.write(CHUNK, () => {
          called.push(i);
          if (i === 49) resolve();
        });
    });
    far.resume();
    await all;
    expect(called).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });
}
