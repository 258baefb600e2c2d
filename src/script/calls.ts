/**
 * The system calls of a script on sockets of the stack. Descriptors are the script's own numbers. A call that has to wait says so, and is
 * asked again when something has happened.
 */
import { RawTcpError } from "../base/errors.js";
import { utf8Encode } from "../base/utf8.js";
import { type SocketHost, type SocketRequest, StackSocket } from "../stack/socket.js";
import type { Linger, NumberOption } from "../stack/socket-options.js";
import type { IpAddress } from "../wire/address.js";
import type { CallEvent, Expression } from "./ast.js";
import { CONSTANTS, SOCKET_OPTIONS } from "./constants.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { type CallResult, type CallWatcher, type PendingCall, type ScriptCalls, withDeadline } from "./host.js";
import { argument, fieldOf, iovecLength, itemsOf, numberOf, optionalNumber } from "./values.js";
import type { VirtualWorld } from "./virtual-world.js";

interface Descriptor {
  readonly socket: StackSocket;
  isNonBlocking: boolean;
  /** It has neither listened nor connected yet. */
  isNew: boolean;
}

interface Epoll {
  readonly watched: Map<number, { events: number; data: Expression | undefined; told: number }>;
}

/** The addresses and ports of the script. */
export interface Ends {
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

const NONBLOCK = 0x800;
const DONTWAIT = 0x40;
const FASTOPEN = 0x2000_0000;

export class Calls implements ScriptCalls {
  /** The socket that was made last: whose tcp_info code asks for. */
  #current: StackSocket | undefined;
  readonly #world: VirtualWorld;
  readonly #ends: Ends;
  readonly #host: SocketHost;
  readonly #watcher: CallWatcher;
  readonly #descriptors = new Map<number, Descriptor>();
  readonly #epolls = new Map<number, Epoll>();

  constructor(world: VirtualWorld, ends: Ends, watcher: CallWatcher) {
    this.#world = world;
    this.#ends = ends;
    this.#watcher = watcher;
    this.#host = { stack: world.stack, sourceAddress: () => ends.local };
  }

  info(): Readonly<Record<string, number>> | undefined {
    return this.#current?.info(this.#world.now) as Readonly<Record<string, number>> | undefined;
  }

  get now(): number {
    return this.#world.now;
  }

  /** The socket that a call last spoke of. */
  get current(): StackSocket | undefined {
    return this.#current;
  }

  localPort(): number | undefined {
    return this.#current?.getsockname().port;
  }

