/**
 * System calls as scripts for FreeBSD write them: its numbers, names and answers in front of `calls.ts`, which has Linux's.
 * Source: FreeBSD's sys/socket.h, netinet/tcp.h, sys/fcntl.h, sys/errno.h, kern/uipc_socket.c and netinet/tcp_usrreq.c.
 */
import type { ConnectionConfig } from "../tcp/config.js";
import type { CallEvent, Expression } from "./ast.js";
import type { Calls } from "./calls.js";
import { CODE_CONSTANTS, SOCKET_OPTIONS } from "./constants.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { freeBsdInfo, freeBsdInfoWithout } from "./freebsd-info.js";
import type { CallResult, PendingCall, ScriptCalls } from "./host.js";
import { stackOf } from "./sysctl-freebsd.js";
import { argument, fieldOf, itemsOf, numberOf, optionalNumber } from "./values.js";

export class FreeBsdCalls implements ScriptCalls {
  readonly #calls: Calls;
  readonly #configure: (changes: Partial<ConnectionConfig>) => void;
  /** Descriptors that do not block: what they accept does not either. */
  readonly #nonBlocking = new Set<number>();
  /** Descriptors that have connected, or were accepted. */
  readonly #connected = new Set<number>();

  /** `configure` takes what is to hold for the connections that begin from now on. */
  constructor(calls: Calls, configure: (changes: Partial<ConnectionConfig>) => void) {
    this.#calls = calls;
    this.#configure = configure;
  }

  info(): Readonly<Record<string, number>> | undefined {
    const info = this.#calls.info();
    const connection = this.#calls.current?.connection;
    if (info === undefined) return undefined;
    return connection === undefined
      ? freeBsdInfoWithout(info["tcpi_state"] === CODE_CONSTANTS["TCPI_LISTEN"])
      : freeBsdInfo(connection, this.#calls.now);
  }

  localPort(): number | undefined {
    return this.#calls.localPort();
  }

  /** Throws UnsupportedError, and ScriptFailure where what it hands back is not what the script says. */
  begin(call: CallEvent): PendingCall {
    const { name, args } = call;
    const fd = descriptorOf(args[0]);
    switch (name) {
      case "socket": {
        const type = translated(argument(args, 1), TYPES);
        return followed(this.#with(call, 1, TYPES), ({ value }) => this.#learn(value, type, false));
      }
      case "accept": {
        const flags: Expression = { kind: "name", name: "SOCK_NONBLOCK" };
        const inherits = this.#nonBlocking.has(fd);
        const begun = inherits ? { ...call, name: "accept4", args: [...args, flags] } : call;
        return followed(this.#calls.begin(begun), ({ value }) => this.#learn(value, inherits ? flags : undefined, true));
      }
      case "accept4": {
        const flags = translated(argument(args, 3), TYPES);
        return followed(this.#with(call, 3, TYPES), ({ value }) => this.#learn(value, flags, true));
      }
      case "connect":
        return this.#connect(call, fd);
      case "close":
        this.#nonBlocking.delete(fd);
        this.#connected.delete(fd);
        return this.#calls.begin(call);
      case "fcntl":
        return this.#fcntl(call, fd);
      case "ioctl":
        return this.#ioctl(call, fd);
      case "recv":
      case "recvfrom":
      case "send":
      case "sendto":
        return this.#with(call, 3, MESSAGE_FLAGS);
      case "recvmsg":
      case "sendmsg":
        return this.#with(call, 2, MESSAGE_FLAGS);
      case "poll":
        return this.#with(call, 2, TIMEOUTS);
      case "setsockopt":
        return this.#setOption(call, fd);
      case "getsockopt":
        return this.#checkOption(call, fd);
      default:
        return this.#calls.begin(call);
    }
  }

  /** A call whose argument is in FreeBSD's numbers. */
  #with({ args, ...call }: CallEvent, at: number, table: Table): PendingCall {
    return this.#calls.begin({ ...call, args: args.map((given, i) => (i === at ? translated(given, table) : given)) });
  }

  #learn(fd: number, flags: Expression | undefined, isConnected: boolean): void {
    if (fd < 0) return;
    if (flags !== undefined && (numberOf(flags) & NONBLOCK) !== 0) this.#nonBlocking.add(fd);
    if (isConnected) this.#connected.add(fd);
  }

  /** Called again it tells nothing of how the first went: EISCONN when that is done, ECONNREFUSED when it has failed. */
  #connect(call: CallEvent, fd: number): PendingCall {
    const isFirst = !this.#connected.has(fd);
    this.#connected.add(fd);
    const begun = this.#calls.begin(call);
    if (isFirst) return begun;
    return () => {
      const result = begun();
      if (result === undefined || result.errno === "EALREADY" || result.errno === "EBADF") return result;
      return { value: -1, errno: result.errno === "" || result.errno === "EISCONN" ? "EISCONN" : "ECONNREFUSED" };
    };
  }

  #fcntl(call: CallEvent, fd: number): PendingCall {
    const command = numberOf(argument(call.args, 1));
    if (command === F_SETFL) {
      const isNonBlocking = (numberOf(translated(argument(call.args, 2), FILE_FLAGS)) & NONBLOCK) !== 0;
      this.#nonBlocking.delete(fd);
      if (isNonBlocking) this.#nonBlocking.add(fd);
      return this.#with(call, 2, FILE_FLAGS);
    }
    const begun = this.#calls.begin(call);
    if (command !== F_GETFL) return begun;
    return () => {
      const result = begun();
      if (result === undefined || result.value < 0) return result;
      return { ...result, value: (result.value & ~NONBLOCK) | ((result.value & NONBLOCK) === 0 ? 0 : O_NONBLOCK) };
    };
  }

