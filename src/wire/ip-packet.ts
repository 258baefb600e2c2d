/**
 * The fast way in: reads an IPv4 or IPv6 header at an offset into a scratch object that is reused for every packet.
 * Options and extension headers are stepped over (RFC 9293 MUST-50); what they say in full is in `ipv4.ts` and `ipv6.ts`.
 */
import { IpAddress } from "./address.js";
import { getU16 } from "./bytes.js";
import { addBytes, fold } from "./checksum.js";

/** Protocol and next-header numbers (IANA). */
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
/** The IPv6 fragment header (RFC 8200 §4.5). */
export const PROTOCOL_FRAGMENT = 44;
export const PROTOCOL_ICMPV6 = 58;

/** Why bytes are not a packet for us; "" when they are. Constant strings, so that reading never allocates. */
export type IpProblem =
  | ""
  | "too short for an IP header"
  | "unknown IP version"
  | "bad IP header length"
  | "bad IP total length"
  | "bad IP header checksum"
  | "IP fragment"
  | "bad IPv6 extension header";

/** A parsed IP header. Offsets count from the start of the array that was parsed. */
export class IpPacket {
  readonly source = new IpAddress();
  readonly destination = new IpAddress();
  version: 4 | 6 = 4;
  protocol = 0;
  /** TTL or hop limit. */
  ttl = 0;
  /** TOS or traffic class: DSCP in the upper six bits, ECN in the lower two. */
  tos = 0;
  /** IPv4 identification, 0 for IPv6. */
  id = 0;
  dontFragment = false;
  payloadOffset = 0;
  payloadLength = 0;
}

/**
 * Parses `bytes[offset, offset + length)` into `packet`. Trailing bytes (Ethernet padding) are left out of the payload.
 * `verify` false skips the IPv4 header checksum: a raw socket gets packets whose header the kernel has checked.
 */
export function parseIpPacket(packet: IpPacket, bytes: Uint8Array, offset: number, length: number, verify: boolean): IpProblem {
  if (length < 20) return "too short for an IP header";
  const version = bytes[offset]! >>> 4;
  if (version === 4) return parseIpv4(packet, bytes, offset, length, verify);
  if (version === 6) return parseIpv6(packet, bytes, offset, length);
  return "unknown IP version";
}

function parseIpv4(packet: IpPacket, bytes: Uint8Array, offset: number, length: number, verify: boolean): IpProblem {
  const headerLength = (bytes[offset]! & 15) << 2;
  if (headerLength < 20 || headerLength > length) return "bad IP header length";
  const totalLength = getU16(bytes, offset + 2);
  if (totalLength < headerLength || totalLength > length) return "bad IP total length";
  if (verify && fold(addBytes(0, bytes, offset, headerLength)) !== 0xffff) return "bad IP header checksum";
  const fragment = getU16(bytes, offset + 6);
  if ((fragment & 0x3fff) !== 0) return "IP fragment";
  readIpv4Fields(packet, bytes, offset);
  packet.payloadOffset = offset + headerLength;
  packet.payloadLength = totalLength - headerLength;
  return "";
}

/** Takes what a whole IPv4 header says, lengths aside; the caller has checked that it is there. */
export function readIpv4Fields(packet: IpPacket, bytes: Uint8Array, offset: number): void {
  packet.version = 4;
  packet.tos = bytes[offset + 1]!;
  packet.id = getU16(bytes, offset + 4);
  packet.dontFragment = (bytes[offset + 6]! & 0x40) !== 0;
  packet.ttl = bytes[offset + 8]!;
  packet.protocol = bytes[offset + 9]!;
  packet.source.read(4, bytes, offset + 12);
  packet.destination.read(4, bytes, offset + 16);
}

const HOP_BY_HOP = 0;
const ROUTING = 43;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/** Whether an IPv6 next-header value is an extension header that can be stepped over (RFC 8200 §4, RFC 4302). */
export function isExtensionHeader(protocol: number): boolean {
  return (
    protocol === HOP_BY_HOP ||
    protocol === ROUTING ||
    protocol === PROTOCOL_FRAGMENT ||
    protocol === AUTHENTICATION ||
    protocol === DESTINATION_OPTIONS
  );
}

/** The size in bytes of the extension header of kind `protocol` at `at`; its first 8 bytes must be there. */
export function extensionHeaderLength(protocol: number, bytes: Uint8Array, at: number): number {
  // The fragment header has a fixed size, and the length of AH counts words, less two (RFC 4302 §2.2).
  if (protocol === PROTOCOL_FRAGMENT) return 8;
  return protocol === AUTHENTICATION ? (bytes[at + 1]! + 2) << 2 : (bytes[at + 1]! + 1) << 3;
}

/** Whether the extension header at `at` makes the packet one of several fragments; a whole one may bear it too (RFC 8200 §4.5). */
export function isPartialFragment(protocol: number, bytes: Uint8Array, at: number): boolean {
  return protocol === PROTOCOL_FRAGMENT && (getU16(bytes, at + 2) & 0xfff9) !== 0;
}

function parseIpv6(packet: IpPacket, bytes: Uint8Array, offset: number, length: number): IpProblem {
  if (length < 40) return "too short for an IP header";
  const payloadLength = getU16(bytes, offset + 4);
  if (payloadLength + 40 > length) return "bad IP total length";
  const end = offset + 40 + payloadLength;
  let protocol = bytes[offset + 6]!;
  let at = offset + 40;
  while (isExtensionHeader(protocol)) {
    if (at + 8 > end) return "bad IPv6 extension header";
    if (isPartialFragment(protocol, bytes, at)) return "IP fragment";
    const size = extensionHeaderLength(protocol, bytes, at);
    protocol = bytes[at]!;
    at += size;
    if (at > end) return "bad IPv6 extension header";
  }
  packet.version = 6;
  packet.tos = (getU16(bytes, offset) >>> 4) & 0xff;
  packet.id = 0;
  packet.dontFragment = true;
  packet.ttl = bytes[offset + 7]!;
  packet.protocol = protocol;
  packet.source.read(6, bytes, offset + 8);
  packet.destination.read(6, bytes, offset + 24);
  packet.payloadOffset = at;
  packet.payloadLength = end - at;
  return "";
}

/** Whether a packet goes from one host to one host: nothing else is answered (RFC 9293 MUST-57, MUST-63). */
export function isOneHost(packet: IpPacket): boolean {
  const { source, destination } = packet;
  return (
    !source.isMulticast() &&
    !source.isBroadcast() &&
    !source.isUnspecified() &&
    !destination.isMulticast() &&
    !destination.isBroadcast()
  );
}
