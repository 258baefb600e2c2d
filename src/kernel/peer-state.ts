/**
 * The state of one of the kernel's own connections: what our peer on this host thinks, beside what we think.
 * Asked over NETLINK_SOCK_DIAG (sock_diag(7)); where that is missing, read from /proc/net/tcp and /proc/net/tcp6.
 */

import { readFileSync } from "node:fs";
import type { State } from "../tcp/state.js";
import { AF_INET, AF_INET6, HOST_LITTLE_ENDIAN, IPPROTO_TCP, LibcError } from "./libc.js";
import { forEachAttribute, NETLINK_SOCK_DIAG, type NetlinkSocket, NLM_F_DUMP, openNetlink } from "./netlink.js";
import { addressBytes, addressText, normalAddress } from "./sockaddr.js";
import { parseTcpInfo, type TcpInfo } from "./tcp-info.js";

/** "local" is the kernel's side throughout: for our connection 5000 → 80 the local port is 80. */
export interface PeerObserver {
  readonly source: "sock_diag" | "proc";
  /**
   * The state of the connection, "CLOSED" when the kernel has none. With `remotePort` 0 the listener of the local address is
   * asked for. `undefined` when the kernel does not tell.
   */
  query(localAddress: string, localPort: number, remoteAddress: string, remotePort: number): State | undefined;
  /** The kernel's tcp_info of the connection; `undefined` when there is none (TIME-WAIT keeps none) or only /proc to read. */
  tcpInfo(localAddress: string, localPort: number, remoteAddress: string, remotePort: number): TcpInfo | undefined;
  /** Whether any kernel socket listens on the port, at any address. */
  listening(port: number): boolean;
  close(): void;
}

/** Opens the best observer there is; `source` asks for one. Throws LibcError only when sock_diag was asked for and is missing. */
export function createPeerObserver(source?: PeerObserver["source"]): PeerObserver {
  if (source === "proc") return procObserver();
  try {
    return diagObserver(openNetlink(NETLINK_SOCK_DIAG));
  } catch (error) {
    if (source === "sock_diag") throw error;
    return procObserver();
  }
}

/** The RFC's name of a state of include/net/tcp_states.h; `undefined` for a number that is none. */
export function stateOfKernel(state: number): State | undefined {
  return KERNEL_STATES[state];
}

/** TCP_NEW_SYN_RECV (12) is how the kernel files a SYN-RECEIVED connection, TCP_BOUND_INACTIVE (13) a port merely bound. */
const KERNEL_STATES: readonly (State | undefined)[] = [
  undefined,
  "ESTABLISHED",
  "SYN-SENT",
  "SYN-RECEIVED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "CLOSED",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
  "SYN-RECEIVED",
  "CLOSED",
];

// include/uapi/linux/sock_diag.h, inet_diag.h
const SOCK_DIAG_BY_FAMILY = 20;
const INET_DIAG_INFO = 2;
const REQUEST_BYTES = 56; // struct inet_diag_req_v2
const MESSAGE_BYTES = 72; // struct inet_diag_msg
const TCP_LISTEN = 10;
const ENOENT = 2;

