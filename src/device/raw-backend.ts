/**
 * Two ways to a raw IPv4 socket for TCP, behind one small interface: the `raw-socket` add-on, and koffi alone.
 * The device above does not know which one it has.
 */

import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { RawTcpError } from "../base/errors.js";
import {
  AF_INET,
  close,
  errnoName,
  getsockopt,
  IP_HDRINCL,
  IPPROTO_IP,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  type ReadableWatch,
  recv,
  SO_COOKIE,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  sendto,
  setCloseOnExec,
  setsockopt,
  socket,
  watchReadable,
} from "../kernel/libc.js";
import { sockaddrOf } from "../kernel/sockaddr.js";

export type RawBackendName = "raw-socket" | "koffi";

/** A raw socket with IP_HDRINCL. Nothing is received before `watch`. */
export interface RawBackend {
  readonly name: RawBackendName;
  /** The descriptor, for socket options and filters. */
  readonly fd: number;
  /** Sends one IP packet to the destination address in its header. Returns "" or the errno's name ("EMSGSIZE"). */
  send(bytes: Uint8Array, offset: number, length: number): string;
  /** Reads one packet into `into`; returns its length, 0 when there is none. */
  receive(into: Uint8Array): number;
  /** Calls back as long as packets are waiting. */
  watch(onReadable: () => void): void;
  setRef(keepAlive: boolean): void;
  close(): void;
}

/**
 * Opens a backend: the one asked for, else raw-socket when it is installed and can be loaded, else koffi.
 * Throws LibcError (EPERM without CAP_NET_RAW) or RawTcpError with code ERR_RAW_SOCKET_MISSING when raw-socket was asked for.
 */
export function openRawBackend(wanted?: RawBackendName): RawBackend {
  if (wanted === "koffi") return openKoffiBackend();
  const addon = loadRawSocket();
  if (addon !== undefined) return openAddonBackend(addon);
  if (wanted === undefined) return openKoffiBackend();
  throw new RawTcpError("ERR_RAW_SOCKET_MISSING", "the add-on raw-socket is not installed or not built: npm install raw-socket");
}

/** Whether the add-on raw-socket can be loaded. Never throws. */
export function isRawSocketAvailable(): boolean {
  return loadRawSocket() !== undefined;
}

// ---------------------------------------------------------------------------------------------------------- koffi

function openKoffiBackend(): RawBackend {
  const fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP);
  setsockopt(fd, IPPROTO_IP, IP_HDRINCL, 1);
  const destination = sockaddrOf("0.0.0.0", 0);
  let watching: ReadableWatch | undefined;
  let keepAlive = true;
  return {
    name: "koffi",
    fd,
    send(bytes, offset, length) {
      // The port in the sockaddr means nothing for a raw socket. One sockaddr serves all: its address is overwritten.
      for (let i = 0; i < 4; i++) destination[4 + i] = bytes[offset + 16 + i] ?? 0;
      const sent = sendto(fd, offset === 0 ? bytes : bytes.subarray(offset, offset + length), length, 0, destination);
      return sent < 0 ? errnoName(-sent) : "";
    },
    receive: (into) => receiveFrom(fd, into),
    watch(onReadable) {
      watching = watchReadable(fd, onReadable);
      watching.setRef(keepAlive);
    },
    setRef(keep) {
      keepAlive = keep;
      watching?.setRef(keep);
    },
    close() {
      watching?.close();
      close(fd);
    },
  };
}

function receiveFrom(fd: number, into: Uint8Array): number {
  const received = recv(fd, into, MSG_DONTWAIT);
  return received > 0 ? received : 0;
}

// ------------------------------------------------------------------------------------------------------ raw-socket

/** The part of raw-socket 1.8 that is used. `wrap` is not documented, hence optional. */
interface AddonWrap {
  send(bytes: Uint8Array, offset: number, length: number, address: string, onSent: (length: number) => void): void;
  getOption(level: number, option: number, value: Uint8Array, length: number): number;
}
interface AddonSocket {
  readonly wrap?: AddonWrap & { removeAllListeners(event: string): void; on(event: string, listener: () => void): void };
  on(event: string, listener: (argument: unknown) => void): void;
  pauseRecv(): void;
  resumeRecv(): void;
  close(): void;
}
interface Addon {
  createSocket(options: { protocol: number; bufferSize: number }): AddonSocket;
}

let loadedAddon: Addon | undefined;
let triedAddon = false;

function loadRawSocket(): Addon | undefined {
  if (!triedAddon) {
    triedAddon = true;
    try {
      loadedAddon = createRequire(import.meta.url)("raw-socket") as Addon;
    } catch {
      // An optional dependency: not installed, or built for another Node version. koffi does its work.
    }
  }
  return loadedAddon;
}

