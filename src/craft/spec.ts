/**
 * What a packet is to be. Every field is optional: one that is not set is computed, one that is set is sent as it is set,
 * right or wrong. Field names are those of the headers in `wire`; `fields.ts` has them all in one table.
 */
import type { IpAddress } from "../wire/address.js";
import type { VlanTag } from "../wire/ethernet.js";
import type { TcpOption } from "../wire/tcp-options.js";

/** A checksum as a number, or "bad": one more than the right one, so that it is surely wrong. */
export type ChecksumSpec = number | "bad";

/** An address, or its text. */
export type AddressSpec = IpAddress | string;

/** A MAC address: six bytes, or "02:00:00:00:00:01". */
export type MacSpec = Uint8Array | string;

/** An Ethernet II header (IEEE 802.3). Unset: addresses of zeros, no tag, the EtherType of what follows. */
export interface EthernetSpec {
  readonly destination?: MacSpec;
  readonly source?: MacSpec;
  /** Outermost first. */
  readonly tags?: readonly VlanTag[];
  readonly etherType?: number;
}

/** An IPv4 header (RFC 791). Unset: 127.0.0.1 to 127.0.0.1, TTL 64, identification 1, no flags, no options. */
export interface Ipv4Spec {
  readonly family: 4;
  /** The four bits of the header; 4 when unset. */
  readonly version?: number;
  /** Header length in 32-bit words. */
  readonly ihl?: number;
  readonly tos?: number;
  /** The upper six bits of `tos` (RFC 2474). */
  readonly dscp?: number;
  /** The lower two bits of `tos` (RFC 3168). */
  readonly ecn?: number;
  /** Bytes of header and payload. */
  readonly totalLength?: number;
  readonly id?: number;
  readonly reservedFlag?: boolean;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In units of 8 bytes. */
  readonly fragmentOffset?: number;
  readonly ttl?: number;
  readonly protocol?: number;
  readonly checksum?: ChecksumSpec;
  readonly source?: AddressSpec;
  readonly destination?: AddressSpec;
  /** The option space; zeros fill it up to a word. */
  readonly options?: Uint8Array;
}

/** An IPv6 extension header (RFC 8200 §4). */
export interface Ipv6ExtensionSpec {
  /** What it is: goes to the next-header field of the header before it. */
  readonly protocol: number;
  /** Its first byte; when unset the protocol of what follows. */
  readonly nextHeader?: number;
  /** What stands behind the first byte, the length field included. */
  readonly body: Uint8Array;
}

/** An IPv6 header (RFC 8200). Unset: ::1 to ::1, hop limit 64, flow label 0, no extension headers. */
export interface Ipv6Spec {
  readonly family: 6;
  /** The four bits of the header; 6 when unset. */
  readonly version?: number;
  readonly trafficClass?: number;
  /** The upper six bits of `trafficClass`. */
  readonly dscp?: number;
  /** The lower two bits of `trafficClass`. */
  readonly ecn?: number;
  readonly flowLabel?: number;
  /** Bytes behind the fixed header. */
  readonly payloadLength?: number;
  readonly nextHeader?: number;
  readonly hopLimit?: number;
  readonly source?: AddressSpec;
  readonly destination?: AddressSpec;
  readonly extensions?: readonly Ipv6ExtensionSpec[];
}

/** A TCP header (RFC 9293 §3.1). Unset: port 49152 to port 80, SYN, sequence number 0, window 64240, no options. */
export interface TcpSpec {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly seq?: number;
  readonly ack?: number;
  /** Header length in 32-bit words. */
  readonly dataOffset?: number;
  /** The three bits between data offset and flags. */
  readonly reserved?: number;
  /** Nine control bits, see `wire/tcp-flags.ts`. */
  readonly flags?: number;
  readonly window?: number;
  readonly checksum?: ChecksumSpec;
  readonly urgentPointer?: number;
  /** Options by name, as text (`parseTcpOptions`), or the option space as bytes. */
  readonly options?: readonly TcpOption[] | string | Uint8Array;
  /** The byte that fills the options up to a word; 0 when unset (RFC 9293 MUST-69). */
  readonly padding?: number;
}

/** An ICMP message (RFC 792, RFC 4443); the family is that of the IP header. Unset: an echo request. */
export interface IcmpSpec {
  readonly type?: number;
  readonly code?: number;
  readonly checksum?: ChecksumSpec;
  /** The second word. */
  readonly rest?: number;
  /** The upper half of `rest`, of an echo. */
  readonly identifier?: number;
  /** The lower half of `rest`, of an echo. */
  readonly sequence?: number;
  /** The lower half of `rest`, of "fragmentation needed" (RFC 1191 §4). */
  readonly mtu?: number;
}

/** A packet, from the outside in. Without `ip` the payload alone is what there is. */
export interface PacketSpec {
  readonly ethernet?: EthernetSpec;
  readonly ip?: Ipv4Spec | Ipv6Spec;
  /** Not together with `icmp`. */
  readonly tcp?: TcpSpec;
  readonly icmp?: IcmpSpec;
  readonly payload?: Uint8Array;
  /** Bytes behind the end of the IP packet, which its length does not count: Ethernet padding. */
  readonly trailer?: Uint8Array;
}
