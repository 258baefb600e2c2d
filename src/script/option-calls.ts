/** setsockopt and getsockopt, by name or number, with Linux's answers to values that are out of range. */
import { RawTcpError } from "../base/errors.js";
import { type Micros, NEVER, SECOND } from "../base/time.js";
import type { NumberOption } from "../stack/socket-options.js";
import type { CallEvent, Expression } from "./ast.js";
import { CONSTANTS, ERRNOS, errnoName, SOCKET_OPTIONS } from "./constants.js";
import type { Descriptors, SocketDescriptor } from "./descriptors.js";
import { ScriptFailure, UnsupportedError } from "./errors.js";
import { textBytes } from "./message-calls.js";
import { argument, fieldOf, isNullPointer, itemsOf, numberOf, optionalNumber } from "./values.js";

/** What the options of a host depend on. */
export interface OptionContext {
  readonly table: Descriptors;
  readonly now: Micros;
  /** The size of the send buffer is told doubled, as Linux does. */
  readonly doublesBuffers: boolean;
  /** Sockets are of IPv6, though their addresses are of IPv4. */
  readonly isMapped: boolean;
  /** The script may do what CAP_NET_ADMIN is for. */
  readonly isAdmin: boolean;
}

/** Throws RawTcpError with Linux's errno, UnsupportedError. */
export function setOption(call: CallEvent, { table, now, isAdmin, isMapped, doublesBuffers: isLinux }: OptionContext): number {
  const { args } = call;
  const descriptor = table.socket(argument(args, 0));
  const { socket } = descriptor;
  const name = optionName(argument(args, 1), argument(args, 2));
  const value = argument(args, 3);
  const length = optionalNumber(argument(args, 4)) ?? 4;
  const [level = -1] = SOCKET_OPTIONS[name] ?? [];
  if (level === SOL_IPV6 && socket.family === 4 && !isMapped) fail("ENOPROTOOPT");
  if (name === "SO_BINDTODEVICE") return bindToDevice(value, length);
  // Whatever the option is, Linux wants room for an integer first.
  if ((level === SOL_SOCKET || level === SOL_TCP) && length < 4 && !TEXTS.has(name)) fail("EINVAL");
  if (level === SOL_IP && READ_ONLY.has(name)) fail("ENOPROTOOPT");
  if (isNullPointer(value) && length > 0) fail("EFAULT");
  switch (name) {
    case "SO_LINGER": {
      if (value.kind !== "struct" || length < 8) fail("EINVAL");
      const field = (one: string): number => numberOf(fieldOf(value, one)?.value ?? fieldOf(value, `l_${one}`)?.value ?? ZERO);
      socket.setsockopt(name, { on: field("onoff") !== 0, seconds: field("linger") }, now);
      return 0;
    }
    case "TCP_CONGESTION": {
      const [text] = itemsOf(value);
      if (length < 1) fail("EINVAL");
      if (text?.kind !== "text") fail("ENOENT");
      else socket.setsockopt(name, text.value.replace(/\0.*$/s, ""), now);
      return 0;
    }
    case "TCP_FASTOPEN_KEY":
      if (value.kind !== "text") fail("EINVAL");
      else socket.setsockopt(name, textBytes(value.value).subarray(0, length), now);
      return 0;
    case "TCP_ULP": {
      const [text] = itemsOf(value);
      const ulp = text?.kind === "text" ? text.value.slice(0, length).replace(/\0.*$/s, "") : "";
      if (length < 1) fail("EINVAL");
      // Of others there are none.
      if (!/^(?:tls|espintcp|mptcp|smc)$/.test(ulp)) fail("ENOENT");
      throw new UnsupportedError(`the socket option TCP_ULP with ${ulp}`);
    }
    case "SO_RCVTIMEO":
    case "SO_SNDTIMEO": {
      const us = timevalOf(value, length);
      if (name === "SO_RCVTIMEO") descriptor.receiveTimeoutUs = us;
      else descriptor.sendTimeoutUs = us;
      return 0;
    }
    case "IP_TTL":
    case "IPV6_UNICAST_HOPS":
      // -1 is the host's own.
      if (intOf(value, length) === -1) return 0;
      break;
  }
  if (READ_ONLY.has(name)) fail("ENOPROTOOPT");
  // Only while a connection is under repair.
  if (name === "TCP_TIMESTAMP") fail("EPERM");
  if (NOT_FOR_TCP.has(name)) fail("EOPNOTSUPP");
  // Its own value is as if it were not there.
  const isOff = OFF[name] !== undefined && length >= 4 && intOf(value, length) === OFF[name];
  if (UNSUPPORTED.has(name) && !isOff) throw new UnsupportedError(`the socket option ${name}`);
  // An option of IP may be a byte long, and one without bytes is 0.
  if (length < (name.startsWith("IP") ? Number(NOT_EMPTY.has(name)) : 4)) fail("EINVAL");
  const number = length === 0 ? 0 : name === "IP_TOS" ? intOf(value, length) & 0xff : intOf(value, length);
  if (ADMIN.has(name) && !isAdmin) fail("EPERM");
  if (socket.listener !== undefined && (name === "TCP_FASTOPEN_CONNECT" || (name === "TCP_WINDOW_CLAMP" && number === 0)))
    fail("EINVAL");
  // It counts for the handshake, which is over.
  if (name === "TCP_MAXSEG" && isLinux && socket.connection !== undefined)
    return number === 0 || (number >= LEAST_MSS && number <= LARGEST_MSS) ? 0 : fail("EINVAL");
  const known = FORCED[name] ?? name;
  if (name === "TCP_INQ") {
    if (number !== 0 && number !== 1) fail("EINVAL");
    descriptor.tellsLeft = number === 1;
  } else if (NUMBER_OPTIONS.has(known) && !(isMapped && level === SOL_IPV6)) {
    socket.setsockopt(known as NumberOption, number, now);
    if (DOUBLED.has(known) || AS_SET.has(known)) descriptor.remembered.set(known, number);
  } else remember(descriptor, name, number);
  return 0;
}

