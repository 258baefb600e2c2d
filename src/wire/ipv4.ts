/**
 * The IPv4 header as a value with every field of RFC 791 §3.1, for printing, crafting and tests. The engine reads packets
 * with `ip-packet.ts` instead.
 */
import { IpAddress } from "./address.js";
import { getU16, putU16 } from "./bytes.js";
import { addBytes, finish } from "./checksum.js";

/** An IPv4 header. When encoded, each field is written as it is stated, truncated to its width, right or wrong. */
export interface Ipv4Header {
  /** 4. */
  readonly version: number;
  /** Internet header length in 32-bit words, 5 to 15. */
  readonly ihl: number;
  /** DSCP in the upper six bits (RFC 2474), ECN in the lower two (RFC 3168). */
  readonly tos: number;
  /** Bytes of header and payload. */
  readonly totalLength: number;
  readonly id: number;
  /** The first of the three flag bits, always zero in honest packets. */
  readonly reservedFlag: boolean;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In units of 8 bytes, 13 bits. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly checksum: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** The option space as it stands, up to 40 bytes. */
  readonly options: Uint8Array;
}

/** Why bytes are not an IPv4 header. */
export type Ipv4Problem = "too short for an IP header" | "unknown IP version" | "bad IP header length";

/**
 * Decodes the header at `bytes[offset, offset + length)`, with a copy of its options, or says why it is none. The total
 * length and the checksum are given as they stand, not checked.
 */
export function decodeIpv4Header(bytes: Uint8Array, offset: number, length: number): Ipv4Header | Ipv4Problem {
  if (length < 20) return "too short for an IP header";
  if (bytes[offset]! >>> 4 !== 4) return "unknown IP version";
  const ihl = bytes[offset]! & 15;
  if (ihl < 5 || ihl << 2 > length) return "bad IP header length";
  const fragment = getU16(bytes, offset + 6);
  const source = new IpAddress();
  const destination = new IpAddress();
  source.read(4, bytes, offset + 12);
  destination.read(4, bytes, offset + 16);
  return {
    version: 4,
    ihl,
    tos: bytes[offset + 1]!,
    totalLength: getU16(bytes, offset + 2),
    id: getU16(bytes, offset + 4),
    reservedFlag: (fragment & 0x8000) !== 0,
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset: fragment & 0x1fff,
    ttl: bytes[offset + 8]!,
    protocol: bytes[offset + 9]!,
    checksum: getU16(bytes, offset + 10),
    source,
    destination,
    options: bytes.slice(offset + 20, offset + (ihl << 2)),
  };
}

/** Encodes a header; options that do not fill a word are padded with zeros, which end the list (RFC 791 §3.1). */
export function encodeIpv4Header(header: Ipv4Header): Uint8Array {
  const bytes = new Uint8Array(20 + ((header.options.length + 3) & ~3));
  bytes[0] = (header.version << 4) | (header.ihl & 15);
  bytes[1] = header.tos;
  putU16(bytes, 2, header.totalLength);
  putU16(bytes, 4, header.id);
  const flags = (header.reservedFlag ? 0x8000 : 0) | (header.dontFragment ? 0x4000 : 0) | (header.moreFragments ? 0x2000 : 0);
  putU16(bytes, 6, flags | (header.fragmentOffset & 0x1fff));
  bytes[8] = header.ttl;
  bytes[9] = header.protocol;
  putU16(bytes, 10, header.checksum);
  header.source.write(bytes, 12);
  header.destination.write(bytes, 16);
  bytes.set(header.options, 20);
  return bytes;
}

/** The checksum that the header `bytes[offset, offset + length)` should have (RFC 791 §3.1); the one in it does not count. */
export function ipv4Checksum(bytes: Uint8Array, offset: number, length: number): number {
  return finish(addBytes(addBytes(0, bytes, offset, 10), bytes, offset + 12, length - 12));
}
