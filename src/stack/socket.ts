/**
 * The socket calls of POSIX over a stack, non-blocking, with Linux's answers in every state. A call that would have to wait
 * throws `EAGAIN` (or `EINPROGRESS`); what becomes true later is asked with `poll`. Errors are RawTcpErrors whose `code` is the
 * name of the errno. The clock is the caller's: calls that may start something take `now`.
 */
import { RawTcpError } from "../base/errors.js";
import { seqDiff } from "../base/seq.js";
import type { Micros } from "../base/time.js";
import type { ConnectionConfig } from "../tcp/config.js";
import { Connection } from "../tcp/connection.js";
import { holdForMore, setCork, written } from "../tcp/cork.js";
import { TCP_STATE_NUMBERS, type TcpInfo } from "../tcp/info.js";
import type { IpAddress } from "../wire/address.js";
import { ErrorQueue, SOF_TIMESTAMPING_OF_A_CALL } from "./error-queue.js";
import { FastOpenCookies } from "./fast-open-cookies.js";
import type { Listener } from "./listener.js";
import {
  MSG_EOR,
  MSG_FASTOPEN,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_ZEROCOPY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLPRI,
  POLLRDHUP,
} from "./socket-constants.js";
import { type Linger, type NumberOption, SocketOptions } from "./socket-options.js";
import { hasUrgentByte, isReadable, readStream, urgentMark } from "./socket-receive.js";
import {
  failureCode,
  fastOpenDefault,
  finAcked,
  isGone,
  isOpening,
  isWritable,
  NO_DATA,
  notConnected,
  peerFinished,
  queueSizes,
  requireSendable,
  UNSPECIFIED,
  wouldBlock,
} from "./socket-states.js";
import type { Stack } from "./stack.js";

/** Where sockets live. */
export interface SocketHost {
  readonly stack: Stack;
  /** The local address from which `remote` is reached. May throw RawTcpError `ENETUNREACH`. */
  sourceAddress(remote: IpAddress): IpAddress;
}

export interface SocketAddress {
  readonly address: IpAddress;
  readonly port: number;
}

export type ShutdownHow = "SHUT_RD" | "SHUT_WR" | "SHUT_RDWR";

/** Amounts of bytes: to be read, not acknowledged, not sent; and whether the next byte is the urgent one. */
export type SocketRequest = "SIOCINQ" | "SIOCOUTQ" | "SIOCOUTQNSD" | "SIOCATMARK";

/** `socket(AF_INET or AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP)`: `new StackSocket(host, 4)`. */
export class StackSocket {
  readonly family: 4 | 6;
  readonly errors = new ErrorQueue();
  readonly #host: SocketHost;
  /** FreeBSD's answers instead of Linux's. */
  readonly #isBsd: boolean;
  #options = new SocketOptions();
  /** What the user bound; the reservation lasts until there is a connection or a listener to hold it. */
  #bound: SocketAddress | undefined;
  #bindKey = "";
  #connection: Connection | undefined;
  #listener: Listener | undefined;
  /** TCP_FASTOPEN_CONNECT: where `connect` was told to connect to, and when; SYN waits for the first data. */
  #deferred: (SocketAddress & { readonly at: Micros }) | undefined;
  /** `connect` was called, and has not said yet what became of it. */
  #connecting = false;
  /** An error of the socket's own that is to be told. */
  #error = "";
  /** The connection's failure was told. */
  #failureTold = false;
  #shutdownRead = false;
  #shutdownWrite = false;
  #closed = false;
  /** RCV.UP of the urgent byte that was read out of band; undefined when there is none. */
  #urgentTaken: number | undefined;

  constructor(host: SocketHost, family: 4 | 6) {
    this.#host = host;
    this.#isBsd = host.stack.defaults.socketRules === "bsd";
    this.family = family;
  }