/** Throws ScriptFailure where the value is not what the script says. */
export function getOption(call: CallEvent, { table, now, doublesBuffers, isMapped }: OptionContext): number {
  const { args } = call;
  const { socket, remembered, ...descriptor } = table.socket(argument(args, 0));
  const name = optionName(argument(args, 1), argument(args, 2));
  const wanted = argument(args, 3);
  if ((optionalNumber(argument(args, 4)) ?? 4) < 0) fail("EINVAL");
  const [level = -1] = SOCKET_OPTIONS[name] ?? [];
  if (NOT_FOR_TCP.has(name) || (level === SOL_IPV6 && socket.family === 4 && !isMapped)) fail("EOPNOTSUPP");
  const check = (expected: number | undefined, found: number): number => {
    if (expected !== undefined && (expected | 0) !== (found | 0))
      throw new ScriptFailure(`getsockopt ${name}`, String(expected), String(found));
    return 0;
  };
  const number = (): number | undefined => optionalNumber(wanted);
  switch (name) {
    case "SO_ERROR": {
      const [item] = itemsOf(wanted);
      const found = ERRNOS[socket.getsockopt("SO_ERROR", now)] ?? 0;
      const expected = item === undefined || item.kind === "any" ? undefined : numberOf(item);
      if (expected !== undefined && expected !== found)
        throw new ScriptFailure(`getsockopt ${name}`, errnoName(expected) || "0", errnoName(found) || "0");
      return 0;
    }
    case "SO_LINGER": {
      const { on, seconds } = socket.getsockopt(name);
      const field = (one: string): number | undefined =>
        optionalNumber(fieldOf(wanted, one)?.value ?? fieldOf(wanted, `l_${one}`)?.value ?? ANY);
      check(field("onoff"), Number(on));
      return check(field("linger"), seconds);
    }
    case "TCP_CONGESTION": {
      const [item] = itemsOf(wanted);
      const found = socket.getsockopt(name);
      const expected = item?.kind === "text" ? item.value.replace(/\0.*$/s, "") : found;
      if (expected !== found) throw new ScriptFailure(`getsockopt ${name}`, expected, found);
      return 0;
    }
    case "SO_RCVTIMEO":
    case "SO_SNDTIMEO": {
      const us = name === "SO_RCVTIMEO" ? descriptor.receiveTimeoutUs : descriptor.sendTimeoutUs;
      const expected = wanted.kind === "any" ? us : timevalOf(wanted, 16);
      return check(expected === NEVER ? 0 : expected, us === NEVER ? 0 : us);
    }
    case "IP_MTU":
    case "IPV6_MTU": {
      const tcb = socket.connection?.tcb;
      if (tcb === undefined) return fail("ENOTCONN");
      return check(number(), Math.min(tcb.config.mtuBytes, tcb.pathMtu.bytes));
    }
  }
  const off = OFF[name];
  if (off !== undefined) return check(number(), off);
  if (wanted.kind === "any" && (TELLS_MUCH.has(name) || !UNSUPPORTED.has(name))) return 0;
  if (UNSUPPORTED.has(name) || TELLS_MUCH.has(name)) throw new UnsupportedError(`the socket option ${name}`);
  const fixed = FIXED[name];
  if (fixed !== undefined) return check(number(), fixed);
  if (name === "SO_DOMAIN") return check(number(), socket.family === 6 || isMapped ? 10 : 2);
  if (name === "TCP_INQ") return check(number(), Number(descriptor.tellsLeft));
  if (name === "SO_ACCEPTCONN") return check(number(), socket.getsockopt(name));
  if (AS_SET.has(name)) return check(number(), remembered.get(name) ?? 0);
  if (name === "TCP_MAXSEG" && socket.connection === undefined) {
    const own = socket.getsockopt(name, now);
    return check(number(), own < UNBOUNDED_MSS ? own : DEFAULT_MSS);
  }
  if (NUMBER_OPTIONS.has(name) && !(isMapped && level === SOL_IPV6)) {
    const found = socket.getsockopt(name as NumberOption, now);
    return check(number(), doublesBuffers && remembered.has(name) ? 2 * found : found);
  }
  if (FORCED[name] !== undefined) return fail("ENOPROTOOPT");
  return check(number(), remembered.get(name) ?? DEFAULTS[name] ?? 0);
}