  #ioctl(call: CallEvent, fd: number): PendingCall {
    const request = argument(call.args, 1);
    const name = request.kind === "name" ? request.name : "";
    if (name === "FIONBIO") {
      const flags = optionalNumber(argument(call.args, 2)) === 0 ? 0 : O_NONBLOCK;
      const values = [numberOf(argument(call.args, 0)), F_SETFL, flags].map((value) => ({ kind: "number", value }) as const);
      return this.#fcntl({ ...call, name: "fcntl", args: values }, fd);
    }
    if (name === "FIONWRITE") return this.#calls.begin({ ...call, args: call.args.with(1, { kind: "name", name: "SIOCOUTQ" }) });
    return this.#calls.begin(call);
  }

  #setOption(call: CallEvent, fd: number): PendingCall {
    const { args } = call;
    const name = optionOfFreeBsd(args[1], argument(args, 2));
    if (IGNORED.has(name)) return () => ({ value: 0, errno: "" });
    if (name === "TCP_FUNCTION_BLK") return this.#chooseStack(argument(args, 3), fd);
    if (name === "SO_RCVBUF" || name === "SO_SNDBUF") {
      const value = numberOf(argument(args, 3));
      if (value < 1) return () => ({ value: -1, errno: "EINVAL" });
      if (value > LARGEST_BUFFER) return () => ({ value: -1, errno: "ENOBUFS" });
      // Linux has no buffers as small.
      if (value < LINUX_LEAST_BUFFER && !this.#connected.has(fd)) return this.#setSmallBuffer(name, value);
    }
    if (name === "TCP_CONGESTION") return renamed(this.#calls.begin(call), "ENOENT", "ESRCH");
    // It counts for the present segments alone: what a handshake brings takes its place.
    if (name === "TCP_MAXSEG" && !this.#connected.has(fd)) {
      const value = numberOf(argument(args, 3));
      return () => (value < LEAST_MAXSEG || value > DEFAULT_MAXSEG ? { value: -1, errno: "EINVAL" } : { value: 0, errno: "" });
    }
    return this.#calls.begin({ ...call, args: args.with(1, linuxLevelOf(name)).with(2, { kind: "name", name }) });
  }

  #setSmallBuffer(name: "SO_RCVBUF" | "SO_SNDBUF", bytes: number): PendingCall {
    return () => {
      this.#configure(
        name === "SO_RCVBUF" ? { receiveBufferBytes: bytes, receiveBufferMaxBytes: 0 } : { sendBufferBytes: bytes },
      );
      return { value: 0, errno: "" };
    };
  }

  /** Scripts choose it for a socket that is new: it holds for what that opens. Throws UnsupportedError for one that we do not have. */
  #chooseStack(value: Expression, fd: number): PendingCall {
    const [item] = itemsOf(value);
    const field = item === undefined ? undefined : fieldOf(item, "function_set_name")?.value;
    const name = field?.kind === "text" ? field.value : "";
    const isKnown = /^(?:default|freebsd|rack|bbr)$/.test(name);
    const changes = isKnown ? stackOf(name === "default" ? "freebsd" : name) : {};
    return () => {
      if (!isKnown) return { value: -1, errno: "ENOENT" };
      if (!this.#connected.has(fd)) this.#configure(changes);
      return { value: 0, errno: "" };
    };
  }

  #checkOption(call: CallEvent, fd: number): PendingCall {
    const { args } = call;
    const name = optionOfFreeBsd(args[1], argument(args, 2));
    if (IGNORED.has(name) || name === "TCP_FUNCTION_BLK") return () => ({ value: 0, errno: "" });
    const wanted = argument(args, 3);
    const begin = (value: Expression): PendingCall =>
      this.#calls.begin({ ...call, args: args.with(1, linuxLevelOf(name)).with(2, { kind: "name", name }).with(3, value) });
    if (name === "SO_ERROR") return begin(errnoOf(wanted));
    const bit = SWITCHES[name];
    const isDefault = name === "TCP_MAXSEG" && !this.#connected.has(fd);
    const expected = bit !== undefined || isDefault ? optionalNumber(wanted) : undefined;
    if (expected === undefined) return begin(wanted);
    if (isDefault) {
      if (expected !== DEFAULT_MAXSEG) throw new ScriptFailure(`getsockopt ${name}`, String(expected), String(DEFAULT_MAXSEG));
      return () => ({ value: 0, errno: "" });
    }
    if (expected !== 0 && expected !== bit) throw new ScriptFailure(`getsockopt ${name}`, String(expected), `0 or ${bit}`);
    return begin({ kind: "number", value: expected === 0 ? 0 : 1 });
  }
}

