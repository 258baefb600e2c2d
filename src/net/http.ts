/**
 * `rawtcp/http`: agents and connectors that take the built-in `http` and `https`, and undici, over a TCP of ours.
 *
 *     http.get("http://127.0.0.1:8080/", { agent: new Agent() });
 *     new undici.Client("http://127.0.0.1:8080", { connect: undiciConnect() });
 */
import nodeHttp from "node:http";
import nodeHttps from "node:https";
import { isIP, type NetConnectOpts, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { live, type NetStack, connect as netConnect, type StackOption } from "./index.js";

/** For `http.request`: its connections go over `stack`. */
export class Agent extends nodeHttp.Agent {
  readonly #stack: NetStack;

  constructor(options: nodeHttp.AgentOptions & StackOption = {}) {
    const { stack = live, ...others } = options;
    super(others);
    this.#stack = stack;
  }

  /** Called by Node for each new connection. */
  override createConnection(options: nodeHttp.ClientRequestArgs, _callback?: unknown): Socket {
    return createConnection({ ...(options as NetConnectOpts), stack: this.#stack });
  }
}

/** For `https.request`: TLS over connections of `stack`. */
export class HttpsAgent extends nodeHttps.Agent {
  readonly #stack: NetStack;

  constructor(options: nodeHttps.AgentOptions & StackOption = {}) {
    const { stack = live, ...others } = options;
    super(others);
    this.#stack = stack;
  }

  /** Called by Node for each new connection; TLS sessions are kept by Node's own agent. */
  override createConnection(
    options: nodeHttps.RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = createConnection({ ...(options as NetConnectOpts), stack: this.#stack });
    return super.createConnection({ ...options, socket } as nodeHttps.RequestOptions, callback);
  }
}

/** For the option `createConnection` of `http.request`. */
export function createConnection(options: NetConnectOpts & StackOption, callback?: () => void): Socket {
  return netConnect(withoutPath(options), callback);
}

/** For the option `createConnection` of `https.request`, and `tls.connect` for any other use. */
export function createSecureConnection(options: tls.ConnectionOptions & StackOption, callback?: () => void): tls.TLSSocket {
  const { stack = live, ...others } = options;
  const socket = netConnect(withoutPath({ ...others, stack } as NetConnectOpts & StackOption));
  const { host } = options;
  // Node does this where it makes the socket itself; an address is no name for SNI (RFC 6066 §3).
  const servername = options.servername ?? (host !== undefined && isIP(host) === 0 ? host : undefined);
  const secure = tls.connect({ ...others, socket, ...(servername === undefined ? {} : { servername }) }, callback);
  return secure;
}

/** What undici's `connect` function is given, and what it calls back. */
export interface UndiciConnectOptions {
  readonly hostname: string;
  readonly host?: string;
  readonly protocol: string;
  readonly port: string;
  readonly servername?: string;
  readonly localAddress?: string | null;
}
export type UndiciCallback = (error: Error | null, socket: Socket | null) => void;

/**
 * For the option `connect` of undici's `Client`, `Pool` and `Agent`. `secure` are options of `tls.connect`, such as `ca`.
 */
export function undiciConnect(
  options: StackOption & { readonly secure?: tls.ConnectionOptions } = {},
): (target: UndiciConnectOptions, callback: UndiciCallback) => void {
  const { stack = live, secure } = options;
  return (target, callback) => {
    const { hostname, protocol, localAddress } = target;
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    const isSecure = protocol === "https:";
    const port = Number(target.port || (isSecure ? 443 : 80));
    const local = localAddress ? { localAddress } : {};
    const socket = isSecure
      ? createSecureConnection({
          ALPNProtocols: ["http/1.1"],
          ...secure,
          host,
          port,
          stack,
          ...local,
          servername: target.servername || (isIP(host) !== 0 ? "" : host),
        })
      : netConnect({ host, port, stack, noDelay: true, ...local });
    const event = isSecure ? "secureConnect" : "connect";
    const succeed = (): void => {
      socket.off("error", fail);
      callback(null, socket);
    };
    const fail = (error: Error): void => {
      socket.off(event, succeed);
      callback(error, null);
    };
    socket.once(event, succeed);
    socket.once("error", fail);
  };
}

/** The `path` of a request is no pipe. */
function withoutPath(options: NetConnectOpts & StackOption): NetConnectOpts & StackOption {
  const { path: _path, ...others } = options as { path?: string } & NetConnectOpts & StackOption;
  return others as NetConnectOpts & StackOption;
}
