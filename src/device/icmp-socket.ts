/**
 * ICMP errors about our TCP segments, for the raw link: the kernel hands a TCP raw socket TCP alone. Errors about other
 * programs' packets stay out: by type in the kernel, by the quoted port here.
 */
import { Ipv6Receiver } from "../kernel/ipv6-message.js";
import {
  AF_INET,
  AF_INET6,
  close,
  HOST_LITTLE_ENDIAN,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  type ReadableWatch,
  recv,
  SOCK_NONBLOCK,
  SOCK_RAW,
  setsockopt,
  socket,
  watchReadable,
} from "../kernel/libc.js";
import { extensionHeaderLength, isExtensionHeader, PROTOCOL_FRAGMENT } from "../wire/ip-packet.js";
import type { PacketHandler } from "../wire/packet-device.js";

export interface IcmpSocket {
  /** Delivers whole IP packets that carry an ICMP error about a segment from one of the ports. */
  start(onPacket: PacketHandler, onBatchEnd: () => void): void;
  setPorts(ports: ReadonlySet<number>): void;
  setRef(keepAlive: boolean): void;
  close(): void;
}

const IPPROTO_ICMP = 1;
// include/uapi/linux/icmp.h: SOL_RAW, ICMP_FILTER; a set bit keeps the type out.
const SOL_RAW = 255;
const ICMP_FILTER = 1;
/** Destination unreachable, source quench, time exceeded, parameter problem (RFC 792). */
const ERROR_TYPES = (1 << 3) | (1 << 4) | (1 << 11) | (1 << 12);
// include/uapi/linux/icmpv6.h; one bit of 256 for each type, a set one keeps it out.
const ICMP6_FILTER = 1;
/** Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443 §3). */
const ERROR_TYPES_6 = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4);
/** An error has at the most 576 bytes in all (RFC 1812 §4.3.2.3), in IPv6 1280 (RFC 4443 §2.4); more is cut. */
const BUFFER_BYTES = 2048;
/** Packets handled before the event loop gets its turn: an ICMP flood must not hold up TCP. */
const BATCH_PACKETS = 64;
const IPV6_HEADER_BYTES = 40;

/** Opens the socket for IPv4. Throws LibcError (EPERM without CAP_NET_RAW). */
export function openIcmpSocket(): IcmpSocket {
  const fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  const filter = new Uint8Array(4);
  new DataView(filter.buffer).setUint32(0, ~ERROR_TYPES >>> 0, HOST_LITTLE_ENDIAN);
  setsockopt(fd, SOL_RAW, ICMP_FILTER, filter);
  const bytes = new Uint8Array(BUFFER_BYTES);
  return icmpSocket({ fd, bytes, receive: () => recv(fd, bytes, MSG_DONTWAIT), quotedSourcePort });
}

/** Opens the one for IPv6. Throws LibcError (EPERM, EAFNOSUPPORT). */
export function openIcmp6Socket(): IcmpSocket {
  const fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6);
  try {
    const filter = new Uint8Array(32).fill(0xff);
    new DataView(filter.buffer).setUint32(0, ~ERROR_TYPES_6 >>> 0, HOST_LITTLE_ENDIAN);
    setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter);
    const receiver = new Ipv6Receiver(fd, IPPROTO_ICMPV6, BUFFER_BYTES);
    const { bytes } = receiver;
    return icmpSocket({ fd, bytes, receive: () => receiver.receive(), quotedSourcePort: quotedSourcePort6 });
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** What differs between the families. */
interface Source {
  readonly fd: number;
  /** Where `receive` puts a packet. */
  readonly bytes: Uint8Array;
  /** The length of the packet that was read, 0 or less when there is none. */
  readonly receive: () => number;
  readonly quotedSourcePort: (bytes: Uint8Array, length: number) => number;
}

function icmpSocket(source: Source): IcmpSocket {
  const { fd, bytes } = source;
  let ports: ReadonlySet<number> = new Set();
  let watching: ReadableWatch | undefined;
  let keepAlive = true;
  let isOpen = true;
  return {
    start(onPacket, onBatchEnd) {
      if (!isOpen || watching !== undefined) return;
      watching = watchReadable(fd, () => {
        let delivered = 0;
        for (let count = 0; count < BATCH_PACKETS && isOpen; count++) {
          const length = source.receive();
          if (length <= 0) break;
          if (!ports.has(source.quotedSourcePort(bytes, length))) continue;
          delivered++;
          onPacket(bytes, 0, length);
        }
        if (delivered > 0 && isOpen) onBatchEnd();
      });
      watching.setRef(keepAlive);
    },
    setPorts(wanted) {
      ports = wanted;
    },
    setRef(keep) {
      keepAlive = keep;
      watching?.setRef(keep);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      watching?.close();
      close(fd);
    },
  };
}

/** The source port of the TCP segment that the error quotes, -1 when it quotes none. What is wrong in it the stack finds. */
function quotedSourcePort(bytes: Uint8Array, length: number): number {
  const quote = headerBytes(bytes, 0) + 8;
  if (quote + 20 > length || bytes[quote + 9] !== IPPROTO_TCP) return -1;
  const tcp = quote + headerBytes(bytes, quote);
  if (tcp + 2 > length) return -1;
  return ((bytes[tcp] ?? 0) << 8) | (bytes[tcp + 1] ?? 0);
}

function headerBytes(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) & 15) << 2;
}

/** The same for ICMPv6, whose quote may have extension headers; behind a fragment's there are ports in the first alone. */
function quotedSourcePort6(bytes: Uint8Array, length: number): number {
  const quote = IPV6_HEADER_BYTES + 8;
  let protocol = bytes[quote + 6] ?? 0;
  let at = quote + IPV6_HEADER_BYTES;
  while (at + 8 <= length && isExtensionHeader(protocol)) {
    if (protocol === PROTOCOL_FRAGMENT && (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 3 !== 0) return -1;
    const size = extensionHeaderLength(protocol, bytes, at);
    protocol = bytes[at] ?? 0;
    at += size;
  }
  if (at + 2 > length || protocol !== IPPROTO_TCP) return -1;
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
