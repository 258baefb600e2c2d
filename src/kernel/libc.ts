/**
 * The few functions of the C library that Node does not offer, called through koffi.
 *
 * Two styles stand side by side. Set-up calls throw a LibcError. The calls of the data path, `sendto` and `recv`, return the
 * negative errno instead, since "no packet yet" is no exception. Constants are those of Linux's generic ABI (x86-64, arm64,
 * riscv64 and others), from include/uapi/asm-generic/socket.h and the headers named beside them.
 */

import { createRequire } from "node:module";
import { constants, endianness } from "node:os";
import { getSystemErrorMap } from "node:util";
import type * as Koffi from "koffi";
import { RawTcpError } from "../base/errors.js";
import { type SocketAddress, sockaddrOf, socketAddressOf } from "./sockaddr.js";

/** Byte order of the structures that are shared with the kernel. */
export const HOST_LITTLE_ENDIAN = endianness() === "LE";

// Families, types and protocols: socket(2), include/linux/socket.h, include/uapi/linux/in.h.
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
/** The descriptor is not inherited by a program that we start. Every socket made here carries it. */
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ICMPV6 = 58;

// Socket options: include/uapi/asm-generic/socket.h.
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
/** SO_GET_FILTER shares the number of SO_ATTACH_FILTER and is asked with getsockopt(2). */
export const SO_GET_FILTER = SO_ATTACH_FILTER;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MARK = 36;
export const SO_DOMAIN = 39;
export const SO_ATTACH_BPF = 50;
export const SO_COOKIE = 57;
/** include/uapi/linux/in.h: our packets begin with the IP header. */
export const IP_HDRINCL = 3;
export const IP_MTU = 14;
/** include/uapi/linux/in6.h. */
export const IPV6_MTU = 24;
export const IPV6_V6ONLY = 26;
/** Packets sent begin with the IPv6 header (Linux 4.5). On receipt it changes nothing: the header is never there. */
export const IPV6_HDRINCL = 36;
/** Traffic class and flow label of a received packet, as ancillary data of the same number; none when both are zero. */
export const IPV6_FLOWINFO = 11;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IPV6_RECVHOPLIMIT = 51;
export const IPV6_HOPLIMIT = 52;

export const MSG_DONTWAIT = 0x40;
export const POLLIN = 0x001;
export const POLLOUT = 0x004;

/** A call to the C library failed. `code` is the errno's name ("EADDRINUSE"), `syscall` the function. */
export class LibcError extends RawTcpError {
  readonly syscall: string;
  readonly errno: number;

  constructor(syscall: string, errno: number, detail = "") {
    const code = errnoName(errno);
    super(code, `${syscall}${detail === "" ? "" : ` ${detail}`}: ${code}, ${errnoText(errno)}`);
    this.name = "LibcError";
    this.syscall = syscall;
    this.errno = errno;
  }
}

/** The name of an errno: 98 is "EADDRINUSE". An unknown number gives "E<number>". */
export function errnoName(errno: number): string {
  // libuv's table lacks a few, such as EINPROGRESS.
  const inNode = () => Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];
  return getSystemErrorMap().get(-errno)?.[0] ?? inNode() ?? `E${errno}`;
}

/** The errno's number: "EADDRINUSE" is 98. An unknown name gives 0. */
export function errnoNumber(code: string): number {
  return (constants.errno as Record<string, number>)[code] ?? 0;
}

/** Whether koffi and with it the C library can be used on this machine; never throws. */
export function isLibcAvailable(): boolean {
  try {
    libc();
    return true;
  } catch {
    return false;
  }
}

/** socket(2), close-on-exec. Returns the descriptor; throws LibcError (EPERM, EACCES, EMFILE, …). */
export function socket(family: number, type: number, protocol: number): number {
  return check("socket", libc().socket(family, type | SOCK_CLOEXEC, protocol));
}

