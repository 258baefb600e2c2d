/** How a connection ends in good order. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { connected, eventsUntil, readAll, type World } from "./harness.js";

export default function end(world: World): void {
  it("end, then close without error, at both ends", async () => {
    const { near, far } = await connected(world);
    const names = ["end", "error", "close"];
    const both = Promise.all([eventsUntil(near, names, "close"), eventsUntil(far, names, "close")]);
    near.resume();
    far.resume();
    near.end();
    expect(await both).toEqual([
      ["end", "close"],
      ["end", "close"],
    ]);
  });

  it("finish comes before close, and end before close", async () => {
    const { near, far } = await connected(world);
    far.resume();
    near.resume();
    near.end("x");
    const told = await eventsUntil(near, ["finish", "end", "close"], "close");
    expect([...told].sort()).toEqual(["close", "end", "finish"]);
    expect(told.at(-1)).toBe("close");
  });

  it("close says that there was no error", async () => {
    const { near, far } = await connected(world);
    far.resume();
    near.resume();
    near.end();
    expect(await new Promise((resolve) => near.once("close", resolve))).toBe(false);
  });

  const payloads: [string, (socket: Socket) => unknown, string][] = [
    ["text", (socket) => socket.end("data"), "data"],
    ["text with an encoding", (socket) => socket.end("ZGF0YQ==", "base64"), "data"],
    ["bytes", (socket) => socket.end(Buffer.from("data")), "data"],
    ["a Uint8Array", (socket) => socket.end(new Uint8Array([100, 97, 116, 97])), "data"],
    ["nothing", (socket) => socket.end(), ""],
    ["a callback alone", (socket) => socket.end(() => undefined), ""],
    ["text after a write", (socket) => socket.write("da") && socket.end("ta"), "data"],
  ];
  it.each(payloads)("end with %s", async (_what, finish, expected) => {
    const { near, far } = await connected(world);
    finish(near);
    expect(String(await readAll(far))).toBe(expected);
  });

  it("the callback of end is called once all has been handed over", async () => {
    const { near, far } = await connected(world);
    far.resume();
    await new Promise<void>((resolve) => near.end("x", resolve));
    expect([near.writableEnded, near.writableFinished]).toEqual([true, true]);
  });

  it("end returns the socket", async () => {
    const { near } = await connected(world);
    expect(near.end()).toBe(near);
  });

  it("a second end does nothing", async () => {
    const { near, far } = await connected(world);
    far.resume();
    near.resume();
    near.end("x");
    near.end();
    expect(await new Promise((resolve) => near.once("close", resolve))).toBe(false);
  });

  it("write after end is an error with Node's code", async () => {
    const { near, far } = await connected(world);
    far.resume();
    near.end();
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
      near.once("error", resolve);
      near.write("late");
    });
    expect([error.code, error.message]).toEqual(["ERR_STREAM_WRITE_AFTER_END", "write after end"]);
  });

  it("both ends may end at once", async () => {
    const { near, far } = await connected(world);
    near.end("from near");
    far.end("from far");
    const [atNear, atFar] = await Promise.all([readAll(near), readAll(far)]);
    expect([String(atNear), String(atFar)]).toEqual(["from far", "from near"]);
  });

  it("the end of the peer ends a socket that is not half-open by itself", async () => {
    const { near, far } = await connected(world);
    near.resume();
    far.resume();
    far.end("bye");
    await once(near, "close");
    expect([near.destroyed, near.readyState, near.writableEnded]).toEqual([true, "closed", true]);
  });

  it("what the peer sent before its end is all there", async () => {
    const { near, far } = await connected(world);
    for (let i = 0; i < 100; i++) far.write(`${i},`);
    far.end();
    expect(String(await readAll(near))).toBe(Array.from({ length: 100 }, (_, i) => `${i},`).join(""));
  });

  it("readyState goes by what has ended", async () => {
    const { near, far } = await connected(world, { allowHalfOpen: true }, { allowHalfOpen: true });
    expect(near.readyState).toBe("open");
    near.end();
    expect(near.readyState).toBe("readOnly");
    far.resume();
    far.end();
    near.resume();
    await once(near, "close");
    expect(near.readyState).toBe("closed");
  });
}
