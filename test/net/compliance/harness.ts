/**
 * One list of cases for `node:net` and for ours. A case is given a world: a client's and a server's `net`, and the address on which they
 * meet. It must hold in every world, so what it asserts is what Node documents or does.
 */
import { once } from "node:events";
import type * as NodeNet from "node:net";
import { describe } from "vitest";

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

/** A server that listens on a free port of the world, and that port. */
export async function listening(
  world: World,
  options: NodeNet.ServerOpts = {},
  onConnection?: (socket: NodeNet.Socket) => void,
): Promise<{ server: NodeNet.Server; port: number }> {
  const server = world.server.createServer(options, onConnection);
  server.listen(0, world.host);
  await once(server, "listening");
  return { server, port: (server.address() as NodeNet.AddressInfo).port };
}

/** Both ends of a new connection, and the server that took it. */
export async function connected(
  world: World,
  clientOptions: Partial<NodeNet.TcpNetConnectOpts & NodeNet.SocketConstructorOpts> = {},
  serverOptions: NodeNet.ServerOpts = {},
): Promise<{ client: NodeNet.Socket; peer: NodeNet.Socket; server: NodeNet.Server; port: number }> {
  const { server, port } = await listening(world, serverOptions);
  const accepted = once(server, "connection");
  const client = world.client.connect({ port, host: world.host, ...clientOptions });
  const [[peer]] = await Promise.all([accepted as Promise<[NodeNet.Socket]>, once(client, "connect")]);
  return { client, peer, server, port };
}

/** Ends whatever is still open; resolves when the server is closed. */
export async function closeAll(server: NodeNet.Server, ...sockets: NodeNet.Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  await closed;
}

/** Everything that a stream brings, to its end. */
export async function readAll(socket: NodeNet.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
