/** One direction may end long before the other. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { connected, readAll, readToEnd, type World } from "./harness.js";

export default function halfOpen(world: World): void {
  it("the server answers after the client's end", async () => {
    const { near, far } = await connected(world, {}, { allowHalfOpen: true });
    near.end("question");
    expect(String(await readToEnd(far))).toBe("question");
    expect(far.writable).toBe(true);
    far.end("answer");
    expect(String(await readAll(near))).toBe("answer");
  });

  it("the client answers after the server's end", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true });
    far.end("question");
    expect(String(await readToEnd(near))).toBe("question");
    near.end("answer");
    expect(String(await readAll(far))).toBe("answer");
  });

  it("allowHalfOpen is a property of the socket", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: false });
    expect([near.allowHalfOpen, far.allowHalfOpen]).toEqual([true, false]);
  });

  it("a megabyte goes one way after the other has ended", async () => {
    const { near, far } = await connected(world, {}, { allowHalfOpen: true });
    near.end();
    far.resume();
    await once(far, "end");
    far.end(Buffer.alloc(1 << 20, 7));
    const received = await readAll(near);
    expect([received.length, received.every((byte) => byte === 7)]).toEqual([1 << 20, true]);
  });

  it("a half-open socket stays until both have ended", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    far.end();
    near.resume();
    await once(near, "end");
    expect([near.destroyed, near.writable, near.readyState]).toEqual([false, true, "writeOnly"]);
    far.resume();
    near.end();
    await Promise.all([once(near, "close"), once(far, "close")]);
    expect([near.destroyed, far.destroyed]).toEqual([true, true]);
  });

  it("a socket that is not half-open cannot write after the peer's end", async () => {
    const { near, far } = await connected(world);
    far.end();
    near.resume();
    await once(near, "end");
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
      near.on("error", resolve);
      near.write("late", (failure) => failure && resolve(failure));
    });
    expect(["EPIPE", "ERR_STREAM_WRITE_AFTER_END"]).toContain(error.code);
  });

  it("end without reading: the peer's data is still there to be read", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    far.end("kept");
    near.end();
    await once(near, "finish");
    expect(String(await readAll(near))).toBe("kept");
  });
}
