/** AbortSignal. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, listening, type World } from "./harness.js";

export default function abortSignal(world: World): void {
  const { host } = world;

  it("of a socket that connects", async () => {
    const { port } = await listening(world);
    const controller = new AbortController();
    const socket = client(world, { port, host, signal: controller.signal });
    const failed = errorOf(socket);
    controller.abort();
    const error = await failed;
    expect([error.name, error.code]).toEqual(["AbortError", "ABORT_ERR"]);
    expect(socket.destroyed).toBe(true);
  });

  it("of a socket that is connected", async () => {
    const controller = new AbortController();
    const { near } = await connected(world, { signal: controller.signal });
    const failed = errorOf(near);
    controller.abort();
    expect((await failed).name).toBe("AbortError");
  });

  it("aborted beforehand", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host, signal: AbortSignal.abort() });
    const failed = errorOf(socket);
    expect((await failed).name).toBe("AbortError");
  });

  it("its reason is the cause", async () => {
    const controller = new AbortController();
    const { near } = await connected(world, { signal: controller.signal });
    const failed = errorOf(near);
    controller.abort(new Error("why"));
    expect(((await failed).cause as Error).message).toBe("why");
  });

  it("after the end does nothing", async () => {
    const controller = new AbortController();
    const { near, far } = await connected(world, { signal: controller.signal });
    far.resume();
    near.resume();
    near.end();
    await once(near, "close");
    controller.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(near.errored).toBe(null);
  });

  it("a signal that is none throws", () => {
    expect(() => disposable(new world.client.Socket({ signal: {} as AbortSignal }))).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }),
    );
  });

  it("of listen closes the server", async () => {
    const controller = new AbortController();
    const server = disposable(world.server.createServer());
    server.listen({ port: 0, host, signal: controller.signal });
    await once(server, "listening");
    controller.abort();
    await once(server, "close");
    expect(server.listening).toBe(false);
  });

  it("of listen, aborted beforehand", async () => {
    const server = disposable(world.server.createServer());
    server.listen({ port: 0, host, signal: AbortSignal.abort() });
    await once(server, "close");
    expect(server.listening).toBe(false);
  });
}
