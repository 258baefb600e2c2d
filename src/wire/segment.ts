/**
 * The fast way in for TCP: reads a header at an offset into a scratch object that is reused for every segment, with the
 * options that the engine acts on. Unknown options are stepped over by their length (RFC 9293 MUST-6), illegal lengths end
 * the walk without harm (MUST-7). The options in full, as a list, are in `tcp-options.ts`.
 */
import type { IpAddress } from "./address.js";
import { getU16, getU32 } from "./bytes.js";
import { addBytes, fold, pseudoHeaderSum } from "./checksum.js";
import { PROTOCOL_TCP } from "./ip-packet.js";
import { FIN, SYN } from "./tcp-flags.js";

/** Option kind numbers (IANA, TCP parameters); what each holds is said at `TcpOption`. */
export const OPTION_END = 0;
export const OPTION_NOP = 1;
export const OPTION_MSS = 2;
export const OPTION_WINDOW_SCALE = 3;
export const OPTION_SACK_PERMITTED = 4;
export const OPTION_SACK = 5;
export const OPTION_TIMESTAMPS = 8;
export const OPTION_MD5 = 19;
export const OPTION_AO = 29;
export const OPTION_FAST_OPEN = 34;
export const OPTION_ACC_ECN_0 = 172;
export const OPTION_ACC_ECN_1 = 174;
export const OPTION_EXPERIMENT = 254;

/** Why bytes are not a TCP segment; "" when they are. */
export type SegmentProblem = "" | "too short for a TCP header" | "bad TCP data offset";

/**
 * A segment as RFC 9293 §3.3.1 names it. `payloadOffset` counts from the start of `bytes`, which is lent: copy before keeping.
 */
export class Segment {
  bytes: Uint8Array = new Uint8Array(0);
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  /** SEG.LEN: payload bytes, and one each for SYN and FIN. */
  len = 0;
  /** The window field, not scaled. */
  wnd = 0;
  /** The urgent pointer. */
  up = 0;
  /** Control bits, see `tcp-flags.ts`. */
  flags = 0;
  /** Bytes of the TCP header, options included. */
  headerLength = 20;
  payloadOffset = 0;
  payloadLength = 0;

  /** Maximum segment size option, -1 when absent. */
  mss = -1;
  /** Window scale option, -1 when absent. */
  windowScale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsVal = 0;
  tsEcr = 0;
  /** SACK blocks: left edge at 2i, right edge at 2i + 1. */
  readonly sack = new Uint32Array(8);
  sackCount = 0;
  /** Bytes of a Fast Open cookie in `bytes`; -1 when absent. */
  /** A signature (RFC 2385), whatever it is worth. */
  hasMd5 = false;
  fastOpenOffset = 0;
  fastOpenLength = -1;
  /** It came in the experimental option with the number 0xF989, as before RFC 7413 (§4.1.1); answered in the same form. */
  fastOpenExperimental = false;

  /** Counters of the option of accurate ECN (RFC 9768 §3.2.3), as many as came; -1 when absent. */
  accEcnFields = -1;
  readonly accEcn = new Uint32Array(3);
  /** They are E1B, CEB, E0B (kind 174), else E0B, CEB, E1B. */
  accEcnFirstIsEct1 = false;

  /** ECN field of the IP header that carried it: 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE. */
  ecn = 0;
  /** TTL or hop limit of the IP header. */
  ttl = 0;
}

/** Parses `bytes[offset, offset + length)`, an IP payload, into `segment`. */
export function parseSegment(segment: Segment, bytes: Uint8Array, offset: number, length: number): SegmentProblem {
  if (length < 20) return "too short for a TCP header";
  const headerLength = (bytes[offset + 12]! >>> 4) << 2;
  if (headerLength < 20 || headerLength > length) return "bad TCP data offset";
  segment.bytes = bytes;
  segment.headerLength = headerLength;
  segment.sourcePort = getU16(bytes, offset);
  segment.destinationPort = getU16(bytes, offset + 2);
  segment.seq = getU32(bytes, offset + 4);
  segment.ack = getU32(bytes, offset + 8);
  const flags = getU16(bytes, offset + 12) & 0x1ff;
  segment.flags = flags;
  segment.wnd = getU16(bytes, offset + 14);
  segment.up = getU16(bytes, offset + 18);
  segment.payloadOffset = offset + headerLength;
  const payloadLength = length - headerLength;
  segment.payloadLength = payloadLength;
  segment.len = payloadLength + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
  segment.mss = -1;
  segment.windowScale = -1;
  segment.sackPermitted = false;
  segment.hasTimestamps = false;
  segment.sackCount = 0;
  segment.hasMd5 = false;
  segment.fastOpenLength = -1;
  segment.fastOpenExperimental = false;
  segment.accEcnFields = -1;
  if (headerLength > 20) parseOptions(segment, bytes, offset + 20, offset + headerLength);
  return "";
}

