/**
 * `rawtcp/net`: `node:net` over a TCP of ours. Sockets, servers, streams, events and errors are Node's; what goes over the wire is ours.
 *
 *     import net from "rawtcp/net";
 *     const socket = net.connect(80, "127.0.0.1");
 *     socket.on("segment", console.log);
 *
 * The default stack is live, over raw sockets; `{ stack: simulated }` stays inside the process.
 */
import nodeNet from "node:net";
import { notTcp } from "./errors.js";
import { normalizeArgs } from "./internals.js";
import { NetStack } from "./net-stack.js";
import { extendSockets, type Socket as OurSocket } from "./socket-extras.js";
import { installServer, installSocket } from "./sockets.js";
import { liveStack, simulatedStack } from "./stacks.js";

export { NetStack, type NetStatistics } from "./net-stack.js";
export type { Socket as RawTcpSocket } from "./socket-extras.js";
export { type LiveStackOptions, liveStack, type SimulatedStackOptions, type StackChoices, simulatedStack } from "./stacks.js";

/** The option that Node does not have. */
export interface StackOption {
  /** The stack to go over; `liveStack()` and `simulatedStack()` make one. Default: the module's own, which is live. */
  readonly stack?: NetStack;
}

/** `node:net`, with our option wherever options are taken. */
export type Net = Omit<typeof nodeNet, "Socket" | "Stream" | "connect" | "createConnection" | "createServer"> & {
  readonly Socket: {
    new (options?: nodeNet.SocketConstructorOpts & StackOption): OurSocket;
    (options?: nodeNet.SocketConstructorOpts & StackOption): OurSocket;
    readonly prototype: OurSocket;
  };
  readonly Stream: Net["Socket"];
  connect(options: nodeNet.NetConnectOpts & StackOption, connectionListener?: () => void): OurSocket;
  connect(port: number, host?: string, connectionListener?: () => void): OurSocket;
  connect(port: number, connectionListener: () => void): OurSocket;
  readonly createConnection: Net["connect"];
  createServer(connectionListener?: (socket: OurSocket) => void): nodeNet.Server;
  createServer(options?: nodeNet.ServerOpts & StackOption, connectionListener?: (socket: OurSocket) => void): nodeNet.Server;
};

/** Where sockets and servers keep the stack that they were given. */
const kStack = Symbol("rawtcp.stack");

type Given = { [kStack]?: NetStack };
type Constructor = { (...args: unknown[]): unknown; prototype: object };

/** A `net` whose sockets and servers go over `stack` unless they are given another. */
export function createNet(stack: NetStack): Net {
  function Socket(this: unknown, options?: nodeNet.SocketConstructorOpts & StackOption): unknown {
    if (!(this instanceof (Socket as unknown as Constructor))) return Reflect.construct(Socket, [options]);
    if (typeof options === "number" || (options?.fd !== undefined && options.fd !== null)) throw notTcp("file descriptors");
    Reflect.apply(nodeNet.Socket as unknown as Constructor, this, [options]);
    keepStack(this, options);
    return undefined;
  }
  inherit(Socket, nodeNet.Socket);
  installSocket(Socket.prototype, nodeNet.Socket.prototype, (socket, options) => {
    return (options as StackOption).stack ?? (socket as Given)[kStack] ?? stack;
  });
  refusePipes(Socket.prototype);
  extendSockets(Socket.prototype);

  function Server(this: unknown, ...args: unknown[]): unknown {
    if (!(this instanceof (Server as unknown as Constructor))) return Reflect.construct(Server, args);
    Reflect.apply(nodeNet.Server as unknown as Constructor, this, args);
    const [options] = args;
    if (typeof options === "object" && options !== null) keepStack(this, options as StackOption);
    return undefined;
  }
  inherit(Server, nodeNet.Server);
  installServer(
    Server.prototype,
    nodeNet.Server.prototype,
    (server) => (server as Given)[kStack] ?? stack,
    // Node makes its own sockets for a server's connections: they become ours.
    (socket) => void Object.setPrototypeOf(socket, Socket.prototype),
  );
  refuseListening(Server.prototype);

  function connect(...args: unknown[]): unknown {
    const normalized = normalizeArgs(args);
    const [options] = normalized;
    const socket = new (Socket as unknown as Net["Socket"])(options as StackOption);
    if (options["timeout"]) socket.setTimeout(options["timeout"] as number);
    return Reflect.apply(socket.connect, socket, [normalized]);
  }
  function createServer(...args: unknown[]): unknown {
    return Reflect.construct(Server, args);
  }
  return { ...nodeNet, Socket, Stream: Socket, Server, connect, createConnection: connect, createServer } as unknown as Net;
}

/** Node's constructors are functions, so that other functions can inherit from them by `call`. */
function inherit(derived: { prototype: object }, base: { prototype: object }): void {
  Object.setPrototypeOf(derived.prototype, base.prototype);
  Object.setPrototypeOf(derived, base);
}

function keepStack(target: unknown, options: StackOption | undefined): void {
  if (options?.stack === undefined) return;
  if (!(options.stack instanceof NetStack))
    throw new TypeError('the option "stack" must come from liveStack() or simulatedStack()');
  Object.defineProperty(target, kStack, { value: options.stack });
}

/** What TCP over raw IP cannot give is refused by name. */
function refusePipes(prototype: object): void {
  const { connect } = prototype as { connect(...args: unknown[]): unknown };
  Object.defineProperty(prototype, "connect", {
    configurable: true,
    writable: true,
    value: function connectTcp(this: unknown, ...args: unknown[]): unknown {
      const normalized = normalizeArgs(args);
      if (normalized[0]["path"] != null) throw notTcp("pipes");
      return Reflect.apply(connect, this, [normalized]);
    },
  });
}

function refuseListening(prototype: object): void {
  const { listen } = nodeNet.Server.prototype;
  Object.defineProperty(prototype, "listen", {
    configurable: true,
    writable: true,
    value: function listenTcp(this: unknown, ...args: unknown[]): unknown {
      const [options] = normalizeArgs(args);
      if (options["path"] != null) throw notTcp("pipes");
      if (typeof options["fd"] === "number" && options["fd"] >= 0) throw notTcp("file descriptors");
      if (options["handle"] !== undefined || options["_handle"] !== undefined) throw notTcp("handles of the kernel");
      return Reflect.apply(listen, this, args);
    },
  });
}

/** The stack of this module: live, over raw sockets, opened by the first socket. */
export const live: NetStack = liveStack();
/** A stack inside the process, for tests without rights: `{ stack: simulated }`. */
export const simulated: NetStack = simulatedStack();

const ours = createNet(live);

export default ours;
export const { Socket, Stream, Server, connect, createConnection, createServer } = ours;
export const {
  BlockList,
  SocketAddress,
  isIP,
  isIPv4,
  isIPv6,
  getDefaultAutoSelectFamily,
  setDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  setDefaultAutoSelectFamilyAttemptTimeout,
} = nodeNet;
