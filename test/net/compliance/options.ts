/** Methods that set options, and those that say whether a socket keeps the process alive. */
import { expect, it } from "vitest";
import { client, connected, disposable, listening, type World } from "./harness.js";

export default function options(world: World): void {
  it.each([[[]], [[true]], [[false]]])("setNoDelay(%j) returns the socket", async (args) => {
    const { near } = await connected(world);
    expect(near.setNoDelay(...(args as [boolean?]))).toBe(near);
  });

  it.each([[[]], [[true]], [[true, 1000]], [[false]], [[false, 0]]])("setKeepAlive(%j) returns the socket", async (args) => {
    const { near } = await connected(world);
    expect(near.setKeepAlive(...(args as [boolean?, number?]))).toBe(near);
  });

  it("both may be set before it is connected", async () => {
    const socket = disposable(new world.client.Socket());
    expect([socket.setNoDelay(), socket.setKeepAlive(true, 2000)]).toEqual([socket, socket]);
    const { port } = await listening(world);
    await new Promise<void>((resolve) => socket.connect(port, world.host, resolve));
  });

  it("as options of connect and of a server data still flows", async () => {
    const { near, far } = await connected(
      world,
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 },
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 },
    );
    near.write("x");
    await new Promise((resolve) => far.once("data", resolve));
  });

  it("keepAliveInitialDelay of a wrong type throws", () => {
    expect(() => disposable(new world.client.Socket({ keepAliveInitialDelay: "1" } as object))).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }),
    );
  });

  it("ref and unref return the socket, before and after it is connected", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host: world.host });
    expect([socket.unref(), socket.ref()]).toEqual([socket, socket]);
    await new Promise((resolve) => socket.once("connect", resolve));
    expect([socket.unref(), socket.ref()]).toEqual([socket, socket]);
  });

  it("an unreferenced socket works", async () => {
    const { near, far } = await connected(world);
    near.unref();
    far.unref();
    near.write("x");
    await new Promise((resolve) => far.once("data", resolve));
  });
}
