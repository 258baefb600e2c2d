/** How a connection begins. */
import { once } from "node:events";
import type { LookupFunction, Socket, TcpNetConnectOpts } from "node:net";
import { expect, it } from "vitest";
import { client, connected, disposable, errorOf, eventsUntil, listening, type World } from "./harness.js";

export default function connect(world: World): void {
  const { host } = world;
  const forms: [string, (port: number, listener: () => void) => Socket][] = [
    ["port, host, listener", (port, listener) => world.client.connect(port, host, listener)],
    ["options, listener", (port, listener) => world.client.connect({ port, host }, listener)],
    ["port as text", (port, listener) => world.client.connect({ port: String(port) as unknown as number, host }, listener)],
    ["createConnection", (port, listener) => world.client.createConnection({ port, host }, listener)],
    ["createConnection with a port", (port, listener) => world.client.createConnection(port, host, listener)],
    ["a socket of one's own", (port, listener) => new world.client.Socket().connect(port, host, listener)],
    ["a socket of one's own and options", (port, listener) => new world.client.Socket().connect({ port, host }, listener)],
    ["no new", (port, listener) => (world.client.Socket as unknown as () => Socket)().connect(port, host, listener)],
  ];
  it.each(forms)("arguments: %s", async (_form, begin) => {
    const { server, port } = await listening(world);
    const accepted = once(server, "connection");
    await new Promise<void>((resolve) => disposable(begin(port, resolve)));
    await accepted;
  });

  it("tells connect, then ready", async () => {
    const { port } = await listening(world);
    expect(await eventsUntil(client(world, { port, host }), ["ready", "connect"], "ready")).toEqual(["connect", "ready"]);
  });

  it("an address needs no lookup", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    expect(await eventsUntil(socket, ["lookup", "connect"], "connect")).toEqual(["connect"]);
  });

  it("is connecting and pending until it is connected", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    expect([socket.connecting, socket.pending, socket.readyState]).toEqual([true, true, "opening"]);
    await once(socket, "connect");
    expect([socket.connecting, socket.pending, socket.readyState]).toEqual([false, false, "open"]);
  });

  it("a new socket is closed and pending", () => {
    const socket = disposable(new world.client.Socket());
    expect([socket.connecting, socket.pending, socket.readyState, socket.destroyed]).toEqual([false, true, "open", false]);
  });

  it("connect returns the socket", async () => {
    const { port } = await listening(world);
    const socket = disposable(new world.client.Socket());
    expect(socket.connect(port, host)).toBe(socket);
    await once(socket, "connect");
  });

  it("connects in a later turn: listeners may be added after the call", async () => {
    const { port } = await listening(world);
    const socket = client(world, { port, host });
    let isLater = false;
    socket.on("connect", () => expect(isLater).toBe(true));
    isLater = true;
    await once(socket, "connect");
  });

  it("what is written before it is connected gets through in order", async () => {
    const { server, port } = await listening(world);
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const socket = client(world, { port, host });
    socket.write("a");
    socket.write("b");
    socket.end("c");
    const [far] = await accepted;
    let text = "";
    for await (const chunk of far) text += String(chunk);
    expect(text).toBe("abc");
  });

  it("localAddress and localPort are used", async () => {
    const { server, port } = await listening(world);
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const socket = client(world, { port, host, localAddress: host });
    const [far] = await accepted;
    expect(far.remoteAddress).toBe(host);
    if (socket.connecting) await once(socket, "connect");
    expect(socket.localAddress).toBe(host);
  });

  it("another address of the host as localAddress is what the peer sees", async () => {
    const { server, port } = await listening(world);
    const accepted = once(server, "connection") as Promise<[Socket]>;
    client(world, { port, host, localAddress: "127.0.0.9" });
    const [far] = await accepted;
    expect(far.remoteAddress).toBe("127.0.0.9");
  });

  const lookupOf =
    (address: string): LookupFunction =>
    (_name, options, callback) => {
      if (options.all === true) callback(null, [{ address, family: 4 }]);
      else callback(null, address, 4);
    };

  it("a name goes through lookup, which is given the name and the family", async () => {
    const { port } = await listening(world);
    const asked: [string, unknown][] = [];
    const lookup: LookupFunction = (name, options, callback) => {
      asked.push([name, options.family]);
      setImmediate(() => lookupOf(host)(name, options, callback));
    };
    const socket = client(world, { port, host: "name.test", family: 4, lookup });
    const [error, address, family, name] = (await once(socket, "lookup")) as unknown[];
    expect([error, address, family, name]).toEqual([null, host, 4, "name.test"]);
    await once(socket, "connect");
    expect(asked).toEqual([["name.test", 4]]);
  });

  it("an error of lookup ends the socket", async () => {
    const lookup: LookupFunction = (_name, _options, callback) =>
      callback(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }), "", 4);
    const socket = client(world, { port: 1, host: "name.test", lookup });
    const error = await errorOf(socket);
    expect([error.code, error.message, socket.destroyed]).toEqual(["ENOTFOUND", "no such name", true]);
  });

  it("a lookup that gives no address is an error with a code", async () => {
    const socket = client(world, { port: 1, host: "name.test", lookup: lookupOf("nonsense"), autoSelectFamily: false });
    expect((await errorOf(socket)).code).toBe("ERR_INVALID_IP_ADDRESS");
  });

  it("autoSelectFamily tries the next address when the first refuses", async () => {
    const { port } = await listening(world);
    const lookup = ((_name: string, _options: object, callback: (error: null, found: unknown) => void) =>
      callback(null, [
        { address: "127.0.0.77", family: 4 },
        { address: host, family: 4 },
      ])) as unknown as LookupFunction;
    const socket = client(world, { port, host: "name.test", lookup, autoSelectFamily: true } as TcpNetConnectOpts);
    await once(socket, "connect");
    expect(socket.remoteAddress).toBe(host);
  });

  it("autoSelectFamily gives all errors when every address refuses", async () => {
    const { server, port } = await listening(world);
    server.close();
    await once(server, "close");
    const lookup = ((_name: string, _options: object, callback: (error: null, found: unknown) => void) =>
      callback(null, [
        { address: "127.0.0.77", family: 4 },
        { address: "127.0.0.78", family: 4 },
      ])) as unknown as LookupFunction;
    const socket = client(world, { port, host: "name.test", lookup, autoSelectFamily: true } as TcpNetConnectOpts);
    const error = (await errorOf(socket)) as unknown as AggregateError & { code: string };
    expect(error.code).toBe("ECONNREFUSED");
    expect(error.errors.map((one: Error) => one.message)).toEqual([
      `connect ECONNREFUSED 127.0.0.77:${port}`,
      `connect ECONNREFUSED 127.0.0.78:${port}`,
    ]);
  });

  it("a socket may connect anew after it was closed", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.end("x"));
    const socket = client(world, { port, host });
    for (let round = 0; round < 3; round++) {
      if (round > 0) socket.connect(port, host);
      socket.resume();
      await once(socket, "close");
    }
    expect(socket.destroyed).toBe(true);
  });

  it("connects from within the listener of another connection", async () => {
    const { near, port } = await connected(world);
    const second = await new Promise<Socket>((resolve) => {
      const socket = client(world, { port, host });
      socket.once("connect", () => resolve(socket));
    });
    expect(second.remotePort).toBe(near.remotePort);
    expect(second.localPort).not.toBe(near.localPort);
  });

  const wrong: [string, unknown, string][] = [
    ["no port", { host }, "ERR_MISSING_ARGS"],
    ["a port beyond 65535", { port: 65_536, host }, "ERR_SOCKET_BAD_PORT"],
    ["a negative port", { port: -1, host }, "ERR_SOCKET_BAD_PORT"],
    ["a port that is no number", { port: "port", host }, "ERR_SOCKET_BAD_PORT"],
    ["a port of another type", { port: true, host }, "ERR_INVALID_ARG_TYPE"],
    ["a localAddress that is none", { port: 1, host, localAddress: "nowhere" }, "ERR_INVALID_IP_ADDRESS"],
    ["a localPort that is no number", { port: 1, host, localPort: "port" }, "ERR_INVALID_ARG_TYPE"],
    ["a lookup that is no function", { port: 1, host: "name.test", lookup: "lookup" }, "ERR_INVALID_ARG_TYPE"],
    ["an autoSelectFamily that is no boolean", { port: 1, host, autoSelectFamily: 1 }, "ERR_INVALID_ARG_TYPE"],
    ["objectMode", { port: 1, host, objectMode: true }, "ERR_INVALID_ARG_VALUE"],
    ["readableObjectMode", { port: 1, host, readableObjectMode: true }, "ERR_INVALID_ARG_VALUE"],
  ];
  it.each(wrong)("%s throws", (_what, options, code) => {
    expect(() => disposable(world.client.connect(options as TcpNetConnectOpts))).toThrow(expect.objectContaining({ code }));
  });
}