  /** Begins a call. Throws UnsupportedError, and ScriptFailure where what it hands back is not what the script says. */
  begin(call: CallEvent): PendingCall {
    const { name, args } = call;
    switch (name) {
      case "socket":
        return once(() => this.#socket(call));
      case "bind":
        return this.#on(args, ({ socket }) => socket.bind(this.#ends.local, this.#ends.localPort));
      case "listen":
        return this.#on(args, (descriptor) => {
          descriptor.socket.listen(numberOf(argument(args, 1)));
          descriptor.isNew = false;
          this.#watcher.listening();
        });
      case "accept":
      case "accept4":
        return this.#accept(call);
      case "connect":
        return this.#connect(args);
      case "read":
      case "recv":
      case "recvfrom":
        return this.#receive(args, numberOf(argument(args, 2)), name === "read" ? 0 : numberOf(argument(args, 3)));
      case "readv":
        return this.#receive(args, iovecLength(argument(args, 1)), 0);
      case "recvmsg":
        return this.#receiveMessage(args);
      case "write":
      case "send":
        return this.#send(args, numberOf(argument(args, 2)), name === "write" ? 0 : numberOf(argument(args, 3)));
      case "sendto":
        return this.#send(args, numberOf(argument(args, 2)), numberOf(argument(args, 3)));
      case "writev":
        return this.#send(args, iovecLength(argument(args, 1)), 0);
      case "sendmsg":
        return this.#send(args, messageLength(argument(args, 1)), numberOf(argument(args, 2)));
      case "close":
        return once(() => this.#close(numberOf(argument(args, 0))));
      case "shutdown":
        return this.#on(args, ({ socket }) =>
          socket.shutdown(SHUTDOWNS[numberOf(argument(args, 1))] ?? "SHUT_RDWR", this.#world.now),
        );
      case "fcntl":
        return this.#on(args, (descriptor) => fcntl(descriptor, args));
      case "ioctl":
        return this.#on(args, ({ socket }) => ioctl(socket, args));
      case "setsockopt":
        return this.#on(args, ({ socket }) => this.#setOption(socket, args));
      case "getsockopt":
        return this.#on(args, ({ socket }) => this.#checkOption(socket, args));
      case "poll":
        return this.#poll(args);
      case "epoll_create":
      case "epoll_create1":
        return once(() => this.#createEpoll(call));
      case "epoll_ctl":
        return once(() => this.#changeEpoll(args));
      case "epoll_wait":
      case "epoll_pwait":
        return this.#waitEpoll(args);
      default:
        throw new UnsupportedError(`the system call ${name}`);
    }
  }

  #socket(call: CallEvent): number {
    const [domain, type, protocol] = [0, 1, 2].map((at) => argument(call.args, at));
    const family = domain?.kind === "any" || domain === undefined ? this.#ends.local.family : numberOf(domain) === 10 ? 6 : 4;
    const bits = type === undefined ? 1 : numberOf(type);
    if ((bits & 0xf) !== 1) throw new UnsupportedError("sockets that are not SOCK_STREAM");
    const number = protocol === undefined || protocol.kind === "any" ? 6 : numberOf(protocol);
    if (number !== 6 && number !== 0) throw new UnsupportedError(number === 262 ? "MPTCP" : `protocol ${number}`);
    const socket = new StackSocket(this.#host, family);
    this.#current = socket;
    this.#watcher.opened();
    return this.#number(call, { socket, isNonBlocking: (bits & NONBLOCK) !== 0, isNew: true });
  }

  /** The descriptor that the script says; the lowest that is free if it says none. */
  #number(call: CallEvent, descriptor: Descriptor): number {
    let number = call.result === null ? -1 : numberOf(call.result);
    if (number < 0) {
      number = 3;
      while (this.#descriptors.has(number) || this.#epolls.has(number)) number++;
    }
    this.#descriptors.set(number, descriptor);
    return number;
  }

  #find(expression: Expression): Descriptor {
    const found = this.#descriptors.get(numberOf(expression));
    if (found === undefined) throw new RawTcpError("EBADF", "no such descriptor");
    return found;
  }

  /** A call that never waits; what it returns, or 0. */
  // biome-ignore lint/suspicious/noConfusingVoidType: most calls return nothing, which is 0.
  #on(args: readonly Expression[], action: (descriptor: Descriptor) => number | void): PendingCall {
    return once(() => {
      const descriptor = this.#find(argument(args, 0));
      return action(descriptor) ?? 0;
    });
  }

  /** A call that waits as long as the socket says so, unless it is not to block. */
  #waiting(args: readonly Expression[], flags: number, action: (descriptor: Descriptor) => number): PendingCall {
    return () => {
      try {
        const descriptor = this.#find(argument(args, 0));
        try {
          return { value: action(descriptor), errno: "" };
        } catch (error) {
          const waits = error instanceof RawTcpError && (error.code === "EAGAIN" || error.code === "EALREADY");
          if (waits && !descriptor.isNonBlocking && (flags & DONTWAIT) === 0) return undefined;
          throw error;
        }
      } catch (error) {
        return failed(error);
      }
    };
  }