/** bind(2) to `address` and `port` (0 lets the kernel choose). Throws LibcError (EADDRINUSE, EADDRNOTAVAIL, EACCES). */
export function bind(fd: number, address: string, port: number): void {
  const bytes = sockaddrOf(address, port);
  const result = libc().bind(fd, bytes, bytes.length);
  if (result < 0) throw new LibcError("bind", lastErrno(), `${address} port ${port}`);
}

/** listen(2). Throws LibcError (EADDRINUSE when another listener was faster). */
export function listen(fd: number, backlog: number): void {
  check("listen", libc().listen(fd, backlog));
}

/** connect(2). Throws LibcError (ENETUNREACH, EHOSTUNREACH, …; EINPROGRESS on a non-blocking TCP socket). */
export function connect(fd: number, address: string, port: number): void {
  const bytes = sockaddrOf(address, port);
  const result = libc().connect(fd, bytes, bytes.length);
  if (result < 0) throw new LibcError("connect", lastErrno(), `${address} port ${port}`);
}

/** getsockname(2): the local address and port of an IPv4 or IPv6 socket. */
export function getsockname(fd: number): SocketAddress {
  const bytes = new Uint8Array(28);
  const length = new Uint32Array([bytes.length]);
  check("getsockname", libc().getsockname(fd, bytes, length));
  return socketAddressOf(bytes);
}

/** setsockopt(2) with an integer or with bytes. Throws LibcError. */
export function setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void {
  if (typeof value === "number") {
    integerCell[0] = value;
    check("setsockopt", libc().setsockopt(fd, level, option, integerCell, 4), `level ${level} option ${option}`);
  } else {
    check("setsockopt", libc().setsockopt(fd, level, option, value, value.length), `level ${level} option ${option}`);
  }
}

/**
 * getsockopt(2) into `into`. Returns the length that the kernel wrote to optlen; throws LibcError.
 * `length` differs from the array's for the options that count in other units (SO_GET_FILTER counts instructions).
 */
export function getsockopt(fd: number, level: number, option: number, into: Uint8Array, length = into.length): number {
  lengthCell[0] = length;
  check("getsockopt", libc().getsockopt(fd, level, option, into, lengthCell), `level ${level} option ${option}`);
  return lengthCell[0] ?? 0;
}

/** getsockopt(2) of an option that is one int. */
export function getsockoptInt(fd: number, level: number, option: number): number {
  lengthCell[0] = 4;
  check("getsockopt", libc().getsockopt(fd, level, option, integerCell, lengthCell), `level ${level} option ${option}`);
  return integerCell[0] ?? 0;
}

/** close(2). Throws LibcError (EBADF: the caller's defect). */
export function close(fd: number): void {
  check("close", libc().close(fd));
}

/** ioctl(2) with a structure that the kernel reads and writes. Throws LibcError. */
export function ioctl(fd: number, request: number, argument: Uint8Array): void {
  check("ioctl", libc().ioctl(fd, request, argument), `0x${request.toString(16)}`);
}

/** dup(2), close-on-exec: a second descriptor of the same open file. Throws LibcError (EBADF, EMFILE). */
export function duplicate(fd: number): number {
  const copy = check("dup", libc().dup(fd));
  setCloseOnExec(copy);
  return copy;
}

/** Keeps the descriptor from the programs that this process starts (FD_CLOEXEC). Throws LibcError (EBADF). */
export function setCloseOnExec(fd: number): void {
  ioctl(fd, FIOCLEX, noBytes);
}

/** sendto(2) of `bytes[0, length)`. `address` is a sockaddr, null when the socket is connected. Returns bytes or -errno. */
export function sendto(fd: number, bytes: Uint8Array, length: number, flags: number, address: Uint8Array | null): number {
  const functions = libc();
  const sent = functions.sendto(fd, bytes, length, flags, address, address === null ? 0 : address.length);
  return sent < 0 ? -functions.errno() : sent;
}

/** recv(2) into `into`. Returns the bytes read or -errno (-EAGAIN: nothing there, with MSG_DONTWAIT). */
export function recv(fd: number, into: Uint8Array, flags: number): number {
  const functions = libc();
  const received = functions.recv(fd, into, into.length, flags);
  return received < 0 ? -functions.errno() : received;
}

