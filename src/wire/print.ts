/** A packet as one line of text, in tcpdump's manner, but with sequence numbers as they stand in the header. */
import { formatEndpoint, IpAddress } from "./address.js";
import { getU16, getU32 } from "./bytes.js";
import { type CapturedIpProblem, parseCapturedIp } from "./captured-ip.js";
import { addBytes, fold } from "./checksum.js";
import { IcmpError, isIcmpError, nameIcmp, parseIcmpError } from "./icmp.js";
import { IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, parseIpPacket } from "./ip-packet.js";
import { parseSegment, Segment, verifyChecksum } from "./segment.js";
import { ACK, FIN, formatFlags, RST, SYN, URG } from "./tcp-flags.js";
import { decodeTcpOptions, formatTcpOptions } from "./tcp-options.js";

/**
 * Describes the IP packet `bytes[offset, offset + length)`:
 * "127.0.0.1:40001 > 127.0.0.1:80: Flags [S], seq 1, win 65535, options [mss 1460], length 0".
 * Checksums are verified: a bad one is named at the end, and so is a TCP checksum that the sender left to the device
 * ("partial"). What cannot be read is said ("bad packet: bad IP total length, length 12"); it never throws.
 *
 * Of a packet in a capture, `wireLength` bytes may have been on the wire and fewer be captured: lengths are then those on the wire,
 * checksums are left alone, and headers that were cut end in "[cut]". Without it a packet that ends early is damaged.
 */
export function describePacket(bytes: Uint8Array, offset: number, length: number, wireLength?: number): string {
  const start = Math.min(Math.max(offset, 0), bytes.length);
  const available = Math.max(0, Math.min(length, bytes.length - start));
  captureEnd = start + available;
  const problem: CapturedIpProblem =
    wireLength === undefined
      ? parseIpPacket(packet, bytes, start, available, false)
      : parseCapturedIp(packet, bytes, start, available, Math.max(available, wireLength));
  if (problem === "IP fragment") return describeFragment(bytes, start);
  if (problem === "cut inside the IP header") return `IP [cut], length ${wireLength}`;
  if (problem !== "") return `bad packet: ${problem}, length ${available}`;
  return describePayload(bytes) + ipChecksumNote(bytes, start);
}

const packet = new IpPacket();
const segment = new Segment();
const icmpError = new IcmpError();
/** Where the captured bytes of the packet at hand end. */
let captureEnd = 0;

function describePayload(bytes: Uint8Array): string {
  const captured = captureEnd - packet.payloadOffset;
  const size = packet.payloadLength;
  switch (packet.protocol) {
    case PROTOCOL_TCP:
      if (captured >= Math.min(size, 20)) return describeTcp(bytes);
      return `${describeCut(bytes, captured, 4)}: TCP [cut], length ${size}`;
    case PROTOCOL_ICMP:
      if (packet.version === 4) return describeIcmp(bytes, "ICMP");
      break;
    case PROTOCOL_ICMPV6:
      if (packet.version === 6) return describeIcmp(bytes, "ICMPv6");
      break;
    case PROTOCOL_UDP:
      if (size < 8) break;
      if (captured < 4) return `${describeCut(bytes, captured, 4)}: UDP [cut], length ${size}`;
      return describeUdp(bytes);
  }
  return `${packet.source} > ${packet.destination}: ${nameProtocol(packet.protocol)}, length ${size}`;
}

/** The endpoints, as far as they are there: with ports when `portBytes` of the header were captured. */
function describeCut(bytes: Uint8Array, captured: number, portBytes: number): string {
  const at = packet.payloadOffset;
  if (captured >= portBytes) return endpoints(getU16(bytes, at), getU16(bytes, at + 2));
  return `${packet.source} > ${packet.destination}`;
}

/** Those that stand beside TCP in captures; of others the number (IANA). */
function nameProtocol(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? `protocol ${protocol}`;
}

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [2, "IGMP"],
  [4, "IPv4 in IP"],
  [41, "IPv6 in IP"],
  [47, "GRE"],
  [50, "ESP"],
  [59, "no next header"],
  [89, "OSPF"],
  [112, "VRRP"],
  [132, "SCTP"],
]);

const PROTOCOL_UDP = 17;