const IPPROTO_TCP = 6;
const NONBLOCK = 0x800;
const O_NONBLOCK = 4;
const F_GETFL = 3;
const F_SETFL = 4;

/** net.inet.tcp.mssdflt and minmss. */
const DEFAULT_MAXSEG = 536;
const LEAST_MAXSEG = 216 - 40;

const LINUX_LEAST_BUFFER = 2_304;
/** As much of kern.ipc.maxsockbuf as clusters with their mbufs can hold (sb_max_adj). */
const LARGEST_BUFFER = Math.floor((2_097_152 * 2048) / (256 + 2048));

/** Does something with the result of a call when there is one. */
function followed(call: PendingCall, then: (result: CallResult) => void): PendingCall {
  return () => {
    const result = call();
    if (result !== undefined) then(result);
    return result;
  };
}

function renamed(call: PendingCall, from: string, to: string): PendingCall {
  return () => {
    const result = call();
    return result?.errno === from ? { ...result, errno: to } : result;
  };
}

/** The level at which Linux has the option. */
function linuxLevelOf(name: string): Expression {
  return { kind: "number", value: SOCKET_OPTIONS[name]?.[0] ?? IPPROTO_TCP };
}

function descriptorOf(expression: Expression | undefined): number {
  return expression?.kind === "number" ? expression.value : -1;
}

