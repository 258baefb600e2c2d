/**
 * Puts our handles under Node's sockets and servers: into prototypes, ours or Node's own, at the few places where Node would make a handle
 * of the kernel. All else is Node's.
 */
import net from "node:net";
import { type JsStream, kReinitializeHandle, normalizeArgs, ownerOf, type SocketInternals, TCP } from "./internals.js";
import type { NetStack } from "./net-stack.js";
import { TcpHandle } from "./tcp-handle.js";

/** Which stack a socket goes over; undefined leaves it to the kernel. */
export type ChooseForSocket = (socket: net.Socket, options: net.TcpNetConnectOpts) => NetStack | undefined;
export type ChooseForServer = (server: net.Server, port: number, address: string | null) => NetStack | undefined;

/** A prototype as a table of methods, some of them under Node's symbols. */
type Methods = Record<string | symbol, (this: never, ...args: never[]) => unknown>;

/** The handle of a socket, if it is ours; that of a TLS socket is below its own. */
export function handleOf(socket: object): TcpHandle | undefined {
  const handle = (socket as SocketInternals)._handle;
  if (handle instanceof TcpHandle) return handle;
  const parent: unknown = handle === null || handle === undefined ? undefined : Reflect.get(handle, "_parent");
  return parent instanceof TcpHandle ? parent : undefined;
}

/** What waits for a socket to get its handle. */
const kWaiting = Symbol("rawtcp.waiting");
type Waiting = { [kWaiting]?: ((handle: TcpHandle) => void)[] };

/** Now if the socket has its handle, else as soon as it gets one: before its SYN. */
export function withHandle(socket: object, action: (handle: TcpHandle) => void): void {
  const handle = handleOf(socket);
  if (handle !== undefined) {
    action(handle);
    return;
  }
  const holder = socket as Waiting;
  holder[kWaiting] ??= [];
  holder[kWaiting].push(action);
}

/**
 * Makes the sockets of a prototype connect over our stack, where `choose` says so. `base` has the methods that are called in the end.
 */
export function installSocket(prototype: object, base: object, choose: ChooseForSocket): void {
  const methods = prototype as Methods;
  const { connect, resetAndDestroy, [kReinitializeHandle]: reinitialize } = base as Methods;

  define(methods, "connect", function connectOurs(this: net.Socket, ...args: unknown[]): unknown {
    const normalized = normalizeArgs(args);
    const [options] = normalized;
    const internals = this as unknown as SocketInternals;
    // A handle that is there is ours already, or somebody's who knows why; without a port Node says what is wrong.
    if ((internals._handle === null || this.destroyed) && options["path"] == null && options["port"] !== undefined) {
      const stack = choose(this, options as unknown as net.TcpNetConnectOpts);
      if (stack !== undefined) {
        void stack.session; // throws where it cannot be opened
        internals._handle = null;
        internals._peername = null;
        internals._sockname = null;
        const handle = new TcpHandle(stack);
        callSymbol(this, kReinitializeHandle, handle);
        const holder = this as Waiting;
        for (const action of holder[kWaiting]?.splice(0) ?? []) action(handle);
      }
    }
    return apply(connect, this, [normalized]);
  });

  // Called by Node itself with a handle of the kernel when it tries the next address of a host (autoSelectFamily).
  define(methods, kReinitializeHandle, function reinitializeOurs(this: net.Socket, handle: object): unknown {
    const present = handleOf(this);
    const isOurs = present !== undefined && handle instanceof TCP;
    return apply(reinitialize, this, [isOurs ? new TcpHandle(present.stack) : handle]);
  });

  define(methods, "resetAndDestroy", function resetOurs(this: net.Socket): unknown {
    if (!((this as unknown as SocketInternals)._handle instanceof TcpHandle)) return apply(resetAndDestroy, this, []);
    const reset = (): unknown => (this as unknown as { _reset(): unknown })._reset();
    if (this.connecting) this.once("connect", reset);
    else reset();
    return this;
  });
}

/** Makes the servers of a prototype listen on our stack, where `choose` says so. `onSocket` is told of every socket that it accepts. */
export function installServer(
  prototype: object,
  base: object,
  choose: ChooseForServer,
  onSocket?: (socket: net.Socket) => void,
): void {
  const methods = prototype as Methods;
  const { _listen2: listen } = base as Methods;
  define(
    methods,
    "_listen2",
    function listenOurs(
      this: net.Server,
      address: string | null,
      port: number,
      addressType: number,
      backlog: number,
      fd: number | undefined,
      flags: number,
    ): unknown {
      const internals = this as unknown as { _handle: object | null };
      const isTcp = !internals._handle && !(typeof fd === "number" && fd >= 0) && port !== -1;
      const stack = isTcp ? choose(this, port, address) : undefined;
      if (stack === undefined) return apply(listen, this, [address, port, addressType, backlog, fd, flags]);
      const { handle, bound } = bindHandle(stack, address, port, addressType, flags ?? 0);
      if (onSocket !== undefined) tellSockets(handle, onSocket);
      internals._handle = handle;
      return apply(listen, this, [bound, port, bound.includes(":") ? 6 : 4, backlog, fd, flags]);
    },
  );
}

/** Without an address both families, and IPv4 alone where there is no other, as Node does. */
function bindHandle(
  stack: NetStack,
  address: string | null,
  port: number,
  addressType: number,
  flags: number,
): { handle: ListeningHandle; bound: string } {
  if (!address) {
    const dual = new ListeningHandle(stack);
    if (dual.bind6("::", port, flags) === 0) return { handle: dual, bound: "::" };
  }
  const handle = new ListeningHandle(stack);
  const bound = address || "0.0.0.0";
  handle.failure = addressType === 6 && address ? handle.bind6(bound, port, flags) : handle.bind(bound, port);
  return { handle, bound };
}

/** What was wrong with the address is told by `listen`, where Node makes its error of it. */
class ListeningHandle extends TcpHandle {
  failure = 0;

  override listen(backlog: number): number {
    return this.failure || super.listen(backlog);
  }
}

/** Tells of each socket that Node makes for a connection of a server, before anyone else sees it. */
function tellSockets(handle: TcpHandle, onSocket: (socket: net.Socket) => void): void {
  handle.onclient = (client) => {
    // A handle learns its socket when the socket sets itself up.
    client.onowner = () => {
      const owner = ownerOf(client);
      if (owner instanceof net.Socket) onSocket(owner);
    };
  };
}

function define(methods: Methods, name: string | symbol, value: unknown): void {
  Object.defineProperty(methods, name, { value, writable: true, configurable: true, enumerable: typeof name === "string" });
}

function apply(method: unknown, self: unknown, args: unknown[]): unknown {
  return Reflect.apply(method as (...args: unknown[]) => unknown, self, args);
}

function callSymbol(target: object, name: symbol, handle: JsStream): void {
  apply(Reflect.get(target, name), target, [handle]);
}
