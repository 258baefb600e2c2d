/**
 * IP headers of captured packets, which may be cut by the snapshot length, or caught before the device cut them into segments:
 * what the engine drops as damaged is everyday in a capture file.
 */
import { getU16 } from "./bytes.js";
import {
  extensionHeaderLength,
  type IpPacket,
  type IpProblem,
  isExtensionHeader,
  isPartialFragment,
  PROTOCOL_TCP,
  parseIpPacket,
  readIpv4Fields,
} from "./ip-packet.js";

/** As `IpProblem`; and that the capture ends before the transport header can be found. */
export type CapturedIpProblem = IpProblem | "cut inside the IP header";

/**
 * As `parseIpPacket`, of which it takes what that takes. Of `wireLength` bytes of the packet, `length` were captured.
 * `payloadLength` is that on the wire: where it reaches beyond `offset + length`, the rest was not captured. A total length of 0
 * stands for "to the end": so the kernel hands on super-segments beyond 64 KiB (BIG TCP), and so some cards do smaller ones.
 */
export function parseCapturedIp(
  packet: IpPacket,
  bytes: Uint8Array,
  offset: number,
  length: number,
  wireLength: number,
): CapturedIpProblem {
  const problem = parseIpPacket(packet, bytes, offset, length, false);
  if (problem === "too short for an IP header" && wireLength > length) return "cut inside the IP header";
  if (problem !== "bad IP total length" && problem !== "bad IP header length" && problem !== "bad IPv6 extension header")
    return problem;
  return bytes[offset]! >>> 4 === 4
    ? parseV4(packet, bytes, offset, length, wireLength, problem)
    : parseV6(packet, bytes, offset, length, wireLength, problem);
}

function parseV4(
  packet: IpPacket,
  bytes: Uint8Array,
  offset: number,
  length: number,
  wireLength: number,
  problem: IpProblem,
): CapturedIpProblem {
  const headerLength = (bytes[offset]! & 15) << 2;
  if (headerLength < 20 || headerLength > wireLength) return problem;
  if (headerLength > length) return "cut inside the IP header";
  const stated = getU16(bytes, offset + 2);
  const isOffloaded = stated === 0 && bytes[offset + 9] === PROTOCOL_TCP;
  const totalLength = isOffloaded ? wireLength : stated;
  if (totalLength < headerLength || totalLength > wireLength) return problem;
  const fragment = getU16(bytes, offset + 6);
  if ((fragment & 0x3fff) !== 0) return "IP fragment";
  readIpv4Fields(packet, bytes, offset);
  packet.payloadOffset = offset + headerLength;
  packet.payloadLength = totalLength - headerLength;
  return "";
}

/** A payload length of 0 with more behind the header is a jumbogram (RFC 2675), which Linux makes of its super-segments. */
function parseV6(
  packet: IpPacket,
  bytes: Uint8Array,
  offset: number,
  length: number,
  wireLength: number,
  problem: IpProblem,
): CapturedIpProblem {
  const stated = getU16(bytes, offset + 4);
  const onWire = stated === 0 ? wireLength - 40 : stated;
  if (onWire + 40 > wireLength) return problem;
  const end = offset + 40 + onWire;
  const captured = Math.min(end, offset + length);
  let protocol = bytes[offset + 6]!;
  let at = offset + 40;
  while (isExtensionHeader(protocol)) {
    if (at + 8 > end) return problem;
    if (at + 8 > captured) return "cut inside the IP header";
    if (isPartialFragment(protocol, bytes, at)) return "IP fragment";
    const size = extensionHeaderLength(protocol, bytes, at);
    protocol = bytes[at]!;
    at += size;
    if (at > end) return problem;
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
