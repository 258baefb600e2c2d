/**
 * The IPv6 half of the link "raw": a raw socket for TCP and one for ICMPv6 errors. Sending is as in IPv4, with a header of ours
 * (IPV6_HDRINCL); receiving is not, see `kernel/ipv6-message.ts`.
 */
import { RawTcpError } from "../base/errors.js";
import { attachFilter, dropAllFilter, type PortRange, portFilter } from "../kernel/bpf.js";
import { ipv6Absence } from "../kernel/ipv6.js";
import { Ipv6Receiver } from "../kernel/ipv6-message.js";
import {
  AF_INET6,
  close,
  errnoName,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_HDRINCL,
  LibcError,
  type ReadableWatch,
  SOCK_NONBLOCK,
  SOCK_RAW,
  sendto,
  setsockopt,
  socket,
  watchReadable,
} from "../kernel/libc.js";
import { sockaddrOf } from "../kernel/sockaddr.js";
import type { PacketHandler } from "../wire/packet-device.js";
import { type IcmpSocket, openIcmp6Socket } from "./icmp-socket.js";
import { type RawSocketOptions, setRawSocketOptions } from "./raw-socket-options.js";

export interface RawIpv6 {
  /** Sends one IPv6 packet to the destination address in its header. Returns "" or the errno's name ("EMSGSIZE"). */
  send(bytes: Uint8Array, offset: number, length: number): string;
  /** Reads one packet into `bytes`; returns its length, 0 when there is none. */
  receive(): number;
  /** Where `receive` puts a packet. */
  readonly bytes: Uint8Array;
  /** Delivers ICMPv6 errors, and calls `onReadable` as long as TCP packets are waiting. */
  start(onReadable: () => void, onIcmp: PacketHandler, onBatchEnd: () => void): void;
  /** `ports` are those whose errors are wanted, `filter` what the kernel lets through. */
  setPorts(ports: ReadonlySet<number>, filter: readonly (number | PortRange)[]): void;
  setRef(keepAlive: boolean): void;
  close(): void;
}

/**
 * Opens both sockets. They receive nothing before `setPorts` and `start`. Throws RawTcpError `EAFNOSUPPORT` on a host without IPv6,
 * LibcError otherwise (EPERM without CAP_NET_RAW).
 */
export function openRawIpv6(options: RawSocketOptions): RawIpv6 {
  const fd = openSocket();
  let icmp: IcmpSocket | undefined;
  try {
    // From its creation on the socket queued the host's TCP traffic: first let nothing more in, then throw away what is there.
    attachFilter(fd, dropAllFilter());
    setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1);
    setRawSocketOptions(fd, options);
    const receiver = new Ipv6Receiver(fd, IPPROTO_TCP);
    while (receiver.receive() > 0);
    icmp = openIcmp6Socket();
    return rawIpv6(fd, receiver, icmp);
  } catch (error) {
    icmp?.close();
    close(fd);
    throw error;
  }
}

/** Where a sockaddr_in6 has its address, and an IPv6 header its destination. */
const SOCKADDR_ADDRESS_AT = 8;
const DESTINATION_AT = 24;

function openSocket(): number {
  try {
    return socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP);
  } catch (error) {
    if (!(error instanceof LibcError && error.code === "EAFNOSUPPORT")) throw error;
    throw new RawTcpError("EAFNOSUPPORT", `raw socket: this host has no IPv6: ${ipv6Absence() || "its kernel runs without it"}`);
  }
}

function rawIpv6(fd: number, receiver: Ipv6Receiver, icmp: IcmpSocket): RawIpv6 {
  // One sockaddr serves all: its address is overwritten. The port means nothing for a raw socket, and has to be 0.
  const destination = sockaddrOf("::", 0);
  let watching: ReadableWatch | undefined;
  let keepAlive = true;
  return {
    bytes: receiver.bytes,
    send(bytes, offset, length) {
      for (let i = 0; i < 16; i++) destination[SOCKADDR_ADDRESS_AT + i] = bytes[offset + DESTINATION_AT + i] ?? 0;
      const sent = sendto(fd, offset === 0 ? bytes : bytes.subarray(offset, offset + length), length, 0, destination);
      return sent < 0 ? errnoName(-sent) : "";
    },
    receive: () => receiver.receive(),
    start(onReadable, onIcmp, onBatchEnd) {
      watching = watchReadable(fd, onReadable);
      watching.setRef(keepAlive);
      icmp.start(onIcmp, onBatchEnd);
    },
    setPorts(ports, filter) {
      icmp.setPorts(ports);
      attachFilter(fd, filter.length === 0 ? dropAllFilter() : portFilter(filter, "tcp"));
    },
    setRef(keep) {
      keepAlive = keep;
      watching?.setRef(keep);
      icmp.setRef(keep);
    },
    close() {
      watching?.close();
      icmp.close();
      close(fd);
    },
  };
}