function parseOptions(segment: Segment, bytes: Uint8Array, at: number, end: number): void {
  // The usual case on an established connection: NOP NOP timestamps (RFC 7323 Appendix A).
  if (end - at === 12 && getU32(bytes, at) === 0x0101080a) {
    segment.hasTimestamps = true;
    segment.tsVal = getU32(bytes, at + 4);
    segment.tsEcr = getU32(bytes, at + 8);
    return;
  }
  while (at < end) {
    const kind = bytes[at]!;
    if (kind === OPTION_END) return;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const size = bytes[at + 1]!;
    if (size < 2 || at + size > end) return;
    readOption(segment, bytes, at, kind, size);
    at += size;
  }
}

/** One option of a legal length; one whose own length is wrong is as if it were not there. */
function readOption(segment: Segment, bytes: Uint8Array, at: number, kind: number, size: number): void {
  switch (kind) {
    case OPTION_MSS:
      if (size === 4) segment.mss = getU16(bytes, at + 2);
      break;
    case OPTION_WINDOW_SCALE:
      if (size === 3) segment.windowScale = bytes[at + 2]!;
      break;
    case OPTION_SACK_PERMITTED:
      if (size === 2) segment.sackPermitted = true;
      break;
    case OPTION_SACK:
      if (size >= 10 && (size - 2) % 8 === 0) {
        segment.sackCount = (size - 2) / 8;
        for (let i = 0; i < segment.sackCount * 2; i++) segment.sack[i] = getU32(bytes, at + 2 + 4 * i);
      }
      break;
    case OPTION_TIMESTAMPS:
      if (size === 10) {
        segment.hasTimestamps = true;
        segment.tsVal = getU32(bytes, at + 2);
        segment.tsEcr = getU32(bytes, at + 6);
      }
      break;
    case OPTION_MD5:
      segment.hasMd5 = true;
      break;
    case OPTION_FAST_OPEN:
      // None to ask for a cookie, else 4 to 16 bytes, even; others must be ignored (RFC 7413 §4.1.1).
      if (size === 2 || (size >= 6 && size <= 18 && size % 2 === 0)) {
        segment.fastOpenOffset = at + 2;
        segment.fastOpenLength = size - 2;
        segment.fastOpenExperimental = false;
      }
      break;
    case OPTION_ACC_ECN_0:
    case OPTION_ACC_ECN_1:
      // Of any length whole fields count, what is left is padding (RFC 9768 §3.2.3).
      segment.accEcnFields = Math.min(3, Math.trunc((size - 2) / 3));
      segment.accEcnFirstIsEct1 = kind === OPTION_ACC_ECN_1;
      for (let i = 0; i < segment.accEcnFields; i++) {
        const field = at + 2 + 3 * i;
        segment.accEcn[i] = (getU16(bytes, field) << 8) | bytes[field + 2]!;
      }
      break;
    case OPTION_EXPERIMENT:
      // RFC 6994: a 16-bit number says which experiment. The option of its own counts if both are there.
      if (segment.fastOpenLength >= 0 || size < 4 || getU16(bytes, at + 2) !== 0xf989) break;
      if (size === 4 || (size >= 8 && size <= 20 && size % 2 === 0)) {
        segment.fastOpenOffset = at + 4;
        segment.fastOpenLength = size - 4;
        segment.fastOpenExperimental = true;
      }
      break;
  }
}

/** How strict to be with the TCP checksum of packets that a local kernel may have left unfinished. */
export type ChecksumPolicy = "strict" | "partial-ok" | "off";

/** See `verifyChecksum`. */
export type ChecksumVerdict = "ok" | "partial" | "bad";

/**
 * Checks the TCP checksum. "partial" means that the field holds just the folded pseudo-header sum, as Linux leaves it on
 * loopback and veth where no wire needs it (checksum offload). The partial test comes first: it reads no payload.
 */
export function verifyChecksum(
  source: IpAddress,
  destination: IpAddress,
  bytes: Uint8Array,
  offset: number,
  length: number,
  policy: ChecksumPolicy,
): ChecksumVerdict {
  const pseudo = pseudoHeaderSum(source, destination, PROTOCOL_TCP, length);
  if (policy !== "strict" && getU16(bytes, offset + 16) === fold(pseudo)) return "partial";
  return fold(addBytes(pseudo, bytes, offset, length)) === 0xffff ? "ok" : "bad";
}