function describeTcp(bytes: Uint8Array): string {
  const { payloadOffset: at, payloadLength: size } = packet;
  const problem = parseSegment(segment, bytes, at, size);
  if (problem !== "") return `${packet.source} > ${packet.destination}: TCP, ${problem}, length ${size}`;
  const { flags, seq, payloadLength } = segment;
  let text = `${endpoints(segment.sourcePort, segment.destinationPort)}: Flags [${formatFlags(flags)}]`;
  // As tcpdump does, a plain ACK goes without its sequence number.
  if (payloadLength > 0) text += `, seq ${seq}:${(seq + payloadLength) >>> 0}`;
  else if ((flags & (SYN | FIN | RST)) !== 0) text += `, seq ${seq}`;
  if ((flags & ACK) !== 0) text += `, ack ${segment.ack}`;
  text += `, win ${segment.wnd}`;
  if ((flags & URG) !== 0) text += `, urg ${segment.up}`;
  const optionsLength = Math.min(segment.payloadOffset, captureEnd) - at - 20;
  if (optionsLength > 0) text += `, options [${formatTcpOptions(decodeTcpOptions(bytes, at + 20, optionsLength))}]`;
  if (segment.payloadOffset > captureEnd) text += ", [cut]";
  text += `, length ${payloadLength}`;
  if (at + size > captureEnd) return text;
  const verdict = verifyChecksum(packet.source, packet.destination, bytes, at, size, "partial-ok");
  return verdict === "ok" ? text : `${text}, ${verdict} TCP checksum`;
}

function describeIcmp(bytes: Uint8Array, name: string): string {
  const { source, destination, version, payloadOffset: at, payloadLength: size } = packet;
  const start = `${source} > ${destination}: ${name}`;
  if (size < 8) return `${start}, too short for an ICMP header, length ${size}`;
  if (at + 8 > captureEnd) return `${start} [cut], length ${size}`;
  const type = bytes[at] ?? 0;
  const what = `${start} ${nameIcmp(version, type, bytes[at + 1] ?? 0)}`;
  if (!isIcmpError(version, type)) return `${what}${describeEcho(bytes, at)}, length ${size}`;
  // The checksum of a message that was cut cannot be verified, and of the quote only the beginning is needed.
  const isCut = at + size > captureEnd;
  const problem = isCut ? "[cut]" : parseIcmpError(icmpError, bytes, at, size, version, source, destination);
  if (problem !== "") return `${what}, ${problem}, length ${size}`;
  const mtu = icmpError.kind === "packet-too-big" ? `, mtu ${icmpError.nextHopMtu}` : "";
  const from = formatEndpoint(icmpError.quotedSource, icmpError.quotedSourcePort);
  const to = formatEndpoint(icmpError.quotedDestination, icmpError.quotedDestinationPort);
  return `${what}${mtu}, quote [${from} > ${to}: seq ${icmpError.quotedSeq}], length ${size}`;
}

/** Identifier and sequence number of an echo request or reply; of other messages nothing. */
function describeEcho(bytes: Uint8Array, at: number): string {
  const type = bytes[at] ?? 0;
  const isEcho = packet.version === 4 ? type === 0 || type === 8 : type === 128 || type === 129;
  if (isEcho) return `, id ${getU16(bytes, at + 4)}, seq ${getU16(bytes, at + 6)}`;
  // Neighbour solicitation and advertisement: whom it is about (RFC 4861 §4.3, §4.4).
  if (packet.version !== 6 || (type !== 135 && type !== 136) || packet.payloadLength < 24 || at + 24 > captureEnd) return "";
  const about = new IpAddress();
  about.read(6, bytes, at + 8);
  return type === 135 ? `, who has ${about}` : `, target is ${about}`;
}

function describeUdp(bytes: Uint8Array): string {
  const at = packet.payloadOffset;
  return `${endpoints(getU16(bytes, at), getU16(bytes, at + 2))}: UDP, length ${packet.payloadLength - 8}`;
}

function endpoints(sourcePort: number, destinationPort: number): string {
  return `${formatEndpoint(packet.source, sourcePort)} > ${formatEndpoint(packet.destination, destinationPort)}`;
}

/** A fragment of a packet; its header has been checked as far as its lengths go. */
function describeFragment(bytes: Uint8Array, at: number): string {
  const family = (bytes[at] ?? 0) >>> 4 === 4 ? 4 : 6;
  const [source, destination] = [new IpAddress(), new IpAddress()];
  source.read(family, bytes, at + (family === 4 ? 12 : 8));
  destination.read(family, bytes, at + (family === 4 ? 16 : 24));
  const start = `${source} > ${destination}: fragment`;
  if (family === 6) return `${start}, length ${getU16(bytes, at + 4)}`;
  const field = getU32(bytes, at + 4);
  const size = getU16(bytes, at + 2) - (((bytes[at] ?? 0) & 15) << 2);
  const more = (field & 0x2000) !== 0 ? "+" : "";
  const place = `id ${field >>> 16}, offset ${(field & 0x1fff) << 3}${more}`;
  return `${start} of protocol ${bytes[at + 9] ?? 0}, ${place}, length ${size}${ipChecksumNote(bytes, at)}`;
}

function ipChecksumNote(bytes: Uint8Array, at: number): string {
  const first = bytes[at] ?? 0;
  if (first >>> 4 !== 4) return "";
  return fold(addBytes(0, bytes, at, (first & 15) << 2)) === 0xffff ? "" : ", bad IP header checksum";
}
