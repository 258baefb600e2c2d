/** The wire to a kernel at an address: raw sockets to it, and a packet socket at the interface that leads there. */

import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  close,
  HOST_LITTLE_ENDIAN,
  LibcError,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  socket,
} from "../kernel/libc.js";
import { createPortGuard, type HeldPort, type PortGuard } from "../kernel/port-guard.js";
import type { Route } from "../kernel/route.js";
import { addressBytes, sockaddrOf } from "../kernel/sockaddr.js";
import type { SystemCalls } from "../kernel/system-calls.js";
import { UnsupportedError } from "../script/errors.js";
import { factsOf } from "../script/match.js";
import type { LiveWire } from "./live-world.js";

const IPPROTO_RAW = 255;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = HOST_LITTLE_ENDIAN ? 0x0300 : 0x0003;

export interface LinkRequest {
  readonly kernel: string;
  /** Our address. */
  readonly own: string;
  readonly route: Route;
}

/** Opens it. Throws LibcError, PortGuardError. */
export function openLiveLink({ kernel, own, route }: LinkRequest, calls: SystemCalls): LiveWire {
  const kernelBytes = addressBytes(kernel);
  const target = sockaddrOf(kernel, 0);
  const raw = socket(kernelBytes.length === 4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_RAW);
  const buffer = new Uint8Array(65_600);
  let watch = -1;
  let guard: PortGuard | undefined;
  const held = new Map<number, HeldPort>();
  const closeAll = (): void => {
    guard?.close();
    if (watch >= 0) close(watch);
    close(raw);
  };
  try {
    watch = openWatch(route.interfaceIndex, calls);
    guard = createPortGuard("bpf");
  } catch (error) {
    closeAll();
    throw error;
  }
  return {
    fd: watch,
    joinsSegments: true,
    openPort(port) {
      if (!held.has(port) && guard !== undefined) held.set(port, guard.hold(own, port));
    },
    send(bytes) {
      if (tellsPathMtu(bytes)) throw new UnsupportedError(`ICMP that lowers the path MTU of all at ${kernel}`);
      const source = factsOf(bytes)?.localPort;
      if (source !== undefined) this.openPort(source);
      const sent = calls.sendto(raw, bytes, bytes.length, 0, target, target.length);
      if (sent < 0) throw new LibcError("sendto", -sent, `of ${bytes.length} bytes to ${kernel}`);
    },
    receive() {
      for (;;) {
        const length = calls.recvfrom(watch, buffer, buffer.length, 0, null, null);
        if (length <= 0) return undefined;
        const bytes = buffer.subarray(0, length);
        if (isFrom(kernelBytes, bytes) && held.has(factsOf(bytes)?.remotePort ?? -1)) return bytes.slice();
      }
    },
    close: closeAll,
  };
}

/** A packet socket that sees what arrives at the interface; on loopback that is everything, once. */
function openWatch(interfaceIndex: number, calls: SystemCalls): number {
  const fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, ALL_PROTOCOLS);
  const one = new Uint8Array(4);
  new DataView(one.buffer).setInt32(0, 1, HOST_LITTLE_ENDIAN);
  calls.setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, one, 4);
  // struct sockaddr_ll
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, HOST_LITTLE_ENDIAN);
  view.setUint16(2, ALL_PROTOCOLS, HOST_LITTLE_ENDIAN);
  view.setInt32(4, interfaceIndex, HOST_LITTLE_ENDIAN);
  const result = calls.bind(fd, address, address.length);
  if (result >= 0) return fd;
  close(fd);
  throw new LibcError("bind", -result, "of a packet socket");
}

/** ICMP 3/4 and ICMPv6 type 2: the kernel would keep it for minutes, for everyone. */
function tellsPathMtu(packet: Uint8Array): boolean {
  const isFour = (packet[0] ?? 0) >> 4 === 4;
  if (!isFour) return packet[6] === 58 && packet[40] === 2;
  const at = ((packet[0] ?? 0) & 15) * 4;
  return packet[9] === 1 && packet[at] === 3 && packet[at + 1] === 4;
}

function isFrom(source: Uint8Array, packet: Uint8Array): boolean {
  const isFour = (packet[0] ?? 0) >> 4 === 4;
  if (isFour !== (source.length === 4)) return false;
  const at = isFour ? 12 : 8;
  return source.every((byte, i) => packet[at + i] === byte);
}
