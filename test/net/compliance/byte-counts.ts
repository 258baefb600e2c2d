/** bytesRead and bytesWritten. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, listening, readAll, type World } from "./harness.js";

export default function byteCounts(world: World): void {
  it("both begin at 0", async () => {
    const { near } = await connected(world);
    expect([near.bytesRead, near.bytesWritten]).toEqual([0, 0]);
  });

  it("count what went and came", async () => {
    const { near, far } = await connected(world);
    near.end("12345");
    far.end("123");
    await Promise.all([readAll(near), readAll(far)]);
    expect([near.bytesWritten, near.bytesRead, far.bytesWritten, far.bytesRead]).toEqual([5, 3, 3, 5]);
  });

  it("text counts in bytes", async () => {
    const { near, far } = await connected(world);
    near.end("€");
    await readAll(far);
    expect(near.bytesWritten).toBe(3);
  });

  it("what waits for the connection counts", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host: world.host });
    socket.write("abc");
    socket.write("€");
    socket.write(Buffer.alloc(10));
    expect(socket.bytesWritten).toBe(16);
    await once(socket, "connect");
    expect(socket.bytesWritten).toBe(16);
  });

  it("corked writes count", async () => {
    const { near } = await connected(world);
    near.cork();
    near.write("abc");
    near.write("def", "latin1");
    expect(near.bytesWritten).toBe(6);
    near.uncork();
    expect(near.bytesWritten).toBe(6);
  });

  it("stay after destroy", async () => {
    const { near, far } = await connected(world);
    near.write("abc");
    far.write("de");
    await Promise.all([once(near, "data"), once(far, "data")]);
    near.destroy();
    await once(near, "close");
    expect([near.bytesRead, near.bytesWritten]).toEqual([2, 3]);
  });

  it("a large write counts whole at once", async () => {
    const { near } = await connected(world, {}, { pauseOnConnect: true });
    near.write(Buffer.alloc(8 << 20));
    expect(near.bytesWritten).toBe(8 << 20);
  });
}