/** recvmsg(2) by a struct msghdr, see `ipv6-message.ts`. Returns the bytes read or -errno. */
export function recvmsg(fd: number, message: Uint8Array, flags: number): number {
  const functions = libc();
  const received = functions.recvmsg(fd, message, flags);
  return received < 0 ? -functions.errno() : received;
}

/** poll(2) on one descriptor, blocking the thread for at most `timeoutMs`. Returns the events that are ready (0: none). */
export function poll(fd: number, events: number, timeoutMs: number): number {
  const pollfd = new Int32Array([fd, 0]); // struct pollfd { int fd; short events; short revents; }
  const shorts = new Int16Array(pollfd.buffer);
  shorts[2] = events;
  check("poll", libc().poll(pollfd, 1, Math.ceil(timeoutMs)));
  return shorts[3] ?? 0;
}

/** Asynchronous readiness of a descriptor. */
export interface ReadableWatch {
  /** Whether the watch alone keeps the process alive (at first it does). */
  setRef(keepAlive: boolean): void;
  /** Ends the watch; the descriptor stays open and is the caller's to close, after this call. */
  close(): void;
}

/**
 * Calls `onReadable` in the event loop as long as the descriptor is readable (level-triggered: read until EAGAIN or be called
 * again). `onFailure` is called at once, before others who watch the descriptor. Node has no public way to poll a descriptor; koffi 3
 * has one on libuv, without a thread in between.
 */
export function watchReadable(fd: number, onReadable: () => void, onFailure?: () => void): ReadableWatch {
  let open = true;
  let isQueued = false;
  // koffi calls plainly, outside of what Node calls a callback scope: code on Node's internals, such as its TLS, asserts there and
  // takes the process down. The next phase of the same turn is soon enough.
  const tell = (): void => {
    isQueued = false;
    if (open) onReadable();
  };
  // koffi's types tell of the events alone; what it calls with is libuv's status and then the events.
  const onPoll = (status: unknown) => {
    if (typeof status === "number" && status < 0 && onFailure !== undefined) {
      onFailure();
    } else if (!isQueued) {
      isQueued = true;
      setImmediate(tell);
    }
  };
  const handle = loadKoffi().node.poll(fd, { readable: true }, onPoll);
  return {
    setRef(keepAlive) {
      if (!open) return;
      if (keepAlive) handle.ref();
      else handle.unref();
    },
    close() {
      if (!open) return;
      open = false;
      handle.close();
    },
  };
}

/** The index of an interface, 0 when there is none of this name (if_nametoindex(3)). */
export function ifNameToIndex(name: string): number {
  return libc().if_nametoindex(name);
}

/** The number of bpf(2); an architecture that is not here does without. */
const BPF_CALL: Readonly<Record<string, number>> = { x64: 321, arm64: 280, riscv64: 280, loong64: 280 };

/** bpf(2), which the C library has no function for. Returns a descriptor or what the command gives, or -errno. */
export function bpf(command: number, attributes: Uint8Array): number {
  const call = BPF_CALL[process.arch];
  if (call === undefined) return -errnoNumber("ENOSYS");
  const syscall = loadKoffi().load(null).func("intptr_t syscall(intptr_t, int, void *, uint32_t)") as SystemCall;
  const result = syscall(call, command, attributes, attributes.length);
  return result < 0 ? -libc().errno() : result;
}
type SystemCall = (call: number, command: number, attributes: Uint8Array, length: number) => number;

/** mallopt(3) of glibc; false where it is refused, or where there is no such function (musl). Never throws. */
export function mallopt(parameter: number, value: number): boolean {
  try {
    const call = loadKoffi().load(null).func("int mallopt(int, int)") as (parameter: number, value: number) => number;
    return call(parameter, value) === 1;
  } catch {
    return false;
  }
}

/** The memory address of an array's first byte. The array must stay referenced for as long as the kernel uses it. */
export function addressOf(bytes: Uint8Array): bigint {
  return loadKoffi().address(bytes);
}

