/**
 * A passive OPEN that stays: connections in SYN-RECEIVED wait in its SYN queue (半连接队列), connections that are done with
 * the handshake in its accept queue (全连接队列) until the user takes them.
 */
import { type Micros, SECOND } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import type { Connection, EstablishGate } from "../tcp/connection.js";
import type { IpAddress } from "../wire/address.js";
import { FIN, SYN } from "../wire/tcp-flags.js";
import type { SynCookiePolicy } from "./config.js";
import type { FastOpenCookies } from "./fast-open-cookies.js";

export interface ListenOptions {
  /** Unspecified (0.0.0.0, ::) takes connections to every address of the family. */
  readonly address: IpAddress;
  /** 0 chooses a free one. */
  readonly port?: number;
  /** Size of the accept queue, at least 1. Default 511, as Node has it. */
  readonly backlog?: number;
  /** Size of the SYN queue. Default 1024. */
  readonly synBacklog?: number;
  /**
   * Fast Open connections at a time that are not through with their handshake (RFC 7413 §5.1; Linux: TCP_FASTOPEN). Default 0: none.
   * `connection.fastOpen` must say "server" or "both" too.
   */
  readonly fastOpenQueue?: number;
  /** 16 bytes, or 32 with the last key: for the cookies of this listener alone (Linux: TCP_FASTOPEN_KEY). */
  readonly fastOpenKey?: Uint8Array;
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
  /** May be changed at any time (POSIX: listen, once more). */
  backlog: number;
  readonly synBacklog: number;
  /** See ListenOptions; may be changed at any time. */
  fastOpenQueue: number;
  /** What its connections begin with; a change holds for those to come. */
  config: ConnectionConfig;
  /** Where the listener has a key of its own. */
  fastOpenCookies: FastOpenCookies | undefined;
  readonly portKey: string;
  /** For the user, see Connection.context. */
  context: unknown;
  /** Connections in SYN-RECEIVED. */
  readonly synQueue = new Set<Connection>();
  readonly acceptQueue: Connection[] = [];
  /** Fast Open connections in SYN-RECEIVED: in the accept queue, or with the user already. */
  readonly fastOpenPending = new Set<Connection>();
  /** Of those that were reset, when they count no more. */
  #fastOpenResets: Micros[] = [];
  closed = false;
  readonly counters = {
    /** SYNs for new connections, whatever became of them. */
    synsReceived: 0,
    /** SYNs that found the SYN queue full: dropped, or answered with a cookie. */
    synQueueOverflows: 0,
    /** SYNs and third ACKs dropped because the accept queue was full. */
    acceptQueueOverflows: 0,
    /** Half-open connections given up: the third segment never came, or RST. */
    handshakesFailed: 0,
    /** Handshakes that were done: put into the accept queue. */
    established: 0,
    accepted: 0,
    /** SYN-ACKs with a cookie; third segments that brought a good one; and those that brought none while one was expected. */
    cookiesSent: 0,
    cookiesReceived: 0,
    cookiesFailed: 0,
    /** SYNs whose data was taken; SYNs that found too many such pending; cookies granted; and cookies that were wrong. */
    fastOpenAccepted: 0,
    fastOpenOverflows: 0,
    fastOpenCookiesSent: 0,
    fastOpenCookiesFailed: 0,
  };
  readonly #host: ListenerHost;
  /** When the SYN queue is full, or always. */
  synCookies: SynCookiePolicy;

  constructor(
    host: ListenerHost,
    options: ListenOptions,
    port: number,
    config: ConnectionConfig,
    portKey: string,
    synCookies: SynCookiePolicy = "when-full",
  ) {
    this.#host = host;
    this.synCookies = synCookies;
    this.address = options.address;
    this.port = port;
    // Note: Linux does the same: even a backlog of 0 lets one connection in.
    this.backlog = Math.max(1, options.backlog ?? 511);
    this.synBacklog = options.synBacklog ?? 1024;
    this.fastOpenQueue = options.fastOpenQueue ?? 0;
    this.config = config;
    this.portKey = portKey;
  }

  /** Whether the accept queue takes no more. Note: FreeBSD lets in half as many again, and a SYN in any case (solisten_clone). */
  get isFull(): boolean {
    const { length } = this.acceptQueue;
    return this.config.arrivalRules === "bsd" ? 2 * length > 3 * this.backlog : length >= this.backlog;
  }

  /** Whether both queues have room; counts nothing. */
  get hasRoom(): boolean {
    return !this.isFull && this.synQueue.size < this.synBacklog;
  }

  /** What a SYN with these control bits is to become. Note: Linux does the same: nothing new while the accept queue is full, with cookies or without. */
  admit(flags = SYN): "half-open" | "cookie" | "dropped" {
    // Note: Linux does so in any case: no host begins a connection with its end.
    if ((flags & FIN) !== 0 && (this.config.dropsSynFin || this.config.receiver === "linux")) return "dropped";
    this.counters.synsReceived++;
    if (this.isFull && this.config.arrivalRules !== "bsd") {
      this.counters.acceptQueueOverflows++;
      return "dropped";
    }
    if (this.synQueue.size >= this.synBacklog) {
      this.counters.synQueueOverflows++;
      return this.synCookies === "off" ? "dropped" : "cookie";
    }
    return this.synCookies === "always" ? "cookie" : "half-open";
  }

  /** Whether a third segment with a cookie may become a connection; counts it if not. */
  mayRecall(): boolean {
    if (!this.isFull) return true;
    this.counters.acceptQueueOverflows++;
    return false;
  }

  /** The third segment has come: on to the accept queue, or not yet (the peer's data or our SYN-ACK will be repeated). */
  mayEstablish(connection: Connection): boolean {
    if (this.fastOpenPending.delete(connection)) this.counters.established++;
    if (!this.synQueue.has(connection)) return true;
    if (this.isFull) {
      this.counters.acceptQueueOverflows++;
      return false;
    }
    this.synQueue.delete(connection);
    this.acceptQueue.push(connection);
    this.counters.established++;
    this.#host.listenerReady(this);
    return true;
  }

  /** Whether one more Fast Open connection may be pending. */
  hasFastOpenRoom(now: Micros): boolean {
    if (this.#fastOpenResets.length > 0) this.#fastOpenResets = this.#fastOpenResets.filter((until) => until > now);
    return this.fastOpenPending.size + this.#fastOpenResets.length < this.fastOpenQueue;
  }

  /** The data of a SYN was taken: to the accept queue before the handshake is done (RFC 7413 §4.2.2). */
  acceptFastOpen(connection: Connection): void {
    this.synQueue.delete(connection);
    this.fastOpenPending.add(connection);
    this.acceptQueue.push(connection);
    this.counters.fastOpenAccepted++;
    this.#host.listenerReady(this);
  }

  /** @internal */
  ended(connection: Connection, now: Micros): void {
    if (!this.fastOpenPending.delete(connection)) return;
    this.counters.handshakesFailed++;
    // RFC 7413 §5.1: a forger whose victims answer with RST must not be free of the limit for that.
    if (connection.failure === "ECONNRESET") this.#fastOpenResets.push(now + RESET_COUNTS);
  }

  /** Takes the oldest connection that is ready, or undefined. Its events begin from here. */
  accept(): Connection | undefined {
    const connection = this.acceptQueue.shift();
    if (connection === undefined) return undefined;
    this.counters.accepted++;
    connection.tcb.fastOpen.handedOver = true;
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

/** How long. Note: Linux does the same (reqsk_fastopen_remove). */
const RESET_COUNTS: Micros = 60 * SECOND;
