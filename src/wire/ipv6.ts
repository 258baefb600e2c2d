/**
 * The IPv6 header as a value with every field of RFC 8200 §3, and the extension headers behind it as bytes, for printing,
 * crafting and tests. The engine reads packets with `ip-packet.ts` instead.
 */
import { IpAddress } from "./address.js";
import { getU16, getU32, putU16, putU32 } from "./bytes.js";
import { extensionHeaderLength, isExtensionHeader, PROTOCOL_FRAGMENT } from "./ip-packet.js";

/** An extension header (RFC 8200 §4). */
export interface Ipv6Extension {
  /** What it is: the next-header value of the header before it. */
  readonly protocol: number;
  /** All of it; the first byte is the next-header value of what follows. */
  readonly bytes: Uint8Array;
}

/** An IPv6 header. When encoded, each field is written as it is stated, truncated to its width, right or wrong. */
export interface Ipv6Header {
  /** 6. */
  readonly version: number;
  /** DSCP in the upper six bits, ECN in the lower two. */
  readonly trafficClass: number;
  /** 20 bits. */
  readonly flowLabel: number;
  /** Bytes behind the fixed header, extension headers included. */
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly extensions: readonly Ipv6Extension[];
}

/** Why bytes are not an IPv6 header. */
export type Ipv6Problem = "too short for an IP header" | "unknown IP version" | "bad IPv6 extension header";

/**
 * Decodes the headers at `bytes[offset, offset + length)`, with copies of the extension headers, or says why they are none.
 * The payload length is given as it stands, not checked. Behind the header of a later fragment stands no header.
 */
export function decodeIpv6Header(bytes: Uint8Array, offset: number, length: number): Ipv6Header | Ipv6Problem {
  if (length < 40) return "too short for an IP header";
  if (bytes[offset]! >>> 4 !== 6) return "unknown IP version";
  const extensions = decodeExtensions(bytes, offset, length);
  if (extensions === undefined) return "bad IPv6 extension header";
  const source = new IpAddress();
  const destination = new IpAddress();
  source.read(6, bytes, offset + 8);
  destination.read(6, bytes, offset + 24);
  const first = getU32(bytes, offset);
  return {
    version: 6,
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
    payloadLength: getU16(bytes, offset + 4),
    nextHeader: bytes[offset + 6]!,
    hopLimit: bytes[offset + 7]!,
    source,
    destination,
    extensions,
  };
}

/** Encodes a header and its extension headers. */
export function encodeIpv6Header(header: Ipv6Header): Uint8Array {
  const bytes = new Uint8Array(ipv6HeaderLength(header));
  putU32(bytes, 0, (header.version << 28) | ((header.trafficClass & 0xff) << 20) | (header.flowLabel & 0xfffff));
  putU16(bytes, 4, header.payloadLength);
  bytes[6] = header.nextHeader;
  bytes[7] = header.hopLimit;
  header.source.write(bytes, 8);
  header.destination.write(bytes, 24);
  let at = 40;
  for (const extension of header.extensions) {
    bytes.set(extension.bytes, at);
    at += extension.bytes.length;
  }
  return bytes;
}

/** Bytes of the fixed header and the extension headers. */
export function ipv6HeaderLength(header: Ipv6Header): number {
  return header.extensions.reduce((sum, extension) => sum + extension.bytes.length, 40);
}

/** The protocol behind all headers: 6 for TCP. */
export function ipv6UpperProtocol(header: Ipv6Header): number {
  return header.extensions.at(-1)?.bytes[0] ?? header.nextHeader;
}

/** The extension headers, or undefined when one runs past the end. */
function decodeExtensions(bytes: Uint8Array, offset: number, length: number): Ipv6Extension[] | undefined {
  const extensions: Ipv6Extension[] = [];
  const end = offset + length;
  let protocol = bytes[offset + 6]!;
  let at = offset + 40;
  while (isExtensionHeader(protocol)) {
    if (at + 8 > end) return undefined;
    const size = extensionHeaderLength(protocol, bytes, at);
    if (at + size > end) return undefined;
    extensions.push({ protocol, bytes: bytes.slice(at, at + size) });
    if (protocol === PROTOCOL_FRAGMENT && (getU16(bytes, at + 2) & 0xfff8) !== 0) break;
    protocol = bytes[at]!;
    at += size;
  }
  return extensions;
}
