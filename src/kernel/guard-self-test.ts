/**
 * Proves on this host that the port guard holds: a SYN-ACK that belongs to nothing goes to a held port and to a port that is
 * not held. The kernel must answer the second with RST and be silent about the first. Both go the same way in the same
 * order, so once the second is answered the first will not be: there is nothing to wait for.
 */

import { attachFilter, portFilter } from "./bpf.js";
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  getsockname,
  IP_HDRINCL,
  IPPROTO_IP,
  IPPROTO_TCP,
  LibcError,
  MSG_DONTWAIT,
  POLLIN,
  poll,
  recv,
  SO_MARK,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
  sendto,
  setsockopt,
  socket,
} from "./libc.js";
import { addressBytes, isWildcard, sockaddrOf } from "./sockaddr.js";

export interface GuardReport {
  /** No RST came from the held port. */
  readonly holds: boolean;
  /** The kernel did answer for the port that was not held, so silence means something. */
  readonly witnessed: boolean;
  /** An RST of our own, sent through the raw socket, was let through. */
  readonly ownResetPasses: boolean;
  readonly durationUs: number;
  /** All that in one line. */
  readonly detail: string;
}

/**
 * Tests a guard at one of this host's addresses. `hold` holds a free port at the address that it is given; `mark` is what the
 * guard wants our packets to carry. Throws LibcError when raw sockets are not allowed.
 */
export function probeGuard(
  address: string,
  hold: (address: string) => { readonly port: number; release(): void },
  mark: number | undefined,
): GuardReport {
  const startedAt = performance.now();
  const target = isWildcard(address) ? (address.includes(":") ? "::1" : "127.0.0.1") : address;
  const isIpv4 = addressBytes(target).length === 4;
  const descriptors: number[] = [];
  const held = hold(isWildcard(address) ? address : target);
  try {
    // Two ports that the kernel keeps for us but does not guard: one answers for comparison, one plays the peer.
    const unguarded = boundPort(target, descriptors);
    const peer = boundPort(target, descriptors);
    const raw = rawSocket(isIpv4, mark, descriptors);
    attachFilter(raw, portFilter([peer], isIpv4 ? "ipv4" : "tcp"));
    const seen = { heldReset: false, ownReset: false, unguardedReset: false };
    const send = (from: number, to: number, sequence: number, flags: number) => {
      const packet = tcpPacket(target, from, to, sequence, flags);
      const sent = sendto(raw, packet, packet.length, 0, sockaddrOf(target, 0));
      // A firewall that refuses our RST (EPERM) is a finding, not a failure of the test.
      if (sent < 0 && flags !== RST) throw new LibcError("sendto", -sent, "(guard self-test)");
    };
    send(peer, held.port, 1, SYN | ACK);
    send(held.port, peer, OWN_RESET_SEQUENCE, RST);
    send(peer, unguarded, 1, SYN | ACK);
    const deadline = performance.now() + LIMIT_MS; // from now on: setting up may have started a program (nft)
    const packet = new Uint8Array(256);
    while (!(seen.unguardedReset && seen.ownReset)) {
      const left = deadline - performance.now();
      if (left <= 0 || poll(raw, POLLIN, left) === 0) break;
      let length = recv(raw, packet, MSG_DONTWAIT);
      for (; length > 0; length = recv(raw, packet, MSG_DONTWAIT)) {
        const reset = readReset(packet, length, isIpv4, peer);
        if (reset === undefined) continue;
        if (reset.from === unguarded) seen.unguardedReset = true;
        else if (reset.from === held.port && reset.sequence === OWN_RESET_SEQUENCE) seen.ownReset = true;
        else if (reset.from === held.port) seen.heldReset = true;
      }
    }
    return report(target, seen, (performance.now() - startedAt) * 1000);
  } finally {
    held.release();
    for (const fd of descriptors) close(fd);
  }
}

