/** A captured frame as one line of text, in tcpdump's manner: the link header, ARP, and what `describePacket` says of IP. */
import { formatEndpoint, IpAddress } from "./address.js";
import { getU16 } from "./bytes.js";
import { parseCapturedIp } from "./captured-ip.js";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, formatMac } from "./ethernet.js";
import { IpPacket, PROTOCOL_TCP } from "./ip-packet.js";
import { LINKTYPE, LinkHeader, readLinkHeader } from "./link-layer.js";
import { describePacket } from "./print.js";
import { parseSegment, Segment } from "./segment.js";

/**
 * Describes the frame `bytes[offset, offset + length)`, of which `wireLength` bytes were on the wire: "IP 10.0.0.1:1 > …",
 * "ARP, who has 10.0.0.2? tell 10.0.0.1", "ethertype LLDP (0x88cc), length 60". `brief` says of a TCP segment its endpoints and
 * length alone. Never throws.
 */
export function describeFrame(
  bytes: Uint8Array,
  offset: number,
  length: number,
  linkType: number,
  wireLength: number,
  brief = false,
): string {
  const problem = readLinkHeader(link, bytes, offset, length, linkType);
  if (problem === "unknown link type") return `link type ${linkType}, length ${wireLength}`;
  if (problem !== "") return `${wireLength > length ? "link header [cut]" : problem}, length ${wireLength}`;
  const { etherType, payloadOffset: at, payloadLength: size } = link;
  // Where the link pads short packets, the padding counts for as much as it was captured.
  const onWire = wireLength - (at - offset);
  switch (etherType) {
    case ETHERTYPE_IPV4:
    case ETHERTYPE_IPV6: {
      const name = etherType === ETHERTYPE_IPV4 ? "IP" : "IP6";
      return `${name} ${(brief ? describeBriefly(bytes, at, size, onWire) : undefined) ?? describePacket(bytes, at, size, onWire)}`;
    }
    case ETHERTYPE_ARP:
      return describeArp(bytes, at, size, onWire);
    case 0:
      return `no IP packet, length ${wireLength}`;
  }
  return `${nameEtherType(etherType)}, length ${wireLength}`;
}

/**
 * The link header of a frame, for tcpdump's option -e: "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), vlan 5,
 * length 74". "" for links that have no header.
 */
export function describeLinkHeader(
  bytes: Uint8Array,
  offset: number,
  length: number,
  linkType: number,
  wireLength: number,
): string {
  if (readLinkHeader(link, bytes, offset, length, linkType) !== "") return "";
  const tags = [...link.vlans.subarray(0, link.vlanCount)].map((vlan) => `, vlan ${vlan}`).join("");
  const rest = `${nameEtherType(link.etherType)}${tags}, length ${wireLength}`;
  switch (linkType) {
    case LINKTYPE.ETHERNET:
      return `${macAt(bytes, offset + 6)} > ${macAt(bytes, offset)}, ${rest}`;
    case LINKTYPE.LINUX_SLL:
      return `${hardwareAddress(bytes, offset + 6, getU16(bytes, offset + 4))}, ${rest}`;
    case LINKTYPE.LINUX_SLL2:
      return `interface ${link.interfaceIndex}, ${hardwareAddress(bytes, offset + 12, bytes[offset + 11] ?? 0)}, ${rest}`;
    case LINKTYPE.NULL:
    case LINKTYPE.LOOP:
      return `family ${nameEtherType(link.etherType).replace("ethertype ", "")}, length ${wireLength}`;
    default:
      return "";
  }
}

const link = new LinkHeader();
const ip = new IpPacket();
const segment = new Segment();

function describeBriefly(bytes: Uint8Array, at: number, size: number, onWire: number): string | undefined {
  if (parseCapturedIp(ip, bytes, at, size, Math.max(size, onWire)) !== "" || ip.protocol !== PROTOCOL_TCP) return undefined;
  const start = ip.payloadOffset;
  if (start + 20 > at + size || parseSegment(segment, bytes, start, ip.payloadLength) !== "") return undefined;
  const from = formatEndpoint(ip.source, segment.sourcePort);
  return `${from} > ${formatEndpoint(ip.destination, segment.destinationPort)}: tcp ${segment.payloadLength}`;
}

/** RFC 826; of other hardware than Ethernet and other protocols than IPv4 the numbers alone. */
function describeArp(bytes: Uint8Array, at: number, size: number, onWire: number): string {
  if (size < 8) return `ARP ${onWire > size ? "[cut]" : "too short"}, length ${onWire}`;
  const operation = getU16(bytes, at + 6);
  const isIpv4 = getU16(bytes, at + 2) === ETHERTYPE_IPV4 && bytes[at + 4] === 6 && bytes[at + 5] === 4;
  if (!isIpv4)
    return `ARP hardware ${getU16(bytes, at)}, protocol ${hex(getU16(bytes, at + 2))}, operation ${operation}, length ${onWire}`;
  if (size < 28) return `ARP ${onWire > size ? "[cut]" : "too short"}, length ${onWire}`;
  sender.read(4, bytes, at + 14);
  target.read(4, bytes, at + 24);
  switch (operation) {
    case 1:
      return sender.equals(target)
        ? `ARP, announcement of ${sender} by ${macAt(bytes, at + 8)}, length ${onWire}`
        : `ARP, who has ${target}? tell ${sender}, length ${onWire}`;
    case 2:
      return `ARP, ${sender} is at ${macAt(bytes, at + 8)}, length ${onWire}`;
    default:
      return `ARP, operation ${operation} of ${sender}, length ${onWire}`;
  }
}

const sender = new IpAddress();
const target = new IpAddress();

/** "ethertype IPv4 (0x0800)"; below 1536 the field is the length of an IEEE 802.3 frame. */
function nameEtherType(etherType: number): string {
  if (etherType < 1536) return `802.3 frame of ${etherType} bytes`;
  return `ethertype ${ETHERTYPE_NAMES.get(etherType) ?? "unknown"} (${hex(etherType)})`;
}

const ETHERTYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [ETHERTYPE_IPV4, "IPv4"],
  [ETHERTYPE_ARP, "ARP"],
  [ETHERTYPE_IPV6, "IPv6"],
  [0x8847, "MPLS"],
  [0x8863, "PPPoE discovery"],
  [0x8864, "PPPoE"],
  [0x888e, "EAPOL"],
  [0x88cc, "LLDP"],
  [0x88e5, "MACsec"],
  [0x88f7, "PTP"],
]);

function macAt(bytes: Uint8Array, at: number): string {
  return formatMac(bytes.subarray(at, at + 6));
}

function hardwareAddress(bytes: Uint8Array, at: number, size: number): string {
  return size === 6 ? macAt(bytes, at) : size === 0 ? "no address" : `address of ${size} bytes`;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}
