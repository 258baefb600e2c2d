/**
 * The system calls of a script on sockets of the stack. Descriptors are the script's own numbers. A call that has to wait says so, and is
 * asked again when something has happened.
 */
import { RawTcpError } from "../base/errors.js";
import type { Micros } from "../base/time.js";
import { type SocketHost, type SocketRequest, StackSocket } from "../stack/socket.js";
import { IpAddress, tryParseAddress } from "../wire/address.js";
import type { CallEvent, Expression } from "./ast.js";
import { CONSTANTS, IOCTLS } from "./constants.js";
import { Descriptors, describeSocket, once, type SocketDescriptor, waiting } from "./descriptors.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import type { CallWatcher, PendingCall, ScriptCalls } from "./host.js";
import { type MessageContext, receive, send, sendFile, splice } from "./message-calls.js";
import { getOption, type OptionContext, setOption } from "./option-calls.js";
import { changeEpoll, poll, waitEpoll } from "./poll-calls.js";
import { argument, fieldOf, itemsOf, numberOf, optionalNumber } from "./values.js";
import type { VirtualWorld } from "./virtual-world.js";

/** The addresses and ports of the script. */
export interface Ends {
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

/** What the calls are to know of the script and its host. */
export interface CallSettings extends Ends {
  /** The script's time 0. */
  readonly start: Micros;
  readonly toleranceUs: Micros;
  /** The size of the send buffer is told doubled, as Linux does. */
  readonly doublesBuffers: boolean;
  /** Sockets are of IPv6, though their addresses are of IPv4. */
  readonly isMapped: boolean;
}

const NONBLOCK = 0x800;
/** Files that give zeros, or anything: what is sent from them is never compared. */
const ENDLESS_FILES = /^\/dev\/(zero|urandom|random|full)$/;

export class Calls implements ScriptCalls {
  /** The socket that was made last: whose tcp_info code asks for. */
  #current: StackSocket | undefined;
  readonly #world: VirtualWorld;
  readonly #settings: CallSettings;
  readonly #host: SocketHost;
  readonly #watcher: CallWatcher;
  readonly #table = new Descriptors();
  /** Until `cap_set` takes it away. */
  #isAdmin = true;

  constructor(world: VirtualWorld, settings: CallSettings, watcher: CallWatcher) {
    this.#world = world;
    this.#settings = settings;
    this.#watcher = watcher;
    this.#host = { stack: world.stack, sourceAddress: () => settings.local };
  }