  #accept(call: CallEvent): PendingCall {
    const flags = call.name === "accept4" ? numberOf(argument(call.args, 3)) : 0;
    return this.#waiting(call.args, 0, ({ socket }) => {
      const accepted = socket.accept(this.#world.now);
      this.#current = accepted;
      return this.#number(call, { socket: accepted, isNonBlocking: (flags & NONBLOCK) !== 0, isNew: false });
    });
  }

  #connect(args: readonly Expression[]): PendingCall {
    return this.#waiting(args, 0, (descriptor) => {
      const { socket, isNonBlocking } = descriptor;
      this.#connecting(descriptor);
      try {
        socket.connect(this.#ends.remote, this.#ends.remotePort, this.#world.now);
      } catch (error) {
        const isUnderWay = error instanceof RawTcpError && error.code === "EINPROGRESS";
        if (isUnderWay && !isNonBlocking) {
          throw new RawTcpError("EAGAIN", "connect: under way");
        }
        throw error;
      }
      return 0;
    });
  }

  /** The script's packets are those of a socket that connects for the first time. */
  #connecting(descriptor: Descriptor): void {
    if (descriptor.isNew) this.#watcher.connecting();
    descriptor.isNew = false;
  }

  #receive(args: readonly Expression[], size: number, flags: number): PendingCall {
    const expected = argument(args, 1);
    const buffer = new Uint8Array(Math.min(size, 1 << 26));
    let taken = 0;
    return this.#waiting(args, flags, ({ socket }) => {
      const count = socket.recv(buffer.subarray(taken), flags);
      taken += count;
      if ((flags & 0x100) !== 0 && count > 0 && taken < size) throw new RawTcpError("EAGAIN", "MSG_WAITALL");
      if (expected.kind === "text") checkText(expected.value, buffer.subarray(0, taken));
      return taken;
    });
  }

  #receiveMessage(args: readonly Expression[]): PendingCall {
    const message = argument(args, 1);
    const control = fieldOf(message, "msg_control");
    if (control !== undefined && control.value.kind !== "any") throw new UnsupportedError("msg_control");
    return this.#receive([argument(args, 0)], messageLength(message), numberOf(argument(args, 2)));
  }

  #send(args: readonly Expression[], size: number, flags: number): PendingCall {
    const text = argument(args, 1);
    const data = new Uint8Array(size);
    if (text.kind === "text") data.set(utf8Encode(text.value).subarray(0, size));
    if ((flags & 0x400_0000) !== 0) throw new UnsupportedError("MSG_ZEROCOPY");
    let taken = 0;
    const isFastOpen = (flags & FASTOPEN) !== 0;
    let hasBegun = false;
    return this.#waiting(args, flags, (descriptor) => {
      const { socket, isNonBlocking } = descriptor;
      if (isFastOpen && !hasBegun) {
        hasBegun = true;
        this.#connecting(descriptor);
        try {
          taken = socket.sendto(data, flags, this.#ends.remote, this.#ends.remotePort, this.#world.now);
        } catch (error) {
          if (error instanceof RawTcpError && error.code === "EINPROGRESS" && !isNonBlocking) throw new RawTcpError("EAGAIN", "");
          throw error;
        }
        return taken;
      }
      while (taken < size || size === 0) {
        try {
          taken += socket.send(data.subarray(taken), flags & ~FASTOPEN, this.#world.now);
        } catch (error) {
          // What was taken before counts, unless the call may wait for the rest.
          const isFull = error instanceof RawTcpError && error.code === "EAGAIN";
          if (isFull && taken > 0 && (isNonBlocking || (flags & DONTWAIT) !== 0)) return taken;
          throw error;
        }
        if (size === 0) break;
        this.#world.drain();
      }
      return taken;
    });
  }

  #close(number: number): number {
    if (this.#epolls.delete(number)) return 0;
    const descriptor = this.#descriptors.get(number);
    if (descriptor === undefined) throw new RawTcpError("EBADF", "no such descriptor");
    this.#descriptors.delete(number);
    descriptor.socket.close(this.#world.now);
    return 0;
  }

  #setOption(socket: StackSocket, args: readonly Expression[]): void {
    const name = optionName(argument(args, 1), argument(args, 2));
    const value = argument(args, 3);
    const { now } = this.#world;
    if (name === "SO_LINGER") {
      const linger: Linger = {
        on: numberOf(fieldOf(value, "onoff")?.value ?? argument([], 0)) !== 0,
        seconds: numberOf(fieldOf(value, "linger")?.value ?? { kind: "number", value: 0 }),
      };
      socket.setsockopt(name, linger, now);
      return;
    }
    if (name === "TCP_CONGESTION") {
      const [text] = itemsOf(value);
      if (text?.kind !== "text") throw new UnsupportedError("TCP_CONGESTION that is no text");
      socket.setsockopt(name, text.value, now);
      return;
    }
    if (IGNORED.has(name)) return;
    const known = RENAMED[name] ?? name;
    if (!NUMBER_OPTIONS.has(known)) throw new UnsupportedError(`the socket option ${name}`);
    socket.setsockopt(known as NumberOption, numberOf(value), now);
  }

  #checkOption(socket: StackSocket, args: readonly Expression[]): void {
    const name = optionName(argument(args, 1), argument(args, 2));
    const wanted = argument(args, 3);
    const { now } = this.#world;
    if (name === "TCP_INFO" || wanted.kind === "any") {
      if (name !== "TCP_INFO" && !NUMBER_OPTIONS.has(name) && !OTHER_OPTIONS.has(name))
        throw new UnsupportedError(`the socket option ${name}`);
      return;
    }
    if (name === "SO_ERROR") {
      const errno = socket.getsockopt("SO_ERROR", now);
      const [item] = itemsOf(wanted);
      const expected = item?.kind === "name" && /^E[A-Z]/.test(item.name) ? item.name : (ERRNOS.get(numberOf(wanted)) ?? "");
      if (errno !== expected) throw new ScriptFailure("getsockopt SO_ERROR", expected || "0", errno || "0");
      return;
    }
    if (name === "SO_LINGER") {
      const linger = socket.getsockopt("SO_LINGER");
      const on = numberOf(fieldOf(wanted, "onoff")?.value ?? argument([], 0));
      if (Number(linger.on) !== on) throw new ScriptFailure("getsockopt SO_LINGER", `onoff=${on}`, `onoff=${Number(linger.on)}`);
      return;
    }
    if (name === "TCP_CONGESTION") {
      const [item] = itemsOf(wanted);
      const found = socket.getsockopt("TCP_CONGESTION");
      if (item?.kind === "text" && item.value !== found) throw new ScriptFailure("getsockopt TCP_CONGESTION", item.value, found);
      return;
    }
    if (!NUMBER_OPTIONS.has(name) && name !== "SO_ACCEPTCONN") throw new UnsupportedError(`the socket option ${name}`);
    const expected = optionalNumber(wanted);
    const found = socket.getsockopt(name as NumberOption, now);
    if (expected !== undefined && found !== expected)
      throw new ScriptFailure(`getsockopt ${name}`, String(expected), String(found));
  }

  #poll(args: readonly Expression[]): PendingCall {
    const watched = itemsOf(argument(args, 0));
    const timeoutMs = numberOf(argument(args, 2));
    const begun = this.#world.now;
    return withDeadline(timeoutMs < 0 ? undefined : begun + timeoutMs * 1000, () => {
      let ready = 0;
      const found: string[] = [];
      for (const item of watched) {
        const fd = numberOf(fieldOf(item, "fd")?.value ?? argument([], 0));
        const events = numberOf(fieldOf(item, "events")?.value ?? { kind: "number", value: 0 });
        const mask = readiness(this.#descriptors.get(fd)?.socket) & (events | 0x38);
        if (mask !== 0) ready++;
        const wanted = fieldOf(item, "revents")?.value;
        if (wanted !== undefined && wanted.kind !== "any" && numberOf(wanted) !== mask)
          found.push(`revents of ${fd} are 0x${mask.toString(16)}, expected 0x${numberOf(wanted).toString(16)}`);
      }
      const isOver = timeoutMs >= 0 && this.#world.now >= begun + timeoutMs * 1000;
      if (ready === 0 && !isOver) return undefined;
      if (found.length > 0) throw new ScriptFailure(`poll: ${found.join("; ")}`);
      return { value: ready, errno: "" };
    });
  }

  #createEpoll(call: CallEvent): number {
    const number = call.result === null ? 3 : numberOf(call.result);
    this.#epolls.set(number, { watched: new Map() });
    return number;
  }

  #changeEpoll(args: readonly Expression[]): number {
    const epoll = this.#epolls.get(numberOf(argument(args, 0)));
    if (epoll === undefined) throw new RawTcpError("EBADF", "no such epoll");
    const operation = numberOf(argument(args, 1));
    const fd = numberOf(argument(args, 2));
    const event = argument(args, 3);
    if (!this.#descriptors.has(fd)) throw new RawTcpError("EBADF", "no such descriptor");
    if (operation === 1 && epoll.watched.has(fd)) throw new RawTcpError("EEXIST", "watched already");
    if (operation !== 1 && !epoll.watched.has(fd)) throw new RawTcpError("ENOENT", "not watched");
    if (operation === 2) epoll.watched.delete(fd);
    else {
      const events = numberOf(fieldOf(event, "events")?.value ?? { kind: "number", value: 0 });
      epoll.watched.set(fd, { events, data: epollData(event), told: 0 });
    }
    return 0;
  }

  #waitEpoll(args: readonly Expression[]): PendingCall {
    const wanted = itemsOf(argument(args, 1));
    const most = numberOf(argument(args, 2));
    const timeoutMs = numberOf(argument(args, 3));
    const begun = this.#world.now;
    return withDeadline(timeoutMs < 0 ? undefined : begun + timeoutMs * 1000, () => {
      const epoll = this.#epolls.get(numberOf(argument(args, 0)));
      if (epoll === undefined) return { value: -1, errno: "EBADF" };
      const found: { events: number; data: Expression | undefined }[] = [];
      for (const [fd, watch] of epoll.watched) {
        const mask = readiness(this.#descriptors.get(fd)?.socket) & (watch.events | 0x18);
        // Edge-triggered: what was told is not told again until it has changed.
        const isEdge = (watch.events & 0x8000_0000) !== 0;
        const isNews = isEdge ? (mask & ~watch.told) !== 0 : mask !== 0;
        watch.told = mask;
        if (isNews && found.length < most) {
          found.push({ events: mask, data: watch.data });
          if ((watch.events & 0x4000_0000) !== 0) watch.events = 0;
        }
      }
      const isOver = timeoutMs >= 0 && this.#world.now >= begun + timeoutMs * 1000;
      if (found.length === 0 && !isOver) return undefined;
      for (const [i, { events }] of found.entries()) {
        const expected = wanted[i] === undefined ? undefined : fieldOf(wanted[i], "events")?.value;
        if (expected !== undefined && expected.kind !== "any" && numberOf(expected) !== events)
          throw new ScriptFailure("epoll_wait", `events 0x${numberOf(expected).toString(16)}`, `events 0x${events.toString(16)}`);
      }
      return { value: found.length, errno: "" };
    });
  }
}

