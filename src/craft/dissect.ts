/**
 * A packet's spec from its bytes, with every field set as it was found: `craft(dissect(bytes))` gives the same bytes again,
 * whatever they are. Headers that are cut are payload; what a header says of itself is kept, not believed.
 */
import { getU16 } from "../wire/bytes.js";
import { decodeEthernetHeader, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ethernetHeaderLength } from "../wire/ethernet.js";
import {
  extensionHeaderLength,
  isExtensionHeader,
  isPartialFragment,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
} from "../wire/ip-packet.js";
import { type FieldValue, fieldsOfLayer, HEADER_BYTES, type Layer, readField } from "./fields.js";
import type { IcmpSpec, Ipv4Spec, Ipv6ExtensionSpec, Ipv6Spec, PacketSpec, TcpSpec } from "./spec.js";

/** What the bytes begin with. */
export type DissectStart = "ethernet" | "ip";

/** Reads `bytes[offset, offset + length)`. The spec holds copies. Never throws. */
export function dissect(bytes: Uint8Array, offset: number, length: number, start: DissectStart = "ip"): PacketSpec {
  const packet = bytes.slice(offset, offset + length);
  if (start === "ip") return dissectIp(packet, 0);
  const headerLength = ethernetHeaderLength(packet, 0, packet.length);
  const header = headerLength < 0 ? "" : decodeEthernetHeader(packet, 0, packet.length);
  if (typeof header === "string") return { payload: packet };
  const { destination, source, tags, etherType } = header;
  const ethernet = { destination, source, tags, etherType };
  const isIp = etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6;
  return isIp ? { ethernet, ...dissectIp(packet, headerLength) } : { ethernet, payload: packet.slice(headerLength) };
}

function dissectIp(packet: Uint8Array, at: number): PacketSpec {
  const version = (packet[at] ?? 0) >>> 4;
  if (version === 4 && packet.length - at >= HEADER_BYTES.ipv4) return dissectIpv4(packet, at);
  if (version === 6 && packet.length - at >= HEADER_BYTES.ipv6) return dissectIpv6(packet, at);
  return { payload: packet.slice(at) };
}

function dissectIpv4(packet: Uint8Array, at: number): PacketSpec {
  const stated = ((packet[at] ?? 0) & 15) << 2;
  const headerLength = stated >= HEADER_BYTES.ipv4 && at + stated <= packet.length ? stated : HEADER_BYTES.ipv4;
  const ip: Ipv4Spec = {
    family: 4,
    ...readLayer(packet, at, "ipv4"),
    options: packet.slice(at + HEADER_BYTES.ipv4, at + headerLength),
  };
  const total = getU16(packet, at + 2);
  const end = total >= headerLength && at + total <= packet.length ? at + total : packet.length;
  // Only the first fragment begins with a header.
  const protocol = (getU16(packet, at + 6) & 0x1fff) === 0 ? (packet[at + 9] ?? 0) : -1;
  return { ip, ...dissectTransport(packet, at + headerLength, end, protocol, 4), ...trailerOf(packet, end) };
}

function dissectIpv6(packet: Uint8Array, at: number): PacketSpec {
  const stated = at + HEADER_BYTES.ipv6 + getU16(packet, at + 4);
  const end = stated <= packet.length ? stated : packet.length;
  const extensions: Ipv6ExtensionSpec[] = [];
  let protocol = packet[at + 6] ?? 0;
  let next = at + HEADER_BYTES.ipv6;
  while (isExtensionHeader(protocol) && next + 8 <= end) {
    const size = extensionHeaderLength(protocol, packet, next);
    if (next + size > end) break;
    const isLater = isPartialFragment(protocol, packet, next) && (getU16(packet, next + 2) & 0xfff8) !== 0;
    extensions.push({ protocol, nextHeader: packet[next] ?? 0, body: packet.slice(next + 1, next + size) });
    protocol = isLater ? -1 : (packet[next] ?? 0);
    next += size;
  }
  const ip: Ipv6Spec = { family: 6, ...readLayer(packet, at, "ipv6"), extensions };
  return { ip, ...dissectTransport(packet, next, end, protocol, 6), ...trailerOf(packet, end) };
}

function dissectTransport(packet: Uint8Array, at: number, end: number, protocol: number, family: 4 | 6): PacketSpec {
  if (protocol === PROTOCOL_TCP && end - at >= HEADER_BYTES.tcp) return dissectTcp(packet, at, end);
  if (protocol === (family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6) && end - at >= HEADER_BYTES.icmp) {
    const icmp: IcmpSpec = readLayer(packet, at, "icmp");
    return { icmp, payload: packet.slice(at + HEADER_BYTES.icmp, end) };
  }
  return { payload: packet.slice(at, end) };
}

function dissectTcp(packet: Uint8Array, at: number, end: number): PacketSpec {
  const stated = ((packet[at + 12] ?? 0) >>> 4) << 2;
  const headerLength = stated >= HEADER_BYTES.tcp && at + stated <= end ? stated : HEADER_BYTES.tcp;
  const tcp: TcpSpec = {
    ...readLayer(packet, at, "tcp"),
    options: packet.slice(at + HEADER_BYTES.tcp, at + headerLength),
  };
  return { tcp, payload: packet.slice(at + headerLength, end) };
}

function trailerOf(packet: Uint8Array, end: number): PacketSpec {
  return end < packet.length ? { trailer: packet.slice(end) } : {};
}

/** Whole fields; their parts say nothing more. */
function readLayer(packet: Uint8Array, at: number, layer: Layer): Readonly<Record<string, FieldValue>> {
  const values: Record<string, FieldValue> = {};
  for (const field of fieldsOfLayer(layer)) {
    if (field.partOf === undefined) values[field.name] = readField(packet, at, field);
  }
  return values;
}