/** The longest that the test waits for the comparison's RST, which a firewall of the host may drop. */
const LIMIT_MS = 25;
const RST = 0x04;
const SYN = 0x02;
const ACK = 0x10;
/** Tells our RST from the kernel's, whose sequence number is the acknowledgment number of what it answers (RFC 9293 §3.5.2). */
const OWN_RESET_SEQUENCE = 0x0badcafe;
const PROBE_ACK = 0x7fffffff;

function report(
  target: string,
  seen: { heldReset: boolean; ownReset: boolean; unguardedReset: boolean },
  durationUs: number,
): GuardReport {
  const parts = [
    seen.heldReset ? `the kernel answered with RST for a held port of ${target}` : "no RST from the held port",
    seen.unguardedReset
      ? "an unguarded port was answered with RST"
      : `an unguarded port was not answered within ${LIMIT_MS} ms either`,
    ...(seen.ownReset ? [] : ["our own RST was not seen"]),
  ];
  return {
    holds: !seen.heldReset,
    witnessed: seen.unguardedReset,
    ownResetPasses: seen.ownReset,
    durationUs: Math.round(durationUs),
    detail: parts.join("; "),
  };
}

function boundPort(address: string, descriptors: number[]): number {
  const fd = socket(address.includes(":") ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  descriptors.push(fd);
  bind(fd, address, 0);
  return getsockname(fd).port;
}

function rawSocket(isIpv4: boolean, mark: number | undefined, descriptors: number[]): number {
  const fd = socket(isIpv4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_TCP);
  descriptors.push(fd);
  if (isIpv4) setsockopt(fd, IPPROTO_IP, IP_HDRINCL, 1);
  if (mark !== undefined) setsockopt(fd, SOL_SOCKET, SO_MARK, mark);
  return fd;
}

/** A bare TCP header from an address to itself; for IPv4 with the IP header that IP_HDRINCL wants (the kernel sums it). */
function tcpPacket(address: string, from: number, to: number, sequence: number, flags: number): Uint8Array {
  const ip = addressBytes(address);
  const tcpAt = ip.length === 4 ? 20 : 0;
  const packet = new Uint8Array(tcpAt + 20);
  const view = new DataView(packet.buffer);
  if (ip.length === 4) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    packet[8] = 64; // TTL
    packet[9] = IPPROTO_TCP;
    packet.set(ip, 12);
    packet.set(ip, 16);
  }
  view.setUint16(tcpAt, from);
  view.setUint16(tcpAt + 2, to);
  view.setUint32(tcpAt + 4, sequence);
  view.setUint32(tcpAt + 8, (flags & ACK) !== 0 ? PROBE_ACK : 0);
  packet[tcpAt + 12] = 5 << 4;
  packet[tcpAt + 13] = flags;
  view.setUint16(tcpAt + 16, tcpChecksum(packet.subarray(tcpAt), ip));
  return packet;
}

/** The TCP checksum with the pseudo-header of a packet from `ip` to `ip` (RFC 9293 §3.1, RFC 8200 §8.1). */
function tcpChecksum(segment: Uint8Array, ip: Uint8Array): number {
  let sum = IPPROTO_TCP + segment.length;
  const add = (bytes: Uint8Array) => {
    for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  };
  add(ip);
  add(ip);
  add(segment);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The RST in a received packet that is meant for `peer`. IPv6 raw sockets give the segment without its IP header. */
function readReset(
  packet: Uint8Array,
  length: number,
  isIpv4: boolean,
  peer: number,
): { readonly from: number; readonly sequence: number } | undefined {
  const tcpAt = isIpv4 ? ((packet[0] ?? 0) & 0xf) * 4 : 0;
  if (length < tcpAt + 20) return undefined;
  const view = new DataView(packet.buffer);
  if (((packet[tcpAt + 13] ?? 0) & RST) === 0 || view.getUint16(tcpAt + 2) !== peer) return undefined;
  return { from: view.getUint16(tcpAt), sequence: view.getUint32(tcpAt + 4) };
}