const SHUTDOWNS = ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"] as const;

/** Options that change nothing that a script could see of us. */
const IGNORED: ReadonlySet<string> = new Set([
  "SO_REUSEPORT",
  "SO_MARK",
  "SO_BUSY_POLL",
  "IP_MTU_DISCOVER",
  "SO_RCVLOWAT",
  "IPV6_V6ONLY",
]);
const RENAMED: Readonly<Record<string, string>> = { SO_SNDBUFFORCE: "SO_SNDBUF", SO_RCVBUFFORCE: "SO_RCVBUF" };
const OTHER_OPTIONS: ReadonlySet<string> = new Set(["SO_ERROR", "SO_LINGER", "TCP_CONGESTION", "SO_ACCEPTCONN", "SO_TYPE"]);
const NUMBER_OPTIONS: ReadonlySet<string> = new Set([
  ...["SO_REUSEADDR", "SO_KEEPALIVE", "SO_OOBINLINE", "SO_SNDBUF", "SO_RCVBUF", "SO_MAX_PACING_RATE", "TCP_NODELAY", "TCP_CORK"],
  ...[
    "TCP_QUICKACK",
    "TCP_MAXSEG",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_KEEPCNT",
    "TCP_USER_TIMEOUT",
    "TCP_LINGER2",
    "TCP_SYNCNT",
    "TCP_WINDOW_CLAMP",
  ],
  ...[
    "TCP_NOTSENT_LOWAT",
    "TCP_DEFER_ACCEPT",
    "TCP_FASTOPEN",
    "TCP_FASTOPEN_CONNECT",
    "TCP_FASTOPEN_NO_COOKIE",
    "IP_TTL",
    "IP_TOS",
  ],
  ...["IPV6_UNICAST_HOPS", "IPV6_TCLASS", "TCP_KEEPINIT", "TCP_NOOPT"],
]);