  /** The connection behind it, for those who want to look inside. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  get listener(): Listener | undefined {
    return this.#listener;
  }

  /** Throws `EINVAL` when bound already, `EAFNOSUPPORT`, `EADDRINUSE`, `EADDRNOTAVAIL`. Port 0 chooses one. */
  bind(address: IpAddress, port: number): void {
    this.#live();
    if (this.#bound !== undefined || this.#connection !== undefined || this.#listener !== undefined) {
      throw new RawTcpError("EINVAL", "bind: the socket has an address already");
    }
    this.#checkFamily(address);
    const { port: chosen, key } = this.#host.stack.bind(address, port, this.#options.reuseAddress);
    this.#bound = { address, port: chosen };
    this.#bindKey = key;
  }

  /**
   * Starts to connect and throws `EINPROGRESS`, as a non-blocking connect does; called again, `EALREADY` while it lasts, what went
   * wrong when it failed, nothing once when it is done, `EISCONN` after that. With TCP_FASTOPEN_CONNECT and a cookie of the server it
   * throws nothing, and the SYN goes with the first `send`. Also throws `EAFNOSUPPORT`, `EADDRINUSE`,
   * `EADDRNOTAVAIL`, `ENETUNREACH`.
   */
  connect(address: IpAddress, port: number, now: Micros): void {
    this.#live();
    this.#checkFamily(address);
    if (this.#listener !== undefined) throw new RawTcpError("EISCONN", "connect: the socket listens");
    if (this.#deferred !== undefined) throw new RawTcpError("EISCONN", "connect: the SYN waits for the first data");
    const { connection } = this;
    if (connection === undefined) {
      const { fastOpenConnect } = this.#options;
      if (fastOpenConnect && this.#mayCarryData(address, now)) {
        this.#deferred = { address, port, at: now };
        return;
      }
      this.#open(address, port, now, fastOpenConnect ? NO_DATA : undefined);
      throw new RawTcpError("EINPROGRESS", "connect: under way");
    }
    if (!this.#connecting) throw new RawTcpError("EISCONN", "connect: connected already");
    if (isOpening(connection)) throw new RawTcpError("EALREADY", "connect: still under way");
    this.#connecting = false;
    if (!isGone(connection)) return;
    const code = this.#takeError() || "ECONNABORTED";
    this.#forget();
    throw new RawTcpError(code, "connect: the attempt has failed");
  }

  /** Begins to listen; a socket without a name is given a port. Called again it changes the backlog. Throws `EINVAL` when connected, `EADDRINUSE`. */
  listen(backlog: number): void {
    this.#live();
    if (this.#connection !== undefined || this.#deferred !== undefined) {
      throw new RawTcpError("EINVAL", "listen: the socket is connected");
    }
    const queues = queueSizes(this.#config().receiver, backlog);
    this.#options.fastOpenQueue ||= fastOpenDefault(this.#config(), backlog);
    if (this.#listener !== undefined) {
      this.#listener.backlog = Math.max(1, queues.backlog);
      return;
    }
    const { address, port } = this.#bound ?? { address: UNSPECIFIED[this.family], port: 0 };
    this.#unbind();
    try {
      this.#listener = this.#host.stack.listen({
        address,
        port,
        ...queues,
        fastOpenQueue: this.#options.fastOpenQueue,
        ...(this.#options.fastOpenKey === undefined ? {} : { fastOpenKey: this.#options.fastOpenKey }),
        connection: this.#options.config,
      });
    } catch (error) {
      this.#rebind();
      throw error;
    }
    this.#bound = { address, port: this.#listener.port };
  }

  /** The oldest connection that is ready, as a socket that inherits the options. Throws `EAGAIN`; `EINVAL` unless listening. */
  accept(now: Micros): StackSocket {
    this.#live();
    if (this.#listener === undefined) throw new RawTcpError("EINVAL", "accept: the socket does not listen");
    const connection = this.#listener.accept();
    if (connection === undefined) throw wouldBlock("accept");
    if (this.#isBsd && isGone(connection)) throw new RawTcpError("ECONNABORTED", "accept: the connection is over already");
    const socket = new StackSocket(this.#host, this.family);
    socket.#options = this.#options.clone();
    socket.#connection = connection;
    socket.#options.apply(connection, now);
    return socket;
  }

  /** `recv` without flags. */
  read(target: Uint8Array): number {
    return this.recv(target);
  }

  /**
   * Copies received bytes into `target` and returns how many; 0 at the end of data. Flags: MSG_PEEK, MSG_OOB. Throws `EAGAIN`
   * when nothing is there yet, `ENOTCONN`, `EINVAL` (MSG_OOB without urgent data), once the error that ended the connection.
   */
  recv(target: Uint8Array, flags = 0): number {
    this.#live();
    const { connection } = this;
    if (this.#listener !== undefined) throw notConnected("recv");
    const peek = (flags & MSG_PEEK) !== 0;
    if ((flags & MSG_OOB) !== 0 && connection === undefined && !this.#isBsd)
      throw new RawTcpError("EINVAL", "recv: nothing urgent");
    if (connection !== undefined) {
      if ((flags & MSG_OOB) !== 0) return this.#receiveUrgent(connection, target, peek);
      const count = readStream(connection, target, this.#options.outOfBandInline, peek);
      if (count > 0 || target.length === 0) return count;
      // Note: FreeBSD tells an error first, also after FIN.
      if (peerFinished(connection) && !this.#isBsd) return 0;
    }
    this.#throwError("recv");
    if (this.#receiveShut) return 0;
    if (this.#deferred !== undefined) throw wouldBlock("recv");
    if (connection === undefined) throw notConnected("recv");
    throw wouldBlock("recv");
  }

  /** `send` without flags. */
  write(data: Uint8Array): number {
    return this.send(data);
  }

  /**
   * Takes as much of `data` as the send buffer holds and returns how many bytes. Flags: MSG_MORE (more follows at once: no
   * partial segment yet), MSG_OOB (the last byte is urgent). Throws `EAGAIN` when it is full or the connection not open yet, `EPIPE`
   * after shutdown or the end, once the error that ended the connection. `now` is of use where TCP_FASTOPEN_CONNECT has kept the
   * SYN for this data; without it, it is as old as `connect`. `stamps` are the bits of SO_TIMESTAMPING that say which stamps, for this
   * data alone.
   */
  send(data: Uint8Array, flags = 0, now?: Micros, stamps?: number): number {
    this.#live();
    const deferred = this.#deferred;
    if (deferred !== undefined) return this.#openWith(data, flags, deferred, now ?? deferred.at);
    const { connection } = this;
    if (this.#isBsd) requireSendable(connection, this.#shutdownWrite);
    this.#throwError("send");
    if (connection === undefined || this.#shutdownWrite) throw new RawTcpError("EPIPE", "send: nothing can be sent");
    if (isOpening(connection)) throw wouldBlock("send");
    if (isGone(connection)) throw new RawTcpError("EPIPE", "send: the connection is over");
    const { tcb } = connection;
    const more = (flags & MSG_MORE) !== 0;
    if (more) holdForMore(tcb);
    const taken = connection.send(data, 0, data.length, (flags & MSG_OOB) !== 0);
    const endsRecord = (flags & MSG_EOR) !== 0 && taken === data.length;
    if (written(tcb, more, endsRecord, this.#options.corked)) connection.wake?.();
    if (taken === 0 && data.length > 0) throw wouldBlock("send");
    const { zerocopy, timestamping: asked, stampBase } = this.#options;
    const bits = stamps === undefined ? asked : (asked & ~SOF_TIMESTAMPING_OF_A_CALL) | stamps;
    if (taken > 0) this.errors.noteSent(tcb, taken, zerocopy && (flags & MSG_ZEROCOPY) !== 0, bits, stampBase);
    return taken;
  }

  /**
   * `send`; with MSG_FASTOPEN `connect` and `send` in one (RFC 7413): data goes with the SYN if there is a cookie of the server, and
   * the call returns how much was taken. If there is none, one is asked for, nothing is taken, and it throws `EINPROGRESS`. Also
   * throws `EISCONN`, `EALREADY`, `EOPNOTSUPP` where Fast Open is off, and what `connect` throws.
   */
  sendto(data: Uint8Array, flags: number, address: IpAddress, port: number, now: Micros): number {
    this.#live();
    if ((flags & MSG_FASTOPEN) === 0) return this.send(data, flags, now);
    const { fastOpen } = this.#config();
    if (fastOpen !== "client" && fastOpen !== "both") throw new RawTcpError("EOPNOTSUPP", "sendto: Fast Open is off for clients");
    this.#checkFamily(address);
    const { connection } = this;
    if (this.#listener !== undefined) throw new RawTcpError("EISCONN", "sendto: the socket listens");
    if (connection !== undefined) {
      if (isOpening(connection)) throw new RawTcpError("EALREADY", "sendto: still under way");
      throw new RawTcpError("EISCONN", "sendto: connected already");
    }
    if (data.length > 0 && this.#mayCarryData(address, now)) return this.#openWith(data, flags, { address, port }, now);
    this.#deferred = undefined;
    this.#open(address, port, now, NO_DATA);
    throw new RawTcpError("EINPROGRESS", "sendto: under way, asks for a cookie");
  }

  /** Ends one or both directions. Throws `ENOTCONN` unless there is a connection (and does what can be done, as Linux). */
  shutdown(how: ShutdownHow, now: Micros): void {
    this.#live();
    const read = how !== "SHUT_WR";
    if (this.#listener !== undefined) {
      if (this.#isBsd) throw notConnected("shutdown");
      // Note: Linux does the same: reading, that is accepting, ends the listener; the socket may begin anew.
      if (!read) return;
      this.#listener.close(now);
      this.#listener = undefined;
      this.#rebind();
      return;
    }
    const { connection } = this;
    if ((this.#deferred !== undefined || connection?.state === "SYN-SENT") && !this.#isBsd) {
      this.#deferred = undefined;
      connection?.abort(now);
      this.#forget();
      this.#error = "ECONNRESET";
      return;
    }
    if (this.#isBsd && (connection === undefined || isGone(connection))) throw notConnected("shutdown");
    if (read) this.#shutdownRead = true;
    if (read && connection !== undefined) connection.tcb.readerShut = true;
    if (how !== "SHUT_RD") this.#shutdownWrite = true;
    if (connection === undefined || isGone(connection)) throw notConnected("shutdown");
    if (how !== "SHUT_RD") connection.shutdown(now);
  }

  /** Ends all; the engine sees to the rest by SO_LINGER. Every later call throws `EBADF`. */
  close(now: Micros): void {
    this.#live();
    this.#closed = true;
    this.#listener?.close(now);
    this.#connection?.close(now);
    this.#unbind();
  }

  /** `connect` to AF_UNSPEC: resets, or ends the listener; the socket may begin anew. Note: Linux does the same (tcp_disconnect). */
  disconnect(now: Micros): void {
    this.#live();
    this.#listener?.close(now);
    this.#listener = this.#deferred = undefined;
    const { connection } = this;
    const wasOpen = connection !== undefined && !isGone(connection);
    if (wasOpen) connection.abort(now);
    this.#forget();
    this.#shutdownRead = this.#shutdownWrite = false;
    this.#error = wasOpen ? "ECONNRESET" : "";
  }

  /** As `close` with SO_LINGER of 0 s: RST. */
  abort(now: Micros): void {
    this.#live();
    this.#closed = true;
    this.#listener?.close(now);
    this.#connection?.abort(now);
    this.#unbind();
  }

  /** What the socket is ready for, as a mask of POLL bits, in the way Linux sees it (tcp_poll). */
  poll(): number {
    this.#live();
    if (this.#deferred !== undefined) return POLLOUT;
    if (this.#listener !== undefined) return this.#listener.acceptQueue.length > 0 ? POLLIN : 0;
    const { connection } = this;
    const sendShut = this.#shutdownWrite || (connection !== undefined && isGone(connection));
    if (this.#isBsd) return this.#pollBsd(connection, sendShut);
    const over = connection === undefined || isGone(connection);
    let mask = over || (this.#receiveShut && sendShut) ? POLLHUP : 0;
    if (this.#receiveShut) mask |= POLLIN | POLLRDHUP;
    const { outOfBandInline, receiveLowWater } = this.#options;
    if (connection === undefined || !isOpening(connection)) {
      if (connection !== undefined && isReadable(connection.tcb, outOfBandInline, receiveLowWater)) mask |= POLLIN;
      if (connection === undefined || sendShut || isWritable(connection)) mask |= POLLOUT;
      if (connection !== undefined && this.#urgentReady(connection)) mask |= POLLPRI;
    }
    const hasError = this.errors.length > 0 || connection?.tcb.linux?.hasErrorQueued === true || this.#pendingError() !== "";
    return hasError ? mask | POLLERR : mask;
  }

  /** Throws `EINVAL` for a listening socket. */
  ioctl(request: SocketRequest): number {
    this.#live();
    if (this.#listener !== undefined) throw new RawTcpError("EINVAL", `${request}: the socket listens`);
    const { connection } = this;
    if (connection === undefined || isOpening(connection)) return 0;
    const { tcb } = connection;
    const mark = urgentMark(tcb);
    switch (request) {
      case "SIOCINQ":
        return mark >= 0 && hasUrgentByte(tcb) && !this.#options.outOfBandInline ? mark : tcb.receiveQueue.length;
      case "SIOCOUTQ":
        return isGone(connection) ? 0 : tcb.sendQueue.length + (tcb.finQueued && !finAcked(connection) ? 1 : 0);
      case "SIOCOUTQNSD":
        return isGone(connection) ? 0 : Math.max(0, seqDiff(tcb.dataEnd, tcb.snd.nxt) + (tcb.finQueued ? 1 : 0));
      case "SIOCATMARK":
        return mark === 0 ? 1 : 0;
    }
  }

  /** Throws `EINVAL`, `ENOPROTOOPT`; see `socket-options.ts`. */
  setsockopt(name: NumberOption, value: number, now: Micros): void;
  setsockopt(name: "SO_LINGER", value: Linger, now: Micros): void;
  setsockopt(name: "TCP_CONGESTION", value: string, now: Micros): void;
  setsockopt(name: "TCP_FASTOPEN_KEY", value: Uint8Array, now: Micros): void;
  setsockopt(
    name: NumberOption | "SO_LINGER" | "TCP_CONGESTION" | "TCP_FASTOPEN_KEY",
    value: number | string | Linger | Uint8Array,
    now: Micros,
  ): void {
    this.#live();
    const connection = this.#connection;
    if (value instanceof Uint8Array) this.#setFastOpenKey(value);
    else if (typeof value === "object") this.#options.setLinger(value, connection);
    else if (typeof value === "string") this.#options.setCongestion(value, connection);
    else this.#options.set(name as NumberOption, value, connection, now, this.#config().receiver === "linux");
    if (this.#listener !== undefined) {
      this.#listener.config = this.#config();
      this.#listener.fastOpenQueue = this.#options.fastOpenQueue;
    }
    connection?.wake?.();
  }

  /** Throws `ENOPROTOOPT`. SO_ERROR takes the error away and gives the name of its errno, "" for none. */
  getsockopt(name: NumberOption | "SO_ACCEPTCONN", now?: Micros): number;
  getsockopt(name: "SO_ERROR" | "TCP_CONGESTION", now?: Micros): string;
  getsockopt(name: "SO_LINGER", now?: Micros): Linger;
  getsockopt(name: "TCP_INFO", now: Micros): TcpInfo;
  getsockopt(name: string, now: Micros = 0): number | string | Linger | TcpInfo {
    this.#live();
    switch (name) {
      case "SO_ACCEPTCONN":
        return this.#listener === undefined ? 0 : 1;
      case "SO_ERROR":
        return this.#takeError() || (this.#isBsd ? "" : this.#takeSoftError());
      case "SO_LINGER":
        return this.#options.linger;
      case "TCP_CONGESTION":
        return this.#connection?.tcb.congestion.name ?? this.#options.congestionName ?? this.#config().congestion(536, 536).name;
      case "TCP_INFO":
        return this.info(now);
      default:
        return this.#options.get(name as NumberOption, this.#config(), this.#connection);
    }
  }

  /** TCP_INFO. Of a listener `tcpi_unacked` is how many wait for accept, `tcpi_sacked` its backlog. */
  info(now: Micros): TcpInfo {
    if (this.#connection !== undefined) {
      const found = this.#connection.info(now);
      // To a socket TIME-WAIT is as good as CLOSED.
      if (this.#connection.state === "TIME-WAIT") found.tcpi_state = TCP_STATE_NUMBERS.CLOSED;
      return found;
    }
    const { address, port } = this.getsockname();
    const seed = { tsOffset: 0, ipId: 0 };
    const info = new Connection(0, this.#config(), address, port, UNSPECIFIED[this.family], 0, seed).info(now);
    const listener = this.#listener;
    if (listener === undefined) return info;
    info.tcpi_state = TCP_STATE_NUMBERS.LISTEN;
    info.tcpi_unacked = listener.acceptQueue.length;
    info.tcpi_sacked = listener.backlog - (this.#config().receiver === "linux" ? 1 : 0);
    return info;
  }

  /** Unspecified address and port 0 before there is a name. */
  getsockname(): SocketAddress {
    const tcb = this.#connection?.tcb;
    if (tcb !== undefined) return { address: tcb.local, port: tcb.localPort };
    return this.#bound ?? { address: UNSPECIFIED[this.family], port: 0 };
  }

  /** Throws `ENOTCONN` unless connected. */
  getpeername(): SocketAddress {
    const connection = this.#connection;
    if (connection === undefined || isGone(connection) || connection.state === "SYN-SENT") throw notConnected("getpeername");
    return { address: connection.tcb.remote, port: connection.tcb.remotePort };
  }

  // Opening

  #mayCarryData(address: IpAddress, now: Micros): boolean {
    return this.#host.stack.fastOpenCache.mayCarryData(address, this.#config(), now);
  }

  /** Sends the SYN with data; returns how much was taken. */
  #openWith(data: Uint8Array, flags: number, to: SocketAddress, now: Micros): number {
    this.#deferred = undefined;
    const connection = this.#open(to.address, to.port, now, data.subarray(0, this.#config().sendBufferBytes));
    if ((flags & MSG_MORE) !== 0) setCork(connection.tcb, true);
    return connection.tcb.sendQueue.length;
  }

  /** 16 bytes, or 32 with the last key. Throws `EINVAL`. */
  #setFastOpenKey(key: Uint8Array): void {
    const cookies = FastOpenCookies.withKeys(key);
    this.#options.fastOpenKey = key.slice();
    if (this.#listener !== undefined) this.#listener.fastOpenCookies = cookies;
  }

  #open(address: IpAddress, port: number, now: Micros, data?: Uint8Array): Connection {
    const { stack } = this.#host;
    const bound = this.#bound;
    const local = bound === undefined || bound.address.isUnspecified() ? this.#host.sourceAddress(address) : bound.address;
    this.#unbind();
    try {
      const localPort = bound?.port ?? 0;
      const options = { local, localPort, remote: address, remotePort: port, connection: this.#options.config };
      this.#connection = stack.connect(data === undefined ? options : { ...options, data }, now);
    } catch (error) {
      this.#rebind();
      throw error;
    }
    this.#options.apply(this.#connection, now);
    this.#connecting = true;
    this.#failureTold = false;
    this.#shutdownRead = false;
    this.#shutdownWrite = false;
    return this.#connection;
  }

  /** The connection is over and the socket may be used again. */
  #forget(): void {
    this.#connection = undefined;
    this.#connecting = false;
    this.#rebind();
  }

  #unbind(): void {
    if (this.#bindKey !== "") this.#host.stack.unbind(this.#bindKey);
    this.#bindKey = "";
  }

  #rebind(): void {
    if (this.#bound === undefined) return;
    this.#bindKey = this.#host.stack.bind(this.#bound.address, this.#bound.port, true).key;
  }

  // Errors

  #live(): void {
    if (this.#closed) throw new RawTcpError("EBADF", "the socket is closed");
  }

  #checkFamily(address: IpAddress): void {
    if (address.family !== this.family) throw new RawTcpError("EAFNOSUPPORT", `${address} is not of the socket's family`);
  }

  #pendingError(): string {
    if (this.#error !== "" || this.#failureTold || this.#connection === undefined) return this.#error;
    return this.#isBsd ? (this.#connection.failure ?? "") : failureCode(this.#connection);
  }

  #takeError(): string {
    const code = this.#pendingError();
    this.#error = "";
    if (code !== "") this.#failureTold = true;
    return code;
  }

  #takeSoftError(): string {
    const tcb = this.#connection?.tcb;
    const code = tcb?.failure === undefined ? (tcb?.softError ?? "") : "";
    if (tcb !== undefined) tcb.softError = undefined;
    return code;
  }

  #throwError(call: string): void {
    const code = this.#takeError();
    if (code !== "") throw new RawTcpError(code, `${call}: the connection has failed`);
  }

  // Readiness

  /** FreeBSD's sopoll: errors show as readiness, and one that was never connected is ready for nothing. */
  #pollBsd(connection: Connection | undefined, sendShut: boolean): number {
    const failed = this.#pendingError() !== "";
    const receiveShut = this.#receiveShut;
    const isOpen = connection !== undefined && !isOpening(connection);
    let mask = 0;
    if (receiveShut || failed || (isOpen && isReadable(connection.tcb, this.#options.outOfBandInline))) mask |= POLLIN;
    if (sendShut || failed || (isOpen && isWritable(connection))) mask |= POLLOUT;
    if (isOpen && this.#urgentReady(connection)) mask |= POLLPRI;
    if (!receiveShut) return mask;
    return mask | POLLRDHUP | (sendShut ? POLLHUP : 0);
  }

  get #receiveShut(): boolean {
    const connection = this.#connection;
    return this.#shutdownRead || (connection !== undefined && (isGone(connection) || peerFinished(connection)));
  }

  #urgentReady({ tcb }: Connection): boolean {
    return hasUrgentByte(tcb) && this.#urgentTaken !== tcb.rcv.up;
  }

  /** The urgent byte, out of band. Throws `EINVAL` when none is announced or it was read, `EAGAIN` when it has not come yet. */
  #receiveUrgent(connection: Connection, target: Uint8Array, peek: boolean): number {
    const { tcb } = connection;
    const mark = urgentMark(tcb);
    if (this.#options.outOfBandInline || mark < 0 || this.#urgentTaken === tcb.rcv.up) {
      throw new RawTcpError("EINVAL", "recv: there is no urgent byte");
    }
    if (!hasUrgentByte(tcb)) {
      if (this.#receiveShut) return 0;
      throw wouldBlock("recv");
    }
    if (target.length === 0) return 0;
    tcb.receiveQueue.copyOut(mark, target, 0, 1);
    if (!peek) this.#urgentTaken = tcb.rcv.up;
    return 1;
  }

  #config(): ConnectionConfig {
    return this.#connection?.tcb.config ?? { ...this.#host.stack.defaults, ...this.#options.config };
  }
}
