/**
 * `node --import rawtcp/register app.js`: every TCP connection and server of a program that knows nothing of us goes over our TCP. Node's
 * own sockets and servers are given handles of ours, in place: whatever is built on them (http, https, tls, http2, npm packages) follows,
 * whenever it was loaded. `rawtcp run` passes its options in the environment (`run-options.ts`); RAWTCP_STACK=simulated stays inside the
 * process, RAWTCP_QUIET=1 leaves the line at the end out.
 */
import cluster from "node:cluster";
import { openSync, rmSync, writeSync } from "node:fs";
import net from "node:net";
import { extname } from "node:path";
import tls from "node:tls";
import { formatJson } from "../observe/jsonl.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { kReinitializeHandle, ownerSymbol, type SocketInternals, TCP } from "./internals.js";
import type { NetStack } from "./net-stack.js";
import { isWanted, RUN_VARIABLE, type RunOptions, readRunOptions } from "./run-options.js";
import { handleOf, installServer, installSocket } from "./sockets.js";
import { liveStack, simulatedStack } from "./stacks.js";
import { TcpHandle } from "./tcp-handle.js";

const options: RunOptions = {
  ...(process.env["RAWTCP_STACK"] === "simulated" ? { simulated: true } : {}),
  ...(process.env["RAWTCP_QUIET"] === "1" ? { quiet: true } : {}),
  ...readRunOptions(process.env[RUN_VARIABLE]),
};

/** The stack that the program goes over. */
export const stack: NetStack = openStack(options);

type Method = (this: unknown, ...args: never[]) => unknown;
const socketMethods = methodsOf(net.Socket.prototype, ["connect", "resetAndDestroy", kReinitializeHandle]);

installSocket(net.Socket.prototype, socketMethods, (_socket, { host = "localhost", port }) =>
  isWanted(options, "connect", host, Number(port)) ? stack : undefined,
);
installServer(net.Server.prototype, methodsOf(net.Server.prototype, ["_listen2"]), (_server, port, address) =>
  isWanted(options, "listen", address ?? "::", port) ? stack : undefined,
);
followTls();
refuseCluster();
closeKernel();
process.on("exit", () => {
  if (stack.isUsed && options.quiet !== true) writeSync(2, `${summary(stack)}\n`);
});

function openStack(chosen: RunOptions): NetStack {
  const { pcap, json, bend, guard, profile, congestion, connection, allowRemote } = chosen;
  const common = {
    ...(profile === undefined ? {} : { profile }),
    ...(congestion === undefined ? {} : { congestion }),
    ...(connection === undefined ? {} : { connection: connection as Partial<ConnectionConfig> }),
    ...(bend === undefined ? {} : { bend }),
    ...(pcap === undefined ? {} : { capture: lateFile(pcap) }),
    ...(json === undefined ? {} : { sink: jsonSink(json) }),
  };
  if (chosen.simulated === true) return simulatedStack(common);
  return liveStack({
    ...common,
    ...(guard === undefined ? {} : { guard }),
    ...(allowRemote === undefined ? {} : { allowRemote }),
  });
}

/** The methods as they are now, before ours take their place. */
function methodsOf(prototype: object, names: readonly (string | symbol)[]): object {
  return Object.fromEntries(names.map((name) => [name, Reflect.get(prototype, name) as Method]));
}

/**
 * A TLS socket that makes its own connection has a handle of the kernel from its birth, below its own: it is changed for ours when it
 * connects, by the method with which Node itself tries another address.
 */
function followTls(): void {
  const prototype = tls.TLSSocket.prototype as unknown as Record<string | symbol, Method>;
  const { connect } = net.Socket.prototype as unknown as { connect: Method };
  const reinitialize = prototype[kReinitializeHandle];
  Object.defineProperty(prototype, kReinitializeHandle, {
    configurable: true,
    writable: true,
    value: function reinitializeOurs(this: tls.TLSSocket, handle: object): unknown {
      const present = handleOf(this);
      const ours = present !== undefined && handle instanceof TCP ? own(this, new TcpHandle(present.stack)) : handle;
      return Reflect.apply(reinitialize as Method, this, [ours] as never[]);
    },
  });
  Object.defineProperty(prototype, "connect", {
    configurable: true,
    writable: true,
    value: function connectOurs(this: tls.TLSSocket, ...args: unknown[]): unknown {
      const [first] = args;
      const target = (Array.isArray(first) ? first[0] : first) as { host?: string; port?: number; path?: string } | undefined;
      const parent: unknown = Reflect.get((this as unknown as SocketInternals)._handle ?? {}, "_parent");
      if (parent instanceof TCP && typeof target === "object" && target.path == null && target.port !== undefined) {
        if (isWanted(options, "connect", target.host ?? "localhost", Number(target.port))) {
          void stack.session; // throws where it cannot be opened
          Reflect.apply(prototype[kReinitializeHandle] as Method, this, [own(this, new TcpHandle(stack))] as never[]);
        }
      }
      return Reflect.apply(connect, this, args as never[]);
    },
  });
}

