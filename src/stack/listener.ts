/**
 * A passive OPEN that stays: connections in SYN-RECEIVED wait in its SYN queue (半连接队列), connections that are done with
 * the handshake in its accept queue (全连接队列) until the user takes them.
 */
import type { Micros } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection, EstablishGate } from "../tcp/connection.js";
import type { IpAddress } from "../wire/address.js";

export interface ListenOptions {
  /** Unspecified (0.0.0.0, ::) takes connections to every address of the family. */
  readonly address: IpAddress;
  /** 0 chooses a free one. */
  readonly port?: number;
  /** Size of the accept queue. Default 511, as Node has it. */
  readonly backlog?: number;
  /** Size of the SYN queue. Default 1024. */
  readonly synBacklog?: number;
  readonly connection?: Partial<ConnectionConfig>;
}

/** What the owner of listeners (the stack) does for them. */
export interface ListenerHost {
  accepted(connection: Connection): void;
  listenerClosed(listener: Listener, now: Micros): void;
  listenerReady(listener: Listener): void;
}

export class Listener implements EstablishGate {
  readonly address: IpAddress;
  readonly port: number;
  readonly backlog: number;
  readonly synBacklog: number;
  readonly config: ConnectionConfig;
  readonly portKey: string;
  /** For the user, see Connection.context. */
  context: unknown;
  /** Connections in SYN-RECEIVED. */
  readonly synQueue = new Set<Connection>();
  readonly acceptQueue: Connection[] = [];
  closed = false;
  readonly counters = {
    /** SYNs dropped because the SYN queue was full. */
    synQueueOverflows: 0,
    /** SYNs and third ACKs dropped because the accept queue was full. */
    acceptQueueOverflows: 0,
    /** Half-open connections given up: the third segment never came, or RST. */
    handshakesFailed: 0,
    accepted: 0,
  };
  readonly #host: ListenerHost;

  constructor(host: ListenerHost, options: ListenOptions, port: number, config: ConnectionConfig, portKey: string) {
    this.#host = host;
    this.address = options.address;
    this.port = port;
    this.backlog = options.backlog ?? 511;
    this.synBacklog = options.synBacklog ?? 1024;
    this.config = config;
    this.portKey = portKey;
  }

  /** Whether a SYN finds room. Note: Linux does the same: no new half-open connections while the accept queue is full. */
  mayBegin(): boolean {
    if (this.acceptQueue.length >= this.backlog) {
      this.counters.acceptQueueOverflows++;
      return false;
    }
    if (this.synQueue.size >= this.synBacklog) {
      this.counters.synQueueOverflows++;
      return false;
    }
    return true;
  }

  /** The third segment has come: on to the accept queue, or not yet (the peer's data or our SYN-ACK will be repeated). */
  mayEstablish(connection: Connection): boolean {
    if (!this.synQueue.has(connection)) return true;
    if (this.acceptQueue.length >= this.backlog) {
      this.counters.acceptQueueOverflows++;
      return false;
    }
    this.synQueue.delete(connection);
    this.acceptQueue.push(connection);
    this.#host.listenerReady(this);
    return true;
  }

  /** Takes the oldest connection that is ready, or undefined. Its events begin from here. */
  accept(): Connection | undefined {
    const connection = this.acceptQueue.shift();
    if (connection === undefined) return undefined;
    this.counters.accepted++;
    this.#host.accepted(connection);
    return connection;
  }

  /** Stops listening: connections that nobody has accepted, half-open ones included, are reset. */
  close(now: Micros): void {
    if (this.closed) return;
    this.closed = true;
    this.#host.listenerClosed(this, now);
  }
}
