/** How a server begins. */
import { once } from "node:events";
import type { AddressInfo, ListenOptions, Server } from "node:net";
import { expect, it } from "vitest";
import { client, disposable, errorOf, listening, type World } from "./harness.js";

export default function serverListen(world: World): void {
  const { host } = world;
  const make = (): Server => disposable(world.server.createServer());

  const forms: [string, (server: Server, listener: () => void) => Server][] = [
    ["port, host, listener", (server, listener) => server.listen(0, host, listener)],
    ["port, host, backlog, listener", (server, listener) => server.listen(0, host, 10, listener)],
    ["port as text, host", (server, listener) => server.listen("0" as unknown as number, host, listener)],
    ["options, listener", (server, listener) => server.listen({ port: 0, host }, listener)],
    ["options with a backlog", (server, listener) => server.listen({ port: 0, host, backlog: 5 }, listener)],
    ["options, exclusive", (server, listener) => server.listen({ port: 0, host, exclusive: true }, listener)],
    ["port alone", (server, listener) => server.listen(0, listener)],
    ["port and backlog", (server, listener) => server.listen(0, undefined, 7, listener)],
    ["options without a host", (server, listener) => server.listen({ port: 0 }, listener)],
    ["nothing but a listener", (server, listener) => server.listen(listener)],
  ];
  it.each(forms)("arguments: %s", async (_form, begin) => {
    const server = make();
    await new Promise<void>((resolve) => expect(begin(server, resolve)).toBe(server));
    const { port } = server.address() as AddressInfo;
    expect([server.listening, port > 0]).toEqual([true, true]);
    await once(client(world, { port, host }), "connect");
  });

  it("listening is told in a later turn, once", async () => {
    const server = make();
    let told = 0;
    server.on("listening", () => told++);
    server.listen(0);
    expect([told, server.listening]).toEqual([0, true]);
    await once(server, "listening");
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toBe(1);
  });

  it("address() is there at once where no name has to be looked up", () => {
    const server = make().listen(0);
    const { port } = server.address() as AddressInfo;
    expect(Number.isInteger(port) && port > 0).toBe(true);
  });

  it("address() is null before and after", async () => {
    const server = make();
    expect(server.address()).toBe(null);
    server.listen(0, host);
    await once(server, "listening");
    server.close();
    await once(server, "close");
    expect(server.address()).toBe(null);
  });

  it("port 0 gives each server another port", async () => {
    const ports = await Promise.all(Array.from({ length: 10 }, async () => (await listening(world)).port));
    expect(new Set(ports).size).toBe(10);
  });

  it("a name goes through lookup", async () => {
    const server = make().listen(0, "localhost");
    await once(server, "listening");
    expect((server.address() as AddressInfo).address).toMatch(/^(127\.0\.0\.1|::1)$/);
  });

  it("an address in use: Node's error to the letter", async () => {
    const { port } = await listening(world);
    const error = await errorOf(make().listen(port, host));
    const { code, syscall, address, message } = error;
    expect({ code, syscall, address, port: error.port, message }).toEqual({
      code: "EADDRINUSE",
      syscall: "listen",
      address: host,
      port,
      message: `listen EADDRINUSE: address already in use ${host}:${port}`,
    });
    expect(Object.keys(error).sort()).toEqual(["address", "code", "errno", "port", "syscall"]);
  });

  it("an address in use is told in a later turn, and the server is not listening", async () => {
    const { port } = await listening(world);
    const server = make();
    let told = 0;
    server.on("error", () => told++);
    server.listen(port, host);
    expect([told, server.listening]).toEqual([0, false]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toBe(1);
  });

  it("after an error the server may try again", async () => {
    const { port } = await listening(world);
    const server = make();
    const failed = errorOf(server);
    server.listen(port, host);
    await failed;
    server.listen(0, host);
    await once(server, "listening");
    expect(server.listening).toBe(true);
  });

  it("an address that is not this host's: Node's error to the letter", async () => {
    const error = await errorOf(make().listen(0, "192.0.2.1"));
    const { code, syscall, address, message } = error;
    expect({ code, syscall, address, message }).toEqual({
      code: "EADDRNOTAVAIL",
      syscall: "listen",
      address: "192.0.2.1",
      message: "listen EADDRNOTAVAIL: address not available 192.0.2.1",
    });
  });

  it("listening twice throws", async () => {
    const { server } = await listening(world);
    expect(() => server.listen(0, host)).toThrow(expect.objectContaining({ code: "ERR_SERVER_ALREADY_LISTEN" }));
  });

  it("the same port at two addresses", async () => {
    const { port } = await listening(world);
    const other = make().listen(port, "127.0.0.2");
    await once(other, "listening");
    const taken = once(other, "connection");
    client(world, { port, host: "127.0.0.2" });
    await taken;
  });

  it("a port may be listened at again once its server is closed", async () => {
    const { server, port } = await listening(world);
    server.close();
    await once(server, "close");
    const next = make().listen(port, host);
    await once(next, "listening");
    expect((next.address() as AddressInfo).port).toBe(port);
  });

  it("a server may listen anew after it was closed", async () => {
    const { server } = await listening(world);
    for (let round = 0; round < 3; round++) {
      server.close();
      await once(server, "close");
      server.listen(0, host);
      await once(server, "listening");
    }
    expect(server.listening).toBe(true);
  });

  it("the port of a server whose connections are still open may be listened at again", async () => {
    const { server, port } = await listening(world);
    const accepted = once(server, "connection");
    await Promise.all([once(client(world, { port, host }), "connect"), accepted]);
    server.close();
    const next = make().listen(port, host);
    await once(next, "listening");
    expect(next.listening).toBe(true);
  });

  const wrong: [string, unknown, string][] = [
    ["a port beyond 65535", { port: 65_536, host }, "ERR_SOCKET_BAD_PORT"],
    ["a negative port", { port: -1, host }, "ERR_SOCKET_BAD_PORT"],
    ["a fraction of a port", { port: 1.5, host }, "ERR_SOCKET_BAD_PORT"],
    ["a port that is no number", { port: "port", host }, "ERR_SOCKET_BAD_PORT"],
    ["no port and no path", { host }, "ERR_INVALID_ARG_VALUE"],
    ["a port of another type", { port: false, host }, "ERR_INVALID_ARG_VALUE"],
    ["a signal that is none", { port: 0, host, signal: {} }, "ERR_INVALID_ARG_TYPE"],
  ];
  it.each(wrong)("%s throws", (_what, options, code) => {
    expect(() => make().listen(options as ListenOptions)).toThrow(expect.objectContaining({ code }));
  });

  it.each([[5], ["text"]])("createServer(%j) throws", (options) => {
    expect(() => world.server.createServer(options as never)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARG_TYPE" }));
  });
}
