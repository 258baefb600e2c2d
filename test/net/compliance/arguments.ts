/** Arguments that are wrong: what is thrown, and that it is thrown at once. */
import type { ListenOptions, NetConnectOpts, Socket, SocketConstructorOpts } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, listening, type World } from "./harness.js";

export default function wrongArguments(world: World): void {
  const { host } = world;
  const { client: net } = world;

  const connects: [string, unknown, string, string][] = [
    ["no port and no path", {}, "ERR_MISSING_ARGS", "TypeError"],
    ["a port beyond 65535", { port: 65_536, host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a negative port", { port: -1, host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a port that is no number", { port: "a port", host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a port that is an empty text", { port: "", host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a port that is NaN", { port: Number.NaN, host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a port that is true", { port: true, host }, "ERR_INVALID_ARG_TYPE", "TypeError"],
    ["a port that is a list", { port: [], host }, "ERR_INVALID_ARG_TYPE", "TypeError"],
    ["a localAddress that is a name", { port: 9, host, localAddress: "localhost" }, "ERR_INVALID_IP_ADDRESS", "TypeError"],
    ["a localPort that is text", { port: 9, host, localPort: "9" }, "ERR_INVALID_ARG_TYPE", "TypeError"],
    ["a lookup that is no function", { port: 9, host: "localhost", lookup: "x" }, "ERR_INVALID_ARG_TYPE", "TypeError"],
    ["an autoSelectFamily that is text", { port: 9, host, autoSelectFamily: "x" }, "ERR_INVALID_ARG_TYPE", "TypeError"],
    [
      "an attempt timeout of 0",
      { port: 9, host, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 0 },
      "ERR_OUT_OF_RANGE",
      "RangeError",
    ],
    ["a timeout that is text", { port: 9, host, timeout: "x" }, "ERR_INVALID_ARG_TYPE", "TypeError"],
    ["objectMode", { port: 9, host, objectMode: true }, "ERR_INVALID_ARG_VALUE", "TypeError"],
    ["a keepAliveInitialDelay that is text", { port: 9, host, keepAliveInitialDelay: "x" }, "ERR_INVALID_ARG_TYPE", "TypeError"],
  ];
  it.each(connects)("connect with %s throws", (_what, options, code, name) => {
    expect(() => net.connect(options as NetConnectOpts)).toThrow(expect.objectContaining({ code, name }));
  });

  it("connect without arguments throws", () => {
    expect(() => (net.connect as () => Socket)()).toThrow(expect.objectContaining({ code: "ERR_MISSING_ARGS" }));
    const socket = disposable(new net.Socket());
    expect(() => (socket.connect as () => Socket)()).toThrow(expect.objectContaining({ code: "ERR_MISSING_ARGS" }));
  });

  it("a socket whose connect threw may connect after all", async () => {
    const { port } = await listening(world);
    const socket = disposable(new net.Socket());
    expect(() => socket.connect(-1, host)).toThrow(expect.objectContaining({ code: "ERR_SOCKET_BAD_PORT" }));
    socket.connect(port, host);
    await new Promise((resolve) => socket.once("connect", resolve));
    expect(socket.remotePort).toBe(port);
  });

  const sockets: [string, object][] = [
    ["objectMode", { objectMode: true }],
    ["readableObjectMode", { readableObjectMode: true }],
    ["writableObjectMode", { writableObjectMode: true }],
  ];
  it.each(sockets)("a Socket with %s throws", (_what, options) => {
    expect(() => new net.Socket(options as SocketConstructorOpts)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARG_VALUE" }),
    );
  });

  const calls: [string, (socket: Socket) => unknown, string][] = [
    ["write(5)", (socket) => socket.write(5 as never), "ERR_INVALID_ARG_TYPE"],
    ["write of an object", (socket) => socket.write({} as never), "ERR_INVALID_ARG_TYPE"],
    ["write()", (socket) => socket.write(undefined as never), "ERR_INVALID_ARG_TYPE"],
    ["write(null)", (socket) => socket.write(null as never), "ERR_STREAM_NULL_VALUES"],
    ["write in an unknown encoding", (socket) => socket.write("x", "utf-7" as never), "ERR_UNKNOWN_ENCODING"],
    ["setEncoding of an unknown encoding", (socket) => socket.setEncoding("utf-7" as never), "ERR_UNKNOWN_ENCODING"],
    ["setDefaultEncoding of an unknown one", (socket) => socket.setDefaultEncoding("utf-7" as never), "ERR_UNKNOWN_ENCODING"],
    ["setTimeout of a text", (socket) => socket.setTimeout("5" as never), "ERR_INVALID_ARG_TYPE"],
    ["setTimeout of a negative time", (socket) => socket.setTimeout(-5), "ERR_OUT_OF_RANGE"],
    ["setTimeout with a callback that is none", (socket) => socket.setTimeout(5, {} as never), "ERR_INVALID_ARG_TYPE"],
  ];
  it.each(calls)("%s throws, and the socket lives on", async (_what, call, code) => {
    const { near, far } = await connected(world);
    expect(() => call(near)).toThrow(expect.objectContaining({ code }));
    expect([near.destroyed, near.writable]).toEqual([false, true]);
    near.write("alive");
    const chunk = await new Promise((resolve) => far.once("data", resolve));
    expect(String(chunk)).toBe("alive");
  });

  const listens: [string, unknown, string, string][] = [
    ["no port, no path", {}, "ERR_INVALID_ARG_VALUE", "TypeError"],
    ["a port that is an object", { port: {}, host }, "ERR_INVALID_ARG_VALUE", "TypeError"],
    ["a port that is NaN", { port: Number.NaN, host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a port that is an empty text", { port: "", host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
    ["a port far beyond", { port: 1e9, host }, "ERR_SOCKET_BAD_PORT", "RangeError"],
  ];
  it.each(listens)("listen with %s throws", (_what, options, code, name) => {
    const server = disposable(world.server.createServer());
    expect(() => server.listen(options as ListenOptions)).toThrow(expect.objectContaining({ code, name }));
    expect(server.listening).toBe(false);
  });

  it("a server whose listen threw may listen after all", async () => {
    const server = disposable(world.server.createServer());
    expect(() => server.listen(70_000, host)).toThrow(expect.objectContaining({ code: "ERR_SOCKET_BAD_PORT" }));
    server.listen(0, host);
    await new Promise((resolve) => server.once("listening", resolve));
    expect(server.listening).toBe(true);
  });

  it("a bad port's message names the port", () => {
    expect(() => net.connect(65_536, host)).toThrow(/port.*should be >= 0 and < 65536\. Received type number \(65536\)\./i);
    const server = disposable(world.server.createServer());
    expect(() => server.listen(65_536, host)).toThrow(
      /options\.port should be >= 0 and < 65536\. Received type number \(65536\)\./,
    );
  });

  it("listening twice: the message is Node's", async () => {
    const { server } = await listening(world);
    expect(() => server.listen(0, host)).toThrow("Listen method has been called more than once without closing.");
  });

  it("write after end: the error and its callback's are one, Node's to the letter", async () => {
    const { near } = await connected(world);
    near.end();
    const failed = errorOf(near);
    const given = await new Promise((resolve) => near.write("x", resolve));
    const error = await failed;
    expect(error).toBeInstanceOf(Error);
    expect([error.code, error.message]).toEqual(["ERR_STREAM_WRITE_AFTER_END", "write after end"]);
    expect(given).toBe(error);
  });

  it("write after destroy: the callback gets Node's error, and nothing is emitted", async () => {
    const { near } = await connected(world);
    let emitted = 0;
    near.on("error", () => emitted++);
    near.destroy();
    const error = await new Promise<unknown>((resolve) => near.write("x", resolve));
    expect(error).toMatchObject({ code: "ERR_STREAM_DESTROYED", message: "Cannot call write after a stream was destroyed" });
    expect(emitted).toBe(0);
  });

  it("destroyed while it connects: the waiting write's callback gets an error", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    socket.on("error", () => undefined);
    const given = new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => socket.write("x", resolve));
    socket.destroy();
    expect((await given)?.code).toMatch(/^ERR_(SOCKET_CLOSED_BEFORE_CONNECTION|STREAM_DESTROYED)$/);
  });

  it("the errors of a refused connection are own properties that JSON keeps", async () => {
    const { server, port } = await listening(world);
    server.close();
    await new Promise((resolve) => server.once("close", resolve));
    const error = await errorOf(client(world, { port, host }));
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      errno: error.errno,
      code: "ECONNREFUSED",
      syscall: "connect",
      address: host,
      port,
    });
    expect(error.stack).toContain("ECONNREFUSED");
  });

  it("errno is that of the system, negated", async () => {
    const { constants } = await import("node:os");
    const { server, port } = await listening(world);
    const inUse = await errorOf(disposable(world.server.createServer()).listen(port, host));
    expect(inUse.errno).toBe(-constants.errno.EADDRINUSE);
    server.close();
    await new Promise((resolve) => server.once("close", resolve));
    expect((await errorOf(client(world, { port, host }))).errno).toBe(-constants.errno.ECONNREFUSED);
  });

  it("util.getSystemErrorName knows the errno", async () => {
    const { getSystemErrorName } = await import("node:util");
    const { near, far } = await connected(world);
    const failed = errorOf(near);
    near.resume();
    far.resetAndDestroy();
    const error = await failed;
    expect([getSystemErrorName(error.errno ?? 0), error.message]).toEqual(["ECONNRESET", "read ECONNRESET"]);
  });
}