function errnoOf(wanted: Expression): Expression {
  const [item] = itemsOf(wanted);
  const name = item?.kind === "number" ? ERRNOS.get(item.value) : undefined;
  return name === undefined ? wanted : { kind: "list", items: [{ kind: "name", name }] };
}

/** Options that change nothing that a script could see of us. */
const IGNORED: ReadonlySet<string> = new Set([
  ...["SO_NOSIGPIPE", "SO_REUSEPORT", "SO_REUSEPORT_LB", "SO_DEBUG", "SO_TIMESTAMP", "SO_BINTIME", "SO_USELOOPBACK"],
  ...["SO_DONTROUTE", "SO_BROADCAST", "SO_NO_OFFLOAD", "SO_NO_DDP", "SO_USER_COOKIE", "SO_SETFIB", "SO_SNDLOWAT", "SO_TS_CLOCK"],
  ...["TCP_LOG", "TCP_LOGID", "TCP_LOG_TAG", "TCP_LOG_LIMIT", "TCP_LOGDUMP", "TCP_LOGDUMPID", "TCP_USER_LOG", "TCP_STATS"],
  ...["TCP_PCAP_OUT", "TCP_PCAP_IN", "TCP_PROC_ACCOUNTING", "TCP_USE_CMP_ACKS", "IP_DONTFRAG", "IPV6_DONTFRAG"],
]);

/** Errnos that SO_ERROR may show. */
const ERRNOS: ReadonlyMap<number, string> = new Map([
  [32, "EPIPE"],
  [51, "ENETUNREACH"],
  [53, "ECONNABORTED"],
  [54, "ECONNRESET"],
  [60, "ETIMEDOUT"],
  [61, "ECONNREFUSED"],
  [65, "EHOSTUNREACH"],
]);

/** Bits and names of an argument: what they are for Linux; null for what we do not have. */
interface Table {
  readonly bits: readonly (readonly [freebsd: number, linux: number])[];
  readonly names: Readonly<Record<string, string | null>>;
}

const TYPES: Table = {
  bits: [
    [0x2000_0000, 0x800],
    [0x1000_0000, 0x8_0000],
  ],
  names: {},
};

const FILE_FLAGS: Table = { bits: [[O_NONBLOCK, NONBLOCK]], names: { O_NDELAY: "O_NONBLOCK" } };

const TIMEOUTS: Table = { bits: [], names: { INFTIM: "-1" } };

const MESSAGE_FLAGS: Table = {
  bits: [
    [8, 0x80],
    [0x10, 0x20],
    [0x20, 8],
    [0x40, 0x100],
    [0x80, 0x40],
    [0x4000, 0x40],
    [0x2_0000, 0x4000],
  ],
  names: { MSG_NBIO: "MSG_DONTWAIT", MSG_EOF: null, MSG_NOTIFICATION: null },
};

function translated(expression: Expression, table: Table): Expression {
  if (expression.kind === "binary")
    return { ...expression, left: translated(expression.left, table), right: translated(expression.right, table) };
  if (expression.kind === "number") {
    let { value } = expression;
    let [taken, given] = [0, 0];
    if (value < 0) return expression;
    for (const [freebsd, linux] of table.bits) {
      if ((value & freebsd) === 0) continue;
      taken |= freebsd;
      given |= linux;
    }
    value = (value & ~taken) | given;
    return { kind: "number", value };
  }
  if (expression.kind !== "name") return expression;
  const name = Object.hasOwn(table.names, expression.name) ? table.names[expression.name] : expression.name;
  if (name === null || name === undefined) throw new UnsupportedError(expression.name);
  return name === "-1" ? { kind: "number", value: -1 } : { kind: "name", name };
}