  info(): Readonly<Record<string, number>> | undefined {
    const socket = this.#current;
    if (socket === undefined) return undefined;
    const info = socket.info(this.#world.now) as unknown as Readonly<Record<string, number>> | undefined;
    return info && { ...info, ...memoryInfo(socket, this.#world.now, this.#settings.doublesBuffers) };
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
        return this.#on(call, ({ socket }) => {
          const { address, port } = this.#endOf(argument(args, 1), this.#settings.local, this.#settings.localPort);
          socket.bind(address, port);
        });
      case "listen":
        return this.#on(call, (descriptor) => {
          descriptor.socket.listen(numberOf(argument(args, 1)));
          descriptor.isNew = false;
          this.#watcher.listening();
        });
      case "accept":
      case "accept4":
        return this.#accept(call);
      case "connect":
        return this.#connect(call);
      case "getsockname":
        return this.#on(call, ({ socket }) => this.#checkName(args, socket.getsockname()));
      case "getpeername":
        return this.#on(call, ({ socket }) => this.#checkName(args, socket.getpeername()));
      case "shutdown":
        return this.#on(call, ({ socket }) => {
          const how = SHUTDOWNS[numberOf(argument(args, 1))];
          if (how === undefined) throw new RawTcpError("EINVAL", "shutdown: no such direction");
          socket.shutdown(how, this.#world.now);
        });
      case "read":
      case "readv":
      case "recv":
      case "recvfrom":
      case "recvmsg":
        return receive(call, this.#messages());
      case "write":
      case "writev":
      case "send":
      case "sendto":
      case "sendmsg":
        return send(call, this.#messages());
      case "sendfile":
        return sendFile(call, this.#messages());
      case "splice":
        return splice(call, this.#messages());
      case "setsockopt":
        return once(() => setOption(call, this.#options()));
      case "getsockopt":
        return once(() => getOption(call, this.#options()));
      case "poll":
      case "ppoll":
        return poll(call, this.#table, this.#world);
      case "epoll_create":
      case "epoll_create1":
        return once(() => this.#createEpoll(call));
      case "epoll_ctl":
        return once(() => changeEpoll(call, this.#table));
      case "epoll_wait":
      case "epoll_pwait":
        return waitEpoll(call, this.#table, this.#world);
      case "pipe":
      case "pipe2":
        return once(() => this.#pipe(args));
      case "open":
        return once(() => this.#open(call));
      case "close":
        return this.#close(numberOf(argument(args, 0)));
      case "fcntl":
        return once(() => this.#control(args));
      case "ioctl":
        return this.#on(call, ({ socket }) => ioctl(socket, args));
      case "cap_set":
        return once(() => this.#setCapability(args));
      default:
        throw new UnsupportedError(`the system call ${name}`);
    }
  }

  #messages(): MessageContext {
    const { start, toleranceUs, isMapped } = this.#settings;
    return {
      isMapped,
      table: this.#table,
      world: this.#world,
      start,
      toleranceUs,
      openWith: (descriptor, data, flags, to) => {
        this.#connecting(descriptor);
        const { address, port } = this.#endOf(to, this.#settings.remote, this.#settings.remotePort);
        return descriptor.socket.sendto(data, flags, address, port, this.#world.now);
      },
    };
  }

  #options(): OptionContext {
    const { doublesBuffers, isMapped } = this.#settings;
    return { table: this.#table, now: this.#world.now, doublesBuffers, isMapped, isAdmin: this.#isAdmin };
  }

  // biome-ignore lint/suspicious/noConfusingVoidType: most calls return nothing, which is 0.
  #on(call: CallEvent, action: (descriptor: SocketDescriptor) => number | void): PendingCall {
    return once(() => action(this.#table.socket(argument(call.args, 0))));
  }

  #socket(call: CallEvent): number {
    const [domain, type, protocol] = [0, 1, 2].map((at) => argument(call.args, at));
    const number = domain?.kind === "any" || domain === undefined ? undefined : numberOf(domain);
    if (number !== undefined && number !== 2 && number !== 10) throw new RawTcpError("EAFNOSUPPORT", "no such family");
    const family = number === undefined ? this.#settings.local.family : number === 10 ? 6 : 4;
    const bits = type === undefined ? 1 : numberOf(type);
    if ((bits & 0xf) !== 1) throw new UnsupportedError("sockets that are not SOCK_STREAM");
    const transport = protocol === undefined || protocol.kind === "any" ? 6 : numberOf(protocol);
    if (transport === 262) throw new UnsupportedError("MPTCP");
    if (transport !== 6 && transport !== 0) throw new RawTcpError("EPROTONOSUPPORT", "no such protocol");
    const socket = new StackSocket(this.#host, family);
    this.#current = socket;
    this.#watcher.opened();
    return this.#table.add(describeSocket(socket, (bits & NONBLOCK) !== 0, true), call.result);
  }

  /** "..." is the script's own end; a struct that names another address or port is taken at its word. */
  #endOf(written: Expression, address: IpAddress, port: number): { readonly address: IpAddress; readonly port: number } {
    const ip = (fieldOf(written, "sin_addr") ?? fieldOf(written, "sin6_addr"))?.value;
    const text = ip?.kind === "call" && ip.args[0]?.kind === "text" ? ip.args[0].value : "";
    const named = (fieldOf(written, "sin_port") ?? fieldOf(written, "sin6_port"))?.value;
    const any = ip?.kind === "name" && /^INADDR_ANY$|^in6addr_any$/.test(ip.name);
    return {
      address: any ? new IpAddress(address.family, 0, 0, 0, 0) : (tryParseAddress(text) ?? address),
      port: named === undefined ? port : numberOf(named),
    };
  }

  #accept(call: CallEvent): PendingCall {
    const flags = call.name === "accept4" ? numberOf(argument(call.args, 3)) : 0;
    if ((flags & ~(NONBLOCK | 0x80000)) !== 0) return once(() => invalid("accept4: flags"));
    return waiting(this.#table, this.#world, call, "receive", 0, (listening) => {
      const accepted = listening.socket.accept(this.#world.now);
      this.#current = accepted;
      const descriptor = describeSocket(accepted, (flags & NONBLOCK) !== 0, false);
      // An accepted socket inherits its options.
      for (const [name, value] of listening.remembered) descriptor.remembered.set(name, value);
      const { receiveTimeoutUs, sendTimeoutUs, tellsLeft } = listening;
      return this.#table.add(Object.assign(descriptor, { receiveTimeoutUs, sendTimeoutUs, tellsLeft }), call.result);
    });
  }

  #connect(call: CallEvent): PendingCall {
    const to = argument(call.args, 1);
    const family = fieldOf(to, "sa_family")?.value ?? (to.kind === "name" || to.kind === "number" ? to : undefined);
    if (family !== undefined && numberOf(family) === 0) {
      return this.#on(call, (descriptor) => {
        descriptor.socket.disconnect(this.#world.now);
        descriptor.isNew = true;
      });
    }
    const { address, port } = this.#endOf(to, this.#settings.remote, this.#settings.remotePort);
    const action = (descriptor: SocketDescriptor, { isOver }: { readonly isOver: boolean }): number => {
      this.#connecting(descriptor);
      try {
        descriptor.socket.connect(address, port, this.#world.now);
      } catch (error) {
        if (error instanceof RawTcpError && error.code === "EINPROGRESS" && !isOver) throw new RawTcpError("EAGAIN", "under way");
        throw error;
      }
      return 0;
    };
    return waiting(this.#table, this.#world, call, "send", 0, action, "EINPROGRESS");
  }

  /** The script's packets are those of a socket that connects for the first time. */
  #connecting(descriptor: SocketDescriptor): void {
    if (descriptor.isNew) this.#watcher.connecting();
    descriptor.isNew = false;
  }

  #checkName(args: readonly Expression[], found: { readonly address: IpAddress; readonly port: number }): number {
    const { address, port } = this.#endOf(argument(args, 1), found.address, found.port);
    if (!address.equals(found.address) || port !== found.port)
      throw new ScriptFailure("the name of the socket", `${address} ${port}`, `${found.address} ${found.port}`);
    return 0;
  }

  #createEpoll(call: CallEvent): number {
    const given = optionalNumber(argument(call.args, 0)) ?? 1;
    if (call.name === "epoll_create" ? given <= 0 : (given & ~0x80000) !== 0) return invalid("epoll_create");
    return this.#table.add({ kind: "epoll", watched: new Map() }, call.result);
  }

  /** `pipe([3, 4])`. */
  #pipe(args: readonly Expression[]): number {
    const [reading, writing] = itemsOf(argument(args, 0)).map(numberOf);
    if (reading === undefined || writing === undefined) throw new UnsupportedError("a pipe without two descriptors");
    const isNonBlocking = ((optionalNumber(argument(args, 1)) ?? 0) & NONBLOCK) !== 0;
    const pipe = { bytes: 0, hasWriter: true, hasReader: true };
    this.#table.set(reading, { kind: "pipe", end: "read", pipe, isNonBlocking });
    this.#table.set(writing, { kind: "pipe", end: "write", pipe, isNonBlocking });
    return 0;
  }

  #open(call: CallEvent): number {
    const path = argument(call.args, 0);
    if (path.kind !== "text" || !ENDLESS_FILES.test(path.value)) throw new UnsupportedError("a file that is not /dev/zero");
    return this.#table.add({ kind: "file" }, call.result);
  }

  #close(number: number): PendingCall {
    const known = this.#table.peek(number);
    // Note: Linux does the same: close waits for what SO_LINGER gives it time for.
    const linger = known?.kind === "socket" ? known.socket.getsockopt("SO_LINGER") : undefined;
    const begin = once(() => {
      if (known === undefined) throw new RawTcpError("EBADF", "no such descriptor");
      this.#table.remove(number);
      if (known.kind === "socket") known.socket.close(this.#world.now);
      if (known.kind === "pipe" && known.end === "write") known.pipe.hasWriter = false;
      if (known.kind === "pipe" && known.end === "read") known.pipe.hasReader = false;
    });
    if (known?.kind !== "socket" || linger?.on !== true || linger.seconds === 0) return begin;
    const { connection } = known.socket;
    let result: ReturnType<PendingCall>;
    const deadline = this.#world.now + linger.seconds * 1_000_000;
    return Object.assign(
      () => {
        result ??= begin();
        const waits = connection !== undefined && LINGERING.has(connection.state) && this.#world.now < deadline;
        return waits ? undefined : result;
      },
      { deadline },
    );
  }

  #control(args: readonly Expression[]): number {
    const descriptor = this.#table.find(argument(args, 0));
    const command = numberOf(argument(args, 1));
    const canBlock = descriptor.kind === "socket" || descriptor.kind === "pipe";
    if (command === CONSTANTS["F_GETFL"]) {
      const access = descriptor.kind === "pipe" ? Number(descriptor.end === "write") : descriptor.kind === "file" ? 0 : 2;
      return access | (canBlock && descriptor.isNonBlocking ? NONBLOCK : 0);
    }
    if (command === CONSTANTS["F_SETFL"]) {
      if (canBlock) descriptor.isNonBlocking = (numberOf(argument(args, 2)) & NONBLOCK) !== 0;
    } else if (command !== CONSTANTS["F_SETFD"] && command !== CONSTANTS["F_GETFD"])
      throw new UnsupportedError(`fcntl ${command}`);
    return 0;
  }

  /** `cap_set(CAP_EFFECTIVE, CAP_NET_ADMIN, CAP_CLEAR)`. */
  #setCapability(args: readonly Expression[]): number {
    const [set, capability, operation] = [0, 1, 2].map((at) => numberOf(argument(args, at)));
    if (set === CONSTANTS["CAP_EFFECTIVE"] && capability === CONSTANTS["CAP_NET_ADMIN"])
      this.#isAdmin = operation === CONSTANTS["CAP_SET"];
    return 0;
  }
}

const SHUTDOWNS = ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"] as const;
/** Where something of ours is not acknowledged yet. */
const LINGERING: ReadonlySet<string> = new Set(["FIN-WAIT-1", "CLOSING", "LAST-ACK"]);

function ioctl(socket: StackSocket, args: readonly Expression[]): number {
  const request = numberOf(argument(args, 1));
  const name = REQUESTS.find((one) => IOCTLS[one] === request);
  if (name === undefined) throw new UnsupportedError(`ioctl 0x${request.toString(16)}`);
  const found = name === "SIOCATMARK" && socket.listener !== undefined ? 0 : socket.ioctl(name);
  const expected = optionalNumber(argument(args, 2));
  if (expected !== undefined && expected !== found) throw new ScriptFailure(`ioctl ${name}`, String(expected), String(found));
  return 0;
}

const REQUESTS: readonly SocketRequest[] = ["SIOCINQ", "SIOCOUTQ", "SIOCOUTQNSD", "SIOCATMARK"];

/** What SO_MEMINFO tells, as far as it is known. */
function memoryInfo(socket: StackSocket, now: Micros, doublesBuffers: boolean): Readonly<Record<string, number>> {
  return {
    SK_MEMINFO_RMEM_ALLOC: socket.connection?.tcb.linux?.memory.used ?? 0,
    SK_MEMINFO_RCVBUF: socket.getsockopt("SO_RCVBUF", now),
    SK_MEMINFO_SNDBUF: socket.getsockopt("SO_SNDBUF", now) * (doublesBuffers ? 2 : 1),
    SK_MEMINFO_OPTMEM: 0,
    SK_MEMINFO_BACKLOG: 0,
  };
}

function invalid(what: string): never {
  throw new RawTcpError("EINVAL", what);
}
