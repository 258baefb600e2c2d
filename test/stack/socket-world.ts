/** Two hosts with sockets in virtual time, a millisecond apart. */
import { MILLISECOND, type Micros } from "../../src/base/time.js";
import type { SimHost, SimHostOptions } from "../../src/sim/host.js";
import type { Link } from "../../src/sim/link.js";
import { Simulation } from "../../src/sim/simulation.js";
import { StackSocket } from "../../src/stack/socket.js";
import { formatPoll } from "../../src/stack/socket-constants.js";
import type { ConnectionConfig } from "../../src/tcp/config.js";
import { type IpAddress, parseAddress } from "../../src/wire/address.js";

export const CLIENT = parseAddress("10.0.0.1");
export const SERVER = parseAddress("10.0.0.2");

export class SocketWorld {
  readonly sim = new Simulation(11);
  readonly client: SimHost;
  readonly server: SimHost;
  /** To the server, and to the client. */
  readonly there: Link;
  readonly back: Link;

  constructor(connection: Partial<ConnectionConfig> = {}, serverOptions: SimHostOptions = {}) {
    this.client = this.sim.host("client", CLIENT, { connection });
    this.server = this.sim.host("server", SERVER, { connection, ...serverOptions });
    [this.there, this.back] = this.sim.link(this.client, this.server, { delayUs: MILLISECOND });
  }

  get now(): Micros {
    return this.sim.now;
  }

  /** `socket()` on the client or the server. */
  socket(host: SimHost = this.client): StackSocket {
    return new StackSocket({ stack: host.stack, sourceAddress: () => host.address }, 4);
  }

  /** Lets `us` pass. */
  run(us: Micros = 10 * MILLISECOND): void {
    this.sim.run({ until: this.now + us });
  }

  /** A server that listens on port 80. */
  listening(backlog = 8, prepare: (socket: StackSocket) => void = () => undefined): StackSocket {
    const socket = this.socket(this.server);
    prepare(socket);
    socket.bind(SERVER, 80);
    socket.listen(backlog);
    return socket;
  }

  /** A client whose connect is under way. */
  connecting(to: IpAddress = SERVER, port = 80, prepare: (socket: StackSocket) => void = () => undefined): StackSocket {
    const socket = this.socket();
    prepare(socket);
    expectCode("EINPROGRESS", () => socket.connect(to, port, this.now));
    return socket;
  }

  /** Both ends of a connection. */
  connected(): { client: StackSocket; server: StackSocket; listener: StackSocket } {
    const listener = this.listening();
    const client = this.connecting();
    this.run();
    return { client, server: listener.accept(this.now), listener };
  }
}

/** The code of what `call` throws, "" when it does not. */
export function codeOf(call: () => unknown): string {
  try {
    call();
    return "";
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

/** For preparations: throws unless `call` fails with `code`. */
export function expectCode(code: string, call: () => unknown): void {
  const got = codeOf(call);
  if (got !== code) throw new Error(`expected ${code}, not "${got}"`);
}

/** What a socket is ready for, in words. */
export function ready(socket: StackSocket): string {
  return formatPoll(socket.poll());
}

/** The count of `recv`, or the code of its error. */
export function receive(socket: StackSocket, length = 100, flags = 0): number | string {
  let count = -1;
  const code = codeOf(() => {
    count = socket.recv(new Uint8Array(length), flags);
  });
  return code === "" ? count : code;
}

export function text(socket: StackSocket, length = 100, flags = 0): string {
  const target = new Uint8Array(length);
  return String.fromCharCode(...target.subarray(0, socket.recv(target, flags)));
}

export function bytes(content: string): Uint8Array {
  return Uint8Array.from(content, (c) => c.charCodeAt(0));
}