/** The name of an option as `calls.ts` has it. */
function optionOfFreeBsd(level: Expression | undefined, option: Expression): string {
  if (option.kind === "name") return option.name === "TCP_NOPUSH" ? "TCP_CORK" : option.name;
  const number = option.kind === "number" ? option.value : -1;
  const names = level === undefined ? undefined : OPTIONS[levelOf(level)];
  const found = Object.entries(names ?? {}).find(([, value]) => value === number)?.[0];
  if (found === undefined) throw new UnsupportedError(`socket option ${number} of FreeBSD`);
  return found === "TCP_NOPUSH" ? "TCP_CORK" : found;
}

function levelOf(level: Expression): number {
  if (level.kind === "number") return level.value;
  return level.kind === "name" ? (LEVELS[level.name] ?? -1) : -1;
}

const LEVELS: Readonly<Record<string, number>> = { SOL_SOCKET: 0xffff, IPPROTO_IP: 0, IPPROTO_TCP: 6, IPPROTO_IPV6: 41 };

/** Bits of so_options, and of t_flags, as getsockopt shows them. */
const SWITCHES: Readonly<Record<string, number>> = {
  SO_ACCEPTCONN: 2,
  SO_REUSEADDR: 4,
  SO_KEEPALIVE: 8,
  SO_OOBINLINE: 0x100,
  TCP_NODELAY: 4,
  TCP_NOOPT: 8,
  TCP_CORK: 0x1000,
};

const OPTIONS: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  0: { IP_TOS: 3, IP_TTL: 4, IP_DONTFRAG: 67 },
  6: {
    TCP_NODELAY: 1,
    TCP_MAXSEG: 2,
    TCP_NOPUSH: 4,
    TCP_NOOPT: 8,
    TCP_MD5SIG: 16,
    TCP_INFO: 32,
    TCP_STATS: 33,
    TCP_LOG: 34,
    TCP_LOGID: 36,
    TCP_LOGDUMP: 37,
    TCP_LOGDUMPID: 38,
    TCP_CONGESTION: 64,
    TCP_REMOTE_UDP_ENCAPS_PORT: 71,
    TCP_KEEPINIT: 128,
    TCP_KEEPIDLE: 256,
    TCP_KEEPINTVL: 512,
    TCP_KEEPCNT: 1024,
    TCP_FASTOPEN: 1025,
    TCP_PCAP_OUT: 2048,
    TCP_PCAP_IN: 4096,
    TCP_FUNCTION_BLK: 8192,
    TCP_FUNCTION_ALIAS: 8193,
  },
  41: { IPV6_UNICAST_HOPS: 4, IPV6_V6ONLY: 27, IPV6_TCLASS: 61, IPV6_DONTFRAG: 62 },
  65535: {
    SO_DEBUG: 1,
    SO_ACCEPTCONN: 2,
    SO_REUSEADDR: 4,
    SO_KEEPALIVE: 8,
    SO_DONTROUTE: 0x10,
    SO_BROADCAST: 0x20,
    SO_USELOOPBACK: 0x40,
    SO_LINGER: 0x80,
    SO_OOBINLINE: 0x100,
    SO_REUSEPORT: 0x200,
    SO_TIMESTAMP: 0x400,
    SO_NOSIGPIPE: 0x800,
    SO_ACCEPTFILTER: 0x1000,
    SO_BINTIME: 0x2000,
    SO_NO_OFFLOAD: 0x4000,
    SO_NO_DDP: 0x8000,
    SO_REUSEPORT_LB: 0x1_0000,
    SO_SNDBUF: 0x1001,
    SO_RCVBUF: 0x1002,
    SO_SNDLOWAT: 0x1003,
    SO_RCVLOWAT: 0x1004,
    SO_SNDTIMEO: 0x1005,
    SO_RCVTIMEO: 0x1006,
    SO_ERROR: 0x1007,
    SO_TYPE: 0x1008,
    SO_SETFIB: 0x1014,
    SO_USER_COOKIE: 0x1015,
    SO_TS_CLOCK: 0x1017,
    SO_MAX_PACING_RATE: 0x1018,
  },
};
