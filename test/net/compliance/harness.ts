/**
 * One list of cases for `node:net` and for ours. A case is given a world: a client's and a server's `net`, and the address on which they
 * meet. It must hold in every world, so what it asserts is what Node documents or does.
 */
import { type EventEmitter, on, once } from "node:events";
import type * as NodeNet from "node:net";
import { describe, onTestFinished } from "vitest";

/** The shape of `node:net` that a case may use. */
export type Net = typeof NodeNet;

export interface World {
  readonly name: string;
  readonly client: Net;
  readonly server: Net;
  /** An IPv4 address at which the server listens. */
  readonly host: string;
}

/** The cases of one behaviour; calls `it` for each. */
export type Behaviour = (world: World) => void;

/** Registers every behaviour in every world. */
export function runCompliance(worlds: readonly World[], behaviours: Readonly<Record<string, Behaviour>>): void {
  describe.each(worlds)("$name", (world) => {
    for (const [title, behaviour] of Object.entries(behaviours)) describe(title, () => behaviour(world));
  });
}

/** Ends with the test, however it ends. */
export function disposable<T extends { destroy(): unknown } | { close(): unknown }>(thing: T): T {
  onTestFinished(() => {
    if ("destroy" in thing) thing.destroy();
    else thing.close();
  });
  return thing;
}

/** A server that listens on a free port of the world, and that port. All that it accepts ends with the test. */
export async function listening(
  world: World,
  options: NodeNet.ServerOpts = {},
  onConnection?: (socket: NodeNet.Socket) => void,
): Promise<{ server: NodeNet.Server; port: number }> {
  const server = disposable(world.server.createServer(options));
  server.on("connection", disposeLater());
  if (onConnection !== undefined) server.on("connection", onConnection);
  server.listen(0, world.host);
  await once(server, "listening");
  return { server, port: (server.address() as NodeNet.AddressInfo).port };
}

function disposeLater(): (socket: NodeNet.Socket) => void {
  const sockets: NodeNet.Socket[] = [];
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  return (socket) => void sockets.push(socket);
}

/** A client of the world that ends with the test. Errors that nobody expects must not end the run. */
export function client(world: World, options: NodeNet.NetConnectOpts): NodeNet.Socket {
  return disposable(world.client.connect(options));
}

/** Both ends of a new connection, and the server that took it. */
export async function connected(
  world: World,
  clientOptions: Partial<NodeNet.TcpNetConnectOpts & NodeNet.SocketConstructorOpts> = {},
  serverOptions: NodeNet.ServerOpts = {},
): Promise<{ near: NodeNet.Socket; far: NodeNet.Socket; server: NodeNet.Server; port: number }> {
  const { server, port } = await listening(world, serverOptions);
  const accepted = once(server, "connection");
  const near = client(world, { port, host: world.host, ...clientOptions });
  const [[far]] = await Promise.all([accepted as Promise<[NodeNet.Socket]>, once(near, "connect")]);
  return { near, far, server, port };
}

/** Everything that a stream brings, to its end. */
export async function readAll(socket: NodeNet.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** As `readAll`, but leaves the socket as it is: an iteration to the end would destroy a half-open one. */
export async function readToEnd(socket: NodeNet.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

/** Takes exactly so many bytes from the data events of a socket. */
export async function readBytes(socket: NodeNet.Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const [chunk] of on(socket, "data") as AsyncIterable<[Buffer]>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= count) break;
  }
  return Buffer.concat(chunks);
}

/** The names of events in the order in which they come, until one of them is `last`. */
export async function eventsUntil(emitter: EventEmitter, names: readonly string[], last: string): Promise<string[]> {
  const told: string[] = [];
  for (const name of names) emitter.on(name, () => told.push(name));
  await new Promise((resolve) => emitter.once(last, resolve));
  return told;
}

/** The error with which something ends. */
export async function errorOf(emitter: EventEmitter): Promise<NodeJS.ErrnoException & { address?: string; port?: number }> {
  return new Promise((resolve) => emitter.once("error", resolve));
}

/** A port at which nobody listens. */
export async function closedPort(world: World): Promise<number> {
  const server = world.server.createServer().listen(0, world.host);
  await once(server, "listening");
  const { port } = server.address() as NodeNet.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Bytes that tell where they belong. */
export function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 255;
  return bytes;
}
