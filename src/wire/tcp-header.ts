/**
 * The TCP header as a value with every field of RFC 9293 §3.1, for printing, crafting and tests. The engine reads segments
 * with `segment.ts` instead.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   ├───────────────────────────────┼───────────────────────────────┤
 *   │          source port          │       destination port        │
 *   │                        sequence number                        │
 *   │                     acknowledgment number                     │
 *   │ offset│ rsrvd │     flags     │            window             │   9 flags: AE has the lowest of the reserved bits
 *   │           checksum            │        urgent pointer         │
 *   │                  options, zeros up to a word                  │
 */
import type { IpAddress } from "./address.js";
import { getU16, getU32, putU16, putU32 } from "./bytes.js";
import { addBytes, finish, pseudoHeaderSum } from "./checksum.js";
import { PROTOCOL_TCP } from "./ip-packet.js";
import type { SegmentProblem } from "./segment.js";

/** A TCP header. When encoded, each field is written as it is stated, truncated to its width, right or wrong. */
export interface TcpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: number;
  readonly ack: number;
  /** Length of the header in 32-bit words, 5 to 15. */
  readonly dataOffset: number;
  /** The three bits between data offset and flags. */
  readonly reserved: number;
  /** Nine control bits, see `tcp-flags.ts`. */
  readonly flags: number;
  /** Not scaled. */
  readonly window: number;
  readonly checksum: number;
  readonly urgentPointer: number;
  /** The option space as it stands, see `decodeTcpOptions` and `encodeTcpOptions`. */
  readonly options: Uint8Array;
}

/** Decodes the header at `bytes[offset, offset + length)`, with a copy of its options, or says why it is none. */
export function decodeTcpHeader(bytes: Uint8Array, offset: number, length: number): TcpHeader | Exclude<SegmentProblem, ""> {
  if (length < 20) return "too short for a TCP header";
  const dataOffset = bytes[offset + 12]! >>> 4;
  if (dataOffset < 5 || dataOffset << 2 > length) return "bad TCP data offset";
  return {
    sourcePort: getU16(bytes, offset),
    destinationPort: getU16(bytes, offset + 2),
    seq: getU32(bytes, offset + 4),
    ack: getU32(bytes, offset + 8),
    dataOffset,
    reserved: (bytes[offset + 12]! >>> 1) & 7,
    flags: getU16(bytes, offset + 12) & 0x1ff,
    window: getU16(bytes, offset + 14),
    checksum: getU16(bytes, offset + 16),
    urgentPointer: getU16(bytes, offset + 18),
    options: bytes.slice(offset + 20, offset + (dataOffset << 2)),
  };
}

/** Encodes a header; options that do not fill a word are padded with zeros (RFC 9293 MUST-69). */
export function encodeTcpHeader(header: TcpHeader): Uint8Array {
  const bytes = new Uint8Array(20 + ((header.options.length + 3) & ~3));
  putU16(bytes, 0, header.sourcePort);
  putU16(bytes, 2, header.destinationPort);
  putU32(bytes, 4, header.seq);
  putU32(bytes, 8, header.ack);
  putU16(bytes, 12, (header.dataOffset << 12) | ((header.reserved & 7) << 9) | (header.flags & 0x1ff));
  putU16(bytes, 14, header.window);
  putU16(bytes, 16, header.checksum);
  putU16(bytes, 18, header.urgentPointer);
  bytes.set(header.options, 20);
  return bytes;
}

/** The checksum that the segment `bytes[offset, offset + length)` should have (RFC 9293 §3.1); the one in it does not count. */
export function tcpChecksum(
  source: IpAddress,
  destination: IpAddress,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  let sum = pseudoHeaderSum(source, destination, PROTOCOL_TCP, length);
  sum = addBytes(sum, bytes, offset, 16);
  return finish(addBytes(sum, bytes, offset + 18, length - 18));
}