/** By name, or by level and number: `ENOPROTOOPT` for one that Linux does not know either. */
function optionName(level: Expression, option: Expression): string {
  if (option.kind === "name" && FREEBSD_OPTIONS.has(option.name)) return option.name;
  if (option.kind === "name" && (SOCKET_OPTIONS[option.name] !== undefined || !(option.name in CONSTANTS))) {
    const [own] = SOCKET_OPTIONS[option.name] ?? [];
    if (own === undefined) throw new UnsupportedError(`the socket option ${option.name}`);
    // At a level where it is not at home it is another option, or none.
    if (numberOf(level) !== own) return optionName(level, { kind: "number", value: numberOf(option) });
    return option.name;
  }
  const [wantedLevel, number] = [numberOf(level), numberOf(option)];
  const found = Object.entries(SOCKET_OPTIONS).find(([, [a, b]]) => a === wantedLevel && b === number);
  return found === undefined ? fail("ENOPROTOOPT") : found[0];
}

/** Four bytes as a number. */
function intOf(value: Expression, length: number): number {
  const [item] = itemsOf(value);
  if (item?.kind === "text") {
    const bytes = textBytes(item.value);
    const at = (i: number): number => (i < length ? (bytes[i] ?? 0) : 0);
    return at(0) | (at(1) << 8) | (at(2) << 16) | (at(3) << 24);
  }
  if (item === undefined || item.kind === "struct") return fail("EINVAL");
  const number = numberOf(item);
  return number > 0x7fff_ffff && number <= 0xffff_ffff ? number | 0 : number;
}

/** struct timeval; 0 is no limit. Throws `EINVAL` for a value of another size, `EDOM` for microseconds that are none. */
function timevalOf(value: Expression, length: number): Micros {
  if (length < 16) fail("EINVAL");
  const parts = value.kind === "struct" ? value.fields.map((field) => field.value) : itemsOf(value);
  const [seconds = 0, us = 0] = parts.map(numberOf);
  if (us < 0 || us >= SECOND) fail("EDOM");
  if (seconds < 0) return 0;
  const total = seconds * SECOND + us;
  return total === 0 ? NEVER : total;
}