/** Node sets the owner of a TLS socket's inner handle only where it makes the handle itself. */
function own(socket: tls.TLSSocket, handle: TcpHandle): TcpHandle {
  Reflect.set(handle, ownerSymbol, socket);
  return handle;
}

/** Workers of a cluster share a listening handle of the kernel, which their primary hands out: there is none of ours to share. */
function refuseCluster(): void {
  if (!cluster.isWorker) return;
  const prototype = net.Server.prototype as unknown as { listen: Method };
  const { listen } = prototype;
  prototype.listen = function listenAlone(this: unknown, ...args: unknown[]): unknown {
    const [first] = args;
    const isExclusive = typeof first === "object" && first !== null && Reflect.get(first, "exclusive") === true;
    if (!isExclusive && options.only !== "connect") throw bypassed("listen");
    return Reflect.apply(listen, this, args as never[]);
  };
}

/** What is to be ours and asks the kernel for a connection all the same has found a way around us: that must not go unseen. */
function closeKernel(): void {
  const prototype = TCP.prototype as Record<string, Method>;
  const kinds = { connect: "connect", connect6: "connect", listen: "listen" } as const;
  for (const [name, kind] of Object.entries(kinds)) {
    const original = prototype[name] as Method;
    prototype[name] = function guarded(this: unknown, ...args: unknown[]): unknown {
      const port = kind === "connect" ? Number(args[2]) : 0;
      const host = kind === "connect" ? String(args[1]) : "";
      // With a choice of hosts or ports it may well be the kernel's.
      const isChosen = options.hosts !== undefined || (kind === "listen" && options.ports !== undefined);
      if (!isChosen && isWanted(options, kind, host, port)) throw bypassed(kind);
      return Reflect.apply(original, this, args as never[]);
    };
  }
}

function bypassed(what: string): Error {
  return Object.assign(
    new Error(
      `rawtcp: a ${what} of the kernel's TCP beside ours (a cluster worker, or code on Node's internals): it would not be seen`,
    ),
    { code: "ERR_RAWTCP_BYPASSED" },
  );
}

/** One line at the end. */
function summary({ statistics, name }: NetStack): string {
  const { opened, accepted, bytesRead, bytesWritten } = statistics;
  const connections = opened + accepted;
  return (
    `rawtcp: ${connections} connection${connections === 1 ? "" : "s"} over our TCP (${opened} opened, ${accepted} accepted), ` +
    `${bytesRead} bytes in, ${bytesWritten} bytes out${name === "simulated" ? ", simulated" : ""}`
  );
}

/** A file that is opened with its first bytes: most processes of a program have no connections. */
function lateFile(path: string): (bytes: Uint8Array) => void {
  let fd = -1;
  return (bytes) => {
    if (fd === -1) fd = openOwn(path);
    if (fd < 0) return;
    try {
      writeSync(fd, bytes);
    } catch (error) {
      process.stderr.write(`rawtcp: ${path} ends here: ${error instanceof Error ? error.message : String(error)}\n`);
      fd = -2;
    }
  };
}

/** Another process of the same program may have taken the name: then ours bears the number of this one. */
function openOwn(path: string): number {
  try {
    return openSync(path, "wx");
  } catch {
    const extension = extname(path);
    const own = `${path.slice(0, path.length - extension.length)}.${process.pid}${extension}`;
    rmSync(own, { force: true });
    return openSync(own, "wx");
  }
}

function jsonSink(path: string): (event: Parameters<typeof formatJson>[0]) => void {
  const write = path === "-" ? (bytes: Uint8Array): void => void writeSync(2, bytes) : lateFile(path);
  return (event) => write(Buffer.from(`${formatJson(event)}\n`));
}