/** Errnos that SO_ERROR may show, by Linux's numbers. */
const ERRNOS: ReadonlyMap<number, string> = new Map([
  [32, "EPIPE"],
  [101, "ENETUNREACH"],
  [103, "ECONNABORTED"],
  [104, "ECONNRESET"],
  [110, "ETIMEDOUT"],
  [111, "ECONNREFUSED"],
  [113, "EHOSTUNREACH"],
]);

function once(action: () => number): PendingCall {
  return () => {
    try {
      return { value: action(), errno: "" };
    } catch (error) {
      return failed(error);
    }
  };
}

/** Errnos are results; what the script does wrong, or we do not have, is not. */
function failed(error: unknown): CallResult {
  const isOurs = error instanceof ScriptFailure || error instanceof UnsupportedError;
  if (isOurs || !(error instanceof RawTcpError) || !/^E[A-Z0-9]+$/.test(error.code)) throw error;
  return { value: -1, errno: error.code };
}

function fcntl(descriptor: Descriptor, args: readonly Expression[]): number {
  const command = numberOf(argument(args, 1));
  if (command === CONSTANTS["F_GETFL"]) return 2 | (descriptor.isNonBlocking ? NONBLOCK : 0);
  if (command === CONSTANTS["F_SETFL"]) descriptor.isNonBlocking = (numberOf(argument(args, 2)) & NONBLOCK) !== 0;
  else if (command !== CONSTANTS["F_SETFD"] && command !== CONSTANTS["F_GETFD"]) throw new UnsupportedError(`fcntl ${command}`);
  return 0;
}

