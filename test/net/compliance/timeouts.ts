/** setTimeout of sockets: silence, not delay. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, listening, type World } from "./harness.js";

export default function timeouts(world: World): void {
  it("silence is told, and the socket lives on", async () => {
    const { near } = await connected(world);
    near.setTimeout(20);
    await once(near, "timeout");
    expect(near.destroyed).toBe(false);
  });

  it("the callback is a listener that is called once", async () => {
    const { near } = await connected(world);
    await new Promise<void>((resolve) => near.setTimeout(20, resolve));
    expect(near.listenerCount("timeout")).toBe(0);
  });

  it("the property tells it", async () => {
    const { near } = await connected(world);
    expect(near.timeout).toBe(undefined);
    near.setTimeout(5000);
    expect(near.timeout).toBe(5000);
    near.setTimeout(0);
    expect(near.timeout).toBe(0);
  });

  it("0 takes the callback away", async () => {
    const { near } = await connected(world);
    const listener = (): void => undefined;
    near.setTimeout(5000, listener);
    expect(near.listenerCount("timeout")).toBe(1);
    near.setTimeout(0, listener);
    expect(near.listenerCount("timeout")).toBe(0);
  });

  it("returns the socket", async () => {
    const { near } = await connected(world);
    expect(near.setTimeout(1000)).toBe(near);
  });

  it("the option timeout of connect", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host: world.host, timeout: 30 });
    expect(socket.timeout).toBe(30);
    await once(socket, "timeout");
  });

  it("at the server's end", async () => {
    const { far } = await connected(world);
    far.setTimeout(20);
    await once(far, "timeout");
  });

  it("comes again after more silence", async () => {
    const { near, far } = await connected(world);
    far.pipe(far);
    near.resume();
    near.setTimeout(20);
    await once(near, "timeout");
    near.write("x");
    await once(near, "timeout");
  });

  it("no timeout after destroy", async () => {
    const { near } = await connected(world);
    let told = 0;
    near.on("timeout", () => told++);
    near.setTimeout(10);
    near.destroy();
    await once(near, "close");
    const other = await connected(world);
    other.near.setTimeout(30);
    await once(other.near, "timeout");
    expect(told).toBe(0);
  });

  it.each([[-1], [Number.NaN], [Number.POSITIVE_INFINITY]])("%d is out of range", async (milliseconds) => {
    const { near } = await connected(world);
    expect(() => near.setTimeout(milliseconds)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_RANGE" }));
  });

  it("a text is of the wrong type, and so is a callback that is none", async () => {
    const { near } = await connected(world);
    expect(() => near.setTimeout("1" as unknown as number)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }));
    expect(() => near.setTimeout(1, 1 as unknown as () => void)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }),
    );
  });
}
