/** Connections that nobody takes. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, closedPort, errorOf, eventsUntil, listening, type World } from "./harness.js";

export default function refuse(world: World): void {
  const { host } = world;

  it("the error is Node's to the letter", async () => {
    const port = await closedPort(world);
    const error = await errorOf(client(world, { port, host }));
    expect(error).toBeInstanceOf(Error);
    const { code, syscall, address, message, errno } = error;
    expect({ code, syscall, address, port: error.port, message }).toEqual({
      code: "ECONNREFUSED",
      syscall: "connect",
      address: host,
      port,
      message: `connect ECONNREFUSED ${host}:${port}`,
    });
    expect(errno).toBeLessThan(0);
    expect(Object.keys(error).sort()).toEqual(["address", "code", "errno", "port", "syscall"]);
  });

  it("error, then close, and nothing else", async () => {
    const port = await closedPort(world);
    const socket = client(world, { port, host });
    const told = await eventsUntil(socket, ["connect", "ready", "end", "finish", "error", "close"], "close");
    expect(told).toEqual(["error", "close"]);
  });

  it("close tells that there was an error", async () => {
    const port = await closedPort(world);
    const socket = client(world, { port, host });
    socket.on("error", () => undefined);
    const hadError = await new Promise((resolve) => socket.once("close", resolve));
    expect(hadError).toBe(true);
    expect([socket.destroyed, socket.connecting, socket.readyState]).toEqual([true, false, "closed"]);
  });

  it("a write that waited gets the error, and so does its callback", async () => {
    const port = await closedPort(world);
    const socket = client(world, { port, host });
    socket.on("error", () => undefined);
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => socket.write("x", resolve));
    expect(error).toBeInstanceOf(Error);
  });

  it("end that waited is never finished", async () => {
    const port = await closedPort(world);
    const socket = client(world, { port, host });
    socket.end("x");
    expect(await eventsUntil(socket, ["finish", "error", "close"], "close")).toEqual(["error", "close"]);
  });

  it("with localPort the message names the local end", async () => {
    const port = await closedPort(world);
    const localPort = await closedPort(world);
    const error = await errorOf(client(world, { port, host, localAddress: host, localPort }));
    expect(error.message).toBe(`connect ECONNREFUSED ${host}:${port} - Local (${host}:${localPort})`);
  });

  it("a local address that is not this host's", async () => {
    const error = await errorOf(client(world, { port: 9, host, localAddress: "192.0.2.1" }));
    expect([error.code, error.syscall]).toEqual(["EADDRNOTAVAIL", "bind"]);
    expect(error.message).toMatch(/^bind EADDRNOTAVAIL 192\.0\.2\.1/);
  });

  it("destroy in the error listener changes nothing", async () => {
    const port = await closedPort(world);
    const socket = client(world, { port, host });
    let errors = 0;
    socket.on("error", () => {
      errors++;
      socket.destroy();
    });
    await new Promise((resolve) => socket.once("close", resolve));
    expect(errors).toBe(1);
  });

  it("the same socket may try again where somebody listens", async () => {
    const { port } = await listening(world);
    const closed = await closedPort(world);
    const socket = client(world, { port: closed, host });
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("close", resolve));
    socket.connect(port, host);
    await once(socket, "connect");
    expect(socket.remotePort).toBe(port);
  });

  it("many refusals at once each name their port", async () => {
    const ports = await Promise.all(Array.from({ length: 10 }, () => closedPort(world)));
    const errors = await Promise.all(ports.map((port) => errorOf(client(world, { port, host }))));
    expect(errors.map((error) => error.port)).toEqual(ports);
  });

  it("port 0 is refused", async () => {
    const error = await errorOf(client(world, { port: 0, host }));
    expect([error.code, error.syscall, error.address]).toEqual(["ECONNREFUSED", "connect", host]);
  });
}