function ioctl(socket: StackSocket, args: readonly Expression[]): number {
  const request = argument(args, 1);
  if (request.kind !== "name") throw new UnsupportedError("an ioctl by its number");
  const name =
    request.name === "FIONREAD" || request.name === "TIOCINQ"
      ? "SIOCINQ"
      : request.name === "TIOCOUTQ"
        ? "SIOCOUTQ"
        : request.name;
  if (!["SIOCINQ", "SIOCOUTQ", "SIOCOUTQNSD", "SIOCATMARK"].includes(name)) throw new UnsupportedError(`ioctl ${request.name}`);
  const found = socket.ioctl(name as SocketRequest);
  const expected = optionalNumber(argument(args, 2));
  if (expected !== undefined && expected !== found)
    throw new ScriptFailure(`ioctl ${request.name}`, String(expected), String(found));
  return 0;
}

/** POLLRDNORM and POLLWRNORM come with POLLIN and POLLOUT. */
function readiness(socket: StackSocket | undefined): number {
  if (socket === undefined) return 0x20;
  const mask = socket.poll();
  return mask | ((mask & 1) !== 0 ? 0x40 : 0) | ((mask & 4) !== 0 ? 0x100 : 0);
}

function epollData(event: Expression): Expression | undefined {
  return (fieldOf(event, "fd") ?? fieldOf(event, "ptr") ?? fieldOf(event, "u32") ?? fieldOf(event, "u64"))?.value;
}

function messageLength(message: Expression): number {
  const vector = fieldOf(message, "msg_iov")?.value;
  if (vector === undefined) throw new UnsupportedError("a msghdr without msg_iov");
  return iovecLength(vector);
}

function optionName(level: Expression, option: Expression): string {
  if (option.kind === "name") return option.name;
  const [wantedLevel, number] = [numberOf(level), numberOf(option)];
  const found = Object.entries(SOCKET_OPTIONS).find(([, [a, b]]) => a === wantedLevel && b === number);
  if (found === undefined) throw new UnsupportedError(`socket option ${number} of level ${wantedLevel}`);
  return found[0];
}

function checkText(expected: string, bytes: Uint8Array): void {
  const wanted = utf8Encode(expected);
  if (wanted.length === bytes.length && wanted.every((byte, i) => byte === bytes[i])) return;
  throw new ScriptFailure("the data that was read", JSON.stringify(expected), `${bytes.length} other bytes`);
}
