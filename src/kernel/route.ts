/** Where a packet to a target leaves this host: asked of the kernel synchronously, without starting a program. */

import { listInterfaces } from "./interfaces.js";
import {
  AF_INET,
  AF_INET6,
  close,
  connect,
  getsockname,
  getsockoptInt,
  HOST_LITTLE_ENDIAN,
  IP_MTU,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU,
  ifNameToIndex,
  LibcError,
  SO_BINDTODEVICE,
  SOCK_DGRAM,
  SOL_SOCKET,
  setsockopt,
  socket,
} from "./libc.js";
import { bodyWithAttributes, forEachAttribute, NETLINK_ROUTE, payloadBytes, requestNetlink } from "./netlink.js";
import { addressBytes, addressText, sockaddrOf } from "./sockaddr.js";

export interface Route {
  /** The address that the kernel would send from. */
  readonly source: string;
  /** The interface that the packet leaves by; "lo" for the host's own addresses. */
  readonly interface: string;
  readonly interfaceIndex: number;
  /** Largest IP packet on the way, as far as the kernel knows it (path MTU; on loopback 65,535 for IPv4, 65,536 for IPv6). */
  readonly mtuBytes: number;
  /** Whether the target is an address of this host, 127.0.0.0/8 included: packets to it never leave. */
  readonly isOwnAddress: boolean;
  /** The router that the packet is handed to, `undefined` when the target is on the link. */
  readonly gateway: string | undefined;
}

/**
 * The route to an address. `interfaceName` asks for the way through that interface.
 * Throws LibcError: ENETUNREACH or EHOSTUNREACH when there is none, EACCES for a broadcast address, ENODEV for an unknown interface.
 */
export function routeTo(target: string, interfaceName?: string): Route {
  const answer = askRoute(target, interfaceName);
  const { source, mtuBytes } = askSocket(target, interfaceName);
  const link = listInterfaces().find((candidate) => candidate.index === answer.interfaceIndex);
  return {
    source,
    interface: link?.name ?? "",
    interfaceIndex: answer.interfaceIndex,
    mtuBytes: Math.min(mtuBytes || (link?.mtuBytes ?? 0), target.includes(":") ? MAX_IPV6_BYTES : MAX_IPV4_BYTES),
    isOwnAddress: answer.type === RTN_LOCAL,
    gateway: answer.gateway,
  };
}

/**
 * The Ethernet address of a neighbour from the kernel's neighbour table, "" when it is not resolved (yet).
 * Throws LibcError for other failures than that.
 */
export function neighbourMac(address: string, interfaceIndex: number): string {
  const ip = addressBytes(address);
  const header = new Uint8Array(12); // struct ndmsg { u8 family, pad; u16 pad; s32 ifindex; u16 state; u8 flags, type; }
  header[0] = ip.length === 4 ? AF_INET : AF_INET6;
  new DataView(header.buffer).setInt32(4, interfaceIndex, HOST_LITTLE_ENDIAN);
  let mac = "";
  try {
    requestNetlink(NETLINK_ROUTE, RTM_GETNEIGH, 0, bodyWithAttributes(header, [[NDA_DST, ip]]), ({ body }) => {
      if ((body.getUint16(8, HOST_LITTLE_ENDIAN) & NUD_USABLE) === 0) return;
      forEachAttribute(body, 12, (type, payload) => {
        if (type === NDA_LLADDR) mac = Array.from(payloadBytes(payload), (byte) => byte.toString(16).padStart(2, "0")).join(":");
      });
    });
  } catch (error) {
    if (!(error instanceof LibcError && error.code === "ENOENT")) throw error;
  }
  return mac;
}

// include/uapi/linux/rtnetlink.h, neighbour.h
const RTM_GETROUTE = 26;
const RTM_GETNEIGH = 30;
const RTN_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const NDA_DST = 1;
const NDA_LLADDR = 2;
/** NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT: the address is known, be it an old one. */
const NUD_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
/** The total length is a field of 16 bits (RFC 791 §3.1); in IPv6 it is the length behind the header (RFC 8200 §3). */
const MAX_IPV4_BYTES = 65_535;
const MAX_IPV6_BYTES = 40 + 65_535;
/** RFC 863: a port at which nothing is done. A UDP socket's connect(2) sends nothing anyway. */
const DISCARD_PORT = 9;

interface RouteAnswer {
  readonly type: number;
  readonly interfaceIndex: number;
  readonly gateway: string | undefined;
}

function askRoute(target: string, interfaceName: string | undefined): RouteAnswer {
  const ip = addressBytes(target);
  // struct rtmsg { u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags; }
  const header = new Uint8Array(12);
  header[0] = ip.length === 4 ? AF_INET : AF_INET6;
  header[1] = ip.length * 8;
  const attributes: [number, Uint8Array | number][] = [[RTA_DST, ip]];
  const scope = new DataView(sockaddrOf(target, 0).buffer);
  const scopeId = ip.length === 16 ? scope.getUint32(24, HOST_LITTLE_ENDIAN) : 0;
  const outgoing = interfaceName === undefined ? scopeId : requireInterface(interfaceName);
  if (outgoing !== 0) attributes.push([RTA_OIF, outgoing]);
  let answer: RouteAnswer = { type: 0, interfaceIndex: 0, gateway: undefined };
  requestNetlink(NETLINK_ROUTE, RTM_GETROUTE, 0, bodyWithAttributes(header, attributes), ({ body }) => {
    let interfaceIndex = 0;
    let gateway: string | undefined;
    forEachAttribute(body, 12, (type, payload) => {
      if (type === RTA_OIF) interfaceIndex = payload.getUint32(0, HOST_LITTLE_ENDIAN);
      else if (type === RTA_GATEWAY) gateway = addressText(payloadBytes(payload));
    });
    answer = { type: body.getUint8(7), interfaceIndex, gateway };
  });
  return answer;
}

/** Source address and path MTU, as a connected UDP socket has them: the kernel's own choice, policy routing included. */
function askSocket(target: string, interfaceName: string | undefined): { source: string; mtuBytes: number } {
  const isIpv4 = addressBytes(target).length === 4;
  const fd = socket(isIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  try {
    if (interfaceName !== undefined) {
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${interfaceName}\0`));
    }
    connect(fd, target, DISCARD_PORT);
    const mtuBytes = isIpv4 ? getsockoptInt(fd, IPPROTO_IP, IP_MTU) : getsockoptInt(fd, IPPROTO_IPV6, IPV6_MTU);
    return { source: getsockname(fd).address, mtuBytes };
  } finally {
    close(fd);
  }
}

function requireInterface(name: string): number {
  const index = ifNameToIndex(name);
  if (index === 0) throw new LibcError("if_nametoindex", 19, `"${name}"`); // ENODEV
  return index;
}