function openAddonBackend(addon: Addon): RawBackend {
  let raw: AddonSocket;
  try {
    raw = addon.createSocket({ protocol: IPPROTO_TCP, bufferSize: 65536 });
  } catch (error) {
    // The add-on gives the errno's text alone. The same call through libc fails alike and knows the name.
    close(socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
    throw error;
  }
  raw.pauseRecv(); // it polls from the start; nothing is wanted before `watch`
  const wrap = raw.wrap;
  const fd = wrap === undefined ? -1 : descriptorOf(wrap);
  if (wrap === undefined || fd < 0) {
    raw.close(); // another release of the add-on than the one that this was written for
    return openKoffiBackend();
  }
  setCloseOnExec(fd); // the add-on does not, and whoever has it reads and sends any packet
  setsockopt(fd, IPPROTO_IP, IP_HDRINCL, 1);
  const noteSent = () => {};
  // A string a packet for the destination would be garbage: the text of the last one is kept.
  let addressWord = -1;
  let addressText = "";
  let unreferenced: ReadableWatch | undefined;
  let onReady: (() => void) | undefined;
  let keepAlive = true;
  // After close the add-on must not be called again: its recv and send would open a new socket. It also closes by itself
  // when its poll fails, and tells so.
  let isOpen = true;
  raw.on("error", () => {});
  raw.on("close", () => {
    isOpen = false;
  });

  /** The add-on's handle cannot be unreferenced. For that koffi watches the descriptor in its place, one of them at a time. */
  function startPolling(): void {
    unreferenced?.close();
    unreferenced = undefined;
    if (onReady === undefined || !isOpen) return;
    if (keepAlive) {
      raw.resumeRecv();
    } else {
      raw.pauseRecv();
      unreferenced = watchReadable(fd, onReady);
      unreferenced.setRef(false);
    }
  }

  return {
    name: "raw-socket",
    fd,
    send(bytes, offset, length) {
      if (!isOpen) return "EBADF";
      const a = bytes[offset + 16] ?? 0;
      const b = bytes[offset + 17] ?? 0;
      const c = bytes[offset + 18] ?? 0;
      const d = bytes[offset + 19] ?? 0;
      const word = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
      if (word !== addressWord) {
        addressWord = word;
        addressText = `${a}.${b}.${c}.${d}`;
      }
      try {
        wrap.send(bytes, offset, length, addressText, noteSent); // synchronous: sendto(2)
        return "";
      } catch (error) {
        return codeOfText(error);
      }
    },
    receive(into) {
      // Not the add-on's own recv: it throws when there is no packet, which ends every batch and costs 3 µs where recv(2) takes 0.5.
      return isOpen ? receiveFrom(fd, into) : 0;
    },
    watch(onReadable) {
      onReady = onReadable;
      // Its own listener reads one packet an event and copies it.
      wrap.removeAllListeners("recvReady");
      // The add-on calls plainly, outside of what Node calls a callback scope: code on Node's internals, such as its HTTP parser, must
      // not run there (it asserts). The next phase of the same turn is soon enough.
      let isQueued = false;
      const read = (): void => {
        isQueued = false;
        if (isOpen) onReadable();
      };
      wrap.on("recvReady", () => {
        if (isQueued) return;
        isQueued = true;
        setImmediate(read);
      });
      startPolling();
    },
    setRef(keep) {
      if (keep === keepAlive) return;
      keepAlive = keep;
      startPolling();
    },
    close() {
      isOpen = false;
      unreferenced?.close();
      raw.close();
    },
  };
}

/** The add-on keeps its descriptor to itself. The kernel's cookie of the socket tells which one it is; -1 when none does. */
function descriptorOf(wrap: AddonWrap): number {
  const wanted = Buffer.alloc(8);
  wrap.getOption(SOL_SOCKET, SO_COOKIE, wanted, wanted.length);
  const cookie = Buffer.alloc(8);
  for (const entry of readdirSync("/proc/self/fd")) {
    try {
      getsockopt(Number(entry), SOL_SOCKET, SO_COOKIE, cookie);
      if (cookie.equals(wanted)) return Number(entry);
    } catch {
      // not a socket, or the directory's own descriptor, closed since
    }
  }
  return -1;
}

/** The errno's name for the text that the add-on throws (strerror(3) of glibc and musl, for what sendto(2) gives). */
function codeOfText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return ERRNO_OF_TEXT.get(text.toLowerCase()) ?? text;
}
const ERRNO_OF_TEXT: ReadonlyMap<string, string> = new Map([
  ["message too long", "EMSGSIZE"],
  ["message too large", "EMSGSIZE"],
  ["operation not permitted", "EPERM"],
  ["no buffer space available", "ENOBUFS"],
  ["resource temporarily unavailable", "EAGAIN"],
  ["invalid argument", "EINVAL"],
  ["network is unreachable", "ENETUNREACH"],
  ["no route to host", "EHOSTUNREACH"],
  ["host is unreachable", "EHOSTUNREACH"],
  ["network is down", "ENETDOWN"],
  ["permission denied", "EACCES"],
]);
