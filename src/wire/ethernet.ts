/** Ethernet II frames with 802.1Q tags, and MAC addresses. Frames here have no preamble and no check sequence. */
import { RawTcpError } from "../base/errors.js";
import { getU16, putU16, toHex } from "./bytes.js";

/** EtherTypes (IEEE 802 numbers). */
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
/** IEEE 802.1Q, the customer tag. */
export const ETHERTYPE_VLAN = 0x8100;
/** IEEE 802.1ad, the service tag of "QinQ". */
export const ETHERTYPE_SERVICE_VLAN = 0x88a8;

/** A VLAN tag (IEEE 802.1Q §9.6). */
export interface VlanTag {
  /** Tag protocol identifier: `ETHERTYPE_VLAN` or `ETHERTYPE_SERVICE_VLAN`. */
  readonly tpid: number;
  /** Priority code point, 0 to 7. */
  readonly priority: number;
  readonly dropEligible: boolean;
  /** VLAN identifier, 12 bits. */
  readonly vlan: number;
}

/** An Ethernet II header. When encoded, each field is written as it is stated, truncated to its width. */
export interface EthernetHeader {
  /** Six bytes. */
  readonly destination: Uint8Array;
  /** Six bytes. */
  readonly source: Uint8Array;
  /** Outermost first. */
  readonly tags: readonly VlanTag[];
  /** What follows the tags. Below 1536 it is a length (IEEE 802.3) and no EtherType. */
  readonly etherType: number;
}

/** Why bytes are not an Ethernet header. */
export type EthernetProblem = "too short for an Ethernet header";

/** Decodes the header at `bytes[offset, offset + length)`, with copies of the addresses, or says why it is none. */
export function decodeEthernetHeader(bytes: Uint8Array, offset: number, length: number): EthernetHeader | EthernetProblem {
  const headerLength = ethernetHeaderLength(bytes, offset, length);
  if (headerLength < 0) return "too short for an Ethernet header";
  const tags: VlanTag[] = [];
  const typeAt = offset + headerLength - 2;
  for (let at = offset + 12; at < typeAt; at += 4) {
    const control = getU16(bytes, at + 2);
    tags.push({
      tpid: getU16(bytes, at),
      priority: control >>> 13,
      dropEligible: (control & 0x1000) !== 0,
      vlan: control & 0xfff,
    });
  }
  return {
    destination: bytes.slice(offset, offset + 6),
    source: bytes.slice(offset + 6, offset + 12),
    tags,
    etherType: getU16(bytes, typeAt),
  };
}

/** Encodes a header: 14 bytes and 4 for each tag. */
export function encodeEthernetHeader(header: EthernetHeader): Uint8Array {
  const bytes = new Uint8Array(14 + 4 * header.tags.length);
  bytes.set(header.destination.subarray(0, 6), 0);
  bytes.set(header.source.subarray(0, 6), 6);
  let at = 12;
  for (const tag of header.tags) {
    putU16(bytes, at, tag.tpid);
    putU16(bytes, at + 2, (tag.priority << 13) | (tag.dropEligible ? 0x1000 : 0) | (tag.vlan & 0xfff));
    at += 4;
  }
  putU16(bytes, at, header.etherType);
  return bytes;
}

/**
 * Bytes from the start of a frame to its payload, tags stepped over; -1 when the frame is too short to say. The fast way
 * in for devices on the link layer: the EtherType stands in the two bytes before the payload.
 */
export function ethernetHeaderLength(bytes: Uint8Array, offset: number, length: number): number {
  let headerLength = 14;
  while (headerLength <= length) {
    const type = getU16(bytes, offset + headerLength - 2);
    if (type !== ETHERTYPE_VLAN && type !== ETHERTYPE_SERVICE_VLAN) return headerLength;
    headerLength += 4;
  }
  return -1;
}

/** "02:00:00:00:00:01" */
export function formatMac(mac: Uint8Array): string {
  return toHex(mac.subarray(0, 6), ":");
}

/** Reads six pairs of hexadecimal digits with ":" or "-" between them. Throws RawTcpError `ERR_INVALID_ADDRESS`. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i.test(text)) {
    throw new RawTcpError("ERR_INVALID_ADDRESS", `not a MAC address: "${text}"`);
  }
  return Uint8Array.from(text.split(/[:-]/), (pair) => Number.parseInt(pair, 16));
}