/** Keeps what changes nothing that could be seen of us. */
function remember(descriptor: SocketDescriptor, name: string, value: number): void {
  const range = RANGES[name];
  if (range !== undefined && (value < range[0] || value > range[1])) fail("EINVAL");
  descriptor.remembered.set(name, SWITCHES.has(name) ? Number(value !== 0) : value);
}

/** That Linux has no number for. */
const FREEBSD_OPTIONS: ReadonlySet<string> = new Set(["TCP_KEEPINIT", "TCP_NOOPT"]);
/** That the engine knows. */
const NUMBER_OPTIONS: ReadonlySet<string> = new Set([
  ...[
    "SO_REUSEADDR",
    "SO_KEEPALIVE",
    "SO_OOBINLINE",
    "SO_SNDBUF",
    "SO_RCVBUF",
    "SO_MAX_PACING_RATE",
    "SO_RCVLOWAT",
    "SO_ZEROCOPY",
  ],
  ...["SO_TIMESTAMPING", "TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK", "TCP_MAXSEG", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"],
  ...["TCP_USER_TIMEOUT", "TCP_LINGER2", "TCP_NOTSENT_LOWAT", "TCP_DEFER_ACCEPT", "TCP_FASTOPEN", "TCP_FASTOPEN_CONNECT"],
  ...[
    "TCP_FASTOPEN_NO_COOKIE",
    "TCP_SYNCNT",
    "TCP_WINDOW_CLAMP",
    "TCP_RTO_MIN_US",
    "TCP_RTO_MAX_MS",
    "TCP_DELACK_MAX_US",
    "TCP_THIN_LINEAR_TIMEOUTS",
    ...FREEBSD_OPTIONS,
    "IP_TTL",
    "IP_TOS",
    "IPV6_UNICAST_HOPS",
    "IPV6_TCLASS",
  ],
]);
const FORCED: Readonly<Record<string, string>> = { SO_SNDBUFFORCE: "SO_SNDBUF", SO_RCVBUFFORCE: "SO_RCVBUF" };
const DOUBLED: ReadonlySet<string> = new Set(["SO_SNDBUF"]);
const ADMIN: ReadonlySet<string> = new Set(["SO_SNDBUFFORCE", "SO_RCVBUFFORCE", "SO_MARK", "SO_DEBUG"]);

/** The value that leaves things as they are, of options that are not had. */
const OFF: Readonly<Record<string, number>> = {
  SO_PEEK_OFF: -1,
  SO_TIMESTAMP: 0,
  SO_TIMESTAMPNS: 0,
  IP_MINTTL: 0,
  IPV6_MINHOPCOUNT: 0,
  TCP_REPAIR: 0,
  TCP_TX_DELAY: 0,
};
/** Sockets of other kinds have them. */
const NOT_FOR_TCP: ReadonlySet<string> = new Set(["SO_PASSCRED", "SO_PASSSEC"]);
/** That have room for fewer bytes than an integer. */
const TEXTS: ReadonlySet<string> = new Set(["TCP_CONGESTION", "TCP_ULP", "TCP_FASTOPEN_KEY", "SO_BINDTODEVICE"]);
/** Of those of IP, that want a byte at least. */
const NOT_EMPTY: ReadonlySet<string> = new Set(["IP_FREEBIND", "IP_TRANSPARENT", "IP_TTL", "IP_MINTTL"]);
/** That are told as they were set, and 0 before; `SO_MAX_PACING_RATE` is not among them. */
const AS_SET: ReadonlySet<string> = new Set(["TCP_NOTSENT_LOWAT"]);
/** What TCP_MAXSEG tells before there is a connection, unless it was set (TCP_MSS_DEFAULT). */
const DEFAULT_MSS = 536;
const UNBOUNDED_MSS = 65_495;
/** TCP_MIN_MSS, MAX_TCP_WINDOW. */
const LEAST_MSS = 88;
const LARGEST_MSS = 32_767;
const SOL_IP = 0;
const SOL_TCP = 6;
const SOL_SOCKET = 1;
const SOL_IPV6 = 41;

/** A script has the one device. */
function bindToDevice(value: Expression, length: number): number {
  const [item] = itemsOf(value);
  const device = item?.kind === "text" ? item.value.slice(0, length).replace(/\0.*$/s, "") : "";
  return device === "" || /^(?:tun\d*|lo|eth\d+)$/.test(device) ? 0 : fail("ENODEV");
}

/** That say how the stack behaves, which ours does not do. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  ...["SO_ATTACH_FILTER", "SO_ATTACH_BPF", "SO_TXTIME", "SO_PEEK_OFF", "SO_RESERVE_MEM", "SO_TIMESTAMP"],
  ...[
    "SO_TIMESTAMPNS",
    "TCP_MD5SIG",
    "TCP_MD5SIG_EXT",
    "TCP_COOKIE_TRANSACTIONS",
    "TCP_REPAIR",
    "TCP_REPAIR_QUEUE",
    "TCP_QUEUE_SEQ",
  ],
  ...["TCP_REPAIR_OPTIONS", "TCP_REPAIR_WINDOW", "TCP_ZEROCOPY_RECEIVE", "TCP_TX_DELAY"],
  ...["TCP_SAVED_SYN", "TCP_AO_ADD_KEY", "TCP_AO_DEL_KEY", "TCP_AO_INFO", "TCP_AO_GET_KEYS"],
  ...["TCP_AO_REPAIR", "IP_OPTIONS", "IP_HDRINCL", "IP_MINTTL"],
  "IPV6_MINHOPCOUNT",
]);
/** That are structs of which nothing is compared. */
const TELLS_MUCH: ReadonlySet<string> = new Set([
  "TCP_INFO",
  "TCP_CC_INFO",
  "SO_MEMINFO",
  "SO_COOKIE",
  "SO_PEERCRED",
  "SO_PEERNAME",
]);
const READ_ONLY: ReadonlySet<string> = new Set([
  ...[
    "SO_TYPE",
    "SO_PROTOCOL",
    "SO_DOMAIN",
    "SO_ERROR",
    "SO_ACCEPTCONN",
    "SO_SNDLOWAT",
    "SO_MEMINFO",
    "SO_COOKIE",
    "SO_PEERNAME",
  ],
  ...["SO_PEERCRED", "SO_INCOMING_NAPI_ID", "TCP_INFO", "TCP_CC_INFO", "TCP_SAVED_SYN", "TCP_IS_MPTCP", "IP_MTU"],
]);
const FIXED: Readonly<Record<string, number>> = {
  SO_TYPE: 1,
  SO_PROTOCOL: 6,
  SO_SNDLOWAT: 1,
  SO_INCOMING_NAPI_ID: 0,
  TCP_IS_MPTCP: 0,
};
/** What is remembered, before it was set. */
const DEFAULTS: Readonly<Record<string, number>> = {
  IP_MTU_DISCOVER: 1,
  IPV6_MTU_DISCOVER: 1,
  SO_TXREHASH: 1,
  SO_INCOMING_CPU: -1,
};
const SWITCHES: ReadonlySet<string> = new Set([
  ...[
    "SO_REUSEPORT",
    "SO_DEBUG",
    "SO_DONTROUTE",
    "SO_BROADCAST",
    "SO_NO_CHECK",
    "SO_RXQ_OVFL",
    "SO_SELECT_ERR_QUEUE",
    "SO_RCVMARK",
  ],
  ...["IP_RECVERR", "IP_RECVTOS", "IP_RECVTTL", "IP_PKTINFO", "IP_FREEBIND", "IP_TRANSPARENT", "IPV6_RECVERR", "IPV6_V6ONLY"],
]);
/** Bounds beyond which Linux says EINVAL. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  IP_MTU_DISCOVER: [0, 5],
  IPV6_MTU_DISCOVER: [0, 5],
  SO_BUF_LOCK: [0, 3],
  SO_BUSY_POLL: [0, 0x7fff_ffff],
  SO_TXREHASH: [-1, 1],
  TCP_THIN_DUPACK: [0, 1],
  TCP_SAVE_SYN: [0, 2],
};

function fail(code: string): never {
  throw new RawTcpError(code, `setsockopt or getsockopt: ${code}`);
}

const ANY: Expression = { kind: "any" };
const ZERO: Expression = { kind: "number", value: 0 };