function diagObserver(netlink: NetlinkSocket): PeerObserver {
  const request = new Uint8Array(REQUEST_BYTES);
  const view = new DataView(request.buffer);
  let state = 0;
  let info: TcpInfo | undefined;

  /** One exact lookup; fills `state` (0: no such socket) and `info`. */
  function lookup(local: Uint8Array, localPort: number, remote: Uint8Array, remotePort: number, withInfo: boolean): void {
    request.fill(0);
    request[0] = local.length === 4 ? AF_INET : AF_INET6;
    request[1] = IPPROTO_TCP;
    request[2] = withInfo ? 1 << (INET_DIAG_INFO - 1) : 0;
    view.setUint32(4, 0xffffffff, HOST_LITTLE_ENDIAN); // any state
    view.setUint16(8, localPort);
    view.setUint16(10, remotePort);
    request.set(local, 12);
    request.set(remote, 28);
    request.fill(0xff, 48, 56); // INET_DIAG_NOCOOKIE
    state = 0;
    info = undefined;
    const errno = netlink.ask(SOCK_DIAG_BY_FAMILY, 0, request, ({ body }) => {
      state = body.getUint8(1);
      // The lookup falls back to the listener that the next segment would reach, which is no connection.
      if (state === TCP_LISTEN && remotePort !== 0) state = 0;
      if (withInfo && state !== 0) {
        forEachAttribute(body, MESSAGE_BYTES, (type, payload) => {
          if (type === INET_DIAG_INFO) info = parseTcpInfo(payload);
        });
      }
    });
    if (errno !== 0 && errno !== ENOENT) throw new LibcError("netlink", errno, "(sock_diag)");
  }

  function lookupAny(
    localAddress: string,
    localPort: number,
    remoteAddress: string,
    remotePort: number,
    withInfo: boolean,
  ): void {
    const local = addressBytes(normalAddress(localAddress));
    const remote = addressBytes(normalAddress(remoteAddress));
    // A listener is asked for with any remote address of the family.
    lookup(local, localPort, remote.length === local.length ? remote : new Uint8Array(local.length), remotePort, withInfo);
  }

  return {
    source: "sock_diag",
    query(localAddress, localPort, remoteAddress, remotePort) {
      lookupAny(localAddress, localPort, remoteAddress, remotePort, false);
      return state === 0 ? "CLOSED" : stateOfKernel(state);
    },
    tcpInfo(localAddress, localPort, remoteAddress, remotePort) {
      lookupAny(localAddress, localPort, remoteAddress, remotePort, true);
      return info;
    },
    listening(port) {
      let found = false;
      for (const family of [AF_INET, AF_INET6]) {
        request.fill(0);
        request[0] = family;
        request[1] = IPPROTO_TCP;
        view.setUint32(4, 1 << TCP_LISTEN, HOST_LITTLE_ENDIAN);
        view.setUint16(8, port); // the kernel skips sockets of another port (inet_diag_dump_icsk)
        netlink.request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request, ({ body }) => {
          if (body.getUint16(4) === port) found = true;
        });
      }
      return found;
    },
    close: () => netlink.close(),
  };
}

interface ProcSocket {
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  readonly state: State | undefined;
}

function procObserver(): PeerObserver {
  return {
    source: "proc",
    query(localAddress, localPort, remoteAddress, remotePort) {
      const sockets = readProcSockets();
      if (sockets === undefined) return undefined;
      const local = normalAddress(localAddress);
      if (remotePort === 0) {
        const isListener = (s: ProcSocket) => s.state === "LISTEN" && s.localPort === localPort && accepts(s.local, local);
        return sockets.some(isListener) ? "LISTEN" : "CLOSED";
      }
      const remote = normalAddress(remoteAddress);
      const match = sockets.find(
        (s) => s.localPort === localPort && s.remotePort === remotePort && s.local === local && s.remote === remote,
      );
      return match === undefined ? "CLOSED" : match.state;
    },
    tcpInfo: () => undefined,
    listening: (port) => readProcSockets()?.some((s) => s.state === "LISTEN" && s.localPort === port) ?? false,
    close() {},
  };
}

/** Whether a listener bound to `bound` takes connections to `local`. */
function accepts(bound: string, local: string): boolean {
  return bound === local || bound === "::" || (bound === "0.0.0.0" && !local.includes(":"));
}

/** All TCP sockets, `undefined` when neither table can be read. */
function readProcSockets(): ProcSocket[] | undefined {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(readTable);
  if (tables.every((table) => table === undefined)) return undefined;
  return tables.flatMap((table) => parseProcNetTcp(table ?? ""));
}

function readTable(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // no IPv6, or /proc hidden
  }
}

/** Parses /proc/net/tcp or tcp6. IPv4-mapped addresses come back as IPv4. */
export function parseProcNetTcp(table: string): ProcSocket[] {
  const sockets: ProcSocket[] = [];
  for (const line of table.split("\n").slice(1)) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || state === undefined) continue;
    const [localHex = "", localPort = ""] = local.split(":");
    const [remoteHex = "", remotePort = ""] = remote.split(":");
    sockets.push({
      local: procAddress(localHex),
      localPort: Number.parseInt(localPort, 16),
      remote: procAddress(remoteHex),
      remotePort: Number.parseInt(remotePort, 16),
      state: stateOfKernel(Number.parseInt(state, 16)),
    });
  }
  return sockets;
}

/** "0100007F": each group of eight digits is a 32-bit word of the address, printed in the byte order of the host. */
function procAddress(hex: string): string {
  const bytes = new Uint8Array(hex.length / 2);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 4) {
    view.setUint32(at, Number.parseInt(hex.slice(2 * at, 2 * at + 8), 16), HOST_LITTLE_ENDIAN);
  }
  return normalAddress(addressText(bytes));
}
