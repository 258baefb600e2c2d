/**
 * What stands before the IP header in a captured frame, for each link type that a TCP capture comes with. `locateIp` is the
 * fast way in; `readLinkHeader` also tells the protocol, the tags and, of Linux cooked frames, the direction.
 *
 *   Ethernet           destination 6 · source 6 · (tag 4)* · EtherType 2 · payload
 *   Linux cooked v1    packet type 2 · ARPHRD 2 · address length 2 · address 8 · (tag 4)* · protocol 2 · payload
 *   Linux cooked v2    protocol 2 · 0 2 · interface 4 · ARPHRD 2 · packet type 1 · address length 1 · address 8 · (tag 4)* · payload
 *   loopback           address family 4 (NULL: byte order of the machine, LOOP: network order) · payload
 *   raw IP             payload
 */
import { getU16, getU32 } from "./bytes.js";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN } from "./ethernet.js";

/** Link types of capture files: what a packet of an interface begins with (draft-ietf-opsawg-pcaplinktype). */
export const LINKTYPE = {
  /** BSD loopback: four bytes of address family in the byte order of the capturing machine. */
  NULL: 0,
  ETHERNET: 1,
  /** Raw IP under the number that libpcap itself has for it on Linux; old files carry it. */
  RAW_DLT: 12,
  /** Raw IP under OpenBSD's number. */
  RAW_OPENBSD: 14,
  /** A bare IPv4 or IPv6 packet; its first four bits tell which. */
  RAW: 101,
  /** OpenBSD loopback: the address family in network byte order. */
  LOOP: 108,
  /** Linux cooked capture: the device "any", and devices without a link header of their own. */
  LINUX_SLL: 113,
  IPV4: 228,
  IPV6: 229,
  /** Linux cooked capture with the interface's index. */
  LINUX_SLL2: 276,
} as const;

/** The old tag of "QinQ", before IEEE 802.1ad had a number of its own. */
const ETHERTYPE_QINQ = 0x9100;

/** Why a frame has no readable link header; "" when it has one. Constant strings, so that reading never allocates. */
export type LinkProblem = "" | "unknown link type" | "too short for a link header";

/** Whose packet a Linux cooked frame is: the packet types of if_packet.h, in their order; "" in all other frames. */
export type CookedDirection = "" | "to us" | "broadcast" | "multicast" | "to others" | "from us";

/** A parsed link header: a scratch object that is reused. Offsets count from the start of the array that was parsed. */
export class LinkHeader {
  /** EtherType of the payload; below 1536 in IEEE 802.3 frames, whose EtherType field is a length. 0 where none is known. */
  etherType = 0;
  /** Where the payload begins: the IP header, where `etherType` is that of IPv4 or IPv6. */
  payloadOffset = 0;
  /** Bytes from there to the end of what was captured, padding and trailers of the link included. */
  payloadLength = 0;
  /** VLAN identifiers, outermost first; `vlanCount` of them are valid. */
  readonly vlans = new Uint16Array(MAX_TAGS);
  vlanCount = 0;
  /** Of Linux cooked frames. */
  direction: CookedDirection = "";
  /** Index of the interface of a Linux cooked v2 frame, 0 in all others. */
  interfaceIndex = 0;
}

/**
 * Where the IP header of the frame `bytes[offset, offset + length)` begins, counted from the start of `bytes`; -1 when the frame
 * holds no IP packet, is too short to say, or its link type (one of `LINKTYPE`) is unknown. The packet is then
 * `bytes[result, offset + length)`, with the link's padding at its end. Never throws.
 */
export function locateIp(bytes: Uint8Array, offset: number, length: number, linkType: number): number {
  if (readLinkHeader(scratch, bytes, offset, length, linkType) !== "") return -1;
  const { etherType } = scratch;
  return etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6 ? scratch.payloadOffset : -1;
}

/**
 * Parses the link header of the frame `bytes[offset, offset + length)` into `header`. With a reason other than "" the
 * fields mean nothing. What the link says of its payload is believed; raw and loopback frames tell by the IP version.
 */