type LibcFunctions = {
  socket: (family: number, type: number, protocol: number) => number;
  bind: (fd: number, address: Uint8Array, length: number) => number;
  listen: (fd: number, backlog: number) => number;
  connect: (fd: number, address: Uint8Array, length: number) => number;
  getsockname: (fd: number, address: Uint8Array, length: Uint32Array) => number;
  setsockopt: (fd: number, level: number, option: number, value: Uint8Array | Int32Array, length: number) => number;
  getsockopt: (fd: number, level: number, option: number, value: Uint8Array | Int32Array, length: Uint32Array) => number;
  close: (fd: number) => number;
  dup: (fd: number) => number;
  ioctl: (fd: number, request: number, argument: Uint8Array) => number;
  sendto: (fd: number, b: Uint8Array, length: number, flags: number, to: Uint8Array | null, toLength: number) => number;
  recv: (fd: number, into: Uint8Array, length: number, flags: number) => number;
  recvmsg: (fd: number, message: Uint8Array, flags: number) => number;
  poll: (pollfds: Int32Array, count: number, timeoutMs: number) => number;
  if_nametoindex: (name: string) => number;
  errno: () => number;
};

// koffi copies neither the arrays nor their addresses, so one cell serves every call of this single thread.
/** include/uapi/asm-generic/ioctls.h */
const FIOCLEX = 0x5451;
const noBytes = new Uint8Array(0);
const integerCell = new Int32Array(1);
const lengthCell = new Uint32Array(1);

let loadedKoffi: typeof Koffi | undefined;
let loadedLibc: LibcFunctions | undefined;

function loadKoffi(): typeof Koffi {
  if (loadedKoffi === undefined) {
    try {
      loadedKoffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
    } catch (error) {
      const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
      throw new RawTcpError("ERR_KOFFI_MISSING", `koffi cannot be loaded (${reason}): npm install koffi`);
    }
  }
  return loadedKoffi;
}

/** Loads the C library on the first call, since a program that only reads a capture file has no need of it. */
function libc(): LibcFunctions {
  if (loadedLibc !== undefined) return loadedLibc;
  const koffi = loadKoffi();
  const library = koffi.load(null);
  // intptr_t stands for ssize_t. ioctl is variadic in C; with one pointer the calling convention is the same.
  loadedLibc = {
    socket: library.func("int socket(int, int, int)") as LibcFunctions["socket"],
    bind: library.func("int bind(int, void *, uint32_t)") as LibcFunctions["bind"],
    listen: library.func("int listen(int, int)") as LibcFunctions["listen"],
    connect: library.func("int connect(int, void *, uint32_t)") as LibcFunctions["connect"],
    getsockname: library.func("int getsockname(int, void *, void *)") as LibcFunctions["getsockname"],
    setsockopt: library.func("int setsockopt(int, int, int, void *, uint32_t)") as LibcFunctions["setsockopt"],
    getsockopt: library.func("int getsockopt(int, int, int, void *, void *)") as LibcFunctions["getsockopt"],
    close: library.func("int close(int)") as LibcFunctions["close"],
    dup: library.func("int dup(int)") as LibcFunctions["dup"],
    ioctl: library.func("int ioctl(int, unsigned long, void *)") as LibcFunctions["ioctl"],
    sendto: library.func("intptr_t sendto(int, void *, size_t, int, void *, uint32_t)") as LibcFunctions["sendto"],
    recv: library.func("intptr_t recv(int, void *, size_t, int)") as LibcFunctions["recv"],
    recvmsg: library.func("intptr_t recvmsg(int, void *, int)") as LibcFunctions["recvmsg"],
    poll: library.func("int poll(void *, unsigned long, int)") as LibcFunctions["poll"],
    if_nametoindex: library.func("unsigned int if_nametoindex(const char *)") as LibcFunctions["if_nametoindex"],
    errno: () => koffi.errno(),
  };
  return loadedLibc;
}

function check(syscall: string, result: number, detail = ""): number {
  if (result < 0) throw new LibcError(syscall, lastErrno(), detail);
  return result;
}

function lastErrno(): number {
  return libc().errno();
}

function errnoText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? "unknown error";
}
