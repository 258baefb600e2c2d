/** Whether a packet that came in answers one that went out. */
import { seqDiff } from "../base/seq.js";
import { IpAddress } from "../wire/address.js";
import { getU16, getU32 } from "../wire/bytes.js";
import { IcmpError, isIcmpError, parseIcmpError } from "../wire/icmp.js";
import { IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, parseIpPacket } from "../wire/ip-packet.js";
import { parseSegment, Segment } from "../wire/segment.js";
import { ACK } from "../wire/tcp-flags.js";

/**
 * How sure it is: "exact" by acknowledgment number, echo or quoted sequence number; "ports" when the endpoints fit and nothing
 * else tells, as with a challenge ACK, whose numbers are those of the receiver's connection (RFC 5961).
 */
export type MatchStrength = "exact" | "ports" | "none";

/** What of a packet that was sent decides which answers are its own. */
export interface Probe {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** 6 for TCP; 1 and 58 for ICMP. */
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: number;
  readonly ack: number;
  /** SEG.LEN: payload, SYN and FIN. */
  readonly len: number;
  readonly flags: number;
  /** Identifier and sequence number of an echo request. */
  readonly echo: number;
}

/** Reads the probe from the IP packet `bytes[offset, offset + length)` as it is sent; undefined when there is no header in it. */
export function probeOf(bytes: Uint8Array, offset: number, length: number): Probe | undefined {
  const headerLength = ((bytes[offset] ?? 0) & 15) << 2;
  const family = (bytes[offset] ?? 0) >>> 4 === 6 ? 6 : 4;
  const fixed = family === 4 ? 20 : 40;
  if (length < fixed) return undefined;
  const [source, destination] = [new IpAddress(), new IpAddress()];
  source.read(family, bytes, offset + (family === 4 ? 12 : 8));
  destination.read(family, bytes, offset + (family === 4 ? 16 : 24));
  // Lengths and checksums may be wrong on purpose: where the header cannot be read as it says, its fixed size is taken.
  const isReadable = parseIpPacket(packet, bytes, offset, length, false) === "";
  const at = isReadable ? packet.payloadOffset : offset + (family === 4 ? Math.max(20, Math.min(headerLength, length)) : 40);
  const protocol = isReadable ? packet.protocol : (bytes[offset + (family === 4 ? 9 : 6)] ?? 0);
  const size = offset + length - at;
  const base = { source, destination, protocol, sourcePort: 0, destinationPort: 0, seq: 0, ack: 0, len: 0, flags: 0, echo: 0 };
  if (protocol === PROTOCOL_TCP) {
    if (size < 4) return base;
    const known = size >= 20 && parseSegment(segment, bytes, at, size) === "";
    return {
      ...base,
      sourcePort: getU16(bytes, at),
      destinationPort: getU16(bytes, at + 2),
      seq: size >= 8 ? getU32(bytes, at + 4) : 0,
      ack: size >= 12 ? getU32(bytes, at + 8) : 0,
      flags: size >= 14 ? getU16(bytes, at + 12) & 0x1ff : 0,
      len: known ? segment.len : 0,
    };
  }
  return size >= 8 ? { ...base, echo: getU32(bytes, at + 4) } : base;
}

/** Whether the IP packet `bytes[offset, offset + length)` answers the probe. Never throws. */
export function matchAnswer(probe: Probe, bytes: Uint8Array, offset: number, length: number): MatchStrength {
  if (parseIpPacket(packet, bytes, offset, length, false) !== "") return "none";
  if (packet.protocol === PROTOCOL_TCP) return matchTcp(probe, bytes);
  if (packet.protocol !== (packet.version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) return "none";
  if (packet.payloadLength < 8) return "none";
  const type = bytes[packet.payloadOffset] ?? 0;
  return isIcmpError(packet.version, type) ? matchIcmpError(probe, bytes) : matchEcho(probe, bytes, type);
}

const packet = new IpPacket();
const segment = new Segment();
const icmpError = new IcmpError();
const ECHO_REPLY = { 4: 0, 6: 129 } as const;

function matchTcp(probe: Probe, bytes: Uint8Array): MatchStrength {
  if (probe.protocol !== PROTOCOL_TCP || !packet.source.equals(probe.destination)) return "none";
  if (!packet.destination.equals(probe.source)) return "none";
  if (parseSegment(segment, bytes, packet.payloadOffset, packet.payloadLength) !== "") return "none";
  if (segment.sourcePort !== probe.destinationPort || segment.destinationPort !== probe.sourcePort) return "none";
  // An acknowledgment of some of what was sent; and a RST for a segment with ACK takes its sequence number from there.
  if ((segment.flags & ACK) !== 0 && acknowledges(probe, segment.ack)) return "exact";
  if ((segment.flags & ACK) === 0 && (probe.flags & ACK) !== 0 && segment.seq === probe.ack) return "exact";
  return "ports";
}

/** Of a segment that occupies no sequence space: the number before which everything has come. */
function acknowledges(probe: Probe, ack: number): boolean {
  const amount = seqDiff(ack, probe.seq);
  return probe.len === 0 ? amount === 0 : amount > 0 && amount <= probe.len;
}

function matchIcmpError(probe: Probe, bytes: Uint8Array): MatchStrength {
  const { payloadOffset, payloadLength, version } = packet;
  const problem = parseIcmpError(icmpError, bytes, payloadOffset, payloadLength, version);
  if (problem === "ICMP quote is not TCP") return matchQuotedEcho(probe, bytes);
  if (problem !== "" || probe.protocol !== PROTOCOL_TCP) return "none";
  const { quotedSource, quotedDestination, quotedSourcePort, quotedDestinationPort, quotedSeq } = icmpError;
  if (!quotedSource.equals(probe.source) || !quotedDestination.equals(probe.destination)) return "none";
  if (quotedSourcePort !== probe.sourcePort || quotedDestinationPort !== probe.destinationPort) return "none";
  return quotedSeq === probe.seq ? "exact" : "ports";
}

/** An error about an echo request of ours, or about another protocol. */
function matchQuotedEcho(probe: Probe, bytes: Uint8Array): MatchStrength {
  if (probe.protocol === PROTOCOL_TCP || icmpError.quotedProtocol !== probe.protocol) return "none";
  if (!icmpError.quotedDestination.equals(probe.destination) || !icmpError.quotedSource.equals(probe.source)) return "none";
  const quote = packet.payloadOffset + 8;
  const at = quote + (packet.version === 4 ? ((bytes[quote] ?? 0) & 15) << 2 : 40);
  if (at + 8 > packet.payloadOffset + packet.payloadLength) return "ports";
  return getU32(bytes, at + 4) === probe.echo ? "exact" : "none";
}

function matchEcho(probe: Probe, bytes: Uint8Array, type: number): MatchStrength {
  if (type !== ECHO_REPLY[packet.version] || probe.protocol === PROTOCOL_TCP) return "none";
  if (!packet.source.equals(probe.destination) || !packet.destination.equals(probe.source)) return "none";
  return getU32(bytes, packet.payloadOffset + 4) === probe.echo ? "exact" : "none";
}