export function readLinkHeader(
  header: LinkHeader,
  bytes: Uint8Array,
  offset: number,
  length: number,
  linkType: number,
): LinkProblem {
  const end = Math.min(bytes.length, offset + length);
  header.vlanCount = 0;
  header.direction = "";
  header.interfaceIndex = 0;
  switch (linkType) {
    case LINKTYPE.ETHERNET:
      return readTagged(header, bytes, offset + 12, offset + 14, end);
    case LINKTYPE.LINUX_SLL:
      return readCooked(header, bytes, offset, end);
    case LINKTYPE.LINUX_SLL2:
      return readCookedV2(header, bytes, offset, end);
    case LINKTYPE.NULL:
    case LINKTYPE.LOOP:
      return readLoopback(header, bytes, offset, end);
    case LINKTYPE.RAW:
    case LINKTYPE.RAW_DLT:
    case LINKTYPE.RAW_OPENBSD:
      return setPayload(header, versionType(bytes, offset, end), offset, end);
    case LINKTYPE.IPV4:
      return setPayload(header, ETHERTYPE_IPV4, offset, end);
    case LINKTYPE.IPV6:
      return setPayload(header, ETHERTYPE_IPV6, offset, end);
    default:
      return "unknown link type";
  }
}

/** More tags than these are stepped over but not listed. */
const MAX_TAGS = 4;
const COOKED_BYTES = 16;
const COOKED_V2_BYTES = 20;
/** ARPHRD_NETLINK of if_arp.h: the protocol field holds a netlink family and no EtherType. */
const ARPHRD_NETLINK = 824;
const DIRECTIONS: readonly CookedDirection[] = ["to us", "broadcast", "multicast", "to others", "from us"];

const scratch = new LinkHeader();

/** An EtherType at `typeAt` and a payload at `payloadAt`, before which tags may stand, 4 bytes each. */
function readTagged(header: LinkHeader, bytes: Uint8Array, typeAt: number, payloadAt: number, end: number): LinkProblem {
  if (payloadAt > end) return "too short for a link header";
  let etherType = getU16(bytes, typeAt);
  let at = payloadAt;
  while (etherType === ETHERTYPE_VLAN || etherType === ETHERTYPE_SERVICE_VLAN || etherType === ETHERTYPE_QINQ) {
    if (at + 4 > end) return "too short for a link header";
    if (header.vlanCount < MAX_TAGS) header.vlans[header.vlanCount++] = getU16(bytes, at) & 0xfff;
    etherType = getU16(bytes, at + 2);
    at += 4;
  }
  return setPayload(header, etherType, at, end);
}

function readCooked(header: LinkHeader, bytes: Uint8Array, offset: number, end: number): LinkProblem {
  if (offset + COOKED_BYTES > end) return "too short for a link header";
  header.direction = DIRECTIONS[getU16(bytes, offset)] ?? "";
  if (getU16(bytes, offset + 2) === ARPHRD_NETLINK) return setPayload(header, 0, offset + COOKED_BYTES, end);
  return readTagged(header, bytes, offset + 14, offset + COOKED_BYTES, end);
}

function readCookedV2(header: LinkHeader, bytes: Uint8Array, offset: number, end: number): LinkProblem {
  if (offset + COOKED_V2_BYTES > end) return "too short for a link header";
  header.interfaceIndex = getU32(bytes, offset + 4);
  header.direction = DIRECTIONS[bytes[offset + 10] ?? -1] ?? "";
  if (getU16(bytes, offset + 8) === ARPHRD_NETLINK) return setPayload(header, 0, offset + COOKED_V2_BYTES, end);
  return readTagged(header, bytes, offset, offset + COOKED_V2_BYTES, end);
}

/**
 * The family's number tells its byte order by itself, for no system has one above 255, and every system's number for IPv6 is
 * another one (Linux 10, NetBSD 24, FreeBSD 28, Darwin 30, Windows 23): files travel between them.
 */
function readLoopback(header: LinkHeader, bytes: Uint8Array, offset: number, end: number): LinkProblem {
  const at = offset + 4;
  if (at > end) return "too short for a link header";
  const word = getU32(bytes, offset);
  const family = word > 0xffff ? (word >>> 24) | ((word >>> 8) & 0xff00) : word;
  const isIp = family === 2 || family === 10 || family === 23 || family === 24 || family === 28 || family === 30;
  return setPayload(header, isIp ? versionType(bytes, at, end) : 0, at, end);
}

function versionType(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return 0;
  const version = (bytes[at] ?? 0) >>> 4;
  return version === 4 ? ETHERTYPE_IPV4 : version === 6 ? ETHERTYPE_IPV6 : 0;
}

function setPayload(header: LinkHeader, etherType: number, at: number, end: number): LinkProblem {
  header.etherType = etherType;
  header.payloadOffset = at;
  header.payloadLength = Math.max(0, end - at);
  return "";
}
